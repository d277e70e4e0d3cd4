"""Fit the gate to questions whose answers are known, for a target precision of what is answered.

*_, last = calibrate_events(Configuration("mine", ragkit.load("mine.yaml")), read("questions.jsonl"),
precision=0.9)

Two stacked logistic models are fitted: one for whether the retrieved passages answer the question, one for
whether the judged answer is right.  Both are regularised towards the packaged gate, so that few questions
change little.  Cross-validation chooses the strength and gives every figure of the report: no question is
judged by a model that has seen it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from ragkit.ask import refined
from ragkit.config.spec import describe
from ragkit.errors import UsageError
from ragkit.evaluate.dataset import Case, Dataset
from ragkit.evaluate.measure import is_right
from ragkit.evaluate.outcome import SEARCHES_BY, Outcome
from ragkit.evaluate.run import Configuration, Session, Settings
from ragkit.evaluate.statistics import Coverage, Interval, interval, risk_coverage
from ragkit.flow import Event, Finished, Progress, run
from ragkit.gate import (
    FOUND,
    FOUND_BY_WORDS,
    JUDGED,
    CalibratedGate,
    Logistic,
    Relevance,
    found_signals,
    judged_signals,
)
from ragkit.rag import Rag

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]

_FOLDS = 5
_SEED = 0
_PENALTIES = (3.0, 10.0, 30.0, 100.0)
_LEAST = 5
"""A model is fitted only if each value of its label has at least so many questions."""
_FEW = 50
_MOST = 0.5
"""A gate that declines a larger share of the answerable questions is of no use."""
_LOST = 0.02
"""The share of the right answers that may be lost by abstaining before the answer is written.

This saves writing many wrong answers.
"""


@dataclass(frozen=True)
class Example:
    """A question asked with the gate open, and its outcome.

    `found` and `judged` are the gate's signals; `judged` is empty where nothing was found or the policy left
    no answer, which no gate can change.
    """

    case: str
    answerable: bool
    right: bool
    found: Mapping[str, float]
    judged: Mapping[str, float]


@dataclass(frozen=True)
class Calibration:
    """The gate that was fitted, and what it does in cross-validation, with 95 % intervals.

    `precision`: share right of what is answered; `coverage`: share answered of all questions; `declined`:
    share declined of the unanswerable questions; `declined_wrongly`: of the answerable ones.  None where
    there is nothing to take a share of.  `curve`: risk by coverage; `warnings`: what makes the figures
    doubtful.
    """

    gate: CalibratedGate
    target: float
    questions: int
    precision: Interval | None
    coverage: Interval
    declined: Interval | None
    declined_wrongly: Interval | None
    curve: tuple[Coverage, ...]
    warnings: tuple[str, ...]

    @property
    def refusal(self) -> str:
        """Why the gate should not be used: it abstains on most of the questions that have an answer; else empty."""
        if not (lost := self.declined_wrongly) or lost.value <= _MOST:
            return ""
        return (
            f"the gate would abstain on {lost.value:.0%} of the questions that the papers answer; ask for less"
            f" than --precision {self.target:g}, or calibrate with more questions"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain data, with the keys of `ragkit calibrate --json`."""
        shares = ("precision", "coverage", "declined", "declined_wrongly")
        return {
            "gate": describe(self.gate, defaults=True),
            "target": self.target,
            "questions": self.questions,
            **{name: share._asdict() if (share := getattr(self, name)) else None for name in shares},
            "curve": [list(point) for point in self.curve],
            "warnings": list(self.warnings),
        }


def calibrate_events(
    configuration: Configuration, dataset: Dataset, settings: Settings = Settings(), precision: float = 0.9
) -> Iterator[Event]:
    """Ask every question with the gate open, and fit the gate: `Progress`, then `Finished(calibration)`.

    Raises `UsageError` if there is too little to fit the gate to.
    """
    if not dataset.asks:
        raise UsageError(
            f"'{dataset.name}' has rankings only; a gate is fitted to a file of questions (JSON lines) with their answers"
        )
    retriever = (
        gate.retriever
        if isinstance(gate := configuration.rag.answer_pipeline.gate, CalibratedGate)
        else "dense"
    )
    with Session(settings) as session:
        rag = yield from session.prepared(replace(configuration, rag=_ungated(configuration.rag)), dataset)
        outcomes = yield from session.ask(rag, configuration, dataset)
        if session.stopped:
            raise UsageError(f"the gate was not fitted: {session.stopped}")
        examples = []
        state = rag.state(*SEARCHES_BY)
        for number, case in enumerate(dataset.cases):
            yield Progress("weigh", number, len(dataset.cases), configuration.name)
            if not outcomes[case.id].error:
                examples.append(_example(session, rag, case, outcomes[case.id], state, retriever))
        yield Progress("weigh", len(dataset.cases), len(dataset.cases), configuration.name)
    yield Finished(fit(examples, precision, retriever))


