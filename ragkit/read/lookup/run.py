"""Asks services about papers: politely, with a limit on time, and each thing once, for the corpus keeps the replies.

A service that fails costs nothing else: its papers go without what it knows, and are asked about again next time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from langchain_core.documents import Document
from pydantic import BaseModel, ConfigDict, TypeAdapter

from ragkit.config import components
from ragkit.corpus import Corpus
from ragkit.document import digest, title_of
from ragkit.errors import LoadError
from ragkit.flow import Flow, Progress, call, emit
from ragkit.read.border import foreign
from ragkit.read.composed import composed
from ragkit.read.lookup import LookupService, NoReply, Record, Request
from ragkit.read.lookup.agreement import BESIDE, VALUES, agrees, is_wanting, lacking, requests

log = logging.getLogger("ragkit")

_TRIES = 3  # of a request that fails for the moment
_STRIKES = 3  # requests in a row that fail, after which a service is left alone
_FIRST_WAIT = 0.5  # seconds before the second try; before each further one twice as many
_LONGEST_WAIT = 60.0  # seconds; a service that asks for more is not waited for
_KEPT_AS = "records 1"  # replies that are kept in another form are asked for again
_BATCH = 100  # papers that are in memory at once
_RECORDS = TypeAdapter(list[Record])


class LookedUp(BaseModel):
    """A paper, and the names of the values that each service added."""

    document_id: str
    title: str
    looked_up: dict[str, list[str]]


class LookupReport(BaseModel):
    """What a lookup did.

    `papers`: those that were asked about since something is missing or guessed; `found`: those to which a service
    added something; `left`: those that a service was not asked about, since it failed or took too long.
    """

    model_config = ConfigDict(frozen=True)

    papers: int
    found: tuple[LookedUp, ...] = ()
    left: int = 0

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


class ToLookUp(BaseModel):
    """A paper that a lookup would ask about: the names of what is missing or guessed, and what would be asked for
    (`doi:10.1/a`, `title:Glass bridges`); nothing can be asked without an identifier or a title.
    """

    document_id: str
    title: str
    lacks: tuple[str, ...]
    asks: tuple[str, ...]


class Lookup:
    """Lookups in *corpus* by *services*, for one ingest or one command."""

    def __init__(self, services: Sequence[LookupService], corpus: Corpus) -> None:
        self.corpus = corpus
        self.lines = {name: _Line(name, service, corpus) for name, service in _named(services)}
        self.asked = digest(*(f"{name} {line.service.address}" for name, line in self.lines.items()))

    def entries(self, papers: Sequence[Document]) -> Flow[list[Document]]:
        """The papers of a file, not yet in the corpus, with what was found of them for `Corpus.put_file`."""
        known = []
        for paper in papers:
            if self.lines and not paper.metadata.get("bibliography") and is_wanting(paper.metadata):
                found = yield from self._found(paper)
                paper = paper.model_copy(update={"metadata": {**paper.metadata, "looked_up": found}})
            known.append(paper)
        return known

    def stored(self) -> Flow[LookupReport]:
        """Look up the papers of the corpus that were not looked up by these services, or only in part."""
        waiting = [each.document_id for each in self.waiting()]
        found, left = list[LookedUp](), 0
        for number, identity in enumerate(waiting):
            paper = self.corpus.document(identity)
            if not paper:
                continue
            yield from emit(Progress("lookup", number, len(waiting), title_of(paper), len(found)))
            asked, values = yield from self._found(paper)
            left += not asked
            self.corpus.put_lookup(identity, asked, values)
            if values:
                names = {service: list(each) for service, each in values.items()}
                found.append(LookedUp(document_id=identity, title=title_of(paper), looked_up=names))
        if waiting:
            yield from emit(Progress("lookup", len(waiting), len(waiting), "", len(found)))
        return LookupReport(papers=len(waiting), found=tuple(found), left=left)

    def waiting(self) -> Iterator[ToLookUp]:
        """The papers that `stored` asks about."""
        unasked = self.corpus.unasked(self.asked) if self.lines else []
        for at in range(0, len(unasked), _BATCH):
            for identity, _, known in self.corpus.texts(unasked[at : at + _BATCH]):
                if not known.get("bibliography") and is_wanting(known):
                    yield ToLookUp(
                        document_id=identity,
                        title=str(known["title"]),
                        lacks=tuple(sorted(lacking(known))),
                        asks=tuple(":".join(request) for request in requests(known)),
                    )

    def _found(self, paper: Document) -> Flow[tuple[str, dict[str, Record]]]:
        """How the paper was asked for, empty if a service failed; and what each service adds to it."""
        found: dict[str, Record] = {}
        known, asked = dict(paper.metadata), self.asked
        for name, line in self.lines.items():
            if not is_wanting(known):
                break
            for request in [each for each in requests(known) if each.by in line.service.asked_by]:
                records = yield from call("lookup", line.ask, request)
                if records is None:
                    asked = ""
                    break
                record = next((each for each in records if agrees(request, paper, each)), None)
                if added := _added(record or {}, known):
                    found[name] = added
                    left = [each for each in known.get("guessed", ()) if each not in added]
                    known = {**known, **added, "guessed": left}
                    known.pop("title_guessed" if "title" in added else "", None)
                if record:
                    break
        return asked, found


def _added(record: Mapping[str, Any], known: Mapping[str, Any]) -> Record:
    """The values of a record that the paper lacks."""
    without = lacking(known, (*VALUES, *BESIDE))
    return cast(Record, {name: value for name, value in record.items() if name in without})


def _named(services: Sequence[LookupService]) -> Iterator[tuple[str, LookupService]]:
    """The services with their short names; of two of a kind, the first."""
    seen = set()
    for service in services:
        name = components.name_of(type(service))
        if name not in seen:
            seen.add(name)
            yield name, service


class _Line:
    """The line to a service: when it may be asked next, how often it failed, and how much time it has left."""

    def __init__(self, name: str, service: LookupService, corpus: Corpus) -> None:
        self.name, self.service, self.corpus = name, service, corpus
        self.next_at, self.strikes, self.left = 0.0, 0, service.seconds_in_all
        self.is_closed = False

    def ask(self, request: Request) -> list[Record] | None:
        """The records of papers that may be meant; None if there is no reply."""
        key = digest(*request)
        if kept := self.corpus.replies(self._kept_under, _KEPT_AS, [key]).get(key):
            return _RECORDS.validate_json(kept)
        if self.is_closed:
            return None
        began = time.monotonic()
        try:
            records = [_clean(record) for record in self._reply(request)]
        except Exception as error:  # whatever a service of another package raises
            self._strike(str(error) if isinstance(error, NoReply) else f"failed: {type(error).__name__}")
            return None
        finally:
            self.left -= time.monotonic() - began
        self.strikes = 0
        self.corpus.put_replies(self._kept_under, _KEPT_AS, {key: _RECORDS.dump_json(records).decode()})
        return records

    @property
    def _kept_under(self) -> str:
        return digest("lookup", self.name, self.service.address)

    def _reply(self, request: Request) -> Sequence[Record]:
        ends = time.monotonic() + self.left
        for attempt in range(_TRIES):
            wait = max(self.next_at - time.monotonic(), 0.0)
            if time.monotonic() + wait >= ends:
                self.strikes = _STRIKES
                raise NoReply(f"took more than {self.service.seconds_in_all:g} s (`seconds_in_all`)")
            time.sleep(wait)
            self.next_at = time.monotonic() + self.service.pause
            try:
                return self.service.find(request)
            except NoReply as failure:
                wait = failure.wait or _FIRST_WAIT * 2**attempt
                self.next_at = max(self.next_at, time.monotonic() + wait)
                if wait > _LONGEST_WAIT:
                    self.strikes = _STRIKES
                    raise NoReply(f"asks to wait {wait:g} s") from failure
                if not failure.again or attempt + 1 == _TRIES:
                    raise
        raise AssertionError  # the last attempt returns or raises

    def _strike(self, reason: str) -> None:
        self.strikes += 1
        if self.strikes >= _STRIKES:
            self.is_closed = True
            log.warning(
                "lookup: %s %s and is left alone; the next ingest or `ragkit lookup` asks again about the papers that"
                " go without it",
                self.name,
                reason,
            )


def _clean(record: Record) -> Record:
    """A record in plain text with composed letters, as that of a file.  Raises `NoReply` for one that is none."""
    try:
        known = composed(Document("", metadata=foreign(record))).metadata
    except LoadError:
        raise NoReply("sent a record of more than a million characters") from None
    return _RECORDS.validate_python([known])[0]
