"""Write the logic once; run it sync, async, or as a stream of events.

A *flow* is a generator that asks for method calls and receives their results:

    documents = yield from call("retrieve", retriever.invoke, question)

It never blocks and never awaits.  `steps` drives a flow by making those calls; `asteps` drives the same flow
through the methods' async twins, found by LangChain's naming rule (`invoke` / `ainvoke`), or in a thread where
there is none.  Both yield an `Event` for everything that happens, the last one being `Finished`; `run` and `arun`
keep only that.  So timing, streaming, concurrency and deadlines live in this file and nowhere else; who wants to see every
flow and call begin and end, such as a tracer, sets `watching`.
"""

from __future__ import annotations

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Sequence,
)
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    aclosing,
    asynccontextmanager,
    closing,
    contextmanager,
    nullcontext,
)
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from queue import SimpleQueue
from threading import Thread
from types import GeneratorType, TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from ragkit.errors import DeadlinePassed

T = TypeVar("T")
A = TypeVar("A")


_making: ContextVar[Call | None] = ContextVar("making", default=None)
"""The call that is being made here."""


def _deadline_here() -> float:
    around = _making.get()
    return around.deadline if around else math.inf


@dataclass(frozen=True)
class Call:
    """A method call a flow asks for, and the stage it belongs to.

    It is given up at `deadline`, a time of `time.monotonic`; the default is that of the call which it is made inside.
    `inside` are the calls that were made inside it so far, by a component that runs a flow of its own.
    """

    stage: str
    method: Callable[..., Any]
    arguments: tuple[Any, ...]
    streaming: bool = False
    heard: Callable[[str], Flow[None]] | None = None
    """What is run on the text of each chunk, before the next one is asked for."""
    deadline: float = field(default_factory=_deadline_here)
    inside: list[Called] = field(default_factory=list)

    @property
    def owner(self) -> object:
        """The object whose method it is."""
        return getattr(self.method, "__self__", self.method)

    @property
    def component(self) -> str:
        return type(self.owner).__name__


@dataclass(frozen=True)
class Event:
    """Something that happened while a flow ran."""


@dataclass(frozen=True)
class Called(Event):
    """A component returned.  `owner` is its object; `inside` are the calls that it made by itself meanwhile."""

    stage: str
    component: str
    seconds: float
    result: Any
    owner: object = None
    inside: tuple[Called, ...] = ()

    def whole(self) -> Iterator[Called]:
        """It, and all that was called inside it."""
        yield self
        for each in self.inside:
            yield from each.whole()


@dataclass(frozen=True)
class Token(Event):
    """A piece of the answer arrived."""

    text: str


@dataclass(frozen=True)
class Progress(Event):
    """`done` of `total` units of a stage are done; `what` is the one at hand, `found` what has come out so far (papers)."""

    stage: str
    done: int
    total: int
    what: str = ""
    found: int = 0


@dataclass(frozen=True)
class Reached(Event):
    """A pipeline has come to a state that others may want to see: its name, and what there is now.

    An answer goes through `found` (passages, best first), `context` (those it is written from), `draft` (as generated)
    and `judged` (as verified, before the policy).
    """

    state: str
    value: Any


@dataclass(frozen=True)
class Finished(Event, Generic[T]):
    """The flow is over; always the last event."""

    result: T


Flow = Generator[Sequence[Call] | Event, Any, T]
Events = Generator[Event, None, None]
AsyncEvents = AsyncGenerator[Event, None]


