"""A chat model's answer with the papers' own words behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from langchain_core.documents import Document

from ragkit.answer import Answer
from ragkit.citation import render
from ragkit.config.components import component
from ragkit.flow import Flow, Token, emit
from ragkit.generate import Generator
from ragkit.generate.extractive import ExtractiveGenerator, added
from ragkit.verify.support import told


@component("backed")
@dataclass(frozen=True)
class BackedGenerator(Generator):
    """What `write` says, and behind it, word for word, the sentences that `quote` chooses.

    For small chat models: what they say wrong is dropped once it is checked, what they leave out is there nevertheless, and
    where they decline, the sentences are the answer.
    """

    write: Generator
    quote: ExtractiveGenerator = field(default_factory=ExtractiveGenerator)

    def flow(self, question: str, passages: Sequence[Document]) -> Flow[Answer]:
        return (yield from self._backed((yield from self.write.flow(question, passages)), passages))

    def again(self, question: str, passages: Sequence[Document], judged: Answer) -> Flow[Answer]:
        return (yield from self._backed((yield from self.write.again(question, passages, judged)), passages))

    def so_far(self, question: str, text: str, passages: Sequence[Document]) -> Answer | None:
        return self.write.so_far(question, text, passages)

    def translated(self, answer: Answer) -> Flow[Answer]:
        return (yield from self.write.translated(answer))

    def _backed(self, answer: Answer, passages: Sequence[Document]) -> Flow[Answer]:
        chosen = yield from self.quote.chosen(answer.question, passages)
        if answer.abstained:
            if not chosen:
                return answer
            answer = Answer(question=answer.question, text="", context=answer.context)
        said = {_plain(claim.text) for claim in answer.claims}
        backed = added(answer, [sentence for sentence in chosen if _plain(sentence.text) not in said])
        if more := backed.claims[len(answer.claims) :]:
            yield from emit(Token(f"\n\n{render(more)}" if said else render(more)))
        return backed


def _plain(sentence: str) -> str:
    return told(sentence).casefold()
