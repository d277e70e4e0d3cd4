"""Search a pipeline file that leaves things open: `{choice: [a, b]}` and `{range: [low, high]}`.

Candidates are asked a few questions first; those that are behind drop out, and the rest are asked twice as many, until
the last ones have been asked all ("Non-stochastic Best Arm Identification and Hyperparameter Optimization": successive
halving).  A candidate drops out early if it is worse than the best by more than chance, tested on the same questions.
What was chosen on some questions is compared with the file's first choices on others.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ragkit import config, pipeline_file  # noqa: F401
from ragkit.config.checker import DEFINITIONS
from ragkit.document import digest
from ragkit.errors import UsageError, needs
from ragkit.evaluate.dataset import Dataset
from ragkit.evaluate.evaluation import Run
from ragkit.evaluate.measure import MEASURES
from ragkit.evaluate.run import Configuration, Session, Settings
from ragkit.evaluate.statistics import Difference, Interval, difference, interval
from ragkit.flow import Event, Finished, Progress
from ragkit.rag import Rag

Value = Any  # whatever YAML can say
Assignment = tuple[int, ...]
"""For each open place, the number of the option taken."""

_LEAST = 8
"""How many questions the first round asks at least."""
_FIRST = 24
"""How many it asks where there are enough; fewer would drop good candidates by chance."""
_POINTS = 5
"""How many values stand for a range without a step."""


@dataclass(frozen=True)
class Open:
    """A place that a pipeline file leaves open: where it first occurs, and what may stand there."""

    path: str
    options: tuple[Value, ...]
    inside: bool = False
    """Does it stand inside an option of another place?"""


class Space:
    """A pipeline file with open places.  An anchor's open place is one, however often it is used.

    Raises `UsageError` if nothing is open or a `choice` or `range` is none.
    """

    def __init__(self, text: str, name: str, allow_import: Collection[str] = ()) -> None:
        self.name, self.allow_import = name, allow_import
        try:
            self._data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(f"'{name}' is not YAML: {error}") from None
        found: dict[int, Open] = {}
        _collect(self._data, "", found, name)
        if not found:
            raise UsageError(
                f"'{name}' leaves nothing open; write {{choice: [a, b]}} or {{range: [low, high]}} where values are to be tried"
            )
        self._places = list(found)
        self.open = tuple(found.values())

    @classmethod
    def read(cls, path: Path, allow_import: Collection[str] = ()) -> Space:
        """Raises `UsageError` if there is no such file."""
        try:
            return cls(path.read_text(encoding="utf-8-sig"), str(path), allow_import)
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"cannot read '{path}': {getattr(error, 'strerror', None) or 'it is not UTF-8'}"
            ) from None

    @cached_property
    def size(self) -> int:
        """How many ways there are to fill it in."""
        return math.prod(len(place.options) for place in self.open)

    def filled(self, chosen: Assignment) -> Value:
        """The data of a pipeline file with these options."""
        return _filled(self._data, self._values(chosen), {})

    def _values(self, chosen: Assignment) -> dict[int, Value]:
        return {
            key: place.options[number]
            for key, place, number in zip(self._places, self.open, chosen, strict=True)
        }

    def text(self, chosen: Assignment) -> str:
        """The same as YAML, without the place for anchors."""
        data = self.filled(chosen)
        kept = (
            {key: value for key, value in data.items() if key != DEFINITIONS}
            if isinstance(data, dict)
            else data
        )
        return str(yaml.dump(kept, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))

    def rag(self, chosen: Assignment) -> Rag:
        """Raises `ConfigError`, which names the options, if they do not make a pipeline."""
        return config.loads(
            Rag, self.text(chosen), f"{self.name} with {self.describe(chosen)}", self.allow_import
        )

    def describe(self, chosen: Assignment) -> str:
        """The options taken, by place, with what stands in them."""
        values = self._values(chosen)
        told = zip(self.open, self._places, strict=True)
        return ", ".join(
            f"{place.path}: {_shown(_filled(values[key], values, {}))}"
            for place, key in told
            if not place.inside
        )

    def matters(self, place: Open, chosen: Assignment) -> bool:
        """Does *place* stand in what *chosen* makes?"""
        used: dict[int, Value] = {}
        values = self._values(chosen)
        _filled(self._data, values, {}, used)
        return self._places[self.open.index(place)] in used

    def candidates(self, most: int, seed: int) -> list[Assignment]:
        """The first choices, and up to *most* ways in all: every one, or as many spread over the space."""
        first = (0,) * len(self.open)
        every: Iterable[Assignment] = itertools.product(*(range(len(place.options)) for place in self.open))
        wanted = every if self.size <= most else itertools.chain([first], _spread(self.open, most, seed))
        distinct: dict[str, Assignment] = {}  # a place inside an option that is not taken changes nothing
        for chosen in wanted:
            distinct.setdefault(self.text(chosen), chosen)
            if len(distinct) == most:
                break
        return list(distinct.values())


class _Dumper(yaml.SafeDumper):
    """Shared parts are written out where they are used; equal specs build one object."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _collect(value: Value, path: str, found: dict[int, Open], name: str, inside: bool = False) -> None:
    if isinstance(value, dict):
        if set(value) & {"choice", "range"} and set(value) <= {"choice", "range", "step", "log"}:
            if id(value) not in found:
                found[id(value)] = Open(path, _options(value, path, name), inside)
                for option in value.get("choice", ()):
                    _collect(option, path, found, name, inside=True)
            return
        for key, inner in value.items():
            _collect(
                inner,
                "" if path == "" and key == DEFINITIONS else f"{path}.{key}".lstrip("."),
                found,
                name,
                inside,
            )
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _collect(inner, f"{path}[{number}]", found, name, inside)


