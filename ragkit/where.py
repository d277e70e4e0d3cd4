"""Filters over metadata, such as `year >= 2023 and not section contains references`.

    comparison   field OP value     OP is one of = (or ==) != < <= > >= contains
                 field in (a, b)    field not in (a, b)    field exists
    combined by  and, or, not and ( ); not binds tightest, or loosest
    field        letters, digits and _ . - after a letter or _; keywords are no fields, and count in any case
    value        a bare word of letters, digits and _ - . / : or any text in 'single' or "double" quotes, where a
                 backslash keeps the character after it from ending the text; quotes change nothing else

A field is a key of the metadata, whose values are JSON.  Each is compared as the text it is written as (true
is `true`):

    numbers      where the value and the metadata both read as one: 2021 is "2021" and 2021.0; digits, at most one point
                 and a short exponent
    text         otherwise, without regard to case; so are dates such as 2021-03-04.  A number is neither less nor
                 greater than a text that is none, so `date >= 2021` finds no 2021-03-04 and `date >= 2021-01-01` does
    contains     a part of the text, without regard to case
    a list       matches if any of its elements does; `tags = c` asks for an element, `tags contains c` for a part of one
    != , not in  match exactly where = and `in` do not: no element is that value
    missing      (also null and the empty list) matches != and `not in`, and nothing else; an object only `exists`
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from langchain_core.structured_query import Comparator, Comparison, FilterDirective, Operation, Operator
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from ragkit.errors import UsageError
from ragkit.text.letters import compose

_LONGEST = 10_000
_DEEPEST = 100

_SIGNS = {
    Comparator.EQ: "=",
    Comparator.NE: "!=",
    Comparator.LT: "<",
    Comparator.LTE: "<=",
    Comparator.GT: ">",
    Comparator.GTE: ">=",
    Comparator.CONTAIN: "contains",
}
_COMPARATORS = {"==": Comparator.EQ} | {sign: comparator for comparator, sign in _SIGNS.items()}
_ORDERS: dict[Comparator, Callable[[Any, Any], bool]] = {
    Comparator.LT: operator.lt,
    Comparator.LTE: operator.le,
    Comparator.GT: operator.gt,
    Comparator.GTE: operator.ge,
}
_LISTS = {Comparator.IN: "in", Comparator.NIN: "not in"}
_NEGATED = (Comparator.NE, Comparator.NIN)
_KEYWORDS = ("and", "or", "not", "in", "contains", "exists")

_FIELD = re.compile(r"[A-Za-z_][\w.-]*")
_BARE = re.compile(r"[\w./:-]+")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")
_TOKEN = re.compile(
    r"""\s*(?:(?P<word>[\w./:-]+)|(?P<mark>[=!<>]=|[=<>(),])|"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'|(?P<end>\Z))""",
    re.DOTALL,
)


def both(one: Where | None, other: Where | None) -> Where | None:
    """The filter that passes what both pass; None passes everything."""
    return Where(Operation(Operator.AND, [one.tree, other.tree])) if one and other else one or other


