"""The flat vector store: exact, whatever is added, replaced, removed, filtered or damaged."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document

import ragkit
from ragkit.ask import AnswerPipeline
from ragkit.chunk import WholeChunker
from ragkit.doctor import examine
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index.bm25 import TantivyIndex
from ragkit.index.flat import FlatStore
from ragkit.ingest import IngestPipeline
from ragkit.retrieve import DenseRetriever
from ragkit.testing import HashedEmbeddings

EMBED = HashedEmbeddings(size=24)
WORDS = "glass steel wooden stone rope iron paper bridge road river carries people trains carts".split()


def store(folder: Path, **given: int) -> FlatStore:
    made = FlatStore(embed=EMBED, **given)
    made.attach(folder)
    made.begin(1, of_this=False)
    return made


def passage(text: str) -> Document:
    return Document(id=text, page_content=text, metadata={"document_id": text, "start": 0, "end": len(text)})


def put(index: FlatStore, texts: list[str]) -> None:
    index.add_vectors(
        [passage(t) for t in texts],
        np.asarray(EMBED.embed_documents(texts), dtype=np.float32).reshape(-1, EMBED.size),
    )


texts = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join), unique=True, max_size=40
)


@settings(max_examples=60)
@given(first=texts, second=texts, data=st.data())
def test_the_nearest_are_those_of_comparing_every_vector(
    first: list[str], second: list[str], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    index = store(tmp_path_factory.mktemp("flat"))
    put(index, first)
    put(index, second)  # what is there already is added again
    gone = data.draw(st.lists(st.sampled_from(first or ["none"]), max_size=5))
    index.remove(gone)
    index.seal()
    left = (set(first) | set(second)) - set(gone)
    assert (index.ids(), index.count(), index.is_sound()) == (left, len(left), True)
    among = frozenset(data.draw(st.lists(st.sampled_from(sorted(left) or ["none"]), max_size=20)))
    asked = np.asarray(EMBED.embed_query("glass bridge"))
    for some in (None, among):
        alike = sorted(
            (float(asked @ np.asarray(EMBED.embed_query(t))) for t in left if some is None or t in some),
            reverse=True,
        )
        found = index.nearest("glass bridge", 5, some)
        assert [score for _, score in found] == pytest.approx(alike[:5], abs=1e-6)
        assert {i for i, _ in found} <= (left if some is None else some & left)


def test_ids_of_any_length_and_script_are_kept(tmp_path: Path) -> None:
    index = store(tmp_path)
    for ids in (["a"], ["much longer than before", "b"], ["桥", "c"]):
        put(index, ids)
    assert index.ids() == {"a", "much longer than before", "b", "桥", "c"}
    index.remove(["much longer than before", "never there"])
    index.seal()
    assert (index.ids(), index.count()) == ({"a", "b", "桥", "c"}, 4)
    assert index.nearest("b", 1)[0][0] == "b"


def test_another_generation_holds_what_the_last_one_did(tmp_path: Path) -> None:
    index = store(tmp_path)
    put(index, ["glass bridge", "iron road"])
    index.seal()
    index.begin(2, of_this=True)
    put(index, ["stone river"])
    index.seal()
    assert index.ids() == {"glass bridge", "iron road", "stone river"}
    index.use(1)
    assert index.ids() == {"glass bridge", "iron road"}


def test_what_is_asked_with_no_words_or_of_no_passage_finds_nothing(tmp_path: Path) -> None:
    index = store(tmp_path)
    assert index.nearest("glass", 3) == []
    put(index, ["glass bridge"])
    assert index.nearest("", 3) == []
    assert index.nearest("glass", 3, frozenset()) == []


def test_comparing_signs_first_loses_next_to_nothing(tmp_path: Path) -> None:
    chance = np.random.default_rng(3)
    centres = chance.standard_normal((100, 128))
    vectors = (centres[chance.integers(0, 100, 20_000)] + 0.8 * chance.standard_normal((20_000, 128))).astype(
        np.float32
    )
    whole, quick = store(tmp_path / "whole"), store(tmp_path / "quick", compared=1_000)
    for index in (whole, quick):
        index.add_vectors([passage(str(i)) for i in range(len(vectors))], vectors)

    class Given(HashedEmbeddings):
        def embed_query(self, text: str) -> list[float]:
            return list((vectors[int(text)] + 0.2).tolist())

    among = frozenset(str(i) for i in range(0, 20_000, 3))
    for some in (None, among):
        shared = 0
        for query in range(0, 2_000, 100):
            found = []
            for index in (whole, quick):
                asked = FlatStore(embed=Given(), compared=index.compared)
                asked.attach(index.root)
                asked.use(1)
                found.append({i for i, _ in asked.nearest(str(query), 10, some)})
            shared += len(found[0] & found[1])
        assert shared >= 0.98 * 20 * 10


def small(directory: Path) -> ragkit.Rag:
    dense, words = FlatStore(embed=HashedEmbeddings()), TantivyIndex()
    return ragkit.Rag(
        corpus=directory,
        ingest=IngestPipeline(chunk=WholeChunker(), index=[dense, words]),
        answer=AnswerPipeline(retrieve=[DenseRetriever(store=dense)], generate=ExtractiveGenerator()),
    )


@pytest.mark.parametrize("harm", ["delete", "truncate", "scramble"])
@pytest.mark.parametrize("name", ["vectors.f32", "signs.u64", "ids.S20"])
def test_a_damaged_file_is_noticed_said_and_made_anew_without_encoding(
    tmp_path: Path, name: str, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (tmp_path / "papers.jsonl").open("w") as file:
        for number in range(50):
            file.write(
                json.dumps(
                    {"title": f"Paper {number}", "text": f"Bridge {number} carries {number * 7} people."}
                )
                + "\n"
            )
    small(tmp_path / "corpus").ingest(tmp_path / "papers.jsonl")
    right = [hit.id for hit in small(tmp_path / "corpus").search("bridge 7", 3)]
    [path] = (tmp_path / "corpus" / "indexes").rglob(name)
    content = path.read_bytes()
    if harm == "delete":
        path.unlink()
    else:
        path.write_bytes(
            content[: len(content) // 2] if harm == "truncate" else bytes(b ^ 90 for b in content)
        )
    rag = small(tmp_path / "corpus")
    with caplog.at_level(logging.WARNING, "ragkit"):
        assert [hit.id for hit in rag.search("bridge 7", 3)] == right
    [said] = [record.getMessage() for record in caplog.records if record.name == "ragkit"]
    assert said.startswith("index flat-")
    assert said.endswith("is damaged and is built anew from the corpus")
    assert (rag.corpus.counts().vectors, examine(rag).problems) == (50, ())
