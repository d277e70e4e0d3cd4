"""Indexes on servers: the interface that an adapter fills in.  The package has no such adapter yet.

A server has one collection for each index, and no folder a generation.  Instead each row carries two numbers:
the generation that `added` it, and the one that `removed` it, if one has.  A reader at generation g sees the
rows with `added <= g < removed`.  A writer adds and removes with the number of the generation that it builds,
which nobody reads before the corpus publishes it; so one number in the corpus switches all indexes at once,
and what a killed writer left is seen by nobody.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from ragkit.document import Key
from ragkit.index import Builder, Hit, Index, Place, Searcher
from ragkit.models.embeddings import Vectors


class Rows(ABC):
    """The collection of one index, as `CollectionIndex` needs it.

    What it holds *at* a generation are the rows that a reader of that generation sees.
    """

    @abstractmethod
    def add(self, keys: Sequence[Key], vectors: Vectors | None, generation: int) -> None:
        """Add rows that *generation* adds; *vectors* as for `Builder.add`."""

    @abstractmethod
    def remove(self, passages: Collection[str] | None, generation: int) -> int:
        """Mark the rows of these passages (of all, if None) as removed by *generation*.

        Rows that are marked already are left as they are.  Returns the number of rows marked.
        """

    @abstractmethod
    def undo(self, generation: int) -> None:
        """Undo all later generations: delete the rows that they added, and restore those they removed."""

    @abstractmethod
    def drop(self, generation: int) -> None:
        """Delete the rows that this generation removed or one before it, which nobody sees any more."""

    @abstractmethod
    def flush(self) -> None:
        """Wait until everything that was written is found by every search."""

    @abstractmethod
    def search(self, query: str, k: int, generation: int, among: frozenset[str] | None) -> list[Hit]:
        """See `Searcher.search`, at a generation."""

    @abstractmethod
    def entries(self, generation: int) -> Iterator[tuple[str, int]]:
        """See `Searcher.entries`, at a generation."""

    @abstractmethod
    def count(self, generation: int) -> int:
        """How many keys there are at a generation."""

    def close(self) -> None:  # noqa: B027  # not every server has a connection
        """Close the connection."""


class CollectionIndex(Index):
    """An index on a server, whose address is an argument of the subclass that no fingerprint covers."""

    @abstractmethod
    def rows(self, name: str) -> Rows:
        """The collection that the ledger calls *name*, made if it is not there."""

    def open(self, place: Place) -> Searcher:
        return _CollectionSearcher(self.rows(place.root.name), place.generation)

    def build(self, last: Place | None, place: Place) -> Builder:
        return _CollectionBuilder(self.rows(place.root.name), last, place)

    def is_sound(self, place: Place) -> bool:
        """Always true: the server checks its own files.

        `ragkit doctor` compares the rows with the ledger and so finds lost ones.
        """
        return True

    def sweep(self, root: Path, keep: Collection[int]) -> None:
        rows = self.rows(root.name)
        rows.drop(min(keep))
        rows.close()


class _CollectionSearcher(Searcher):
    def __init__(self, rows: Rows, generation: int) -> None:
        self.rows, self.generation = rows, generation

    def search(self, query: str, k: int, among: frozenset[str] | None = None) -> list[Hit]:
        return self.rows.search(query, k, self.generation, among)

    def entries(self) -> Iterator[tuple[str, int]]:
        return self.rows.entries(self.generation)

    def count(self) -> int:
        return self.rows.count(self.generation)

    def close(self) -> None:
        self.rows.close()


class _CollectionBuilder(Builder):
    def __init__(self, rows: Rows, last: Place | None, place: Place) -> None:
        self.rows, self.generation = rows, place.generation
        if last:
            rows.undo(last.generation)  # of a writer that was killed
        else:
            rows.remove(None, self.generation)
        self.expected = rows.count(self.generation)

    def add(self, keys: Sequence[Key], vectors: Vectors | None = None) -> None:
        self.rows.add(keys, vectors, self.generation)
        self.expected += len(keys)

    def remove(self, passages: Collection[str]) -> None:
        self.expected -= self.rows.remove(passages, self.generation)

    def seal(self) -> None:
        self.rows.flush()
        if (there := self.rows.count(self.generation)) != self.expected:
            raise OSError(f"the server has {there} rows where {self.expected} were written")
        self.rows.close()
