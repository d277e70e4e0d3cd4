"""What each named number of the PDF reader is worth: it is halved and doubled, one at a time.

    python -m benchmarks.reading_constants [FOLDER]

Counted over the PDFs of the shared data: what is right (title, authors, year or id, cells of tables), the characters of
body text, and the parts that have a kind.  The numbers were made on these files; the PDFs of FOLDER are others, of
which the same is counted but what is right, since nobody wrote that down.  A number without a row changes nothing.
"""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from unittest import mock

from langchain_core.documents import Document

from benchmarks import cells, title_pages
from benchmarks.table import markdown
from ragkit.document import stretches_of
from ragkit.errors import LoadError
from ragkit.read.formats import pdf
from ragkit.read.formats.pdf import lines

OF_LINES = "front layout tables ruled notes hyphens".split()
OF_PAGES = "lines hidden characters".split()
"""The modules that turn a page into lines, and those that turn lines into a paper, for which pages are read once."""
HEADER = ["number", "times", "title", "authors", "year or id", "cells", "body text", "typed parts", "other text", "other parts"]  # fmt: skip


class Counts(NamedTuple):
    title: int
    authors: int
    dated: int
    cells: int
    text: int
    parts: int
    other_text: int
    other_parts: int


def main(folder: Path | None = None) -> str:
    others = sorted(folder.glob("**/*.pdf")) if folder else []
    kept: dict[tuple[Path, int], bytes] = {}
    usual = counted(others, kept)
    rows: list[list[object]] = [["as it is", "", *usual]]
    idle = []
    for module, name in (*numbers(OF_LINES), *numbers(OF_PAGES)):
        value = getattr(module, name)
        changed = False
        for times in (0.5, 2):
            try:
                setattr(module, name, type(value)(value * times))
                now = counted(others, kept if _named(module) in OF_LINES else {})
            finally:
                setattr(module, name, value)
            if now != usual:
                changed = True
                said = f"{_named(module)}.{name} = {value}"
                rows.append(
                    [said, times, *(f"{b - a:+d}" if b != a else "" for a, b in zip(usual, now, strict=True))]
                )
        if not changed:
            idle.append(f"{_named(module)}.{name}")
        told = rows[-2:] if changed else idle[-1:]
        print(f"{_named(module)}.{name}", told, file=sys.stderr, flush=True)
    return f"{markdown(HEADER, rows)}\n\nNo difference, halved or doubled: {', '.join(idle) or 'none'}."


def numbers(names: Iterable[str]) -> Iterator[tuple[ModuleType, str]]:
    """The numbers that modules of the reader name, each with its module."""
    for module in (importlib.import_module(f"ragkit.read.formats.pdf.{name}") for name in names):
        for name, value in list(vars(module).items()):
            own = name.strip("_").isupper() and type(value) in (int, float)
            if own:
                yield module, name


def counted(others: Iterable[Path], kept: dict[tuple[Path, int], bytes]) -> Counts:
    papers = {name: _read(title_pages.PDFS / name, kept) for name in title_pages.truth()}
    right = [
        title_pages.judged(paper.metadata, true)
        for name, true in title_pages.truth().items()
        for paper in papers[name]
    ]
    rows = {name: [row for paper in found for row in cells.rows_of(paper)] for name, found in papers.items()}
    with_both = sum(not cells.how_found(cell, rows[cell["file"]]) for cell in cells.cells())
    title, authors, dated = (sum(each) for each in zip(*right, strict=True))
    text, parts = _size([paper for found in papers.values() for paper in found])
    return Counts(
        title,
        authors,
        dated,
        with_both,
        text,
        parts,
        *_size([p for path in others for p in _read(path, kept)]),
    )


def _read(path: Path, kept: dict[tuple[Path, int], bytes]) -> list[Document]:
    """The papers of a file; its pages are taken from those *kept*, and put there."""

    def page_of(number: int, opened: Any) -> Any:
        if (path, number) not in kept:
            kept[path, number] = pickle.dumps(lines.page_of(number, opened))
        return pickle.loads(kept[path, number])

    with mock.patch.object(pdf, "page_of", page_of):
        try:
            papers = list(pdf.Pdf().papers(path.name, path.read_bytes()))
        except LoadError:
            return []
    for paper in papers:
        for source in paper.metadata["sources"]:
            source["uri"] = str(path)
    return papers


def _named(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def _size(papers: Sequence[Document]) -> tuple[int, int]:
    """The characters of the body, and the parts of a kind."""
    parts = [part for paper in papers for part in stretches_of(paper)]
    return sum(p.end - p.start for p in parts if p.kind == "body"), sum(
        p.kind not in ("", "body") for p in parts
    )


if __name__ == "__main__":
    print(main(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
