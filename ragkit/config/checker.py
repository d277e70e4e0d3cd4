"""Checks a pipeline file against the type hints of its components; reports every problem with its place."""

from __future__ import annotations

import difflib
import inspect
import re
import typing
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from ragkit.config import allowed, components, variables
from ragkit.config.bounded_yaml import DEEPEST, MOST_NODES, size
from ragkit.config.spec import FromEnvironment, Position, Spec, Unclosed, Unset, joined, validated
from ragkit.errors import ConfigError, Problem

DEFINITIONS = "define"
"""The top-level key whose value is ignored: a place for anchors."""

_CONTAINS_ITSELF = "the anchor stands for something that contains itself"


class _Stop(Exception):
    """The file cannot be checked any further."""


class Checker:
    """One descent over the type hints and the YAML nodes together."""

    def __init__(
        self, name: str, text: str | bytes, allow: Collection[str], allow_env: Collection[str] = ()
    ) -> None:
        self.name = name
        self.allow, self.allow_env = allow, allow_env
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
            self.at(
                Position(before.count(b"\n"), column, ""),
                f"byte 0x{self.bytes[error.start]:02x} is not UTF-8; save the file as UTF-8",
            )
            raise _Stop from None
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            self.at(_place(error.problem_mark or error.context_mark, ""), self.syntax(error, text))
            raise _Stop from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position)
            column = error.position - (text.rfind("\n", 0, error.position) + 1)
            self.at(
                Position(line, column, ""),
                f"character U+{_codepoint(error.character):04X} is not allowed in YAML",
            )
            raise _Stop from None
        except RecursionError:
            self.at(Position(0, 0, ""), "nested too deeply")
            raise _Stop from None
        if node is None or (isinstance(node, yaml.ScalarNode) and node.value == "" and node.style is None):
            self.at(
                Position(0, 0, ""),
                "the file is empty; `ragkit config show` prints a configuration to start from",
            )
            raise _Stop
        return node

    def syntax(self, error: yaml.MarkedYAMLError, text: str) -> str:
        problem = error.problem or "cannot be read as YAML"
        mark = error.problem_mark
        if (
            mark is not None
            and mark.line < len(self.lines)
            and "\t" in self.lines[mark.line][: mark.column + 1]
        ):
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
            if depth > DEEPEST:
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
                    self.problem(
                        key,
                        joined(path, key.value),
                        f"written twice; first in line {first[key.value].start_mark.line + 1}",
                    )
                first.setdefault(key.value, key)
                waiting.append((value, joined(path, key.value), depth + 1))

    # --- from nodes to specs

    def call(
        self, maker: components.Maker, node: yaml.Node, path: str, ignore: set[str], name: str = ""
    ) -> Spec:
        """Check that *node* holds the arguments of *maker*."""
        self.count(node, path)
        self.above.append(id(node))
        parameters, arguments = components.parameters(maker), {}
        meant = set()
        for key, value in self.entries(node, path):
            word = key.value
            if word in ignore:
                continue
            if word in parameters:
                arguments[word] = self.value(parameters[word].hint, value, joined(path, word))
                self.demand_settable(name, key, value, joined(path, word))
            else:
                meant |= set(_close(word, parameters))
                hint = _did_you_mean(word, parameters) or (
                    f" (known: {', '.join(parameters)})" if parameters else ""
                )
                self.problem(
                    key,
                    joined(path, word),
                    (f"{name} has no argument '{word}'" if name else f"there is no key '{word}' here") + hint,
                )
        for word, parameter in parameters.items():
            if parameter.required and word not in {*arguments, *meant} and isinstance(node, yaml.MappingNode):
                self.problem(node, path, f"{name} needs '{word}'" if name else f"the key '{word}' is missing")
        self.above.pop()
        return Spec(maker, arguments, name, _place(node.start_mark, path))

    def demand_settable(self, name: str, key: yaml.ScalarNode, value: yaml.Node, path: str) -> None:
        """Report an argument of an imported class that a file may not set, and options in it."""
        settable = allowed.settable(name, self.allow)
        if settable is None:
            return
        refused = [(key, path)] if key.value not in settable else []
        if options := settable.get(key.value):
            refused = [
                (k, joined(path, k.value)) for k, _ in self.entries(value, path) if k.value not in options
            ]
        for node, place in refused:
            self.problem(
                node,
                place,
                f"setting '{node.value}' of {name} is not allowed; if you trust this file, pass --allow-import {name}",
            )

    def value(self, hint: Any, node: yaml.Node, path: str) -> Any:
        """Check *node* against one type hint."""
        if slots := components.slots_in(hint):
            if _is_null(node) and type(None) in typing.get_args(hint):
                return None
            part = components.part_in(hint)
            if part and isinstance(node, yaml.MappingNode) and "type" not in {k.value for k, _ in node.value}:
                return self.call(part, node, path, ignore=set())
            return self.slot(slots, node, path)
        item = item_of(hint)
        if not item and isinstance(node, yaml.SequenceNode) and any(map(_import_path, node.value)):
            item = _object_in(hint)
        if item:
            if not isinstance(node, yaml.SequenceNode):
                return [self.value(item, node, path)]  # one item may stand for a list of one
            self.count(node, path)
            return [self.value(item, entry, f"{path}[{i}]") for i, entry in enumerate(node.value)]
        chosen, classes = _import_path(node), components.objects_in(hint)
        if chosen and classes is not None:
            return self.chosen(chosen, classes, node, path)
        if components.is_part(hint):
            return self.call(hint, node, path, ignore=set())
        return self.plain(hint, node, path)

    def slot(self, slots: tuple[type, ...], node: yaml.Node, path: str) -> Any:
        """Check `{type: name, ...}` (or just `name`) where one of *slots* is wanted."""
        if id(node) in self.above:
            return self.problem(node, path, _CONTAINS_ITSELF)
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
        return self.chosen(chosen, slots, node, path)

    def chosen(self, chosen: yaml.ScalarNode, wanted: tuple[type, ...], node: yaml.Node, path: str) -> Any:
        """Check the call that *node* describes, whose component must make one of *wanted*.

        *chosen* holds the component's name: it is the `type` of *node*, or *node* itself.
        """
        if id(node) in self.above:
            return self.problem(node, path, _CONTAINS_ITSELF)
        name = chosen.value
        try:
            maker = components.find(name, wanted, self.allow)
        except components.NotFound as error:
            return self.problem(chosen, path, f"{error}{self.nearest(name, wanted)}")
        if node is chosen:
            node = yaml.MappingNode("tag:yaml.org,2002:map", [], node.start_mark, node.end_mark)
        return self.call(maker, node, path, ignore={"type"}, name=name)

    def nearest(self, name: str, slots: tuple[type, ...]) -> str:
        if "." in name:
            return ""
        if close := _did_you_mean(name, components.names(*slots)):
            return close
        others = [slot.__name__ for slot in components.interfaces() if name in components.names(slot)]
        return (f"; '{name}' is a {others[0]}" if others else "") + _known(slots)

    def plain(self, hint: Any, node: yaml.Node, path: str) -> Any:
        """Check an ordinary value with pydantic."""
        self.count(node, path, size(node))
        try:
            written = yaml.SafeLoader("").construct_object(node, deep=True)
        except yaml.YAMLError as error:
            return self.problem(node, path, str(getattr(error, "problem", error)))
        except (RecursionError, ValueError) as error:
            return self.problem(
                node, path, str(error) if isinstance(error, ValueError) else "contains itself"
            )
        if message := variables.objection(_word(path), hint, written, self.allow_env):
            return self.problem(node, path, message)
        try:
            value = validated(hint, written)
        except Unset as error:
            return self.problem(
                node,
                path,
                f"environment variable '{error}' is not set; `${{{error}:-default}}` gives a default",
            )
        except Unclosed as error:
            return self.problem(
                node,
                path,
                f"'${{' in '{error}' is not closed; a variable is written ${{NAME}} or ${{NAME:-default}}",
            )
        except ValidationError as error:
            for e in error.errors():
                at = path + "".join(
                    f"[{p}]" if isinstance(p, int) else f".{p}" for p in e["loc"] if not _is_branch(p)
                )
                self.problem(_descend(node, e["loc"]), at, _worded(e))
            return None
        if isinstance(written, bool) and not isinstance(value, bool):
            return self.problem(node, path, f"input should not be true or false, got {node.value}")
        return FromEnvironment(written, hint) if "${" in str(written) else value

    def entries(self, node: yaml.Node, path: str) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        """The keys and values of a mapping, merge keys (`<<: *anchor`) resolved."""
        if not isinstance(node, yaml.MappingNode):
            self.problem(node, path, f"expected a mapping, got {_shown(node)}")
            return []
        merged = [value for key, value in node.value if key.tag == "tag:yaml.org,2002:merge"]
        for value in merged:
            self.count(value, path, size(value))
        try:
            yaml.SafeLoader("").flatten_mapping(node)
        except yaml.MarkedYAMLError:
            self.problem(
                merged[0], path, f"`<<` merges a mapping into another, and {_shown(merged[0])} is none"
            )
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

    def count(self, node: yaml.Node, path: str, nodes: int = 1) -> None:
        """Stop if the file describes more than can be built, now that it describes *nodes* more."""
        self.visited += nodes
        if self.visited > MOST_NODES or path.count(".") + path.count("[") > DEEPEST:
            self.problem(node, path, "describes more than can be built: does an anchor contain itself?")
            raise _Stop

    def problem(self, node: yaml.Node, path: str, message: str) -> None:
        self.at(_place(node.start_mark, path), message)

    def at(self, place: Position, message: str) -> None:
        source = self.lines[place.line] if place.line < len(self.lines) else ""
        path = place.path if len(place.path) < 100 else f"{place.path[:40]}..."
        problem = Problem(place.line + 1, place.column + 1, path or "(file)", message, source)
        if not any(
            (p.line, p.column, p.message) == (problem.line, problem.column, problem.message)
            for p in self.problems
        ):
            self.problems.append(problem)  # once, however many aliases lead to it


