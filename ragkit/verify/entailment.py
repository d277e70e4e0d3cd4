"""Claims held against quotes by a model trained to tell whether one text follows from another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from ragkit.answer import Finding, Verdict
from ragkit.config.components import component
from ragkit.errors import ModelError
from ragkit.flow import Flow, call
from ragkit.models import hub
from ragkit.models.cross_encoders import Backend, labels, logits
from ragkit.models.openvino import Precision
from ragkit.verify import ClaimVerifier
from ragkit.verify.attribution import Pair
from ragkit.verify.support import Setting


@component("entailment")
@dataclass(frozen=True)
class EntailmentVerifier(ClaimVerifier):
    """A natural language inference model gives the probability that the quote entails the claim.

    It is a sentence-transformers CrossEncoder.  `model`: a directory, an installed model package, or a name
    on the hub, such as `cross-encoder/nli-deberta-v3-base`.  It has a label called entailment, or one score.
    A quote supports a claim if its score is at least `threshold`.  `backend`: `openvino` runs models that
    classify sequences; `torch` whatever CrossEncoder loads.
    """

    model: str
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    backend: Backend = "openvino"
    precision: Precision = "auto"
    batch_size: PositiveInt = 16

    def weigh(self, pairs: Sequence[Pair], settings: Sequence[Setting]) -> Flow[Sequence[Finding]]:
        return (yield from call("verify", self.judged, pairs))

    def judged(self, pairs: Sequence[Pair]) -> list[Finding]:
        """The model's finding on each pair.

        Raises `ModelError` if the model cannot be found, or has several labels but none for entailment.
        """
        directory = hub.files(self.model)
        texts = [(f"{pair.title}\n{pair.quote}".strip(), pair.claim) for pair in pairs]
        found = logits(directory, texts, self.backend, self.precision, self.batch_size).astype(np.float64)
        if found.shape[1] == 1:
            return [
                self._found(score, f"the model scores it {score:.2f}")
                for score in 1 / (1 + np.exp(-found[:, 0]))
            ]
        names = labels(directory)
        which = _entailment(directory, names)
        return [self._found(row[which], _reason(row, names)) for row in _softmax(found)]

    def _found(self, score: float, reason: str) -> Finding:
        verdict = Verdict.SUPPORTED if score >= self.threshold else Verdict.UNSUPPORTED
        return Finding(verdict=verdict, score=float(score), reason=reason)


def _softmax(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    grown = np.exp(rows - rows.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


def _reason(row: NDArray[np.float64], names: Sequence[str]) -> str:
    """The most probable label and its probability, such as entailment, neutral or contradiction."""
    top = int(row.argmax())
    return f"the model's label is '{names[top].lower()}' with probability {row[top]:.2f}"


def _entailment(directory: Path, names: Sequence[str]) -> int:
    """Which label says that the claim follows."""
    found = [i for i, name in enumerate(names) if name.lower().startswith(("entail", "support"))]
    if len(found) != 1:
        raise ModelError(
            f"the model in '{directory}' has the labels {', '.join(names)}, and none of them is entailment; "
            "name a model of natural language inference, or say so under id2label in its config.json"
        )
    return found[0]
