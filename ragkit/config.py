"""YAML in, objects out, and back again.

    load(Rag, "configs/default.yaml")     file -> Spec -> objects
    dump(rag)                             objects -> Spec -> YAML

A pipeline file is a constructor call written in YAML: each mapping names the arguments of one class, and `type`
picks the class where several would fit.  Checking and building are separate, so `check` reports every mistake of a
file at once, with its place, and loads no model.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import os
import re
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, PydanticUserError, SecretStr, TypeAdapter, ValidationError

from ragkit import registry
from ragkit.errors import ConfigError, Problem, UsageError
from ragkit.where import Where

T = TypeVar("T")

DEFINITIONS = "define"
"""The top-level key whose value is ignored: a place for anchors."""

_MOST_NODES = 20_000  # anchors within anchors can describe more than a machine can hold
_DEEPEST = 100


@dataclasses.dataclass(frozen=True)
class Spec:
    """A checked constructor call that has not been made yet."""

    maker: registry.Maker
    arguments: dict[str, Any]
    name: str
    place: Place | None = dataclasses.field(default=None, compare=False, repr=False)


@dataclasses.dataclass(frozen=True)
class Late:
    """A value that names environment variables: kept as written, so that a dump holds no secret."""

    written: Any
    hint: Any


@dataclasses.dataclass(frozen=True)
class Place:
    """Where in a file something stands; `line` and `column` count from 0."""

    line: int
    column: int
    path: str


def load(cls: type[T], path: str | Path, allow: Collection[str] = ()) -> T:
    """Check the file, then build the *cls* it describes.  *allow* names packages whose import is trusted.

    Raises `ConfigError` with every problem of the file, `UsageError` if there is no such file.
    """
    return loads(cls, _read(path), str(path), allow)


def loads(cls: type[T], text: str | bytes, name: str = "(text)", allow: Collection[str] = ()) -> T:
    """Like `load`, of a text; *name* stands for the file in messages."""
    checker = _Checker(name, text, allow)
    spec = checker.root(cls)
    try:
        return build(spec)  # type: ignore[no-any-return]
    except _Refused as refused:
        checker.at(refused.place, refused.message)
        raise ConfigError(name, checker.problems) from refused.__cause__


def check(cls: type, path: str | Path, allow: Collection[str] = ()) -> Spec:
    """Read and validate a file without building anything; raise one `ConfigError` that lists every problem."""
    return _Checker(str(path), _read(path), allow).root(cls)


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise UsageError(f"there is no file '{path}'; `ragkit config show` prints a configuration to start from") from None
    except IsADirectoryError:
        raise UsageError(f"'{path}' is a directory; name the YAML file in it") from None
    except OSError as error:
        raise UsageError(f"cannot read '{path}': {error.strerror}") from None


class _Stop(Exception):
    """The file cannot be checked any further."""


class _Checker:
    """One descent over the type hints and the YAML nodes together."""

    def __init__(self, name: str, text: str | bytes, allow: Collection[str]) -> None:
        self.name = name
        self.allow = allow
        self.bytes = text.encode() if isinstance(text, str) else text
        self.lines = self.bytes.decode("utf-8-sig", "replace").splitlines()
        self.problems: list[Problem] = []
        self.visited = 0
        self.above: list[int] = []  # the nodes that the one at hand is inside of

    def root(self, cls: type) -> Spec:
        spec = None
        try:
            node = self.parse()
            self.duplicates(node)
            spec = self.call(cls, node, "", ignore={DEFINITIONS})
        except _Stop:
            pass
        if self.problems or spec is None:
            raise ConfigError(self.name, self.problems)
        return spec

    # --- from bytes to nodes

    def parse(self) -> yaml.Node:
        try:
            text = self.bytes.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = self.bytes[: error.start]
            column = len(before[before.rfind(b"\n") + 1 :])
            self.at(Place(before.count(b"\n"), column, ""), f"byte 0x{self.bytes[error.start]:02x} is not UTF-8; save the file as UTF-8")
            raise _Stop from None
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            self.at(_place(error.problem_mark or error.context_mark, ""), self.syntax(error, text))
            raise _Stop from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position)
            column = error.position - (text.rfind("\n", 0, error.position) + 1)
            self.at(Place(line, column, ""), f"character U+{_codepoint(error.character):04X} is not allowed in YAML")
            raise _Stop from None
        except RecursionError:
            self.at(Place(0, 0, ""), "nested too deeply")
            raise _Stop from None
        if node is None or (isinstance(node, yaml.ScalarNode) and node.value == "" and node.style is None):
            self.at(Place(0, 0, ""), "the file is empty; `ragkit config show` prints a configuration to start from")
            raise _Stop
        return node

    def syntax(self, error: yaml.MarkedYAMLError, text: str) -> str:
        problem = error.problem or "cannot be read as YAML"
        mark = error.problem_mark
        if mark is not None and mark.line < len(self.lines) and "\t" in self.lines[mark.line][: mark.column + 1]:
            return "a tab cannot indent YAML; use spaces"
        if undefined := re.match(r"found undefined alias '?([^' ]+)'?", problem):
            anchors = re.findall(r"&([\w-]+)", text)
            return f"no anchor '&{undefined[1]}' is defined before this{_did_you_mean(undefined[1], anchors, prefix='*')}"
        if duplicate := re.search(r"found duplicate anchor '([^']+)'", f"{problem} {error.context}"):
            return f"the anchor '&{duplicate[1]}' is defined above already; give this one another name"
        if "expected a single document" in (error.context or ""):
            return "a second document begins here; a pipeline is one document"
        return f"not YAML: {problem}" + (f" {error.context}" if error.context else "")

    def duplicates(self, root: yaml.Node) -> None:
        """Report keys written twice, wherever they are: YAML would keep the last one and say nothing."""
        waiting, seen = [(root, "", 0)], set()
        while waiting:
            node, path, depth = waiting.pop()
            if id(node) in seen or not isinstance(node.value, list):
                continue
            seen.add(id(node))
            if depth > _DEEPEST:
                self.problem(node, path, "nested too deeply")
                raise _Stop
            if isinstance(node, yaml.SequenceNode):
                waiting += [(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(node.value)]
                continue
            first: dict[str, yaml.Node] = {}
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue
                if key.value in first and key.value != "<<":
                    self.problem(key, _join(path, key.value), f"written twice; first in line {first[key.value].start_mark.line + 1}")
                first.setdefault(key.value, key)
                waiting.append((value, _join(path, key.value), depth + 1))

    # --- from nodes to specs

    def call(self, maker: registry.Maker, node: yaml.Node, path: str, ignore: set[str], name: str = "") -> Spec:
        """Check that *node* holds the arguments of *maker*."""
        self.count(node, path)
        self.above.append(id(node))
        parameters, arguments = registry.parameters(maker), {}
        meant = set()
        for key, value in self.entries(node, path):
            word = key.value
            if word in parameters:
                arguments[word] = self.value(parameters[word].hint, value, _join(path, word))
            elif word not in ignore:
                meant |= set(_close(word, parameters))
                hint = _did_you_mean(word, parameters) or (f" (known: {', '.join(parameters)})" if parameters else "")
                self.problem(
                    key, _join(path, word), (f"{name} has no argument '{word}'" if name else f"there is no key '{word}' here") + hint
                )
        for word, parameter in parameters.items():
            if parameter.required and word not in {*arguments, *meant} and isinstance(node, yaml.MappingNode):
                self.problem(node, path, f"{name} needs '{word}'" if name else f"the key '{word}' is missing")
        self.above.pop()
        return Spec(maker, arguments, name or registry.name_of(maker), _place(node.start_mark, path))

    def value(self, hint: Any, node: yaml.Node, path: str) -> Any:
        """Check *node* against one type hint."""
        if slots := registry.slots_in(hint):
            if _is_null(node) and type(None) in typing.get_args(hint):
                return None
            return self.slot(slots, node, path)
        if registry.is_part(hint):
            return self.call(hint, node, path, ignore=set())
        if item := item_of(hint):
            if not isinstance(node, yaml.SequenceNode):
                return [self.value(item, node, path)]  # one item may stand for a list of one
            self.count(node, path)
            return [self.value(item, entry, f"{path}[{i}]") for i, entry in enumerate(node.value)]
        return self.plain(hint, node, path)

    def slot(self, slots: tuple[type, ...], node: yaml.Node, path: str) -> Any:
        """Check `{type: name, ...}` (or just `name`) where one of *slots* is wanted."""
        if id(node) in self.above:
            return self.problem(node, path, "the anchor stands for something that contains itself")
        wanted = " or ".join(s.__name__ for s in slots)
        if isinstance(node, yaml.SequenceNode):
            return self.problem(node, path, f"one {wanted} is wanted here, not a list")
        chosen: yaml.Node | None = node
        if isinstance(node, yaml.MappingNode):
            chosen = next((v for k, v in self.entries(node, path) if k.value == "type"), None)
        if chosen is None:
            return self.problem(node, path, f"needs `type: <name>` to choose a {wanted}{_known(slots)}")
        if not isinstance(chosen, yaml.ScalarNode) or _is_null(chosen) or not chosen.value:
            return self.problem(chosen, path, f"`type` is the name of a {wanted}{_known(slots)}")
        try:
            maker = registry.find(chosen.value, slots, self.allow)
        except registry.NotFound as error:
            return self.problem(chosen, path, f"{error}{self.nearest(chosen.value, slots)}")
        if node is chosen:
            node = yaml.MappingNode("tag:yaml.org,2002:map", [], node.start_mark, node.end_mark)
        return self.call(maker, node, path, ignore={"type"}, name=chosen.value)

    def nearest(self, name: str, slots: tuple[type, ...]) -> str:
        if "." in name:
            return ""
        if close := _did_you_mean(name, registry.names(*slots)):
            return close
        others = [slot.__name__ for slot in registry.interfaces() if name in registry.names(slot)]
        return (f"; '{name}' is a {others[0]}" if others else "") + _known(slots)

    def plain(self, hint: Any, node: yaml.Node, path: str) -> Any:
        """Check an ordinary value with pydantic."""
        self.count(node, path)
        try:
            written = yaml.SafeLoader("").construct_object(node, deep=True)
        except yaml.YAMLError as error:
            return self.problem(node, path, str(getattr(error, "problem", error)))
        except (RecursionError, ValueError) as error:
            return self.problem(node, path, str(error) if isinstance(error, ValueError) else "contains itself")
        try:
            value = _validated(hint, written)
        except _Unset as error:
            return self.problem(node, path, f"environment variable '{error}' is not set; `${{{error}:-default}}` gives a default")
        except _Unclosed as error:
            return self.problem(node, path, f"'${{' in '{error}' is not closed; a variable is written ${{NAME}} or ${{NAME:-default}}")
        except ValidationError as error:
            for e in error.errors():
                at = path + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in e["loc"] if not _is_branch(p))
                self.problem(_descend(node, e["loc"]), at, _worded(e))
            return None
        if isinstance(written, bool) and not isinstance(value, bool):
            return self.problem(node, path, f"input should not be true or false, got {node.value}")
        return Late(written, hint) if "${" in str(written) else value

    def entries(self, node: yaml.Node, path: str) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        """The keys and values of a mapping, merge keys (`<<: *anchor`) resolved."""
        if not isinstance(node, yaml.MappingNode):
            self.problem(node, path, f"expected a mapping, got {_shown(node)}")
            return []
        merged = [value for key, value in node.value if key.tag == "tag:yaml.org,2002:merge"]
        try:
            yaml.SafeLoader("").flatten_mapping(node)
        except yaml.MarkedYAMLError:
            self.problem(merged[0], path, f"`<<` merges a mapping into another, and {_shown(merged[0])} is none")
        except RecursionError:
            self.problem(node, path, "contains itself")
            raise _Stop from None
        found: dict[str, tuple[yaml.ScalarNode, yaml.Node]] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                self.problem(key, path, f"a key is a word, got {_shown(key)}")
            else:
                found[key.value] = (key, value)
        return list(found.values())

    # --- reporting

    def count(self, node: yaml.Node, path: str) -> None:
        self.visited += 1
        if self.visited > _MOST_NODES or path.count(".") + path.count("[") > _DEEPEST:
            self.problem(node, path, "describes more than can be built: does an anchor contain itself?")
            raise _Stop

    def problem(self, node: yaml.Node, path: str, message: str) -> None:
        self.at(_place(node.start_mark, path), message)

    def at(self, place: Place, message: str) -> None:
        source = self.lines[place.line] if place.line < len(self.lines) else ""
        path = place.path if len(place.path) < 100 else f"{place.path[:40]}..."
        problem = Problem(place.line + 1, place.column + 1, path or "(file)", message, source)
        if not any((p.line, p.column, p.message) == (problem.line, problem.column, problem.message) for p in self.problems):
            self.problems.append(problem)  # once, however many aliases lead to it


# --- from specs to objects


class _Refused(Exception):
    """A constructor did not accept its arguments together."""

    def __init__(self, place: Place, message: str) -> None:
        self.place, self.message = place, message


def build(value: Any, made: list[tuple[Spec, Any]] | None = None) -> Any:
    """Make the calls a Spec describes, innermost first; equal specs share one object."""
    made = [] if made is None else made
    if isinstance(value, list):
        return [build(v, made) for v in value]
    if isinstance(value, Late):
        return _validated(value.hint, value.written)
    if not isinstance(value, Spec):
        return value
    for spec, existing in made:
        if spec == value:
            return existing
    arguments = {name: build(v, made) for name, v in value.arguments.items()}
    try:
        instance = value.maker(**arguments)
    except (ValueError, TypeError, ImportError) as error:  # pydantic's ValidationError is a ValueError
        if value.place is None:
            raise
        label = "" if registry.is_part(value.maker) or value.name.startswith("ragkit.") else f"{value.name}: "
        raise _Refused(value.place, f"{label}{_first_line(error)}") from error
    _remember(instance, value)
    made.append((value, instance))
    return instance


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(str(e["msg"]).removeprefix("Value error, ") for e in error.errors())
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def use(cls: Callable[..., T], **arguments: Any) -> T:
    """Make *cls* and remember the arguments, so that a pipeline that holds it can be dumped."""
    instance = cls(**arguments)
    _remember(instance, Spec(cls, arguments, registry.name_of(cls)))
    return instance


def _remember(instance: Any, spec: Spec) -> None:
    object.__setattr__(instance, "_ragkit_spec", spec)


# --- and back


def dump(value: Any, defaults: bool = False) -> str:
    """The YAML that `load` would turn back into *value*; with *defaults*, every argument is written out."""
    return str(yaml.dump(describe(value, defaults=defaults), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))


class _Dumper(yaml.SafeDumper):
    """Escapes the line breaks that YAML would fold: all but `\\n`."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style='"' if re.search("[\r\x85\u2028\u2029]", text) else None)


