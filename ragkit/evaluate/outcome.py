"""What one pipeline made of one question: every state on the way, small enough to be kept."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from pydantic import BaseModel, ConfigDict

from ragkit.answer import Answer
from ragkit.document import score_of, sources_of, span_of, title_of
from ragkit.evaluate.dataset import Case
from ragkit.flow import Called, Event, Finished, Reached
from ragkit.pipeline import Rag

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


def answered(rag: Rag, case: Case) -> Outcome:
    """The answer to a question, and how it came about."""
    return observed(rag.stream(case.question, case.history))


def observed(events: Iterable[Event]) -> Outcome:
    """What the events of an answer tell."""
    states: dict[str, Any] = {}
    calls, usage = 0, {"input_tokens": 0, "output_tokens": 0}
    started = time.perf_counter()
    for event in events:
        if isinstance(event, Reached):
            states[event.state] = event.value
        elif isinstance(event, Called) and isinstance(event.result, BaseMessage):
            calls += 1
            for name, tokens in (getattr(event.result, "usage_metadata", None) or {}).items():
                if name in usage:
                    usage[name] += int(tokens)
        elif isinstance(event, Finished):
            answer = event.result
    spent = time.perf_counter() - started
    return Outcome(
        found=_hits(states.get("found", ())),
        context=_hits(states.get("context", ()), texts=True),
        draft=states["draft"].text if "draft" in states else None,
        judged=states.get("judged"),
        answer=answer,
        seconds=round(spent, 5),
        calls=calls,
        usage=usage if calls else {},
    )


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
