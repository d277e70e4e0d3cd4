"""Of 60 cells of real PDFs' tables, how many are found with the row and the column that they stand in.

    python -m benchmarks.cells

`data/cells.jsonl` was written down from pictures of the pages, without regard to what ragkit reads, by a fixed rule.
The tables: of each PDF of the shared data, those whose rows and columns have headers in text; if a file has more than
four, four drawn evenly.  The cells of a table: the first row's middle column, and the last row's last column; of the only
table of a file also the middle row's first column.  If such a cell is empty or a dash, it is the next one to the left.
Headings between the rows are no headers of a row, and bullets no part of a value.  A value that ends in an ellipsis is the
beginning of a cell.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from langchain_core.documents import Document

from benchmarks.table import ROOT, SHARED, markdown
from ragkit.document import Span, places_of, stretches_of
from ragkit.evaluate.statistics import wilson
from ragkit.read.files import Files
from ragkit.text.tables import named_cells

TRUTH = ROOT / "benchmarks" / "data" / "cells.jsonl"
PDFS = SHARED / "data" / "pdfs"
FOUND = ("with row and column", "with its row only", "value only", "not at all")
TARGET = 48


class Row(NamedTuple):
    """A row of a table that was read: its page, and its cells, each with the name of its column."""

    page: int
    cells: Sequence[tuple[str, str]]


def main() -> str:
    known = cells()
    found = found_of(known)
    right = found.count(0)
    low, high = wilson(right, len(found))
    table = markdown(["a cell is found", f"of {len(found)}"], [[FOUND[n], found.count(n)] for n in range(4)])
    missed = "".join(
        f"- {FOUND[how]}: {cell['file']}, {cell['table']}, {_shown(cell['row'])} × {_shown(cell['column'])}: {cell['value']}\n"
        for cell, how in zip(known, found, strict=True)
        if how
    )
    interval = (
        f"{right} of {len(found)} with row and column, {right / len(found):.2f} [{low:.2f}, {high:.2f}]"
    )
    return f"{table}\n\n{interval}; the target is {TARGET}.\n\n{missed}".strip()


def cells() -> list[dict[str, Any]]:
    return [json.loads(line) for line in TRUTH.read_text(encoding="utf-8").splitlines()]


def found_of(known: Iterable[dict[str, Any]]) -> list[int]:
    """How each of the cells is found, as a place in `FOUND`."""
    rows: dict[str, list[Row]] = {}
    for cell in known:
        if cell["file"] not in rows:
            [paper] = Files().each(PDFS / cell["file"])
            rows[cell["file"]] = rows_of(paper)
    return [how_found(cell, rows[cell["file"]]) for cell in known]


def rows_of(paper: Document) -> list[Row]:
    """The rows of the paper's tables, without those of a header."""
    found = []
    for part in stretches_of(paper):
        if part.kind != "table":
            continue
        at = part.start
        for line in paper.page_content[part.start : part.end].splitlines():
            if at >= part.start + len(part.header):
                [place] = places_of(paper, Span("", at, at + len(line)))[:1]
                found.append(Row(place["page"], named_cells(line, part.header)))
            at += len(line) + 1
    return found


def how_found(cell: dict[str, Any], rows: Iterable[Row]) -> int:
    """How well a table's rows have a cell, as a place in `FOUND`."""
    best = len(FOUND) - 1
    for row in rows:
        for at, (column, value) in enumerate(row.cells):
            if row.page == cell["page"] and _is(value, cell["value"]):
                others = [text for n, (_, text) in enumerate(row.cells) if n != at]
                in_row = all(any(_is(text, header) for text in others) for header in _listed(cell["row"]))
                in_column = _letters(column) == _letters("".join(_listed(cell["column"])))
                best = min(best, 2 - in_row - (in_row and in_column))
    return best


def _is(text: str, known: str) -> bool:
    said = _letters(text)
    said = said.lstrip("○●") or said
    return said.startswith(_letters(known[:-1])) if known.endswith("…") else said == _letters(known)


def _letters(text: str) -> str:
    """Without blanks, bullets, marks of notes and capitals, which are no part of what a cell says."""
    return "".join(c for c in text.casefold().translate(_ALIKE) if c.isalnum() or c in _SIGNS)


_SIGNS = "%@#.,-+|()/○●"
_ALIKE = str.maketrans("◦•", "○●")  # pictures do not tell these signs apart


def _listed(headers: str | list[str]) -> list[str]:
    return [headers] if isinstance(headers, str) else headers


def _shown(headers: str | list[str]) -> str:
    return " / ".join(_listed(headers))


if __name__ == "__main__":
    print(main())
