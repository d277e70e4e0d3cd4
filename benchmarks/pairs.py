"""A chat model as the judge of two answers: how often it prefers the one that is known to be better.

    RAGKIT_MODEL=... RAGKIT_BASE_URL=... python -m benchmarks.pairs [--split dev|test|all] [--every N]

The better one is a right answer of the default configuration.  The worse one is a right answer to another question,
the same answer with another number or denied (`benchmarks.swaps`), or a wrong answer of a search by words alone that
sees one passage.  The judge has the reference answer, and is asked in both orders ("Long-Span
Question-Answering: Automatic Question Generation and QA-System Ranking via Side-by-Side Evaluation").
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import ragkit
from benchmarks.answers import DEFAULT, chat_model, measured, selected
from benchmarks.falsehoods import parser
from benchmarks.swaps import Donors, other_number, polarity
from benchmarks.table import markdown
from ragkit.config.chat_model import VARIABLE
from ragkit.config.layers import Override
from ragkit.evaluate.evaluation import Evaluation
from ragkit.evaluate.judge import ChatJudge, Preference, ToJudge
from ragkit.evaluate.measure import claimed, is_right
from ragkit.evaluate.run import Configuration
from ragkit.evaluate.statistics import interval
from ragkit.flow import run

WEAKER = (
    "answer.retrieve=[{type: lexical, index: *words, k: 1}]",
    "answer.fuse=rrf",
    "answer.refine={type: top, k: 1}",
)


class Pair(NamedTuple):
    """A right answer with its question, and one that is worse in a way that `kind` names."""

    kind: str
    judged: ToJudge
    worse: str


def pairs(found: Evaluation, rng: random.Random) -> Iterator[Pair]:
    """Of the answers of two configurations to the same questions, the better configuration first."""
    better, weaker = found.runs
    right = [
        (result.case, answer)
        for result in better.results
        if (answer := result.outcome.answer)
        and not answer.abstained
        and is_right(result.case, claimed(answer))
    ]
    of_weaker = {result.case.id: result.outcome.answer for result in weaker.results}
    for case, answer in right:
        judged = ToJudge(case.question, claimed(answer), case.answer)
        others = [text for _, other in right if not is_right(case, text := claimed(other))]
        yield Pair("right answer to another question", judged, rng.choice(others))
        if len(answer.claims) == 1:  # so that what is changed is what answers
            doc = parser()(judged.answer)
            for text in other_number(doc, Donors(), rng):
                if not is_right(case, text):
                    yield Pair("the same with another number", judged, text)
            for text in polarity(doc, Donors(), rng):
                yield Pair("the same, denied", judged, text)
        wrong = of_weaker.get(case.id)
        if wrong and wrong.claims and not is_right(case, claimed(wrong)):
            yield Pair("wrong answer of a weaker search", judged, claimed(wrong))


def row(kind: str, heard: Sequence[Preference]) -> list[object]:
    """How often the right answer, the worse one or none was preferred, and how often order did not matter."""
    read = [p for p in heard if p.outcome is not None]
    shares = [[float(p.outcome == winner) for p in read] for winner in ("first", "second", "tie")]
    cells = [interval(values, binary=True) for values in (*shares, [float(p.steady) for p in read])]
    return [
        kind,
        len(heard),
        len(heard) - len(read),
        *(f"{i.value:.2f} [{i.low:.2f}, {i.high:.2f}]" for i in cells),
    ]


HEADER = [
    "the other answer",
    "pairs",
    "reply not read",
    "right preferred",
    "wrong preferred",
    "tie",
    "same in both orders",
]


def main(split: str = "all", every: int = 2) -> str:
    judge = ChatJudge(llm=chat_model())
    weaker = ragkit.load(DEFAULT, overrides=[Override.parse(each) for each in WEAKER])
    asked = [Configuration("default", ragkit.load(DEFAULT)), Configuration("weaker", weaker)]
    compared = list(pairs(measured(asked, split, every), random.Random(0)))
    heard = [run(judge.prefer(pair.judged, pair.worse)) for pair in compared]
    kinds = dict.fromkeys(pair.kind for pair in compared)
    rows = [row(kind, [h for p, h in zip(compared, heard, strict=True) if p.kind == kind]) for kind in kinds]
    title = f"## A judge of pairs: {os.environ[VARIABLE]}, each pair in both orders, 95 % intervals"
    return f"{title}\n\n{markdown(HEADER, [*rows, row('all', heard)])}"


if __name__ == "__main__":
    print(main(*selected("How often a judge prefers the better of two answers.", "all", 2)))
