"""The flow's drivers: sync, async and streaming do the same thing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from langchain_core.messages import AIMessageChunk

from ragkit.flow import (
    Called,
    Event,
    Finished,
    Flow,
    Progress,
    Token,
    arun,
    asteps,
    call,
    done,
    emit,
    gather,
    observing,
    run,
    steps,
    stream,
)


class Adder:
    """Has an async twin, so that a test can see which one was called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def add(self, number: int) -> int:
        self.calls.append("add")
        return number + 1

    async def aadd(self, number: int) -> int:
        self.calls.append("aadd")
        return number + 1


class Speaker:
    def speak(self, words: list[str]) -> Iterator[AIMessageChunk]:
        yield from (AIMessageChunk(content=w) for w in words)

    async def aspeak(self, words: list[str]) -> AsyncIterator[AIMessageChunk]:
        for word in words:
            yield AIMessageChunk(content=word)


async def collect(flow: Flow[object]) -> list[Event]:
    return [event async for event in asteps(flow)]


def test_a_flow_calls_methods_when_run_and_their_twins_when_awaited() -> None:
    adder = Adder()

    def flow() -> Flow[int]:
        two = yield from call("first", adder.add, 1)
        return (yield from call("second", adder.add, two))

    assert run(flow()) == 3
    assert asyncio.run(arun(flow())) == 3
    assert adder.calls == ["add", "add", "aadd", "aadd"]


def test_a_method_without_a_twin_runs_in_a_thread_when_awaited() -> None:
    def where(_: int) -> int:
        return threading.get_ident()

    assert asyncio.run(arun(call("here", where, 0))) != threading.get_ident()


def test_events_tell_what_was_called_and_finished_comes_last() -> None:
    adder = Adder()
    [called, finished] = steps(call("sum", adder.add, 1))
    assert isinstance(called, Called)
    assert (called.stage, called.component, called.result) == ("sum", "Adder", 2)
    assert finished == Finished(2)


def test_gathered_results_keep_the_order_asked_for() -> None:
    adder = Adder()
    flow = lambda: gather("sums", [(adder.add, n) for n in range(5)])  # noqa: E731
    assert run(flow()) == asyncio.run(arun(flow())) == [1, 2, 3, 4, 5]
    assert run(gather("none", [])) == asyncio.run(arun(gather("none", []))) == []


def test_gathered_calls_really_run_at_once() -> None:
    meet = threading.Barrier(3, timeout=20)
    assert sorted(run(gather("meet", [(lambda _: meet.wait(), n) for n in range(3)]))) == [0, 1, 2]


def test_nested_flows_do_not_starve_each_other() -> None:
    def nested(depth: int) -> int:
        return 1 if depth == 0 else sum(run(gather("down", [(nested, depth - 1)] * 4)))

    assert nested(3) == 64


def test_a_stream_reports_tokens_and_returns_their_sum() -> None:
    flow = lambda: stream("speak", Speaker().speak, ["glass ", "bridge"])  # noqa: E731
    for events in (list(steps(flow())), asyncio.run(collect(flow()))):
        assert [e.text for e in events if isinstance(e, Token)] == ["glass ", "bridge"]
        last = events[-1]
        assert isinstance(last, Finished)
        assert last.result.content == "glass bridge"


def test_an_emitted_event_reaches_the_listener_in_place() -> None:
    def flow() -> Flow[str]:
        yield from emit(Progress("read", 1, 2))
        return (yield from done("end"))

    assert list(steps(flow())) == asyncio.run(collect(flow())) == [Progress("read", 1, 2), Finished("end")]


def test_an_error_keeps_its_type_and_says_its_stage() -> None:
    def fails(_: int) -> int:
        raise KeyError("boom")

    for go in (lambda: run(call("rerank", fails, 1)), lambda: asyncio.run(arun(call("rerank", fails, 1)))):
        with pytest.raises(KeyError, match="boom") as error:
            go()
        assert error.value.__notes__ == ["while running stage 'rerank' (function)"]


def test_a_flow_can_catch_an_error_and_go_on() -> None:
    def fails(_: int) -> int:
        raise ValueError

    def flow() -> Flow[int]:
        try:
            return (yield from call("first", fails, 1))
        except ValueError:
            return (yield from call("second", Adder().add, 1))

    assert run(flow()) == asyncio.run(arun(flow())) == 2


def test_closing_a_stream_early_runs_the_flows_cleanup() -> None:
    closed = []

    def flow() -> Flow[None]:
        try:
            yield from call("one", Adder().add, 1)
            yield from call("two", Adder().add, 2)
        finally:
            closed.append(True)

    events = steps(flow())
    next(events)
    events.close()
    assert closed == [True]


def test_a_flow_hears_each_token_before_the_next_is_asked_for() -> None:
    def heard(text: str) -> Flow[None]:
        yield from emit(Progress("hear", len(text), len(text), text))

    flow = lambda: observing(stream("speak", Speaker().speak, ["glass ", "bridge"]), heard)  # noqa: E731
    for happened in (list(steps(flow())), asyncio.run(collect(flow()))):
        assert happened[:4] == [
            Token("glass "),
            Progress("hear", 6, 6, "glass "),
            Token("bridge"),
            Progress("hear", 6, 6, "bridge"),
        ]
        last = happened[-1]
        assert isinstance(last, Finished)
        assert last.result.content == "glass bridge"


def test_observing_changes_nothing_else_in_a_flow() -> None:
    def fails(_: int) -> int:
        raise ValueError

    def flow() -> Flow[int]:
        yield from emit(Progress("read", 1, 2))
        try:
            return (yield from call("first", fails, 1))
        except ValueError:
            return sum((yield from gather("second", [(Adder().add, 1), (Adder().add, 2)])))

    def never(_: str) -> Flow[None]:
        raise AssertionError("nothing is streamed")

    assert run(observing(flow(), never)) == asyncio.run(arun(observing(flow(), never))) == run(flow()) == 5


class Endless:
    """Goes on until someone closes it."""

    def __init__(self) -> None:
        self.closed = False

    def speak(self) -> Iterator[AIMessageChunk]:
        try:
            while True:
                yield AIMessageChunk(content="and ")
        finally:
            self.closed = True

    async def aspeak(self) -> AsyncIterator[AIMessageChunk]:
        try:
            while True:
                yield AIMessageChunk(content="and ")
        finally:
            self.closed = True


def test_closing_a_stream_early_closes_the_models() -> None:
    one, other = Endless(), Endless()
    events = steps(stream("speak", one.speak))
    assert next(events) == Token("and ")
    events.close()
    assert one.closed

    async def begin() -> None:
        events = asteps(stream("speak", other.speak))
        assert await anext(events) == Token("and ")
        await events.aclose()
        assert other.closed

    asyncio.run(begin())
