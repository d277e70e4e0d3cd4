"""Specs are checked constructor calls: builds objects from them and describes objects as specs."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, PydanticUserError, SecretStr, TypeAdapter, ValidationError

from ragkit.config import components
from ragkit.config.variables import VARIABLE
from ragkit.where import Where

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Spec:
    """A checked constructor call that has not been made yet.

    `name` is what YAML writes as its `type`; empty where YAML need not choose.
    """

    maker: components.Maker
    arguments: dict[str, Any]
    name: str
    place: Position | None = dataclasses.field(default=None, compare=False, repr=False)


@dataclasses.dataclass(frozen=True)
class FromEnvironment:
    """A value that names environment variables. A dump writes the names, so that it holds no secret."""

    written: Any
    hint: Any


@dataclasses.dataclass(frozen=True)
class Position:
    """A place in a pipeline file; `line` and `column` count from 0, `path` is e.g. `answer.retrieve[0].k`.

    In an option, which `file` names then, both are -1.
    """

    line: int
    column: int
    path: str
    file: str = ""


# --- from specs to objects


class Refused(Exception):
    """A constructor refused its arguments, each of which is valid by itself."""

    def __init__(self, place: Position, message: str) -> None:
        self.place, self.message = place, message


def build(value: Any, made: list[tuple[Spec, Any]] | None = None) -> Any:
    """Make the calls a Spec describes, innermost first; equal specs share one object."""
    made = [] if made is None else made
    if isinstance(value, list):
        return [build(v, made) for v in value]
    if isinstance(value, FromEnvironment):
        return validated(value.hint, value.written)
    if isinstance(value, dict):
        return copy.deepcopy(value)  # an object may fill a mapping that it is given
    if not isinstance(value, Spec):
        return value
    for spec, existing in made:
        if spec == value:
            return existing
    arguments = {name: build(v, made) for name, v in value.arguments.items()}
    known = components.parameters(value.maker)
    unnamed = [v for name in arguments if name in known and known[name].spread for v in arguments[name]]
    named = {name: v for name, v in arguments.items() if name not in known or not known[name].spread}
    try:
        instance = value.maker(*unnamed, **named)
    except Exception as error:
        refused = isinstance(error, (ValueError, TypeError, ImportError))  # pydantic's errors are ValueErrors
        if value.place is None or (components.is_ours(value.maker) and not refused):
            raise
        label = f"{value.name}: " if value.name else ""
        raise Refused(value.place, f"{label}{_first_line(error)}") from error
    remember(instance, value)
    made.append((value, instance))
    return instance


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(str(e["msg"]).removeprefix("Value error, ") for e in error.errors())
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def remember(instance: Any, spec: Spec) -> None:
    # An object with slots is described by its holder's spec only.
    with contextlib.suppress(AttributeError, TypeError):
        object.__setattr__(instance, "_ragkit_spec", spec)


def describe(value: Any, path: str = "", defaults: bool = False) -> Any:
    """*value* as plain data: the constructor arguments that differ from their defaults (or all of them)."""
    if isinstance(value, FromEnvironment):
        return value.written
    if isinstance(value, Enum):
        return describe(value.value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Path | Where):
        return str(value)
    if isinstance(value, SecretStr):
        if value.get_secret_value():
            raise TypeError(
                f"{path or 'value'}: a secret is not written to YAML; let the file take it from the environment: ${{NAME}}"
            )
        return ""
    if isinstance(value, list | tuple):
        return [describe(v, f"{path}[{i}]", defaults) for i, v in enumerate(value)]
    if isinstance(value, Mapping):
        return {k: describe(v, joined(path, k), defaults) for k, v in value.items()}
    if (
        isinstance(value, BaseModel)
        and not components.is_ours(type(value))
        and not hasattr(value, "_ragkit_spec")
    ):
        raise TypeError(_cannot_write(value, path))
    spec = (
        value if isinstance(value, Spec) else getattr(value, "_ragkit_spec", None) or _read_back(value, path)
    )
    written = dict(spec.arguments)
    if defaults and components.is_ours(spec.maker):
        written = {n: spec.arguments.get(n, p.default) for n, p in components.parameters(spec.maker).items()}
    else:
        known = components.parameters(spec.maker)
        written = {
            n: v
            for n, v in written.items()
            if n not in known or known[n].required or not _same(v, known[n].default)
        }
    arguments = {name: describe(v, joined(path, name), defaults) for name, v in written.items()}
    return {"type": spec.name, **arguments} if spec.name else arguments


def identify(value: Any) -> str:
    """A text that is equal for equal settings, also of objects that no YAML describes.

    An object that does not store its settings is identified by its address in memory.
    """
    try:
        return repr(describe(value))
    except TypeError:
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(identify, value))}]"
        maker: components.Maker = type(value)
        if components.is_ours(maker):
            arguments = [f"{name}={identify(getattr(value, name))}" for name in components.parameters(maker)]
            return f"{type(value).__qualname__}({', '.join(arguments)})"
        return f"{type(value).__qualname__}: {value!r}"


def _same(value: Any, default: Any) -> bool:
    """Does *value*, built or not, equal the default of its argument?"""
    try:
        return bool(describe(value) == describe(default))
    except TypeError:  # one of them cannot be described
        return bool(value == default)


def _read_back(value: Any, path: str) -> Spec:
    """scikit-learn's rule: a component stores each constructor argument under its own name."""
    maker: components.Maker = type(value)
    if not components.is_ours(maker):
        raise TypeError(_cannot_write(value, path))
    arguments = {name: getattr(value, name) for name in components.parameters(maker)}
    return Spec(maker, arguments, components.name_of(maker) if components.is_slot(maker) else "")


