"""The tables of a PDF's pages: rows and columns of what stands under or over a caption `Table 1`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import mean

from ragkit.read.formats.pdf.layout import CAPTION, columns
from ragkit.read.formats.pdf.lines import Cell, Line, Page, Row, Table, middle, rows_of
from ragkit.read.formats.pdf.ruled import joined, set_ruled_tables, words_of

_CAPTION = re.compile(
    r"(?:Table|Tab\.|Tabelle)\s*(?:[A-Z]?\d+|[IVX]+)(?:\.\d+)*(?:\s*[.:|—-]|$)", re.IGNORECASE
)
_CAPTION_LINES = 6
_GAP = 3.0  # in sizes of the type; what stands further apart is no row of the same table
_CELL_GAP = 0.8  # in sizes of the type; words so far apart are in different cells
_LONGEST = 40  # characters, on average; cells that are longer are the columns of a page
_MOST_HEADER = 3  # lines


def set_tables(page: Page) -> None:
    """Put each table that has a caption in the place of its lines, as one line that holds its rows."""
    captions = [line for line in page.lines if _CAPTION.match(line.text)]
    asides = [line for line in page.lines if CAPTION.match(line.text)]
    ruled = set_ruled_tables(page, captions, asides)
    gutters = columns(page)
    for caption in [line for line in captions if not any(line is each for each in ruled)]:
        crossed = any(caption.left < x < caption.right for x in gutters)
        low = 0.0 if crossed else max((x for x in gutters if x <= caption.left), default=0.0)
        high = page.width if crossed else min((x for x in gutters if x >= caption.right), default=page.width)
        inside = [
            line
            for line in page.lines
            if line is not caption and not line.table and line.left >= low - 2 and line.right <= high + 2
        ]
        below = rows_of(line for line in inside if line.top > caption.top + 0.5 * caption.size)
        above = rows_of(line for line in inside if line.bottom < caption.bottom - 0.5 * caption.size)[::-1]
        if rows := _table_in(below, caption) or _table_in(above, caption)[::-1]:
            _replace(page, rows)


def _cells(row: Row) -> list[Cell]:
    """The words of a row, those together that no wider gap parts."""
    found: list[Cell] = []
    for word in words_of(row):
        if found and word.left - found[-1].right <= _CELL_GAP * row[0].size:
            found[-1] = joined([found[-1], word])
        else:
            found.append(word)
    return found


def _table_in(rows: Sequence[Row], caption: Line) -> list[Row]:
    """The rows of the table that begins near *caption*, the nearest first; empty if there is none."""
    found: list[Row] = []
    waiting: list[Row] = []
    last = caption
    for row in rows:
        if abs(middle(row[0]) - middle(last)) > _GAP * max(row[0].size, last.size):
            break
        last = row[0]
        waiting.append(row)
        if len(_cells(row)) > 1:
            found += waiting if found else [row]
            waiting = []
        elif len(waiting) > (1 if found else _CAPTION_LINES):
            break
    texts = [cell.text for row in found for cell in _cells(row)]
    return found if len(found) > 1 and mean(map(len, texts)) <= _LONGEST else []


def _replace(page: Page, rows: Sequence[Row]) -> None:
    most = max(len(_cells(row)) for row in rows)
    edges = _columns([_cells(row) for row in rows if len(_cells(row)) >= 0.75 * most])
    if len(edges) < 2:
        return
    grid = [_placed(row, edges) for row in rows]
    if sum(any(a and a == b for a, b in pairwise(row)) for row in grid[1:]) > len(grid) / 4:
        return  # the lines do not keep to columns
    header = next((n for n, row in enumerate(grid) if n and _has_numbers(row)), 1)
    lines = [line for row in rows for line in row]
    table = Line(
        "", page.number, min(x.left for x in lines), min(x.top for x in lines), max(x.right for x in lines),
        max(x.bottom for x in lines), lines[0].size, frame=lines[0].frame,
        table=Table(tuple(grid), min(header, _MOST_HEADER)),
    )  # fmt: skip
    taken = {id(line) for line in lines}
    first = min(n for n, line in enumerate(page.lines) if id(line) in taken)
    page.lines[first] = table
    page.lines = [line for line in page.lines if id(line) not in taken]


def _columns(rows: Iterable[Sequence[Cell]]) -> list[tuple[float, float]]:
    """The left and right edges of the columns: where cells stand over one another."""
    found: list[tuple[float, float]] = []
    for left, right in sorted((cell.left, cell.right) for row in rows for cell in row):
        if found and left < found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], right)
        else:
            found.append((left, right))
    return found


def _placed(row: Row, edges: Sequence[tuple[float, float]]) -> tuple[tuple[Cell, ...], ...]:
    """The cells in each column; one over several columns is in each of them, unless it is numbers set close."""
    found: list[list[Cell]] = [[] for _ in edges]
    words, cells = words_of(row), _cells(row)

    def over_of(cell: Cell) -> list[int]:
        return [n for n, (left, right) in enumerate(edges) if cell.left < right and cell.right > left]

    for cell in list(cells):
        inside = [word for word in words if cell.left <= word.left and word.right <= cell.right]
        numeric = sum(any(map(str.isdigit, word.text)) for word in inside)
        if len(over_of(cell)) > 1 and 2 * numeric >= len(inside) > 1:
            at = cells.index(cell)
            cells[at : at + 1] = inside
    for cell in cells:
        over = over_of(cell)
        nearest = min(range(len(edges)), key=lambda n: abs(sum(edges[n]) - cell.left - cell.right))
        for n in over if over and len(cells) > 1 else [nearest if not over else over[0]]:
            found[n].append(cell)
    return tuple(map(tuple, found))


def _has_numbers(row: Sequence[Sequence[Cell]]) -> bool:
    """Do most of the cells behind the first have a digit?"""
    told = [any(map(str.isdigit, "".join(cell.text for cell in cells))) for cells in row[1:] if cells]
    return bool(told) and sum(told) >= len(told) / 2
