"""Vectors in Postgres, by its extension pgvector: in the database of the corpus, or in another."""

from __future__ import annotations

import os
import re
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from langchain_core.embeddings import Embeddings
from pydantic import PositiveInt

from ragkit.config.components import component
from ragkit.corpus.database import batches
from ragkit.corpus.postgres import close_ours, first_line
from ragkit.document import Key
from ragkit.errors import CorpusError, UsageError
from ragkit.index import Hit, VectorIndex, best_passages
from ragkit.index.collection import CollectionIndex, Rows
from ragkit.models.embeddings import Vectors, query_vectors_of

if TYPE_CHECKING:
    import psycopg

_NEVER = 2**63 - 1  # the generation that removes a row that is still there
_PAGE = 10_000  # rows that are listed at once
_NAMED = 20_000  # passages that pass a filter and are named in the search
_SENT = (
    1_000  # of these, what a search sends along; more are sent once for a filter, to a table of the session
)
_SESSION = "-c hnsw.ef_search=200 -c hnsw.iterative_scan=strict_order"
"""How thoroughly the graph is searched, and that it is searched on where a condition leaves too few."""

_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE IF NOT EXISTS {schema}.writers (name text PRIMARY KEY, generation bigint NOT NULL);
CREATE TABLE IF NOT EXISTS {schema}.sealed (name text, generation bigint, PRIMARY KEY (name, generation));
CREATE TABLE IF NOT EXISTS {table} (
    passage uuid, n integer, added bigint, removed bigint NOT NULL, vector halfvec({size}) NOT NULL,
    PRIMARY KEY (passage, n, added)
);
CREATE INDEX IF NOT EXISTS "{name}-added" ON {table} (added);
CREATE INDEX IF NOT EXISTS "{name}-removed" ON {table} (removed) WHERE removed < {never}
"""
_SEEN = "added <= %(generation)s AND removed > %(generation)s"


@component("pgvector")
@dataclass(frozen=True)
class PgvectorIndex(CollectionIndex, VectorIndex):
    """Vectors in 16 bits in the Postgres database at `url`, which has pgvector; scores by cosine, clipped to 0..1.

    Corpora that share a database need schemas of their own.  Up to `compared` vectors all are compared, which is exact;
    of more, a graph (HNSW) is searched.  A filter that at most 20,000 passages pass is always exact.
    """

    embed: Embeddings
    url: str
    schema: str = "ragkit_vectors"
    compared: PositiveInt = 20_000

    def __post_init__(self) -> None:
        if not re.fullmatch(r"postgres(ql)?://.+", self.url):
            raise ValueError(
                "the url of a database begins with postgresql://, such as postgresql://user@host/database"
            )
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", self.schema):
            raise ValueError(f"'{self.schema}' is no name for a schema: use small letters, digits and '_'")

    def rows(self, name: str) -> Rows:
        return _PgvectorRows(self, name)


class _PgvectorRows(Rows):
    """A table for each index; the tables `writers` and `sealed` note what is being written and what is complete.

    Each thread has a connection of its own.
    """

    def __init__(self, index: PgvectorIndex, name: str) -> None:
        self.index, self.name = index, name
        self.table = f'{index.schema}."{name}"'
        self.local = threading.local()
        self.opened: weakref.WeakSet[_Held] = weakref.WeakSet()

    def begin(self, generation: int, last: int | None) -> None:
        size = len(self.index.embed.embed_query("size"))
        made = _SCHEMA.format(
            schema=self.index.schema, table=self.table, name=self.name, size=size, never=_NEVER
        )
        kept = generation - 1 if last is None else last
        given = {"name": self.name, "generation": generation, "kept": kept, "never": _NEVER}
        with self._transaction() as execute:
            execute(made)
            execute(
                f"INSERT INTO {self.index.schema}.writers VALUES (%(name)s, %(generation)s)"
                " ON CONFLICT (name) DO UPDATE SET generation = excluded.generation",
                given,
            )
            execute(f"DELETE FROM {self.table} WHERE added > %(kept)s", given)
            execute(
                f"DELETE FROM {self.index.schema}.sealed WHERE name = %(name)s AND generation > %(kept)s",
                given,
            )
            if last is None:
                execute(f"UPDATE {self.table} SET removed = %(generation)s WHERE removed = %(never)s", given)
            else:
                execute(
                    f"UPDATE {self.table} SET removed = %(never)s WHERE removed > %(kept)s"
                    f" AND removed < {_NEVER}",
                    given,
                )

    def add(self, keys: Sequence[Key], vectors: Vectors | None, generation: int) -> None:
        assert vectors is not None
        written = np.asarray(vectors, dtype=np.float16).tolist()
        into = f"COPY {self.table} (passage, n, added, removed, vector) FROM STDIN"
        with self._transaction(generation), self._told() as connection:
            with connection.cursor().copy(into.encode()) as copy:
                for key, vector in zip(keys, written, strict=True):
                    copy.write_row((key.passage, key.n, generation, _NEVER, str(vector)))

    def remove(self, passages: Collection[str], generation: int) -> int:
        statement = f"UPDATE {self.table} SET removed = %s WHERE removed = %s AND passage = ANY(%s::uuid[])"
        with self._transaction(generation) as execute:
            return int(execute(statement, (generation, _NEVER, list(passages))).rowcount)

    def seal(self, generation: int) -> None:
        graph = f'{self.index.schema}."{self.name}-hnsw"'
        with self._transaction(generation) as execute:
            if self._value("SELECT to_regclass(%s)", graph) is None:
                if self.count(generation) > self.index.compared:
                    execute(
                        f'CREATE INDEX "{self.name}-hnsw" ON {self.table} USING hnsw (vector halfvec_cosine_ops)'
                    )
                    execute(f"ANALYZE {self.table}")
            execute(f"INSERT INTO {self.index.schema}.sealed VALUES (%s, %s)", (self.name, generation))

    def is_sealed(self, generation: int) -> bool:
        sealed = f"{self.index.schema}.sealed"
        tables = self._value("SELECT num_nonnulls(to_regclass(%s), to_regclass(%s))", sealed, self.table)
        noted = f"SELECT count(*) FROM {sealed} WHERE name = %s AND generation = %s"
        return tables == 2 and bool(self._value(noted, self.name, generation))

    def drop(self, generation: int) -> None:
        with self._transaction() as execute:
            execute(f"DELETE FROM {self.table} WHERE removed <= %s AND removed < {_NEVER}", (generation,))
            execute(
                f"DELETE FROM {self.index.schema}.sealed WHERE name = %s AND generation < %s",
                (self.name, generation),
            )

    def search(
        self, queries: Sequence[str], k: int, generation: int, among: Set[str] | None
    ) -> list[list[Hit]]:
        return [
            self._nearest(str(vector.tolist()), k, generation, among) if vector.any() else []
            for vector in query_vectors_of(self.index.embed, queries)
        ]

    def _nearest(self, vector: str, k: int, generation: int, among: Set[str] | None) -> list[Hit]:
        if among is not None and not among:
            return []
        named = among if among is not None and len(among) <= _NAMED else None

        def best(wanted: int) -> list[Hit]:
            given = {"vector": vector, "generation": generation, "wanted": wanted}
            seen = f"SELECT passage, n, vector FROM {self.table} WHERE {_SEEN}"
            if named is not None and self._is_kept(named):
                seen = f"{seen} AND passage IN (SELECT passage FROM pg_temp.named)"
            elif named is not None:
                seen, given = f"{seen} AND passage = ANY(%(named)s::uuid[])", {**given, "named": list(named)}
            elif len(found := self._ranked(seen, given)) == wanted:
                return found
            # OFFSET keeps the graph out of it, which may end before it has led to all.
            return self._ranked(f"{seen} OFFSET 0", given)

        return best_passages(best, k, lambda hit: hit.passage, None if named is not None else among)

    def _is_kept(self, named: Set[str]) -> bool:
        """Send the passages that pass a filter to a table of this session, unless it has them.

        False where there is no such table: of few passages, and on a standby.
        """
        with self._told() as connection:
            if len(named) <= _SENT or connection.info.parameter_status("in_hot_standby") == "on":
                return False
            if getattr(self.local, "named", None) != (connection, named):
                with connection.transaction(), connection.cursor() as cursor:
                    cursor.execute("DROP TABLE IF EXISTS pg_temp.named")
                    cursor.execute("CREATE TEMP TABLE named (passage uuid PRIMARY KEY)")
                    with cursor.copy("COPY pg_temp.named FROM STDIN") as copy:
                        for some in batches(named):
                            copy.write("".join(f"{passage}\n" for passage in some))
                    cursor.execute("ANALYZE pg_temp.named")
                self.local.named = connection, named
            return True

    def _ranked(self, seen: str, given: dict[str, Any]) -> list[Hit]:
        """The best of the rows that the query *seen* finds."""
        distance = "vector <=> %(vector)s::halfvec"
        statement = f"SELECT passage::text, n, 1 - ({distance}) FROM ({seen}) AS seen ORDER BY {distance} LIMIT %(wanted)s"
        found = self._rows(statement, given)
        return [Hit(passage, min(max(0.0, score), 1.0), n) for passage, n, score in found]

    def entries(self, generation: int) -> Iterator[tuple[str, int]]:
        last = ("00000000-0000-0000-0000-000000000000", -1)
        page = (
            f"SELECT passage::text, n FROM {self.table} WHERE {_SEEN} AND (passage, n) > (%(passage)s::uuid, %(n)s)"
            f" ORDER BY passage, n LIMIT {_PAGE}"
        )
        while found := self._rows(page, {"generation": generation, "passage": last[0], "n": last[1]}):
            yield from found
            last = found[-1]

    def count(self, generation: int) -> int:
        [[number]] = self._rows(
            f"SELECT count(*) FROM {self.table} WHERE {_SEEN}", {"generation": generation}
        )
        return int(number)

    def close(self) -> None:
        for held in list(self.opened):
            held.session.close()

    def _value(self, statement: str, *parameters: object) -> Any:
        [[value]] = self._rows(statement, parameters)
        return value

    def _rows(self, statement: str, parameters: Any) -> list[Any]:
        with self._told() as connection:
            return connection.execute(statement.encode(), parameters).fetchall()

    @contextmanager
    def _transaction(self, writer: int | None = None) -> Iterator[Callable[..., psycopg.Cursor[Any]]]:
        """A transaction, by the function that executes its statements; one of the *writer* of a generation, if given.

        The row in `writers` stays locked to its end, so that no other writer begins meanwhile.
        """
        with self._told() as connection, connection.transaction():

            def execute(statement: str, parameters: Any = None) -> psycopg.Cursor[Any]:
                return connection.execute(statement.encode(), parameters)

            if writer is not None:
                mine = f"SELECT generation FROM {self.index.schema}.writers WHERE name = %s FOR SHARE"
                if execute(mine, (self.name,)).fetchone() != (writer,):
                    raise self.refuse(self.name)
            yield execute

    @contextmanager
    def _told(self) -> Iterator[psycopg.Connection[Any]]:
        """This thread's connection; what the server says is a `CorpusError`."""
        try:
            import psycopg

            from ragkit.corpus import sessions
        except ImportError:
            raise UsageError("the index 'pgvector' needs psycopg; pip install 'ragkit[postgres]'") from None
        try:
            held: _Held | None = getattr(self.local, "held", None)
            if held is None or held.session.closed:
                held = self.local.held = _Held(sessions.connected(self.index.url, _SESSION))
                self.opened.add(held)
            yield held.session
        except psycopg.Error as error:
            raise CorpusError(
                f"index {self.name} in Postgres cannot be read or written: {first_line(error)}"
            ) from None


class _Held:
    """A session that is closed when the thread that holds it has ended."""

    def __init__(self, session: psycopg.Connection[Any]) -> None:
        self.session = session
        weakref.finalize(self, close_ours, session, os.getpid())
