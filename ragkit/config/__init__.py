"""YAML in, objects out, and back again.

    load(Rag, "configs/default.yaml")     file -> Spec -> objects
    dump(rag)                             objects -> Spec -> YAML

A pipeline file is a constructor call written in YAML: each mapping names the arguments of one class, and
`type` picks the class where several would fit.  Checking and building are separate, so `check` reports every
mistake of a file at once, with its place, and loads no model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml

from ragkit.config import components, layers
from ragkit.config.checker import Checker
from ragkit.config.layers import DEFINITIONS, Document
from ragkit.config.spec import Refused, Spec, build, describe, remember, specs_in
from ragkit.errors import ConfigError, UsageError

T = TypeVar("T")


def load(cls: type[T], path: str | Path, allow: Collection[str] = (), allow_env: Collection[str] = ()) -> T:
    """Check the file, then build the *cls* it describes.  *allow* names classes, modules or packages
    that may be imported beside those listed in `ragkit.config.allowed`, *allow_env* environment variables that
    may be read beside those that begin with `RAGKIT_`.

    Raises `ConfigError` with every problem of the file, `UsageError` if there is no such file.
    """
    return make(cls, read(path), allow, allow_env)


def loads(
    cls: type[T],
    text: str | bytes,
    name: str = "(text)",
    allow: Collection[str] = (),
    allow_env: Collection[str] = (),
    folder: Path | None = None,
) -> T:
    """Like `load`, for a text; messages show *name* as the file.

    It extends presets and, as a file in *folder* would, the files there.
    """
    given = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return make(cls, layers.read(name, given, folder), allow, allow_env)


def make(cls: type[T], document: Document, allow: Collection[str] = (), allow_env: Collection[str] = ()) -> T:
    """Like `load`, for a file that was read and may have been overridden in part."""
    checker = Checker(document, allow, allow_env)
    spec = checker.root(cls)
    try:
        return build(spec)  # type: ignore[no-any-return]
    except Refused as refused:
        document.problems.at(refused.place, refused.message)
        raise ConfigError(document.name, document.problems.found) from refused.__cause__


def check(cls: type, path: str | Path, allow: Collection[str] = (), allow_env: Collection[str] = ()) -> Spec:
    """Validate a file without building anything; raise one `ConfigError` that lists every problem."""
    return Checker(read(path), allow, allow_env).root(cls)


def read(path: str | Path) -> Document:
    """A file and what it extends as one tree.  Raises `ConfigError`, or `UsageError` if there is no such file."""
    path = Path(path)
    return layers.read(str(path), _bytes_of(path), path.parent, path)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError(
            f"there is no file '{path}'; `ragkit config show` prints a configuration to start from"
        ) from None
    except IsADirectoryError:
        raise UsageError(f"'{path}' is a directory; name the YAML file in it") from None
    except OSError as error:
        raise UsageError(f"cannot read '{path}': {error.strerror}") from None


def use(cls: Callable[..., T], **arguments: Any) -> T:
    """Make *cls* and remember the arguments, so that a pipeline that holds it can be dumped."""
    instance = cls(**arguments)
    remember(instance, Spec(cls, arguments, components.name_of(cls)))
    return instance


# --- and back


def dump(value: Any, defaults: bool = False) -> str:
    """The YAML that `load` would turn back into *value*; with *defaults*, every argument is written out."""
    return _written(describe(value, defaults=defaults), _LineBreakDumper)


def show(cls: type, document: Document, allow: Collection[str] = (), allow_env: Collection[str] = ()) -> str:
    """The YAML of a file with every argument written out; each component under `define` keeps its anchor.

    Variables need no value.  Raises `ConfigError`.
    """
    spec = Checker(document, allow, allow_env, need_variables=False).root(cls)
    specs = {(p.file, p.line, p.column): each for each in specs_in(spec) if (p := each.place)}
    shared: dict[str, Any] = {}
    for name, node in document.definitions():
        mark = node.start_mark
        if mark and mark.line >= 0 and (found := specs.get((mark.name, mark.line, mark.column))):
            shared[name] = _sharing(describe(found, defaults=True), shared)
    data = _sharing(describe(spec, defaults=True), shared)
    names = {id(each): name for name, each in shared.items()}
    dumper = type("_Dumper", (_AnchorDumper,), {"names": names})
    return _written({DEFINITIONS: shared, **data} if shared else data, dumper)


def _sharing(value: Any, shared: Mapping[str, Any]) -> Any:
    """*value* with each part that equals one of *shared* replaced by it."""
    if isinstance(value, list):
        return [_sharing(each, shared) for each in value]
    if not isinstance(value, dict):
        return value
    inside = {key: _sharing(each, shared) for key, each in value.items()}
    return next((each for each in shared.values() if each == inside), inside)


def _written(data: Any, dumper: type[yaml.SafeDumper]) -> str:
    return str(yaml.dump(data, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120))


class _LineBreakDumper(yaml.SafeDumper):
    """Escapes the line breaks that YAML would fold: all but `\\n`."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        return self.represent_scalar(
            "tag:yaml.org,2002:str", text, style='"' if re.search("[\r\x85\u2028\u2029]", text) else None
        )


_LineBreakDumper.add_representer(str, _LineBreakDumper.represent_text)


class _AnchorDumper(_LineBreakDumper):
    """Gives shared parts the names that `names` has for their ids."""

    names: ClassVar[Mapping[int, str]] = {}

    def represent_data(self, data: Any) -> yaml.Node:
        node: yaml.Node = super().represent_data(data)
        if id(data) in self.names:
            self._named = {**getattr(self, "_named", {}), id(node): self.names[id(data)]}
        return node

    def generate_anchor(self, node: yaml.Node) -> str:
        return self._named.get(id(node)) or str(super().generate_anchor(node))
