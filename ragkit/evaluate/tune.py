"""Chooses the best values for the open settings of a pipeline file, measured on the user's questions.

Candidates are asked a few questions first; the worse ones drop out, and the rest are asked twice as many,
until the last ones have been asked all ("Non-stochastic Best Arm Identification and Hyperparameter
Optimization": successive halving).  A candidate drops out early if it is worse than the best by more than
chance, tested on the same questions.  (Aim: few evaluations, as in "On Speeding Up Language Model Evaluation",
by other means.)  The winner is compared with the file's first choices on held-out
questions.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ragkit.corpus import places
from ragkit.document import digest
from ragkit.errors import UsageError
from ragkit.evaluate.dataset import Dataset
from ragkit.evaluate.evaluation import Run
from ragkit.evaluate.measure import MEASURES
from ragkit.evaluate.run import Configuration, Session, Settings
from ragkit.evaluate.space import Assignment, Space, shown
from ragkit.evaluate.statistics import Difference, Interval, difference, interval
from ragkit.flow import Event, Finished, Progress
from ragkit.rag import Rag

_LEAST = 8
"""How many questions the first round asks at least."""
_FIRST = 24
"""How many it asks where there are enough; fewer would drop good candidates by chance."""


@dataclass(frozen=True)
class Candidate:
    """A way to fill in the file, and its score on the questions it was asked.

    `left` says why it dropped out.
    """

    chosen: Assignment
    score: Interval
    questions: int
    left: str = ""


@dataclass(frozen=True)
class Effect:
    """The effect of an open place, measured on the questions of the first round.

    `options`: the mean of the candidates with each option.  `share`: how much of the variance between the
    candidates the place explains (many options explain some by chance).
    """

    path: str
    options: tuple[tuple[str, Interval], ...]
    share: float


@dataclass(frozen=True)
class Tuned:
    """The outcome of tuning: the candidates, best first, and the winner's YAML.

    `ahead`: the lead of the winner over the first choices, on questions that had no part in the search; None
    if no questions were held out, or if the winner is the first choices.
    """

    measure: str
    space: Space
    candidates: tuple[Candidate, ...]
    effects: tuple[Effect, ...]
    ahead: Difference | None
    held_out: int
    stopped: str = ""

    @property
    def yaml(self) -> str:
        return self.space.yaml(self.candidates[0].chosen)

    @property
    def refusal(self) -> str:
        """Why the winner should not be used: it is worse on the questions held out; else empty."""
        if not self.ahead or self.ahead.value >= 0:
            return ""
        return (
            f"on {self.ahead.cases} held-out questions the winner is {-self.ahead.value:.3f} worse"
            " than the first choices of the file; keep these, or tune on more questions"
        )

    def markdown(self) -> str:
        """The report: the winner, what mattered, and every candidate."""
        best = self.candidates[0]
        lines = [f"# Tuning {self.space.name} for the measure '{self.measure}'", ""]
        lines += [f"Best of {len(self.candidates)}: {self.space.describe(best.chosen)}", ""]
        if d := self.ahead:
            sure = "not significant" if d.is_chance else "significant"
            lines.append(
                f"On {d.cases} held-out questions its lead over the first choices is {d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}]"
                f" (p = {d.p:.2g}, {sure})."
            )
        elif best.chosen == (0,) * len(self.space.open):
            lines.append("The first choices of the file are the best.")
        if self.stopped:
            lines.append(f"\nEnded early: {self.stopped}.")
        lines += ["", "## What mattered", "", "Means over the candidates of the first round.", ""]
        lines += ["| setting | share of the differences | mean by option |", "| --- | --- | --- |"]
        for e in self.effects:
            options = "; ".join(f"{label}: {_interval(i)}" for label, i in e.options)
            lines.append(f"| {e.path} | {e.share:.0%} | {_cell(options)} |")
        lines += ["", "## Candidates", "", f"| {self.measure} | questions | options | dropped because |"]
        lines.append("| --- | --- | --- | --- |")
        for c in self.candidates:
            options = _cell(self.space.describe(c.chosen))
            lines.append(f"| {_interval(c.score)} | {c.questions} | {options} | {c.left} |")
        return "\n".join(lines) + "\n"


def _interval(found: Interval) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def tune_events(
    space: Space,
    dataset: Dataset,
    settings: Settings = Settings(),
    *,
    corpus: Path | None = None,
    measure: str = "",
    most: int = 32,
    held_out: float = 0.3,
    seed: int = 0,
) -> Iterator[Event]:
    """Find the best of up to *most* candidates by *measure*.

    The default *measure* is `good` for questions, `ndcg@10` for a collection.  A share *held_out* of the
    questions has no part in the search.  The budget of *settings* is for the whole search.  Ends with
    `Finished(tuned)`.  Raises `ConfigError` if a candidate is no pipeline, `UsageError` for too few
    questions.
    """
    measure = measure or ("good" if dataset.asks else "ndcg@10")
    if measure not in MEASURES:
        raise UsageError(f"there is no measure '{measure}' (known: {', '.join(MEASURES)})")
    searched, held = _split(dataset, held_out, seed)
    if len(searched.cases) < _LEAST:
        raise UsageError(
            f"'{dataset.name}' leaves {len(searched.cases)} questions to search with; at least {_LEAST} are needed"
        )
    with Session(settings) as session:
        search = _Search(space, session, corpus, measure)
        yield from search.all(space.candidates(most, seed), searched)
        tuned = search.tuned(held)
        best, first = tuned.candidates[0].chosen, (0,) * len(space.open)
        if held.cases and best != first and not session.stopped:
            runs = yield from search.asked([best, first], held)
            tuned = replace(tuned, stopped=session.stopped)
            if not session.stopped:
                tuned = replace(tuned, ahead=search.apart(runs[best], runs[first]))
    yield Finished(tuned)


def _split(dataset: Dataset, held_out: float, seed: int) -> tuple[Dataset, Dataset]:
    """The questions to search with, in an order that mixes the kinds, and those held out."""
    order = np.random.default_rng(seed).permutation(len(dataset.cases))
    cases = [dataset.cases[int(i)] for i in order]
    number = round(held_out * len(cases))
    return replace(dataset, cases=tuple(cases[number:])), replace(dataset, cases=tuple(cases[:number]))


class _Search:
    """Successive halving over candidates."""

    def __init__(self, space: Space, session: Session, corpus: Path | None, measure: str) -> None:
        self.space, self.session, self.corpus, self.measure = space, session, corpus, measure
        self.better = 1 if MEASURES[measure].better == "more" else -1
        self.binary = MEASURES[measure].binary
        self.rags: dict[Assignment, Rag] = {}
        self.left: list[Candidate] = []  # the last to drop out comes last
        self.effects: tuple[Effect, ...] = ()

    def all(self, candidates: Sequence[Assignment], dataset: Dataset) -> Generator[Event, None, None]:
        for chosen in candidates:
            self.rags[chosen] = self._built(chosen)
        racing, number = list(candidates), len(dataset.cases)
        rounds = max(1, math.ceil(math.log2(max(len(candidates), 2))))
        size = max(_LEAST, number // 2**rounds, min(number, _FIRST))
        while True:
            size = min(size, number)
            runs = yield from self.asked(racing, dataset.first(size))
            whole = [chosen for chosen in racing if chosen in runs and len(runs[chosen].results) == size]
            ranked = sorted(whole, key=lambda chosen: -self.better * self._score(runs[chosen]).value)
            if not self.effects and len(whole) == len(candidates):
                self.effects = self._effects(runs)
            if not ranked:  # the budget did not last for one candidate
                raise UsageError(
                    f"the search ended before any candidate had been asked {size} questions: {self.session.stopped}"
                )
            done = size == number or len(ranked) == 1 or bool(self.session.stopped)
            keep = ranked if done else ranked[: max(1, math.ceil(len(ranked) / 2))]
            racing = [c for c in keep if not self._is_worse(runs[c], runs[ranked[0]])] if not done else keep
            dropped = [c for c in ranked if done or c not in racing]
            self.left += [
                self._candidate(c, runs, self._reason(runs, c, ranked, keep)) for c in reversed(dropped)
            ]
            if done:
                return
            size *= 2

    def asked(
        self, racing: Sequence[Assignment], dataset: Dataset
    ) -> Generator[Event, None, dict[Assignment, Run]]:
        """The run of each candidate; fewer, if the budget is spent."""
        names = {digest(str(chosen)): chosen for chosen in racing}
        runs: dict[Assignment, Run] = {}
        for number, (name, chosen) in enumerate(names.items()):
            yield Progress("tune", number, len(names), f"{len(dataset.cases)} questions each")
            if self.session.stopped:
                break
            for event in self.session.evaluate([Configuration(name, self.rags[chosen])], [dataset]):
                if isinstance(event, Finished):
                    if event.result.runs:
                        runs[chosen] = event.result.runs[0]
                elif isinstance(event, Progress) and event.stage != "ask":
                    yield event
        yield Progress("tune", len(names), len(names), f"{len(dataset.cases)} questions each")
        return runs

    def _built(self, chosen: Assignment) -> Rag:
        rag = self.space.rag(chosen)
        if self.corpus is None and rag.corpus.directory == places.DEFAULT:
            return rag.moved(places.upwards())
        return rag.moved(self.corpus) if self.corpus else rag

    def _values(self, run: Run) -> dict[str, float]:
        return run.values(self.measure)

    def _score(self, run: Run) -> Interval:
        values = list(self._values(run).values())
        if not values:
            raise UsageError(f"no question of '{run.dataset.name}' can be measured by '{self.measure}'")
        return interval(values, self.binary)

    def apart(self, one: Run, other: Run) -> Difference:
        ours, theirs = self._values(one), self._values(other)
        both = [case for case in ours if case in theirs]
        return difference([ours[c] for c in both], [theirs[c] for c in both], self.binary)

    def _is_worse(self, run: Run, best: Run) -> bool:
        if run is best:
            return False
        apart = self.apart(run, best)
        return apart.value * self.better < 0 and not apart.is_chance

    def _reason(
        self,
        runs: Mapping[Assignment, Run],
        chosen: Assignment,
        ranked: Sequence[Assignment],
        keep: Sequence[Assignment],
    ) -> str:
        if self._is_worse(runs[chosen], runs[ranked[0]]):
            return "worse than the best by more than chance"
        return "" if chosen in keep else "in the lower half"

    def _candidate(self, chosen: Assignment, runs: Mapping[Assignment, Run], left: str) -> Candidate:
        return Candidate(chosen, self._score(runs[chosen]), len(runs[chosen].results), left)

    def _effects(self, runs: Mapping[Assignment, Run]) -> tuple[Effect, ...]:
        """For each open place: the mean of each option, and the share of the variance that it explains.

        The variance is that between candidates.
        """
        means = {chosen: self._score(run).value for chosen, run in runs.items()}
        effects = []
        for i, place in enumerate(self.space.open):
            own = {chosen: m for chosen, m in means.items() if self.space.matters(place, chosen)}
            groups = {
                n: [m for chosen, m in own.items() if chosen[i] == n] for n in range(len(place.options))
            }
            average = np.mean(list(own.values())) if own else 0.0
            total = sum((m - average) ** 2 for m in own.values())
            between = sum(len(g) * (np.mean(g) - average) ** 2 for g in groups.values() if g)
            options = tuple(
                (shown(place.options[n]), interval(group)) for n, group in groups.items() if group
            )
            effects.append(Effect(place.path, options, float(between / total) if total > 0 else 0.0))
        return tuple(sorted(effects, key=lambda e: -e.share))

    def tuned(self, held: Dataset) -> Tuned:
        order = tuple(reversed(self.left))
        return Tuned(
            self.measure, self.space, order, self.effects, None, len(held.cases), self.session.stopped
        )
