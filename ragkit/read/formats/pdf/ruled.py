"""Tables between rules: where they lie on a page, and the rows, columns and header that the rules tell."""

from __future__ import annotations

import unicodedata
from bisect import bisect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from statistics import mode
from typing import NamedTuple

from ragkit.read.formats.pdf.characters import HYPHEN
from ragkit.read.formats.pdf.lines import Cell, Line, Page, Row, Table, middle

_NEAR = 1.0  # points; rules whose ends lie so near to one another are of the same table
_DOUBLE = 2.5  # points; rules closer than this are a double rule
_NARROWEST = 0.08  # of the width of a page; shorter rules are in figures
_BESIDE = 3.0  # in sizes of the type: a caption is no further from its table, its own further lines aside
_CAPTION_LINES = 7.0  # in sizes of the type: the height of a caption's further lines
_WIDE = 0.8  # in sizes of the type; words so far apart are in different cells
_BLANK = 0.4  # in sizes of the type; wider than a blank, it parts columns where it runs through all rows
_FEWEST = 3  # rows; in fewer, blanks may stand over one another by chance
_ALIGNED = 2.0  # points; the sides, or middles, of a column and its name lie so near to one another
_UNDER = 1.5  # in sizes of the type; a rule under a name is no further below it
_BANDS = 3  # rules: above and below the header, and below the table
_FULL = 0.75  # of the cells of the fullest row; the rows that have as many tell the columns

Placed = tuple[tuple[Cell, ...], ...]
"""The cells of a row in each column."""


class Ruled(NamedTuple):
    """Where a table lies: its sides, the rules from side to side, shorter ones, and upright ones."""

    left: float
    right: float
    rules: tuple[float, ...]
    shorter: tuple[tuple[float, float, float], ...]
    """The height, left and right end of each."""
    upright: tuple[float, ...]
    pieces: tuple[tuple[float, float, float], ...]
    """The place, top and bottom of each piece of an upright rule."""

    @property
    def has_bands(self) -> bool:
        """Do level rules part the rows below the header?"""
        return len(self.rules) > _BANDS


# --- where tables lie


def set_ruled_tables(page: Page, captions: Sequence[Line], asides: Sequence[Line]) -> list[Line]:
    """Put each table between rules in the place of its lines; the captions that have a frame of rules.

    The captions of a page stand either above their tables or below them, and no table continues beyond one of the
    *asides*, which are the captions of figures and tables.  A table without a caption is one if upright rules part
    its columns, and level ones its rows.
    """
    tables = _tables(page, asides)
    above = _paired(captions, tables, lambda caption, table: caption.top - table.rules[-1], 0)
    below = _paired(captions, tables, lambda caption, table: table.rules[0] - caption.bottom, _CAPTION_LINES)
    paired = max(above, below, key=len)
    for table in tables:
        if any(table is of for _, of in paired) or (table.upright and table.has_bands):
            _set_table(page, table)
    return [caption for caption, _ in paired]


def _paired(
    captions: Iterable[Line], tables: Sequence[Ruled], gap: Callable[[Line, Ruled], float], more: float
) -> list[tuple[Line, Ruled]]:
    """Each caption with the table that is nearest to it, if there is one; no table has two captions."""
    found: list[tuple[Line, Ruled]] = []
    near = [
        (gap(caption, table), n, m, caption, table)
        for n, caption in enumerate(captions)
        for m, table in enumerate(tables)
        if caption.left < table.right and caption.right > table.left
        if -0.5 <= gap(caption, table) / _height(caption) <= _BESIDE + more
    ]
    taken: set[tuple[int, int]] = set()
    for _, n, m, caption, table in sorted(near, key=lambda each: each[:3]):
        if not any(n == caption_of or m == table_of for caption_of, table_of in taken):
            taken.add((n, m))
            found.append((caption, table))
    return found