def _cannot_write(value: Any, path: str) -> str:
    return f"{path or 'value'}: cannot write a {type(value).__name__} to YAML; make it with ragkit.use({type(value).__name__}, ...)"


# --- values

_UNCHECKABLE = "typed-dict-version"
"""Pydantic's word for a `typing.TypedDict`, as other packages declare, before Python 3.12."""


def validated(hint: Any, written: Any) -> Any:
    """What is *written*, as *hint* wants it.  Raises `ValidationError`."""
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError as error:
        if error.code == _UNCHECKABLE:
            return _expand(written)
        adapter = TypeAdapter(hint)  # the hint brings its own config
    return adapter.validate_python(_expand(written))


class Unset(Exception):
    """The name of an environment variable without a value."""


class Unclosed(Exception):
    """A `${` without its `}`."""


def _expand(value: Any) -> Any:
    """Replace `${NAME}` and `${NAME:-default}` by environment variables."""
    if isinstance(value, dict):
        return {k: _expand(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_expand(v) for v in value]
    if not isinstance(value, str):
        return value
    if "${" in VARIABLE.sub(lambda found: "" if found[3] else "${", value):
        raise Unclosed(value)
    return VARIABLE.sub(_variable, value)


def _variable(match: re.Match[str]) -> str:
    name, default, _ = match.groups()
    found = os.environ.get(name)
    if default is not None:
        return found or default
    if found is None:
        raise Unset(name)
    return found


def joined(path: str, word: str) -> str:
    return f"{path}.{word}" if path else word


def specs_in(value: Any) -> Iterator[Spec]:
    """*value* and every spec inside it."""
    if isinstance(value, Spec):
        yield value
        value = list(value.arguments.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from specs_in(each)


def parts_of(value: Any) -> Iterator[Any]:
    """*value* and every component inside it, outermost first, each once."""
    waiting, seen = [value], set()
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, list | tuple):
            waiting = [*each, *waiting]
            continue
        maker: components.Maker = type(each)
        if id(each) not in seen and (components.is_ours(maker) or components.is_slot(maker)):
            seen.add(id(each))
            yield each
            waiting = [*(getattr(each, name, None) for name in components.parameters(maker)), *waiting]


def stages_of(pipeline: Any) -> dict[str, str]:
    """The names of the components in each place of a pipeline, in order; a place without any is left out."""
    found: dict[str, str] = {}
    made_by: components.Maker = type(pipeline)
    for place in components.parameters(made_by):
        value = getattr(pipeline, place)
        names = []
        for each in value if isinstance(value, list | tuple) else [value]:
            makers: Iterator[components.Maker] = (type(part) for part in parts_of(each))
            names += [components.name_of(maker) for maker in islice(filter(components.is_slot, makers), 1)]
        if names:
            found[place] = ", ".join(names)
    return found


def rebound(value: T, bind: Callable[[Any], Any]) -> T:
    """*value* with each component inside it replaced by what *bind* returns for it.

    Containers of a changed component are copied; no constructor is called.
    """
    if isinstance(value, list | tuple):
        parts = [rebound(each, bind) for each in value]
        same = all(new is old for new, old in zip(parts, value, strict=True))
        return value if same else cast(T, type(value)(parts))
    maker: components.Maker = type(value)
    if not (components.is_ours(maker) or components.is_slot(maker)):
        return value
    inside = {name: getattr(value, name, None) for name in components.parameters(maker)}
    changed = {name: new for name, old in inside.items() if (new := rebound(old, bind)) is not old}
    bound = bind(value)
    if changed and bound is value:
        bound = copy.copy(value)
    for name, new in changed.items():
        object.__setattr__(bound, name, new)
    return cast(T, bound)
