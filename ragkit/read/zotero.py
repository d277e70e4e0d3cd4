"""A Zotero library: the files attached to its items, and what the items say of them.

The database is only read, also while Zotero is open, and nobody is asked for anything.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from ragkit.errors import UsageError
from ragkit.read.attached import ENDINGS
from ragkit.read.border import foreign
from ragkit.read.formats.xml_records import arxiv_in, doi_in

PREFIX = "zotero:"
_DATABASE = "zotero.sqlite"
_USUAL = Path("~/Zotero")  # where Zotero keeps its data unless the user says otherwise
_STORED, _LINKED = (
    "0, 1",
    2,
)  # how a file is attached: kept by Zotero, or where it was; links to the web have none
_VENUES = (
    "publicationTitle proceedingsTitle bookTitle conferenceName websiteTitle university institution".split()
)
"""The fields of Zotero for where a paper appeared; which of them an item has depends on its type."""

_ATTACHED = f"""
SELECT files.itemID, parentItemID, linkMode, path, key FROM itemAttachments AS files JOIN items USING (itemID)
WHERE path IS NOT NULL AND linkMode IN ({_STORED}, {_LINKED})
AND files.itemID NOT IN (SELECT itemID FROM deletedItems)
AND coalesce(parentItemID, 0) NOT IN (SELECT itemID FROM deletedItems)
ORDER BY parentItemID, contentType <> 'application/pdf', dateAdded, files.itemID
"""
_FIELDS = """
SELECT itemID, fieldName, value FROM itemData JOIN fields USING (fieldID) JOIN itemDataValues USING (valueID)
"""
_CREATORS = """
SELECT itemID, creatorType, trim(coalesce(firstName, '') || ' ' || coalesce(lastName, '')) FROM itemCreators
JOIN creators USING (creatorID) JOIN creatorTypes USING (creatorTypeID) ORDER BY itemID, orderIndex
"""
_COLLECTIONS = """
SELECT itemID, collectionName FROM collectionItems JOIN collections USING (collectionID) ORDER BY 1, 2
"""
_TAGS = "SELECT itemID, name FROM itemTags JOIN tags USING (tagID) ORDER BY 1, 2"


class ZoteroLibrary(NamedTuple):
    """A library: its attached files, with what is known of each, and those that are not on this machine."""

    folder: Path
    files: dict[Path, dict[str, Any]]
    missing: list[str]


def folder_of(written: str | Path) -> Path | None:
    """The folder, or the file of an export, that `zotero:` or `zotero:PATH` means; None for anything else."""
    if not isinstance(written, str) or not written.startswith(PREFIX):
        return None
    return Path(written.removeprefix(PREFIX) or _USUAL).expanduser().resolve()


def is_export(path: Path) -> bool:
    """Is there an export of a library in place of the library?"""
    if path.is_dir() and not (path / _DATABASE).exists():
        return any(each.suffix.lower() in ENDINGS for each in path.iterdir())
    return path.is_file() and path.suffix.lower() in ENDINGS


def library(folder: Path) -> ZoteroLibrary:
    """The library in a folder.  Raises `UsageError` if there is none that can be read."""
    database = folder / _DATABASE
    if not database.is_file():
        raise UsageError(
            f"there is no Zotero library in '{folder}' (no {_DATABASE}) and no export of one ({', '.join(ENDINGS)}); name"
            f" the folder that Zotero's settings show: {PREFIX}/path/to/Zotero"
        )
    try:
        # Zotero locks its database as long as it is open; a database that is taken for immutable needs no lock.
        address = f"file:{quote(str(database))}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True)) as db:
            db.execute("PRAGMA trusted_schema = OFF")
            return _read(folder, db)
    except sqlite3.DatabaseError as error:
        raise UsageError(
            f"'{database}' cannot be read as a Zotero library: {error}; if Zotero is writing, try again"
        ) from None


def _read(folder: Path, db: sqlite3.Connection) -> ZoteroLibrary:
    items = _Items(db)
    files: dict[Path, dict[str, Any]] = {}
    missing, seen = list[str](), set[int | None]()
    for item, parent, mode, written, key in db.execute(_ATTACHED).fetchall():
        path = _place(folder, mode, written, key)
        if path is None or not path.is_file():
            missing.append(str(path or written))
            continue
        # The first file of an item is the paper; others, such as supplements, are papers of their own.
        files[path] = items.known(parent) if parent and parent not in seen else items.grouped(parent or item)
        seen.add(parent)
    return ZoteroLibrary(folder, files, missing)


def _place(folder: Path, mode: int, written: str, key: str) -> Path | None:
    """Where an attached file is; None if the library alone does not tell, or it is outside its place."""
    if mode == _LINKED:
        path = Path(written)
        return path.resolve() if path.is_absolute() else None
    stored = (folder / "storage" / key).resolve()
    path = (stored / written.removeprefix("storage:")).resolve()
    return path if path.is_relative_to(stored) else None


class _Items:
    """What the items of a library say."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.fields: dict[int, dict[str, str]] = defaultdict(dict)
        for item, name, value in db.execute(_FIELDS):
            self.fields[item][name] = str(value)
        self.creators: dict[int, list[tuple[str, str]]] = defaultdict(list)
        for item, kind, name in db.execute(_CREATORS):
            self.creators[item].append((kind, name))
        self.collections = _lists(db.execute(_COLLECTIONS))
        self.tags = _lists(db.execute(_TAGS))

    def known(self, item: int) -> dict[str, Any]:
        """What an item says of its paper, by ragkit's names."""
        fields = self.fields.get(item, {})
        creators = self.creators.get(item, [])
        kinds = {kind for kind, _ in creators}
        wanted = {"author"} if "author" in kinds else kinds
        extra = fields.get("extra", "").splitlines()
        year = fields.get("date", "")[:4]
        return self.grouped(item) | _plain(
            title=fields.get("title"),
            authors=[name for kind, name in creators if kind in wanted and name],
            year=int(year) if year.isascii() and year.isdigit() and int(year) else None,
            venue=next((fields[name] for name in _VENUES if fields.get(name)), None),
            doi=doi_in(fields.get("DOI", ""), *extra),
            arxiv=arxiv_in(*(fields.get(name, "") for name in ("archiveID", "DOI", "url")), *extra),
            url=fields.get("url"),
        )

    def grouped(self, item: int) -> dict[str, Any]:
        """How the user has ordered an item."""
        return _plain(collections=self.collections.get(item), tags=self.tags.get(item))


def _plain(**known: Any) -> dict[str, Any]:
    return foreign({name: value for name, value in known.items() if value})


def _lists(rows: Iterator[Sequence[Any]]) -> Mapping[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for item, name in rows:
        found[item].append(str(name))
    return found
