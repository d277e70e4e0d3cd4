"""Claims held against quotes by what their parses have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from ragkit.answer import Finding, Verdict
from ragkit.config.components import component
from ragkit.flow import Flow, call
from ragkit.models.reader import PassageReader
from ragkit.text.facts import lacking
from ragkit.text.language import language_of, likelier
from ragkit.text.words import codes, numbers, stems
from ragkit.verify import ClaimVerifier
from ragkit.verify.attribution import Pair
from ragkit.verify.structure import is_table
from ragkit.verify.support import SUPPORTED, Setting, is_verbatim, off_topic, support_of


@component("evidence")
@dataclass(frozen=True)
class EvidenceVerifier(ClaimVerifier):
    """Compares who does what, how much, negation, hedges and quantity of claim and quote, by their parses.

    A quote supports a claim if its score, a probability, is at least `threshold`; see
    `ragkit.verify.support`.  The parser knows English.  A claim or quote in another language is `unchecked`,
    unless it is verbatim, or a number or a name is missing.  A `reader`, if given, also reads the claim with the
    quote; what it makes of them counts together with the parses.
    """

    reader: PassageReader | None = None
    threshold: Annotated[float, Field(ge=0, le=1)] = SUPPORTED

    quick: ClassVar[bool] = True

    def weigh(self, pairs: Sequence[Pair], settings: Sequence[Setting]) -> Flow[Sequence[Finding]]:
        if all(is_verbatim(pair.claim, pair.quote) for pair in pairs):
            return self.judged(pairs, settings)
        found: list[Finding] = yield from call("verify", self.judged, pairs, settings)  # parses
        return found

    def judged(self, pairs: Sequence[Pair], settings: Sequence[Setting]) -> list[Finding]:
        """The finding on each of *pairs*.  Raises `ModelError` without a parser."""
        return [self._found(*each) for each in zip(pairs, settings, strict=True)]

    def _found(self, pair: Pair, setting: Setting) -> Finding:
        rows = "\n".join(f"{q.header}\n{q.quote}" if q.header else q.quote for q in pair.quotes)
        in_words = not is_verbatim(pair.claim, pair.quote) and not is_table(rows)
        if in_words and _is_foreign(pair, setting.question):
            missing = lacking(pair.claim, f"{pair.title}\n{pair.quote}")
            if objection := missing or off_topic(pair.claim, pair.quote, pair.title, setting):
                return Finding(verdict=Verdict.UNSUPPORTED, score=0.0, reason=objection, in_words=False)
            told = "the claim or the source is not in English; only numbers and names were compared"
            return Finding(verdict=Verdict.UNCHECKED, score=0.0, reason=told, in_words=False)
        if pair.is_row and not off_topic(pair.claim, pair.quote, pair.title, setting):
            return Finding(verdict=Verdict.SUPPORTED, score=1.0, reason="the table has it in this row")
        # No reader was trained on tables.
        reader = None if any(quote.header for quote in pair.quotes) else self.reader
        found = support_of(pair.claim, rows, pair.title, setting, reader)
        verdict = Verdict.SUPPORTED if found.score >= self.threshold else Verdict.UNSUPPORTED
        return Finding(verdict=verdict, score=found.score, reason=found.reason)


_SURELY = 0.6
"""How likely another language must be, so that a text is not parsed."""


def _is_foreign(pair: Pair, question: str) -> bool:
    """Is the quote, or the claim, in a language that is not parsed?

    The language of the question tells what a short claim is in.  A claim that has more than half of its words in
    the quote is in its language.
    """
    if language_of(pair.quote, _SURELY) != "en":
        return True
    said = (
        {*stems(pair.claim)}
        - {stem for code in codes(pair.claim) for stem in stems(code)}
        - numbers(pair.claim)
    )
    if 2 * len(said & {*stems(pair.quote), *stems(pair.title)}) > len(said):
        return False
    asked = language_of(question)
    return (
        likelier(pair.claim, asked) if asked not in ("", "en") else language_of(pair.claim, _SURELY) != "en"
    )
