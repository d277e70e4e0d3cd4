"""Passages reranked by a model that reads question and passage together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import ConfigDict, PositiveInt

from ragkit.config.components import component
from ragkit.errors import ModelError
from ragkit.models import hub
from ragkit.models.cross_encoders import Backend, Logits, logits
from ragkit.models.openvino import Precision
from ragkit.refine import ScoringReranker


@component("cross_encoder")
class CrossEncoderReranker(ScoringReranker):
    """Scores question and passage together with a sentence-transformers CrossEncoder; keeps the best `top_k`.

    The first `depth` passages are scored.  `model`: a directory, such as one that `ragkit train reranker`
    made, an installed model package, or a name on the hub.  Scores are probabilities; `blend` is the weight
    of the passage's previous score, both scaled to 0..1.  `backend`: `openvino` runs models that classify
    sequences; `torch` whatever CrossEncoder loads.  Input longer than the model's limit is truncated at the
    end of the longer text.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model: str
    backend: Backend = "openvino"
    precision: Precision = "auto"
    batch_size: PositiveInt = 16

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """The probability that each of *texts* answers *query*.

        Raises `ModelError` if the model cannot be found or is not a reranker.
        """
        files = hub.files(self.model)
        if not texts:
            return []
        found = logits(
            files, [(query, text) for text in texts], self.backend, self.precision, self.batch_size
        )
        if found.shape[1] > 2:
            raise ModelError(
                f"the model in '{files}' tells {found.shape[1]} labels apart; a reranker has one, or no and yes"
            )
        return _probabilities(found)


def _probabilities(logits: Logits) -> list[float]:
    if logits.shape[1] == 2:  # no and yes
        logits = logits[:, 1:] - logits[:, :1]
    return [float(p) for p in 1 / (1 + np.exp(-logits[:, 0].astype(np.float64)))]
