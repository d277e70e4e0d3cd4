"""Calls, the flows that ask for them, and the events that say what happened."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

T = TypeVar("T")
A = TypeVar("A")


# --- calls


@dataclass(frozen=True)
class Call:
    """A method call that a flow asks for, and the stage it belongs to.

    `deadline` is a time of `time.monotonic`; the default is the deadline of the call around this one.
    `inside` collects the calls that a component makes with a flow of its own while it is called.
    """

    stage: str
    method: Callable[..., Any]
    arguments: tuple[Any, ...]
    streaming: bool = False
    observer: Callable[[str], Flow[None]] | None = None
    """Its flow is run on the text of each chunk, before the next chunk is asked for."""
    keep: Callable[[Any], None] | None = None
    """Is given the result as soon as it is there, whatever becomes of the calls made beside this one."""
    deadline: float = field(default_factory=lambda: made.deadline if (made := making.get()) else math.inf)
    inside: list[Called] = field(default_factory=list)

    @property
    def owner(self) -> object:
        """The object that the method belongs to."""
        return getattr(self.method, "__self__", self.method)

    @property
    def component(self) -> str:
        """The class of the component; an owner that works for another one names it as `works_for`."""
        return type(getattr(self.owner, "works_for", self.owner)).__name__


making: ContextVar[Call | None] = ContextVar("making", default=None)
"""The call that is being made in this context."""


# --- events


@dataclass(frozen=True)
class Event:
    """Something that happened while a flow ran."""


@dataclass(frozen=True)
class Called(Event):
    """A component returned.  `owner` is the object; `inside` are the calls that it made meanwhile."""

    stage: str
    component: str
    seconds: float
    result: Any
    owner: object = None
    inside: tuple[Called, ...] = ()

    def whole(self) -> Iterator[Called]:
        """This call, and all calls inside it at any depth."""
        yield self
        for each in self.inside:
            yield from each.whole()


@dataclass(frozen=True)
class Token(Event):
    """A piece of the answer arrived."""

    text: str


@dataclass(frozen=True)
class Progress(Event):
    """`done` of `total` units of a stage are done.

    `what` names the current unit, `found` counts the results (papers) so far.
    """

    stage: str
    done: int
    total: int
    what: str = ""
    found: int = 0


@dataclass(frozen=True)
class StateReached(Event):
    """A pipeline reached a state that others may want to see: its name, and its value.

    An answer goes through `found` (passages, best first), `asked` (the question as rewritten), `context` (the
    passages it is written from), `draft` (as generated) and `judged` (as verified, before the policy).
    """

    state: str
    value: Any


@dataclass(frozen=True)
class Finished(Event, Generic[T]):
    """The flow is over; always the last event, and only the drivers make it."""

    result: T


# --- flows

Flow = Generator[Sequence[Call] | Event, Any, T]


def call(stage: str, method: Callable[..., T], *arguments: Any) -> Flow[T]:
    """Make one call and return its result."""
    [result] = yield [Call(stage, method, arguments)]
    return cast(T, result)


def gather(stage: str, calls: Iterable[tuple[Callable[[A], T], A]]) -> Flow[list[T]]:
    """Make one-argument calls concurrently; the results are in the order of *calls*."""
    results = yield [Call(stage, method, (argument,)) for method, argument in calls]
    return list(results)


def stream(stage: str, method: Callable[..., Iterator[T]], *arguments: Any) -> Flow[T]:
    """Call a method that streams message chunks; report each as a `Token` and return their sum."""
    [result] = yield [Call(stage, method, arguments, streaming=True)]
    return cast(T, result)


def emit(event: Event) -> Flow[None]:
    """Report *event* to the caller of the driver, and go on."""
    yield event


def done(value: T) -> Flow[T]:
    """A flow that needs no calls."""
    return value
    yield []


def observing(flow: Flow[T], observer: Callable[[str], Flow[None]]) -> Flow[T]:
    """*flow*, in which *observer*'s flow runs on each piece of streamed text as it arrives."""
    return _changed(flow, lambda made: replace(made, observer=observer) if made.streaming else made)


def before(deadline: float, flow: Flow[T]) -> Flow[T]:
    """*flow*, whose calls end at *deadline* (a time of `time.monotonic`); `ragkit.flow.deadline` says how.

    `DeadlinePassed` is raised in the flow, at the call that is not made or not waited for any longer.
    """
    return _changed(flow, lambda made: replace(made, deadline=min(made.deadline, deadline)))


def _changed(flow: Flow[T], change: Callable[[Call], Call]) -> Flow[T]:
    """*flow*, with each of its calls changed before it is made."""
    advance: Callable[[], Sequence[Call] | Event] = partial(next, flow)
    with closing(flow):
        while True:
            try:
                wanted = advance()
            except StopIteration as end:
                return cast(T, end.value)
            try:
                results = yield wanted if isinstance(wanted, Event) else [change(made) for made in wanted]
            except Exception as error:
                advance = partial(flow.throw, error)
            else:
                advance = partial(flow.send, results)


# --- observation from outside, such as tracing


class Watch:
    """Sees a flow or a call from its beginning to its end; this base class does nothing.

    It is entered (`with`) for the whole time, and `working` only while work is done: not while the consumer
    of events or chunks has its turn, because the consumer must not see the context variables of the work.
    """

    def begin(self, what: Flow[Any] | Call) -> Watch:
        """The watch over a flow or a call that begins inside this one."""
        return self

    def working(self) -> AbstractContextManager[object]:
        return nullcontext()

    def returned(self, result: Any) -> None:
        """The flow or call returned *result*."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


watching: ContextVar[Watch] = ContextVar("watching", default=Watch())  # noqa: B039
"""The watch over the flows that are run in this context."""
