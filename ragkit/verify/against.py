"""What of the passages says otherwise than a claim."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.documents import Document

from ragkit.answer import Against, Quote
from ragkit.document import Span, span_of, title_of
from ragkit.text.language import language_of
from ragkit.text.words import sentences, stems
from ragkit.verify.opposition import opposition
from ragkit.verify.support import clause_spans, support_of


def against(claim: str, passages: Sequence[Document], supporting: Sequence[Span] = ()) -> Against | None:
    """What of *passages* says otherwise than *claim* most, if anything does; nothing that overlaps *supporting*.

    Claims in another language than English have none.  Raises `ModelError` without a parser.
    """
    alike = _alike(claim, passages)
    # In this order, since the model that tells languages takes long to load.
    if not alike or language_of(claim) not in ("", "en"):
        return None
    best: Against | None = None
    for passage, start, end in alike:
        parts = [(start + a, start + b) for a, b in clause_spans(passage.page_content[start:end])]
        for a, b in [*parts, *([(start, end)] if len(parts) > 1 else [])]:  # the smallest that differs so
            found = _against_span(claim, passage, a, b)
            if found and not any(each.holds(found.span) or found.span.holds(each) for each in supporting):
                best = found if best is None or found.score > best.score else best
                break
    return best


_LOOKED_AT = 8
"""So many sentences are compared with a claim, those that share most words with it."""
_SHARED = 0.5
"""The least share of its words that such a sentence has; with less, its score hardly reaches `OPPOSED`."""


def _alike(claim: str, passages: Sequence[Document]) -> list[tuple[Document, int, int]]:
    """The sentences of *passages* that share most words with *claim*."""
    wanted = {*stems(claim)}
    found: dict[Span, tuple[float, Document, int, int]] = {}
    for whole, passage in {span_of(passage): passage for passage in passages}.items():
        for start, end in sentences(passage.page_content):
            share = len(wanted & {*stems(passage.page_content[start:end])}) / max(len(wanted), 1)
            span = Span(whole.document_id, whole.start + start, whole.start + end)
            if share >= _SHARED and span not in found:
                found[span] = share, passage, start, end
    best = sorted(found.values(), key=lambda each: -each[0])[:_LOOKED_AT]
    return [(passage, start, end) for _, passage, start, end in best]


def _against_span(claim: str, passage: Document, start: int, end: int) -> Against | None:
    """The characters `start:end` of *passage*, if they say otherwise than *claim*."""
    text, title, whole = passage.page_content, title_of(passage), span_of(passage)
    found = opposition(claim, text[start:end], title, text[:start])
    if not found or not found.holds or support_of(claim, text[start:end], title).holds:
        return None
    quote = Quote.of(passage, Span(whole.document_id, whole.start + start, whole.start + end))
    return Against(**dict(quote), kind=found.kind, score=round(found.score, 4), reason=found.reason)
