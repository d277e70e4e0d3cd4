"""Cuts papers into passages: each is `[start:end]` of its paper and fits the embedding model."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

from langchain_core.documents import BaseDocumentTransformer, Document
from langchain_core.embeddings import Embeddings
from pydantic import Field, NonNegativeInt, PositiveInt

from ragkit.config.components import component
from ragkit.document import Stretch, above, passage, stretches_of, title_of
from ragkit.errors import LoadError
from ragkit.models import hub
from ragkit.text.lists import lists, may_have_lists
from ragkit.text.words import Offsets, sentences, trimmed


class Chunker(BaseDocumentTransformer, ABC):
    """Cuts papers into passages; a subclass says where.

    A passage lies in one section and is of one kind (`body`, `caption` ...); its metadata record both where
    the paper's format does.  Headings are in no passage.  A table is cut between rows, and each passage of it
    has its `caption` and `header` as metadata, which are searched and shown with the rows.
    """

    @abstractmethod
    def cut(self, paper: Document, part: Stretch) -> list[Offsets]:
        """The passages of a part of *paper*, in order; together they hold all of its text but white space."""

    def transform_documents(self, documents: Sequence[Document], **kwargs: Any) -> Sequence[Document]:
        return [
            passage(paper, start, end, **part.metadata, **_lists_in(paper.page_content, part, start, end))
            for paper in documents
            for part in stretches_of(paper)
            for start, end in self.cut(paper, part)
        ]

    def spans(self, paper: Document) -> list[Offsets]:
        """The offsets of the passages of *paper*."""
        return [span for part in stretches_of(paper) for span in self.cut(paper, part)]


@component("whole")
@dataclass(frozen=True)
class WholeChunker(Chunker):
    """One passage per paper, whatever its parts."""

    def cut(self, paper: Document, part: Stretch) -> list[Offsets]:
        start, end = trimmed(paper.page_content, part.start, part.end)
        return [(start, end)] if start < end else []

    def transform_documents(self, documents: Sequence[Document], **kwargs: Any) -> Sequence[Document]:
        return [passage(paper, start, end) for paper in documents for start, end in self.spans(paper)]

    def spans(self, paper: Document) -> list[Offsets]:
        return self.cut(paper, Stretch(0, len(paper.page_content)))


@component("section")
@dataclass(frozen=True)
class SectionChunker(Chunker):
    """One passage per section of a Markdown, LaTeX, JATS, HTML, Word or PDF paper.

    Sections longer than `max_tokens` are cut between paragraphs where they fit, else between sentences.
    """

    max_tokens: PositiveInt = 1000
    model: str = "all-MiniLM-L6-v2"

    def cut(self, paper: Document, part: Stretch) -> list[Offsets]:
        return RecursiveChunker(self.max_tokens, self.model).cut(paper, part)


@component("sentence")
@dataclass(frozen=True)
class SentenceChunker(Chunker):
    """As many whole sentences as fit into `max_tokens` of `model`, including the title and headings above.

    Each passage repeats the last `overlap` sentences of the one before, where they fit.  A sentence too long
    for one passage is cut between words, and a word as long as two passages anywhere.
    """

    max_tokens: PositiveInt = 200
    overlap: NonNegativeInt = 1
    model: str = "all-MiniLM-L6-v2"

    def cut(self, paper: Document, part: Stretch) -> list[Offsets]:
        text = paper.page_content
        count = _TokenCount(text, self.model, part.start, part.end)
        room = _room(paper, part, self.max_tokens, self.model)
        units = [
            piece
            for start, end in _kept_together(text, _sentences(text, part), room, count)
            for piece in _fitting(text, start, end, room, count)
        ]
        return _packed(units, room, count, self.overlap)


@component("token")
@dataclass(frozen=True)
class TokenChunker(Chunker):
    """`max_tokens` of `model` at a time, the title and the headings above counted in, cut between words.

    Each passage begins `overlap` tokens before the end of the one before.
    """

    max_tokens: PositiveInt = 200
    overlap: NonNegativeInt = 20
    model: str = "all-MiniLM-L6-v2"

    def cut(self, paper: Document, part: Stretch) -> list[Offsets]:
        text = paper.page_content
        count = _TokenCount(text, self.model, part.start, part.end)
        room = _room(paper, part, self.max_tokens, self.model)
        step = max(room - self.overlap, 1)
        if part.kind == "table":
            return RecursiveChunker(self.max_tokens, self.model).cut(paper, part)
        start, end = trimmed(text, part.start, part.end)
        units = (
            [
                piece
                for piece in _fitting(text, start, end, max(min(step, room) // 8, 1), count)
                if piece[0] < piece[1]
            ]
            if start < end
            else []
        )
        return _packed(units, room, count, overlap_tokens=self.overlap)


@component("recursive")
@dataclass(frozen=True)
class RecursiveChunker(Chunker):
    """As many whole paragraphs as fit into `max_tokens` of `model`.

    A longer paragraph is cut between lines, then sentences, then words.
    """

    max_tokens: PositiveInt = 200
    model: str = "all-MiniLM-L6-v2"

    def cut(self, paper: Document, part: Stretch) -> list[Offsets]:
        text = paper.page_content
        count = _TokenCount(text, self.model, part.start, part.end)
        room = _room(paper, part, self.max_tokens, self.model)

        def pieces(start: int, end: int, depth: int) -> list[Offsets]:
            start, end = trimmed(text, start, end)
            if start == end:
                return []
            if count(start, end) <= room:
                return [(start, end)]
            if depth < len(_SEPARATORS):
                cuts = [found.end() for found in _SEPARATORS[depth].finditer(text, start, end)]
                spans = list(zip([start, *cuts], [*cuts, end], strict=True))
            elif depth == len(_SEPARATORS):
                spans = _sentences(text, part._replace(start=start, end=end))
            else:
                return _fitting(text, start, end, room, count)
            return _packed([piece for span in spans for piece in pieces(*span, depth + 1)], room, count)

        return pieces(part.start, part.end, 0)


_SEPARATORS = (re.compile(r"\n[ \t\r]*\n\s*"), re.compile(r"[\r\n]+"))


@component("semantic")
@dataclass(frozen=True)
class SemanticChunker(Chunker):
    """Sentences about one topic: a passage ends where the embeddings of neighbouring sentences differ most.

    It ends at the share `turns` of a part's sentence boundaries with the lowest similarity, and at
    `max_tokens` of `model` at the latest.
    """

    embed: Embeddings
    turns: Annotated[float, Field(gt=0, lt=1)] = 0.1
    max_tokens: PositiveInt = 200
    model: str = "all-MiniLM-L6-v2"

    def cut(self, paper: Document, part: Stretch) -> list[Offsets]:
        import numpy as np

        from ragkit.models.embeddings import unit

        text = paper.page_content
        count = _TokenCount(text, self.model, part.start, part.end)
        room = _room(paper, part, self.max_tokens, self.model)
        whole = _kept_together(text, _sentences(text, part), room, count)
        if not whole:
            return []
        vectors = unit(self.embed.embed_documents([text[start:end] for start, end in whole]))
        alike = (vectors[:-1] * vectors[1:]).sum(axis=1)
        turn = np.quantile(alike, self.turns) if len(alike) else 0.0
        runs: list[list[Offsets]] = [[whole[0]]]
        for span, likeness in zip(whole[1:], alike, strict=True):
            if likeness < turn:
                runs.append([])
            runs[-1].append(span)
        found: list[Offsets] = []
        for run in runs:
            found += _packed(
                [piece for span in run for piece in _fitting(text, *span, room, count)], room, count
            )
        return found


@dataclass(frozen=True)
class SplitterChunker(Chunker):
    """A LangChain text splitter as a chunker: it cuts each part of a paper, and its pieces are located there.

    Splitters may change white space, which passages keep as the paper has it.  Raises `LoadError` where
    anything else was changed, since such a passage could not be cited.
    """

    splitter: BaseDocumentTransformer

    def cut(self, paper: Document, part: Stretch) -> list[Offsets]:
        text = paper.page_content[part.start : part.end]
        overlapping = getattr(self.splitter, "_chunk_overlap", 1) != 0
        found: list[Offsets] = []
        start, end = -1, 0
        for document in self.splitter.transform_documents([Document(text)]):
            piece, told = document.page_content, document.metadata.get("start_index", -1)
            if not piece.strip():
                continue
            if told > start and not text[end:told].strip() and text.startswith(piece, told):
                start, end = told, told + len(piece)  # else overlaps were not counted in characters
            else:
                start, end = _found(piece, text, start + 1 if overlapping else end) or (-1, -1)
            if start < 0:
                raise LoadError(_rewrites(self.splitter, piece))
            first, last = trimmed(text, start, end)
            if first < last:
                found.append((part.start + first, part.start + last))
        return found


def _found(piece: str, text: str, at: int) -> Offsets | None:
    """The place of *piece* in `text[at:]`, if need be with other white space."""
    if (start := text.find(piece, at)) >= 0:
        return start, start + len(piece)
    match = re.compile(r"\s+".join(map(re.escape, piece.split()))).search(text, at)
    return match.span() if match else None


def chunker_of(transformer: BaseDocumentTransformer) -> BaseDocumentTransformer:
    """The chunker for the *transformer* of a pipeline; LangChain text splitters are wrapped."""
    is_splitter = hasattr(transformer, "split_text") and not isinstance(transformer, Chunker)
    return SplitterChunker(transformer) if is_splitter else transformer


def check_splitter(transformer: BaseDocumentTransformer) -> None:
    """Raise `ValueError` for a text splitter that changes a short sample text.

    So it is rejected before any paper is read.
    """
    chunker = chunker_of(transformer)
    if isinstance(chunker, SplitterChunker):
        try:
            chunker.transform_documents([_SAMPLE])
        except LoadError as error:
            raise ValueError(str(error)) from None


_SAMPLE = Document(
    "Glass bridges carry 40 people, e.g. in Asia. They are tested!\n\nWooden ones: (a) cheap; (b) short-lived.\n"
    "See https://example.org/bridges?id=1, Müller et al. [3]; cost < 5 €.\n\n\nThe\tend  of it."
)


def _rewrites(splitter: BaseDocumentTransformer, piece: str) -> str:
    name = type(splitter).__name__
    shown = piece if len(piece) < 60 else f"{piece[:60]}..."
    way_out = "set `keep_separator: true` or another `separator`"
    if "\ufffd" in piece:
        way_out = "cut between characters with RecursiveCharacterTextSplitter.from_tiktoken_encoder"
    return (
        f"{name} changes the text that it cuts, so that its passages cannot be cited: {shown!r} is not in the paper;"
        f" {way_out}, or use a chunker of ragkit such as `recursive`"
    )


def _sentences(text: str, part: Stretch) -> list[Offsets]:
    return [(part.start + start, part.start + end) for start, end in sentences(text[part.start : part.end])]


def _lists_in(text: str, part: Stretch, start: int, end: int) -> dict[str, Any]:
    """Where the lists stand that a passage holds with their lead-ins, as metadata."""
    held = text[start:end]
    if part.kind == "table" or not may_have_lists(held):
        return {}
    spans = sentences(held)
    found = [[start + spans[own[0]][0], start + spans[own[-1]][1]] for own in lists(held, spans)]
    return {"lists": found} if found else {}


def _kept_together(text: str, spans: Sequence[Offsets], room: int, count: _TokenCount) -> list[Offsets]:
    """*spans* of sentences, those of a list and its lead-in as one where they fit into *room* tokens."""
    found: list[Offsets] = []
    at = 0
    for items in lists(text, spans):
        whole = spans[items[0]][0], spans[items[-1]][1]
        if count(*whole) <= room:
            found += [*spans[at : items[0]], whole]
            at = items[-1] + 1
    return [*found, *spans[at:]]


def _room(paper: Document, part: Stretch, most: int, model_name: str) -> int:
    """The tokens that the title, the headings and the header of a table leave to a passage; at least half."""
    heading = above(Document(page_content="", metadata={"title": title_of(paper), **part.metadata}))
    return max(most - _TokenCount(heading, model_name, 0, len(heading)).all, most // 2, 1)


def _packed(
    units: Sequence[Offsets], room: int, count: _TokenCount, overlap: int = 0, overlap_tokens: int = 0
) -> list[Offsets]:
    """As many neighbouring *units* as fit into *room* tokens each.

    A pack repeats the last units of the one before: *overlap* of them, or as many as fit into
    *overlap_tokens*.
    """
    found: list[Offsets] = []
    first = 0
    while first < len(units):
        last = first + 1
        while last < len(units) and count(units[first][0], units[last][1]) <= room:
            last += 1
        found.append((units[first][0], units[last - 1][1]))
        if last == len(units):
            break
        again = last - overlap
        while (
            overlap_tokens
            and again > first + 1
            and count(units[again - 1][0], units[last - 1][1]) <= overlap_tokens
        ):
            again -= 1
        first = max(first + 1, again)
        while first < last and count(units[first][0], units[last][1]) > room:
            first += 1  # the overlap leaves no room for anything new
    return found


_LONGEST_TOKEN = 100
"""Characters from which on a token, with the white space behind it, counts as several: so passages are bounded
in characters, too.  To a WordPiece model, a longer word is one unknown token.
"""


class _TokenCount:
    """How many tokens lie between two characters of a text; a very long one counts as several."""

    def __init__(self, text: str, name: str, start: int, end: int) -> None:
        encoded = hub.tokenizer(hub.files(name)).encode(text[start:end], add_special_tokens=False)
        places = [start + token for token, _ in encoded.offsets]
        self.starts = [
            at
            for token, after in pairwise([*places, end])
            for at in (token, *range(token + _LONGEST_TOKEN, after, _LONGEST_TOKEN))
        ]
        self.all = len(self.starts)

    def __call__(self, start: int, end: int) -> int:
        return bisect_left(self.starts, end) - bisect_left(self.starts, start)

    def after(self, start: int, tokens: int, end: int) -> int:
        """The character at which the token begins that is *tokens* after *start*; at most *end*."""
        at = bisect_left(self.starts, start) + tokens
        return min(self.starts[at], end) if at < self.all else end


def _fitting(text: str, start: int, end: int, room: int, count: _TokenCount) -> list[Offsets]:
    """`start:end` in pieces of at most *room* tokens, cut between words.

    A word longer than that is cut at twice *room*.
    """
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
    """Can a passage end before the character *at*?

    Chinese and Japanese, which are written without spaces, break anywhere.
    """
    return text[at - 1].isspace() or text[at].isspace() or bool(_NO_SPACES.match(text, at - 1))
