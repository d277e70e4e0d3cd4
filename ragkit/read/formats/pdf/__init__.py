"""PDF: the text of a paper in reading order, each line with its page and its box on the page."""

from __future__ import annotations

import html
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, ClassVar

from langchain_core.documents import Document

from ragkit.config.components import component
from ragkit.errors import LoadError
from ragkit.read.formats import FileFormat, titled
from ragkit.read.formats.builder import PaperBuilder, kind_of
from ragkit.read.formats.pdf.characters import HYPHEN
from ragkit.read.formats.pdf.front import front_of, is_stamp
from ragkit.read.formats.pdf.hyphens import Hyphens
from ragkit.read.formats.pdf.layout import body_size, paragraphs, remove_line_numbers, remove_running_heads
from ragkit.read.formats.pdf.lines import Line, Page, Table, page_of
from ragkit.read.formats.pdf.notes import notes_of
from ragkit.read.formats.pdf.tables import set_tables


@component("pdf")
@dataclass(frozen=True)
class Pdf(FileFormat):
    """One paper per file, by PDFium: column by column, without running heads and hyphens at line ends.

    A file that consists of images fails, and so does one that is locked by a password that the loader lacks.
    """

    priority: ClassVar[int] = 10
    endings: ClassVar[tuple[str, ...]] = (".pdf",)

    def recognises(self, name: str, head: bytes) -> bool:
        return b"%PDF-" in head[:1024]

    def unlocked(self, content: bytes, passwords: Sequence[str]) -> bytes:
        from pypdfium2.raw import FPDF_REMOVE_SECURITY

        for password in (None, *passwords) if passwords else ():
            if pdf := _opened(content, password):
                with closing(pdf), io.BytesIO() as plain:
                    if password is None:
                        return content
                    pdf.save(plain, flags=FPDF_REMOVE_SECURITY)
                    return plain.getvalue()
        return content

    def papers(self, name: str, content: bytes) -> Iterator[Document]:
        yield paper_of(name, content)


def paper_of(name: str, content: bytes, recognised: bytes | None = None) -> Document:
    """The paper in a PDF, whose pages are those of *recognised* if their text was recognised by a program.

    Raises `LoadError`.
    """
    with closing(_unlocked(recognised or content)) as pdf:
        pages = [page_of(number, pdf) for number in range(len(pdf))]
    with closing(_unlocked(content)) as pdf:
        properties = {
            name.lower(): " ".join(value.split())
            for name, value in pdf.get_metadata_dict(skip_empty=True).items()
        }
    hidden = sum((page.hidden for page in pages), Counter[str]())
    if not any(page.lines for page in pages):
        if hidden:
            raise LoadError(f"all of its text is hidden ({_counted(hidden.total(), 'character')})")
        raise LoadError(
            f"it has no text: {_counted(len(pages), 'page')} of images; run text recognition (OCR) on it first"
        )
    return _paper(name, pages, properties, _xmp(content))


def scanned_pages(content: bytes) -> list[int]:
    """The pages of a PDF (from 1) that show something and have no text; none if it is locked.

    Raises `LoadError` for what is no PDF.
    """
    from pypdfium2.raw import FPDFPage_CountObjects

    pdf = _opened(content)
    if pdf is None:
        return []
    with closing(pdf):
        return [
            number
            for number, page in enumerate(pdf, 1)
            if FPDFPage_CountObjects(page.raw) and not page.get_textpage().get_text_bounded().strip()
        ]


_LISTED = 10  # pages in a message


def _opened(content: bytes, password: str | None = None) -> Any:
    """A PDF; None if it is locked by another password.  Raises `LoadError` for what is none."""
    import pypdfium2
    from pypdfium2.raw import FPDF_ERR_PASSWORD

    try:
        return pypdfium2.PdfDocument(content, password=password)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == FPDF_ERR_PASSWORD or "password" in str(error):
            return None
        raise LoadError("it is not a readable PDF: it is damaged or truncated") from None


def _unlocked(content: bytes) -> Any:
    """A PDF.  Raises `LoadError` for one that is locked or damaged."""
    pdf = _opened(content)
    if pdf is None:
        raise LoadError(
            "it is locked by a password; give it to the loader (`password`), or save it without one"
        )
    return pdf


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("s" if number != 1 else "")


# --- the paper


