"""What of the ranked passages the generator sees: how many, how much of each, in what order."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt

from ragkit.citation import numbered
from ragkit.config.components import component
from ragkit.corpus import CorpusReader
from ragkit.document import (
    Span,
    excerpt,
    named,
    passage,
    score_of,
    scored,
    scores_of,
    sources_of,
    span_of,
    stretches_of,
    title_of,
)
from ragkit.models.embeddings import unit
from ragkit.models.reader import PassageReader
from ragkit.models.tokens import Counter, counter
from ragkit.refine.reader import ReaderRanking
from ragkit.text.letters import compose
from ragkit.text.question import Mentions, ParsedQuestion, parsed
from ragkit.text.words import Offsets, sentences, stems

Vector = NDArray[np.float64]
PositiveShare = Annotated[float, Field(gt=0, le=1)]


@component("top")
class Top(BaseDocumentCompressor):
    """The best `k`.

    If none of these mentions something that the question names, such as `GPT-4`, a passage further down that
    does takes the place of the last one that is not needed for a name itself.  So does one that says what the
    question wants to be defined.  A `reader`, if given, first puts in front what is likely to answer, as in
    the component `reader`.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    k: PositiveInt = 6
    reader: PassageReader | None = None

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Any = None
    ) -> Sequence[Document]:
        if self.reader is not None:
            documents = ReaderRanking(reader=self.reader).compress_documents(documents, query)
        best, others = list(documents)[: self.k], list(documents)[self.k :]
        asked = parsed(query)
        if others and asked.asks_definition and not any(_defines(asked, each) for each in best):
            best[-1:] = [next((each for each in others if _defines(asked, each)), best[-1])]
        called = asked.names if others else ()
        if not called:
            return best
        kept = [(document, _mentioned(document, called)) for document in best]
        if called <= set().union(*(names for _, names in kept)):
            return best
        further = [(document, names) for document in others if (names := _mentioned(document, called))]
        while missing := called - set().union(*(names for _, names in kept)):
            brought = max(further, key=lambda one: len(one[1] & missing), default=None)
            last = next(
                (i for i in range(len(kept) - 1, 0, -1) if _is_spare(i, [names for _, names in kept])), None
            )
            if brought is None or last is None or not brought[1] & missing:
                break
            kept = [*kept[:last], *kept[last + 1 :], brought]
        return [document for document, _ in kept]


def _defines(asked: ParsedQuestion, document: Document) -> bool:
    text = document.page_content
    return any(asked.defines(text[start:end], title_of(document)) for start, end in sentences(text))


def _mentioned(document: Document, called: Collection[str]) -> set[str]:
    said = Mentions.of(named(document))
    return {name for name in called if said.has(name)}


def _is_spare(i: int, mentioned: Sequence[set[str]]) -> bool:
    """Is every name that the passage *i* mentions mentioned by another?"""
    return mentioned[i] <= set().union(*mentioned[:i], *mentioned[i + 1 :])


@component("token_budget")
class TokenBudget(BaseDocumentCompressor):
    """The best passages that together fit into `max_tokens` of `model`.

    Tokens are counted as the chat model is shown the passages: numbered, under their titles.  A passage that
    does not fit is cut after the last sentence that does; one whose first sentence does not fit is left out,
    and a shorter one after it may still fit.  `model`: see `ragkit.models.tokens`.
    """

    model_config = ConfigDict(frozen=True)

    max_tokens: PositiveInt = 3000
    model: str = "gpt-4o"

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Any = None
    ) -> Sequence[Document]:
        count = counter(self.model)
        kept: list[Document] = []
        room = self.max_tokens
        for document in documents:
            if fitting := _fitting(document, room, count):
                kept.append(fitting)
                room -= _cost(fitting, count)
        # Tokenizers may count a whole otherwise than its parts.
        while count(numbered(kept).text()) > self.max_tokens:
            kept.pop()
        return kept


def _cost(document: Document, count: Counter) -> int:
    return count(numbered([document]).text() + "\n\n")


