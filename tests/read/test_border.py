"""What leaves the process that reads is a paper of a limited size, or one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document

from ragkit.chunk import WholeChunker
from ragkit.document import RESERVED, Span, passage, places_of, stretches_of
from ragkit.errors import LoadError
from ragkit.read.border import Border, encoded, parts
from ragkit.read.files import Files

FILE = Path("/papers/glass.pdf")
TEXT = "Glass bridges carry people."


def admitted(text: str = TEXT, limits: Files | None = None, **known: Any) -> Document:
    [paper] = Border(limits or Files(), FILE).admitted(encoded([Document(text, metadata=known)]))
    return paper


def refusal(*arguments: Any, **known: Any) -> str:
    with pytest.raises(LoadError) as error:
        admitted(*arguments, **known)
    return str(error.value)


def test_a_paper_keeps_what_a_paper_may_say() -> None:
    known = {
        "title": "Glass",
        "authors": ["Ann Lee"],
        "year": 2024,
        "doi": "10.1/abc",
        "venue": {"name": "Bridges"},
        "title_guessed": True,
        "guessed": ["year"],
        "lost": ["line 2 is no paper"],
        "sections": [{"start": 0, "end": 27, "path": ["Results"], "kind": "body"}],
        "sources": [
            {"map": [[0, 5, 27, 27, 1]], "files": ["parts/a.tex"], "pages": [[0, 1, 72, 90, 500, 101]]}
        ],
    }
    paper = admitted(**known)
    source = {**known["sources"][0], "uri": str(FILE)}  # type: ignore[index]
    assert paper.metadata == {**known, "sources": [source]}


def test_a_paper_says_nothing_that_is_ragkits_to_say() -> None:
    ours = RESERVED - {"sections", "sources", "title_guessed", "guessed", "lost", "attached", "bibliography"}
    paper = admitted(title="Glass", **dict.fromkeys(ours, "forged"))
    assert paper.metadata == {"title": "Glass", "sources": [{"uri": str(FILE)}]}


@pytest.mark.parametrize(
    "known",
    [
        {"sections": 7},
        {"sections": [{"start": 0, "end": 99, "path": [], "kind": "body"}]},
        {"sections": [{"start": 0, "end": 5, "path": [], "kind": "trusted"}]},
        {"sections": [{"start": 0, "end": 9, "path": [], "kind": "body"}] * 2},
        {"sources": [{"map": [[1, 2, 3]]}]},
        {"sources": [{"map": [[0, 2**40, 3, 3]]}]},
        {"sources": [{"map": [[0, 1, 3, 3, 1]]}]},
        {"sources": [{"files": ["../../etc/passwd"]}]},
        {"sources": [{"pages": [[True, "1"]]}]},
        {"title": 5},
        {"attached": "a.pdf"},
    ],
)
def test_a_paper_with_parts_that_are_none_is_refused_in_one_sentence(known: dict[str, Any]) -> None:
    said = refusal(**known)
    assert said.startswith("its reader ")
    assert "\n" not in said


def test_control_characters_and_halves_of_characters_do_not_enter_and_offsets_hold() -> None:
    paper = admitted(
        "Glass\x1b[31m \x00bridges\ud800 carry\u009b\n\tpeople.", title="On\x07 glass", **{"a\x1b": ["\x9b"]}
    )
    assert paper.page_content == "Glass [31m  bridges? carry \n\tpeople."
    assert paper.metadata == {"title": "On  glass", "a ": [" "], "sources": [{"uri": str(FILE)}]}


def test_a_box_that_begins_left_of_its_page_is_clipped_and_its_place_is_told() -> None:
    paper = admitted(sources=[{"pages": [[0, 1, -30, 10, 50, 20], [6, 1, -30, -5, -1, -1], [9, 1]]}])
    [place] = places_of(paper, Span("", 0, 20))
    assert (place["page"], place["box"]) == (1, (0, 0, 50, 20))


def test_text_and_metadata_of_a_paper_and_the_papers_of_a_file_have_a_most(tmp_path: Path) -> None:
    small = Files(characters_a_paper=100, metadata_a_paper=100)
    assert "`characters_a_paper`" in refusal("x" * 101, small)
    assert "`metadata_a_paper`" in refusal("x", small, authors=["Ann Lee"] * 20)
    assert "`metadata_a_paper`" in refusal("x", small, authors=[[[]]] * 60)
    rows = [{"start": 0, "end": 0, "path": ["A long heading"], "kind": "body"}] * 10
    assert "`metadata_a_paper`" in refusal("x", small, sections=rows)
    border = Border(Files(growth=0.1), tmp_path / "none")
    for _ in range(19):
        border.admitted(encoded([Document("x" * 1_000_000)]))
    with pytest.raises(LoadError, match="`growth` of the loader"):
        border.admitted(encoded([Document("x" * 1_000_000)]))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**30])
def test_numbers_that_json_does_not_have_are_left_out(value: float) -> None:
    assert "year" not in admitted(year=value).metadata


def test_an_identifier_that_is_no_text_identifies_nothing() -> None:
    assert "doi" not in admitted(doi={"a": 1}).metadata


def test_names_of_files_stay_in_the_folder_of_the_paper() -> None:
    given = ["a.tex", "b/../c.tex", "/etc/passwd", "../x.tex", "b/../../x.tex", "\x1b.tex", "nul\x00.tex"]
    assert parts(json.dumps([given, False]).encode()) == (["a.tex", "b/../c.tex"], False)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
numbers = st.integers(-40, 40) | st.sampled_from([2**31, -(2**31), 2**63])
rows = st.lists(st.lists(numbers, min_size=1, max_size=7), max_size=4).map(sorted)
sections = st.lists(
    st.fixed_dictionaries(
        {
            "start": numbers,
            "end": numbers,
            "path": st.lists(st.text(max_size=5), max_size=3),
            "kind": st.sampled_from(["body", "table", "x"]),
        }
    ),
    max_size=3,
)
sources = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "start": numbers,
            "end": numbers,
            "map": rows,
            "pages": rows,
            "files": st.lists(st.text(max_size=5), max_size=2),
            "uri": values,
        },
    ),
    max_size=2,
)
names_of_keys = st.sampled_from([*sorted(RESERVED), "title", "doi", "authors", "year"]) | st.text(max_size=5)
metadata = st.builds(
    lambda free, ours: {**free, **ours},
    st.dictionaries(names_of_keys, values, max_size=4),
    st.fixed_dictionaries(
        {},
        optional={
            "sections": sections,
            "sources": sources,
            "title": st.text(max_size=9),
            "attached": st.lists(st.text(max_size=5), max_size=2),
        },
    ),
)
papers = st.lists(st.tuples(st.text(st.characters(), max_size=40), metadata), max_size=3)


@settings(max_examples=400)
@given(
    papers.map(lambda p: json.dumps(p, ensure_ascii=False).encode("utf-8", "replace"))
    | values.map(json.dumps).map(str.encode)
    | st.binary(max_size=60)
)
def test_whatever_a_reader_writes_is_admitted_clean_or_is_one_sentence(content: bytes) -> None:
    try:
        found = Border(Files(), FILE).admitted(content)
    except LoadError as error:
        assert str(error).isprintable()
        return
    for paper in found:
        text = paper.page_content
        assert not any(c < " " and c not in "\t\n\r" for c in text)
        assert json.loads(json.dumps(paper.metadata, allow_nan=False)) == paper.metadata
        assert not (paper.metadata.keys() & RESERVED) - {
            "sections",
            "sources",
            "title_guessed",
            "bibliography",
            "attached",
        }
        assert all(0 <= part.start <= part.end <= len(text) for part in stretches_of(paper))
        for start in range(len(text) + 1):
            [place] = places_of(paper, Span("", start, len(text)))
            assert place["uri"].startswith("/papers/")
            assert place["box"] is None or min(place["box"]) >= 0
        WholeChunker().transform_documents([paper])
        assert passage(paper, 0, len(text)).page_content == text
