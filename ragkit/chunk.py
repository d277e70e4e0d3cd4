"""Papers to passages: each the characters `[start:end]` of its paper, sized so that the embedder reads all of it."""

from __future__ import annotations

import re
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
    passage is cut between words, and a word as long as two passages anywhere.
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

    def after(self, start: int, tokens: int, end: int) -> int:
        """The character at which the token begins that is *tokens* after *start*; at most *end*."""
        at = bisect_left(self.starts, start) + tokens
        return min(self.starts[at], end) if at < self.all else end


def _fitting(text: str, start: int, end: int, room: int, count: _TokenCount) -> list[Offsets]:
    """`start:end` in pieces of at most *room* tokens, cut between words; a longer word is cut at twice that."""
    found = []
    while count(start, end) > room:
        fits, most = count.after(start, room, end), count.after(start, 2 * room, end)
        shorter, longer = range(fits, start, -1), range(max(fits, start) + 1, most)
        cut = next((at for at in (*shorter, *longer) if _is_word_break(text, at)), max(most, start + 1))
        if cut >= end:
            break
        found.append(trimmed(text, start, cut))
        start = trimmed(text, cut, end)[0]
    return [*found, (start, end)]


_NO_SPACES = re.compile(r"[\u3041-\u3096\u309d-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]{2}")


def _is_word_break(text: str, at: int) -> bool:
    """Can a passage end before the character *at*?  Chinese and Japanese, which put no spaces, break anywhere."""
    return text[at - 1].isspace() or text[at].isspace() or bool(_NO_SPACES.match(text, at - 1))
