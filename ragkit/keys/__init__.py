"""What else a passage is found by: key writers, and the replies of chat models that are kept for them.

A passage is found by its *keys*.  Each has one that is its title, its headings and its text; a key writer
adds others, such as questions that the passage answers or a summary of what stands above it.  A passage that
is found by any of them is read, and cited, as it stands in its paper.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel

from ragkit.config.components import interface
from ragkit.config.spec import describe
from ragkit.corpus.vectors import VectorCache
from ragkit.document import digest
from ragkit.flow import Call, Flow
from ragkit.models.prompt import fenced

_AT_ONCE = 8  # requests to a chat model that are under way together


@dataclass(frozen=True)
class Estimate:
    """About how many calls of chat models and keys; the tokens of the calls, and what they cost.

    `cost` is in the unit of the models' prices and None if a model that is called has none.
    """

    calls: int = 0
    keys: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = 0.0

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(
            self.calls + other.calls,
            self.keys + other.keys,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            None if self.cost is None or other.cost is None else self.cost + other.cost,
        )


class KeptReplies:
    """Chat models with a cache: replies are kept in *corpus* by model, instruction and text."""

    def __init__(self, corpus: VectorCache) -> None:
        self.corpus = corpus
        self.dropped: Counter[str] = Counter()
        """What writers wrote and did not make keys of, by reason, such as `not supported by its passage`."""

    def flow(
        self, llm: BaseChatModel, instruction: str, texts: Sequence[str], **values: str
    ) -> Flow[list[str]]:
        """The reply of *llm* to *instruction* with each of *texts*, in order; see `ragkit.models.prompt`.

        *values* fill in further placeholders of the instruction.  Each reply is stored as soon as it arrives.
        """
        model, prompt, keys = (
            _fingerprint(llm),
            digest(instruction, *values.values()),
            list(map(digest, texts)),
        )
        known = self.corpus.replies(model, prompt, keys)
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        waiting = list(new)
        for at in range(0, len(waiting), _AT_ONCE):
            some = waiting[at : at + _AT_ONCE]
            replies = yield [
                Call(
                    "keys",
                    llm.invoke,
                    (fenced(instruction, {"text": new[key]}, **values),),
                    keep=partial(self._keep, model, prompt, key),
                )
                for key in some
            ]
            known |= zip(some, (str(message.text) for message in replies), strict=True)
        return [known[key] for key in keys]

    def _keep(self, model: str, prompt: str, key: str, message: object) -> None:
        self.corpus.put_replies(model, prompt, {key: str(getattr(message, "text", message))})

    def known(
        self, llm: BaseChatModel, instruction: str, texts: Sequence[str], **values: str
    ) -> list[str | None]:
        """What `flow` gives for *texts* without asking: None where a reply is not kept."""
        if not self.corpus.exists():
            return [None] * len(texts)
        keys = list(map(digest, texts))
        kept = self.corpus.replies(_fingerprint(llm), digest(instruction, *values.values()), keys)
        return [kept.get(key) for key in keys]

    def estimate(
        self, llm: BaseChatModel, instruction: str, texts: Sequence[str], reply_tokens: int, **values: str
    ) -> Estimate:
        """What `flow` would take for those of *texts* whose replies are not kept; no keys are counted.

        *reply_tokens* is about how long a reply is.
        """
        from ragkit.models.chat import prices
        from ragkit.models.tokens import counter, estimated

        replies = self.known(llm, instruction, texts, **values)
        new = {text for text, reply in zip(texts, replies, strict=True) if reply is None}
        if not new:
            return Estimate()
        name = _name(llm)
        count = counter(name) if name else estimated
        given, written = sum(map(count, new)) + len(new) * count(instruction), len(new) * reply_tokens
        cost = None
        if price := prices(llm):
            cost = (price.get("input_price", 0.0) * given + price.get("output_price", 0.0) * written) / 1e6
        return Estimate(len(new), 0, given, written, cost)


@interface
class KeyWriter(ABC):
    """Writes keys for passages; what it writes is kept in the corpus, under the writer's settings."""

    kind: ClassVar[str]
    """What its keys are, in a word: `via` says it of a passage that is found by one."""

    @abstractmethod
    def flow(self, passages: Sequence[Document], replies: KeptReplies) -> Flow[Sequence[Sequence[str]]]:
        """The texts of further keys for each of *passages*, which are all those of one paper or more.

        A chat model is asked by `yield from replies.flow(...)`, so that a reply is paid once; other calls
        that take long are made by `yield from call(...)` or `gather(...)`.
        """

    def estimate(self, passages: Sequence[Document], replies: KeptReplies) -> Estimate:
        """The cost of `flow`, estimated without a model call; by default one call and one key per passage."""
        return Estimate(len(passages), len(passages), cost=None)


def _name(llm: BaseChatModel) -> str:
    return str(getattr(llm, "model_name", None) or getattr(llm, "model", ""))


def _fingerprint(llm: BaseChatModel) -> str:
    """Identifies a chat model and its settings.

    For a model that YAML cannot describe, its class and model name are used.
    """
    try:
        return digest(repr(describe(llm)))
    except TypeError:
        return digest(type(llm).__name__, _name(llm))
