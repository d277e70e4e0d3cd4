"""When not to answer, and what becomes of claims that their citations do not support."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from langchain_core.documents import Document

from ragkit.answer import Abstention, Answer, Claim, Verdict
from ragkit.cite import render
from ragkit.document import scores_of, searchable, title_of
from ragkit.evidence import missing_names
from ragkit.registry import component, interface
from ragkit.text import codes, stems

Policy = Literal["flag", "drop", "abstain"]
"""`flag` leaves unsupported claims in, with their verdicts; `drop` takes them out; `abstain` gives no answer then."""


def apply(policy: Policy, answer: Answer) -> Answer:
    """What the reader sees of a judged answer.  Claims that nobody checked count as good."""
    if policy == "flag" or answer.abstained:
        return answer
    good = [c for c in answer.claims if c.verdict in (Verdict.SUPPORTED, Verdict.UNCHECKED)]
    if policy == "abstain" and len(good) < len(answer.claims):
        bad = len(answer.claims) - len(good)
        reason = f"{bad} of {len(answer.claims)} sentences are not supported by the papers"
        return abstain(answer.question, reason, answer.context, answer.confidence)
    if not any(stems(c.text) for c in good):
        return abstain(answer.question, "no sentence of the answer is supported by the papers", answer.context, answer.confidence)
    if len(good) == len(answer.claims):
        return answer
    return _only(answer, good)


def _only(answer: Answer, claims: Sequence[Claim]) -> Answer:
    """*answer* with these claims only, its citations numbered anew."""
    number = {old: new for new, old in enumerate(dict.fromkeys(n for c in claims for n in c.citations), 1)}
    kept = [c.model_copy(update={"citations": tuple(number[n] for n in c.citations)}) for c in claims]
    citations = sorted(
        (c.model_copy(update={"number": number[c.number]}) for c in answer.citations if c.number in number), key=lambda c: c.number
    )
    return answer.model_copy(update={"text": render(kept), "claims": tuple(kept), "citations": tuple(citations)})


def abstain(question: str, reason: str, passages: Sequence[Document], confidence: float = 0.0) -> Answer:
    """No answer, the reason, and the titles that came nearest."""
    nearest = tuple(dict.fromkeys(t for t in map(title_of, passages) if t))[:3]
    text = f"I cannot answer this from the papers: {reason}."
    if nearest:
        text += " Nearest: " + "; ".join(nearest) + "."
    refusal = Abstention(reason=reason, nearest=nearest)
    return Answer(question=question, text=text, abstained=refusal, confidence=confidence, context=tuple(passages))


class Relevance(NamedTuple):
    """How far passages are about a question, from 0 to 1, and why they cannot answer it, if they cannot."""

    score: float = 1.0
    refusal: str | None = None


def confidence(relevance: Relevance, answer: Answer) -> float:
    """How sure an answer is: its passages' relevance, times the mean over its claims of their best citation's score."""
    scores = {c.number: c.score for c in answer.citations if c.verdict is not Verdict.UNCHECKED}
    best = [max(scores.get(n, 0.0) for n in claim.citations) for claim in answer.claims if claim.citations]
    return round(relevance.score * (sum(best) / len(best) if best and scores else 1.0), 4)


@interface
class Gate(ABC):
    """Decides, before anything is generated, whether the passages can answer the question."""

    @abstractmethod
    def weigh(self, question: str, passages: Sequence[Document]) -> Relevance:
        """How far *passages* are about *question*; the refusal is the end of a sentence."""


@component("relevance")
@dataclass(frozen=True)
class RelevanceGate(Gate):
    """Lets a question pass if the passages are about it and name what it names.

    The nearest passage's cosine to the question (by the retriever called `retriever`) and the share of the question's
    content words that one passage has, weighed `weight` to `1 - weight`, must reach `threshold`.  What the question
    calls by a name such as `GPT-4` must occur in some passage; what it only writes with a capital (`Mozart`,
    `Bayesian`) must do so too, unless the sum reaches `sure`.
    """

    retriever: str = "dense"
    threshold: float = 0.23
    sure: float = 0.4
    weight: float = 0.9

    def weigh(self, question: str, passages: Sequence[Document]) -> Relevance:
        if not passages:
            return Relevance(0.0, "nothing was found")
        texts = [searchable(p) for p in passages]
        similarity = max(scores_of(p).get(self.retriever, 0.0) for p in passages)
        wanted = set(stems(question))
        coverage = max(len(wanted & set(stems(text))) / max(len(wanted), 1) for text in texts)
        relevance = self.weight * similarity + (1 - self.weight) * coverage
        score = min(max(relevance, 0.0), 1.0)
        if relevance < self.threshold:
            return Relevance(score, "none of them is about it")
        certain = codes(question)
        for name in missing_names(question, "\n".join(texts)):
            if name in certain or relevance < self.sure:
                return Relevance(score, f"none of those that come near it mentions '{name}'")
        return Relevance(score)
