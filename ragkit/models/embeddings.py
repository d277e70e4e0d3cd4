"""Text to vectors: sentence-transformers models, static models, OpenAI-compatible servers.

sentence-transformers models run through OpenVINO or torch.  For OpenVINO, a model is converted once and kept
in the cache directory, so that later starts import neither torch nor sentence-transformers.
"""

from __future__ import annotations

import functools
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import ArrayLike, NDArray
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, SecretStr

from ragkit.config.components import component, interface
from ragkit.document import digest
from ragkit.errors import ModelError
from ragkit.models import hub
from ragkit.models.openvino import Precision, compiled, converted, padded, quietly, save
from ragkit.models.shared import SharedBatches

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Vectors = NDArray[np.float32]

_WHOLE = "sentence_embedding"  # the output of a sentence-transformers model that is one vector a text


@interface
class FingerprintedEmbeddings(Embeddings, ABC):
    """Embeddings whose vectors can be kept: the same fingerprint and text always give the same vector."""

    computes: ClassVar[bool] = True
    """Are they made by this process, rather than by a server?"""

    @abstractmethod
    def fingerprint(self) -> str:
        """What identifies the model and every setting that changes its vectors."""


class AdaptedEmbeddings(Embeddings, ABC):
    """Embeddings made of those of `embed`: documents by their vectors alone, so that kept ones are not made
    again; queries as it pleases.
    """

    embed: Embeddings

    @property
    def computes(self) -> bool:
        return bool(getattr(self.embed, "computes", False))

    @abstractmethod
    def adapted(self, vectors: Vectors) -> Vectors:
        """The vectors of documents, a row each, whose vectors by `embed` are the rows of *vectors*."""

    @abstractmethod
    def query_vectors(self, texts: Sequence[str]) -> Vectors:
        """One row a query, of the width of documents."""

    @abstractmethod
    def fingerprint(self) -> str:
        """What identifies the model and every setting that changes its vectors."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.adapted(vectors_of(self.embed, texts)).tolist()  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        return self.query_vectors([text])[0].tolist()  # type: ignore[no-any-return]


@component("sentence_transformers")
@dataclass(frozen=True)
class SentenceTransformersEmbeddings(FingerprintedEmbeddings):
    """A sentence-transformers model: a directory, an installed model package, or a name on the hub.

    `backend`: `openvino` computes in bfloat16 where the processor has it (`precision: auto`), with a cosine
    of at least 0.999 to the reference; `torch` runs any model that sentence-transformers can load, in
    float32.  A text longer than the model reads is embedded in pieces whose vectors are averaged, so nothing
    is cut off.  `dimensions` keeps the first so many, for models trained to be cut ("Matryoshka
    Representation Learning").  Texts of a length are embedded together, `batch_tokens` at a time.
    """

    model: str = "all-MiniLM-L6-v2"
    backend: Literal["openvino", "torch"] = "openvino"
    precision: Precision = "auto"
    dimensions: PositiveInt | None = None
    batch_tokens: PositiveInt = 2048

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """One normalised row a document."""
        return self._shortened(self._encoder().encode(texts, "document", self.batch_tokens))

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.vectors(texts).tolist()  # type: ignore[no-any-return]

    def query_vectors(self, texts: Sequence[str]) -> Vectors:
        """One normalised row a query.  Threads that ask at once share batches."""
        shared = _shared(hub.files(self.model), self.backend, self.precision, self.batch_tokens)
        return self._shortened(shared(texts))

    def embed_query(self, text: str) -> list[float]:
        return self.query_vectors([text])[0].tolist()  # type: ignore[no-any-return]

    def token_vectors(self, texts: Sequence[str]) -> list[Vectors]:
        """For each text, a normalised row per token.

        Special tokens, and what exceeds the model's window, are left out.
        """
        return _token_encoder(hub.files(self.model), self.precision).tokens(texts, self.batch_tokens)

    def fingerprint(self) -> str:
        files = hub.files(self.model)
        settings: list[str] = [self.backend, self.precision]
        if self.dimensions is not None:
            settings.append(str(self.dimensions))
        elif not _normalises(files):
            settings.append("unit")  # corpora may have kept the raw rows of this model
        return digest(hub.fingerprint(files), *settings)

    def _shortened(self, vectors: Vectors) -> Vectors:
        if self.dimensions is None or not len(vectors):
            return vectors
        if self.dimensions > vectors.shape[1]:
            raise ModelError(
                f"'{self.model}' has {vectors.shape[1]} dimensions, so dimensions: {self.dimensions} cannot be had"
            )
        return unit(vectors[:, : self.dimensions])

    def _encoder(self) -> _Encoder:
        return _encoder(hub.files(self.model), self.backend, self.precision)


@component("static")
@dataclass(frozen=True)
class StaticEmbeddings(FingerprintedEmbeddings):
    """A model2vec (static) model: the mean of its token vectors, hundreds of times faster than a transformer.

    `model` is a directory with `model.safetensors` (a table of vectors, a row a token) and `tokenizer.json`,
    or a name on the hub, such as `minishlab/potion-retrieval-32M`.
    """

    model: str
    dimensions: PositiveInt | None = None

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """One normalised row a text; a text without known tokens is all zeros."""
        table, tokenizer = _static(hub.files(self.model))
        table = table[:, : self.dimensions]
        rows = np.zeros((len(texts), table.shape[1]), dtype=np.float32)
        for i, encoding in enumerate(tokenizer.encode_batch(list(texts), add_special_tokens=False)):
            if encoding.ids:
                rows[i] = table[encoding.ids].mean(axis=0)
        return unit(rows)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.vectors(texts).tolist()  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        return self.vectors([text])[0].tolist()  # type: ignore[no-any-return]

    def fingerprint(self) -> str:
        return digest(hub.fingerprint(hub.files(self.model)), str(self.dimensions))


@functools.cache
def _static(directory: Path) -> tuple[Vectors, Tokenizer]:
    from safetensors.numpy import load_file

    tables = [t for t in load_file(directory / "model.safetensors").values() if t.ndim == 2]
    tokenizer = hub.tokenizer(directory)
    if len(tables) != 1 or len(tables[0]) < tokenizer.get_vocab_size():
        raise ModelError(
            f"'{directory}' is no static model: its weights are not one table with a row for each token"
        )
    return tables[0].astype(np.float32), tokenizer


@component("openai")
def openai_embeddings(
    model: str,
    base_url: str | None = None,
    api_key: SecretStr = SecretStr(""),
    dimensions: PositiveInt | None = None,
    batch_size: PositiveInt = 64,
    timeout: PositiveFloat = 60.0,
    max_retries: NonNegativeInt = 5,
) -> Embeddings:
    """A model behind an OpenAI-compatible `/embeddings` endpoint, asked `batch_size` texts at a time.

    `timeout` is in seconds, for each request; one that is refused for the moment (429), fails on the server
    (5xx) or loses its connection is made again, up to `max_retries` times, after waits that double.
    """
    from langchain_openai import OpenAIEmbeddings

    from ragkit.models import http

    return OpenAIEmbeddings(
        model=model,
        base_url=base_url,
        dimensions=dimensions,
        chunk_size=batch_size,
        check_embedding_ctx_length=False,
        timeout=timeout,
        max_retries=max_retries,
        http_client=http.client(),
        **http.key(api_key, base_url),
    )


def tokens_of(embed: Embeddings, texts: Sequence[str]) -> int:
    """How many tokens *texts* have for the model of *embed*.

    Where its tokenizer is not known, four characters count as one token.
    """
    if isinstance(embed, SentenceTransformersEmbeddings):
        tokenizer = hub.tokenizer(hub.files(embed.model))
        return sum(
            len(encoding.ids) for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False)
        )
    return sum(len(text) for text in texts) // 4


def fingerprint_of(embed: Embeddings) -> str:
    """What identifies the vectors of *embed*; for one that does not say, the class and its model's name."""
    if isinstance(embed, FingerprintedEmbeddings | AdaptedEmbeddings):
        return embed.fingerprint()
    return digest(
        type(embed).__name__, str(getattr(embed, "model", "")), str(getattr(embed, "dimensions", ""))
    )


def vectors_of(embed: Embeddings, texts: list[str]) -> Vectors:
    """An array of shape `(texts, dimensions)`."""
    if isinstance(embed, SentenceTransformersEmbeddings | StaticEmbeddings):
        return embed.vectors(texts)  # not by way of lists of numbers
    if isinstance(embed, AdaptedEmbeddings):
        return embed.adapted(vectors_of(embed.embed, texts))
    return np.asarray(embed.embed_documents(texts), dtype=np.float32)


def encoder_of(embed: Embeddings) -> Embeddings:
    """What encodes documents for *embed*: what it is made of where it adapts vectors, else itself."""
    return encoder_of(embed.embed) if isinstance(embed, AdaptedEmbeddings) else embed


def query_vectors_of(embed: Embeddings, texts: Sequence[str]) -> Vectors:
    """An array of shape `(texts, dimensions)`, in one batch where the model runs here."""
    if isinstance(embed, SentenceTransformersEmbeddings | AdaptedEmbeddings):
        return embed.query_vectors(texts)
    return np.asarray([embed.embed_query(text) for text in texts], dtype=np.float32)


def unit(vectors: ArrayLike) -> NDArray[Any]:
    """*vectors*, one or a row each, scaled to length 1, so that a dot product is a cosine; zeros stay zeros."""
    given = np.asarray(vectors)
    return np.asarray(given / np.maximum(np.linalg.norm(given, axis=-1, keepdims=True), 1e-12))


# --- running a model


class _Encoder:
    """A loaded model: token ids and attention mask in, one vector a row out."""

    def __init__(
        self, tokenizer: Tokenizer, run: Callable[[Any, Any], Any], longest: int, prompts: dict[str, str]
    ) -> None:
        self.tokenizer, self.run, self.longest, self.prompts = tokenizer, run, longest, prompts

    def encode(
        self, texts: Sequence[str], purpose: Literal["query", "document"], batch_tokens: int
    ) -> Vectors:
        """One normalised row a text, in the order given."""
        if not texts:
            return np.zeros((0, 0), dtype=np.float32)
        prompt = self.prompts.get(purpose, "")
        pieces, owners = [], []
        for number, encoding in enumerate(
            self.tokenizer.encode_batch([prompt + t for t in texts], add_special_tokens=False)
        ):
            for piece in self._pieces(encoding.ids):
                pieces.append(piece)
                owners.append(number)
        rows: Vectors | None = None
        for batch in _batches(pieces, batch_tokens):
            found = self.run(*padded([pieces[i] for i in batch], self._pad))
            if rows is None:
                rows = np.empty((len(pieces), found.shape[1]), dtype=np.float32)
            rows[batch] = found
        assert rows is not None
        if len(pieces) == len(texts):
            return unit(rows)
        total = np.zeros((len(texts), rows.shape[1]), dtype=np.float32)
        np.add.at(total, owners, rows * np.asarray([[len(piece)] for piece in pieces], dtype=np.float32))
        return unit(total)

    def tokens(self, texts: Sequence[str], batch_tokens: int) -> list[Vectors]:
        """For each text a normalised row a token, of a model that was converted to give them."""
        before, after = self._special
        pieces = [
            self._pieces(encoding.ids)[0]
            for encoding in self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        ]
        rows: list[Vectors] = [np.empty((0, 0), dtype=np.float32)] * len(pieces)
        for batch in _batches(pieces, batch_tokens):
            found = self.run(*padded([pieces[i] for i in batch], self._pad))
            for i, row in zip(batch, found, strict=True):
                rows[i] = unit(np.asarray(row[len(before) : len(pieces[i]) - len(after)], dtype=np.float32))
        return rows

    def _pieces(self, ids: list[int]) -> list[list[int]]:
        before, after = self._special
        room = self.longest - len(before) - len(after)
        return [[*before, *ids[at : at + room], *after] for at in range(0, max(len(ids), 1), room)]

    @functools.cached_property
    def _special(self) -> tuple[list[int], list[int]]:
        """The tokens that the model wants before and after a text."""
        bare = self.tokenizer.encode("a", add_special_tokens=False).ids
        dressed = self.tokenizer.encode("a").ids
        at = dressed.index(bare[0])
        return dressed[:at], dressed[at + len(bare) :]

    @functools.cached_property
    def _pad(self) -> int:
        for token in ("[PAD]", "<pad>", "<|endoftext|>", "</s>"):
            if (found := self.tokenizer.token_to_id(token)) is not None:
                return int(found)
        return 0


def _batches(pieces: Sequence[list[int]], most: int) -> Iterator[list[int]]:
    """The numbers of the pieces that are embedded together, *most* tokens at a time.

    They are of similar length, so that there is little padding.
    """
    batch: list[int] = []
    for i in sorted(range(len(pieces)), key=lambda i: len(pieces[i])):
        if batch and (len(batch) + 1) * len(pieces[i]) > most:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _normalises(directory: Path) -> bool:
    """Does the model in *directory* return rows of length 1 by itself?"""
    try:
        modules = json.loads((directory / "modules.json").read_text())
    except FileNotFoundError:
        return False
    return any(module["type"].rpartition(".")[2] == "Normalize" for module in modules)


@functools.cache
def _shared(directory: Path, backend: str, precision: Precision, batch_tokens: int) -> SharedBatches:
    """What encodes queries; 64 threads get 1.9 times as many a second as without, 16 threads 1.6 times (2 cores)."""
    return SharedBatches(
        lambda texts: _encoder(directory, backend, precision).encode(texts, "query", batch_tokens)
    )


@functools.cache
def _encoder(directory: Path, backend: str, precision: Precision) -> _Encoder:
    """The model, loaded once a process however many components name it."""
    return _openvino(directory, precision) if backend == "openvino" else _torch(directory)


@functools.cache
def _token_encoder(directory: Path, precision: Precision) -> _Encoder:
    """The same model, giving a vector for each token."""
    return _openvino(directory, precision, "token_embeddings")


def _openvino(directory: Path, precision: Precision, output: str = _WHOLE) -> _Encoder:
    folder = folder_of(directory, output)
    run = compiled(folder, precision)
    notes = json.loads((folder / "notes.json").read_text())
    return _Encoder(
        hub.tokenizer(folder),
        lambda ids, mask: run({"input_ids": ids, "attention_mask": mask}),
        notes["longest"],
        notes["prompts"],
    )


def folder_of(directory: Path, output: str = _WHOLE) -> Path:
    """Where the model in *directory* is kept in OpenVINO's format; it is converted on first use.

    *output* is the output that the converted model gives.
    """
    return converted(
        f"{hub.fingerprint(directory)} {output}", lambda folder: _convert(directory, folder, output)
    )


def _convert(directory: Path, folder: Path, output: str) -> None:
    import torch

    loaded = _sentence_transformer(directory)

    class Whole(torch.nn.Module):  # type: ignore[misc]
        """Every module of the pipeline (transformer, pooling, normalisation), as one graph."""

        def __init__(self) -> None:
            super().__init__()
            self.stages = torch.nn.ModuleList(loaded)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            features = {"input_ids": input_ids, "attention_mask": attention_mask}
            for stage in self.stages:
                features = stage(features)
            return features[output]

    save(Whole(), ("input_ids", "attention_mask"), folder)
    loaded.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "notes.json").write_text(json.dumps(_notes(loaded)))


def _torch(directory: Path) -> _Encoder:
    import torch

    loaded = _sentence_transformer(directory)

    def run(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Any:
        with torch.inference_mode():
            return loaded({"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)})[
                "sentence_embedding"
            ].numpy()

    notes = _notes(loaded)
    return _Encoder(hub.tokenizer(directory), run, notes["longest"], notes["prompts"])


def _notes(loaded: Any) -> dict[str, Any]:
    longest = loaded.max_seq_length or 512
    prompts = {name: text for name, text in (loaded.prompts or {}).items() if text}
    return {"longest": longest, "prompts": prompts}


def _sentence_transformer(directory: Path) -> Any:
    with quietly():
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(str(directory), device="cpu", local_files_only=True).eval()
