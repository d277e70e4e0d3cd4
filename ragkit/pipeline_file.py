"""From a pipeline file to a `Rag` and back: where YAML and components meet."""

from __future__ import annotations

import json
import logging
import re
import typing
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union

import ragkit.generate.extractive
import ragkit.generate.metadata
import ragkit.generate.small_talk
import ragkit.index.bm25
import ragkit.index.flat
import ragkit.models.embeddings
import ragkit.models.reader
import ragkit.read.files
import ragkit.refine.context
import ragkit.refine.reader
import ragkit.verify.evidence  # noqa: F401
from ragkit import chunk, config, fuse, gate, policy, retrieve, rewrite  # noqa: F401
from ragkit.config import chat_model, components, layers, presets
from ragkit.config.layers import Document, Override
from ragkit.config.problems import did_you_mean
from ragkit.config.schema import json_schema
from ragkit.config.spec import FromEnvironment, Spec, describe
from ragkit.config.variables import ADDRESSES
from ragkit.corpus import places
from ragkit.effects import published
from ragkit.errors import UsageError
from ragkit.rag import Rag

DEFAULT = presets.path_of("default")
LOCAL = Path("ragkit.yaml")

components.later(
    f"ragkit.{module}"
    for module in "corpus.postgres generate.backed generate.chat index.chroma index.pgvector index.qdrant keys.chat keys.plain"
    " models.adapted models.chat read.lookup.services refine.chat refine.cross_encoder refine.late_interaction refine.mmr rewrite.weighted verify.chat"
    " verify.entailment".split()
)

log = logging.getLogger("ragkit")


def load(
    path: str | Path | Mapping[str, Any] | None = None,
    *,
    preset: str | None = None,
    model: str | None = None,
    overrides: Mapping[str, Any] | Sequence[Override] = (),
    corpus: str | Path | None = None,
    corpus_name: str | None = None,
    allow_import: Collection[str] = (),
    allow_env: Collection[str] = (),
) -> Rag:
    """Load the pipelines that a YAML file, or a dictionary of the same shape, describes.

    Without a *path* or a *preset* (see `ragkit.config.presets`), that is `./ragkit.yaml` if it exists, else the
    default; with a *model*, or RAGKIT_MODEL in the environment, the preset `chat` instead of the default.
    *model* is a chat model in a word, such as `gpt-4o-mini`, `ollama/qwen3` or `http://HOST:PORT/v1#NAME`, and
    replaces `llm` under `define`.  *overrides* are values by their dotted paths, such as
    `{"answer.refine.k": 3}`.  *corpus* is used instead of the directory that the file names, and *corpus_name* a
    corpus in the user's data folder.  Where nobody names one, it is `.ragkit` in the working directory, else the
    user's own one in the nearest folder above it, if there is one; see `ragkit.corpus.places`.  *allow_import*
    names classes (or modules, or packages) that the file may import, *allow_env* environment variables that it
    may read beside those that begin with `RAGKIT_`.  Raises `ConfigError`, which lists every problem of the
    file, or `UsageError` if there is none, or if `./ragkit.yaml` was not named and asks for more than this
    machine's own parts.

    Examples:
        >>> rag = ragkit.load({"extends": "default", "answer": {"policy": "flag"}}, overrides={"answer.refine.k": 3})
        >>> rag.answer_pipeline.policy
        'flag'
    """
    document = read(path, preset, model, overrides, allow_import, allow_env)
    if path is None and preset is None and document.name == str(LOCAL):
        log.warning("using the pipeline file ./%s of this folder; --config names another", LOCAL)
    rag = config.make(Rag, document, allow_import, allow_env)
    place = places.named(corpus_name) if corpus_name is not None else corpus
    if corpus is not None and corpus_name is not None:
        raise UsageError(f"--corpus {corpus} and --corpus-name {corpus_name} exclude each other")
    if place is None and not _names_corpus(document, path, overrides):
        place = places.upwards()
    if place is None or place == rag.corpus.place:
        return rag
    return rag.moved(places.place_of(str(place)))


def _names_corpus(
    document: Document, path: object, overrides: Mapping[str, Any] | Sequence[Override]
) -> bool:
    """Does the user name a corpus?  Presets name the usual one."""
    node = document.at("corpus")
    keys = overrides if isinstance(overrides, Mapping) else [override.path for override in overrides]
    given = [*keys, *(path if isinstance(path, Mapping) else ())]
    return "corpus" in given or (node is not None and node.value != str(places.DEFAULT))


def read(
    path: str | Path | Mapping[str, Any] | None = None,
    preset: str | None = None,
    model: str | None = None,
    overrides: Mapping[str, Any] | Sequence[Override] = (),
    allow_import: Collection[str] = (),
    allow_env: Collection[str] = (),
    need_model: bool = True,
) -> Document:
    """The file that `load` builds, with all that it extends and that is set on top of it, not yet checked.

    With *need_model*, a preset that needs a chat model is refused without one.
    """
    if isinstance(path, Mapping):
        if preset is not None:
            raise UsageError(
                "a dictionary and a preset exclude each other; write `extends` into the dictionary"
            )
        document = layers.of_data(path, "the dictionary")
    else:
        file = find(path, preset, model)
        if path is None and preset is None and file == LOCAL:
            _demand_plain(config.check(Rag, file, allow_import, allow_env))
        document = config.read(file)
    if isinstance(overrides, Mapping):
        overrides = [Override.of(key, value) for key, value in overrides.items()]
    return changed(document, model, overrides, need_model)


