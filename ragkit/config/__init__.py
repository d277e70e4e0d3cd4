"""YAML in, objects out, and back again.

    load(Rag, "configs/default.yaml")     file -> Spec -> objects
    dump(rag)                             objects -> Spec -> YAML

A pipeline file is a constructor call written in YAML: each mapping names the arguments of one class, and
`type` picks the class where several would fit.  Checking and building are separate, so `check` reports every
mistake of a file at once, with its place, and loads no model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ragkit.config import components, layers
from ragkit.config.checker import Checker
from ragkit.config.layers import Document
from ragkit.config.spec import Refused, Spec, build, describe, remember
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
    return str(
        yaml.dump(
            describe(value, defaults=defaults),
            Dumper=_LineBreakDumper,
            sort_keys=False,
            allow_unicode=True,
            width=120,
        )
    )


class _LineBreakDumper(yaml.SafeDumper):
    """Escapes the line breaks that YAML would fold: all but `\\n`."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        return self.represent_scalar(
            "tag:yaml.org,2002:str", text, style='"' if re.search("[\r\x85\u2028\u2029]", text) else None
        )


_LineBreakDumper.add_representer(str, _LineBreakDumper.represent_text)
