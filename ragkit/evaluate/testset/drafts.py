"""Drafts of questions, and which of them are kept."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from langchain_core.documents import Document

from ragkit.document import span_of, title_of
from ragkit.evaluate.dataset import Case
from ragkit.evaluate.measure import is_right
from ragkit.evaluate.testset.entries import Entry, GoldSpan, Kind
from ragkit.evaluate.testset.papers import DEPTH, Paper, PaperSentence, Pool
from ragkit.rag import Rag
from ragkit.text.words import STOPWORDS, numbers, sentences, stems, words


@dataclass(frozen=True)
class Draft:
    """A question not yet accepted.

    `near` are the papers that it is about; they do not answer an unanswerable one.
    """

    kind: Kind
    question: str
    answer: str
    must_include: tuple[tuple[str, ...], ...]
    gold: tuple[PaperSentence, ...]
    near: tuple[Paper, ...]
    about: str = ""  # the name that it asks about


class AcceptedDrafts:
    """The questions kept so far, and why others were not."""

    def __init__(
        self, rag: Rag, pool: Pool, size: int, confirms: Callable[[Draft, Sequence[Document]], bool]
    ) -> None:
        self.rag, self.confirms = rag, confirms
        self.entries: list[Entry] = []
        self.rejected: Counter[str] = Counter()
        self._most = math.ceil(2 * size / max(pool.papers_in_corpus, 1))
        self._of_paper: Counter[str] = Counter()
        self._asked: list[frozenset[str]] = []
        self._spans: set[tuple[str, int, int]] = set()

    def count(self, kind: Kind) -> int:
        return sum(entry.kind == kind for entry in self.entries)

    def next(self, drafts: Iterator[Draft | str]) -> bool:
        """Keep the next good draft; False if there is none."""
        for draft in drafts:
            reason = draft if isinstance(draft, str) else self._fault(draft)
            if not reason:
                assert isinstance(draft, Draft)
                self._keep(draft)
                return True
            self.rejected[reason] += 1
        return False

    def _keep(self, draft: Draft) -> None:
        self._of_paper.update(paper.id for paper in draft.near)
        self._asked.append(frozenset(stems(draft.question)))
        self._spans |= {(s.paper.id, s.start, s.end) for s in draft.gold}
        spans = tuple(map(_span, draft.gold))
        titles = tuple(title_of(paper.document) for paper in draft.near) if draft.gold else ()
        self.entries.append(
            Entry(
                id=f"{draft.kind}-{self.count(draft.kind) + 1}",
                question=draft.question,
                answer=draft.answer,
                gold_titles=titles,
                must_include=draft.must_include,
                kind=draft.kind,
                spans=spans,
            )
        )

    def _fault(self, draft: Draft) -> str:
        """Why a draft cannot be kept; "" if it can.  What costs a search comes last."""
        if any(self._of_paper[paper.id] >= self._most for paper in draft.near):
            return "enough of this paper"
        if not reads_well(draft.question):
            return "clumsy"
        bare = re.sub(r"^According to .*?, how many", "How many", _without_titles(draft.question))
        if _POINTS_NOWHERE.search(bare):
            return "points nowhere"
        if draft.gold and _gives_away(draft):
            return "gives the answer away"
        quotes = draft.kind in ("number", "definition", "fact")
        if quotes and not all(draft.answer in s.plain for s in draft.gold):
            return "answer not in the span"
        own = frozenset(stems(draft.question))
        if any(len(own & other) >= 0.8 * len(own | other) for other in self._asked) or any(
            (s.paper.id, s.start, s.end) in self._spans for s in draft.gold
        ):
            return "duplicate"
        hits = self.rag.search(draft.question, DEPTH)
        if not {paper.id for paper in draft.near} <= {span_of(hit).document_id for hit in hits}:
            return "paper not found"
        if quotes and _is_ambiguous(draft, hits):
            return "ambiguous"
        return "" if self.confirms(draft, hits) else "not confirmed"


def _span(gold: PaperSentence) -> GoldSpan:
    title = title_of(gold.paper.document)
    return GoldSpan(document_id=gold.paper.id, title=title, start=gold.start, end=gold.end, quote=gold.text)


def reads_well(question: str) -> bool:
    """Is *question* a clean and complete sentence?

    It must be of a usual length, without formulas, links or a word twice in a row.
    """
    size, said, bare = len(question.split()), words(question), _without_titles(question)
    return (
        (5 if numbers(question) or not question.startswith("What ") else 3) <= size <= 34
        and question.endswith("?")
        and bare.count("?") == 1
        and not re.search(
            r"[\\$^_{}<>=|*\[\]~]|https?:|www\.|\bet al\b|\s[,.;)?]|\(\s|[.!] [A-Z]| - |--", bare
        )
        and bare.count("(") == bare.count(")")
        and question.count('"') % 2 == 0
        and all(a != b for a, b in pairwise(said))
        and (said[-1] not in STOPWORDS or said[-1] in _STRANDED)
    )


def _without_titles(question: str) -> str:
    return re.sub(r"“[^”]{0,200}”", "“T”", question)


_STRANDED = frozenset("have on of with from for in into to over by".split())
_POINTS_NOWHERE = re.compile(
    r"\b(this|these|those|such(?! as)|we|our|ours|us|i|my|it|they|them|the above|aforementioned|former|latter)\b"
    r"|\bthe (same )?(paper|work|study|article|authors?|method|model|approach|framework|system|dataset|benchmark|proposed \w+|resulting \w+)s?\b"
    r"(?! (on|of|for|that|which|in|called|named|about|to|with|from|behind|\w+ing)\b| [“\"])",
    re.IGNORECASE,
)


def _gives_away(draft: Draft) -> bool:
    asked, said = " ".join(words(draft.question)), " ".join(words(draft.answer))
    if draft.kind == "two_papers":
        return False
    if f" {said} " in f" {asked} " or (
        draft.kind == "number" and numbers(draft.answer) & numbers(draft.question)
    ):
        return True
    wanted = set(stems(draft.answer))
    return len(wanted & set(stems(draft.question))) > 0.6 * len(wanted)


def _is_ambiguous(draft: Draft, hits: Sequence[Document]) -> bool:
    """Does a sentence of another paper among *hits* answer the question as well?"""
    own, asked = {paper.id for paper in draft.near}, set(stems(draft.question))
    defines = (
        re.compile(rf"(?<![\w-]){re.escape(draft.about)}(?: \([^)]{{0,200}}+\))?(?: is|,) (?:an?|the)\b")
        if draft.about
        else None
    )
    for hit in hits:
        if span_of(hit).document_id not in own:
            for start, end in sentences(hit.page_content):
                said = " ".join(hit.page_content[start:end].split())
                if draft.kind == "definition" and defines and defines.search(said):
                    return True
                shared = len(asked & set(stems(said)))
                if shared >= 0.6 * len(asked) and is_right(case_of(draft), said):
                    return True
    return False


def case_of(draft: Draft) -> Case:
    return Case(id="", question=draft.question, must_include=draft.must_include)
