"""A library whose vectors are in the Postgres of its corpus, whatever happens to the server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from postgres import Server, Standby

import ragkit
from ragkit.ask import AnswerPipeline
from ragkit.chunk import WholeChunker
from ragkit.corpus.postgres import PostgresCorpus
from ragkit.doctor import examine
from ragkit.document import Key, passage_id
from ragkit.errors import CorpusError
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index import Place
from ragkit.index.pgvector import PgvectorIndex
from ragkit.ingest import IngestPipeline
from ragkit.retrieve import DenseRetriever
from ragkit.testing import HashedEmbeddings
from ragkit.testing.engines import add_keys


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that writes to its disk, so that it can be killed."""
    with closing(Server()) as made:
        yield made


def library(url: str, folder: Path) -> ragkit.Rag:
    dense = PgvectorIndex(embed=HashedEmbeddings(), url=url)
    return ragkit.Rag(
        corpus=PostgresCorpus(url=url, folder=folder),
        ingest=IngestPipeline(chunk=WholeChunker(), index=[dense]),
        answer=AnswerPipeline(retrieve=[DenseRetriever(store=dense)], generate=ExtractiveGenerator()),
    )


def test_two_machines_search_one_index_in_the_database_of_the_corpus(
    postgres: Server, tmp_path: Path
) -> None:
    url = postgres.database(f"library{time.time_ns()}")
    papers = tmp_path / "papers"
    papers.mkdir()
    for name in ("glass", "iron", "stone"):
        (papers / f"{name}.md").write_text(f"# {name.title()}\n\nBridges of {name} carry people.\n")
    one, other = library(url, tmp_path / "one"), library(url, tmp_path / "other")
    assert one.ingest(papers).encoded == 3
    assert len(other.search("people")) == 3
    assert [hit.page_content for hit in other.search("people", where="title = iron")] == [
        "Bridges of iron carry people."
    ]
    before = other.question("Which bridges carry people?")
    one.remove("Iron")
    assert before.snapshot.searcher(other.ingest_pipeline.index[0]).count() == 3  # type: ignore[arg-type]
    assert {hit.page_content for hit in other.search("people")} == {
        "Bridges of glass carry people.",
        "Bridges of stone carry people.",
    }
    assert examine(other).problems == ()
    assert not (tmp_path / "other").exists(), "a machine that only searches keeps nothing"


KEYS = [Key(passage_id("killed", n, n + 1), 0, f"passage {n}") for n in range(400)]
OLD, NEW = KEYS[:300], KEYS[300:]


@pytest.mark.parametrize("compared", [1, 20_000], ids=["graph", "exact"])
def test_a_server_that_was_killed_while_a_generation_was_written_finds_the_last_one(
    compared: int, server: Server, tmp_path: Path
) -> None:
    index = PgvectorIndex(
        embed=DeterministicFakeEmbedding(size=32), url=server.database("killed"), compared=compared
    )
    first, killed, next_ = (Place(tmp_path / "index", generation) for generation in (1, 2, 3))
    builder = index.build(None, first)
    add_keys(index, builder, OLD)
    builder.seal()
    builder = index.build(first, killed)
    add_keys(index, builder, NEW)
    builder.remove([key.passage for key in OLD[:100]])
    server.kill()
    with pytest.raises(CorpusError, match=r"^index index in Postgres cannot be read or written: "):
        index.is_sound(first)
    server.start()
    assert (index.is_sound(first), index.is_sound(killed)) == (True, False)
    assert found(index, first, OLD) == [key.passage for key in OLD]
    builder = index.build(first, next_)
    add_keys(index, builder, NEW)
    builder.seal()
    assert found(index, next_, KEYS) == [key.passage for key in KEYS]


def found(index: PgvectorIndex, place: Place, keys: list[Key]) -> list[str]:
    """The passage that is nearest to the text of each key."""
    with closing(index.open(place)) as searcher:
        assert sorted(searcher.entries()) == sorted((key.passage, 0) for key in keys)
        return [hits[0].passage for hits in searcher.search_each([key.text for key in keys], 1)]


def test_sessions_of_threads_that_ended_are_closed(postgres: Server, tmp_path: Path) -> None:
    url = postgres.database(f"threads{time.time_ns()}")
    index, place = (
        PgvectorIndex(embed=DeterministicFakeEmbedding(size=32), url=url),
        Place(tmp_path / "index", 1),
    )
    builder = index.build(None, place)
    add_keys(index, builder, KEYS)
    builder.seal()
    del builder
    with closing(index.open(place)) as searcher, psycopg.connect(url) as connection:
        for _ in range(5):
            thread = threading.Thread(target=searcher.search_each, args=(["bridges"], 1))
            thread.start()
            thread.join()
        open_ = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        assert open_.fetchone() <= (2 + 1,)  # type: ignore[operator]


def test_a_standby_is_searched_with_a_filter_that_many_passages_pass(tmp_path: Path) -> None:
    keys = [Key(passage_id("standby", n, n + 1), 0, f"passage {n}") for n in range(1_200)]
    place = Place(tmp_path / "index", 1)
    with closing(Server(fsync="off")) as primary, closing(Standby(primary)) as standby:
        index = PgvectorIndex(embed=DeterministicFakeEmbedding(size=32), url=primary.url())
        builder = index.build(None, place)
        add_keys(index, builder, keys)
        builder.seal()
        among = frozenset(key.passage for key in keys[:1_100])
        for url in (primary.url(), standby.url()):
            with closing(replace(index, url=url).open(place)) as searcher:
                hits = searcher.search_each([key.text for key in keys[:3]], 1_100, among)
                assert [{hit.passage for hit in each} for each in hits] == [among] * 3


def test_many_vectors_are_searched_by_a_graph(postgres: Server, tmp_path: Path) -> None:
    url = postgres.database(f"graph{time.time_ns()}")
    for name, compared in (("few", 400), ("many", 399)):
        index = PgvectorIndex(embed=DeterministicFakeEmbedding(size=32), url=url, compared=compared)
        builder = index.build(None, Place(tmp_path / name, 1))
        add_keys(index, builder, KEYS)
        builder.seal()
    with psycopg.connect(url) as connection:
        made = connection.execute("SELECT indexname FROM pg_indexes WHERE indexdef LIKE '%USING hnsw%'")
        assert made.fetchall() == [("many-hnsw",)]


@pytest.mark.parametrize(
    ("url", "schema", "message"),
    [
        ("http://x", "papers", "the url of a database begins with postgresql://"),
        ("postgresql://x/y", "Papers", "'Papers' is no name for a schema"),
    ],
)
def test_what_no_database_takes_is_refused(url: str, schema: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PgvectorIndex(embed=HashedEmbeddings(), url=url, schema=schema)
