"""Writes answers: verbatim (`extractive`), by a chat model (`cited`, `structured`), from `metadata`, to `small_talk`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from langchain_core.documents import Document

from ragkit.answer import Answer
from ragkit.config.components import interface
from ragkit.flow import Flow
from ragkit.text.question import Asked


@interface
class Generator(ABC):
    """Writes the answer to a question from passages."""

    reads_passages: ClassVar[bool] = True
    """Does it write from the passages?  If not, the gate does not ask whether they are relevant, and the
    verdicts and the confidence are its own.
    """

    needs_search: ClassVar[bool] = True
    """Does it need what is found?  If not, nothing is searched for when it `suits` the question."""

    def suits(self, asked: Asked) -> bool:
        """Is it made for such a question?  By default, for any."""
        return True

    @abstractmethod
    def flow(self, asked: Asked, passages: Sequence[Document], judged: Answer | None = None) -> Flow[Answer]:
        """An answer whose claims cite spans of *passages*; judging it is the verifier's.

        *judged*: an earlier answer, whose unsupported claims are not to be made again.  An answer that
        abstains says why in `abstained`.
        """

    def mend(self, asked: Asked, passages: Sequence[Document], judged: Answer) -> Flow[Answer]:
        """Claims to replace the unsupported ones of *judged*; by default, the whole of a new answer."""
        return self.flow(asked, passages, judged)

    def so_far(self, asked: Asked, text: str, passages: Sequence[Document]) -> Answer | None:
        """The claims in *text*, the complete sentences streamed so far; None if it is too early to tell."""
        return None

    def translate(self, asked: Asked, answer: Answer) -> Flow[Answer]:
        """*answer*, verified, in the language of the question; by default as it is."""
        return answer
        yield []
