"""A Zotero library is read from its database, in the layout of Zotero 7, and its files with what its items say."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import small_pdf

import ragkit
from ragkit.errors import UsageError
from ragkit.plan import plan
from ragkit.read import zotero

SCHEMA = """
CREATE TABLE itemTypes (itemTypeID INTEGER PRIMARY KEY, typeName TEXT, templateItemTypeID INT, display INT DEFAULT 1);
CREATE TABLE fields (fieldID INTEGER PRIMARY KEY, fieldName TEXT, fieldFormatID INT);
CREATE TABLE creatorTypes (creatorTypeID INTEGER PRIMARY KEY, creatorType TEXT);
CREATE TABLE items (itemID INTEGER PRIMARY KEY, itemTypeID INT NOT NULL,
    dateAdded TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, dateModified TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    clientDateModified TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, libraryID INT NOT NULL, key TEXT NOT NULL,
    version INT NOT NULL DEFAULT 0, synced INT NOT NULL DEFAULT 0, UNIQUE (libraryID, key));
CREATE TABLE itemDataValues (valueID INTEGER PRIMARY KEY, value UNIQUE);
CREATE TABLE itemData (itemID INT, fieldID INT, valueID, PRIMARY KEY (itemID, fieldID));
CREATE TABLE creators (creatorID INTEGER PRIMARY KEY, firstName TEXT, lastName TEXT, fieldMode INT,
    UNIQUE (lastName, firstName, fieldMode));
CREATE TABLE itemCreators (itemID INT NOT NULL, creatorID INT NOT NULL, creatorTypeID INT NOT NULL DEFAULT 1,
    orderIndex INT NOT NULL DEFAULT 0, PRIMARY KEY (itemID, creatorID, creatorTypeID, orderIndex),
    UNIQUE (itemID, orderIndex));
CREATE TABLE itemAttachments (itemID INTEGER PRIMARY KEY, parentItemID INT, linkMode INT, contentType TEXT,
    charsetID INT, path TEXT, syncState INT DEFAULT 0, storageModTime INT, storageHash TEXT,
    lastProcessedModificationTime INT);
CREATE TABLE deletedItems (itemID INTEGER PRIMARY KEY, dateDeleted DEFAULT CURRENT_TIMESTAMP NOT NULL);
CREATE TABLE collections (collectionID INTEGER PRIMARY KEY, collectionName TEXT NOT NULL, parentCollectionID INT,
    clientDateModified TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, libraryID INT NOT NULL, key TEXT NOT NULL,
    version INT NOT NULL DEFAULT 0, synced INT NOT NULL DEFAULT 0);
CREATE TABLE collectionItems (collectionID INT NOT NULL, itemID INT NOT NULL, orderIndex INT NOT NULL DEFAULT 0,
    PRIMARY KEY (collectionID, itemID));