def _tables(page: Page, asides: Iterable[Line]) -> list[Ruled]:
    """The groups of rules that have the same ends and no caption between them."""
    lying = _lying(page)
    groups: list[list[tuple[float, float, float]]] = []
    for height, left, right in lying:
        if right - left < _NARROWEST * page.width:
            continue
        of = [g for g in groups if abs(g[-1][1] - left) < _NEAR and abs(g[-1][2] - right) < _NEAR]
        if of and not any(
            of[-1][-1][0] < middle(aside) < height and aside.left < right and aside.right > left
            for aside in asides
        ):
            of[-1].append((height, left, right))
        else:
            groups.append([(height, left, right)])
    found = []
    for group in groups:
        left, right = group[0][1], group[0][2]
        heights = [h for n, (h, _, _) in enumerate(group) if not n or h - group[n - 1][0] > _DOUBLE]
        heights = _with_text(
            heights, [line for line in page.lines if line.left < right and line.right > left]
        )
        if len(heights) > 1:
            top, bottom = heights[0], heights[-1]
            shorter = [
                (h, a, b)
                for h, a, b in lying
                if top + _DOUBLE < h < bottom - _DOUBLE and left - _NEAR < a and b < right + _NEAR
                if abs(a - left) >= _NEAR or abs(b - right) >= _NEAR
            ]
            pieces = [
                (x, max(upper, top), min(lower, bottom))
                for x, upper, end, lower in sorted(page.rules)
                if lower - upper > end - x
                and upper < bottom
                and lower > top
                and left + _NEAR < x < right - _NEAR
            ]
            upright = _upright(pieces, bottom - top)
            found.append(Ruled(left, right, tuple(heights), tuple(shorter), upright, tuple(pieces)))
    return found


def _with_text(heights: list[float], lines: Sequence[Line]) -> list[float]:
    """Rules without those at either end that no text stands between and the next."""
    middles = [middle(line) for line in lines]

    def empty(a: float, b: float) -> bool:
        return not any(a < height < b for height in middles)

    while len(heights) > 1 and empty(*heights[:2]):
        heights = heights[1:]
    while len(heights) > 1 and empty(*heights[-2:]):
        heights = heights[:-1]
    return heights


def _lying(page: Page) -> list[tuple[float, float, float]]:
    """The height, left and right end of each level rule, from the top; pieces that touch are one."""
    level = sorted((top, left, right) for left, top, right, low in page.rules if right - left > low - top)
    rows: list[list[tuple[float, float, float]]] = []
    for piece in level:
        if rows and piece[0] - rows[-1][0][0] < _NEAR:
            rows[-1].append(piece)
        else:
            rows.append([piece])
    found: list[tuple[float, float, float]] = []
    for row in rows:
        pieces = [Cell("", left, top, right, top) for top, left, right in row]
        found += [(row[0][0], left, right) for left, right in _joined(pieces, _NEAR)]
    return found


def _upright(pieces: Sequence[tuple[float, float, float]], height: float) -> tuple[float, ...]:
    """Where upright rules stand between the columns of a table, along half of its height or more."""
    long: list[list[float]] = []
    for x, upper, lower in pieces:
        if long and x - long[-1][0] < _NEAR:
            long[-1][1] += lower - upper
        else:
            long.append([x, lower - upper])
    return tuple(x for x, along in long if along > height / 2)


# --- rows and columns


def _set_table(page: Page, at: Ruled) -> None:
    """Put the table in the place of its lines, as one line that holds its rows, if it has columns."""
    lines, rest, place = _parted(page, at)
    rows = _rows(lines)
    bands = [bisect(at.rules, middle(row[0])) for row in rows]
    has_header = len(set(bands)) > 1
    header = [row for n, row in enumerate(rows) if (bands[n] == bands[0] if has_header else n == 0)]
    body = rows[len(header) :]
    edges = _columns(body, at)
    if len(edges) < 2 or not _keeps_to(edges, body, at):
        return
    placed = [_placed(row, edges, at) for row in body]
    ends = [
        max((cell.right for row in placed for cell in row[n]), default=edges[n][1]) for n in range(len(edges))
    ]
    grid: list[Placed] = [_names(header, edges, at)]
    for _, band in groupby(zip(bands[len(header) :], placed, strict=True), key=lambda each: each[0]):
        grid += _rows_of_band([row for _, row in band], ends, is_grid=bool(at.upright) and at.has_bands)
    if is_right_to_left(" ".join(line.text for line in lines)):
        grid = [row[::-1] for row in grid]
    table = Line(
        "", page.number, min(x.left for x in lines), min(x.top for x in lines), max(x.right for x in lines),
        max(x.bottom for x in lines), lines[0].size, frame=lines[0].frame, table=Table(tuple(grid), 1),
    )  # fmt: skip
    page.lines = [*rest[:place], table, *rest[place:]]


