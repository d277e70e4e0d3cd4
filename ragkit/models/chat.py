"""Chat models: OpenAI-compatible endpoints, fallbacks, what replies cost, and what errors mean.

A model of another make is named by its import path.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from langchain_core.exceptions import ModelError as ChatModelError
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableBinding
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr

from ragkit.config.components import component
from ragkit.flow import time_left
from ragkit.models.prompt import shortened, usage

log = logging.getLogger("ragkit")


@component("openai")
def openai_chat(
    model: str,
    base_url: str | None = None,
    api_key: SecretStr = SecretStr(""),
    temperature: float = 0.0,
    max_tokens: PositiveInt = 512,
    timeout: PositiveFloat = 60.0,
    max_retries: NonNegativeInt = 2,
    input_price: NonNegativeFloat = 0.0,
    output_price: NonNegativeFloat = 0.0,
) -> BaseChatModel:
    """A chat model behind an OpenAI-compatible endpoint: OpenAI, vLLM, Ollama, llama.cpp.

    `timeout` is in seconds, for each wait on the server; a request that is refused for the moment (429),
    fails on the server (5xx) or loses its connection is made again, up to `max_retries` times, after as long
    as the server says, else after waits that double.  Prices are for a million tokens.  Without `api_key`,
    OPENAI_API_KEY is used; a server named by `base_url` may need none; an empty one is OpenAI's.  Raises `ValueError` if there is no
    key where one is needed.
    """
    from httpx2 import Limits
    from langchain_openai import ChatOpenAI
    from openai import OpenAIError

    from ragkit.models import http

    base_url = base_url or None
    given: dict[str, Any] = http.key(api_key, base_url)
    if input_price or output_price:
        given["metadata"] = {"input_price": input_price, "output_price": output_price}
    try:
        return ChatOpenAI(
            model=model,
            base_url=base_url,
            temperature=temperature,
            max_completion_tokens=max_tokens,
            timeout=timeout,
            max_retries=max_retries,
            stream_usage=True,
            http_client=http.client(),
            # a kept connection belongs to an event loop, and is an error in the next one
            http_async_client=http.AsyncClient(limits=Limits(max_keepalive_connections=0)),
            **given,
        )
    except OpenAIError:
        raise ValueError(
            f"there is no key for '{model}'; set OPENAI_API_KEY, or name a server of your own with 'base_url' or --model http://HOST:PORT/v1#NAME"
        ) from None


# --- several models that stand in for each other


@component("fallback")
def fallback_chat(models: Sequence[BaseChatModel]) -> BaseChatModel:
    """The first of `models`, and each next one when the one before cannot answer now.

    That is so when it cannot be reached, is too slow, has too many requests (429) or fails (5xx), after its
    own retries, and before the first token of a reply has come.  A request that is refused for what it is (a
    wrong key, an unknown model, a context that is too long) is an error, as with one model.
    """
    return FallbackChatModel(models=list(models))


class FallbackChatModel(BaseChatModel):
    """`fallback` as LangChain's interface.

    All arguments are passed on to the model that is asked, and only the run of that model is traced.
    """

    models: list[BaseChatModel] = Field(min_length=1)

    @property
    def _llm_type(self) -> str:
        return "fallback"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.invoke(messages, stop=stop, **kwargs))])

    def invoke(self, *given: Any, **named: Any) -> AIMessage:
        for model in self.models:
            try:
                return _priced(model.invoke(*given, **named), model)
            except Exception as error:
                if not self._goes_on(model, error):
                    raise
        raise AssertionError("the last model replies or raises")

    async def ainvoke(self, *given: Any, **named: Any) -> AIMessage:
        for model in self.models:
            try:
                return _priced(await model.ainvoke(*given, **named), model)
            except Exception as error:
                if not self._goes_on(model, error):
                    raise
        raise AssertionError("the last model replies or raises")

    def stream(self, *given: Any, **named: Any) -> Iterator[AIMessageChunk]:
        for model in self.models:
            waiting, spoken = [_priced(AIMessageChunk(content=""), model)], False
            try:
                for chunk in model.stream(*given, **named):
                    waiting.append(chunk)
                    if spoken := spoken or bool(chunk.content):
                        yield from waiting
                        waiting.clear()
                yield from waiting
                return
            except Exception as error:
                if spoken or not self._goes_on(model, error):
                    raise

    async def astream(self, *given: Any, **named: Any) -> AsyncIterator[AIMessageChunk]:
        for model in self.models:
            waiting, spoken = [_priced(AIMessageChunk(content=""), model)], False
            try:
                async for chunk in model.astream(*given, **named):
                    waiting.append(chunk)
                    if spoken := spoken or bool(chunk.content):
                        for each in waiting:
                            yield each
                        waiting.clear()
                for each in waiting:
                    yield each
                return
            except Exception as error:
                if spoken or not self._goes_on(model, error):
                    raise

    def _goes_on(self, model: BaseChatModel, error: Exception) -> bool:
        """Is the next model asked, because of *error* of this one?"""
        passing = (
            error.is_retryable
            if isinstance(error, ChatModelError)
            else isinstance(error, ConnectionError | TimeoutError)
        )
        if not passing or model is self.models[-1] or not time_left():
            return False
        log.warning(
            "%s; the next model is asked",
            explained(error) or f"the model cannot answer now ({type(error).__name__})",
        )
        return True


# --- what a reply took

# The price of a million tokens: in a model's metadata, or in that of its reply.
_PRICES = (
    "input_price",
    "output_price",
)

M = TypeVar("M", bound=BaseMessage)


def spent(model: object, reply: object) -> dict[str, int | float]:
    """What *model* used for *reply*: `input_tokens`, `output_tokens`, and `cost` if its prices are known.

    Empty if *reply* is no message.  The prices of a model of another make are its LangChain `metadata`:
    `{"input_price": 3.0, "output_price": 15.0}` for a million tokens.
    """
    if not isinstance(reply, BaseMessage):
        return {}
    tokens, known = usage(reply), {**prices(model), **_in(reply.response_metadata)}
    if not tokens or not known:
        return {**tokens}
    cost = sum(known.get(f"{way}_price", 0.0) * tokens.get(f"{way}_tokens", 0) for way in ("input", "output"))
    return {**tokens, "cost": cost / 1e6}


def prices(model: object) -> dict[str, float]:
    """The `input_price` and `output_price` of a million tokens of *model*, those that are known."""
    while isinstance(model, RunnableBinding):
        model = model.bound
    return _in(getattr(model, "metadata", None) or {})


def _in(metadata: Mapping[str, Any]) -> dict[str, float]:
    return {name: metadata[name] for name in _PRICES if name in metadata}


def _priced(reply: M, model: BaseChatModel) -> M:
    """*reply* with the prices of the model that gave it.

    Its reader may only know that the model was one of several.
    """
    return reply.model_copy(update={"response_metadata": {**prices(model), **reply.response_metadata}})


# --- what an error means

_MEANINGS: Mapping[type[ChatModelError], str] = {
    ContextOverflowError: (
        "{server} cannot take so long a prompt ({said}); give it less to read with {{type: token_budget, max_tokens: ...}} under"
        " 'refine', or start it with a longer context"
    ),
    ModelTimeoutError: "{server} took too long; give it longer with 'timeout', or ask a smaller model",
    ModelConnectionError: "{server} cannot be reached or broke off; see that it runs and that 'base_url' is right",
    ModelAuthenticationError: "{server} refuses the key; give another as 'api_key' or in OPENAI_API_KEY",
    ModelPermissionDeniedError: "{server} does not let this key ask this model; give another as 'api_key', or another 'model'",
    ModelNotFoundError: "{server} does not have what is asked for ({said}); correct 'model', or the path of 'base_url' (most end in /v1)",
    ModelRateLimitError: "{server} takes no more requests for now ({said}); ask later, or add another model with 'fallback'",
    ModelAPIError: "{server} failed ({said}); look at its log, or add another model with 'fallback'",
    ModelInvalidRequestError: "{server} does not take the request ({said}); correct the model's settings",
}


def explained(error: BaseException) -> str | None:
    """What an error of a chat model means and the way out, in one sentence; None for any other error.

    The sentence does not contain the API key.
    """
    meaning = next((meaning for kind, meaning in _MEANINGS.items() if isinstance(error, kind)), None)
    if meaning is None and type(error).__module__.partition(".")[0] == "openai":
        meaning = _MEANINGS[ModelAPIError]  # an error that comes in the midst of a stream
    if meaning is None:
        return None
    body, request = getattr(error, "body", None), getattr(error, "request", None)
    said = str(body.get("message", body) if isinstance(body, dict) else getattr(error, "message", error))
    if isinstance(error, ModelInvalidRequestError) and re.search(
        r"context (size|length|window)", said, re.IGNORECASE
    ):
        meaning = _MEANINGS[ContextOverflowError]
    server = "the model server"
    if request is not None:
        server += f" at {request.url.scheme}://{request.url.netloc.decode()}"
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        said = said.replace(key, "...") if len(key) > 7 else said
    return meaning.format(server=server, said=shortened(said, 200))
