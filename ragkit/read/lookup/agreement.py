"""Is the record of a service the paper that it was asked for?  And which values does the paper lack?"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document

from ragkit.document import authors_of, metadata_keys, normalised_title, title_of
from ragkit.read.lookup import Record, Request
from ragkit.text.people import surname

VALUES = ("title", "authors", "year", "venue", "doi", "arxiv")
BESIDE = ("affiliations", "funding")
"""What a record may add, and for which alone no paper is looked up: few services have it of few papers."""
_WANTED = ("authors", "year", "venue", "doi")
"""What every published paper has: it is looked up if it lacks one.  Few have an arXiv id."""

_ALIKE = 0.9
"""The similarity of titles (`difflib`'s ratio) from which an identifier is believed: spelling and signs differ,
while the title of another paper, such as one that is cited on the first page, is far below."""
_TELLING = (
    5  # words; a shorter title, such as "Introduction", tells no paper if neither authors nor a year do
)
_PREPRINT = 1  # years that a preprint is older than what is published of it
_FRONT = (
    3000  # characters, about a page, in which the title stands where the reader of the file did not tell it
)


def lacking(known: Mapping[str, Any], names: Sequence[str] = VALUES) -> set[str]:
    """The *names* of the values that are missing, or that the file does not state plainly."""
    guessed = {*known.get("guessed", ()), *(["title"] if known.get("title_guessed") else [])}
    return {name for name in names if name in guessed or not known.get(name)}


def is_wanting(known: Mapping[str, Any]) -> bool:
    """Is there something to look up?"""
    without = lacking(known)
    return "title" in without or not without.isdisjoint(_WANTED)


def requests(known: Mapping[str, Any]) -> Iterator[Request]:
    """What to ask for: by DOI, then by arXiv id; by title only where there is neither."""
    keys = dict(key.split(":", 1) for key in reversed(metadata_keys(known)))
    if keys.get("doi", "").startswith("10.") and "/" in keys["doi"]:
        yield Request("doi", keys["doi"])
    if "arxiv" in keys:
        yield Request("arxiv", keys["arxiv"])
    if not {"doi", "arxiv"} & keys.keys() and "title" in keys:
        yield Request("title", str(known["title"]))


def agrees(request: Request, paper: Document, record: Record) -> bool:
    """Do title and year agree?  Of one that was found by its title, the authors have to agree, too."""
    known = paper.metadata
    if not _same_title(request, paper, record.get("title", "")):
        return False
    doubtful = "year" in known.get("guessed", ()) and request.by != "title"
    year = _year(known)
    if year and not doubtful and abs(record.get("year", year) - year) > _PREPRINT:
        return False
    if request.by != "title":
        return True
    names = _surnames(known)
    if names:
        return not names.isdisjoint(_surnames(record))
    return bool(year and "year" in record) or len(normalised_title(title_of(paper)).split()) >= _TELLING


def _same_title(request: Request, paper: Document, title: str) -> bool:
    ours, theirs = normalised_title(title_of(paper)), normalised_title(title)
    if not theirs:
        return False
    if ours.replace(" ", "") == theirs.replace(" ", ""):
        return True
    if request.by == "title":
        return False  # "Part 1" is not "Part 2", however alike they are
    if difflib.SequenceMatcher(None, ours, theirs, autojunk=False).ratio() >= _ALIKE:
        return True
    front = normalised_title(paper.page_content[:_FRONT])
    telling = len(theirs.split()) >= _TELLING
    return telling and "title" in lacking(paper.metadata) and f" {theirs} " in f" {front} "


def _year(known: Mapping[str, Any]) -> int:
    written = str(known.get("year") or known.get("date") or "")[:4]
    return int(written) if written.isascii() and written.isdigit() else 0


def _surnames(known: Mapping[str, Any]) -> set[str]:
    return {name for author in authors_of(known) if (name := surname(author))}
