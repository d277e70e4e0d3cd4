"""What an index is: a search structure derived from the corpus, which can be deleted and made again.

An index holds passages by id and nothing that the corpus does not; what it finds is read from the corpus.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from ragkit.corpus import Vectors
from ragkit.errors import UsageError
from ragkit.registry import interface

T = TypeVar("T")


class Index(ABC):
    """Kept in a folder beside the corpus, which `Rag` assigns by `attach`; opened on first use."""

    def attach(self, folder: Path) -> None:
        """Say where the index lives."""
        object.__setattr__(self, "_folder", folder)

    @property
    def folder(self) -> Path:
        folder: Path | None = getattr(self, "_folder", None)
        if folder is None:
            raise UsageError(f"this {type(self).__name__} has no folder yet: make a Rag with it, or call attach(folder)")
        return folder

    @abstractmethod
    def count(self) -> int:
        """How many passages are really there."""

    @abstractmethod
    def ids(self) -> set[str]:
        """The passages that are really there."""

    @abstractmethod
    def remove(self, ids: Sequence[str]) -> None:
        """Drop these passages; those that are not there are passed over."""

    @abstractmethod
    def clear(self) -> None:
        """Delete everything, the files included."""


@interface
class LexicalIndex(Index):
    """Finds passages by their words."""

    @abstractmethod
    def add_passages(self, passages: Sequence[Document]) -> None:
        """Add passages under their ids, in place of what was there under these ids."""

    @abstractmethod
    def search(self, query: str, k: int, among: frozenset[str] | None = None) -> list[tuple[str, float]]:
        """The ids of the best *k*, of those *among* if given, with their scores, best first."""


class VectorIndex(VectorStore, Index):
    """A LangChain vector store that takes vectors already made, so that building it again encodes nothing."""

    @abstractmethod
    def add_vectors(self, passages: Sequence[Document], vectors: Vectors) -> None:
        """Add passages under their ids, one row of *vectors* each, in place of what was there under these ids."""

    @abstractmethod
    def nearest(self, query: str, k: int, among: frozenset[str] | None = None) -> list[tuple[str, float]]:
        """The ids of the *k* nearest to *query*, of those *among* if given, with their scores, best first."""


def widened(search: Callable[[int], list[T]], k: int, keep: Callable[[T], bool]) -> list[T]:
    """The best *k* that *keep* passes, of a search that knows nothing of it: it is asked for more until there are enough."""
    wanted = 2 * k
    while True:
        found = search(wanted)
        kept = [hit for hit in found if keep(hit)]
        if len(kept) >= k or len(found) < wanted:
            return kept[:k]
        wanted *= 4
