"""PDF: the text of a paper in reading order, each line with its page and its box on the page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, ClassVar

from langchain_core.documents import Document

from ragkit.config.components import component
from ragkit.document import normalised_title
from ragkit.errors import LoadError
from ragkit.read.formats import FileFormat, titled
from ragkit.read.formats.builder import PaperBuilder, kind_of
from ragkit.read.formats.pdf.layout import paragraphs, remove_running_heads
from ragkit.read.formats.pdf.lines import Line, Page, page_of


@component("pdf")
@dataclass(frozen=True)
class Pdf(FileFormat):
    """One paper per file, by PDFium: column by column, without running heads and hyphens at line ends.

    A file that is locked by a password or consists of images fails.
    """

    priority: ClassVar[int] = 10

    def recognises(self, name: str, head: bytes) -> bool:
        return b"%PDF-" in head[:1024]

    def papers(self, name: str, content: bytes) -> Iterator[Document]:
        import pypdfium2
        from pypdfium2.raw import FPDF_ERR_PASSWORD

        try:
            pdf = pypdfium2.PdfDocument(content)
        except pypdfium2.PdfiumError as error:
            if getattr(error, "err_code", None) == FPDF_ERR_PASSWORD or "password" in str(error):
                raise LoadError("it is locked by a password; save it without one") from None
            raise LoadError("it is not a PDF that can be read: it is damaged or cut short") from None
        try:
            pages = [page_of(number, pdf) for number in range(len(pdf))]
            properties = {
                name.lower(): " ".join(value.split())
                for name, value in pdf.get_metadata_dict(skip_empty=True).items()
            }
        finally:
            pdf.close()
        hidden = sum((page.hidden for page in pages), Counter[str]())
        if not any(page.lines for page in pages):
            if hidden:
                raise LoadError(f"all of its text is hidden ({_counted(hidden.total(), 'character')})")
            raise LoadError(
                f"it has no text: {_counted(len(pages), 'page')} of images; run text recognition (OCR) on it first"
            )
        yield _paper(name, pages, properties)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("s" if number != 1 else "")


# --- the paper


def _paper(name: str, pages: list[Page], properties: dict[str, str]) -> Document:
    images = [page.number for page in pages if not page.lines]
    remove_running_heads(pages)
    known = _known(pages, properties)
    title, lines_of_title = _title(pages, properties)
    for page in pages[:1]:
        page.lines = [line for line in page.lines if not any(line is t for t in lines_of_title)]
    words = {word.casefold() for page in pages for line in page.lines for word in _words_of(line)}
    builder = PaperBuilder()
    for page in pages:
        builder.hidden.update(page.hidden)
    for paragraph in paragraphs(pages):
        if paragraph.level:
            with builder.heading(paragraph.text, paragraph.level):
                _write(builder, paragraph.lines, words)
        elif paragraph.kind == "caption":
            with builder.aside("caption"):
                _write(builder, paragraph.lines, words)
        else:
            if kind_of(paragraph.text[:12].split(".")[0].split("—")[0].split(":")[0]) == "abstract":
                builder.section("", 1, "abstract")
            builder.paragraph()
            _write(builder, paragraph.lines, words)
    return builder.paper(**titled(title, name), **known, pages_without_text=images)


def _words_of(line: Line) -> list[str]:
    """The words of a line, except a last one that a hyphen divides."""
    found: list[str] = re.findall(r"\w+(?:-\w+)*", line.text)
    return found[:-1] if line.hyphen or line.text.endswith("-") else found


def _write(builder: PaperBuilder, lines: Iterable[Line], words: set[str]) -> None:
    """Write lines as running text; words divided by a hyphen at a line's end are joined."""
    waiting = ""  # of the line before: a word that ends in a hyphen
    for line in lines:
        text = waiting + line.text if waiting else line.text
        if waiting:
            builder.unspace()
            text = _unhyphenated(waiting, line.text, words)
        waiting = ""
        parted = line.hyphen or re.search(r"[^\W\d_]-$", line.text)
        builder.add(
            text.removesuffix("-") if parted and not line.hyphen else text, page=line.page, box=line.box
        )
        if parted:
            found = re.search(r"(?<![\w-])[\w-]+$", line.text.removesuffix("-"))
            waiting = found[0] if found else ""
        if not waiting:
            builder.space()


