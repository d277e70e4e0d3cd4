"""Filters over metadata, such as `year >= 2023 and not section contains references`: the grammar, and what it means.

    comparison   field OP value     OP is one of = (or ==) != < <= > >= contains
                 field in (a, b)    field not in (a, b)    field exists
    combined by  and, or, not and ( ); not binds tightest, or loosest
    field        letters, digits and _ . - after a letter or _; keywords are no fields, and count in any case
    value        a bare word of letters, digits and _ - . / : or any text in 'single' or "double" quotes, where a
                 backslash keeps the character after it from ending the text; quotes change nothing else

A field is a key of the metadata, whose values are JSON.  Each is compared as the text it is written as (true is `true`):

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
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from ragkit.errors import UsageError

_LONGEST = 10_000
_DEEPEST = 100

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NEGATED = ("!=", "not in")
_WITH_ONE = ("=", "!=", *_ORDERS, "contains")
_WITH_LIST = ("in", "not in")
_KEYWORDS = ("and", "or", "not", "in", "contains", "exists")

_FIELD = re.compile(r"[A-Za-z_][\w.-]*")
_BARE = re.compile(r"[\w./:-]+")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")
_TOKEN = re.compile(
    r"""\s*(?:(?P<word>[\w./:-]+)|(?P<mark>[=!<>]=|[=<>(),])|"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'|(?P<end>\Z))""",
    re.DOTALL,
)


def both(one: Where | None, other: Where | None) -> Where | None:
    """What passes two filters; None passes everything."""
    return And((one, other)) if one and other else one or other


