"""Fitting the gate: to which questions, for which precision, and what is written where."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ROOT

import ragkit
from ragkit import config, pipeline_file
from ragkit.cli.calibrate import fitted_file
from ragkit.cli.options import ChosenPipeline
from ragkit.errors import UsageError
from ragkit.evaluate.calibrate import Calibration, Example, fit, svg, written
from ragkit.evaluate.statistics import interval
from ragkit.gate import FOUND, FOUND_BY_WORDS, JUDGED, CalibratedGate, Logistic

DEFAULT = (ROOT / "ragkit" / "presets" / "default.yaml").read_text()
GATE = CalibratedGate(
    found=Logistic({"nearest": 6.0}, -3.0, 0.4), judged=Logistic({"support": 1.5}, -1.0, 0.7)
)


def example(number: int, nearest: float, answerable: bool, right: bool, support: float = 1.0) -> Example:
    found = {"nearest": nearest, "coverage": nearest}
    return Example(
        str(number),
        answerable,
        right,
        found,
        {"support": support, "supported": 1.0, "said": nearest, "number_unsaid": 0.0},
    )


def questions(size: int, unanswerable: float = 0.3, seed: int = 0) -> list[Example]:
    """Examples with nearer passages if answerable, and better supported answers if right."""
    generator = np.random.default_rng(seed)
    made = []
    for number in range(size):
        answerable = bool(generator.random() >= unanswerable)
        right = answerable and bool(generator.random() < 0.8)
        nearest = float(np.clip(generator.normal(0.6 if answerable else 0.25, 0.08), 0, 1))
        made.append(
            example(
                number,
                nearest,
                answerable,
                right,
                float(np.clip(generator.normal(0.9 if right else 0.5, 0.1), 0, 1)),
            )
        )
    return made


def shares(found: Calibration) -> list[float | None]:
    every = (found.precision, found.coverage, found.declined, found.declined_wrongly)
    return [round(share.value, 2) if share else None for share in every]


# --- fitting


def test_the_gate_answers_what_it_can_at_the_target_precision() -> None:
    found = fit(questions(200), 0.9)
    assert found.warnings == ()
    assert found.questions == 200
    assert found.precision is not None
    assert found.precision.low < 0.9 < found.precision.high
    assert found.coverage.value > 0.5
    assert found.declined is not None
    assert found.declined.value > 0.95


def test_a_higher_precision_costs_coverage() -> None:
    examples = questions(200)
    coverages = [fit(examples, precision).coverage.value for precision in (0.6, 0.8, 0.99)]
    assert coverages == sorted(coverages, reverse=True)


def test_the_same_questions_give_the_same_gate() -> None:
    assert fit(questions(60), 0.9) == fit(questions(60), 0.9)


def test_signals_that_part_the_questions_weigh_more_than_those_that_do_not() -> None:
    gate = fit(questions(200), 0.9).gate
    assert gate.found.weights["nearest"] > FOUND.weights["nearest"]
    assert abs(gate.found.weights["together"] - FOUND.weights["together"]) < 0.01  # it was the same for all


def test_whether_the_model_wrote_an_answer_is_weighed_where_that_differs() -> None:
    assert "written" not in fit(questions(200), 0.9).gate.judged.weights
    wrote = [replace(e, judged={**e.judged, "written": float(e.right)}) for e in questions(200)]
    assert fit(wrote, 0.9).gate.judged.weights["written"] > 1


def test_without_unanswerable_questions_what_is_found_is_weighed_as_by_default_and_a_warning_says_so() -> (
    None
):
    found = fit(questions(60, unanswerable=0.0), 0.9)
    assert found.gate.found.weights == {
        name: float(f"{weight:.3g}") for name, weight in FOUND.weights.items()
    }
    assert found.declined is None
    assert found.warnings == (
        "no question is unanswerable, so the gate cannot learn when to abstain; add some with an empty gold_titles",
    )


def test_few_questions_are_warned_of() -> None:
    found = fit(questions(12), 0.9)
    assert found.warnings[0] == "12 questions are few: the intervals are wide; `ragkit testset` writes more"


def test_a_precision_out_of_reach_is_said() -> None:
    wrong = [example(i, 0.5, True, False) for i in range(60)]
    found = fit(wrong, 0.9)
    assert "no threshold reaches a precision of 0.9; the closest one is used" in found.warnings
    assert found.gate.judged.weights == JUDGED.weights


def test_without_a_dense_retriever_the_words_are_weighed() -> None:
    examples = [
        Example(e.case, e.answerable, e.right, {"coverage": e.found["coverage"]}, e.judged)
        for e in questions(100)
    ]
    assert set(fit(examples, 0.9).gate.found.weights) == set(FOUND_BY_WORDS.weights)


def test_questions_without_an_answer_count_as_declined() -> None:
    mute = [Example(f"mute {i}", True, False, {}, {}) for i in range(20)]
    with_mute, without = fit([*questions(80), *mute], 0.9), fit(questions(80), 0.9)
    assert with_mute.gate == without.gate
    assert round(with_mute.coverage.value * 100) == round(without.coverage.value * 80)


def test_nothing_answered_is_an_error() -> None:
    with pytest.raises(UsageError, match="no question got an answer to calibrate with"):
        fit([Example("1", True, False, {}, {})], 0.9)


@settings(max_examples=20)
@given(st.integers(10, 40), st.floats(0, 1), st.floats(0.5, 1), st.integers(0, 100))
def test_every_fitted_gate_can_be_used(size: int, unanswerable: float, precision: float, seed: int) -> None:
    found = fit(questions(size, unanswerable, seed), precision)
    numbers = [
        *found.gate.found.weights.values(),
        *found.gate.judged.weights.values(),
        found.gate.found.bias,
        found.gate.judged.bias,
    ]
    assert np.isfinite(numbers).all()
    assert 0 <= found.gate.found.threshold <= 1
    assert 0 <= found.gate.judged.threshold <= 1


# --- writing it down


def gate_of(text: str) -> object:
    return config.loads(pipeline_file.Rag, text).answer_pipeline.gate


@pytest.mark.parametrize(
    "gate",
    [
        "gate: calibrated",
        "gate: calibrated  # of the passages",
        "gate: {type: relevance, threshold: 0.3}",
        "gate:  # by hand\n    type: relevance\n    # not too strict\n    threshold: 0.3\n  # what follows writes the answer",
        "gate: null",
    ],
)
def test_the_gate_of_a_file_is_replaced_and_all_else_is_as_it_was(gate: str) -> None:
    text = written(DEFAULT.replace("gate: calibrated", gate), GATE)
    assert text is not None
    assert gate_of(text) == GATE
    before, after = DEFAULT.split("  gate: calibrated\n")
    assert text.startswith(before)
    assert text.endswith(after)
    for comment in ("# of the passages", "# by hand", "# what follows writes the answer"):
        assert (comment in text) == (comment in gate)


@pytest.mark.parametrize(
    "text",
    [
        "answer: {gate: calibrated}",
        "answer:\n  policy: drop",
        "define: &g calibrated\nanswer:\n  gate: *g",
        "",
    ],
)
def test_a_file_that_does_not_write_its_gate_there_is_not_changed(text: str) -> None:
    assert written(text, GATE) is None


# --- the plot


def test_the_plot_is_a_picture_of_the_curve() -> None:
    found = fit(questions(60), 0.9)
    picture = ElementTree.fromstring(svg(found))
    [curve] = picture.iter("{http://www.w3.org/2000/svg}polyline")
    assert len(curve.attrib["points"].split()) == len(found.curve)
    assert "target: 90 % right" in "".join(picture.itertext())


# --- the command


def test_the_command_writes_the_fitted_pipeline_file_and_the_plot(
    ingested: Path, tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "mine.yaml").write_text(DEFAULT)
    options = ["--config", "mine.yaml", "--corpus", str(ingested), "--workspace", str(tmp_path / "kept")]
    files = ["--precision", "0.7", "--out", "fitted.yaml", "--plot", "risk.svg"]
    asked = ROOT / "examples" / "questions.jsonl"
    done = command("calibrate", str(asked), *options, *files, "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert (found["questions"], found["target"]) == (40, 0.7)
    assert found["declined"]["cases"] == 8
    text = (tmp_path / "fitted.yaml").read_text()
    assert text.startswith(DEFAULT.split("  gate:")[0])
    fitted = gate_of(text)
    assert isinstance(fitted, CalibratedGate)
    assert config.describe(fitted, defaults=True) == found["gate"]
    assert (tmp_path / "risk.svg").read_text().startswith("<svg")
    again = command("calibrate", str(asked), *options, cwd=tmp_path)
    assert "to use it, in the pipeline file under `answer`:\n\ngate:\n  type: calibrated\n" in again.stdout
    assert "40 questions are few" in again.stdout


def test_a_collection_without_answers_is_an_error(
    tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "c" / "qrels").mkdir(parents=True)
    (tmp_path / "c" / "corpus.jsonl").write_text('{"_id": "1", "text": "a"}\n')
    (tmp_path / "c" / "queries.jsonl").write_text('{"_id": "q", "text": "a"}\n')
    (tmp_path / "c" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\t1\t1\n")
    done = command("calibrate", "c", cwd=tmp_path)
    assert done.returncode == 2
    assert (
        done.stderr
        == "'c' has rankings only; a gate is fitted to a file of questions (JSON lines) with their answers\n"
    )


def test_a_gate_that_declines_most_answerable_questions_is_refused() -> None:
    found = fit(questions(60), 0.9)
    assert found.refusal == ""
    lost = interval([1.0] * 6 + [0.0] * 4, binary=True)
    assert replace(found, declined_wrongly=lost).refusal == (
        "the gate would abstain on 60% of the questions that the papers answer; ask for less than --precision 0.9,"
        " or calibrate with more questions"
    )


def test_the_fitted_file_elsewhere_has_the_same_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(DEFAULT)
    (tmp_path / "sub").mkdir()
    for out in ("fitted.yaml", "sub/fitted.yaml"):
        file = tmp_path / out
        file.write_text(fitted_file(ChosenPipeline(Path("mine.yaml")), CalibratedGate(), Path(out)))
        assert ragkit.load(file).corpus.directory.resolve() == (tmp_path / ".ragkit").resolve()
    assert "corpus: .ragkit" in (tmp_path / "fitted.yaml").read_text()
