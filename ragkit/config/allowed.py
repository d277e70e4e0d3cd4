"""What a pipeline file may import: a file may be a stranger's, so nothing is imported that is neither listed
here nor allowed by the user.

A class is listed with the arguments that a file may set.  None of them runs code, reads files of others,
names a server that is sent a key from the environment, or opens a store that unpickles what it finds.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

Settable = Mapping[str, frozenset[str] | None]
"""The arguments that may be set; for one that is a mapping of options, those of its keys that may be."""


def _settable(names: str, **options: str) -> Settable:
    return {
        **dict.fromkeys(names.split()),
        **{name: frozenset(keys.split()) for name, keys in options.items()},
    }


_PACKAGE = "langchain_text_splitters"
_SPLITTER = "chunk_size chunk_overlap keep_separator add_start_index strip_whitespace"
_SPLITTERS = {
    f"{_PACKAGE}.RecursiveCharacterTextSplitter": f"{_SPLITTER} separators is_separator_regex",
    f"{_PACKAGE}.RecursiveCharacterTextSplitter.from_language": f"{_SPLITTER} language",
    f"{_PACKAGE}.RecursiveCharacterTextSplitter.from_tiktoken_encoder": (
        f"{_SPLITTER} separators is_separator_regex encoding_name model_name"
    ),
    f"{_PACKAGE}.CharacterTextSplitter": f"{_SPLITTER} separator is_separator_regex",
    f"{_PACKAGE}.TokenTextSplitter": f"{_SPLITTER} encoding_name model_name",
    f"{_PACKAGE}.MarkdownTextSplitter": _SPLITTER,
    f"{_PACKAGE}.LatexTextSplitter": _SPLITTER,
}
_QDRANT = (
    "embedding collection_name distance vector_name content_payload_key metadata_payload_key"
    " validate_embeddings validate_collection_config"
)
_SAMPLING = "model temperature timeout max_retries stop_sequences top_p"

LISTED: Mapping[str, Settable] = {
    **{path: _settable(names) for path, names in _SPLITTERS.items()},
    "langchain_anthropic.ChatAnthropic": _settable(f"{_SAMPLING} max_tokens top_k"),
    "langchain_chroma.Chroma": _settable("collection_name embedding_function persist_directory"),
    "langchain_core.vectorstores.InMemoryVectorStore": _settable("embedding"),
    "langchain_openai.ChatOpenAI": _settable(
        f"{_SAMPLING} max_completion_tokens seed presence_penalty frequency_penalty reasoning_effort verbosity"
        " stream_usage"
    ),
    "langchain_openai.OpenAIEmbeddings": _settable("model dimensions chunk_size timeout max_retries"),
    "langchain_qdrant.QdrantVectorStore": _settable(f"{_QDRANT} client"),
    "langchain_qdrant.QdrantVectorStore.construct_instance": _settable(
        _QDRANT,
        client_options="location url host port grpc_port prefer_grpc https prefix timeout api_key",
    ),
}


class NotAllowed(LookupError):
    """An import, or an argument of what is imported, that nobody allowed; the message says how to."""


def demand_import(path: str, allow: Collection[str]) -> None:
    """Refuse to import what *path* names unless it is listed or allowed.  Raises `NotAllowed`."""
    if path not in LISTED and not _is_allowed(path, allow):
        raise NotAllowed(f"importing '{path}' is not allowed; if you trust it, pass --allow-import {path}")


def demand_definition(path: str, defined: str, allow: Collection[str]) -> None:
    """Refuse what *path* leads to if a module that is allowed as a whole only lends it out: where it is
    *defined* must be allowed too, unless the user named the class itself.  Raises `NotAllowed`.
    """
    if path not in LISTED and not {path, path.rpartition(".")[0]} & _named(allow):
        demand_import(defined, allow)


def settable(path: str, allow: Collection[str]) -> Settable | None:
    """What may be set of what *path* names; None for anything, of what the user allowed."""
    return None if "." not in path or _is_allowed(path, allow) else LISTED.get(path)


def _is_allowed(path: str, allow: Collection[str]) -> bool:
    return any(f"{path}.".startswith(f"{name}.") for name in _named(allow))


def _named(allow: Collection[str]) -> set[str]:
    """What the user allows, by argument or by the environment variable RAGKIT_ALLOW_IMPORT: packages,
    modules or classes.
    """
    return {*allow, *os.environ.get("RAGKIT_ALLOW_IMPORT", "").replace(",", " ").split()}
