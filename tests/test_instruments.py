"""What `benchmarks` publishes of the instruments: tuning as a replay, reordering, and a judge of pairs."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from langchain_core.documents import Document

pytest.importorskip("spacy")

from benchmarks import pairs, reordering, strategies, tuning
from ragkit.answer import Answer, Claim, Verdict
from ragkit.config.layers import Override
from ragkit.config.presets import PRESETS
from ragkit.evaluate.dataset import Case, Dataset, read, write_beir
from ragkit.evaluate.evaluation import Evaluation, Result, Run
from ragkit.evaluate.judge import Preference
from ragkit.evaluate.outcome import Outcome
from ragkit.evaluate.run import Settings
from ragkit.evaluate.space import Space


@pytest.mark.parametrize("way", strategies.WAYS)
def test_the_way_of_asking_takes_the_place_of_the_last_generator(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGKIT_MODEL", "http://127.0.0.1:1/v1#none")
    last = strategies.asking(way).answer_pipeline.attempts[-1]
    assert way in type(last.generate).__name__.lower()
    assert last.focus


def passage(title: str) -> Document:
    return Document("text", id=title, metadata={"title": title})


def test_a_right_passage_stands_among_so_many_others_as_ranked() -> None:
    ranked = [
        passage(title) for title in ("other 1", "Gold", "other 2", "gold", "GOLD", *map(str, range(30)))
    ]
    dataset = Dataset("questions", (), "")
    found = list(reordering.contexts(dataset, Case("q", "?", relevant={"gold": 1.0}), ranked))
    assert [p.id for p in found[0]] == ["Gold", "gold"]
    assert [p.id for p in found[1]] == ["other 1", "Gold", "other 2", "gold", "0", "1", "2"]
    assert [len(shown) - 2 for shown in found] == list(reordering.NEGATIVES)
    assert not list(reordering.contexts(dataset, Case("q", "?", relevant={"none": 1.0}), ranked))


def result(case: Case, text: str) -> Result:
    answer = Answer(question=case.question, claims=(Claim(text=text, verdict=Verdict.QUOTED),))
    return Result(case, Outcome(answer=answer), {}, "")


def test_the_worse_answer_of_a_pair_is_known_to_be_worse() -> None:
    cases = [
        Case("1", "How many patients?", answer="31.", must_include=(("31",),)),
        Case("2", "Which drug?", answer="Rituximab.", must_include=(("rituximab",),)),
    ]
    dataset = Dataset("questions", tuple(cases), "")
    better = ["The drug helped 31 patients.", "The drug was rituximab."]
    weaker = ["The drug helped patients.", "The drug was rituximab, they say."]
    runs = [
        Run(name, dataset, tuple(map(result, cases, texts)))
        for name, texts in (("better", better), ("weaker", weaker))
    ]
    made = list(pairs.pairs(Evaluation(tuple(runs), {}, "", False, ()), random.Random(0)))
    assert [pair.judged.answer for pair in made] == [better[0]] * 4 + [better[1]] * 2
    worse = {(pair.kind, pair.worse) for pair in made}
    assert ("right answer to another question", better[1]) in worse
    assert ("the same, denied", "The drug was not rituximab.") in worse
    assert ("wrong answer of a weaker search", weaker[0]) in worse
    [number] = [pair.worse for pair in made if pair.kind == "the same with another number"]
    assert "31" not in number


def test_a_judge_is_counted_by_what_it_prefers_and_whether_order_matters() -> None:
    heard = [
        Preference("first", ""),
        Preference("second", ""),
        Preference("tie", "", steady=False),
        Preference(None, ""),
    ]
    kind, number, unread, *shares = pairs.row("kind", heard)
    assert (kind, number, unread) == ("kind", 4, 1)
    assert [str(share)[:4] for share in shares] == ["0.33", "0.33", "0.33", "0.67"]


def test_a_replay_finds_what_is_best_and_says_what_it_took(tmp_path: Path) -> None:
    words = [f"subject{n}" for n in range(24)]
    papers = [(f"p{n}", word.title(), f"We study {word} with care.") for n, word in enumerate(words)]
    cases = [Case(f"q{n}", f"Who studies {word}?", relevant={f"p{n}": 1.0}) for n, word in enumerate(words)]
    write_beir(tmp_path / "collection", papers, cases)
    dataset, settings = read(tmp_path / "collection"), Settings(workspace=tmp_path / "workspace")
    open_place = Override.parse("answer.retrieve.1.k={choice: [100, 50]}")
    space = Space.read(PRESETS / "default.yaml", overrides=[open_place])
    grid = tuning.measured(space, dataset, settings)
    assert [len(values) for values in grid.values()] == [24, 24]
    share, lacking, plain = tuning.replayed(space, dataset, settings, grid, seed=0)
    assert share == 1.0  # equals are never told apart
    assert lacking == plain == 0.0