class Watch:
    """Sees a flow or a call, from its beginning to its end; this one looks away.

    It is held (`with`) all the time, and `working` only while there is work on it: not while the taker of a flow's
    events or of a stream's chunks has its turn, which is not to find the context variables of the work.
    """

    def begin(self, what: Flow[Any] | Call) -> Watch:
        """The watch over a flow or a call that begins inside."""
        return self

    def working(self) -> AbstractContextManager[object]:
        return nullcontext()

    def returned(self, result: Any) -> None:
        """What came of it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


watching: ContextVar[Watch] = ContextVar("watching", default=Watch())  # noqa: B039
"""Who sees the flows that are run from here."""


def call(stage: str, method: Callable[..., T], *arguments: Any) -> Flow[T]:
    """Make one call and return its result."""
    [result] = yield [Call(stage, method, arguments)]
    return cast(T, result)


def gather(stage: str, calls: Iterable[tuple[Callable[[A], T], A]]) -> Flow[list[T]]:
    """Make one-argument calls concurrently; the results keep the order asked for."""
    results = yield [Call(stage, method, (argument,)) for method, argument in calls]
    return list(results)


def stream(stage: str, method: Callable[..., Iterator[T]], *arguments: Any) -> Flow[T]:
    """Call a method that streams message chunks, reporting each as a `Token`; return the sum of the chunks."""
    [result] = yield [Call(stage, method, arguments, streaming=True)]
    return cast(T, result)


def overhear(flow: Flow[T], heard: Callable[[str], Flow[None]]) -> Flow[T]:
    """*flow*, with the flow *heard* run on each piece of text that a method streams in it, as it comes."""
    advance: Callable[[], Sequence[Call] | Event] = partial(next, flow)
    with closing(flow):
        while True:
            try:
                wanted = advance()
            except StopIteration as end:
                return cast(T, end.value)
            if not isinstance(wanted, Event):
                wanted = [replace(made, heard=heard) if made.streaming else made for made in wanted]
            try:
                results = yield wanted
            except Exception as error:
                advance = partial(flow.throw, error)
            else:
                advance = partial(flow.send, results)


def emit(event: Event) -> Flow[None]:
    """Tell whoever is listening, and go on."""
    yield event


def within(deadline: float, flow: Flow[T]) -> Flow[T]:
    """*flow*, whose calls are given up at *deadline* (of `time.monotonic`): `DeadlinePassed` is raised where they were asked for.

    A call that blocks a thread is not ended by that, only no longer waited for.
    """
    advance: Callable[[], Sequence[Call] | Event] = partial(next, flow)
    with closing(flow):
        while True:
            try:
                wanted = advance()
            except StopIteration as end:
                return cast(T, end.value)
            if not isinstance(wanted, Event):
                wanted = [replace(made, deadline=min(made.deadline, deadline)) for made in wanted]
            try:
                advance = partial(flow.send, (yield wanted))
            except Exception as error:
                advance = partial(flow.throw, error)


def done(value: T) -> Flow[T]:
    """A flow that needs no calls."""
    return value
    yield []


class Pipeline(ABC, Generic[A, T]):
    """Anything with a `flow`, run with LangChain's four verbs."""

    @abstractmethod
    def flow(self, given: A) -> Flow[T]:
        """The calls to make, in order."""

    def invoke(self, given: A) -> T:
        return run(self.flow(given))

    async def ainvoke(self, given: A) -> T:
        return await arun(self.flow(given))

    def stream(self, given: A) -> Events:
        return steps(self.flow(given))

    def astream(self, given: A) -> AsyncEvents:
        return asteps(self.flow(given))


def run(flow: Flow[T]) -> T:
    """Run a flow to its end with sync calls."""
    return cast(T, result_of(steps(flow)))


async def arun(flow: Flow[T]) -> T:
    """Run a flow to its end with async calls."""
    return cast(T, await aresult_of(asteps(flow)))


def result_of(events: Iterable[Event]) -> Any:
    """What the last of *events* says that came of them."""
    for event in events:
        last = event
    return cast(Finished[Any], last).result


async def aresult_of(events: AsyncIterable[Event]) -> Any:
    async for event in events:
        last = event
    return cast(Finished[Any], last).result


def steps(flow: Flow[T], watch: Watch | None = None) -> Events:
    """Run a flow with sync calls, yielding events as they happen, seen by *watch* or by who is `watching`.

    Closing the iterator closes the flow, and the stream of a model that it reads.
    """
    advance: Callable[[], Sequence[Call] | Event] = partial(next, flow)
    with (watch or watching.get()).begin(flow) as watch, closing(flow):
        while True:
            try:
                with watch.working():
                    wanted = advance()
            except StopIteration as end:
                watch.returned(end.value)
                yield Finished(end.value)
                return
            if isinstance(wanted, Event):
                yield wanted
                advance = partial(next, flow)
                continue
            try:
                if wanted and wanted[0].streaming:
                    finished = [(yield from _streamed(wanted[0], watch))]
                elif len(wanted) == 1:
                    finished = [_called(wanted[0], watch)]
                else:
                    finished = _all_called(wanted, watch)
            except Exception as error:
                advance = partial(flow.throw, error)
                continue
            yield from finished
            advance = partial(flow.send, [called.result for called in finished])


