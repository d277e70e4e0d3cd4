"""Embedding models: the same vectors as the reference, whatever is batched, cut or padded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import NOTES, SHARED, ModelServer, static_model
from tiny_models import tiny_cross_encoder

from ragkit.document import digest
from ragkit.errors import ModelError
from ragkit.models import hub
from ragkit.models.embeddings import (
    SentenceTransformersEmbeddings,
    StaticEmbeddings,
    _batches,
    openai_embeddings,
    unit,
)
from ragkit.text.words import sentences

MINILM = SentenceTransformersEmbeddings()


def real_texts() -> list[str]:
    """Sentences and whole notes, and abstracts of a real collection if the shared papers are available."""
    notes = [path.read_text() for path in sorted(NOTES.glob("*.md"))[:12]]
    texts = [note[a:b] for note in notes for a, b in sentences(note)][:60] + [note[:900] for note in notes]
    collection = SHARED / "data" / "medline" / "corpus.jsonl"
    if collection.exists():
        texts += [json.loads(line)["text"][:900] for line in collection.read_text().splitlines()[:40]]
    return texts


@pytest.fixture(scope="module")
def reference() -> Any:
    from ragkit.models import embeddings, hub

    return embeddings._sentence_transformer(hub.files("all-MiniLM-L6-v2"))


def test_vectors_are_those_of_the_reference(reference: Any) -> None:
    texts = real_texts()
    ours = MINILM.vectors(texts)
    theirs = reference.encode(texts, normalize_embeddings=True)
    cosines = (ours * theirs).sum(axis=1)
    assert ours.shape == theirs.shape
    assert cosines.min() >= 0.9995
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1.0, atol=1e-5)


def test_token_vectors_are_those_of_the_reference(reference: Any) -> None:
    texts = real_texts()[:20]
    theirs = reference.encode(texts, output_value="token_embeddings")
    for own, other in zip(MINILM.token_vectors(texts), theirs, strict=True):
        wanted = np.asarray(other, dtype=np.float32)[1:-1]  # without [CLS] and [SEP]
        assert own.shape == wanted.shape
        assert ((own * wanted).sum(axis=1) / np.linalg.norm(wanted, axis=1)).min() >= 0.995


def test_how_texts_are_batched_changes_nothing_that_matters() -> None:
    texts = real_texts()[:30]
    alone = np.stack([MINILM.vectors([text])[0] for text in texts])
    assert (MINILM.vectors(texts) * alone).sum(axis=1).min() >= 0.9995
    small = SentenceTransformersEmbeddings(batch_tokens=64).vectors(texts)
    assert (small * alone).sum(axis=1).min() >= 0.9995


def test_of_a_long_text_every_part_counts() -> None:
    bridges, boats = "Glass bridges sway in the wind. " * 60, "Boats carry coal along the canal. " * 60
    [both, one, other] = MINILM.vectors([bridges + boats, bridges, boats])
    assert both @ one > 0.6
    assert both @ other > 0.6


def test_no_text_and_empty_text() -> None:
    assert MINILM.embed_documents([]) == []
    assert MINILM.token_vectors([]) == []
    assert np.isfinite(MINILM.embed_query("")).all()


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 200))
@settings(max_examples=80)
def test_every_piece_is_in_one_batch_that_is_not_too_large(lengths: list[int], most: int) -> None:
    pieces = [[0] * length for length in lengths]
    batches = list(_batches(pieces, most))
    assert sorted(i for batch in batches for i in batch) == list(range(len(pieces)))
    assert all(len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= most for batch in batches)


@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_rows_have_length_one_whatever_the_model_returns(tmp_path: Path, backend: Any) -> None:
    """A model without a Normalize module returns rows of other lengths."""
    embed = SentenceTransformersEmbeddings(str(tiny_cross_encoder(tmp_path / "raw")), backend, "f32")
    short, long = "glass bridges carry people", "they are tested every year . " * 20
    for texts in ([short], [short, long]):
        np.testing.assert_allclose(np.linalg.norm(embed.vectors(texts), axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(embed.vectors([short])[0], embed.vectors([short, long])[0], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embed.embed_query(short)), 1.0, atol=1e-5)


def test_the_fingerprint_says_that_rows_are_normalised_only_where_the_model_leaves_them_raw(
    tmp_path: Path,
) -> None:
    raw = tiny_cross_encoder(tmp_path / "raw")
    before = digest(hub.fingerprint(raw), "openvino", "auto")
    assert SentenceTransformersEmbeddings(str(raw)).fingerprint() != before
    cut = SentenceTransformersEmbeddings(str(raw), dimensions=8)  # these were normalised before, too
    assert cut.fingerprint() == digest(hub.fingerprint(raw), "openvino", "auto", "8")
    minilm = hub.fingerprint(hub.files("all-MiniLM-L6-v2"))
    assert MINILM.fingerprint() == digest(minilm, "openvino", "auto")


def test_the_first_dimensions_are_kept_and_normalised() -> None:
    whole = MINILM.vectors(["Glass bridges sway."])[0]
    short = SentenceTransformersEmbeddings(dimensions=64).embed_query("Glass bridges sway.")
    np.testing.assert_allclose(short, whole[:64] / np.linalg.norm(whole[:64]), atol=2e-2)
    assert SentenceTransformersEmbeddings(dimensions=64).fingerprint() != MINILM.fingerprint()
    with pytest.raises(ModelError, match="has 384 dimensions, so dimensions: 500 cannot be had"):
        SentenceTransformersEmbeddings(dimensions=500).embed_query("x")


def test_unit_scales_rows_and_single_vectors_and_leaves_zeros() -> None:
    assert unit([[3.0, 4.0], [0.0, 0.0]]).tolist() == [[0.6, 0.8], [0.0, 0.0]]
    assert unit([3.0, 4.0]).tolist() == [0.6, 0.8]
    assert unit(np.ones((0, 3), dtype=np.float32)).shape == (0, 3)
    assert unit(np.ones((2, 3), dtype=np.float32)).dtype == np.float32


# --- static models


def test_a_static_model_takes_the_mean_of_its_tokens(tmp_path: Path) -> None:
    embed = StaticEmbeddings(model=static_model(tmp_path, [[0, 0], [1, 0], [0, 1], [0, -1]]))
    half = 2**-0.5
    np.testing.assert_allclose(
        embed.embed_documents(["glass bridges", "boats", ""]), [[half, half], [0, -1], [0, 0]], atol=1e-6
    )
    np.testing.assert_allclose(embed.embed_query("glass"), [1, 0], atol=1e-6)


def test_what_is_no_static_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no static model: its weights are not one table"):
        StaticEmbeddings(model=static_model(tmp_path, [[0, 0]])).embed_query("glass")


# --- servers


def test_a_server_is_asked_in_batches(model_server: ModelServer) -> None:
    embed = openai_embeddings(model="m", base_url=model_server.url, batch_size=2)
    assert embed.embed_documents(["a", "bb", "ccc"]) == [[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]]
    assert [len(asked["input"]) for asked in model_server.asked] == [2, 1]


def test_a_server_that_refuses_is_an_error_after_the_retries(model_server: ModelServer) -> None:
    import openai

    model_server.status = 429
    with pytest.raises(openai.RateLimitError):
        openai_embeddings(model="m", base_url=model_server.url, max_retries=1).embed_documents(["a"])
    assert len(model_server.asked) == 2