_Dumper.add_representer(str, _Dumper.represent_text)


def describe(value: Any, path: str = "", defaults: bool = False) -> Any:
    """*value* as plain data: the constructor arguments that differ from their defaults (or all of them)."""
    if isinstance(value, Late):
        return value.written
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Path | Where):
        return str(value)
    if isinstance(value, SecretStr):
        if value.get_secret_value():
            raise TypeError(f"{path or 'value'}: a secret is not written to YAML; let the file take it from the environment: ${{NAME}}")
        return ""
    if isinstance(value, list | tuple):
        return [describe(v, f"{path}[{i}]", defaults) for i, v in enumerate(value)]
    if isinstance(value, Mapping):
        return {k: describe(v, _join(path, k), defaults) for k, v in value.items()}
    if isinstance(value, BaseModel) and not registry.is_ours(type(value)) and not hasattr(value, "_ragkit_spec"):
        raise TypeError(_cannot_write(value, path))
    spec = value if isinstance(value, Spec) else getattr(value, "_ragkit_spec", None) or _read_back(value, path)
    written = dict(spec.arguments)
    if defaults and registry.is_ours(spec.maker):
        written = {n: spec.arguments.get(n, p.default) for n, p in registry.parameters(spec.maker).items()}
    else:
        known = registry.parameters(spec.maker)
        written = {n: v for n, v in written.items() if n not in known or known[n].required or not _same(v, known[n].default)}
    arguments = {name: describe(v, _join(path, name), defaults) for name, v in written.items()}
    return {"type": spec.name, **arguments} if registry.is_slot(registry.makes(spec.maker)) else arguments