def _fitting(document: Document, room: int, count: Counter) -> Document | None:
    """As many sentences of *document*, from its first, as have at most *room* tokens."""
    if _cost(document, count) <= room:
        return document
    start = span_of(document).start
    if _cost(excerpt(document, start, start), count) >= room:  # which saves looking for its sentences
        return None
    ends = [end for _, end in sentences(document.page_content)]
    low, high = 0, len(ends)  # so many sentences fit; so many do not
    while high - low > 1:
        middle = (low + high) // 2
        fits = _cost(excerpt(document, start, start + ends[middle - 1]), count) <= room
        low, high = (middle, high) if fits else (low, middle)
    return excerpt(document, start, start + ends[low - 1]) if low else None


@component("reorder")
class Reordered(BaseDocumentCompressor):
    """The best passages at both ends and the weakest in the middle, where chat models read worst.

    The best comes first, the second best last, and so on inwards.

    (Methods: "Lost in the Middle: How Language Models Use Long Contexts"; reordering as such, "Long-Context LLMs
    Meet RAG: Overcoming Challenges for Long Inputs in RAG", whose abstract does not give its order.)
    """

    model_config = ConfigDict(frozen=True)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Any = None
    ) -> Sequence[Document]:
        return [*documents[::2], *reversed(documents[1::2])]


@component("sentences")
class MatchingSentences(BaseDocumentCompressor):
    """Of each passage the sentences that match the question; those that stand together stay one passage.

    A sentence is scored by the question's content words that it has, the rare ones most, and by its cosine to
    the question, if `embed` is given.  It is kept if it scores at least `share` of the best of its passage
    and is among the `most` best there.  A passage in which nothing matches stays whole; a sentence that a
    better passage has is not repeated.  (Method: the focus mode of "Enhancing Retrieval-Augmented Generation: A
    Study of Best Practices".)
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    embed: Embeddings | None = None
    share: PositiveShare = 0.5
    most: PositiveInt = 3

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Any = None
    ) -> Sequence[Document]:
        cuts = [sentences(document.page_content) for document in documents]
        texts = [
            document.page_content[a:b] for document, own in zip(documents, cuts, strict=True) for a, b in own
        ]
        if not texts:
            return list(documents)
        scores = _overlaps(query, texts)
        if self.embed is not None:
            titles = [title_of(document) for document, own in zip(documents, cuts, strict=True) for _ in own]
            said = [f"{title}\n{text}".lstrip() for title, text in zip(titles, texts, strict=True)]
            scores = scores + np.maximum(
                _cosines(self.embed.embed_documents(said), self.embed.embed_query(query)), 0.0
            )
        found: list[Document] = []
        seen: set[Span] = set()
        at = 0
        for document, own in zip(documents, cuts, strict=True):
            found += self._focused(document, own, scores[at : at + len(own)], seen)
            at += len(own)
        return found

    def _focused(
        self, document: Document, cuts: Sequence[Offsets], scores: Vector, seen: set[Span]
    ) -> Iterator[Document]:
        if not cuts or scores.max() <= 0:
            yield document
            return
        whole = span_of(document)
        spans = [Span(whole.document_id, whole.start + a, whole.start + b) for a, b in cuts]
        best = np.argsort(-scores, kind="stable")[: self.most]
        kept = {int(n) for n in best if scores[n] >= self.share * scores.max() and spans[n] not in seen}
        seen.update(spans[n] for n in kept)
        if len(kept) == len(cuts):
            yield document
            return
        for first in sorted(n for n in kept if n - 1 not in kept):
            last = first
            while last + 1 in kept:
                last += 1
            yield excerpt(document, spans[first].start, spans[last].end)


def _overlaps(question: str, texts: Sequence[str]) -> Vector:
    """The share of the question's content words that each text has, from 0 to 1; rarer words weigh more."""
    asked = sorted(set(stems(question)))
    if not asked:
        return np.zeros(len(texts))
    own = [set(stems(text)) for text in texts]
    has = np.array([[word in words for word in asked] for words in own], dtype=np.float64)
    weights = np.log(1 + len(texts) / (1 + has.sum(axis=0)))
    return np.asarray(has @ (weights / weights.sum()))


