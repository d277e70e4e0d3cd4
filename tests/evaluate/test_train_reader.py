"""Training the reader on labelled rows."""

from __future__ import annotations

import gzip
import json
import math
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from tiny_models import tiny_cross_encoder

from ragkit.errors import UsageError
from ragkit.evaluate import reader_data
from ragkit.evaluate.reader_data import (
    RULES,
    UNKNOWN,
    LabelledRow,
    ReaderExample,
    ReaderRecipe,
    changed,
    example_of,
    near_passages,
    passages_of,
    planted_claims,
    reworded,
    rows_in,
    split_by_text,
    window,
)
from ragkit.evaluate.train_reader import ReaderReport, train_reader_events
from ragkit.flow import Finished, Progress
from ragkit.models.reader import SHIPPED, JointReader, SourceText

TOWNS = "Arden Birk Colm Dorn Esk Fell".split()


def passage(n: int) -> list[str]:
    return [
        f"The town of {TOWNS[n]} lies on a river that floods its market place in most springs.",
        f"In {1800 + n}, the engineer Ada {TOWNS[-n - 1]} built the first bridge there, with {12 + n} arches of stone.",
        f"The bridge of {TOWNS[n]} was higher than the old ferry house, and may outlast the church of Saint Anselm.",
        f"However, we measured its piers (all {n + 11}) and found that they were not damaged by the ice.",
    ]


def rows() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for n, town in enumerate(TOWNS):
        title, s = f"The bridge of {town}", passage(n)
        made += [
            {
                "task": "answers",
                "a": f"Who built the bridge of {town}?",
                "title": title,
                "s": s,
                "y": [0, 1, 0, 0],
            },
            {
                "task": "supports",
                "a": f"{town} lies on a river.",
                "title": title,
                "s": s[:1],
                "y": [1],
                "set": "towns",
            },
            {
                "task": "supports",
                "a": f"{town} is in the desert.",
                "title": title,
                "s": s[:1],
                "y": [0],
                "set": "towns",
            },
        ]
    return made


def written(folder: Path, lines: list[Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "some.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder


def example(**more: Any) -> ReaderExample:
    row = {"task": "answers", "a": "Who?", "title": "T", "s": ["One.", "Two."], "y": [0, 1], **more}
    return example_of(LabelledRow.model_validate(row))


def train(
    data: Path, folder: Path, base: str | Path = "all-MiniLM-L6-v2", teacher: str | None = None, **more: Any
) -> ReaderReport:
    recipe = ReaderRecipe(**{"steps": 2, "held_out": 0.3, "near": 1, "batch_tokens": 400, **more})
    *events, last = train_reader_events(data, folder, str(base), teacher, recipe)
    assert all(isinstance(event, Progress) for event in events)
    assert isinstance(last, Finished)
    report: ReaderReport = last.result
    return report


# --- rows


def test_rows_are_read_from_plain_and_packed_files(tmp_path: Path) -> None:
    written(tmp_path, rows()[:2])
    with gzip.open(tmp_path / "more.jsonl.gz", "wt") as file:
        file.write(json.dumps(rows()[2]) + "\n\n")
    (tmp_path / "README.txt").write_text("no rows")
    assert [row.first for row in rows_in(tmp_path)] == [rows()[2]["a"], rows()[0]["a"], rows()[1]["a"]]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "Invalid JSON"),
        ("[]", "should be an object"),
        ('{"task": "answers", "a": "Who?", "y": [1]}', "'s': Field required"),
        (
            '{"task": "reads", "a": "Who?", "s": ["I."], "y": [1]}',
            "'task': Input should be 'supports' or 'answers'",
        ),
        ('{"task": "answers", "a": "Who?", "s": ["I."], "y": [2]}', "'y.0': Input should be 0 or 1"),
        ('{"task": "answers", "a": "Who?", "s": [], "y": []}', "'s': "),
        (
            '{"task": "answers", "a": "Who?", "s": ["I.", "You."], "y": [1]}',
            "y has 1 labels for the 2 sentences of s",
        ),
    ],
)
def test_what_is_no_row_is_named_by_file_and_line(tmp_path: Path, line: str, reason: str) -> None:
    written(tmp_path, rows()[:1])
    with (tmp_path / "some.jsonl").open("a") as file:
        file.write(f"\n{line}\n")
    with pytest.raises(UsageError) as refused:
        rows_in(tmp_path)
    message = str(refused.value)
    assert message.startswith(f"{tmp_path / 'some.jsonl'}:3: ")
    assert reason in message
    assert "see docs/verification.md" in message
    assert "\n" not in message


