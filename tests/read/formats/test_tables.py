"""A table is rows of cells under its caption and header, in whatever format, and is found and cited as such."""

from __future__ import annotations

from pathlib import Path

import pytest
from langchain_core.documents import Document

import ragkit
from ragkit.chunk import RecursiveChunker, SentenceChunker, TokenChunker
from ragkit.document import lead_of, stretches_of
from ragkit.read.formats.html import Html
from ragkit.read.formats.markdown import Markdown

ROOT = Path(__file__).parents[3]
PONDS = ["Pond | Depth | Area | Frogs | Newts | Toads | Snails"] + [
    f"{name} | {n}1.5% | {n}2.5% | {n}3.5% | {n}4.5% | {n}5.5% | {n}6.5%"
    for n, name in enumerate("Alder Birch Cedar Doune Elder Fenny Grove Hazel Islay Nettle".split(), 1)
]


def page(rows: list[str], caption: str = "Table 1. Cover by pond.") -> str:
    cells = [[f"<t{'d' if n else 'h'}>{c}" for c in row.split(" | ")] for n, row in enumerate(rows)]
    written = "".join("<tr>" + "".join(row) for row in cells)
    return (
        "<html><h1>Animals of ten ponds</h1><p>We looked at ten ponds.</p>"
        f"<table><caption>{caption}</caption>{written}</table></html>"
    )


def html(text: str) -> Document:
    [paper] = Html().papers("a.html", text.encode())
    return paper.model_copy(update={"id": "p"})


def test_a_table_knows_its_caption_and_header() -> None:
    paper = html(page(PONDS))
    [table] = [part for part in stretches_of(paper) if part.kind == "table"]
    assert paper.page_content[table.start : table.end].split("\n") == PONDS
    assert (table.caption, table.header) == ("Table 1. Cover by pond.", PONDS[0])


@pytest.mark.parametrize("chunker", [SentenceChunker(120), RecursiveChunker(120), TokenChunker(120)])
def test_a_long_table_is_cut_between_rows_under_its_header(chunker: SentenceChunker) -> None:
    found = [p for p in chunker.transform_documents([html(page(PONDS))]) if p.metadata["kind"] == "table"]
    assert len(found) > 1
    for passage in found:
        assert set(passage.page_content.split("\n")) <= set(PONDS)
        shown = f"{lead_of(passage)}\n{passage.page_content}".strip()
        assert shown.startswith("Table 1. Cover by pond.\n" + PONDS[0])


def test_a_cell_that_spans_columns_or_rows_stands_in_each() -> None:
    spans = (
        "<html><p>Text.</p><table><tr><th rowspan=2>Model<th colspan=2>Score<tr><th>dev<th>test"
        "<tr><td rowspan=2>A<td><p>1<p>x<td>2<tr><td>3<td>4</table></html>"
    )
    [_, table] = stretches_of(paper := html(spans))
    assert table.header == "Model | Score | Score\nModel | dev | test"
    assert paper.page_content[table.start : table.end].split("\n")[2:] == ["A | 1 x | 2", "A | 3 | 4"]


def test_a_cell_of_a_long_table_is_answered_with_its_row_and_column(tmp_path: Path) -> None:
    (tmp_path / "ponds.html").write_text(page(PONDS), encoding="utf-8")
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=tmp_path / "corpus")
    rag.ingest(tmp_path / "ponds.html")
    answer = rag.ask("What is the newts value of the Nettle pond?")
    assert "Pond: Nettle, Newts: 104.5%" in answer.text
    assert [citation.quote for citation in answer.citations] == [PONDS[-1]]


def test_a_table_of_markdown_has_its_caption_and_header() -> None:
    rows = "| Bread | Mark |\n|-------|-----:|\n| Rye | 7.1 |\n| Emmer | 6.2 |"
    text = f"# Breads\n\nWe bake.\n\nTable 1: Marks.\n\n{rows}\n\nMore | text."
    [paper] = Markdown().papers("a.md", text.encode())
    kinds = [(part.kind, paper.page_content[part.start : part.end]) for part in stretches_of(paper)]
    assert kinds == [
        ("body", "We bake."),
        ("caption", "Table 1: Marks."),
        ("table", rows),
        ("body", "More | text."),
    ]
    assert stretches_of(paper)[2].header == "| Bread | Mark |\n|-------|-----:|"
    assert stretches_of(paper)[2].caption == "Table 1: Marks."