def _ungated(rag: Rag) -> Rag:
    return Rag(
        corpus=rag.corpus.place,
        ingest=rag.ingest_pipeline,
        answer=replace(rag.answer_pipeline, gate=None),
    )


def _example(session: Session, rag: Rag, case: Case, outcome: Outcome, state: str, retriever: str) -> Example:
    search, found = session.search(rag, case, state)
    asked = search.asked(case)
    passages = run(refined(rag.answer_pipeline.refine, asked, found))
    answered = outcome.answer is not None and not outcome.answer.abstained
    right = (
        answered
        and case.answerable
        and (not case.must_include or is_right(case, outcome.answer.text if outcome.answer else ""))
    )
    return Example(
        case=case.id,
        answerable=case.answerable,
        right=right,
        found=found_signals(asked.understood, passages, retriever) if passages else {},
        judged=judged_signals(asked.parsed, Relevance(), outcome.judged)
        if passages and answered and outcome.judged
        else {},
    )


# --- fitting


def fit(examples: Sequence[Example], precision: float, retriever: str = "dense") -> Calibration:
    """The gate that answers as many of *examples* as it can while *precision* of the answers are right."""
    if not any(e.judged for e in examples):
        raise UsageError(
            "no question got an answer to calibrate with; `ragkit doctor` says what the corpus holds"
        )
    given = [e for e in examples if e.judged]
    folds = _folds(given)
    sure, likely, answered = np.zeros(len(given)), np.zeros(len(given)), np.zeros(len(given), dtype=bool)
    for fold in range(_FOLDS):
        if (held := folds == fold).any():
            models = _models([e for e, out in zip(given, held, strict=True) if not out])
            likely[held], sure[held] = _confidences(
                models, [e for e, out in zip(given, held, strict=True) if out]
            )
    right = np.array([e.right for e in given])
    for fold in range(_FOLDS):
        held = folds == fold
        early, late = _thresholds(likely[~held], sure[~held], right[~held], precision)
        answered[held] = (likely[held] >= early) & (sure[held] >= late)
    early, late = _thresholds(likely, sure, right, precision)
    found, judged = _models(given)
    by_case = {e.case for e, yes in zip(given, answered, strict=True) if yes}
    return Calibration(
        gate=CalibratedGate(
            retriever, _rounded(replace(found, threshold=early)), _rounded(replace(judged, threshold=late))
        ),
        target=precision,
        questions=len(examples),
        precision=_share(e.right for e in examples if e.case in by_case),
        coverage=interval([float(e.case in by_case) for e in examples], binary=True),
        declined=_share(e.case not in by_case for e in examples if not e.answerable),
        declined_wrongly=_share(e.case not in by_case for e in examples if e.answerable),
        curve=tuple(risk_coverage(sure.tolist(), (~right).tolist(), len(examples))),
        warnings=tuple(_warnings(examples, sure, right, precision)),
    )


def _share(flags: Iterable[bool]) -> Interval | None:
    values = [float(flag) for flag in flags]
    return interval(values, binary=True) if values else None


def _folds(examples: Sequence[Example]) -> NDArray[np.int_]:
    """A fold for each example, each with its part of the right, the wrong and the unanswerable."""
    generator = np.random.default_rng(_SEED)
    order = sorted(
        range(len(examples)), key=lambda i: (examples[i].answerable, examples[i].right, generator.random())
    )
    folds = np.zeros(len(examples), dtype=int)
    folds[order] = np.arange(len(examples)) % _FOLDS
    return folds


def _models(examples: Sequence[Example]) -> tuple[Logistic, Logistic]:
    """Models of whether the passages answer the question, and of whether the answer is right.

    Where there are too few examples to fit a model, ragkit's own is returned.
    """
    prior = FOUND if any("nearest" in e.found for e in examples) else FOUND_BY_WORDS
    found = _logistic([e.found for e in examples], [e.answerable for e in examples], prior)
    # Verbatim answers are all alike in this.
    differs = len({e.judged.get("written", 0.0) for e in examples}) > 1
    judged = replace(JUDGED, weights={**JUDGED.weights, "written": 0.0}) if differs else JUDGED
    return found, _logistic([_with(found, e) for e in examples], [e.right for e in examples], judged)


def _with(found: Logistic, example: Example) -> Mapping[str, float]:
    return {**example.judged, "found": found.log_odds(example.found)}


def _confidences(
    models: tuple[Logistic, Logistic], examples: Sequence[Example]
) -> tuple[list[float], list[float]]:
    found, judged = models
    return [found(e.found) for e in examples], [judged(_with(found, e)) for e in examples]