def test_a_packed_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "some.jsonl.gz").write_text("{}")
    with pytest.raises(UsageError, match=r"some.jsonl.gz' cannot be read"):
        rows_in(tmp_path)


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_without_rows_is_refused(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "rows"
    if exists:
        folder.mkdir()
    with pytest.raises(UsageError, match=r"rows' has no rows to train on: put files of labelled rows there"):
        rows_in(folder)


@pytest.mark.parametrize(
    ("row", "labels", "whole"),
    [
        ({"y": [0, 1]}, (0, 1), 1),
        ({"y": [0, 0]}, (0, 0), 0),
        ({"y": [0, None]}, (0, UNKNOWN), UNKNOWN),
        ({"y": [0, 0], "task": "supports"}, (0, 0), UNKNOWN),
        ({"y": [None, None], "whole": 0}, (UNKNOWN, UNKNOWN), 0),
        ({"s": ["One."], "y": [None], "whole": 1, "task": "supports"}, (1,), 1),
        ({"s": ["One."], "y": [0], "task": "supports"}, (0,), 0),
    ],
)
def test_sentences_and_the_whole_tell_of_each_other(
    row: dict[str, Any], labels: tuple[float, ...], whole: float
) -> None:
    found = example(**row)
    assert found.labels == pytest.approx(labels, nan_ok=True)
    assert found.whole == pytest.approx(whole, nan_ok=True)


# --- windows


def test_a_window_holds_what_is_right() -> None:
    long = example(s=[f"Sentence {n}." for n in range(30)], y=[int(n == 17) for n in range(30)])
    for seed in range(20):
        part = window(long, 60, random.Random(seed))
        assert 1 < len(part.labels) < 6
        assert part.source.sentences[part.labels.index(1)] == "Sentence 17."
        assert part.whole == 1


def test_whether_a_part_suffices_is_unknown_where_what_is_right_is_cut_off() -> None:
    assert math.isnan(example(y=[1, 0]).cut(1, 2).whole)
    assert example(y=[1, 0]).cut(0, 1).whole == 1
    assert example(y=[0, 0]).cut(1, 2).whole == 0


def test_a_text_is_trained_on_or_held_out() -> None:
    every = [example_of(LabelledRow.model_validate(row)) for row in rows()]
    every += planted_claims(passages_of(every), random.Random(0))
    training, held = split_by_text(every, ReaderRecipe(held_out=0.3), random.Random(0))
    assert len({each.group for each in held}) == 2
    assert {each.group for each in training} & {each.group for each in held} == set()
    assert len(training) + len(held) == len(every)


# --- passages near a question


def test_near_passages_are_of_other_texts_and_answer_nothing() -> None:
    every = [example_of(LabelledRow.model_validate(row)) for row in rows()]
    passages = passages_of(every)
    assert [each.source.title for each in passages] == [f"The bridge of {town}" for town in TOWNS]
    question = every[0]
    vectors = (np.eye(6, dtype=np.float32)[:1], np.eye(6, dtype=np.float32))
    near = list(near_passages([question], passages, vectors, 4, random.Random(0)))
    assert len(near) == 4
    assert all(each.first == question.first and each.group == question.group for each in near)
    assert all(each.labels == (0.0,) * 4 and each.whole == 0 for each in near)
    assert question.source not in [each.source for each in near]


# --- planted claims

RIVER = "In 1950, the river Aar was not higher than the Reuss, but it may flood 12 of 30 houses in Bern."
OTHER = "Later 77 more were built in Basel, by the engineer Rothen."


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_each_rule_changes_one_thing(rule: reader_data.Rule) -> None:
    found = {rule(RIVER, OTHER, random.Random(seed)) for seed in range(40)}
    assert None not in found
    assert RIVER not in found
    assert rule("So it is", "", random.Random(0)) is None or rule is reader_data.negated
    assert found & EXPECTED[rule.__name__]


EXPECTED = {
    "numbers_exchanged": {RIVER.replace("12 of 30", "30 of 12")},
    "names_exchanged": {RIVER.replace("Aar", "X").replace("Reuss", "Aar").replace("X", "Reuss")},
    "other_number": {RIVER.replace("1950", "77")},
    "other_name": {RIVER.replace("Bern", "Rothen")},
    "other_digit": {RIVER.replace("1950", "1957")},
    "opposite_word": {RIVER.replace("higher", "lower")},
    "negated": {RIVER.replace("may flood", "may not flood")},
    "negation_dropped": {RIVER.replace("was not", "was")},
    "hedge_dropped": {RIVER.replace("may flood", "flood")},
    "sides_exchanged": {RIVER.replace("not higher than the Reuss", "the Reuss than not higher")},
}


def test_the_sides_of_a_simple_sentence_are_exchanged_whole() -> None:
    assert (
        reader_data.sides_exchanged("The dam replaces a weir.", "", random.Random(0))
        == "A weir replaces the dam."
    )


def test_a_sentence_without_anything_to_change_is_left_out() -> None:
    assert changed("Quite so.", "", random.Random(0)) is None


def test_true_claims_lose_asides_and_speakers() -> None:
    texts = {reworded(passage(0)[3], random.Random(seed)) for seed in range(40)}
    assert "They measured its piers and found that they were not damaged by the ice." in texts
    assert all(not text.startswith("However") for text in texts)


def test_planted_claims_know_what_they_were_made_of() -> None:
    passages = passages_of([example_of(LabelledRow.model_validate(row)) for row in rows()])
    planted = list(planted_claims(passages, random.Random(0)))
    assert {each.whole for each in planted} == {0.0, 1.0}
    for each in planted:
        assert each.task == "supports"
        if each.whole == 0:
            assert set(each.labels) == {0.0}
            assert each.first not in each.source.sentences
        else:
            assert each.labels.count(1.0) == 1
            assert sum(map(math.isnan, each.labels)) == len(each.labels) - 1


def test_text_in_small_letters_has_no_names_to_plant() -> None:
    small = example(s=[sentence.lower() for sentence in passage(0)], y=[0, 1, 0, 0])
    assert list(planted_claims(passages_of([small]), random.Random(0))) == []


# --- training


def test_a_reader_is_trained_written_and_read(tmp_path: Path) -> None:
    report = train(written(tmp_path / "rows", rows()), tmp_path / "reader", teacher="all-MiniLM-L6-v2")
    assert (report.base, report.longest, report.steps) == ("all-MiniLM-L6-v2", 512, 2)
    assert report.rows == {"": 6, "towns": 12}
    assert report.near == 6
    assert report.planted > 12
    assert report.tokens > 400
    assert report.teacher is not None
    assert report.teacher.base == "all-MiniLM-L6-v2"
    for figures in (report.figures, report.teacher.figures):
        assert 0 <= (figures.answers or -1) <= 1
        assert 0 <= (figures.claims or -1) <= 1
        assert figures.best is not None
    notes = json.loads((tmp_path / "reader" / "reader.json").read_text())
    assert notes == report.model_dump(mode="json", exclude={"directory"})
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []
    assert report.component == {"type": "joint", "model": str(tmp_path / "reader")}

    source = SourceText("The bridge of Arden", tuple(passage(0)))
    [reading] = JointReader(model=report.directory, precision="f32").read("Who built it?", [source])
    [shipped] = JointReader(precision="f32").read("Who built it?", [source])
    assert len(reading.answers) == len(reading.supports) == 4
    assert np.isfinite([*reading.answers, *reading.supports, reading.answered, reading.supported]).all()
    assert np.abs(reading.answers - shipped.answers).max() > 0.1


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A model so small that threads only wait for each other."""
    import torch

    words = [word for n in range(6) for word in re.findall(r"\w+|\W", " ".join(short(n)["s"]).lower())]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tiny_cross_encoder(tmp_path / "tiny", words=[*words, "who", "?"])
    torch.set_num_threads(threads)


def short(n: int) -> dict[str, Any]:
    s = [f"{TOWNS[n]} lies on a river .", f"Ada {TOWNS[-n]} built the bridge .", "It is old ."]
    s = s[n % 3 :] + s[: n % 3]
    y = [int("built" in sentence) for sentence in s]
    return {"task": "answers", "a": f"Who built the bridge of {TOWNS[n]} ?", "s": s, "y": y}


QUICK: dict[str, Any] = {"near": 0, "longest": 48}


def test_training_learns_which_sentence_answers(tmp_path: Path, tiny: Path) -> None:
    """The sentence of the builder is told from others, by the reader as it is loaded from its folder."""
    data = written(tmp_path / "rows", [short(n) for n in range(6)])
    report = train(data, tmp_path / "reader", tiny, steps=300, learning_rate=2e-2, head_rate=5e-2, **QUICK)
    assert report.figures.best == 1.0
    reader = JointReader(model=report.directory, precision="f32")
    for row in map(short, range(6)):
        [reading] = reader.read(row["a"], [SourceText("", tuple(row["s"]))])
        assert reading.answers.argmax() == row["y"].index(1)


def test_the_shipped_reader_says_what_it_was_trained_on() -> None:
    notes = json.loads((SHIPPED / "reader.json").read_text())
    assert (notes["base"], notes["longest"]) == ("all-MiniLM-L6-v2", 512)
    assert len(notes["rows"]) == 22
    assert sum(notes["rows"].values()) == 90_560
    assert notes["figures"] == {"answers": 0.978, "claims": 0.949, "best": 0.903}


def test_minutes_are_kept_to(tmp_path: Path, tiny: Path) -> None:
    data = written(tmp_path / "rows", [short(n) for n in range(6)])
    report = train(data, tmp_path / "reader", tiny, steps=None, minutes=0.02, **QUICK)
    assert report.steps > 1
    assert report.seconds < 30


def test_a_base_that_reads_too_little_is_refused(tmp_path: Path, tiny: Path) -> None:
    data = written(tmp_path / "rows", rows())
    with pytest.raises(
        UsageError, match="reads 48 tokens, and a reader is trained on 320; name a model that reads more"
    ):
        train(data, tmp_path / "reader", tiny)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(UsageError, match="holds something already; name a new directory"):
        train(tmp_path / "nowhere", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_rows_about_one_text_cannot_be_held_out(tmp_path: Path) -> None:
    data = written(tmp_path / "rows", rows()[:2])
    with pytest.raises(UsageError, match="all rows are about one text, so none can be held out"):
        train(data, tmp_path / "reader", near=0)
    assert not (tmp_path / "reader").exists()


def test_the_command_trains_and_says_how_to_use_it(
    tmp_path: Path, command: Callable[..., CompletedProcess[str]]
) -> None:
    data = written(tmp_path / "rows", rows())
    done = command("train", "verifier", "reader", "--data", data, "--steps", "1", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert (report["steps"], report["component"]) == (1, {"type": "joint", "model": "reader"})
    again = command("train", "verifier", "reader", "--data", data)
    assert (again.returncode, again.stderr) == (
        2,
        "'reader' holds something already; name a new directory, or remove it first\n",
    )


def test_the_command_refuses_what_it_cannot_use(
    tmp_path: Path, command: Callable[..., CompletedProcess[str]]
) -> None:
    both = command("train", "verifier", "new", "--data", "rows", "--steps", "1", "--minutes", "1")
    assert (both.returncode, both.stderr) == (
        2,
        "--steps and --minutes both say how long to train; give one of them\n",
    )
    none = command("train", "verifier", "new", "--data", "rows")
    assert (none.returncode, none.stderr) == (
        2,
        "'rows' has no rows to train on: put files of labelled rows there, *.jsonl or *.jsonl.gz\n",
    )
