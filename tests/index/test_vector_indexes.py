"""Vector indexes in folders and on servers: exact after adds, removals and damage, with filters and keys."""

from __future__ import annotations

import errno
import gc
import json
import logging
import os
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ragkit
from ragkit.ask import AnswerPipeline
from ragkit.chunk import WholeChunker
from ragkit.doctor import examine
from ragkit.document import Key, passage_id
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index import Builder, Place
from ragkit.index.bm25 import Bm25Index
from ragkit.index.chroma import ChromaIndex
from ragkit.index.collection import CollectionIndex
from ragkit.index.flat import FlatIndex
from ragkit.index.folder import FolderIndex
from ragkit.ingest import IngestPipeline
from ragkit.models.embeddings import vectors_of
from ragkit.read.files import Files
from ragkit.retrieve import DenseRetriever
from ragkit.testing import HashedEmbeddings, MemoryIndex, MemoryRows, check_component

EMBED = HashedEmbeddings(size=24)
WORDS = "glass steel wooden stone rope iron paper bridge road river carries people trains carts".split()


def called(text: str) -> str:
    """The id of the passage with this text."""
    return passage_id(text, 0, len(text))


def put(builder: Builder, texts: list[str]) -> None:
    builder.add(
        [Key(called(text), 0, text) for text in texts], vectors_of(EMBED, texts).reshape(-1, EMBED.size)
    )


def there(index: FlatIndex, place: Place) -> set[str]:
    with closing(index.open(place)) as searcher:
        found = [passage for passage, _ in searcher.entries()]
        assert (len(found), searcher.count()) == (len(set(found)), len(found))
    return set(found)


texts = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join), unique=True, max_size=12
)