def identify(value: Any) -> str:
    """A text that is the same for the same settings, also of objects that no YAML describes; those that do not tell their
    settings are told apart by where they are in memory.
    """
    try:
        return repr(describe(value))
    except TypeError:
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(identify, value))}]"
        maker: registry.Maker = type(value)
        if registry.is_ours(maker):
            arguments = [f"{name}={identify(getattr(value, name))}" for name in registry.parameters(maker)]
            return f"{type(value).__qualname__}({', '.join(arguments)})"
        return f"{type(value).__qualname__}: {value!r}"


def _same(value: Any, default: Any) -> bool:
    """Is *value*, built or not, what the argument has anyway?"""
    try:
        return bool(describe(value) == describe(default))
    except TypeError:  # one of them cannot be described
        return bool(value == default)


def _read_back(value: Any, path: str) -> Spec:
    """scikit-learn's rule: a component stores each constructor argument under its own name."""
    maker: registry.Maker = type(value)
    if not registry.is_ours(maker):
        raise TypeError(_cannot_write(value, path))
    return Spec(maker, {name: getattr(value, name) for name in registry.parameters(maker)}, registry.name_of(maker))


def _cannot_write(value: Any, path: str) -> str:
    return f"{path or 'value'}: cannot write a {type(value).__name__} to YAML; make it with ragkit.use({type(value).__name__}, ...)"


