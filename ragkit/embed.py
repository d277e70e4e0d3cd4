"""Text to vectors: sentence-transformers models (through OpenVINO or torch) and OpenAI-compatible servers.

A sentence-transformers model is converted once to OpenVINO's format and kept in the cache directory, so that later
starts import neither torch nor sentence-transformers.
"""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray
from pydantic import PositiveInt, SecretStr

from ragkit import model
from ragkit.corpus import Corpus, Vectors
from ragkit.document import digest
from ragkit.errors import ModelError
from ragkit.registry import component, interface

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CONVERSION = 1  # raised when the way models are converted changes


@interface
class FingerprintedEmbeddings(Embeddings, ABC):
    """Embeddings whose vectors can be kept: the same fingerprint and text always give the same vector."""

    @abstractmethod
    def fingerprint(self) -> str:
        """What identifies the model and every setting that changes its vectors."""


@component("sentence_transformers")
@dataclass(frozen=True)
class SentenceTransformersEmbeddings(FingerprintedEmbeddings):
    """A sentence-transformers model: a directory, an installed model package, or a name on the hub.

    `backend`: `openvino` computes in bfloat16 where the processor has it (`precision: auto`), with a cosine of at
    least 0.999 to the reference; `torch` runs any model that sentence-transformers can load, in float32.
    A text longer than the model reads is embedded in pieces whose vectors are averaged, so nothing is cut off.
    """

    model: str = "all-MiniLM-L6-v2"
    backend: Literal["openvino", "torch"] = "openvino"
    precision: Literal["auto", "bf16", "f32"] = "auto"
    batch_size: PositiveInt = 32

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._encoder().encode(texts, "document", self.batch_size).tolist()  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        return self._encoder().encode([text], "query", 1)[0].tolist()  # type: ignore[no-any-return]

    def fingerprint(self) -> str:
        return digest(model.fingerprint(model.files(self.model)), self.backend, self.precision)

    def _encoder(self) -> _Encoder:
        return _encoder(model.files(self.model), self.backend, self.precision)


@component("openai")
def openai_embeddings(
    model: str,
    base_url: str | None = None,
    api_key: SecretStr = SecretStr(""),
    dimensions: PositiveInt | None = None,
    batch_size: PositiveInt = 64,
) -> Embeddings:
    """A model behind an OpenAI-compatible `/embeddings` endpoint."""
    from langchain_openai import OpenAIEmbeddings

    key = api_key if api_key.get_secret_value() or base_url is None else SecretStr("none")
    given: dict[str, Any] = {"api_key": key} if key.get_secret_value() else {}  # else OPENAI_API_KEY, as everywhere
    return OpenAIEmbeddings(
        model=model, base_url=base_url, dimensions=dimensions, chunk_size=batch_size, check_embedding_ctx_length=False, **given
    )


def tokens_of(embed: Embeddings, texts: Sequence[str]) -> int:
    """How many tokens *texts* have for the model of *embed*; about one for four characters where that cannot be told."""
    if isinstance(embed, SentenceTransformersEmbeddings):
        tokenizer = model.tokenizer(model.files(embed.model))
        return sum(len(encoding.ids) for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False))
    return sum(len(text) for text in texts) // 4


def fingerprint_of(embed: Embeddings) -> str:
    """What identifies the vectors of *embed*; for one that does not say, the class and its model's name."""
    if isinstance(embed, FingerprintedEmbeddings):
        return embed.fingerprint()
    return digest(type(embed).__name__, str(getattr(embed, "model", "")), str(getattr(embed, "dimensions", "")))


class CachedEmbeddings(Embeddings):
    """*embed*, but a text whose vector is in *corpus* is not embedded again."""

    def __init__(self, embed: Embeddings, corpus: Corpus) -> None:
        self.embed, self.corpus = embed, corpus
        self.encoded = 0

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.vectors(texts).tolist()  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        return self.embed.embed_query(text)

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """One row a text."""
        name = fingerprint_of(self.embed)
        keys = [digest(text) for text in texts]
        known = self.corpus.vectors(name, keys)
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if new:
            made = np.asarray(self.embed.embed_documents(list(new.values())), dtype=np.float32)
            self.corpus.put_vectors(name, list(new), made)
            self.encoded += len(new)
            known.update(zip(new, made, strict=True))
        return np.stack([known[key] for key in keys])


# --- running a model


