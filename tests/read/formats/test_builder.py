"""Putting a paper together while keeping where every piece of it stood."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ragkit.document import Span, places_of
from ragkit.read.formats.builder import PaperBuilder


def test_text_is_put_together_with_single_spaces_and_blank_lines() -> None:
    builder = PaperBuilder()
    builder.add("  Glass ")
    builder.add("bridges\n")
    builder.paragraph()
    builder.space()
    builder.add("carry people.")
    assert builder.paper("On  Bridges").page_content == "Glass bridges\n\ncarry people."
    assert builder.paper("On  Bridges").metadata["title"] == "On Bridges"


def test_a_span_is_mapped_back_to_the_file_over_what_was_cut_out() -> None:
    file = "<p>Glass <b>bridges</b> &lt;40 people&gt;.</p>"
    builder = PaperBuilder()
    builder.add("Glass ", at=3)
    builder.add("bridges", at=12)
    builder.add(" ", at=23)
    builder.add("<", at=24, size=4)
    builder.add("40 people", at=28)
    builder.add(">", at=37, size=4)
    builder.add(".", at=41)
    paper = builder.paper("On Bridges")
    text = paper.page_content
    assert text == "Glass bridges <40 people>."
    paper.metadata["sources"][0]["uri"] = "bridges.html"

    def behind(quote: str) -> str:
        start = text.index(quote)
        [place] = places_of(paper, Span("x", start, start + len(quote)))
        return file[place["start"] : place["end"]]

    assert [behind(q) for q in ("bridges", "40 people", "<40", "Glass bridges")] == [
        "bridges",
        "40 people",
        "&lt;40",
        "Glass <b>bridges",
    ]


def test_a_span_knows_its_page() -> None:
    builder = PaperBuilder()
    builder.add("First page.", page=1)
    builder.paragraph()
    builder.add("Second page.", page=2)
    paper = builder.paper("On Bridges")
    paper.metadata["sources"][0]["uri"] = "bridges.pdf"
    assert [places_of(paper, Span("x", at, at + 5))[0]["page"] for at in (0, 13)] == [1, 2]


def test_sections_have_path_and_kind() -> None:
    builder = PaperBuilder()
    builder.kind("abstract")
    builder.add("We build.")
    builder.section("Results")
    builder.section("Strength", level=2)
    builder.add("They hold.")
    assert builder.paper("On Bridges").metadata["sections"] == [
        {"start": 0, "end": 9, "path": [], "kind": "abstract"},
        {"start": 11, "end": 21, "path": ["Results", "Strength"], "kind": "body"},
    ]


@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), st.integers(0, 3)),
        max_size=12,
    )
)
def test_every_verbatim_character_is_found_in_the_file(pieces: list[tuple[str, int]]) -> None:
    """The file has junk (`#`) between the pieces; whatever is kept is mapped to the very same characters."""
    builder, file = PaperBuilder(), ""
    for text, junk in pieces:
        file += "#" * junk
        builder.add(text, at=len(file))
        file += text
    paper = builder.paper("")
    for text_start, file_start, length, taken in paper.metadata["sources"][0].get("map", []):
        assert length == taken
        assert paper.page_content[text_start : text_start + length] == file[file_start : file_start + taken]
