"""Ids, spans, scores and sources of papers and passages, and what makes two listings the same paper."""

from __future__ import annotations

import unicodedata
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from ragkit.document import (
    Key,
    Span,
    contradict,
    digest,
    entry,
    entry_id,
    hit,
    identity_keys,
    metadata_keys,
    normalised_title,
    paper_id,
    passage,
    passage_id,
    score_of,
    scored,
    scores_of,
    searchable,
    sources_of,
    span_of,
    title_forms,
    title_of,
    year_of,
)

PAPER = Document(
    id="p1", page_content="Glass bends. Steel holds.", metadata={"title": "On Bridges", "year": 2024}
)


def paper(title: str = "", text: str = "Text.", **metadata: Any) -> Document:
    return Document(page_content=text, metadata={"title": title, **metadata})


# --- passages


def test_a_passage_is_the_text_of_its_paper_at_its_span() -> None:
    found = passage(PAPER, 13, 25, section="Steel")
    assert found.page_content == "Steel holds."
    assert found.metadata == {
        "document_id": "p1",
        "title": "On Bridges",
        "start": 13,
        "end": 25,
        "section": "Steel",
    }
    assert span_of(found) == Span("p1", 13, 25)
    assert PAPER.metadata == {"title": "On Bridges", "year": 2024}


def test_what_a_paper_calls_its_metadata_does_not_change_what_its_passages_are() -> None:
    given_names: dict[str, Any] = {
        "document_id": "z",
        "title": "z",
        "start": -1,
        "end": -1,
        "paper": "z",
        "chunker": "z",
    }
    found = passage(PAPER, 13, 25, **given_names)
    assert found.id == passage(PAPER, 13, 25).id
    assert found.metadata == {
        "document_id": "p1",
        "title": "On Bridges",
        "start": 13,
        "end": 25,
        "paper": "z",
        "chunker": "z",
    }


def test_a_passages_id_is_its_place_and_its_chunker() -> None:
    places = [(0, 12, ""), (13, 25, ""), (0, 25, ""), (0, 12, "sentence")]
    assert len({passage(PAPER, *place).id for place in places}) == 4
    assert (
        passage(PAPER, 0, 12).id
        == passage(PAPER.model_copy(update={"page_content": "Glass falls."}), 0, 12).id
        == passage_id("p1", 0, 12)
        == str(UUID("164f8e0b-2324-5786-899e-ddfb3fffb92a"))
    )


def test_a_passage_that_no_corpus_knows_is_its_own_paper() -> None:
    foreign = paper("Glass", "Glass bends.")
    assert span_of(foreign) == Span(paper_id(foreign), 0, 12)


def test_what_is_searched_is_the_title_and_the_text() -> None:
    assert searchable(passage(PAPER, 0, 12)) == "On Bridges\nGlass bends."
    assert searchable(paper(text="Glass bends.")) == "Glass bends."


def test_a_key_is_held_by_other_makes_under_a_uuid_with_what_it_leads_to() -> None:
    identity = passage_id("p1", 0, 12)
    held = entry(Key(identity, 0, "On Bridges\nGlass bends."), "p1")
    assert (held.id, held.page_content) == (identity, "On Bridges\nGlass bends.")
    assert held.metadata == {"document_id": "p1", "passage": identity}
    other = entry(Key(identity, 1, "What bends?", "question"), "p1")
    assert (other.id, other.page_content) == (entry_id(identity, 1), "What bends?")
    assert str(UUID(entry_id(identity, 1))) == entry_id(identity, 1) != entry_id(identity, 2)
    assert other.metadata == {"document_id": "p1", "passage": identity, "key": 1}


def test_a_score_is_added_to_a_copy() -> None:
    found = passage(PAPER, 0, 12)
    better = scored(scored(found, 0.5, {"dense": 0.5}), 0.75)
    assert (score_of(better), scores_of(better)) == (0.75, {"dense": 0.5})
    assert (score_of(found), scores_of(found)) == (0.0, {})
    assert better.page_content == found.page_content
    assert (hit("c1", 0.25).id, score_of(hit("c1", 0.25))) == ("c1", 0.25)


def test_what_is_not_known_is_empty() -> None:
    bare = Document(page_content="Text.")
    assert (title_of(bare), sources_of(bare), score_of(bare), scores_of(bare)) == ("", [], 0.0, {})
    assert title_of(Document(page_content="", metadata={"title": 1984})) == "1984"


# --- the same paper


