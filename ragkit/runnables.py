"""A `Rag` as parts of LangChain programs: a retriever, and a runnable whose answers stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, TypedDict

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool, ToolException, convert_runnable_to_tool
from pydantic import BaseModel, Field

from ragkit.answer import Answer, Claim
from ragkit.errors import UsageError
from ragkit.flow import Event, Finished
from ragkit.verify.streaming import ClaimReady
from ragkit.where import Where

if TYPE_CHECKING:
    from ragkit.rag import Rag


class PassageRetriever(BaseRetriever):
    """The best `k` passages after the refiners, as `Rag.search` returns them, of those that pass `where`.

    Those of older versions of a paper count only with `versions`.
    `invoke(query, k=...)` returns another number of them.
    """

    rag: Any
    k: int = 10
    where: Where | None = None
    versions: bool = False

    def _get_relevant_documents(
        self, query: str, *, run_manager: Any, k: int | None = None
    ) -> list[Document]:
        found: list[Document] = self.rag.search(query, *self._wanted(k))
        return found

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: Any, k: int | None = None
    ) -> list[Document]:
        found: list[Document] = await self.rag.asearch(query, *self._wanted(k))
        return found

    def _wanted(self, k: int | None) -> tuple[int, Where | None, bool]:
        return self.k if k is None else k, self.where, self.versions


class ConversationInput(TypedDict, total=False):
    """A question that may depend on earlier messages, of the passages that pass a filter; the arguments of `Rag.ask`."""

    question: str
    history: Sequence[BaseMessage | Mapping[str, str]] | None
    where: str | None
    versions: bool | None


class ToolInput(BaseModel):
    """What a model fills in to ask the papers."""

    question: str = Field(description="The question, in full: the papers know nothing of the conversation.")
    where: str | None = Field(
        None, description="A filter over the papers, such as `year >= 2020 and authors contains Devlin`."
    )


class AnswerRunnable(Runnable[str | ConversationInput, Answer]):
    """Answers questions, given as texts or as mappings with `question`, `history`, `where` and `versions`.

    A stream is the answer so far, each time that a sentence is checked; its last part is the whole answer, and a
    chain goes on with that one.  Raises `UsageError` for input of another form.
    """

    def __init__(self, rag: Rag) -> None:
        self.rag = rag
        self.name = "ragkit"

    def invoke(
        self,
        input: str | ConversationInput,  # noqa: A002  (LangChain's name)
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Answer:
        return self._call_with_config(lambda given: self.rag.ask(**_arguments(given)), input, config)

    async def ainvoke(
        self,
        input: str | ConversationInput,  # noqa: A002  (LangChain's name)
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Answer:
        async def answered(given: str | ConversationInput) -> Answer:
            return await self.rag.aask(**_arguments(given))

        return await self._acall_with_config(answered, input, config)

    def stream(
        self,
        input: str | ConversationInput,  # noqa: A002  (LangChain's name)
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[Answer]:
        yield from self._transform_stream_with_config(iter([input]), self._parts, config)

    async def astream(
        self,
        input: str | ConversationInput,  # noqa: A002  (LangChain's name)
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Answer]:
        async def alone() -> AsyncIterator[str | ConversationInput]:
            yield input

        async for part in self._atransform_stream_with_config(alone(), self._aparts, config):
            yield part

    def as_tool(
        self,
        args_schema: type[BaseModel] | None = None,
        *,
        name: str | None = None,
        description: str | None = None,
        arg_types: dict[str, type] | None = None,
    ) -> BaseTool:
        """A tool whose arguments are `question` and `where`; its reply to a model is the printed answer.

        For a wrong question or filter the reply is the sentence that says what is wrong, so that an agent can ask again.
        """
        tool = convert_runnable_to_tool(  # `as_tool` of LangChain warns that it is a beta
            _Answering(self.rag),
            args_schema or (None if arg_types else ToolInput),
            name=name or "ask_papers",
            description=description
            or "Answers a question from a corpus of papers, with citations that have been checked.",
            arg_types=arg_types,
        )
        tool.handle_tool_error = True
        return tool

    def _parts(self, inputs: Iterator[str | ConversationInput]) -> Iterator[Answer]:
        for given in inputs:
            arguments = _arguments(given)
            shown = _Shown(arguments["question"])
            with closing(self.rag.stream(**arguments)) as events:
                for event in events:
                    yield from shown.after(event)

    async def _aparts(self, inputs: AsyncIterator[str | ConversationInput]) -> AsyncIterator[Answer]:
        async for given in inputs:
            arguments = _arguments(given)
            shown = _Shown(arguments["question"])
            async with aclosing(self.rag.astream(**arguments)) as events:
                async for event in events:
                    for part in shown.after(event):
                        yield part


class _Answering(AnswerRunnable):
    """What a tool runs: wrong input is an error that a model may read."""

    def invoke(self, *given: Any, **kwargs: Any) -> Answer:
        try:
            return super().invoke(*given, **kwargs)
        except UsageError as error:
            raise ToolException(str(error)) from error

    async def ainvoke(self, *given: Any, **kwargs: Any) -> Answer:
        try:
            return await super().ainvoke(*given, **kwargs)
        except UsageError as error:
            raise ToolException(str(error)) from error


class _Shown:
    """What of an answer a reader may see so far."""

    def __init__(self, question: str) -> None:
        self.last = Answer(question=question)
        self.claims: dict[int, Claim] = {}

    def after(self, event: Event) -> Iterator[Answer]:
        """The answer after *event*, if there is more of it."""
        if isinstance(event, Finished):
            yield event.result
        if isinstance(event, ClaimReady):
            self.claims.pop(event.index, None)
            if event.shown:
                plain = {name: getattr(event.claim, name) for name in Claim.model_fields}
                self.claims[event.index] = Claim(**plain)
            claims = tuple(claim for _, claim in sorted(self.claims.items()))
            if claims != self.last.claims:
                self.last = self.last.model_copy(update={"claims": claims})
                yield self.last


def _arguments(given: object) -> dict[str, Any]:
    """The arguments of `Rag.ask`."""
    if isinstance(given, str):
        return {"question": given}
    if not isinstance(given, Mapping):
        raise UsageError(
            f"a question is a text or a mapping with 'question', not {type(given).__name__}; see `Rag.as_runnable`"
        )
    if unknown := set(given) - set(ConversationInput.__annotations__):
        raise UsageError(
            f"a question has no '{min(map(str, unknown))}': give a text, or 'question' with 'history', 'where' and 'versions'"
        )
    if not isinstance(given.get("question"), str):
        raise UsageError("a question needs 'question', a text, beside 'history', 'where' and 'versions'")
    return {name: value for name, value in given.items() if value is not None}


def passages_wanted(k: object) -> int:
    """*k* as the number of passages that a search returns.  Raises `UsageError` if it is none."""
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise UsageError(f"k={k!r} is no number of passages: give 1 or more")
    return k
