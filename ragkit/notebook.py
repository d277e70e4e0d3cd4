"""How results look where a program shows them: as text for `print`, and as HTML for a notebook.

The HTML is made of elements, so that text of a paper is always text; it has no scripts, and takes its colours from
the page.  Files are called by their names, without their folders.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, tostring

from ragkit.document import authors_of, span_of
from ragkit.text.people import family_name
from ragkit.text.printable import one_line, printable

if TYPE_CHECKING:
    from langchain_core.documents import Document

    from ragkit.answer import Answer, Citation, NumberedClaim, Quote

Inside = Element | str

SHAPES = {"quoted": "■", "supported": "●", "unsupported": "▲", "unresolved": "◆", "unchecked": "○"}
"""A sign for each verdict, of a form of its own, so that nobody needs to tell colours apart."""
IN_WORDS = {
    "quoted": "word for word in its source",
    "supported": "supported by its source",
    "unsupported": "not supported by its source",
    "unresolved": "names no source",
    "unchecked": "not checked",
}
"""What a verdict says to a reader."""
_LISTED = 10  # things of one kind that a report names
_SMALL = "font-size: 85%; opacity: 0.8"
_CELL = "text-align: left; vertical-align: top; padding: 0.15em 1em 0.15em 0"


# --- text


def answer_as_text(answer: Answer) -> str:
    """The answer with its marks, then each source with its verdict in words."""
    said = f"{answer.refusal}{''.join(f'{c.marked}{_fault(c)}' for c in answer.numbered).strip()}"
    known = _known(answer.context)
    parts = [said, *(_citation_as_text(citation, known) for citation in answer.citations)]
    parts += [f"Against {_marks(c)}: {_against(c)}" for c in answer.numbered if c.against]
    return printable("\n\n".join([*parts, *_notes(answer)]))


def unmentioned(answer: Answer) -> str:
    """A sentence on the names of the question that no passage mentions; empty if there are none."""
    names = " or ".join(answer.unmentioned)
    return f"None of the passages found mentions {names}." if names else ""


def confidence(answer: Answer) -> str:
    """A sentence on how sure the answer is; empty if nothing weighed it."""
    if answer.confidence == 1 or answer.abstained:
        return ""
    return f"Confidence {answer.confidence:.0%}: about {answer.confidence:.0%} of answers like this one are right."


def _notes(answer: Answer) -> list[str]:
    return [note for note in (unmentioned(answer), confidence(answer)) if note]


def _fault(claim: NumberedClaim) -> str:
    return f" ({IN_WORDS[claim.verdict]})" if claim.is_fault else ""


def _citation_as_text(citation: Citation, known: Mapping[str, Mapping[str, Any]]) -> str:
    head = f"[{citation.number}] {_cited(citation, known)}: {IN_WORDS[citation.verdict]}"
    return f"{head}\n    “{one_line(citation.quote)}”" if citation.quote else head


def _cited(quote: Quote, known: Mapping[str, Mapping[str, Any]]) -> str:
    """The title, who wrote it and when, and the files: `Terns (Reed and Ash, 2019), terns.pdf, page 3`."""
    if quote.document_id is None:
        return "no source"
    own = known.get(quote.document_id, {})
    families = [family_name(author) for author in authors_of(own)]
    who = " and ".join(families) if len(families) < 3 else f"{families[0]} et al."
    by = ", ".join(part for part in (who, str(own.get("year") or "")) if part)
    version = f"; {quote.version}" if quote.version else ""
    return one_line(", ".join([f"{quote.title}{version}{f' ({by})' if by else ''}", *_places(quote)]))


def _places(quote: Quote) -> list[str]:
    """The name of each file that lists the paper, and the page in it, or what of its metadata is quoted."""
    field = f", metadata: {quote.field}" if quote.field else ""
    pages = [f", page {source.page}" if source.page is not None else "" for source in quote.sources]
    names = [PurePath(source.uri).name for source in quote.sources]
    return [one_line(f"{name}{page}{field}") for name, page in zip(names, pages, strict=True)]


def _known(context: Iterable[Document]) -> dict[str, Mapping[str, Any]]:
    """What is known of each paper of which a passage was read."""
    return {span_of(passage).document_id: passage.metadata for passage in context}


def _marks(claim: NumberedClaim) -> str:
    return "".join(f"[{number}]" for number in claim.citations)


def _against(claim: NumberedClaim) -> str:
    if claim.against is None:
        return ""
    return one_line(f"{claim.against.reason}. {claim.against.title}: “{claim.against.quote}”")


# --- elements


def element(tag: str, *inside: Inside, **attributes: str) -> Element:
    """An element with texts and elements in it, in order; no text is markup, and no character controls anything."""
    made = Element(tag, attributes)
    last: Element | None = None
    for part in inside:
        if isinstance(part, Element):
            made.append(last := part)
        elif last is None:
            made.text = (made.text or "") + printable(part)
        else:
            last.tail = (last.tail or "") + printable(part)
    return made


def page(*inside: Inside) -> str:
    """Elements as the HTML of one output; formulas in it are left as they stand."""
    # The classes keep MathJax from typesetting what stands between dollar signs.
    box = element("div", *inside, style="max-width: 60em; line-height: 1.5")
    box.attrib = {"class": "ragkit tex2jax_ignore mathjax_ignore", **box.attrib}
    return tostring(box, encoding="unicode", method="html")


def verdict(name: str) -> Element:
    """A verdict, as a shape and in words."""
    return element("span", f" {SHAPES[name]} {IN_WORDS[name]}", style=_SMALL)


def unfolding(head: Sequence[Inside], *inside: Inside) -> Element:
    """What shows *head*, and the rest once the reader asks for it."""
    return element("details", element("summary", *head), *inside, style="margin: 0.3em 0")


def quotation(text: str) -> Element:
    return element("blockquote", one_line(text), style="margin: 0.3em 0 0.3em 1.5em")


def table(rows: Iterable[Sequence[Inside]], header: Sequence[str] = ()) -> Element:
    """A table whose first column names the rows."""
    head = [element("tr", *(element("th", name, style=_CELL) for name in header))] if header else []
    body = [
        element("tr", *(element("td" if n else "th", cell, style=_CELL) for n, cell in enumerate(row)))
        for row in rows
    ]
    return element("table", *head, *body, style="border-collapse: collapse")


def listed(what: str, names: Sequence[str]) -> list[Element]:
    """An unfolding list of *names*, the first of which are shown; nothing if there are none."""
    more = [f"and {len(names) - _LISTED} more"] if len(names) > _LISTED else []
    items = [element("li", one_line(name)) for name in [*names[:_LISTED], *more]]
    return [unfolding([f"{len(names)} {what}"], element("ul", *items))] if names else []


# --- an answer


def answer_as_html(answer: Answer) -> str:
    """Each sentence with its verdict, and each citation with what is known of its paper."""
    known = _known(answer.context)
    above: list[Inside] = [element("p", element("strong", one_line(answer.question)))]
    if answer.abstained:
        above.append(element("p", answer.refusal.strip()))
    sentences: list[Inside] = []
    for claim in answer.numbered:
        sentences.append(claim.marked if sentences else claim.marked.lstrip())
        sentences += [] if answer.small_talk else [verdict(claim.verdict)]
        if claim.against:
            sentences.append(unfolding(["another paper says otherwise"], quotation(_against(claim))))
    said = [element("div", *sentences, style="white-space: pre-wrap")] if sentences else []
    cited = [_citation_as_element(citation, known) for citation in answer.citations]
    return page(*above, *said, *cited, *(element("p", note, style=_SMALL) for note in _notes(answer)))


def _citation_as_element(citation: Citation, known: Mapping[str, Mapping[str, Any]]) -> Element:
    head: list[Inside] = [f"[{citation.number}] {_cited(citation, known)}", verdict(citation.verdict)]
    own = known.get(str(citation.document_id), {})
    rows = [
        ("title", citation.title),
        ("authors", ", ".join(authors_of(own))),
        ("year", str(own.get("year") or "")),
        ("version", citation.version),
        ("file", "; ".join(_places(citation))),
        ("why", citation.reason),
    ]
    shown = table([(name, one_line(value)) for name, value in rows if value])
    return unfolding(head, shown, *([quotation(citation.quote)] if citation.quote else []))
