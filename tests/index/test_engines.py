"""Every engine keeps the promises of `ragkit.testing.engines.check_engine`, and the suite notices one that does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from qdrant_rows import QdrantIndex

from ragkit.document import Key
from ragkit.index import Hit, LexicalIndex, VectorIndex
from ragkit.index.bm25 import Bm25Index
from ragkit.index.chroma import ChromaIndex
from ragkit.index.collection import Rows
from ragkit.index.flat import FlatIndex
from ragkit.models.embeddings import Vectors
from ragkit.testing import HashedEmbeddings, MemoryIndex
from ragkit.testing.engines import check_engine

EMBED = HashedEmbeddings(size=256)
ENGINES = {
    "flat": lambda name: FlatIndex(embed=EMBED),
    "bm25": lambda name: Bm25Index(),
    "chroma": lambda name: ChromaIndex(embed=DeterministicFakeEmbedding(size=64)),  # spread as texts are
    "qdrant": lambda name: QdrantIndex(embed=EMBED, server=name),
    "memory": lambda name: MemoryIndex(embed=EMBED, server=name),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_keeps_what_it_promises(engine: str, tmp_path: Path) -> None:
    index: VectorIndex | LexicalIndex = ENGINES[engine](str(tmp_path))
    check_engine(
        index, tmp_path / "index", recall=0.9 if engine == "chroma" else 1.0
    )  # its graph is approximate


@dataclass(frozen=True)
class Breaking(MemoryIndex):
    """A memory index, one of whose promises is broken."""

    broken: str = ""

    def rows(self, name: str) -> Rows:
        rows = super().rows(name)
        sound_add, sound_search = rows.add, rows.search

        def add(keys: Sequence[Key], vectors: Vectors | None, generation: int) -> None:
            sound_add(keys, vectors, 1 if self.broken == "add" else generation)

        def search(query: str, k: int, generation: int, among: frozenset[str] | None) -> list[Hit]:
            if among is None:
                return sound_search(query, k, generation, None)
            return [hit for hit in sound_search(query, k, generation, None) if hit.passage in among][:-1]

        replaced = {
            "add": add,
            "search": search,
            "undo": lambda generation: None,
            "remove": lambda passages, generation: 0,
            "entries": lambda generation: iter(()),
        }
        object.__setattr__(rows, self.broken, replaced[self.broken])
        return rows


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("add", "while a writer has not sealed"),
        ("search", "a filter leaves out what passes"),
        ("undo", "after additions and removals|after a writer was killed|another count|lost"),
        ("remove", "after additions and removals|lost"),
        ("entries", "other entries after it was sealed"),
    ],
)
def test_the_suite_notices_a_promise_that_is_broken(broken: str, said: str, tmp_path: Path) -> None:
    index = Breaking(embed=EMBED, server=str(tmp_path), broken=broken)
    with pytest.raises(Exception, match=said):
        check_engine(index, tmp_path / "index")
