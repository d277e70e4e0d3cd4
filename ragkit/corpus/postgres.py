"""A corpus in Postgres, which several machines share.

The tables are those of SQLite, in a schema of their own.  One process writes at a time: it holds an advisory lock, which
the server releases when its session ends, and a token, without which no later transaction of a process that lost its
session is accepted.
"""

from __future__ import annotations

import functools
import os
import re
import socket
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ragkit import private
from ragkit.config.components import component
from ragkit.corpus.schema import LATER, SCHEMA
from ragkit.corpus.store import Connection, CorpusPlace, Cursor, Store, check_depot
from ragkit.errors import CorpusBusy, CorpusError, NoCorpus, UsageError

if TYPE_CHECKING:
    import psycopg

_QUEUE = """
CREATE SEQUENCE queue_tokens;
CREATE TABLE queue (
    uri TEXT COLLATE "C" PRIMARY KEY, position BIGSERIAL, settings TEXT NOT NULL, batch TEXT NOT NULL,
    again BOOLEAN NOT NULL, state TEXT NOT NULL DEFAULT 'waiting', attempts INTEGER NOT NULL DEFAULT 0,
    token BIGINT NOT NULL DEFAULT nextval('queue_tokens'), lease TIMESTAMPTZ, worker TEXT,
    error TEXT, read TEXT, note TEXT, settled TEXT, failed BOOLEAN NOT NULL DEFAULT FALSE, changed TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX queue_open ON queue (settings, position) WHERE state IN ('waiting', 'running');
CREATE INDEX queue_read ON queue (settings, position) WHERE state = 'read';
CREATE INDEX queue_stored ON queue (settings, position) WHERE state = 'stored';
CREATE INDEX queue_batch ON queue (batch)
"""
"""The files that workers share among themselves, which only Postgres has; see `ragkit.ingest.queue`."""

_IDENTITY = "ALTER TABLE corpus ADD COLUMN identity TEXT NOT NULL DEFAULT gen_random_uuid()"

_RENEWED = """
CREATE TABLE renewed (
    "index" TEXT COLLATE "C" NOT NULL REFERENCES indexes ON DELETE CASCADE, document TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY ("index", document)
)
"""

_VERSION = 4  # of the tables; `_MIGRATIONS` leads from one to the next
_MIGRATIONS: dict[int, tuple[str, ...]] = {2: (_QUEUE,), 3: (_IDENTITY,), 4: (_RENEWED,)}
"""The statements that make the tables of a version from those of the version before."""

_WAITS = "-c lock_timeout=30s -c idle_in_transaction_session_timeout=60s"
"""How long a statement waits for another's lock, as SQLite does, and a server for who left a transaction open."""

_FUNCTIONS = """
CREATE FUNCTION json_each(given text) RETURNS TABLE (key text, value text) LANGUAGE sql IMMUTABLE AS $$
    SELECT NULL, each FROM pg_catalog.json_array_elements_text(
        CASE WHEN pg_catalog.json_typeof(given::json) = 'array' THEN given::json ELSE '[]' END) AS each
    UNION ALL SELECT * FROM pg_catalog.json_each_text(
        CASE WHEN pg_catalog.json_typeof(given::json) = 'object' THEN given::json ELSE '{}' END) $$;
CREATE FUNCTION json_extract(given text, path text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT given::json ->> substr(path, 3) $$;
CREATE FUNCTION characters(given text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT length(given) $$;
CREATE TABLE corpus (
    version BIGINT NOT NULL, changes BIGINT NOT NULL, token BIGINT NOT NULL, holder TEXT NOT NULL
);
INSERT INTO corpus VALUES (0, 0, 0, '')
"""
"""What the tables lack that SQLite has, and the row that knows how often the corpus was changed and who writes it."""


@component("postgres")
@dataclass(frozen=True)
class PostgresCorpus(CorpusPlace):
    """A corpus in the Postgres database at `url`, such as `postgresql://user@host/database`.

    Its tables are in `schema`.  `folder` holds what this machine derives from it: indexes and files that were fetched.
    `depot` is a directory or an object store (`s3://bucket/path`, `gs://`, `az://`) through which machines ship indexes to
    each other, so that one builds them for all.
    """

    url: str
    folder: Path = Path(".ragkit")
    schema: str = "ragkit"
    depot: str | None = None

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("postgresql", "postgres"):
            raise ValueError(
                "the url of a corpus begins with postgresql://, such as postgresql://user@host/database"
            )
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", self.schema):
            raise ValueError(f"'{self.schema}' is no name for a schema: use small letters, digits and '_'")
        if self.depot is not None:
            check_depot(self.depot)

    def store(self) -> Store:
        return PostgresStore(self)


