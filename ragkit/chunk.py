"""Papers to passages: each the characters `[start:end]` of its paper, sized so that the embedder reads all of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import BaseDocumentTransformer, Document
from pydantic import NonNegativeInt, PositiveInt

from ragkit import model
from ragkit.document import passage, title_of
from ragkit.registry import component
from ragkit.text import Offsets, sentences, trimmed


class Chunker(BaseDocumentTransformer, ABC):
    """Cuts papers into passages; a subclass says where."""

    @abstractmethod
    def spans(self, paper: Document) -> list[Offsets]:
        """The passages of *paper*, in order; together they hold all of its text but white space."""

    def transform_documents(self, documents: Sequence[Document], **kwargs: Any) -> Sequence[Document]:
        return [passage(paper, start, end) for paper in documents for start, end in self.spans(paper)]


@component("whole")
@dataclass(frozen=True)
class WholeChunker(Chunker):
    """One passage a paper."""

    def spans(self, paper: Document) -> list[Offsets]:
        start, end = trimmed(paper.page_content, 0, len(paper.page_content))
        return [(start, end)] if start < end else []


@component("sentence")
@dataclass(frozen=True)
class SentenceChunker(Chunker):
    """As many whole sentences as fit into `max_tokens` of `model`, the paper's title counted in.

    Each passage repeats the last `overlap` sentences of the one before, where they fit.  A sentence too long for one
    passage is cut between words.
    """

    max_tokens: PositiveInt = 200
    overlap: NonNegativeInt = 1
    model: str = "all-MiniLM-L6-v2"

    def spans(self, paper: Document) -> list[Offsets]:
        text = paper.page_content
        count = _TokenCount(text, self.model)
        room = max(self.max_tokens - _TokenCount(title_of(paper), self.model).all, self.max_tokens // 2, 1)
        units = [piece for start, end in sentences(text) for piece in _fitting(text, start, end, room, count)]
        found: list[Offsets] = []
        first = 0
        while first < len(units):
            last = first + 1
            while last < len(units) and count(units[first][0], units[last][1]) <= room:
                last += 1
            found.append((units[first][0], units[last - 1][1]))
            if last == len(units):
                break
            first = max(first + 1, last - self.overlap)
            while first < last and count(units[first][0], units[last][1]) > room:
                first += 1  # what would be repeated leaves no room for anything new
        return found


class _TokenCount:
    """How many tokens lie between two characters of a text."""

    def __init__(self, text: str, name: str) -> None:
        encoded = model.tokenizer(model.files(name)).encode(text, add_special_tokens=False)
        self.starts = [start for start, _ in encoded.offsets]
        self.all = len(self.starts)

    def __call__(self, start: int, end: int) -> int:
        return bisect_left(self.starts, end) - bisect_left(self.starts, start)

    def after(self, start: int, tokens: int) -> int | None:
        """The character at which the token begins that is *tokens* after *start*."""
        at = bisect_left(self.starts, start) + tokens
        return self.starts[at] if at < self.all else None


def _fitting(text: str, start: int, end: int, room: int, count: _TokenCount) -> list[Offsets]:
    """`start:end` in pieces of at most *room* tokens, cut between words where there are any."""
    found = []
    while count(start, end) > room:
        furthest = min(count.after(start, room) or end, end)
        cut = _last_word_break(text, start, furthest) or _next_word_break(text, furthest, min(count.after(start, 2 * room) or end, end))
        if cut >= end:
            break
        found.append(trimmed(text, start, cut))
        start = trimmed(text, cut, end)[0]
    return [*found, (start, end)]


def _last_word_break(text: str, start: int, end: int) -> int | None:
    return next((at for at in range(end, start, -1) if _is_word_break(text, at)), None)


def _next_word_break(text: str, start: int, end: int) -> int:
    return next((at for at in range(start, end) if _is_word_break(text, at)), end)


def _is_word_break(text: str, at: int) -> bool:
    """Can a passage end before the character *at*?  Scripts written without spaces break anywhere."""
    if not 0 < at < len(text):
        return True
    before, after = text[at - 1], text[at]
    if before.isspace() or after.isspace():
        return True
    return before.isalpha() and after.isalpha() and ord(before) >= 0x2E80 and ord(after) >= 0x2E80
