"""Looking up what is known of a paper: the interface of services, and what they are asked and reply.

A service is asked by DOI, by arXiv id, or by title if a paper has neither.  `agreement` decides whether a record is
the paper, `run` asks politely and keeps the replies in the corpus, and `services` has Crossref, OpenAlex and arXiv.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

from pydantic import ConfigDict
from typing_extensions import TypedDict

from ragkit.config.components import interface

By = Literal["doi", "arxiv", "title"]


class Request(NamedTuple):
    """What a service is asked for: the value is a DOI, an arXiv id without its version, or a title."""

    by: By
    value: str


class Record(TypedDict, total=False):
    """What a service says of a paper.  Abstracts are left out: a paper's text comes from its file alone."""

    __pydantic_config__ = ConfigDict(strict=True)  # type: ignore[misc]
    title: str
    authors: list[str]
    year: int
    venue: str
    doi: str
    arxiv: str
    affiliations: list[str]
    funding: list[str]


class NoReply(Exception):
    """A service gave no reply that can be used; the message says why, in words that follow its name.

    *again*: may the next try succeed?  *wait*: the seconds that the service asks to wait before it.
    """

    def __init__(self, reason: str, again: bool = False, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.again, self.wait = again, wait


@interface
class LookupService(ABC):
    """Knows titles, authors, years, venues and identifiers of papers; some know affiliations and funders, too."""

    asked_by: ClassVar[Sequence[By]] = ("doi", "arxiv", "title")
    """What it can be asked by."""
    seconds_in_all: float = 600.0
    """How long it may take in one ingest, waits included."""

    @property
    @abstractmethod
    def pause(self) -> float:
        """The seconds between two requests."""

    @property
    @abstractmethod
    def address(self) -> str:
        """Where it is; replies are kept under it."""

    @abstractmethod
    def find(self, request: Request) -> Sequence[Record]:
        """The papers that may be meant, best first; empty if it knows none.

        Raises `NoReply`; any other exception counts as a reply that cannot be used.
        """
