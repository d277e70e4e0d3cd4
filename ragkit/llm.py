"""Chat models: any behind an OpenAI-compatible endpoint.  A model of another make is named by its import path."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from pydantic import PositiveFloat, PositiveInt, SecretStr

from ragkit.registry import component


@component("openai")
def openai_chat(
    model: str,
    base_url: str | None = None,
    api_key: SecretStr = SecretStr(""),
    temperature: float = 0.0,
    max_tokens: PositiveInt = 512,
    timeout: PositiveFloat = 60.0,
    max_retries: int = 2,
) -> BaseChatModel:
    """A chat model behind an OpenAI-compatible endpoint: OpenAI, vLLM, Ollama, llama.cpp.

    `timeout` is in seconds.  Without `api_key`, OPENAI_API_KEY is used; a server named by `base_url` may need none.
    """
    from langchain_openai import ChatOpenAI

    key = api_key if api_key.get_secret_value() or base_url is None else SecretStr("none")
    given: dict[str, Any] = {"api_key": key} if key.get_secret_value() else {}
    return ChatOpenAI(
        model=model,
        base_url=base_url,
        temperature=temperature,
        max_completion_tokens=max_tokens,
        timeout=timeout,
        max_retries=max_retries,
        stream_usage=True,
        **given,
    )
