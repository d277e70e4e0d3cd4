"""Reranking by models: cross-encoders, late interaction, and diversity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from numpy.typing import NDArray
from tiny_models import tiny_cross_encoder

import ragkit
from ragkit.ask import AnswerPipeline
from ragkit.chunk import SentenceChunker
from ragkit.document import score_of, scored, searchable
from ragkit.errors import ModelError
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index.bm25 import Bm25Index
from ragkit.index.chroma import ChromaIndex
from ragkit.ingest import IngestPipeline
from ragkit.models.adapted import InstructedEmbeddings
from ragkit.models.embeddings import SentenceTransformersEmbeddings
from ragkit.models.openvino import quietly
from ragkit.rag import Rag
from ragkit.refine import blended
from ragkit.refine.cross_encoder import CrossEncoderReranker
from ragkit.refine.late_interaction import ArrayCache, LateInteraction, pooled
from ragkit.refine.mmr import MaximalMarginalRelevance
from ragkit.retrieve import DenseRetriever
from ragkit.testing import HashedEmbeddings, check_component, imports_heavy, passages


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_cross_encoder(tmp_path_factory.mktemp("models") / "tiny")


QUESTION = "How many people do glass bridges carry?"
TEXTS = [
    "glass bridges carry many people",
    "wooden",
    "they are tested every year . " * 20,
    "unknown words here",
    "glass wooden glass",
]


# --- cross-encoders


def reference(directory: Path, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
    with quietly():
        from sentence_transformers import CrossEncoder

        loaded = CrossEncoder(str(directory), device="cpu", local_files_only=True)
    found: NDArray[np.float32] = loaded.predict([(question, text) for text in texts], show_progress_bar=False)
    return found


@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_scores_are_those_of_sentence_transformers(cross_encoder: Path, backend: Any) -> None:
    wanted = reference(cross_encoder, QUESTION, TEXTS)
    reranker = CrossEncoderReranker(model=str(cross_encoder), backend=backend, precision="f32", batch_size=2)
    assert np.ptp(wanted) > 0.01
    assert np.allclose(reranker.scores(QUESTION, TEXTS), wanted, atol=1e-3)


def test_a_question_longer_than_the_passage_is_cut_as_sentence_transformers_cuts_it(
    cross_encoder: Path,
) -> None:
    long = "what glass bridge " * 40
    reranker = CrossEncoderReranker(model=str(cross_encoder), precision="f32")
    assert np.allclose(reranker.scores(long, TEXTS), reference(cross_encoder, long, TEXTS), atol=1e-3)


def test_of_two_labels_the_second_is_yes(tmp_path: Path) -> None:
    directory = tiny_cross_encoder(tmp_path / "two", labels=2)
    logits = reference(directory, QUESTION, TEXTS)
    wanted = np.exp(logits[:, 1]) / np.exp(logits).sum(axis=1)
    assert np.allclose(
        CrossEncoderReranker(model=str(directory), precision="f32").scores(QUESTION, TEXTS), wanted, atol=1e-3
    )


def test_passages_come_best_first_with_the_title_read(cross_encoder: Path) -> None:
    wanted = reference(cross_encoder, QUESTION, [searchable(p) for p in passages()])
    kept = CrossEncoderReranker(model=str(cross_encoder), precision="f32", top_k=2).compress_documents(
        passages(), QUESTION
    )
    assert [p.id for p in kept] == [passages()[i].id for i in np.argsort(-wanted)[:2]]
    assert np.allclose([score_of(p) for p in kept], np.sort(wanted)[::-1][:2], atol=1e-3)


def test_only_the_first_passages_are_read(cross_encoder: Path) -> None:
    kept = CrossEncoderReranker(model=str(cross_encoder), depth=1).compress_documents(passages(), QUESTION)
    assert [p.id for p in kept] == [passages()[0].id]


def test_the_first_stage_decides_where_the_blend_says_so(cross_encoder: Path) -> None:
    kept = CrossEncoderReranker(model=str(cross_encoder), blend=1.0).compress_documents(passages(), QUESTION)
    assert [p.id for p in kept] == [p.id for p in passages()]


def test_a_blend_is_the_weighted_sum_of_scores_scaled_to_one() -> None:
    assert blended([0.2, 0.6, 0.4], [9.0, 5.0, 7.0], 0.25) == pytest.approx([0.25, 0.75, 0.5])
    assert blended([0.2, 0.6], [9.0, 5.0], 0.0) == [0.2, 0.6]
    assert blended([0.2, 0.2], [5.0, 9.0], 0.5) == [0.5, 1.0]


def test_a_model_is_converted_once(
    cross_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGKIT_CACHE", str(tmp_path))
    asked = f"from ragkit.refine.cross_encoder import *; CrossEncoderReranker(model={str(cross_encoder)!r}).scores('a', ['b'])"
    assert "torch" in imports_heavy(asked)
    assert imports_heavy(asked) == ["openvino"]


def test_a_model_that_is_nowhere_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        ModelError,
        match=r"the model 'cross-encoder/none' is neither a directory.*; give a directory, such as ./model, or download it",
    ):
        CrossEncoderReranker(model="cross-encoder/none").compress_documents(passages(), QUESTION)


def test_an_embedding_model_is_no_cross_encoder() -> None:
    with pytest.raises(
        ModelError, match=r"is no cross-encoder, but a BertModel; .* make one with `ragkit train reranker`"
    ):
        CrossEncoderReranker(model="all-MiniLM-L6-v2").scores(QUESTION, TEXTS)


def test_a_model_of_three_labels_is_no_reranker(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="tells 3 labels apart; a reranker has one"):
        CrossEncoderReranker(model=str(tiny_cross_encoder(tmp_path / "three", labels=3))).scores(
            QUESTION, TEXTS
        )


# --- late interaction


class Lettered(HashedEmbeddings):
    """A token a word, a dimension a letter that it begins with; counts the texts that it was given."""

    given: list[str] = []

    def token_vectors(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        self.given.extend(texts)
        return [
            np.array([np.eye(26)[ord(word[0]) - 97] for word in text.split()], dtype=np.float32).reshape(
                -1, 26
            )
            for text in texts
        ]


@pytest.fixture
def lettered() -> Lettered:
    Lettered.given.clear()
    return Lettered()


def found(*texts: str) -> list[Document]:
    return [
        Document(id=text, page_content=text, metadata={"document_id": text, "score": 1.0 - i / 10})
        for i, text in enumerate(texts)
    ]


def test_the_score_is_the_share_of_the_question_that_is_met(lettered: Lettered) -> None:
    kept = LateInteraction(embed=lettered, blend=0.0).compress_documents(
        found("a", "a b", "a b c", "x"), "b c b c"
    )
    assert [(p.page_content, score_of(p)) for p in kept] == [
        ("a b c", 1.0),
        ("a b", 0.5),
        ("a", 0.0),
        ("x", 0.0),
    ]


def test_a_text_without_tokens_scores_nothing(lettered: Lettered) -> None:
    assert LateInteraction(embed=lettered).scores("a", ["", "a"]) == [0.0, 1.0]
    assert LateInteraction(embed=lettered).scores("", ["a"]) == [0.0]


def test_passages_are_embedded_once(lettered: Lettered) -> None:
    reranker = LateInteraction(embed=lettered)
    reranker.scores("a", ["b", "c"])
    reranker.scores("d", ["b", "e", "c"])
    assert lettered.given == ["a", "b", "c", "d", "e"]


def test_a_memory_of_nothing_changes_no_score(lettered: Lettered) -> None:
    assert LateInteraction(embed=lettered, cache_megabytes=0).scores("a b", ["b", "c", "b a"]) == [
        0.5,
        0.0,
        1.0,
    ]


def test_the_cache_drops_the_least_recently_used_array_first() -> None:
    cache, row = ArrayCache(3 * 8), np.zeros(4, dtype=np.float16)
    cache.put({"a": row, "b": row, "c": row})
    cache.get(["a"])
    cache.put({"d": row})
    assert list(cache.get(["a", "b", "c", "d"])) == ["a", "c", "d"]


def test_the_cache_leaves_out_an_array_that_is_larger_than_itself() -> None:
    cache = ArrayCache(8)
    cache.put({"a": np.zeros(4, dtype=np.float16), "b": np.zeros(5, dtype=np.float16)})
    assert list(cache.get(["a", "b"])) == ["a"]


def test_pooling_joins_alike_tokens() -> None:
    vectors = np.array([[1, 0, 0], [0, 1, 0], [0.98, 0.2, 0], [0, 0, 1]], dtype=np.float32)
    joined = pooled(vectors, 2)
    assert joined.shape == (2, 3)
    assert np.allclose(np.linalg.norm(joined, axis=1), 1.0)
    assert [pooled(vectors, 1).shape, pooled(vectors[:1], 3).shape, pooled(vectors[:0], 2).shape] == [
        (4, 3),
        (1, 3),
        (0, 3),
    ]
    assert (pooled(vectors, 2) @ vectors[0]).max() > 0.9


def test_embeddings_without_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="a vector for each token, which HashedEmbeddings does not give"):
        LateInteraction(embed=HashedEmbeddings())


def test_a_pipeline_file_that_gives_it_such_embeddings_is_refused_with_the_place(tmp_path: Path) -> None:
    text = (Path(ragkit.__file__).parent / "presets" / "default.yaml").read_text()
    file = tmp_path / "a.yaml"
    ours = "refine: {type: top, k: 20}"
    assert ours in text
    file.write_text(text.replace(ours, "refine: {type: late_interaction, embed: {type: hashed}}"))
    with pytest.raises(ragkit.ConfigError, match=r"answer\.refine.*which HashedEmbeddings does not give"):
        ragkit.load(file)


def test_late_interaction_with_the_real_model_finds_the_answer() -> None:
    check_component(LateInteraction, embed=SentenceTransformersEmbeddings(), pool=2, cache_megabytes=1)
    best = LateInteraction(embed=SentenceTransformersEmbeddings(), blend=0.0).compress_documents(
        passages(), "Which bridges are not expensive?"
    )[0]
    assert best.page_content == "Wooden ones are cheaper, but do not last."


# --- diversity


class Placed(HashedEmbeddings):
    """Texts are their vectors."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[float(n) for n in text.split()] for text in texts]