@settings(max_examples=60)
@given(data=st.data())
def test_after_any_generations_the_nearest_are_those_of_comparing_every_vector(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    index, root = FlatIndex(embed=EMBED), tmp_path_factory.mktemp("flat")
    held: list[set[str]] = [set()]
    for generation in range(1, data.draw(st.integers(2, 24))):
        builder = index.build(
            Place(root, generation - 1) if generation > 1 else None, Place(root, generation)
        )
        gone = data.draw(st.sets(st.sampled_from(sorted(held[-1]) or ["none"]), max_size=4))
        builder.remove([called(text) for text in gone])
        new = [text for text in data.draw(texts) if text not in held[-1] - gone]
        put(builder, new)
        builder.seal()
        held.append((held[-1] - gone) | set(new))
    for generation, left in enumerate(held[1:], 1):
        place = Place(root, generation)
        assert (there(index, place), index.is_sound(place)) == (set(map(called, left)), True)
    among = frozenset(
        map(called, data.draw(st.lists(st.sampled_from(sorted(left) or ["none"]), max_size=20)))
    )
    asked = np.asarray(EMBED.embed_query("glass bridge"))
    with closing(index.open(place)) as searcher:
        for some in (None, among):
            alike = sorted(
                (
                    float(asked @ np.asarray(EMBED.embed_query(t)))
                    for t in left
                    if some is None or called(t) in some
                ),
                reverse=True,
            )
            found = searcher.search("glass bridge", 5, some)
            assert [hit.score for hit in found] == pytest.approx(alike[:5], abs=1e-6)
            assert {hit.passage for hit in found} <= (set(map(called, left)) if some is None else some)


def test_a_generation_shares_the_files_of_the_last_one_and_leaves_them_as_they_are(tmp_path: Path) -> None:
    for index in (FlatIndex(embed=EMBED), Bm25Index()):
        root = tmp_path / type(index).__name__
        first, second = Place(root, 1), Place(root, 2)
        builder = index.build(None, first)
        put(builder, [f"glass bridge {n}" for n in range(1000)])
        builder.seal()
        files = {path: path.read_bytes() for path in index.files(first)}
        large = [path.name for path, content in files.items() if len(content) > 10_000]
        seal = first.seal.read_text()
        builder = index.build(first, second)
        put(builder, ["stone river"])
        builder.remove([called("glass bridge 7")])
        builder.seal()
        assert {path: path.read_bytes() for path in index.files(first)} == files
        assert (first.seal.read_text(), index.is_sound(first), index.is_sound(second)) == (seal, True, True)
        assert large
        assert all((second.folder / name).samefile(first.folder / name) for name in large)
        known = json.loads(second.seal.read_text())
        assert {name: known[name] for name in large} == {name: json.loads(seal)[name] for name in large}
        with closing(index.open(second)) as searcher:
            assert searcher.count() == 1000
        index.sweep(root, keep=[2])
        assert sorted(path.name for path in root.iterdir()) == ["00000002", "00000002.seal"]
        assert index.is_sound(second)


def test_where_the_file_system_makes_no_links_files_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    index = FlatIndex(embed=EMBED)
    put(builder := index.build(None, Place(tmp_path, 1)), ["glass bridge", "iron road"])
    builder.seal()
    put(builder := index.build(Place(tmp_path, 1), Place(tmp_path, 2)), ["stone river"])
    builder.seal()
    assert there(index, Place(tmp_path, 2)) == set(map(called, ["glass bridge", "iron road", "stone river"]))
    assert index.is_sound(Place(tmp_path, 2))


def test_many_small_additions_leave_few_segments_and_what_is_mostly_gone_is_written_anew(
    tmp_path: Path,
) -> None:
    index = FlatIndex(embed=EMBED)
    put(builder := index.build(None, Place(tmp_path, 1)), [f"glass {n}" for n in range(400)])
    builder.seal()
    for generation in range(2, 60):
        put(
            builder := index.build(Place(tmp_path, generation - 1), Place(tmp_path, generation)),
            [f"iron {generation}"],
        )
        builder.seal()
    last = Place(tmp_path, 59)
    assert len(list(last.folder.glob("*.keys"))) <= 16
    [large] = [path for path in last.folder.glob("*.keys") if path.stat().st_size > 4000]
    assert large.samefile(Place(tmp_path, 1).folder / large.name), "the large segment is never written again"
    builder = index.build(last, Place(tmp_path, 60))
    builder.remove([called(f"glass {n}") for n in range(150)])
    builder.seal()
    assert not (Place(tmp_path, 60).folder / large.name).exists()
    assert list(Place(tmp_path, 60).folder.glob("*.gone")) == []
    assert len(there(index, Place(tmp_path, 60))) == 400 - 150 + 58


def test_what_is_asked_with_no_words_or_of_no_passage_finds_nothing(tmp_path: Path) -> None:
    index = FlatIndex(embed=EMBED)
    index.build(None, Place(tmp_path, 1)).seal()
    with closing(index.open(Place(tmp_path, 1))) as searcher:
        assert searcher.search("glass", 3) == []
    put(builder := index.build(None, Place(tmp_path, 2)), ["glass bridge"])
    builder.seal()
    with closing(index.open(Place(tmp_path, 2))) as searcher:
        assert searcher.search("", 3) == []
        assert searcher.search("glass", 3, frozenset()) == []


def test_comparing_signs_first_loses_next_to_nothing(tmp_path: Path) -> None:
    chance = np.random.default_rng(3)
    centres = chance.standard_normal((100, 128))
    vectors = (centres[chance.integers(0, 100, 20_000)] + 0.8 * chance.standard_normal((20_000, 128))).astype(
        np.float32
    )

    class Given(HashedEmbeddings):
        def embed_query(self, text: str) -> list[float]:
            return list((vectors[int(text)] + 0.2).tolist())

    whole, quick = FlatIndex(embed=Given()), FlatIndex(embed=Given(), compared=1_000)
    keys = [Key(called(str(i)), 0, str(i)) for i in range(len(vectors))]
    (builder := whole.build(None, Place(tmp_path, 1))).add(keys[:15_000], vectors[:15_000])
    builder.seal()
    (builder := whole.build(Place(tmp_path, 1), Place(tmp_path, 2))).add(keys[15_000:], vectors[15_000:])
    builder.remove([keys[i].passage for i in range(1, 20_000, 10)])
    builder.seal()
    among = frozenset(key.passage for key in keys[::3])
    with closing(whole.open(Place(tmp_path, 2))) as exact, closing(quick.open(Place(tmp_path, 2))) as signs:
        for some in (None, among):
            shared = 0
            for query in range(0, 2_000, 100):
                one, other = (s.search(str(query), 10, some) for s in (exact, signs))
                shared += len({hit.passage for hit in one} & {hit.passage for hit in other})
            assert shared >= 0.98 * 20 * 10


def test_comparing_signs_first_finds_nothing_that_was_removed(tmp_path: Path) -> None:
    index = FlatIndex(embed=EMBED, compared=1)
    put(builder := index.build(None, Place(tmp_path, 1)), WORDS)
    builder.seal()
    (builder := index.build(Place(tmp_path, 1), Place(tmp_path, 2))).remove([called("steel")])
    builder.seal()
    with closing(index.open(Place(tmp_path, 2))) as searcher:
        assert {hit.passage for hit in searcher.search("steel bridge", 50)} == {
            called(word) for word in WORDS if word != "steel"
        }


@pytest.mark.parametrize("index", [FlatIndex(embed=EMBED), ChromaIndex(embed=EMBED), Bm25Index()], ids=type)
def test_a_passage_is_found_by_its_best_key_and_only_once(index: FolderIndex, tmp_path: Path) -> None:
    keys = [
        Key(called("a"), 0, "glass bridge"),
        Key(called("a"), 1, "who carries people over the river"),
        Key(called("a"), 2, "river river people"),
        Key(called("b"), 0, "people walk"),
    ]
    builder = index.build(None, Place(tmp_path, 1))
    builder.add(keys, vectors_of(EMBED, [key.text for key in keys]))
    builder.seal()
    for among in (None, frozenset([called("a"), called("b")])):
        with closing(index.open(Place(tmp_path, 1))) as searcher:
            found = searcher.search("who carries people over the river", 2, among)
            assert [(hit.passage, hit.key) for hit in found] == [(called("a"), 1), (called("b"), 0)]
            assert sorted(searcher.entries()) == sorted((key.passage, key.n) for key in keys)
    builder = index.build(Place(tmp_path, 1), Place(tmp_path, 2))
    builder.remove([called("a")])
    builder.seal()
    with closing(index.open(Place(tmp_path, 2))) as searcher:
        assert list(searcher.entries()) == [(called("b"), 0)]


def test_an_index_on_a_server_keeps_the_contract_by_two_numbers_a_row() -> None:
    check_component(MemoryIndex, embed=HashedEmbeddings(), server="contract")


def test_what_a_killed_writer_left_on_a_server_is_seen_by_nobody(tmp_path: Path) -> None:
    index: CollectionIndex = MemoryIndex(embed=EMBED, server="killed")
    first, killed, next_ = (Place(tmp_path, generation) for generation in (1, 2, 3))
    put(builder := index.build(None, first), ["glass bridge", "iron road"])
    builder.seal()
    put(builder := index.build(first, killed), ["stone river"])
    builder.remove([called("glass bridge")])  # and here it ends
    with closing(index.open(first)) as searcher:
        assert {passage for passage, _ in searcher.entries()} == {called("glass bridge"), called("iron road")}
    put(builder := index.build(first, next_), ["rope bridge"])
    builder.seal()
    held = {called("glass bridge"), called("iron road"), called("rope bridge")}
    with closing(index.open(next_)) as searcher:
        assert {passage for passage, _ in searcher.entries()} == held
    put(index.build(next_, Place(tmp_path, 4)), ["stone river"])  # another that is killed
    put(builder := index.build(None, Place(tmp_path, 5)), ["rope bridge"])
    builder.seal()
    for place, left in ((next_, held), (Place(tmp_path, 5), {called("rope bridge")})):
        with closing(index.open(place)) as searcher:
            assert {passage for passage, _ in searcher.entries()} == left


def test_a_library_over_an_index_on_a_server_is_ingested_searched_changed_and_rebuilt(tmp_path: Path) -> None:
    dense = MemoryIndex(embed=HashedEmbeddings(), server="library")
    rag = ragkit.Rag(
        corpus=tmp_path / "corpus",
        ingest=IngestPipeline(chunk=WholeChunker(), index=[dense]),
        answer=AnswerPipeline(retrieve=[DenseRetriever(store=dense)], generate=ExtractiveGenerator()),
    )
    papers = tmp_path / "papers"
    papers.mkdir()
    for name in ("glass", "iron"):
        (papers / f"{name}.md").write_text(f"# {name.title()}\n\nBridges of {name} carry people.\n")
    rag.ingest(papers)
    before = rag.question("Which bridges carry people?")
    (papers / "glass.md").unlink()
    assert rag.ingest(papers, prune=True).documents == 1
    assert before.snapshot.searcher(dense).count() == 2, (
        "a question goes on with the state that it began with"
    )
    assert [hit.page_content for hit in rag.search("people")] == ["Bridges of iron carry people."]
    assert rag.search("people", where="title = glass") == []
    rows = dense.rows(rag.ingest_pipeline.name_of(dense))
    rows.collection.keys.clear()
    assert examine(rag).problems[0].endswith("1 passages lost, 0 unknown; run `ragkit doctor --repair`")
    assert len(rag.repair()) == 1
    assert [hit.page_content for hit in rag.search("people")] == ["Bridges of iron carry people."]
    assert examine(rag).problems == ()


class Watched(MemoryIndex):
    """Notes in `closed` which servers' collections were closed."""

    closed: ClassVar[list[str]] = []

    def rows(self, name: str) -> MemoryRows:
        rows, closed = super().rows(name), self.closed
        rows.close = lambda: closed.append(name)  # type: ignore[method-assign]
        return rows


def test_a_state_is_closed_when_the_last_question_that_holds_it_is_done(tmp_path: Path) -> None:
    dense = Watched(embed=EMBED, server="watched")
    rag = ragkit.Rag(
        corpus=tmp_path / "corpus",
        ingest=IngestPipeline(chunk=WholeChunker(), index=[dense]),
        answer=AnswerPipeline(retrieve=[DenseRetriever(store=dense)], generate=ExtractiveGenerator()),
    )
    (tmp_path / "a.md").write_text("# Glass\n\nGlass bridges carry people.\n")
    rag.ingest(tmp_path / "a.md")
    one, other = rag.question("Who walks?"), rag.question("Who walks there?")
    assert one.snapshot is other.snapshot
    (tmp_path / "b.md").write_text("# Iron\n\nIron bridges carry trains.\n")
    rag.ingest(tmp_path / "b.md")
    newer = rag.question("Who walks?")
    Watched.closed.clear()
    assert newer.snapshot is not one.snapshot
    assert one.snapshot.newest() is newer.snapshot
    del one
    assert (Watched.closed, other.snapshot.searcher(dense).count()) == ([], 1)
    del other
    assert (Watched.closed, newer.snapshot.searcher(dense).count()) == (
        [rag.ingest_pipeline.name_of(dense)],
        2,
    )


def small(directory: Path) -> ragkit.Rag:
    dense, words = FlatIndex(embed=HashedEmbeddings()), Bm25Index()
    return ragkit.Rag(
        corpus=directory,
        ingest=IngestPipeline(chunk=WholeChunker(), index=[dense, words]),
        answer=AnswerPipeline(retrieve=[DenseRetriever(store=dense)], generate=ExtractiveGenerator()),
    )


@pytest.mark.parametrize("harm", ["delete", "truncate", "scramble"])
@pytest.mark.parametrize("name", ["*.f32", "*.u64", "*.keys"])
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


def test_a_forked_process_leaves_the_index_of_its_parent_open(tmp_path: Path) -> None:
    """Closing it there would wait for threads that a fork does not copy."""
    (tmp_path / "bridges.md").write_text("# Bridges\n\nThe glass bridge of Ulm is 40 m long.\n")
    index = ChromaIndex(embed=HashedEmbeddings())
    rag = ragkit.Rag(
        corpus=tmp_path / "corpus",
        ingest=IngestPipeline(read=Files(), chunk=WholeChunker(), index=[index]),
        answer=AnswerPipeline(retrieve=[DenseRetriever(store=index, k=1)], generate=ExtractiveGenerator()),
    )
    rag.ingest(tmp_path / "bridges.md")
    assert rag.search("glass bridge")
    child = os.fork()
    if not child:
        del rag, index
        gc.collect()
        os._exit(0)
    deadline = time.monotonic() + 60
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.05)
    assert ended[1] == 0
    assert rag.search("glass bridge")