def _options(value: Mapping[str, Value], path: str, name: str) -> tuple[Value, ...]:
    if "choice" in value:
        if set(value) != {"choice"} or not isinstance(value["choice"], list) or len(value["choice"]) < 2:
            raise UsageError(
                f"'{name}': {path}: a choice is a list of two or more values, such as {{choice: [rrf, minmax]}}"
            )
        return tuple(value["choice"])
    ends, step, log = value["range"], value.get("step"), value.get("log", False)
    if not (
        isinstance(ends, list)
        and len(ends) == 2
        and all(type(e) in (int, float) for e in ends)
        and ends[0] < ends[1]
    ):
        raise UsageError(
            f"'{name}': {path}: a range is [low, high] with low < high, such as {{range: [0.1, 0.9]}}"
        )
    if (log and ends[0] <= 0) or (step is not None and not (type(step) in (int, float) and step > 0)):
        raise UsageError(
            f"'{name}': {path}: a step is a number above 0, and a range with `log` begins above 0"
        )
    low, high = ends
    if step is not None:
        points = [low + i * step for i in range(int((high - low) / step + 1e-9) + 1)]
    else:
        spaced = np.geomspace(low, high, _POINTS) if log else np.linspace(low, high, _POINTS)
        points = [float(f"{p:.4g}") for p in spaced]
    whole = all(isinstance(v, int) for v in (*ends, *([step] if step is not None else [])))
    return tuple(dict.fromkeys(round(p) if whole else round(p, 10) for p in points))


def _filled(
    value: Value, values: Mapping[int, Value], made: dict[int, Value], used: dict[int, Value] | None = None
) -> Value:
    """*value* with its open places filled; what was shared is shared again.  *used* gets the places that were filled."""
    if id(value) in values:
        if used is not None:
            used[id(value)] = values[id(value)]
        return _filled(values[id(value)], values, made, used)
    if not isinstance(value, dict | list):
        return value
    if id(value) not in made:
        if isinstance(value, dict):
            made[id(value)] = {key: _filled(inner, values, made, used) for key, inner in value.items()}
        else:
            made[id(value)] = [_filled(inner, values, made, used) for inner in value]
    return made[id(value)]


def _shown(value: Value) -> str:
    return (
        str(yaml.dump(value, Dumper=_Dumper, default_flow_style=True, width=10_000))
        .removesuffix("\n...\n")
        .strip()
    )


