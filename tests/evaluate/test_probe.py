"""Probes: contexts without gold, with changed numbers, reordered, with hard negatives, after small talk."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from support import ROOT

import ragkit
from ragkit.answer import Answer
from ragkit.document import normalised_title
from ragkit.evaluate.dataset import Case, Dataset
from ragkit.evaluate.probe import Row, _another, _replaced, probe_events
from ragkit.evaluate.run import Assessors, Configuration, Settings
from ragkit.flow import Flow, result_of
from ragkit.generate import Generator
from ragkit.refine.context import Reordered
from ragkit.rewrite import MultiQueryRewriter
from ragkit.testing import HashedEmbeddings, scripted_chat
from ragkit.text.question import Asked

BERT = normalised_title("BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding")
DPR = normalised_title("Dense Passage Retrieval for Open-Domain Question Answering")
QUESTIONS = Dataset(
    "questions",
    (
        Case(
            "1",
            "How many parameters do BERT-base and BERT-large have?",
            relevant={BERT: 1.0},
            must_include=(("340 million",),),
        ),
        Case(
            "2",
            "What kind of negatives does DPR train with?",
            relevant={DPR: 1.0},
            must_include=(("top BM25",),),
        ),
        Case("3", "Who painted the Mona Lisa?", answerable=False),
    ),
    "",
)


def rows(rag: ragkit.Rag, folder: Path, **changed: Any) -> dict[str, Row]:
    pipeline = ragkit.Rag(
        corpus=rag.corpus.directory,
        ingest=rag.ingest_pipeline,
        answer=replace(rag.answer_pipeline, **changed),
    )
    found: list[Row] = result_of(
        probe_events(
            [Configuration("c", pipeline)],
            QUESTIONS,
            Settings(workspace=folder, assessors=Assessors(embed=HashedEmbeddings())),
        )
    )
    return {row.probe: row for row in found}


def test_a_pipeline_that_quotes_follows_what_it_is_shown(rag: ragkit.Rag, tmp_path: Path) -> None:
    found = rows(rag, tmp_path)
    assert {name: row.questions for name, row in found.items()} == {
        "as_found": 2,
        "missing": 2,
        "counterfactual": 1,
        "shuffled": 2,
        "negatives_5": 2,
        "negatives_10": 2,
        "negatives_20": 2,
        "negatives_50": 2,
        "filler_1": 2,
        "filler_5": 2,
        "filler_10": 2,
    }
    right = {name: row.values["right"].value for name, row in found.items()}
    assert (
        right["as_found"],
        right["missing"],
        right["counterfactual"],
        right["shuffled"],
        right["filler_10"],
    ) == (1, 0, 1, 1, 1)
    assert found["counterfactual"].values["kept"].value == 0
    assert found["shuffled"].values["flipped"].value == 0
    assert found["as_found"].against is None
    assert found["missing"].against is not None
    assert found["missing"].against.value == -1


@dataclass(frozen=True)
class Recording(Generator):
    """Keeps what it is shown."""

    shown: list[list[str]]

    def flow(self, asked: Asked, passages: Sequence[Document], judged: Answer | None = None) -> Flow[Answer]:
        self.shown.append([str(passage.id) for passage in passages])
        return Answer(question=str(asked.text))
        yield


def test_hard_negatives_are_shown_in_the_order_of_the_pipeline(rag: ragkit.Rag, tmp_path: Path) -> None:
    ranked: list[list[str]] = []
    turned: list[list[str]] = []
    rows(rag, tmp_path / "ranked", generate=[Recording(ranked)])
    rows(
        rag,
        tmp_path / "turned",
        generate=[Recording(turned)],
        refine=[*rag.answer_pipeline.refine, Reordered()],
    )
    longest = max(ranked, key=len)
    assert [*longest[::2], *reversed(longest[1::2])] in turned
    assert longest not in turned


def test_other_words_flip_a_pipeline_that_goes_by_its_words(rag: ragkit.Rag, tmp_path: Path) -> None:
    case, other = QUESTIONS.cases[:2]
    asked_well = "What number of parameters do BERT-base and BERT-large have?"
    worded = replace(
        QUESTIONS, cases=(replace(case, paraphrases=(asked_well, "Who painted the Mona Lisa?")), other)
    )
    found: list[Row] = result_of(
        probe_events([Configuration("c", rag)], worded, Settings(workspace=tmp_path))
    )
    [row] = [row for row in found if row.probe == "paraphrased"]
    assert row.questions == 1, "only what has other words"
    assert (row.values["right"].value, row.values["flipped"].value) == (0.5, 1.0)


def test_a_rewriter_asks_in_other_words_what_the_dataset_does_not_and_once(
    rag: ragkit.Rag, tmp_path: Path
) -> None:
    said = [
        "1. BERT-base and BERT-large: how many parameters do they have?",
        "What negatives does DPR train with?",
    ]
    rewriter = MultiQueryRewriter(llm=ragkit.use(scripted_chat, responses=said))
    for _ in range(2):
        found: list[Row] = result_of(
            probe_events([Configuration("c", rag)], QUESTIONS, Settings(workspace=tmp_path), reword=rewriter)
        )
        [row] = [row for row in found if row.probe == "paraphrased"]
        assert (row.questions, row.values["flipped"].value) == (2, 0.0)


def test_asked_again_the_rows_are_the_same(rag: ragkit.Rag, tmp_path: Path) -> None:
    assert [row.as_json() for row in rows(rag, tmp_path).values()] == [
        row.as_json() for row in rows(rag, tmp_path).values()
    ]


numbers = st.from_regex(r"[1-9][0-9]{0,3}([.,][0-9]{1,3})?", fullmatch=True)


@given(numbers, st.integers(0, 1000))
def test_another_number_looks_like_the_first_and_is_not_in_the_text(number: str, seed: int) -> None:
    other = _another(number, f"They carry {number} people, not 7.", np.random.default_rng(seed))
    if other is not None:
        assert (len(other), re.sub(r"\d", "0", other)) == (len(number), re.sub(r"\d", "0", number))
        assert other not in (number, "7")
        assert not other.startswith("0")


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("80 of 80, but 180, 80.5, 80,000 and x80 stay.", "31 of 31, but 180, 80.5, 80,000 and x80 stay."),
        ("It is 80.", "It is 31."),
        ("No number.", "No number."),
    ],
)
def test_only_the_whole_number_is_replaced(text: str, changed: str) -> None:
    assert _replaced(text, "80", "31") == changed


def test_the_command_prints_one_table(
    ingested: Path, tmp_path: Path, command: Callable[..., CompletedProcess[str]]
) -> None:
    (tmp_path / "q.jsonl").write_text(
        "\n".join((ROOT / "examples" / "questions.jsonl").read_text().splitlines()[:2])
    )
    common = ["probe", "q.jsonl", "--corpus", ingested, "--workspace", "ws"]
    done = command(*common, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    first = json.loads(done.stdout)["probes"][0]
    assert (first["configuration"], first["probe"], first["questions"]) == ("default", "as_found", 2)
    shown = command(*common).stdout
    assert all(name in shown for name in ("as_found", "missing", "shuffled", "negatives_5", "filler_10"))
