"""What keeps a corpus: the interface that SQLite and Postgres fill in.

The statements of the corpus are written once, for both: values are named `?` or `:name`, rows are replaced by
`ON CONFLICT`, and what JSON holds is read by the functions `json_each` and `json_extract`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Protocol
from urllib.parse import urlsplit

from ragkit.config.components import interface

Parameters = Sequence[object] | Mapping[str, object]


class Cursor(Protocol):
    """The rows of a statement."""

    @property
    def rowcount(self) -> int:
        """How many rows the statement changed."""

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """A thread's connection to the database; a statement is a transaction unless one has begun."""

    def execute(self, statement: str, parameters: Any = (), /) -> Cursor: ...

    def executemany(self, statement: str, rows: Iterable[Any], /) -> Any: ...


class Store(ABC):
    """The database of one corpus, usable from several threads; nothing is opened or made before it is needed."""

    directory: Path
    """The folder of what is derived from the corpus: indexes, files that were fetched."""

    is_shared: ClassVar[bool] = False
    """Do several machines use it, and may their workers share a queue, by `guarded`?"""

    depot: str | None = None
    """The address of the directory or object store through which machines ship indexes; see `ragkit.index.depot`."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What messages call it; holds no password."""

    @property
    def identity(self) -> str:
        """What tells a shared corpus from all others, wherever it is; empty for one that never had a writer."""
        return ""

    @abstractmethod
    def exists(self) -> bool:
        """Is there a corpus?"""

    @property
    @abstractmethod
    def db(self) -> Connection:
        """This thread's connection.  Raises `NoCorpus` if there is none, `CorpusError` if it cannot be opened."""

    def stream(self, statement: str) -> Iterator[Any]:
        """The rows of a statement, of which few are held at once; one such statement at a time."""
        return iter(self.db.execute(statement))

    @property
    @abstractmethod
    def state(self) -> tuple[object, ...]:
        """What changes when this process or another changes the corpus."""

    @abstractmethod
    def has_table(self, name: str) -> bool:
        """Is there this table?  Earlier corpora lack some."""

    @abstractmethod
    def writing(self) -> AbstractContextManager[None]:
        """Hold the corpus lock, one process at a time; make the corpus where there is none.

        Raises `CorpusBusy` that says who holds it.
        """

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Connection]:
        """A transaction of this thread's connection.  Raises `CorpusError` if it fails; then nothing is changed."""

    def guarded(self, check: Callable[[Connection], None]) -> AbstractContextManager[None]:
        """Begin each transaction with *check*, in place of the corpus lock; what it raises undoes the transaction.

        So a worker writes what is no part of the corpus yet, beside who holds the lock.
        """
        raise NotImplementedError

    @abstractmethod
    def problems(self) -> list[str]:
        """What is wrong with the database itself, one sentence each."""

    @abstractmethod
    def vacuum(self) -> None:
        """Give the room of deleted rows back."""

    @abstractmethod
    def close(self) -> None:
        """Close this thread's connection; the next use opens it again."""


@interface
class CorpusPlace(ABC):
    """Where a corpus is kept that is not a directory of this machine."""

    @abstractmethod
    def store(self) -> Store:
        """The database there; nothing is opened yet."""


_STORES = ("file", "s3", "gs", "az")  # schemes of depots


def check_depot(address: str) -> None:
    """Raise `ValueError` for what is no address of a depot, or holds a password."""
    parts = urlsplit(address) if "://" in address else urlsplit("")
    if parts.scheme and parts.scheme not in _STORES:
        raise ValueError(
            f"a depot is a directory or begins with {', '.join(f'{each}://' for each in _STORES)}, not with {parts.scheme}://"
        )
    if "@" in parts.netloc or parts.query:
        raise ValueError(
            "credentials of a depot belong into the environment (such as AWS_ACCESS_KEY_ID), not into its address"
        )
