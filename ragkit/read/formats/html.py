"""HTML: the main content of a web page, as one paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from langchain_core.documents import Document

from ragkit.config.components import component
from ragkit.errors import LoadError
from ragkit.read.formats import TextFormat, titled
from ragkit.read.formats.builder import PaperBuilder
from ragkit.read.formats.css import remove_hidden
from ragkit.read.formats.markup import Element, Piece, html_tree, raised, write, write_table
from ragkit.read.formats.mathml import write_formula
from ragkit.read.formats.stated import iso_date, listed

_PAGE = re.compile(
    r"\s*+(?:<\?xml[^>]*+>\s*+)?(?><!--.*?-->\s*+)*+<(?:!doctype\s++html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_TAG = re.compile(r"<(?:p|div|h1|h2|table|article|section|ul|ol)[\s>]", re.IGNORECASE)


@component("html")
@dataclass(frozen=True)
class Html(TextFormat):
    """A web page without its menus, forms, scripts and footers; what its `citation_` metadata say is kept."""

    priority: ClassVar[int] = 30
    endings: ClassVar[tuple[str, ...]] = (".html", ".htm", ".xhtml")

    def recognises_text(self, name: str, text: str) -> bool:
        return bool(_PAGE.match(text)) or (name.lower().endswith(self.endings) and bool(_TAG.search(text)))

    def papers_in(self, name: str, text: str) -> Iterator[Document]:
        page = html_tree(text)
        hidden = remove_hidden(page)
        known = _known(page)
        main = _main(page)
        heading = next((h for h in main.every("h1") if h.text()), None) or next(
            (h for h in page.every("h1") if h.text()), None
        )
        title = (
            known.pop("title")
            or (heading.text() if heading else "")
            or next((t.text() for t in page.every("title") if t.text()), "")
        )
        builder = PaperBuilder()
        builder.hidden.update(hidden)
        writer = _Writer(builder, heading, _Menus(main))
        writer.blocks(main)
        writer.write_notes()
        if not builder.length:
            raise LoadError("the page has no text of its own")
        yield builder.paper(**titled(title, name), **known)


# --- what is known of the page


def _known(page: Element) -> dict[str, Any]:
    """What a page's metadata say, in the names that Google Scholar reads or Dublin Core's."""
    values: dict[str, list[str]] = {}
    for meta in page.every("meta"):
        name = (
            (meta.attributes.get("name") or meta.attributes.get("property") or "")
            .lower()
            .replace("dcterms.", "dc.")
        )
        if value := " ".join(meta.attributes.get("content", "").split()):
            values.setdefault(name, []).append(value)

    def first(*names: str) -> str | None:
        return next((values[name][0] for name in names if name in values), None)

    written = first(
        "citation_publication_date",
        "citation_date",
        "citation_year",
        "dc.date",
        "dc.issued",
        "article:published_time",
    )
    year = re.search(r"\b(1[5-9]|20)\d\d\b", written or "")
    doi = re.search(r"10\.\d{4,}/\S+", first("citation_doi", "dc.identifier", "prism.doi") or "")
    return {
        "title": first("citation_title", "dc.title"),
        "authors": [_turned(name) for name in values.get("citation_author", values.get("dc.creator", []))],
        "year": int(year[0]) if year else None,
        "venue": first("citation_journal_title", "citation_conference_title", "prism.publicationname"),
        "doi": doi[0] if doi else None,
        "arxiv": first("citation_arxiv_id"),
        "affiliations": listed(values.get("citation_author_institution", [])),
        "funding": listed(
            written if funder is None else funder[1]
            for written in values.get("citation_funding_source", [])
            for funder in [re.search(r"citation_funder=([^;]+)", written)]
        ),
        "updated": iso_date(first("dc.modified", "article:modified_time", "last-modified", "revised") or ""),
        "keywords": [
            k.strip() for written in values.get("citation_keywords", []) for k in re.split("[;,]", written)
        ],
    }


def _turned(name: str) -> str:
    """`Family, Given` as it is spoken."""
    family, comma, given = name.partition(",")
    return f"{given.strip()} {family.strip()}" if comma else name


# --- which part of it is its content

_HIDDEN = frozenset(
    "head script style template noscript nav footer aside form button select textarea input label svg iframe object video audio canvas dialog menu".split()
)
_HIDDEN_ROLES = frozenset(
    "navigation banner contentinfo complementary search menu menubar dialog alert note doc-toc".split()
)
_HIDDEN_NAMES = re.compile(
    r"(?:^|[\s_-])(?:nav|navbar|navbox|navigation|menu|menubar|sidebar|breadcrumbs?|footer|cookie\w*|banner|advert\w*|share|sharing|social|skip|toc|"
    r"pagination|noprint|editsection|catlinks|comments|related|popup|modal|metadata|hatnote|sr-only|visually-hidden|screen-reader-text)(?:$|[\s_-])",
    re.IGNORECASE,
)

_REFERENCES = re.compile(
    r"(?:^|[\s_-])(?:references|reflist|bibliography|citations)(?:$|[\s_-])", re.IGNORECASE
)


def _main(page: Element) -> Element:
    """What the page says is its content; else all of its body."""
    for candidates in (
        list(page.every("main")),
        [e for e in page.below() if e.attributes.get("role") == "main"],
        list(page.every("article")),
    ):
        if len(candidates) == 1 and len(candidates[0].text()) > 200:
            return candidates[0]
    return next(page.every("body"), page)


def _is_hidden(element: Element) -> bool:
    attributes = element.attributes
    if (
        element.tag in _HIDDEN
        or attributes.get("role", "") in _HIDDEN_ROLES
        or attributes.get("aria-hidden") == "true"
    ):
        return True
    return element.tag not in ("html", "body", "main", "article", "p") and bool(
        _HIDDEN_NAMES.search(_named(element))
    )


def _named(element: Element) -> str:
    return " ".join(element.attributes.get(name, "") for name in ("class", "id", "role"))


class _Menus:
    """The blocks that are lists of links, as in a menu that is not called one, told in one pass."""

    def __init__(self, main: Element) -> None:
        self._found: set[int] = set()
        sizes: dict[int, tuple[int, int, bool]] = {}  # characters, those of links, is there a paragraph?
        for element in reversed([main, *main.below()]):
            every = linked = 0
            has_paragraph = element.tag == "p"
            for child in element.children:
                if isinstance(child, Piece):
                    every += len("".join(child.text.split()))
                else:
                    size, of_links, paragraph = sizes[id(child)]
                    every, linked, has_paragraph = every + size, linked + of_links, has_paragraph or paragraph
            sizes[id(element)] = (every, every if element.tag == "a" else linked, has_paragraph)
            if every and linked > 0.8 * every and not has_paragraph:
                self._found.add(id(element))

    def __contains__(self, element: Element) -> bool:
        return id(element) in self._found


# --- its text

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = frozenset(
    "address article blockquote body center dd details div dl dt fieldset figure header hgroup hr html main ol p section summary ul".split()
)


_FOOTNOTES = re.compile(r"(?:^|[\s_-])(?:foot|end)notes?(?:$|\s)", re.IGNORECASE)
_NUMBER = re.compile(r"(?:^|\s)ltx_(?:note_mark|tag_note)(?:$|\s)")  # of a note that LaTeXML writes
_NOTE = re.compile(r"\d{1,3}(?:\s?[,–-]\s?\d{1,3})*+")


class _Writer:
    def __init__(self, builder: PaperBuilder, title: Element | None, menus: _Menus) -> None:
        self.builder = builder
        self.menus = menus
        self.title = title
        self.number: int | None = None
        """Of the next item of a numbered list; 0 in another list, None in none."""
        self.notes: list[Element] = []
        """The footnotes of the paragraph, which follow it."""

    def blocks(self, element: Element) -> None:
        for child in element.children:
            if isinstance(child, Piece):
                write(self.builder, child)
            elif child is not self.title and not _is_hidden(child):
                self.block(child)

    def block(self, element: Element) -> None:
        builder = self.builder
        if element.tag in _HEADINGS:
            if name := element.text():
                with builder.heading(name, _HEADINGS[element.tag]):
                    self.blocks(element)
        elif element.tag == "br":
            builder.line()
        elif element.tag == "pre":
            self.verbatim(element)
        elif element.tag == "table":
            self.table(element)
        elif element.tag in ("figcaption", "caption"):
            with builder.aside("caption"):
                self.blocks(element)
        elif element.tag == "li":
            builder.line()
            if self.number is not None:
                builder.item(element.text(), self.number)
                self.number += bool(self.number)
            self.blocks(element)
            builder.line()
        elif element.tag == "sup":
            self.superscript(element)
        elif element.tag == "math":
            write_formula(self.builder, element)
        elif element.tag in ("ul", "ol", "div", "section") and _REFERENCES.search(_named(element)):
            with builder.aside("references"):
                self.blocks(element)
        elif element.tag in ("ul", "ol", "div", "section") and element in self.menus:
            return
        elif element.tag in ("ul", "ol", "div", "section", "p") and _FOOTNOTES.search(_named(element)):
            with builder.footnote():
                self.blocks(element)
        elif element.tag == "span" and "ltx_role_footnote" in _named(element):
            self.notes += [e for e in element.below() if "ltx_note_content" in _named(e)]
        elif element.tag in _BLOCKS:
            builder.paragraph()
            outer = self.number
            if element.tag in ("ul", "ol"):
                self.number = int(element.tag == "ol")
            self.blocks(element)
            self.number = outer
            builder.paragraph()
            if outer is None:  # it does not part a list
                self.write_notes()
        else:
            self.blocks(element)

    def write_notes(self) -> None:
        """Write the footnotes so far, behind their paragraph."""
        while self.notes:
            told = [
                c for c in self.notes.pop(0).children if isinstance(c, Piece) or not _NUMBER.search(_named(c))
            ]
            with self.builder.footnote():
                self.blocks(Element("span", children=told))

    def superscript(self, element: Element) -> None:
        """10<sup>3</sup> is 10^3; the number of a note, a link or behind a full stop, stands in brackets."""
        linked = next(element.every("a"), None) is not None and not element.text().startswith("[")
        note = linked or (self.builder.ends_in_stop and bool(_NOTE.fullmatch(element.text())))
        if note or raised(self.builder, element):
            self.builder.add("[" if note else "^")
        self.blocks(element)
        if note:
            self.builder.add("]")

    def table(self, element: Element) -> None:
        """Rows of cells; a table that only lays out the page is what its cells hold."""
        lays_out = next(element.every("table", "h1", "h2", "h3"), None) or any(
            len(cell.text()) > 400 for cell in element.every("td")
        )
        if lays_out:
            self.builder.paragraph()
            for cell in element.every("td", "th", "caption"):
                self.blocks(cell)
                self.builder.paragraph()
            return
        for caption in element.elements("caption"):
            self.block(caption)
        write_table(self.builder, element, self.blocks)

    def verbatim(self, element: Element) -> None:
        """Text whose line ends count."""
        self.builder.paragraph()
        for piece in element.pieces():
            at = piece.at
            for line in piece.text.splitlines(keepends=True):
                self.builder.add(
                    line.rstrip("\r\n"), at, None if piece.size == len(piece.text) else piece.size
                )
                if line.endswith(("\n", "\r")):
                    self.builder.line()
                at += len(line)
        self.builder.paragraph()