def _keeps_to(edges: Sequence[tuple[float, float]], rows: Sequence[Row], at: Ruled) -> bool:
    """Do most rows keep to the columns?  Those of a text in a frame do not, and have one cell."""
    cells = [_apart(row, edges, at) for row in rows]
    wide = sum(any(len(_over(cell, edges)) > 1 for cell in row) for row in cells)
    single = sum(len(row) < 2 for row in cells)
    has_header = len(at.rules) > 2 or at.upright
    return 2 * wide <= len(rows) and (bool(has_header) or 2 * single < len(rows))


def _parted(page: Page, at: Ruled) -> tuple[list[Line], list[Line], int]:
    """The lines in a table, those beside it, and the number of these that come before; some lines are in both."""
    inside: list[Line] = []
    rest: list[Line] = []
    place = None
    for line in page.lines:
        own: list[Cell] = []
        others: list[Cell] = []
        for word in line.words:
            is_in = at.left - _NEAR < (word.left + word.right) / 2 < at.right + _NEAR
            (own if is_in else others).append(word)
        if own and not line.table and at.rules[0] < middle(line) < at.rules[-1]:
            place = len(rest) if place is None else place
            inside.append(_of_words(line, own))
            rest += [_of_words(line, others)] if others else []
        else:
            rest.append(line)
    return inside, rest, place or 0


def _of_words(line: Line, words: Sequence[Cell]) -> Line:
    if len(words) == len(line.words):
        return line
    text = " ".join(word.text for word in words)
    left, right = min(word.left for word in words), max(word.right for word in words)
    return replace(line, text=text, words=tuple(words), left=left, right=right, parts=[text])


def _cells(row: Row, at: Ruled) -> list[Cell]:
    """The words of a row, those together that neither a wider gap parts nor an upright rule."""
    found: list[list[Cell]] = []
    for word in words_of(row):
        last = found[-1][-1] if found else None
        if last and word.left - last.right <= _WIDE * _height(row[0]) and _part(last, at) == _part(word, at):
            found[-1].append(word)
        else:
            found.append([word])
    return list(map(joined, found))


def _height(line: Line) -> float:
    """The size of a line's type; a page that scales its type tells a smaller one."""
    return max(line.size, line.bottom - line.top)


def words_of(row: Row) -> list[Cell]:
    """The words of a row, from the left."""
    return sorted((word for line in row for word in line.words if word.text), key=lambda word: word.left)


def _rows(lines: Iterable[Line]) -> list[Row]:
    """Lines at the same height; one may lie between two that are a little further apart."""
    rows: list[Row] = []
    for line in sorted(lines, key=middle):
        if rows and middle(line) - middle(rows[-1][-1]) < 0.5 * _height(line):
            rows[-1].append(line)
        else:
            rows.append([line])
    return rows


def _part(cell: Cell, at: Ruled) -> int:
    """Between which upright rules a cell stands."""
    return bisect(at.upright, _centre(cell))


def joined(cells: Sequence[Cell]) -> Cell:
    """Cells or words side by side as one, in the order in which their script is read."""
    ordered = cells[::-1] if is_right_to_left(" ".join(cell.text for cell in cells)) else cells
    return Cell(
        " ".join(cell.text for cell in ordered),
        min(cell.left for cell in cells),
        min(cell.top for cell in cells),
        max(cell.right for cell in cells),
        max(cell.bottom for cell in cells),
    )


def is_right_to_left(text: str) -> bool:
    """Are most of the letters of a script that is read from right to left?"""
    ways = [unicodedata.bidirectional(c) for c in text if c.isalpha()]
    return 2 * sum(way in ("R", "AL") for way in ways) > len(ways)


