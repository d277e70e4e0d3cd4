"""The sentences that answer, word for word; needs no chat model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from pydantic import PositiveFloat, PositiveInt

from ragkit.answer import Answer, Cited, Claim, Quote
from ragkit.config.components import component
from ragkit.document import Span, named, table_of, title_of
from ragkit.flow import Flow, Token, call, emit
from ragkit.generate import Generator
from ragkit.generate.sentence_scores import SentenceScores, Vector, quick_worth
from ragkit.models.embeddings import unit
from ragkit.models.reader import PassageReader, read_passages
from ragkit.text.question import Asked, Mentions, ParsedQuestion, mentioned
from ragkit.text.statements import PassageSentence, statements_of
from ragkit.text.words import stems


class Selection(NamedTuple):
    """Sentences that answer together, best first, and what their choice tells of them, for the gate.

    `covered` is the share of the question's words that the best one has, rare ones weighing most, `lead` how
    much better it is than the next, `chance` the log odds that the one that answers is among them, and
    `answers` the reader's log odds for the likeliest, if there is one.
    """

    sentences: Sequence[PassageSentence]
    signals: Mapping[str, float] = {}


@component("extractive")
@dataclass(frozen=True)
class ExtractiveGenerator(Generator):
    """The sentences that answer, word for word, each under the name of its paper; needs no chat model.

    A row of a table is a sentence, each cell with the name of its column.  A sentence is scored by its
    nearness to the question (by `embed`, if given); by the question's words that it has, the rare ones most,
    half as much where only the title, headings or caption above it have them; by how well its passage was
    ranked; by how likely the `reader`, if given, says that it answers; and by whether it has the kind of thing
    asked for.  A question that asks for several things gets the best sentence for each; one that asks for
    one, the best of all.  Then, up to `most`, comes whichever adds most of what the question asks and is not
    said yet, while it scores at least `share` of the best.  One that leans on the sentence before it, as *to counteract
    this, ...* does, brings it along.
    """

    embed: Embeddings | None = None
    reader: PassageReader | None = None
    most: PositiveInt = 3
    share: PositiveFloat = 0.6

    def flow(self, asked: Asked, passages: Sequence[Document], judged: Answer | None = None) -> Flow[Answer]:
        choice = yield from self.chosen(asked, passages)
        answer = Answer(
            question=str(asked.text),
            claims=quoting(choice.sentences),
            context=tuple(passages),
            choice=dict(choice.signals),
        )
        if answer.text:
            yield from emit(Token(answer.text))
        return answer

    def chosen(self, asked: Asked, passages: Sequence[Document]) -> Flow[Selection]:
        """The sentences that answer together, best first; those of one paper stand together.

        They are held against the question with what a follow-up takes along from the conversation.
        """
        question = asked.understood
        every = statements_of(passages)
        if not every:
            return Selection([])
        read = yield from self._read(question, passages)
        pool = _closest(question, every, read)
        known = _known(question.parts, passages)
        scores = yield from self._scores([question, *known] if len(known) > 1 else known, pool, read)
        whole = scores[0]
        taken = self._chosen(pool, whole, scores[1:] or scores)
        chosen = [pool[n] for n in taken]
        *_, second, best = [0.0, *np.sort(whole.worth)]
        covered = whole.overlap.sum(axis=1)[whole.worth.argmax()]
        signals = {
            "covered": float(covered),
            "lead": float(best - second),
            "chance": whole.chance(taken),
        }
        if read:
            signals["answers"] = max(read[s.span] for s in chosen)
        return Selection(_whole([s.about(question).in_context(passages) for s in chosen]), signals)

    def _read(self, asked: ParsedQuestion, passages: Sequence[Document]) -> Flow[Mapping[Span, float]]:
        """By the reader, the log odds of each statement that it answers; empty without a reader."""
        if self.reader is None:
            return {}
        read = yield from call("read", read_passages, self.reader, asked.text, passages)
        # Passages overlap: a sentence counts as it was read in the best of them.  One of a few words has no
        # statements, though it was read.
        return {
            statement.span: odds
            for each in reversed(read)
            for statement, odds in zip(each.statements, each.reading.answers.tolist(), strict=False)
        }

    def _scores(
        self, asked: Sequence[ParsedQuestion], pool: Sequence[PassageSentence], read: Mapping[Span, float]
    ) -> Flow[list[SentenceScores]]:
        near = np.zeros((len(asked), len(pool)))
        if self.embed is not None:
            texts = [
                "\n".join(filter(None, (title_of(s.passage), table_of(s.passage)[0], s.text))) for s in pool
            ]
            vectors = unit((yield from call("embed", self.embed.embed_documents, texts)))
            for row, part in enumerate(asked):
                near[row] = vectors @ unit((yield from call("embed", self.embed.embed_query, part.text)))
        return [SentenceScores.of(part, pool, own, read) for part, own in zip(asked, near, strict=True)]

    def _chosen(
        self, pool: Sequence[PassageSentence], whole: SentenceScores, of_parts: Sequence[SentenceScores]
    ) -> list[int]:
        taken: list[int] = []
        said = np.zeros(whole.overlap.shape[1])
        best = 0.0

        def take(gains: Vector, least: float) -> bool:
            nonlocal best, said
            gains = gains.copy()
            gains[
                [i for i in range(len(pool)) if any(_same(pool[i].text, pool[j].text) for j in taken)]
            ] = -np.inf
            if taken:  # another row of a table is an answer only if it has more of what is asked
                gains[
                    [i for i, s in enumerate(pool) if s.cells and (whole.overlap[i] <= said).all()]
                ] = -np.inf
            top = int(np.argmax(gains))
            if np.isneginf(gains[top]) or gains[top] < least:
                return False
            taken.append(top)
            best = max(best, float(gains[top]))
            said = np.maximum(said, whole.overlap[top])
            return True

        for part in of_parts[: self.most]:
            take(part.worth, -np.inf)
        while len(taken) < min(self.most, len(pool)):
            adds = np.maximum(whole.overlap - said, 0.0).sum(axis=1) + 0.5 * np.minimum(
                whole.overlap, said
            ).sum(axis=1)
            if not take(whole.beside_words + adds, self.share * best):
                break
        papers = list(dict.fromkeys(pool[i].span.document_id for i in taken))
        return sorted(taken, key=lambda i: papers.index(pool[i].span.document_id))


def _whole(chosen: Sequence[PassageSentence]) -> list[PassageSentence]:
    """*chosen* without those that others hold."""
    spans = [sentence.span for sentence in chosen]
    return [
        sentence
        for n, sentence in enumerate(chosen)
        if not any(
            other.holds(sentence.span) and (other != sentence.span or m < n)
            for m, other in enumerate(spans)
            if m != n
        )
    ]


def quoting(chosen: Sequence[PassageSentence]) -> tuple[Claim, ...]:
    """*chosen* word for word, each under the name of its paper."""
    claims: list[Claim] = []
    named = ""
    for sentence in chosen:
        title = title_of(sentence.passage)
        before = " " if title == named else f"\n\n“{title}”: " if title else "\n\n"
        cites = (Cited(quote=Quote.of(sentence.passage, sentence.span)),)
        claims.append(Claim(text=sentence.text, before=before, cites=cites, quoted=True))
        named = title
    return tuple(claims)


def _closest(
    asked: ParsedQuestion, pool: Sequence[PassageSentence], read: Mapping[Span, float]
) -> list[PassageSentence]:
    """The `_LOOKED_AT` sentences of *pool* with most of the question's words, in their order."""
    if len(pool) <= _LOOKED_AT:
        return list(pool)
    worth = quick_worth(asked, pool, read)
    return [pool[i] for i in sorted(np.argsort(-worth, kind="stable")[:_LOOKED_AT])]


_LOOKED_AT = 20
"""Sentences that are embedded.  With 12, 20, 30 and 50, 94, 96, 96 and 95 of 129 questions over full papers are answered
right (`benchmarks.full_papers`), and 88 of 125 over abstracts with each; 50 take a quarter more time a question than 20.
"""


def _known(asked: Sequence[ParsedQuestion], passages: Sequence[Document]) -> list[ParsedQuestion]:
    """Those of the things *asked* that *passages* mention; all, if there are none."""
    texts = [Mentions.of(named(passage)) for passage in passages]
    return [part for part in asked if mentioned(part, texts)] or list(asked)


def _same(one: str, other: str) -> bool:
    a, b = set(stems(one)), set(stems(other))
    return len(a & b) >= 0.8 * min(len(a), len(b))
