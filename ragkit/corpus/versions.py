"""The versions of a work: texts of one paper that differ, the newest of which answers questions."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ragkit.corpus.database import marks
from ragkit.corpus.store import Connection
from ragkit.document import is_preprint, normalised_title

_ABSTRACT = 4  # a text so many times shorter than that of another version is its abstract
_LONG = 2000  # characters; of a shorter text nobody keeps an abstract
_NUMBER = re.compile(r"\Av?(\d{1,4})(?:\.0)?\Z", re.IGNORECASE)
_SUFFIX = re.compile(r"(?<=\d)v(\d{1,4})(?:\.pdf)?\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Version:
    """One text of a work: the document, what its file says of it, and how many characters it has.

    *searched*: has it passages?  *listed*: where it is first listed.
    """

    document: str
    known: Mapping[str, Any]
    characters: int
    searched: bool
    listed: tuple[str, int]

    @cached_property
    def number(self) -> int | None:
        """The version number that its arXiv id, DOI or `version` ends with."""
        for name in ("arxiv", "doi"):
            if found := _SUFFIX.search(str(self.known.get(name) or "").strip()):
                return int(found[1])
        found = _NUMBER.match(str(self.known.get("version") or "").strip())
        return int(found[1]) if found else None

    @cached_property
    def is_published(self) -> bool:
        """Does its metadata name a journal, or a DOI that no preprint server gave?"""
        venue, doi = (str(self.known.get(name) or "") for name in ("venue", "doi"))
        return bool(doi or venue) and not is_preprint(doi) and not _is_server(venue)

    @cached_property
    def dated(self) -> tuple[int, str]:
        """Year and date; a published text without either is taken for newer than a preprint."""
        written = (str(self.known.get(name) or "") for name in ("year", "date"))
        year, date = (re.match(r"\d{4}(?:-\d\d)*+", text) for text in written)
        if said := year or date:
            return int(said[0][:4]), date[0] if date else ""
        return (9999 if self.is_published else 0), ""


def _is_server(venue: str) -> bool:
    """Is it a preprint server rather than a journal?"""
    return bool(
        re.search(r"arxiv|rxiv\b|preprint|ssrn|zenodo|osf\b|\bcorr\b|research square", venue.casefold())
    )


def in_order(versions: Sequence[Version]) -> list[Version]:
    """The versions, newest first: by number where they have one, then by date, then published before preprint.

    An abstract, and a text that no index can hold, come last.
    """
    longest = max((version.characters for version in versions), default=0)
    left, ordered = sorted(versions, key=lambda version: version.listed), list[Version]()

    def newness(version: Version) -> tuple[bool, bool, tuple[int, str], bool, int]:
        whole = not is_abstract(version, longest)
        return version.searched, whole, version.dated, version.is_published, version.number or 0

    while left:
        numbered = [v for v in left if v.number is not None and newness(v)[:2] == (True, True)]
        last = max((v.number or 0 for v in numbered), default=0)
        newest = max((v for v in left if v not in numbered or v.number == last), key=newness)
        ordered.append(newest)
        left.remove(newest)
    return ordered


def is_abstract(version: Version, longest: int) -> bool:
    """Is it only a part of the work, whose longest text has so many characters?"""
    return longest >= _LONG and version.characters * _ABSTRACT < longest


def labels(ordered: Sequence[Version]) -> list[str]:
    """What each of the versions, newest first, is called: `v2, 2019`, else which of how many it is."""
    longest = max((version.characters for version in ordered), default=0)
    told = [", ".join(_parts(version, longest)) for version in ordered]
    times = Counter(told)
    return [
        name
        if name and times[name] == 1
        else ", ".join(part for part in (name, f"version {len(told) - place} of {len(told)}") if part)
        for place, name in enumerate(told)
    ]


def _parts(version: Version, longest: int) -> list[str]:
    number = f"v{version.number}" if version.number is not None else ""
    state = "published" if version.is_published else ""
    year = str(version.known.get("year") or version.known.get("date") or "")
    abstract = "abstract" if is_abstract(version, longest) else ""
    return [part for part in (number, state, normalised_title(year), abstract) if part]


def settle(db: Connection) -> None:
    """Say of each work with several texts which is the newest, and what each is called; few works are held at once."""
    last = -1
    while some := [work for [work] in db.execute(_SEVERAL, (last,))]:
        last = some[-1]
        rows = _versions(db, some)
        named = f"document IN (SELECT id FROM documents WHERE work IN ({marks(some)}))"
        if rows != db.execute(f"SELECT * FROM versions WHERE {named} ORDER BY document", some).fetchall():
            db.execute(f"DELETE FROM versions WHERE {named}", some)
            db.executemany("INSERT INTO versions VALUES (?, ?, ?, ?)", rows)
    db.execute(
        "DELETE FROM versions WHERE (SELECT count(*) FROM documents WHERE work ="
        " (SELECT work FROM documents WHERE id = versions.document)) < 2"
    )


_SEVERAL = (
    "SELECT work FROM documents WHERE work > ? GROUP BY work HAVING count(*) > 1 ORDER BY work LIMIT 250"
)


def _versions(db: Connection, some: Sequence[int]) -> list[tuple[str, str, int, str]]:
    """What the table `versions` should say of these works, in order of the documents."""
    works: dict[int, list[Version]] = {}
    for work, identity, known, characters, searched, uri, position in db.execute(
        "SELECT work, id, metadata, length(text), EXISTS (SELECT 1 FROM chunks WHERE chunks.document = documents.id), uri, position"
        " FROM documents JOIN sources ON document = id AND (uri, position) ="
        " (SELECT uri, position FROM sources WHERE document = documents.id ORDER BY uri, position LIMIT 1)"
        f" WHERE work IN ({marks(some)}) ORDER BY id",
        some,
    ):
        version = Version(identity, json.loads(known), characters, bool(searched), (uri, position))
        works.setdefault(work, []).append(version)
    rows = []
    for ordered in (in_order(versions) for versions in works.values() if len(versions) > 1):
        named = zip(ordered, labels(ordered), strict=True)
        rows += [(v.document, label, n, ordered[0].document) for n, (v, label) in enumerate(named)]
    return sorted(rows)
