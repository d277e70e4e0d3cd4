"""Every engine keeps the promises of `ragkit.testing.engines.check_engine`, and the suite notices one that does not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from qdrant_engine import EngineIndex

from ragkit.document import Key
from ragkit.index import Hit, LexicalIndex, VectorIndex
from ragkit.index.bm25 import Bm25Index
from ragkit.index.chroma import ChromaIndex
from ragkit.index.flat import FlatIndex
from ragkit.index.pgvector import PgvectorIndex
from ragkit.index.qdrant import QdrantIndex
from ragkit.models.embeddings import Vectors
from ragkit.testing import HashedEmbeddings, MemoryIndex, MemoryRows
from ragkit.testing.engines import check_engine

EMBED = HashedEmbeddings(size=256)
SPREAD = DeterministicFakeEmbedding(size=64)  # as texts are
GRAPHS = {"chroma", "pgvector's graph", "qdrant's engine"}  # which are approximate
ENGINES = {
    "flat": lambda name: FlatIndex(embed=EMBED),
    "bm25": lambda name: Bm25Index(),
    "chroma": lambda name: ChromaIndex(embed=SPREAD),
    "qdrant": lambda name: QdrantIndex(embed=EMBED, collection="engines", url=":memory:"),
    "pgvector": lambda name: PgvectorIndex(embed=EMBED, url=name),
    "pgvector's graph": lambda name: PgvectorIndex(embed=SPREAD, url=name, schema="graph", compared=1),
    "qdrant's engine": lambda name: EngineIndex(embed=SPREAD, collection="engines", url=name),
    "memory": lambda name: MemoryIndex(embed=EMBED, server=name),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_keeps_what_it_promises(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    name = str(tmp_path)
    if engine.startswith("pgvector"):
        name = request.getfixturevalue("postgres").database(f"engine{time.time_ns()}")
    index: VectorIndex | LexicalIndex = ENGINES[engine](name)
    check_engine(index, tmp_path / "index", recall=0.9 if engine in GRAPHS else 1.0)


@dataclass(frozen=True)
class Breaking(MemoryIndex):
    """A memory index, one of whose promises is broken."""

    broken: str = ""

    def rows(self, name: str) -> MemoryRows:
        rows = super().rows(name)
        sound_add, sound_remove, sound_search = rows.add, rows.remove, rows.search

        def add(keys: Sequence[Key], vectors: Vectors | None, generation: int) -> None:
            sound_add(keys, vectors, generation)
            for row in rows.collection.keys:
                row.added = 1

        def search(
            queries: Sequence[str], k: int, generation: int, among: frozenset[str] | None
        ) -> list[list[Hit]]:
            found = sound_search(queries, k, generation, None)
            if among is None:
                return found
            return [[hit for hit in hits if hit.passage in among][:-1] for hits in found]

        def begin(generation: int, last: int | None) -> None:
            rows.collection.writer = generation

        replaced = {
            "add": add,
            "search": search,
            "begin": begin,
            "_demand": lambda generation: None,
            "remove": lambda passages, generation: sound_remove([], generation),
            "is_sealed": lambda generation: True,
            "entries": lambda generation: iter(()),
        }
        object.__setattr__(rows, self.broken, replaced[self.broken])
        return rows


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("add", "other entries beside a writer that has added$"),
        ("search", "a filter leaves out what passes after it was sealed"),
        ("begin", "other entries after additions and removals"),
        ("_demand", "a writer whose place another has taken still writes"),
        ("remove", "other entries after additions and removals"),
        ("is_sealed", "it takes a generation that was never made for sound"),
        ("entries", "other entries after it was sealed"),
    ],
)
def test_the_suite_notices_a_promise_that_is_broken(broken: str, said: str, tmp_path: Path) -> None:
    index = Breaking(embed=EMBED, server=str(tmp_path), broken=broken)
    with pytest.raises(Exception, match=said):
        check_engine(index, tmp_path / "index")
