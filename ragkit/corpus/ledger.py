"""The passages of the corpus, the keys by which they are found, and which of them each index holds.

What an index is to hold follows from its chunker and its key writers: the passages of every listed document,
each by all of its keys.  The ledger notes which documents an index holds; a document's id is a hash of its
content, so its passages never change.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from langchain_core.documents import Document

from ragkit.corpus.database import batches, marks
from ragkit.corpus.ids import PassageIds
from ragkit.corpus.papers import Papers
from ragkit.corpus.versions import settle
from ragkit.document import Key, digest_each, passage_id, searchable
from ragkit.where import Where

_KEPT = 10_000  # passages that a thread keeps once they are read
_JUDGED = 1_000  # papers and metadata of chunks of which it is kept whether they pass a filter
_PAGE = 256  # documents that are read off the ledger at once

_CUT = "SELECT DISTINCT document FROM chunks WHERE document > ? ORDER BY document LIMIT ?"
_WITH_NEWEST = (  # every chunk, with the newest version of its paper if that is another
    "SELECT id, newest, metadata FROM chunks"
    " LEFT JOIN versions ON versions.document = chunks.document AND newest <> chunks.document"
)
_LISTED = "EXISTS (SELECT 1 FROM sources WHERE sources.document = {})"
_MISSING = (  # documents that :index lacks; :writers is a JSON list
    f"FROM chunked d WHERE chunker = :chunker AND {_LISTED.format('d.document')}"
    " AND EXISTS (SELECT 1 FROM chunks WHERE chunks.document = d.document AND chunks.chunker = :chunker)"
    ' AND NOT EXISTS (SELECT 1 FROM ledger WHERE "index" = :index AND ledger.document = d.document)'
    " AND NOT EXISTS (SELECT 1 FROM json_each(CAST(:writers AS TEXT)) w WHERE NOT EXISTS (SELECT 1 FROM keyed"
    " WHERE keyed.document = d.document AND keyed.chunker = :chunker AND keyed.writer = w.value))"
)
_SURPLUS = f'FROM ledger d WHERE "index" = :index AND NOT {_LISTED.format("d.document")}'
_UNKEYED = (
    f"FROM chunked d WHERE chunker = :chunker AND {_LISTED.format('d.document')} AND NOT EXISTS (SELECT 1 FROM keyed k"
    " WHERE k.document = d.document AND k.chunker = d.chunker AND k.writer = :writer)"
)
_UNCHUNKED = (
    f"FROM (SELECT id AS document FROM documents) d WHERE {_LISTED.format('d.document')} AND NOT EXISTS"
    " (SELECT 1 FROM chunked WHERE chunked.document = d.document AND chunker = :chunker)"
)
_HELD = 'FROM indexes JOIN ledger ON "index" = name JOIN chunks USING (document, chunker)'


@dataclass(frozen=True)
class Holding:
    """What the index that the ledger calls `name` should hold.

    That is every passage that `chunker` cuts, by its default key and the keys of `writers`; both are
    fingerprints.
    """

    name: str
    chunker: str
    writers: tuple[str, ...] = ()

    def as_parameters(self) -> dict[str, str]:
        return {"index": self.name, "chunker": self.chunker, "writers": json.dumps(self.writers)}


class Passages(NamedTuple):
    """The passages of a document, by their ids, in order."""

    document: str
    ids: list[str]


@dataclass(frozen=True)
class IndexState:
    """A complete generation of an index; `anew` if it was built from nothing."""

    holding: Holding
    fingerprint: str
    generation: int
    anew: bool


class Ledger(Papers):
    """The tables `chunks`, `chunked`, `keys`, `keyed`, `indexes` and `ledger`."""

    # --- passages

    def unchunked(self, chunker: str) -> Iterator[str]:
        """The listed documents that this chunker has not cut yet; between two of them the caller may write."""
        pages = self._documents(f"SELECT document {_UNCHUNKED}", {"chunker": chunker})
        return (document for some in pages for document in some)

    def count_unchunked(self, chunker: str) -> int:
        return int(self.value(f"SELECT count(*) {_UNCHUNKED}", {"chunker": chunker}))

    def put_chunks(self, chunker: str, papers: Sequence[Document], chunks: Sequence[Document]) -> None:
        """Record how *chunker* cut *papers*.  Each chunk's text must be `text[start:end]` of its paper."""
        texts = {str(p.id): p.page_content for p in papers}
        rows = []
        for chunk in chunks:
            m = chunk.metadata
            document, start, end = m["document_id"], m["start"], m["end"]
            if texts[document][start:end] != chunk.page_content:
                raise ValueError(f"chunk {start}:{end} of document {document} is not the text at that place")
            added = {
                k: v for k, v in m.items() if k not in ("document_id", "title", "start", "end", "sources")
            }
            identity = passage_id(document, start, end, chunker)
            rows.append((identity, document, chunker, start, end, json.dumps(added)))
        with self.transaction() as db:
            db.executemany("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", rows)
            db.executemany(
                "INSERT INTO chunked VALUES (?, ?) ON CONFLICT DO NOTHING",
                [(each, chunker) for each in texts],
            )

    def passages(self, identities: Iterable[str]) -> dict[str, Document]:
        """The chunks with these ids, with text, title and sources; those that there are.

        Those read lately are kept until the corpus changes: the next question is often about the same papers.
        """
        state, known = getattr(self.local, "passages", (None, {}))
        if state != self.state or len(known) > _KEPT:
            known = {}
            self.local.passages = self.state, known
        wanted = list(dict.fromkeys(identities))
        known |= self._passages([i for i in wanted if i not in known])
        return {i: known[i] for i in wanted if i in known}

    def _passages(self, wanted: Sequence[str]) -> dict[str, Document]:
        rows = []
        for some in batches(wanted):
            rows += self.db.execute(
                f'SELECT id, document, start, "end", metadata FROM chunks WHERE id IN ({marks(some)})',
                some,
            ).fetchall()
        documents = list(dict.fromkeys(row[1] for row in rows))
        sources, papers = self.sources(documents), dict[str, tuple[str, str, dict[str, Any]]]()
        for identity, text, known in self.texts(documents):
            known.pop("sections", None)
            papers[identity] = text, str(known.pop("title")), known
        found = {}
        for identity, document, start, end, metadata in rows:
            if document not in papers:  # dropped by a writer
                continue
            text, title, known = papers[document]
            places = [source.within((start, end)) for source in sources.get(document, ())]
            own = {"document_id": document, "title": title, "start": start, "end": end}
            found[identity] = Document(
                id=identity,
                page_content=text[start:end],
                metadata={**known, "sources": places, **json.loads(metadata), **own},
            )
        return found

    def passages_of(self, documents: Collection[str]) -> PassageIds:
        """The ids of all passages of these documents."""
        query = "SELECT id FROM chunks WHERE document IN ({})"
        return PassageIds(
            each for some in batches(documents) for each in self.column(query.format(marks(some)), some)
        )

    def matching(self, where: Where) -> PassageIds | None:
        """The chunks that pass a filter; None where all do.  Kept until the corpus changes."""
        state = self.state
        known: dict[tuple[Any, Where], PassageIds | None] = getattr(self.local, "matching", {})
        if (state, where) not in known:
            self.local.matching = known = {(state, where): self._matching(where)}
        return known[state, where]

    def judging_pays(self, where: Where, found: int, count: Callable[[], int]) -> bool:
        """Is it cheaper to judge *found* more chunks by `passing` than to ask `matching`, which judges all *count()* of them?

        Not where `matching` has its answer already, nor once as many were judged since the corpus changed.
        """
        key = self.state, where
        if key in getattr(self.local, "matching", {}):
            return False
        left = getattr(self.local, "to_judge", {}).get(key)
        self.local.to_judge = {key: (count() if left is None else left) - found}
        return bool(self.local.to_judge[key] + found > 0)

    def passing(self, where: Where, identities: Collection[str]) -> set[str]:
        """Those of the chunks with these ids that pass a filter."""
        found: set[str] = set()
        for some in batches(identities):
            rows = self.db.execute(
                f"SELECT id, document, metadata FROM chunks WHERE id IN ({marks(some)})", some
            ).fetchall()
            own = where.fields() <= _OF_CHUNKS
            papers = {} if own else self.facts_of(list(dict.fromkeys(document for _, document, _ in rows)))
            found.update(identity for identity, passes in _passing(where, papers, rows) if passes)
        return found

    def _matching(self, where: Where) -> PassageIds | None:
        if all(
            passes for _, passes in self._judged(where)
        ):  # holds nothing, and ends where one does not pass
            return None
        return PassageIds(identity for identity, passes in self._judged(where) if passes)

    def _judged(self, where: Where) -> Iterator[tuple[str, bool]]:
        """Every chunk, and whether it passes the filter; few chunks, and few papers' facts, are held at once."""
        if where.fields() <= _OF_CHUNKS | {"superseded_by"}:
            yield from _passing(where, None, self.store.stream(_WITH_NEWEST))
            return
        for documents in self.pages(_CUT):
            query = f"SELECT id, document, metadata FROM chunks WHERE document IN ({marks(documents)})"
            yield from _passing(where, self.facts_of(documents), self.db.execute(query, documents))

    def facts_of_papers(self, where: Where | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """What is known of every paper that a file lists and of which a passage passes the filter, in order of the
        papers' ids; few papers are held at once.  See `facts`.
        """
        among = None if where is None else self.matching(where)
        if among is None:
            yield from ((identity, known) for identity, known in self.facts() if known["uri"])
            return
        for some in self.pages(_CUT):
            cut = self.db.execute(f"SELECT document, id FROM chunks WHERE document IN ({marks(some)})", some)
            if passing := sorted({document for document, identity in cut if identity in among}):
                yield from ((i, known) for i, known in self.facts_of(passing).items() if known["uri"])

    # --- keys

    def unkeyed(self, chunker: str, writer: str) -> Iterator[Passages]:
        """The passages cut by *chunker* that *writer* has not written keys for, one document at a time."""
        return self._paged(f"SELECT document {_UNKEYED}", {"chunker": chunker, "writer": writer}, chunker)

    def count_unkeyed(self, chunker: str, writer: str) -> int:
        """In how many documents they are."""
        return int(self.value(f"SELECT count(*) {_UNKEYED}", {"chunker": chunker, "writer": writer}))

    def put_keys(
        self,
        chunker: str,
        writer: str,
        kind: str,
        documents: Iterable[str],
        keys: Iterable[tuple[str, Sequence[str]]],
    ) -> None:
        """Record the *keys* that *writer* wrote for all passages of *documents*.

        Each is a passage's id and the texts of its keys.
        """
        with self.transaction() as db:
            for identity, texts in keys:
                db.execute("DELETE FROM keys WHERE passage = ? AND writer = ?", (identity, writer))
                last = self.value("SELECT coalesce(max(n), 0) FROM keys WHERE passage = ?", (identity,))
                rows = [(identity, last + 1 + n, writer, kind, text) for n, text in enumerate(texts)]
                db.executemany("INSERT INTO keys VALUES (?, ?, ?, ?, ?)", rows)
            done = [(document, chunker, writer) for document in documents]
            db.executemany("INSERT INTO keyed VALUES (?, ?, ?) ON CONFLICT DO NOTHING", done)

    def keys(self, passages: Iterable[Document], writers: Sequence[str] = ()) -> list[Key]:
        """What *passages* are found by: the default key, and what *writers* wrote."""
        every = list(passages)
        written: dict[str, list[Key]] = {}
        for some in batches(str(p.id) for p in every) if writers else ():
            for row in self.db.execute(
                f"SELECT passage, n, text, kind FROM keys WHERE passage IN ({marks(some)}) AND writer IN ({marks(writers)}) ORDER BY passage, n",
                (*some, *writers),
            ):
                written.setdefault(row[0], []).append(Key(*row))
        return [key for p in every for key in (Key(str(p.id), 0, searchable(p)), *written.get(str(p.id), ()))]

    def key(self, passage: str, n: int) -> Key | None:
        """A key that a key writer wrote."""
        row = self.db.execute(
            "SELECT passage, n, text, kind FROM keys WHERE passage = ? AND n = ?", (passage, n)
        ).fetchone()
        return Key(*row) if row else None

    def numbers(self, passages: Iterable[str]) -> list[tuple[str, int]]:
        """Every key that these passages have, whoever wrote it: passage and number."""
        found = []
        for some in batches(passages):
            found += [(passage, 0) for passage in some]
            found += self.db.execute(
                f"SELECT passage, n FROM keys WHERE passage IN ({marks(some)})", some
            ).fetchall()
        return found

    # --- what each index holds

    def missing(self, holding: Holding) -> Iterator[Passages]:
        """The passages that an index should hold and does not, a document at a time."""
        return self._paged(f"SELECT document {_MISSING}", holding.as_parameters(), holding.chunker)

    def surplus(self, index: str) -> Iterator[Passages]:
        """The passages that *index* holds and should not: those of documents that no file lists any more."""
        chunker = self.value("SELECT chunker FROM indexes WHERE name = ?", (index,))
        return self._paged(f"SELECT document {_SURPLUS}", {"index": index}, chunker)

    def renewed(self, index: str) -> Iterator[Passages]:
        """The passages that *index* holds under a title that was corrected since, and is to hold further."""
        query = f'SELECT document FROM renewed d WHERE "index" = :index AND {_LISTED.format("d.document")}'
        chunker = self.value("SELECT chunker FROM indexes WHERE name = ?", (index,))
        return self._paged(query, {"index": index}, chunker)

    def held(self, index: str) -> Iterator[str]:
        """The passages that *index* holds, by the ledger."""
        query = 'SELECT document FROM ledger d WHERE "index" = :index'
        chunker = self.value("SELECT chunker FROM indexes WHERE name = ?", (index,))
        return (each for some in self._paged(query, {"index": index}, chunker) for each in some.ids)

    def _paged(self, query: str, parameters: Mapping[str, str], chunker: str) -> Iterator[Passages]:
        """The passages of the documents that *query* selects, read page by page.

        Between pages the caller may write to the database, from another thread too.
        """
        for documents in self._documents(query, parameters):
            cut = self._cut(chunker, documents)
            for document in documents:
                yield Passages(document, cut.get(document, []))

    def _documents(self, query: str, parameters: Mapping[str, str]) -> Iterator[list[str]]:
        """The documents that *query* selects, page by page."""
        last = ""
        page = f"{query} AND document > :last ORDER BY document LIMIT {_PAGE}"
        while documents := self.column(page, {**parameters, "last": last}):
            yield documents
            last = documents[-1]

    def _cut(self, chunker: str, documents: Iterable[str]) -> dict[str, list[str]]:
        """The passages of *documents*, in order."""
        found: dict[str, list[str]] = {}
        for some in batches(documents):
            for document, identity in self.db.execute(
                f"SELECT document, id FROM chunks WHERE document IN ({marks(some)}) AND chunker = ?"
                ' ORDER BY document, start, "end"',
                (*some, chunker),
            ):
                found.setdefault(document, []).append(identity)
        return found

    def count_missing(self, holding: Holding) -> int:
        """How many passages an index should hold and does not."""
        return int(
            self.value(
                f"SELECT count(*) FROM chunks WHERE chunker = :chunker AND document IN (SELECT document {_MISSING})",
                holding.as_parameters(),
            )
        )

    def count_surplus(self, index: str) -> int:
        """How many passages *index* holds and should not."""
        surplus = f"SELECT document {_SURPLUS}"
        return int(
            self.value(
                f"SELECT count(*) {_HELD} WHERE name = :index AND document IN ({surplus})", {"index": index}
            )
        )

    def count_held(self, index: str) -> int:
        """How many passages *index* holds, by the ledger."""
        return int(self.value(f"SELECT count(*) {_HELD} WHERE name = :index", {"index": index}))

    def count_keys(self, index: str) -> int:
        """How many keys the passages that *index* holds are found by, by the ledger."""
        written = (
            f"SELECT count(*) {_HELD} JOIN keys ON passage = chunks.id WHERE name = :index"
            " AND writer IN (SELECT value FROM json_each(indexes.writers))"
        )
        return self.count_held(index) + int(self.value(written, {"index": index}))

    def count_known(self, index: str, keys: Sequence[tuple[str, int]]) -> int:
        """How many of *keys* (passages and numbers) *index* holds, by the ledger."""
        built = self.db.execute("SELECT writers, chunker FROM indexes WHERE name = ?", (index,)).fetchone()
        writers, chunker = built or ("[]", "")
        known: set[tuple[str, int]] = set()
        for some in batches({identity for identity, _ in keys}):
            held = self.column(
                f"SELECT id FROM chunks WHERE id IN ({marks(some)}) AND chunker = ?"
                ' AND EXISTS (SELECT 1 FROM ledger WHERE "index" = ? AND ledger.document = chunks.document)',
                (*some, chunker, index),
            )
            known |= {(each, 0) for each in held}
            if not held:
                continue
            known |= set(
                self.db.execute(
                    f"SELECT passage, n FROM keys WHERE passage IN ({marks(held)})"
                    " AND writer IN (SELECT value FROM json_each(CAST(? AS TEXT)))",
                    (*held, writers),
                )
            )
        return sum(key in known for key in keys)

    def ledger_digest(self, index: str) -> str:
        """A digest of all that *index* holds, by the ledger: the same for the same papers everywhere."""
        query = 'SELECT document FROM ledger d WHERE "index" = :index'
        return digest_each(each for some in self._documents(query, {"index": index}) for each in some)

    # --- changing it

    def mark(self, index: str, documents: Iterable[str]) -> None:
        """Note that *index* holds the passages of *documents*."""
        with self.transaction() as db:
            db.executemany(
                "INSERT INTO ledger VALUES (?, ?) ON CONFLICT DO NOTHING",
                [(index, each) for each in documents],
            )

    def unmark(self, index: str, documents: Collection[str]) -> None:
        with self.transaction() as db:
            for table in ("ledger", "renewed"):
                some = [(index, each) for each in documents]
                db.executemany(f'DELETE FROM {table} WHERE "index" = ? AND document = ?', some)

    def begin_index(self, holding: Holding, fingerprint: str) -> None:
        """Note that an index exists, holds nothing, and is built with what *fingerprint* stands for."""
        with self.transaction() as db:
            db.execute("DELETE FROM indexes WHERE name = :index", holding.as_parameters())
            db.execute(_NOTED, {**holding.as_parameters(), "fingerprint": fingerprint, "generation": 0})

    def publish(self, states: Iterable[IndexState]) -> None:
        """Say which states of some indexes are searched from now on, and which versions of works are the newest: all
        of it at the same moment.
        """
        with self.transaction() as db:
            for new in states:
                given = {
                    **new.holding.as_parameters(),
                    "fingerprint": new.fingerprint,
                    "generation": new.generation,
                }
                if new.anew:
                    db.execute("DELETE FROM indexes WHERE name = :index", given)
                db.execute(_NOTED, given)
                db.execute(
                    f'DELETE FROM ledger WHERE ("index", document) IN (SELECT "index", document {_SURPLUS})',
                    given,
                )
                db.execute(f"INSERT INTO ledger SELECT :index, document {_MISSING}", given)
                db.execute('DELETE FROM renewed WHERE "index" = :index', given)
            settle(db)

    def published(self) -> dict[str, tuple[str, int]]:
        """What each index was built with, and which of its generations is searched."""
        return {
            name: (built, number)
            for name, built, number in self.db.execute("SELECT name, fingerprint, generation FROM indexes")
        }

    def index_fingerprint(self, index: str) -> str | None:
        """What *index* was built with; None if there is no such index."""
        found = self.value("SELECT fingerprint FROM indexes WHERE name = ?", (index,))
        return None if found is None else str(found)


_OF_CHUNKS = frozenset({"section", "kind"})
"""Fields that the metadata of a chunk tell."""


def _passing(
    where: Where, papers: Mapping[str, Mapping[str, Any]] | None, rows: Iterable[tuple[str, Any, str]]
) -> Iterator[tuple[str, bool]]:
    """Each chunk of *rows* (id, paper, metadata), and whether it passes, with what is known of its paper.

    Without *papers*, the second value of a row is the newest version of the paper, None if that is the paper itself.
    """
    passes: dict[tuple[str | None, str], bool] = {}  # few chunks of a paper differ in their metadata
    for identity, paper, metadata in rows:
        if (key := (paper, metadata)) not in passes:
            if len(passes) == _JUDGED:
                passes.clear()
            known = {"superseded_by": paper} if papers is None else papers.get(paper, {})
            passes[key] = where.matches({**known, **json.loads(metadata)})
        yield identity, passes[key]


_NOTED = (
    "INSERT INTO indexes VALUES (:index, :fingerprint, :chunker, :writers, :generation) ON CONFLICT (name) DO UPDATE"
    " SET fingerprint = excluded.fingerprint, generation = excluded.generation"
)