def _unhyphenated(before: str, text: str, words: set[str]) -> str:
    """*text* after *before*, which ended in a hyphen.

    The hyphen stays if the paper spells the word with it elsewhere.
    """
    follows = re.match(r"\w+", text)
    if not follows:
        return text
    whole, parted = (before + follows[0]).casefold(), f"{before}-{follows[0]}".casefold()
    both = len(before) > 3 and len(follows[0]) > 3 and {before.casefold(), follows[0].casefold()} <= words
    keep = not follows[0][:1].islower() or (whole not in words and (parted in words or both))
    return f"-{text}" if keep else text


def _known(pages: Sequence[Page], properties: dict[str, str]) -> dict[str, Any]:
    stamp = next(
        (found for page in pages[:1] for text in page.turned if (found := _STAMP.search(text))), None
    )
    first = "\n".join(line.text for page in pages[:1] for line in page.lines)
    dois = {
        found.rstrip(".,;)").casefold()
        for found in re.findall(r"(?:doi[:\s]+|doi\.org/)(10\.\d{4,9}/[^\s\"<>]+)", first, re.IGNORECASE)
    }
    return {
        "authors": [
            a
            for a in re.split(r" ?; ?|, | and ", properties.get("author", ""))
            if re.search(r"\w\W+\w", a) and "@" not in a
        ],
        "keywords": [k for k in re.split(r" ?[;,] ?", properties.get("keywords", "")) if k],
        "arxiv": stamp[1] if stamp else None,
        "year": int(stamp[2]) if stamp else None,
        "doi": dois.pop() if len(dois) == 1 else None,
    }


_STAMP = re.compile(
    r"arXiv:(\d{4}\.\d{4,5}|(?!submit)[a-z-]+(?:\.[A-Z]{2})?/\d{7})(?:v\d+)?.{0,100}?\b((?:19|20)\d\d)\b"
)
_NO_TITLE = re.compile(
    r"(?:untitled|microsoft word - .*|slide 1|.*\.(?:docx?|tex|pdf|dvi|indd|rtf)|title|paper|manuscript|\W*)",
    re.IGNORECASE,
)


def _title(pages: Sequence[Page], properties: dict[str, str]) -> tuple[str, list[Line]]:
    """The paper's title, and its lines on the first page.

    The title is that in the file's properties, else the lines in the largest type.
    """
    lines = pages[0].lines if pages else []
    top = [
        line for line in lines if line.top < 0.6 * pages[0].height and re.search(r"[^\W\d_]{2}", line.text)
    ]
    largest = max((line.size for line in top if len(line.text) > 3), default=0)
    start = next((n for n, line in enumerate(top) if line.size >= 0.93 * largest and len(line.text) > 3), 0)
    shown: list[Line] = []
    for line in top[start : start + 5]:
        if line.size < 0.9 * largest or (shown and line.top - shown[-1].bottom > 2 * line.size):
            break
        shown.append(line)
    told = " ".join(" ".join(line.text for line in shown).split())
    given = properties.get("title", "")
    page = normalised_title(" ".join(line.text for line in lines))
    if given and not _NO_TITLE.fullmatch(given) and normalised_title(given) in page:
        return given, [line for line in shown if normalised_title(line.text) in normalised_title(given)]
    body = median([line.size for line in lines]) if lines else 0
    if told and largest > 1.15 * body and 8 <= len(told) <= 300:
        return told, shown
    return ("" if not given or _NO_TITLE.fullmatch(given) else given), []