@dataclass(frozen=True)
class Where:
    """A filter over metadata, from LangChain's syntax tree; `parse(str(where))` gives an equal filter.

    The tree has the comparators of the grammar with text, numbers or booleans as values, lists of these for
    `in` and `nin`, and `ne` with None for `exists`.  Raises `UsageError` for any other tree.
    """

    tree: FilterDirective = field(compare=False)
    text: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", _written(self.tree))

    @functools.cached_property
    def matches(self) -> Callable[[Mapping[str, Any]], bool]:
        """`matches(metadata)`: whether the metadata pass the filter."""
        return _meaning(self.tree)

    def __reduce__(self) -> tuple[Any, ...]:
        return Where, (self.tree,)

    def fields(self) -> frozenset[str]:
        """The metadata keys that the filter reads."""
        return frozenset(_fields(self.tree))

    def __str__(self) -> str:
        return self.text

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A filter is given as it is or as its text, and written as its text."""
        return core_schema.no_info_plain_validator_function(
            _validated,
            json_schema_input_schema=core_schema.str_schema(),
            serialization=core_schema.to_string_ser_schema(when_used="always"),
        )


def _validated(value: Any) -> Where:
    if isinstance(value, Where):
        return value
    if not isinstance(value, str):
        raise ValueError("a filter is a text such as 'year >= 2023'")
    try:
        return parse(value)
    except UsageError as error:
        raise ValueError(str(error)) from None


# --- meaning


def _meaning(tree: FilterDirective) -> Callable[[Mapping[str, Any]], bool]:
    if isinstance(tree, Operation):
        parts = [_meaning(part) for part in tree.arguments]
        if tree.operator is Operator.NOT:
            return lambda metadata: not parts[0](metadata)
        join = all if tree.operator is Operator.AND else any
        return lambda metadata: join(part(metadata) for part in parts)
    assert isinstance(tree, Comparison)
    name, negated = tree.attribute, tree.comparator in _NEGATED and tree.value is not None
    agrees = _agreement(tree.comparator, tree.value)

    def passes(metadata: Mapping[str, Any]) -> bool:
        found = metadata.get(name)
        elements = found if isinstance(found, list | tuple) else (found,)
        return any(element is not None and agrees(element) for element in elements) != negated

    return passes


def _agreement(comparator: Comparator, value: Any) -> Callable[[Any], bool]:
    """Whether an element of the metadata agrees with *value*, with != read as = and `not in` as `in`."""
    if value is None:
        return lambda element: True
    texts = [str(_text(one)) for one in (value if comparator in _LISTS else [value])]
    part, keys = _folded(texts[0]), [_key(text) for text in texts]
    order = _ORDERS.get(comparator)

    def agrees(element: Any) -> bool:
        text = _text(element)
        if text is None:
            return False
        if comparator is Comparator.CONTAIN:
            return part in _folded(text)
        key = _key(text)
        return type(key) is type(keys[0]) and order(key, keys[0]) if order else key in keys

    return agrees


def _fields(tree: FilterDirective) -> Iterator[str]:
    if isinstance(tree, Comparison):
        yield tree.attribute
    for part in getattr(tree, "arguments", ()):
        yield from _fields(part)


def _text(element: Any) -> str | None:
    """A value as it is written; None for one that has elements itself."""
    if isinstance(element, bool):
        return "true" if element else "false"
    return str(element) if isinstance(element, str | int | float) else None


def _key(text: str) -> Decimal | str:
    """What a text is compared as: exact numbers, so that long ids that differ stay different."""
    return Decimal(text) if _NUMBER.fullmatch(text) else _folded(text)


# --- from filter to text


def _written(tree: FilterDirective) -> str:
    """The text of *tree*; raises `UsageError` for a tree that no text has."""
    match tree:
        case Comparison(attribute=name) if not _is_field(name):
            pass
        case Comparison(comparator=Comparator.NE, attribute=name, value=None):
            return f"{name} exists"
        case Comparison(comparator=sign, attribute=name, value=[_, *_] as values) if sign in _LISTS:
            return f"{name} {_LISTS[sign]} ({', '.join(map(_quoted, values))})"
        case Comparison(comparator=sign, attribute=name, value=value) if sign in _SIGNS:
            return f"{name} {_SIGNS[sign]} {_quoted(value)}"
        case Operation(operator=Operator.NOT, arguments=[part]):
            return f"not {_enclosed(part, Operator.AND, Operator.OR)}"
        case Operation(operator=Operator.AND, arguments=[_, _, *_] as parts):
            return " and ".join(_enclosed(part, Operator.AND, Operator.OR) for part in parts)
        case Operation(operator=Operator.OR, arguments=[_, _, *_] as parts):
            return " or ".join(_enclosed(part, Operator.OR) for part in parts)
    raise UsageError(
        f"{tree!r} is not a filter: a comparison reads `year >= 2023`, `and` and `or` join two filters or more, `not` takes one"
    )


def _enclosed(tree: FilterDirective, *operators: Operator) -> str:
    enclose = isinstance(tree, Operation) and tree.operator in operators
    return f"({_written(tree)})" if enclose else _written(tree)


def _quoted(value: Any) -> str:
    text = _text(value)
    if text is None:
        raise UsageError(f"a filter compares with a text, a number, true or false, not with {value!r}")
    if _BARE.fullmatch(text) and text.lower() not in _KEYWORDS:
        return text
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _is_field(word: str) -> bool:
    return bool(_FIELD.fullmatch(word)) and word.lower() not in _KEYWORDS


# --- from text to filter


def parse(text: str) -> Where:
    """The filter that *text* describes.  Raises `UsageError`, which names the column, from 1."""
    _check_length(text)
    found = Where(_Parser(text).parse())
    _check_length(found.text)  # with spaces and quotes, a little longer than the input
    return found


def _check_length(text: str) -> None:
    if len(text) > _LONGEST:
        raise UsageError(
            f"at column {_LONGEST + 1}: a filter has at most {_LONGEST:,} characters, this one {len(text):,}; ask for less at once"
        )


class _Token(NamedTuple):
    """A word, a mark or a quoted text; `kind` is `keyword` for a keyword, `end` at the end of the text."""

    kind: str
    text: str
    source: str
    column: int


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while True:
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise _unreadable(text, at)
        kind, inner, at = found.lastgroup, found[found.lastgroup], found.end()
        source = found[0].lstrip()
        column = at - len(source) + 1
        if kind == "word" and inner.lower() in _KEYWORDS:
            kind, inner = "keyword", inner.lower()
        elif kind in ("single", "double"):
            kind, inner = "quoted", re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL)
        yield _Token(kind, inner, source, column)


def _unreadable(text: str, at: int) -> UsageError:
    rest = text[at:].lstrip()
    column = len(text) - len(rest) + 1
    if rest[0] in "'\"":
        return UsageError(
            f"at column {column}: the quotation that begins here has no end; close it with {rest[0]}, or put the whole value in other quotes"
        )
    return UsageError(
        f"at column {column}: {_shown(rest[0])} has no meaning here; a value that holds it goes in quotes"
    )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")


class _Parser:
    """One token ahead, one method for each level of binding."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.token = next(self.tokens)
        self.before = ""
        self.depth = 0

    def parse(self) -> FilterDirective:
        tree = self.joined(Operator.OR)
        if self.token.kind != "end":
            quotes = "; a value of several words goes in quotes" if self.token.kind == "word" else ""
            raise self.expected("'and', 'or' or the end", quotes)
        return tree

    def joined(self, operator: Operator) -> FilterDirective:
        """One part, or several joined by *operator*; the parts of `or` are joined by `and`."""
        part = self.one if operator is Operator.AND else functools.partial(self.joined, Operator.AND)
        parts = [part()]
        while self.accept(operator.value):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Operation(operator, parts)

    def one(self) -> FilterDirective:
        opening = self.token
        if not (self.accept("not") or self.accept("(")):
            return self.comparison()
        self.depth += 1
        if self.depth > _DEEPEST:
            raise UsageError(
                f"at column {opening.column}: nested more than {_DEEPEST} deep; leave out needless parentheses and 'not'"
            )
        if opening.text == "not":
            tree: FilterDirective = Operation(Operator.NOT, [self.one()])
        else:
            tree = self.joined(Operator.OR)
            self.need(")", "')'", f"; it closes the '(' at column {opening.column}")
        self.depth -= 1
        return tree

    def comparison(self) -> Comparison:
        field = self.token
        if field.kind != "word" or not _is_field(field.text):
            raise self.expected("a field such as year", "; a comparison reads year >= 2023")
        self.advance()
        if self.accept("exists"):
            return Comparison(Comparator.NE, field.text, None)
        if self.accept("in"):
            return Comparison(Comparator.IN, field.text, self.list_of_values())
        if self.accept("not"):
            self.need("in", "'in'")
            return Comparison(Comparator.NIN, field.text, self.list_of_values())
        comparator = _COMPARATORS.get(self.token.text)
        if self.token.kind not in ("mark", "keyword") or comparator is None:
            raise self.expected("a comparison such as = or >=")
        self.advance()
        return Comparison(comparator, field.text, self.value())

    def list_of_values(self) -> list[str]:
        self.need("(", "values such as (a, b)")
        values = [self.value()]
        while self.accept(","):
            values.append(self.value())
        self.need(")", "',' or ')'")
        return values

    def value(self) -> str:
        found = self.token
        if found.kind not in ("word", "quoted"):
            raise self.expected("a value", "; a keyword goes in quotes" if found.kind == "keyword" else "")
        self.advance()
        return found.text

    def accept(self, text: str) -> bool:
        """Step over a keyword or mark if it is the next token."""
        if self.token.kind not in ("keyword", "mark") or self.token.text != text:
            return False
        self.advance()
        return True

    def need(self, text: str, meaning: str, advice: str = "") -> None:
        if not self.accept(text):
            raise self.expected(meaning, advice)

    def advance(self) -> None:
        self.before, self.token = self.token.source, next(self.tokens)

    def expected(self, what: str, advice: str = "") -> UsageError:
        after = f" after {_shown(self.before)}" if self.before else ""
        found = "the end" if self.token.kind == "end" else _shown(self.token.source)
        return UsageError(f"at column {self.token.column}: expected {what}{after}, found {found}{advice}")


def _folded(text: str) -> str:
    """*text* without regard to case or to how its accents are encoded."""
    return compose(text).casefold()
