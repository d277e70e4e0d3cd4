"""The results of an evaluation: figures, paired comparisons, requirements; as objects, JSON and JUnit.

Figures come with intervals.
"""

from __future__ import annotations

import itertools
import json
import operator
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ragkit import notebook
from ragkit.errors import UsageError
from ragkit.evaluate.dataset import Case, Dataset, write_qrels, write_run
from ragkit.evaluate.measure import MEASURES, Fault, Measure, Values, ranking
from ragkit.evaluate.outcome import Outcome, RetrievedPassage
from ragkit.evaluate.statistics import (
    Coverage,
    Difference,
    Interval,
    area,
    difference,
    holm,
    interval,
    resampled,
    risk_coverage,
)
from ragkit.evaluate.verdicts import Ranked


@dataclass(frozen=True)
class Result:
    """One question under one configuration."""

    case: Case
    outcome: Outcome
    values: Values
    fault: Fault = ""


@dataclass(frozen=True)
class Run:
    """The results of one configuration on one dataset, in the order of its cases."""

    configuration: str
    dataset: Dataset
    results: tuple[Result, ...]

    def values(self, measure: str, kind: str | None = None) -> dict[str, float]:
        """By case: the value of a measure, where it applies."""
        return {
            r.case.id: r.values[measure]
            for r in self.results
            if measure in r.values and kind in (None, r.case.kind)
        }

    def coverage(self) -> list[Coverage]:
        """The risk-coverage curve: the share of questions answered, and of those answers that are wrong."""
        return _coverage(self.judged())

    def judged(self) -> list[Result]:
        return [r for r in self.results if "good" in r.values and r.outcome.answer is not None]


def _coverage(judged: Sequence[Result]) -> list[Coverage]:
    answered = [
        (r.outcome.answer.confidence, not r.values["good"])
        for r in judged
        if r.outcome.answer and not r.outcome.answer.abstained
    ]
    return risk_coverage([c for c, _ in answered], [wrong for _, wrong in answered], len(judged))


@dataclass(frozen=True)
class Figure:
    """One number of the table; `kind` narrows it to questions of a kind."""

    dataset: str
    configuration: str
    measure: str
    interval: Interval
    kind: str | None = None


@dataclass(frozen=True)
class Comparison:
    """`first` against `second` on the cases of both."""

    dataset: str
    measure: str
    first: str
    second: str
    difference: Difference

    @property
    def verdict(self) -> str:
        if self.difference.is_chance:
            return "could be chance"
        ahead = (self.difference.value > 0) == (MEASURES[self.measure].better == "more")
        return f"{self.first if ahead else self.second} is better"


