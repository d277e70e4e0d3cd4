"""What each stage of a question did with the passages, and what the gate saw, in lines for people to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document

from ragkit.answer import Answer
from ragkit.document import score_of, scores_of, span_of, title_of
from ragkit.flow import Called, Event, StateReached
from ragkit.gate import (
    FOUND_SIGNALS,
    JUDGED_SIGNALS,
    CalibratedGate,
    Relevance,
    found_signals,
    judged_signals,
)
from ragkit.text.printable import one_line
from ragkit.text.question import Asked

_NAMED = 5  # passages that a stage dropped which are named


class Trace:
    """Tells of the events of a question: a line for each call, and below it, indented, what became of the passages."""

    def __init__(self) -> None:
        self.passages: Sequence[Document] = ()
        self.asked: Asked | None = None
        self.gate: CalibratedGate | None = None
        self.relevance = Relevance()

    def lines(self, event: Event) -> Iterator[str]:
        """What *event* tells; nothing for most."""
        match event:
            case Called(stage="refine", result=result):
                yield _call(event)
                yield from self._kept(result)
            case Called(stage="gate", owner=CalibratedGate() as gate, result=Relevance() as relevance):
                yield _call(event)
                self.gate, self.relevance = gate, relevance
                yield from self._weighed(gate, relevance)
            case Called():
                yield _call(event)
            case StateReached(state="asked", value=asked):
                self.asked = asked
            case StateReached(state="found", value=found):
                self.passages = found
                yield _below(f"found {len(found)} passages")
            case StateReached(state="context", value=context):
                self.passages = context
                for number, passage in enumerate(context, 1):
                    yield _below(f"passage {number}: {_named(passage)}")
            case StateReached(state="judged", value=Answer() as judged):
                yield from self._judged(judged)

    def _kept(self, kept: Sequence[Document]) -> Iterator[str]:
        """What a refiner dropped; a passage of which it keeps a part, or to which it adds, is kept."""
        spans = [span_of(passage) for passage in kept]
        dropped = [
            passage
            for passage in self.passages
            if not any(span.holds(span_of(passage)) or span_of(passage).holds(span) for span in spans)
        ]
        self.passages = kept
        yield _below(f"kept {len(kept)} passages, dropped {len(dropped)}")
        for passage in dropped[:_NAMED]:
            yield _below(f"dropped: {_named(passage)}")
        if len(dropped) > _NAMED:
            yield _below(f"dropped: and {len(dropped) - _NAMED} more")

    def _weighed(self, gate: CalibratedGate, relevance: Relevance) -> Iterator[str]:
        told = relevance.refusal or "the passages may answer the question"
        yield _below(f"relevance {relevance.score:.2f}, needs {gate.found.threshold:.2f}: {told}")
        if self.asked and self.passages:
            signals = found_signals(self.asked.understood, self.passages, gate.retriever)
            yield from _signals(signals, gate.found.weights, FOUND_SIGNALS)

    def _judged(self, judged: Answer) -> Iterator[str]:
        if self.gate is None or self.asked is None or not judged.claims:
            return
        sure = self.gate.confirm(self.asked, self.relevance, judged)
        told = sure.refusal or "the answer is shown"
        yield _below(f"confidence {sure.score:.2f}, needs {self.gate.judged.threshold:.2f}: {told}")
        signals = judged_signals(self.asked.parsed, self.relevance, judged)
        yield from _signals(signals, self.gate.judged.weights, JUDGED_SIGNALS)


def _signals(
    signals: Mapping[str, float], weights: Mapping[str, float], meanings: Mapping[str, str]
) -> Iterator[str]:
    """Each signal that the gate weighs: its value, its weight and its meaning."""
    for name, weight in weights.items():
        if name in signals:
            yield _below(f"  {name} {signals[name]:.2f} (weight {weight:g}): {meanings[name]}")


def _named(passage: Document) -> str:
    """A passage's score, paper and place, and its score by each retriever."""
    span = span_of(passage)
    own = ", ".join(f"{name} {score:.3f}" for name, score in scores_of(passage).items())
    return f"{score_of(passage):.3f} {title_of(passage)} {span.document_id}:{span.start}-{span.end} ({own})"


def _below(line: str) -> str:
    indent = len(line) - len(line.lstrip())
    return f"{' ' * (indent + 9)}{one_line(line)}"


def _call(event: Called) -> str:
    """One line: the stage, its component, its time, what it returned."""
    return f"{event.stage:<9}{event.component:<26}{1000 * event.seconds:9.1f} ms  {_outcome(event.result)}"


def _outcome(result: Any) -> str:
    if result is None:
        return "nothing"
    if isinstance(result, Sequence) and not isinstance(result, str):
        first = next(iter(result), None)
        if isinstance(first, Document):
            best = one_line(title_of(first)) or f"score {score_of(first):.3f}"
            return f"{len(result)} passages, first: {best}"
        return f"{len(result)} numbers" if isinstance(first, float) else f"{len(result)} items"
    text = one_line(str(getattr(result, "content", result)))
    return text if len(text) <= 100 else f"{text[:100]}…"
