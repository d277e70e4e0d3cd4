"""The `[n]` grammar: number the passages, read the marks, resolve them to spans, write them out.  Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from langchain_core.documents import Document

from ragkit.answer import Answer, Citation, Claim, Source, Verdict
from ragkit.document import Span, places_of, span_of, title_of
from ragkit.evidence import smallest_support
from ragkit.text import sentences, stems

_MARK = re.compile(r"(?<![ \t])[ \t]*\[\^?(\d{1,4}(?:\s*(?:,|;|-|–|and)\s*\^?\d{1,4})*)\](?!\()")


class Marked(NamedTuple):
    """A sentence, without its marks; what stands before it; the numbers that its marks name."""

    before: str
    text: str
    marks: tuple[int, ...]


def numbered(passages: Sequence[Document]) -> str:
    """The context as a model sees it: `[1] Title` and the text under it, and so on."""
    return "\n\n".join(f"[{n}] {title_of(p)}\n{p.page_content}".rstrip() for n, p in enumerate(passages, 1))


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
    spans = sentences(clean)
    marks: list[list[int]] = [[] for _ in spans]
    for place, numbers in found:
        owner = max((i for i, (start, _) in enumerate(spans) if start < place), default=0)
        if owner + 1 < len(spans) and "\n" in clean[spans[owner][1] : place] and "\n" not in clean[place : spans[owner + 1][0]]:
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
    for first, last in re.findall(r"(\d+)(?:\s*[-–]\s*\^?(\d+))?", inside):
        low, high = int(first), int(last or first)
        found += range(low, high + 1) if low <= high <= low + 20 else [low, high]
    return found


def cited(question: str, text: str, passages: Sequence[Document]) -> Answer:
    """The answer that a model wrote over the numbered *passages*, each mark resolved to the span that supports it best.

    Citations are numbered anew, in order of appearance, one a span.  A mark that names no passage stays, `unresolved`.
    A sentence without marks is cited where a passage supports it; a closing list of marks is no sentence.
    """
    claims: list[Claim] = []
    citations: dict[Span | int, Citation] = {}
    for before, sentence, marks in parse(text):
        if not stems(sentence) and not marks:  # a bullet, a rule, a lone symbol
            claims.append(Claim(text=sentence, before=before, verdict=Verdict.UNCHECKED))
            continue
        if marks and _LIST_OF_SOURCES.fullmatch(sentence):
            continue
        numbers = []
        for mark in marks or _supporting(sentence, passages):
            key: Span | int = mark
            if 1 <= mark <= len(passages):
                key = _best_span(sentence, passages[mark - 1])
            if key not in citations:
                number = len(citations) + 1
                citations[key] = cite(number, passages[mark - 1], key) if isinstance(key, Span) else unresolved(number, mark)
            numbers.append(citations[key].number)
        claims.append(Claim(text=sentence, before=before, citations=tuple(dict.fromkeys(numbers))))
    return Answer(
        question=question, text=render(claims), claims=tuple(claims), citations=tuple(citations.values()), context=tuple(passages)
    )


_LIST_OF_SOURCES = re.compile(r"\W*(?:sources?|references?|citations?)?[\s,;:.*-]*(?:and)?[\s,;:.*-]*", re.IGNORECASE)


def _supporting(claim: str, passages: Sequence[Document]) -> list[int]:
    """The number of the passage that supports an unmarked claim best, if one does."""
    scores = [smallest_support(claim, p.page_content, title_of(p))[1] for p in passages]
    best = max(range(len(scores)), key=lambda i: scores[i].score, default=None)
    return [best + 1] if best is not None and scores[best].holds else []


def _best_span(claim: str, passage: Document) -> Span:
    whole = span_of(passage)
    (start, end), _ = smallest_support(claim, passage.page_content, title_of(passage))
    return Span(whole.document_id, whole.start + start, whole.start + end)


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


def unresolved(number: int, mark: int) -> Citation:
    return Citation(number=number, verdict=Verdict.UNRESOLVED, reason=f"the mark [{mark}] names no passage")


def render(claims: Iterable[Claim]) -> str:
    """The text of an answer: each claim behind what stands before it, its marks after it."""
    written = "".join(f"{c.before}{c.text}{''.join(f' [{n}]' for n in c.citations)}" for c in claims)
    return written.strip()