def _logistic(signals: Sequence[Mapping[str, float]], truth: Sequence[bool], prior: Logistic) -> Logistic:
    """A regression of *truth* on the signals of *prior*, with its weights pulled towards those of *prior*.

    Cross-validation chooses the strength of the pull.  If either label has too few examples, *prior* is
    returned.
    """
    if min(sum(truth), len(truth) - sum(truth)) < _LEAST:
        return prior
    x = np.array([[s.get(name, 0.0) for name in prior.weights] for s in signals])
    y = np.array(truth, dtype=np.float64)
    towards = np.array(list(prior.weights.values()))
    folds = np.random.default_rng(_SEED).permutation(len(y)) % _FOLDS

    def loss(penalty: float) -> float:
        held = [
            _log_loss(_ridge(x[folds != k], y[folds != k], towards, penalty), x[folds == k], y[folds == k])
            for k in range(_FOLDS)
        ]
        return float(np.concatenate(held).mean())

    bias, *weights = _ridge(x, y, towards, min(_PENALTIES, key=loss))
    return Logistic(dict(zip(prior.weights, map(float, weights), strict=True)), float(bias))


def _ridge(x: Vector, y: Vector, towards: Vector, penalty: float) -> Vector:
    """The bias and weights with the least penalised log loss, by Newton's method.

    The penalty of a weight is `penalty` / 2 times its squared distance from *towards*, measured in units of
    the signal's spread.
    """
    design = np.column_stack([np.ones(len(x)), x])
    pull = np.array([1e-6, *(penalty * np.maximum(x.std(axis=0), 0.05) ** 2)])
    home = np.array([0.0, *towards])
    beta = home.copy()
    for _ in range(50):
        p = _sigmoid(design @ beta)
        gradient = design.T @ (p - y) + pull * (beta - home)
        step = np.linalg.solve(design.T @ (design * (p * (1 - p) + 1e-9)[:, None]) + np.diag(pull), gradient)
        beta = beta - step * min(1.0, 5.0 / float(np.abs(step).max() + 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    return beta


def _sigmoid(z: Vector) -> Vector:
    return np.asarray(1 / (1 + np.exp(-np.clip(z, -30, 30))))


def _log_loss(beta: Vector, x: Vector, y: Vector) -> Vector:
    p = np.clip(_sigmoid(beta[0] + x @ beta[1:]), 1e-6, 1 - 1e-6)
    return np.asarray(-(y * np.log(p) + (1 - y) * np.log(1 - p)))


def _thresholds(likely: Vector, sure: Vector, right: Flags, precision: float) -> tuple[float, float]:
    """The thresholds for passages and answers that reach *precision* with the most questions answered.

    If none reaches it, the one that comes nearest.
    """
    early = float(np.quantile(likely[right], _LOST)) if right.any() else 0.0
    passed = likely >= early
    curve = risk_coverage(sure[passed].tolist(), (~right[passed]).tolist(), len(sure)) or [Coverage(0.0, 1.0)]
    enough = [point for point in curve if 1 - point.risk >= precision]
    best = (
        max(enough, key=lambda p: p.coverage) if enough else min(curve, key=lambda p: (p.risk, -p.coverage))
    )
    ranked = np.sort(sure[passed])[::-1]
    return early, float(ranked[max(round(best.coverage * len(sure)) - 1, 0)]) if len(ranked) else 1.0


def _rounded(part: Logistic) -> Logistic:
    """The model with its significant digits only.

    Thresholds are rounded down, so that the answer they were taken from still passes.
    """
    weights = {name: float(f"{weight:.3g}") for name, weight in part.weights.items()}
    return Logistic(weights, float(f"{part.bias:.3g}"), math.floor(1000 * part.threshold) / 1000)


def _warnings(examples: Sequence[Example], sure: Vector, right: Flags, precision: float) -> Iterator[str]:
    unanswerable = sum(not e.answerable for e in examples)
    wrong = sum(not e.right for e in examples)
    if len(examples) < _FEW:
        yield f"{len(examples)} questions are few: the intervals are wide; `ragkit testset` writes more"
    if not unanswerable:
        yield "no question is unanswerable, so the gate cannot learn when to abstain; add some with an empty gold_titles"
    elif unanswerable < _LEAST:
        yield f"{unanswerable} unanswerable questions are too few to learn from; the weights of the passages stay at their defaults"
    if min(wrong, len(examples) - wrong) < _LEAST:
        yield "too few answers are right, or too few are wrong, to learn from; the weights of the answer stay at their defaults"
    if not any(
        1 - point.risk >= precision
        for point in risk_coverage(sure.tolist(), (~right).tolist(), len(examples))
    ):
        yield f"no threshold reaches a precision of {precision:g}; the closest one is used"


# --- writing it down


def lines(gate: CalibratedGate) -> str:
    """The lines of a pipeline file that say so."""
    return str(yaml.safe_dump({"gate": describe(gate)}, sort_keys=False, default_flow_style=None, width=110))


def written(text: str, gate: CalibratedGate) -> str | None:
    """The pipeline file *text* with *gate* in the place of its own, all else, comments too, as it was.

    None if `answer` has no `gate` that is written there: none at all, or one that is an alias for another
    place.
    """
    if (place := _gate_in(text)) is None:
        return None
    key, start, end = place
    column = key - (text.rfind("\n", 0, key) + 1)
    body = lines(gate).removeprefix("gate:").rstrip("\n").replace("\n", "\n" + " " * column)
    return text[:start].rstrip(" \n") + body + text[end:]


def _gate_in(text: str) -> tuple[int, int, int] | None:
    """Where the key `gate` of `answer` begins, and where its value begins and ends."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    for wanted in ("answer", "gate"):
        if not isinstance(node, yaml.MappingNode) or node.flow_style:
            return None
        key, node = next(((k, v) for k, v in node.value if k.value == wanted), (None, None))
    if key is None or node is None or node.start_mark.index < key.end_mark.index:
        return None
    return key.start_mark.index, node.start_mark.index, _end(node)


def _end(node: yaml.Node) -> int:
    """Where the last character of *node* stands; a block's own mark is behind the comments that follow it."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _end(node.value[-1][1])
    return int(node.end_mark.index)


# --- the plot

_STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #555 } .head { font-weight: 600; fill: #1d1f21 }
.grid { stroke: #e4e4e4 } .curve { fill: none; stroke: #2463a8; stroke-width: 2; stroke-linejoin: round }
.target { stroke: #b4581a; stroke-dasharray: 5 4 } .target-text { fill: #b4581a; paint-order: stroke; stroke: #fff; stroke-width: 3px }
.whisker { stroke: #1d1f21; stroke-width: 1.5 } .gate { fill: #1d1f21; stroke: #fff; stroke-width: 1.5 }"""


def svg(found: Calibration) -> str:
    """The cross-validated risk-coverage curve as a self-contained SVG, with the target and the gate."""
    highest = math.ceil(10 * max(1 - found.target, 0.1, *(point.risk for point in found.curve))) / 10
    left, right, top, bottom = 64, 500, 36, 290

    def at(coverage: float, risk: float) -> tuple[str, str]:
        return (
            f"{left + coverage * (right - left):.1f}",
            f"{bottom - min(risk / highest, 1) * (bottom - top):.1f}",
        )

    shapes = [
        f'<text x="{left}" y="20" class="head">Risk by coverage, cross-validated over {found.questions} questions</text>'
    ]
    for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        x, y = at(tick, tick * highest)
        shapes += [
            f'<line x1="{left}" y1="{y}" x2="{right}" y2="{y}" class="grid"/>',
            f'<text x="{left - 8}" y="{y}" dy="4" text-anchor="end">{100 * tick * highest:.0f} %</text>',
            f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{100 * tick:.0f} %</text>',
        ]
    _, target = at(0, 1 - found.target)
    shapes += [
        f'<text x="{(left + right) / 2}" y="{bottom + 38}" text-anchor="middle">questions answered</text>',
        f'<text x="16" y="{(top + bottom) / 2}" text-anchor="middle" transform="rotate(-90 16 {(top + bottom) / 2})">of them wrong</text>',
        f'<line x1="{left}" y1="{target}" x2="{right}" y2="{target}" class="target"/>',
        f'<polyline points="{" ".join(",".join(at(*point)) for point in found.curve)}" class="curve"/>',
        f'<text x="{right}" y="{target}" dy="-5" text-anchor="end" class="target-text">target: {100 * found.target:g} % right</text>',
    ]
    if found.precision:
        (x, y), (_, low), (_, high) = (at(found.coverage.value, 1 - share) for share in found.precision[:3])
        shapes += [
            f'<line x1="{x}" y1="{low}" x2="{x}" y2="{high}" class="whisker"/>',
            f'<circle cx="{x}" cy="{y}" r="4.5" class="gate"/>',
        ]
    opening = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="520" height="340" viewBox="0 0 520 340" role="img">'
    )
    drawn = [
        "<title>Risk by coverage</title>",
        f"<style>{_STYLE}</style>",
        '<rect width="520" height="340" fill="#fff"/>',
        *shapes,
    ]
    return "\n".join([opening, *drawn, "</svg>", ""])
