"""The papers of the corpus: files, their documents, versions of works, and bibliography descriptions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from langchain_core.documents import Document

from ragkit.corpus.curation import Curation, is_removed
from ragkit.corpus.database import batches, marks
from ragkit.corpus.identity import differ_in_authors, is_same
from ragkit.corpus.lookups import found_keys
from ragkit.corpus.store import Connection
from ragkit.document import contradict, identity_keys, paper_id, recognised, sources_of, title_of

LISTINGS = (  # every entry: the how manieth it is of its text, and of its paper
    "SELECT uri, position, document, work, because,"
    " row_number() OVER (PARTITION BY document ORDER BY uri, position) AS listing,"
    " row_number() OVER (PARTITION BY work ORDER BY uri, position) AS of_work"
    " FROM sources JOIN documents ON id = document"
)


class FailedRead(NamedTuple):
    """A try to read a file that failed: its content (empty if not even that was read), the way of reading, the reason."""

    digest: str
    attempt: str
    error: str


class Papers(Curation):
    """The tables `files`, `failures`, `documents`, `identifiers`, `sources`, `former`, `versions` and
    `descriptions`; those of what was looked up, corrected and removed are in `Curation`.
    """

    def has_file(self, uri: str, digest: str, loader: str) -> bool:
        """Was this very content read by this very loader?"""
        row = self.db.execute(
            "SELECT 1 FROM files WHERE uri = ? AND digest = ? AND loader = ?", (uri, digest, loader)
        ).fetchone()
        return row is not None

    def put_file(self, uri: str, digest: str, loader: str, entries: Sequence[Document]) -> None:
        """Record the papers that a file lists, in place of what it listed before.

        An entry whose DOI, arXiv id or title the corpus knows, and whose text agrees, is another source of
        that document; if the text differs, it is another version of the work.  Which is the newest is settled by
        `publish`.  A document that no file lists any more stays until `drop_orphans`.
        """
        with self.transaction() as db:
            self._forget(db, uri)
            db.execute("DELETE FROM failures WHERE uri = ?", (uri,))
            db.execute("INSERT INTO files VALUES (?, ?, ?)", (uri, digest, loader))
            removed = self.removed_from(db, uri)
            for position, entry in enumerate(entries):
                if (document := self._put_entry(db, uri, position, entry, digest, removed)) is not None:
                    self.carry_corrections(db, uri, identity_keys(entry), len(entries) == 1, document)

    def forget_files(self, uris: Iterable[str]) -> None:
        """Forget that these files were read; their papers go unless another file lists them."""
        with self.transaction() as db:
            for uri in uris:
                self._forget(db, uri)
                db.execute("DELETE FROM failures WHERE uri = ?", (uri,))
                db.execute("DELETE FROM removed WHERE uri = ?", (uri,))
                db.execute("DELETE FROM origins WHERE uri = ?", (uri,))

    def failures(self, uri: str | None = None) -> dict[str, FailedRead]:
        """The files that could not be read (or *uri* alone), by their paths, and how each was tried last."""
        if not self.has_table("failures"):
            return {}
        condition, given = ("", ()) if uri is None else ("WHERE uri = ?", (uri,))
        query = f"SELECT uri, digest, attempt, error FROM failures {condition} ORDER BY uri"
        return {uri: FailedRead(*tried) for uri, *tried in self.db.execute(query, given)}

    def put_failure(self, uri: str, tried: FailedRead) -> None:
        """Remember that a file could not be read.  What it listed before stays."""
        with self.transaction() as db:
            db.execute(
                "INSERT INTO failures VALUES (?, ?, ?, ?) ON CONFLICT (uri) DO UPDATE"
                " SET digest = excluded.digest, attempt = excluded.attempt, error = excluded.error",
                (uri, *tried),
            )

    @staticmethod
    def _forget(db: Connection, uri: str) -> None:
        db.execute(
            'INSERT INTO former SELECT uri, document, start, "end", map, pages, files FROM sources WHERE uri = ?',
            (uri,),
        )
        db.execute("DELETE FROM files WHERE uri = ?", (uri,))

    def _put_entry(
        self,
        db: Connection,
        uri: str,
        position: int,
        entry: Document,
        content: str,
        removed: Sequence[Mapping[str, Any]],
    ) -> str | None:
        """Record an entry, and return its document; None for one that only describes a paper or that was removed."""
        asked, looked_up = entry.metadata.get("looked_up", ("", {}))
        text, keys = entry.page_content, [*identity_keys(entry), *found_keys(looked_up)]
        described = bool(entry.metadata.get("bibliography"))
        if described:
            rows = [
                (uri, position, key, _metadata(entry.metadata)) for key in keys if not key.startswith("text:")
            ]
            db.executemany("INSERT INTO descriptions VALUES (?, ?, ?, ?)", rows)
        if is_removed(entry, keys, content, removed):
            return None
        known = self._known_as(db, keys, entry)
        if described and (known or not text):
            return None  # it says something of a paper, and is none
        if known and self._is_described_only(db, known.document):
            db.execute(
                "DELETE FROM sources WHERE document = ?", (known.document,)
            )  # the paper itself is here now
            known = None
        identity = (known and self._text_of(db, known.work, text)) or self._put_document(
            db, entry, known.work if known else None
        )
        where = next(iter(sources_of(entry)), {})
        files = json.dumps(where["files"]) if "files" in where else None
        places = _packed(where.get("map", ()), _MAP), _packed(where.get("pages", ()), _PAGES), files
        because = known and known.key
        db.execute(
            "INSERT INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (uri, position, identity, where.get("start"), where.get("end"), *places, because),
        )
        db.executemany(
            "INSERT INTO identifiers VALUES (?, ?) ON CONFLICT DO NOTHING", [(key, identity) for key in keys]
        )
        if "looked_up" in entry.metadata:
            self.insert_lookup(db, identity, asked, looked_up)
        return identity

    @staticmethod
    def _is_described_only(db: Connection, document: str) -> bool:
        """Is a document the abstract in a bibliography?"""
        [metadata] = db.execute("SELECT metadata FROM documents WHERE id = ?", (document,)).fetchone()
        return bool(json.loads(metadata).get("bibliography"))

    @staticmethod
    def _text_of(db: Connection, work: int, text: str) -> str | None:
        """The version of a work that has this very text."""
        row = db.execute(
            f"SELECT id FROM documents WHERE work = ? AND text = ? AND {_LISTED} ORDER BY id", (work, text)
        ).fetchone()
        return row and str(row[0])

    def _known_as(self, db: Connection, keys: Sequence[str], entry: Document) -> Known | None:
        """The document, still listed somewhere, that one of *keys* names and whose text agrees."""
        for key in keys:
            rows = db.execute(
                f"SELECT id, work, text, metadata FROM identifiers JOIN documents ON id = document WHERE key = ? AND {_LISTED} ORDER BY id",
                (key,),
            )
            for document, work, text, known in rows.fetchall():
                theirs = [
                    k
                    for [k] in db.execute(
                        f"SELECT key FROM identifiers JOIN documents ON id = document WHERE work = ? AND {_LISTED}",
                        (work,),
                    )
                ]
                their = json.loads(known)
                said = "" if their.get("bibliography") or entry.metadata.get("bibliography") else text
                if not contradict(keys, theirs) and is_same(
                    key, entry.metadata, entry.page_content, their, said
                ):
                    return Known(str(document), int(work), key)
        return None

    @staticmethod
    def _put_document(db: Connection, paper: Document, work: int | None) -> str:
        """A text of *work*, or of a new one."""
        identity = paper_id(paper)
        if work is None:
            [work] = db.execute("SELECT coalesce(max(work), 0) + 1 FROM documents").fetchone()
        db.execute(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET title = excluded.title,"
            f" metadata = excluded.metadata, work = CASE WHEN {_LISTED} THEN documents.work ELSE excluded.work END",
            (identity, title_of(paper), paper.page_content, _metadata(paper.metadata), work),
        )
        return identity

    # --- the versions of works

    def has_versions(self) -> bool:
        """Is there a work of which the corpus has several texts?"""
        return bool(self.value("SELECT EXISTS (SELECT 1 FROM versions)"))

    def superseded(self) -> dict[str, str]:
        """The documents that are not the newest version of their work, each with the newest."""
        return dict(
            self.db.execute("SELECT document, newest FROM versions WHERE document <> newest").fetchall()
        )

    def works(self, uris: Iterable[str] = (), documents: Iterable[str] = ()) -> list[Work]:
        """The works that these files list, or of these documents, that are listed more than once."""
        numbers = set[int]()
        for name, values in (("uri", uris), ("document", documents)):
            for some in batches(values):
                numbers |= set(
                    self.column(
                        f"SELECT work FROM sources JOIN documents ON id = document WHERE {name} IN ({marks(some)}) AND (SELECT count(*)"
                        " FROM sources s JOIN documents d ON d.id = s.document WHERE d.work = documents.work) > 1",
                        some,
                    )
                )
        found: dict[int, list[Listing]] = {}
        for many in batches(sorted(numbers)):
            for work, *listing in self.db.execute(
                "SELECT work, title, id, coalesce(label, ''), uri, because FROM documents JOIN sources ON sources.document = id"
                f" LEFT JOIN versions ON versions.document = id WHERE work IN ({marks(many)}) ORDER BY work, coalesce(place, -1), uri, position",
                many,
            ):
                found.setdefault(work, []).append(Listing(*listing))
        return [Work(tuple(listings)) for listings in found.values()]

    def drop_orphans(self) -> int:
        """Delete the documents that no file lists; say how many there were.

        The chunks of such a document stay until no index holds them: by their ids they are removed from it.
        """
        with self.transaction() as db:
            db.execute("DELETE FROM former")
            dropped = db.execute(
                "DELETE FROM documents WHERE NOT EXISTS (SELECT 1 FROM sources WHERE document = documents.id)"
            ).rowcount
            db.execute(
                "DELETE FROM chunks WHERE document IN (SELECT document FROM chunks EXCEPT SELECT id FROM documents)"
                ' AND NOT EXISTS (SELECT 1 FROM indexes JOIN ledger ON "index" = name'
                " WHERE ledger.document = chunks.document AND indexes.chunker = chunks.chunker)"
            )
        return dropped

    def document(self, identity: str) -> Document | None:
        """The paper with this id, its text whole, or None."""
        return self.documents([identity]).get(identity)

    def documents(self, identities: Iterable[str]) -> dict[str, Document]:
        """The papers with these ids, those that there are."""
        every = list(identities)
        sources = self.sources(every)
        return {
            identity: Document(
                id=identity,
                page_content=text,
                metadata={**known, "sources": [s.within(None) for s in sources.get(identity, ())]},
            )
            for identity, text, known in self.texts(every)
        }

    def texts(self, identities: Sequence[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Of each document its id, its text, and what is known of it."""
        for some in batches(identities):
            said = self.descriptions(f"WHERE document IN ({marks(some)})", some)
            for identity, title, text, metadata, *version in self.db.execute(
                "SELECT id, title, text, metadata, label, newest FROM documents LEFT JOIN versions ON document = id"
                f" WHERE id IN ({marks(some)})",
                some,
            ):
                known = together(json.loads(metadata), said.get(identity, {}), title)
                yield identity, text, {**known, **_as_version(identity, *version)}

    def facts(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The id of every paper, in order, with what is known of it and as `uri` the files that list it: what filters see."""
        return (found for some in self.pages(DOCUMENTS) for found in self.facts_of(some).items())

    def facts_of(self, identities: Sequence[str]) -> dict[str, dict[str, Any]]:
        """`facts` of these documents, at most as many as a statement names, by their ids."""
        named = f"IN ({marks(identities)})"
        said = self.descriptions(f"WHERE document {named}", identities)
        papers: dict[str, dict[str, Any]] = {}
        for identity, title, metadata, *version in self.db.execute(
            "SELECT id, title, metadata, label, newest FROM documents LEFT JOIN versions ON document = id"
            f" WHERE id {named} ORDER BY id",
            identities,
        ):
            known = together(json.loads(metadata), said.get(identity, {}), title)
            papers[identity] = {**known, **_as_version(identity, *version), "uri": []}
        query = f"SELECT document, uri FROM sources WHERE document {named} ORDER BY uri, position"
        for identity, uri in self.db.execute(query, identities):
            papers[identity]["uri"].append(uri)
        return papers

    def citation_keys(self) -> dict[str, set[str]]:
        """The documents that each key of a bibliography's entry, such as `smith2020`, names."""
        found: dict[str, set[str]] = {}
        for key, document in self.db.execute(
            "SELECT name, document FROM (SELECT json_extract(descriptions.metadata, '$.key') AS name, document"
            " FROM descriptions JOIN identifiers USING (key)"
            " UNION SELECT json_extract(metadata, '$.key'), id FROM documents) AS named WHERE name IS NOT NULL"
        ):
            found.setdefault(str(key), set()).add(document)
        return found

    def descriptions(self, condition: str = "", parameters: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
        """What others say of each document: bibliographies, of which the first by path counts, and, where they
        say nothing, services (`looked_up` names the values of each); `corrected` is what the user says.
        """
        found: dict[str, dict[str, Any]] = {}
        for document, key, metadata, own in self.db.execute(
            "SELECT document, key, descriptions.metadata, documents.metadata FROM descriptions JOIN identifiers USING (key)"
            f" JOIN documents ON documents.id = document {condition} ORDER BY document, uri, position",
            parameters,
        ):
            said = {
                name: value
                for name, value in json.loads(metadata).items()
                if name not in ("bibliography", "title_guessed", "key")
            }
            if key.startswith("title:") and differ_in_authors(said, json.loads(own)):
                continue
            found[document] = {**said, **found.get(document, {})}
        for document, services in self.lookups(condition, parameters).items():
            said = found.setdefault(document, {})
            added = {s: {n: v for n, v in values.items() if n not in said} for s, values in services.items()}
            said |= {name: value for values in added.values() for name, value in values.items()}
            said["looked_up"] = {service: list(values) for service, values in added.items()}
        for document, values in self.corrections(condition, parameters).items():
            found.setdefault(document, {})["corrected"] = values
        return found

    def sources(self, identities: Sequence[str]) -> dict[str, list[SourceRow]]:
        found: dict[str, list[SourceRow]] = {}
        for some in batches(identities):
            for document, *source in self.db.execute(
                'SELECT document, uri, start, "end", map, pages, files FROM sources '
                f"WHERE document IN ({marks(some)}) ORDER BY uri, position",
                some,
            ):
                found.setdefault(document, []).append(SourceRow(*source))
        for some in batches(i for i in identities if i not in found):
            for document, *source in self.db.execute(
                f'SELECT document, uri, start, "end", map, pages, files FROM former WHERE document IN ({marks(some)}) ORDER BY uri, coalesce(start, -1)',
                some,
            ):
                found.setdefault(document, []).append(SourceRow(*source))
        return found


DOCUMENTS = "SELECT id FROM documents WHERE id > ? ORDER BY id LIMIT ?"
"""The query of `Database.pages` for all documents."""

_LISTED = "EXISTS (SELECT 1 FROM sources WHERE sources.document = documents.id)"


class Known(NamedTuple):
    """A document that an entry is recognised as, its work, and by which key."""

    document: str
    work: int
    key: str


class Listing(NamedTuple):
    """An entry of a file: the title and id of the document, which version it is if there are several, and the
    key by which it was recognised as the same work, if it was.
    """

    title: str
    document: str
    version: str
    uri: str
    because: str | None


@dataclass(frozen=True)
class Work:
    """A paper that is listed more than once: its listings, those of the newest version first."""

    listings: tuple[Listing, ...]

    @property
    def documents(self) -> list[str]:
        """Its versions, newest first."""
        return list(dict.fromkeys(each.document for each in self.listings))

    @property
    def reasons(self) -> list[str]:
        """What its listings have in common, in words."""
        return sorted({recognised(each.because) for each in self.listings if each.because})


_MAP, _PAGES = 5, 6  # numbers in a row of a map and of a list of pages
_NO_BOX = [-1, -1, -1, -1]


class SourceRow(NamedTuple):
    """A row of the table, as `document` describes sources."""

    uri: str
    start: int | None
    end: int | None
    map: bytes | None
    pages: bytes | None
    files: str | None

    def within(self, span: tuple[int, int] | None) -> dict[str, Any]:
        """The source, with those of its places that a span of the text needs; all for None."""
        source: dict[str, Any] = {"uri": self.uri, "start": self.start, "end": self.end}
        if self.map:
            source["map"] = _unpacked(self.map, _MAP, span)
        if self.pages:
            source["pages"] = [
                row[:2] if row[2:] == _NO_BOX else row for row in _unpacked(self.pages, _PAGES, span)
            ]
        if self.files:
            source["files"] = json.loads(self.files)
        return source


def _as_version(document: str, label: str | None, newest: str | None) -> dict[str, str]:
    """What a document is as one of several versions; nothing if it is the only one."""
    if label is None or newest is None:
        return {}
    return {"version_label": label, **({} if newest == document else {"superseded_by": newest})}


def _packed(rows: Sequence[Sequence[int]], width: int) -> bytes | None:
    """Rows of numbers, shorter ones filled up: what a row of a map lacks is 0, what one of pages lacks -1."""
    filled = [[*row, *([0 if width == _MAP else -1] * (width - len(row)))] for row in rows]
    return np.asarray(filled, dtype=np.int32).tobytes() if filled else None


def last_page(pages: bytes) -> int:
    return int(np.frombuffer(pages, dtype=np.int32).reshape(-1, _PAGES)[:, 1].max())


def _unpacked(rows: bytes, width: int, span: tuple[int, int] | None) -> list[list[int]]:
    table = np.frombuffer(rows, dtype=np.int32).reshape(-1, width)
    if span:
        first = max(int(np.searchsorted(table[:, 0], span[0], side="right")) - 1, 0)
        table = table[first : int(np.searchsorted(table[:, 0], span[1]))]
    return [[int(number) for number in row] for row in table]


def _metadata(metadata: Mapping[str, Any]) -> str:
    left_out = ("title", "sources", "lost", "looked_up", "attached")
    kept = {name: value for name, value in metadata.items() if name not in left_out}
    return json.dumps(kept, ensure_ascii=False, sort_keys=True, default=str)


def together(known: Mapping[str, Any], said: Mapping[str, Any], title: str) -> dict[str, Any]:
    """What a paper says of itself and others of it, which correct what the reader guessed; before both comes what
    the user corrected, which `corrected` names.
    """
    services, by_user = said.get("looked_up", {}), said.get("corrected", {})
    corrected = {name for name in known.get("guessed", ()) if said.get(name)}
    if known.get("title_guessed") and any("title" in names for names in services.values()):
        corrected |= {"title", "title_guessed"}
    own = {name: value for name, value in {**known, "title": title}.items() if name not in corrected}
    left = [name for name in known.get("guessed", ()) if name not in corrected | by_user.keys()]
    own |= by_user
    used = {s: those for s, names in services.items() if (those := [n for n in names if n not in own])}
    if "title" in by_user:
        own.pop("title_guessed", None)
    merged = {**said, **own, "guessed": left, "looked_up": used, "corrected": list(by_user)}
    return {
        name: value
        for name, value in merged.items()
        if value or name not in ("guessed", "looked_up", "corrected")
    }
