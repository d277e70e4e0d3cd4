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
from ragkit.ask import read
from ragkit.corpus import Corpus
from ragkit.document import hit, score_of, scored, scores_of, sources_of, span_of, title_of
from ragkit.evaluate.dataset import Case
from ragkit.flow import Called, Event, Finished, StateReached, steps
from ragkit.models.chat import spent
from ragkit.rag import Rag
from ragkit.text.question import Asked, Query, messages

DEEPEST = 100
"""How many passages of a ranking are kept."""


class RetrievedPassage(BaseModel):
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
    """The result of one question.

    `found`: passages as ranked; `context`: those the answer was written from; `draft`: the text as generated;
    `answer`: what the reader saw.  A ranking alone has neither context nor answer.  `calls` and `usage` (as
    in `Answer`) count those to chat models, whatever stage made them.  `error` says what kept the question
    from being answered.
    """

    model_config = ConfigDict(frozen=True)

    found: tuple[RetrievedPassage, ...] = ()
    context: tuple[RetrievedPassage, ...] = ()
    draft: str | None = None
    answer: Answer | None = None
    judged: Answer | None = None
    seconds: float = 0.0
    calls: int = 0
    usage: dict[str, int | float] = {}
    error: str = ""

    @property
    def tokens(self) -> int:
        """Those read and written by chat models."""
        return int(self.usage.get("input_tokens", 0) + self.usage.get("output_tokens", 0))


def ranked(rag: Rag, case: Case) -> Outcome:
    """The ranking for a query."""
    started = time.perf_counter()
    hits = rag.search(case.question, k=DEEPEST)
    return Outcome(found=_hits(hits), seconds=time.perf_counter() - started)


class Search(BaseModel):
    """The search of a question: its queries, and the passages that they found.

    A query has a text, a weight and a group; a passage is given by its id and scores.  Pipelines that differ
    only in what comes after the search share it.
    """

    model_config = ConfigDict(frozen=True)

    standalone: str
    queries: tuple[tuple[str, float, int], ...]
    hits: tuple[tuple[str, float, dict[str, float]], ...]
    seconds: float
    calls: int = 0
    usage: dict[str, int | float] = {}

    def asked(self, case: Case) -> Asked:
        """The question of *case*, as it was rewritten."""
        asked = Asked.of(case.question.strip(), messages(case.history))
        searches = tuple(
            asked.text.reworded(q) if q == asked.text else Query(q, w, g) for q, w, g in self.queries
        )
        standalone = next(
            (q for q in (asked.text, *searches) if q == self.standalone), Query(self.standalone)
        )
        return replace(asked, standalone=standalone, searches=searches)

    def passages(self, corpus: Corpus) -> list[Document]:
        return read(
            corpus, [scored(hit(identity, score), score, scores) for identity, score, scores in self.hits]
        )


SEARCHES_BY = ("where", "rewrite", "retrieve", "fuse")
"""The parts of a pipeline that a search depends on."""


def searched(rag: Rag, case: Case) -> tuple[Search, list[Document]]:
    """What a question finds, to be kept, and the passages as they came."""
    question = replace(rag.question(case.question, case.history), where=rag.answer_pipeline.where)
    watched = _Watched(steps(rag.answer_pipeline.found(question)))
    asked, passages = watched.result
    hits = tuple((str(p.id), score_of(p), scores_of(p)) for p in passages)
    search = Search(
        standalone=asked.standalone,
        queries=tuple((str(query), query.weight, query.group) for query in asked.searches),
        hits=hits,
        seconds=watched.seconds,
        calls=watched.calls,
        usage=watched.usage,
    )
    return search, passages


def answered(rag: Rag, case: Case, search: Search, found: Sequence[Document]) -> Outcome:
    """The answer from what was found, and how it came about; `seconds` has both."""
    outcome = observed(steps(rag.answer_pipeline.answer(search.asked(case), found, taken=search.seconds)))
    return outcome.model_copy(
        update={
            "found": _hits(found),
            "seconds": round(search.seconds + outcome.seconds, 5),
            "calls": search.calls + outcome.calls,
            "usage": dict(Counter(search.usage) + Counter(outcome.usage)),
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
    """A flow run to its end: its result, the states it reached, its time, and its calls to chat models."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.states: dict[str, Any] = {}
        self.calls = 0
        self.usage: dict[str, int | float] = {}
        started = time.perf_counter()
        for event in events:
            if isinstance(event, StateReached):
                self.states[event.state] = event.value
            elif isinstance(event, Called):
                for called in event.whole():
                    self._count(called)
            elif isinstance(event, Finished):
                self.result: Any = event.result
        self.seconds = time.perf_counter() - started

    def _count(self, called: Called) -> None:
        self.calls += isinstance(called.result, BaseMessage)
        for what, amount in spent(called.owner, called.result).items():
            self.usage[what] = self.usage.get(what, 0) + amount


def _hits(passages: Sequence[Document], texts: bool = False) -> tuple[RetrievedPassage, ...]:
    return tuple(
        RetrievedPassage(
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
