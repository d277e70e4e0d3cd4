"""Matching is linear: no regular expression of the package takes much longer on hostile text than on ordinary
text of its length.

Every pattern is run over units that repeat: general ones, and those made from the pattern itself, namely what
it matches up to each place, behind what leads up to that place.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import re
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from types import FrameType, ModuleType
from typing import Any, NamedTuple

import pytest

import ragkit

PACKAGE = Path(ragkit.__file__).parent
SHORT, LONG = 240, 8_000
"""Characters of the two texts that are compared."""
WORST = 4
"""How many times as long a character of the long one may take: 1 is linear growth, 33 quadratic."""
UNNOTICED = 0.002
"""Seconds in which the long text is matched without a second look."""
BUDGET, ENOUGH = 0.5, 0.05
"""Seconds of processor time after which a match is given up, and that are measured."""


class Matcher(NamedTuple):
    """A pattern, where it is from, and how it is used."""

    module: str
    place: str
    pattern: re.Pattern[Any]
    methods: frozenset[str]


# --- the patterns of the package


def modules() -> Iterator[ModuleType]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts[-1] != "__main__":
            yield importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))


def compiled(value: object, name: str, home: str) -> Iterator[tuple[str, re.Pattern[Any]]]:
    """The patterns in *value*: itself, or what is in a collection or a class of the module *home*."""
    if isinstance(value, re.Pattern):
        yield name, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from compiled(each, f"{name}[{key!r}]", home)
    elif isinstance(value, list | tuple | set | frozenset):
        for at, each in enumerate(value):
            yield from compiled(each, f"{name}[{at}]", home)
    elif isinstance(value, type) and value.__module__ == home:
        for key, each in vars(value).items():
            if isinstance(each, re.Pattern):
                yield f"{name}.{key}", each


class Word(str):
    """Stands for what is only known while the program runs: a word, whatever is taken of it."""

    def __getattr__(self, name: str) -> Word:
        return Word(self)


class Inside(dict[str, Any]):
    """The names that an expression uses: those of a module; any other is a word."""

    def __missing__(self, key: str) -> Any:
        if hasattr(builtins, key):
            raise KeyError(key)
        return Word("alpha")


def called(module: ModuleType) -> Iterator[tuple[str, str, re.Pattern[Any]]]:
    """The method and the pattern of each call such as `re.sub(...)` whose pattern is written in place; of
    `re.compile(...)`, those in functions.
    """
    nodes = list(ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))))
    inside = {node for outer in nodes if isinstance(outer, ast.FunctionDef) for node in ast.walk(outer)}
    used_at_once = {node.value: node.attr for node in nodes if isinstance(node, ast.Attribute)}
    names = Inside(vars(module))
    for node in nodes:
        match node:
            case ast.Call(ast.Attribute(ast.Name("re"), method), [written, *others]) if method in METHODS:
                pass
            case _:
                continue
        if isinstance(written, ast.Name) and written.id not in vars(module):
            continue  # it is only known while the program runs
        flags = [k.value for k in node.keywords if k.arg == "flags"] or others[FLAGS.get(method, 1) :][:1]
        pattern = re.compile(*(evaluated(each, names) for each in (written, *flags)))
        if method == "compile":
            method = used_at_once.get(node, "search") if node in inside else ""
        if method:
            yield f"line {node.lineno}", method, pattern


def evaluated(expression: ast.expr, names: Inside) -> Any:
    return eval(compile(ast.Expression(expression), "", "eval"), names)


FLAGS = {"compile": 0, "sub": 3, "subn": 3, "split": 2}
"""How many arguments stand between pattern and flags, where it is not one."""
METHODS = {"compile", "search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn"}


def usage() -> dict[tuple[str, str], set[str]]:
    """The attributes that are used of each name: of a private one in its module, of others anywhere."""
    found: dict[tuple[str, str], set[str]] = {}
    for module in modules():
        own: dict[str, set[str]] = {}
        nodes = list(ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))))
        for node in nodes:
            if isinstance(node, ast.Attribute):
                value = node.value.value if isinstance(node.value, ast.Subscript) else node.value
                name = getattr(value, "id", None) or getattr(value, "attr", "")
                own.setdefault(name, set()).add(node.attr)
        for node in nodes:
            if isinstance(node, ast.For | ast.comprehension) and isinstance(node.iter, ast.Name):
                for name in ast.walk(node.target):
                    own.setdefault(node.iter.id, set()).update(own.get(getattr(name, "id", ""), ()))
        for name, attributes in own.items():
            found.setdefault((module.__name__ if name.startswith("_") else "", name), set()).update(
                attributes
            )
    return found


@cache
def matchers() -> list[Matcher]:
    """Every pattern once, under where it is first found."""
    used = usage()
    found: dict[re.Pattern[Any], Matcher] = {}

    def add(module: str, place: str, pattern: re.Pattern[Any], methods: set[str]) -> None:
        known = found.get(pattern) or Matcher(module, place, pattern, frozenset())
        found[pattern] = known._replace(methods=known.methods | methods)

    for module in modules():
        home = module.__name__
        for name, value in vars(module).items():
            how = used.get((home if name.startswith("_") else "", name), set()) & METHODS
            for place, pattern in compiled(value, name, home):
                add(home, place, pattern, how or {"search"})
        for place, method, pattern in called(module):
            add(home, place, pattern, {method})
    return list(found.values())


# --- texts that repeat

UNITS = (
    *(" ", "\t", "\n", "\r\n", " \n", *"aA1-.,;:()[]{}<>\\$%&#|'\"`*_=@/~", "a ", "A ", "a-", "a.", "1,", "1.", "1 "),
    *("()", "[]", "{}", "\\{", "\\'", "<!--", "-->", "<!-- -->", "<a ", "<a>", "</", "https://", "and ", "a, and ", "é", "中", "\u200b"),
)  # fmt: skip
LIKED = ("a1 -.,([{<\n", " \n\ta.-1A", "A-.1a ", "1.,-a A")
"""Orders in which the character is chosen that stands for a class of them."""
EVERY = [
    chr(code)
    for code in (*range(32, 127), 9, 10, 13, 0xE9, 0xDF, 0x2013, 0x201C, 0x4E2D, 0x3042, 0x200B, 0xFF3B)
]


def sample(nodes: Iterable[Any], liked: str, branch: int = 0) -> str:
    """A text that *nodes* of a parsed pattern match, as far as this can be told node by node."""
    return "".join(_sample(op, value, liked, branch) for op, value in nodes)


def _sample(op: Any, value: Any, liked: str, branch: int) -> str:
    if op is ops.LITERAL:
        return chr(value)
    if op is ops.NOT_LITERAL:
        return next(c for c in (*liked, *EVERY) if ord(c) != value)
    if op is ops.ANY:
        return next(c for c in liked if c != "\n")
    if op is ops.IN:
        return next((c for c in (*liked, *EVERY) if _has(value, c)), _first(value))
    if op is ops.BRANCH:
        return sample(value[1][branch % len(value[1])], liked, branch)
    if op is ops.SUBPATTERN:
        return sample(value[3], liked, branch)
    if op is ops.ATOMIC_GROUP:
        return sample(value, liked, branch)
    if op in REPEATS:
        return sample(value[2], liked, branch) * max(value[0], 1)
    return ""


REPEATS = (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT)


def _first(members: Any) -> str:
    return next(
        (chr(v if op is ops.LITERAL else v[0]) for op, v in members if op in (ops.LITERAL, ops.RANGE)), "a"
    )


_CATEGORY = {
    ops.CATEGORY_DIGIT: str.isdigit,
    ops.CATEGORY_SPACE: str.isspace,
    ops.CATEGORY_WORD: lambda c: c.isalnum() or c == "_",
    ops.CATEGORY_NOT_DIGIT: lambda c: not c.isdigit(),
    ops.CATEGORY_NOT_SPACE: lambda c: not c.isspace(),
    ops.CATEGORY_NOT_WORD: lambda c: not (c.isalnum() or c == "_"),
}


def _has(members: Any, character: str) -> bool:
    found = any(
        (op is ops.LITERAL and ord(character) == value)
        or (op is ops.RANGE and value[0] <= ord(character) <= value[1])
        or (op is ops.CATEGORY and _CATEGORY[value](character))
        for op, value in members
    )
    return found != (members[0][0] is ops.NEGATE)


def pumps(nodes: Sequence[Any], liked: str, before: str = "") -> Iterator[tuple[str, str]]:
    """What *nodes* match up to each place, as a unit; and what each repeats, behind what leads up to it."""
    for at, (op, value) in enumerate(nodes):
        lead = before + sample(nodes[:at], liked)
        yield "", lead + _sample(op, value, liked, 0)
        if op in REPEATS:
            if value[1] > 8:
                yield lead, sample(value[2], liked)
            yield from pumps(value[2], liked, lead)
        elif op is ops.BRANCH:
            for branch, each in enumerate(value[1][:3]):
                yield "", lead + sample(each, liked, branch)
                yield from pumps(each, liked, lead)
        elif op is ops.SUBPATTERN:
            yield from pumps(value[3], liked, lead)
        elif op is ops.ATOMIC_GROUP:
            yield from pumps(value, liked, lead)
        elif op in (ops.ASSERT, ops.ASSERT_NOT) and value[0] > 0:
            yield from pumps(value[1], liked, lead)


def hostile(pattern: re.Pattern[Any]) -> list[tuple[str, str]]:
    """What begins a text, and the unit that it repeats."""
    written = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    tree = list(
        parser.parse(
            written, pattern.flags & ~re.DEBUG & ~(re.UNICODE if isinstance(pattern.pattern, bytes) else 0)
        )
    )
    own = {pump for liked in LIKED for pump in pumps(tree, liked)}
    return sorted(
        {("", unit) for unit in UNITS} | {(lead, unit) for lead, unit in own if unit and len(unit) <= SHORT}
    )


# --- how long it takes


class OverBudget(Exception):
    pass


def in_time(match: Callable[[], object]) -> bool:
    """Does *match* end within the budget of processor time?"""

    def stop(number: int, frame: FrameType | None) -> None:
        raise OverBudget

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, BUDGET)
    try:
        match()
    except OverBudget:
        return False
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return True


def clocked(match: Callable[[], object]) -> float:
    began = time.perf_counter()
    match()
    return time.perf_counter() - began


def seconds(match: Callable[[], object]) -> float:
    """The processor time of one of so many runs that the clock's coarse ticks do not matter."""
    began, runs = time.process_time(), 0
    while (took := time.process_time() - began) < ENOUGH:
        match()
        runs += 1
    return took / runs