CREATE TABLE tags (tagID INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE itemTags (itemID INT NOT NULL, tagID INT NOT NULL, type INT NOT NULL, PRIMARY KEY (itemID, tagID));
INSERT INTO itemTypes (itemTypeID, typeName) VALUES (3, 'attachment'), (22, 'journalArticle');
INSERT INTO creatorTypes VALUES (8, 'author'), (10, 'editor');
"""
GLASS = ("Scan 17", "Glass bridges carry people over rivers in all weathers.")


class Zotero:
    """Writes a library as Zotero does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.db = sqlite3.connect(folder / "zotero.sqlite", isolation_level=None)
        self.db.executescript(SCHEMA)

    def add(self, table: str, /, **row: Any) -> int:
        names = ", ".join(row)
        marks = ", ".join("?" * len(row))
        found = self.db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))
        return int(found.lastrowid or 0)

    def identity(self, table: str, name: str, /, **row: Any) -> int:
        where = " AND ".join(f"{column} = ?" for column in row)
        found = self.db.execute(f"SELECT {name} FROM {table} WHERE {where}", tuple(row.values())).fetchone()
        return int(found[0]) if found else self.add(table, **row)

    def item(self, *creators: tuple[str, str, str], kind: int = 22, **fields: str) -> int:
        count = self.db.execute("SELECT count(*) FROM items").fetchone()[0]
        item = self.add("items", itemTypeID=kind, libraryID=1, key=f"KEY{count:05}")
        for name, value in fields.items():
            field = self.identity("fields", "fieldID", fieldName=name)
            self.add(
                "itemData",
                itemID=item,
                fieldID=field,
                valueID=self.identity("itemDataValues", "valueID", value=value),
            )
        for n, (role, first, last) in enumerate(creators):
            creator = self.identity(
                "creators", "creatorID", firstName=first, lastName=last, fieldMode=0 if first else 1
            )
            role_id = self.identity("creatorTypes", "creatorTypeID", creatorType=role)
            self.add("itemCreators", itemID=item, creatorID=creator, creatorTypeID=role_id, orderIndex=n)
        return item

    def attach(
        self,
        parent: int | None,
        name: str,
        content: bytes | None,
        kind: str = "application/pdf",
        mode: int = 1,
        path: str = "",
    ) -> Path:
        item = self.item(kind=3, title="Full Text")
        self.add(
            "itemAttachments",
            itemID=item,
            parentItemID=parent,
            linkMode=mode,
            contentType=kind,
            path=path or f"storage:{name}",
        )
        [key] = self.db.execute("SELECT key FROM items WHERE itemID = ?", (item,)).fetchone()
        file = self.folder / "storage" / key / name
        file.parent.mkdir(parents=True)
        if content is not None:
            file.write_bytes(content)
        return file

    def order(self, item: int, collection: str, tag: str) -> None:
        collected = self.identity(
            "collections", "collectionID", collectionName=collection, libraryID=1, key=collection
        )
        self.add("collectionItems", collectionID=collected, itemID=item)
        self.add("itemTags", itemID=item, tagID=self.identity("tags", "tagID", name=tag), type=0)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Zotero]:
    made = Zotero(tmp_path / "Zotero")
    with closing(made.db):
        yield made


@pytest.fixture
def glass(library: Zotero) -> int:
    item = library.item(
        ("author", "Anna", "Smith"), ("editor", "Ed", "Itor"), ("author", "", "Bridge Group"),
        title="Glass bridges", date="2020-05-22 May 22, 2020", DOI="10.1000/glass", publicationTitle="Bridge Letters",
        url="https://example.org/glass", extra="Cited by 3\narXiv:2001.01234 [cs]",
    )  # fmt: skip
    library.order(item, "Thesis", "rivers")
    return item


@pytest.fixture
def rag(tmp_path: Path) -> ragkit.Rag:
    return ragkit.load(preset="default", corpus=tmp_path / "corpus")


def test_a_file_is_read_with_what_its_item_says(rag: ragkit.Rag, library: Zotero, glass: int) -> None:
    file = library.attach(glass, "scan.pdf", small_pdf(*GLASS))
    report = rag.ingest(f"zotero:{library.folder}")
    assert (report.new, report.failed) == (1, ())
    [paper] = rag.papers()
    assert (paper.title, paper.authors) == ("Glass bridges", ("Anna Smith", "Bridge Group"))
    assert (paper.year, paper.venue, paper.doi, paper.arxiv) == (
        2020,
        "Bridge Letters",
        "10.1000/glass",
        "2001.01234",
    )
    assert paper.files == (str(file),)
    assert len(rag.papers("collections = Thesis and tags = rivers")) == 1
    assert rag.papers("collections = Another") == []
    known = rag.corpus.documents([paper.id])[paper.id].metadata
    assert known["url"] == "https://example.org/glass"
    assert not {"guessed", "title_guessed"} & known.keys()


def test_the_library_is_only_read_also_while_zotero_is_open(
    rag: ragkit.Rag, library: Zotero, glass: int
) -> None:
    library.attach(glass, "scan.pdf", small_pdf(*GLASS))
    library.db.execute("PRAGMA locking_mode = EXCLUSIVE")
    library.db.execute("BEGIN EXCLUSIVE")
    before = {path: path.stat().st_mtime_ns for path in library.folder.rglob("*")}
    assert rag.ingest(f"zotero:{library.folder}").new == 1
    assert {path: path.stat().st_mtime_ns for path in library.folder.rglob("*")} == before


