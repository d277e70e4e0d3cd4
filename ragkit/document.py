"""Ids, spans, scores and sources: the only reader and writer of ragkit's metadata keys.

A paper and a passage are both LangChain `Document`s.  A paper's `page_content` is its text; a passage's is
`text[start:end]` of its paper, and its metadata says which paper and which characters:

    document_id   the paper               title    of the paper, no part of the text
    start, end    characters in its text  section  the headings above it, outermost first
    kind          abstract, body, caption, table, footnote or references, where the paper's format tells them apart
    caption       of rows of a table: what stands above or below it, and the lines that name its columns, which are
    header        no part of the span unless it holds the first rows
    lists         of a passage: [[start, end]] in the paper of each list with its lead-in
    score         the latest score        scores   {retriever: score as the retriever gave it}
    via           the key that led to it, where that is not the default one: {"kind", "text"}
    sources       the files that list the paper, and where in them its text stands: [{"uri", "start", "end"}] where the
                  text is a piece of the file as it is; else "map" has a row for each piece of the text, with its place in
                  the text, its place in the file, and its length in both, and which of the "files" beside the first it
                  stands in, if in one; "pages" has a row (place in the text, page, box of the line) for
                  each line of a format that has pages
    guessed       the names of what the file does not state plainly, which a bibliography may correct
    looked_up     of a paper about which services were asked: {service: names of the values that it added}
    corrected     the names of the values that the user corrected
    lost          sentences on the entries or values of its file that cannot be read; no corpus keeps them
    attached      paths that an entry of a bibliography names, as it writes them; no corpus keeps them
    hidden        {reason: characters} of the text that the paper's readers do not see, which is left out of it
    version_label what tells it from other versions of the work, if the corpus has several, such as `v2, 2019`
    superseded_by the id of the newest version, where it is another
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import PurePath
from typing import Any, NamedTuple
from uuid import UUID

from langchain_core.documents import Document

# The identity of a paper, strongest first.  A key that two papers share makes them the same paper.
IDENTIFIERS = ("doi", "arxiv")

# What only ragkit says of a paper or passage, so that no paper may say it of itself.
RESERVED = frozenset(
    "document_id start end section sections kind caption header lists score scores relevance_score via sources uri"
    " title_guessed guessed looked_up corrected lost bibliography attached version_label superseded_by".split()
)


VERSION_KEYS = {"version_label": "version", "superseded_by": "superseded_by"}
"""What says which version a paper is, and what it is called in JSON."""
_LEAD = 1000  # characters of a caption or header, which every passage of a table repeats


class Span(NamedTuple):
    """Characters of a paper's text: `text[start:end]`."""

    document_id: str
    start: int
    end: int

    def holds(self, other: Span) -> bool:
        """Does *other* lie in this span?"""
        return self.document_id == other.document_id and self.start <= other.start and other.end <= self.end


class Stretch(NamedTuple):
    """A part of a paper's text with one set of headings and one kind, such as abstract, body or table.

    A table has its caption and its header, if known.
    """

    start: int
    end: int
    section: tuple[str, ...] = ()
    kind: str = ""
    caption: str = ""
    header: str = ""

    @property
    def metadata(self) -> dict[str, Any]:
        """What a passage in this part says of itself."""
        known = {"section": list(self.section), "kind": self.kind}
        return {k: v for k, v in {**known, "caption": self.caption, "header": self.header}.items() if v}


class Key(NamedTuple):
    """What a passage is found by: of key 0, which every passage has, the text is `searchable(passage)`."""

    passage: str
    n: int
    text: str
    kind: str = ""


def digest(*parts: str) -> str:
    """A content hash: 20 hexadecimal digits, the same for the same parts everywhere and always."""
    return _hash(parts)[:20]


def digest_each(parts: Iterable[str]) -> str:
    """`digest` of parts of which only one is held at a time."""
    return _hash(parts)[:20]


def _hash(parts: Iterable[str]) -> str:
    whole = hashlib.sha256()
    for number, part in enumerate(parts):
        whole.update(b"\x1f" * (number > 0) + part.encode("utf-8", "surrogatepass"))
    return whole.hexdigest()


def paper_id(paper: Document) -> str:
    """What a paper is called, from what identifies it and what it says."""
    return digest("paper", *identity_keys(paper), paper.page_content)


def passage_id(document_id: str, start: int, end: int, chunker: str = "") -> str:
    """The id of a passage, derived from its place: a UUID, since many vector stores take no other ids."""
    return _uuid("chunk", document_id, chunker, str(start), str(end))


def _uuid(*parts: str) -> str:
    return str(UUID(_hash(parts)[:32], version=5))


def title_of(document: Document) -> str:
    return str(document.metadata.get("title", ""))


