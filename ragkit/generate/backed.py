"""A chat model's answer with the papers' own words behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from langchain_core.documents import Document

from ragkit.answer import Answer
from ragkit.config.components import component
from ragkit.flow import Flow, Token, emit
from ragkit.generate import Generator
from ragkit.generate.extractive import ExtractiveGenerator, quoting
from ragkit.text.question import Asked
from ragkit.text.words import without_asides


@component("backed")
@dataclass(frozen=True)
class BackedGenerator(Generator):
    """What `write` says, and behind it, word for word, the sentences that `quote` chooses.

    For small chat models: what they say wrong is dropped once it is checked, what they leave out is there
    nevertheless, and where they decline, the sentences are the answer.
    """

    write: Generator
    quote: ExtractiveGenerator = field(default_factory=ExtractiveGenerator)

    def flow(self, asked: Asked, passages: Sequence[Document], judged: Answer | None = None) -> Flow[Answer]:
        return (
            yield from self._backed(asked, (yield from self.write.flow(asked, passages, judged)), passages)
        )

    def mend(self, asked: Asked, passages: Sequence[Document], judged: Answer) -> Flow[Answer]:
        return (yield from self.write.mend(asked, passages, judged))

    def so_far(self, asked: Asked, text: str, passages: Sequence[Document]) -> Answer | None:
        return self.write.so_far(asked, text, passages)

    def translate(self, asked: Asked, answer: Answer) -> Flow[Answer]:
        return (yield from self.write.translate(asked, answer))

    def _backed(self, asked: Asked, answer: Answer, passages: Sequence[Document]) -> Flow[Answer]:
        chosen = (yield from self.quote.chosen(asked, passages)).sentences
        written = {_plain(claim.text) for claim in answer.claims}
        quotes = quoting([sentence for sentence in chosen if _plain(sentence.text) not in written])
        if not quotes:
            return answer
        claims = quotes if answer.abstained else (*answer.claims, *quotes)
        backed = answer.model_copy(update={"abstained": None, "claims": claims})
        shown = backed.text.removeprefix(answer.text) if written else backed.text
        yield from emit(Token(shown))
        return backed


def _plain(sentence: str) -> str:
    return without_asides(sentence).casefold()
