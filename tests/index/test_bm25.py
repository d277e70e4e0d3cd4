"""Keyword search: what its options do to the order of passages."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from ragkit.document import Key, passage_id
from ragkit.index import Place
from ragkit.index.bm25 import Bm25Index


def ranked(index: Bm25Index, folder: Path, query: str, **texts: str) -> list[str]:
    """The names of *texts* that a query finds, best first."""
    place = Place(folder, 1)
    builder = index.build(None, place)
    names = {passage_id(name, 0, len(text)): name for name, text in texts.items()}
    builder.add([Key(identity, 0, texts[name]) for identity, name in names.items()])
    builder.seal()
    with closing(index.open(place)) as searcher:
        return [names[hit.passage] for hit in searcher.search(query, 10)]


def test_the_passage_that_says_it_most_comes_first(tmp_path: Path) -> None:
    texts = {"glass": "Glass bends in wind and carries many.", "steel": "Glass is glass, glass or not."}
    assert ranked(Bm25Index(), tmp_path, "glass", **texts) == ["steel", "glass"]


def test_stop_words_and_endings_do_not_count_unless_the_language_is_none(tmp_path: Path) -> None:
    texts = {"One": "The bridges are bent."}
    assert ranked(Bm25Index(), tmp_path / "a", "bridge", **texts) == ["One"]
    assert ranked(Bm25Index(), tmp_path / "b", "the are", **texts) == []
    assert ranked(Bm25Index(language="none"), tmp_path / "c", "bridge", **texts) == []
    assert ranked(Bm25Index(language="none"), tmp_path / "d", "the", **texts) == ["One"]