def authors_of(known: Mapping[str, Any]) -> tuple[str, ...]:
    """The authors, of which some files state only one text."""
    given = known.get("authors") or ()
    return (given,) if isinstance(given, str) else tuple(map(str, given))


def year_of(known: Mapping[str, Any]) -> int:
    """The year of a paper as a number; 0 if none is known."""
    written = re.match(r"\d{4}", str(known.get("year") or ""))
    return int(written[0]) if written else 0


def lost_of(papers: Iterable[Document]) -> list[str]:
    """What could not be read beside these papers of a file, a sentence each."""
    return [str(said) for paper in papers for said in paper.metadata.get("lost", ())]


def hidden_of(paper: Document) -> dict[str, int]:
    """How many characters of a paper were left out since its readers do not see them, by reason."""
    found = paper.metadata.get("hidden")
    return {str(k): n for k, n in found.items() if isinstance(n, int)} if isinstance(found, dict) else {}


def stretches_of(paper: Document) -> list[Stretch]:
    """The parts of a paper, in order, its headings left out; one part if its format tells none apart."""
    rows = paper.metadata.get("sections")
    if not rows:
        return [Stretch(0, len(paper.page_content))]
    text = paper.page_content
    return [
        Stretch(
            row["start"],
            row["end"],
            tuple(row["path"]),
            row["kind"],
            *(text[slice(*row.get(name, (0, 0)))][:_LEAD] for name in ("caption", "header")),
        )
        for row in rows
        if row["kind"] != "heading"
    ]


def sources_of(document: Document) -> list[dict[str, Any]]:
    return list(document.metadata.get("sources", ()))


def places_of(document: Document, span: Span) -> list[dict[str, Any]]:
    """Where in its files the span of a paper or passage stands; None for what the format cannot say.

    uri, start, end (characters of the file), page (from 1), box (left, top, right, bottom on that page, in
    points from its top left corner).
    """
    found = []
    for source in sources_of(document):
        where, uri = None, source["uri"]
        if source.get("start") is not None:
            where = (source["start"] + span.start, source["start"] + span.end)
        elif "map" in source:
            touched = _touched(source["map"], span.start, span.end)
            if touched and (file := _file_of(touched[0])):
                uri = str(PurePath(uri).parent / source["files"][file - 1])
            where = _in_files(touched, span.start, span.end)
        start, end = where or (None, None)
        page, box = page_of(source.get("pages", ()), span.start, span.end)
        found.append({"uri": uri, "start": start, "end": end, "page": page, "box": box})
    return found


def _touched(mapping: Sequence[Sequence[int]], start: int, end: int) -> list[Sequence[int]]:
    """The rows of a map that `text[start:end]` came from; of several files, those of the first."""
    first = max(bisect_right(mapping, start, key=itemgetter(0)) - 1, 0)
    last = bisect_right(mapping, end - 1, key=itemgetter(0))
    rows = [row for row in mapping[first:last] if row[0] + row[2] > start and row[0] < end]
    return [row for row in rows if _file_of(row) == _file_of(rows[0])]


def _file_of(row: Sequence[int]) -> int:
    return row[4] if len(row) > 4 else 0


def _in_files(rows: Sequence[Sequence[int]], start: int, end: int) -> tuple[int, int] | None:
    return (_in_file(rows[0], start, at_end=False), _in_file(rows[-1], end, at_end=True)) if rows else None


def _in_file(row: Sequence[int], place: int, at_end: bool) -> int:
    text_start, file_start, length, taken = row[:4]
    inside = min(max(place - text_start, 0), length)
    if length == taken:
        return file_start + inside
    return file_start + (taken if at_end else 0)  # a piece that stands for something else is taken whole


def page_of(
    pages: Sequence[Sequence[int]], start: int, end: int
) -> tuple[int, tuple[int, ...] | None] | tuple[None, None]:
    """The page (from 1) on which `text[start:end]` begins, and the box that its lines there fill."""
    at = bisect_right(pages, start, key=itemgetter(0)) - 1
    if at < 0:
        return None, None
    page = pages[at][1]
    boxes = [
        row[2:]
        for row in pages[at : bisect_right(pages, max(end - 1, start), key=itemgetter(0))]
        if row[1] == page and len(row) > 2
    ]
    lefts, tops, rights, bottoms = zip(*boxes, strict=True) if boxes else ((), (), (), ())
    return page, (min(lefts), min(tops), max(rights), max(bottoms)) if boxes else None


def span_of(passage: Document) -> Span:
    """The characters *passage* stands for.  One that no corpus knows is its own paper."""
    if "document_id" not in passage.metadata:
        return Span(paper_id(passage), 0, len(passage.page_content))
    return Span(passage.metadata["document_id"], passage.metadata["start"], passage.metadata["end"])


