"""What becomes of claims that their citations do not support."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from langchain_core.documents import Document

from ragkit.answer import Abstention, Answer, Claim
from ragkit.citation import judged, render
from ragkit.document import title_of
from ragkit.text.words import stems

Policy = Literal["flag", "drop", "regenerate", "abstain"]
"""`flag` leaves unsupported claims in, with their verdicts; `drop` takes them out; `regenerate` has the answer written once
more if there are any, and drops those of the better one; `abstain` gives no answer then.  All but `flag` take
out the marks that name nothing.
"""


def apply(policy: Policy, answer: Answer) -> Answer:
    """What the reader sees of a judged answer.  Claims that nobody checked count as good."""
    if answer.abstained:
        return abstain(answer.question, answer.abstained.reason, answer.context, answer.confidence)
    if policy == "flag":
        return answer
    bad = answer.faults
    good = [_held(c) for c in answer.claims if c not in bad]
    if policy == "abstain" and bad:
        reason = f"{len(bad)} of {len(answer.claims)} sentences are not supported by the papers"
        return abstain(answer.question, reason, answer.context, answer.confidence)
    if not any(stems(c.text) for c in good):
        return abstain(
            answer.question,
            "no sentence of the answer is supported by the papers",
            answer.context,
            answer.confidence,
        )
    return answer if good == list(answer.claims) else _only(answer, good)


def _held(claim: Claim) -> Claim:
    """*claim*, judged, without the citations that name nothing."""
    kept = tuple(n for n in claim.citations if n in claim.findings)
    return claim.model_copy(update={"citations": kept}) if claim.findings else claim


def better(first: Answer, second: Answer) -> Answer:
    """The answer more of whose claims are supported, the first of equals; one that declines only if the other has nothing to say."""

    def supported(answer: Answer) -> float:
        return 1 - len(answer.faults) / len(answer.claims) if answer.claims else 0.0

    return second if supported(second) > supported(first) else first


def _only(answer: Answer, claims: Sequence[Claim]) -> Answer:
    """*answer* with these claims only, its citations numbered anew and judged by them."""
    number = {old: new for new, old in enumerate(dict.fromkeys(n for c in claims for n in c.citations), 1)}
    kept = [
        c.model_copy(
            update={
                "citations": tuple(number[n] for n in c.citations),
                "findings": {number[n]: f for n, f in c.findings.items()},
            },
        )
        for c in claims
    ]
    citations = sorted(
        (c.model_copy(update={"number": number[c.number]}) for c in answer.citations if c.number in number),
        key=lambda c: c.number,
    )
    return answer.model_copy(
        update={"text": render(kept), "claims": tuple(kept), "citations": judged(citations, kept)}
    )


def abstain(question: str, reason: str, passages: Sequence[Document], confidence: float = 0.0) -> Answer:
    """No answer, the reason, and the titles that came nearest."""
    nearest = tuple(dict.fromkeys(t for t in map(title_of, passages) if t))[:3]
    text = f"I cannot answer this from the papers: {reason}."
    if nearest:
        text += " Nearest: " + "; ".join(nearest) + "."
    refusal = Abstention(reason=reason, nearest=nearest)
    return Answer(
        question=question, text=text, abstained=refusal, confidence=confidence, context=tuple(passages)
    )


def settled(policy: Policy, judged: Answer) -> Answer:
    """What a reader may be shown of *judged* while the rest of the answer is still to be judged."""
    if policy in ("flag", "drop"):
        return apply(policy, judged)
    return judged.model_copy(update={"claims": (), "citations": ()})
