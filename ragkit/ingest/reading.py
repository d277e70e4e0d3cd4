"""What an ingest is to read, and how it reads: files that are new or changed, each of which fails alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from langchain_core.documents import Document
from pydantic import BaseModel

from ragkit.corpus import Corpus
from ragkit.corpus.papers import FailedRead
from ragkit.document import lost_of
from ragkit.errors import LoadError, Unreachable
from ragkit.flow import Flow, Progress, call, emit
from ragkit.ingest.origins import Gathered, Origins, gather
from ragkit.ingest.report import Failure, HiddenText, encodable, hidden_in
from ragkit.read import PaperSource
from ragkit.read.fetch import Fetcher
from ragkit.read.lookup.run import Lookup


@dataclass(frozen=True)
class IngestRequest:
    """What is ingested: *paths*, into *corpus*.  Without paths, only the indexes are brought up to date.

    Paths may be addresses, whose files are fetched, and folders or objects in object stores (`s3://bucket/path`).
    With `prune`, files that are gone are forgotten.
    """

    corpus: Corpus
    paths: Sequence[str | Path] = ()
    prune: bool = False
    fetcher: Fetcher = Fetcher()


@dataclass(frozen=True)
class FoundFiles:
    """The files `uris` to read, of what was `named`, and those of them `known` before.

    `skipped` are those left out, `unused` ones among them, and `pruned` those that are gone and were forgotten.
    """

    named: Gathered
    uris: Sequence[str]
    skipped: Sequence[str]
    unused: Sequence[str]
    pruned: Sequence[str]
    known: Collection[str]


def find(given: IngestRequest, source: PaperSource, reader: PaperSource) -> Flow[FoundFiles]:
    """Fetch what is at addresses, find all files, and forget those that are gone.  Takes the corpus lock for granted."""
    corpus = given.corpus
    named: Gathered = yield from gather(corpus, given.paths, given.fetcher)
    uris = named.own(corpus, (yield from call("read", reader.find, named.paths)))
    uris = yield from call("read", named.with_attached, corpus, uris, reader)
    if named.known:
        corpus.put_origins(named.known)
    skipped = yield from call("read", source.skipped, named.paths)
    unused = named.own(corpus, (yield from call("read", reader.unused, named.paths)))
    pruned = source.gone(corpus.uris(), named.scopes) if given.prune else []
    gone = source.gone(corpus.failures(), named.scopes) if given.prune else []
    corpus.forget_files([*pruned, *gone])
    corpus.readmit(named.again)
    return FoundFiles(named, uris, skipped, unused, pruned, corpus.known_files(map(encodable, uris)))


class Did(BaseModel):
    """What was done: the files whose papers the corpus has, those that were read, what is to report."""

    uris: list[str] = []
    read: set[str] = set()
    failed: list[Failure] = []
    known: list[Failure] = []
    hidden: list[HiddenText] = []
    lost: list[Failure] = []
    encodings: dict[str, str] = {}
    looked_up: int = 0
    encoded: int = 0
    dropped: dict[str, int] = {}

    def note(self, uri: str, entries: Sequence[Document]) -> None:
        """Note that a file was read."""
        self.uris.append(uri)
        self.read.add(uri)
        self.hidden += hidden_in(uri, entries)
        self.lost += [Failure(source=encodable(uri), error=said) for said in lost_of(entries)]
        for paper in entries:
            self.looked_up += all(paper.metadata.get("looked_up", [False]))  # else it is asked about again
            if encoding := paper.metadata.get("encoding"):
                self.encodings[encodable(uri)] = str(encoding)

    def add(self, more: Did) -> None:
        """Add what was done beside this."""
        self.uris += more.uris
        self.read |= more.read
        self.failed += more.failed
        self.known += more.known
        self.hidden += more.hidden
        self.lost += more.lost
        self.encodings |= more.encodings
        self.looked_up += more.looked_up
        self.encoded += more.encoded
        for reason, count in more.dropped.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + count


class ReadKeeper(Protocol):
    """Keeps what was read: the corpus, or the queue of several workers."""

    def put_file(self, uri: str, digest: str, loader: str, entries: Sequence[Document]) -> None: ...

    def put_failure(self, uri: str, tried: FailedRead) -> None: ...


@dataclass(frozen=True)
class FileReading:
    """How *reader* reads for *corpus*: `loader` and `attempt` identify its settings, as `IngestPipeline` has them."""

    corpus: Corpus
    reader: PaperSource
    lookup: Lookup
    loader: str
    attempt: str

    def digest(self, uri: str) -> str:
        """The digest of a file with what is known of it.  Raises `LoadError`."""
        return Origins(self.corpus.origins(encodable(uri))).digest(uri, self.reader.digest(uri))

    def flow(
        self, found: Sequence[str], again: Collection[str] = (), into: ReadKeeper | None = None
    ) -> Flow[Did]:
        """Read what is new or changed, *into* the corpus if nothing else is named; a file that cannot be read fails alone.

        One that failed before is tried again only if it changed or is in *again*.
        """
        return (yield from _Run(self, found, again, into or self.corpus).flow())


class _Run:
    """One run of `FileReading.flow`: what is known of its files, and what was done so far."""

    def __init__(
        self, reading: FileReading, found: Sequence[str], again: Collection[str], into: ReadKeeper
    ) -> None:
        one = encodable(found[0]) if len(found) == 1 else None
        failures = reading.corpus.failures(one)
        self.reading, self.found, self.into = reading, found, into
        self.origins = Origins(reading.corpus.origins(one))
        self.last = {uri: None if uri in again else failures.get(encodable(uri)) for uri in found}
        self.to_read: dict[str, str] = {}  # and the digest of each
        self.did, self.papers = Did(), 0

    def flow(self) -> Flow[Did]:
        for number, uri in enumerate(self.found):
            yield from self._progress(number - len(self.to_read), uri)
            yield from self._compare(uri)
        done = len(self.found) - len(self.to_read)
        with closing(self.reading.reader.read_each(list(self.to_read))) as each:
            for number, (uri, batches) in enumerate(zip(self.to_read, each, strict=True), done):
                yield from self._read(number, uri, batches)
        yield from self._progress(len(self.found))
        return self.did

    def _compare(self, uri: str) -> Flow[None]:
        """Note that a file is to be read, unless the corpus has it, or it failed before and is the same."""
        reading, before = self.reading, self.last[uri]
        try:
            content = self.origins.digest(uri, (yield from call("read", reading.reader.digest, uri)))
        except LoadError as error:
            self._fail(uri, "", error)
            return
        if reading.corpus.has_file(uri, content, reading.loader):
            self.did.uris.append(uri)
        elif before and before[:2] == (content, reading.attempt):
            self.did.known.append(Failure(source=encodable(uri), error=before.error))
        else:
            self.to_read[uri] = content

    def _read(self, number: int, uri: str, batches: Iterator[list[Document]]) -> Flow[None]:
        """Read a file, which is this *number* of all, and keep its papers."""
        yield from self._progress(number, uri)
        content = self.to_read[uri]
        entries: list[Document] = []  # no write transaction may wait for who takes the events
        try:
            while some := (yield from call("read", _next, batches)):
                entries += some
                self.papers += len(some)
                yield from self._progress(number, uri)
            entries = yield from self.reading.lookup.entries(self.origins.applied(uri, entries))
            self.into.put_file(uri, content, self.reading.loader, entries)
            self.did.note(uri, entries)
        except LoadError as error:
            # one that could not be fetched is not known, so that it is tried again
            self._fail(uri, "" if isinstance(error, Unreachable) else content, error)

    def _fail(self, uri: str, content: str, error: LoadError) -> None:
        tried = FailedRead(content, self.reading.attempt, str(error))
        failure = Failure(source=encodable(uri), error=str(error))
        (self.did.known if tried == self.last[uri] else self.did.failed).append(failure)
        self.into.put_failure(encodable(uri), tried)

    def _progress(self, done: int, uri: str = "") -> Flow[None]:
        yield from emit(Progress("read", done, len(self.found), encodable(Path(uri).name), self.papers))


def _next(batches: Iterator[list[Document]]) -> list[Document]:
    return next(batches, [])
