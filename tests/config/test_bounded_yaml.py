"""YAML of strangers: aliases that multiply end in a message, wherever YAML is read."""

from __future__ import annotations

import pytest
import yaml

import ragkit.pipeline_file  # noqa: F401  (registers every component)
from ragkit import config
from ragkit.config.bounded_yaml import TooMuch, load
from ragkit.errors import ConfigError, LoadError, UsageError
from ragkit.evaluate.space import Space
from ragkit.rag import Rag
from ragkit.read.formats.markdown import Markdown

LISTS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 30))
MERGES = "a0: &a0 {k: x}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 30))
ITSELF = "a29: &a29 [*a29]\n"


@pytest.mark.parametrize("text", [LISTS, MERGES, ITSELF], ids=["lists", "merges", "itself"])
def test_aliases_that_multiply_are_refused_before_anything_is_made_of_them(text: str) -> None:
    with pytest.raises(TooMuch):
        load(text)
    with pytest.raises(LoadError, match="front matter"):
        list(Markdown().papers_in("a.md", f"---\n{text}---\nGlass.\n"))
    with pytest.raises(UsageError):
        Space(text, "space.yaml")


@pytest.mark.parametrize(
    "used",
    ["{type: minmax, weights: *a29}", "{type: minmax, weights: {dense: *a29}}", "{type: minmax, <<: *a29}"],
)
@pytest.mark.parametrize("bomb", [LISTS, MERGES], ids=["lists", "merges"])
def test_a_pipeline_file_whose_aliases_multiply_is_refused_at_once(used: str, bomb: str) -> None:
    indented = "".join(f"  {line}\n" for line in bomb.splitlines())
    text = f"define:\n{indented}ingest: {{chunk: whole, index: bm25}}\nanswer: {{retrieve: [], generate: extractive, fuse: {used}}}\n"
    with pytest.raises(ConfigError):
        config.loads(Rag, text)


def test_aliases_that_do_not_multiply_are_read_as_ever() -> None:
    text = "a: &a {x: 1}\nb: [*a, *a]\nc: {<<: *a, y: 2}\n"
    assert load(text) == yaml.safe_load(text)
    assert load("") is None
