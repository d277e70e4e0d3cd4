"""Caches outcomes and verdicts, so that nothing is asked twice and interrupted runs resume."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from ragkit import private
from ragkit.errors import CorpusError

_SCHEMA = "CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"


class Results:
    """JSON texts by key, in one SQLite file, which threads may share.

    Each is on the disk as soon as it is put.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            private.make_folder(path.parent)
            path.touch(mode=0o600)
            self._database = sqlite3.connect(path, timeout=30, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise self._unwritable(error) from None

    def get(self, key: str) -> str | None:
        with (
            self._lock,
            closing(self._database.execute("SELECT value FROM results WHERE key = ?", (key,))) as rows,
        ):
            row = rows.fetchone()
        return None if row is None else str(row[0])

    def put(self, key: str, value: str) -> None:
        try:
            with self._lock:
                self._database.execute("INSERT OR REPLACE INTO results VALUES (?, ?)", (key, value))
        except sqlite3.OperationalError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: Exception) -> CorpusError:
        return CorpusError(
            f"cannot keep results in '{self.path}': {error}; free some space, or name another folder with --workspace"
        )

    def close(self) -> None:
        self._database.close()