class Where(ABC):
    """A filter over metadata; `str` writes it so that `parse` reads the same filter."""

    @abstractmethod
    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Does *metadata* pass the filter?"""

    @abstractmethod
    def fields(self) -> frozenset[str]:
        """The metadata keys that the filter looks at."""

    @abstractmethod
    def __str__(self) -> str: ...

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


@dataclass(frozen=True)
class Comparison(Where):
    """One field against what was written: one value, several for `in` and `not in`, none for `exists`."""

    field: str
    operator: str
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.values)
        usual = self.operator in _WITH_ONE and count == 1
        if not (
            {"exists": count == 0, "in": count > 0, "not in": count > 0}.get(self.operator, usual)
            and _is_field(self.field)
        ):
            raise UsageError(f"{self!r} is no comparison; one reads Comparison('year', '>=', ('2023',))")

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        value = metadata.get(self.field)
        elements = value if isinstance(value, list | tuple) else [value]
        return any(self._holds(e) for e in elements if e is not None) != (self.operator in _NEGATED)

    def _holds(self, element: Any) -> bool:
        """Does one element match, != taken as = and `not in` as `in`?"""
        if self.operator == "exists":
            return True
        text = _text(element)
        if text is None:
            return False
        if self.operator == "contains":
            return self.values[0].casefold() in text.casefold()
        key = _key(text)
        if order := _ORDERS.get(self.operator):
            [bound] = self._keys
            return type(key) is type(bound) and order(key, bound)
        return key in self._keys

    @functools.cached_property
    def _keys(self) -> frozenset[Decimal | str]:
        return frozenset(map(_key, self.values))

    def fields(self) -> frozenset[str]:
        return frozenset({self.field})

    def __str__(self) -> str:
        values = ", ".join(map(_written, self.values))
        return f"{self.field} {self.operator} {f'({values})' if self.operator in _WITH_LIST else values}".rstrip()


@dataclass(frozen=True)
class _Joined(Where):
    parts: tuple[Where, ...]

    def __post_init__(self) -> None:
        if len(self.parts) < 2:
            raise UsageError(
                f"{type(self).__name__} joins two filters or more, not {len(self.parts)}; a single one stands for itself"
            )

    def fields(self) -> frozenset[str]:
        return frozenset().union(*[part.fields() for part in self.parts])


class And(_Joined):
    """Every one of two filters or more."""

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        return all(part.matches(metadata) for part in self.parts)

    def __str__(self) -> str:
        return " and ".join([f"({part})" if isinstance(part, _Joined) else str(part) for part in self.parts])


class Or(_Joined):
    """At least one of two filters or more."""

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        return any(part.matches(metadata) for part in self.parts)

    def __str__(self) -> str:
        return " or ".join([f"({part})" if isinstance(part, Or) else str(part) for part in self.parts])


@dataclass(frozen=True)
class Not(Where):
    """Whatever one filter leaves out."""

    part: Where

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        return not self.part.matches(metadata)

    def fields(self) -> frozenset[str]:
        return self.part.fields()

    def __str__(self) -> str:
        return f"not ({self.part})" if isinstance(self.part, _Joined) else f"not {self.part}"


# --- values


def _text(element: Any) -> str | None:
    """An element of metadata as it is written; None for one that has elements itself."""
    if isinstance(element, str):
        return element
    if isinstance(element, bool):
        return "true" if element else "false"
    return str(element) if isinstance(element, int | float) else None


def _key(text: str) -> Decimal | str:
    """What a text is compared as: exact numbers, so that long ids that differ stay different."""
    return Decimal(text) if _NUMBER.fullmatch(text) else text.casefold()


def _written(value: str) -> str:
    if _BARE.fullmatch(value) and value.lower() not in _KEYWORDS:
        return value
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def _is_field(word: str) -> bool:
    return bool(_FIELD.fullmatch(word)) and word.lower() not in _KEYWORDS


# --- from text to filter


def parse(text: str) -> Where:
    """The filter that *text* describes.  Raises `UsageError`, which names the column, from 1."""
    _check_length(text)
    found = _Parser(text).parse()
    _check_length(str(found))  # with spaces and quotes, a little more than was written
    return found


def _check_length(text: str) -> None:
    if len(text) > _LONGEST:
        raise UsageError(
            f"at column {_LONGEST + 1}: a filter has at most {_LONGEST:,} characters, this one {len(text):,}; ask for less at once"
        )


class _Token(NamedTuple):
    """A word, a mark or a quoted text; `kind` is `keyword` for a word that is one, and `end` at the end of the text."""

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

    def parse(self) -> Where:
        found = self.any_of()
        if self.token.kind != "end":
            quotes = "; a value of several words goes in quotes" if self.token.kind == "word" else ""
            raise self.expected("'and', 'or' or the end", quotes)
        return found

    def any_of(self) -> Where:
        parts = [self.all_of()]
        while self.accept("or"):
            parts.append(self.all_of())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def all_of(self) -> Where:
        parts = [self.one()]
        while self.accept("and"):
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def one(self) -> Where:
        opening = self.token
        if not (self.accept("not") or self.accept("(")):
            return self.comparison()
        self.depth += 1
        if self.depth > _DEEPEST:
            raise UsageError(
                f"at column {opening.column}: nested more than {_DEEPEST} deep; leave out needless parentheses and 'not'"
            )
        if opening.text == "not":
            found: Where = Not(self.one())
        else:
            found = self.any_of()
            self.need(")", "')'", f"; it closes the '(' at column {opening.column}")
        self.depth -= 1
        return found

    def comparison(self) -> Where:
        field = self.token
        if field.kind != "word" or not _is_field(field.text):
            raise self.expected("a field such as year", "; a comparison reads year >= 2023")
        self.advance()
        if self.accept("exists"):
            return Comparison(field.text, "exists")
        if self.accept("in"):
            return Comparison(field.text, "in", self.list_of_values())
        if self.accept("not"):
            self.need("in", "'in'")
            return Comparison(field.text, "not in", self.list_of_values())
        sign = "=" if self.token.text == "==" else self.token.text
        if self.token.kind not in ("mark", "keyword") or sign not in _WITH_ONE:
            raise self.expected("a comparison such as = or >=")
        self.advance()
        return Comparison(field.text, sign, (self.value(),))

    def list_of_values(self) -> tuple[str, ...]:
        self.need("(", "values such as (a, b)")
        values = [self.value()]
        while self.accept(","):
            values.append(self.value())
        self.need(")", "',' or ')'")
        return tuple(values)

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
