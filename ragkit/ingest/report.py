"""What an ingest did: `IngestReport`, which a program reads as JSON."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from pathlib import PurePath
from typing import Any

from langchain_core.documents import Document
from pydantic import BaseModel, ConfigDict

from ragkit import notebook
from ragkit.corpus.papers import Listing, Work
from ragkit.document import hidden_of, recognised, title_of


class Failure(BaseModel):
    """A file that could not be read, and why."""

    source: str
    error: str


class HiddenText(BaseModel):
    """Text of a paper that its readers do not see, which was left out: how many characters, by reason."""

    source: str
    title: str
    characters: dict[str, int]


class MergedEntry(BaseModel):
    """A paper that a file lists and another one, too, with the same text; and how it was recognised."""

    source: str
    title: str
    document_id: str
    same_as: str
    because: tuple[str, ...]


class VersionListed(BaseModel):
    """One version of a paper: which, its document, and the files that list it."""

    version: str
    document_id: str
    sources: tuple[str, ...]


class Versions(BaseModel):
    """A paper of which the corpus has several texts, the newest first, which alone answers by default; and how they
    were recognised as one paper.
    """

    title: str
    because: tuple[str, ...]
    versions: tuple[VersionListed, ...]

    @classmethod
    def of(cls, work: Work) -> Versions:
        each = [
            VersionListed(
                version=of_it[0].version,
                document_id=document,
                sources=tuple(dict.fromkeys(encodable(listing.uri) for listing in of_it)),
            )
            for document in work.documents
            if (of_it := [listing for listing in work.listings if listing.document == document])
        ]
        return cls(title=work.listings[0].title, because=tuple(work.reasons), versions=tuple(each))


class IngestReport(BaseModel):
    """What an ingest did, and what the corpus holds now.

    `files`: those named that are in the corpus, `new`, `changed` or `unchanged` since they were read last; `entries`:
    papers as they list them; `documents`: distinct papers in the corpus; `duplicates`: entries of papers that
    another entry lists, too, with the same text, which are `merged`; `variants`: those with another text, which
    are `versions` of the paper; `descriptions`: entries
    of bibliographies, which add to what is known of the papers that they name; `pruned`: files that are gone
    and were forgotten; `encoded`: texts that were embedded; `skipped`: files that are no papers and
    links that lead out of the folders named, and `unused` ones: parts of a LaTeX paper that it does not include; `hidden`: papers read with text that is hidden from their readers, which was left out;
    `lost`: entries and values that could not be read in files of which the rest was read; `known`: files that
    failed before and have not changed since, which were not tried again; `encodings`: the encodings of the files
    read that are not in UTF-8; `looked_up`: papers to which a lookup added something;
    `dropped_keys`: what key writers wrote and did not make keys of, by reason.
    """

    model_config = ConfigDict(frozen=True)

    files: int
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    entries: int
    documents: int
    duplicates: int
    variants: int
    descriptions: int
    chunks: int
    failed: tuple[Failure, ...]
    pruned: int = 0
    encoded: int
    seconds: float
    skipped: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    hidden: tuple[HiddenText, ...] = ()
    lost: tuple[Failure, ...] = ()
    known: tuple[Failure, ...] = ()
    encodings: dict[str, str] = {}
    looked_up: int = 0
    dropped_keys: dict[str, int] = {}
    merged: tuple[MergedEntry, ...] = ()
    versions: tuple[Versions, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    def _repr_html_(self) -> str:
        rows = [
            ("papers in the corpus", str(self.documents)),
            ("passages", str(self.chunks)),
            ("files", f"{self.new} new, {self.changed} changed, {self.unchanged} unchanged"),
            ("merged, further versions", f"{self.duplicates}, {self.variants}"),
            ("texts embedded", f"{self.encoded} in {self.seconds:.1f} s"),
        ]
        named = (("failed", self.failed), ("failed before", self.known), ("read in part", self.lost))
        failures = [
            notebook.listed(what, [f"{PurePath(each.source).name}: {each.error}" for each in found])
            for what, found in named
        ]
        skipped = notebook.listed("skipped", [PurePath(path).name for path in self.skipped])
        return notebook.page(notebook.table(rows), *chain(*failures, skipped))


def encodable(path: str) -> str:
    """*path* as UTF-8 can write it: names of files need not be text."""
    return path.encode(errors="replace").decode()


def hidden_in(uri: str, papers: Iterable[Document]) -> Iterator[HiddenText]:
    """The papers of a file with text that was left out since it is hidden."""
    for paper in papers:
        if found := hidden_of(paper):
            yield HiddenText(source=uri, title=title_of(paper), characters=found)


def merged(work: Work, uris: Collection[str] | None = None) -> Iterator[MergedEntry]:
    """The entries (of the files *uris*) that another entry lists with the same text."""
    first: dict[str, Listing] = {}
    for each in work.listings:
        if (known := first.setdefault(each.document, each)) is not each and (
            uris is None or each.uri in uris
        ):
            yield MergedEntry(
                source=encodable(each.uri),
                title=each.title,
                document_id=each.document,
                same_as=encodable(known.uri),
                because=tuple(recognised(key) for key in [each.because or known.because] if key),
            )
