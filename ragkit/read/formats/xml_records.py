"""Papers as records of XML: PubMed, Atom feeds such as arXiv's, and Zotero's RDF."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from langchain_core.documents import Document

from ragkit.config.components import component
from ragkit.errors import LoadError
from ragkit.read.formats import ListFormat, titled
from ragkit.read.formats.builder import PaperBuilder
from ragkit.read.formats.markup import (
    Element,
    Piece,
    html_tree,
    raised,
    write,
    xml_tree,
)
from ragkit.read.formats.stated import listed, without_mail

_ROOT = re.compile(
    r"\s*+(?:<\?[^>]*+>\s*+|<!--(?:[^-]++|-(?!->))*+-->\s*+|<!DOCTYPE[^>\[]*+(?:\[[^\]]*+\]\s*+)?>\s*+)*+"
    r"(<((?:[\w.-]++:)?+([\w.-]++))[^>]*+>)",
    re.IGNORECASE,
)
_YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)")
_DOI = re.compile(r"(?:https?://)?(?:(?:dx\.|www\.)?doi\.org/|doi[:\s]\s*)?(10\.\d{4,9}/\S+)", re.IGNORECASE)
_ARXIV = re.compile(
    r"arxiv(?:\.org/(?:abs|pdf)/|[:.\s]\s*)([a-z-]+(?:\.[a-z]{2})?/\d{7}|\d{4}\.\d{4,5})", re.IGNORECASE
)


class XmlRecords(ListFormat):
    """One paper per record.

    A record that is no XML is reported, and the rest is read.
    """

    roots: ClassVar[frozenset[str]]
    """Names of the element around the records, or of a record that stands alone."""
    namespaces: ClassVar[tuple[str, ...]] = ("",)
    """One of them stands in the file's beginning."""
    tags: ClassVar[tuple[str, ...]]
    """Names of the elements that are records."""

    def recognises_text(self, name: str, text: str) -> bool:
        root = _ROOT.match(text)
        return bool(root and root[3] in self.roots and any(each in text for each in self.namespaces))

    def entries(self, name: str, text: str) -> Iterator[Document | str]:
        known: tuple[Element | None, Any] = None, None
        for found in _records(text, self.tags):
            if isinstance(found, str):
                yield found
                continue
            record, root = found
            if root is not known[0]:
                known = root, self.around(root)
            if paper := self.paper(name, record, known[1]):
                yield paper

    def around(self, root: Element) -> Any:
        """What the papers of a file share; found once."""
        return None

    @abstractmethod
    def paper(self, name: str, record: Element, around: Any) -> Document | None:
        """The paper of a record; None for a record of something else."""


def _records(text: str, tags: tuple[str, ...]) -> Iterator[tuple[Element, Element] | str]:
    """The records of a file, each with the file's root; a sentence for one that cannot be read."""
    try:
        root = xml_tree(text)
    except LoadError as error:
        if "<!ENTITY" in text:
            raise
        yield from _one_by_one(text, tags, error)
        return
    for record in [root] if root.tag in tags else root.every(*tags):
        yield record, root


def _one_by_one(
    text: str, tags: tuple[str, ...], error: LoadError
) -> Iterator[tuple[Element, Element] | str]:
    """The records of a file whose XML is broken, each read by itself in the element that holds them all."""
    root = _ROOT.match(text)
    begins = [*re.finditer(rf"<((?:[\w.-]+:)?(?:{'|'.join(tags)}))(?=[\s>])", text)]
    if not root or not begins:
        raise error
    line, counted = 1, 0
    for number, begin in enumerate(begins):
        line, counted = line + text.count("\n", counted, begin.start()), begin.start()
        last = number + 1 == len(begins)
        close = f"</{begin[1]}>"
        end = text.rfind(close, begin.start(), len(text) if last else begins[number + 1].start())
        if end < 0:
            yield f"line {line}: the record is not closed"
            continue
        head, foot = (root[1], f"</{root[2]}>") if begin.start() > root.start(1) else ("", "")
        try:
            tree = xml_tree(f"{head}{text[begin.start() : end + len(close)]}{foot}")
        except LoadError:
            yield f"line {line}: the XML of the record is broken"
            continue
        moved = _moved(tree, begin.start() - len(head))
        yield (moved if moved.tag in tags else next(moved.every(*tags))), moved


def _moved(element: Element, by: int) -> Element:
    """An element that stands elsewhere in the file."""
    children = [
        child._replace(at=child.at + by) if isinstance(child, Piece) else _moved(child, by)
        for child in element.children
    ]
    return Element(element.tag, element.attributes, element.at + by, children)


# --- what all have in common


def text_of(element: Element | None) -> str:
    return element.text() if element else ""


def year_in(*written: str) -> int | None:
    return next((int(found[0]) for each in written if (found := _YEAR.search(each))), None)


