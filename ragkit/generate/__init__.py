"""Passages to an answer: verbatim sentences, without a model (`extractive`), or a chat model's own words (`chat`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from langchain_core.documents import Document

from ragkit.answer import Answer
from ragkit.config.components import interface
from ragkit.flow import Flow


@interface
class Generator(ABC):
    """Writes the answer to a question from passages."""

    @abstractmethod
    def flow(self, question: str, passages: Sequence[Document]) -> Flow[Answer]:
        """An answer whose claims cite spans of *passages*; judging it is the verifier's.

        One that declines says why in `abstained`.
        """

    def again(self, question: str, passages: Sequence[Document], judged: Answer) -> Flow[Answer]:
        """Another answer, now that the claims of the first are *judged*; by default it is written as the first was."""
        return self.flow(question, passages)

    def so_far(self, question: str, text: str, passages: Sequence[Document]) -> Answer | None:
        """What *text*, the whole sentences that a chat model has streamed so far, claims; None if only the end can tell."""
        return None

    def translated(self, answer: Answer) -> Flow[Answer]:
        """*answer*, verified, as the reader gets it: in the language of its question; by default as it is."""
        return answer
        yield []
