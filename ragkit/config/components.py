"""What a component is: a callable with annotated arguments that makes one thing.

Usually a class; sometimes a function, when making the thing takes more than a constructor.  Its *annotations
are the wiring*: an argument annotated with an interface is a *slot*, and YAML fills it with `{type: <name>,
...}`.  The names a slot accepts are those of the components that make that interface: ours, those that other
packages add under the entry-point group `ragkit.components`, and any import path that is allowed, so that every
LangChain integration is already a component.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import importlib
import importlib.metadata
import inspect
import re
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import BaseDocumentCompressor, BaseDocumentTransformer
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from pydantic.fields import FieldInfo

from ragkit.config.allowed import NotAllowed, demand_definition, demand_import
from ragkit.errors import UsageError

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
_later: list[str] = []


def interface(cls: C) -> C:
    """Declare a slot type of our own, where LangChain has none."""
    _interfaces.append(cls)
    return cls


def component(name: str) -> Callable[[M], M]:
    """Give a class or function the name YAML uses for it: `@component("rrf")`."""

    def register(maker: M) -> M:
        if not maker.__module__.startswith("ragkit."):
            _load_ours()  # whose names are taken first
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
    load_all()
    return list(_components)


def is_slot(hint: Any) -> bool:
    return inspect.isclass(hint) and issubclass(hint, tuple(_interfaces))


def is_part(hint: Any) -> bool:
    """Is *hint* one fixed dataclass, so that YAML need not choose with `type`?"""
    return inspect.isclass(hint) and dataclasses.is_dataclass(hint) and not is_slot(hint)


def slots_in(hint: Any) -> tuple[type, ...]:
    """The interfaces that a hint such as `VectorStore | LexicalIndex | None` accepts; empty if none."""
    if is_slot(hint):
        return (hint,)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(a for a in typing.get_args(hint) if is_slot(a))
    return ()


def part_in(hint: Any) -> type | None:
    """The part that a hint such as `Generator | Attempt` accepts beside slots, if there is one."""
    return next((each for each in typing.get_args(hint) if is_part(each)), None)


def plain_in(hint: Any) -> Any:
    """The ordinary type that a hint such as `Path | CorpusPlace` accepts beside slots; None if there is none."""
    others = [a for a in typing.get_args(hint) if not (is_slot(a) or is_part(a) or a is type(None))]
    return others[0] if others else None


def objects_in(hint: Any) -> tuple[type, ...] | None:
    """The classes whose objects a hint accepts that is not a slot.

    Empty if it accepts any object, None if it accepts only a mapping.
    """
    if typing.get_origin(hint) is Annotated:
        return objects_in(typing.get_args(hint)[0])
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    hints = [h for h in (typing.get_args(hint) if union else [hint]) if h is not type(None)]
    classes: list[Any] = [typing.get_origin(h) or h for h in hints]
    if any(not inspect.isclass(c) or c is Any or getattr(c, "_is_protocol", False) for c in classes):
        return ()
    if all(issubclass(c, Mapping) for c in classes):
        return None
    return () if object in classes else tuple(classes)


def is_ours(maker: Maker) -> bool:
    """Does *maker* keep the contract of components: each argument stored unchanged under its own name?"""
    return maker.__module__.startswith("ragkit.") or is_part(maker) or any(m is maker for _, m in _components)


def makes(maker: Maker) -> type:
    """The class of the thing *maker* makes; `object` if its annotation does not tell.

    A class method that is annotated with `Self`, a type variable or a base class makes the class that it is
    called on.
    """
    if inspect.isclass(maker):
        return maker
    made: Any = hints_of(maker).get("return")
    owner = _owner(maker)
    made = typing.get_origin(made) or made
    if owner and (made is typing.Self or isinstance(made, TypeVar)):
        return owner
    if owner and inspect.isclass(made) and issubclass(owner, made):
        return owner
    return made if inspect.isclass(made) else object


def _owner(maker: Maker) -> type | None:
    """The class that a class method is bound to."""
    owner = getattr(maker, "__self__", None)
    return owner if inspect.isclass(owner) else None


def names(*slots: type) -> dict[str, Maker]:
    """The short names that *slots* accept."""
    load_all()
    return {name: maker for slot in slots for name, maker in _named(slot).items()}


def _named(slot: type) -> dict[str, Maker]:
    return {name: maker for name, maker in _components if issubclass(makes(maker), slot)}


def name_of(maker: Maker) -> str:
    """What to write in YAML for *maker*: its short name, else its import path."""
    if owner := _owner(maker):
        return f"{_public_path(owner)}.{maker.__name__}"
    return next((n for n, m in _components if m is maker), _public_path(maker))


def _public_path(maker: Maker) -> str:
    """The shortest import path of a class or function: of the packages that it is in, the outermost one that
    exports it.
    """
    parts = maker.__module__.split(".")
    homes = [".".join(parts[: n + 1]) for n in range(len(parts))]
    exporting = (h for h in homes if getattr(sys.modules.get(h), maker.__qualname__, None) is maker)
    return f"{next(exporting, maker.__module__)}.{maker.__qualname__}"


def is_import_path(name: str) -> bool:
    return "." in name and all(part.isidentifier() for part in name.split("."))


class NotFound(LookupError):
    """No component of that name or import path; the message says why."""


def find(name: str, slots: tuple[type, ...], allow: Collection[str] = ()) -> Maker:
    """The component that *name* means where one of *slots* is wanted: a short name or an import path.

    Raises `NotFound`.
    """
    if "." in name:
        return imported(name, slots, allow)
    for slot in slots:
        if name in _named(slot):
            return _named(slot)[name]
    try:
        return names(*slots)[name]
    except KeyError:
        raise NotFound(f"no {_or(slots)} is called '{name}'") from None


def imported(path: str, wanted: tuple[type, ...], allow: Collection[str] = ()) -> Maker:
    """The class, function or class method at an import path, which must make one of *wanted*.

    With an empty *wanted* it may make anything.  It must be listed in `ragkit.config.allowed`, be in *allow* or
    below what is, or be listed in the environment variable RAGKIT_ALLOW_IMPORT.  Raises `NotFound`.
    """
    try:
        demand_import(path, allow)
        maker = _at(path)
        if not (inspect.isclass(maker) or inspect.isfunction(maker) or _owner(maker)):
            raise NotFound(f"'{path}' is not a class, a class method or a function")
        demand_definition(path, f"{maker.__module__}.{maker.__qualname__}", allow)
    except NotAllowed as error:
        raise NotFound(str(error)) from None
    if wanted and not any(issubclass(makes(maker), each) for each in wanted):
        raise NotFound(f"'{path}' does not make a {_or(wanted)}")
    return typing.cast(Maker, maker)


def _at(path: str) -> Any:
    """The object at `package.module.Class.method`: the longest importable prefix, then class attributes."""
    if not is_import_path(path):
        raise NotFound(f"'{path}' is not an import path such as package.module.Class")
    parts = path.split(".")
    owner: Any = None
    try:
        found, depth = _module(parts)
        for part in parts[depth:]:
            if owner is not None and not inspect.isclass(found):  # such as the `os` that a module imports
                raise NotFound(f"'{'.'.join(parts[:depth])}' is not a class")
            owner, found = found, getattr(found, part)
            depth += 1
    except ImportError as error:
        raise NotFound(f"cannot import '{path}': {error}; is the package installed?") from None
    except AttributeError:
        raise NotFound(f"'{'.'.join(parts[:depth])}' has no '{parts[depth]}'") from None
    static = inspect.isclass(owner) and isinstance(inspect.getattr_static(owner, parts[-1]), staticmethod)
    if inspect.isclass(owner) and inspect.isfunction(found) and not static:
        raise NotFound(f"'{path}' is a method of an object; only class methods can be called here")
    return found


def _module(parts: Sequence[str]) -> tuple[Any, int]:
    """The module that the longest importable prefix of *parts* names, and the length of that prefix."""
    for length in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:length])
        try:
            return importlib.import_module(name), length
        except ModuleNotFoundError as error:
            missing = error.name or ""  # a class, if the prefix was too long; else a dependency of the module
            if length == 1 or not f"{name}.".startswith(f"{missing}.") or missing == parts[0]:
                raise
    raise ImportError(f"'{parts[0]}' is no module")


def later(modules: Iterable[str]) -> None:
    """Import *modules*, which register components, only where one of these is looked for."""
    _later.extend(modules)


def load_all() -> None:
    """Import all components: ours, then those of other packages.

    Raises `UsageError` for a plug-in that cannot be imported.
    """
    _load_ours()
    load_entry_points()


def _load_ours() -> None:
    for module in _later:
        importlib.import_module(module)


@functools.cache
def load_entry_points() -> None:
    """Import what other packages offer: an entry point names a module, class or function to import.

    Raises `UsageError` for one that cannot be imported.
    """
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            found = point.load()
        except Exception as error:
            raise UsageError(
                f"the plug-in '{point.value}' cannot be imported ({error}); repair or uninstall its package"
            ) from error
        if callable(found) and not any(m is found for _, m in _components):
            component(point.name)(found)


class Parameter(NamedTuple):
    """One argument of a component; one that is `spread` is a list of arguments without names."""

    hint: Any
    default: Any
    spread: bool = False

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
        return {
            f.name: Parameter(hints.get(f.name, Any), _default_of(f))
            for f in dataclasses.fields(maker)
            if f.init
        }
    return _of_class(maker.__mro__) if inspect.isclass(maker) else _signed(maker)


def _of_class(classes: Sequence[type]) -> dict[str, Parameter]:
    """The arguments of the first `__init__` among *classes*, a class and those that it is derived from."""
    for at, each in enumerate(classes):
        if "__init__" in vars(each) and each is not object:
            return _signed(vars(each)["__init__"], classes[at + 1 :])
    return {}


def _signed(function: Maker, above: Sequence[type] = ()) -> dict[str, Parameter]:
    """The arguments in a function's signature, including those it passes on as `**kwargs`.

    *above* are the base classes of the function's class.
    """
    hints, signature = hints_of(function), inspect.signature(function).parameters.values()
    found = {
        p.name: Parameter(hints.get(p.name, Any), p.default)
        for p in signature
        if p.name != "self" and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
    if not found:  # a class that is written in C++ names none of its arguments
        found = {p.name: Parameter(list[Any], [], True) for p in signature if p.kind is p.VAR_POSITIONAL}
    keywords = [p.name for p in signature if p.kind is p.VAR_KEYWORD]
    return _joined(found, _passed_on(function, keywords[0], above)) if keywords else found


def _passed_on(maker: Maker, keywords: str, above: Sequence[type]) -> dict[str, Parameter]:
    """The arguments of what a function calls with its `**kwargs`.

    That is a class, or the `__init__` of its base class.  If its source does not show such a call, the base
    class is assumed to be called.
    """
    function = inspect.unwrap(getattr(maker, "__func__", maker))
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return _of_class(above)
    known = dict(function.__globals__)
    if owner := _owner(maker):
        known[next(iter(inspect.signature(function).parameters))] = owner
    found: dict[str, Parameter] | None = None
    for call in ast.walk(tree):
        given = (
            {k.arg or ast.unparse(k.value) for k in call.keywords} if isinstance(call, ast.Call) else set()
        )
        if keywords not in given or not isinstance(call, ast.Call):
            continue
        called: Any = known.get(call.func.id) if isinstance(call.func, ast.Name) else None
        taken = parameters(called) if isinstance(called, type) else {}
        if isinstance(call.func, ast.Attribute) and call.func.attr == "__init__":
            taken = _of_class(above)
        found = _joined(found or {}, {name: p for name, p in taken.items() if name not in given})
    return _of_class(above) if found is None else found


def _joined(first: dict[str, Parameter], second: dict[str, Parameter]) -> dict[str, Parameter]:
    return first | {name: parameter for name, parameter in second.items() if name not in first}


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


def hints_of(maker: Maker) -> dict[str, Any]:
    """The type hints of a class or function.

    One that cannot be resolved, such as a name that is imported only under TYPE_CHECKING, is left out, unless
    it is the name of a slot's type.
    """
    with contextlib.suppress(Exception):  # whatever the evaluation of an annotation raises
        return typing.get_type_hints(maker, include_extras=True)
    found: dict[str, Any] = {}
    for owner in reversed(maker.__mro__) if inspect.isclass(maker) else [maker]:
        known = {s.__name__: s for s in _interfaces} | vars(sys.modules[owner.__module__])
        for name, hint in inspect.get_annotations(owner).items():
            one = types.SimpleNamespace(__annotations__={name: hint})
            with contextlib.suppress(Exception):
                found |= typing.get_type_hints(one, known, include_extras=True)
    return found


def summary(maker: Maker) -> str:
    """The first sentence of a component's docstring."""
    text = inspect.getdoc(maker) or ""
    return " ".join(text.split("\n\n")[0].split())


_CREDIT = re.compile(r"\((?:Methods?|Ideas?|Related|Task|Metric): [^()]*\)")


def credits_of(maker: Maker) -> tuple[str, ...]:
    """The titles of the papers that a component's docstring credits: `(Method: "Title".)`, also `Idea`, `Task`."""
    text = " ".join((inspect.getdoc(maker) or "").split())
    return tuple(title for credit in _CREDIT.findall(text) for title in re.findall(r'"([^"]+)"', credit))


def about(maker: Maker, argument: str) -> str:
    """The sentences of a component's docstring that name one of its arguments."""
    sentences = re.split(r"(?<=[.;])\s+", " ".join((inspect.getdoc(maker) or "").split()))
    return " ".join(each for each in sentences if f"`{argument}`" in each or f"*{argument}*" in each)


def _or(slots: tuple[type, ...]) -> str:
    return " or ".join(slot.__name__ for slot in slots)
