"""The `[n]` grammar: number the sentences, read the marks, write them out.  Pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from langchain_core.documents import Document

from ragkit.answer import Citation, Claim, Source, Verdict
from ragkit.document import Span, places_of, span_of, title_of
from ragkit.text.words import sentences

# Brackets and digits that a reader takes for a mark, and what may stand between them, seen or not.
_OPEN, _CLOSE, _DIGIT, _THIN = (
    r"[\[［【〔〖⟦]",
    r"[\]］】〕〗⟧]",
    r"[\d⁰¹²³⁴-⁹]",
    r"\s^\u00ad\u200b-\u200f\u2060-\u2064\ufeff",
)


_GAP = rf"[{_THIN}]{{0,4}}"
_MARK = re.compile(
    rf"(?<![ \t])[ \t]*{_OPEN}{_GAP}({_DIGIT}{{1,4}}(?:{_GAP}(?:,|;|-|–|and){_GAP}{_DIGIT}{{1,4}})*){_GAP}{_CLOSE}(?!\()"
)
_BRACKETED = re.compile(rf"{_OPEN}({_GAP}{_DIGIT}(?:{_DIGIT}|[{_THIN},;–-]|and)*){_CLOSE}")


class Marked(NamedTuple):
    """A sentence, without its marks; what stands before it; the numbers that its marks name."""

    before: str
    text: str
    marks: tuple[int, ...]


class Place(NamedTuple):
    """What one number of a context names: a sentence of a passage."""

    passage: Document
    span: Span

    @property
    def text(self) -> str:
        start = span_of(self.passage).start
        return self.passage.page_content[self.span.start - start : self.span.end - start]


class Context(NamedTuple):
    """Passages as a chat model is shown them, every sentence under a number of its own; number `n` names `places[n - 1]`."""

    passages: tuple[Document, ...]
    places: tuple[Place, ...]

    def text(self, only: Collection[int] | None = None) -> str:
        """The sentences with their numbers (those *only*, if given), a line each, under the titles of their papers."""
        shown = (
            (number, place) for number, place in enumerate(self.places, 1) if only is None or number in only
        )
        papers = groupby(shown, key=lambda pair: (title_of(pair[1].passage), pair[1].span.document_id))
        return "\n\n".join(
            "\n".join(
                [
                    *([f"“{line(title)}”"] if title else []),
                    *(f"[{number}] {line(place.text)}" for number, place in own),
                ]
            )
            for (title, _), own in papers
        )


def numbered(passages: Sequence[Document]) -> Context:
    """*passages*, each sentence numbered from 1; a sentence that two of them have is numbered once."""
    places: dict[Span, Place] = {}
    for passage in passages:
        whole = span_of(passage)
        for start, end in sentences(passage.page_content):
            span = Span(whole.document_id, whole.start + start, whole.start + end)
            places.setdefault(span, Place(passage, span))
    return Context(tuple(passages), tuple(places.values()))


def line(text: str) -> str:
    """*text* on one line, nothing in it like a number of ours."""
    return unmarked(" ".join(text.split()))


def unmarked(text: str) -> str:
    """*text*, which a paper wrote, with its own references in round brackets."""
    return _BRACKETED.sub(lambda found: f"({found[1].strip()})", text)


def parse(text: str) -> list[Marked]:
    """The sentences of an answer and their marks: `[1]`, `[1, 2]`, `[1][3]`, `[2-4]`, before or after the stop.

    A mark belongs to the sentence that it follows, or opens.  Marks and sentences together account for all of *text*.
    """
    clean, at, found = "", 0, []
    for mark in _MARK.finditer(text):
        clean += text[at : mark.start()]
        found.append((len(clean), _numbers(mark[1])))
        at = mark.end()
    clean += text[at:]
    spans = sentences(clean) or ([(0, 0)] if found else [])
    marks: list[list[int]] = [[] for _ in spans]
    for place, numbers in found:
        owner = max((i for i, (start, _) in enumerate(spans) if start < place), default=0)
        if (
            owner + 1 < len(spans)
            and "\n" in clean[spans[owner][1] : place]
            and "\n" not in clean[place : spans[owner + 1][0]]
        ):
            owner += 1  # the mark opens a line
        if spans:
            marks[owner] += [n for n in numbers if n not in marks[owner]]
    marked, end = [], 0
    for (start, stop), own in zip(spans, marks, strict=True):
        marked.append(Marked(clean[end:start], clean[start:stop], tuple(own)))
        end = stop
    return marked


def whole(text: str) -> str:
    """The sentences of *text*, more of which is to come, that are whole with their marks: behind each another one has begun."""
    text = re.sub(r"\s*\[[^\]]*\Z", "", text)
    unmarked = _MARK.sub(lambda mark: " " * len(mark[0]), text)
    *before, last = sentences(unmarked) or [(0, 0)]
    if not before or not any(c.isalnum() for c in unmarked[slice(*last)]):
        return ""
    begins = last[0]
    line = text.rfind("\n", before[-1][1], begins)  # a mark that opens a line is that line's
    return text[:line] if line >= 0 else text[:begins].rstrip()


def _numbers(inside: str) -> list[int]:
    found: list[int] = []
    plain = re.sub(rf"[{_THIN}]", "", unicodedata.normalize("NFKC", inside))
    for first, last in re.findall(r"(\d+)(?:[-–](\d+))?", plain):
        low, high = int(first), int(last or first)
        found += range(low, high + 1) if low <= high <= low + 20 else [low, high]
    return found


def cite(number: int, passage: Document, span: Span) -> Citation:
    """The citation of *span*, which lies in *passage*."""
    begin = span_of(passage).start
    return Citation(
        number=number,
        document_id=span.document_id,
        title=title_of(passage),
        sources=tuple(Source(**place) for place in places_of(passage, span)),
        start=span.start,
        end=span.end,
        quote=passage.page_content[span.start - begin : span.end - begin],
    )


def judged(citations: Iterable[Citation], claims: Sequence[Claim]) -> tuple[Citation, ...]:
    """*citations*, each with what was found of it and the claim that it supports least."""
    found = []
    for citation in citations:
        of_it = [claim.findings[citation.number] for claim in claims if citation.number in claim.findings]
        if of_it:
            least = min(of_it, key=lambda finding: finding.score)
            citation = citation.model_copy(
                update={"verdict": least.verdict, "score": round(least.score, 4), "reason": least.reason}
            )
        found.append(citation)
    return tuple(found)


def unresolved(number: int, mark: int) -> Citation:
    return Citation(
        number=number,
        verdict=Verdict.UNRESOLVED,
        reason=f"the mark [{mark}] names no sentence of the sources",
    )


def render(claims: Iterable[Claim]) -> str:
    """The text of an answer: each claim behind what stands before it, its marks after it; no other mark stands in it."""
    written = "".join(
        f"{unmarked(c.before + c.text)}{''.join(f' [{n}]' for n in c.citations)}" for c in claims
    )
    return written.strip()
