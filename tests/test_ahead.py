"""Files are read several at once, and taken in their order, as if they were read one after another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.documents import Document

import ragkit
from ragkit.confined.ahead import in_order
from ragkit.errors import LoadError
from ragkit.read.files import Files
from ragkit.read.process import Reader


class Shelf:
    """Reads `name:count`; a unit called `broken` fails after its batches, and `endless` goes on until stopped."""

    def __init__(self) -> None:
        self.read_units: list[str] = []
        self.stopped = threading.Event()

    def read(self, uri: str) -> Iterator[list[Document]]:
        self.read_units.append(uri)
        name, _, count = uri.partition(":")
        if name == "endless":
            self.stopped.wait()
            raise LoadError("it was stopped")
        for number in range(int(count)):
            yield [Document(f"{name} {number}")]
        if name == "broken":
            raise LoadError("its end is missing")

    def stop(self) -> None:
        self.stopped.set()


def test_units_are_taken_in_their_order_with_all_their_batches() -> None:
    shelves = [Shelf(), Shelf(), Shelf()]
    uris = [f"u{n}:{n % 13}" for n in range(60)]
    taken = [[batch[0].page_content for batch in batches] for batches in in_order(shelves, uris, Shelf.read)]
    assert taken == [[f"u{n} {i}" for i in range(n % 13)] for n in range(60)]
    assert sorted(uri for shelf in shelves for uri in shelf.read_units) == sorted(uris)


def test_a_unit_that_fails_fails_where_it_is_taken_and_the_next_ones_are_read() -> None:
    taken: list[str] = []
    for batches in in_order([Shelf(), Shelf()], ["a:1", "broken:2", "c:1"], Shelf.read):
        try:
            taken += [batch[0].page_content for batch in batches]
        except LoadError as error:
            taken.append(str(error))
    assert taken == ["a 0", "its end is missing", "c 0"]


def test_who_takes_no_more_stops_the_readers_also_those_that_wait() -> None:
    shelves = [Shelf(), Shelf()]
    each = in_order(shelves, ["a:1", "endless:", "long:100", "never:1", "never:2"], Shelf.read)
    assert [batch[0].page_content for batch in next(each)] == ["a 0"]
    each.close()
    assert all(shelf.stopped.is_set() for shelf in shelves)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


@pytest.mark.parametrize("processes", [1, 3])
def test_what_is_read_is_the_same_however_many_files_are_read_at_once(tmp_path: Path, processes: int) -> None:
    folder = tmp_path / "papers"
    folder.mkdir()
    for number in range(9):
        (folder / f"{number}.txt").write_text(
            f"Paper number {number}\n\nBridge {number} carries {number} people."
        )
    (folder / "4.txt").write_text("")
    files = Files(processes=processes)
    with Reader(files) as reader:
        taken: list[str] = []
        for uri, batches in zip(reader.find([folder]), reader.read_each(reader.find([folder])), strict=True):
            try:
                taken += [paper.page_content[-9:] for batch in batches for paper in batch]
            except LoadError as error:
                taken.append(f"{Path(uri).name}: {error}")
    assert taken == [f"{n} people." if n != 4 else "4.txt: it is empty" for n in range(9)]
    assert files.settings == Files().settings


def test_an_ingest_names_the_file_that_failed_among_those_read_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.txt").write_text(f"Bridge {number}\n\nIt carries {number + 10} people.")
    (folder / "2.txt").write_bytes(b"%PDF-1.7 broken")
    rag = ragkit.load(corpus=tmp_path / "corpus")
    report = rag.ingest(folder)
    assert [Path(failure.source).name for failure in report.failed] == ["2.txt"]
    assert report.documents == 4
