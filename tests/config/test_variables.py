"""Which environment variables a pipeline file may read, and where."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import ragkit
import ragkit.pipeline_file  # registers every component
from ragkit import config
from ragkit.errors import ConfigError, UsageError
from ragkit.rag import Rag

SERVER = "base_url: 'http://127.0.0.1:9/v1'"


def pipeline(llm: str = "", chunk: str = "whole") -> str:
    generate = f"{{type: cited, llm: {{type: openai, {llm}}}}}" if llm else "extractive"
    return f"ingest: {{chunk: {chunk}, index: bm25}}\nanswer: {{retrieve: [], generate: {generate}}}\n"


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        config.loads(Rag, text)
    return [f"{problem.path}: {problem.message}" for problem in error.value.problems]


@pytest.mark.parametrize("word", ["model", "base_url", "api_key"])
def test_a_variable_that_is_not_ours_is_read_only_if_the_user_allows_it(
    word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUD_SECRET", "hush")
    given = {"model": "m", "base_url": "http://127.0.0.1:9/v1", "api_key": "k", word: "x${CLOUD_SECRET}"}
    text = pipeline(", ".join(f"{name}: '{value}'" for name, value in given.items()))
    assert problems(text) == [
        f"answer.generate.llm.{word}: environment variable 'CLOUD_SECRET' does not begin with RAGKIT_;"
        " if you trust this file, pass --allow-env CLOUD_SECRET"
    ]
    config.loads(Rag, text, allow_env=["CLOUD_SECRET"])
    monkeypatch.setenv("RAGKIT_ALLOW_ENV", "OTHER, CLOUD_SECRET")
    config.loads(Rag, text)


def test_a_variable_is_read_only_where_a_secret_or_an_address_is_expected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAGKIT_WORD", "english")
    text = pipeline().replace("bm25", "{type: bm25, language: '${RAGKIT_WORD}'}")
    assert problems(text) == [
        "ingest.index.language: 'language' cannot be taken from an environment variable;"
        " only a secret, api_key, base_url, depot, host, model, url can"
    ]


def test_the_options_within_an_argument_follow_the_same_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD_SECRET", "hush")
    store = (
        "{type: langchain_qdrant.QdrantVectorStore.construct_instance, embedding: {type: hashed},"
        " collection_name: c, client_options: {url: 'http://127.0.0.1:9', prefix: '${CLOUD_SECRET}'}}"
    )
    [problem] = problems(pipeline().replace("bm25", store))
    assert "'prefix' cannot be taken from an environment variable" in problem


# --- a file that lies in the folder


def test_the_file_of_the_folder_is_announced(
    tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "ragkit.yaml").write_text(pipeline())
    (tmp_path / "note.md").write_text("# Glass\n\nGlass bridges carry people.\n")
    done = command("ingest", "note.md")
    assert done.returncode == 0, done.stderr
    assert "using the pipeline file ./ragkit.yaml of this folder" in done.stderr
    assert "using" not in command("ingest", "note.md", "--config", "ragkit.yaml").stderr


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (pipeline(f"model: m, {SERVER}"), "a server (openai)"),
        (pipeline("model: m"), "a server (openai)"),
        (
            pipeline().replace("chunk: whole", "chunk: {type: sentence, model: '${RAGKIT_X:-y}'}"),
            "environment variable",
        ),
        (
            pipeline(chunk="{type: langchain_text_splitters.MarkdownTextSplitter}"),
            "the import 'langchain_text_splitters.MarkdownTextSplitter'",
        ),
    ],
)
def test_the_file_of_the_folder_must_be_named_if_it_asks_for_more_than_this_machine(
    text: str, asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    (tmp_path / "ragkit.yaml").write_text(text)
    with pytest.raises(UsageError, match="pass --config ragkit.yaml") as error:
        ragkit.load()
    assert asked in str(error.value)
    ragkit.load("ragkit.yaml")
