"""Keyword search: what its options do to the order of passages."""

from __future__ import annotations

from pathlib import Path

from langchain_core.documents import Document

from ragkit.document import passage
from ragkit.index.bm25 import TantivyIndex


def ranked(index: TantivyIndex, folder: Path, query: str, **papers: str) -> list[str]:
    """The titles of *papers* (texts by title, `_` for a blank) that a query finds, best first."""
    whole = [
        Document(id=title, page_content=text, metadata={"title": title.replace("_", " ")})
        for title, text in papers.items()
    ]
    passages = [passage(paper, 0, len(paper.page_content)) for paper in whole]
    titles = {str(p.id): str(paper.id) for p, paper in zip(passages, whole, strict=True)}
    index.attach(folder)
    index.begin(1, False)
    index.add_passages(passages)
    return [titles[identity] for identity, _ in index.search(query, 10)]


def test_words_in_the_title_can_weigh_more(tmp_path: Path) -> None:
    papers = {
        "Glass": "It bends in wind and carries many people over wide valleys.",
        "Steel": "Glass is glass, glass or not glass.",
    }
    assert ranked(TantivyIndex(), tmp_path / "a", "glass", **papers) == ["Steel", "Glass"]
    assert ranked(TantivyIndex(title_weight=2.0), tmp_path / "b", "glass", **papers) == ["Glass", "Steel"]


def test_words_side_by_side_can_weigh_more(tmp_path: Path) -> None:
    papers = {
        "Apart": "Hard stone, hard iron; negatives of photographs, negatives.",
        "Beside": "Rocks of all kinds: we mine hard negatives from many deep and old quarries.",
    }
    assert ranked(TantivyIndex(), tmp_path / "a", "hard negatives", **papers) == ["Apart", "Beside"]
    assert ranked(TantivyIndex(phrase_weight=2.0), tmp_path / "b", "hard negatives", **papers) == [
        "Beside",
        "Apart",
    ]


def test_stop_words_and_endings_do_not_count_unless_the_language_is_none(tmp_path: Path) -> None:
    papers = {"One": "The bridges are bent."}
    assert ranked(TantivyIndex(), tmp_path / "a", "bridge", **papers) == ["One"]
    assert ranked(TantivyIndex(), tmp_path / "b", "the are", **papers) == []
    assert ranked(TantivyIndex(language="none"), tmp_path / "c", "bridge", **papers) == []
    assert ranked(TantivyIndex(language="none"), tmp_path / "d", "the", **papers) == ["One"]