def item_of(hint: Any) -> Any:
    """The item's hint, if *hint* is a sequence of slots or parts."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if inspect.isclass(origin) and issubclass(origin, Sequence) and arguments:
        if components.slots_in(arguments[0]) or components.is_part(arguments[0]):
            return arguments[0]
    return None


def _object_in(hint: Any) -> Any:
    """The item's hint of a sequence of anything, such as `list[Client] | None`."""
    for each in (hint, *typing.get_args(hint)):
        origin, arguments = typing.get_origin(each), typing.get_args(each)
        if inspect.isclass(origin) and issubclass(origin, Sequence) and arguments:
            return arguments[0]
    return Any


def _import_path(node: yaml.Node) -> yaml.ScalarNode | None:
    """The `type` of a mapping that is an import path: such a mapping is the call of a constructor."""
    if not isinstance(node, yaml.MappingNode):
        return None
    merged = [value for key, value in node.value if key.tag == "tag:yaml.org,2002:merge"]
    for mapping in (node, *(each for each in merged if isinstance(each, yaml.MappingNode))):
        for key, value in mapping.value:
            if key.value == "type" and isinstance(value, yaml.ScalarNode):
                return value if components.is_import_path(value.value) else None
    return None


# --- wording


def _worded(error: Any) -> str:
    message, value = str(error["msg"]), error["input"]
    message = message.removeprefix("Value error, ").partition(", unable to parse")[0]
    message = f"{message[0].lower()}{message[1:]}".replace(
        "input is not a valid path for <class 'pathlib.Path'>", "input should be a path"
    )
    shown = repr(value) if len(repr(value)) < 80 else f"{repr(value)[:80]}..."
    expected = re.findall(r"'([^']+)'", str(error.get("ctx", {}).get("expected", "")))
    return f"{message}, got {shown}{_did_you_mean(str(value), expected)}"


def _is_branch(part: Any) -> bool:
    """pydantic puts the tried type into the location of an error in a union, such as `constrained-int`."""
    return isinstance(part, str) and bool(
        re.search(r"[\[(]|^(str|int|float|bool|constrained-\w+|none)$", part)
    )


def _descend(node: yaml.Node, location: Iterable[Any]) -> yaml.Node:
    """The node that *location* leads to, as far as it goes."""
    for part in location:
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
        elif isinstance(node, yaml.MappingNode):
            node = next((v for k, v in node.value if getattr(k, "value", None) == part), node)
    return node


def _place(mark: yaml.Mark | None, path: str) -> Position:
    return Position(mark.line, mark.column, path) if mark else Position(0, 0, path)


def _word(path: str) -> str:
    """The argument that a place such as `answer.retrieve[0].k` is the value of."""
    return path.rpartition(".")[2].partition("[")[0]


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
    names = sorted(components.names(*slots))
    return f" (known: {', '.join(names)}; or an import path)" if names else " (give an import path)"
