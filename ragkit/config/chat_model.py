"""A chat model in one word: what `--model` and RAGKIT_MODEL mean."""

from __future__ import annotations

import os
from typing import Any

from ragkit.config.layers import Document, Override
from ragkit.config.presets import path_of
from ragkit.errors import UsageError

VARIABLE = "RAGKIT_MODEL"
PLACE = "define.llm"
"""Where a pipeline file has the chat model that a word replaces."""

_OLLAMA = "http://localhost:11434/v1"  # where Ollama listens unless it is told otherwise
_SHAPES = "gpt-4o-mini, ollama/qwen3 or http://HOST:PORT/v1#NAME"


def word(model: str | None) -> str:
    """*model*, else what RAGKIT_MODEL says; empty if neither names one."""
    return os.environ.get(VARIABLE, "") if model is None else model


def arguments(model: str) -> dict[str, Any]:
    """The arguments of `openai` that a word stands for.  Raises `UsageError`.

    A bare name leaves the server as it is: OpenAI, or what the file says.
    """
    if model.startswith("ollama/") and model != "ollama/":
        return {"model": model.removeprefix("ollama/"), "base_url": _OLLAMA, "api_key": ""}
    if "://" in model:
        address, _, name = model.partition("#")
        if not name or not address.startswith(("http://", "https://")):
            raise UsageError(f"'{model}' is no chat model; write http://HOST:PORT/v1#NAME")
        return {"model": name, "base_url": address}
    if not model or "#" in model or model == "ollama/" or model != model.strip():
        raise UsageError(f"'{model}' is no chat model; write one such as {_SHAPES}")
    return {"model": model}


def put(document: Document, model: str | None, need_model: bool = True) -> None:
    """Let *model*, or RAGKIT_MODEL where the file takes its chat model from there, be the chat model.

    Raises `UsageError` if the file has no place for *model*, or, with *need_model*, if it needs a chat model
    and none is named.
    """
    written = document.at(f"{PLACE}.model")
    from_environment = written is not None and written.value == f"${{{VARIABLE}}}"
    if model is not None:
        given = arguments(model)
        if document.at(PLACE) is None:
            raise UsageError(
                f"--model {model}: '{document.name}' has no chat model at `{PLACE}`; extend the preset chat, or pass --preset chat"
            )
        label = f"--model {model}"
    elif from_environment and (named := word(None)):
        given = arguments(named)
        label = f"{VARIABLE}={named}"
        if set(given) == {"model"}:  # the file reads the variable itself
            return
    else:
        preset = (
            written is not None and written.start_mark and written.start_mark.name == str(path_of("chat"))
        )
        if need_model and from_environment and preset:
            raise UsageError(f"no chat model is named; pass --model or set {VARIABLE}, such as {_SHAPES}")
        return
    document.put(Override.of(PLACE, {"type": "openai", **given}, label))
