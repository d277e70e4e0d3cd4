"""What an ingest was given beside files and folders: addresses to fetch, and what is known of files beside themselves."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

from ragkit.corpus import Corpus
from ragkit.document import digest
from ragkit.errors import LoadError
from ragkit.flow import Flow, Progress, call, emit
from ragkit.ingest.report import Failure
from ragkit.read import PaperSource, objects, zotero
from ragkit.read.addresses import Address, address_of
from ragkit.read.attached import ENDINGS, AttachedFiles, attached
from ragkit.read.downloads import Downloads
from ragkit.read.fetch import Fetcher

log = logging.getLogger("ragkit")


@dataclass
class Gathered:
    """The `paths` to read, those of fetched files and of Zotero libraries among them, and the `failed` addresses.

    `known` is what is known of files beside themselves; `fetched` are the addresses by their files; `again` are the
    files and folders that the user named, whose papers are read again also if they were removed or failed; in
    `scopes`, `prune` looks for files that are gone.
    """

    downloads: Downloads
    paths: list[str | Path] = field(default_factory=list)
    scopes: list[str | Path] = field(default_factory=list)
    again: set[str] = field(default_factory=set)
    known: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    fetched: dict[str, Address] = field(default_factory=dict)
    failed: list[Failure] = field(default_factory=list)

    def add(self, given: Sequence[str | Path]) -> list[Address]:
        """Take the files, folders and libraries among what was *given*; return the addresses."""
        addresses = []
        for path in map(objects.local, given):
            if address := address_of(path):
                addresses.append(address)
            elif (folder := zotero.folder_of(path)) and not zotero.is_export(folder):
                self._add_library(zotero.library(folder))
            else:
                self._add_path(folder or path)
        if addresses:
            self.scopes.append(self.downloads.folder)
        return addresses

    def add_fetched(self, address: Address, file: Path) -> None:
        self._add_path(file)
        self.fetched[str(file)] = address
        self.known[str(file)] = address.known

    def _add_path(self, path: str | Path) -> None:
        self.paths.append(path)
        self.scopes.append(path)
        self.again.add(str(path) if objects.is_object(path) else str(Path(path).resolve()))

    def _add_library(self, library: zotero.ZoteroLibrary) -> None:
        self.paths += library.files
        self.scopes.append(library.folder)
        self.known |= {str(path): known for path, known in library.files.items() if known}
        if library.missing:
            log.warning(
                "the Zotero library names files that are not on this machine, %d in all, such as %s;"
                " Zotero can download them",
                len(library.missing),
                library.missing[0],
            )

    def with_attached(self, corpus: Corpus, uris: Sequence[str], reader: PaperSource) -> list[str]:
        """*uris*, and the files that the bibliographies among them name; what these say of each becomes known."""
        files: dict[Path, dict[str, Any]] = {}
        own = (uri for uri in uris if not objects.is_object(uri))  # those in stores are read alone
        for path in (Path(uri) for uri in own if uri.lower().endswith(ENDINGS)):
            with suppress(LoadError):  # the error is reported when the file is read
                found = attached(path, chain.from_iterable(reader.read(str(path))))
                files |= found.files
                _warn_of(path, found)
        uris = list(dict.fromkeys([*uris, *self.own(corpus, list(map(str, files)))]))
        self.known |= {str(path): known for path, known in files.items() if known and str(path) in uris}
        return uris

    def own(self, corpus: Corpus, uris: Sequence[str]) -> list[str]:
        """*uris* without those in the folder of the corpus that were neither uploaded nor fetched now."""
        inside, uploads = corpus.directory.resolve(), corpus.uploads
        return [
            uri
            for uri in uris
            if uri in self.fetched
            or not Path(uri).is_relative_to(inside)
            or Path(uri).is_relative_to(uploads)
        ]

    def settled(self, corpus: Corpus, failed: Sequence[Failure]) -> list[Failure]:
        """*failed* with addresses in place of fetched files; those of which the corpus has no paper are deleted."""
        told = []
        for each in failed:
            address = self.fetched.get(each.source)
            if address and not corpus.known_files([each.source]):
                self.downloads.drop(Path(each.source))
                corpus.forget_files([each.source])
            told.append(Failure(source=address.url, error=each.error) if address else each)
        return told


def _warn_of(path: Path, found: AttachedFiles) -> None:
    """Say which files a bibliography names that are not read."""
    for why, files, way_out in (
        ("do not exist", found.missing, "export the library with its files"),
        (
            "are not read, since they are hidden or outside its folder",
            found.outside,
            "export the library with its files, or name these files, too",
        ),
    ):
        if files:
            log.warning(
                "'%s' names files that %s: %d, such as '%s'; %s",
                path.name,
                why,
                len(files),
                files[0],
                way_out,
            )


def gather(corpus: Corpus, given: Sequence[str | Path], fetcher: Fetcher) -> Flow[Gathered]:
    """Fetch the addresses among what was *given*, and look into libraries.

    An address that cannot be fetched fails alone.  Raises `UsageError` for a library that is none.
    """
    named = Gathered(Downloads(corpus.directory))
    addresses = named.add(given)
    for done, address in enumerate(addresses):
        yield from emit(Progress("fetch", done, len(addresses), address.url))
        try:
            named.add_fetched(address, (yield from call("fetch", named.downloads.get, address, fetcher)))
        except LoadError as error:
            named.failed.append(Failure(source=address.url, error=str(error)))
    if addresses:
        yield from emit(Progress("fetch", len(addresses), len(addresses)))
    return named


def gathered_offline(corpus: Path, given: Sequence[str | Path]) -> tuple[Gathered, list[str]]:
    """What `gather` would gather without fetching anything, and the addresses that it would fetch."""
    named = Gathered(Downloads(corpus))
    addresses = named.add(given)
    for address in addresses:
        if kept := named.downloads.kept(address):
            named.add_fetched(address, kept)
    return named, [address.url for address in addresses]


class Origins:
    """What is known of files beside themselves, by their paths."""

    def __init__(self, known: Mapping[str, Mapping[str, Any]]) -> None:
        self.known = known

    def digest(self, uri: str, content: str) -> str:
        """The digest of a file's *content* with what is known of it, so that it is read again if this changes."""
        known = self.known.get(uri)
        return digest(content, json.dumps(known, sort_keys=True)) if known else content

    def applied(self, uri: str, papers: Sequence[Document]) -> Sequence[Document]:
        """The papers of a file, with what is known of it if it is one paper; that comes before what the file says."""
        known = self.known.get(uri)
        if not known or len(papers) != 1 or papers[0].metadata.get("bibliography"):
            return papers
        [paper] = papers
        own: Mapping[str, Any] = paper.metadata
        if "title" in known:
            own = {name: value for name, value in own.items() if name != "title_guessed"}
        left: Collection[str] = [name for name in own.get("guessed", ()) if name not in known]
        own = {**own, **known, **({"guessed": left} if "guessed" in own else {})}
        return [paper.model_copy(update={"metadata": own})]
