"""Sessions of Postgres that fail in seconds when the server is gone: cut off, or there and silent.

Imported where it is needed, since psycopg is optional.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import psycopg
from psycopg.errors import ConnectionTimeout

SILENCE = 5.0
"""Seconds without a word, after which a server is asked on a second connection whether it is there."""

_QUICK: dict[str, Any] = {
    "connect_timeout": 2,
    "tcp_user_timeout": 3000,
    "keepalives_idle": 1,
    "keepalives_interval": 1,
    "keepalives_count": 2,
}
"""How soon a connection to a server that cannot be reached fails, in seconds and milliseconds: libpq waits for minutes."""

_NOTICES = "-c tcp_keepalives_idle=1 -c tcp_keepalives_interval=1 -c tcp_keepalives_count=2 -c tcp_user_timeout=10000"
"""How soon a server ends the session of a process that cannot be reached, and lets go of its locks: in 10 seconds, not hours."""


class WatchedConnection(psycopg.Connection[Any]):
    """A connection whose statements may take long, but not longer than the server is there."""

    address: str

    def wait(self, gen: Generator[Any, Any, Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        return super().wait(self._watched(gen), interval, timeout)

    def _watched(self, steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """*steps*, which are sent what the socket is ready for, and 0 after each interval in which nothing came."""
        ready, heard = None, time.monotonic()
        while True:
            try:
                wanted = steps.send(ready)
            except StopIteration as done:
                return done.value
            ready = yield wanted
            if ready:
                heard = time.monotonic()
            elif time.monotonic() - heard > SILENCE:
                self._ask()
                heard = time.monotonic()

    def _ask(self) -> None:
        """Close the session if its server lets nobody in; one that refuses to has answered."""
        here: dict[str, Any] = {"host": self.info.host, "port": self.info.port, "target_session_attrs": "any"}
        try:
            psycopg.connect(self.address, **here, **_QUICK).close()
        except ConnectionTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError("the server does not answer") from None
        except psycopg.OperationalError:
            return


def connected(url: str, options: str) -> WatchedConnection:
    """A session at *url* with settings *options* (`-c name=value`), in which each statement is a transaction.

    Raises `psycopg.Error` if the server cannot be reached.
    """
    session = WatchedConnection.connect(url, autocommit=True, options=f"{_NOTICES} {options}", **_QUICK)
    session.address = url
    return session
