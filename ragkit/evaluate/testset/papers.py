"""The papers that questions are asked about: their sentences, coined names, and how rare words are."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from langchain_core.documents import Document

from ragkit.document import span_of, stretches_of, title_of
from ragkit.evaluate.testset.phrase import (
    CLEAN_TITLE,
    HEADS,
    INTRODUCTIONS,
    METHOD,
    MODEL,
    NAME,
    is_name,
    is_of,
    is_sentence,
    mentions,
    things,
)
from ragkit.evaluate.testset.verbs import FORMS, PAST, either
from ragkit.rag import Rag
from ragkit.text.words import STOPWORDS, names, sentences, stems, words

DEPTH = 10
"""Among how many passages a question's own papers must be found."""
_MOST_READ = 10
"""How many papers are read for each question wanted, at most (and at least 200)."""
BATCH = 50
"""So many papers are read at a time."""


@dataclass(frozen=True)
class PaperSentence:
    """A sentence of a paper; `before` is the one before it in the same part of the paper."""

    paper: Paper
    start: int
    end: int
    before: str = ""

    @property
    def text(self) -> str:
        return self.paper.text[self.start : self.end]

    @property
    def plain(self) -> str:
        """On one line, and with plain percent signs."""
        return " ".join(self.text.split()).replace("\\%", "%")


@dataclass(frozen=True)
class Paper:
    """A paper that questions are asked about."""

    document: Document = field(repr=False)

    @property
    def id(self) -> str:
        return str(self.document.id)

    @property
    def title(self) -> str:
        return " ".join(title_of(self.document).split())

    @property
    def text(self) -> str:
        return self.document.page_content

    @cached_property
    def sentences(self) -> list[PaperSentence]:
        """Those of its own prose: no headings, tables, captions or references."""
        found: list[PaperSentence] = []
        for part in stretches_of(self.document):
            if part.kind in ("", "abstract", "body"):
                before = ""
                for start, end in sentences(self.text[part.start : part.end]):
                    sentence = PaperSentence(self, part.start + start, part.start + end, before)
                    before = sentence.plain
                    if not re.match(r"#|\||[-*] ", before) and len(words(before)) >= 4:
                        found.append(sentence)
        return found

    @cached_property
    def coined(self) -> dict[str, str]:
        """The names that the paper coins, the main one first, each with what it stands for.

        That is a word such as `method` or `dataset`, or "" if the paper does not tell.
        """
        found: dict[str, str] = {}
        prefix = re.match(rf"({NAME})\s*(?::|-{{1,2}}\s|—)", self.title)
        if prefix and mentions(self.text, prefix[1]):
            found[prefix[1]] = ""
        for sentence in self.sentences:
            for pattern in INTRODUCTIONS:
                for match in pattern.finditer(sentence.plain):
                    if "phrase" not in match.groupdict() or is_of(match["name"], match["phrase"]):
                        found.setdefault(match["name"], "")
        found = {name: "" for name in found if is_name(name)}
        if not found:
            found = dict.fromkeys(self._subject(), "")
        for sentence in self.sentences:
            for thing in things(sentence.plain, list(found)):
                found[thing.name] = found[thing.name] or thing.head
        for name in found:
            if not found[name] and (
                used := re.search(rf"(?<![\w-]){re.escape(name)} ({HEADS})\b", self.text)
            ):
                found[name] = used[1]
        return found

    def _subject(self) -> list[str]:
        """The name that is the subject of the most sentences, if it is the paper's own: [name] or []."""
        begin = rf"({NAME}) (?:is|was|can|{either(FORMS | PAST)})\b"
        times = Counter(m[1] for s in self.sentences if (m := re.match(begin, s.plain)))
        for name, _ in sorted(times.items(), key=lambda each: (-each[1], each[0])):
            often = len(re.findall(rf"(?<![\w-]){re.escape(name)}(?![\w-])", self.text)) >= 3
            if often and (
                is_name(name)
                or (
                    name.istitle()
                    and name.casefold() in names(self.text)
                    and not mentions(self.text, name.lower())
                )
            ):
                return [name]
        return []

    @cached_property
    def called(self) -> str:
        """How a question refers to the paper."""
        initials = "".join(word[0] for word in words(self.title) if word not in STOPWORDS)
        for name, head in self.coined.items():
            is_main = re.fullmatch(f"{MODEL}|{METHOD}", head) or (
                len(name) > 2 and name.casefold() in initials
            )
            if is_main or re.match(rf"{re.escape(name)}\s*[:—–-]", self.title):
                return f"the {name} paper"
        study = re.fullmatch(
            r"(?:A|An|The) ((?:[\w-]+ ){0,3}(?:Survey|Study|Review|Analysis|Overview) (?:on|of|in) .+)",
            self.title,
        )
        if study and CLEAN_TITLE.fullmatch(study[1]):
            return f"the {self._lowered(study[1])}"
        if (
            CLEAN_TITLE.fullmatch(self.title)
            and not is_sentence(self.title)
            and len(self.title.split()) <= 10
        ):
            return f"the paper on {self._lowered(self.title)}"
        return f"the paper “{self.title.rstrip('.')}”"

    def _lowered(self, title: str) -> str:
        """A title as part of a sentence.

        A word keeps its capital if the paper's text has the word with one and never without.
        """

        def lowered(match: re.Match[str]) -> str:
            word = match[0].lower()
            alone = re.search(rf"(?:[a-z,] ){match[0]}(?:[.,;)]| [a-z])", self.text)
            return match[0] if title in self.text or (alone and not mentions(self.text, word)) else word

        return re.sub(r"\b[A-Z][a-z]+\b|\bA\b", lowered, title)


class Pool:
    """The papers that are read: drawn by the seed, and only as many as are needed."""

    def __init__(self, rag: Rag, size: int, random: random.Random) -> None:
        self.rag, self.random = rag, random
        ids = rag.corpus.paper_ids()
        self.papers_in_corpus = len(ids)
        random.shuffle(ids)
        self._unread = ids[: max(200, _MOST_READ * size)]
        self._read: list[Paper] = []
        self._numbers_of: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Paper]:
        at = 0
        while at < len(self._read) or self._more():
            yield self._read[at]
            at += 1

    def _more(self) -> bool:
        while self._unread:
            ids, self._unread = self._unread[:BATCH], self._unread[BATCH:]
            documents = self.rag.corpus.documents(ids)
            papers = [Paper(documents[i]) for i in ids if i in documents]
            self._numbers_of.update(stem for paper in papers for stem in sorted(set(stems(paper.text))))
            self._read += papers
            if papers:
                return True
        return False

    def rarity(self, phrase: str) -> float:
        """How rare the words of a phrase are in what was read, on average."""
        own = stems(phrase)
        return (
            sum(math.log((1 + len(self._read)) / (1 + self._numbers_of[s])) for s in own) / len(own)
            if own
            else 0.0
        )

    def with_term(self, term: str) -> list[Paper]:
        """The papers that mention *term*: of those read, and of those that are found for it."""
        known = {paper.id: paper for paper in self._read}
        found = [span_of(hit).document_id for hit in self.rag.search(term, 5 * DEPTH)]
        more = self.rag.corpus.documents(dict.fromkeys(i for i in found if i not in known))
        every = [*self._read, *(Paper(document) for document in more.values())]
        return [paper for paper in every if mentions(paper.text, term) or mentions(paper.title, term)]
