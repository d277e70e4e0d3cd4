"""The text of a web page that its readers do not see, as far as the page's own styles say so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple

from tinycss2 import parse_declaration_list, parse_stylesheet
from tinycss2.color3 import parse_color

from ragkit.read.formats.markup import Element, Piece

_NOT_DISPLAYED, _SAME_COLOUR, _TINY, _OFF, _STRUCK = (
    "not displayed",
    "in the colour of the page",
    "tiny",
    "off the page",
    "struck out",
)
_PROPERTIES = frozenset(
    "display visibility opacity font-size color background background-color left top right bottom text-indent margin-left"
    " height max-height overflow clip-path text-decoration text-decoration-line".split()
)
_NEAR = 0.08  # of 1, in the channel that differs most: colours that a reader does not tell apart
_FAR = -500.0  # pixels; what is moved so far stands beside the screen
_READABLE = 2.0  # pixels; smaller type is not read
_PIXELS = {"px": 1.0, "pt": 4 / 3, "em": 16.0, "rem": 16.0, "%": 0.16, "": 1.0}

Colour = tuple[float, float, float]
Declared = dict[str, Sequence[Any]]


class _Compound(NamedTuple):
    """A part of a selector that one element has to match: `p.note#first`."""

    tags: frozenset[str]
    classes: frozenset[str]
    ids: frozenset[str]

    def matches(self, element: Element) -> bool:
        attributes = element.attributes
        return (
            self.tags <= {element.tag}
            and self.classes <= set(attributes.get("class", "").split())
            and self.ids <= {attributes.get("id", "")}
        )


class _Rule(NamedTuple):
    """Declarations, and the elements that they are for: the last compound, below the others."""

    compounds: tuple[_Compound, ...]
    declared: Sequence[tuple[str, bool, Sequence[Any]]]

    @property
    def specificity(self) -> tuple[int, ...]:
        return tuple(sum(len(c[kind]) for c in self.compounds) for kind in (2, 1, 0))

    def matches(self, element: Element, above: Sequence[Element]) -> bool:
        *outer, last = self.compounds
        ancestors = iter(above)
        return last.matches(element) and all(any(each.matches(a) for a in ancestors) for each in outer)


@dataclass(frozen=True)
class _Look:
    """What an element's text inherits; a background that is None may be any."""

    visible: bool = True
    size: float = 16.0
    colour: Colour = (0.0, 0.0, 0.0)
    background: Colour | None = (1.0, 1.0, 1.0)

    @property
    def hides(self) -> str | None:
        """Why text that looks so is not seen."""
        if not self.visible:
            return _NOT_DISPLAYED
        if self.size < _READABLE:
            return _TINY
        near = self.background and max(map(abs, map(float.__sub__, self.colour, self.background))) < _NEAR
        return _SAME_COLOUR if near else None


def remove_hidden(page: Element) -> Counter[str]:
    """Remove the text of a page that is not seen; say how many characters there were, by reason.

    Where the page takes styles from elsewhere, the colour behind its text is known only where it says it.
    """
    hidden: Counter[str] = Counter()
    sheets = ["".join(piece.text for piece in style.pieces()) for style in page.every("style")]
    rules = [rule for sheet in sheets for rule in _rules(parse_stylesheet(sheet, True, True))]
    foreign = any("stylesheet" in e.attributes.get("rel", "").lower().split() for e in page.every("link"))
    start = _Look(background=None) if foreign or any("@import" in sheet for sheet in sheets) else _Look()
    _prune(page, [], start, _Sheet(rules), hidden)
    return hidden


class _Sheet:
    """The rules of a page, found by what their last compound names."""

    def __init__(self, rules: Iterable[_Rule]) -> None:
        self.rules: dict[str, list[tuple[tuple[int, ...], int, _Rule]]] = {}
        for order, rule in enumerate(rules):
            tags, classes, ids = rule.compounds[-1]
            names = [f"#{n}" for n in ids] or [f".{n}" for n in classes] or [*tags] or ["*"]
            self.rules.setdefault(names[0], []).append((rule.specificity, order, rule))

    def declared(self, element: Element, above: Sequence[Element]) -> Declared:
        """What the cascade declares for an element."""
        classes = element.attributes.get("class", "").split()
        names = ["*", element.tag, *(f".{name}" for name in classes), f"#{element.attributes.get('id', '')}"]
        found = [
            (important, specificity, order, name, value)
            for key in dict.fromkeys(names)
            for specificity, order, rule in self.rules.get(key, ())
            if rule.matches(element, above)
            for name, important, value in rule.declared
        ]
        own = _declarations(element.attributes["style"]) if element.attributes.get("style") else ()
        found += [(important, (9**9,), n, name, value) for n, (name, important, value) in enumerate(own)]
        return {name: value for *_, name, value in sorted(found, key=lambda each: each[:3])}