def test_what_changes_in_zotero_is_read_again_and_nothing_else(
    rag: ragkit.Rag, library: Zotero, glass: int
) -> None:
    library.attach(glass, "scan.pdf", small_pdf(*GLASS))
    rag.ingest(f"zotero:{library.folder}")
    assert rag.ingest(f"zotero:{library.folder}").unchanged == 1
    assert rag.ingest(library.folder / "storage").unchanged == 1  # what the item says stays
    library.order(glass, "Second thesis", "glass")
    assert plan(rag, f"zotero:{library.folder}").changed == 1
    assert rag.ingest(f"zotero:{library.folder}").changed == 1
    assert len(rag.papers("collections = 'Second thesis'")) == 1


def test_trash_links_to_the_web_and_notes_are_left_out(library: Zotero, glass: int) -> None:
    kept = library.attach(glass, "a.pdf", small_pdf(*GLASS))
    library.attach(glass, "b.pdf", b"x")
    library.add("deletedItems", itemID=library.db.execute("SELECT max(itemID) FROM items").fetchone()[0])
    trashed = library.item(title="Boats")
    library.attach(trashed, "c.pdf", b"x")
    library.add("deletedItems", itemID=trashed)
    library.attach(glass, "page.html", b"x", "text/html", mode=3)
    assert list(zotero.library(library.folder).files) == [kept]


def test_the_pdf_is_the_paper_and_other_files_of_an_item_are_papers_of_their_own(
    rag: ragkit.Rag, library: Zotero, glass: int
) -> None:
    page = b"<html><head><title>Supplement</title></head><body><p>Tables of loads on bridges, one for each year.</p></body></html>"
    library.attach(glass, "supplement.html", page, "text/html")
    library.attach(glass, "scan.pdf", small_pdf(*GLASS))
    rag.ingest(f"zotero:{library.folder}")
    assert [(paper.title, paper.doi) for paper in rag.papers()] == [
        ("Glass bridges", "10.1000/glass"),
        ("Supplement", ""),
    ]
    assert len(rag.papers("collections = Thesis")) == 2


def test_linked_files_and_files_without_an_item(library: Zotero, glass: int, tmp_path: Path) -> None:
    linked, alone = tmp_path / "linked.pdf", library.attach(None, "alone.pdf", b"x")
    linked.write_bytes(b"x")
    library.attach(glass, "linked.pdf", None, mode=2, path=str(linked))
    library.attach(glass, "elsewhere.pdf", None, mode=2, path="attachments:sub/elsewhere.pdf")
    library.attach(glass, "not_here.pdf", None)
    found = zotero.library(library.folder)
    assert set(found.files) == {linked, alone}
    assert found.files[alone] == {}
    assert found.files[linked]["title"] == "Glass bridges"
    assert len(found.missing) == 2


def test_a_stored_file_lies_in_its_folder(library: Zotero, glass: int, tmp_path: Path) -> None:
    (tmp_path / "secret.pdf").write_bytes(b"x")
    library.attach(glass, "a.pdf", None, path="storage:../../../secret.pdf")
    assert zotero.library(library.folder).files == {}


@pytest.mark.parametrize(
    ("date", "year"), [("2020-00-00 2020", 2020), ("0000-00-00 in press", None), ("in press", None)]
)
def test_years(library: Zotero, date: str, year: int | None) -> None:
    file = library.attach(library.item(title="Boats", date=date), "a.pdf", b"x")
    assert zotero.library(library.folder).files[file].get("year") == year


def test_editors_are_named_where_there_is_no_author(library: Zotero) -> None:
    file = library.attach(library.item(("editor", "Ed", "Itor"), title="Boats"), "a.pdf", b"x")
    assert zotero.library(library.folder).files[file]["authors"] == ["Ed Itor"]


def test_what_is_no_library_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no Zotero library in .* zotero:/path/to/Zotero"):
        zotero.library(tmp_path)
    (tmp_path / "zotero.sqlite").write_bytes(b"no database")
    with pytest.raises(UsageError, match="cannot be read as a Zotero library"):
        zotero.library(tmp_path)


def test_the_usual_folder_is_in_the_home_of_the_user(
    command: Callable[..., subprocess.CompletedProcess[str]], library: Zotero, glass: int, tmp_path: Path
) -> None:
    library.attach(glass, "scan.pdf", small_pdf(*GLASS))
    library.attach(glass, "not_here.pdf", None)
    done = command("ingest", "zotero:", "--json", HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["new"] == 1
    assert "1 in all, such as" in done.stderr
    (tmp_path / "empty").mkdir()
    done = command("ingest", "zotero:", HOME=str(tmp_path / "empty"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "no Zotero library" in done.stderr
