"""A corpus in a directory: SQLite with one connection per thread, transactions, and the writer lock."""

from __future__ import annotations

import functools
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from ragkit import platform, private
from ragkit.corpus import places
from ragkit.corpus.schema import LATER, SCHEMA
from ragkit.corpus.store import Store
from ragkit.errors import CorpusBusy, CorpusError, NoCorpus

Stamps = tuple[tuple[int, int], tuple[int, int]]

_APPLICATION = (
    0x52414B47  # "RAKG": tells the database from those of other programs, and of ragkit before this layout
)
_VERSION = 2  # of the schema; another version is refused
_NO_PLACE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL)
"""How SQLite says that it cannot make the file of its shared memory."""

_MOMENT = 1.0
"""Seconds in which another process may let go of the lock: a command that is about to end is no reason to refuse one."""


class SqliteStore(Store):
    """The SQLite database in *directory*."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = self.directory / places.DATABASE
        self.local = threading.local()

    def exists(self) -> bool:
        return self.path.exists()

    @property
    def name(self) -> str:
        return str(self.directory)

    @property
    def db(self) -> sqlite3.Connection:
        """This thread's connection."""
        if self._at_rest and self._at_rest != _stamps(self.path):
            self.close()  # somebody has begun to write: SQLite does not tell a connection to files at rest
        if hasattr(self.local, "connection") and self.local.file != _file(self.path):
            self.close()  # the corpus was removed, or another one put in its place
        if not hasattr(self.local, "connection"):
            if not self.exists():
                raise NoCorpus(places.absent(self.directory))
            self.local.file = _file(self.path)
            self.local.connection, self.local.at_rest = _connected(self.path)
        return self.local.connection  # type: ignore[no-any-return]

    @property
    def _at_rest(self) -> Stamps | None:
        """The files as this thread opened them, if it had to open them at rest; see `_connected`."""
        return getattr(self.local, "at_rest", None)

    @property
    def state(self) -> tuple[object, ...]:
        """What changes when this process or another changes the corpus."""
        version = self.db.execute("PRAGMA data_version").fetchone()[0]
        return version, self.db.total_changes, self._at_rest

    def has_table(self, name: str) -> bool:
        query = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?"
        return self.db.execute(query, (name,)).fetchone() is not None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the corpus lock: one process writes at a time.

        The operating system releases the lock of a process that dies.
        """
        try:
            private.make_folder(self.directory)
            lock = open(self.directory / "lock", "a+b", buffering=0, opener=private.unlinked)
        except OSError as error:
            raise self._unwritable(error.strerror) from None
        with closing(lock):
            try:
                platform.HERE.lock_within(lock, _MOMENT)
            except BlockingIOError:
                lock.seek(0)
                raise CorpusBusy(
                    f"the corpus in '{self.directory}' is being written by {lock.read().decode().strip() or 'another process'}; wait for it to finish"
                ) from None
            with suppress(OSError):  # on a full disk the holder cannot be recorded; the lock still holds
                lock.truncate(0)
                lock.write(f"process {os.getpid()} since {time.strftime('%Y-%m-%d %H:%M:%S')}".encode())
            if not self.exists():
                self._create()
            if self._at_rest:
                self.close()
            if self.db and self._at_rest:
                raise self._unwritable("SQLite has no place beside it, since the disk is full or read-only")
            for statement in [_creating(name) for name in LATER if not self.has_table(name)]:
                with self.transaction() as db:
                    db.execute(statement)
            yield

    def _create(self) -> None:
        """Make the database under another name and put it in its place whole: nobody reads half of one."""
        self.close()  # what this thread has open was deleted
        new = self.directory / "corpus.new"
        try:
            for left in (*self.directory.glob("corpus.new*"), *self.directory.glob("corpus.sqlite-*")):
                left.unlink()  # by a process that was killed here, or with a database that was deleted
            open(new, "xb", opener=private.unlinked).close()
            with closing(_opened(str(new))) as connection:
                _lay_out(connection)
            new.replace(self.path)
        except (OSError, sqlite3.DatabaseError) as error:
            raise self._unwritable(error) from None

    def _unwritable(self, reason: object) -> CorpusError:
        return CorpusError(
            f"cannot write to the corpus in '{self.directory}': {reason}; choose another --corpus"
        )

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self.db
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            _roll_back(connection)
            raise CorpusError(
                f"cannot write to '{self.path}': {error}; what was there before is intact"
            ) from None
        except BaseException:
            _roll_back(connection)
            raise

    def problems(self) -> list[str]:
        try:
            # SQLite's own length() ends at a NUL.
            self.db.create_function("characters", 1, len, deterministic=True)
            rows = self.db.execute("PRAGMA integrity_check").fetchall()
            missing = self.db.execute("PRAGMA foreign_key_check").fetchall()
        except sqlite3.DatabaseError as error:
            return [f"the database is damaged: {error}"]
        return [f"the database is damaged: {row}" for [row] in rows if row != "ok"] + [
            f"table {row[0]} points at a missing {row[2]}" for row in missing
        ]

    def vacuum(self) -> None:
        self.db.execute("VACUUM")

    def close(self) -> None:
        """Close this thread's connection; the next use opens it again."""
        if hasattr(self.local, "connection"):
            self.local.connection.close()
            del self.local.connection, self.local.at_rest


