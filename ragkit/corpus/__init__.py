"""The corpus: one SQLite database that is the truth about documents, sources, chunks, vectors and indexes.

Everything else on disk is derived from it and can be deleted.  A change is one transaction, so a process that is
killed leaves either the old state or the new one; what each index still lacks, or holds too much of, is read off the
ledger, so work that was cut short is taken up by the next `ingest`.

    files      uri, digest, loader                   what was read, so that an unchanged file is not read again
    documents  id, title, text, metadata             one row a paper; the id is a hash of title and text
    keys       key, document                         DOI, arXiv id, title and text: how a paper is recognised again
    sources    uri, position, document, places       where a paper is listed; a paper without any is on its way out
    former     uri, document, places                 where a paper was listed that is on its way out, and is still found
    variants   uri, position, title, text, metadata  a listing whose text differs from the document's; kept, not indexed
    descriptions  uri, position, key, metadata       what a bibliography says of the paper that a key names
    chunks     id, document, chunker, start, end     passages, by the fingerprint of the chunker that cut them
    vectors    model, text hash, vector              every embedding ever made, so that none is made twice
    indexes    name, fingerprint, generation         what each index was built with, and which state of it is searched
    ledger     index, chunk                          what each index holds
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from langchain_core.documents import Document
from numpy.typing import NDArray

from ragkit.document import contradict, identity_keys, paper_id, passage, sources_of, title_of
from ragkit.errors import CorpusError, NoCorpus, UsageError
from ragkit.where import Where

Vectors = NDArray[np.float32]

# Each entry takes the database one version further; the last index is the version this code reads and writes.
_KEPT = 10_000  # passages that a thread keeps once they are read
_MIGRATIONS = (
    """
    CREATE TABLE files (
        uri TEXT PRIMARY KEY, digest TEXT NOT NULL, loader TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE documents (
        id TEXT PRIMARY KEY, title TEXT NOT NULL, text TEXT NOT NULL, metadata TEXT NOT NULL
    ) STRICT;
    CREATE TABLE keys (
        key TEXT NOT NULL, document TEXT NOT NULL REFERENCES documents ON DELETE CASCADE, PRIMARY KEY (key, document)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX keys_document ON keys (document);
    CREATE TABLE sources (
        uri TEXT NOT NULL REFERENCES files ON DELETE CASCADE, position INTEGER NOT NULL,
        document TEXT NOT NULL REFERENCES documents, start INTEGER, "end" INTEGER, map BLOB, pages BLOB, files TEXT,
        PRIMARY KEY (uri, position)
    ) STRICT;
    CREATE INDEX sources_document ON sources (document);
    CREATE TABLE former (
        uri TEXT NOT NULL, document TEXT NOT NULL REFERENCES documents ON DELETE CASCADE, start INTEGER, "end" INTEGER,
        map BLOB, pages BLOB, files TEXT
    ) STRICT;
    CREATE INDEX former_document ON former (document);
    CREATE TABLE variants (
        uri TEXT NOT NULL, position INTEGER NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL, metadata TEXT NOT NULL,
        PRIMARY KEY (uri, position), FOREIGN KEY (uri, position) REFERENCES sources ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE descriptions (
        uri TEXT NOT NULL REFERENCES files ON DELETE CASCADE, position INTEGER NOT NULL, key TEXT NOT NULL, metadata TEXT NOT NULL,
        PRIMARY KEY (uri, position, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX descriptions_key ON descriptions (key);
    CREATE TABLE chunks (
        id TEXT PRIMARY KEY, document TEXT NOT NULL REFERENCES documents ON DELETE CASCADE, chunker TEXT NOT NULL,
        start INTEGER NOT NULL, "end" INTEGER NOT NULL, metadata TEXT NOT NULL
    ) STRICT;
    CREATE INDEX chunks_document ON chunks (document, chunker);
    CREATE INDEX chunks_chunker ON chunks (chunker);
    CREATE TABLE chunked (
        document TEXT NOT NULL REFERENCES documents ON DELETE CASCADE, chunker TEXT NOT NULL, PRIMARY KEY (document, chunker)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE vectors (
        model TEXT NOT NULL, text TEXT NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (model, text)
    ) STRICT;
    CREATE TABLE indexes (
        name TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, generation INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE ledger (
        "index" TEXT NOT NULL REFERENCES indexes ON DELETE CASCADE, chunk TEXT NOT NULL, PRIMARY KEY ("index", chunk)
    ) STRICT, WITHOUT ROWID;
    """,
)

_MANY = 500  # rows a statement names at once; SQLite allows 32,766


@dataclass(frozen=True)
class Counts:
    """What the corpus holds."""

    files: int
    entries: int
    documents: int
    duplicates: int
    variants: int
    descriptions: int
    chunks: int
    vectors: int


@dataclass(frozen=True)
class IndexState:
    """A generation of an index: what it was built with, and what it holds: what the last one held (nothing, if it was
    built `anew`) with `added` and without `removed`.
    """

    index: str
    fingerprint: str
    generation: int
    added: Sequence[str]
    removed: Sequence[str]
    anew: bool


class Corpus:
    """The system of record in *directory*; nothing is opened or created before it is needed.

    Reading where there is no corpus raises `CorpusError`; `writing()` creates one.  Usable from several threads.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.path = self.directory / "corpus.sqlite"
        self._local = threading.local()

    def exists(self) -> bool:
        return self.path.exists()

    # --- the database

    @property
    def _db(self) -> sqlite3.Connection:
        """This thread's connection."""
        if not hasattr(self._local, "connection"):
            if not self.exists():
                raise NoCorpus(f"there is no corpus in '{self.directory}'; `ragkit ingest PATH` makes one")
            self._local.connection = self._connect(self.path)
        return self._local.connection  # type: ignore[no-any-return]

    def _create(self) -> None:
        """Make the database under another name and put it in its place whole: nobody reads half of one."""
        self.close()  # what this thread has open was deleted
        for left in (*self.directory.glob("corpus.new*"), *self.directory.glob("corpus.sqlite-*")):
            left.unlink()  # by a process that was killed here, or with a database that was deleted
        self._connect(new := self.directory / "corpus.new").close()
        new.replace(self.path)

    @classmethod
    def _connect(cls, path: Path) -> sqlite3.Connection:
        with ExitStack() as opened:
            try:
                connection = opened.enter_context(
                    closing(sqlite3.connect(path, timeout=30, isolation_level=None))
                )
                connection.execute("PRAGMA foreign_keys = ON")
                connection.execute("PRAGMA synchronous = NORMAL")
                version = _version(connection)
                if version < len(_MIGRATIONS):
                    connection.execute("PRAGMA journal_mode = WAL")
                    cls._migrate(connection)
            except sqlite3.DatabaseError as error:
                raise CorpusError(
                    f"'{path}' cannot be opened as a corpus: {error}; restore it, or ingest into another --corpus"
                ) from None
            if version > len(_MIGRATIONS):
                raise CorpusError(
                    f"'{path}' was written by a newer ragkit (schema {version}); upgrade ragkit to read it"
                )
            opened.pop_all()  # keep it
        return connection

    @staticmethod
    def _migrate(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        for number in range(
            _version(connection), len(_MIGRATIONS)
        ):  # read again: another process may have been quicker
            for statement in _MIGRATIONS[number].split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the corpus's lock: one process writes at a time.  The system lets go of a dead holder's lock."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            lock = (self.directory / "lock").open("a+")
        except OSError as error:
            raise CorpusError(
                f"cannot write to the corpus in '{self.directory}': {error.strerror}; choose another --corpus"
            ) from None
        with closing(lock):
            if not _locked(lock):
                lock.seek(0)
                raise CorpusError(
                    f"the corpus in '{self.directory}' is being written by {lock.read().strip() or 'another process'}; wait for it to finish"
                ) from None
            lock.seek(0)
            lock.truncate()
            lock.write(f"process {os.getpid()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
            lock.flush()
            if not self.exists():
                self._create()
            yield

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._db
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            self._roll_back(connection)
            raise CorpusError(
                f"cannot write to '{self.path}': {error}; what was there before is intact"
            ) from None
        except BaseException:
            self._roll_back(connection)
            raise

    @staticmethod
    def _roll_back(connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close this thread's connection; the next use opens it again."""
        if hasattr(self._local, "connection"):
            self._local.connection.close()
            del self._local.connection

    # --- files and documents

    def has_file(self, uri: str, digest: str, loader: str) -> bool:
        """Was this very content read by this very loader?"""
        row = self._db.execute(
            "SELECT 1 FROM files WHERE uri = ? AND digest = ? AND loader = ?", (uri, digest, loader)
        ).fetchone()
        return row is not None

    def put_file(self, uri: str, digest: str, loader: str, entries: Sequence[Document]) -> None:
        """Record the papers that a file lists, in place of what it listed before.

        An entry whose DOI, arXiv id or title the corpus knows is another source of that document, and a variant of it
        if the text differs.  A document that no file lists any more stays until `drop_orphans`.
        """
        with self._transaction() as db:
            self._forget(db, uri)
            db.execute("INSERT INTO files VALUES (?, ?, ?)", (uri, digest, loader))
            for position, entry in enumerate(entries):
                self._put_entry(db, uri, position, entry)
            self._promote_variants(db)

    def forget_files(self, uris: Iterable[str]) -> None:
        """Forget that these files were read; their papers go unless another file lists them."""
        with self._transaction() as db:
            for uri in uris:
                self._forget(db, uri)
            self._promote_variants(db)

    @staticmethod
    def _forget(db: sqlite3.Connection, uri: str) -> None:
        db.execute(
            'INSERT INTO former SELECT uri, document, start, "end", map, pages, files FROM sources WHERE uri = ? AND NOT EXISTS'
            " (SELECT 1 FROM variants v WHERE v.uri = sources.uri AND v.position = sources.position)",
            (uri,),
        )
        db.execute("DELETE FROM files WHERE uri = ?", (uri,))

    def _put_entry(self, db: sqlite3.Connection, uri: str, position: int, entry: Document) -> None:
        title, text = title_of(entry), entry.page_content
        keys = identity_keys(entry)
        described = bool(entry.metadata.get("bibliography"))
        if described:
            rows = [
                (uri, position, key, _metadata(entry.metadata)) for key in keys if not key.startswith("text:")
            ]
            db.executemany("INSERT INTO descriptions VALUES (?, ?, ?, ?)", rows)
        known = self._known_as(db, keys)
        if described and (known or not text):
            return  # it says something of a paper, and is none
        if known and self._is_described_only(db, known):
            db.execute("DELETE FROM sources WHERE document = ?", (known,))  # the paper itself is here now
            known = None
        identity = known or self._put_document(db, entry)
        where = next(iter(sources_of(entry)), {})
        files = json.dumps(where["files"]) if "files" in where else None
        places = _packed(where.get("map", ()), _MAP), _packed(where.get("pages", ()), _PAGES), files
        db.execute(
            "INSERT INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (uri, position, identity, where.get("start"), where.get("end"), *places),
        )
        if known:
            db.executemany("INSERT OR IGNORE INTO keys VALUES (?, ?)", [(key, known) for key in keys])
            [kept] = db.execute("SELECT text FROM documents WHERE id = ?", (known,)).fetchone()
            if kept != text:
                db.execute(
                    "INSERT INTO variants VALUES (?, ?, ?, ?, ?)",
                    (uri, position, title, text, _metadata(entry.metadata)),
                )

    @staticmethod
    def _is_described_only(db: sqlite3.Connection, document: str) -> bool:
        """Is a document the abstract in a bibliography?"""
        [metadata] = db.execute("SELECT metadata FROM documents WHERE id = ?", (document,)).fetchone()
        return bool(json.loads(metadata).get("bibliography"))

    def _known_as(self, db: sqlite3.Connection, keys: Sequence[str]) -> str | None:
        """The document, still listed somewhere, that one of *keys* names."""
        for key in keys:
            rows = db.execute(
                "SELECT document FROM keys WHERE key = ? AND EXISTS (SELECT 1 FROM sources WHERE document = keys.document) ORDER BY document",
                (key,),
            )
            for [document] in rows.fetchall():
                theirs = [k for [k] in db.execute("SELECT key FROM keys WHERE document = ?", (document,))]
                if not contradict(keys, theirs):
                    return str(document)
        return None

    @staticmethod
    def _put_document(db: sqlite3.Connection, paper: Document) -> str:
        identity = paper_id(paper)
        db.execute(
            "INSERT INTO documents VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET title = excluded.title, metadata = excluded.metadata",
            (identity, title_of(paper), paper.page_content, _metadata(paper.metadata)),
        )
        db.executemany(
            "INSERT OR IGNORE INTO keys VALUES (?, ?)", [(key, identity) for key in identity_keys(paper)]
        )
        return identity

    def _promote_variants(self, db: sqlite3.Connection) -> None:
        """Where only variants of a document are still listed, make the first of them the document."""
        rows = db.execute(
            "SELECT uri, position, document, title, text, metadata FROM sources JOIN variants USING (uri, position) WHERE NOT EXISTS ("
            "  SELECT 1 FROM sources s WHERE s.document = sources.document AND NOT EXISTS ("
            "    SELECT 1 FROM variants v WHERE v.uri = s.uri AND v.position = s.position)) ORDER BY document, uri, position"
        ).fetchall()
        heirs: dict[str, tuple[str, str]] = {}
        for uri, position, document, title, text, metadata in rows:
            paper = Document(page_content=text, metadata={**json.loads(metadata), "title": title})
            if document not in heirs:
                heirs[document] = (self._put_document(db, paper), text)
            heir, heir_text = heirs[document]
            db.executemany(
                "INSERT OR IGNORE INTO keys VALUES (?, ?)", [(key, heir) for key in identity_keys(paper)]
            )
            db.execute(
                "UPDATE sources SET document = ? WHERE uri = ? AND position = ?", (heir, uri, position)
            )
            if text == heir_text:
                db.execute("DELETE FROM variants WHERE uri = ? AND position = ?", (uri, position))

    def drop_orphans(self) -> int:
        """Delete the documents, with their chunks, that no file lists; say how many there were."""
        with self._transaction() as db:
            db.execute("DELETE FROM former")
            return db.execute(
                "DELETE FROM documents WHERE NOT EXISTS (SELECT 1 FROM sources WHERE document = documents.id)"
            ).rowcount

    def document(self, identity: str) -> Document | None:
        """The paper with this id, its text whole, or None."""
        return self.documents([identity]).get(identity)

    def documents(self, identities: Iterable[str]) -> dict[str, Document]:
        """The papers with these ids, those that there are."""
        every = list(identities)
        sources = self._sources(every)
        return {
            identity: Document(
                id=identity,
                page_content=text,
                metadata={**known, "sources": [s.within(None) for s in sources.get(identity, ())]},
            )
            for identity, text, known in self._texts(every)
        }

    def _texts(self, identities: Sequence[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Of each document its id, its text, and what is known of it."""
        for some in _batches(identities):
            said = self._descriptions(f"WHERE document IN ({_marks(some)})", some)
            for identity, title, text, metadata in self._db.execute(
                f"SELECT * FROM documents WHERE id IN ({_marks(some)})", some
            ):
                yield identity, text, {**said.get(identity, {}), **json.loads(metadata), "title": title}

    def _descriptions(self, condition: str = "", parameters: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
        """What bibliographies say of each document; of several, the first by path counts."""
        found: dict[str, dict[str, Any]] = {}
        for document, metadata in self._db.execute(
            f"SELECT document, metadata FROM descriptions JOIN keys USING (key) {condition} ORDER BY document, uri, position",
            parameters,
        ):
            said = {
                name: value
                for name, value in json.loads(metadata).items()
                if name not in ("bibliography", "title_guessed", "key")
            }
            found[document] = {**said, **found.get(document, {})}
        return found

    def _sources(self, identities: Sequence[str]) -> dict[str, list[_Source]]:
        found: dict[str, list[_Source]] = {}
        for some in _batches(identities):
            for document, *source in self._db.execute(
                'SELECT document, uri, start, "end", map, pages, files, text IS NOT NULL FROM sources LEFT JOIN variants USING (uri, position) '
                f"WHERE document IN ({_marks(some)}) ORDER BY uri, position",
                some,
            ):
                found.setdefault(document, []).append(_Source(*source))
        for some in _batches(i for i in identities if i not in found):
            for document, *source in self._db.execute(
                f'SELECT document, uri, start, "end", map, pages, files, 0 FROM former WHERE document IN ({_marks(some)}) ORDER BY uri',
                some,
            ):
                found.setdefault(document, []).append(_Source(*source))
        return found

    def document_ids(self) -> list[str]:
        """The papers that a file lists."""
        return [i for [i] in self._db.execute("SELECT DISTINCT document FROM sources ORDER BY document")]

    def find_documents(self, beginning: str) -> list[str]:
        """The ids that begin so: a user may shorten an id as long as it is unique."""
        return [
            i
            for [i] in self._db.execute(
                "SELECT id FROM documents WHERE id GLOB ? || '*' ORDER BY id", (_no_glob(beginning),)
            )
        ]

    def uris(self) -> list[str]:
        return [u for [u] in self._db.execute("SELECT uri FROM files ORDER BY uri")]

    # --- chunks

    def unchunked(self, chunker: str) -> list[str]:
        """The listed documents that this chunker has not cut yet."""
        return [
            i
            for [i] in self._db.execute(
                "SELECT id FROM documents WHERE EXISTS (SELECT 1 FROM sources WHERE document = id) AND NOT EXISTS "
                "(SELECT 1 FROM chunked WHERE document = id AND chunker = ?) ORDER BY id",
                (chunker,),
            )
        ]

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
            rows.append(
                (chunk_id(document, chunker, start, end), document, chunker, start, end, json.dumps(added))
            )
        with self._transaction() as db:
            db.executemany("INSERT OR IGNORE INTO chunks VALUES (?, ?, ?, ?, ?, ?)", rows)
            db.executemany(
                "INSERT OR IGNORE INTO chunked VALUES (?, ?)", [(identity, chunker) for identity in texts]
            )

    def passages(self, identities: Iterable[str]) -> dict[str, Document]:
        """The chunks with these ids, with text, title and sources; those that there are.

        Those read lately are kept until the corpus changes: the next question is often about the same papers.
        """
        state, known = getattr(self._local, "passages", (None, {}))
        if state != self._state or len(known) > _KEPT:
            known = {}
            self._local.passages = self._state, known
        wanted = list(dict.fromkeys(identities))
        known |= self._passages([i for i in wanted if i not in known])
        return {i: known[i] for i in wanted if i in known}

    @property
    def _state(self) -> tuple[int, int]:
        """What changes when this process or another changes the corpus."""
        return self._db.execute("PRAGMA data_version").fetchone()[0], self._db.total_changes

    def _passages(self, wanted: Sequence[str]) -> dict[str, Document]:
        rows = []
        for some in _batches(wanted):
            rows += self._db.execute(
                f'SELECT id, document, chunker, start, "end", metadata FROM chunks WHERE id IN ({_marks(some)})',
                some,
            ).fetchall()
        documents = list(dict.fromkeys(row[1] for row in rows))
        sources = self._sources(documents)
        papers = {identity: (text, known) for identity, text, known in self._texts(documents)}
        found = {}
        for identity, document, chunker, start, end, metadata in rows:
            if document not in papers:  # dropped by a writer between the two reads
                continue
            text, known = papers[document]
            known = {k: v for k, v in known.items() if k not in ("title", "sections")}
            places = [source.within((start, end)) for source in sources.get(document, ())]
            paper = Document(id=document, page_content=text, metadata={"title": papers[document][1]["title"]})
            found[identity] = passage(
                paper, start, end, chunker, **{**known, "sources": places, **json.loads(metadata)}
            )
        return found

    def matching(self, where: Where) -> frozenset[str] | None:
        """The chunks that pass a filter; None where all do.  Kept until the corpus changes."""
        state = self._state
        known: dict[tuple[Any, Where], frozenset[str] | None] = getattr(self._local, "matching", {})
        if (state, where) not in known:
            self._local.matching = known = {(state, where): self._matching(self._db, where)}
        return known[state, where]

    def _matching(self, db: sqlite3.Connection, where: Where) -> frozenset[str] | None:
        papers: dict[str, dict[str, Any]] = {}
        if not where.fields() <= {"section", "kind"}:
            said = self._descriptions()
            for identity, title, metadata in db.execute("SELECT id, title, metadata FROM documents"):
                papers[identity] = {
                    **said.get(identity, {}),
                    **json.loads(metadata),
                    "title": title,
                    "uri": [],
                }
            for identity, uri in db.execute("SELECT document, uri FROM sources"):
                papers[identity]["uri"].append(uri)
        passes: dict[tuple[str, str], bool] = {}  # few chunks of a paper differ in their metadata
        found, all_pass = set(), True
        for identity, document, metadata in db.execute("SELECT id, document, metadata FROM chunks"):
            key = (document if papers else "", metadata)
            if key not in passes:
                passes[key] = where.matches({**papers.get(document, {}), **json.loads(metadata)})
            if passes[key]:
                found.add(identity)
            else:
                all_pass = False
        return None if all_pass else frozenset(found)

    # --- vectors

    def vectors(self, model: str, texts: Iterable[str]) -> dict[str, Vectors]:
        """The vectors that *model* (a fingerprint) gave to the texts with these digests, those that there are."""
        found = {}
        for some in _batches(texts):
            for text, blob in self._db.execute(
                f"SELECT text, vector FROM vectors WHERE model = ? AND text IN ({_marks(some)})",
                (model, *some),
            ):
                found[text] = np.frombuffer(blob, dtype=np.float32)
        return found

    def put_vectors(self, model: str, texts: Sequence[str], vectors: Vectors) -> None:
        rows = [
            (model, text, np.asarray(v, dtype=np.float32).tobytes())
            for text, v in zip(texts, vectors, strict=True)
        ]
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)

    # --- the ledger of the indexes

    def missing(self, index: str, chunker: str) -> list[str]:
        """The chunks that *index* should hold and does not."""
        return [
            i
            for [i] in self._db.execute(
                'SELECT id FROM chunks WHERE chunker = ? AND NOT EXISTS (SELECT 1 FROM ledger WHERE "index" = ? AND chunk = id)'
                " AND EXISTS (SELECT 1 FROM sources WHERE sources.document = chunks.document) ORDER BY document, start",
                (chunker, index),
            )
        ]

    def surplus(self, index: str) -> list[str]:
        """The chunks that *index* holds and should not: those of documents that no file lists any more."""
        return [
            i
            for [i] in self._db.execute(
                'SELECT chunk FROM ledger WHERE "index" = ? AND NOT EXISTS (SELECT 1 FROM chunks WHERE id = chunk'
                " AND EXISTS (SELECT 1 FROM sources WHERE sources.document = chunks.document)) ORDER BY chunk",
                (index,),
            )
        ]

    def held(self, index: str) -> list[str]:
        """The chunks that *index* holds, by the ledger."""
        return [
            i
            for [i] in self._db.execute('SELECT chunk FROM ledger WHERE "index" = ? ORDER BY chunk', (index,))
        ]

    def mark(self, index: str, chunks: Iterable[str]) -> None:
        with self._transaction() as db:
            db.executemany("INSERT OR IGNORE INTO ledger VALUES (?, ?)", [(index, chunk) for chunk in chunks])

    def unmark(self, index: str, chunks: Iterable[str]) -> None:
        with self._transaction() as db:
            db.executemany(
                'DELETE FROM ledger WHERE "index" = ? AND chunk = ?', [(index, chunk) for chunk in chunks]
            )

    def begin_index(self, index: str, fingerprint: str) -> None:
        """Note that *index* exists, holds nothing, and is built with what *fingerprint* stands for."""
        with self._transaction() as db:
            db.execute("DELETE FROM indexes WHERE name = ?", (index,))
            db.execute("INSERT INTO indexes VALUES (?, ?, 0)", (index, fingerprint))

    def publish(self, states: Iterable[IndexState]) -> None:
        """Say which states of some indexes are searched from now on: all of them at the same moment."""
        with self._transaction() as db:
            for new in states:
                if new.anew:
                    db.execute("DELETE FROM indexes WHERE name = ?", (new.index,))
                db.execute(
                    "INSERT INTO indexes VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET fingerprint = excluded.fingerprint,"
                    " generation = excluded.generation",
                    (new.index, new.fingerprint, new.generation),
                )
                db.executemany(
                    'DELETE FROM ledger WHERE "index" = ? AND chunk = ?',
                    [(new.index, chunk) for chunk in new.removed],
                )
                db.executemany(
                    "INSERT OR IGNORE INTO ledger VALUES (?, ?)", [(new.index, chunk) for chunk in new.added]
                )

    def published(self) -> dict[str, tuple[str, int]]:
        """Of each index what it was built with and which of its generations is searched."""
        return {
            name: (built, number)
            for name, built, number in self._db.execute("SELECT name, fingerprint, generation FROM indexes")
        }

    def index_fingerprint(self, index: str) -> str | None:
        """What *index* was built with; None if there is no such index."""
        row = self._db.execute("SELECT fingerprint FROM indexes WHERE name = ?", (index,)).fetchone()
        return str(row[0]) if row else None

    def indexes(self) -> dict[str, int]:
        """The number of chunks in each index, by the ledger."""
        return dict(
            self._db.execute(
                'SELECT name, count(chunk) FROM indexes LEFT JOIN ledger ON "index" = name GROUP BY name'
            ).fetchall()
        )

    # --- counting and checking

    def counts(self, uris: Sequence[str] | None = None) -> Counts:
        """What the corpus holds; *uris* limits `files`, `entries`, `duplicates` and `variants` to these files."""
        db = self._db
        with self._selected(uris) as chosen:
            entries, variants, duplicates = db.execute(
                f"SELECT count(*), count(v.uri), count(CASE WHEN v.uri IS NULL AND (s.uri, s.position) <> ("
                "  SELECT first.uri, first.position FROM sources first LEFT JOIN variants w ON w.uri = first.uri AND w.position = first.position"
                "  WHERE first.document = s.document AND w.uri IS NULL ORDER BY first.uri, first.position LIMIT 1) THEN 1 END)"
                f" FROM sources s LEFT JOIN variants v ON v.uri = s.uri AND v.position = s.position WHERE {chosen.format('s.uri')}"
            ).fetchone()
            [described] = db.execute(
                f"SELECT count(*) FROM (SELECT DISTINCT uri, position FROM descriptions WHERE {chosen.format('uri')})"
            ).fetchone()
            [files] = db.execute(f"SELECT count(*) FROM files WHERE {chosen.format('uri')}").fetchone()
        [documents] = db.execute("SELECT count(DISTINCT document) FROM sources").fetchone()
        [chunks] = db.execute("SELECT count(*) FROM chunks").fetchone()
        [vectors] = db.execute("SELECT count(*) FROM vectors").fetchone()
        return Counts(files, entries, documents, duplicates, variants, described, chunks, vectors)

    @contextmanager
    def _selected(self, uris: Sequence[str] | None) -> Iterator[str]:
        if uris is None:
            yield "TRUE"
            return
        self._db.execute("CREATE TEMP TABLE IF NOT EXISTS selected (uri TEXT PRIMARY KEY)")
        self._db.execute("DELETE FROM selected")
        self._db.executemany("INSERT OR IGNORE INTO selected VALUES (?)", [(uri,) for uri in uris])
        yield "{} IN (SELECT uri FROM selected)"

    def problems(self) -> list[str]:
        """What is wrong with the database itself, one sentence each; empty when it is sound."""
        found: list[str] = []
        try:
            self._db.create_function(
                "characters", 1, len, deterministic=True
            )  # SQLite's own length() ends at a NUL
            found += [
                f"the database is damaged: {row}"
                for [row] in self._db.execute("PRAGMA integrity_check")
                if row != "ok"
            ]
            found += [
                f"table {row[0]} points at a missing {row[2]}"
                for row in self._db.execute("PRAGMA foreign_key_check")
            ]
            [outside] = self._db.execute(
                "SELECT count(*) FROM chunks JOIN documents ON documents.id = document"
                ' WHERE start < 0 OR start >= "end" OR "end" > characters(text)'
            ).fetchone()
            if outside:
                found.append(f"{outside} chunks reach outside their document")
        except sqlite3.DatabaseError as error:
            found.append(f"the database is damaged: {error}")
        return found


_MAP, _PAGES = 5, 6  # numbers in a row of a map and of a list of pages


class _Source(NamedTuple):
    """A row of the table, as `document` describes sources."""

    uri: str
    start: int | None
    end: int | None
    map: bytes | None
    pages: bytes | None
    files: str | None
    variant: bool

    def within(self, span: tuple[int, int] | None) -> dict[str, Any]:
        """The source, with those of its places that a span of the text needs; all for None."""
        if self.variant:  # its text is another, so no offsets hold in it
            return {"uri": self.uri, "start": None, "end": None, "variant": True}
        source: dict[str, Any] = {"uri": self.uri, "start": self.start, "end": self.end}
        if self.map:
            source["map"] = _unpacked(self.map, _MAP, span)
        if self.pages:
            source["pages"] = [[n for n in row if n >= 0] for row in _unpacked(self.pages, _PAGES, span)]
        if self.files:
            source["files"] = json.loads(self.files)
        return source


def _packed(rows: Sequence[Sequence[int]], width: int) -> bytes | None:
    """Rows of numbers, shorter ones filled up: what a row of a map lacks is 0, what one of pages lacks -1."""
    filled = [[*row, *([0 if width == _MAP else -1] * (width - len(row)))] for row in rows]
    return np.asarray(filled, dtype=np.int32).tobytes() if filled else None


def _unpacked(rows: bytes, width: int, span: tuple[int, int] | None) -> list[list[int]]:
    table = np.frombuffer(rows, dtype=np.int32).reshape(-1, width)
    if span:
        first = max(int(np.searchsorted(table[:, 0], span[0], side="right")) - 1, 0)
        table = table[first : int(np.searchsorted(table[:, 0], span[1]))]
    return [[int(number) for number in row] for row in table]


def _locked(lock: IO[str]) -> bool:
    """Take a lock if nobody holds it; one who only asks whether it is held does so for a moment."""
    for _ in range(20):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.01)
    return False


class CorpusReader:
    """A component that reads the corpus, which `Rag` hands it by `attach_corpus`."""

    def attach_corpus(self, corpus: Corpus) -> None:
        object.__setattr__(self, "_corpus", corpus)

    @property
    def attached_to(self) -> Path | None:
        """The directory of the corpus that `attach_corpus` named; None before that."""
        corpus: Corpus | None = self.__dict__.get("_corpus")
        return corpus.directory if corpus else None

    @property
    def corpus(self) -> Corpus:
        corpus: Corpus | None = self.__dict__.get("_corpus")
        if corpus is None:
            raise UsageError(
                f"this {type(self).__name__} has no corpus yet: make a Rag with it, or call attach_corpus(corpus)"
            )
        return corpus


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def chunk_id(document: str, chunker: str, start: int, end: int) -> str:
    return str(passage(Document(id=document, page_content="", metadata={}), start, end, chunker).id)


def _metadata(metadata: Mapping[str, Any]) -> str:
    kept = {k: v for k, v in metadata.items() if k not in ("title", "sources")}
    return json.dumps(kept, ensure_ascii=False, sort_keys=True, default=str)


def _batches(values: Iterable[str]) -> Iterator[list[str]]:
    every = list(values)
    for at in range(0, len(every), _MANY):
        yield every[at : at + _MANY]


def _marks(values: Sequence[Any]) -> str:
    return ",".join("?" * len(values))


def _no_glob(text: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in text)