@dataclass(frozen=True)
class Evaluation:
    """The runs, what the judge preferred, and why it ended early, if it did."""

    runs: tuple[Run, ...]
    preferred: dict[str, tuple[Ranked, ...]] = field(default_factory=dict)
    """By dataset: the configurations as a pairwise judge ranks them."""
    stopped: str = ""
    failed: bool = False
    """Did it end early because questions failed?"""
    notes: tuple[str, ...] = ()

    def figures(self) -> list[Figure]:
        return [figure for run in self.runs for figure in _figures(run)]

    def comparisons(self) -> list[Comparison]:
        """Every two configurations on every measure that both have.

        p-values are adjusted over the pairs of a measure.
        """
        found = []
        for dataset in dict.fromkeys(run.dataset.name for run in self.runs):
            runs = [run for run in self.runs if run.dataset.name == dataset]
            for name, measure in MEASURES.items():
                pairs = {}
                for one, other in itertools.combinations(runs, 2):
                    if paired := _paired(one.values(name), other.values(name)):
                        pairs[one.configuration, other.configuration] = difference(
                            *paired, binary=measure.binary
                        )
                for (first, second), apart in _adjusted(pairs).items():
                    found.append(Comparison(dataset, name, first, second, apart))
        return found

    def as_json(self) -> dict[str, Any]:
        """Plain data, with the keys of `ragkit eval --json`."""
        return {
            "datasets": [
                {"name": d.name, "questions": len(d.cases), "digest": d.digest}
                for d in {run.dataset.name: run.dataset for run in self.runs}.values()
            ],
            "configurations": list(dict.fromkeys(run.configuration for run in self.runs)),
            "measures": {
                name: {"about": m.about, "better": m.better, "unit": m.unit}
                for name, m in (MEASURES | SUMMARIES).items()
            },
            "figures": [_figure_json(figure) for figure in self.figures()],
            "comparisons": [_comparison_json(comparison) for comparison in self.comparisons()],
            "coverage": [
                {
                    "dataset": run.dataset.name,
                    "configuration": run.configuration,
                    "curve": [list(map(_rounded, p)) for p in run.coverage()],
                }
                for run in self.runs
                if run.dataset.asks
            ],
            "preferred": {name: [vars(ranked) for ranked in order] for name, order in self.preferred.items()},
            "stopped": self.stopped or None,
            "notes": list(self.notes),
            "questions": [_result_json(run, result) for run in self.runs for result in run.results],
        }

    def _repr_html_(self) -> str:
        figures = [figure for figure in self.figures() if figure.kind is None]
        names = list(dict.fromkeys(figure.configuration for figure in figures))
        parts: list[notebook.Inside] = []
        for dataset in dict.fromkeys(figure.dataset for figure in figures):
            cells = {(f.measure, f.configuration): _shown(f) for f in figures if f.dataset == dataset}
            measures = dict.fromkeys(measure for measure, _ in cells)
            rows = [[measure, *(cells.get((measure, name), "") for name in names)] for measure in measures]
            parts += [notebook.element("p", dataset), notebook.table(rows, ["", *names])]
        said = [f"{c.measure}: {c.verdict}" for c in self.comparisons() if not c.difference.is_chance]
        return notebook.page(*parts, *notebook.listed("significant differences", said), *self.notes)

    def junit(self, failed: Sequence[str] = ()) -> str:
        """JUnit XML: a suite for each run with a case for each question, and one for the requirements.

        *failed* names the requirements that were not met.
        """
        suites = ElementTree.Element("testsuites", name="ragkit eval")
        for run in self.runs:
            suite = _suite(
                suites,
                f"{run.dataset.name} {run.configuration}",
                len(run.results),
                sum(bool(r.fault) for r in run.results),
            )
            for result in run.results:
                seconds = f"{result.outcome.seconds:.3f}"
                case = ElementTree.SubElement(
                    suite,
                    "testcase",
                    classname=suite.get("name", ""),
                    name=_legal(result.case.id),
                    time=seconds,
                )
                if result.fault:
                    said = result.outcome.error or (
                        result.outcome.answer.text if result.outcome.answer else ""
                    )
                    ElementTree.SubElement(case, "failure", message=result.fault).text = _legal(
                        f"{result.case.question}\n{said}"
                    )
        suite = _suite(suites, "requirements", max(len(failed), 1), len(failed))
        for name in failed or ["all hold"]:
            case = ElementTree.SubElement(suite, "testcase", classname="requirements", name=_legal(name))
            if failed:
                ElementTree.SubElement(case, "failure", message=_legal(name))
        ElementTree.indent(suites)
        return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"

    def write_trec(self, folder: Path) -> None:
        """A TREC run file for each run and the judgements of each dataset."""
        folder.mkdir(parents=True, exist_ok=True)
        for run in self.runs:
            write_qrels(folder / f"{run.dataset.name}.qrels", run.dataset.cases)
            rankings = {r.case.id: ranking(run.dataset, r.case, r.outcome.found) for r in run.results}
            write_run(folder / f"{run.dataset.name}.{run.configuration}.run", rankings, run.configuration)

    def write_samples(self, path: Path) -> None:
        """Write each answer as a line of JSON, with the field names of ragas and those of deepeval."""
        with path.open("w", encoding="utf-8") as file:
            for run in self.runs:
                for result in run.results:
                    if result.outcome.answer:
                        file.write(json.dumps(_sample(run, result), ensure_ascii=False) + "\n")


