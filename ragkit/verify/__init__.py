"""Does each citation support its claim?

By words and numbers (`evidence`), an entailment model (`entailment`), or a chat model (`judge`).  A verifier
judges and attributes; the policy decides what happens to unsupported claims.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

from ragkit.answer import Answer, Cited, Claim, Finding, Verdict
from ragkit.config.components import interface
from ragkit.flow import Flow
from ragkit.text.question import Asked
from ragkit.text.words import stems
from ragkit.verify.attribution import (
    Pair,
    best_span,
    best_spans,
    joined,
    joint_pairs,
    narrowed,
    pair_of,
    pairs_of,
    setting_of,
)
from ragkit.verify.support import Setting


@interface
class Verifier(ABC):
    """Gives every claim of an answer, and every quote that it cites, a verdict."""

    quick: ClassVar[bool] = False
    """Is it quick enough to judge each sentence while a chat model writes the next?"""

    @abstractmethod
    def flow(self, asked: Asked, answer: Answer) -> Flow[Answer]:
        """*answer* to the question *asked*, judged: its sentences stay, what they cite may change."""


class ClaimVerifier(Verifier):
    """Checks each claim against each of its quotes, and keeps the quotes that support it, alone or together.

    A claim that its quotes do not support, or that cites nothing, is checked against the best span of the
    answer's context, and cites that if it is supported by it.  Failing that, its parts (joined by `, and`)
    are checked against the best span for each, and it cites these if all parts are supported.  `by_model`
    says which quotes the model named itself.
    """

    @abstractmethod
    def weigh(self, pairs: Sequence[Pair], settings: Sequence[Setting]) -> Flow[Sequence[Finding]]:
        """The finding on each of *pairs*, of which there is at least one, in its setting."""

    def flow(self, asked: Asked, answer: Answer) -> Flow[Answer]:
        found = yield from self._weighed(
            asked, answer, [p for claim in answer.claims for p in pairs_of(claim)]
        )
        claims = [_with_findings(claim, found) for claim in answer.claims]
        joint = [joint_pairs(claim) for claim in claims]
        found |= yield from self._weighed(asked, answer, [pair for pairs in joint for pair in pairs.values()])
        together = [{n: found[pair] for n, pair in pairs.items()} for pairs in joint]
        verdicts = [
            _verdict(claim, list(both.values())) for claim, both in zip(claims, together, strict=True)
        ]
        for i, both in enumerate(together):
            if verdicts[i].holds:
                kept, finding = narrowed(claims[i], both)
                claims[i] = _citing(claims[i], joined(kept, answer, finding) if finding else kept)
        doubtful = [i for i, claim in enumerate(claims) if _may_move(claim) and not verdicts[i].holds]
        best = {i: span for i in doubtful if (span := best_span(answer, claims[i].text)) is not None}
        pairs = {i: pair_of(claims[i].text, span) for i, span in best.items()}
        found |= yield from self._weighed(
            asked, answer, [pair for pair in pairs.values() if pair not in found]
        )
        for i in doubtful:
            spans = {pairs[i]: best[i]} if i in best and _supports(found[pairs[i]]) else {}
            if not spans:
                spans = best_spans(asked, answer, claims[i])
                found |= yield from self._weighed(asked, answer, list(spans))
            if spans and all(_supports(found[pair]) for pair in spans):
                cites = [Cited(quote=q, by_model=False, finding=found[pair]) for pair, q in spans.items()]
                claims[i] = _citing(claims[i], cites)
                verdicts[i] = found[next(iter(spans))].verdict if len(spans) == 1 else Verdict.SUPPORTED
        judged = [c.model_copy(update={"verdict": v}) for c, v in zip(claims, verdicts, strict=True)]
        return answer.model_copy(update={"claims": tuple(judged)})

    def _weighed(self, asked: Asked, answer: Answer, pairs: Sequence[Pair]) -> Flow[dict[Pair, Finding]]:
        once = list(dict.fromkeys(pairs))
        settings = [setting_of(asked, answer, pair) for pair in once]
        findings = (yield from self.weigh(once, settings)) if once else []
        return {pair: _as_quoted(pair, finding) for pair, finding in zip(once, findings, strict=True)}


def _as_quoted(pair: Pair, finding: Finding) -> Finding:
    """*finding*, `quoted` instead of `supported` where a quote has the claim word for word."""
    is_quoted = finding.verdict is Verdict.SUPPORTED and (pair.is_verbatim or pair.is_row)
    return finding.model_copy(update={"verdict": Verdict.QUOTED}) if is_quoted else finding


def _supports(finding: Finding | None) -> bool:
    return finding is not None and finding.verdict.holds


def _with_findings(claim: Claim, found: Mapping[Pair, Finding]) -> Claim:
    """*claim*, each of its quotes with the finding on it."""
    cites = [
        c.model_copy(update={"finding": found[pair_of(claim.text, c.quote)]}) if c.quote else c
        for c in claim.cites
    ]
    return claim.model_copy(update={"cites": tuple(cites)})


def _citing(claim: Claim, quotes: Sequence[Cited]) -> Claim:
    """*claim* with these quotes in place of its own; marks that name nothing stay, to be seen."""
    return claim.model_copy(update={"cites": (*quotes, *(cited for cited in claim.cites if not cited.quote))})


def _may_move(claim: Claim) -> bool:
    """May the verifier look for other quotes for *claim*?

    Not for one without words, or whose marks all name nothing.
    """
    return bool(stems(claim.text)) and (not claim.cites or any(cited.quote for cited in claim.cites))


def _verdict(claim: Claim, together: Sequence[Finding]) -> Verdict:
    """The verdict that follows from the findings on the quotes of *claim*, alone and *together*."""
    if not claim.cites:
        return Verdict.UNSUPPORTED if any(c.isalnum() for c in claim.text) else Verdict.UNCHECKED
    alone = [cited.finding for cited in claim.cites if cited.finding]
    if not alone:
        return Verdict.UNRESOLVED
    if (
        together
        and not any(finding.in_words for finding in alone)
        and together[-1].verdict is Verdict.UNCHECKED
    ):
        # The claim is in another language: the numbers and names that one source lacks are in another.
        return Verdict.UNCHECKED
    verdicts = {finding.verdict for finding in [*alone, *together]}
    return _best(verdicts)


def _best(verdicts: Collection[Verdict]) -> Verdict:
    order = (Verdict.QUOTED, Verdict.SUPPORTED, Verdict.UNSUPPORTED, Verdict.UNCHECKED)
    return next(verdict for verdict in order if verdict in verdicts)
