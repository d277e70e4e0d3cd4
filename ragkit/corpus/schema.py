"""The tables of a corpus, as SQLite makes them; see `ragkit.corpus` for what they hold."""

from __future__ import annotations

SCHEMA = """
CREATE TABLE files (
    uri TEXT PRIMARY KEY, digest TEXT NOT NULL, loader TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE documents (
    id TEXT PRIMARY KEY, title TEXT NOT NULL, text TEXT NOT NULL, metadata TEXT NOT NULL, work INTEGER NOT NULL
) STRICT;
CREATE INDEX documents_work ON documents (work);
CREATE TABLE identifiers (
    key TEXT NOT NULL, document TEXT NOT NULL REFERENCES documents ON DELETE CASCADE, PRIMARY KEY (key, document)
) STRICT, WITHOUT ROWID;
CREATE INDEX identifiers_document ON identifiers (document);
CREATE TABLE sources (
    uri TEXT NOT NULL REFERENCES files ON DELETE CASCADE, position INTEGER NOT NULL,
    document TEXT NOT NULL REFERENCES documents, start INTEGER, "end" INTEGER, map BLOB, pages BLOB, files TEXT,
    because TEXT, PRIMARY KEY (uri, position)
) STRICT;
CREATE INDEX sources_document ON sources (document);
CREATE TABLE former (
    uri TEXT NOT NULL, document TEXT NOT NULL REFERENCES documents ON DELETE CASCADE, start INTEGER, "end" INTEGER,
    map BLOB, pages BLOB, files TEXT
) STRICT;
CREATE INDEX former_document ON former (document);
CREATE TABLE versions (
    document TEXT PRIMARY KEY REFERENCES documents ON DELETE CASCADE, label TEXT NOT NULL, place INTEGER NOT NULL,
    newest TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE descriptions (
    uri TEXT NOT NULL REFERENCES files ON DELETE CASCADE, position INTEGER NOT NULL, key TEXT NOT NULL,
    metadata TEXT NOT NULL, PRIMARY KEY (uri, position, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX descriptions_key ON descriptions (key);
CREATE TABLE chunks (
    id TEXT PRIMARY KEY, document TEXT NOT NULL, chunker TEXT NOT NULL,
    start INTEGER NOT NULL, "end" INTEGER NOT NULL, metadata TEXT NOT NULL
) STRICT;
CREATE INDEX chunks_document ON chunks (document, chunker, start, "end");
CREATE TABLE chunked (
    document TEXT NOT NULL REFERENCES documents ON DELETE CASCADE, chunker TEXT NOT NULL,
    PRIMARY KEY (document, chunker)
) STRICT, WITHOUT ROWID;
CREATE TABLE keys (
    passage TEXT NOT NULL REFERENCES chunks ON DELETE CASCADE, n INTEGER NOT NULL, writer TEXT NOT NULL,
    kind TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (passage, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE keyed (
    document TEXT NOT NULL REFERENCES documents ON DELETE CASCADE, chunker TEXT NOT NULL, writer TEXT NOT NULL,
    PRIMARY KEY (document, chunker, writer)
) STRICT, WITHOUT ROWID;
CREATE TABLE vectors (
    model TEXT NOT NULL, text TEXT NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (model, text)
) STRICT;
CREATE TABLE replies (
    model TEXT NOT NULL, prompt TEXT NOT NULL, text TEXT NOT NULL, reply TEXT NOT NULL,
    PRIMARY KEY (model, prompt, text)
) STRICT, WITHOUT ROWID;
CREATE TABLE indexes (
    name TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, chunker TEXT NOT NULL, writers TEXT NOT NULL,
    generation INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE ledger (
    "index" TEXT NOT NULL REFERENCES indexes ON DELETE CASCADE, document TEXT NOT NULL, PRIMARY KEY ("index", document)
) STRICT, WITHOUT ROWID;
"""

LATER = {
    "failures": "uri TEXT PRIMARY KEY, digest TEXT NOT NULL, attempt TEXT NOT NULL, error TEXT NOT NULL",
    "lookups": "document TEXT PRIMARY KEY REFERENCES documents ON DELETE CASCADE, asked TEXT NOT NULL, found TEXT NOT NULL",
    "corrections": "document TEXT PRIMARY KEY, keys TEXT NOT NULL, corrected TEXT NOT NULL",
    "origins": "uri TEXT PRIMARY KEY, known TEXT NOT NULL",
    "removed": "uri TEXT NOT NULL, document TEXT NOT NULL, known TEXT NOT NULL, PRIMARY KEY (uri, document)",
    "renewed": '"index" TEXT NOT NULL REFERENCES indexes ON DELETE CASCADE, document TEXT NOT NULL, PRIMARY KEY ("index", document)',
}
"""Tables that the first corpora of this layout lack, and their columns."""
