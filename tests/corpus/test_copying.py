"""A corpus is copied from a folder to Postgres and back, whole or not at all."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from postgres import Server
from support import NOTES

import ragkit
from ragkit.corpus import Corpus, copying
from ragkit.corpus.copying import copy, tables
from ragkit.corpus.postgres import PostgresCorpus
from ragkit.corpus.schema import LATER, SCHEMA
from ragkit.errors import CorpusError, NoCorpus, UsageError

QUESTION = "How many parameters do BERT-base and BERT-large have?"


@pytest.fixture
def url(postgres: Server) -> str:
    return postgres.database(f"db{time.time_ns()}")


@pytest.fixture
def shared(url: str, tmp_path: Path) -> PostgresCorpus:
    return PostgresCorpus(url, tmp_path / "shared")


def test_every_table_is_copied_but_those_of_indexes_and_of_papers_on_their_way_out() -> None:
    made = {line.split()[2] for line in SCHEMA.splitlines() if line.startswith("CREATE TABLE")} | set(LATER)
    assert made - {table.name for table in tables()} == {"indexes", "ledger", "renewed", "former"}


def test_a_copy_to_postgres_and_back_answers_as_the_first_and_embeds_nothing(
    rag: ragkit.Rag, shared: PostgresCorpus, tmp_path: Path
) -> None:
    place = tmp_path / "first"
    rag.moved(place).ingest(NOTES)
    rag.moved(place).edit("distilbert", year=2020)
    there, back = rag.moved(shared), rag.moved(tmp_path / "back")
    rows = copy(Corpus(place), there.corpus)
    assert rows["documents"] == rag.corpus.counts().documents
    assert rows["corrections"] == 1
    assert copy(there.corpus, back.corpus) == rows
    first = rag.moved(place)
    for copied in (there, back):
        assert copied.ingest().encoded == 0
        assert copied.corpus.counts() == first.corpus.counts()
        assert dict(copied.corpus.facts()) == dict(first.corpus.facts())
        assert copied.ask(QUESTION).text == first.ask(QUESTION).text


def test_a_copy_onto_papers_or_of_nothing_is_refused(
    ingested: Path, shared: PostgresCorpus, tmp_path: Path
) -> None:
    with closing(Corpus(shared)) as target:
        with pytest.raises(NoCorpus):
            copy(Corpus(tmp_path / "none"), target)
        with target.writing():
            target.put_file("a.txt", "digest", "loader", [])
        with pytest.raises(UsageError, match="is not empty: copy to a place where there is none yet"):
            copy(Corpus(ingested), target)
        with pytest.raises(UsageError, match="cannot be copied onto itself"):
            copy(Corpus(shared), target)
        assert list(target.uris()) == ["a.txt"]


def test_a_copy_that_differs_is_taken_back(
    ingested: Path, shared: PostgresCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = iter(str(n) for n in range(99))
    monkeypatch.setattr(copying, "_digest", lambda *_: next(digests))
    with closing(Corpus(shared)) as target:
        with pytest.raises(CorpusError, match="differs in the table files, and was taken back"):
            copy(Corpus(ingested), target)
        assert (list(target.uris()), target.document_ids()) == ([], [])


def test_more_rows_than_are_read_at_once_are_copied(
    shared: PostgresCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_AT_ONCE", 7)
    with closing(Corpus(tmp_path / "many")) as source, closing(Corpus(shared)) as target:
        with source.writing():
            for n in range(50):
                source.put_file(f"{n}.txt", "digest", "loader", [])
        assert copy(source, target)["files"] == 50
        assert list(target.uris()) == list(source.uris())


def test_the_command_copies_and_says_what_to_do_next(
    ingested: Path, url: str, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = command("corpus", "copy", ingested, url)
    assert (done.returncode, "where all digests agree" in " ".join(done.stdout.split())) == (0, True), (
        done.stderr
    )
    again = command("corpus", "copy", ingested, url)
    assert (again.returncode, "is not empty" in " ".join(again.stderr.split())) == (2, True)