def test_a_repetition_gives_way_to_what_is_new() -> None:
    given = [scored(d, s) for d, s in zip(found("1 0", "1 0.01", "0 1"), (1.0, 0.9, 0.5), strict=True)]
    kept = MaximalMarginalRelevance(embed=Placed(), lambda_=0.5, k=3).compress_documents(given, "?")
    assert [p.page_content for p in kept] == ["1 0", "0 1", "1 0.01"]
    assert [score_of(p) for p in kept] == pytest.approx([0.5, 0.0, -0.1], abs=1e-3)


def test_with_relevance_alone_nothing_changes_its_place() -> None:
    kept = MaximalMarginalRelevance(embed=Placed(), lambda_=1.0, k=2).compress_documents(
        found("1 0", "1 0", "0 1"), "?"
    )
    assert [score_of(p) for p in kept] == pytest.approx([1.0, 0.5])


def test_worths_never_rise() -> None:
    chance = np.random.default_rng(0)
    given = found(*(" ".join(map(str, row)) for row in chance.normal(size=(20, 3))))
    worths = [
        score_of(p)
        for p in MaximalMarginalRelevance(embed=Placed(), lambda_=0.3, k=20).compress_documents(given, "?")
    ]
    assert worths == sorted(worths, reverse=True)
    assert len(worths) == 20


