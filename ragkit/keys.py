"""What else a passage is found by: key writers, and the replies of chat models that are kept for them.

A passage is found by its *keys*.  Each has one that is its title, its headings and its text; a key writer
adds others, such as questions that the passage answers or a summary of what stands above it.  A passage that
is found by any of them is read, and cited, as it stands in its paper.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel

from ragkit.config.components import interface
from ragkit.config.spec import describe
from ragkit.corpus.vectors import VectorCache
from ragkit.document import digest
from ragkit.flow import Flow, gather
from ragkit.models.prompt import fenced

_AT_ONCE = 8  # requests to a chat model; what has been answered is kept before the next ones are made


class Estimate(NamedTuple):
    """About how many calls of chat models, and how many keys."""

    calls: int = 0
    keys: int = 0


class KeptReplies:
    """Chat models with a cache: replies are kept in *corpus* by model, instruction and text."""

    def __init__(self, corpus: VectorCache) -> None:
        self.corpus = corpus

    def flow(self, llm: BaseChatModel, instruction: str, texts: Sequence[str]) -> Flow[list[str]]:
        """The reply of *llm* to *instruction* with each of *texts*, in order; see `ragkit.models.prompt`."""
        model, prompt = _fingerprint(llm), digest(instruction)
        keys = [digest(text) for text in texts]
        known = self.corpus.replies(model, prompt, keys)
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        waiting = list(new)
        for at in range(0, len(waiting), _AT_ONCE):
            some = waiting[at : at + _AT_ONCE]
            asked = [(llm.invoke, fenced(instruction, {"text": new[key]})) for key in some]
            replies = [str(message.text) for message in (yield from gather("keys", asked))]
            self.corpus.put_replies(model, prompt, dict(zip(some, replies, strict=True)))
            known |= zip(some, replies, strict=True)
        return [known[key] for key in keys]


@interface
class KeyWriter(ABC):
    """Writes keys for passages; what it writes is kept in the corpus, under the writer's settings."""

    kind: ClassVar[str]
    """What its keys are, in a word: `via` says it of a passage that is found by one."""

    @abstractmethod
    def flow(self, passages: Sequence[Document], replies: KeptReplies) -> Flow[Sequence[Sequence[str]]]:
        """The texts of further keys for each of *passages*.

        A chat model is asked by `yield from replies.flow(...)`, so that a reply is paid once; other calls
        that take long are made by `yield from call(...)` or `gather(...)`.
        """

    def estimate(self, passages: Sequence[Document]) -> Estimate:
        """The cost of `flow`, estimated without a model call; by default one call and one key per passage."""
        return Estimate(len(passages), len(passages))


def _fingerprint(llm: BaseChatModel) -> str:
    """Identifies a chat model and its settings.

    For a model that YAML cannot describe, its class and model name are used.
    """
    try:
        return digest(repr(describe(llm)))
    except TypeError:
        return digest(type(llm).__name__, str(getattr(llm, "model_name", None) or getattr(llm, "model", "")))
