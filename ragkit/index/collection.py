"""Indexes on servers: the interface that the adapters for Qdrant and pgvector fill in.

A server has one collection for each index, and no folder a generation.  Instead each row carries two numbers:
the generation that `added` it, and the one that `removed` it, if one has.  A reader at generation g sees the
rows with `added <= g < removed`.  A writer adds and removes with the number of the generation that it builds,
which nobody reads before the corpus publishes it; so one number in the corpus switches all indexes at once,
and what a killed writer left is seen by nobody.  A writer that was only paused, and whose place another has taken,
is refused.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence, Set
from contextlib import closing
from pathlib import Path

from ragkit.document import Key
from ragkit.errors import CorpusError
from ragkit.index import Builder, Hit, Index, Place, Searcher
from ragkit.models.embeddings import Vectors


class Rows(ABC):
    """The collection of one index, as `CollectionIndex` needs it.

    What it holds *at* a generation are the rows that a reader of that generation sees.
    """

    @abstractmethod
    def begin(self, generation: int, last: int | None) -> None:
        """Begin *generation* from the contents of the *last* one, or from none.

        What writers after the *last* one added is deleted, and what they removed is restored.  Without a *last* one,
        *generation* removes all rows.  From now on only the writer of *generation* may write.
        """

    @abstractmethod
    def add(self, keys: Sequence[Key], vectors: Vectors | None, generation: int) -> None:
        """Add rows that *generation* adds; *vectors* as for `Builder.add`.

        Raises `CorpusError` if another generation was begun since.
        """

    @abstractmethod
    def remove(self, passages: Collection[str], generation: int) -> int:
        """Mark the rows of these passages as removed by *generation*; returns the number of rows marked.

        Rows that are marked already are left as they are.  Raises `CorpusError` as `add` does.
        """

    @abstractmethod
    def seal(self, generation: int) -> None:
        """Wait until everything that was written is found by every search, and note that *generation* is complete.

        Raises `CorpusError` as `add` does.
        """

    @abstractmethod
    def is_sealed(self, generation: int) -> bool:
        """Does the server have this generation, complete?"""

    @abstractmethod
    def drop(self, generation: int) -> None:
        """Delete what nobody sees any more: the rows that this generation removed or one before it, and the notes on
        generations before it.
        """

    @abstractmethod
    def search(
        self, queries: Sequence[str], k: int, generation: int, among: Set[str] | None
    ) -> list[list[Hit]]:
        """See `Searcher.search_each`, at a generation."""

    @abstractmethod
    def entries(self, generation: int) -> Iterator[tuple[str, int]]:
        """See `Searcher.entries`, at a generation."""

    @abstractmethod
    def count(self, generation: int) -> int:
        """How many keys there are at a generation."""

    def close(self) -> None:  # noqa: B027  # not every server has a connection
        """Close the connection."""

    @staticmethod
    def refuse(name: str) -> CorpusError:
        """The error of a writer whose place another has taken."""
        return CorpusError(
            f"index {name} is being written by another process; what this one writes is not kept"
        )


class CollectionIndex(Index):
    """An index on a server, whose address is an argument of the subclass.

    With another address, the index is another one, and is built from the corpus without embedding anything again.
    """

    @abstractmethod
    def rows(self, name: str) -> Rows:
        """The collection that the ledger calls *name*; `Rows.begin` makes it if it is not there."""

    def open(self, place: Place) -> Searcher:
        return _CollectionSearcher(self.rows(place.root.name), place.generation)

    def build(self, last: Place | None, place: Place) -> Builder:
        return _CollectionBuilder(self.rows(place.root.name), last, place)

    def is_sound(self, place: Place) -> bool:
        """Does the server still have the generation?

        Its rows are not counted: the server checks its own files, and `ragkit doctor` compares them with the ledger.
        """
        with closing(self.rows(place.root.name)) as rows:
            return rows.is_sealed(place.generation)

    def sweep(self, root: Path, keep: Collection[int]) -> None:
        with closing(self.rows(root.name)) as rows:
            rows.drop(min(keep))


class _CollectionSearcher(Searcher):
    def __init__(self, rows: Rows, generation: int) -> None:
        self.rows, self.generation = rows, generation

    def search(self, query: str, k: int, among: Set[str] | None = None) -> list[Hit]:
        return self.search_each([query], k, among)[0]

    def search_each(self, queries: Sequence[str], k: int, among: Set[str] | None = None) -> list[list[Hit]]:
        return self.rows.search(queries, k, self.generation, among)

    def entries(self) -> Iterator[tuple[str, int]]:
        return self.rows.entries(self.generation)

    def count(self) -> int:
        return self.rows.count(self.generation)

    def close(self) -> None:
        self.rows.close()


class _CollectionBuilder(Builder):
    def __init__(self, rows: Rows, last: Place | None, place: Place) -> None:
        self.rows, self.generation = rows, place.generation
        rows.begin(self.generation, last.generation if last else None)
        self.expected = rows.count(self.generation)

    def add(self, keys: Sequence[Key], vectors: Vectors | None = None) -> None:
        self.rows.add(keys, vectors, self.generation)
        self.expected += len(keys)

    def remove(self, passages: Collection[str]) -> None:
        self.expected -= self.rows.remove(passages, self.generation)

    def seal(self) -> None:
        if (there := self.rows.count(self.generation)) != self.expected:
            raise OSError(f"the server has {there} rows where {self.expected} were written")
        self.rows.seal(self.generation)
        self.rows.close()
