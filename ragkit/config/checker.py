"""Checks a pipeline file against the type hints of its components; reports every problem with its place."""

from __future__ import annotations

import contextlib
import inspect
import re
import typing
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from ragkit.config import allowed, components, variables
from ragkit.config.bounded_yaml import DEEPEST, MOST_NODES, size
from ragkit.config.layers import DEFINITIONS, Document, Removed
from ragkit.config.problems import Stop, close, did_you_mean, place_of
from ragkit.config.spec import FromEnvironment, Spec, Unclosed, Unset, joined, validated
from ragkit.errors import ConfigError

_CONTAINS_ITSELF = "the anchor stands for something that contains itself"


class Checker:
    """One descent over the type hints and the YAML nodes together.

    With *need_variables*, an environment variable that has no value is a problem.
    """

    def __init__(
        self,
        document: Document,
        allow: Collection[str],
        allow_env: Collection[str] = (),
        need_variables: bool = True,
    ) -> None:
        self.document, self.problems = document, document.problems
        self.allow, self.allow_env, self.need_variables = allow, allow_env, need_variables
        self.visited = 0
        self.above: list[int] = []  # the nodes that the one at hand is inside of

    def root(self, cls: type) -> Spec:
        spec = None
        with contextlib.suppress(Stop):
            spec = self.call(cls, self.document.root, "", ignore={DEFINITIONS})
        if self.problems.found or spec is None:
            raise ConfigError(self.document.name, self.problems.found)
        return spec

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
            if word in parameters and isinstance(value, Removed) and not _takes_none(parameters[word].hint):
                if parameters[word].required:
                    self.problem(
                        value, joined(path, word), f"'{word}' has no default, so null cannot remove it"
                    )
                    meant.add(word)
            elif word in parameters:
                arguments[word] = self.value(parameters[word].hint, value, joined(path, word))
                self.demand_settable(name, key, value, joined(path, word))
            else:
                meant |= set(close(word, parameters))
                hint = did_you_mean(word, parameters) or (
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
        return Spec(maker, arguments, name, place_of(node.start_mark, path))

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
            if not isinstance(node, yaml.MappingNode) and (plain := components.plain_in(hint)):
                return self.plain(plain, node, path)
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
        if close := did_you_mean(name, components.names(*slots)):
            return close
        others = [slot.__name__ for slot in components.interfaces() if name in components.names(slot)]
        return (f"; '{name}' is a {others[0]}" if others else "") + _known(slots)

    def plain(self, hint: Any, node: yaml.Node, path: str) -> Any:
        """Check an ordinary value with pydantic."""
        self.count(node, path, size(node))
        node = _without_removed(node)
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
            if not self.need_variables:
                return FromEnvironment(written, hint)
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
            raise Stop from None
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
            raise Stop

    def problem(self, node: yaml.Node, path: str, message: str) -> None:
        self.problems.node(node, path, message)


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
    return f"{message}, got {shown}{did_you_mean(str(value), expected)}"


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


def _word(path: str) -> str:
    """The argument that a place such as `answer.retrieve[0].k` is the value of."""
    return path.rpartition(".")[2].partition("[")[0]


def _takes_none(hint: Any) -> bool:
    if components.slots_in(hint) or item_of(hint):
        return type(None) in typing.get_args(hint)
    with contextlib.suppress(ValidationError):
        return validated(hint, None) is None
    return False


def _without_removed(node: yaml.Node) -> yaml.Node:
    """A plain mapping without the keys that a `null` took away."""
    if not isinstance(node, yaml.MappingNode):
        return node
    kept = [(key, _without_removed(value)) for key, value in node.value if not isinstance(value, Removed)]
    return yaml.MappingNode(node.tag, kept, node.start_mark, node.end_mark)


def _is_null(node: yaml.Node) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return "nothing" if _is_null(node) else repr(node.value)
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def _known(slots: tuple[type, ...]) -> str:
    names = sorted(components.names(*slots))
    return f" (known: {', '.join(names)}; or an import path)" if names else " (give an import path)"
