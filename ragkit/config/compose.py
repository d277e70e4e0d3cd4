"""From the bytes of one pipeline file to YAML nodes, each of which knows its file, line and column."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import yaml

from ragkit.config.bounded_yaml import DEEPEST
from ragkit.config.problems import Problems, Stop, did_you_mean, place_of
from ragkit.config.spec import Position, joined

OPTION = -1
"""The line and column of what stands in no file but in an option or a Python value."""


@dataclass
class Composed:
    """A text as nodes.  `unknown` are aliases whose anchor is not in the text."""

    name: str
    root: yaml.Node
    anchors: dict[str, yaml.Node] = field(default_factory=dict)
    unknown: list[yaml.ScalarNode] = field(default_factory=list)


def compose(name: str, given: bytes, problems: Problems, in_file: bool = True) -> Composed:
    """The nodes of a text that messages call *name*.  Raises `Stop` if it is no YAML."""
    if in_file:
        problems.add_text(name, given.decode("utf-8-sig", "replace"))
    try:
        text = given.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = given[: error.start]
        column = len(before[before.rfind(b"\n") + 1 :])
        problems.at(
            Position(before.count(b"\n"), column, "", name),
            f"byte 0x{given[error.start]:02x} is not UTF-8; save the file as UTF-8",
        )
        raise Stop from None
    try:
        loader = _Loader(text, name, in_file)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        place = place_of(error.problem_mark or error.context_mark, "")
        problems.at(place, _syntax(error, problems.line(place)))
        raise Stop from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position)
        column = error.position - (text.rfind("\n", 0, error.position) + 1)
        place = Position(line, column, "", name) if in_file else Position(OPTION, OPTION, "", name)
        problems.at(place, f"character U+{_codepoint(error.character):04X} is not allowed in YAML")
        raise Stop from None
    except RecursionError:
        problems.at(Position(0, 0, "", name), "nested too deeply")
        raise Stop from None
    if node is None or (isinstance(node, yaml.ScalarNode) and node.value == "" and node.style is None):
        if not in_file:
            mark = yaml.Mark(name, 0, OPTION, OPTION, None, 0)
            return Composed(name, yaml.ScalarNode("tag:yaml.org,2002:null", "null", mark, mark))
        problems.at(
            Position(0, 0, "", name),
            "the file is empty; `ragkit config show` prints a configuration to start from",
        )
        raise Stop
    demand_distinct_keys(node, problems)
    return Composed(name, node, loader.defined, loader.unknown)


class _Loader(yaml.SafeLoader):
    """Keeps the anchors of the text, and leaves an alias that has none to the file that is extended."""

    def __init__(self, text: str, name: str, in_file: bool) -> None:
        self.in_file = in_file  # first, since the scanner takes a mark at once
        super().__init__(text)
        self.name = name
        self.defined: dict[str, yaml.Node] = {}
        self.unknown: list[yaml.ScalarNode] = []

    def get_mark(self) -> yaml.Mark:
        mark = super().get_mark()
        if not self.in_file:
            mark.line = mark.column = OPTION
        return mark

    def compose_document(self) -> yaml.Node | None:
        self.get_event()  # type: ignore[no-untyped-call]
        node = self.compose_node(None, None)  # type: ignore[arg-type]
        self.get_event()  # type: ignore[no-untyped-call]
        self.defined, self.anchors = self.anchors, {}
        return node

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: yaml.AliasEvent = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) and event.anchor not in self.anchors:
            self.get_event()  # type: ignore[no-untyped-call]
            self.unknown.append(
                yaml.ScalarNode("!", event.anchor, event.start_mark, event.end_mark)  # type: ignore[arg-type]
            )
            return self.unknown[-1]
        return super().compose_node(parent, index)


def demand_distinct_keys(root: yaml.Node, problems: Problems) -> None:
    """Report keys written twice, wherever they are: YAML would keep the last one and say nothing."""
    waiting, seen = [(root, "", 0)], set()
    while waiting:
        node, path, depth = waiting.pop()
        if id(node) in seen or not isinstance(node.value, list):
            continue
        seen.add(id(node))
        if depth > DEEPEST:
            problems.node(node, path, "nested too deeply")
            raise Stop
        if isinstance(node, yaml.SequenceNode):
            waiting += [(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(node.value)]
            continue
        first: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in first and key.value != "<<":
                problems.node(
                    key,
                    joined(path, key.value),
                    f"written twice; first in line {first[key.value].start_mark.line + 1}",
                )
            first.setdefault(key.value, key)
            waiting.append((value, joined(path, key.value), depth + 1))


def report_unknown(composed: Composed, known: list[str], problems: Problems) -> None:
    """Report each alias whose anchor is none of those *known*; raises `Stop` if there is one."""
    missing = [each for each in composed.unknown if each.value not in known]
    for each in missing:
        hint = did_you_mean(each.value, [*composed.anchors, *known], prefix="*")
        problems.node(each, "", f"no anchor '&{each.value}' is defined before this{hint}")
    if missing:
        raise Stop


def _syntax(error: yaml.MarkedYAMLError, line: str) -> str:
    problem = error.problem or "cannot be read as YAML"
    if error.problem_mark is not None and "\t" in line[: max(error.problem_mark.column, 0) + 1]:
        return "a tab cannot indent YAML; use spaces"
    if duplicate := re.search(r"found duplicate anchor '([^']+)'", f"{problem} {error.context}"):
        return f"the anchor '&{duplicate[1]}' is defined above already; give this one another name"
    if "expected a single document" in (error.context or ""):
        return "a second document begins here; a pipeline is one document"
    return f"not YAML: {problem}" + (f" {error.context}" if error.context else "")


def _codepoint(character: str | int) -> int:
    return character if isinstance(character, int) else ord(character)
