"""Settings of a pipeline that are allowed but do not fit together, each in one sentence with the way out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache
from typing import Any

from langchain_core.embeddings import Embeddings

from ragkit.ask import AnswerPipeline, label
from ragkit.config import components
from ragkit.config.spec import parts_of
from ragkit.gate import FITTED_TO, FOUND, CalibratedGate
from ragkit.ingest import IngestPipeline
from ragkit.models.embeddings import FingerprintedEmbeddings

log = logging.getLogger("ragkit")


def mismatches(ingest: IngestPipeline, answer: AnswerPipeline) -> list[str]:
    """What does not fit; loads no model."""
    return [*_of_chunker(ingest), *_of_gate(answer)]


def warn_of_mismatches(ingest: IngestPipeline, answer: AnswerPipeline) -> None:
    """Log a warning for each, once a process."""
    for message in mismatches(ingest, answer):
        _warn_once(message)


@cache
def _warn_once(message: str) -> None:
    log.warning(message)


def _of_chunker(ingest: IngestPipeline) -> Iterator[str]:
    counts = getattr(ingest.chunk, "model", None)
    local = [embed for embed in _embedders(ingest.index) if isinstance(embed, FingerprintedEmbeddings)]
    models = [_model(embed) for embed in local if hasattr(embed, "model")]
    if counts and models and _short(counts) not in map(_short, models):
        yield (
            f"ingest.chunk counts the tokens of '{counts}', but passages are embedded by '{models[0]}', which may read"
            f" fewer of them; set `model: {models[0]}` in ingest.chunk"
        )


def _of_gate(answer: AnswerPipeline) -> Iterator[str]:
    gate: Any = answer.gate
    weighs = getattr(gate, "retriever", None)
    by_label = {label(retriever): retriever for retriever in answer.retrieve}
    if not weighs or not by_label:
        return
    if weighs not in by_label:
        yield (
            f"answer.gate weighs the scores of the retriever '{weighs}', but the retrievers are called"
            f" {', '.join(sorted(by_label))}, so it decides without them; set `retriever` in answer.gate"
        )
        return
    models = [_model(embed) for embed in _embedders(by_label[weighs])]
    if isinstance(gate, CalibratedGate) and gate.found == FOUND and models and _short(models[0]) != FITTED_TO:
        yield (
            f"answer.gate is fitted to the cosines of {FITTED_TO}, but '{weighs}' searches with '{models[0]}';"
            " fit it to your questions with `ragkit calibrate`"
        )


def _embedders(value: Any) -> list[Embeddings]:
    return [part for part in parts_of(value) if isinstance(part, Embeddings)]


def _model(embed: Embeddings) -> str:
    given = getattr(embed, "model", None) or getattr(embed, "model_name", None)
    return str(given or components.name_of(type(embed)))


def _short(model: str) -> str:
    """A model's name without its organisation or folder."""
    return model.rstrip("/").rpartition("/")[2]
