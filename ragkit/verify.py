"""Does each citation support its claim?  A verifier judges and never edits; what follows is the policy's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from ragkit.answer import Answer, Citation, Claim, Verdict
from ragkit.evidence import SUPPORTED, Support, support
from ragkit.flow import Flow, done
from ragkit.registry import component, interface


@interface
class Verifier(ABC):
    """Gives every citation and claim of an answer a verdict."""

    quick: ClassVar[bool] = False
    """Is it quick enough to judge each sentence while a chat model writes the next?"""

    @abstractmethod
    def flow(self, answer: Answer) -> Flow[Answer]:
        """*answer*, judged; its text is as it was."""


@component("evidence")
@dataclass(frozen=True)
class EvidenceVerifier(Verifier):
    """Compares words, numbers, names and negation of claim and quote; needs no model.

    A claim is supported if one of its quotes, or all of them together, score at least `threshold`.
    """

    threshold: float = SUPPORTED

    quick: ClassVar[bool] = True

    def flow(self, answer: Answer) -> Flow[Answer]:
        found = {c.number: c for c in answer.citations}
        scores: dict[int, Support] = {}
        claims = []
        for claim in answer.claims:
            cited = [found[n] for n in claim.citations if found[n].document_id is not None]
            for citation in cited:
                judged = support(claim.text, citation.quote, citation.title)
                if citation.number not in scores or judged.score < scores[citation.number].score:
                    scores[citation.number] = judged  # of several claims, the one it supports least
            claims.append(claim.model_copy(update={"verdict": self._verdict(claim, cited)}))
        citations = [self._judged(c, scores[c.number]) if c.number in scores else c for c in answer.citations]
        return done(answer.model_copy(update={"claims": tuple(claims), "citations": tuple(citations)}))

    def _verdict(self, claim: Claim, cited: list[Citation]) -> Verdict:
        if not claim.citations:
            return Verdict.UNSUPPORTED if any(c.isalnum() for c in claim.text) else Verdict.UNCHECKED
        if not cited:
            return Verdict.UNRESOLVED
        best = max(support(claim.text, c.quote, c.title).score for c in cited)
        if best < self.threshold and len(cited) > 1:
            together = support(claim.text, "\n".join(c.quote for c in cited), " ".join(c.title for c in cited))
            best = together.score
        return Verdict.SUPPORTED if best >= self.threshold else Verdict.UNSUPPORTED

    def _judged(self, citation: Citation, found: Support) -> Citation:
        verdict = Verdict.SUPPORTED if found.score >= self.threshold else Verdict.UNSUPPORTED
        return citation.model_copy(update={"verdict": verdict, "score": round(found.score, 4), "reason": found.reason})
