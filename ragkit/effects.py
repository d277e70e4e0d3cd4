"""What the techniques of papers change in what a search finds, as measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

EFFECTS = Path(__file__).with_name("effects.json")
"""What `python -m benchmarks techniques` measured."""


@dataclass(frozen=True)
class MeasuredEffect:
    """What the component *technique* of *slot* changes in what a search finds, against the default configuration.

    `on` names the dataset and `base` is the default's value there: nDCG@10 on collections, else the share of
    questions for which a right paper is among the first six passages.  `difference` is paired by question, with
    the limits of its 95 % interval.  `keys` are keys a passage; `calls` and `tokens` are those of the chat `model`
    in all; `ingest` and `search` are seconds, the latter for a question.  `first` has, for paraphrases and for
    other questions, how many are among the first six before and with it, of how many, and how many are lost;
    `shown` the same for the six passages that the preset `chat` shows its model.
    """

    technique: str
    slot: str
    on: str
    questions: int
    base: float
    difference: tuple[float, float, float]
    significant: bool
    model: str = ""
    keys: float = 1.0
    calls: int = 0
    tokens: int = 0
    ingest: float = 0.0
    search: float = 0.0
    first: tuple[tuple[int, int, int, int], ...] = ()
    shown: tuple[tuple[int, int, int, int], ...] = ()

    @property
    def interval(self) -> str:
        value, low, high = self.difference
        return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]{' *' if self.significant else ''}"

    @property
    def text(self) -> str:
        """Such as `cranfield: -0.029 [-0.041, -0.017] * (225 questions)`."""
        by = f", {self.model}" if self.model else ""
        return f"{self.on}: {self.interval} ({self.questions} questions{by})"


SECTIONS: Mapping[tuple[str, str], str] = {
    ("BaseDocumentCompressor", "reorder"): "Reordering",
    ("Fusion", "rrf"): "Retrieval",
    ("Generator", "cited"): "Ways of asking a chat model",
}
"""For components, by slot and name, that change something else than what a search finds: the section of docs/benchmarks.md."""


def published(slot: str, name: str) -> list[str]:
    """What has been measured of a component, or where it stands."""
    found = [effect.text for effect in effects() if (effect.slot, effect.technique) == (slot, name)]
    section = SECTIONS.get((slot, name))
    return [*found, f"docs/benchmarks.md, {section}"] if section else found


@cache
def effects() -> tuple[MeasuredEffect, ...]:
    """What has been measured, by technique and dataset."""
    return tuple(MeasuredEffect(**row) for row in json.loads(EFFECTS.read_text(encoding="utf-8")))
