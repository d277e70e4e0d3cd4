"""The database of a corpus, whatever keeps it: what all of the corpus's tables are read and written through."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from ragkit.corpus.sqlite import SqliteStore
from ragkit.corpus.store import Connection, CorpusPlace, Parameters, Store

T = TypeVar("T")

_MANY = 500  # values that a statement names at once; SQLite allows 32,766, Postgres 65,535


class Database:
    """The database at *place*: SQLite in a directory, or what a `CorpusPlace` names.

    Nothing is opened or created before it is needed: reading where there is none raises `NoCorpus`, `writing()` creates
    one.  Usable from several threads.
    """

    def __init__(self, place: str | Path | CorpusPlace) -> None:
        self.place = Path(place) if isinstance(place, str) else place
        self.store: Store = (
            self.place.store() if isinstance(self.place, CorpusPlace) else SqliteStore(self.place)
        )
        self.directory = self.store.directory
        self.local = threading.local()

    @property
    def name(self) -> str:
        """What messages call the corpus."""
        return self.store.name

    @property
    def path(self) -> Path:
        """The SQLite file, of a corpus in a directory."""
        assert isinstance(self.store, SqliteStore)
        return self.store.path

    @property
    def uploads(self) -> Path:
        """Where files that were uploaded to a server are kept: the only papers in the directory of the corpus."""
        return self.directory.resolve() / "uploads"

    @property
    def db(self) -> Connection:
        """This thread's connection."""
        return self.store.db

    @property
    def state(self) -> tuple[object, ...]:
        """What changes when this process or another changes the corpus."""
        return self.store.state

    def exists(self) -> bool:
        return self.store.exists()

    def has_table(self, name: str) -> bool:
        return self.store.has_table(name)

    def column(self, query: str, parameters: Parameters = ()) -> list[Any]:
        """The only column of a query's rows."""
        return [value for [value] in self.db.execute(query, parameters)]

    def value(self, query: str, parameters: Parameters = ()) -> Any:
        """The only column of a query's first row; None if there is no row."""
        row = self.db.execute(query, parameters).fetchone()
        return row[0] if row else None

    def pages(self, query: str, most: int = _MANY) -> Iterator[list[Any]]:
        """The only column of a query, in lists that a statement can name: it asks for what follows its first
        parameter, in order, and for as many rows as its second one says, at *most* so many.

        No more than that is held, and between lists the caller may write to the database.
        """
        last = ""
        while some := self.column(query, (last, most)):
            yield some
            last = some[-1]

    def writing(self) -> AbstractContextManager[None]:
        """Hold the corpus lock: one process writes at a time.

        The lock of a process that dies is released.
        """
        return self.store.writing()

    def transaction(self) -> AbstractContextManager[Connection]:
        return self.store.transaction()

    def close(self) -> None:
        """Close this thread's connection; the next use opens it again."""
        self.store.close()


def batches(values: Iterable[T]) -> Iterator[list[T]]:
    """*values*, as many at a time as a statement names."""
    left = iter(values)
    while some := list(islice(left, _MANY)):
        yield some


def marks(values: Sequence[object]) -> str:
    """The question marks of a statement that names *values*."""
    return ",".join("?" * len(values))