class _Encoder:
    """A loaded model: token ids and attention mask in, one vector a row out."""

    def __init__(self, tokenizer: Tokenizer, run: Callable[[Any, Any], Any], longest: int, prompts: dict[str, str]) -> None:
        self.tokenizer, self.run, self.longest, self.prompts = tokenizer, run, longest, prompts

    def encode(self, texts: Sequence[str], purpose: Literal["query", "document"], batch_size: int) -> Vectors:
        """One normalised row a text, in the order given."""
        if not texts:
            return np.zeros((0, 0), dtype=np.float32)
        prompt = self.prompts.get(purpose, "")
        pieces, owners = [], []
        for number, encoding in enumerate(self.tokenizer.encode_batch([prompt + t for t in texts], add_special_tokens=False)):
            for piece in self._pieces(encoding.ids):
                pieces.append(piece)
                owners.append(number)
        order = sorted(range(len(pieces)), key=lambda i: len(pieces[i]))  # texts of a length share a batch: little padding
        rows: list[Vectors] = [np.empty(0, dtype=np.float32)] * len(pieces)
        for at in range(0, len(order), batch_size):
            batch = order[at : at + batch_size]
            for i, row in zip(batch, self.run(*_padded([pieces[i] for i in batch], self._pad)), strict=True):
                rows[i] = np.asarray(row, dtype=np.float32)
        if len(pieces) == len(texts):
            return np.stack(rows)
        total = np.zeros((len(texts), rows[0].shape[0]), dtype=np.float32)
        for owner, piece, row in zip(owners, pieces, rows, strict=True):
            total[owner] += row * len(piece)
        length = np.linalg.norm(total, axis=1, keepdims=True)
        return np.asarray(total / np.maximum(length, 1e-12), dtype=np.float32)

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


def _padded(rows: Sequence[list[int]], pad: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    width = max(map(len, rows))
    ids = np.full((len(rows), width), pad, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return ids, mask


@functools.cache
def _encoder(directory: Path, backend: str, precision: str) -> _Encoder:
    """The model, loaded once a process however many components name it."""
    return _openvino(directory, precision) if backend == "openvino" else _torch(directory)


def _openvino(directory: Path, precision: str) -> _Encoder:
    import openvino

    core = openvino.Core()
    converted = _converted(directory, openvino.__version__)
    settings = {"CACHE_DIR": str(converted / "compiled"), "PERFORMANCE_HINT": "LATENCY"}
    if precision == "auto":
        precision = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    settings["INFERENCE_PRECISION_HINT"] = precision
    try:
        compiled = core.compile_model(converted / "model.xml", "CPU", settings)
    except RuntimeError as error:
        shutil.rmtree(converted, ignore_errors=True)
        raise ModelError(
            f"the converted model in '{converted}' could not be loaded and was removed; run the command again ({error})"
        ) from None
    notes = json.loads((converted / "notes.json").read_text())

    def run(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Any:
        request = compiled.create_infer_request()  # one each: requests are not to be shared between threads
        return request.infer({"input_ids": ids, "attention_mask": mask})[0]

    return _Encoder(model.tokenizer(converted), run, notes["longest"], notes["prompts"])


def _converted(directory: Path, version: str) -> Path:
    """The folder with the model in OpenVINO's format, made on first use."""
    folder = model.cache_directory() / "models" / digest(model.fingerprint(directory), version, str(_CONVERSION))
    if (folder / "notes.json").exists():
        return folder
    loaded = _sentence_transformer(directory)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix="converting-", dir=folder.parent))
    except OSError as error:
        raise ModelError(
            f"cannot write to '{folder.parent}': {error.strerror}; set RAGKIT_CACHE to a directory that can be written"
        ) from None
    try:
        _convert(loaded, made)
        try:
            made.rename(folder)
        except OSError:  # another process was quicker
            if not (folder / "notes.json").exists():
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def _convert(loaded: Any, folder: Path) -> None:
    import openvino
    import torch

    class Whole(torch.nn.Module):  # type: ignore[misc]
        """Every module of the pipeline (transformer, pooling, normalisation), as one graph."""

        def __init__(self) -> None:
            super().__init__()
            self.stages = torch.nn.ModuleList(loaded)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            features = {"input_ids": input_ids, "attention_mask": attention_mask}
            for stage in self.stages:
                features = stage(features)
            return features["sentence_embedding"]

    example = {"input_ids": torch.ones(2, 9, dtype=torch.long), "attention_mask": torch.ones(2, 9, dtype=torch.long)}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer warns of every Python branch it follows
        graph = openvino.convert_model(Whole().eval(), example_input=example)
    openvino.save_model(graph, folder / "model.xml", compress_to_fp16=False)
    loaded.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "notes.json").write_text(json.dumps(_notes(loaded)))


def _torch(directory: Path) -> _Encoder:
    import torch

    loaded = _sentence_transformer(directory)

    def run(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Any:
        with torch.inference_mode():
            return loaded({"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)})["sentence_embedding"].numpy()

    notes = _notes(loaded)
    return _Encoder(model.tokenizer(directory), run, notes["longest"], notes["prompts"])


def _notes(loaded: Any) -> dict[str, Any]:
    longest = loaded.max_seq_length or 512
    prompts = {name: text for name, text in (loaded.prompts or {}).items() if text}
    return {"longest": longest, "prompts": prompts}


def _sentence_transformer(directory: Path) -> Any:
    import logging

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise ModelError(f"loading a model needs sentence-transformers and torch: {error}; pip install sentence-transformers") from None
        from transformers.utils import logging as noise

        noise.disable_progress_bar()
        logging.getLogger("transformers").setLevel(logging.ERROR)
        return SentenceTransformer(str(directory), device="cpu", local_files_only=True).eval()
