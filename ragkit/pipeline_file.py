"""From a pipeline file to a `Rag` and back: where YAML and components meet."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import ragkit.generate.extractive
import ragkit.generate.metadata
import ragkit.generate.small_talk
import ragkit.index.bm25
import ragkit.index.flat
import ragkit.models.embeddings
import ragkit.read.files
import ragkit.refine.context
import ragkit.verify.evidence  # noqa: F401
from ragkit import chunk, config, fuse, gate, policy, retrieve, rewrite  # noqa: F401
from ragkit.config import components
from ragkit.config.schema import json_schema
from ragkit.config.spec import FromEnvironment, Spec, describe
from ragkit.config.variables import ADDRESSES
from ragkit.errors import UsageError
from ragkit.rag import Rag

DEFAULT = Path(__file__).with_name("default.yaml")
LOCAL = Path("ragkit.yaml")

components.later(
    f"ragkit.{module}"
    for module in "generate.backed generate.chat index.chroma models.chat read.lookup.services refine.chat"
    " refine.cross_encoder refine.late_interaction refine.mmr verify.chat verify.entailment".split()
)

log = logging.getLogger("ragkit")


def load(
    path: str | Path | None = None,
    *,
    corpus: str | Path | None = None,
    allow_import: Collection[str] = (),
    allow_env: Collection[str] = (),
) -> Rag:
    """Load the pipelines that a YAML file describes.

    Without a *path*, that is `./ragkit.yaml` if it exists, else the default.  *corpus* is used instead of the
    directory that the file names.  *allow_import* names classes (or modules, or packages) that the file may
    import, *allow_env* environment variables that it may read beside those that begin with `RAGKIT_`.  Raises
    `ConfigError`, which lists every problem of the file, or `UsageError` if there is none, or if
    `./ragkit.yaml` was not named and asks for more than this machine's own parts.
    """
    file = find(path)
    if path is None and file == LOCAL:
        _demand_plain(config.check(Rag, file, allow_import, allow_env))
        log.warning("using the pipeline file ./%s of this folder; --config names another", LOCAL)
    rag = config.load(Rag, file, allow_import, allow_env)
    return rag if corpus is None else rag.moved(Path(corpus))


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
    """
    return config.dump(rag, defaults)


def find(path: str | Path | None) -> Path:
    """The pipeline file: *path*, `./ragkit.yaml`, or the packaged default."""
    if path is not None:
        return Path(path)
    return LOCAL if LOCAL.exists() else DEFAULT


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
