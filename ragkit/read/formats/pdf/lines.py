"""The lines of a PDF's pages, each with its box on the page and its type."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

from ragkit.errors import LoadError
from ragkit.read.formats.pdf.hidden import hidden_characters


class Cell(NamedTuple):
    """A word of a line, or words side by side which a wider gap parts from others; and the box they fill."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    @property
    def box(self) -> tuple[int, int, int, int]:
        left, top, right, bottom = (max(round(place), 0) for place in self[1:])
        return left, top, right, bottom


class Table(NamedTuple):
    """Rows of columns of cells, and how many of the rows are the header."""

    rows: tuple[tuple[tuple[Cell, ...], ...], ...]
    header: int


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
    edges: tuple[float, float] = (math.inf, math.inf)
    """The width and height of the page."""
    words: tuple[Cell, ...] = ()
    table: Table | None = None
    """What a line holds that stands for a table."""
    parts: list[str] = field(default_factory=list)
    """The text, divided where a gap is wider than between words, as between the names of authors."""

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The box, as far as it lies on the page."""
        width, height = self.edges
        corners = ((self.left, width), (self.top, height), (self.right, width), (self.bottom, height))
        left, top, right, bottom = (round(min(max(place, 0), edge)) for place, edge in corners)
        return left, top, right, bottom


@dataclass
class Page:
    number: int
    width: float
    height: float
    lines: list[Line]
    turned: list[str] = field(default_factory=list)
    """Text that stands on its side, as arXiv's stamp does."""
    hidden: Counter[str] = field(default_factory=Counter)
    """The characters left out since nobody sees them, by reason."""


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
# In sizes of the type: the next character beyond this gap begins another line, as in the next column.
_COLUMN_GAP = 2.5
_WIDE_GAP = 0.75  # in sizes of the type: wider than between words, even of a justified line
_WIDE = "\u2003"
_BLANKS = (" ", _WIDE)  # they have no boxes
_TINY = 1.0  # points; the letters of a font of two points are about that high
_TURNED = 0.2  # radians; text at a larger angle stands on its side


def page_of(number: int, pdf: Any) -> Page:
    import pypdfium2

    try:
        page = pdf[number]
        width, height = page.get_size()
        lines, turned, hidden = _lines(number + 1, page)
        for line in lines:
            line.edges = width, height
    except pypdfium2.PdfiumError:
        raise LoadError(f"page {number + 1} is damaged") from None
    return Page(number + 1, width, height, lines, turned, hidden)


def _lines(number: int, page: Any) -> tuple[list[Line], list[str], Counter[str]]:
    """The lines of a page in the order in which the file writes them, those that stand on their side, and
    how many characters are hidden.
    """
    import ctypes

    import pypdfium2.raw as pdfium

    left_of_page, bottom_of_page, right_of_page, top_of_page = page.get_bbox()
    width, height = right_of_page - left_of_page, top_of_page - bottom_of_page
    text = page.get_textpage()
    handle = text.raw
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    lines: list[Line] = []
    turned: list[str] = []
    characters: list[str] = []
    boxes: list[tuple[float, float, float, float, float]] = []
    first = unreadable = 0
    unseen = hidden_characters(page, text)
    hidden: Counter[str] = Counter()

    def finish(hyphen: bool) -> None:
        written = "".join(_with_raised(characters, boxes)).translate(_LIGATURES)
        divided = "".join(characters).translate(_LIGATURES).split(_WIDE)
        parts = [part for each in divided if (part := " ".join(each.split()))]
        words = " ".join("".join(c for c in written if c.isprintable() or c.isspace()).split())
        if words and boxes and 2 * unreadable < len(boxes):
            if _is_tiny(words, boxes):
                hidden["tiny"] += len(boxes)
            elif abs((pdfium.FPDFText_GetCharAngle(handle, first) + 3.1416) % 6.2832 - 3.1416) > _TURNED:
                turned.append(words)
            else:
                largest = max(b[4] for b in boxes)
                tallest = [b for b in boxes if b[4] >= largest * 0.6]
                lines.append(
                    Line(
                        words, number, min(b[0] for b in boxes), min(b[1] for b in tallest), max(b[2] for b in boxes),
                        max(b[3] for b in tallest), round(median(b[4] for b in boxes), 1), _is_bold(handle, first), hyphen,
                        words=_words(characters, boxes),
                        parts=parts,
                    )
                )  # fmt: skip
        characters.clear()
        boxes.clear()

    get_code, get_box = pdfium.FPDFText_GetUnicode, pdfium.FPDFText_GetCharBox
    get_size, is_unmapped = pdfium.FPDFText_GetFontSize, pdfium.FPDFText_HasUnicodeMapError
    for at in range(text.count_chars()):
        code = get_code(handle, at)
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
        if at in unseen:
            hidden[unseen[at]] += 1
            continue
        get_box(handle, at, left, right, bottom, top)
        x, y = left.value - left_of_page, top_of_page - top.value
        end, low = right.value - left_of_page, top_of_page - bottom.value
        if x > width or end < 0 or y > height or low < 0:
            hidden["off the page"] += 1
            continue
        size = get_size(handle, at)
        size = size if size > 1.5 else max(low - y, 1.0)  # scaled type reports a size of 1
        box = (x, y, end, low, size)
        if boxes and (box[0] - boxes[-1][2] > _COLUMN_GAP * size or box[0] < boxes[-1][0] - 4 * size):
            finish(False)
        if not boxes:
            first, unreadable = at, 0
        if (
            characters
            and characters[-1] == " "
            and boxes
            and box[0] - boxes[-1][2] > _WIDE_GAP * max(size, low - y)
        ):
            characters.append(_WIDE)
        unreadable += is_unmapped(handle, at) == 1
        characters.append(character)
        boxes.append(box)
    finish(False)
    text.close()
    return lines, turned, hidden


