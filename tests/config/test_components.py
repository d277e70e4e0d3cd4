"""Every registered component keeps the contract that `ragkit.testing.check_component` states."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, TypedDict

import numpy as np
import pytest
from langchain_core.documents import Document
from support import static_model
from tiny_models import tiny_cross_encoder

import ragkit.evaluate.judge
import ragkit.pipeline_file
from ragkit.config import components
from ragkit.config.spec import validated
from ragkit.fuse import Fusion, Ranking
from ragkit.generate.chat import CitedGenerator
from ragkit.index.bm25 import Bm25Index
from ragkit.index.chroma import ChromaIndex
from ragkit.models.adapted import Projection
from ragkit.models.embeddings import SentenceTransformersEmbeddings
from ragkit.pipeline_file import catalogue
from ragkit.testing import HashedEmbeddings, check_component, check_signature, imports_heavy, scripted_chat

# What the components that cannot be made without arguments are made with.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "chroma": {"embed": HashedEmbeddings()},
    "flat": {"embed": HashedEmbeddings()},
    "memory": {"embed": HashedEmbeddings(), "server": "contract"},
    "qdrant": {"embed": HashedEmbeddings(), "collection": "contract", "url": ":memory:"},
    "postgres": {"url": "postgresql://127.0.0.1/papers"},
    "semantic": {"embed": HashedEmbeddings()},
    "dense": {"store": ChromaIndex(embed=HashedEmbeddings())},
    "lexical": {"index": Bm25Index()},
    "cited": {
        "llm": ragkit.use(scripted_chat, responses=["Glass bridges carry 40 people [1]. They fly [7]."])
    },
    "structured": {
        "llm": ragkit.use(scripted_chat, responses=["Glass bridges carry 40 people [1]. They fly [7]."])
    },
    "backed": {
        "write": ragkit.use(
            CitedGenerator,
            llm=ragkit.use(scripted_chat, responses=["Glass bridges carry 40 people [1]. They fly [7]."]),
        )
    },
    "llm": {"llm": ragkit.use(scripted_chat, responses=['{"score": 4, "reason": "right"}'])},
    "judge": {
        "llm": ragkit.use(scripted_chat, responses=['{"reason": "it says so", "verdict": "supported"}'])
    },
    "late_interaction": {"embed": SentenceTransformersEmbeddings()},
    "mmr": {"embed": HashedEmbeddings()},
    "small_talk": {"embed": HashedEmbeddings()},
    "docling": {"artifacts_path": "."},
    "ocrmypdf": {"language": "eng"},
    "scripted": {"responses": ["yes"]},
    "fallback": {"models": [ragkit.use(scripted_chat, responses=["yes"])]},
    "condense": {"llm": ragkit.use(scripted_chat, responses=["How many people do glass bridges carry?"])},
    "multi_query": {
        "llm": ragkit.use(scripted_chat, responses=["1. What are bridges?\n2. What does bridge mean?"]),
        "n": 2,
    },
    "decompose": {"llm": ragkit.use(scripted_chat, responses=["What is a bridge?"])},
    "hyde": {"llm": ragkit.use(scripted_chat, responses=["A bridge is a way over water."])},
    "criteria": {"llm": ragkit.use(scripted_chat, responses=["load of bridges\ntests"])},
    "keywords": {"llm": ragkit.use(scripted_chat, responses=["bridge, load"])},
    "intents": {
        "llm": ragkit.use(scripted_chat, responses=["What do bridges bear?"]),
        "embed": HashedEmbeddings(),
    },
    "instructed": {"embed": HashedEmbeddings(), "instruction": "Find papers: "},
    "think": {"llm": ragkit.use(scripted_chat, responses=["It would name kinds of bridges."])},
    "questions": {"llm": ragkit.use(scripted_chat, responses=["What do bridges carry?"]), "n": 2},
    "descriptions": {"llm": ragkit.use(scripted_chat, responses=["The load of a structure."])},
    "propositions": {"llm": ragkit.use(scripted_chat, responses=["Glass bridges carry 40 people."])},
    "summaries": {"llm": ragkit.use(scripted_chat, responses=["On bridges."]), "fan": 2},
    "llm_pointwise": {"llm": ragkit.use(scripted_chat, responses=["7"]), "blend": 0.5},
    "llm_pairwise": {"llm": ragkit.use(scripted_chat, responses=["A"]), "passes": 1},
    "llm_listwise": {"llm": ragkit.use(scripted_chat, responses=["[2] > [1]"]), "top_k": 2},
}


def projection(folder: Path) -> str:
    Projection.fitted(np.eye(5, 3, dtype=np.float32)).save(folder / "fit.npz")
    return str(folder / "fit.npz")


@pytest.mark.parametrize(
    ("name", "maker"), components.registered(), ids=lambda v: v if isinstance(v, str) else v.__name__
)
def test_every_component_keeps_the_contract(
    name: str,
    maker: components.Maker,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made_here = {
        "pgvector": lambda: {"embed": HashedEmbeddings(), "url": request.getfixturevalue("postgres").url()},
        "openai": lambda: {"model": "m", "base_url": request.getfixturevalue("model_server").url},
        "projected": lambda: {"embed": HashedEmbeddings(size=3), "fit": projection(tmp_path)},
        "static": lambda: {"model": static_model(tmp_path, np.eye(4, 3))},
        "cross_encoder": lambda: {"model": str(tiny_cross_encoder(tmp_path))},
        "entailment": lambda: {"model": str(tiny_cross_encoder(tmp_path)), "threshold": 0.0},
    }
    monkeypatch.setattr("shutil.which", lambda program: program)  # any program is installed
    docling = ModuleType("docling")
    docling.__spec__ = ModuleSpec("docling", None)
    monkeypatch.setitem(sys.modules, "docling", docling)  # and so is this package
    check_component(maker, **(made_here[name]() if name in made_here else ARGUMENTS.get(name, {})))


def test_the_extractive_generator_keeps_the_contract_with_an_embedder_too() -> None:
    from ragkit.generate.extractive import ExtractiveGenerator

    check_component(ExtractiveGenerator, embed=HashedEmbeddings(), most=2)


def test_every_slot_of_our_own_has_a_component() -> None:
    ours = [slot for slot in components.interfaces() if slot.__module__.startswith("ragkit")]
    assert [slot.__name__ for slot in ours if not components.names(slot)] == []


def test_making_the_default_pipeline_imports_nothing_heavy() -> None:
    assert imports_heavy("import ragkit; ragkit.load()") == []


def test_a_component_that_swallows_arguments_is_refused() -> None:
    class Greedy(Fusion):
        """Takes anything."""

        def __init__(self, **settings: int) -> None: ...

        def worths(self, ranking: Ranking) -> list[float]:
            return [0.0 for _ in ranking.documents]

    with pytest.raises(AssertionError, match=r"Greedy swallows arguments with \*settings"):
        check_signature(Greedy)


def test_a_component_that_loses_documents_is_refused() -> None:
    @dataclass(frozen=True)
    class First(Fusion):
        """Keeps one."""

        def fuse(self, rankings: Any) -> list[Document]:
            return [d for r in rankings for d in r.documents][:1]

        def worths(self, ranking: Ranking) -> list[float]:
            return []

    components.component("first_only")(First)
    try:
        with pytest.raises(AssertionError, match="a document is lost or there twice"):
            check_component(First)
    finally:
        components._components.remove(("first_only", First))


def test_components_of_later_modules_are_found_and_imported_only_then() -> None:
    asked = (
        "import sys; from ragkit import pipeline_file; from ragkit.config import components;"
        "from ragkit.read.formats import FileFormat; late = 'ragkit.read.formats.tei';"
        "assert late not in sys.modules; components.find('tei', (FileFormat,)); assert late in sys.modules"
    )
    subprocess.run([sys.executable, "-c", asked], check=True)


def test_a_component_cannot_take_the_name_of_one_that_is_imported_later() -> None:
    asked = (
        "import ragkit.read.formats as f; from ragkit.config.components import component;"
        "component('tei')(type('Mine', (f.FileFormat,), {}))"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False)
    assert "two components called 'tei' make a FileFormat" in done.stderr


class Space(TypedDict):
    space: str


def test_an_argument_that_pydantic_cannot_check_is_taken_as_it_is_written() -> None:
    """Before Python 3.12 it makes no schema of a `typing.TypedDict`, which `langchain_chroma.Chroma` has."""
    assert validated(Space | None, {"space": "cosine"}) == {"space": "cosine"}


def test_the_types_of_arguments_are_shown_as_one_writes_them() -> None:
    shown = {argument["type"] for entry in catalogue() for argument in entry["arguments"]}
    assert {"str", "float | None", "Sequence[str]"} <= shown
    assert not [each for each in shown if "Field" in each or each.count("[") != each.count("]")]
