"""Techniques of papers, through the public door: each pipeline file works, and without the technique it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

import ragkit
from ragkit.cli import main
from ragkit.document import title_of
from ragkit.errors import UsageError
from ragkit.evaluate.projection import fit_projection
from ragkit.flow import Finished, StateReached
from ragkit.ingest import embeddings_of
from ragkit.models.embeddings import AdaptedEmbeddings, query_vectors_of
from ragkit.testing import without

FOLDER = ROOT / "configs" / "techniques"
FILES = sorted(path.stem for path in FOLDER.glob("*.yaml"))

PAPERS = {
    "Glass": "Panes were laid over the gorge. Retrieval-augmented walking (RAW) was tried there. The deck bears 40 visitors at once.",
    "Rust": "Iron spans corrode in salt air. A coat of zinc delays this for 12 years. RAW is not used.",
    "Ropes": "Hemp strands were woven by hand. Each crossing took 9 minutes. Herders used them until 1930.",
}


@dataclass(frozen=True)
class Technique:
    """How its effect shows: a question, and the paper whose passage must come first, by a key of a kind if that is said."""

    question: str
    first: str
    says: Sequence[str] = ("nothing",)
    via: str = ""


BRIDGE = "Which footbridge is see-through?"
TECHNIQUES: Mapping[str, Technique] = {
    "sentences": Technique("A coat of zinc delays this for how many years?", "Rust", via="sentence"),
    "entities": Technique("salt air; Iron spans", "Rust", via="entity"),
    "headings": Technique("Glass Deck", "Glass", via="heading"),
    "expansions": Technique("retrieval-augmented walking is not used anywhere", "Rust", via="expansion"),
    "questions": Technique(
        "Which transparent footbridge?", "Glass", ["Which transparent footbridge?"], "question"
    ),
    "descriptions": Technique("load of a structure", "Glass", ["The load of a structure."], "description"),
    "propositions": Technique(
        "The deck of the gorge bears 40 visitors",
        "Glass",
        ["The deck bears 40 visitors at once."],
        "proposition",
    ),
    "summaries": Technique(
        "transparent footbridge capacity", "Glass", ["The capacity of a transparent footbridge."], "summary"
    ),
    **{
        name: Technique(BRIDGE, "Glass", ["Panes laid over a gorge, and visitors on the deck"])
        for name in ("criteria", "keywords", "hyde", "think", "multi_query", "decompose", "intents")
    },
}
VECTORS = ("projected", "instructed")
OWN = {"expansions", "headings"}  # which come from no paper


@pytest.fixture(autouse=True)
def model_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that extend `chat` want one; the tests put another in its place."""
    monkeypatch.setenv("RAGKIT_MODEL", "gpt-4o-mini")
    monkeypatch.setenv("RAGKIT_API_KEY", "none")


def library(
    name: str, folder: Path, says: Sequence[str] = ("nothing",), overrides: Mapping[str, Any] | None = None
) -> ragkit.Rag:
    changes = dict(overrides or {})
    if "extends: chat" in (FOLDER / f"{name}.yaml").read_text():
        changes |= {"define.llm": {"type": "scripted", "responses": list(says)}}
    return ragkit.load(FOLDER / f"{name}.yaml", corpus=folder / "corpus", overrides=changes)


def write(folder: Path, expanding: bool = False) -> Path:
    (folder / "papers").mkdir(exist_ok=True)
    for title, text in PAPERS.items():
        body = text.replace(". ", ".\n\n## Deck\n\n", 1)
        (folder / "papers" / f"{title}.md").write_text(f"# {title}\n\n{body}\n")
    if expanding:  # an acronym that another section of the same paper explains
        (folder / "papers" / "Rust.md").write_text(
            "# Rust\n\n## Terms\n\nRetrieval-augmented walking (RAW) is walking with a map.\n\n## Use\n\nRAW is not used anywhere.\n"
        )
    return folder / "papers"


def nulled(rag: ragkit.Rag) -> ragkit.Rag:
    """*rag* without its technique, over the same corpus."""
    ingest = replace(rag.ingest_pipeline, keys=[without(writer) for writer in rag.ingest_pipeline.keys])
    rewrite = rag.answer_pipeline.rewrite
    kept = [without(each) for each in rewrite] if isinstance(rewrite, Sequence) else rewrite
    return ragkit.Rag(
        corpus=rag.corpus.directory, ingest=ingest, answer=replace(rag.answer_pipeline, rewrite=kept)
    )


