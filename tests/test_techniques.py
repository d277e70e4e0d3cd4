"""Techniques of papers, through the public door: each pipeline file works, and without the technique it does not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

import ragkit
import ragkit.evaluate.judge  # a component that no pipeline file names
from ragkit.cli import main, terminal
from ragkit.document import scores_of, title_of
from ragkit.effects import SECTIONS, effects
from ragkit.errors import UsageError
from ragkit.evaluate.projection import fit_projection
from ragkit.flow import Finished, StateReached
from ragkit.ingest import embeddings_of
from ragkit.models.embeddings import AdaptedEmbeddings
from ragkit.pipeline_file import catalogue
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
    """How its effect shows: a question, and the paper whose passage must come first, by a key of a kind if that is said.

    One that `adapts` vectors shows by other distances instead; one that is `fitted` needs vectors to be fitted to.
    """

    question: str
    first: str = ""
    says: Sequence[str] = ("nothing",)
    via: str = ""
    adapts: bool = False
    fitted: bool = False


LOAD = "The deck bears 40 visitors at once."
ZINC = "A coat of zinc delays this for 12 years."
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
        [LOAD],
        "proposition",
    ),
    "summaries": Technique(
        "transparent footbridge capacity", "Glass", ["The capacity of a transparent footbridge."], "summary"
    ),
    **{
        name: Technique(BRIDGE, "Glass", ["Panes laid over a gorge, and visitors on the deck"])
        for name in ("criteria", "keywords", "hyde", "think", "multi_query", "decompose", "intents")
    },
    "projected": Technique("zinc", adapts=True, fitted=True),
    "instructed": Technique("zinc", adapts=True),
}
SHORT = {"define.minilm.dimensions": 2}
"""Few enough for a projection to be fitted to the vectors of three papers."""
OWN = {"expansions", "headings"}  # which come from no paper


@pytest.fixture(autouse=True)
def model_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that extend `chat` want one; the tests put another in its place."""
    monkeypatch.setenv("RAGKIT_MODEL", "gpt-4o-mini")
    monkeypatch.setenv("RAGKIT_API_KEY", "none")


def library(name: str, folder: Path, says: Sequence[str]) -> ragkit.Rag:
    changes: dict[str, Any] = {}
    if TECHNIQUES[name].fitted:
        changes |= {**SHORT, "define.dense.embed.dimensions": 1}
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
    dense, words = rag.ingest_pipeline.index
    by_vectors, by_words = rag.answer_pipeline.retrieve
    if isinstance(embed := embeddings_of(dense), AdaptedEmbeddings):
        dense = replace(dense, embed=without(embed))
        by_vectors = by_vectors.model_copy(update={"store": dense})
    keys = [without(writer) for writer in rag.ingest_pipeline.keys]
    rewrite = [without(rewriter) for rewriter in rag.answer_pipeline.rewrite]
    return ragkit.Rag(
        corpus=rag.corpus.directory,
        ingest=replace(rag.ingest_pipeline, keys=keys, index=[dense, words]),
        answer=replace(rag.answer_pipeline, rewrite=rewrite, retrieve=[by_vectors, by_words]),
    )


def works(rag: ragkit.Rag, technique: Technique) -> bool:
    """Does the technique show, and are spans exact?"""
    found = rag.search(technique.question)
    for hit in found:
        paper = rag.corpus.document(hit.metadata["document_id"])
        assert paper.page_content[hit.metadata["start"] : hit.metadata["end"]] == hit.page_content
    if technique.adapts:
        return nearness(rag, technique.question) != nearness(
            default(rag.corpus.directory, technique.fitted), technique.question
        )
    if technique.via:
        return any(
            title_of(h) == technique.first and h.metadata.get("via", {}).get("kind") == technique.via
            for h in found
        )
    states = [event for event in rag.stream(technique.question) if isinstance(event, StateReached)]
    [fused] = [event.value for event in states if event.state == "found"]
    return title_of(fused[0]) == technique.first


def default(corpus: Path, short: bool) -> ragkit.Rag:
    """The default configuration over the same corpus."""
    return ragkit.load(preset="default", corpus=corpus, overrides=SHORT if short else {})


