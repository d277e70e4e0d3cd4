"""Runs questions and ingests beside the event loop of the server, which only moves bytes.

Questions share an event loop in a thread of its own, so that a client that goes away cancels its question in
the midst of a chat model's reply.  Ingests run one after another in another thread, since one process writes a corpus
at a time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing, closing, suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class _Ended:
    """The last entry of a queue: the work is over, or failed."""

    error: BaseException | None = None


class Engine:
    """A loop for questions and a thread for ingests; `close` ends both."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="questions", daemon=True)
        self._thread.start()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="ingest")

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of *work*, awaited on the engine's loop; cancelling the caller cancels it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def stream(self, make: Callable[[], AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
        """What the iterator yields on the engine's loop; closing this one closes that one."""
        home, queue = asyncio.get_running_loop(), asyncio.Queue[T | _Ended]()

        async def pump() -> None:
            ended = _Ended()
            try:
                async with aclosing(make()) as made:
                    async for each in made:
                        _tell(home, queue, each)
            except Exception as error:
                ended = _Ended(error)
            _tell(home, queue, ended)

        working = asyncio.run_coroutine_threadsafe(pump(), self._loop)
        try:
            async with aclosing(_entries(queue)) as entries:
                async for each in entries:
                    yield each
        finally:
            working.cancel()

    async def write(self, make: Callable[[], Generator[T, None, None]]) -> AsyncGenerator[T, None]:
        """What the generator yields in the thread that writes, once those before it are done.

        Closing this one closes that one before its next step.
        """
        home, queue, unwanted = asyncio.get_running_loop(), asyncio.Queue[T | _Ended](), threading.Event()

        def pump() -> None:
            ended = _Ended()
            try:
                with closing(make()) as made:
                    for each in made:
                        if unwanted.is_set():
                            break
                        _tell(home, queue, each)
            except Exception as error:
                ended = _Ended(error)
            _tell(home, queue, ended)

        working: Future[None] = self._writer.submit(copy_context().run, pump)
        try:
            async with aclosing(_entries(queue)) as entries:
                async for each in entries:
                    yield each
        finally:
            unwanted.set()
            working.cancel()

    def close(self) -> None:
        """End what still runs, and both threads."""
        self._writer.shutdown(wait=True, cancel_futures=True)
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()


async def _entries(queue: asyncio.Queue[T | _Ended]) -> AsyncGenerator[T, None]:
    while not isinstance(each := await queue.get(), _Ended):
        yield each
    if each.error is not None:
        raise each.error


def _tell(home: asyncio.AbstractEventLoop, queue: asyncio.Queue[T | _Ended], each: T | _Ended) -> None:
    with suppress(RuntimeError):  # the server's loop is closed: nobody waits any more
        home.call_soon_threadsafe(queue.put_nowait, each)


async def last_of(events: AsyncIterator[T]) -> T:
    """The last of *events*, of which there is at least one."""
    async for event in events:
        last = event
    return last
