"""What becomes of claims that their citations do not support."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from langchain_core.documents import Document

from ragkit.answer import Abstention, Answer, Cited, Claim, Finding, Verdict
from ragkit.document import title_of
from ragkit.text.words import stems

Policy = Literal["flag", "drop", "abstain"]
"""What to do with unsupported claims: `flag` or `drop` them, or `abstain` if there are any.

`flag` keeps them with their verdicts.  All but `flag` remove the marks that name nothing.
"""

_NEAREST = 3  # titles that an abstention names


def apply(policy: Policy, answer: Answer) -> Answer:
    """What the reader sees of a judged answer.  Claims that no verifier checked count as good."""
    if answer.abstained:
        return abstained(answer.question, answer.abstained.reason, answer.context, answer.confidence)
    if policy == "flag":
        return answer
    good = tuple(_resolved(claim) for claim in answer.claims if not claim.is_fault)
    if policy == "abstain" and answer.faults:
        reason = f"{len(answer.faults)} of {len(answer.claims)} sentences are not supported by the papers"
        return abstained(answer.question, reason, answer.context, answer.confidence)
    if not any(stems(claim.text) for claim in good):
        reason = "no sentence of the answer is supported by the papers"
        return abstained(answer.question, reason, answer.context, answer.confidence)
    return answer.model_copy(update={"claims": good})


def _resolved(claim: Claim) -> Claim:
    """*claim*, judged, without the marks that name nothing."""
    kept = tuple(cited for cited in claim.cites if cited.finding)
    return claim.model_copy(update={"cites": kept}) if kept else claim


def abstained(question: str, reason: str, passages: Sequence[Document], confidence: float = 0.0) -> Answer:
    """No answer, the reason, and the titles of the first passages."""
    nearest = tuple(dict.fromkeys(title for title in map(title_of, passages) if title))[:_NEAREST]
    refusal = Abstention(reason=reason, nearest=nearest)
    return Answer(question=str(question), abstained=refusal, confidence=confidence, context=tuple(passages))


def unsure(answer: Answer, reason: str) -> Answer:
    """*answer*, as the policy let it be seen, not as an answer: what it rests on, word for word, is what came closest."""
    quoted: list[Claim] = []
    for claim in answer.claims:
        quoted += [claim] if claim.quoted else [_quoting(cited) for cited in claim.cites if cited.quote]
    closest = tuple({claim.text: claim for claim in quoted}.values())
    return answer.model_copy(update={"abstained": Abstention(reason=reason), "claims": closest})


def _quoting(cited: Cited) -> Claim:
    quote = cited.quote
    assert quote is not None
    before = f"\n\n“{quote.title}”: " if quote.title else "\n\n"
    finding = Finding(verdict=Verdict.QUOTED, score=1.0, reason="word for word")
    exact = cited.model_copy(update={"finding": finding})
    return Claim(text=quote.read_out, verdict=Verdict.QUOTED, before=before, cites=(exact,), quoted=True)


def settled(policy: Policy, judged: Answer) -> Answer:
    """What a reader may see of *judged* while the rest of the answer is still to be judged."""
    return judged.model_copy(update={"claims": ()}) if policy == "abstain" else apply(policy, judged)