def nearness(rag: ragkit.Rag, question: str) -> dict[str | None, float]:
    """By passage: how near its vector is to the question's."""
    return {hit.id: round(scores_of(hit)["dense"], 3) for hit in rag.search(question)}


def ready(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, says: Sequence[str], expanding: bool = False
) -> ragkit.Rag:
    """The pipeline of a file, with what has to be fitted before it can be used; its corpus has the papers."""
    monkeypatch.chdir(folder)  # where the file of `projected` is
    rag = library(name, folder, says)
    papers = write(folder, expanding)
    if TECHNIQUES[name].adapts:
        plain = default(rag.corpus.directory, TECHNIQUES[name].fitted)
        plain.ingest(papers)
        if TECHNIQUES[name].fitted:
            fit_projection(plain, Path("components.npz"))
        assert rag.ingest(papers).encoded == 0
    rag.ingest(papers)
    return rag


def test_each_file_has_a_behaviour_that_is_tested() -> None:
    assert sorted(TECHNIQUES) == FILES
    for name in FILES:
        lines = (FOLDER / f"{name}.yaml").read_text().splitlines()
        assert 4 <= len(lines) <= 10
        assert lines[0].startswith("# ")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("with_it", [True, False], ids=["with", "without"])
def test_the_behaviour_is_there_with_the_technique_and_not_without(
    name: str, with_it: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    technique = TECHNIQUES[name]
    rag = ready(name, tmp_path, monkeypatch, technique.says, expanding=name == "expansions")
    if not with_it:
        rag = nulled(rag)
        rag.ingest()
    assert works(rag, technique) is with_it


@pytest.mark.parametrize("name", FILES)
def test_sync_async_and_stream_find_and_answer_the_same(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rag = ready(name, tmp_path, monkeypatch, [f"{ZINC} [1]"])
    question = "How many years does a coat of zinc delay this?"
    assert [hit.id for hit in asyncio.run(rag.asearch(question))] == [h.id for h in rag.search(question)]
    once = rag.ask(question)
    assert asyncio.run(rag.aask(question)).text == once.text
    [last] = [event.result for event in rag.stream(question) if isinstance(event, Finished)]
    assert last.text == once.text
    assert [citation.quote for citation in once.citations] == [ZINC]
    for citation in once.citations:
        paper = rag.corpus.document(str(citation.document_id))
        assert paper.page_content[citation.start : citation.end] == citation.quote


def test_what_is_no_technique_has_no_null() -> None:
    with pytest.raises(UsageError, match="has no null"):
        without(ragkit.load().answer_pipeline.fuse)


def test_the_command_lists_components_with_their_papers_and_effects(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal.out, "width", 400)
    with pytest.raises(SystemExit, match="0"):
        main(["components", "--papers"])
    shown = " ".join(capsys.readouterr().out.split())
    for name in {*FILES} - OWN:
        assert name in shown
    assert "Walking Down the Memory Maze" in shown
    assert "component title effect" in shown
    [entities] = catalogue("entities")
    assert f"entities Synthetic continued pretraining {' '.join(entities['effects'])}" in shown
    assert "llm_pointwise Holistic Evaluation of Language Models not measured" in shown
    assert "Use Long Contexts docs/benchmarks.md, Reordering" in shown


def test_a_component_that_is_measured_elsewhere_has_a_section_there() -> None:
    report = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for (slot, name), section in SECTIONS.items():
        assert any(entry["slot"] == slot for entry in catalogue(name))
        assert re.search(rf"^## {re.escape(section)}\b", report, re.MULTILINE)


def test_measured_effects_are_of_components_and_say_how_sure_they_are() -> None:
    for effect in effects():
        [entry] = [each for each in catalogue(effect.technique) if each["slot"] == effect.slot]
        assert effect.text in entry["effects"]
        value, low, high = effect.difference
        assert low <= value <= high
        assert effect.questions > 0


@pytest.mark.parametrize("name", FILES)
def test_each_technique_credits_a_paper_or_says_that_it_is_its_own(name: str) -> None:
    credited = [title for entry in catalogue(name) for title in entry["papers"]]
    assert bool(credited) is (name not in OWN)