def _columns(rows: Sequence[Row], at: Ruled) -> list[tuple[float, float]]:
    """The left and right edges of the columns: where what stands over one another leaves a gap in all rows."""
    edges: list[tuple[float, float]] = []
    rows = [row for row in rows if len(_upright_at(middle(row[0]), at)) == len(at.upright)] or rows
    gap = _BLANK * max((_height(line) for row in rows for line in row), default=0.0)
    for part in range(len(at.upright) + 1):
        words = [[word for word in words_of(row) if _part(word, at) == part] for row in rows]
        cells = [[cell for cell in _cells(row, at) if _part(cell, at) == part] for row in rows]
        counts = [len(found) for found in cells if found]
        most = mode(counts) if counts and at.upright else max(counts, default=0)
        full = [n for n, found in enumerate(cells) if found and len(found) >= _FULL * most]
        edges += _joined([x for n in full for x in (words if len(full) >= _FEWEST else cells)[n]], gap)
        first = edges[0][0] if edges else 0.0
        edges = [*_joined([cell for found in cells for cell in found[:1] if cell.right < first], gap), *edges]
    return edges


def _joined(parts: Iterable[Cell], gap: float) -> list[tuple[float, float]]:
    """The left and right edges of what stands over one another, or beside with a narrower gap."""
    found: list[tuple[float, float]] = []
    for part in sorted(parts, key=lambda part: part.left):
        if found and part.left - found[-1][1] < gap:
            found[-1] = found[-1][0], max(found[-1][1], part.right)
        else:
            found.append((part.left, part.right))
    return found


def _over(cell: Cell, edges: Sequence[tuple[float, float]]) -> list[int]:
    """The columns that a cell stands over, or else the nearest one."""
    over = [n for n, (left, right) in enumerate(edges) if cell.left < right and cell.right > left]
    return over or [min(range(len(edges)), key=lambda n: abs(sum(edges[n]) - cell.left - cell.right))]


def _apart(row: Row, edges: Sequence[tuple[float, float]], at: Ruled) -> list[Cell]:
    """The cells of a row, parted where a gap between their words lies between two columns."""
    found: list[Cell] = []
    words = words_of(row)
    for cell in _cells(row, at):
        own: list[list[Cell]] = []
        for word in [word for word in words if cell.left <= word.left and word.right <= cell.right]:
            last = own[-1][-1] if own else None
            gap = word.left - last.right if last else 0.0
            between = last and any(a < word.left and last.right < b for (_, a), (b, _) in pairwise(edges))
            if own and not (between and gap >= _BLANK * _height(row[0])):
                own[-1].append(word)
            else:
                own.append([word])
        found += map(joined, own)
    return found


def _placed(row: Row, edges: Sequence[tuple[float, float]], at: Ruled) -> Placed:
    """The cells of a row in each column."""
    found: list[list[Cell]] = [[] for _ in edges]
    cells = _apart(row, edges, at)
    for cell in cells:
        over = _within(cell, cells, edges, at) or _over(cell, edges)
        for n in over if len(cells) > 1 else over[:1]:
            found[n].append(cell)
    return tuple(map(tuple, found))


def _within(
    cell: Cell, cells: Sequence[Cell], edges: Sequence[tuple[float, float]], at: Ruled
) -> Sequence[int]:
    """The columns that a cell is merged of, as it has no upright rule where other rows have one."""
    height = (cell.top + cell.bottom) / 2
    here = _upright_at(height, at)
    left = max((x for x in here if x < _centre(cell)), default=at.left)
    right = min((x for x in here if x > _centre(cell)), default=at.right)
    alone = sum(left < _centre(each) < right for each in cells) == 1
    if not alone or not any(left < x < right for x in at.upright):
        return ()
    return [n for n, edge in enumerate(edges) if left < sum(edge) / 2 < right]


def _upright_at(height: float, at: Ruled) -> list[float]:
    """The upright rules between columns that there are at a height."""
    return [x for x in at.upright if any(abs(x - p) < _NEAR and a < height < b for p, a, b in at.pieces)]


def _is_number(cell: Cell) -> bool:
    """Is a cell a number, or one sign?  Neither continues in the next line."""
    signs = [c for c in cell.text if c.isalnum()]
    return len(cell.text) == 1 or 2 * sum(map(str.isdigit, signs)) >= len(signs) > 0