def _file(path: Path) -> tuple[int, int] | None:
    """Which file is at *path*, if there is one: its device and number."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _connected(path: Path) -> tuple[sqlite3.Connection, Stamps | None]:
    """A connection to the corpus at *path*.

    SQLite keeps its shared memory in a file beside the database.  Where there is no such file and none can be
    made, since the folder is read-only or its disk is full, nobody is writing, and the files are opened at
    rest, without locks; how they were then is returned too.
    """
    if path.is_symlink():
        raise CorpusError(
            f"'{path}' is a symbolic link, which is not followed; name the folder that it leads to"
        )
    with ExitStack() as opened:
        at_rest = None
        try:
            try:
                connection = opened.enter_context(closing(_opened(str(path))))
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in _NO_PLACE:
                    raise
                at_rest = _stamps(path)
                connection = opened.enter_context(closing(_opened(_address_at_rest(path), at_rest=True)))
            if at_rest is None and _pragma(connection, "user_version") == 0:
                _lay_out(connection)
            application, version = (_pragma(connection, name) for name in ("application_id", "user_version"))
            foreign = sorted(_objects(connection) - _own_objects())
        except sqlite3.DatabaseError as error:
            raise CorpusError(
                f"'{path}' cannot be opened as a corpus: {error}; restore it, or ingest into another --corpus"
            ) from None
        if application != _APPLICATION:
            raise CorpusError(
                f"'{path}' was made by an earlier ragkit, whose layout this one does not read; ingest into another --corpus"
            )
        if version < _VERSION:
            raise CorpusError(
                f"'{path}' was made by an earlier ragkit (schema {version}); ingest the papers again, into another --corpus"
            )
        if version > _VERSION:
            raise CorpusError(
                f"'{path}' was written by a newer ragkit (schema {version}); upgrade ragkit to read it"
            )
        if foreign:
            kind, name, _ = foreign[0]
            raise CorpusError(
                f"'{path}' has a {kind} '{name}' that ragkit does not make; ingest into another --corpus"
            )
        opened.pop_all()  # keep it
    return connection, at_rest


def _opened(address: str, at_rest: bool = False) -> sqlite3.Connection:
    """A connection that has read from the database."""
    with ExitStack() as opened:
        connection = opened.enter_context(
            closing(sqlite3.connect(address, timeout=30, isolation_level=None, uri=at_rest))
        )
        if at_rest:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # shared memory is then this process's own
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        _pragma(connection, "user_version")
        opened.pop_all()
    return connection


def _address_at_rest(path: Path) -> str:
    """A write-ahead log that a writer left has the last changes, which `immutable` would pass over."""
    how = "mode=ro&vfs=unix-none" if _stamps(path)[1][0] else "immutable=1"
    return f"file:{quote(str(path))}?{how}"


def _stamps(path: Path) -> Stamps:
    """Size and time of change of a database and of its write-ahead log."""
    found = []
    for file in (path, path.with_name(f"{path.name}-wal")):
        known = file.stat() if file.exists() else None
        found.append((known.st_size, known.st_mtime_ns) if known else (0, 0))
    return found[0], found[1]


def _lay_out(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    if _pragma(connection, "user_version") == 0:  # read again: another process may have been quicker
        for statement in [*SCHEMA.split(";"), *map(_creating, LATER)]:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {_VERSION}")
    connection.execute("COMMIT")


def _creating(table: str) -> str:
    """The statement as corpora keep it, by which they are compared."""
    return f"CREATE TABLE {table} (\n    {LATER[table]}\n) STRICT, WITHOUT ROWID"


def _objects(connection: sqlite3.Connection) -> set[tuple[str, str, str]]:
    """The tables, indexes, views and triggers of a database: kind, name and definition.  Those that SQLite makes
    by itself, which nobody else can, are left out.
    """
    query = "SELECT type, name, coalesce(sql, '') FROM sqlite_schema WHERE type <> 'index' OR sql IS NOT NULL"
    found = connection.execute(query).fetchall()
    return {(kind, name, sql) for kind, name, sql in found if not name.startswith("sqlite_stat")}


@functools.cache
def _own_objects() -> set[tuple[str, str, str]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(f"{SCHEMA}{';'.join(map(_creating, LATER))};")
        return _objects(connection)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
