"""PDF: the text of a paper in reading order, each line with its page and where on it it stands."""

from __future__ import annotations

import re
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, ClassVar

from langchain_core.documents import Document

from ragkit.config.components import component
from ragkit.document import normalised_title
from ragkit.errors import LoadError
from ragkit.read.formats import FileFormat, title_from_name
from ragkit.read.formats.builder import Kind, PaperBuilder, kind_of


@component("pdf")
@dataclass(frozen=True)
class Pdf(FileFormat):
    """One paper a file, by PDFium: columns one after the other, hyphens at line ends and running heads taken out.

    A file that is locked by a password, or whose pages are only images, is not read.
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
            pages = [_page(number, pdf) for number in range(len(pdf))]
            said = {
                name.lower(): " ".join(value.split())
                for name, value in pdf.get_metadata_dict(skip_empty=True).items()
            }
        finally:
            pdf.close()
        if not any(page.lines for page in pages):
            raise LoadError(
                f"it has no text: {_counted(len(pages), 'page')} of images; run text recognition (OCR) on it first"
            )
        yield _paper(name, pages, said)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("s" if number != 1 else "")


# --- lines


@dataclass
class Line:
    """Characters side by side, and the box (in points from the page's top left corner) that they fill."""

    text: str
    page: int
    left: float
    top: float
    right: float
    bottom: float
    size: float
    bold: bool = False
    hyphen: bool = False

    @property
    def box(self) -> tuple[int, int, int, int]:
        return round(self.left), round(self.top), round(self.right), round(self.bottom)


@dataclass
class Page:
    number: int
    width: float
    height: float
    lines: list[Line]
    turned: list[str] = field(default_factory=list)
    """Text that stands on its side, as arXiv's stamp does."""


_LIGATURES = str.maketrans(
    {
        "ﬀ": "ff",
        "ﬁ": "fi",
        "ﬂ": "fl",
        "ﬃ": "ffi",
        "ﬄ": "ffl",
        "ﬅ": "st",
        "ﬆ": "st",
        "\u00a0": " ",
        "\u00ad": "",
    }
)
_HYPHENS = ("\u0002", "\ufffe", "\u00ad")
_COLUMN_GAP = 2.5  # times the size of the type: what stands farther off is no more of the line
_TURNED = 0.2  # radians


def _page(number: int, pdf: Any) -> Page:
    import pypdfium2

    try:
        page = pdf[number]
        width, height = page.get_size()
        lines, turned = _lines(number + 1, page)
    except pypdfium2.PdfiumError:
        raise LoadError(f"page {number + 1} is damaged") from None
    return Page(number + 1, width, height, lines, turned)


def _lines(number: int, page: Any) -> tuple[list[Line], list[str]]:
    """The lines of a page in the order in which the file writes them, and those that stand on their side."""
    import ctypes

    import pypdfium2.raw as pdfium

    left_of_page, _, _, top_of_page = page.get_bbox()
    text = page.get_textpage()
    handle = text.raw
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    lines: list[Line] = []
    turned: list[str] = []
    characters: list[str] = []
    boxes: list[tuple[float, float, float, float, float]] = []
    first = unreadable = 0

    def finish(hyphen: bool) -> None:
        words = "".join(characters).translate(_LIGATURES)
        words = " ".join("".join(c for c in words if c.isprintable() or c.isspace()).split())
        if words and boxes and 2 * unreadable < len(boxes):
            if abs((pdfium.FPDFText_GetCharAngle(handle, first) + 3.1416) % 6.2832 - 3.1416) > _TURNED:
                turned.append(words)
            else:
                tallest = [b for b in boxes if b[4] >= max(b[4] for b in boxes) * 0.6]
                lines.append(
                    Line(
                        words, number, min(b[0] for b in boxes), min(b[1] for b in tallest), max(b[2] for b in boxes),
                        max(b[3] for b in tallest), round(median(b[4] for b in boxes), 1), _is_bold(handle, first), hyphen,
                    )
                )  # fmt: skip
        characters.clear()
        boxes.clear()

    for at in range(text.count_chars()):
        code = pdfium.FPDFText_GetUnicode(handle, at)
        character = chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
        if character in "\r\n":
            finish(False)
            continue
        if character in _HYPHENS:
            finish(True)
            continue
        if character.isspace():
            characters.append(" ")
            continue
        pdfium.FPDFText_GetCharBox(handle, at, left, right, bottom, top)
        size = pdfium.FPDFText_GetFontSize(handle, at)
        size = (
            size if size > 1.5 else max(top.value - bottom.value, 1.0)
        )  # type that is scaled says a size of 1
        box = (
            left.value - left_of_page,
            top_of_page - top.value,
            right.value - left_of_page,
            top_of_page - bottom.value,
            size,
        )
        if boxes and (box[0] - boxes[-1][2] > _COLUMN_GAP * size or box[0] < boxes[-1][0] - 4 * size):
            finish(False)
        if not boxes:
            first, unreadable = at, 0
        unreadable += pdfium.FPDFText_HasUnicodeMapError(handle, at) == 1
        characters.append(character)
        boxes.append(box)
    finish(False)
    text.close()
    return lines, turned


def _is_bold(handle: Any, at: int) -> bool:
    import ctypes

    import pypdfium2.raw as pdfium

    if pdfium.FPDFText_GetFontWeight(handle, at) >= 600:
        return True
    name = ctypes.create_string_buffer(128)
    pdfium.FPDFText_GetFontInfo(handle, at, name, 128, ctypes.c_int())
    return bool(
        re.search(
            rb"bold|black|heavy|[-+]?(?:CMBX|NimbusRomNo9L-Medi|\w*-Medi\b|SFBX)", name.value, re.IGNORECASE
        )
    )


# --- what is no part of the text


def _without_running_heads(pages: Sequence[Page]) -> None:
    """Take out page numbers, and what stands at the same height at the edge of several pages."""
    seen: Counter[tuple[str, int]] = Counter()
    edges = {}
    for page in pages:
        by_height = sorted(page.lines, key=lambda line: line.top)
        edge = [
            line
            for line in (*by_height[:3], *by_height[-3:])
            if line.bottom < 0.12 * page.height or line.top > 0.88 * page.height
        ]
        edges[page.number] = {id(line): (_head(line), round(line.top / 6)) for line in edge}
        seen.update({(text, row + near) for text, row in edges[page.number].values() for near in (-1, 0, 1)})
    often = 2 if len(pages) < 4 else 3
    for page in pages:
        page.lines = [
            line
            for line in page.lines
            if id(line) not in edges[page.number]
            or (
                seen[edges[page.number][id(line)]] < often
                and not re.fullmatch(
                    r"[-–—\s]*(?:page\s*)?[\divxlc]{1,5}(?:\s*(?:/|of)\s*\d+)?[-–—\s]*", line.text, re.I
                )
            )
        ]


def _head(line: Line) -> str:
    return re.sub(r"\d+", "#", line.text.casefold())


# --- reading order


@dataclass
class Block:
    """Lines under one another."""

    lines: list[Line]

    @property
    def left(self) -> float:
        return min(line.left for line in self.lines)

    @property
    def right(self) -> float:
        return max(line.right for line in self.lines)

    @property
    def top(self) -> float:
        return min(line.top for line in self.lines)


def _blocks(page: Page) -> list[Block]:
    """The page's lines in the order in which they are read."""
    blocks: list[Block] = []
    for line in page.lines:
        last = blocks[-1].lines[-1] if blocks else None
        follows = last is not None and _follows(last, line)
        if follows:
            blocks[-1].lines.append(line)
        else:
            blocks.append(Block([line]))
    columns = _columns(page)
    return _ordered(blocks, columns) if columns else blocks


def _follows(last: Line, line: Line) -> bool:
    """Does *line* stand right below *last*, or on in the same line?"""
    height = max(last.bottom - last.top, line.bottom - line.top, 1.0)
    below = -0.7 * height < line.top - last.bottom < 1.5 * height and line.top > last.top
    overlap = min(last.right, line.right) - max(last.left, line.left)
    beside = abs(line.top - last.top) < 0.5 * height and 0 <= line.left - last.right < 3 * height
    return (below and overlap > 0) or beside


def _columns(page: Page) -> list[float]:
    """The middles of the gutters between the page's columns; none if there is one column."""
    lines = [line for line in page.lines if line.right - line.left > 0.12 * page.width]
    if len(lines) < 10:
        return []
    gutters: list[float] = []
    for step in range(20, 81):
        x = page.width * step / 100
        crossing = sum(1 for line in lines if line.left < x - 2 and line.right > x + 2)
        before = sum(1 for line in lines if line.right <= x + 2)
        behind = len(lines) - crossing - before
        if crossing < 0.35 * len(lines) and min(before, behind) > 0.15 * len(lines):
            gutters.append(x)
    if not gutters:
        return []
    groups = [[gutters[0]]]
    for x in gutters[1:]:
        if x - groups[-1][-1] < page.width * 0.015:
            groups[-1].append(x)
        else:
            groups.append([x])

    def crossed(x: float) -> int:
        return sum(1 for line in lines if line.left < x - 2 and line.right > x + 2)

    best = [min(group, key=lambda x: (crossed(x), abs(x - page.width / 2))) for group in groups]
    least = min(map(crossed, best))
    return [x for x in best if crossed(x) <= least + 0.1 * len(lines)]


def _ordered(blocks: list[Block], gutters: Sequence[float]) -> list[Block]:
    """Blocks that reach over a gutter part the page into bands; in each, the columns are read from left to right."""
    wide = sorted(
        (b for b in blocks if bisect(gutters, b.left + 2) != bisect(gutters, b.right - 2)),
        key=lambda b: b.top,
    )
    tops = [b.top for b in wide]

    def place(block: Block) -> tuple[int, int, float]:
        if any(block is w for w in wide):
            return 2 * bisect(tops, block.top) - 1, 0, block.top
        return 2 * bisect(tops, block.top), bisect(gutters, (block.left + block.right) / 2), block.top

    return sorted(blocks, key=place)


# --- paragraphs


@dataclass
class Paragraph:
    lines: list[Line]
    kind: Kind = "body"
    level: int = 0

    @property
    def text(self) -> str:
        return " ".join(line.text for line in self.lines)

    @property
    def is_finished(self) -> bool:
        return (
            bool(re.search(r"[.!?:;。！？]['\"”’)\]\d]*$", self.lines[-1].text)) and not self.lines[-1].hyphen
        )

    @property
    def goes_on(self) -> bool:
        """Does it begin in the middle of a sentence?"""
        return self.lines[0].text[:1].islower()


_CAPTION = re.compile(
    r"(?:Fig(?:ure|\.)?|Table|Tab\.|Algorithm|Listing|Scheme|Abb(?:ildung|\.)|Tabelle)\s*[\dIVX]+(?:\.\d+)*\s*[.:|—-]",
    re.IGNORECASE,
)
_NUMBERED = re.compile(
    r"(?:(\d{1,2}(?:\.\d{1,2}){0,4})\.?|([A-Z](?:\.\d{1,2}){0,3})\.?|([IVX]{1,5})\.)\s+(?=[A-Z\W])(?!\d)"
)
_NAMED = re.compile(
    r"(?:abstract|(?:\d+\.?\s+)?introduction|(?:\d+\.?\s+)?conclusions?|references|bibliography|acknowledge?ments?|appendix|related work|"
    r"background|methods?|results|discussion|limitations|summary)\s*[:.]?",
    re.IGNORECASE,
)
_WORDS = re.compile(r"[\w'’&/()?!,:–—\s-]+")


def _paragraphs(pages: Sequence[Page]) -> list[Paragraph]:
    sizes: Counter[float] = Counter()
    for page in pages:
        for line in page.lines:
            sizes[round(line.size)] += len(line.text)
    body = sizes.most_common(1)[0][0] if sizes else 10
    found: list[Paragraph] = []
    for page in pages:
        for block in _blocks(page):
            found += _split(block, body)
    abstract = next(
        (
            n
            for n, p in enumerate(found)
            if p.level and kind_of(p.text) == "abstract" and p.lines[0].page <= 2
        ),
        0,
    )
    for each in found[:abstract]:
        each.level = 0  # names and addresses
    return _joined(found)


def _split(block: Block, body: float) -> list[Paragraph]:
    """The paragraphs of a block: a wider gap, an indented line, other type or a caption begins one."""
    found: list[Paragraph] = []
    gaps = [b.top - a.top for a, b in zip(block.lines, block.lines[1:], strict=False) if b.top - a.top > 2]
    leading = median(gaps) if gaps else 12
    for line in block.lines:
        level = _heading_level(line, body)
        last = found[-1] if found else None
        before = last.lines[-1] if last else None
        if (
            last is None
            or before is None
            or _begins(line, before, block, leading)
            or bool(level) != bool(last.level)
        ):
            found.append(Paragraph([line], "caption" if _CAPTION.match(line.text) else "body", level))
        else:
            last.lines.append(line)
    return found


def _begins(line: Line, before: Line, block: Block, leading: float) -> bool:
    beside = abs(line.top - before.top) < 0.5 * max(line.size, before.size)
    if beside:
        return False
    if (
        line.top - before.top > 1.4 * leading
        or abs(line.size - before.size) > 0.15 * before.size
        or _CAPTION.match(line.text)
    ):
        return True
    short = before.right < block.right - 3 * line.size
    ended = bool(re.search(r"[.!?:]['\"”’)\]]*$", before.text))
    indented = line.left > block.left + 0.7 * line.size and before.left < line.left - 0.5 * line.size
    outdented = before.left > line.left + 0.7 * line.size and _LISTED.match(line.text) is not None
    return (
        (indented and ended)
        or (short and ended and _NEW.match(line.text) is not None)
        or outdented
        or (_BULLET.match(line.text) is not None)
    )


_LISTED = re.compile(r"\[\d+\]|\d{1,3}\.\s|[A-Z][\w'’-]+,?\s")
_NEW = re.compile(r"[A-Z0-9\[(“\"•]")
_BULLET = re.compile(r"[•‣◦▪●–]\s|\[\d+\]\s")


def _heading_level(line: Line, body: float) -> int:
    """The level of a heading (from 1); 0 for what is none."""
    text = line.text
    if len(text) > 120 or not re.search(r"[^\W\d_]{3}", text) or _CAPTION.match(text):
        return 0
    if _NAMED.fullmatch(text):
        return 1 if text[0].isupper() or text[0].isdigit() else 0
    if _NUMBERED.match(text) and text.isupper():
        return _depth(text)
    if not (line.bold or line.size > 1.08 * body) or text.endswith((".", ",", ";")) or line.size < 0.9 * body:
        return 0
    if _NUMBERED.match(text):
        return _depth(text)
    if line.size <= 1.08 * body or not text[0].isupper() or not _WORDS.fullmatch(text):
        return 0
    return 2 if line.size < 1.15 * body else 1


def _depth(text: str) -> int:
    """Of a numbered heading: 2.1 has level 2."""
    numbered = _NUMBERED.match(text)
    return next(number for number in numbered.groups() if number).count(".") + 1 if numbered else 0


def _joined(paragraphs: list[Paragraph]) -> list[Paragraph]:
    """Put together what a column's or page's end, or a figure, has parted; and headings of two lines."""
    found: list[Paragraph] = []
    for each in paragraphs:
        open_one = next((p for p in found[:-8:-1] if p.kind == "body" and not p.level), None)
        if each.kind == "body" and not each.level and each.goes_on and open_one and not open_one.is_finished:
            if abs(open_one.lines[-1].size - each.lines[0].size) < 0.1 * each.lines[0].size:
                open_one.lines += each.lines
                continue
        last = found[-1] if found else None
        if (
            last
            and last.level
            and each.level
            and each.lines[0].page == last.lines[-1].page
            and not _NUMBERED.match(each.text)
        ):
            near = 0 < each.lines[0].top - last.lines[-1].top < 2 * each.lines[0].size
            if (
                near
                and each.lines[0].size == last.lines[-1].size
                and not _NAMED.fullmatch(last.text)
                and not _NAMED.fullmatch(each.text)
            ):
                last.lines += each.lines
                continue
        found.append(each)
    return found


# --- the paper


def _paper(name: str, pages: list[Page], said: dict[str, str]) -> Document:
    images = [page.number for page in pages if not page.lines]
    _without_running_heads(pages)
    known = _known(pages, said)
    title, lines_of_title = _title(pages, said)
    for page in pages[:1]:
        page.lines = [line for line in page.lines if not any(line is t for t in lines_of_title)]
    words = {word.casefold() for page in pages for line in page.lines for word in _words_of(line)}
    builder = PaperBuilder()
    for paragraph in _paragraphs(pages):
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
    guessed = {} if title else {"title_guessed": True}
    return builder.paper(title or title_from_name(name), **known, pages_without_text=images, **guessed)


def _words_of(line: Line) -> list[str]:
    """The words of a line, but the one that a hyphen at its end parts."""
    found: list[str] = re.findall(r"\w+(?:-\w+)*", line.text)
    return found[:-1] if line.hyphen or line.text.endswith("-") else found


def _write(builder: PaperBuilder, lines: Iterable[Line], words: set[str]) -> None:
    """Lines as running text; a word that a hyphen parted at a line's end is whole again."""
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
            found = re.search(r"[\w-]+$", line.text.removesuffix("-"))
            waiting = found[0] if found else ""
        if not waiting:
            builder.space()


def _unhyphenated(before: str, text: str, words: set[str]) -> str:
    """What follows a word that a hyphen ends: with the hyphen, if the word is written with one elsewhere or must be."""
    follows = re.match(r"\w+", text)
    if not follows:
        return text
    whole, parted = (before + follows[0]).casefold(), f"{before}-{follows[0]}".casefold()
    both = len(before) > 3 and len(follows[0]) > 3 and {before.casefold(), follows[0].casefold()} <= words
    keep = not follows[0][:1].islower() or (whole not in words and (parted in words or both))
    return f"-{text}" if keep else text


def _known(pages: Sequence[Page], said: dict[str, str]) -> dict[str, Any]:
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
            for a in re.split(r"\s*;\s*|,\s+|\s+and\s+", said.get("author", ""))
            if re.search(r"\w\W+\w", a) and "@" not in a
        ],
        "keywords": [k for k in re.split(r"\s*[;,]\s*", said.get("keywords", "")) if k],
        "arxiv": stamp[1] if stamp else None,
        "year": int(stamp[2]) if stamp else None,
        "doi": dois.pop() if len(dois) == 1 else None,
    }


_STAMP = re.compile(
    r"arXiv:(\d{4}\.\d{4,5}|(?!submit)[a-z-]+(?:\.[A-Z]{2})?/\d{7})(?:v\d+)?.*?\b((?:19|20)\d\d)\b"
)
_NO_TITLE = re.compile(
    r"(?:untitled|microsoft word - .*|slide 1|.*\.(?:docx?|tex|pdf|dvi|indd|rtf)|title|paper|manuscript|\W*)",
    re.IGNORECASE,
)


def _title(pages: Sequence[Page], said: dict[str, str]) -> tuple[str, list[Line]]:
    """The paper's title and its lines on the first page: what is said in the file's properties, else the largest type."""
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
    given = said.get("title", "")
    page = normalised_title(" ".join(line.text for line in lines))
    if given and not _NO_TITLE.fullmatch(given) and normalised_title(given) in page:
        return given, [line for line in shown if normalised_title(line.text) in normalised_title(given)]
    body = median([line.size for line in lines]) if lines else 0
    if told and largest > 1.15 * body and 8 <= len(told) <= 300:
        return told, shown
    return ("" if not given or _NO_TITLE.fullmatch(given) else given), []
