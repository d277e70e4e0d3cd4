"""A pipeline file, what it extends, and what is set on top of it, merged into one tree of YAML nodes.

Mappings are merged key by key.  A list, a scalar and a mapping of another `type` replace what was there, and
`null` takes a key away.  What stands under `define` is replaced wherever its anchor is used.  Every node keeps
its own file, line and column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ragkit.config import presets
from ragkit.config.bounded_yaml import MOST_NODES, size
from ragkit.config.compose import Composed, compose, report_unknown
from ragkit.config.problems import Problems, Stop, did_you_mean
from ragkit.errors import ConfigError, UsageError

DEFINITIONS = "define"
"""The top-level key that is a place for anchors; its value describes nothing by itself."""

EXTENDS = "extends"
"""The top-level key that names the preset or file to start from."""

MOST_FILES = 10  # that extend each other; more are a mistake
_CORPUS = "corpus"  # the one top-level key that is a path; it is relative to its own file
_NULL = "tag:yaml.org,2002:null"
_TEXT = "tag:yaml.org,2002:str"
_MAPPING = "tag:yaml.org,2002:map"
_MERGE = "tag:yaml.org,2002:merge"


class Removed(yaml.ScalarNode):
    """A `null` in the place of a value that was there: nothing where that is allowed, else the default."""


@dataclass(frozen=True)
class Override:
    """One value that is set on top of a file; messages call it *label*, such as `--set answer.refine.k=3`."""

    label: str
    path: str
    text: str

    @classmethod
    def parse(cls, given: str) -> Override:
        """What `--set KEY=VALUE` means; the value is YAML.  Raises `UsageError`."""
        path, equals, text = given.partition("=")
        if not equals or not all(path.split(".")):
            raise UsageError(f"--set {given}: write KEY=VALUE, such as --set answer.refine.k=3")
        return cls(f"--set {given}", path, text)

    @classmethod
    def of(cls, path: str, value: Any, label: str = "") -> Override:
        """*value* is plain data.  Raises `UsageError` for what YAML cannot write."""
        return cls(label or f"overrides[{path!r}]", path, written(value, path))


@dataclass
class Document:
    """A merged tree, and the problems found on the way to it."""

    problems: Problems
    root: yaml.Node
    anchors: dict[str, yaml.Node] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.problems.name

    def at(self, path: str) -> yaml.Node | None:
        """The node at a dotted path; None where there is none."""
        node: yaml.Node | None = self.root
        for word in path.split("."):
            node = _get(node, word)
        return node

    def definitions(self) -> list[tuple[str, yaml.Node]]:
        """What stands under `define`, by name."""
        node = self.at(DEFINITIONS)
        return [(key.value, value) for key, value in node.value] if isinstance(node, yaml.MappingNode) else []

    def put(self, override: Override) -> None:
        """Set a value.  Raises `ConfigError` if there is no such place or the value is no YAML."""
        try:
            value = compose(override.label, override.text.encode(), self.problems, in_file=False)
            report_unknown(value, list(self.anchors), self.problems)
            changed: dict[int, yaml.Node] = {id(each): self.anchors[each.value] for each in value.unknown}
            words = override.path.split(".")
            defined = ".".join(words[:2]) if words[0] == DEFINITIONS and len(words) > 1 else ""
            before = self.at(defined) if defined else None
            self.root = _Merge(changed).put(self.root, words, value.root, self.problems, "")
            after = self.at(defined) if defined else None
            if before is not None and after is not None and before is not after:
                changed[id(before)] = after
            self._substitute(changed)
        except Stop:
            raise ConfigError(self.name, self.problems.found) from None
        except RecursionError:
            raise UsageError(f"{override.label}: nested too deeply") from None

    def _substitute(self, changed: Mapping[int, yaml.Node]) -> None:
        if changed:
            made: dict[int, yaml.Node] = {}
            self.root = _substituted(self.root, changed, made)
            self.anchors = {k: _substituted(v, changed, made) for k, v in self.anchors.items()}


def read(name: str, text: bytes, folder: Path | None = None, path: Path | None = None) -> Document:
    """The tree of a text.  It extends presets and files below *folder*; without one, presets only.

    *path* is the file that the text is from.  Raises `ConfigError`.
    """
    problems = Problems(name)
    try:
        return _read(name, text, folder, [path.resolve()] if path else [], problems)
    except Stop:
        raise ConfigError(name, problems.found) from None


def of_data(data: Mapping[str, Any], name: str) -> Document:
    """The tree of a pipeline that is written in Python; it may extend any file."""
    problems = Problems(name)
    try:
        return _read(name, written(data, name).encode(), Path(), [], problems, in_file=False)
    except Stop:
        raise ConfigError(name, problems.found) from None


def written(value: Any, name: str) -> str:
    """Plain data as YAML.  Raises `UsageError` for anything else."""
    try:
        return str(yaml.dump(value, Dumper=_PathDumper, allow_unicode=True, sort_keys=False))
    except (yaml.YAMLError, RecursionError) as error:
        what = error.args[-1] if error.args else value
        raise UsageError(
            f"{name}: an object of type {type(what).__name__} cannot be written as YAML; give plain data, or build a ragkit.Rag"
        ) from None


class _PathDumper(yaml.SafeDumper):
    """Writes paths, too."""


_PathDumper.add_multi_representer(Path, lambda dumper, path: dumper.represent_str(str(path)))


def _read(
    name: str,
    text: bytes,
    folder: Path | None,
    chain: list[Path],
    problems: Problems,
    in_file: bool = True,
    inside: bool = False,
) -> Document:
    """*chain* are the files from the first one to this one, which is *inside* another that extends it."""
    composed = compose(name, text, problems, in_file)
    _locate_corpus(composed.root, folder)
    extended = _pair(composed.root, EXTENDS)
    if extended is None:
        report_unknown(composed, [], problems)
        if inside:
            _demand_bounded(composed, problems)
        return Document(problems, composed.root, composed.anchors)
    if len(chain) > MOST_FILES:
        problems.node(extended[1], EXTENDS, f"more than {MOST_FILES} files extend each other")
        raise Stop
    _demand_bounded(composed, problems)
    target = _target(extended[1], folder, problems, anywhere=not in_file)
    real = target.resolve()
    if real in chain:
        circle = " -> ".join(path.name for path in [*chain[chain.index(real) :], real])
        problems.node(extended[1], EXTENDS, f"extends goes in a circle: {circle}")
        raise Stop
    try:
        if not target.is_file():
            raise FileNotFoundError
        base_text = target.read_bytes()
    except FileNotFoundError:
        problems.node(extended[1], EXTENDS, f"there is no file '{target}'")
        raise Stop from None
    except OSError as error:
        problems.node(extended[1], EXTENDS, f"cannot read '{target}': {error.strerror}")
        raise Stop from None
    base = _read(str(target), base_text, target.parent, [*chain, real], problems, inside=True)
    report_unknown(composed, list(base.anchors), problems)
    composed.root.value.remove(extended)
    try:
        return _merged(base, composed, problems)
    except RecursionError:
        problems.node(extended[1], EXTENDS, "nested too deeply")
        raise Stop from None


def _target(node: yaml.Node, folder: Path | None, problems: Problems, anywhere: bool) -> Path:
    """The file that `extends: node` names."""
    if not isinstance(node, yaml.ScalarNode) or node.tag != _TEXT or not node.value:
        problems.node(node, EXTENDS, "extends is the name of a preset, or a file such as base.yaml")
        raise Stop
    value: str = node.value
    if "/" not in value and not value.endswith((".yaml", ".yml")):
        if value not in presets.names():
            known = ", ".join(presets.names())
            hint = did_you_mean(value, presets.names()) or f" (known: {known}; or a file such as base.yaml)"
            problems.node(node, EXTENDS, f"no preset is called '{value}'{hint}")
            raise Stop
        return presets.path_of(value)
    if folder is None:
        problems.node(node, EXTENDS, f"'{value}' is a file, and only a file can extend one; name a preset")
        raise Stop
    if "\0" in value or (not anywhere and not (folder / value).resolve().is_relative_to(folder.resolve())):
        problems.node(
            node,
            EXTENDS,
            f"'{value}' is not below the folder of this file; copy it there, or extend a preset",
        )
        raise Stop
    return folder / value


def _locate_corpus(root: yaml.Node, folder: Path | None) -> None:
    """Write a relative `corpus` as it is seen from the working directory; a preset means that directory."""
    found = _pair(root, _CORPUS)
    if found and folder is not None and folder != presets.PRESETS and isinstance(found[1], yaml.ScalarNode):
        key, value = found
        if value.tag == _TEXT and value.value:
            # `./.ragkit`, which is told from the `.ragkit` of a preset
            path = value.value if Path(value.value).is_absolute() else f"{folder}/{value.value}"
            located = yaml.ScalarNode(_TEXT, path, value.start_mark, value.end_mark)
            root.value[root.value.index(found)] = (key, located)


def _demand_bounded(composed: Composed, problems: Problems) -> None:
    """A file that takes part in a merge must be of bounded size; the checker counts what is not merged."""
    if size(composed.root) > MOST_NODES:
        problems.node(composed.root, "", "describes more than can be read: do its aliases multiply?")
        raise Stop


# --- merging


def _merged(base: Document, composed: Composed, problems: Problems) -> Document:
    changed: dict[int, yaml.Node] = {id(each): base.anchors[each.value] for each in composed.unknown}
    merge = _Merge(changed)
    root = merge.merged(base.root, composed.root, top=True)
    document = Document(problems, root, base.anchors | composed.anchors)
    document._substitute(changed)
    return document


class _Merge:
    """One merge of two trees; *changed* collects by which node those under `define` are replaced."""

    def __init__(self, changed: dict[int, yaml.Node]) -> None:
        self.changed = changed
        self._made: dict[tuple[int, int], yaml.Node] = {}

    def merged(self, base: yaml.Node, over: yaml.Node, top: bool = False, define: bool = False) -> yaml.Node:
        """*over* on top of *base*."""
        base = self._known(base)
        over = self._known(over)
        if _is_null(over):
            return Removed(_NULL, "null", over.start_mark, over.end_mark)
        if isinstance(over, yaml.MappingNode) and _is_name(base) and not _get(over, "type"):
            base = _call_of(base)
        if not (isinstance(base, yaml.MappingNode) and isinstance(over, yaml.MappingNode)):
            return over
        _flatten(base)
        _flatten(over)
        types = [getattr(_get(each, "type"), "value", None) for each in (base, over)]
        if None not in types and types[0] != types[1]:
            return over
        if (id(base), id(over)) in self._made:
            return self._made[id(base), id(over)]
        pairs: list[Any] = list(base.value)
        node = yaml.MappingNode(_MAPPING, pairs, over.start_mark, over.end_mark, flow_style=over.flow_style)
        self._made[id(base), id(over)] = node
        places = {key.value: at for at, (key, _) in enumerate(pairs) if isinstance(key, yaml.ScalarNode)}
        for key, value in over.value:
            at = places.get(key.value) if isinstance(key, yaml.ScalarNode) else None
            if at is None:
                pairs.append((key, value))
                continue
            below = pairs[at][1]
            both = self.merged(below, value, define=top and key.value == DEFINITIONS)
            if define and not isinstance(both, Removed):
                self.changed[id(below)] = both
                if both is not value:
                    self.changed[id(value)] = both
            pairs[at] = (key, both)
        return node

    def _known(self, node: yaml.Node) -> yaml.Node:
        """What an alias of the extended file stands for."""
        return self.changed.get(id(node), node) if node.tag == "!" else node

    def put(
        self, node: yaml.Node | None, words: Sequence[str], value: yaml.Node, problems: Problems, path: str
    ) -> yaml.Node:
        """*node* with *value* at the place that *words* lead to."""
        if not words:
            return value if node is None else self.merged(node, value)
        word, *rest = words
        here = f"{path}.{word}".lstrip(".")
        if isinstance(node, yaml.SequenceNode):
            items = list(node.value)
            if not word.isdecimal() and len(items) == 1:
                word, rest = "0", list(words)
            if not word.isdecimal() or int(word) >= len(items):
                known = f"{path}.0 to {path}.{len(items) - 1}" if len(items) > 1 else f"{path}.0"
                problems.node(
                    value,
                    here,
                    f"'{path}' is a list; name one of its {len(items)} items, {known}"
                    if items
                    else f"'{path}' is an empty list; set the whole list",
                )
                raise Stop
            at = int(word)
            items[at] = self.put(items[at], rest, value, problems, f"{path}.{word}")
            return yaml.SequenceNode(node.tag, items, node.start_mark, node.end_mark, node.flow_style)
        if node is None or _is_null(node):
            node = yaml.MappingNode(_MAPPING, [], value.start_mark, value.end_mark)
        elif _is_name(node):
            node = _call_of(node)
        if not isinstance(node, yaml.MappingNode):
            problems.node(value, here, f"'{path}' is {getattr(node, 'value', '')!r}, which has no '{word}'")
            raise Stop
        _flatten(node)
        pairs: list[Any] = list(node.value)
        new = yaml.MappingNode(node.tag, pairs, node.start_mark, node.end_mark, node.flow_style)
        for at, (key, below) in enumerate(pairs):
            if getattr(key, "value", None) == word:
                pairs[at] = (key, self.put(below, rest, value, problems, here))
                return new
        if word == "0" and path:  # one item may stand for a list of one
            return self.put(node, rest, value, problems, path)
        key = yaml.ScalarNode(_TEXT, word, value.start_mark, value.end_mark)
        pairs.append((key, self.put(None, rest, value, problems, here)))
        return new


def _substituted(node: yaml.Node, changed: Mapping[int, yaml.Node], made: dict[int, yaml.Node]) -> yaml.Node:
    """A copy of *node* in which those that *changed* replaces are replaced; what was shared stays shared."""
    seen: set[int] = set()  # of definitions that were exchanged with each other
    while id(node) in changed and id(node) not in seen:
        seen.add(id(node))
        node = changed[id(node)]
    if not isinstance(node, yaml.CollectionNode):
        return node
    if id(node) not in made:
        inside: list[Any] = []
        copy = type(node)(node.tag, inside, node.start_mark, node.end_mark, node.flow_style)
        made[id(node)] = copy
        if isinstance(node, yaml.MappingNode):
            inside += [(key, _substituted(value, changed, made)) for key, value in node.value]
        else:
            inside += [_substituted(item, changed, made) for item in node.value]
    return made[id(node)]


def _pair(node: yaml.Node, word: str) -> tuple[yaml.Node, yaml.Node] | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((pair for pair in pairs if getattr(pair[0], "value", None) == word), None)


def _get(node: yaml.Node | None, word: str) -> yaml.Node | None:
    found = _pair(node, word) if node is not None else None
    return found[1] if found else None


def _flatten(node: yaml.MappingNode) -> None:
    """Resolve the merge keys of *node*; one that merges no mapping is left for the checker to report."""
    if any(key.tag == _MERGE for key, _ in node.value) and size(node) <= MOST_NODES:
        before = list(node.value)
        try:
            yaml.SafeLoader("").flatten_mapping(node)
        except yaml.MarkedYAMLError:
            node.value = before


def _is_null(node: yaml.Node) -> bool:
    return bool(node.tag == _NULL)


def _is_name(node: yaml.Node) -> bool:
    """Is *node* a word, which may be the `type` of a call without arguments?"""
    return isinstance(node, yaml.ScalarNode) and node.tag == _TEXT


def _call_of(node: yaml.Node) -> yaml.MappingNode:
    key = yaml.ScalarNode(_TEXT, "type", node.start_mark, node.end_mark)
    return yaml.MappingNode(_MAPPING, [(key, node)], node.start_mark, node.end_mark)
