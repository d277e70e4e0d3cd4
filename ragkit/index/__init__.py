"""What an index is: a search structure derived from the corpus, which can be deleted and made again.

An `Index` is a declaration, what a pipeline file says of it; it holds nothing that is open.  Each of its
states is a *generation*: a `Builder` makes a new one from the last, seals it, and the corpus publishes those
of all indexes at once.  A `Searcher` is a generation that is open, and a `Snapshot` the searchers that one
question uses.  So readers see the old state or the new one, and no process opens what another one writes.

Indexes hold keys (`ragkit.document.Key`) of passages by the passages' ids, and nothing that the corpus does
not: what is found is read from the corpus.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import NamedTuple, TypeVar

from langchain_core.embeddings import Embeddings

from ragkit.config.components import interface
from ragkit.corpus import Corpus
from ragkit.document import Key
from ragkit.models.embeddings import Vectors

T = TypeVar("T")


class Hit(NamedTuple):
    """A passage, by its id, its score, and the number of the key that led to it."""

    passage: str
    score: float
    key: int = 0


@dataclass(frozen=True)
class Place:
    """Where a generation of an index is stored.

    *root* is the index's folder beside the corpus, named like the index in the ledger.
    """

    root: Path
    generation: int

    @property
    def folder(self) -> Path:
        return self.root / f"{self.generation:08d}"

    @property
    def seal(self) -> Path:
        return self.root / f"{self.generation:08d}.seal"


class Searcher(ABC):
    """A sealed generation that is open to be searched, by several threads at once."""

    @abstractmethod
    def search(self, query: str, k: int, among: Set[str] | None = None) -> list[Hit]:
        """The best *k* passages, each by its best key, best first; of those *among* if given.

        Others than those *among* may be found, as the caller judges again; none of them may be left out for
        one that is not.
        """

    def search_each(self, queries: Sequence[str], k: int, among: Set[str] | None = None) -> list[list[Hit]]:
        """`search` for each of *queries*; an index of vectors embeds them in one batch."""
        return [self.search(query, k, among) for query in queries]

    @abstractmethod
    def entries(self) -> Iterator[tuple[str, int]]:
        """The keys that are really there: passage and number."""

    @abstractmethod
    def count(self) -> int:
        """How many they are."""

    def close(self) -> None:  # noqa: B027  # most hold nothing that must be closed
        """Close what is open; nobody searches any more."""


class Builder(ABC):
    """A generation that is being made."""

    @abstractmethod
    def add(self, keys: Sequence[Key], vectors: Vectors | None = None) -> None:
        """Add keys, all of those of a passage at once, of passages that are not there yet.

        *vectors*: for a `VectorIndex` those of the keys' texts, of shape `(keys, dimensions)`.
        """

    @abstractmethod
    def remove(self, passages: Collection[str]) -> None:
        """Drop all keys of these passages; those that are not there are passed over."""

    @abstractmethod
    def seal(self) -> None:
        """See that all is written; the generation does not change from now on."""


class Index(ABC):
    """A declaration: frozen, without state, shared freely between pipelines and threads."""

    @property
    def computes(self) -> bool:
        """Does a search keep this machine's cores busy, rather than wait for a server?"""
        return True

    @abstractmethod
    def open(self, place: Place) -> Searcher:
        """The sealed generation at *place*, to be searched; its owner closes it."""

    @abstractmethod
    def build(self, last: Place | None, place: Place) -> Builder:
        """Begin the generation at *place*, starting from the contents of the *last* one, or empty.

        Anything left at *place* is deleted.
        """

    @abstractmethod
    def is_sound(self, place: Place) -> bool:
        """Is the generation as it was sealed?  Opens nothing that could crash on a damaged one."""

    @abstractmethod
    def sweep(self, root: Path, keep: Collection[int]) -> None:
        """Delete all generations but those to *keep*."""


@interface
class LexicalIndex(Index):
    """Finds passages by their words."""


@interface
class VectorIndex(Index):
    """Finds passages by vectors that it is given, so that building it again encodes nothing."""

    embed: Embeddings

    @property
    def computes(self) -> bool:
        return bool(getattr(self.embed, "computes", False))


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What one question holds: a searcher for each index, all of the same published state, and the corpus.

    It is closed when nothing refers to it any more, so a question keeps the state that it started with.
    """

    corpus: Corpus
    searchers: Mapping[int, Searcher]
    """By the `id` of each index in the pipelines, as indexes need not be hashable."""
    names: Mapping[int, str]
    """What the ledger calls each index, those of other makes too."""
    generations: Mapping[str, int]
    """Which generation of each is open."""
    newest: Callable[[], Snapshot]
    """The snapshot of what is published by now, which may be this one."""

    def searcher(self, index: Index) -> Searcher:
        return self.searchers[id(index)]


FEW = 0.25
"""The share of an index of vectors that a filter leaves at most where only these are compared.

Of more, all are compared: a copy of a quarter of 100,000 vectors takes longer than comparing them all where they are.
"""

_SPARE = 1.1  # times as many keys as a filter leaves enough of, if it leaves out the best as often as others


def best_passages(
    search: Callable[[int], Sequence[T]],
    k: int,
    passage_of: Callable[[T], str],
    among: Set[str] | None = None,
    count: int = 0,
) -> list[T]:
    """The best *k* passages (of *among*, if given), each by its best key.

    *search* finds the best so many keys of the whole index, which has *count* (0: not known); it is asked for more until
    there are enough.
    """
    share = len(among) / count if among and count else 1.0
    wanted = k if share == 1.0 else ceil(_SPARE * k / share)
    while True:
        found = search(wanted)
        best: dict[str, T] = {}
        for each in found:
            best.setdefault(passage_of(each), each)
        if among is not None:
            passing = among & best.keys()
            best = {passage: each for passage, each in best.items() if passage in passing}
        if len(best) >= k or len(found) < wanted:
            return list(best.values())[:k]
        wanted *= 4