def passage(paper: Document, start: int, end: int, chunker: str = "", /, **metadata: Any) -> Document:
    """The part `[start:end]` of *paper*; *metadata* (such as `section`) is added."""
    return Document(
        id=passage_id(str(paper.id), start, end, chunker),
        page_content=paper.page_content[start:end],
        metadata={**metadata, "document_id": paper.id, "title": title_of(paper), "start": start, "end": end},
    )


def excerpt(passage: Document, start: int, end: int) -> Document:
    """The part of *passage* that is `[start:end]` of its paper, with all that is known of the passage."""
    whole = span_of(passage)
    if (start, end) == (whole.start, whole.end):
        return passage
    return Document(
        id=passage_id(whole.document_id, start, end),
        page_content=passage.page_content[start - whole.start : end - whole.start],
        metadata={**passage.metadata, "document_id": whole.document_id, "start": start, "end": end},
    )


def searchable(passage: Document) -> str:
    """The text that is embedded and searched for a passage: title, headings and the passage itself.

    Title and headings are not part of its span.
    """
    return "\n".join(part for part in (above(passage), passage.page_content) if part)


def named(passage: Document) -> str:
    """Where a name that a question has may stand: the text that is searched, and who wrote the paper, where,
    when.
    """
    said = (passage.metadata.get(name) for name in ("authors", "venue", "year"))
    whole = (" ".join(map(str, each)) if isinstance(each, list) else str(each) for each in said if each)
    return "\n".join([searchable(passage), *whole])


def above(passage: Document) -> str:
    """The title and the headings that a passage stands under; of rows of a table, its caption and header,
    too.
    """
    headings = " > ".join(passage.metadata.get("section", ()))
    return "\n".join(part for part in (title_of(passage), headings, lead_of(passage)) if part)


def table_of(passage: Document) -> tuple[str, str]:
    """The caption and the header of the table that *passage* is of; empty if it is of none."""
    return str(passage.metadata.get("caption", "")), str(passage.metadata.get("header", ""))


def lead_of(passage: Document) -> str:
    """The caption and the header of its table, as far as *passage* lacks them."""
    return "\n".join(part for part in table_of(passage) if part and part not in passage.page_content)


def entry(key: Key, document_id: str) -> Document:
    """A key as an index of another make holds it: the text, and which passage of which paper it leads to."""
    led = {"document_id": document_id, "passage": key.passage, **({"key": key.n} if key.n else {})}
    return Document(id=entry_id(key.passage, key.n), page_content=key.text, metadata=led)


def entry_id(passage: str, n: int) -> str:
    """What an index of another make calls a key: the default key is called like its passage."""
    return _uuid("key", passage, str(n)) if n else passage


def hit(identity: str, score: float, key: int = 0) -> Document:
    """A retriever's result: a passage id, a score and the key that matched; the corpus supplies the text."""
    return Document(id=identity, page_content="", metadata={"score": score, **({"key": key} if key else {})})


def key_of(found: Document) -> int:
    """The number of the key by which a retriever found the passage."""
    return int(found.metadata.get("key", 0))


def led_to(passage: Document, key: Key) -> Document:
    """*passage* as found by a key other than the default one, which its metadata name as `via`."""
    return passage.model_copy(
        update={"metadata": {**passage.metadata, "via": {"kind": key.kind, "text": key.text}}}
    )


def score_of(document: Document) -> float:
    return float(document.metadata.get("score", 0.0))


def scaled(scores: Iterable[float]) -> list[float]:
    """*scores* from 0 for the least to 1 for the greatest; all 1 if they are equal."""
    given = [float(score) for score in scores]
    low, high = min(given, default=0.0), max(given, default=0.0)
    return [(score - low) / (high - low) if high > low else 1.0 for score in given]


def relevance_of(document: Document) -> float | None:
    """The score that a LangChain reranker gave; None if none did."""
    given = document.metadata.get("relevance_score")
    return None if given is None else float(given)


def scores_of(document: Document) -> dict[str, float]:
    """The score each retriever gave, by the retriever's name."""
    return dict(document.metadata.get("scores", {}))


def scored(document: Document, score: float, scores: Mapping[str, float] | None = None) -> Document:
    """A copy that carries its latest score and, if given, the retrievers' scores."""
    added: dict[str, Any] = {"score": score} if scores is None else {"score": score, "scores": dict(scores)}
    return document.model_copy(update={"metadata": {**document.metadata, **added}})


