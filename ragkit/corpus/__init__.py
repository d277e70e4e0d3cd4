"""The corpus: one database (SQLite or Postgres) that is the truth about documents, sources, passages, vectors and indexes.

Everything else on disk is derived from it and can be deleted.  A change is one transaction, so a process that
is killed leaves either the old state or the new one; what each index still lacks, or should no longer hold,
is read off the ledger, so the next `ingest` resumes work that was interrupted.

    files      uri, digest, loader                   what was read, so that an unchanged file is not read again
    documents  id, title, text, metadata, work       a text of a paper, the id a hash of title and text; a paper is a work
    identifiers  key, document                       DOI, arXiv id, title and text: how a paper is recognised again
    sources    uri, position, document, places, because  where a text is listed, and the key by which it was recognised;
                                                     a text without any is on its way out
    former     uri, document, places                 where a paper was listed that is on its way out, and is still found
    versions   document, label, place, newest        the texts of each work that has several, the newest at place 0
    descriptions  uri, position, key, metadata       what a bibliography says of the paper that a key names
    lookups    document, asked, found                what services say of a document, and how they were asked
    corrections document, keys, corrected            what the user says of a document, and what takes its place
    origins    uri, known                            what is known of a file beside itself: where it was fetched
    removed    uri, document, known                  papers that the user removed, as a file lists them
    chunks     id, document, chunker, start, end     passages, by the fingerprint of the chunker that cut them
    chunked    document, chunker                     which documents each chunker has cut
    keys       passage, n, writer, kind, text        what a passage is found by, beside its own title, headings and text
    keyed      document, chunker, writer             for the passages of which documents each key writer has written
    vectors    model, text hash, vector              every embedding ever made, so that none is made twice
    replies    model, prompt, text hash, reply       what chat models replied to key writers, and services to lookups, so that nothing is asked twice
    indexes    name, fingerprint, generation         what each index was built with, and which state of it is searched
    ledger     index, document                       the documents whose passages each index holds
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ragkit.corpus.database import batches, marks
from ragkit.corpus.ledger import Ledger
from ragkit.corpus.papers import DOCUMENTS, LISTINGS, last_page
from ragkit.corpus.vectors import VectorCache
from ragkit.document import digest, searchable
from ragkit.errors import UsageError

_DIGEST = "S20"  # of a text, in ASCII
_READ = 20  # documents whose texts are read at once
_FILES = "SELECT uri FROM files WHERE uri > ? ORDER BY uri LIMIT ?"


@dataclass(frozen=True)
class Counts:
    """What the corpus holds.

    `duplicates` and `variants`: entries of papers that an earlier entry lists, with the same text or with another.
    """

    files: int
    entries: int
    documents: int
    duplicates: int
    variants: int
    descriptions: int
    chunks: int
    vectors: int


class Corpus(Ledger, VectorCache):
    """The system of record at *place*; see `Database` for how it is opened."""

    def counts(self, uris: Sequence[str] | None = None) -> Counts:
        """Counts over the corpus.

        *uris* limits `files`, `entries`, `duplicates` and `variants` to these files.
        """
        with self._selected(uris) as chosen:
            entries, variants, duplicates = self.db.execute(
                "SELECT count(*), count(CASE WHEN listing = 1 AND of_work > 1 THEN 1 END), count(CASE WHEN listing > 1 THEN 1 END)"
                f" FROM ({LISTINGS}) AS listings WHERE {chosen.format('uri')}"
            ).fetchone()
            described = self.value(
                f"SELECT count(*) FROM (SELECT DISTINCT uri, position FROM descriptions WHERE {chosen.format('uri')}) AS described"
            )
            files = self.value(f"SELECT count(*) FROM files WHERE {chosen.format('uri')}")
        documents = self.value("SELECT count(DISTINCT work) FROM sources JOIN documents ON id = document")
        chunks = self.value("SELECT count(*) FROM chunks WHERE document IN (SELECT id FROM documents)")
        vectors = self.value("SELECT count(*) FROM vectors")
        return Counts(files, entries, documents, duplicates, variants, described, chunks, vectors)

    def document_ids(self) -> list[str]:
        """The texts that a file lists."""
        return self.column("SELECT DISTINCT document FROM sources ORDER BY document")

    def paper_ids(self) -> list[str]:
        """The papers that a file lists, each by its newest version."""
        older = self.superseded()
        return [identity for identity in self.document_ids() if identity not in older]

    def listed(self, documents: Iterable[str]) -> set[str]:
        """Those of *documents* that a file lists."""
        return {
            each
            for some in batches(documents)
            for each in self.column(f"SELECT document FROM sources WHERE document IN ({marks(some)})", some)
        }

    def find_documents(self, beginning: str) -> list[str]:
        """The ids that begin so: a user may shorten an id as long as it is unique."""
        return self.column(
            "SELECT id FROM documents WHERE substr(id, 1, ?) = ? ORDER BY id", (len(beginning), beginning)
        )

    def uris(self) -> Iterator[str]:
        """The files that were read, in order; between two of them the caller may write."""
        return (uri for some in self.pages(_FILES) for uri in some)

    def known_files(self, uris: Iterable[str]) -> set[str]:
        """Those of *uris* that were read."""
        return {
            uri
            for some in batches(uris)
            for uri in self.column(f"SELECT uri FROM files WHERE uri IN ({marks(some)})", some)
        }

    def sizes(self, chunker: str, documents: Iterable[str]) -> dict[str, tuple[int | None, int]]:
        """How many pages each document has, None where its files have none, and how many passages of *chunker*."""
        found: dict[str, tuple[int | None, int]] = {}
        for some in batches(documents):
            named, pages = f"document IN ({marks(some)})", dict[str, int]()
            query = f"SELECT document, pages FROM sources WHERE pages IS NOT NULL AND {named}"
            for document, rows in self.db.execute(query, some):
                pages[document] = max(pages.get(document, 0), last_page(rows))
            query = f"SELECT document, count(*) FROM chunks WHERE chunker = ? AND {named} GROUP BY document"
            passages = dict(self.db.execute(query, (chunker, *some)).fetchall())
            found |= {each: (pages.get(each), passages.get(each, 0)) for each in some}
        return found

    def fields(self) -> set[str]:
        """The names of all that is known of papers and passages, which filters may ask for."""
        cut = "SELECT DISTINCT json_each.key FROM chunks, json_each(chunks.metadata)"
        papers = (known for some in self.pages(DOCUMENTS) for known in self.facts_of(some).values())
        return {name for known in papers for name in known} | set(self.column(cut))

    def orphaned_vectors(self) -> NDArray[np.bytes_]:
        """The digests of the texts that have vectors and by which no passage is found any more, in order."""
        rows = self.store.stream("SELECT text FROM vectors")
        known = np.unique(np.fromiter((text for [text] in rows), dtype=_DIGEST))
        orphaned = np.ones(len(known), dtype=np.bool_)
        for texts in batches(self._texts_of_keys()) if len(known) else ():
            needed = np.asarray([digest(text) for text in texts], dtype=_DIGEST)
            at = np.minimum(np.searchsorted(known, needed), len(known) - 1)
            orphaned[at[known[at] == needed]] = False
        return known[orphaned]

    def _texts_of_keys(self) -> Iterator[str]:
        """What all passages of all chunkers are found by; few texts are held at once."""
        yield from (text for [text] in self.store.stream("SELECT text FROM keys"))
        for documents in self.pages(DOCUMENTS, _READ):
            cut = self.column(f"SELECT id FROM chunks WHERE document IN ({marks(documents)})", documents)
            yield from map(searchable, self._passages(cut).values())

    def vacuum(self) -> int:
        """Delete the orphaned vectors, give their room back to the disk, and say how many they were."""
        orphaned, models = self.orphaned_vectors(), self.column("SELECT DISTINCT model FROM vectors")
        with self.transaction() as db:
            for model in models:
                named = ((model, text.decode()) for text in orphaned)
                db.executemany("DELETE FROM vectors WHERE model = ? AND text = ?", named)
        self.store.vacuum()
        return len(orphaned)

    @contextmanager
    def _selected(self, uris: Sequence[str] | None) -> Iterator[str]:
        if uris is None:
            yield "TRUE"
            return
        self.db.execute("CREATE TEMP TABLE IF NOT EXISTS selected (uri TEXT PRIMARY KEY)")
        self.db.execute("DELETE FROM selected")
        self.db.executemany(
            "INSERT INTO selected VALUES (?) ON CONFLICT DO NOTHING", [(uri,) for uri in uris]
        )
        yield "{} IN (SELECT uri FROM selected)"

    def problems(self) -> list[str]:
        """What is wrong with the database itself, one sentence each; empty when it is sound."""
        found = self.store.problems()
        outside = found or self.value(
            "SELECT count(*) FROM chunks JOIN documents ON documents.id = document"
            ' WHERE start < 0 OR start >= "end" OR "end" > characters(text)'
        )
        return found or [f"{outside} chunks reach outside their document"] * bool(outside)


class CorpusReader:
    """A component that reads the corpus: `Rag` uses a copy that `over` binds to its own."""

    def over(self, corpus: Corpus) -> Self:
        """The same component, which reads *corpus*."""
        bound = copy.copy(self)
        object.__setattr__(bound, "_corpus", corpus)
        return bound

    @property
    def own_corpus(self) -> Corpus | None:
        """The corpus that it reads; None before `over`."""
        corpus: Corpus | None = self.__dict__.get("_corpus")
        return corpus

    @property
    def corpus(self) -> Corpus:
        """`own_corpus`; raises `UsageError` before `over`."""
        if (corpus := self.own_corpus) is None:
            raise UsageError(
                f"this {type(self).__name__} has no corpus yet: make a Rag with it, or call over(corpus)"
            )
        return corpus
