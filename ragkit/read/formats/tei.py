"""TEI: the XML in which GROBID and digital editions write papers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from langchain_core.documents import Document

from ragkit.config.components import component
from ragkit.read.formats.builder import PaperBuilder
from ragkit.read.formats.markup import Element, Piece, write_table
from ragkit.read.formats.stated import listed
from ragkit.read.formats.xml_records import (
    XmlRecords,
    arxiv_in,
    doi_in,
    finished,
    inline,
    joined,
    text_of,
    year_in,
)


@component("tei")
@dataclass(frozen=True)
class Tei(XmlRecords):
    """One paper per TEI document, as GROBID writes them: abstract, sections, captions, tables, references."""

    priority: ClassVar[int] = 18
    endings: ClassVar[tuple[str, ...]] = (".tei", ".xml")
    tags = ("TEI", "TEI.2")
    roots = frozenset({"teiCorpus", *tags})

    def paper(self, name: str, record: Element, around: Any) -> Document | None:
        header = record.find("teiHeader") or Element("teiHeader")
        file = header.find("fileDesc") or Element("fileDesc")
        described = next(file.every("biblStruct", "biblFull"), Element("biblStruct"))
        analytic = described.find("analytic") or described.find("titleStmt") or Element("analytic")
        series = described.find("monogr") or Element("monogr")
        named = [file.find("titleStmt", "title"), analytic.find("title"), series.find("title")]
        ids = {i.attributes.get("type", "").lower(): i.text() for i in described.every("idno")}
        builder = PaperBuilder()
        for abstract in header.every("abstract"):
            builder.section("", 1, "abstract")
            inline(builder, abstract)
        if text := record.find("text"):
            for part in text.elements("front", "body", "back"):
                _divisions(builder, part, 1)
        writers = analytic.elements("author") if analytic.find("author") else described.every("author")
        if not described.find("analytic") and not analytic.find("author"):
            writers = file.every("author")
        people = list(writers)
        return finished(
            builder,
            name,
            next((title for each in named if (title := text_of(each))), ""),
            record.at,
            authors=[written for author in people if (written := _tei_person(author))],
            affiliations=listed(
                ", ".join(part.text() for part in each.every("orgName")) or each.text()
                for author in people
                for each in author.every("affiliation")
            ),
            funding=listed(text_of(next(each.every("orgName"), each)) for each in header.every("funder")),
            year=year_in(
                *(
                    date.attributes.get("when", "") or date.text()
                    for date in (*described.every("date"), *file.every("date"))
                )
            ),
            venue=text_of(series.find("title")) if described.find("analytic") else "",
            doi=doi_in(ids.get("doi", "")),
            arxiv=arxiv_in(f"arxiv:{ids.get('arxiv', '').lower().removeprefix('arxiv:')}"),
            keywords=[
                term.text() for listed in header.every("keywords") for term in listed.every("term", "item")
            ],
        )


def _tei_person(author: Element) -> str:
    person = next(author.every("persName"), author)
    parts = [*person.elements("forename"), *person.elements("surname"), *person.elements("genName")]
    return joined(*(part.text() for part in parts)) if parts else text_of(person)


def _divisions(builder: PaperBuilder, element: Element, level: int) -> None:
    """The parts of a text: sections, paragraphs, figures, tables and lists of references."""
    heading = element.find("head")
    if heading and heading.text():
        title = joined(heading.attributes.get("n", ""), heading.text())
        with builder.heading(title, level):
            builder.add(heading.attributes.get("n", ""))
            builder.space()
            inline(builder, heading)
    for child in element.elements():
        if child.tag in ("div", "div1", "div2", "div3", "group", "floatingText"):
            _divisions(builder, child, level + 1 if element.tag.startswith("div") else level)
        elif child.tag == "figure":
            _figure(builder, child)
        elif child.tag == "table":
            write_table(builder, _as_html(child), lambda cell: inline(builder, cell))
        elif child.tag == "list":
            for item in child.elements("item"):
                builder.line()
                builder.item(item.text())
                inline(builder, item)
            builder.paragraph()
        elif child.tag == "listBibl":
            with builder.aside("references"):
                _references(builder, child.elements())
        elif child.tag == "note" and child.attributes.get("place") in ("foot", "bottom", "end"):
            with builder.footnote():
                inline(builder, child)
        elif child.tag not in ("head", "fw", "pb"):
            builder.paragraph()
            inline(builder, child)
            builder.paragraph()


def _figure(builder: PaperBuilder, figure: Element) -> None:
    with builder.aside("caption"):
        for part in figure.elements("head", "figDesc"):
            inline(builder, part)
            builder.space()
    for table in figure.elements("table"):
        write_table(builder, _as_html(table), lambda cell: inline(builder, cell))


def _as_html(table: Element) -> Element:
    """A table with the names that HTML has for its rows and cells."""
    rows = [
        Element(
            "tr",
            at=row.at,
            children=[
                Element(
                    "th" if "label" in (row.attributes.get("role"), cell.attributes.get("role")) else "td",
                    {"colspan": cell.attributes.get("cols", ""), "rowspan": cell.attributes.get("rows", "")},
                    cell.at,
                    cell.children,
                )
                for cell in row.elements("cell")
            ],
        )
        for row in table.elements("row")
    ]
    return Element("table", at=table.at, children=[*rows])


def _references(builder: PaperBuilder, listed: Iterable[Element]) -> None:
    for entry in listed:
        for part in _leaves(entry):
            inline(builder, part)
            builder.space()
        builder.paragraph()


def _leaves(element: Element) -> Iterator[Element]:
    """The parts of a reference that hold text, so that spaces stand between them."""
    if any(isinstance(child, Piece) and child.text.strip() for child in element.children):
        yield element
        return
    for child in element.elements():
        yield from _leaves(child)