def _sample(run: Run, result: Result) -> dict[str, Any]:
    case, answer = result.case, result.outcome.answer
    asked, passages = case.question, [hit.text for hit in result.outcome.context]
    said = answer.text if answer else ""
    named = {"id": case.id, "dataset": run.dataset.name, "configuration": run.configuration}
    ragas = {"user_input": asked, "retrieved_contexts": passages, "response": said, "reference": case.answer}
    deepeval = {
        "input": asked,
        "actual_output": said,
        "expected_output": case.answer,
        "retrieval_context": passages,
    }
    return named | ragas | deepeval


def _suite(suites: ElementTree.Element, name: str, tests: int, failures: int) -> ElementTree.Element:
    return ElementTree.SubElement(
        suites, "testsuite", name=_legal(name), tests=str(tests), failures=str(failures)
    )


def _legal(text: str) -> str:
    """*text* without what XML cannot hold."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


# --- figures


SUMMARIES = {
    m.name: m
    for m in (
        Measure("ms_p50", "median milliseconds a question", "ms", "less"),
        Measure("ms_p95", "milliseconds that 95 % of the questions stay under", "ms", "less"),
        Measure(
            "aurc",
            "mean risk (share wrong) over the coverages that a threshold on the confidence can reach",
            "share",
            "less",
        ),
    )
}


def _figures(run: Run) -> Iterator[Figure]:
    figure = partial(Figure, run.dataset.name, run.configuration)
    kinds = sorted({r.case.kind for r in run.results if r.case.kind})
    for kind in [None, *kinds]:
        for name, measure in MEASURES.items():
            if values := list(run.values(name, kind).values()):
                yield figure(name, interval(values, measure.binary), kind)
    if spent := list(run.values("ms").values()):
        for name, q in (("ms_p50", 50.0), ("ms_p95", 95.0)):
            yield figure(name, resampled(spent, partial(np.percentile, q=q)))
    judged = run.judged()
    if any(r.outcome.answer and not r.outcome.answer.abstained for r in judged):
        yield figure("aurc", resampled(judged, lambda some: area(_coverage(some))))


def _shown(figure: Figure) -> str:
    value, low, high, _ = figure.interval
    return f"{value:.3g} [{low:.3g}, {high:.3g}]"


def _figure_json(figure: Figure) -> dict[str, Any]:
    numbers = {name: _rounded(getattr(figure.interval, name)) for name in ("value", "low", "high")}
    named = {name: getattr(figure, name) for name in ("dataset", "configuration", "measure", "kind")}
    return named | numbers | {"cases": figure.interval.cases}


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


# --- comparisons


def _paired(one: dict[str, float], other: dict[str, float]) -> tuple[list[float], list[float]] | None:
    both = [case for case in one if case in other]
    return ([one[c] for c in both], [other[c] for c in both]) if both else None


def _adjusted(pairs: dict[tuple[str, str], Difference]) -> dict[tuple[str, str], Difference]:
    adjusted = holm({str(pair): apart.p for pair, apart in pairs.items()})
    return {pair: replace(apart, p=adjusted[str(pair)]) for pair, apart in pairs.items()}


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    apart = comparison.difference
    named = {name: getattr(comparison, name) for name in ("dataset", "measure", "first", "second")}
    numbers = {"difference": apart.value, "low": apart.low, "high": apart.high, "p": apart.p}
    rest = {"cases": apart.cases, "test": apart.test, "verdict": comparison.verdict}
    return named | {name: _rounded(value) for name, value in numbers.items()} | rest


def _result_json(run: Run, result: Result) -> dict[str, Any]:
    case, outcome = result.case, result.outcome
    dataset = run.dataset

    def shown(hit: RetrievedPassage, *more: str) -> dict[str, Any]:
        gold = any(name in case.relevant for name in dataset.paper(hit.uris, hit.title))
        return {
            **hit.model_dump(include={"document_id", "title", "start", "end", "score", *more}),
            "gold": gold,
        }

    return {
        "dataset": dataset.name,
        "configuration": run.configuration,
        "id": case.id,
        "question": case.question,
        "kind": case.kind,
        "answerable": case.answerable,
        "reference": case.answer,
        "gold": list(case.relevant),
        "values": {name: _rounded(value) for name, value in result.values.items()},
        "fault": result.fault or None,
        "error": outcome.error or None,
        "found": [shown(hit) for hit in outcome.found[:20]],
        "context": [shown(hit, "text") for hit in outcome.context],
        "draft": outcome.draft,
        "judged": outcome.judged.as_json() if outcome.judged else None,
        "answer": outcome.answer.as_json() if outcome.answer else None,
    }


# --- requirements


@dataclass(frozen=True)
class Requirement:
    """A bound that every run with the measure must meet, written `measure >= value` (or `<=`, `>`, `<`)."""

    measure: str
    sign: str
    value: float

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """Raises `UsageError` for what is none."""
        found = re.fullmatch(r"\s*([\w@]+)\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?)\s*", text)
        known = {**MEASURES, **SUMMARIES}
        if not found or found[1] not in known:
            raise UsageError(
                f"'{text}' is no requirement; write one such as 'right >= 0.8' (measures: {', '.join(known)})"
            )
        return cls(found[1], found[2], float(found[3]))

    def unmet(self, evaluation: Evaluation) -> list[str]:
        """A sentence for each run that does not meet it, or for all if none has the measure."""
        holds = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}[self.sign]
        wanted = [f for f in evaluation.figures() if f.measure == self.measure and f.kind is None]
        if not wanted:
            return [f"nothing measured '{self.measure}'"]
        return [
            f"{f.dataset}, {f.configuration}: {self.measure} is {f.interval.value:.3f}, not {self.sign} {self.value:g}"
            for f in wanted
            if not holds(f.interval.value, self.value)
        ]


def values_of(baseline: Path) -> dict[tuple[str, str], dict[str, Values]]:
    """The values of each question, by its id, in an earlier `--json`; by dataset and configuration.

    Raises `UsageError` if it is none.
    """
    before: dict[tuple[str, str], dict[str, Values]] = {}
    try:
        for row in json.loads(baseline.read_text(encoding="utf-8"))["questions"]:
            before.setdefault((row["dataset"], row["configuration"]), {})[row["id"]] = row["values"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"'{baseline}' is no result of `ragkit eval --json`: {error}") from None
    return before


def regressions(evaluation: Evaluation, baseline: Path) -> list[str]:
    """A sentence for each measure that is worse than in *baseline* (an earlier `--json`) by more than chance.

    Runs are matched by dataset and configuration, questions by id; p-values are adjusted over all measures.
    Raises `UsageError` if no run of *evaluation* is in it: a comparison with nothing would hold whatever
    happened.
    """
    before = values_of(baseline)
    if not any((run.dataset.name, run.configuration) in before for run in evaluation.runs):
        known = ", ".join(f"{dataset} with {configuration}" for dataset, configuration in before)
        raise UsageError(
            f"'{baseline}' has no run of these datasets and configurations to compare with; it has {known or 'none'}"
        )
    found: dict[str, tuple[str, Difference]] = {}
    for run in evaluation.runs:
        old = before.get((run.dataset.name, run.configuration), {})
        for name, measure in MEASURES.items():
            if measure.unit != "share":
                continue
            if paired := _paired(
                run.values(name), {case: values[name] for case, values in old.items() if name in values}
            ):
                apart = difference(*paired, binary=measure.binary)
                if apart.value and (apart.value < 0) == (measure.better == "more"):
                    found[f"{run.dataset.name}, {run.configuration}: {name}"] = (f"{apart.value:+.3f}", apart)
    adjusted = holm({name: apart.p for name, (_, apart) in found.items()})
    return [
        f"{name} changed by {said} (p = {adjusted[name]:.3g})"
        for name, (said, _) in found.items()
        if adjusted[name] < 0.05
    ]
