"""Negative flips: right with one configuration, wrong with the next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ragkit.errors import UsageError
from ragkit.evaluate.dataset import Case, Dataset
from ragkit.evaluate.evaluation import Evaluation, Result, Run
from ragkit.evaluate.flips import Flips, flips, too_many
from ragkit.evaluate.outcome import Outcome


def run(name: str, **good: int) -> Run:
    cases = {case: Case(case, f"{case}?") for case in good}
    results = tuple(
        Result(cases[case], Outcome(found=(), context=()), {"good": float(value)})
        for case, value in good.items()
    )
    return Run(name, Dataset("asked", tuple(cases.values()), ""), results)


def test_what_went_over_is_listed_both_ways() -> None:
    found = flips(Evaluation((run("old", a=1, b=1, c=0), run("new", a=1, b=0, c=1))))
    assert found == [Flips("asked", "old", "new", 3, ("b",), ("c",))]
    assert str(found[0]) == (
        "asked: of 3 questions, 1 that old answers well new does not: b; 1 the other way round"
    )
    assert too_many(found, 1) == []
    assert len(too_many(found, 0)) == 1


def test_an_earlier_result_is_compared_by_name(tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.json"
    earlier.write_text(json.dumps(Evaluation((run("c", a=1, b=1),)).as_json()))
    [found] = flips(Evaluation((run("c", a=0, b=1, x=1),)), earlier)
    assert (found.questions, found.negative, found.before) == (2, ("a",), f"c in {earlier}")
    earlier.write_text("[]")
    with pytest.raises(UsageError, match="is no result"):
        flips(Evaluation((run("c", a=0),)), earlier)


def test_a_bound_on_nothing_is_an_error() -> None:
    with pytest.raises(UsageError, match="two configurations"):
        too_many(flips(Evaluation((run("c", a=1),))), 0)


def test_the_command_fails_on_a_flip(ingested: Path, tmp_path: Path, command: Any) -> None:
    questions = [
        {
            "id": "q",
            "question": "How many parameters do BERT-base and BERT-large have?",
            "must_include": ["340 million"],
            "gold_titles": [
                "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding"
            ],
        }
    ]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, questions)))
    (tmp_path / "good.yaml").write_text(f"extends: default\ncorpus: {ingested}\n")
    (tmp_path / "bad.yaml").write_text(
        f"extends: default\ncorpus: {ingested}\nanswer:\n  where: title = nothing\n"
    )
    done = command(
        "eval", "q.jsonl", "--config", "good.yaml", "--config", "bad.yaml", "--max-flips", "0", "--json"
    )
    assert done.returncode == 1, done.stderr
    assert [each["negative"] for each in json.loads(done.stdout)["flips"]] == [["q"]]
    assert "not met: q: of 1 questions, 1 that good answers well bad does not: q" in " ".join(
        done.stderr.split()
    )
    assert command("eval", "q.jsonl", "--config", "good.yaml", "--max-flips", "0").returncode == 2
