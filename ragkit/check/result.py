"""What a check comes to: the claims of a text, each with its verdict, and the report on them in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ragkit import notebook
from ragkit.answer import Against, Cited, FrozenModel, Quote, Source, Verdict
from ragkit.check.references import Reference
from ragkit.text.printable import one_line


class JudgedQuote(Quote):
    """Exact characters of a paper, how far they support a claim or oppose it (0 to 1), and why."""

    verdict: Verdict = Verdict.UNCHECKED
    score: float = 0.0
    reason: str = ""

    @classmethod
    def judged(cls, cited: Cited) -> JudgedQuote:
        assert cited.quote is not None
        if cited.finding is None:
            return cls(**dict(cited.quote))
        found = cited.finding
        return cls(
            **dict(cited.quote), verdict=found.verdict, score=round(found.score, 4), reason=found.reason
        )


class CheckedClaim(FrozenModel):
    """A claim of a text: `text` is the characters from `start` to `end` of it, which begin in its line `line`, and
    `claim` what was judged, without marks.

    `verdict` is that of the papers that it cites, or of the corpus where it cites none.  `quotes` are the spans that
    support it, or else the one that comes nearest.  `against` is the span that says otherwise, if one does.
    `elsewhere` is a span of another paper that supports it, where those cited do not.  `missing` are the words,
    numbers and names of the claim that no passage found has.
    """

    text: str
    claim: str
    start: int
    end: int
    line: int
    verdict: Verdict
    reason: str
    references: tuple[Reference, ...] = ()
    quotes: tuple[JudgedQuote, ...] = ()
    against: Against | None = None
    elsewhere: JudgedQuote | None = None
    missing: tuple[str, ...] = ()

    @property
    def evidence(self) -> list[tuple[str, Quote]]:
        """The quotes with what each is to the claim, those against it first."""
        label = "for" if self.verdict.holds else "nearest"
        kept = [quote for quote in self.quotes if self.against is None or quote.span != self.against.span]
        found: list[tuple[str, Quote]] = [("against", self.against)] if self.against else []
        found += [("for" if quote.verdict.holds else label, quote) for quote in kept]
        return found + ([("elsewhere", self.elsewhere)] if self.elsewhere else [])


class Check(FrozenModel):
    """The claims of a text, each with its verdict, in order.

    `usage` and `timings_ms` are as those of an answer.
    """

    claims: tuple[CheckedClaim, ...]
    usage: dict[str, int | float] = {}
    timings_ms: dict[str, float] = {}

    @property
    def is_supported(self) -> bool:
        """Are all claims supported?"""
        return all(claim.verdict.holds for claim in self.claims)

    @property
    def counts(self) -> dict[str, int]:
        """How many claims have each verdict."""
        found = {str(verdict): sum(claim.verdict is verdict for claim in self.claims) for verdict in Verdict}
        return {verdict: number for verdict, number in found.items() if number}

    def as_json(self) -> dict[str, Any]:
        """Plain data, with the keys of `ragkit check --json`."""
        own = self.model_dump(mode="json")
        return {"supported": self.is_supported, "counts": self.counts, **own}

    def _repr_html_(self) -> str:
        claims = [
            notebook.unfolding(
                [one_line(claim.text), notebook.verdict(claim.verdict)],
                *([] if claim.verdict.holds else [notebook.element("p", one_line(claim.reason))]),
                *(
                    notebook.element(
                        "div", f"{label}: {one_line(quote.title)}", notebook.quotation(quote.quote)
                    )
                    for label, quote in claim.evidence
                ),
            )
            for claim in self.claims
        ]
        return notebook.page(*claims)

    def as_markdown(self) -> str:
        """A report for people: what is wrong first, then every claim with its quotes."""
        told = ", ".join(f"{number} {verdict}" for verdict, number in self.counts.items())
        lines = ["# Check", "", f"{len(self.claims)} claim{'s' * (len(self.claims) != 1)}: {told}.", ""]
        wrong = [claim for claim in self.claims if not claim.verdict.holds]
        right = [claim for claim in self.claims if claim.verdict.holds]
        for heading, claims in (("Not supported", wrong), ("Supported", right)):
            if claims:
                lines += [f"## {heading}", "", *(line for claim in claims for line in _told(claim))]
        return "\n".join(lines).rstrip() + "\n"


def _told(claim: CheckedClaim) -> Iterator[str]:
    yield f"### Line {claim.line}: {claim.verdict}"
    yield ""
    yield f"> {_plain(claim.text)}"
    yield ""
    if not claim.verdict.holds:
        yield f"- **why**: {_plain(claim.reason)}"
    for label, quote in claim.evidence:
        yield f"- **{label}**: {_plain(quote.title)} ({_place(quote.sources)}): “{_plain(quote.quote)}”"
    if claim.missing:
        yield f"- **missing**: {', '.join(map(_plain, claim.missing))}"
    for each in claim.references:
        reason = f" ({_plain(each.reason)})" if each.reason and not each.verdict.holds else ""
        yield f"- {_plain(each.mark)} {_plain(each.title)}: {each.verdict}{reason}"
    yield ""


def _place(sources: tuple[Source, ...]) -> str:
    return ", ".join(f"`{one_line(source.place).replace('`', '')}`" for source in sources) or "no file"


_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~&])")


def _plain(text: str) -> str:
    """*text* in one line, nothing in it Markdown or HTML."""
    return _SPECIAL.sub(r"\\\1", one_line(text))
