"""The queue of a corpus in Postgres: files that any number of workers read, and that one of them stores in order.

    waiting    put there by `ragkit ingest --queue`, or given back
    running    a worker holds a lease on it, which it renews, and a token, which no other claim has
    read       its papers are kept in the queue, where no reader of the corpus sees them
    stored     they are in the corpus, in the order in which the files were put there, as one process would have done
    published  the indexes hold them

A worker writes only in transactions that hold the row and compare the token, so one that was paused past its lease, or
cut off, changes nothing more.  From `read` on, whoever holds the corpus lock does the rest.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

from langchain_core.documents import Document

from ragkit.corpus import Corpus
from ragkit.corpus.database import batches
from ragkit.corpus.papers import FailedRead
from ragkit.corpus.store import Connection
from ragkit.errors import CorpusBusy, CorpusError, LeaseLost, LoadError
from ragkit.ingest.reading import Did

log = logging.getLogger("ragkit")

LEASE = 60.0  # seconds
ATTEMPTS = 3
_RENEWALS = 3  # in the time of a lease
_MOST = 900_000_000  # characters of a file's papers as JSON; Postgres takes a value of 1 GB
_PAUSE = 0.2  # seconds between two tries to get the corpus lock
_QUIET = 25  # tries, after which it is said who holds it
_KEPT = "1 day"
"""How long it is known what became of files that are published, for who waits for them."""

_OPEN = "state IN ('waiting', 'running')"
_CLAIM = (
    "UPDATE queue SET state = 'running', attempts = attempts + 1, token = nextval('queue_tokens'), worker = ?,"
    " lease = now() + make_interval(secs => ?), changed = now() WHERE uri = (SELECT uri FROM queue WHERE settings = ?"
    f" AND {_OPEN} AND (state = 'waiting' OR lease < now()) ORDER BY position FOR UPDATE SKIP LOCKED LIMIT 1)"
    " RETURNING uri, token, again, attempts, error"
)
_IN_ORDER = (  # what no file that is still to be read comes before
    f"FROM queue WHERE settings = :settings AND state = 'read' AND position < coalesce((SELECT min(position) FROM queue"
    f" WHERE settings = :settings AND {_OPEN}), 9223372036854775807)"
)


class Lease(NamedTuple):
    """A file that a worker holds by its `token`.

    `again`: the user named it; `attempts`: the how manieth claim it is; `error`: how the last one ended, if known.
    """

    uri: str
    token: int
    again: bool
    attempts: int
    error: str | None


@dataclass
class Kept:
    """What was read of a file and is not in the corpus yet: its papers, or why there are none; nothing if unchanged."""

    digest: str = ""
    papers: Sequence[Document] | None = None
    failure: FailedRead | None = None

    def put_file(self, uri: str, digest: str, loader: str, entries: Sequence[Document]) -> None:
        self.digest, self.papers = digest, entries

    def put_failure(self, uri: str, tried: FailedRead) -> None:
        self.failure = tried

    def dumped(self) -> str:
        papers = [(each.page_content, each.metadata) for each in self.papers or ()]
        return json.dumps([self.digest, None if self.papers is None else papers, self.failure], default=str)

    @classmethod
    def loaded(cls, kept: str) -> Kept:
        digest, papers, failure = json.loads(kept)
        return cls(
            digest,
            papers and [Document(text, metadata=known) for text, known in papers],
            failure and FailedRead(*failure),
        )


class QueueCounts(NamedTuple):
    """How many files of a queue are waiting, running, and read but not yet published; and how many have failed, that
    are published or not.
    """

    waiting: int = 0
    running: int = 0
    read: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Queue:
    """The files in the queue of *corpus* that are to be read with *settings*.

    A claim is lost after *lease* seconds without a renewal; a file that was claimed more than *attempts* times is
    given up.
    """

    corpus: Corpus
    settings: str
    lease: float = LEASE
    attempts: int = ATTEMPTS
    worker: str = field(default_factory=lambda: f"process {os.getpid()} on {socket.gethostname()}")

    def put(self, uris: Sequence[str], again: Collection[str], batch: str) -> None:
        """Put files at the end, as one *batch*; who holds one of them loses it.  Those *again* are tried whatever is known."""
        self.corpus.db.execute(
            f"DELETE FROM queue WHERE state = 'published' AND changed < now() - interval '{_KEPT}'"
        )
        for some in batches(uris):
            rows = [(uri, self.settings, batch, uri in again) for uri in some]
            self.corpus.db.executemany(
                "INSERT INTO queue (uri, settings, batch, again) VALUES (?, ?, ?, ?) ON CONFLICT (uri) DO UPDATE SET"
                " position = excluded.position, settings = excluded.settings, batch = excluded.batch,"
                " again = excluded.again, state = 'waiting', attempts = 0, token = excluded.token, lease = NULL,"
                " worker = NULL, error = NULL, read = NULL, note = NULL, settled = NULL, failed = FALSE, changed = now()",
                rows,
            )

    def claim(self) -> Lease | None:
        """The next file that is waiting, or whose worker has let its lease pass."""
        given = (self.worker, self.lease, self.settings)
        row = self.corpus.db.execute(_CLAIM, given).fetchone()
        return Lease(*row) if row else None

    def count_of_others(self) -> int:
        """How many files are waiting to be read with other settings, by other workers."""
        query = "SELECT count(*) FROM queue WHERE settings <> ? AND state = 'waiting'"
        return int(self.corpus.value(query, (self.settings,)))

    @contextmanager
    def held(self, claim: Lease) -> Iterator[None]:
        """Renew the lease, and let each transaction of this corpus find out first whether the claim still holds.

        A transaction raises `LeaseLost` if it does not.
        """
        ended = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(claim, ended), daemon=True)
        renewing.start()

        def check(db: Connection) -> None:
            if not self._is_held(db, claim):
                raise LeaseLost(
                    f"{claim.uri} was taken by another worker, since this one was away for more than {self.lease:g} s"
                )

        try:
            with self.corpus.store.guarded(check):
                yield
        finally:
            ended.set()
            renewing.join()

    def _is_held(self, db: Connection, claim: Lease) -> bool:
        """Renew the lease, which also holds the row to the end of a transaction."""
        renewed = "UPDATE queue SET lease = now() + make_interval(secs => ?) WHERE uri = ? AND token = ? AND state = 'running'"
        return bool(db.execute(renewed, (self.lease, claim.uri, claim.token)).rowcount)

    def _renew(self, claim: Lease, ended: threading.Event) -> None:
        while not ended.wait(self.lease / _RENEWALS):
            with suppress(CorpusError):  # the next try may be in time
                self._is_held(self.corpus.db, claim)

    def give_back(self, claim: Lease, error: str | None = None) -> None:
        """Let another worker take the file; *error* says what is wrong with it, else the claim does not count."""
        self.corpus.db.execute(
            "UPDATE queue SET state = 'waiting', attempts = attempts - CAST(? AS INTEGER), token = nextval('queue_tokens'), lease = NULL,"
            " error = coalesce(CAST(? AS TEXT), error) WHERE uri = ? AND token = ? AND state = 'running'",
            (int(error is None), error, claim.uri, claim.token),
        )

    def keep(self, claim: Lease, kept: Kept, did: Did) -> None:
        """Keep what was read of a file.  Raises `LeaseLost`, and `LoadError` if it is more than the queue can hold."""
        if len(dumped := kept.dumped()) > _MOST:
            raise LoadError(
                f"its papers take {len(dumped):,} characters, more than the {_MOST:,} that the queue can hold; split it"
            )
        with self.corpus.transaction() as db:
            db.execute(
                "UPDATE queue SET state = 'read', read = ?, note = ?, failed = ?, lease = NULL, changed = now() WHERE uri = ?",
                (dumped, did.model_dump_json(), bool(did.failed), claim.uri),
            )

    def in_order(self) -> list[str]:
        """The files that are read and can be stored, since all those before them are."""
        return self.corpus.column(f"SELECT uri {_IN_ORDER} ORDER BY position", {"settings": self.settings})

    def store(self, uri: str, loader: str) -> None:
        """Put what was read of a file into the corpus, in one transaction; nothing if it was put back into the queue."""
        taken = "UPDATE queue SET state = 'stored', changed = now() WHERE uri = ? AND state = 'read' RETURNING read"
        with self.corpus.transaction() as db:
            if not (row := db.execute(taken, (uri,)).fetchone()):
                return
            kept = Kept.loaded(row[0])
            if kept.papers is not None:
                self.corpus.put_file(uri, kept.digest, loader, kept.papers)
            if kept.failure:
                self.corpus.put_failure(uri, kept.failure)
            db.execute("UPDATE queue SET read = NULL WHERE uri = ?", (uri,))

    def is_drained(self) -> bool:
        """Is everything stored, and something of it not published?"""
        return not self._has(_OPEN) and not self._has("state = 'read'") and self._has("state = 'stored'")

    def is_empty(self) -> bool:
        """Is everything published?"""
        return not any(map(self._has, (_OPEN, "state = 'read'", "state = 'stored'")))

    def _has(self, state: str) -> bool:
        query = f"SELECT EXISTS (SELECT 1 FROM queue WHERE settings = ? AND {state})"
        return bool(self.corpus.value(query, (self.settings,)))

    def published(self, did: Did) -> None:
        """Note that the indexes hold what is stored, and what was done for that."""
        with self.corpus.transaction() as db:
            db.execute(
                "UPDATE queue SET settled = ? WHERE position IN (SELECT max(position) FROM queue WHERE settings = ?"
                " AND state = 'stored' GROUP BY batch)",
                (did.model_dump_json(), self.settings),
            )
            db.execute(
                "UPDATE queue SET state = 'published', changed = now() WHERE settings = ? AND state = 'stored'",
                (self.settings,),
            )

    def of(self, batch: str) -> dict[str, int]:
        """How many files of a batch are in which state."""
        query = "SELECT state, count(*) FROM queue WHERE batch = ? GROUP BY state"
        return dict(self.corpus.db.execute(query, (batch,)).fetchall())

    def did(self, batch: str) -> Did:
        """What was done with the files of a batch."""
        whole = Did()
        query = "SELECT note, settled FROM queue WHERE batch = ? ORDER BY position"
        for row in self.corpus.db.execute(query, (batch,)).fetchall():
            for told in filter(None, row):
                whole.add(Did.model_validate_json(told))
        return whole


def counts_of(corpus: Corpus) -> QueueCounts | None:
    """What is in the queue of a corpus, whatever the settings; None if it has none."""
    if not corpus.has_table("queue"):
        return None
    row: Any = corpus.db.execute(
        "SELECT count(*) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE state = 'running'),"
        " count(*) FILTER (WHERE state IN ('read', 'stored')), count(*) FILTER (WHERE failed) FROM queue"
    ).fetchone()
    return QueueCounts(*row)


@contextmanager
def when_free(corpus: Corpus) -> Iterator[None]:
    """Hold the corpus lock, as soon as nobody else does."""
    with ExitStack() as held:
        for tries in count():
            try:
                held.enter_context(corpus.writing())
                break
            except CorpusBusy as busy:
                if tries == _QUIET:
                    log.warning("%s", busy)
                time.sleep(_PAUSE)
        yield
