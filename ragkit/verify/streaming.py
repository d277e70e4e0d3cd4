"""An answer while it is written: each sentence is cited and checked as soon as it is whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ragkit import policy
from ragkit.answer import Answer, Citation, Claim, Verdict
from ragkit.citation import whole
from ragkit.flow import Event, Flow, emit
from ragkit.policy import Policy
from ragkit.verify import Verifier


@dataclass(frozen=True)
class Cited(Event):
    """A source that claims to come cite.  One whose number was there before replaces that."""

    citation: Citation


@dataclass(frozen=True)
class Checked(Event):
    """A claim has its verdict.  One whose index was there before replaces that.

    `index` counts the claims of the draft from 0.  `shown`: the policy lets a reader see it now, with its citations;
    the others wait for the whole answer.  `reason` says why it is not supported, if it is not.
    """

    index: int
    claim: Claim
    shown: bool
    reason: str = ""


class Draft:
    """Tells of the claims of an answer as they become known, each once, unless it changes.

    It may be written several times over; what is told last holds.
    """

    def __init__(self, verify: Verifier | None, policy: Policy) -> None:
        self.verify, self.policy = verify, policy
        self.cited: dict[int, Cited] = {}
        self.checked: dict[int, Checked] = {}

    @property
    def judges_as_written(self) -> bool:
        return self.verify is None or self.verify.quick

    def listening(self, so_far: Callable[[str], Answer | None]) -> Callable[[str], Flow[None]]:
        """What is to hear each token of a chat model.  *so_far* reads the whole sentences that it has written, if they can be read
        before the end.
        """
        text = begun = ""

        def heard(token: str) -> Flow[None]:
            """Are there more sentences than before?"""
            nonlocal text, begun
            begun += token
            if ready := whole(begun):
                text, begun = text + ready, begun[len(ready) :]
                if (answer := so_far(text)) is not None:
                    yield from self.tell((yield from self.verify.flow(answer)) if self.verify else answer)

        return heard

    def tell(self, judged: Answer) -> Flow[None]:
        """Tell of what is new in *judged*: the draft up to here, with its verdicts."""
        citations, claims = self._as_shown(judged)
        gone = [replace(self.checked[i], shown=False) for i in sorted(self.checked) if i >= len(claims)]
        for cited in citations:
            if self.cited.get(cited.citation.number) != cited:
                self.cited[cited.citation.number] = cited
                yield from emit(cited)
        for checked in [*claims, *gone]:
            if self.checked.get(checked.index) != checked:
                self.checked[checked.index] = checked
                yield from emit(checked)

    def _as_shown(self, judged: Answer) -> tuple[list[Cited], list[Checked]]:
        """The claims of *judged*, those that may be shown numbered as a reader will see them, and what these cite."""
        settled = policy.settled(self.policy, judged)
        left = list(settled.claims)
        reasons = {c.number: c.reason for c in judged.citations}
        claims = []
        for index, claim in enumerate(judged.claims):
            shown = bool(left) and (left[0].text, left[0].verdict) == (claim.text, claim.verdict)
            own = left.pop(0) if shown else claim.model_copy(update={"citations": ()})
            why = next((reasons[n] for n in claim.citations if reasons[n]), "it names no source")
            claims.append(
                Checked(
                    index,
                    own,
                    shown,
                    why if claim.verdict in (Verdict.UNSUPPORTED, Verdict.UNRESOLVED) else "",
                )
            )
        return [Cited(citation) for citation in settled.citations], claims