async def asteps(flow: Flow[T], watch: Watch | None = None) -> AsyncEvents:
    """`steps`, with async calls."""
    advance: Callable[[], Sequence[Call] | Event] = partial(next, flow)
    with (watch or watching.get()).begin(flow) as watch, closing(flow):
        while True:
            try:
                with watch.working():
                    wanted = advance()
            except StopIteration as end:
                watch.returned(end.value)
                yield Finished(end.value)
                return
            if isinstance(wanted, Event):
                yield wanted
                advance = partial(next, flow)
                continue
            try:
                if wanted and wanted[0].streaming:
                    async with aclosing(_astreamed(wanted[0], watch)) as events:
                        async for event in events:
                            yield event
                    finished = [cast(Called, event)]
                else:
                    finished = await asyncio.gather(*(_acalled(made, watch) for made in wanted))
                    for called in finished:
                        yield called
            except Exception as error:
                advance = partial(flow.throw, error)
                continue
            advance = partial(flow.send, [called.result for called in finished])


def _all_called(calls: Sequence[Call], watch: Watch) -> list[Called]:
    """Make several calls at once; each gets the caller's context variables (LangChain's callbacks live there)."""
    if not calls:
        return []
    first, *others = calls
    with ThreadPoolExecutor(len(others)) as pool:  # a pool of its own, so that nested flows cannot starve
        waiting = [pool.submit(copy_context().run, _called, made, watch) for made in others]
        return [_called(first, watch), *(each.result() for each in waiting)]


def _called(made: Call, watch: Watch) -> Called:
    started = time.perf_counter()
    with watch.begin(made) as own, own.working(), _Noting(made):
        result = _waited_for(made, made.method, *made.arguments)
        own.returned(result)
    return _over(made, started, result)


async def _acalled(made: Call, watch: Watch) -> Called:
    started = time.perf_counter()
    twin = _twin(made.method)
    with watch.begin(made) as own, own.working(), _Noting(made):
        async with _awaiting(made):
            result = await (
                twin(*made.arguments) if twin else asyncio.to_thread(made.method, *made.arguments)
            )
        own.returned(result)
    return _over(made, started, result)


def _streamed(made: Call, watch: Watch) -> Generator[Event, None, Called]:
    started, total = time.perf_counter(), None
    with watch.begin(made) as own, _Noting(made), _closed(made.method(*made.arguments)) as chunks:
        while True:
            with own.working():
                if (chunk := _waited_for(made, next, chunks, None)) is None:
                    break
            total = chunk if total is None else total + chunk
            yield Token(_text_of(chunk))
            if made.heard:
                with closing(steps(made.heard(_text_of(chunk)), watch)) as events:
                    yield from (event for event in events if not isinstance(event, Finished))
        own.returned(total)
    return _over(made, started, total)


async def _astreamed(made: Call, watch: Watch) -> AsyncEvents:
    started, total = time.perf_counter(), None
    twin = _twin(made.method)
    if twin is None:
        raise TypeError(f"{made.component} streams, but has no a{made.method.__name__}")
    with watch.begin(made) as own, _Noting(made):
        async with _aclosed(twin(*made.arguments)) as chunks:
            while True:
                with own.working():
                    async with _awaiting(made):
                        chunk = await anext(chunks, None)
                    if chunk is None:
                        break
                total = chunk if total is None else total + chunk
                yield Token(_text_of(chunk))
                if made.heard:
                    async with aclosing(asteps(made.heard(_text_of(chunk)), watch)) as events:
                        async for event in events:
                            if not isinstance(event, Finished):
                                yield event
        own.returned(total)
    yield _over(made, started, total)


def _over(made: Call, started: float, result: Any) -> Called:
    """*made* has returned; the call that it was made inside, if there is one, hears of it."""
    called = Called(
        made.stage, made.component, time.perf_counter() - started, result, made.owner, tuple(made.inside)
    )
    if around := _making.get():
        around.inside.append(called)
    return called


