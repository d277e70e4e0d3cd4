"""Word documents: what is read of one, where its title and headings come from, and what is refused."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from functools import cache
from typing import Any

import docx
import pytest
from docx.enum.style import WD_STYLE_TYPE
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml import parse_xml
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from support import SHARED

from ragkit.errors import LoadError
from ragkit.read.formats import HEAD
from ragkit.read.formats.docx import Docx

NAMESPACES = (
    " ".join(
        f'xmlns:{prefix}="http://schemas.openxmlformats.org/{rest}"'
        for prefix, rest in {
            "w": "wordprocessingml/2006/main",
            "m": "officeDocument/2006/math",
            "r": "officeDocument/2006/relationships",
            "a": "drawingml/2006/main",
            "mc": "markup-compatibility/2006",
        }.items()
    )
    + ' xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" xmlns:v="urn:schemas-microsoft-com:vml"'
)


def saved(document: Any) -> bytes:
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def read(document: Any, name: str = "on-bridges.docx") -> Document:
    content = saved(document)
    assert Docx().recognises(name, content[:HEAD])
    [paper] = Docx().papers(name, content)
    return paper


def written(*paragraphs: str, title: str = "On Bridges") -> Any:
    """A document of these paragraphs; one in angle brackets is put in as XML."""
    document = docx.Document()
    document.core_properties.title = title
    for text in paragraphs:
        if text.startswith("<"):
            name = text[1:].partition(">")[0].partition(" ")[0]
            document.element.body.insert(-1, parse_xml(text.replace(f"<{name}", f"<{name} {NAMESPACES}", 1)))
        else:
            document.add_paragraph(text)
    return document


def repacked(content: bytes, **parts: bytes | None) -> bytes:
    """The file with the given parts (`word/{name}.xml`) replaced, or removed where None is given."""
    new = {f"word/{name}.xml": part for name, part in parts.items()}
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made,
    ):
        for part in old.namelist():
            said = new.pop(part, old.read(part))
            if said is not None:
                made.writestr(part, said)
        for part, said in new.items():
            if said is not None:
                made.writestr(part, said)
    return file.getvalue()


def refusal(content: bytes) -> str:
    with pytest.raises(LoadError) as refused:
        list(Docx().papers("on-bridges.docx", content))
    return str(refused.value)


def stretches(paper: Document) -> list[tuple[list[str], str, str]]:
    return [
        (s["path"], s["kind"], paper.page_content[s["start"] : s["end"]]) for s in paper.metadata["sections"]
    ]


def test_paragraphs_tables_and_headings_are_read_in_order() -> None:
    document = written()
    document.add_heading("Abstract", 1)
    document.add_paragraph("We build.")
    document.add_heading("Results", 1)
    document.add_paragraph("They hold:")
    table = document.add_table(2, 3)
    for cell, text in zip(
        (c for row in table.rows for c in row.cells),
        ["span", "load\nlimit", "", "40 m", "3 t", "steel"],
        strict=True,
    ):
        cell.text = text
    document.add_paragraph("Table 1. Loads.", style="Caption")
    document.add_heading("Strength", 2)
    document.add_paragraph("Steel", style="List Bullet")
    document.add_paragraph("Glass", style="List Bullet")
    document.add_heading("2. References", 1)
    document.add_paragraph("Smith 2020.")
    document.add_heading("Appendix", 1)
    document.add_paragraph("More.")
    paper = read(document)
    assert stretches(paper) == [
        (["Abstract"], "heading", "Abstract"),
        (["Abstract"], "abstract", "We build."),
        (["Results"], "heading", "Results"),
        (["Results"], "body", "They hold:"),
        (["Results"], "table", "span | load limit |\n40 m | 3 t | steel"),
        (["Results"], "caption", "Table 1. Loads."),
        (["Results", "Strength"], "heading", "Strength"),
        (["Results", "Strength"], "body", "- Steel\n- Glass"),
        (["2. References"], "heading", "2. References"),
        (["2. References"], "references", "Smith 2020."),
        (["Appendix"], "heading", "Appendix"),
        (["Appendix"], "body", "More."),
    ]
    assert paper.page_content.startswith("Abstract\n\nWe build.\n\nResults\n\nThey hold:\n\nspan | load")


def test_a_merged_cell_is_read_once() -> None:
    document = written()
    table = document.add_table(2, 3)
    for number, cell in enumerate(c for row in table.rows for c in row.cells):
        cell.text = str(number)
    table.cell(0, 0).merge(table.cell(1, 0)).text = "both"
    table.cell(0, 1).merge(table.cell(0, 2)).text = "wide"
    assert read(document).page_content == "both | wide\n| 4 | 5"


def test_a_style_is_a_heading_by_what_it_is_based_on() -> None:
    document = written()
    own = document.styles.add_style("Chapter", WD_STYLE_TYPE.PARAGRAPH)
    own.base_style = document.styles["Heading 2"]
    circular = document.styles.add_style("Circle", WD_STYLE_TYPE.PARAGRAPH)
    circular.base_style = circular
    document.add_paragraph("Loads", style="Chapter")
    document.add_paragraph("They hold.", style="Circle")
    assert stretches(read(document)) == [(["Loads"], "heading", "Loads"), (["Loads"], "body", "They hold.")]


def test_the_outline_level_of_a_paragraph_makes_it_a_heading() -> None:
    outlined = '<w:p><w:pPr><w:outlineLvl w:val="0"/></w:pPr><w:r><w:t>Loads</w:t></w:r></w:p>'
    assert stretches(read(written("By A.", outlined, "They hold.")))[1] == (["Loads"], "heading", "Loads")


def test_the_title_is_in_the_properties_and_not_repeated_in_the_text() -> None:
    document = docx.Document()
    document.core_properties.title = "On  Bridges"
    document.core_properties.author = "A. Smith; B. Jones and python-docx"
    document.core_properties.keywords = "glass, bridges"
    document.add_paragraph("On bridges", style="Title")
    document.add_paragraph("They hold.")
    paper = read(document)
    assert paper.page_content == "They hold."
    assert paper.metadata == {
        "title": "On Bridges",
        "authors": ["A. Smith", "B. Jones"],
        "keywords": ["glass", "bridges"],
        "sources": [{}],
    }


@pytest.mark.parametrize(
    "default", ["", "Microsoft Word - bridges_v2.doc", "Word Document", "untitled", "bridges_v2.docx"]
)
def test_a_default_title_is_none(default: str) -> None:
    document = written("By A. Smith.", title=default)
    document.add_paragraph("On Glass Bridges", style="Title")
    document.add_paragraph("They hold.")
    paper = read(document)
    assert (paper.metadata["title"], paper.page_content) == ("On Glass Bridges", "By A. Smith.\n\nThey hold.")
    assert "title_guessed" not in paper.metadata


def test_the_printed_title_beats_the_one_in_the_properties() -> None:
    document = written("By A. Smith.", title="Final draft v7 (2)")
    document.add_paragraph("On Glass Bridges", style="Title")
    assert read(document).metadata["title"] == "On Glass Bridges"


def test_a_first_and_only_heading_1_beats_the_properties_too() -> None:
    document = written(title="Template of the institute")
    document.add_heading("On Glass Bridges", 1)
    document.add_paragraph("They hold.")
    paper = read(document)
    assert (paper.metadata["title"], paper.page_content) == ("On Glass Bridges", "They hold.")


def test_a_first_and_only_heading_1_is_the_title() -> None:
    document = docx.Document()
    document.add_heading("On Glass Bridges", 1)
    document.add_heading("Results", 2)
    document.add_paragraph("They hold.")
    paper = read(document)
    assert (paper.metadata["title"], paper.page_content) == ("On Glass Bridges", "Results\n\nThey hold.")
    document.add_heading("Methods", 1)
    paper = read(document)
    assert (paper.metadata["title"], paper.metadata["title_guessed"]) == ("on bridges", True)
    assert paper.page_content.startswith("On Glass Bridges\n\nResults")


def test_an_only_heading_that_many_papers_have_is_no_title() -> None:
    document = docx.Document()
    document.add_heading("Introduction", 1)
    document.add_paragraph("They hold.")
    paper = read(document)
    assert (paper.metadata["title"], paper.page_content) == ("on bridges", "Introduction\n\nThey hold.")


def test_identifiers_are_those_the_opening_names() -> None:
    document = written("See https://doi.org/10.1234/Bridges.5. and arXiv:2301.00001v2.")
    document.add_heading("Results", 1)
    document.add_paragraph("Unlike doi:10.1234/other they hold.")
    metadata = read(document).metadata
    assert (metadata["doi"], metadata["arxiv"]) == ("10.1234/bridges.5", "2301.00001v2")
    assert "doi" not in read(written("Unlike doi:10.1234/a and doi:10.1234/b they hold.")).metadata


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ("<w:r><w:t>They </w:t></w:r><w:ins><w:r><w:t>all </w:t></w:r></w:ins><w:r><w:t>hold.</w:t></w:r>", "They all hold."),
        ("<w:r><w:t>They </w:t></w:r><w:del><w:r><w:delText>do not </w:delText></w:r></w:del><w:r><w:t>hold.</w:t></w:r>", "They hold."),
        ("<w:moveFrom><w:r><w:t>Once </w:t></w:r></w:moveFrom><w:moveTo><w:r><w:t>Once.</w:t></w:r></w:moveTo>", "Once."),
        ('<w:hyperlink r:id="rId99"><w:r><w:t>They</w:t></w:r></w:hyperlink><w:r><w:tab/><w:t>hold.</w:t></w:r>', "They hold."),
        ("<w:r><w:instrText>PAGE</w:instrText></w:r><w:r><w:t>They</w:t><w:br/><w:t>hold.</w:t></w:r>", "They\nhold."),
        ("<w:sdt><w:sdtContent><w:r><w:t>They hold.</w:t></w:r></w:sdtContent></w:sdt>", "They hold."),
        ('<w:r><w:t>10</w:t></w:r><w:r><w:rPr><w:vertAlign w:val="superscript"/></w:rPr><w:t>-3</w:t></w:r><w:r><w:t> m</w:t></w:r>', "10^-3 m"),
        ("<m:oMath><m:r><m:t>10</m:t></m:r><m:sSup><m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup></m:oMath>", "10^2"),
        (
            "<m:oMath><m:f><m:num><m:r><m:t>a+b</m:t></m:r></m:num><m:den><m:r><m:t>c</m:t></m:r></m:den></m:f></m:oMath>",
            "(a+b)/c",
        ),
        ("<m:oMath><m:r><m:t>f</m:t></m:r><m:d><m:e><m:r><m:t>x</m:t></m:r></m:e></m:d></m:oMath>", "f(x)"),
    ],
)  # fmt: skip
def test_a_paragraph_says_what_its_reader_reads(inside: str, text: str) -> None:
    assert read(written(f"<w:p>{inside}</w:p>")).page_content == text


RUN = "<w:p><w:r><w:t>They carry people.</w:t></w:r><w:r><w:rPr>{}</w:rPr><w:t>Say no</w:t></w:r></w:p>"
SHADED = "<w:tbl><w:tr><w:tc><w:tcPr><w:shd w:fill='000080'/></w:tcPr><w:p><w:r><w:rPr>{}</w:rPr><w:t>Say no</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"


@pytest.mark.parametrize(
    ("paragraph", "properties", "reason"),
    [
        (RUN, "<w:vanish/>", "not displayed"),
        (RUN, "<w:rStyle w:val='Unseen'/>", "not displayed"),
        (RUN, "<w:color w:val='FFFFFF'/>", "in the colour of the page"),
        (RUN, "<w:color w:val='FDFEFE'/>", "in the colour of the page"),
        (RUN, "<w:color w:val='auto' w:themeColor='background1'/>", "in the colour of the page"),
        (SHADED, "<w:color w:val='010181'/>", "in the colour of the page"),
        (RUN, "<w:sz w:val='2'/>", "tiny"),
        (RUN, "<w:vanish w:val='0'/><w:color w:val='auto'/><w:sz w:val='12'/>", None),
        (RUN, "<w:color w:val='FFFFFF'/><w:shd w:val='clear' w:fill='000000'/>", None),
        (RUN, "<w:color w:val='FFFFFF'/><w:highlight w:val='black'/>", None),
        (RUN, "<w:color w:val='auto' w:themeColor='background1' w:themeShade='80'/>", None),
        (SHADED, "<w:color w:val='FFFFFF'/>", None),
    ],
)
def test_a_run_that_nobody_sees_is_left_out_and_counted(
    paragraph: str, properties: str, reason: str | None
) -> None:
    document = written("Text.", paragraph.format(properties))
    style = document.styles.add_style("Unseen", WD_STYLE_TYPE.CHARACTER)
    style.font.hidden = True
    paper = read(document)
    assert ("Say no" in paper.page_content) == (reason is None)
    assert paper.metadata.get("hidden") == ({reason: len("Sayno")} if reason else None)


BOX = "<w:txbxContent><w:p><w:r>{}<w:t>Say no</w:t></w:r></w:p></w:txbxContent>"
DRAWN = f"<mc:Choice Requires='wps'><w:drawing><wps:wsp><wps:spPr>{{}}</wps:spPr><wps:txbx>{BOX}</wps:txbx></wps:wsp></w:drawing></mc:Choice>"
OLD = f"<w:pict><v:rect{{}}><v:textbox>{BOX}</v:textbox></v:rect></w:pict>"
WHITE = "<w:rPr><w:color w:val='FFFFFF'/></w:rPr>"
BLUE = "<a:solidFill><a:srgbClr val='000080'/></a:solidFill>"


def boxed(inside: str) -> Any:
    return written(
        f"<w:p><w:r><w:t>They </w:t></w:r><w:r>{inside}</w:r><w:r><w:t>hold.</w:t></w:r></w:p>", "Still."
    )


@pytest.mark.parametrize(
    "inside",
    [
        f"<mc:AlternateContent>{DRAWN.format('', '')}<mc:Fallback>{OLD.format('', '')}</mc:Fallback></mc:AlternateContent>",
        f"<mc:AlternateContent><mc:Choice Requires='x'/><mc:Fallback>{OLD.format('', '')}</mc:Fallback></mc:AlternateContent>",
        OLD.format("", ""),
    ],
)
def test_a_text_box_is_read_once_behind_the_paragraph_that_it_is_anchored_to(inside: str) -> None:
    assert read(boxed(inside)).page_content == "They hold.\n\nSay no\n\nStill."


def test_a_text_box_of_a_table_follows_it_and_may_hold_a_table_and_a_box() -> None:
    inner = "<w:p><w:r><w:t>A key</w:t></w:r><w:r>" + OLD.format("", "") + "</w:r></w:p>"
    outer = f"<w:pict><v:rect><v:textbox><w:txbxContent>{inner}<w:tbl><w:tr><w:tc><w:p><w:r><w:t>one</w:t></w:r></w:p></w:tc></w:tr></w:tbl></w:txbxContent></v:textbox></v:rect></w:pict>"
    table = (
        f"<w:tbl><w:tr><w:tc><w:p><w:r><w:t>cell</w:t></w:r><w:r>{outer}</w:r></w:p></w:tc></w:tr></w:tbl>"
    )
    assert read(written(table, "Still.")).page_content == "cell\n\nA key\n\nSay no\n\none\n\nStill."


@pytest.mark.parametrize(
    ("inside", "is_seen"),
    [
        (DRAWN.format(BLUE, WHITE), True),
        (DRAWN.format("<a:gradFill/>", WHITE), True),
        (DRAWN.format("<a:noFill/>", WHITE), False),
        (DRAWN.format("", WHITE), False),
        (DRAWN.format(BLUE, "<w:rPr><w:vanish/></w:rPr>"), False),
        (OLD.format(" fillcolor='#000080 [3204]'", WHITE), True),
        (OLD.format(" fillcolor='#000080' filled='f'", WHITE), False),
        (OLD.format("", WHITE), False),
    ],
)
def test_the_text_of_a_box_is_seen_on_what_fills_it(inside: str, is_seen: bool) -> None:
    paper = read(
        boxed(f"<mc:AlternateContent>{inside}</mc:AlternateContent>" if "Choice" in inside else inside)
    )
    assert ("Say no" in paper.page_content) == is_seen
    assert sum(paper.metadata.get("hidden", {}).values()) == (0 if is_seen else len("Sayno"))


def test_a_table_of_contents_is_left_out_and_other_content_controls_are_not() -> None:
    control = '<w:sdt><w:sdtPr><w:docPartObj><w:docPartGallery w:val="{}"/></w:docPartObj></w:sdtPr><w:sdtContent>{}</w:sdtContent></w:sdt>'
    paragraph = "<w:p><w:r><w:t>{}</w:t></w:r></w:p>"
    contents = control.format("Table of Contents", paragraph.format("Results 3"))
    kept = control.format("Bibliographies", paragraph.format("Smith 2020."))
    assert read(written(contents, "They hold.", kept)).page_content == "They hold.\n\nSmith 2020."


def test_headers_and_footers_are_left_out() -> None:
    document = written("They hold.")
    document.sections[0].header.paragraphs[0].text = "Journal of Bridges"
    document.sections[0].footer.paragraphs[0].text = "page 1"
    assert read(document).page_content == "They hold."


def test_a_footnote_follows_the_paragraph_that_cites_it() -> None:
    document = written(
        '<w:p><w:r><w:t>They hold.</w:t></w:r><w:r><w:footnoteReference w:id="2"/></w:r></w:p>', "Still."
    )
    notes = f'<w:footnotes {NAMESPACES}><w:footnote w:id="2"><w:p><w:r><w:t>In 2020.</w:t></w:r></w:p></w:footnote></w:footnotes>'
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
    part = Part(PackURI("/word/footnotes.xml"), "application/xml", notes.encode())
    document.part.relate_to(part, kind)
    paper = read(document)
    assert paper.page_content == "They hold.\n\nIn 2020.\n\nStill."
    assert [row["kind"] for row in paper.metadata["sections"]] == ["body", "footnote", "body"]


def test_other_files_are_not_recognised() -> None:
    content = saved(written("They hold."))
    assert not Docx().recognises("on-bridges.docx", b"They hold.")
    assert not Docx().recognises("bridges.xlsx", content[:HEAD].replace(b"word/", b"data/"))
    assert not Docx().recognises("old.doc", bytes.fromhex("D0CF11E0A1B11AE1") + bytes(600))


def test_a_file_with_a_password_is_refused() -> None:
    locked = bytes.fromhex("D0CF11E0A1B11AE1") + bytes(600)
    assert Docx().recognises("on-bridges.docx", locked)
    assert refusal(locked) == "it is encrypted or in the old Word format; save it as .docx without a password"


def test_a_zip_bomb_is_refused() -> None:
    content = saved(written("They hold."))
    assert (
        refusal(repacked(content, bomb=bytes(11_000_000)))
        == "it is not a Word document that is safe to read: it would unpack to 11 MB"
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entity_declarations_are_refused(encoding: str) -> None:
    declared = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'.encode(
        encoding
    )
    assert (
        refusal(repacked(saved(written("They hold.")), styles=declared))
        == "it is not a Word document: word/styles.xml declares entities"
    )


def test_a_broken_file_is_refused() -> None:
    content = saved(written("They hold."))
    assert (
        refusal(content[:-100])
        == "it is not a Word document: it is not a zip file, or it is damaged or truncated"
    )
    assert (
        refusal(repacked(content, document=None)) == "it is not a Word document: it has no word/document.xml"
    )
    assert refusal(repacked(content, document=b"<w:document>")).startswith(
        "it is not a Word document that can be read: Namespace prefix w"
    )
    deep = f"<w:document {NAMESPACES}><w:body>{'<w:p>' * 5000}{'</w:p>' * 5000}</w:body></w:document>"
    assert refusal(repacked(content, document=deep.encode())).startswith(
        "it is not a Word document that can be read: Excessive depth"
    )
    assert refusal(saved(written())) == "it has no text"


def test_tables_within_tables_are_read_as_deep_as_the_parser_goes() -> None:
    cell = "<w:tbl><w:tr><w:tc>"
    deep = f"{cell * 80}<w:p><w:r><w:t>They hold.</w:t></w:r></w:p>{'</w:tc></w:tr></w:tbl>' * 80}"
    assert read(written(deep)).page_content == "They hold."


@cache
def a_file() -> bytes:
    document = written("They hold.", "<w:p><m:oMath><m:r><m:t>x</m:t></m:r></m:oMath></w:p>")
    document.add_heading("Results", 1)
    document.add_table(2, 2).cell(0, 0).text = "span"
    return saved(document)


@given(st.integers(0), st.lists(st.tuples(st.integers(0), st.integers(1, 255)), max_size=6))
def test_a_damaged_file_is_read_or_refused(end: int, flips: list[tuple[int, int]]) -> None:
    content = bytearray(a_file())
    for place, flip in flips:
        content[-1 - place % len(content)] ^= flip  # what tells where the parts stand is at the end
    if end % 2:
        del content[end % len(content) :]
    with suppress(LoadError):
        list(Docx().papers("on-bridges.docx", bytes(content)))


@given(
    st.sampled_from(["document", "styles", "_rels/document.xml"]),
    st.integers(0),
    st.integers(0, 40),
    st.binary(max_size=12),
)
def test_a_damaged_part_is_read_or_refused(part: str, at: int, cut: int, put: bytes) -> None:
    name = f"word/{part}" + (".rels" if part.startswith("_") else ".xml")
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(a_file())) as old, zipfile.ZipFile(file, "w") as made:
        for other in old.namelist():
            said = old.read(other)
            place = at % len(said)
            made.writestr(other, said[:place] + put + said[place + cut :] if other == name else said)
    with suppress(LoadError):
        list(Docx().papers("on-bridges.docx", file.getvalue()))


@pytest.mark.parametrize(
    ("name", "title", "says"),
    [
        ("word_sample.docx", "Swimming in the lake", "Leaves | Ash, Elm, Maple | 50"),
        ("equations.docx", "equations", "inline equation: A=πr^2"),
    ],
)
def test_real_files_are_read(name: str, title: str, says: str) -> None:
    file = SHARED / "data" / "pdfs" / name
    if not file.is_file():
        pytest.skip("the shared files are not beside this checkout")
    [paper] = Docx().papers(name, file.read_bytes())
    assert paper.metadata["title"] == title
    assert says in paper.page_content