# --- the lines of a row


def _rows_of_band(lines: Sequence[Placed], ends: Sequence[float], is_grid: bool) -> list[Placed]:
    """The rows of the lines between two rules; *ends* are where the columns' widest cells end.

    Lines of text that fill their columns are one row, and so are all in a grid; numbers in two lines are two rows.
    A cell that stands alone in its column, left of what has several lines, names all of the rows.
    """
    numbers = [[n for n, line in enumerate(lines) if any(map(_is_number, line[c]))] for c in range(len(ends))]
    are_rows = any(len(of) > 1 for of in numbers)
    if not are_rows and (is_grid or all(_goes_on(a, b, ends) for a, b in pairwise(lines))):
        return [_merged(lines)]
    filled = [[n for n, line in enumerate(lines) if line[c]] for c in range(len(ends))]
    names = 0
    while are_rows and names < len(ends) and len(filled[names]) == 1:
        names += 1
    named = [lines[filled[c][0]][c] for c in range(names)]
    found: list[Placed] = []
    for line in lines:
        rest = line[names:]
        if not any(rest):
            continue
        row = (*named, *rest)
        if found and _is_more(found[-1], row, ends):
            found[-1] = _merged([found[-1], row])
        else:
            found.append(row)
    return found


def _merged(lines: Sequence[Placed]) -> Placed:
    return tuple(tuple(cell for line in lines for cell in line[c]) for c in range(len(lines[0])))


def _goes_on(upper: Placed, lower: Placed, ends: Sequence[float]) -> bool:
    """Did the first word of each cell of *lower* not fit behind the one above it?"""
    for above, below, end in zip(upper, lower, ends, strict=True):
        if above and below and not above[-1].text.endswith(("-", HYPHEN)):
            first = below[0]
            share = len(first.text.split()[0]) + 1  # a blank
            if above[-1].right + share / len(first.text) * (first.right - first.left) < end:
                return False
    return True


def _is_more(upper: Placed, lower: Placed, ends: Sequence[float]) -> bool:
    """Is *lower* more of the row above?  It has no name, and text in few of the columns that are filled there."""
    cells = [n for n, each in enumerate(lower) if each]
    text = not any(_is_number(cell) for n in cells for cell in lower[n])
    return text and not lower[0] and 2 * len(cells) <= len(ends) and all(upper[n] for n in cells)


# --- the header


def _names(rows: Sequence[Row], edges: Sequence[tuple[float, float]], at: Ruled) -> Placed:
    """The names of the columns; a name over several, as a rule under it or its place tells, is in each."""
    found: list[list[Cell]] = [[] for _ in edges]
    for row in rows:
        cells = _apart(row, edges, at)
        over = {n: _within(cell, cells, edges, at) or _spanned(cell, edges) for n, cell in enumerate(cells)}
        for height, left, right in at.shorter:
            above = [n for n, cell in enumerate(cells) if left < _centre(cell) < right]
            if 0 < height - middle(row[0]) < _UNDER * _height(row[0]) and above:
                over.update(dict.fromkeys(above, ()))
                for column, edge in enumerate(edges):
                    if left < sum(edge) / 2 < right:
                        nearest = min(above, key=lambda n: abs(2 * _centre(cells[n]) - sum(edge)))
                        over[nearest] = [*over[nearest], column]
        for n, cell in enumerate(cells):
            for column in over[n]:
                found[column].append(cell)
    return tuple(map(tuple, found))


def _centre(cell: Cell) -> float:
    return (cell.left + cell.right) / 2


def _spanned(cell: Cell, edges: Sequence[tuple[float, float]]) -> Sequence[int]:
    """The columns that a name stands over; one in the middle between two is that of both."""
    at = _centre(cell)
    over = _over(cell, edges)
    left, right = edges[over[0]]
    aligned = min(abs(cell.left - left), abs(cell.right - right), abs(2 * at - left - right)) < _ALIGNED
    if len(over) == 1 and not aligned and not any(left <= at <= right for left, right in edges):
        behind = bisect([left for left, _ in edges], at)
        if 0 < behind < len(edges):
            return [behind - 1, behind]
    return over
