"""The `[n]` grammar: numbers sentences for a chat model, and reads and resolves the marks in its reply.

Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from langchain_core.documents import Document

from ragkit.answer import Cited, Claim, Quote
from ragkit.document import Span, lead_of, span_of, title_of
from ragkit.text.marks import MARK, numbers_in, unmarked
from ragkit.text.words import sentences, stems


class Marked(NamedTuple):
    """A sentence, without its marks; what stands before it; the numbers that its marks name."""

    before: str
    text: str
    marks: tuple[int, ...]


class NumberedSentence(NamedTuple):
    """What one number of a context names: a sentence of a passage."""

    passage: Document
    span: Span

    @property
    def text(self) -> str:
        start = span_of(self.passage).start
        return self.passage.page_content[self.span.start - start : self.span.end - start]


class Context(NamedTuple):
    """Passages as a chat model sees them, every sentence numbered; number `n` is `places[n - 1]`."""

    passages: tuple[Document, ...]
    places: tuple[NumberedSentence, ...]

    def text(self, only: Collection[int] | None = None) -> str:
        """The numbered sentences (those in *only*, if given), one a line, under their papers' titles."""
        shown = (
            (number, place) for number, place in enumerate(self.places, 1) if only is None or number in only
        )
        papers = groupby(
            shown,
            key=lambda pair: (title_of(pair[1].passage), pair[1].span.document_id, lead_of(pair[1].passage)),
        )
        return "\n\n".join(
            "\n".join(
                [
                    *([f"“{line(title)}”"] if title else []),
                    *map(line, lead.splitlines()),
                    *(f"[{number}] {line(place.text)}" for number, place in own),
                ]
            )
            for (title, _, lead), own in papers
        )


def numbered(passages: Sequence[Document]) -> Context:
    """*passages*, each sentence numbered from 1; a sentence that two of them have is numbered once."""
    places: dict[Span, NumberedSentence] = {}
    for passage in passages:
        whole = span_of(passage)
        for start, end in sentences(passage.page_content):
            span = Span(whole.document_id, whole.start + start, whole.start + end)
            places.setdefault(span, NumberedSentence(passage, span))
    return Context(tuple(passages), tuple(places.values()))


def line(text: str) -> str:
    """*text* on one line, nothing in it like a number of ours."""
    return unmarked(" ".join(text.split()))


def parse(text: str) -> list[Marked]:
    """The sentences of an answer and their marks: `[1]`, `[1, 2]`, `[1][3]`, `[2-4]`.

    A mark stands before or after the full stop, and belongs to the sentence that it follows, or opens.  Marks
    and sentences together account for all of *text*.
    """
    clean, at, found = "", 0, []
    for mark in MARK.finditer(text):
        clean += text[at : mark.start()]
        found.append((len(clean), numbers_in(mark[1])))
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
    """The complete sentences of a *text* that is still being streamed, with their marks.

    A sentence is complete once another one has begun after it.
    """
    if (begun := text.find("[", text.rfind("]") + 1)) >= 0:  # a mark that is still being written
        text = text[:begun].rstrip()
    plain = MARK.sub(lambda mark: " " * len(mark[0]), text)
    *before, last = sentences(plain) or [(0, 0)]
    if not before or not any(c.isalnum() for c in plain[slice(*last)]):
        return ""
    begins = last[0]
    line = text.rfind("\n", before[-1][1], begins)  # a mark that opens a line is that line's
    return text[:line] if line >= 0 else text[:begins].rstrip()


# --- from marks to claims


def resolved(question: str, sentences: Sequence[Marked], context: Context) -> tuple[Claim, ...]:
    """What a chat model wrote over *context*: each sentence becomes a claim that cites what its marks name.

    A mark that names no sentence is cited without a quote.  A closing list of marks is no claim.  Marks
    without words, or behind words that only repeat the question, stand for the sentences that they name.
    Whether a quote supports its claim is the verifier's to judge.
    """
    claims = []
    for before, text, marks in _spelled_out(question, sentences, context):
        cites = [Cited(quote=_quote(context, mark), mark=mark) for mark in marks]
        claims.append(
            Claim(text=text, before=before, cites=tuple({each.key: each for each in cites}.values()))
        )
    return tuple(claims)


def _quote(context: Context, mark: int) -> Quote | None:
    if not 1 <= mark <= len(context.places):
        return None
    place = context.places[mark - 1]
    return Quote.of(place.passage, place.span)


_LIST_OF_SOURCES = re.compile(
    r"\W*+(?:sources?|references?|citations?)?[\s,;:.*-]*+(?:and)?[\s,;:.*-]*+", re.IGNORECASE
)
_POINTED_AT = 3
"""The most sentences that replace a sentence with only citations; answers are asked for as many."""


def _spelled_out(question: str, answer: Sequence[Marked], context: Context) -> Iterator[Marked]:
    """*answer* without a closing list of marks; a sentence that only cites becomes what it cites."""
    asked = set(stems(question))
    says = [not (sentence.marks and _LIST_OF_SOURCES.fullmatch(sentence.text)) for sentence in answer]
    for sentence, has_words in zip(answer, says, strict=True):
        named = [mark for mark in sentence.marks if 1 <= mark <= len(context.places)][:_POINTED_AT]
        if named and (not any(says) or (has_words and asked.issuperset(stems(sentence.text)))):
            for n, mark in enumerate(named):
                yield Marked(" " if n else sentence.before, context.places[mark - 1].text, (mark,))
        elif has_words:
            yield sentence
