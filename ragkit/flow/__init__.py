"""Write the logic once; run it sync, async, or as a stream of events.

A *flow* is a generator that asks for method calls and receives their results:

    documents = yield from call("retrieve", retriever.invoke, question)

It never blocks and never awaits.  `steps` drives a flow by making those calls; `asteps` drives the same flow
through the methods' async twins, found by LangChain's naming rule (`invoke` / `ainvoke`), or in a thread
where there is none.  Both yield an `Event` for everything that happens, the last one being `Finished`; `run`
and `arun` return only its result.  So timing, streaming, concurrency and deadlines live in this package and
nowhere else.  A tracer that wants to see every flow and call begin and end sets `watching`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic

from ragkit.flow.calls import (
    A,
    Call,
    Called,
    Event,
    Finished,
    Flow,
    Progress,
    StateReached,
    T,
    Token,
    Watch,
    before,
    call,
    done,
    emit,
    gather,
    observing,
    stream,
    watching,
)
from ragkit.flow.deadline import deadline_passed, time_left
from ragkit.flow.drivers import AsyncEvents, Events, aresult_of, arun, asteps, result_of, run, steps

# fmt: off
__all__ = [
    "AsyncEvents", "Call", "Called", "Event", "Events", "Finished", "Flow", "Pipeline", "Progress", "StateReached",
    "Token", "Watch", "aresult_of", "arun", "asteps", "before", "call", "deadline_passed", "done", "emit", "gather",
    "observing", "result_of", "run", "steps", "stream", "time_left", "watching",
]
# fmt: on


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