class Counted(HashedEmbeddings):
    """Counts the documents that it was given."""

    given: list[str] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.given.extend(texts)
        return super().embed_documents(texts)


@pytest.mark.parametrize("adapted", [False, True])
def test_vectors_that_the_corpus_keeps_are_not_made_again(tmp_path: Path, adapted: bool) -> None:
    (tmp_path / "a.txt").write_text("Glass bridges carry 40 people.\n\nWooden bridges do not last.")
    embed = InstructedEmbeddings(embed=Counted(), instruction="Find: ") if adapted else Counted()
    store, mmr = ChromaIndex(embed=embed), MaximalMarginalRelevance(embed=embed)
    ingest = IngestPipeline(chunk=SentenceChunker(max_tokens=8), index=[store, Bm25Index()])
    rag = Rag(
        corpus=tmp_path / "corpus",
        ingest=ingest,
        answer=AnswerPipeline(
            retrieve=[DenseRetriever(store=store)], refine=[mmr], generate=ExtractiveGenerator()
        ),
    )
    rag.ingest(tmp_path / "a.txt")
    Counted.given.clear()
    assert len(rag.search("glass bridges")) == 2
    assert Counted.given == []
    kept = rag.corpus.counts().vectors
    mmr.over(rag.corpus).compress_documents(found("a text from elsewhere"), "?")
    assert Counted.given == ["a text from elsewhere"]
    assert rag.corpus.counts().vectors == kept  # a question writes nothing
