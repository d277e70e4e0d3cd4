"""Drafts written without a model, from sentences whose form says what can be asked of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from langchain_core.documents import Document

from ragkit.evaluate.testset.drafts import Draft
from ragkit.evaluate.testset.entries import Kind
from ragkit.evaluate.testset.papers import Paper, PaperSentence, Pool
from ragkit.evaluate.testset.phrase import (
    ATTRIBUTES,
    HEADS,
    NAME,
    OF_PAPERS,
    OF_SURVEYS,
    REPORTS,
    RIVALS,
    abbreviations,
    fact_questions,
    is_name,
    mentions,
    number_questions,
    things,
    ways_to_write,
)
from ragkit.text.words import STOPWORDS, codes


class Writer:
    """Drafts from sentences whose form says what can be asked of them."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._known: dict[str, bool] = {}  # by name: has the corpus it?
        self._times: Counter[str] = Counter()  # how often something unsaid was asked for

    def drafts(self, kind: Kind) -> Iterator[Draft | str]:
        """Drafts of a kind, or the reason why one was not written.

        First comes one for each paper, then a second for each, and so on.
        """
        if kind == "two_papers":
            yield from self._shared()
            return
        ways: dict[Kind, Callable[[Paper], Sequence[Draft | None]]] = {
            "number": self._numbers,
            "definition": self._definitions,
            "fact": self._facts,
            "unanswerable": self._unanswerable,
        }
        later = []
        for paper in self.pool:
            first, *others = ways[kind](paper) or [None]
            if first:
                yield first
            later += [(n, draft) for n, draft in enumerate(others) if draft]
        for _, draft in sorted(later, key=lambda each: each[0]):
            yield draft

    def confirms(self, draft: Draft, hits: Sequence[Document]) -> bool:
        """Is the draft right, as far as this writer can tell?"""
        return True

    def _draft(
        self,
        kind: Kind,
        question: str,
        answer: str,
        sentence: PaperSentence,
        must: Sequence[str] = (),
        about: str = "",
    ) -> Draft:
        alternatives = (tuple(must or self._telling(answer)),)
        return Draft(kind, question, answer, alternatives, (sentence,), (sentence.paper,), about)

    def _telling(self, answer: str) -> tuple[str, ...]:
        """Phrases of a long answer of which a right one has at least one: the rarest."""
        if len(answer.split()) <= 4:
            return (re.sub(r"^(?:by|via|through|an?|the) ", "", answer),)
        plain = re.sub(r"\([^)]{0,200}\)", ",", answer)
        phrases = [
            " ".join(p.split())
            for p in re.split(
                rf"[,;:“”\"]|--|(?<![\w-])(?:{'|'.join(sorted(STOPWORDS))}|therefore|specifically)(?![\w-])",
                plain,
                flags=re.IGNORECASE,
            )
        ]
        phrases = [p for p in dict.fromkeys(phrases) if 2 <= len(p.split()) <= 4 and not re.search(r"ly$", p)]
        phrases = phrases or [
            word for word in re.findall(r"[\w-]{5,}", plain) if word.casefold() not in STOPWORDS
        ]
        return tuple(sorted(phrases, key=lambda p: (-self.pool.rarity(p), p))[:3]) or (answer,)

    # one sentence, one question

    def _numbers(self, paper: Paper) -> list[Draft]:
        found = []
        for sentence in paper.sentences:
            for question, answer, about in number_questions(sentence):
                found.append(self._draft("number", question, answer, sentence, ways_to_write(answer), about))
        return found

    def _definitions(self, paper: Paper) -> list[Draft]:
        found = []
        for sentence in paper.sentences:
            for thing in things(sentence.plain, list(paper.coined)):
                if thing.defining and 5 <= len(thing.whole.split()) <= 40:
                    question = f"What is {thing.name}?"
                    found.append(self._draft("definition", question, thing.whole, sentence, about=thing.name))
            for full, short in abbreviations(sentence.plain):
                if short in paper.coined and not any(
                    mentions(p.text, short) for p in self.pool.with_term(short) if p.id != paper.id
                ):
                    question = f"What does {short} stand for?"
                    found.append(self._draft("definition", question, full, sentence, (full,), short))
        return found

    def _facts(self, paper: Paper) -> list[Draft]:
        found = []
        for sentence in paper.sentences:
            for thing in things(sentence.plain, list(paper.coined)):
                if question := thing.asked_for():
                    found.append(self._draft("fact", question, thing.name, sentence, (thing.name,)))
            for question, answer, about in fact_questions(sentence):
                found.append(self._draft("fact", question, answer, sentence, about=about))
        return found

    # questions over two papers, and over none

    def _shared(self) -> Iterator[Draft]:
        """Names that just two papers have."""
        by_name: dict[str, list[Paper]] = {}
        for paper in self.pool:
            own = codes(paper.text)
            for name in sorted(set(re.findall(NAME, paper.text))):
                if name.casefold() in own and is_name(name) and not re.search(r"LLMs?$|LMs$", name):
                    by_name.setdefault(name, []).append(paper)
        pairs = [(name, tuple(papers)) for name, papers in by_name.items() if len(papers) == 2]
        self.pool.random.shuffle(pairs)
        for name, papers in pairs:
            gold = tuple(
                next((s for s in paper.sentences if mentions(s.plain, name)), None) for paper in papers
            )
            said = [s for s in gold if s]
            if len(said) == 2 and {p.id for p in self.pool.with_term(name)} == {p.id for p in papers}:
                on = all(
                    re.search(rf"\bon (?:the )?{re.escape(name)}(?![\w-])", s.plain)
                    and REPORTS.search(s.plain)
                    for s in said
                )
                nouns = [
                    re.search(rf"(?<![\w-]){re.escape(name)} ({HEADS})\b(?! \w+ing)", s.plain) for s in said
                ]
                noun = next((f"the {name} {m[1]}" for m in nouns if m), name)
                if not noun.startswith("the ") and re.fullmatch(r"[A-Z]{1,5}s?", name) and not on:
                    continue  # an abbreviation that may stand for anything
                question = f"Which two papers {'report results on' if on else 'mention'} {noun}?"
                titles = [paper.title for paper in papers]
                must = tuple(
                    (p.title, p.title.partition(":")[0], *(n for n in p.coined if mentions(p.title, n)))
                    for p in papers
                )
                must = tuple(tuple(dict.fromkeys(alternatives)) for alternatives in must)
                answer = " and ".join(f"“{t}”" for t in titles)
                yield Draft("two_papers", question, answer, must, tuple(said), papers, name)

    def _unanswerable(self, paper: Paper) -> list[Draft | None]:
        """Questions about *paper* that the corpus does not answer.

        They have another name in place of the paper's key name, or ask for what no paper with that name says.
        Most questions that would do for any paper come late (after None).
        """
        found: list[Draft | None] = []
        for draft in [*self._numbers(paper), *self._facts(paper)]:
            if rival := self._rival(paper.coined.get(draft.about, "")) if draft.about else "":
                question = _renamed(draft.question, draft.about, rival)
                found.append(replace(_unanswered(draft), question=question))
        self.pool.random.shuffle(found)
        for name, head in paper.coined.items():
            fitting = [(q, guard) for heads, q, guard in ATTRIBUTES if re.fullmatch(heads, head)]
            found += self._unsaid(paper, fitting, name, head)
        is_survey = re.search(r"survey|review|overview|roadmap", paper.title, re.IGNORECASE)
        general = self._unsaid(paper, OF_SURVEYS if is_survey else OF_PAPERS)
        return [*found, *general] if found or self.pool.random.random() < 0.1 else [None, *general]

    def _unsaid(
        self, paper: Paper, asked: Sequence[tuple[str, str]], name: str = "", head: str = ""
    ) -> list[Draft]:
        """A question for what no paper that has the name says; of several, one that was not asked yet."""
        papers = self.pool.with_term(name) if name and asked else [paper]
        open_ = [
            question
            for question, guard in asked
            if not any(re.search(guard, p.text, re.IGNORECASE) for p in papers)
        ]
        if not open_:
            return []
        chosen = min(open_, key=lambda question: (self._times[question], self.pool.random.random()))
        self._times[chosen] += 1
        question = chosen.format(name=name, head=head, paper=paper.called)
        return [Draft("unanswerable", question, "", (), (), (paper,), name)]

    def _rival(self, head: str) -> str:
        """A name of the corpus's field that the corpus does not have; "" if its field is another."""
        family = next((names for heads, names in RIVALS if re.fullmatch(heads, head)), ())
        known = [name for name in family if self._is_known(name)]
        absent = [name for name in family if name not in known]
        return self.pool.random.choice(absent) if len(known) >= 3 and absent else ""

    def _is_known(self, name: str) -> bool:
        if name not in self._known:
            self._known[name] = bool(self.pool.with_term(name))
        return self._known[name]


def _unanswered(draft: Draft) -> Draft:
    return replace(draft, kind="unanswerable", answer="", must_include=(), gold=())


def _renamed(question: str, name: str, other: str) -> str:
    return re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w])", other, question)
