"""Negative flips: questions that one configuration answers well and the one after it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragkit.errors import UsageError
from ragkit.evaluate.evaluation import Evaluation, values_of

MEASURE = "good"
"""What flips: is the answer, or the abstention, a good one?"""


@dataclass(frozen=True)
class Flips:
    """How the questions that `before` and `after` were both asked went over.

    `negative` are the ids of those that were answered well before and are no longer, `positive` those the other way
    round.  (Metric: "MUSCLE: A Model Update Strategy for Compatible LLM Evolution".)
    """

    dataset: str
    before: str
    after: str
    questions: int
    negative: tuple[str, ...]
    positive: tuple[str, ...]

    @classmethod
    def between(
        cls, dataset: str, before: str, old: Mapping[str, float], after: str, new: Mapping[str, float]
    ) -> Flips:
        """Those between the values *old* and *new* of questions, by their ids."""
        both = [case for case in old if case in new]
        negative = tuple(case for case in both if old[case] > new[case])
        positive = tuple(case for case in both if old[case] < new[case])
        return cls(dataset, before, after, len(both), negative, positive)

    def as_json(self) -> dict[str, Any]:
        return vars(self) | {"negative": list(self.negative), "positive": list(self.positive)}

    def __str__(self) -> str:
        named = f": {', '.join(self.negative)}" if self.negative else ""
        return (
            f"{self.dataset}: of {self.questions} questions, {len(self.negative)} that {self.before} answers well"
            f" {self.after} does not{named}; {len(self.positive)} the other way round"
        )


def flips(evaluation: Evaluation, baseline: Path | None = None) -> list[Flips]:
    """From the first configuration to each other, and from *baseline*, an earlier `--json`, to each of its name.

    Only datasets that are answered have any.  Raises `UsageError` if *baseline* is none.
    """
    found = []
    for dataset in dict.fromkeys(run.dataset.name for run in evaluation.runs):
        first, *others = [run for run in evaluation.runs if run.dataset.name == dataset]
        for other in others:
            old, new = first.values(MEASURE), other.values(MEASURE)
            found.append(Flips.between(dataset, first.configuration, old, other.configuration, new))
    earlier = values_of(baseline) if baseline else {}
    for run in evaluation.runs:
        if before := earlier.get((run.dataset.name, run.configuration)):
            old = {case: values[MEASURE] for case, values in before.items() if MEASURE in values}
            name = f"{run.configuration} in {baseline}"
            found.append(Flips.between(run.dataset.name, name, old, run.configuration, run.values(MEASURE)))
    return [each for each in found if each.questions]


def too_many(found: list[Flips], most: int) -> list[str]:
    """A sentence for each of *found* with more than *most* negative flips.

    Raises `UsageError` if there are none to count: a bound on nothing would hold whatever happened.
    """
    if not found:
        raise UsageError(
            "--max-flips compares answers: give two configurations, or --baseline, and a file of questions"
        )
    return [f"{each}, more than {most}" for each in found if len(each.negative) > most]
