"""Conversations: questions that lean on those before them, and the files that keep what was said."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import aclosing, closing
from pathlib import Path
from typing import IO, Any

from langchain_core.chat_history import BaseChatMessageHistory, InMemoryChatMessageHistory
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, message_to_dict, messages_from_dict
from pydantic import ValidationError

from ragkit import platform, private
from ragkit.answer import Answer, Claim
from ragkit.errors import UsageError
from ragkit.flow import AsyncEvents, Events, Finished, aresult_of, result_of
from ragkit.rag import Rag
from ragkit.where import Where


class Conversation:
    """Questions to *rag*, each asked with what was said before it.

    What is said is kept in *history*, any LangChain chat history; without one, in memory.  A question and its
    answer are kept together once the answer is finished: a question that fails, or whose stream is closed
    early, is not recorded.  An answer that declines is kept like any other, since "and how many?" means the last
    question, answered or not.

    Examples:
        >>> conversation = ragkit.Conversation(rag)
        >>> _ = conversation.ask("How many parameters does BERT-large have?")
        >>> "24 layers" in conversation.ask("and how many layers?").text
        True
    """

    def __init__(self, rag: Rag, history: BaseChatMessageHistory | None = None) -> None:
        self.rag = rag
        self.history = MemoryChatHistory() if history is None else history

    def ask(self, question: str, where: str | Where | None = None, versions: bool = False) -> Answer:
        """The answer, its citations checked; arguments as of `Rag.ask`."""
        answer: Answer = result_of(self.stream(question, where, versions))
        return answer

    async def aask(self, question: str, where: str | Where | None = None, versions: bool = False) -> Answer:
        """`ask`, without blocking."""
        answer: Answer = await aresult_of(self.astream(question, where, versions))
        return answer

    def stream(self, question: str, where: str | Where | None = None, versions: bool = False) -> Events:
        """What happens while a question is answered; events as of `Rag.stream`."""
        with closing(self.rag.stream(question, self.history.messages, where, versions)) as events:
            for event in events:
                if isinstance(event, Finished):
                    self.history.add_messages(messages_of(event.result))
                yield event

    async def astream(
        self, question: str, where: str | Where | None = None, versions: bool = False
    ) -> AsyncEvents:
        """`stream`, without blocking."""
        said = await self.history.aget_messages()
        async with aclosing(self.rag.astream(question, said, where, versions)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    await self.history.aadd_messages(messages_of(event.result))
                yield event

    def reset(self) -> None:
        """Forget everything that was said; what `FileChatHistory` saved stays in its file."""
        self.history.clear()

    def save(self, path: str | Path) -> None:
        """Write the conversation to a new file and continue it there.

        Raises `UsageError` if the file exists or cannot be created.

        Examples:
            >>> conversation = ragkit.Conversation(rag)
            >>> _ = conversation.ask("How many parameters does BERT-large have?")
            >>> conversation.save("bert.jsonl")
            >>> resumed = ragkit.Conversation(rag, ragkit.FileChatHistory("bert.jsonl"))
            >>> len(resumed.answers)
            1
        """
        if Path(path).exists():
            raise UsageError(f"there is a file '{path}' already; save the conversation under another name")
        kept = FileChatHistory(path)
        for turn in _turns(self.history.messages):
            kept.add_messages(turn)
        self.history = kept

    @property
    def answers(self) -> list[Answer]:
        """The questions and their answers, oldest first.

        Verdicts and citations are included where ragkit wrote the history.
        """
        return [answer_of(turn) for turn in _turns(self.history.messages)]


def messages_of(answer: Answer) -> list[BaseMessage]:
    """A question and its answer as LangChain messages.

    Citations and verdicts are in the answer's `response_metadata`.
    """
    kept = ("abstained", "confidence", "unmentioned", "small_talk", "claims", "citations")
    checked = {name: value for name, value in answer.as_json().items() if name in kept}
    return [HumanMessage(answer.question), AIMessage(answer.text, response_metadata={"ragkit": checked})]


def answer_of(turn: Sequence[BaseMessage]) -> Answer:
    """The answer that a question and what follows it were made of, as far as the messages tell."""
    question = " ".join(str(m.text) for m in turn if isinstance(m, HumanMessage))
    replies = [m for m in turn if isinstance(m, AIMessage)]
    text = "\n\n".join(str(m.text) for m in replies)
    try:
        return Answer.model_validate(
            {**replies[-1].response_metadata["ragkit"], "question": question, "answer": text}
        )
    except (IndexError, KeyError, TypeError, ValidationError):  # another program's
        return Answer(question=question, claims=(Claim(text=text),) if text else ())


def _turns(messages: Sequence[BaseMessage]) -> list[list[BaseMessage]]:
    """Each question with what follows it."""
    turns: list[list[BaseMessage]] = []
    for message in messages:
        if isinstance(message, HumanMessage) or not turns:
            turns.append([])
        turns[-1].append(message)
    return turns


# --- where messages are kept


class MemoryChatHistory(InMemoryChatMessageHistory):
    """Messages in memory, lost when the program ends.

    A subclass, since creating LangChain's own class logs a deprecation warning.
    """


class FileChatHistory(BaseChatMessageHistory):
    """Messages in a file: one line of JSON for messages added together, such as a question and its answer.

    An empty list is where the conversation was begun anew; only what follows the last one counts.
    A line is on disk before `add_messages` returns, and those that other processes add meanwhile stay.  A line
    that a crash cut short is ignored, and removed when the next one is written.  Raises `UsageError` for a file
    that cannot be read or written, or that holds anything else; such a file is not changed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UsageError(f"the conversation in '{self.path}' cannot be read: {error.strerror}") from None
        return self._parsed(content)[0]

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        if messages:
            self._add([_brief(message_to_dict(m)) for m in messages])

    def clear(self) -> None:
        """Begin anew: `messages` are those added from now on.  The earlier ones stay in the file."""
        if self.messages:
            self._add([])

    def _add(self, messages: list[dict[str, Any]]) -> None:
        line = json.dumps(messages, ensure_ascii=False).encode(errors="replace")
        try:
            with open(self.path, "a+b", opener=private.opener) as file:
                self._lock(file)
                file.seek(0)
                content = file.read()
                kept = self._parsed(content)[1]
                if len(kept) < len(content):
                    file.truncate(len(kept))
                file.write((b"" if kept.endswith(b"\n") or not kept else b"\n") + line + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UsageError(f"the conversation cannot be saved in '{self.path}': {error.strerror}") from None

    def _lock(self, file: IO[bytes]) -> None:
        """Wait for other processes that write to it, which takes them a moment."""
        try:
            platform.HERE.lock_within(file, _PATIENCE)
        except BlockingIOError:
            raise UsageError(
                f"another process keeps '{self.path}' locked; end it or name another file"
            ) from None

    def _parsed(self, content: bytes) -> tuple[list[BaseMessage], bytes]:
        """The messages since the last reset, and as much of the file as is whole."""
        messages: list[BaseMessage] = []
        for number, line in enumerate(content.splitlines(keepends=True), 1):
            try:
                found = messages_from_dict(json.loads(line))
                messages = messages + found if found else []
            except (ValueError, KeyError, TypeError):
                if not line.endswith(b"\n") and line.startswith(_OPENING[: len(line)]):
                    return messages, content[: -len(line)]
                raise UsageError(
                    f"line {number} of '{self.path}' is not of a conversation; mend it or name another file (this one is left as it is)"
                ) from None
        return messages, content


_PATIENCE = 10.0  # seconds
_OPENING = b'[{"type": '
"""What every line begins with: a last one that does, and is not whole, is one that a crash cut short."""


def _brief(message: dict[str, Any]) -> dict[str, Any]:
    """A message without what is empty in it."""
    data = {name: value for name, value in message["data"].items() if value or name == "content"}
    return {"type": message["type"], "data": data}
