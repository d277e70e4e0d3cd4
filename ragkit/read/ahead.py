"""Units read beside each other, each by one of several readers, and taken in their order."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Protocol

from langchain_core.documents import Document

from ragkit.platform import PATROL

_HELD = 4  # batches of a unit that wait to be taken
_AHEAD = 2  # units for each reader that are being read or wait to be taken

Batch = list[Document]
_Batches = queue.Queue[Batch | BaseException | None]
"""The batches of a unit, and at their end None, or what stopped its reader."""


class StoppableReader(Protocol):
    """Reads one unit at a time, and can be stopped from another thread."""

    def read(self, uri: str) -> Iterator[Batch]: ...

    def stop(self) -> None:
        """Make what is being read fail."""


def read_ahead(readers: Sequence[StoppableReader], uris: Sequence[str]) -> Generator[Iterator[Batch]]:
    """The batches of each of *uris*, in their order; those of one are taken to the end before the next one.

    While a unit is taken, those after it are read.  Closing the generator stops the readers.
    """
    stopped = threading.Event()
    idle: queue.LifoQueue[StoppableReader] = queue.LifoQueue()
    for reader in reversed(readers):
        idle.put(reader)
    later, reading, begun = iter(uris), deque[Future[None]](), deque[_Batches]()
    with ThreadPoolExecutor(len(readers), thread_name_prefix="read") as threads:

        def begin(count: int) -> None:
            for uri in islice(later, count):
                begun.append(_Batches(_HELD))
                reading.append(threads.submit(_fill, begun[-1], uri, idle, stopped))

        try:
            begin(_AHEAD * len(readers))
            while begun:
                yield _taken(begun.popleft())
                reading.popleft()
                begin(1)
        finally:
            stopped.set()
            while wait(reading, timeout=PATROL).not_done:
                for reader in readers:  # until none is left: one may have begun meanwhile
                    reader.stop()


def _fill(
    batches: _Batches, uri: str, idle: queue.LifoQueue[StoppableReader], stopped: threading.Event
) -> None:
    """Read *uri* with an *idle* reader, until all is read or it is *stopped*."""

    def put(given: Batch | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                batches.put(given, timeout=PATROL)
            except queue.Full:
                continue
            return True
        return False

    reader = idle.get()
    try:
        if all(map(put, () if stopped.is_set() else reader.read(uri))):
            put(None)
    except BaseException as error:  # raised where the unit is taken
        put(error)
    finally:
        idle.put(reader)


def _taken(batches: _Batches) -> Iterator[Batch]:
    while (given := batches.get()) is not None:
        if isinstance(given, BaseException):
            raise given
        yield given