def _cosines(vectors: Sequence[Sequence[float]], other: Sequence[float]) -> Vector:
    return np.asarray(unit(vectors) @ unit(other), dtype=np.float64)


@component("distinct")
class Distinct(BaseDocumentCompressor):
    """Without the passages that repeat a better one: those that lie in its span, and those alike in words.

    Alike: of the runs of three words that either has, both have at least the share `threshold` (Jaccard's
    index; Broder, "On the resemblance and containment of documents", 1997).
    """

    model_config = ConfigDict(frozen=True)

    threshold: PositiveShare = 0.7

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Any = None
    ) -> Sequence[Document]:
        kept: list[Document] = []
        shingles: list[set[int]] = []
        every: set[int] = set()  # of all that are kept
        spans: dict[str, list[Span]] = {}
        for document in documents:
            span = span_of(document)
            if any(better.holds(span) for better in spans.get(span.document_id, ())):
                continue
            own = _shingles(document.page_content)
            known = own & every
            if known and len(known) >= self.threshold * len(own):  # else it is like none
                if any(_alike(own, known, better) >= self.threshold for better in shingles):
                    continue
            kept.append(document)
            shingles.append(own)
            every |= own
            spans.setdefault(span.document_id, []).append(span)
        return kept


_RUN = re.compile(r"\w+")


def _shingles(text: str) -> set[int]:
    """Every three words that follow one another, by their hash; the words at once, where there are fewer."""
    found = _RUN.findall(compose(text).casefold())
    return set(map(hash, zip(found, found[1:], found[2:], strict=False))) or (
        {hash(tuple(found))} if found else set()
    )


def _alike(own: set[int], known: set[int], other: set[int]) -> float:
    """Jaccard's index of *own* and *other*, which share nothing but what is *known*."""
    both = len(known & other)
    return both / (len(own) + len(other) - both)


@component("neighbours")
class Neighbours(BaseDocumentCompressor, CorpusReader):
    """Each passage with up to `before` sentences before it and `after` behind it, of its own section.

    A sentence that a passage cuts in two is completed.  Passages of one paper that then overlap or touch
    become one, ranked as the best of them; with `before` and `after` at 0, nothing else happens.
    """

    model_config = ConfigDict(frozen=True)

    before: NonNegativeInt = 1
    after: NonNegativeInt = 1

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Any = None
    ) -> Sequence[Document]:
        papers = self.corpus.documents({span_of(d).document_id for d in documents})
        cuts: dict[Span, list[Offsets]] = {}
        groups: list[_Group] = []
        for span, place in sorted((self._reach(papers, d, cuts), n) for n, d in enumerate(documents)):
            if groups and _meet(papers.get(span.document_id), groups[-1], span, documents[place]):
                groups[-1].add(span, place, documents[place])
            else:
                groups.append(_Group(span, place, [documents[place]]))
        return [
            group.as_one(papers.get(group.span.document_id))
            for group in sorted(groups, key=lambda group: group.place)
        ]

    def _reach(
        self, papers: Mapping[str, Document], document: Document, cuts: dict[Span, list[Offsets]]
    ) -> Span:
        """The span of *document* with the sentences around it; *cuts* caches each section's sentences."""
        own = span_of(document)
        paper = papers.get(own.document_id)
        if paper is None:
            return own
        section = _section_around(paper, own)
        if section not in cuts:
            cuts[section] = _sentences_in(paper, section)
        touched = [n for n, (a, b) in enumerate(cuts[section]) if a < own.end and b > own.start]
        if not touched:  # white space
            return own
        first = cuts[section][max(touched[0] - self.before, 0)]
        last = cuts[section][min(touched[-1] + self.after, len(cuts[section]) - 1)]
        return Span(own.document_id, min(own.start, first[0]), max(own.end, last[1]))


