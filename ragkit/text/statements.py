"""What a passage says, piece by piece: its sentences, lists with what leads them in, and rows read out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from langchain_core.documents import Document

from ragkit.document import Span, span_of, table_of
from ragkit.text.anaphora import leans
from ragkit.text.lists import lists
from ragkit.text.question import ParsedQuestion
from ragkit.text.tables import named_cells, said
from ragkit.text.words import Offsets, sentences, stems


@dataclass(frozen=True)
class PassageSentence:
    """A sentence of a passage, or a row of its table, that may be part of an answer."""

    passage: Document
    span: Span
    text: str
    cells: tuple[tuple[str, str], ...] = ()
    """Of a row of a table, each cell with the name of its column."""

    def about(self, asked: ParsedQuestion) -> PassageSentence:
        """Of a wide row, its first cell and those in the columns that the question names, if it names any."""
        named = [cell for cell in self.cells[1:] if {*stems(asked.text)} & {*stems(cell[0])}]
        if len(self.cells) <= _WIDE or not named:
            return self
        return replace(self, text=said([self.cells[0], *named]))

    def in_context(self, passages: Sequence[Document]) -> PassageSentence:
        """With the sentences before it that it leans on, in one paragraph of one of *passages*, where they are."""
        if self.cells or not leans(self.text):
            return self
        for passage in passages:
            whole = span_of(passage)
            if not whole.holds(self.span) or whole.start == self.span.start:
                continue
            text, at = passage.page_content, self.span.start - whole.start
            start = at
            for before, end in reversed(sentences(text[:at])[-_BEFORE:]):
                if text[end:start].count("\n") > 1:
                    break
                start = before
                if start and not leans(text[start:end]):
                    break
            if start < at:
                end = self.span.end - whole.start
                span = Span(whole.document_id, whole.start + start, self.span.end)
                return replace(self, passage=passage, span=span, text=text[start:end])
        return self


_BEFORE = 2  # sentences that come with one that leans on them, at most
_WIDE = 6  # cells; a reader finds the one that was asked for among so many


def statements_of(passages: Sequence[Document]) -> list[PassageSentence]:
    """Those of *passages*, in their order, each span once."""
    found: dict[Span, PassageSentence] = {}
    for passage in passages:
        whole = span_of(passage)
        _, header = table_of(passage)
        is_caption = passage.metadata.get("kind") == "caption"
        for start, end in _with_items(passage.page_content):
            text = passage.page_content[start:end]
            if header and text in header:
                continue
            row = tuple(named_cells(text, header)) if header else ()
            text = said(row) if row else text
            span = Span(whole.document_id, whole.start + start, whole.start + end)
            leads = _LEADS.search(text) or (is_caption and _LABEL.match(text))
            if span not in found and len(stems(text)) >= 3 and (row or not leads):
                found[span] = PassageSentence(passage, span, text, row)
    return list(found.values())


_LABEL = re.compile(
    r"(?:table|tab\.?|figure|fig\.?|box|scheme|chart|plate|panel|algorithm|appendix)\s+\w{1,4}\b",
    re.IGNORECASE,
)
_LEADS = re.compile(rf"^#|[:?]$|^{_LABEL.pattern}\s?[.:|]", re.IGNORECASE)
"""A heading, a question, what leads in something else, or a caption: no answer without what it stands over.

Leaving these out costs none of 107 questions over full papers their answer.
"""


def _with_items(text: str) -> list[Offsets]:
    """The sentences of *text*; one that leads in a list has the items, which are also sentences of their own."""
    spans = sentences(text)
    ends = {items[0]: spans[items[-1]][1] for items in lists(text, spans)}
    return [(start, ends.get(n, end)) for n, (start, end) in enumerate(spans)]