_SMALL, _RAISED = 0.85, 0.15  # of the size of the line's type: no larger, and so far above its base line
_NUMBER = re.compile(r"[-+−–]?\d")


def _with_raised(
    characters: list[str], boxes: list[tuple[float, float, float, float, float]]
) -> Iterator[str]:
    """*characters*, where a raised number begins with a mark: `10^5`, and `day.[14]` for that of a note."""
    largest = max((b[4] for b in boxes), default=0.0)
    base = median([b[3] for b in boxes if b[4] > _SMALL * largest] or [0.0])
    rest = iter(boxes)
    raised = [c not in _BLANKS and _is_raised(next(rest), largest, base) for c in characters]
    at = 0
    while at < len(characters):
        end = at
        while end < len(characters) and raised[end]:
            end += 1
        before, run = characters[at - 1] if at else " ", "".join(characters[at:end])
        is_note = before in ".,;:!?”\"'" or (run.isdigit() and _ends_in_word(characters[:at]))
        if _NUMBER.match(run) and is_note:
            yield f"[{run}]"
        elif _NUMBER.match(run) and (before.isalnum() or before in ")]"):
            yield f"^{run}"
        else:
            yield run or characters[at]
        at = max(end, at + 1)


def _ends_in_word(characters: list[str]) -> bool:
    """Is what stands before a raised number a word, which has notes, and no unit or variable (`km`, `x`)?"""
    return len(characters) > 2 and all(map(str.isalpha, characters[-3:]))


def _is_raised(box: tuple[float, float, float, float, float], largest: float, base: float) -> bool:
    return box[4] <= _SMALL * largest and box[3] < base - _RAISED * largest


def _words(characters: list[str], boxes: list[tuple[float, float, float, float, float]]) -> tuple[Cell, ...]:
    """The words of a line: its *characters*, of which all but blanks have boxes."""
    found: list[tuple[list[str], list[tuple[float, float, float, float, float]]]] = []
    rest = iter(boxes)
    begins = True
    for character in characters:
        if character in _BLANKS:
            begins = True
            continue
        box = next(rest)
        if begins:
            found.append(([], []))
        begins = False
        found[-1][0].append(character)
        found[-1][1].append(box)
    return tuple(
        Cell(
            " ".join("".join(c for c in "".join(own).translate(_LIGATURES) if c.isprintable()).split()),
            min(b[0] for b in around), min(b[1] for b in around), max(b[2] for b in around), max(b[3] for b in around),
        )
        for own, around in found
    )  # fmt: skip


def _is_tiny(words: str, boxes: list[tuple[float, float, float, float, float]]) -> bool:
    """Is a line lower than can be read, even magnified?  A line of dashes or dots is low as well."""
    return max(b[3] - b[1] for b in boxes) < _TINY and sum(c.isalnum() for c in words) > len(words) / 2


def _is_bold(handle: Any, at: int) -> bool:
    import ctypes

    import pypdfium2.raw as pdfium

    if pdfium.FPDFText_GetFontWeight(handle, at) >= 600:
        return True
    name = ctypes.create_string_buffer(128)
    pdfium.FPDFText_GetFontInfo(handle, at, name, 128, ctypes.c_int())
    return bool(
        re.search(
            rb"bold|black|heavy|[-+]?(?:CMBX|NimbusRomNo9L-Medi|-Medi\b|SFBX)", name.value, re.IGNORECASE
        )
    )
