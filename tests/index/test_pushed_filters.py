"""Filters that an engine applies by itself: whatever the filter, what passes is found, as by comparing all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.structured_query import Comparator, Comparison, Operation, Operator
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore
from postgres import Server

import ragkit
from ragkit.ask import AnswerPipeline
from ragkit.chunk import SentenceChunker
from ragkit.document import facts_of
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index import external, pgvector
from ragkit.index.flat import FlatIndex
from ragkit.index.pgvector import PgvectorIndex
from ragkit.index.qdrant import QdrantIndex
from ragkit.ingest import IngestPipeline
from ragkit.retrieve import DenseRetriever
from ragkit.testing import HashedEmbeddings
from ragkit.where import Where, parse

EMBED = HashedEmbeddings(size=32)
YEARS = [1999, 2004, 2005.5, "2021", "2021-03-04", "in press", True, None, [2004, "x"], {"from": 1990}]
VENUES = ["ACL", "acl", "Straße", "STRASSE", "É", "e\u0301", "", ["ACL", "EMNLP"], [], 'a "b" \\ c', 7]
ENGINES = [
    "pgvector",
    "pgvector's graph",
    "qdrant",
    "Chroma",
    "PGVector",
    "QdrantVectorStore",
    "InMemoryVectorStore",
]


def stores(url: str, folder: Path) -> dict[str, VectorStore]:
    from langchain_chroma import Chroma
    from langchain_postgres import PGVector
    from langchain_qdrant import QdrantVectorStore
    from qdrant_client import QdrantClient
    from qdrant_client.models import Distance, VectorParams

    client = QdrantClient(":memory:")
    client.create_collection("papers", VectorParams(size=EMBED.size, distance=Distance.COSINE))
    return {
        "Chroma": Chroma("papers", EMBED, str(folder), collection_metadata={"hnsw:space": "cosine"}),
        "PGVector": PGVector(
            EMBED, connection=url.replace("postgresql:", "postgresql+psycopg:"), use_jsonb=True
        ),
        "QdrantVectorStore": QdrantVectorStore(client, "papers", EMBED),
        "InMemoryVectorStore": InMemoryVectorStore(EMBED),
    }


@pytest.fixture(scope="module")
def library(
    postgres: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ragkit.Rag, dict[str, Any]]]:
    """Papers with odd values, in every engine at once."""
    folder = tmp_path_factory.mktemp("filters")
    url = postgres.database(f"filters{time.time_ns()}")
    with (folder / "papers.jsonl").open("w") as file:
        for n in range(60):
            known = {"year": YEARS[n % len(YEARS)], "venue": VENUES[n % len(VENUES)]}
            text = f"Bridge {n} carries {n % 7} people. Over river {n} it sways. It holds {n % 3} carts."
            file.write(json.dumps({"title": f"Paper {n}", "text": text, **known}) + "\n")
    made: dict[str, Any] = {
        "flat": FlatIndex(embed=EMBED),
        "pgvector": PgvectorIndex(embed=EMBED, url=url),
        "pgvector's graph": PgvectorIndex(embed=EMBED, url=url, schema="graph", compared=1),
        "qdrant": QdrantIndex(embed=EMBED, collection="filters", url=":memory:"),
        **stores(url, folder / "chroma"),
    }
    rag = ragkit.Rag(
        corpus=folder / "corpus",
        ingest=IngestPipeline(chunk=SentenceChunker(max_tokens=12), index=list(made.values())),
        answer=AnswerPipeline(retrieve=[DenseRetriever(store=made["flat"])], generate=ExtractiveGenerator()),
    )
    assert rag.ingest(folder / "papers.jsonl").chunks > 100
    yield rag, made
    made["PGVector"]._engine.dispose()


values = st.sampled_from(
    ["1999", "2004", "2005.5", "2021", "2021-03-04", "press", "true", "ACL", "strasse", "é", "7", ""]
)
leaves = st.one_of(
    st.builds(
        Comparison,
        st.sampled_from(
            [
                Comparator.EQ,
                Comparator.NE,
                Comparator.LT,
                Comparator.LTE,
                Comparator.GT,
                Comparator.GTE,
                Comparator.CONTAIN,
            ]
        ),
        st.sampled_from(["year", "venue", "title", "missing"]),
        values,
    ),
    st.builds(
        Comparison,
        st.sampled_from([Comparator.IN, Comparator.NIN]),
        st.sampled_from(["year", "venue"]),
        st.lists(values, min_size=1, max_size=3),
    ),
    st.builds(Comparison, st.just(Comparator.NE), st.sampled_from(["year", "venue", "missing"]), st.none()),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda parts: Operation(Operator.AND, parts), st.lists(inner, min_size=2, max_size=2)),
        st.builds(lambda parts: Operation(Operator.OR, parts), st.lists(inner, min_size=2, max_size=2)),
        st.builds(lambda part: Operation(Operator.NOT, [part]), inner),
    ),
    max_leaves=4,
)


@pytest.mark.parametrize("named", [0, 20, 100_000])
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(tree=trees, k=st.sampled_from([1, 5, 1000]))
def test_what_passes_a_filter_is_found_as_by_comparing_all(
    named: int, tree: Any, k: int, library: tuple[ragkit.Rag, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external, "_NAMED", named)
    monkeypatch.setattr(pgvector, "_SENT", named)
    rag, made = library
    where = Where(tree)
    every = rag.corpus.passages(rag.corpus.held(rag.ingest_pipeline.name_of(made["flat"])))
    passing = {identity for identity, passage in every.items() if where.matches(facts_of(passage.metadata))}
    among, snapshot = rag.corpus.matching(where), rag.snapshot()

    def found(engine: str, k: int) -> dict[str, float]:
        bound = DenseRetriever(store=made[engine], k=k).over(snapshot, among)
        hits = bound.invoke("Which bridge carries 3 people over a river?")
        assert len({hit.id for hit in hits}) == len(hits)
        return {str(hit.id): float(hit.metadata["score"]) for hit in hits}

    expected = found("flat", k)
    assert expected.keys() <= passing
    for engine in ENGINES:
        all_, there = found(engine, 1000), found(engine, k)
        assert all_.keys() == passing, engine
        assert there.keys() <= passing, engine
        best = sorted(all_.values(), reverse=True)[:k]
        assert list(there.values()) == pytest.approx(best, abs=1e-4), engine
        if engine.startswith(("pgvector", "qdrant")):  # LangChain's stores have scales of their own
            assert list(there.values()) == pytest.approx(list(expected.values()), abs=2e-3), engine


@pytest.mark.parametrize("engine", ["Chroma", "PGVector", "QdrantVectorStore"])
def test_a_store_that_ragkit_knows_is_asked_once_for_few_passages(
    engine: str, library: tuple[ragkit.Rag, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rag, made = library
    store, asked = made[engine], []
    real = type(store).similarity_search_with_relevance_scores

    def search(self: Any, query: str, k: int, **given: Any) -> Any:
        asked.append((k, "filter" in given))
        return real(self, query, k=k, **given)

    monkeypatch.setattr(type(store), "similarity_search_with_relevance_scores", search)
    among = rag.corpus.matching(parse("title = 'paper 7' or title = 'paper 8'"))
    hits = DenseRetriever(store=store, k=2).over(rag.snapshot(), among).invoke("Which bridge carries people?")
    assert (asked, len(hits)) == ([(2, True)], 2)
