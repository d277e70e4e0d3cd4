"""The lines of a PDF's pages, each with its box on the page and its type."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

from ragkit.errors import LoadError
from ragkit.read.formats.pdf.characters import BREAK, HYPHEN, Box, Character, characters_of, turned
from ragkit.read.formats.pdf.objects import rules_of


class Cell(NamedTuple):
    """A word of a line, or words side by side which a wider gap parts from others; and the box they fill."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


class Frame(NamedTuple):
    """The width and height of a page that is turned so that its text stands upright.

    `back` is the quarter turns (clockwise) from there to the page as it is shown.
    """

    width: float = math.inf
    height: float = math.inf
    back: int = 0

    def turned(self, quarters: int) -> Frame:
        width, height = (self.height, self.width) if quarters % 2 else (self.width, self.height)
        return Frame(width, height, (self.back - quarters) % 4)

    def shown(self, box: Box) -> tuple[int, int, int, int]:
        """A box as it lies on the page that is shown, as far as it does."""
        edges = (self.width, self.height, self.width, self.height)
        clipped = [min(max(place, 0.0), edge) for place, edge in zip(box, edges, strict=True)]
        left, top, right, bottom = turned((*clipped,), self.width, self.height, self.back)  # type: ignore[arg-type]
        return round(left), round(top), round(right), round(bottom)


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
    frame: Frame = Frame()
    words: tuple[Cell, ...] = ()
    table: Table | None = None
    """What a line holds that stands for a table."""
    parts: list[str] = field(default_factory=list)
    """The text, divided where a gap is wider than between words, as between the names of authors."""

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The box on the page as it is shown."""
        return self.frame.shown((self.left, self.top, self.right, self.bottom))


Row = list[Line]


def rows_of(lines: Iterable[Line]) -> list[Row]:
    """Lines at the same height, from the top of the page."""
    rows: list[Row] = []
    for line in sorted(lines, key=middle):
        if rows and middle(line) - middle(rows[-1][0]) < 0.5 * line.size:
            rows[-1].append(line)
        else:
            rows.append([line])
    return rows


def middle(line: Line) -> float:
    return (line.top + line.bottom) / 2


@dataclass
class Page:
    number: int
    width: float
    height: float
    lines: list[Line]
    turned: list[str] = field(default_factory=list)
    """Text that stands another way than most, as arXiv's stamp does."""
    hidden: Counter[str] = field(default_factory=Counter)
    """The characters left out since nobody sees them, by reason."""
    rules: list[Box] = field(default_factory=list)
    """The boxes of the straight lines drawn on the page."""


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
# In sizes of the type: the next character beyond this gap begins another line, as in the next column.
_COLUMN_GAP = 2.5
_WIDE_GAP = 0.75  # in sizes of the type: wider than between words, even of a justified line
_WIDE = "\u2003"
_RULE, _SHADED = 2.5, 40.0  # points: a rule is no thicker, and a shaded row of a table no higher
_TINY = 1.0  # points; the letters of a font of two points are about that high


def page_of(number: int, pdf: Any) -> Page:
    import pypdfium2

    try:
        page = pdf[number]
        width, height = page.get_size()
        text = page.get_textpage()
        characters, hidden = characters_of(page, text)
        shown = page.get_rotation() // 90
        count = Counter(each.turn for each in characters if each.size and not each.is_askew)
        turn = max(count, key=lambda turn: (count[turn], turn == shown), default=shown)
        frame = Frame(width, height, 0).turned(turn - shown)
        found = Page(number + 1, frame.width, frame.height, [], hidden=hidden)
        for run, hyphen in _runs(characters):
            _set_line(found, run, hyphen, turn, text.raw)
        for line in found.lines:
            line.frame = frame
        x, low, end, y = page.get_bbox()
        for left, bottom, right, top in rules_of(page, _RULE, _SHADED):
            found.rules.append(turned((left - x, y - top, right - x, y - bottom), end - x, y - low, turn))
        if frame.back:  # the text engine orders lines as they lie on the page that is shown
            rows = rows_of(found.lines)
            found.lines = [line for row in rows for line in sorted(row, key=lambda line: line.left)]
        text.close()
    except pypdfium2.PdfiumError:
        raise LoadError(f"page {number + 1} is damaged") from None
    return found


