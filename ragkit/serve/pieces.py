"""An answer as OpenAI's clients read it: text in pieces, and annotations that lead from each `[n]` to the paper."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ragkit import events
from ragkit.answer import CLOSEST, Answer, Citation, NumberedClaim
from ragkit.serve.embedded import CITED
from ragkit.serve.service import without_folders

CORRECTED = "\n\nCorrected after checking the whole answer:\n\n"
"""What stands before an answer that differs from the sentences that were sent already."""


@dataclass(frozen=True)
class AnswerPiece:
    """Text to be sent, and the citations in it: each with where its `[n]` begins and ends in the whole text.

    The last piece has the answer.
    """

    text: str
    cited: tuple[tuple[Citation, int, int], ...] = ()
    answer: Answer | None = None


async def pieces(happening: AsyncGenerator[events.AnyEvent, None]) -> AsyncGenerator[AnswerPiece, None]:
    """The checked claims of an answer as they come, and what is left of it when it is finished."""
    citations: dict[int, Citation] = {}
    sent, last = "", -1
    async with aclosing(happening):
        async for event in happening:
            if isinstance(event, events.CitationEvent):
                citations[event.number] = event
            elif isinstance(event, events.ClaimEvent) and event.shown and event.index > last:
                last = event.index
                text = event.marked if sent else event.marked.lstrip()
                yield AnswerPiece(text, tuple(_cited(text, event, citations, len(sent))))
                sent += text
            elif isinstance(event, events.AnswerEvent):
                yield _rest(event, sent)


def whole(answer: Answer) -> AnswerPiece:
    """All of an answer as one piece."""
    return _rest(answer, "")


def _rest(answer: Answer, sent: str) -> AnswerPiece:
    text, citations = answer.text, {each.number: each for each in answer.citations}
    if sent and sent.strip() == text.strip():
        return AnswerPiece("", answer=answer)
    if sent and not text.startswith(sent):
        before, sent = sent + CORRECTED, ""
        added = CORRECTED
    else:
        before, added = "", ""
    found, at = [], len(answer.refusal)
    for claim in answer.numbered:
        marked = claim.marked if at > len(answer.refusal) else claim.marked.lstrip()
        found += [each for each in _cited(marked, claim, citations, at) if each[1] >= len(sent)]
        at += len(marked)
    moved = tuple((citation, start + len(before), end + len(before)) for citation, start, end in found)
    return AnswerPiece(added + text[len(sent) :], moved, answer)


def _cited(
    text: str, claim: NumberedClaim, citations: Mapping[int, Citation], begin: int
) -> Iterator[tuple[Citation, int, int]]:
    """The citations of a claim with the places of their marks, which end *text*, which begins at *begin*."""
    at = begin + len(text)
    found = []
    for number in reversed(claim.citations):
        mark = f"[{number}]"
        if number in citations:
            found.append((citations[number], at - len(mark), at))
        at -= len(mark) + 1
    yield from reversed(found)


def address(base: str, citation: Citation) -> str:
    """Where the reader shows the characters that are cited; another address for each span."""
    place = f"{base}/papers/{citation.document_id}"
    if citation.field:
        return f"{place}?field={quote(citation.field)}"
    return f"{place}?from={citation.start}&to={citation.end}"


def embedded_address(base: str, citation: Citation) -> str:
    """Where a frame shows the characters that are cited."""
    place = f"{base}/papers/{citation.document_id}/embed"
    return place if citation.field else f"{place}?from={citation.start}&to={citation.end}#{CITED}"


def page_of(citation: Citation) -> int | None:
    return next((source.page for source in citation.sources if source.page is not None), None)


def url_citations(piece: AnswerPiece, base: str) -> list[dict[str, Any]]:
    """The citations of a piece as `url_citation`s, flat, as Responses has them; a mark without a source has none."""
    return [
        {
            "type": "url_citation",
            "start_index": start,
            "end_index": end,
            "url": address(base, citation),
            "title": citation.title,
            "number": citation.number,
            "quote": citation.quote,
            "document_id": citation.document_id,
            "document_start": citation.start,
            "document_end": citation.end,
            "page": page_of(citation),
            "verdict": str(citation.verdict),
            "score": citation.score,
        }
        for citation, start, end in piece.cited
        if citation.document_id is not None
    ]


def beside(answer: Answer, base: str) -> dict[str, Any]:
    """The keys of Perplexity's answers, and the answer as ragkit's own API has it."""
    known = {address(base, each): each for each in answer.citations if each.document_id is not None}
    plain = without_folders(answer.as_json())
    plain.pop("type", None)
    return {
        "citations": list(known),
        "search_results": [
            {
                "title": each.title,
                "url": url,
                "date": None,
                "last_updated": None,
                "snippet": each.quote,
                "source": "web",
            }
            for url, each in known.items()
        ],
        "ragkit": plain,
    }


def tokens(answer: Answer) -> tuple[int, int]:
    """What the chat models of an answer read and wrote."""
    return int(answer.usage.get("input_tokens", 0)), int(answer.usage.get("output_tokens", 0))


def named(kind: str) -> str:
    """A name for a reply that nobody has used."""
    return f"{kind}{secrets.token_hex(12)}"


def spoken(text: str) -> str:
    """What was said in an earlier answer, without its marks and what followed them."""
    return re.sub(r" \[\d+\]", "", text.partition(CLOSEST)[0])


def joined(texts: Iterable[str]) -> str:
    return "\n".join(text for text in texts if text)
