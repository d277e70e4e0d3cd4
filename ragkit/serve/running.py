"""Questions whose events a client may read again from any number on, after it lost its connection."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from ragkit.text.printable import exact_json

PING = 15.0  # seconds of silence after which a comment is sent, since proxies end connections that are silent
EVENTS = "text/event-stream"
"""The type of server-sent events."""
UNBUFFERED = {"cache-control": "no-store", "x-accel-buffering": "no"}
"""What keeps proxies from holding events back."""


def as_sse(event: dict[str, Any], number: int | None = None) -> bytes:
    """An event of the schema as a server-sent event: its type is the name, *number* the id."""
    identity = None if number is None else str(number)
    return format_sse_event(data_str=exact_json(event), event=event["type"], id=identity)


async def kept_alive(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """*pieces*, with a comment whenever none came for `PING` seconds."""
    async with aclosing(pieces):
        waiting: asyncio.Future[bytes | None] | None = None
        try:
            while True:
                waiting = waiting or asyncio.ensure_future(anext(pieces, None))
                done, _ = await asyncio.wait([waiting], timeout=PING)
                if not done:
                    yield KEEPALIVE_COMMENT
                    continue
                piece, waiting = waiting.result(), None
                if piece is None:
                    return
                yield piece
        finally:
            if waiting and not waiting.done():
                waiting.cancel()
                await asyncio.wait([waiting])


class Running:
    """A question that is being answered: its events so far, numbered from 1, for any number of readers.

    It is given up *patience* seconds after its last reader left.
    """

    def __init__(self, events: AsyncGenerator[dict[str, Any], None], patience: float) -> None:
        self.name = secrets.token_urlsafe(16)
        self.patience = patience
        self.told: list[bytes] = []
        self._readers = 0
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self.task = asyncio.create_task(self._follow(events))

    async def _follow(self, events: AsyncGenerator[dict[str, Any], None]) -> None:
        async with aclosing(events):
            async for event in events:
                self.told.append(as_sse(event, len(self.told) + 1))
                self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def stop(self) -> None:
        """End the question, and the chat model's reply."""
        self.task.cancel()

    async def read(self, after: int = 0) -> AsyncGenerator[bytes, None]:
        """The events after that number, as they come."""
        self._readers += 1
        if self._timer:
            self._timer.cancel()
        try:
            while True:
                while after < len(self.told):
                    after += 1
                    yield self.told[after - 1]
                if self.task.done():
                    return
                changed = asyncio.ensure_future(self._changed.wait())
                try:
                    await asyncio.wait([changed, self.task], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    changed.cancel()
        finally:
            self._readers -= 1
            if not self._readers and not self.task.done():
                self._timer = asyncio.get_running_loop().call_later(self.patience, self._leave)

    def _leave(self) -> None:
        if not self._readers:
            self.stop()


class Questions:
    """The questions that run, and those that ended within the last *patience* seconds, by their names."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._known: dict[str, Running] = {}

    def begin(self, events: AsyncGenerator[dict[str, Any], None]) -> Running:
        running = Running(events, self.patience)
        self._known[running.name] = running
        running.task.add_done_callback(lambda _: self._forget_later(running.name))
        return running

    def _forget_later(self, name: str) -> None:
        asyncio.get_running_loop().call_later(self.patience, self._known.pop, name, None)

    def named(self, name: str) -> Running | None:
        return self._known.get(name)

    async def close(self) -> None:
        tasks = [running.task for running in self._known.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def following(events: AsyncIterator[dict[str, Any]]) -> AsyncGenerator[bytes, None]:
    """Events as server-sent events that cannot be resumed."""
    number = 0
    async for event in events:
        number += 1
        yield as_sse(event, number)