def test_a_digest_is_the_same_everywhere_and_tells_its_parts_apart() -> None:
    assert digest("a", "b") == "f04cdced9736a69da610"
    assert len({digest("ab"), digest("a", "b"), digest("a", "b", ""), digest("b", "a"), digest()}) == 5
    assert len(digest("half a character: \ud800")) == 20


@pytest.mark.parametrize(
    "title",
    [
        "BERT: Pre-training, Explained",
        "bert  pre training explained.",
        "“BERT” – PRE–TRAINING (ＥＸＰＬＡＩＮＥＤ)",
    ],
)
def test_titles_differ_in_case_punctuation_and_spacing_and_are_the_same(title: str) -> None:
    assert normalised_title(title) == "bert pre training explained"


@given(st.text(max_size=30))
def test_a_title_is_the_same_however_its_characters_are_encoded(title: str) -> None:
    assert normalised_title(unicodedata.normalize("NFD", title)) == normalised_title(
        unicodedata.normalize("NFKC", title)
    )
    assert normalised_title(f"  {title}\n") == normalised_title(title)


@pytest.mark.parametrize(
    ("doi", "arxiv"),
    [
        ("10.1/AbC", "2301.10140"),
        ("doi: 10.1/abc", "arXiv:2301.10140v3"),
        ("https://doi.org/10.1/abc", "https://arxiv.org/abs/2301.10140"),
        ("http://dx.doi.org/10.1/ABC ", "https://www.arxiv.org/pdf/2301.10140v12.pdf"),
        ("https://www.doi.org/10.1/abc", "arxiv.org/html/2301.10140v1"),
    ],
)
def test_identifiers_are_the_same_however_they_are_written(doi: str, arxiv: str) -> None:
    assert identity_keys(paper("On Glass", doi=doi, arxiv=arxiv)) == [
        "doi:10.1/abc",
        "arxiv:2301.10140",
        "title:on glass",
    ]


def test_a_paper_that_nothing_else_identifies_is_known_by_its_text() -> None:
    by_text = [f"text:{digest('Text.')}"]
    assert identity_keys(paper()) == by_text
    assert identity_keys(paper(" -- ")) == by_text
    assert identity_keys(paper("readme", title_guessed=True)) == by_text
    assert identity_keys(paper("readme", title_guessed=True, doi="10.1/a")) == ["doi:10.1/a"]


def test_metadata_give_no_key_where_they_identify_nothing() -> None:
    assert metadata_keys({"title": "readme", "title_guessed": True}) == []
    assert metadata_keys({"title": "On Glass", "doi": ""}) == ["title:on glass"]


@pytest.mark.parametrize(
    ("title", "forms"),
    [
        ("Boats of the North: A Survey", {"boats of the north a survey", "boats of the north"}),
        ("Who needs a bridge? A Survey", {"who needs a bridge a survey", "who needs a bridge"}),
        ("BERT: Pre-training", {"bert pre training"}),
        ("", set()),
    ],
)
def test_a_text_may_leave_out_the_subtitle_of_a_title_that_stays_long_enough(
    title: str, forms: set[str]
) -> None:
    assert title_forms(title) == forms


def test_a_year_is_a_number_however_it_is_stated() -> None:
    stated = (2019, "2019", "2019-05-01", "in press", None)
    assert [year_of({"year": year}) for year in stated] == [2019, 2019, 2019, 0, 0]
    assert year_of({}) == 0


def test_a_papers_id_is_what_identifies_it_and_what_it_says() -> None:
    same = [paper("On Glass"), paper("on GLASS!"), paper("On Glass", year=2024)]
    other = [
        paper("On Steel"),
        paper("On Glass", "Other."),
        paper("On Glass", doi="10.1/a"),
        paper("", "Text."),
    ]
    assert len({paper_id(p) for p in same}) == 1
    assert len({paper_id(p) for p in [*same, *other]}) == 5


def test_different_identifiers_contradict_and_a_missing_one_does_not() -> None:
    one = identity_keys(paper("Editorial", doi="10.1/a", arxiv="2301.00001"))
    assert contradict(one, identity_keys(paper("Editorial", doi="10.1/b")))
    assert contradict(one, identity_keys(paper("Other", doi="10.1/a", arxiv="2301.00002")))
    assert not contradict(one, identity_keys(paper("Editorial", doi="https://doi.org/10.1/A")))
    assert not contradict(one, identity_keys(paper("Other")))
    assert not contradict([], [])