@dataclass
class _Group:
    """Passages that become one: what it spans, and the place of the first of them in the ranking."""

    span: Span
    place: int
    members: list[Document]

    def add(self, span: Span, place: int, document: Document) -> None:
        self.span = Span(span.document_id, min(self.span.start, span.start), max(self.span.end, span.end))
        self.place = min(self.place, place)
        self.members.append(document)

    def as_one(self, paper: Document | None) -> Document:
        best = max(self.members, key=score_of)
        if paper is None or (len(self.members) == 1 and span_of(best) == self.span):
            return best
        scores: dict[str, float] = {}
        for member in self.members:
            scores |= {name: max(score, scores.get(name, score)) for name, score in scores_of(member).items()}
        one = _widened(paper, best, self.span)
        return scored(one, score_of(best), scores) if len(self.members) > 1 else one


def _meet(paper: Document | None, group: _Group, span: Span, document: Document) -> bool:
    """Do *group* and *span* overlap, or touch within a section with only white space between them?"""
    if paper is None or group.span.document_id != span.document_id:
        return False
    between = paper.page_content[group.span.end : span.start]
    return span.start < group.span.end or (
        not between.strip() and _part(group.members[-1]) == _part(document)
    )


def _part(document: Document) -> tuple[object, object]:
    return document.metadata.get("section"), document.metadata.get("kind")


@component("section")
class WholeSection(BaseDocumentCompressor, CorpusReader):
    """Replaces each passage by the section it is in: search small passages, read whole sections.

    A section longer than `max_characters` is cut to whole sentences around the passage; in a paper without
    sections, the text around it is taken.  Passages of one section become one, ranked as the best of them.
    """

    model_config = ConfigDict(frozen=True)

    max_characters: PositiveInt = 3000

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Any = None
    ) -> Sequence[Document]:
        papers = self.corpus.documents({span_of(d).document_id for d in documents})
        found: list[Document] = []
        for document in documents:
            span = span_of(document)
            if any(span_of(f).holds(span) for f in found):
                continue
            paper = papers.get(span.document_id)
            found.append(_widened(paper, document, self._reach(paper, span)) if paper else document)
        return found

    def _reach(self, paper: Document, own: Span) -> Span:
        cuts = _sentences_in(paper, _section_around(paper, own))
        inside = [n for n, (a, b) in enumerate(cuts) if a < own.end and b > own.start]
        if not inside:  # white space
            return own
        first, last = inside[0], inside[-1]
        while True:  # a sentence before and one behind, as long as there is room
            before = first > 0 and cuts[last][1] - cuts[first - 1][0] <= self.max_characters
            first -= before
            behind = last + 1 < len(cuts) and cuts[last + 1][1] - cuts[first][0] <= self.max_characters
            last += behind
            if not before and not behind:
                break
        return Span(own.document_id, min(cuts[first][0], own.start), max(cuts[last][1], own.end))


def _section_around(paper: Document, own: Span) -> Span:
    """The section that holds a passage, with its captions, tables and footnotes; the whole paper if there is none."""
    parts = stretches_of(paper)
    here = next((n for n, part in enumerate(parts) if part.start <= own.start and own.end <= part.end), None)
    if here is None:
        return Span(own.document_id, 0, len(paper.page_content))
    held = parts[here]
    same = [
        part.section == held.section
        and (held.kind == "footnote" or part.kind in (held.kind, "caption", "table", "footnote"))
        for part in parts
    ]
    first = last = here
    while first > 0 and same[first - 1]:
        first -= 1
    while last + 1 < len(parts) and same[last + 1]:
        last += 1
    return Span(own.document_id, parts[first].start, parts[last].end)


def _sentences_in(paper: Document, part: Span) -> list[Offsets]:
    return [(part.start + a, part.start + b) for a, b in sentences(paper.page_content[part.start : part.end])]


def _widened(paper: Document, document: Document, span: Span) -> Document:
    """What *document* says of itself, of more of its paper."""
    kept = {k: v for k, v in document.metadata.items() if k not in ("document_id", "title", "start", "end")}
    kept["sources"] = sources_of(paper)  # whose places reach as far as the span
    return passage(paper, span.start, span.end, **kept)
