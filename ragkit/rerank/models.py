"""Rankings judged again by models that read question and passage together, token by token, or beside one another."""

from __future__ import annotations

import functools
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, cast

import numpy as np
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt, field_validator

from ragkit import model
from ragkit.corpus import CorpusReader
from ragkit.document import digest, score_of, scored, searchable
from ragkit.embed import fingerprint_of
from ragkit.errors import ModelError
from ragkit.openvino_models import Precision, compiled, converted, quietly, save
from ragkit.registry import component

Share = Annotated[float, Field(ge=0, le=1)]
Vectors = NDArray[np.float32]

_CONVERSION = "cross-encoder 1"  # changed when the way models are converted changes


def scaled(values: Sequence[float]) -> NDArray[np.float64]:
    """*values* from 0 for the least to 1 for the greatest; all 1 if they are equal."""
    given = np.asarray(values, dtype=np.float64)
    if not given.size or given.max() == given.min():
        return np.ones_like(given)
    return np.asarray((given - given.min()) / (given.max() - given.min()))


def blended(own: Sequence[float], first: Sequence[float], blend: float) -> list[float]:
    """A model's scores with *blend* of the first stage's in them, both scaled to 0..1; without any, the model's as they are."""
    if not blend:
        return [float(score) for score in own]
    return [float(score) for score in (1 - blend) * scaled(own) + blend * scaled(first)]


def _reranked(documents: Sequence[Document], own: Sequence[float], blend: float, top_k: int) -> list[Document]:
    scores = blended(own, [score_of(d) for d in documents], blend)
    best = sorted(range(len(scores)), key=lambda i: -scores[i])[:top_k]
    return [scored(documents[i], scores[i]) for i in best]


# --- cross-encoders


@component("cross_encoder")
class CrossEncoderReranker(BaseDocumentCompressor):
    """The best `top_k` of the first `depth` by a model that reads question and passage together: a sentence-transformers CrossEncoder.

    `model`: a directory, such as one that `ragkit train reranker` made, an installed model package, or a name on the hub.
    Scores are probabilities; `blend` is the weight of the score that a passage came with, both then scaled to 0..1.
    `backend`: `openvino` runs models that classify sequences; `torch` whatever CrossEncoder loads.  What is longer than the
    model reads is cut off at the end of the longer text.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model: str
    backend: Literal["openvino", "torch"] = "openvino"
    precision: Precision = "auto"
    depth: PositiveInt = 50
    top_k: PositiveInt = 10
    batch_size: PositiveInt = 16
    blend: Share = 0.0

    def compress_documents(self, documents: Sequence[Document], query: str, callbacks: Any = None) -> Sequence[Document]:
        if not documents:
            return []
        read = list(documents)[: self.depth]
        return _reranked(read, self.scores(query, [searchable(d) for d in read]), self.blend, self.top_k)

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """How probably each of *texts* answers *query*.  Raises `ModelError` if the model is nowhere to be had, or is no reranker."""
        judge = _cross_encoder(model.files(self.model), self.backend, self.precision)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # texts of a length share a batch: little padding
        found = [0.0] * len(texts)
        for at in range(0, len(order), self.batch_size):
            batch = order[at : at + self.batch_size]
            for i, score in zip(batch, _probabilities(judge([(query, texts[i]) for i in batch])), strict=True):
                found[i] = score
        return found


Judge = Callable[[Sequence[tuple[str, str]]], Vectors]
"""Pairs of texts in, a row of logits each out."""


def _probabilities(logits: Vectors) -> list[float]:
    if logits.shape[1] == 2:  # no and yes
        logits = logits[:, 1:] - logits[:, :1]
    return [float(p) for p in 1 / (1 + np.exp(-logits[:, 0].astype(np.float64)))]


@functools.cache
def _cross_encoder(directory: Path, backend: str, precision: Precision) -> Judge:
    """The model, loaded once a process however many components name it."""
    return _openvino(directory, precision) if backend == "openvino" else _torch(directory)


def _torch(directory: Path) -> Judge:
    import torch

    loaded = _loaded(directory)

    def judge(pairs: Sequence[tuple[str, str]]) -> Vectors:
        logits = loaded.predict(list(pairs), batch_size=len(pairs), activation_fn=torch.nn.Identity(), show_progress_bar=False)
        return np.asarray(logits, dtype=np.float32).reshape(len(pairs), -1)

    return judge


def _openvino(directory: Path, precision: Precision) -> Judge:
    from tokenizers import Tokenizer

    folder = converted(digest(_CONVERSION, _fingerprint(directory)), lambda made: _convert(directory, made))
    run = compiled(folder, precision)
    notes = json.loads((folder / "notes.json").read_text())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(notes["longest"])
    tokenizer.enable_padding(pad_id=notes["pad"], pad_type_id=notes["pad_type"], pad_token=notes["pad_token"])

    def judge(pairs: Sequence[tuple[str, str]]) -> Vectors:
        encodings = tokenizer.encode_batch(list(pairs))
        parts = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
        return run({name: np.array([getattr(e, parts[name]) for e in encodings], dtype=np.int64) for name in notes["inputs"]})

    return judge


def _fingerprint(directory: Path) -> str:
    """The model's, with the files that say how long a text it reads."""
    others = [directory / name for name in ("tokenizer_config.json", "config_sentence_transformers.json")]
    return digest(model.fingerprint(directory), *(p.read_text(encoding="utf-8") for p in others if p.exists()))


