"""The `[n]` grammar: number the sentences, read the marks, resolve them to spans, write them out.  Pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from langchain_core.documents import Document

from ragkit.answer import Answer, Citation, Claim, Source, Verdict
from ragkit.document import Span, places_of, span_of, title_of
from ragkit.evidence import SUPPORTED, Setting, Support, smallest_support, support
from ragkit.text import sentences, stems

# Brackets and digits that a reader takes for a mark, and what may stand between them, seen or not.
_OPEN, _CLOSE, _DIGIT, _THIN = r"[\[［【〔〖⟦]", r"[\]］】〕〗⟧]", r"[\d⁰¹²³⁴-⁹]", r"\s^\u00ad\u200b-\u200f\u2060-\u2064\ufeff"
_GAP = rf"[{_THIN}]{{0,4}}"
_MARK = re.compile(rf"(?<![ \t])[ \t]*{_OPEN}{_GAP}({_DIGIT}{{1,4}}(?:{_GAP}(?:,|;|-|–|and){_GAP}{_DIGIT}{{1,4}})*){_GAP}{_CLOSE}(?!\()")
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
        shown = ((number, place) for number, place in enumerate(self.places, 1) if only is None or number in only)
        papers = groupby(shown, key=lambda pair: (title_of(pair[1].passage), pair[1].span.document_id))
        return "\n\n".join(
            "\n".join([*([f"“{line(title)}”"] if title else []), *(f"[{number}] {line(place.text)}" for number, place in own)])
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
    plain = re.sub(rf"[{_THIN}]", "", unicodedata.normalize("NFKC", inside))
    for first, last in re.findall(r"(\d+)(?:[-–](\d+))?", plain):
        low, high = int(first), int(last or first)
        found += range(low, high + 1) if low <= high <= low + 20 else [low, high]
    return found


def cited(question: str, answer: Sequence[Marked], context: Context) -> Answer:
    """What a model wrote over *context*, each mark resolved to the sentence that it names.

    Of several sentences that a claim names, those stay that support it, alone or together; neighbours are one citation.
    Citations are numbered anew, in order of appearance, one a span.  A mark that names no sentence stays, `unresolved`.
    A claim without marks is cited where a passage supports it; a closing list of marks is no claim.  Marks without words, or
    behind words that say no more than the question, stand for the sentences that they name.
    """
    claims: list[Claim] = []
    citations: dict[Span | int, Citation] = {}
    for before, sentence, marks in _spelled_out(question, answer, context):
        if not stems(sentence) and not marks:  # a bullet, a rule, a lone symbol
            claims.append(Claim(text=sentence, before=before, verdict=Verdict.UNCHECKED))
            continue
        named = [mark for mark in marks if 1 <= mark <= len(context.places)]
        found: list[Place | int] = [*_telling(sentence, named, context, question), *(mark for mark in marks if mark not in named)]
        numbers = []
        for place in found if marks else _supporting(sentence, context.passages, question):
            key = place.span if isinstance(place, Place) else place
            if key not in citations:
                number = len(citations) + 1
                citations[key] = cite(number, place.passage, place.span) if isinstance(place, Place) else unresolved(number, place)
            numbers.append(citations[key].number)
        claims.append(Claim(text=sentence, before=before, citations=tuple(dict.fromkeys(numbers))))
    return Answer(
        question=question, text=render(claims), claims=tuple(claims), citations=tuple(citations.values()), context=context.passages
    )


_LIST_OF_SOURCES = re.compile(r"\W*(?:sources?|references?|citations?)?[\s,;:.*-]*(?:and)?[\s,;:.*-]*", re.IGNORECASE)


def _spelled_out(question: str, answer: Sequence[Marked], context: Context) -> Iterator[Marked]:
    """*answer* without a closing list of marks, and with the words of the sentences that are only pointed at."""
    asked = set(stems(question))
    says = [not (sentence.marks and _LIST_OF_SOURCES.fullmatch(sentence.text)) for sentence in answer]
    for sentence, has_words in zip(answer, says, strict=True):
        named = [mark for mark in sentence.marks if 1 <= mark <= len(context.places)][:_POINTED_AT]
        if named and (not any(says) or (has_words and asked.issuperset(stems(sentence.text)))):
            for n, mark in enumerate(named):
                yield Marked(" " if n else sentence.before, context.places[mark - 1].text, (mark,))
        elif has_words:
            yield sentence


_POINTED_AT = 3
"""So many sentences are spelled out where an answer only points at them."""


def _telling(claim: str, marks: Sequence[int], context: Context, question: str) -> list[Place]:
    """Of the sentences that *marks* name those that support *claim* by themselves, or add to what the others support.

    All of them, if they do not support it; two that stand side by side and are both needed are one place.
    """
    places = {mark: context.places[mark - 1] for mark in marks}

    def supported_by(*given: Place) -> Support:
        around = Setting(question, "\n".join(place.passage.page_content for place in given))
        return support(claim, "\n".join(p.text for p in given), " ".join(title_of(p.passage) for p in given), setting=around)

    scores = {mark: supported_by(place) for mark, place in places.items()}
    taken: list[int] = []
    reached = 0.0
    for mark in sorted(places, key=lambda mark: -scores[mark].score):
        score = supported_by(*(places[m] for m in [*taken, mark])).score
        if scores[mark].holds or score >= reached + _ADDS:
            taken.append(mark)
            reached = max(score, reached)
    kept = [mark for mark in marks if mark in taken] if reached >= SUPPORTED else marks
    needed = {mark for mark in kept if scores[mark].score < reached - _ADDS}
    found: list[Place] = []
    for mark in kept:
        place = places[mark]
        if {mark - 1, mark} <= needed and found and found[-1] == places[mark - 1] and found[-1].passage is place.passage:
            found[-1] = Place(place.passage, Span(place.span.document_id, found[-1].span.start, place.span.end))
        else:
            found.append(place)
    return found


_ADDS = 0.05
"""A sentence is cited beside others if it adds so much to the support of the claim."""


def _supporting(claim: str, passages: Sequence[Document], question: str) -> list[Place]:
    """The place that supports an unmarked claim best, if one does."""
    best: tuple[Place, Support] | None = None
    for passage in passages:
        (start, end), found = smallest_support(claim, passage.page_content, title_of(passage), question=question)
        whole = span_of(passage)
        if found.holds and (best is None or found.score > best[1].score):
            best = (Place(passage, Span(whole.document_id, whole.start + start, whole.start + end)), found)
    return [best[0]] if best else []


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
            citation = citation.model_copy(update={"verdict": least.verdict, "score": round(least.score, 4), "reason": least.reason})
        found.append(citation)
    return tuple(found)


def unresolved(number: int, mark: int) -> Citation:
    return Citation(number=number, verdict=Verdict.UNRESOLVED, reason=f"the mark [{mark}] names no sentence of the sources")


def render(claims: Iterable[Claim]) -> str:
    """The text of an answer: each claim behind what stands before it, its marks after it; no other mark stands in it."""
    written = "".join(f"{unmarked(c.before + c.text)}{''.join(f' [{n}]' for n in c.citations)}" for c in claims)
    return written.strip()
