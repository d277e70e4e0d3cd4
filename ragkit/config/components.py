"""What a component is: a callable with annotated arguments that makes one thing.

Usually a class; sometimes a function, when making the thing takes more than a constructor.  Its *annotations are
the wiring*: an argument annotated with an interface is a *slot*, and YAML fills it with `{type: <name>, ...}`.  The
names a slot accepts are those of the components that make that interface: ours, those that other packages add under
the entry-point group `ragkit.components`, and any import path whose package is allowed, so that every LangChain
integration is already a component.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.metadata
import inspect
import os
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypeVar

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import BaseDocumentCompressor, BaseDocumentTransformer
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from pydantic.fields import FieldInfo

Maker = Callable[..., Any]
M = TypeVar("M", bound=Maker)
C = TypeVar("C", bound=type)

ENTRY_POINTS = "ragkit.components"

# The slots' types, each with the word the documentation uses for it.
_interfaces: list[type] = [
    BaseLoader,
    BaseDocumentTransformer,
    Embeddings,
    VectorStore,
    BaseRetriever,
    BaseDocumentCompressor,
    BaseChatModel,
]
_components: list[tuple[str, Maker]] = []


def interface(cls: C) -> C:
    """Declare a slot type of our own, where LangChain has none."""
    _interfaces.append(cls)
    return cls


def component(name: str) -> Callable[[M], M]:
    """Give a class or function the name YAML uses for it: `@component("rrf")`."""

    def register(maker: M) -> M:
        made = makes(maker)
        taken = [slot for slot in _interfaces if issubclass(made, slot) and name in _named(slot)]
        if taken:
            raise ValueError(f"two components called '{name}' make a {taken[0].__name__}")
        _components.append((name, maker))
        return maker

    return register


def interfaces() -> tuple[type, ...]:
    """Every slot type, LangChain's first."""
    return tuple(_interfaces)


def registered() -> list[tuple[str, Maker]]:
    """Every (name, maker), those of other packages included."""
    load_entry_points()
    return list(_components)


def is_slot(hint: Any) -> bool:
    return inspect.isclass(hint) and issubclass(hint, tuple(_interfaces))


def is_part(hint: Any) -> bool:
    """Is *hint* one fixed dataclass, so that YAML need not choose with `type`?"""
    return inspect.isclass(hint) and dataclasses.is_dataclass(hint) and not is_slot(hint)


def slots_in(hint: Any) -> tuple[type, ...]:
    """The interfaces that a hint such as `VectorStore | LexicalIndex | None` accepts; empty if it is no slot."""
    if is_slot(hint):
        return (hint,)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(a for a in typing.get_args(hint) if is_slot(a))
    return ()


def is_ours(maker: Maker) -> bool:
    """Does *maker* keep the contract of components: each argument stored unchanged under its own name?"""
    return maker.__module__.startswith("ragkit.") or is_part(maker) or any(m is maker for _, m in _components)


def makes(maker: Maker) -> type:
    """The class of the thing *maker* makes."""
    made = maker if inspect.isclass(maker) else hints_of(maker).get("return")
    return made if inspect.isclass(made) else object


def names(*slots: type) -> dict[str, Maker]:
    """The short names that *slots* accept."""
    load_entry_points()
    return {name: maker for slot in slots for name, maker in _named(slot).items()}


def _named(slot: type) -> dict[str, Maker]:
    return {name: maker for name, maker in _components if issubclass(makes(maker), slot)}


def name_of(maker: Maker) -> str:
    """What to write in YAML for *maker*: its short name, else its import path."""
    return next((n for n, m in _components if m is maker), f"{maker.__module__}.{maker.__qualname__}")


class NotFound(LookupError):
    """No component of that name or import path; the message says why."""


def find(name: str, slots: tuple[type, ...], allow: typing.Collection[str] = ()) -> Maker:
    """The component that *name* means where one of *slots* is wanted.

    A dotted name is imported only if its top-level package begins with `langchain_`, is in *allow*, or is listed in
    the environment variable RAGKIT_ALLOW_IMPORT: a pipeline file is not trusted code.  Raises `NotFound`.
    """
    if "." not in name:
        for slot in slots:
            if name in _named(slot):
                return _named(slot)[name]
        try:
            return names(*slots)[name]
        except KeyError:
            raise NotFound(f"no {_or(slots)} is called '{name}'") from None
    package = name.partition(".")[0]
    allowed = {*allow, *os.environ.get("RAGKIT_ALLOW_IMPORT", "").replace(",", " ").split()}
    if not package.startswith("langchain_") and package not in allowed:
        raise NotFound(
            f"importing '{package}' is not allowed; if you trust it, pass --allow-import {package}"
        )
    module, _, attribute = name.rpartition(".")
    try:
        maker: Maker = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise NotFound(f"cannot import '{name}': {error}; is the package installed?") from None
    except AttributeError:
        raise NotFound(f"'{module}' has no '{attribute}'") from None
    if not (callable(maker) and any(issubclass(makes(maker), slot) for slot in slots)):
        raise NotFound(f"'{name}' does not make a {_or(slots)}")
    return maker


@functools.cache
def load_entry_points() -> None:
    """Import what other packages offer: an entry point names a module, class or function to import."""
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        found = point.load()
        if callable(found) and not any(m is found for _, m in _components):
            component(point.name)(found)


class Parameter(NamedTuple):
    """One argument of a component."""

    hint: Any
    default: Any

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty


@functools.cache
def parameters(maker: Maker) -> dict[str, Parameter]:
    """The arguments of *maker*, from its pydantic fields or its signature."""
    if hasattr(maker, "model_fields"):
        return {
            field.alias or name: _from_field(field)
            for name, field in maker.model_fields.items()
            if name not in _RUNNABLE
        }
    if dataclasses.is_dataclass(maker):
        hints = hints_of(maker)
        return {f.name: Parameter(hints[f.name], _default_of(f)) for f in dataclasses.fields(maker) if f.init}
    found: dict[str, Parameter] = {}
    for function in (vars(c).get("__init__") for c in maker.__mro__) if inspect.isclass(maker) else [maker]:
        if function is None:
            continue
        hints, signature = hints_of(function), inspect.signature(function).parameters.values()
        for p in signature:
            if p.name != "self" and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
                found.setdefault(p.name, Parameter(hints.get(p.name, Any), p.default))
        if all(p.kind is not p.VAR_KEYWORD for p in signature):
            break  # otherwise **kwargs go on to the next base class
    return found


# Fields that every LangChain runnable has and that no pipeline file sets.
_RUNNABLE = {
    "callbacks",
    "callback_manager",
    "tags",
    "metadata",
    "custom_get_token_ids",
    "cache",
    "rate_limiter",
}


def _from_field(field: FieldInfo) -> Parameter:
    hint = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    return Parameter(
        hint,
        inspect.Parameter.empty
        if field.is_required()
        else field.get_default(call_default_factory=True, validated_data={}),
    )


def _default_of(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default


def hints_of(function: Maker) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError:  # a hint that was imported only under TYPE_CHECKING
        return {}


def summary(maker: Maker) -> str:
    """The first sentence of a component's docstring."""
    text = inspect.getdoc(maker) or ""
    return " ".join(text.split("\n\n")[0].split())


def _or(slots: tuple[type, ...]) -> str:
    return " or ".join(slot.__name__ for slot in slots)
