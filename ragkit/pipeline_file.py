"""From a pipeline file to a `Rag` and back: where YAML and components meet."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import ragkit.generate.backed
import ragkit.generate.chat
import ragkit.generate.extractive
import ragkit.generate.metadata
import ragkit.index.bm25
import ragkit.index.chroma
import ragkit.index.flat
import ragkit.models.chat
import ragkit.models.embeddings
import ragkit.read.files
import ragkit.refine.chat
import ragkit.refine.context
import ragkit.refine.cross_encoder
import ragkit.refine.late_interaction
import ragkit.refine.mmr
import ragkit.verify.chat
import ragkit.verify.entailment
import ragkit.verify.evidence  # noqa: F401
from ragkit import chunk, config, fuse, gate, policy, retrieve, rewrite  # noqa: F401
from ragkit.config import components
from ragkit.config.schema import json_schema
from ragkit.config.spec import Spec, describe
from ragkit.errors import UsageError
from ragkit.rag import Rag

DEFAULT = Path(__file__).with_name("default.yaml")


def load(
    path: str | Path | None = None, *, corpus: str | Path | None = None, allow_import: Collection[str] = ()
) -> Rag:
    """The pipelines that a YAML file describes; without a *path*, `./ragkit.yaml` if there is one, else the
    default.

    *corpus* is used instead of the directory that the file names.  *allow_import* names packages whose import
    paths the file may use.  Raises `ConfigError`, which lists every problem of the file, or `UsageError` if
    there is none.
    """
    rag = config.load(Rag, find(path), allow_import)
    return rag if corpus is None else rag.moved(Path(corpus))


def check(path: str | Path | None = None, allow_import: Collection[str] = ()) -> Spec:
    """Report every problem of a file without building what it describes."""
    return config.check(Rag, find(path), allow_import)


def dump(rag: Rag, defaults: bool = False) -> str:
    """The YAML that `load` would turn back into *rag*; with *defaults*, every argument is written out.

    Raises `TypeError` for an object that no YAML describes; make it with `ragkit.use` instead of its
    constructor.
    """
    return config.dump(rag, defaults)


def find(path: str | Path | None) -> Path:
    """The pipeline file: *path*, `./ragkit.yaml`, or the packaged default."""
    if path is not None:
        return Path(path)
    return Path("ragkit.yaml") if Path("ragkit.yaml").exists() else DEFAULT


def schema() -> dict[str, Any]:
    """The JSON Schema of pipeline files."""
    return json_schema(Rag)


def catalogue(name: str | None = None) -> list[dict[str, Any]]:
    """Every component (or the ones called *name*): slot, name, summary, and arguments with type and default.

    Raises `UsageError` if there is none of that *name*.
    """
    found = [
        {
            "slot": slot.__name__,
            "name": known,
            "summary": components.summary(maker),
            "arguments": _arguments(maker),
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
    if isinstance(hint, type):
        return hint.__name__
    return (
        re.sub(r"(?<![\w.])[\w.]+\.(\w+)", r"\1", str(hint))
        .replace("Annotated[", "")
        .split(", Gt(")[0]
        .split(", Ge(")[0]
    )