def doi_in(*written: str) -> str:
    return next((found[1].rstrip(".,;") for each in written if (found := _DOI.match(each.strip()))), "")


def arxiv_in(*written: str) -> str:
    return next((found[1] for each in written if (found := _ARXIV.search(each))), "")


def joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def inline(builder: PaperBuilder, element: Element) -> None:
    """Running text, its paragraphs apart."""
    for child in element.children:
        if isinstance(child, Piece):
            write(builder, child)
        elif child.tag in ("p", "div", "li", "head"):
            builder.paragraph()
            inline(builder, child)
            builder.paragraph()
        elif child.tag in ("br", "lb"):
            builder.line()
        else:
            if child.tag == "sup" or child.attributes.get("rend") == "superscript":
                if raised(builder, child):
                    builder.add("^")
            inline(builder, child)


def finished(builder: PaperBuilder, name: str, title: str, at: int, **known: Any) -> Document | None:
    """The paper of a record; one without a text stands where the record begins."""
    if not title and not builder.parts:
        return None
    paper = builder.paper(**titled(title, name), **known)
    if not paper.page_content:
        paper.metadata["sources"] = [{"start": at, "end": at}]
    return paper


# --- the formats


@component("pubmed")
@dataclass(frozen=True)
class PubMed(XmlRecords):
    """One paper per article or book of an export of PubMed, its abstract as the text.

    A record describes a paper as an entry of a bibliography does.
    """

    priority: ClassVar[int] = 15
    endings: ClassVar[tuple[str, ...]] = (".xml",)
    tags = ("PubmedArticle", "PubmedBookArticle")
    roots = frozenset({"PubmedArticleSet", "PubmedBookArticleSet", *tags})

    def paper(self, name: str, record: Element, around: Any) -> Document | None:
        citation = record.find("MedlineCitation") or record.find("BookDocument") or record
        article = citation.find("Article") or citation
        journal = article.find("Journal") or Element("Journal")
        book = article.find("Book") or Element("Book")
        dates = [*journal.every("PubDate"), *article.elements("ArticleDate"), *book.elements("PubDate")]
        ids = {
            i.attributes.get("IdType"): i.text()
            for data in (record.find("PubmedData"), record.find("PubmedBookData"), citation)
            for listed in (data.elements("ArticleIdList") if data else ())
            for i in listed.elements("ArticleId")
        }
        located = {i.attributes.get("EIdType"): i.text() for i in article.elements("ELocationID")}
        builder = PaperBuilder()
        for abstract in [*article.elements("Abstract"), *citation.elements("OtherAbstract")]:
            for part in abstract.elements("AbstractText"):
                builder.section(part.attributes.get("Label", "").capitalize(), 2, "abstract")
                inline(builder, part)
        title = text_of(article.find("ArticleTitle") or book.find("BookTitle"))
        return finished(
            builder,
            name,
            title.removesuffix(".") or text_of(article.find("VernacularTitle")),
            record.at,
            authors=[
                written
                for listed in article.elements("AuthorList")
                if listed.attributes.get("Type") != "editors"
                for author in listed.elements("Author")
                if (written := _person(author))
            ],
            year=year_in(*(date.text() for date in dates)),
            venue=text_of(journal.find("Title") or journal.find("ISOAbbreviation") or book.find("BookTitle")),
            doi=doi_in(located.get("doi", ""), ids.get("doi", "")),
            affiliations=listed(
                without_mail(each.text())
                for group in article.elements("AuthorList")
                if group.attributes.get("Type") != "editors"
                for each in group.every("Affiliation")
            ),
            funding=listed(each.text() for each in article.every("Agency")),
            pmid=text_of(citation.find("PMID")),
            pmcid=ids.get("pmc"),
            keywords=[
                word.text() for listed in citation.elements("KeywordList") for word in listed.elements()
            ],
            bibliography=True,
        )


def _person(author: Element) -> str:
    return joined(
        text_of(author.find("ForeName") or author.find("Initials")),
        text_of(author.find("LastName") or author.find("CollectiveName")),
        text_of(author.find("Suffix")),
    )


