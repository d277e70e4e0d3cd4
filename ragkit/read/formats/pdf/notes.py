"""The footnotes of a PDF's page: small type at the foot of a column, behind a mark or below a gap."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from ragkit.read.formats.pdf.layout import CAPTION, MARK, columns
from ragkit.read.formats.pdf.lines import Line, Page

_SMALL = 0.95  # of the size of the text; notes are no larger
_MOST = 0.5  # of the lines of a column may be notes; more in small type are an appendix or references
_GAP = 1.6  # of the distance between lines; a wider one stands above notes without a mark


def notes_of(page: Page, body: float) -> list[Line]:
    """The lines of a page that are footnotes, in reading order; *body* is the size of the text."""
    gutters = columns(page)
    edges = [0.0, *gutters, page.width]
    found: list[Line] = []
    for left, right in pairwise(edges):
        column = [line for line in page.lines if left - 2 <= line.left and line.right <= right + 2]
        found += _at_foot(sorted(column, key=lambda line: (line.bottom, line.left)), page, body)
    return found


def _at_foot(column: Sequence[Line], page: Page, body: float) -> list[Line]:
    """The lines at the end of *column*, from its top, that are notes."""
    first = len(column)
    while first and _is_small(column[first - 1], body):
        first -= 1
    small = list(column[first:])
    lower = [line for line in page.lines if small and line.top > small[-1].bottom and line not in column]
    begins = next((n for n, line in enumerate(small) if MARK.match(line.text)), None)
    if begins is None:
        begins = 0 if small and first and _is_apart(column, first) else len(small)
    notes = small[begins:]
    over = (
        [line for line in lower if line.left < notes[-1].right and line.right > notes[0].left]
        if notes
        else []
    )
    return notes if notes and not over and len(notes) < _MOST * len(column) else []


def _is_small(line: Line, body: float) -> bool:
    return line.size <= _SMALL * body and not line.table and not CAPTION.match(line.text)


def _is_apart(column: Sequence[Line], first: int) -> bool:
    """Is the gap above the line of this number wider than between lines?"""
    steps = [b.bottom - a.bottom for a, b in pairwise(column[:first]) if b.bottom - a.bottom > 2]
    return len(steps) > 2 and column[first].bottom - column[first - 1].bottom > _GAP * median(steps)
