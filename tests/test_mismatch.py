"""Settings that are allowed but do not fit together are said, in the log and by `ragkit config check`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ROOT

import ragkit
import ragkit.pipeline_file  # registers every component
from ragkit import config
from ragkit.mismatch import mismatches
from ragkit.rag import Rag

CHUNKER = (
    "ingest.chunk counts the tokens of 'all-MiniLM-L6-v2', but passages are embedded by 'other/e5-small', which may read"
    " fewer of them; set `model: other/e5-small` in ingest.chunk"
)
ENCODER = (
    "answer.gate is fitted to the cosines of all-MiniLM-L6-v2, but 'dense' searches with 'other/e5-small'; fit it to your"
    " questions with `ragkit calibrate`"
)


def pipeline(model: str = "other/e5-small", chunk: str = "sentence", gate: str = "calibrated") -> str:
    return f"""
define:
  dense: &dense {{type: flat, embed: {{type: sentence_transformers, model: {model}}}}}
ingest: {{chunk: {chunk}, index: [*dense]}}
answer: {{retrieve: {{type: dense, store: *dense}}, gate: {gate}, generate: extractive}}
"""


def found(text: str) -> list[str]:
    rag = config.loads(Rag, text)
    return mismatches(rag.ingest_pipeline, rag.answer_pipeline)


def test_a_chunker_and_a_gate_for_another_encoder_are_named_with_the_way_out() -> None:
    assert found(pipeline()) == [CHUNKER, ENCODER]


@pytest.mark.parametrize(
    "text",
    [
        pipeline("all-MiniLM-L6-v2"),
        pipeline("sentence-transformers/all-MiniLM-L6-v2"),
        pipeline(chunk="{type: sentence, model: other/e5-small}", gate="null"),
        pipeline(chunk="whole", gate="{type: calibrated, found: {weights: {nearest: 3.0}, bias: -1.0}}"),
        "ingest: {chunk: sentence, index: bm25}\nanswer: {retrieve: {type: lexical, index: bm25}, generate: extractive}",
    ],
)
def test_what_fits_is_not_named(text: str) -> None:
    assert found(text) == []


def test_a_gate_without_its_retriever_is_named() -> None:
    text = "ingest: {chunk: sentence, index: bm25}\nanswer: {retrieve: {type: lexical, index: bm25}, generate: extractive, gate: calibrated}"
    assert found(text) == [
        "answer.gate weighs the scores of the retriever 'dense', but the retrievers are called lexical, so it decides"
        " without them; set `retriever` in answer.gate"
    ]


def test_a_warning_is_logged_once_however_often_the_pipelines_are_moved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = pipeline("one-of-its-own", gate="null")
    config.loads(Rag, text).moved(tmp_path).moved(tmp_path / "there")
    assert [r.message for r in caplog.records] == [CHUNKER.replace("other/e5-small", "one-of-its-own")]


def test_config_check_prints_the_warnings_and_succeeds(
    tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "my.yaml").write_text(pipeline())
    done = command("config", "check", "my.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"my.yaml: warning: {CHUNKER}\nmy.yaml: warning: {ENCODER}\n"


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_the_configurations_that_come_with_ragkit_fit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGKIT_MODEL", "some-model")
    monkeypatch.setenv("RAGKIT_BASE_URL", "http://127.0.0.1:1/v1")
    rag = ragkit.load(path)
    assert mismatches(rag.ingest_pipeline, rag.answer_pipeline) == []
