"""What a client is told of an error: the shape of OpenAI's errors, without paths, addresses or tracebacks."""

from __future__ import annotations

import errno
import logging
from typing import Any, NamedTuple

from ragkit.errors import (
    CorpusError,
    DepotError,
    IndexMismatch,
    ModelError,
    NoCorpus,
    RagkitError,
    UsageError,
)
from ragkit.models.chat import explained
from ragkit.text.printable import printable

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
log = logging.getLogger("ragkit.serve")


class Refusal(Exception):
    """A request that is answered with an error: its status, a short name of it, and a sentence."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.told = Told(status, code, message)
        self.headers = headers or {}


class Told(NamedTuple):
    """What a client is told: the status of HTTP, a short name, and a sentence."""

    status: int
    code: str
    message: str

    def as_json(self) -> dict[str, Any]:
        return error(*self)


def error(status: int, code: str, message: str) -> dict[str, Any]:
    """An error as OpenAI's clients read it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": printable(message), "type": kind, "code": code, "param": None}}


def told(failure: BaseException) -> Told:
    """What a client is told of an error; what it is not told is logged."""
    if isinstance(failure, Refusal):
        return failure.told
    if isinstance(failure, OSError) and failure.errno in _FULL:
        log.error("the disk is full: %s", failure)
        return Told(507, "disk_full", "the server has no space left on its disk")
    if isinstance(failure, UsageError):
        return Told(400, "invalid_request", str(failure))
    log.error("a request failed: %s: %s", type(failure).__name__, failure, exc_info=failure)
    if isinstance(failure, NoCorpus):
        return Told(503, "no_corpus", "no papers are ingested yet; upload some, or run `ragkit ingest PATH`")
    if isinstance(failure, IndexMismatch):
        return Told(
            503,
            "index_mismatch",
            "the corpus is not indexed for this configuration; run `ragkit ingest` with it",
        )
    if isinstance(failure, DepotError):
        return Told(
            503,
            "depot_failed",
            "the indexes cannot be fetched from the depot now; the server's log has the reason",
        )
    if isinstance(failure, CorpusError):
        return Told(
            503,
            "corpus_busy",
            "the corpus cannot be read or written now; try again, or see the server's log for the reason",
        )
    if isinstance(failure, ModelError) or explained(failure):
        return Told(
            502,
            "model_failed",
            "a model failed or cannot be reached; the server's log has the reason",
        )
    if isinstance(failure, RagkitError):
        return Told(500, "failed", "the request failed; the server's log has the reason")
    return Told(500, "internal_error", "the server made a mistake; its log has the details")
