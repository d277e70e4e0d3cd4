"""Which sentences a claim rests on: those that its marks name and that support it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from langchain_core.documents import Document

from ragkit.answer import Answer, Citation, Claim, Verdict
from ragkit.citation import Context, Marked, Place, cite, render, unresolved
from ragkit.document import Span, span_of, title_of
from ragkit.text.words import stems
from ragkit.verify.support import SUPPORTED, Setting, Support, smallest_support, support_of


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
        found: list[Place | int] = [
            *_telling(sentence, named, context, question),
            *(mark for mark in marks if mark not in named),
        ]
        numbers = []
        for place in found if marks else _supporting(sentence, context.passages, question):
            key = place.span if isinstance(place, Place) else place
            if key not in citations:
                number = len(citations) + 1
                citations[key] = (
                    cite(number, place.passage, place.span)
                    if isinstance(place, Place)
                    else unresolved(number, place)
                )
            numbers.append(citations[key].number)
        claims.append(Claim(text=sentence, before=before, citations=tuple(dict.fromkeys(numbers))))
    return Answer(
        question=question,
        text=render(claims),
        claims=tuple(claims),
        citations=tuple(citations.values()),
        context=context.passages,
    )


_LIST_OF_SOURCES = re.compile(
    r"\W*(?:sources?|references?|citations?)?[\s,;:.*-]*(?:and)?[\s,;:.*-]*", re.IGNORECASE
)


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
        return support_of(
            claim,
            "\n".join(p.text for p in given),
            " ".join(title_of(p.passage) for p in given),
            setting=around,
        )

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
        if (
            {mark - 1, mark} <= needed
            and found
            and found[-1] == places[mark - 1]
            and found[-1].passage is place.passage
        ):
            found[-1] = Place(
                place.passage, Span(place.span.document_id, found[-1].span.start, place.span.end)
            )
        else:
            found.append(place)
    return found


_ADDS = 0.05
"""A sentence is cited beside others if it adds so much to the support of the claim."""


def _supporting(claim: str, passages: Sequence[Document], question: str) -> list[Place]:
    """The place that supports an unmarked claim best, if one does."""
    best: tuple[Place, Support] | None = None
    for passage in passages:
        (start, end), found = smallest_support(
            claim, passage.page_content, title_of(passage), question=question
        )
        whole = span_of(passage)
        if found.holds and (best is None or found.score > best[1].score):
            best = (Place(passage, Span(whole.document_id, whole.start + start, whole.start + end)), found)
    return [best[0]] if best else []