def _paper(name: str, pages: list[Page], properties: dict[str, str], xmp: dict[str, list[str]]) -> Document:
    front = front_of(name, pages, properties, xmp)
    images = [page.number for page in pages if not page.lines]
    remove_line_numbers(pages)
    remove_running_heads(pages)
    of_title = set(map(id, front.lines))
    for page in pages[:2]:
        page.lines = [line for line in page.lines if id(line) not in of_title]
    hyphens = Hyphens([line for page in pages for line in page.lines])
    builder = PaperBuilder()
    for page in pages:
        set_tables(page)
        builder.hidden.update(page.hidden)
    body = body_size(pages)
    for paragraph in paragraphs(pages, {page.number: notes_of(page, body) for page in pages}):
        if paragraph.level:
            with builder.heading(paragraph.text, paragraph.level):
                _write(builder, paragraph.lines, hyphens)
        elif table := paragraph.lines[0].table:
            _write_table(builder, table, paragraph.lines[0], hyphens)
        elif paragraph.kind == "caption":
            with builder.aside("caption"):
                _write(builder, paragraph.lines, hyphens)
        elif paragraph.is_note:
            with builder.footnote():
                _write(builder, paragraph.lines, hyphens)
        else:
            if kind_of(paragraph.text[:12].split(".")[0].split("—")[0].split(":")[0]) == "abstract":
                builder.section("", 1, "abstract")
            builder.paragraph()
            _write(builder, paragraph.lines, hyphens)
    return builder.paper(
        **titled(front.title, name),
        **front.known,
        guessed=front.guessed,
        pages_without_text=images,
        lost=list(_lost(pages, images)),
    )


def _lost(pages: Iterable[Page], images: Sequence[int]) -> Iterator[str]:
    """What a reader of the pages sees, and the paper does not have."""
    if images:
        few = ", ".join(map(str, images[:_LISTED])) + (", ..." if len(images) > _LISTED else "")
        yield f"no text on {_counted(len(images), 'page')} ({few}); run text recognition (OCR) on the file first"
    for page in pages:
        if left := [text for text in page.turned if re.search(r"\w{3}", text) and not is_stamp(text)]:
            yield (
                f"page {page.number}: {_counted(len(left), 'line')} of text that stands another way than the rest"
                f" ({left[0][:40]!r})"
            )


def _write_table(builder: PaperBuilder, table: Table, line: Line, hyphens: Hyphens) -> None:
    with builder.aside("table"):
        for number, row in enumerate(table.rows):
            if number == table.header:
                builder.header()
            with builder.row():
                for column, cells in enumerate(row):
                    if column:
                        builder.add(" | ")
                    waiting = ""
                    for cell in cells:
                        text, waiting = _parted(hyphens.joined(waiting, cell.text) if waiting else cell.text)
                        builder.add(text, page=line.page, box=line.frame.shown(cell[1:]))
                        if not waiting:
                            builder.space()
                    if waiting:
                        builder.add("-")


def _parted(text: str, ends_in_hyphen: bool = False) -> tuple[str, str]:
    """A line's text without the hyphen at its end, and the word that continues after it, if one does."""
    if not (ends_in_hyphen or re.search(rf"\w[-{HYPHEN}]$", text)):
        return text, ""
    text = text.removesuffix("-").removesuffix(HYPHEN)
    found = re.search(r"(?<![\w-])[\w-]+$", text)
    return text, found[0] if found else ""


def _write(builder: PaperBuilder, lines: Iterable[Line], hyphens: Hyphens) -> None:
    """Write lines as running text; words divided by a hyphen at a line's end are joined."""
    waiting = ""  # of the line before: a word that ends in a hyphen
    for line in lines:
        text = line.text
        if waiting:
            builder.unspace()
            text = hyphens.joined(waiting, text)
        text, waiting = _parted(text, line.hyphen)
        builder.add(text, page=line.page, box=line.box)
        if not waiting:
            builder.space()
    if waiting:
        builder.add("-")


_XMP = 20_000  # bytes; packets with a picture in them are longer, but begin with what is asked for


def _xmp(content: bytes) -> dict[str, list[str]]:
    """The terms of a file's XMP packet that say who wrote it, what it is and where it appeared."""
    start = content.find(b"<x:xmpmeta")
    packet = content[start : content.find(b"</x:xmpmeta>", start)] if start >= 0 else b""
    text = packet[:_XMP].decode("utf-8", "replace").rpartition("</")[0]
    found: dict[str, list[str]] = {}
    for term in ("creator", "doi", "publicationName"):
        for inner in re.findall(rf"<(?:dc|prism|pdfx):{term}\b[^<>]*+>((?:[^<]++|<(?!/))*+)", text):
            items = re.findall(r"<rdf:li[^<>]*+>([^<]*+)", inner) or [inner]
            found.setdefault(term, []).extend(
                value for each in items if (value := html.unescape(each).strip())
            )
    return found
