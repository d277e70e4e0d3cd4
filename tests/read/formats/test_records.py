"""Papers as records: JSON lines and tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import SHARED

from ragkit.document import Span, places_of
from ragkit.errors import LoadError
from ragkit.read.files import Files
from ragkit.read.formats import TextFormat
from ragkit.read.formats.records import Csv, JsonLines


def test_a_line_of_json_is_a_paper() -> None:
    line = '{"_id": "7", "title": "On Bridges", "text": "Glass bridges carry 40 people.", "year": 2020, "authors": ["A. Smith"]}\n'
    [paper] = JsonLines().papers("corpus.jsonl", line.encode())
    assert paper.page_content == "Glass bridges carry 40 people."
    assert {k: v for k, v in paper.metadata.items() if k != "sources"} == {
        "id": "7",
        "title": "On Bridges",
        "year": 2020,
        "authors": ["A. Smith"],
    }


def test_other_field_names_can_be_mapped() -> None:
    line = '{"name": "On Bridges", "summary": "They carry people."}\n'
    [paper] = JsonLines(title=["name"], text=["summary"]).papers("x", line.encode())
    assert (paper.metadata["title"], paper.page_content) == ("On Bridges", "They carry people.")


def test_a_row_of_a_table_is_a_paper() -> None:
    table = (
        'title;abstract;year\n"On ""glass"" bridges";"They carry; people.";2020\nOn ropes;They sway.;2021\n'
    )
    assert Csv().recognises("papers.csv", table.encode())
    assert [
        (p.metadata["title"], p.page_content, p.metadata["year"])
        for p in Csv().papers("papers.csv", table.encode())
    ] == [
        ('On "glass" bridges', "They carry; people.", "2020"),
        ("On ropes", "They sway.", "2021"),
    ]


@pytest.mark.parametrize(
    ("form", "file", "lost"),
    [
        (JsonLines(), '{"title": "a"}\n{"title": \n{"title": "b"}\n', "line 2 is not a JSON object: "),
        (Csv(), 'title,text\na,b\n"x"y,c\nb,d\n', "line 3 has a quotation mark"),
        (Csv(), "title,text\na,b\nx,y,z\nb,d\n", "line 3 has 3 cells where the header has 2"),
    ],
)
def test_a_broken_record_costs_itself_and_is_named(form: TextFormat, file: str, lost: str) -> None:
    papers = list(form.papers("x", file.encode()))
    assert [p.metadata["title"] for p in papers] == ["a", "b"]
    assert [said.startswith(lost) for p in papers for said in p.metadata.get("lost", [])] == [True]


def test_an_export_of_a_reference_manager_has_its_abstract_as_text() -> None:
    table = '"Key","Publication Year","Author","Title","Publication Title","Abstract Note"\n"A","2012","Kvale, Ines; Brun, Piet","Moss","Field Letters","Moss covered 412 roofs."\n'
    [paper] = Csv().papers("x.csv", table.encode())
    assert paper.page_content == "Moss covered 412 roofs."
    assert {name: paper.metadata[name] for name in ("year", "venue", "authors")} == {
        "year": "2012",
        "venue": "Field Letters",
        "authors": ["Kvale, Ines", "Brun, Piet"],
    }


def test_a_file_of_broken_records_fails() -> None:
    with pytest.raises(LoadError, match="line 1 .*; nothing was read from this file"):
        list(JsonLines().papers("x", b'{"title": \n{"title\n'))


def test_files_tells_records_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "papers.txt").write_text(
        '{"title": "On Bridges", "text": "They carry people."}\n{"title": "On Ropes", "text": "They sway."}\n'
    )
    papers = list(Files().each(tmp_path / "papers.txt"))
    assert [p.metadata["title"] for p in papers] == ["On Bridges", "On Ropes"]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip), st.booleans())
def test_a_text_keeps_its_place_whatever_is_escaped(text: str, ascii_only: bool) -> None:
    """Reading the place in the file as JSON gives the text again."""
    file = json.dumps({"title": "On Bridges", "text": text}, ensure_ascii=ascii_only) + "\n"
    [paper] = JsonLines().papers("x", file.encode())
    paper.metadata["sources"][0]["uri"] = "x"
    [place] = places_of(paper, Span("x", 0, len(paper.page_content)))
    assert paper.page_content == text.strip()
    assert json.loads(f'"{file[place["start"] : place["end"]]}"') == text.strip()


def test_real_collections_load_whole() -> None:
    if not SHARED.is_dir():
        pytest.skip("the shared collections are not beside this checkout")
    content = (SHARED / "data" / "cranfield" / "corpus.jsonl").read_bytes()
    assert len(list(JsonLines().papers("corpus.jsonl", content))) == 1398  # of 1,400 documents, two are empty
