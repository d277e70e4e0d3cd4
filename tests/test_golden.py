"""The JSON of `ragkit ask` keeps its keys and values: answers over the example papers match saved files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import NOTES, ROOT

import ragkit

GOLDEN = Path(__file__).with_name("golden")
FLAGGED = """
corpus: corpus
define:
  dense: &dense {type: flat, embed: sentence_transformers}
ingest: {read: files, chunk: {type: sentence, max_tokens: 200, overlap: 1}, index: [*dense]}
answer:
  retrieve: {type: dense, store: *dense, k: 20}
  refine: {type: top, k: 2}
  generate: {type: cited, llm: {type: scripted, responses: ["%s"]}}
  verify: evidence
  policy: flag
"""
SAID = "BERT-base has 12 layers and 110 million parameters [1]. It was trained on 900 million words [2]. It is large [99]."


def golden(name: str) -> dict[str, object]:
    return json.loads((GOLDEN / f"{name}.json").read_text().replace("ROOT", str(ROOT)))


def untimed(answer: ragkit.Answer) -> dict[str, object]:
    found = answer.as_json()
    return {**found, "timings_ms": dict.fromkeys(found["timings_ms"], 0)}


@pytest.mark.parametrize("name", ["ask_0", "ask_1", "ask_2", "ask_3"])
def test_a_verbatim_answer_is_as_it_was(rag: ragkit.Rag, name: str) -> None:
    wanted = golden(name)
    found = untimed(rag.ask(str(wanted["question"])))
    # The last digits of what a model computes depend on what it computes at the same time.
    wanted["confidence"] = pytest.approx(wanted["confidence"], abs=0.01)
    assert (list(found), found) == (list(wanted), wanted)


def test_a_flagged_answer_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "flag.yaml").write_text(FLAGGED % SAID)
    rag = ragkit.load(tmp_path / "flag.yaml", corpus=tmp_path / "corpus")
    rag.ingest(NOTES)
    wanted = golden("ask_flag")
    found = untimed(rag.ask(str(wanted["question"])))
    assert (list(found), found) == (list(wanted), wanted)