def _convert(directory: Path, folder: Path) -> None:
    import torch

    loaded = _loaded(directory)
    tokenizer = getattr(loaded.tokenizer, "backend_tokenizer", None)
    names = [n for n in loaded.tokenizer.model_input_names if n in ("input_ids", "attention_mask", "token_type_ids")]
    if len(loaded) > 1 or tokenizer is None or any(loaded.prompts.values()) or "Classification" not in type(loaded.model).__name__:
        raise ModelError(f"'{directory}' is no plain sequence classifier, which is all that OpenVINO runs here; say backend: torch")

    class Logits(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = loaded.model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> Any:
            more = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
            return self.model(input_ids=input_ids, attention_mask=attention_mask, **more).logits

    save(Logits(), names, folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    notes = {
        "inputs": names,
        "longest": min(loaded.max_seq_length or 512, 100_000),
        "pad": loaded.tokenizer.pad_token_id or 0,
        "pad_type": loaded.tokenizer.pad_token_type_id,
        "pad_token": loaded.tokenizer.pad_token or "[PAD]",
    }
    (folder / "notes.json").write_text(json.dumps(notes))


def _loaded(directory: Path) -> Any:
    """The CrossEncoder.  Raises `ModelError` for a model without a trained head, or with one that is no judge of relevance."""
    with quietly():
        from sentence_transformers import CrossEncoder

        kinds = json.loads((directory / "config.json").read_text(encoding="utf-8")).get("architectures") or [""]
        if not kinds[0].endswith(("ForSequenceClassification", "ForCausalLM")):
            raise ModelError(
                f"'{directory}' is no cross-encoder, but a {kinds[0] or 'model of another kind'}; name one that sentence-transformers'"
                " CrossEncoder loads, or make one with `ragkit train reranker`"
            )
        loaded = CrossEncoder(str(directory), device="cpu", local_files_only=True)
    if loaded.num_labels > 2:
        raise ModelError(f"the model in '{directory}' tells {loaded.num_labels} labels apart; a reranker has one, or no and yes")
    return loaded.eval()


# --- late interaction


class TokenEmbeddings(Protocol):
    """Embeddings that give a vector a token, too: one array (tokens x dimensions) a text, rows of length 1."""

    def token_vectors(self, texts: Sequence[str]) -> list[Vectors]: ...


@component("late_interaction")
class LateInteraction(BaseDocumentCompressor):
    """The best `top_k` of the first `depth` by how well each word of the question is met somewhere in the passage.

    The score is the mean over the question's tokens of their best cosine with a token of the passage (MaxSim, from "ColBERT:
    Efficient and Effective Passage Search via Contextualized Late Interaction over BERT"), with the model of dense retrieval.
    `pool`: passages are kept at one vector for so many tokens, clustered by Ward's method as in "Reducing the Footprint of
    Multi-Vector Retrieval with Minimal Performance Impact via Token Pooling".  Up to `cache_megabytes` of passages' vectors
    stay in memory.  `blend` is the weight of the score that a passage came with, both then scaled to 0..1; a model that was not
    trained for late interaction, as most are not, ranks worse without it.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True, ignored_types=(functools.cached_property,))

    embed: Embeddings
    depth: PositiveInt = 50
    top_k: PositiveInt = 10
    blend: Share = 0.5
    pool: PositiveInt = 1
    cache_megabytes: NonNegativeInt = 256

    @field_validator("embed")
    @classmethod
    def _gives_tokens(cls, embed: Embeddings) -> Embeddings:
        if not hasattr(embed, "token_vectors"):
            raise ValueError(f"late interaction needs a vector for each token, which {type(embed).__name__} does not give")
        return embed

    def compress_documents(self, documents: Sequence[Document], query: str, callbacks: Any = None) -> Sequence[Document]:
        if not documents:
            return []
        read = list(documents)[: self.depth]
        return _reranked(read, self.scores(query, [searchable(d) for d in read]), self.blend, self.top_k)

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """The mean best cosine of each text; 0 for one without a token."""
        [asked] = self._tokens.token_vectors([query])
        return [float((asked @ text.T).max(axis=1).mean()) if len(asked) and len(text) else 0.0 for text in self._vectors(texts)]

    def _vectors(self, texts: Sequence[str]) -> list[Vectors]:
        keys = [digest(text) for text in texts]
        found = self._kept.get(keys)
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if new:
            made = [pooled(v, self.pool).astype(np.float16) for v in self._tokens.token_vectors(list(new.values()))]
            self._kept.put(dict(zip(new, made, strict=True)))
            found |= dict(zip(new, made, strict=True))
        return [found[key].astype(np.float32) for key in keys]

    @property
    def _tokens(self) -> TokenEmbeddings:
        return cast(TokenEmbeddings, self.embed)

    @functools.cached_property
    def _kept(self) -> Kept:
        return Kept(self.cache_megabytes * 1_000_000)


def pooled(vectors: Vectors, factor: int) -> Vectors:
    """One vector for about *factor* alike ones: the mean of each of Ward's clusters, of length 1."""
    from scipy.cluster.hierarchy import fcluster, linkage

    wanted = -(-len(vectors) // factor)
    if wanted >= len(vectors):
        return vectors
    clusters = fcluster(linkage(vectors, "ward"), wanted, "maxclust")
    means = np.stack([vectors[clusters == c].mean(axis=0) for c in np.unique(clusters)])
    return np.asarray(means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12), dtype=np.float32)


class Kept:
    """Arrays by key, up to so many bytes; those unused for longest go first.  Safe to share between threads."""

    def __init__(self, most: int) -> None:
        self.most, self.bytes = most, 0
        self._arrays: OrderedDict[str, NDArray[np.float16]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, keys: Sequence[str]) -> dict[str, NDArray[np.float16]]:
        """Those that there are."""
        with self._lock:
            there = [key for key in keys if key in self._arrays]
            for key in there:
                self._arrays.move_to_end(key)
            return {key: self._arrays[key] for key in there}

    def put(self, arrays: Mapping[str, NDArray[np.float16]]) -> None:
        with self._lock:
            for key, array in arrays.items():
                if key not in self._arrays:
                    self._arrays[key] = array
                    self.bytes += array.nbytes
            while self.bytes > self.most:
                _, oldest = self._arrays.popitem(last=False)
                self.bytes -= oldest.nbytes


# --- diversity


@component("mmr")
class MaximalMarginalRelevance(BaseDocumentCompressor, CorpusReader):
    """`k` passages that are relevant and unlike one another, the most useful next to those before it first.

    Each is worth `lambda_` times its score (scaled to 0..1) less `1 - lambda_` times its greatest cosine with one already taken, as
    in "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing Summaries".  Vectors that the corpus
    keeps are not made again.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    embed: Embeddings
    lambda_: Share = 0.7
    k: PositiveInt = 6

    def compress_documents(self, documents: Sequence[Document], query: str, callbacks: Any = None) -> Sequence[Document]:
        if not documents:
            return []
        relevance = scaled([score_of(d) for d in documents])
        vectors = self._vectors([searchable(d) for d in documents])
        nearest = np.zeros(len(documents))  # a cosine below 0 is no merit, so that worths never rise
        left = list(range(len(documents)))
        chosen: list[Document] = []
        while left and len(chosen) < self.k:
            worth = self.lambda_ * relevance - (1 - self.lambda_) * nearest
            best = max(left, key=lambda i: worth[i])
            left.remove(best)
            chosen.append(scored(documents[best], float(worth[best])))
            nearest = np.maximum(nearest, vectors @ vectors[best])
        return chosen

    def _vectors(self, texts: Sequence[str]) -> Vectors:
        """A row of length 1 a text."""
        keys = [digest(text) for text in texts]
        known = self.corpus.vectors(fingerprint_of(self.embed), keys) if self.__dict__.get("_corpus") else {}
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if new:
            known |= dict(zip(new, np.asarray(self.embed.embed_documents(list(new.values())), dtype=np.float32), strict=True))
        rows = np.stack([known[key] for key in keys])
        return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), dtype=np.float32)
