"""How many tokens a text has for a chat model, counted without the network.

OpenAI's models are counted exactly, with the tables of the package bpe-openai (byte for byte those that
tiktoken downloads); any other model with its `tokenizer.json`, if that is on this machine.  Otherwise four
bytes of UTF-8 count as one token, and a warning says so once.
"""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable
from pathlib import Path

from ragkit.models import hub as models

Counter = Callable[[str], int]

log = logging.getLogger("ragkit")

_TABLES = ("cl100k_base", "o200k_base")
_AT_ONCE = 50_000  # characters, so that no piece can reach bpe-openai's limit of 200,000 tokens


@functools.cache
def counter(model: str) -> Counter:
    """A function that counts a text's tokens as *model* does.

    *model* is the name of an OpenAI model, of an encoding (`o200k_base`) or of a model in the Hugging Face
    cache, or a directory with a `tokenizer.json`.

    Special tokens (`<|endoftext|>`) count as the text that they are.  A text of more than 50,000 characters
    is counted in pieces, which can make a token or two more.
    """
    encoding = _encoding_of(model)
    found = _bundled(encoding) if encoding else _own(model)
    if found:
        return found
    log.warning(
        "no tokenizer of '%s' is on this machine: its tokens are estimated, four bytes of text each", model
    )
    return estimated


def _encoding_of(model: str) -> str:
    """The name of the encoding of a model of OpenAI's; empty for any other."""
    from tiktoken import encoding_name_for_model

    name = model.removeprefix("openai/").removesuffix(":latest")
    try:
        encoding = name if name in _TABLES else encoding_name_for_model(name)
    except KeyError:
        return ""
    return "o200k_base" if encoding == "o200k_harmony" else encoding  # which adds special tokens only


def _bundled(encoding: str) -> Counter | None:
    if encoding not in _TABLES:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of how it opens its tables
            import bpe_openai
    except ImportError:  # there is no wheel for this platform
        return None
    encode = bpe_openai.get_encoding(encoding).encode_ordinary
    return lambda text: sum(len(encode(text[at : at + _AT_ONCE])) for at in range(0, len(text), _AT_ONCE))


def _own(model: str) -> Counter | None:
    """The tokenizer that comes with a model, from the directory *model* or the Hugging Face cache.

    None if it is in neither.
    """
    directory = models.folder_named(model)
    if directory is None or not (directory / "tokenizer.json").is_file():
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            found = try_to_load_from_cache(model, "tokenizer.json")
        except HFValidationError:
            return None
        if not isinstance(found, str):
            return None
        directory = Path(found).parent
    tokenizer = models.tokenizer(directory)
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def estimated(text: str) -> int:
    """A token for every four bytes of UTF-8."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // 4)
