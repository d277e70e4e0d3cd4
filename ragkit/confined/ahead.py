"""Things worked on beside each other, each by one of several workers, and taken in their order."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Protocol, TypeVar

from ragkit.platform import PATROL

_HELD = 4  # results of a thing that wait to be taken
_AHEAD = 2  # things for each worker that are being worked on or wait to be taken


class Stoppable(Protocol):
    """Works on one thing at a time, and can be stopped from another thread."""

    def stop(self) -> None:
        """Make what is being done fail."""


W = TypeVar("W", bound=Stoppable)
T = TypeVar("T")
R = TypeVar("R")


def in_order(
    workers: Sequence[W], things: Iterable[T], work: Callable[[W, T], Iterator[R]]
) -> Generator[Iterator[R]]:
    """The results of *work* for each of *things*, in their order; those of one are taken to the end before the
    next one.

    While a thing is taken, those after it are worked on.  Closing the generator stops the workers.
    """
    stopped = threading.Event()
    idle: queue.LifoQueue[W] = queue.LifoQueue()
    for worker in reversed(workers):
        idle.put(worker)
    later, working = iter(things), deque[Future[None]]()
    begun = deque[queue.Queue[R | _End]]()
    with ThreadPoolExecutor(len(workers), thread_name_prefix="ahead") as threads:

        def begin(count: int) -> None:
            for thing in islice(later, count):
                begun.append(queue.Queue(_HELD))
                working.append(threads.submit(_fill, begun[-1], thing, work, idle, stopped))

        try:
            begin(_AHEAD * len(workers))
            while begun:
                yield _taken(begun.popleft())
                working.popleft()
                begin(1)
        finally:
            stopped.set()
            while wait(working, timeout=PATROL).not_done:
                for worker in workers:  # until none is left: one may have begun meanwhile
                    worker.stop()


class _End:
    """What stands behind the results of a thing, with what stopped its worker, if anything did."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def _fill(
    results: queue.Queue[R | _End],
    thing: T,
    work: Callable[[W, T], Iterator[R]],
    idle: queue.LifoQueue[W],
    stopped: threading.Event,
) -> None:
    """Work on a thing with an *idle* worker, until all is done or it is *stopped*."""

    def put(given: R | _End) -> bool:
        while not stopped.is_set():
            try:
                results.put(given, timeout=PATROL)
            except queue.Full:
                continue
            return True
        return False

    worker = idle.get()
    try:
        if all(map(put, () if stopped.is_set() else work(worker, thing))):
            put(_End())
    except BaseException as error:  # raised where the thing is taken
        put(_End(error))
    finally:
        idle.put(worker)


def _taken(results: queue.Queue[R | _End]) -> Iterator[R]:
    while True:
        given = results.get()
        if not isinstance(given, _End):
            yield given
        elif given.error:
            raise given.error
        else:
            return
