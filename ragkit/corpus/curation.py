"""What the user says of papers: corrections, which come before what files say, papers that stay removed, and where
files are from.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document

from ragkit.corpus.identity import differ_in_authors
from ragkit.corpus.lookups import Lookups, found_keys
from ragkit.corpus.store import Connection
from ragkit.document import IDENTIFIERS, contradict, metadata_keys

_STRONG = tuple(f"{name}:" for name in IDENTIFIERS)


class Curation(Lookups):
    """The tables `corrections`, `removed` and `origins`.

    A correction belongs to a document, and passes to the text that takes its place: the paper of the same file,
    or one with the same DOI or arXiv id (`keys`).  A removal belongs to a paper as a file lists it: the file stays
    known, and what it lists of the paper is passed over until `readmit`.
    """

    def corrections(self, condition: str = "", parameters: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
        """The corrected values of each document that fulfils the condition."""
        if not self.has_table("corrections"):
            return {}
        rows = self.db.execute(f"SELECT document, corrected FROM corrections {condition}", parameters)
        return {document: json.loads(corrected) for document, corrected in rows}

    def correct(self, document: str, values: Mapping[str, Any]) -> None:
        """Correct what is known of a document; a value of None takes a correction back.

        Every index that holds the document under another title has to be `renewed`.
        """
        with self.transaction() as db:
            row = db.execute("SELECT corrected FROM corrections WHERE document = ?", (document,)).fetchone()
            before = json.loads(row[0]) if row else {}
            after = {name: value for name, value in {**before, **values}.items() if value is not None}
            db.execute("DELETE FROM corrections WHERE document = ?", (document,))
            if after:
                _insert(db, document, _carried_by(db, document), after)
            title, own = db.execute(
                "SELECT title, metadata FROM documents WHERE id = ?", (document,)
            ).fetchone()
            looked_up = self.lookups("WHERE document = ?", (document,)).get(document, {})
            others = {*metadata_keys({**json.loads(own), "title": title}), *found_keys(looked_up)}
            gone = [(key, document) for key in found_keys({"": before}) if key not in others]
            db.executemany("DELETE FROM identifiers WHERE key = ? AND document = ?", gone)
            _identify(db, document, after)
            if before.get("title") != after.get("title"):
                db.execute(
                    'INSERT INTO renewed SELECT "index", document FROM ledger WHERE document = ? ON CONFLICT DO NOTHING',
                    (document,),
                )

    @staticmethod
    def carry_corrections(
        db: Connection, uri: str, keys: Collection[str], alone: bool, document: str
    ) -> None:
        """Give the corrections of a document to the one that takes its place in *uri*, which has these *keys*."""
        here = _places(uri, keys, alone)
        strong = {key for key in keys if key.startswith(_STRONG)}
        for other, found, corrected in db.execute("SELECT * FROM corrections").fetchall():
            theirs = set(json.loads(found))
            if other == document:
                _insert(db, document, theirs | here | strong, json.loads(corrected))
                return
            is_listed = db.execute("SELECT 1 FROM sources WHERE document = ?", (other,)).fetchone()
            if theirs & here or (theirs & strong and not is_listed):
                if not is_listed:
                    db.execute("DELETE FROM corrections WHERE document = ?", (other,))
                values = json.loads(corrected)
                _insert(db, document, theirs | here | strong, values)
                _identify(db, document, values)
                return

    def remove(self, document: str) -> None:
        """Forget a paper with all its versions; the files that list it stay, and what they list of it is passed over."""
        versions = "SELECT id FROM documents WHERE work = (SELECT work FROM documents WHERE id = ?)"
        with self.transaction() as db:
            for [version] in db.execute(versions, (document,)).fetchall():
                keys = [k for [k] in db.execute("SELECT key FROM identifiers WHERE document = ?", (version,))]
                [own] = db.execute("SELECT metadata FROM documents WHERE id = ?", (version,)).fetchone()
                authors = json.loads(own).get("authors")
                listing = db.execute(
                    "SELECT uri, files.digest FROM sources JOIN files USING (uri) WHERE document = :document UNION"
                    " SELECT uri, '' FROM descriptions JOIN identifiers USING (key) WHERE document = :document",
                    {"document": version},
                ).fetchall()
                for uri, content in listing:
                    [entries] = db.execute("SELECT count(*) FROM sources WHERE uri = ?", (uri,)).fetchone()
                    known = {"keys": keys, "authors": authors, "digest": content if entries == 1 else ""}
                    db.execute(
                        "INSERT INTO removed VALUES (?, ?, ?) ON CONFLICT (uri, document) DO UPDATE SET known = excluded.known",
                        (uri, version, json.dumps(known)),
                    )
                db.execute(
                    'INSERT INTO former SELECT uri, document, start, "end", map, pages, files FROM sources'
                    " WHERE document = ?",
                    (version,),
                )
                db.execute("DELETE FROM sources WHERE document = ?", (version,))
                db.execute("DELETE FROM corrections WHERE document = ?", (version,))

    def readmit(self, uris: Iterable[str]) -> None:
        """Read the papers that were removed from these files again."""
        with self.transaction() as db:
            for uri in uris:
                if db.execute("DELETE FROM removed WHERE uri = ?", (uri,)).rowcount:
                    db.execute("UPDATE files SET digest = '' WHERE uri = ?", (uri,))

    def origins(self, uri: str | None = None) -> dict[str, dict[str, Any]]:
        """What is known of each file (or of *uri* alone) beside itself, such as the `url` that it was fetched from."""
        if not self.has_table("origins"):
            return {}
        condition, given = ("", ()) if uri is None else ("WHERE uri = ?", (uri,))
        rows = self.db.execute(f"SELECT uri, known FROM origins {condition}", given)
        return {uri: json.loads(known) for uri, known in rows}

    def put_origins(self, known: Mapping[str, Mapping[str, Any]]) -> None:
        rows = [(uri, json.dumps(each, ensure_ascii=False, sort_keys=True)) for uri, each in known.items()]
        with self.transaction() as db:
            db.executemany(
                "INSERT INTO origins VALUES (?, ?) ON CONFLICT (uri) DO UPDATE SET known = excluded.known",
                rows,
            )

    def has_removed(self, uri: str) -> bool:
        """Was a paper removed from this file?"""
        return self.has_table("removed") and bool(self.value("SELECT 1 FROM removed WHERE uri = ?", (uri,)))

    @staticmethod
    def removed_from(db: Connection, uri: str) -> list[dict[str, Any]]:
        """What is known of each paper that was removed from a file; see `is_removed`."""
        return [json.loads(each) for [each] in db.execute("SELECT known FROM removed WHERE uri = ?", (uri,))]


def is_removed(
    entry: Document, keys: Sequence[str], content: str, removed: Iterable[Mapping[str, Any]]
) -> bool:
    """Is the entry of a file one of the papers *removed* from it?  *content* is the file's digest."""
    return any(
        content == known["digest"]
        or (
            not set(keys).isdisjoint(known["keys"])
            and not contradict(keys, known["keys"])
            and not differ_in_authors(entry.metadata, known)
        )
        for known in removed
    )