def changed(
    document: Document, model: str | None, overrides: Sequence[Override], need_model: bool = True
) -> Document:
    """*document* with the chat model *model* (or RAGKIT_MODEL) and then *overrides* set in it."""
    chat_model.put(document, model, need_model)
    for override in overrides:
        document.put(override)
    return document


def check(
    path: str | Path | None = None, allow_import: Collection[str] = (), allow_env: Collection[str] = ()
) -> Spec:
    """Report every problem of a file without building what it describes."""
    return config.check(Rag, find(path), allow_import, allow_env)


def _demand_plain(value: Any) -> None:
    """Refuse a file that lay in the folder and that nobody named if it asks for more than ragkit's own parts
    on this machine.
    """
    if isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            _demand_plain(each)
    asks_for = ""
    if isinstance(value, FromEnvironment):
        asks_for = f"the environment variable in '{value.written}'"
    elif isinstance(value, Spec):
        if "." in value.name:
            asks_for = f"the import '{value.name}'"
        elif ADDRESSES & set(components.parameters(value.maker)):
            asks_for = f"a server ({value.name})"
        _demand_plain(value.arguments)
    if asks_for:
        raise UsageError(
            f"./{LOCAL} of this folder was not named and asks for {asks_for}; if you trust it, pass --config {LOCAL}"
        )


def dump(rag: Rag, defaults: bool = False) -> str:
    """The YAML that `load` would turn back into *rag*; with *defaults*, every argument is written out.

    Raises `TypeError` for an object that no YAML describes; make it with `ragkit.use` instead of its
    constructor.

    Examples:
        >>> "policy: flag" in ragkit.dump(ragkit.load(overrides={"answer.policy": "flag"}))
        True
    """
    return config.dump(rag, defaults)


def shown(document: Document, allow_import: Collection[str] = (), allow_env: Collection[str] = ()) -> str:
    """A file as YAML with every argument written out, and an anchor for each component under `define`."""
    return config.show(Rag, document, allow_import, allow_env)


def find(path: str | Path | None, preset: str | None = None, model: str | None = None) -> Path:
    """The pipeline file: *path*, the one of *preset*, `./ragkit.yaml`, or the packaged default, which is the
    preset `chat` if there is a *model* or RAGKIT_MODEL names one.  Raises `UsageError`.
    """
    if path is not None and preset is not None:
        raise UsageError(
            f"--config {path} and --preset {preset} exclude each other; write `extends` into the file"
        )
    if preset is not None:
        if preset not in presets.names():
            raise UsageError(
                f"no preset is called '{preset}'{did_you_mean(preset, presets.names())}; `ragkit presets` lists them"
            )
        return presets.path_of(preset)
    if path is not None:
        return Path(path)
    if LOCAL.exists():
        return LOCAL
    return presets.path_of("chat") if chat_model.word(model) else DEFAULT


def schema() -> dict[str, Any]:
    """The JSON Schema of pipeline files."""
    return json_schema(Rag)


def catalogue(name: str | None = None) -> list[dict[str, Any]]:
    """Every component (or the ones called *name*): slot, name, summary, arguments with type and default,
    the titles of the papers that it comes from, and its measured effects.

    Raises `UsageError` if there is none of that *name*.
    """
    found = [
        {
            "slot": slot.__name__,
            "name": known,
            "summary": components.summary(maker),
            "arguments": _arguments(maker),
            "papers": list(components.credits_of(maker)),
            "effects": published(slot.__name__, known),
        }
        for slot in components.interfaces()
        for known, maker in sorted(components.names(slot).items())
        if name in (None, known)
    ]
    if not found:
        raise UsageError(f"no component is called '{name}'; `ragkit components` lists them all")
    return found


def _arguments(maker: components.Maker) -> list[dict[str, str]]:
    return [
        {
            "name": word,
            "type": _type_name(p.hint),
            "default": "" if p.required else json.dumps(describe(p.default), default=str),
        }
        for word, p in components.parameters(maker).items()
    ]


def _type_name(hint: Any) -> str:
    """*hint* as it is written, without limits on its values."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _type_name(inner[0])
    if origin is Literal:
        return " | ".join(map(json.dumps, inner))
    if origin in (Union, UnionType):
        return " | ".join(map(_type_name, inner))
    if origin is None or isinstance(hint, list):
        return (
            "None"
            if hint is type(None)
            else re.sub(r"(?<![\w.])[\w.]+\.(\w+)", r"\1", getattr(hint, "__name__", str(hint)))
        )
    return f"{_type_name(origin)}[{', '.join(map(_type_name, inner))}]"
