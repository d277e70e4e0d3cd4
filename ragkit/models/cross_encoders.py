"""Models that read two texts together: sentence-transformers CrossEncoders, on OpenVINO or torch."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ragkit.document import digest
from ragkit.errors import ModelError
from ragkit.models import hub
from ragkit.models.openvino import Precision, compiled, converted, quietly, save

Backend = Literal["openvino", "torch"]
Logits = NDArray[np.float32]

_CONVERSION = "cross-encoder 1"  # changed when the way models are converted changes


def logits(
    directory: Path, pairs: Sequence[tuple[str, str]], backend: Backend, precision: Precision, batch_size: int
) -> Logits:
    """A row for each of *pairs*, and in it a column for each label of the model in *directory*.

    There must be at least one pair.  Raises `ModelError` for a model without a trained head.
    """
    judge = _cross_encoder(directory, backend, precision)
    # Texts of one length share a batch, which needs little padding.
    order = sorted(range(len(pairs)), key=lambda i: sum(map(len, pairs[i])))
    rows: dict[int, Logits] = {}
    for at in range(0, len(order), batch_size):
        batch = order[at : at + batch_size]
        rows |= zip(batch, judge([pairs[i] for i in batch]), strict=True)
    return np.stack([rows[i] for i in range(len(pairs))])


def labels(directory: Path) -> list[str]:
    """What the columns of `logits` are called, as far as the model says."""
    named = json.loads((directory / "config.json").read_text(encoding="utf-8")).get("id2label") or {}
    return [str(named[key]) for key in sorted(named, key=int)]


Judge = Callable[[Sequence[tuple[str, str]]], Logits]
"""Pairs of texts in, a row of logits each out."""


@functools.cache
def _cross_encoder(directory: Path, backend: str, precision: Precision) -> Judge:
    """The model, loaded once a process however many components name it."""
    return _openvino(directory, precision) if backend == "openvino" else _torch(directory)


def _torch(directory: Path) -> Judge:
    import torch

    loaded = _loaded(directory)

    def judge(pairs: Sequence[tuple[str, str]]) -> Logits:
        logits = loaded.predict(
            list(pairs), batch_size=len(pairs), activation_fn=torch.nn.Identity(), show_progress_bar=False
        )
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

    def judge(pairs: Sequence[tuple[str, str]]) -> Logits:
        encodings = tokenizer.encode_batch(list(pairs))
        parts = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
        return run(
            {
                name: np.array([getattr(e, parts[name]) for e in encodings], dtype=np.int64)
                for name in notes["inputs"]
            }
        )

    return judge


def _fingerprint(directory: Path) -> str:
    """The model's, with the files that say how long a text it reads."""
    others = [directory / name for name in ("tokenizer_config.json", "config_sentence_transformers.json")]
    return digest(hub.fingerprint(directory), *(p.read_text(encoding="utf-8") for p in others if p.exists()))


def _convert(directory: Path, folder: Path) -> None:
    import torch

    loaded = _loaded(directory)
    tokenizer = getattr(loaded.tokenizer, "backend_tokenizer", None)
    names = [
        n
        for n in loaded.tokenizer.model_input_names
        if n in ("input_ids", "attention_mask", "token_type_ids")
    ]
    if (
        len(loaded) > 1
        or tokenizer is None
        or any(loaded.prompts.values())
        or "Classification" not in type(loaded.model).__name__
    ):
        raise ModelError(
            f"'{directory}' is no plain sequence classifier, which is all that OpenVINO runs here; say backend: torch"
        )

    class Head(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = loaded.model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> Any:
            more = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
            return self.model(input_ids=input_ids, attention_mask=attention_mask, **more).logits

    save(Head(), names, folder)
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
    """The CrossEncoder.  Raises `ModelError` for a model without a trained head."""
    with quietly():
        from sentence_transformers import CrossEncoder

        kinds = json.loads((directory / "config.json").read_text(encoding="utf-8")).get("architectures") or [
            ""
        ]
        if not kinds[0].endswith(("ForSequenceClassification", "ForCausalLM")):
            raise ModelError(
                f"'{directory}' is no cross-encoder, but a {kinds[0] or 'model of another kind'}; name one that sentence-transformers'"
                " CrossEncoder loads, or make one with `ragkit train reranker`"
            )
        loaded = CrossEncoder(str(directory), device="cpu", local_files_only=True)
    return loaded.eval()
