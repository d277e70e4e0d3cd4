"""YAML of strangers: aliases of aliases describe more than a machine can hold, so what they stand for is counted
before anything is made of it.
"""

from __future__ import annotations

from typing import Any

import yaml

MOST_NODES = 20_000  # aliases followed; real files have some hundreds
DEEPEST = 100  # levels, far below Python's limit on recursion


class TooMuch(yaml.YAMLError):
    """What the text describes has too many nodes, too many levels, or contains itself."""


def load(text: str, loader: type[yaml.SafeLoader | yaml.BaseLoader] = yaml.SafeLoader) -> Any:
    """What *text* describes, as `yaml.load` makes it.  Raises `yaml.YAMLError`, and `TooMuch` before anything
    is made of a text that describes too much.
    """
    try:
        node = yaml.compose(text, Loader=loader)
    except RecursionError:
        raise TooMuch("is nested too deeply") from None
    if node is None:
        return None
    if size(node) > MOST_NODES:
        raise TooMuch("describes more than can be read: do its aliases multiply?")
    return yaml.load(text, Loader=loader)


def size(node: yaml.Node) -> int:
    """How many nodes *node* describes, aliases followed; more than `MOST_NODES` for one that is nested too
    deeply or contains itself.  Takes as long as the text is.
    """
    sizes: dict[int, int] = {}
    above: set[int] = set()

    def count(each: Any) -> int:
        if id(each) in above or len(above) > DEEPEST:
            return MOST_NODES + 1
        if id(each) not in sizes:
            above.add(id(each))
            inside = each.value if isinstance(each, yaml.CollectionNode) else ()
            pairs = isinstance(each, yaml.MappingNode)
            sizes[id(each)] = 1 + sum(sum(map(count, i)) if pairs else count(i) for i in inside)
            above.remove(id(each))
        return sizes[id(each)]

    return count(node)