class PostgresStore(Store):
    """The database at *place*."""

    is_shared = True

    def __init__(self, place: PostgresCorpus) -> None:
        self.place, self.directory, self.depot = place, place.folder, place.depot
        self.local = threading.local()
        self.token: int | None = None  # what allows this process to write, while it holds the lock
        self._guard: Callable[[Connection], None] | None = None

    @property
    def name(self) -> str:
        parts = urlsplit(self.place.url)
        shown = parts.netloc.rpartition("@")[2]
        schema = "" if self.place.schema == "ragkit" else f" ({self.place.schema})"
        return f"{parts.scheme}://{shown}{parts.path}{schema}"

    def exists(self) -> bool:
        with suppress(NoCorpus):
            return bool(self.db)
        return False

    @property
    def db(self) -> Connection:
        known: _Connection | None = getattr(self.local, "connection", None)
        if known is None or known.inner.closed:
            self.close()
            known = self._connected()
            found = self._version(known)
            if found is None:
                known.close()
                raise NoCorpus(f"there is no corpus in '{self.name}'; `ragkit ingest PATH` makes one")
            if found > _VERSION:
                known.close()
                raise self._too_new(found)
            self.local.connection = known
        return known

    def stream(self, statement: str) -> Iterator[Any]:
        connection = self.db
        assert isinstance(connection, _Connection)
        return connection.stream(statement)

    @property
    def state(self) -> tuple[object, ...]:
        return tuple(self.db.execute("SELECT changes FROM corpus").fetchone())

    @property
    def identity(self) -> str:
        found = self.db.execute("SELECT to_jsonb(corpus) ->> 'identity' FROM corpus").fetchone()
        return str(found[0] or "")  # tables of an earlier ragkit lack it until somebody writes

    def has_table(self, name: str) -> bool:
        return self.db.execute("SELECT to_regclass(?)", (name,)).fetchone()[0] is not None

    @contextmanager
    def writing(self) -> Iterator[None]:
        private.make_folder(self.directory)
        with closing(self._connected()) as lock:
            key = "hashtextextended(current_database() || ' ' || ?, 0)"
            if not lock.execute(f"SELECT pg_try_advisory_lock({key})", (self.place.schema,)).fetchone()[0]:
                holder = (
                    ""
                    if self._version(lock) is None
                    else lock.execute("SELECT holder FROM corpus").fetchone()[0]
                )
                raise CorpusBusy(
                    f"the corpus in '{self.name}' is being written by {holder or 'another process'}; wait for it to finish"
                )
            self._migrate(lock)
            holder = f"process {os.getpid()} on {socket.gethostname()}"
            took = "UPDATE corpus SET token = token + 1, holder = ? RETURNING token"
            self.token = int(lock.execute(took, (holder,)).fetchone()[0])
            try:
                yield
            finally:
                self.token = None
                with suppress(CorpusError):  # of a session that is lost: the server lets go by itself, later
                    lock.execute(f"SELECT pg_advisory_unlock({key})", (self.place.schema,))

    def _migrate(self, lock: _Connection) -> None:
        """Make the tables, or bring those of an earlier ragkit up to date, in one transaction."""
        found = self._version(lock)
        if found == _VERSION:
            return
        if found is not None and found > _VERSION:
            raise self._too_new(found)
        with lock.transaction():
            if found is None:
                lock.execute(f"CREATE SCHEMA IF NOT EXISTS {self.place.schema}")
                steps = _tables()
            else:
                steps = [step for n in range(found + 1, _VERSION + 1) for step in _MIGRATIONS[n]]
            for step in steps:
                lock.inner.execute(step.encode())
            lock.execute("UPDATE corpus SET version = ?", (_VERSION,))

    def _too_new(self, found: int) -> CorpusError:
        return CorpusError(
            f"'{self.name}' was written by a newer ragkit (schema {found}); upgrade ragkit to read it"
        )

    @staticmethod
    def _version(connection: _Connection) -> int | None:
        """The version of the tables; None if there are none."""
        if connection.execute("SELECT to_regclass('corpus')").fetchone()[0] is None:
            return None
        return int(connection.execute("SELECT version FROM corpus").fetchone()[0])

    @contextmanager
    def guarded(self, check: Callable[[Connection], None]) -> Iterator[None]:
        self._guard = check
        try:
            yield
        finally:
            self._guard = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        connection = self.db
        assert isinstance(connection, _Connection)
        mine = "" if self.token is None else " WHERE token = ?"
        with connection.transaction():
            if self._guard:
                self._guard(connection)
                yield connection
                return
            # this row is what one transaction waits for another by
            changed = connection.execute(
                f"UPDATE corpus SET changes = changes + 1{mine}", () if self.token is None else (self.token,)
            )
            if changed.rowcount == 0:
                raise CorpusError(
                    f"another process writes to the corpus in '{self.name}', since the connection to it was lost; nothing"
                    " of this change was kept"
                )
            yield connection

    def problems(self) -> list[str]:
        return []  # the server checks its own pages, and its constraints hold

    def vacuum(self) -> None:
        self.db.execute("VACUUM vectors")

    def close(self) -> None:
        if known := getattr(self.local, "connection", None):
            known.close()
            del self.local.connection

    def _connected(self) -> _Connection:
        try:
            import psycopg

            from ragkit.corpus import sessions
        except ImportError:
            raise UsageError("a corpus in Postgres needs psycopg; pip install 'ragkit[postgres]'") from None
        try:
            inner = sessions.connected(self.place.url, f"-c search_path={self.place.schema} {_WAITS}")
        except psycopg.Error as error:
            raise CorpusError(f"the corpus in '{self.name}' cannot be reached: {first_line(error)}") from None
        return _Connection(inner, self.name)


