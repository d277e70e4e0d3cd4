"""The drivers run a flow with sync or async calls, and report what happens as events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing, contextmanager, nullcontext
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar, cast

from ragkit.flow.calls import Call, Called, Event, Finished, Flow, Token, Watch, making, watching
from ragkit.flow.deadline import inside

T = TypeVar("T")
Events = Generator[Event, None, None]
AsyncEvents = AsyncGenerator[Event, None]
Advance = Callable[[], Sequence[Call] | Event]


def run(flow: Flow[T]) -> T:
    """Run a flow to its end with sync calls."""
    return cast(T, result_of(steps(flow)))


async def arun(flow: Flow[T]) -> T:
    """Run a flow to its end with async calls."""
    return cast(T, await aresult_of(asteps(flow)))


def result_of(events: Iterable[Event]) -> Any:
    """The result that the last of *events* reports."""
    for event in events:
        last = event
    return cast(Finished[Any], last).result


async def aresult_of(events: AsyncIterable[Event]) -> Any:
    async for event in events:
        last = event
    return cast(Finished[Any], last).result


def steps(flow: Flow[Any], watch: Watch | None = None) -> Events:
    """Run a flow with sync calls and yield events as they happen, seen by *watch* (default: `watching`).

    Closing the iterator closes the flow, and the stream of a model that it reads.
    """
    advance: Advance = partial(next, flow)
    with (watch or watching.get()).begin(flow) as watch, closing(flow):
        while not isinstance(wanted := _wanted(advance, watch), Finished):
            if isinstance(wanted, Event):
                yield wanted
                advance = partial(next, flow)
                continue
            try:
                if wanted and wanted[0].streaming:
                    finished = [(yield from _streamed(wanted[0], watch))]
                else:
                    finished = _all_called(wanted, watch)
            except Exception as error:
                advance = partial(flow.throw, error)
                continue
            yield from finished
            advance = partial(flow.send, [called.result for called in finished])
        yield wanted


async def asteps(flow: Flow[Any], watch: Watch | None = None) -> AsyncEvents:
    """`steps`, with async calls."""
    advance: Advance = partial(next, flow)
    with (watch or watching.get()).begin(flow) as watch, closing(flow):
        while not isinstance(wanted := _wanted(advance, watch), Finished):
            if isinstance(wanted, Event):
                yield wanted
                advance = partial(next, flow)
                continue
            finished: list[Called] = []
            try:
                if wanted and wanted[0].streaming:
                    async with aclosing(_astreamed(wanted[0], watch, finished)) as events:
                        async for event in events:
                            yield event
                else:
                    finished = await asyncio.gather(*(_acalled(made, watch) for made in wanted))
            except Exception as error:
                advance = partial(flow.throw, error)
                continue
            for called in finished:
                yield called
            advance = partial(flow.send, [called.result for called in finished])
        yield wanted


def _wanted(advance: Advance, watch: Watch) -> Sequence[Call] | Event:
    """What the flow asks for or reports next; `Finished` at its end."""
    try:
        with watch.working():
            return advance()
    except StopIteration as end:
        watch.returned(end.value)
        return Finished(end.value)


def _all_called(calls: Sequence[Call], watch: Watch) -> list[Called]:
    """Make calls concurrently, each with the caller's context variables (such as LangChain's callbacks)."""
    if len(calls) < 2:
        return [_called(made, watch) for made in calls]
    first, *others = calls
    with ThreadPoolExecutor(len(others)) as pool:  # a pool of its own, so that nested flows cannot starve
        waiting = [pool.submit(copy_context().run, _called, made, watch) for made in others]
        return [_called(first, watch), *(each.result() for each in waiting)]


def _called(made: Call, watch: Watch) -> Called:
    started = time.perf_counter()
    with _watched(made, watch) as own, own.working():
        with inside(made):
            result = made.method(*made.arguments)
        if made.keep:
            made.keep(result)
        own.returned(result)
    return _over(made, started, result)


async def _acalled(made: Call, watch: Watch) -> Called:
    started = time.perf_counter()
    method = _twin(made) or partial(asyncio.to_thread, made.method)
    with _watched(made, watch) as own, own.working():
        with inside(made) as seconds:
            async with asyncio.timeout(seconds):
                result = await method(*made.arguments)
        if made.keep:
            await asyncio.to_thread(made.keep, result)
        own.returned(result)
    return _over(made, started, result)


def _streamed(made: Call, watch: Watch) -> Generator[Event, None, Called]:
    started, total = time.perf_counter(), None
    with _watched(made, watch) as own:
        chunks = made.method(*made.arguments)
        with closing(chunks) if isinstance(chunks, Generator) else nullcontext():
            while True:
                with own.working(), inside(made):
                    if (chunk := next(chunks, None)) is None:
                        break
                total = chunk if total is None else total + chunk
                yield Token(text := _text_of(chunk))
                if made.observer:
                    with closing(steps(made.observer(text), watch)) as events:
                        yield from (event for event in events if not isinstance(event, Finished))
        own.returned(total)
    return _over(made, started, total)


async def _astreamed(made: Call, watch: Watch, finished: list[Called]) -> AsyncEvents:
    """Reports the tokens, and adds to *finished* in the end."""
    started, total = time.perf_counter(), None
    if (twin := _twin(made)) is None:
        raise TypeError(f"{made.component} streams, but has no a{made.method.__name__}")
    with _watched(made, watch) as own:
        chunks = twin(*made.arguments)
        async with aclosing(chunks) if isinstance(chunks, AsyncGenerator) else nullcontext():
            while True:
                with own.working(), inside(made) as seconds:
                    async with asyncio.timeout(seconds):
                        chunk = await anext(chunks, None)
                    if chunk is None:
                        break
                total = chunk if total is None else total + chunk
                yield Token(text := _text_of(chunk))
                if made.observer:
                    async with aclosing(asteps(made.observer(text), watch)) as events:
                        async for event in events:
                            if not isinstance(event, Finished):
                                yield event
        own.returned(total)
    finished.append(_over(made, started, total))


def _twin(made: Call) -> Callable[..., Any] | None:
    """The async version of a method: LangChain names it with a leading `a`."""
    return getattr(made.owner, f"a{made.method.__name__}", None)


@contextmanager
def _watched(made: Call, watch: Watch) -> Iterator[Watch]:
    """The watch over *made*.  An error keeps its type and gains a note that says which stage it came from."""
    with watch.begin(made) as own:
        try:
            yield own
        except Exception as error:
            error.add_note(f"while running stage '{made.stage}' ({made.component})")
            raise


def _over(made: Call, started: float, result: Any) -> Called:
    """*made* has returned; the call around it, if there is one, records it."""
    seconds = time.perf_counter() - started
    called = Called(made.stage, made.component, seconds, result, made.owner, tuple(made.inside))
    if around := making.get():
        around.inside.append(called)
    return called


def _text_of(chunk: Any) -> str:
    return chunk.content if isinstance(chunk.content, str) else str(chunk.text)
