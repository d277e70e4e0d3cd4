"""What of the ranked passages the generator sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict, PositiveInt

from ragkit.corpus import CorpusReader
from ragkit.document import passage, sources_of, span_of, stretches_of
from ragkit.registry import component
from ragkit.text import sentences


@component("top")
class Top(BaseDocumentCompressor):
    """The best `k`."""

    model_config = ConfigDict(frozen=True)

    k: PositiveInt = 6

    def compress_documents(self, documents: Sequence[Document], query: str, callbacks: Any = None) -> Sequence[Document]:
        return list(documents)[: self.k]


@component("section")
class WholeSection(BaseDocumentCompressor, CorpusReader):
    """Small to big: in place of each passage the section that it stands in, so that a sentence is found and its section read.

    A section longer than `max_characters` is cut to whole sentences around the passage; of a paper without sections,
    the text around it is taken.  Passages of one section become one, ranked as the best of them.
    """

    model_config = ConfigDict(frozen=True)

    max_characters: PositiveInt = 3000

    def compress_documents(self, documents: Sequence[Document], query: str, callbacks: Any = None) -> Sequence[Document]:
        papers = self.corpus.documents({span_of(d).document_id for d in documents})
        found: list[Document] = []
        for document in documents:
            span = span_of(document)
            if any(
                span_of(f).document_id == span.document_id and span_of(f).start <= span.start and span.end <= span_of(f).end for f in found
            ):
                continue
            paper = papers.get(span.document_id)
            found.append(self._widened(paper, document) if paper else document)
        return found

    def _widened(self, paper: Document, document: Document) -> Document:
        text, (_, start, end) = paper.page_content, span_of(document)
        parts = stretches_of(paper)
        here = next((n for n, part in enumerate(parts) if part.start <= start and end <= part.end), None)
        low, high = (0, len(text)) if here is None else parts[here][:2]
        if here is not None:
            same = [part.section == parts[here].section and part.kind in (parts[here].kind, "caption", "table") for part in parts]
            first = last = here
            while first > 0 and same[first - 1]:
                first -= 1
            while last + 1 < len(parts) and same[last + 1]:
                last += 1
            low, high = parts[first].start, parts[last].end
        cuts = [(low + a, low + b) for a, b in sentences(text[low:high])]
        inside = [n for n, (a, b) in enumerate(cuts) if a < end and b > start] or [0]
        first, last = inside[0], inside[-1]
        room = self.max_characters
        while True:  # a sentence before and one behind, as long as there is room
            before = first > 0 and cuts[last][1] - cuts[first - 1][0] <= room
            first -= before
            behind = last + 1 < len(cuts) and cuts[last + 1][1] - cuts[first][0] <= room
            last += behind
            if not before and not behind:
                break
        kept = {k: v for k, v in document.metadata.items() if k not in ("document_id", "title", "start", "end")}
        kept["sources"] = sources_of(paper)  # whose places reach as far as the section
        return passage(paper, min(cuts[first][0], start) if cuts else start, max(cuts[last][1], end) if cuts else end, **kept)