def _spread(places: Sequence[Open], most: int, seed: int) -> Iterator[Assignment]:
    """Assignments drawn so that they lie evenly in the space."""
    optuna = _optuna()
    study = optuna.create_study(
        sampler=optuna.samplers.QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)
    )
    for _ in range(4 * most):
        trial = study.ask(
            {
                str(i): optuna.distributions.IntDistribution(0, len(p.options) - 1)
                for i, p in enumerate(places)
            }
        )
        study.tell(trial, 0.0)
        yield tuple(trial.params[str(i)] for i in range(len(places)))


def _optuna() -> Any:
    with needs("tune", "a search this wide"):
        import optuna
    import warnings

    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


# --- the search


@dataclass(frozen=True)
class Candidate:
    """A way to fill in the file, and how it did on the questions it was asked; `left` says why it dropped out."""

    chosen: Assignment
    score: Interval
    questions: int
    left: str = ""


@dataclass(frozen=True)
class Effect:
    """What an open place does: the mean of the candidates with each option on the questions of the first round, and the share
    of the variance between the candidates that goes with it (many options explain some by chance).
    """

    path: str
    options: tuple[tuple[str, Interval], ...]
    share: float


@dataclass(frozen=True)
class Tuned:
    """The outcome: the candidates, best first; the winner's YAML; how far it is ahead of the first choices on questions that
    had no part in the search (None, if none were held out or the winner is the first choices).
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
        return self.space.text(self.candidates[0].chosen)

    def markdown(self) -> str:
        """The report: the winner, what mattered, and every candidate."""
        best = self.candidates[0]
        lines = [
            f"# Tuning of {self.space.name} for {self.measure}",
            "",
            f"Best of {len(self.candidates)}: {self.space.describe(best.chosen)}",
            "",
        ]
        if self.ahead:
            d = self.ahead
            sure = "could be chance" if d.is_chance else "could not be chance"
            lines.append(
                f"On {d.cases} questions held out of the search it is {d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}] from the first choices"
                f" (p = {d.p:.2g}, {sure})."
            )
        elif best.chosen == (0,) * len(self.space.open):
            lines.append("The first choices of the file are the best.")
        if self.stopped:
            lines.append(f"\nEnded early: {self.stopped}.")
        lines += [
            "",
            "## What mattered",
            "",
            "Means over the candidates of the first round.",
            "",
            "| place | share of the differences | options |",
        ]
        lines += ["| --- | --- | --- |"]
        for e in self.effects:
            options = "; ".join(
                f"{label}: {i.value:.3f} [{i.low:.3f}, {i.high:.3f}]" for label, i in e.options
            )
            lines.append(f"| {e.path} | {e.share:.0%} | {_cell(options)} |")
        lines += [
            "",
            "## Candidates",
            "",
            f"| {self.measure} | questions | options | left because |",
            "| --- | --- | --- | --- |",
        ]
        for c in self.candidates:
            score = f"{c.score.value:.3f} [{c.score.low:.3f}, {c.score.high:.3f}]"
            lines.append(f"| {score} | {c.questions} | {_cell(self.space.describe(c.chosen))} | {c.left} |")
        return "\n".join(lines) + "\n"


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
    """Find the best of up to *most* candidates by *measure* (`good` for questions, `ndcg@10` for a collection).

    A share *held_out* of the questions has no part in the search.  The budget of *settings* is for the whole search.  Ends
    with `Finished(tuned)`.  Raises `ConfigError` if a candidate is no pipeline, `UsageError` for too few questions.
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
        """For each open place: the mean of each option, and the share of the variance between candidates that it explains."""
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
                (_shown(place.options[n]), interval(group)) for n, group in groups.items() if group
            )
            effects.append(Effect(place.path, options, float(between / total) if total > 0 else 0.0))
        return tuple(sorted(effects, key=lambda e: -e.share))

    def tuned(self, held: Dataset) -> Tuned:
        order = tuple(reversed(self.left))
        return Tuned(
            self.measure, self.space, order, self.effects, None, len(held.cases), self.session.stopped
        )
