"""Replies to thanks, greetings and other small talk, which say what can be asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import ClassVar

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from pydantic import PositiveFloat

from ragkit.answer import Abstention, Answer, Claim
from ragkit.config.components import component
from ragkit.flow import Flow, Token, emit
from ragkit.generate import Generator
from ragkit.models.embeddings import Vectors, unit, vectors_of
from ragkit.text.anaphora import points_back
from ragkit.text.question import Asked
from ragkit.text.words import codes, sentences, stems

_SAMPLES = {
    "You are welcome.": "Thanks!|ok, thanks|Thx|Thank you very much for your help.|Great, that helps a lot."
    "|Perfect, that is all I need.|OK, got it.|I see.|Cool.|Well done!|Nice one.|You are very helpful.",
    "Hello. Ask me about the papers in this corpus.": "Hello!|Hi there.|Good morning.|How are you today?|What's up?"
    "|Nice to meet you.",
    "Goodbye.": "Goodbye.|Bye, see you later.|Have a nice day.|Take care.",
    "I answer questions from the papers in this corpus, and cite where they say so. Ask what a paper found, who wrote "
    "it, or which papers there are.": "Who are you?|What can you do?|What can I ask you?|How can you help me?"
    "|Are you a robot?|Who made you?|What is your name?|How old are you?|Tell me a joke.",
}
"""Each reply, and samples of what it replies to."""

_QUESTIONS = (
    "Why?|How much?|And the other one?|Which ones?|Tell me more about it.|Is that right?|Are you sure?"
    "|What does that mean?|What is it called?|Who wrote the paper?|How many layers does the model have?"
    "|What is it trained on?|How well does it do on the test set?|Which papers do you know?|What is a chatbot?"
    "|Where do the questions come from?|Please summarize the paper."
)
"""Samples of short questions that small talk must be told from."""

_MOST = 3
"""Content words of a sentence that may be small talk.  No sample has more, nor has any small talk of the
conversations; of 150 questions of a test set 134 have, so that nothing is embedded for them.
"""


@component("small_talk")
@dataclass(frozen=True)
class SmallTalkGenerator(Generator):
    """Replies to thanks, greetings, goodbyes and questions about the system; nothing is searched for them.

    A turn is small talk if each of its sentences is.  A sentence is if *embed* finds it nearer to a sample of
    small talk than to any sample of a question: nearer by `margin`, as a share of the distance to that question.
    One that points back (*does it help?*) or names a thing such as `GPT-4` is not.  The samples are in English.
    """

    embed: Embeddings
    margin: PositiveFloat = 0.3
    """Half way between the nearest of 355 questions of test sets (0.11) and the farthest small talk of the dev
    conversations (0.46), with all-MiniLM-L6-v2."""

    reads_passages: ClassVar[bool] = False
    needs_search: ClassVar[bool] = False

    def suits(self, asked: Asked) -> bool:
        return bool(self._replies(str(asked.text)))

    def flow(self, asked: Asked, passages: Sequence[Document], judged: Answer | None = None) -> Flow[Answer]:
        blank = Answer(question=str(asked.text), context=tuple(passages))
        replies = self._replies(str(asked.text))
        if not replies:
            return blank.model_copy(update={"abstained": Abstention(reason="it is no small talk")})
        claims = tuple(Claim(text=text, before=" " * bool(n)) for n, text in enumerate(replies))
        answer = blank.model_copy(update={"claims": claims, "small_talk": True})
        yield from emit(Token(answer.text))
        return answer

    def nearness(self, sentence: str) -> tuple[float, str]:
        """How much nearer *sentence* is to small talk than to a question, as `margin` counts; and the reply."""
        talk, questions, replies = self._samples
        [vector] = unit(vectors_of(self.embed, [sentence]))
        near = talk @ vector
        question = min(float((questions @ vector).max()), _SAME)
        return (float(near.max()) - question) / (1 - question), replies[int(near.argmax())]

    @cached_property
    def _replies(self) -> Callable[[str], tuple[str, ...]]:
        """The replies to a turn; none if it is no small talk.  `suits` and `flow` ask the same."""
        return lru_cache(maxsize=64)(self._told)

    def _told(self, text: str) -> tuple[str, ...]:
        said = [text[start:end] for start, end in sentences(text)]
        if not all(self._may_be_talk(each) for each in said):
            return ()
        found = [self.nearness(each) for each in said]
        return tuple(dict.fromkeys(r for _, r in found)) if all(n > self.margin for n, _ in found) else ()

    def _may_be_talk(self, sentence: str) -> bool:
        """Is it short, without a code, and does it not point back?  The parser is asked last: it takes long to load."""
        brief = len(set(stems(sentence))) <= _MOST and not codes(sentence)
        return brief and not (sentence.endswith("?") and points_back(sentence))

    @cached_property
    def _samples(self) -> tuple[Vectors, Vectors, list[str]]:
        """The vectors of small talk and of questions, and the reply to each of the former."""
        talk = [(reply, sample) for reply, samples in _SAMPLES.items() for sample in samples.split("|")]
        vectors = vectors_of(self.embed, [sample for _, sample in talk])
        questions = vectors_of(self.embed, _QUESTIONS.split("|"))
        return unit(vectors), unit(questions), [reply for reply, _ in talk]


_SAME = 0.999  # a cosine; a sample of a question is at no distance from itself
