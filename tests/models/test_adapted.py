"""Projected and instructed embeddings: what they change, and that nothing is encoded again for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ragkit
from ragkit.ask import AnswerPipeline
from ragkit.chunk import WholeChunker
from ragkit.errors import ModelError, UsageError
from ragkit.evaluate.projection import fit_projection
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index.flat import FlatIndex
from ragkit.ingest import IngestPipeline
from ragkit.models.adapted import InstructedEmbeddings, ProjectedEmbeddings, Projection
from ragkit.models.embeddings import fingerprint_of, query_vectors_of, vectors_of
from ragkit.plan import plan
from ragkit.retrieve import DenseRetriever
from ragkit.testing import HashedEmbeddings

EMBED = HashedEmbeddings(size=16)


def library(folder: Path, embed: Any) -> ragkit.Rag:
    index = FlatIndex(embed=embed)
    return ragkit.Rag(
        corpus=folder,
        ingest=IngestPipeline(chunk=WholeChunker(), index=[index]),
        answer=AnswerPipeline(retrieve=[DenseRetriever(store=index)], generate=ExtractiveGenerator()),
    )


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    (tmp_path / "papers").mkdir()
    for n in range(30):
        kind = ["glass", "iron", "rope"][n % 3]
        (tmp_path / "papers" / f"{n}.md").write_text(
            f"# {kind} {n}\n\nA {kind} bridge of {n} metres bears {n + 7} tons.\n"
        )
    return tmp_path / "papers"


def test_components_are_those_of_the_largest_variance_and_all_of_them_keep_distances() -> None:
    chance = np.random.default_rng(0)
    vectors = (chance.normal(size=(500, 6)) * [5, 1, 3, 0.1, 0.1, 0.1]).astype(np.float32)
    vectors += np.float32(0.5)
    fitted = Projection.fitted(vectors)
    assert [int(np.abs(axis).argmax()) for axis in fitted.axes[:3]] == [0, 2, 1]
    assert fitted.kept(6) == pytest.approx(1.0)
    assert 0.9 < fitted.kept(2) < 1.0
    rows = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    whole = fitted.applied(vectors)
    assert np.allclose(whole @ whole.T, rows @ rows.T, atol=1e-3)


def test_whitened_components_have_the_same_variance() -> None:
    vectors = (np.random.default_rng(0).normal(size=(500, 3)) * [5, 1, 0.1] + 2).astype(np.float32)
    fitted = Projection.fitted(vectors, whiten=True)
    white = (vectors - fitted.mean) @ fitted.axes.T
    assert np.allclose(white.mean(axis=0), 0, atol=0.01)
    assert np.allclose(white.var(axis=0), 1, atol=0.01)
    shown = fitted.applied(vectors, 2)
    assert np.allclose(shown, white[:, :2] / np.linalg.norm(white[:, :2], axis=1, keepdims=True), atol=1e-3)


def test_nothing_is_encoded_again_for_a_projection_or_an_instruction(papers: Path, tmp_path: Path) -> None:
    fit = str(tmp_path / "fit.npz")
    plain = library(tmp_path / "corpus", EMBED)
    assert plain.ingest(papers).encoded == 30
    fitted = fit_projection(plain, Path(fit))
    assert (fitted.vectors, fitted.dimensions, fitted.kept[16]) == (30, 16, 1.0)
    for embed in (
        ProjectedEmbeddings(embed=EMBED, fit=fit, dimensions=8),
        InstructedEmbeddings(embed=ProjectedEmbeddings(embed=EMBED, fit=fit), instruction="rope "),
    ):
        adapted = library(tmp_path / "corpus", embed)
        assert plan(adapted, papers).encode == 0
        assert adapted.ingest(papers).encoded == 0
        assert adapted.search("a rope bridge of 5 metres")[0].metadata["title"].startswith("rope")
    assert library(tmp_path / "corpus", ProjectedEmbeddings(embed=EMBED, fit=fit, dimensions=8)).search(
        "iron"
    )


def test_an_instruction_and_examples_stand_before_queries_alone() -> None:
    embed = InstructedEmbeddings(embed=EMBED, instruction="Find papers: ", examples=["glass\nGlass bridges."])
    assert np.array_equal(vectors_of(embed, ["iron"]), vectors_of(EMBED, ["iron"]))
    asked = query_vectors_of(EMBED, ["Find papers: glass\nGlass bridges.\n\niron"])
    assert np.array_equal(query_vectors_of(embed, ["iron"]), asked)
    assert np.allclose(embed.embed_query("iron"), asked[0])
    assert fingerprint_of(embed) != fingerprint_of(EMBED)


def test_what_is_wrong_with_a_projection_is_said_with_the_way_out(papers: Path, tmp_path: Path) -> None:
    fit = tmp_path / "fit.npz"
    embed = ProjectedEmbeddings(embed=EMBED, fit=str(fit))
    with pytest.raises(ModelError, match="ragkit train projection"):
        embed.embed_query("x")
    fit.write_bytes(b"PK no")
    with pytest.raises(ModelError, match="is no projection"):
        embed.embed_query("x")
    library(tmp_path / "corpus", EMBED).ingest(papers)
    unfilled = library(tmp_path / "corpus", HashedEmbeddings(size=64))
    assert unfilled.corpus.sampled_vectors("none", 5).shape == (0, 0)
    with pytest.raises(UsageError, match="has kept 0 vectors"):
        fit_projection(unfilled, fit)
    fit_projection(library(tmp_path / "corpus", EMBED), fit)
    with pytest.raises(ModelError, match="dimensions: 17 cannot be had"):
        ProjectedEmbeddings(embed=EMBED, fit=str(fit), dimensions=17).embed_query("x")
    with pytest.raises(ModelError, match="of 16 dimensions, and these have 64"):
        ProjectedEmbeddings(embed=HashedEmbeddings(), fit=str(fit)).embed_query("x")


def test_the_command_line_fits_a_projection(papers: Path, command: Any, tmp_path: Path) -> None:
    settings = ("--set", "define.minilm.dimensions=16")
    refused = command("train", "projection", "fit.npz", *settings)
    assert refused.returncode in (2, 3)
    assert command("ingest", "papers", *settings).returncode == 0
    shown = command("train", "projection", "fit.npz", *settings)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("fitted to ")
    assert "type: projected" in shown.stdout