def as_json(hit: Document) -> dict[str, Any]:
    """A passage that a search found as plain data, with the keys of `ragkit search --json`."""
    span = span_of(hit)
    return {
        "document_id": span.document_id,
        "title": title_of(hit),
        **{key: hit.metadata[name] for name, key in VERSION_KEYS.items() if name in hit.metadata},
        "chunk_id": hit.id,
        "start": span.start,
        "end": span.end,
        "section": hit.metadata.get("section", []),
        "kind": hit.metadata.get("kind"),
        "text": hit.page_content,
        "score": score_of(hit),
        "scores": scores_of(hit),
        **({"via": hit.metadata["via"]} if "via" in hit.metadata else {}),
        "sources": places_of(hit, span),
    }


def facts_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What a filter sees of a paper or passage: its metadata, with the paths of its files as `uri`."""
    return {**metadata, "uri": [source["uri"] for source in metadata.get("sources", ())]}


def normalised_title(title: str) -> str:
    """A title without case, accents' encoding, punctuation or spacing: what two listings of a paper share."""
    folded = unicodedata.normalize("NFKC", title).casefold()
    return " ".join(re.findall(r"\w+", folded))


def main_title(title: str) -> str:
    """What stands before the subtitle, normalised."""
    return normalised_title(re.split(r"[:?]\s", title)[0])


def title_forms(title: str) -> set[str]:
    """How a text may write a title, normalised: whole, or without its subtitle if that leaves three words or more.

    Without a title there is none.
    """
    whole, main = normalised_title(title), main_title(title)
    return {form for form in (whole, main) if form and (form == whole or len(main.split()) > 2)}


def identity_keys(paper: Document) -> list[str]:
    """The keys by which another entry is known to be the same paper, strongest first.

    A paper whose metadata give none is known by its text.
    """
    return metadata_keys(paper.metadata) or [f"text:{digest(paper.page_content)}"]


def metadata_keys(known: Mapping[str, Any]) -> list[str]:
    """The keys of a paper that its metadata give, strongest first.

    A title that the loader only guessed from the file's name (`title_guessed`) identifies nothing.
    """
    keys = [
        _identifier_key(name, _normalised_identifier(str(value)))
        for name in IDENTIFIERS
        if (value := known.get(name))
    ]
    title = normalised_title(str(known.get("title", "")))
    if title and not known.get("title_guessed"):
        keys.append(f"title:{title}")
    return list(dict.fromkeys(keys))


def _identifier_key(name: str, value: str) -> str:
    """arXiv gives each paper a DOI, too, which says its id."""
    return f"arxiv:{value.removeprefix(_ARXIV_DOI)}" if value.startswith(_ARXIV_DOI) else f"{name}:{value}"


_ARXIV_DOI = "10.48550/arxiv."
_PREPRINT_DOIS = (
    "10.48550/ 10.1101/ 10.64898/ 10.5281/zenodo 10.21203/rs. 10.20944/preprints 10.2139/ssrn 10.26434/chemrxiv"
    " 10.31219/osf 10.31234/osf 10.31235/osf 10.35542/osf 10.36227/techrxiv 10.22541/ 10.31223/ 10.32942/"
).split()
"""What the DOIs of preprint servers begin with."""


def is_preprint(doi: str) -> bool:
    """Is it the DOI of a preprint?"""
    return _normalised_identifier(doi).startswith(tuple(_PREPRINT_DOIS))


def contradict(one: Sequence[str], other: Sequence[str]) -> bool:
    """Do the keys of two papers name different DOIs or arXiv ids, so that they differ though the titles agree?

    A preprint has another DOI than what is published of it.
    """
    a, b = _identifiers(one), _identifiers(other)
    return any(a[kind].isdisjoint(b[kind]) for kind in a.keys() & b.keys())


def _identifiers(keys: Iterable[str]) -> dict[str, set[str]]:
    """The identifiers among *keys*, by their kind."""
    found: dict[str, set[str]] = {}
    for name, _, value in (key.partition(":") for key in keys):
        if name in IDENTIFIERS:
            kind = "preprint" if name == "doi" and is_preprint(value) else name
            found.setdefault(kind, set()).add(value)
    return found


def recognised(key: str) -> str:
    """What two listings of a paper have in common, in words: `the same DOI 10.1/a`."""
    name, _, value = key.partition(":")
    called = {"doi": f"DOI {value}", "arxiv": f"arXiv id {value}"}
    return f"the same {called.get(name, name)}"


def _normalised_identifier(value: str) -> str:
    value = re.sub(
        r"^(https?://)?(dx\.|www\.)?(doi\.org/|arxiv\.org/(abs|pdf|html)/)|^(doi|arxiv):\s*",
        "",
        value.strip().casefold(),
    )
    return re.sub(r"((?<=\d)v\d+)?(\.pdf)?$", "", value)
