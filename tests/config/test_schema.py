"""The JSON Schema that editors check pipeline files with."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from support import ROOT

from ragkit.config import presets
from ragkit.pipeline_file import schema

VALIDATOR = Draft202012Validator(schema())


def problems(text: str) -> list[str]:
    return [error.json_path for error in VALIDATOR.iter_errors(yaml.safe_load(text))]


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_it_accepts_every_configuration(path: Path) -> None:
    assert problems(path.read_text()) == []


def test_it_rejects_a_typo_in_a_key_in_a_type_and_in_an_argument() -> None:
    right = "ingest: {chunk: {type: sentence, overlap: 2}, index: bm25}\nanswer: {retrieve: [], generate: extractive}\n"
    assert problems(right) == []
    assert problems(right.replace("ingest", "ingets")) == ["$", "$"]
    assert problems(right.replace("sentence", "sentense")) == ["$.ingest.chunk"]
    assert problems(right.replace("overlap", "overlpa")) == ["$.ingest.chunk"]


def test_every_component_is_described() -> None:
    chunkers = schema()["$defs"]["BaseDocumentTransformer"]["anyOf"]
    [sentence] = [c for c in chunkers if c.get("properties", {}).get("type") == {"const": "sentence"}]
    assert sentence["description"].startswith("As many whole sentences as fit into `max_tokens` of `model`")
    size = dict(sentence["properties"]["max_tokens"])
    assert "`max_tokens` of `model`" in size.pop("description")
    assert size == {"exclusiveMinimum": 0, "type": "integer", "default": 200}
    assert schema()["$defs"]["BaseDocumentTransformer"]["discriminator"] == {"propertyName": "type"}


def test_a_file_that_extends_another_may_leave_out_and_remove_what_that_one_has() -> None:
    right = "extends: default\nanswer: {refine: {k: 3}, gate: null, retrieve: [{type: dense, k: 3}]}\n"
    assert problems(right) == []
    assert problems(right.replace("extends: default\n", "")) != []
    assert problems(right.replace("refine", "refien")) == ["$.answer"]
    assert problems("extends: default\nanswer: {retrieve: [{type: dense, kk: 3}]}\n") == ["$.answer.retrieve"]
    assert problems("extends: 3\n") == ["$.extends"]
    assert schema()["then"]["properties"]["extends"]["anyOf"][0]["enum"] == presets.names()


@pytest.mark.parametrize("name", ["default", "chat"])
def test_it_accepts_every_preset(name: str) -> None:
    assert problems(presets.path_of(name).read_text()) == []
