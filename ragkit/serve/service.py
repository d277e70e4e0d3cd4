"""What all routes share: the configurations that answer, the engine that runs them, and the limits."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath
from typing import Any, TypeVar

from fastapi import Request
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel

from ragkit import events
from ragkit.answer import Answer
from ragkit.check.result import Check
from ragkit.config.spec import parts_of
from ragkit.rag import Rag
from ragkit.serve.engine import Engine
from ragkit.serve.failures import Refusal, told
from ragkit.serve.metrics import Metrics
from ragkit.serve.running import Questions
from ragkit.serve.shapes import Ask, CheckText, SearchFor
from ragkit.trace import Trace

log = logging.getLogger("ragkit.serve")
T = TypeVar("T")

PAGE = Path(__file__).parent / "page"
"""The files of the page, as they are served."""
_FIRST = "What is known of this subject?"
"""The question that loads the models when the server starts."""
COMPUTING = 2
"""Questions and checks that compute at once; others wait for their turn, since more at once would not be done sooner,
and would keep searches waiting.
"""
SEARCHING = min(32, (os.cpu_count() or 1) + 4) - COMPUTING
"""Searches that run at once: as many as leave threads of the event loop (so many has `asyncio`) to questions, whose steps would else
wait behind all searches.
"""
_CHECKED_EVERY = 0.1  # seconds between two looks whether the client of a plain request is still there


@dataclass(frozen=True)
class Limits:
    """What one request may ask for.  `resumed_for`: seconds for which a question goes on without a reader, and is kept."""

    resumed_for: float = 10.0
    bytes_a_file: int = 100_000_000
    bytes_an_upload: int = 500_000_000
    bytes_a_body: int = 2_000_000
    files_an_upload: int = 100
    seconds_a_body: float = 30.0
    seconds_an_upload: float = 900.0


@dataclass
class Service:
    """The configurations by name, the first of which is the default, over one corpus.

    `base`: the address in citations, where it is not that of the request; `listens`: where
    the server listens, if it does; `framed_by`: origins whose pages may show the page of a paper in a frame.
    """

    rags: Mapping[str, Rag]
    limits: Limits = Limits()
    base: str = ""
    listens: str = ""
    open_webui: bool = False
    framed_by: Collection[str] = ()
    engine: Engine = field(default_factory=Engine)

    def __post_init__(self) -> None:
        self.questions = Questions(self.limits.resumed_for)
        self.metrics = Metrics()
        self._warming: asyncio.Task[None] | None = None
        self._turns = asyncio.Semaphore(COMPUTING)  # of the engine's loop
        self._searches = asyncio.Semaphore(SEARCHING)
        self._chats = {name for name, rag in self.rags.items() if uses_chat_model(rag)}

    @property
    def default(self) -> str:
        return next(iter(self.rags))

    @property
    def rag(self) -> Rag:
        """The default configuration, whose corpus is the one that is served."""
        return self.rags[self.default]

    def named(self, model: str | None) -> Rag:
        """The configuration of that name; raises `Refusal` if there is none."""
        if not model:
            return self.rag
        if model not in self.rags:
            known = ", ".join(self.rags)
            raise Refusal(404, "model_not_found", f"there is no configuration '{model}'; choose {known}")
        return self.rags[model]

    def address(self, request: Request) -> str:
        """What the addresses in an answer begin with."""
        return self.base or str(request.base_url).rstrip("/")

    def warm_up(self) -> None:
        """Begin to open the indexes and to load the models, which questions wait for: each is loaded once."""
        self._warming = asyncio.create_task(self._warm_up())

    async def _warm_up(self) -> None:
        for name, rag in self.rags.items():
            try:
                if await asyncio.to_thread(rag.corpus.exists):
                    first = rag.asearch(_FIRST, 1) if uses_chat_model(rag) else rag.aask(_FIRST)
                    await self.engine.run(first)
            except Exception as failure:
                log.warning("configuration '%s' does not answer yet: %s", name, failure)

    @property
    def is_warm(self) -> bool:
        return self._warming is not None and self._warming.done()

    async def warm(self) -> None:
        """Wait until the models are loaded."""
        if self._warming:
            await asyncio.shield(self._warming)

    def ask(self, asked: Ask) -> AsyncGenerator[events.AnyEvent, None]:
        """The events while a question is answered; they are counted."""
        return self.metrics.counted(self._ask(asked))

    async def _ask(self, asked: Ask) -> AsyncGenerator[events.AnyEvent, None]:
        await self.warm()
        rag, history = self.named(asked.model), [turn.model_dump() for turn in asked.history]
        answering = partial(rag.astream, asked.question, history, asked.where, asked.versions)
        working = self.engine.stream(partial(self._in_turn, asked.model, answering))
        trace = Trace() if asked.trace else None
        async with aclosing(working):
            async for event in working:
                for line in trace.lines(event) if trace else ():
                    yield events.TraceEvent(text=line)
                if known := events.of(event):
                    yield known

    async def events(self, asked: Ask) -> AsyncGenerator[dict[str, Any], None]:
        """`ask` as plain data that a client may see."""
        try:
            async with aclosing(self.ask(asked)) as happening:
                async for event in happening:
                    yield without_folders(event.as_json())
        except Exception as failure:
            yield events.ErrorEvent(message=told(failure).message).as_json()

    async def answer(self, asked: Ask) -> Answer:
        async with aclosing(self.ask(asked)) as happening:
            async for event in happening:
                last = event
        assert isinstance(last, events.AnswerEvent)
        return last

    async def search(self, wanted: SearchFor) -> list[Document]:
        """The best passages."""
        rag = self.named(wanted.model)
        await self.warm()
        return await self.engine.run(self._searched(rag, wanted))

    async def _searched(self, rag: Rag, wanted: SearchFor) -> list[Document]:
        async with self._turn(wanted.model, self._searches):
            return await rag.asearch(wanted.query, wanted.k, wanted.where, wanted.versions)

    async def check(self, asked: CheckText) -> Check:
        """The claims of a text, held against the papers."""
        await self.warm()
        return await self.engine.run(self._checked(asked))

    async def _checked(self, asked: CheckText) -> Check:
        rag = self.named(asked.model)
        async with self._turn(asked.model, self._turns):
            if not asked.references:
                return await rag.acheck(asked.text, None, asked.where, asked.versions)
            with tempfile.NamedTemporaryFile(prefix="references", suffix=".txt") as file:
                file.write(asked.references.encode())
                file.flush()
                return await rag.acheck(asked.text, file.name, asked.where, asked.versions)

    async def _in_turn(
        self, model: str | None, answering: Callable[[], AsyncGenerator[T, None]]
    ) -> AsyncGenerator[T, None]:
        async with self._turn(model, self._turns), aclosing(answering()) as happening:
            async for event in happening:
                yield event

    def _turn(self, model: str | None, turns: asyncio.Semaphore) -> AbstractAsyncContextManager[Any]:
        """What work of that configuration waits for: one of *turns*, unless it mostly waits for a chat model."""
        return nullcontext() if (model or self.default) in self._chats else turns

    async def close(self) -> None:
        if self._warming:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        await self.questions.close()
        await asyncio.to_thread(self.engine.close)


def uses_chat_model(rag: Rag) -> bool:
    """Does a chat model take part in answers?"""
    return any(isinstance(part, BaseChatModel) for part in parts_of(rag.answer_pipeline))


def without_folders(value: Any) -> Any:
    """Plain data with the names of files in place of their paths, which say where things are on the server."""
    if isinstance(value, dict):
        return {key: _named(key, inner) for key, inner in value.items()}
    return [without_folders(each) for each in value] if isinstance(value, list | tuple) else value


_PATHS = frozenset(("uri", "source", "same_as", "files", "skipped", "unused"))
"""The keys whose values are paths."""


def _named(key: str, value: Any) -> Any:
    if key in _PATHS and isinstance(value, str):
        return PurePath(value).name
    if key in _PATHS and isinstance(value, list) and all(isinstance(each, str) for each in value):
        return [PurePath(each).name for each in value]
    if key == "sources" and isinstance(value, list) and all(isinstance(each, str) for each in value):
        return [PurePath(each).name for each in value]
    if key == "encodings" and isinstance(value, dict):
        return {PurePath(name).name: each for name, each in value.items()}
    return without_folders(value)


async def unless_gone(request: Request, work: Any) -> Any:
    """The result of *work*, which is cancelled if the client goes away meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=_CHECKED_EVERY)
            if not task.done() and await request.is_disconnected():
                raise Refusal(499, "client_gone", "the client went away")
        return task.result()
    finally:
        task.cancel()