# --- values


def _validated(hint: Any, written: Any) -> Any:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # the hint brings its own config
        adapter = TypeAdapter(hint)
    return adapter.validate_python(_expand(written))


class _Unset(Exception):
    """The name of an environment variable without a value."""


class _Unclosed(Exception):
    """A `${` without its `}`."""


_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def _expand(value: Any) -> Any:
    """Replace `${NAME}` and `${NAME:-default}` by environment variables."""
    if isinstance(value, dict):
        return {k: _expand(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_expand(v) for v in value]
    if not isinstance(value, str):
        return value
    if "${" in _VARIABLE.sub("", value):
        raise _Unclosed(value)
    return _VARIABLE.sub(_variable, value)


def _variable(match: re.Match[str]) -> str:
    name, default = match.groups()
    found = os.environ.get(name)
    if default is not None:
        return found or default
    if found is None:
        raise _Unset(name)
    return found


def item_of(hint: Any) -> Any:
    """The item's hint, if *hint* is a sequence of slots or parts."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if inspect.isclass(origin) and issubclass(origin, Sequence) and arguments:
        if registry.slots_in(arguments[0]) or registry.is_part(arguments[0]):
            return arguments[0]
    return None


# --- wording


def _worded(error: Any) -> str:
    message, value = str(error["msg"]), error["input"]
    message = message.removeprefix("Value error, ").partition(", unable to parse")[0]
    message = f"{message[0].lower()}{message[1:]}".replace("input is not a valid path for <class 'pathlib.Path'>", "input should be a path")
    shown = repr(value) if len(repr(value)) < 80 else f"{repr(value)[:80]}..."
    expected = re.findall(r"'([^']+)'", str(error.get("ctx", {}).get("expected", "")))
    return f"{message}, got {shown}{_did_you_mean(str(value), expected)}"


def _is_branch(part: Any) -> bool:
    """pydantic puts the tried type into the location of an error in a union, such as `constrained-int`."""
    return isinstance(part, str) and bool(re.search(r"[\[(]|^(str|int|float|bool|constrained-\w+|none)$", part))


def _descend(node: yaml.Node, location: Iterable[Any]) -> yaml.Node:
    """The node that *location* leads to, as far as it goes."""
    for part in location:
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
        elif isinstance(node, yaml.MappingNode):
            node = next((v for k, v in node.value if getattr(k, "value", None) == part), node)
    return node


def _place(mark: yaml.Mark | None, path: str) -> Place:
    return Place(mark.line, mark.column, path) if mark else Place(0, 0, path)


def _join(path: str, word: str) -> str:
    return f"{path}.{word}" if path else word


def _is_null(node: yaml.Node) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return "nothing" if _is_null(node) else repr(node.value)
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def _did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    return "".join(f"; did you mean '{prefix}{close}'?" for close in _close(word, known))


def _close(word: str, known: Iterable[str]) -> list[str]:
    """The known word nearest to *word*, if one is near."""
    return difflib.get_close_matches(word, list(known), n=1)


def _codepoint(character: str | int) -> int:
    return character if isinstance(character, int) else ord(character)


def _known(slots: tuple[type, ...]) -> str:
    names = sorted(registry.names(*slots))
    return f" (known: {', '.join(names)}; or an import path)" if names else " (give an import path)"


def parts_of(value: Any) -> Iterator[Any]:
    """*value* and every component inside it, outermost first, each once."""
    waiting, seen = [value], set()
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, list | tuple):
            waiting = [*each, *waiting]
            continue
        maker: registry.Maker = type(each)
        if id(each) not in seen and (registry.is_ours(maker) or registry.is_slot(maker)):
            seen.add(id(each))
            yield each
            waiting = [*(getattr(each, name, None) for name in registry.parameters(maker)), *waiting]
