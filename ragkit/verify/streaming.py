"""An answer while it is written: each sentence is cited and checked as soon as it is whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ragkit import policy
from ragkit.answer import Answer, Citation, NumberedClaim
from ragkit.citation import whole
from ragkit.flow import Event, Flow, emit, observing
from ragkit.policy import Policy
from ragkit.text.question import Asked
from ragkit.verify import Verifier


@dataclass(frozen=True)
class CitationReady(Event):
    """A source that claims to come cite.  It replaces an earlier one of its number."""

    citation: Citation


@dataclass(frozen=True)
class ClaimReady(Event):
    """A claim has its verdict.  It replaces an earlier one of its index.

    `index` counts the claims of the draft from 0.  `shown`: the policy lets a reader see it now, with its
    citations; the others wait for the whole answer.  `reason` says why it is not supported, if it is not.
    """

    index: int
    claim: NumberedClaim
    shown: bool
    reason: str = ""


class ClaimStream:
    """Tells of the claims of an answer as they become known, each once, unless it changes.

    The answer may be written several times over; what is told last holds.
    """

    def __init__(self, asked: Asked, verify: Verifier | None, policy: Policy) -> None:
        self.asked, self.verify, self.policy = asked, verify, policy
        self.citations: dict[int, CitationReady] = {}
        self.claims: dict[int, ClaimReady] = {}

    def following(self, writing: Flow[Answer], so_far: Callable[[str], Answer | None]) -> Flow[Answer]:
        """*writing*, with each whole sentence judged and told as it comes, if that is quick.

        *so_far* reads the whole sentences of what a chat model has streamed, if they can be read before the
        end.
        """
        if self.verify is None or self.verify.quick:
            return (yield from observing(writing, self._listener(so_far)))
        return (yield from writing)

    def _listener(self, so_far: Callable[[str], Answer | None]) -> Callable[[str], Flow[None]]:
        text = begun = ""

        def heard(token: str) -> Flow[None]:
            """Are there more sentences than before?"""
            nonlocal text, begun
            begun += token
            if ready := whole(begun):
                text, begun = text + ready, begun[len(ready) :]
                if (answer := so_far(text)) is not None:
                    judged = (yield from self.verify.flow(self.asked, answer)) if self.verify else answer
                    yield from self.tell(judged)

        return heard

    def tell(self, judged: Answer) -> Flow[None]:
        """Tell what is new in *judged*: the draft up to here, with its verdicts."""
        settled = policy.settled(self.policy, judged)
        claims = self._claims(judged, list(settled.numbered))
        gone = [replace(self.claims[i], shown=False) for i in sorted(self.claims) if i >= len(claims)]
        for citation in settled.citations:
            if self.citations.get(citation.number) != CitationReady(citation):
                self.citations[citation.number] = CitationReady(citation)
                yield from emit(self.citations[citation.number])
        for ready in [*claims, *gone]:
            if self.claims.get(ready.index) != ready:
                self.claims[ready.index] = ready
                yield from emit(ready)

    @staticmethod
    def _claims(judged: Answer, settled: list[NumberedClaim]) -> list[ClaimReady]:
        """The claims of *judged*, those that are *settled* numbered as a reader will see them."""
        reasons = {citation.number: citation.reason for citation in judged.citations}
        claims = []
        for index, claim in enumerate(judged.numbered):
            shown = bool(settled) and (settled[0].text, settled[0].verdict) == (claim.text, claim.verdict)
            own = settled.pop(0) if shown else claim.model_copy(update={"citations": ()})
            why = next((reasons[n] for n in claim.citations if reasons[n]), "it names no source")
            claims.append(ClaimReady(index, own, shown, why if claim.is_fault else ""))
        return claims
