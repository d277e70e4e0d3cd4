"""Does a sentence count as against the claims that a script made false from it, and no other sentence?

    python -m benchmarks.against [--each N]

The claims are those of `benchmarks.falsehoods` whose edit turns a sentence round: another number or unit, values
exchanged, who and what exchanged, an opposite, a negation.  Each is held against its own sentence, and, like each
true claim, against the six sentences of its own and other papers that share most words with it.  A sentence that is
found to be against counts as right only if the claim was made false from it; so some that really say otherwise count
as wrong.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks.falsehoods import EACH, HALVES, Pair, Sentence, papers, planted, sentences_of, share
from benchmarks.table import markdown
from ragkit.document import title_of
from ragkit.text.words import stems
from ragkit.verify.opposition import OPPOSED, opposition
from ragkit.verify.support import support_of

KINDS = ("number", "unit", "arm", "roles", "direction", "polarity")
NEAR = 6
"""How many other sentences a claim is held against."""
OTHERS = 8
"""Every so-many-th paper is looked at for sentences like a claim, beside its own."""
TRIED = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)

Papers = Mapping[str, Sequence[tuple[Sentence, frozenset[str]]]]


class Measured(NamedTuple):
    """A claim, the score of its own sentence, and those of the others."""

    pair: Pair
    own: float
    others: tuple[float, ...]


def score(claim: str, quote: str, context: str, title: str) -> float:
    """How far *quote* is against *claim*; 0 if it supports it."""
    found = opposition(claim, quote, title, context[: max(context.find(quote), 0)])
    return 0.0 if found is None or support_of(claim, quote, title).holds else found.score


def near(pair: Pair, known: Papers) -> list[tuple[str, Sentence]]:
    """The sentences, each with its paper, that share most words with a claim."""
    wanted = frozenset(stems(pair.claim))
    titles = {pair.title, *list(known)[::OTHERS]}
    every = [
        (len(wanted & own), title, each) for title in sorted(titles) for each, own in known.get(title, ())
    ]
    others = [
        (n, t, each) for n, t, each in every if each.text not in pair.quote and pair.quote not in each.text
    ]
    return [(title, each) for _, title, each in sorted(others, key=lambda each: -each[0])[:NEAR]]


def measured(pairs: Sequence[Pair], known: Papers) -> list[Measured]:
    return [
        Measured(
            pair,
            score(pair.claim, pair.quote, pair.context, pair.title),
            tuple(score(pair.claim, each.text, each.context, title) for title, each in near(pair, known)),
        )
        for pair in pairs
    ]


def table(found: Sequence[Measured]) -> str:
    """For each threshold and half: of the sentences found how many are right, and how many are found."""
    rows = []
    for least in TRIED:
        cells = [f"**{least}**" if least == OPPOSED else str(least)]
        for half in HALVES:
            own = [each for each in found if each.pair.half == half]
            made = [each.own >= least for each in own if not each.pair.true and each.pair.kind in KINDS]
            wrong = sum(each.own >= least for each in own if each.pair.true)
            wrong += sum(other >= least for each in own for other in each.others)
            cells += [share(sum(made), sum(made) + wrong), share(sum(made), len(made))]
        rows.append(cells)
    return markdown(
        ["score", *(f"{what}, {half}" for half in HALVES for what in ("precision", "recall"))], rows
    )


def main(each: int = EACH) -> str:
    pairs = [pair for pair in planted(each) if pair.true or pair.kind in KINDS]
    pairs = [pair for pair in pairs if pair.kind != "cell"]
    known = {title_of(p): [(s, frozenset(stems(s.text))) for s in sentences_of(p)] for p in papers()}
    return f"## Sentences that are against a claim, with 95 % intervals\n\n{table(measured(pairs, known))}"


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="Claims made false, held against sentences.")
    options.add_argument("--each", type=int, default=EACH, help="pairs of a kind in each half")
    print(main(options.parse_args().each))
