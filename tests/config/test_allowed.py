"""What a pipeline file may import and set: what is listed, and what the user allows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import ragkit
import ragkit.pipeline_file  # registers every component
from ragkit import config
from ragkit.config import components
from ragkit.config.allowed import LISTED
from ragkit.errors import ConfigError
from ragkit.rag import Rag


def pipeline(chunk: str = "whole", index: str = "bm25", generate: str = "extractive") -> str:
    return f"ingest:\n  chunk: {chunk}\n  index: {index}\nanswer:\n  retrieve: []\n  generate: {generate}\n"


def messages(text: str, *allow: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        config.loads(Rag, text, "my.yaml", allow)
    return [f"{problem.path}: {problem.message}" for problem in error.value.problems]


def test_no_package_is_imported_for_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "langchain_planted.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = "langchain_planted.Splitter"
    assert messages(pipeline(f"{{type: {path}}}")) == [
        f"ingest.chunk: importing '{path}' is not allowed; if you trust it, pass --allow-import {path}"
    ]
    assert "langchain_planted" not in sys.modules


@pytest.mark.parametrize(
    "made",
    [
        "langchain_huggingface.HuggingFaceEmbeddings, model_name: x, model_kwargs: {trust_remote_code: true}",
        "langchain_community.document_loaders.TextLoader, file_path: /etc/passwd",
        "langchain_core.vectorstores.InMemoryVectorStore.load, path: x, embedding: hashed",
    ],
)
def test_what_runs_code_or_reads_any_file_needs_to_be_allowed(made: str) -> None:
    [message] = messages(pipeline(f"{{type: {made}}}"))
    assert message.endswith(f"pass --allow-import {made.partition(',')[0]}")


@pytest.mark.parametrize(
    ("made", "word"),
    [
        ("langchain_openai.ChatOpenAI, model: m, base_url: 'http://evil'", "base_url"),
        ("langchain_openai.ChatOpenAI, model: m, openai_proxy: 'http://evil'", "openai_proxy"),
        ("langchain_openai.ChatOpenAI, model: m, model_kwargs: {x: y}", "model_kwargs"),
    ],
)
def test_an_argument_that_is_not_listed_is_refused_with_its_place(made: str, word: str) -> None:
    name = made.partition(",")[0]
    assert messages(pipeline(generate=f"{{type: cited, llm: {{type: {made}}}}}")) == [
        f"answer.generate.llm.{word}: setting '{word}' of {name} is not allowed; if you trust this file,"
        f" pass --allow-import {name}"
    ]


def test_the_options_within_an_argument_are_checked_too() -> None:
    name = "langchain_qdrant.QdrantVectorStore.construct_instance"
    store = f"{{type: {name}, embedding: {{type: hashed}}, collection_name: c, client_options: {{path: planted}}}}"
    assert messages(pipeline(index=store)) == [
        f"ingest.index.client_options.path: setting 'path' of {name} is not allowed; if you trust this file,"
        f" pass --allow-import {name}"
    ]


def test_a_nested_object_must_be_allowed_wherever_it_stands() -> None:
    path = "langchain_planted.Client"
    nested = f"{{type: langchain_qdrant.QdrantVectorStore, collection_name: c, client: {{type: {path}}}}}"
    assert messages(pipeline(index=nested)) == [
        f"ingest.index.client: importing '{path}' is not allowed; if you trust it, pass --allow-import {path}"
    ]


def test_a_class_that_the_user_names_may_be_set_as_a_whole() -> None:
    name = "langchain_text_splitters.MarkdownTextSplitter"
    assert messages(pipeline(f"{{type: {name}, is_separator_regex: true}}")) != []
    config.loads(Rag, pipeline(f"{{type: {name}, is_separator_regex: true}}"), allow=[name])


def test_what_is_allowed_is_no_prefix_of_another_name() -> None:
    assert messages(pipeline("{type: qdrant_client_planted.X}"), "qdrant_client") != []
    assert (
        messages(
            pipeline("{type: langchain_qdrant.QdrantVectorStoreX}"), "langchain_qdrant.QdrantVectorStore"
        )
        != []
    )


@pytest.mark.parametrize("path", [p for p in LISTED if "anthropic" not in p])
def test_each_argument_that_is_listed_is_one_of_the_class(path: str) -> None:
    assert set(LISTED[path]) - set(components.parameters(components.imported(path, ()))) == set()


def test_a_class_made_in_python_is_dumped_by_the_path_that_is_listed() -> None:
    from langchain_text_splitters import CharacterTextSplitter

    assert components.name_of(CharacterTextSplitter) == "langchain_text_splitters.CharacterTextSplitter"
    assert "type: langchain_text_splitters.CharacterTextSplitter" in config.dump(
        ragkit.use(CharacterTextSplitter)
    )
