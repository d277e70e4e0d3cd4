"""What services that were asked about papers said of them, beside what files and bibliographies say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ragkit.corpus.database import Database
from ragkit.corpus.store import Connection
from ragkit.document import metadata_keys

Found = Mapping[str, Mapping[str, Any]]
"""The values that each service added, by the service's name."""


class Lookups(Database):
    """The table `lookups`: what was found of a document, and what identifies how it was asked for (`asked`), empty
    as long as a service failed.
    """

    def unasked(self, asked: str) -> list[str]:
        """The documents that a file lists and that were not looked up in this way."""
        if not self.has_table("lookups"):
            return self.column("SELECT DISTINCT document FROM sources ORDER BY document")
        return self.column(
            "SELECT DISTINCT document FROM sources EXCEPT SELECT document FROM lookups WHERE asked = ? ORDER BY document",
            (asked,),
        )

    def put_lookup(self, document: str, asked: str, found: Found) -> None:
        """Record what was found of a document; by its identifiers, it is recognised from now on."""
        with self.transaction() as db:
            self.insert_lookup(db, document, asked, found)

    @staticmethod
    def insert_lookup(db: Connection, document: str, asked: str, found: Found) -> None:
        db.execute(
            "INSERT INTO lookups VALUES (?, ?, ?) ON CONFLICT (document) DO UPDATE SET asked = excluded.asked,"
            " found = excluded.found WHERE excluded.asked <> '' OR lookups.asked = ''",
            (document, asked, json.dumps(found, ensure_ascii=False)),
        )
        db.executemany(
            "INSERT INTO identifiers VALUES (?, ?) ON CONFLICT DO NOTHING",
            [(key, document) for key in found_keys(found)],
        )

    def lookups(self, condition: str = "", parameters: Sequence[str] = ()) -> dict[str, Found]:
        """What was found of each document that fulfils the condition."""
        if not self.has_table("lookups"):
            return {}
        rows = self.db.execute(f"SELECT document, found FROM lookups {condition}", parameters)
        return {document: json.loads(found) for document, found in rows}


def found_keys(found: Found) -> list[str]:
    """The keys of a paper, as of `metadata_keys`, in what was found of it."""
    known = {name: value for values in found.values() for name, value in values.items()}
    return metadata_keys(known)
