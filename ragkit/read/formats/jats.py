"""JATS: the XML in which journals and PubMed Central archive articles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from langchain_core.documents import Document

from ragkit.config.components import component
from ragkit.errors import LoadError
from ragkit.read.formats import TextFormat, title_from_name
from ragkit.read.formats.builder import PaperBuilder
from ragkit.read.formats.markup import Element, Piece, raised, write, write_table, xml_tree
from ragkit.read.formats.mathml import write_formula
from ragkit.read.formats.stated import iso_date, listed, parts_of
from ragkit.text.words import Offsets

_ARTICLE = re.compile(r"<article[\s>]")
_XML = re.compile(r"\s*<(?:\?xml|!DOCTYPE|!--|article[\s>])", re.IGNORECASE)


@component("jats")
@dataclass(frozen=True)
class Jats(TextFormat):
    """One article: its abstract, sections, captions, tables, notes and references.

    Reviews that are printed with it are left out.
    """

    priority: ClassVar[int] = 20
    endings: ClassVar[tuple[str, ...]] = (".xml", ".nxml")

    def recognises_text(self, name: str, text: str) -> bool:
        return bool(_XML.match(text) and _ARTICLE.search(text))

    def papers_in(self, name: str, text: str) -> Iterator[Document]:
        root = xml_tree(text)
        articles = [root] if root.tag == "article" else list(root.every("article"))
        if not articles:
            raise LoadError("its XML has no <article>")
        for article in articles:
            yield _paper(name, article)


def _paper(name: str, article: Element) -> Document:
    meta = article.find("front", "article-meta") or article.find("front-stub") or Element("article-meta")
    builder = PaperBuilder()
    for abstract in meta.elements("abstract", "trans-abstract"):
        _section(builder, abstract, 1, "abstract")
    if body := article.find("body"):
        _blocks(builder, body, 1)
    if back := article.find("back"):
        _blocks(builder, back, 1)
    if floats := article.find("floats-group"):
        _blocks(builder, floats, 1)
    known = _known(article, meta)
    title = known.pop("title") or title_from_name(name)
    return builder.paper(
        title, **known, **({} if meta.find("title-group", "article-title") else {"title_guessed": True})
    )


# --- what is known of the article


def _known(article: Element, meta: Element) -> dict[str, Any]:
    ids = {i.attributes.get("pub-id-type", ""): i.text() for i in meta.elements("article-id")}
    title = meta.find("title-group", "article-title")
    subtitle = meta.find("title-group", "subtitle")
    journal = article.find("front", "journal-meta")
    years = [
        int(y.text())
        for date in meta.elements("pub-date")
        for y in date.elements("year")
        if y.text().isdecimal()
    ]
    return {
        "title": ": ".join(_heading(part) for part in (title, subtitle) if part and _heading(part)),
        "authors": [
            name
            for group in meta.elements("contrib-group")
            for c in group.elements("contrib")
            if (name := _author(c))
        ],
        "year": min(years, default=None),
        "venue": next((t.text() for t in journal.every("journal-title")), None) if journal else None,
        "doi": ids.get("doi"),
        "arxiv": ids.get("arxiv"),
        "pmid": ids.get("pmid"),
        "pmcid": ids.get("pmc") or ids.get("pmcid"),
        "keywords": [k.text() for group in meta.elements("kwd-group") for k in group.every("kwd")],
        "affiliations": _affiliations(meta),
        "funding": listed(_institution(source) for source in meta.every("funding-source")),
        "funding_statement": _funding_statement(article, meta),
        "updated": _updated(meta),
    }


def _heading(element: Element) -> str:
    """A title without its footnotes."""
    kept = [c for c in element.children if isinstance(c, Piece) or c.tag not in ("xref", "fn")]
    return Element(element.tag, children=kept).text()


def _author(contributor: Element) -> str:
    if not _is_author(contributor):
        return ""
    for written in contributor.every("name", "string-name", "collab"):
        parts = [
            part.text() for tag in ("given-names", "surname", "suffix") for part in written.elements(tag)
        ]
        return " ".join(parts) if parts else written.text()
    return ""


def _is_author(contributor: Element) -> bool:
    return contributor.attributes.get("contrib-type", "author") == "author"


def _affiliations(meta: Element) -> list[str]:
    """The affiliations that the authors refer to or that stand with them; where none does, all that no other refers to."""
    everyone = [c for group in meta.elements("contrib-group") for c in group.every("contrib")]
    authors = [c for c in everyone if _is_author(c)]
    others = [c for c in everyone if not _is_author(c)]

    def of(people: list[Element]) -> tuple[set[str], set[int]]:
        named = {
            rid
            for person in people
            for xref in person.every("xref")
            if xref.attributes.get("ref-type") == "aff"
            for rid in xref.attributes.get("rid", "").split()
        }
        return named, {id(aff) for person in people for aff in person.every("aff")}

    (ours, inside), (theirs, beside) = of(authors), of(others)
    every = [aff for aff in meta.every("aff") if id(aff) not in beside]
    marked = [aff for aff in every if id(aff) in inside or aff.attributes.get("id") in ours]
    rest = (aff for aff in every if aff.attributes.get("id") not in theirs)
    return listed(map(_institution, marked or rest))


_NO_PART = frozenset("label sup institution-id email ext-link uri phone fax award-id fn xref".split())


def _institution(element: Element) -> str:
    """An affiliation or a funder without marks and addresses; parts that nothing divides are divided by commas."""
    kept = [c for c in element.children if isinstance(c, Piece) or c.tag not in _NO_PART]
    mixed = any(isinstance(c, Piece) and c.text.strip() for c in kept)
    parts = [c.text if isinstance(c, Piece) else _institution(c) for c in kept]
    text = "".join(parts) if mixed else ", ".join(part for part in parts if part.strip())
    return ", ".join(parts_of(text)).strip(" ,;")


_OF_FUNDING = frozenset(
    "financial-disclosure funding funding-statement funding-information supported-by".split()
)
"""What notes, sections and acknowledgments are marked with that say who paid."""


def _funding_statement(article: Element, meta: Element) -> str:
    """What is stated of the funding: in its place, else in a note or section that is marked as such."""
    stated = next(meta.every("funding-statement"), None)
    marks = ("fn-type", "notes-type", "sec-type", "content-type")
    marked = stated or next(
        (
            each
            for part in (meta, article.find("back") or meta)
            for each in part.below()
            if each.tag in ("fn", "notes", "sec", "ack")
            and not _OF_FUNDING.isdisjoint(each.attributes.get(mark, "") for mark in marks)
        ),
        None,
    )
    if marked is None:
        return ""
    kept = [c for c in marked.children if isinstance(c, Piece) or c.tag not in ("title", "label")]
    return Element(marked.tag, children=kept).text()


_UPDATES = frozenset("updated update last-updated revised".split())


def _updated(meta: Element) -> str:
    """The date of the last update that the history of the publication has."""
    dates = [
        "-".join(part.text().zfill(2) for tag in ("year", "month", "day") for part in date.elements(tag))
        for history in meta.elements("history", "pub-history")
        for date in history.every("date")
        if date.attributes.get("date-type") in _UPDATES
    ]
    return max(map(iso_date, dates), default="")


# --- its text

_SKIPPED = frozenset(
    "title label sub-article response object-id graphic media inline-graphic permissions attrib annotation sec-meta".split()
)
_INLINE_TITLES = {
    "ack": "Acknowledgments",
    "ref-list": "References",
    "fn-group": "Notes",
    "glossary": "Glossary",
}


def _section(builder: PaperBuilder, element: Element, level: int, kind: str = "") -> None:
    """An element with a title and what stands under it."""
    title = element.find("title")
    label = element.find("label")
    name = " ".join(part.text() for part in (label, title) if part and part.text()) or _INLINE_TITLES.get(
        element.tag, ""
    )
    told = {"abstract": "abstract", "ref-list": "references"}.get(kind or element.tag)
    if title and title.text():
        with builder.heading(name, level, told):  # type: ignore[arg-type]
            for part in (label, title):
                if part:
                    _inline(builder, part)
                    builder.space()
    else:
        builder.section(name, level, told)  # type: ignore[arg-type]
    _blocks(builder, element, level + 1)


def _blocks(builder: PaperBuilder, element: Element, level: int) -> None:
    """What stands in a section, block by block."""
    inline: list[Element | Piece] = []
    for child in element.children:
        block = None if isinstance(child, Piece) else _BLOCKS.get(child.tag)
        if isinstance(child, Element) and child.tag in _SKIPPED:
            continue
        if block is None:
            inline.append(child)
            continue
        _run(builder, inline)
        inline = []
        assert isinstance(child, Element)
        block(builder, child, level)
    _run(builder, inline)


def _run(builder: PaperBuilder, inline: list[Element | Piece]) -> None:
    """Text that stands in a block by itself."""
    if inline:
        _inline(builder, Element("", children=inline))


def _paragraph(builder: PaperBuilder, element: Element, level: int) -> None:
    """A paragraph, and the footnotes in it behind it."""
    notes = list(element.elements("fn"))
    builder.paragraph()
    _blocks(builder, Element(element.tag, children=[c for c in element.children if c not in notes]), level)
    builder.paragraph()
    for note in notes:
        _footnote(builder, note, level)


def _footnote(builder: PaperBuilder, element: Element, level: int) -> None:
    with builder.footnote():
        _blocks(builder, element, level)


def _list(builder: PaperBuilder, element: Element, level: int) -> None:
    if title := element.find("title"):
        builder.paragraph()
        _inline(builder, title)
    for number, item in enumerate((e for e in element.elements() if e.tag not in _SKIPPED), 1):
        builder.paragraph() if item.find("p") else builder.line()
        for part in (item.find("label"), item.find("term")):
            if part:
                _inline(builder, part)
                builder.space()
        if element.tag == "list" and not item.find("label"):
            builder.item(item.text(), number if element.attributes.get("list-type") == "order" else 0)
        for child in item.elements():
            if child.tag in ("p", "def"):
                for block in child.every("p") if child.tag == "def" else (child,):
                    _blocks(builder, block, level)
                builder.line()
            elif child.tag not in ("label", "term", "title"):
                _BLOCKS.get(child.tag, _paragraph)(builder, child, level)
    builder.paragraph()


def _figure(builder: PaperBuilder, element: Element, level: int) -> None:
    """A figure or table: its label and caption, and the rows of its table."""
    with builder.aside("caption"):
        for part in (element.find("label"), element.find("caption")):
            if part:
                _inline(builder, part)
                builder.space()
    for inside in element.elements("fig", "table-wrap", "table", "alternatives", "table-wrap-foot"):
        _BLOCKS[inside.tag](builder, inside, level)


def _table(builder: PaperBuilder, element: Element, level: int) -> None:
    write_table(builder, element, lambda cell: _inline(builder, cell))


def _alternatives(builder: PaperBuilder, element: Element, level: int) -> None:
    for child in element.elements("table"):
        _table(builder, child, level)
        return


def _references(builder: PaperBuilder, element: Element, level: int) -> None:
    for part in element.elements("label"):
        _inline(builder, part)
        builder.space()
    for citation in element.elements():
        if citation.tag not in ("label", "note"):
            _spaced(builder, citation)
    builder.paragraph()


def _spaced(builder: PaperBuilder, element: Element) -> None:
    """A reference, with spaces between its parts even where the file has none."""
    mixed = any(isinstance(child, Piece) and child.text.strip() for child in element.children)
    for child in element.children:
        if isinstance(child, Piece):
            write(builder, child)
        elif child.tag in ("person-group", "name", "string-name", "element-citation"):
            _spaced(builder, child)
        else:
            _inline(builder, child)
        if not mixed:
            builder.space()


# --- its lines


def _inline(builder: PaperBuilder, element: Element) -> None:
    """Running text."""
    for child in element.children:
        if isinstance(child, Piece):
            write(builder, child)
        elif child.tag in _SKIPPED and child.tag not in ("title", "label", "attrib"):
            continue
        elif child.tag == "sup":
            _superscript(builder, child)
        elif child.tag == "math":
            write_formula(builder, child)
        elif child.tag == "tex-math":
            _tex(builder, child)
        elif child.tag == "break":
            builder.line()
        elif child.tag == "alternatives":
            shown = (
                child.find("math")
                or child.find("tex-math")
                or next((c for c in child.elements() if c.tag not in _SKIPPED), None)
            )
            _inline(builder, Element("", children=[shown] if shown else []))
        elif child.tag in ("p", "title", "label", "list-item", "fn", "disp-formula", "td", "th"):
            builder.space()
            _inline(builder, child)
            builder.space()
        else:
            _inline(builder, child)


def _superscript(builder: PaperBuilder, element: Element) -> None:
    """10<sup>3</sup> is 10^3, not 103; a citation set high stands in brackets, so that it is no exponent."""
    cites = next(element.every("xref"), None)
    if cites is not None:
        builder.add("[")
        _inline(builder, element)
        builder.add("]")
        return
    if raised(builder, element):
        builder.add("^")
    _inline(builder, element)


_BEGINS = re.compile(r"[\s$]*+(?:\\begin\{\w+\*?\})?")
_ENDS = re.compile(r"\\end\{\w+\*?\}")


def _formula_in(text: str) -> Offsets:
    """Where the formula stands in the TeX document around it, if there is one."""
    before, document, _ = text.rpartition("\\begin{document}")
    start = len(before) + len(document) if document else 0
    begins = _BEGINS.match(text, start)
    start = begins.end() if begins else start
    end = text.find("\\end{document}", start)
    end = len(text) if end < 0 else end
    while end > start and (text[end - 1].isspace() or text[end - 1] == "$"):
        end -= 1
    closing = text.rfind("\\end{", start, end)
    if closing >= 0 and _ENDS.fullmatch(text, closing, end):
        end = closing
    return start, end


def _tex(builder: PaperBuilder, element: Element) -> None:
    """A formula in TeX, without the document around it that journals write."""
    written = list(element.pieces())
    begin, finish = _formula_in("".join(piece.text for piece in written))
    place = 0
    for piece in written:
        start, end = max(begin - place, 0), min(finish - place, len(piece.text))
        if start < end:
            write(
                builder,
                Piece(piece.text[start:end], piece.at + start, end - start)
                if piece.size == len(piece.text)
                else piece,
            )
        place += len(piece.text)


_BLOCKS = {
    "sec": _section, "app": _section, "ack": _section, "abstract": _section, "trans-abstract": _section, "ref-list": _section,
    "notes": _section, "glossary": _section, "fn-group": _section, "bio": _section, "app-group": _blocks, "floats-group": _blocks,
    "p": _paragraph, "disp-quote": _paragraph, "boxed-text": _section, "verse-group": _paragraph, "speech": _paragraph, "fn": _footnote,
    "statement": _paragraph, "disp-formula": _paragraph, "disp-formula-group": _paragraph, "preformat": _paragraph, "code": _paragraph,
    "list": _list, "def-list": _list, "fig": _figure, "fig-group": _figure, "table-wrap": _figure, "table-wrap-group": _figure,
    "supplementary-material": _figure, "table-wrap-foot": _paragraph, "table": _table, "alternatives": _alternatives, "ref": _references,
}  # fmt: skip
