"""Fetching generations from a depot in a thread, while questions are answered from earlier ones."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait

from ragkit.errors import DepotError
from ragkit.index import Place
from ragkit.index.depot import Depot
from ragkit.index.folder import FolderIndex

log = logging.getLogger("ragkit")

_AGAIN = 30.0  # seconds after which what could not be fetched is tried again

Wanted = Sequence[tuple[FolderIndex, Place]]


class Fetching:
    """One fetch at a time, which goes on whoever waits for it.  Its thread ends with the program, between two pieces."""

    def __init__(self) -> None:
        self.failure = ""
        """Why the last fetch of what is wanted failed, until one succeeds."""
        self._done: Future[None] | None = None
        self._wanted: Wanted = ()
        self._again = 0.0

    def is_done(self, depot: Depot, wanted: Wanted, patience: float | None) -> bool:
        """Was all that is *wanted* fetched?  Waits *patience* seconds for it, without a limit if that is None.

        Raises `DepotError` if it cannot be fetched; it is tried again after a while.
        """
        if list(wanted) != list(self._wanted):
            # What was wanted before is fetched to its end, as most of its files are wanted still.
            if self._done and not wait([self._done], patience).done:
                return False
            self._begin(depot, wanted, "")
        elif self._done is None or (self._done.done() and self.failure and time.monotonic() > self._again):
            self._begin(depot, wanted, self.failure)
        assert self._done
        if not wait([self._done], patience).done:
            return False
        self._done.result()
        self._done = None
        return True

    def _begin(self, depot: Depot, wanted: Wanted, failure: str) -> None:
        self._done, self._wanted, self.failure = Future(), wanted, failure
        threading.Thread(target=self._fetch, args=(self._done, depot, wanted), name="depot").start()

    def _fetch(self, done: Future[None], depot: Depot, wanted: Wanted) -> None:
        started = time.perf_counter()
        try:
            for index, place in wanted:
                depot.fetch(index, place)
            log.info("fetched %d indexes in %.1f s", len(wanted), time.perf_counter() - started)
            self.failure = ""
            done.set_result(None)
        except BaseException as error:
            self._again, self.failure = time.monotonic() + _AGAIN, str(error) or type(error).__name__
            if not isinstance(error, DepotError):
                log.exception("fetching from the depot failed")
            done.set_exception(error)