def _rules(nodes: Iterable[Any]) -> Iterator[_Rule]:
    """The rules that hold on a screen and concern whether text is seen."""
    for node in nodes:
        if node.type == "at-rule" and node.lower_at_keyword == "media" and node.content:
            if "".join(t.serialize() for t in node.prelude).strip().lower() in ("all", "screen"):
                yield from _rules(parse_stylesheet(node.content, True, True))
        elif node.type == "qualified-rule" and (declared := _declarations(node.content)):
            parts = groupby(node.prelude, key=lambda token: token == ",")
            for tokens in (list(some) for comma, some in parts if not comma):
                if compounds := _compounds(tokens):
                    yield _Rule(compounds, declared)


def _declarations(content: Any) -> list[tuple[str, bool, Sequence[Any]]]:
    nodes = parse_declaration_list(content, skip_comments=True, skip_whitespace=True)
    return [
        (node.lower_name, node.important, [t for t in node.value if t.type not in ("whitespace", "comment")])
        for node in nodes
        if node.type == "declaration" and node.lower_name in _PROPERTIES
    ]


def _compounds(tokens: Sequence[Any]) -> tuple[_Compound, ...]:
    """The compounds of a selector; none if it says more than tags, classes, ids and what is above what."""
    found: list[tuple[set[str], set[str], set[str]]] = []
    fresh, after_dot = True, False
    for token in tokens:
        if token.type in ("whitespace", "comment") or token == ">":
            fresh = True
            continue
        if fresh:
            found.append((set(), set(), set()))
            fresh = False
        if token.type == "ident":
            found[-1][after_dot].add(token.value if after_dot else token.lower_value)
        elif token.type == "hash":
            found[-1][2].add(token.value)
        elif token not in (".", "*"):
            return ()
        after_dot = token == "."
    return tuple(_Compound(*map(frozenset, each)) for each in found)


def _prune(element: Element, above: list[Element], look: _Look, sheet: _Sheet, hidden: Counter[str]) -> None:
    kept: list[Element | Piece] = []
    for child in element.children:
        if isinstance(child, Piece):
            if reason := look.hides:
                hidden[reason] += len("".join(child.text.split()))
            else:
                kept.append(child)
            continue
        if child.tag in ("head", "script", "style"):
            kept.append(child)
            continue
        declared = sheet.declared(child, above)
        if reason := _gone(child, declared):
            hidden[reason] += len("".join(child.text().split()))
            continue
        kept.append(child)
        _prune(child, [*above, child], _inherited(look, declared), sheet, hidden)
    element.children = kept
    for reason in [reason for reason, count in hidden.items() if not count]:
        del hidden[reason]


def _gone(element: Element, declared: Declared) -> str | None:
    """Why an element is not seen, whatever is in it."""
    attributes = element.attributes
    shown = _word(declared, "display")
    if element.tag == "template" or shown == "none" or ("hidden" in attributes and not shown):
        return _NOT_DISPLAYED
    lines = [declared[name] for name in ("text-decoration", "text-decoration-line") if name in declared]
    if element.tag in ("del", "s", "strike") if not lines else "line-through" in map(_lower, lines[-1]):
        return _STRUCK
    opacity = _number(declared, "opacity")
    if opacity is not None and opacity < 0.05:
        return _NOT_DISPLAYED
    if any(
        (_number(declared, name) or 0) <= _FAR
        for name in ("left", "top", "right", "bottom", "text-indent", "margin-left")
    ):
        return _OFF
    flat = any(_number(declared, name) == 0 for name in ("height", "max-height"))
    return _NOT_DISPLAYED if flat and _word(declared, "overflow") == "hidden" else None


def _inherited(look: _Look, declared: Declared) -> _Look:
    if visibility := _word(declared, "visibility"):
        look = replace(look, visible=visibility not in ("hidden", "collapse"))
    if (size := _number(declared, "font-size")) is not None:
        relative = (
            declared["font-size"][0].type == "percentage"
            or getattr(declared["font-size"][0], "lower_unit", "") == "em"
        )
        look = replace(look, size=size * look.size / 16 if relative else size)
    for token in declared.get("color", ()):
        colour = parse_color(token)
        if isinstance(colour, tuple):
            under = look.background or look.colour
            look = replace(look, colour=_over(colour, under))
    for name in ("background", "background-color"):
        tokens = declared.get(name, ())
        colours = [c for c in map(parse_color, tokens) if isinstance(c, tuple)]
        if any(t.type in ("url", "function") and parse_color(t) is None for t in tokens):
            look = replace(look, background=None)
        elif colours and (look.background or colours[0][3] == 1):
            look = replace(look, background=_over(colours[0], look.background or (0.0, 0.0, 0.0)))
    return look


def _over(colour: tuple[float, ...], under: Colour) -> Colour:
    red, green, blue = (colour[3] * a + (1 - colour[3]) * b for a, b in zip(colour, under, strict=False))
    return red, green, blue


def _word(declared: Declared, name: str) -> str:
    return next((str(token.lower_value) for token in declared.get(name, ()) if token.type == "ident"), "")


def _lower(token: Any) -> str:
    return str(getattr(token, "lower_value", ""))


def _number(declared: Declared, name: str) -> float | None:
    """A length in pixels, or a bare number."""
    for token in declared.get(name, ()):
        if token.type in ("number", "dimension", "percentage"):
            unit = "%" if token.type == "percentage" else getattr(token, "lower_unit", "")
            return float(token.value) * _PIXELS.get(unit, 1.0)
    return None