def growth(matcher: Matcher, lead: str, unit: str) -> float:
    """How many times as long a character of the long text takes; 0 if the text takes no time to speak of."""

    def text(size: int) -> Any:
        written = (lead + unit * (size // len(unit)))[:size] + "\0"
        return written.encode("utf-8") if isinstance(matcher.pattern.pattern, bytes) else written

    short, long = text(SHORT), text(LONG)
    match = matched(matcher)
    if not in_time(lambda: match(long)):
        return float("inf")
    alike = min(clocked(lambda: match(short)) for _ in range(5)) * LONG / SHORT * WORST / 2
    if any(clocked(lambda: match(long)) < max(UNNOTICED, alike) for _ in range(3)):
        return 0.0
    return seconds(lambda: match(long)) / seconds(lambda: match(short)) * SHORT / LONG


def matched(matcher: Matcher) -> Callable[[Any], object]:
    if matcher.methods <= {"match", "fullmatch"}:
        return lambda text: [getattr(matcher.pattern, method)(text) for method in matcher.methods]
    return lambda text: deque(matcher.pattern.finditer(text), 0)


# --- the tests


MODULES = sorted(
    path.relative_to(PACKAGE.parent).with_suffix("").as_posix() for path in PACKAGE.rglob("*.py")
)


@pytest.mark.parametrize("module", [name.replace("/", ".").removesuffix(".__init__") for name in MODULES])
def test_matching_is_linear(module: str) -> None:
    slow = [
        f"{each.place} takes {times:.0f} times as long a character: {unit!r} again and again behind {lead!r}"
        for each in matchers()
        if each.module == module
        for lead, unit in hostile(each.pattern)
        if (times := growth(each, lead, unit)) > WORST
    ]
    assert not slow, "\n".join(slow)


def test_patterns_are_found_in_names_collections_and_calls() -> None:
    places = {(each.module, each.place) for each in matchers()}
    assert {("ragkit.text.words", "_WORD"), ("ragkit.text.question", "_SIDES[0]")} <= places
    assert any(module == "ragkit.models.prompt" and place.startswith("line") for module, place in places)


@pytest.mark.parametrize("written", [r"\s+$", r"(?:a|a)*b", r"\[[^\]]*\]", r"(?:<!--.*?-->\s*)*<html"])
def test_what_is_not_linear_is_told(written: str) -> None:
    bad = Matcher("", "", re.compile(written), frozenset({"search"}))
    assert any(growth(bad, lead, unit) > WORST for lead, unit in hostile(bad.pattern))
