"""A corpus copied from one place to another, from SQLite to Postgres and back, and compared with what it was."""

from __future__ import annotations

import functools
import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from ragkit.corpus import Corpus
from ragkit.corpus.schema import LATER, SCHEMA
from ragkit.corpus.store import Connection
from ragkit.errors import CorpusError, UsageError

_AT_ONCE = 1000  # rows that are read and written together
_DERIVED = ("indexes", "ledger", "renewed")  # what is true only of the indexes beside a corpus


class CopiedTable(NamedTuple):
    """A table, its columns, and those by which its rows are put in order."""

    name: str
    columns: Sequence[str]
    order: Sequence[str]


def copy(source: Corpus, target: Corpus) -> dict[str, int]:
    """Copy all that *source* holds into *target*, which must be empty, in one transaction.

    Returns how many rows each table has.  Indexes are not copied: an ingest builds them from the vectors, which are.
    Raises `UsageError` if *target* holds something, `CorpusError` if what it holds in the end is something else.
    """
    if source.name == target.name:
        raise UsageError(f"'{source.name}' cannot be copied onto itself: name another place")
    _ = source.db  # raises `NoCorpus` where the lock would make one
    with source.writing(), target.writing():
        if any(target.value(f"SELECT 1 FROM {table.name} LIMIT 1") for table in tables()):
            raise UsageError(
                f"the corpus in '{target.name}' is not empty: copy to a place where there is none yet"
            )
        rows = {}
        with target.transaction() as db:
            for table in tables():
                rows[table.name] = _copy(table, source.db, db)
            for table in tables():
                if _digest(table, source.db) != _digest(table, db):
                    raise CorpusError(
                        f"the copy in '{target.name}' differs in the table {table.name}, and was taken back; the original is intact"
                    )
    return rows


def _copy(table: CopiedTable, source: Connection, target: Connection) -> int:
    copied = 0
    marks = ", ".join("?" * len(table.columns))
    for rows in _pages(table, source):
        target.executemany(f"INSERT INTO {table.name} VALUES ({marks})", rows)
        copied += len(rows)
    return copied


def _digest(table: CopiedTable, db: Connection) -> str:
    whole = hashlib.blake2b()
    for rows in _pages(table, db):
        for row in rows:
            whole.update(repr(row).encode("utf-8", "surrogatepass"))
    return whole.hexdigest()


def _pages(table: CopiedTable, db: Connection) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a table in order, so many at once; the caller may write between two pages."""
    columns, order = (", ".join(f'"{name}"' for name in names) for names in (table.columns, table.order))
    where = f"WHERE ({order}) > ({', '.join('?' * len(table.order))})"
    places = [table.columns.index(name) for name in table.order]
    rows: list[tuple[Any, ...]] = []
    while not rows or len(rows) == _AT_ONCE:
        last = [rows[-1][at] for at in places] if rows else []
        rows = db.execute(
            f"SELECT {columns} FROM {table.name} {where if rows else ''} ORDER BY {order} LIMIT {_AT_ONCE}",
            last,
        ).fetchall()
        if not rows:
            return
        yield rows


@functools.cache
def tables() -> tuple[CopiedTable, ...]:
    """The tables that are copied, each after those that it refers to."""
    found = []
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(f"{SCHEMA}{';'.join(f'CREATE TABLE {name} ({c})' for name, c in LATER.items())};")
        for [name] in db.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid"
        ).fetchall():
            rows = db.execute(f"SELECT name, pk FROM pragma_table_info('{name}')").fetchall()
            keys = [column for column, at in sorted(rows, key=lambda row: row[1]) if at]
            if keys and name not in _DERIVED:  # `former` has none: it is of papers that are on their way out
                found.append(CopiedTable(name, [column for column, _ in rows], keys))
    return tuple(found)