class _Connection:
    """A connection that takes the statements of SQLite; what the server says is a `CorpusError`."""

    def __init__(self, inner: psycopg.Connection[Any], name: str) -> None:
        self.inner, self.name = inner, name
        weakref.finalize(self, close_ours, inner, os.getpid())  # of a thread that has ended

    def execute(self, statement: str, parameters: Any = (), /) -> Cursor:
        with self._told():
            return self.inner.execute(_translated(statement), parameters)

    def stream(self, statement: str) -> Iterator[Any]:
        """The rows of a statement, which the server keeps until they are read."""
        with self._told(), self.inner.cursor("stream", withhold=True) as cursor:
            yield from cursor.execute(_translated(statement))

    def executemany(self, statement: str, rows: Iterable[Any], /) -> None:
        with self._told():
            self.inner.cursor().executemany(_translated(statement), rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._told(), self.inner.transaction():
            yield

    @contextmanager
    def _told(self) -> Iterator[None]:
        import psycopg

        try:
            yield
        except (
            psycopg.OperationalError,
            psycopg.InternalError,
            psycopg.DataError,
            psycopg.errors.InsufficientPrivilege,
        ) as error:
            raise CorpusError(
                f"cannot read or write the corpus in '{self.name}': {first_line(error)}; what was there before is intact"
            ) from None

    def close(self) -> None:
        self.inner.close()


def close_ours(inner: psycopg.Connection[Any], process: int) -> None:
    """Close a connection of this process; one that was forked would end the session of its parent."""
    if process == os.getpid():
        inner.close()


def first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


@functools.cache
def _translated(statement: str) -> bytes:
    """A statement as psycopg writes its values."""
    quoted = statement.replace("%", "%%").replace("?", "%s")
    return re.sub(r"(?<![:\w]):([a-z]\w*)", r"%(\1)s", quoted).encode()


def _tables() -> list[str]:
    """The statements that make all tables, with SQLite's order of texts."""
    later = [f"CREATE TABLE {name} ({columns})" for name, columns in LATER.items()]
    made = ";".join([SCHEMA.strip().rstrip(";"), *later])
    for sqlite, postgres in {
        r"\) STRICT(, WITHOUT ROWID)?": ")",
        r"\bTEXT\b": 'TEXT COLLATE "C"',
        r"\bBLOB\b": "BYTEA",
        r"\bINTEGER\b": "BIGINT",
    }.items():
        made = re.sub(sqlite, postgres, made)
    return [_FUNCTIONS, *made.split(";"), _QUEUE, _IDENTITY]