def _runs(characters: Iterable[Character]) -> Iterator[tuple[list[Character], bool]]:
    """The characters of each line, without blanks at its start, and whether a hyphen parts its last word."""
    run: list[Character] = []
    last: Character | None = None  # that is no blank
    for each in characters:
        if each.text in (BREAK, HYPHEN):
            yield run, each.text == HYPHEN
            run, last = [], None
            continue
        if each.text != " ":
            gap = each.left - last.right if last else 0.0
            if last and (
                gap > _COLUMN_GAP * each.size
                or each.left < last.left - 4 * each.size
                or each.turn != last.turn
            ):
                yield run, False
                run = []
            elif last and run[-1].text == " " and gap > _WIDE_GAP * max(each.size, each.bottom - each.top):
                run.append(Character(_WIDE))
            last = each
        if run or each.text != " ":
            run.append(each)
    yield run, False


def _set_line(page: Page, run: list[Character], hyphen: bool, turn: int, handle: Any) -> None:
    """Add the line that *run* is to what *page* has, be it turned text or hidden."""
    drawn = [each for each in run if each.size]
    written = _with_raised(run).translate(_LIGATURES)
    words = " ".join("".join(c for c in written if c.isprintable() or c.isspace()).split())
    if not words or 2 * sum(each.is_unreadable for each in drawn) >= len(drawn):
        return
    if _is_tiny(words, drawn):
        page.hidden["tiny"] += len(drawn)
        return
    if drawn[0].turn != turn or drawn[0].is_askew:
        page.turned.append(words)
        return
    divided = "".join(each.text for each in run).translate(_LIGATURES).split(_WIDE)
    largest = max(each.size for each in drawn)
    tallest = [each for each in drawn if each.size >= largest * 0.6]
    page.lines.append(
        Line(
            words,
            page.number,
            min(each.left for each in drawn),
            min(each.top for each in tallest),
            max(each.right for each in drawn),
            max(each.bottom for each in tallest),
            round(median(each.size for each in drawn), 1),
            _is_bold(handle, drawn[0].at),
            hyphen,
            words=_words(run, written, hyphen),
            parts=[part for each in divided if (part := " ".join(each.split()))],
        )
    )


_SMALL, _RAISED = 0.85, 0.15  # of the size of the line's type: no larger, and so far above its base line
_NUMBER = re.compile(r"[-+−–]?\d")


def _with_raised(run: Sequence[Character]) -> str:
    """The text of *run*, where a raised number begins with a mark: `10^5`, and `day.[14]` for that of a note."""
    largest = max((each.size for each in run), default=0.0)
    small = _SMALL * largest
    if not any(0 < each.size <= small for each in run):
        return "".join(each.text for each in run)
    base = median([each.bottom for each in run if each.size > small] or [0.0])
    raised = [0 < each.size <= small and each.bottom < base - _RAISED * largest for each in run]
    found: list[str] = []
    at = 0
    while at < len(run):
        end = at
        while end < len(run) and raised[end]:
            end += 1
        before, text = run[at - 1].text if at else " ", "".join(each.text for each in run[at:end])
        is_note = before in tuple(".,;:!?”\"'") or (text.isdigit() and _ends_in_word(run[:at]))
        if _NUMBER.match(text) and is_note:
            found.append(f"[{text}]")
        elif _NUMBER.match(text) and (before.isalnum() or before in tuple(")]")):
            found.append(f"^{text}")
        else:
            found.append(text or run[at].text)
        at = max(end, at + 1)
    return "".join(found)


def _ends_in_word(run: Sequence[Character]) -> bool:
    """Is what stands before a raised number a word, which has notes, and no unit or variable (`km`, `x`)?"""
    return len(run) > 2 and all(each.text.isalpha() for each in run[-3:])


def _words(run: Sequence[Character], written: str, hyphen: bool) -> tuple[Cell, ...]:
    """The words of a line that is *written* so, with a soft hyphen if one parts the last."""
    found: list[list[Character]] = [[]]
    for each in run:
        if each.size:
            found[-1].append(each)
        elif found[-1]:
            found.append([])
    found = [own for own in found if own]
    texts = written.split()
    if len(texts) != len(found):  # a sign that is drawn may be read as a blank
        texts = ["".join(each.text for each in own).translate(_LIGATURES) for own in found]
    texts = [" ".join("".join(c for c in text if c.isprintable()).split()) for text in texts]
    if hyphen and texts:
        texts[-1] += HYPHEN
    return tuple(
        Cell(
            text,
            min(e.left for e in own), min(e.top for e in own), max(e.right for e in own), max(e.bottom for e in own),
        )
        for text, own in zip(texts, found, strict=True)
    )  # fmt: skip


def _is_tiny(words: str, drawn: Iterable[Character]) -> bool:
    """Is a line lower than can be read, even magnified?  A line of dashes or dots is low as well."""
    return (
        max(each.bottom - each.top for each in drawn) < _TINY
        and sum(c.isalnum() for c in words) > len(words) / 2
    )


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
