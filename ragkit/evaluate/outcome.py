"""What one pipeline made of one question: every state on the way, small enough to be kept."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from pydantic import BaseModel, ConfigDict

from ragkit.answer import Answer
from ragkit.corpus import Corpus
from ragkit.document import hit, score_of, scored, scores_of, sources_of, span_of, title_of
from ragkit.evaluate.dataset import Case
from ragkit.flow import Called, Event, Finished, Reached, steps
from ragkit.pipeline import Rag, read

DEEPEST = 100
"""How many passages of a ranking are kept."""


class Hit(BaseModel):
    """A passage that was found."""

    model_config = ConfigDict(frozen=True)

    document_id: str
    title: str
    uris: tuple[str, ...] = ()
    start: int = 0
    end: int = 0
    score: float = 0.0
    text: str = ""


class Outcome(BaseModel):
    """`found`: passages as ranked; `context`: those the answer was written from; `draft`: the text as generated;
    `answer`: what the reader saw.  A ranking alone has neither context nor answer.  `calls` and `usage` count those to
    chat models, whatever stage made them.  `error` says what kept the question from being answered.
    """

    model_config = ConfigDict(frozen=True)

    found: tuple[Hit, ...] = ()
    context: tuple[Hit, ...] = ()
    draft: str | None = None
    answer: Answer | None = None
    judged: Answer | None = None
    seconds: float = 0.0
    calls: int = 0
    usage: dict[str, int] = {}
    error: str = ""


def ranked(rag: Rag, case: Case) -> Outcome:
    """The ranking for a query."""
    started = time.perf_counter()
    hits = rag.search(case.question, k=DEEPEST)
    return Outcome(found=_hits(hits), seconds=time.perf_counter() - started)


class Search(BaseModel):
    """What a question finds: the query that stands for it, and the passages by id with their scores.  Pipelines that
    differ only in what comes after share it.
    """

    model_config = ConfigDict(frozen=True)

    query: str
    hits: tuple[tuple[str, float, dict[str, float]], ...]
    seconds: float
    calls: int = 0
    usage: dict[str, int] = {}

    def passages(self, corpus: Corpus) -> list[Document]:
        return read(corpus, [scored(hit(identity, score), score, scores) for identity, score, scores in self.hits])


SEARCHES_BY = ("where", "rewrite", "retrieve", "fuse")
"""The parts of a pipeline that a search depends on."""


def searched(rag: Rag, case: Case) -> tuple[Search, list[Document]]:
    """What a question finds, to be kept, and the passages as they came."""
    asked = rag.question(case.question, case.history)
    watched = _Watched(steps(rag.answer_pipeline.search(replace(asked, where=rag.answer_pipeline.where))))
    query, passages = watched.result
    hits = tuple((str(p.id), score_of(p), scores_of(p)) for p in passages)
    return Search(query=query, hits=hits, seconds=watched.seconds, calls=watched.calls, usage=watched.usage), passages


def answered(rag: Rag, search: Search, found: Sequence[Document]) -> Outcome:
    """The answer from what was found, and how it came about; `seconds` has both."""
    pipeline = rag.answer_pipeline
    refined = _Watched(steps(pipeline.refined(search.query, found)))
    outcome = observed(steps(pipeline.respond(search.query, refined.result)))
    usage = Counter(search.usage) + Counter(refined.usage) + Counter(outcome.usage)
    return outcome.model_copy(
        update={
            "found": _hits(found),
            "seconds": round(search.seconds + refined.seconds + outcome.seconds, 5),
            "calls": search.calls + refined.calls + outcome.calls,
            "usage": dict(usage),
        }
    )


def observed(events: Iterable[Event]) -> Outcome:
    """What the events of an answer tell."""
    watched = _Watched(events)
    return Outcome(
        found=_hits(watched.states.get("found", ())),
        context=_hits(watched.states.get("context", ()), texts=True),
        draft=watched.states["draft"].text if "draft" in watched.states else None,
        judged=watched.states.get("judged"),
        answer=watched.result,
        seconds=round(watched.seconds, 5),
        calls=watched.calls,
        usage=watched.usage,
    )


class _Watched:
    """A flow run to its end: its result, the states that it reached, its time, and the calls to chat models that it made."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.states: dict[str, Any] = {}
        self.calls = 0
        self.usage: dict[str, int] = {}
        started = time.perf_counter()
        for event in events:
            if isinstance(event, Reached):
                self.states[event.state] = event.value
            elif isinstance(event, Called) and isinstance(event.result, BaseMessage):
                self._count(event.result)
            elif isinstance(event, Finished):
                self.result: Any = event.result
        self.seconds = time.perf_counter() - started

    def _count(self, message: BaseMessage) -> None:
        counted = getattr(message, "usage_metadata", None) or {}
        self.calls += 1
        for name in ("input_tokens", "output_tokens"):
            self.usage[name] = self.usage.get(name, 0) + int(counted.get(name, 0))


def _hits(passages: Sequence[Document], texts: bool = False) -> tuple[Hit, ...]:
    return tuple(
        Hit(
            document_id=span.document_id,
            title=title_of(p),
            uris=tuple(str(source.get("uri", "")) for source in sources_of(p)),
            start=span.start,
            end=span.end,
            score=round(score_of(p), 6),
            text=p.page_content if texts else "",
        )
        for p in passages[:DEEPEST]
        for span in [span_of(p)]
    )