def works(rag: ragkit.Rag, technique: Technique, papers: Path) -> bool:
    """Does the technique show, and are spans exact?"""
    rag.ingest(papers)
    found = rag.search(technique.question)
    for hit in found:
        paper = rag.corpus.document(hit.metadata["document_id"])
        assert paper.page_content[hit.metadata["start"] : hit.metadata["end"]] == hit.page_content
    if technique.via:
        return any(
            title_of(h) == technique.first and h.metadata.get("via", {}).get("kind") == technique.via
            for h in found
        )
    states = [event for event in rag.stream(technique.question) if isinstance(event, StateReached)]
    [fused] = [event.value for event in states if event.state == "found"]
    return title_of(fused[0]) == technique.first


def test_each_file_has_a_behaviour_that_is_tested() -> None:
    assert sorted([*TECHNIQUES, *VECTORS]) == FILES
    for name in FILES:
        lines = (FOLDER / f"{name}.yaml").read_text().splitlines()
        assert 4 <= len(lines) <= 10
        assert lines[0].startswith("# ")


@pytest.mark.parametrize("name", TECHNIQUES)
@pytest.mark.parametrize("with_it", [True, False], ids=["with", "without"])
def test_the_behaviour_is_there_with_the_technique_and_not_without(
    name: str, with_it: bool, tmp_path: Path
) -> None:
    technique = TECHNIQUES[name]
    papers = write(tmp_path, expanding=name == "expansions")
    rag = library(name, tmp_path, technique.says)
    rag = rag if with_it else nulled(rag)
    assert works(rag, technique, papers) is with_it


@pytest.mark.parametrize("name", ["sentences", "questions", "keywords"])
def test_sync_async_and_stream_give_the_same_answer(name: str, tmp_path: Path) -> None:
    says = [*TECHNIQUES[name].says]
    rag = library(name, tmp_path, says)
    rag.ingest(write(tmp_path))
    question = "How many visitors does the deck bear at once?"
    once = rag.ask(question)
    assert asyncio.run(rag.aask(question)).text == once.text
    [last] = [event.result for event in rag.stream(question) if isinstance(event, Finished)]
    assert last.text == once.text
    for citation in once.citations:
        paper = rag.corpus.document(str(citation.document_id))
        assert paper.page_content[citation.start : citation.end] == citation.quote


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_are_adapted_with_the_technique_and_not_without(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    short = {
        "define.minilm.dimensions": 2,
        **({"define.dense.embed.dimensions": 1} if name == "projected" else {}),
    }
    papers = write(tmp_path)
    plain = ragkit.load(
        preset="default", corpus=tmp_path / "corpus", overrides={"define.minilm.dimensions": 2}
    )
    plain.ingest(papers)
    fit_projection(plain, Path("components.npz"))
    rag = library(name, tmp_path, overrides=short)
    assert rag.ingest(papers).encoded == 0
    assert rag.search("zinc")
    assert any(answered.citations for answered in [rag.ask("How many years does a coat of zinc delay this?")])
    [embed] = {e for e in [embeddings_of(rag.ingest_pipeline.index[0])] if isinstance(e, AdaptedEmbeddings)}
    own, base = (query_vectors_of(e, ["zinc"]) for e in (embed, without(embed)))
    assert own.shape != base.shape or abs(own - base).max() > 1e-3


def test_what_is_no_technique_has_no_null() -> None:
    with pytest.raises(UsageError, match="has no null"):
        without(ragkit.load().answer_pipeline.fuse)


def test_the_command_lists_components_with_their_papers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["components", "--papers"])
    shown = " ".join(capsys.readouterr().out.split())
    for name in {*FILES} - OWN:
        assert name in shown
    assert "Walking Down the Memory Maze" in shown


@pytest.mark.parametrize("name", FILES)
def test_each_technique_credits_a_paper_or_says_that_it_is_its_own(name: str) -> None:
    from ragkit.pipeline_file import catalogue

    credited = [title for entry in catalogue(name) for title in entry["papers"]]
    assert bool(credited) is (name not in OWN)