# --- waiting, no longer than until the deadline


@contextmanager
def _inside(made: Call) -> Iterator[None]:
    """What is called from here is called inside *made*."""
    token = _making.set(made)
    try:
        yield
    finally:
        _making.reset(token)


@asynccontextmanager
async def _awaiting(made: Call) -> AsyncIterator[None]:
    """Inside *made*; what is awaited from here is cancelled at the deadline."""
    left = None if made.deadline == math.inf else max(made.deadline - time.monotonic(), 0.0)
    clock = asyncio.timeout(left)
    try:
        with _inside(made):
            async with clock:
                yield
    except TimeoutError:
        if clock.expired():
            raise _too_late(made) from None
        raise


def _waited_for(made: Call, function: Callable[..., T], *arguments: Any) -> T:
    """What *function* returns, inside *made*; if there is a deadline, it runs in another thread, which is left to itself then."""
    with _inside(made):
        if made.deadline == math.inf:
            return function(*arguments)
        work = _Work(copy_context(), function, arguments)
    left = made.deadline - time.monotonic()
    if left > 0:
        _free_worker().given.put(work)
        if wait([work.outcome], left).done:
            return cast(T, work.outcome.result())
        work.outcome.add_done_callback(lambda _: _close_streams(arguments))
    raise _too_late(made)


def _close_streams(arguments: Sequence[Any]) -> None:
    """Nobody waits for these any more; a server that sees its stream closed stops writing."""
    for stream in arguments:
        if isinstance(stream, GeneratorType):
            stream.close()


def _too_late(made: Call) -> DeadlinePassed:
    return DeadlinePassed(
        f"the deadline passed before stage '{made.stage}' was over; give it longer with 'deadline'"
    )


@dataclass(frozen=True)
class _Work:
    """A function to be called in a context, and what becomes of it."""

    context: Context
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    outcome: Future[Any] = field(default_factory=Future)

    def do(self) -> Callable[[], None]:
        """Call it; what is returned tells whoever waits."""
        try:
            return partial(self.outcome.set_result, self.context.run(self.function, *self.arguments))
        except BaseException as error:
            return partial(self.outcome.set_exception, error)


class _Worker(Thread):
    """Does one piece of work after another; a daemon, so that one that hangs keeps no process from ending."""

    def __init__(self) -> None:
        super().__init__(name="ragkit-call", daemon=True)
        self.given: SimpleQueue[_Work] = SimpleQueue()
        self.start()

    def run(self) -> None:
        while True:
            tell = self.given.get().do()
            _idle.append(self)
            tell()
            del tell  # which holds what nobody may be waiting for any more, such as an open stream


_idle: list[_Worker] = []


def _free_worker() -> _Worker:
    """The one that worked last, whose connections are open and caches warm; a new one if all are at work."""
    try:
        return _idle.pop()
    except IndexError:
        return _Worker()


@contextmanager
def _closed(given: Iterator[Any]) -> Iterator[Iterator[Any]]:
    """*given*, closed in the end if it can be: a server that sees it closed stops writing.  One that another thread still waits for cannot."""
    try:
        yield given
    finally:
        if isinstance(given, GeneratorType) and not given.gi_running:
            given.close()


def _aclosed(given: AsyncIterator[Any]) -> AbstractAsyncContextManager[AsyncIterator[Any]]:
    return aclosing(given) if isinstance(given, AsyncGenerator) else nullcontext(given)


def _text_of(chunk: Any) -> str:
    return chunk.content if isinstance(chunk.content, str) else str(chunk.text)


def _twin(method: Callable[..., Any]) -> Callable[..., Any] | None:
    """The async version of a method: LangChain names it with a leading `a`."""
    return getattr(getattr(method, "__self__", None), f"a{method.__name__}", None)


class _Noting:
    """Let an error keep its type, but say which stage it came from."""

    def __init__(self, made: Call) -> None:
        self.made = made

    def __enter__(self) -> None: ...

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> None:
        if isinstance(error, Exception):
            error.add_note(f"while running stage '{self.made.stage}' ({self.made.component})")
