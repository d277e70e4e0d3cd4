"""The rows of a question file, and where in the papers their answers stand."""

from __future__ import annotations

import random
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

Kind = Literal["number", "definition", "fact", "two_papers", "unanswerable"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class GoldSpan(BaseModel):
    """The characters of a paper that answer a question: `text[start:end] == quote`."""

    model_config = ConfigDict(frozen=True)

    document_id: str
    title: str
    start: int
    end: int
    quote: str


class Entry(BaseModel):
    """One row of a question file.  No `gold_titles`: nothing in the corpus answers it."""

    model_config = ConfigDict(frozen=True)

    id: str
    question: str
    answer: str
    gold_titles: tuple[str, ...]
    must_include: tuple[tuple[str, ...], ...]
    kind: Kind
    spans: tuple[GoldSpan, ...]

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


class Testset(BaseModel):
    """The questions kept, and how many drafts were dropped, by reason."""

    __test__ = False  # for pytest, which takes the name for a test
    model_config = ConfigDict(frozen=True)

    entries: tuple[Entry, ...]
    rejected: dict[str, int]

    def sample(self, n: int, seed: int = 0) -> tuple[Entry, ...]:
        """At most *n* entries to be approved by a person, in the order of the set."""
        chosen = random.Random(seed).sample(range(len(self.entries)), min(n, len(self.entries)))
        return tuple(self.entries[i] for i in sorted(chosen))