@component("atom")
@dataclass(frozen=True)
class Atom(XmlRecords):
    """One paper per entry of an Atom feed, such as arXiv's, its summary as the text.

    An entry describes a paper as an entry of a bibliography does.
    """

    priority: ClassVar[int] = 16
    endings: ClassVar[tuple[str, ...]] = (".atom",)
    tags = ("entry",)
    roots = frozenset({"feed", "entry"})
    namespaces = ("http://www.w3.org/2005/Atom",)

    def paper(self, name: str, record: Element, around: Any) -> Document | None:
        identity = text_of(record.find("id"))
        links = [link.attributes.get("href", "") for link in record.elements("link")]
        builder = PaperBuilder()
        for said in [*record.elements("summary"), *record.elements("content")][:1]:
            builder.kind("abstract")
            if said.attributes.get("type") == "html":
                said = _unwrapped(said)
            inline(builder, said)
        published, cited = text_of(record.find("published")), text_of(record.find("journal_ref"))
        return finished(
            builder,
            name,
            text_of(record.find("title")),
            record.at,
            authors=[author for each in record.elements("author") if (author := text_of(each.find("name")))],
            year=year_in(published, text_of(record.find("updated"))),
            venue=cited,
            doi=doi_in(text_of(record.find("doi")), *links, identity),
            arxiv=arxiv_in(identity),
            url=identity if identity.startswith("http") else "",
            keywords=[term for each in record.elements("category") if (term := each.attributes.get("term"))],
            bibliography=True,
        )


def _unwrapped(element: Element) -> Element:
    """An element whose text is HTML, as the tree of that HTML; its pieces keep their places in the file."""
    written = list(element.pieces())
    places = [
        (piece.at + i, 1) if piece.size == len(piece.text) else (piece.at, piece.size)
        for piece in written
        for i in range(len(piece.text))
    ]

    def placed(inner: Element) -> Element:
        children = [
            _placed(child, places) if isinstance(child, Piece) else placed(child) for child in inner.children
        ]
        return Element(inner.tag, inner.attributes, element.at, children)

    return placed(html_tree("".join(piece.text for piece in written)))


def _placed(piece: Piece, places: list[tuple[int, int]]) -> Piece:
    first, (last, size) = places[piece.at][0], places[piece.at + piece.size - 1]
    return Piece(piece.text, first, last + size - first)


_KINDS = "Article Book BookSection Thesis Report Document Description ConferencePaper Manuscript Recording Image Patent Letter Interview"


@component("zotero_rdf")
@dataclass(frozen=True)
class ZoteroRdf(XmlRecords):
    """One paper per item of an RDF export of Zotero, its abstract as the text.

    An item describes a paper as an entry of a bibliography does, and names the files attached to it; notes are left out.
    """

    priority: ClassVar[int] = 17
    endings: ClassVar[tuple[str, ...]] = (".rdf",)
    tags = tuple(_KINDS.split())
    roots = frozenset({"RDF"})
    namespaces = ("http://www.zotero.org/namespaces/export#", "http://purl.org/net/biblio#")

    def around(self, root: Element) -> dict[str, Element]:
        """What items are part of, and their attachments, by the names by which they say so.

        One that several items are part of has no identifiers, which would be those of one of them.
        """
        cited = Counter(
            part.attributes.get("resource", "")
            for item in root.elements()
            for part in item.elements("isPartOf", "link")
        )
        return {
            named: each if cited[named] == 1 else _without_ids(each)
            for each in root.elements()
            if (named := each.attributes.get("about", "")) in cited
        }

    def paper(self, name: str, record: Element, around: Any) -> Document | None:
        kind = text_of(record.find("itemType"))
        if kind in ("attachment", "note", "annotation") or not record.find("title"):
            return None
        within = [*_containers(record, around)]
        said = [i.text() for i in record.elements("identifier")]
        builder = PaperBuilder()
        for abstract in record.elements("abstract"):
            builder.kind("abstract")
            inline(builder, abstract)
        return finished(
            builder,
            name,
            text_of(record.find("title")),
            record.at,
            authors=[
                written
                for listed in record.elements("authors")
                for person in listed.every("Person")
                if (written := joined(text_of(person.find("givenName")), text_of(person.find("surname"))))
            ],
            year=year_in(*(date.text() for date in record.elements("date"))),
            venue=next((title for each in within if (title := text_of(each.find("title")))), ""),
            doi=doi_in(*said, *(i.text() for each in within for i in each.elements("identifier"))),
            arxiv=arxiv_in(*said, *(i.text() for i in record.elements("number", "archive"))),
            pages=text_of(record.find("pages")),
            keywords=[word for each in record.elements("subject") if (word := each.text())],
            attached=[
                file.attributes["resource"]
                for link in record.elements("link")
                if (attachment := around.get(link.attributes.get("resource", "")))
                for file in attachment.elements("resource")
                if "://" not in file.attributes.get("resource", "://")
            ],
            bibliography=True,
        )


def _containers(record: Element, around: dict[str, Element]) -> Iterator[Element]:
    """What an item is part of, in it or beside it."""
    for part in record.elements("isPartOf"):
        yield from part.elements()
        if beside := around.get(part.attributes.get("resource", "")):
            yield beside


def _without_ids(container: Element) -> Element:
    kept = [c for c in container.children if isinstance(c, Piece) or c.tag != "identifier"]
    return Element(container.tag, container.attributes, container.at, kept)
