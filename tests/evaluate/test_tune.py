"""Pipeline files that leave things open, and the search for the best way to fill them in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, cast

import pytest
from support import ROOT

import ragkit
from ragkit.config.layers import Override
from ragkit.errors import ConfigError, UsageError
from ragkit.evaluate.dataset import Dataset, read
from ragkit.evaluate.run import Assessors, Budget, Settings
from ragkit.evaluate.space import Space
from ragkit.evaluate.statistics import Difference
from ragkit.evaluate.tune import Tuned, tune_events
from ragkit.flow import result_of
from ragkit.pipeline_file import read as read_pipeline
from ragkit.pipeline_file import shown
from ragkit.testing import HashedEmbeddings

DEFAULT = (ROOT / "ragkit" / "presets" / "default.yaml").read_text()
LIGHT = Assessors(embed=HashedEmbeddings())


def tune(*arguments: Any, **named: Any) -> Tuned:
    return cast(Tuned, result_of(tune_events(*arguments, **named)))


def opened(**changes: str) -> str:
    text = DEFAULT
    for old, new in changes.items():
        assert DEFAULT.count(f"{old}: ") >= 1
        text = "\n".join(
            f"  {old}: {new}" if line.startswith(f"  {old}: ") else line for line in text.splitlines()
        )
    return text


def options(yaml: str) -> list[tuple[str, tuple[object, ...]]]:
    return [(place.path, place.options) for place in Space(yaml, "t.yaml").open]


def test_choices_and_ranges_are_found_where_they_stand() -> None:
    text = "a: {choice: [1, x, {type: y}]}\nb: [{range: [0, 1]}, {range: [2, 10], step: 4}]\nc: {range: [1, 16], log: true}\nd: {range: [0.1, 0.3], step: 0.1}\n"
    assert options(text) == [
        ("a", (1, "x", {"type": "y"})),
        ("b[0]", (0, 1)),
        ("b[1]", (2, 6, 10)),
        ("c", (1, 2, 4, 8, 16)),
        ("d", (0.1, 0.2, 0.3)),
    ]


def test_what_an_anchor_leaves_open_is_one_place_and_filled_alike() -> None:
    space = Space("define: {size: &size {choice: [100, 200]}}\na: *size\nb: *size\n", "t.yaml")
    assert ([place.path for place in space.open], space.size) == (["size"], 2)
    assert space.filled((1,)) == {"define": {"size": 200}, "a": 200, "b": 200}
    assert space.text((1,)) == "a: 200\nb: 200\n"


def test_an_option_may_leave_something_open_itself() -> None:
    space = Space("a: {choice: [plain, {k: {choice: [1, 2]}}]}\n", "t.yaml")
    assert sorted(space.text(chosen) for chosen in space.candidates(10, 0)) == [
        "a:\n  k: 1\n",
        "a:\n  k: 2\n",
        "a: plain\n",
    ]
    assert space.describe((1, 1)) == "a: {k: 2}"


def test_of_a_wide_space_as_many_candidates_as_wanted_are_drawn_the_first_choices_among_them() -> None:
    space = Space("".join(f"{name}: {{range: [0, 100], step: 1}}\n" for name in "abc"), "t.yaml")
    drawn = space.candidates(20, seed=1)
    assert (len(set(drawn)), drawn[0], space.size) == (20, (0, 0, 0), 101**3)
    assert drawn == space.candidates(20, seed=1)
    assert {min(c[0] // 26, 3) for c in drawn} == {0, 1, 2, 3}  # from every quarter


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\n", "'t.yaml' leaves nothing open; write {choice: .* or {range: "),
        ("a: {choice: [1]}\n", "a: a choice is a list of two or more values"),
        ("a: {choice: [1, 2], step: 1}\n", "a: a choice is a list of two or more values"),
        ("a: [{range: [2, 1]}]\n", r"a\[0\]: a range is \[low, high\] with low < high"),
        ("a: {range: [0, 1], log: true}\n", "a range with `log` begins above 0"),
        ("a: {range: [0, 1], step: 0}\n", "a step is a number above 0"),
        ("a: [", "'t.yaml' is not YAML"),
    ],
)
def test_what_leaves_nothing_open_or_opens_it_wrongly_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Space(text, "t.yaml")


def test_a_candidate_that_is_no_pipeline_is_named_with_its_options(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="t.yaml with answer.policy: drpo"):
        tune(
            Space(opened(policy="{choice: [drop, drpo]}"), "t.yaml"),
            questions(tmp_path),
            Settings(workspace=tmp_path),
        )


MUTE = "{type: calibrated, found: {weights: {coverage: 1}, bias: -9, threshold: 0.9}}"
"""A gate that declines every question."""


def questions(folder: Path, most: int = 20) -> Dataset:
    (folder / "q.jsonl").write_text(
        "\n".join((ROOT / "examples" / "questions.jsonl").read_text().splitlines()[:most])
    )
    return read(folder / "q.jsonl")


def test_the_better_options_win_and_the_place_that_mattered_is_named(ingested: Path, tmp_path: Path) -> None:
    space = Space(opened(gate=f"{{choice: [{MUTE}, calibrated]}}", policy="{choice: [flag, drop]}"), "t.yaml")
    found = tune(
        space,
        questions(tmp_path),
        Settings(workspace=tmp_path, assessors=LIGHT),
        corpus=ingested,
        measure="right",
        held_out=0.4,
    )
    best, *rest = found.candidates
    assert "answer.gate: calibrated" in space.describe(best.chosen)
    assert [c.left for c in rest] == ["", *["worse than the best by more than chance"] * 2]
    assert (found.effects[0].path, found.effects[0].share) == ("answer.gate", 1.0)
    assert found.ahead is not None
    assert (found.ahead.cases, found.ahead.value > 0.5) == (8, True)
    (tmp_path / "best.yaml").write_text(found.yaml)
    assert (
        ragkit.load(tmp_path / "best.yaml").answer_pipeline.gate
        == ragkit.load(ROOT / "configs" / "default.yaml").answer_pipeline.gate
    )
    assert found.markdown().startswith(
        "# Tuning t.yaml for the measure 'right'\n\nBest of 4: answer.gate: calibrated"
    )


def test_the_budget_is_for_the_whole_search(ingested: Path, tmp_path: Path) -> None:
    space = Space(opened(policy="{choice: [flag, drop]}"), "t.yaml")
    spent = Settings(workspace=tmp_path, assessors=LIGHT, budget=Budget(seconds=0))
    with pytest.raises(
        UsageError,
        match="the search ended before any candidate had been asked 14 questions: the budget of 0 seconds is spent",
    ):
        tune(space, questions(tmp_path), spent, corpus=ingested)


def test_too_few_questions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'q' leaves 4 questions to search with; at least 8 are needed"):
        tune(
            Space(opened(policy="{choice: [flag, drop]}"), "t.yaml"),
            questions(tmp_path, 6),
            Settings(workspace=tmp_path),
        )


def test_the_command_writes_the_winner_and_the_report(
    ingested: Path, tmp_path: Path, command: Callable[..., CompletedProcess[str]]
) -> None:
    (tmp_path / "t.yaml").write_text(opened(gate=f"{{choice: [{MUTE}, calibrated]}}"))
    questions(tmp_path, 12)
    done = command(
        "tune",
        "t.yaml",
        "q.jsonl",
        "--corpus",
        ingested,
        "--workspace",
        "ws",
        "-o",
        "best.yaml",
        "--report",
        "r.md",
        "--held-out",
        "0.2",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Best of 2: answer.gate: calibrated" in done.stdout
    assert (tmp_path / "r.md").read_text().startswith("# Tuning t.yaml for the measure 'good'")
    assert command("config", "check", "best.yaml").stdout == "best.yaml: no problems\n"
    assert (
        json.loads(
            command(
                "eval", "q.jsonl", "-c", "best.yaml", "--corpus", ingested, "--workspace", "ws", "--json"
            ).stdout
        )["stopped"]
        is None
    )


def test_what_is_set_on_top_of_the_file_holds_for_every_candidate_and_may_be_open_itself(
    tmp_path: Path,
) -> None:
    given = ("answer.gate=null", "answer.refine.k={choice: [4, 9]}", "answer.retrieve.0.store=*words")
    overrides = [Override.parse(each) for each in given[:2]]
    space = Space(opened(policy="{choice: [flag, drop]}"), "t.yaml", overrides=overrides)
    assert options(opened(policy="{choice: [flag, drop]}")) == [("answer.policy", ("flag", "drop"))]
    assert [place.path for place in space.open] == ["answer.policy", "answer.refine.k"]
    rags = [space.rag(chosen) for chosen in space.candidates(10, 0)]
    assert [
        (rag.answer_pipeline.gate, rag.answer_pipeline.refine[0].k)  # type: ignore[attr-defined]
        for rag in rags
    ] == [(None, k) for k in (4, 9, 4, 9)]
    assert space.describe((1, 0)) == "answer.policy: drop, answer.refine.k: 4"
    assert space.matters(space.open[1], (0, 0))
    (tmp_path / "won.yaml").write_text(space.yaml((1, 1)))
    written = ragkit.load(tmp_path / "won.yaml").answer_pipeline
    assert (written.gate, written.policy) == (None, "drop")
    opaque = Space(opened(policy="{choice: [flag, drop]}"), "t.yaml", overrides=[Override.parse(given[2])])
    with pytest.raises(ConfigError, match="--set answer.retrieve.0.store=\\*words"):
        opaque.rag((0,))


def test_the_chat_model_of_every_candidate_is_named_in_a_word() -> None:
    text = shown(read_pipeline(preset="chat", need_model=False)).replace(
        "policy: drop", "policy: {choice: [flag, drop]}"
    )
    assert "choice" in text
    set_ = [Override.parse("define.llm.temperature=0.5")]
    for each in (text, "extends: chat\nanswer: {policy: {choice: [flag, drop]}}\n"):
        space = Space(each, "t.yaml", model="ollama/qwen3", overrides=set_)
        assert "model: qwen3" in space.yaml((1,))
        assert space.yaml((1,)).count("temperature: 0.5") >= 1


def test_what_is_set_and_left_open_at_once_is_refused() -> None:
    message = "--set answer.policy=drop: 't.yaml' leaves answer.policy open"
    with pytest.raises(UsageError, match=message):
        Space(
            opened(policy="{choice: [flag, drop]}"),
            "t.yaml",
            overrides=[Override.parse("answer.policy=drop")],
        )


def test_a_preset_is_tuned_without_a_file(
    ingested: Path, tmp_path: Path, command: Callable[..., CompletedProcess[str]]
) -> None:
    questions(tmp_path, 12)
    run = ("tune", "q.jsonl", "--preset", "default", "--corpus", ingested, "--workspace", "ws")
    gate = f"answer.gate={{choice: [{MUTE}, calibrated]}}"
    done = command(*run, "--set", gate, "--set", "answer.policy=flag", "-o", "best.yaml", "--held-out", "0.2")
    assert (done.returncode, done.stderr) == (0, "")
    assert "# Tuning preset default for the measure 'good'" in done.stdout
    best = ragkit.load(tmp_path / "best.yaml").answer_pipeline
    assert (best.policy, type(best.gate).__name__) == ("flag", "CalibratedGate")
    assert "leaves nothing open" in command(*run).stderr
    assert "give one pipeline" in command("tune", "t.yaml", *run[1:]).stderr
    (tmp_path / "ragkit.yaml").write_text("extends: default\n")
    done = command("tune", "q.jsonl", "--set", gate)
    assert (done.returncode, "name the pipeline to tune" in done.stderr) == (2, True)


def test_a_winner_that_is_worse_on_held_out_questions_is_refused() -> None:
    def tuned(value: float) -> Tuned:
        ahead = Difference(value, -0.2, 0.1, 12, 0.4, "randomisation")
        return Tuned("good", cast(Space, None), (), (), ahead, 12)

    assert tuned(0.0).refusal == ""
    assert tuned(-0.05).refusal == (
        "on 12 held-out questions the winner is 0.050 worse than the first choices of the file;"
        " keep these, or tune on more questions"
    )