def _places(uri: str, keys: Iterable[str], alone: bool) -> set[str]:
    """What a paper is called in a file: by its keys, and by the file if it lists no other."""
    return {*(f"{uri} {key}" for key in keys), *([uri] if alone else [])}


def _carried_by(db: Connection, document: str) -> set[str]:
    """By what the text is recognised that takes the document's place."""
    keys = [k for [k] in db.execute("SELECT key FROM identifiers WHERE document = ?", (document,))]
    found = {key for key in keys if key.startswith(_STRONG)}
    for uri, entries in db.execute(
        "SELECT uri, count(*) FROM sources WHERE uri IN (SELECT uri FROM sources WHERE document = ?) GROUP BY uri",
        (document,),
    ).fetchall():
        found |= _places(uri, keys, entries == 1)
    return found


def _insert(db: Connection, document: str, keys: Iterable[str], values: Mapping[str, Any]) -> None:
    db.execute(
        "INSERT INTO corrections VALUES (?, ?, ?) ON CONFLICT (document) DO UPDATE"
        " SET keys = excluded.keys, corrected = excluded.corrected",
        (document, json.dumps(sorted(keys)), json.dumps(values, ensure_ascii=False)),
    )


def _identify(db: Connection, document: str, values: Mapping[str, Any]) -> None:
    """By its corrected identifiers and title, a paper is recognised, too."""
    rows = [(key, document) for key in found_keys({"": values})]
    db.executemany("INSERT INTO identifiers VALUES (?, ?) ON CONFLICT DO NOTHING", rows)
