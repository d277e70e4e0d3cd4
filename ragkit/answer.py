"""What a question comes back with: `Answer`, its `Claim`s, their `Citation`s, and each one's `Verdict`."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from langchain_core.documents import Document
from pydantic import BaseModel, ConfigDict, Field


class Verdict(StrEnum):
    """What a verifier found."""

    SUPPORTED = "supported"
    UNSUPPORTED = "unsupported"
    UNRESOLVED = "unresolved"
    """The mark names no source."""
    UNCHECKED = "unchecked"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class Source(_Value):
    """A file that lists the paper, and where in it the quote stands, as far as the format can say.

    `start` and `end` are characters of the file, `page` counts from 1, and `box` is left, top, right, bottom on that
    page in points from its top left corner.
    """

    uri: str
    start: int | None = None
    end: int | None = None
    page: int | None = None
    box: tuple[int, int, int, int] | None = None


class Citation(_Value):
    """One numbered source: the paper, the exact characters, and what the verifier made of them.

    `quote` is `text[start:end]` of the document `document_id`; all three are empty where the mark names no source.
    `score` is the verifier's, from 0 (no support) to 1 (verbatim).
    """

    number: int
    document_id: str | None = None
    title: str = ""
    sources: tuple[Source, ...] = ()
    start: int = 0
    end: int = 0
    quote: str = ""
    verdict: Verdict = Verdict.UNCHECKED
    score: float = 0.0
    reason: str = ""


class Finding(_Value):
    """What a verifier found of one claim and one quote: the verdict, how far the quote supports it from 0 to 1, and why."""

    verdict: Verdict
    score: float
    reason: str
    in_words: bool = True
    """Were their words compared?  Of two languages only numbers and names can be."""


class Claim(_Value):
    """One sentence of the answer, without its marks, and the numbers of its citations."""

    text: str
    verdict: Verdict = Verdict.UNCHECKED
    citations: tuple[int, ...] = ()
    original: str = Field(default="", exclude_if=lambda text: not text)
    """What was written and judged, if `text` is a translation of it."""
    before: str = Field(default="", exclude=True)
    """What stands between the claim before and this one: a space, a bullet, the name of the paper that speaks."""
    findings: dict[int, Finding] = Field(default={}, exclude=True)
    """What was found of each of its citations, by number."""
    quoted: bool = Field(default=False, exclude=True)
    """Was it taken from a paper, rather than written?"""


class Abstention(_Value):
    """Why there is no answer, and the titles that came nearest."""

    reason: str
    nearest: tuple[str, ...] = ()


class Answer(_Value):
    """The text, its claims and citations, and the numbered context it was written from.

    `confidence`, from 0 to 1, is the gate's: how likely the answer is right, by its passages and its verdicts.
    `unmentioned` are the names in the question that none of the passages found for it mentions, if they mention others of its names.
    `usage` adds up what all calls to chat models took: `input_tokens`, `output_tokens`, and `cost` where prices are known;
    `timings_ms` has a figure for each stage and `total`.
    """

    question: str
    text: str = Field(serialization_alias="answer")
    abstained: Abstention | None = None
    confidence: float = 1.0
    unmentioned: tuple[str, ...] = Field(default=(), exclude_if=lambda names: not names)
    claims: tuple[Claim, ...] = ()
    citations: tuple[Citation, ...] = ()
    context: tuple[Document, ...] = Field(default=(), exclude=True)
    usage: dict[str, int | float] = {}
    timings_ms: dict[str, float] = {}

    @property
    def faults(self) -> list[Claim]:
        """The claims that were found unsupported."""
        return [claim for claim in self.claims if claim.verdict in (Verdict.UNSUPPORTED, Verdict.UNRESOLVED)]

    def citation(self, number: int) -> Citation:
        return next(c for c in self.citations if c.number == number)

    def as_json(self) -> dict[str, Any]:
        """Plain data, with the keys of `ragkit ask --json`."""
        return self.model_dump(mode="json", by_alias=True)
