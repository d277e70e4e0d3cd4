"""What requests are answered with, for `/openapi.json`.  Replies are not made of these models, but hold to them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from ragkit.answer import Answer, Source, Verdict
from ragkit.check.result import CheckedClaim
from ragkit.ingest.report import IngestReport, MergedEntry, Versions
from ragkit.papers import PaperRecord

Described = dict[int | str, dict[str, Any]]


class ErrorShown(BaseModel):
    """What is wrong, in a sentence that may be shown; `code` is a short name of it."""

    message: str
    type: Literal["invalid_request_error", "server_error"]
    code: str
    param: None


class ErrorReply(BaseModel):
    """An error, in the shape of OpenAI's."""

    error: ErrorShown


_REFUSED = {
    400: "What is asked for makes no sense, such as a filter that is none.",
    401: "The server has keys, and none of them was given.",
    403: "A page of another server, or a key that may only read.",
    404: "There is no such thing.",
    405: "Another method is served here.",
    408: "The body took too long.",
    413: "The body is too large.",
    415: "The body is no JSON, or a file is of a kind that cannot be uploaded.",
    416: "The file has no such range.",
    421: "The server is not known by this name.",
    422: "A key or value of the request is missing, unknown or of another type.",
    429: "The allowance is used; `Retry-After` says for how many seconds.",
    500: "The server made a mistake.",
    502: "A model failed.",
    507: "The disk of the server is full.",
    503: "No papers are ingested yet, or the corpus cannot be used now.",
}
_OF_ALL = (401, 403, 408, 413, 421, 500, 507)
_OF_WORK = (400, 415, 422, 429, 502, 503)


def refused(*statuses: int) -> Described:
    """The errors of a request: those with these statuses, and those of every request."""
    return {
        status: {"model": ErrorReply, "description": _REFUSED[status]}
        for status in sorted({*statuses, *_OF_ALL})
    }


def replies(model: Any, *statuses: int, also: tuple[str, ...] = ()) -> Described:
    """A request that is answered with JSON of this model, or content of the types *also*, or these errors."""
    return {200: {**of_type(*also)[200], "model": model}, **refused(*statuses)}


def of_type(*kinds: str) -> Described:
    """A reply that is no JSON, but of one of these types."""
    return {200: {"description": "Done.", "content": {kind: {} for kind in kinds}}}


def answers(model: Any, *statuses: int, also: tuple[str, ...] = ()) -> Described:
    """`replies` of a request that uses models and the allowance of the client."""
    return replies(model, *_OF_WORK, *statuses, also=also)


# --- the own API


class Stopped(BaseModel):
    """The question is stopped."""

    stopped: Literal[True]


class KeyShown(BaseModel):
    """A text other than its own by which a passage was found."""

    kind: str
    text: str


class PassageShown(BaseModel):
    """A passage that a search found: `text` is `start` to `end` of the paper, `scores` those of the stages.

    `version` tells it from other versions of the paper, and `superseded_by` is the newest, if that is another.
    `via` is the key that led to it, where that is not the default one.
    """

    document_id: str
    title: str
    version: str = Field(default="", exclude_if=lambda text: not text)
    superseded_by: str = Field(default="", exclude_if=lambda text: not text)
    chunk_id: str | None
    start: int
    end: int
    section: list[str]
    kind: str | None
    text: str
    score: float
    scores: dict[str, float]
    via: KeyShown | None = Field(default=None, exclude_if=lambda key: key is None)
    sources: list[Source]


class Found(BaseModel):
    """What a search found, the best first."""

    results: list[PassageShown]


class CheckedText(BaseModel):
    """The claims of a text; `counts`: how many have each verdict."""

    supported: bool
    counts: dict[Verdict, int]
    claims: list[CheckedClaim]
    usage: dict[str, float]
    timings_ms: dict[str, float]


class CorpusSize(BaseModel):
    """What the corpus holds."""

    name: str
    papers: int
    passages: int


class ConfigurationShown(BaseModel):
    """A configuration that clients may choose; `chat_model`: does one take part in answers?"""

    name: str
    chat_model: bool
    policy: str


class Config(BaseModel):
    """What is served."""

    version: str
    corpus: CorpusSize
    default: str
    configurations: list[ConfigurationShown]


# --- papers


class PaperList(BaseModel):
    """A page of the list of papers, of which there are `total`."""

    total: int
    offset: int
    limit: int
    papers: list[PaperRecord]


class PaperName(BaseModel):
    id: str
    title: str


class UploadReport(IngestReport):
    """What an ingest did; `papers`: those in the files that were uploaded."""

    papers: list[PaperName]


class RemovedPaper(BaseModel):
    removed: PaperRecord


class FileShown(BaseModel):
    """A paper's file; `digest` is its SHA-256, in hexadecimal."""

    url: str
    name: str
    digest: str
    type: str


class LineShown(BaseModel):
    """A line of a page: its characters, and its box (left, top, right, bottom) in points."""

    start: int
    end: int
    page: int
    box: tuple[int, int, int, int] | None


class SectionShown(BaseModel):
    start: int
    end: int
    kind: str
    path: list[str]


class MarkedText(BaseModel):
    """The characters that were asked for."""

    start: int
    end: int
    quote: str
    sources: list[Source]
    lines: list[LineShown]


class PaperShown(BaseModel):
    """A paper with its text."""

    id: str
    title: str
    text: str
    metadata: dict[str, Any]
    sections: list[SectionShown]
    sources: list[Source]
    pages: int | None
    file: FileShown | None
    marked: MarkedText | None
    version: str = Field(default="", exclude_if=lambda text: not text)
    superseded_by: str = Field(default="", exclude_if=lambda text: not text)
    merged: list[MergedEntry] = Field(default=[], exclude_if=lambda entries: not entries)
    versions: Versions | None = Field(default=None, exclude_if=lambda versions: versions is None)


class PageShown(BaseModel):
    """The lines of a page, and those that have characters that were asked for."""

    id: str
    page: int
    pages: int
    file: FileShown | None
    lines: list[LineShown]
    marked: list[LineShown]
    marked_pages: list[int]


# --- operation


class Alive(BaseModel):
    alive: Literal[True]


class Ready(BaseModel):
    """Is it ready, and if not, why?"""

    ready: bool
    reasons: list[str]


# --- OpenAI's


class Model(BaseModel):
    """A configuration."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(BaseModel):
    object: Literal["list"]
    data: list[Model]


class Embedding(BaseModel):
    """A vector: numbers, or their bytes in base64."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Embeddings(BaseModel):
    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: dict[str, int]


class SearchResult(BaseModel):
    """A source, as Perplexity has it."""

    title: str
    url: str
    date: None
    last_updated: None
    snippet: str
    source: str


class _Cited(BaseModel):
    citations: list[str]
    search_results: list[SearchResult]
    ragkit: Answer


class Completion(_Cited):
    """A chat completion; each message has `annotations`, the `url_citation`s of its marks."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, int]


class OpenResponse(_Cited):
    """A response; the text in `output` has `annotations`, the `url_citation`s of its marks."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["completed"]
    model: str
    output: list[dict[str, Any]]
    usage: dict[str, Any]
