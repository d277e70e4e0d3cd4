"""The commands that a paper defines: how they are written, and what they take."""

from __future__ import annotations

import re
from typing import NamedTuple

from ragkit.read.formats.latex.source import LatexSource

DEFINITIONS = re.compile(
    r"(?:re)?newcommandx?|providecommand|DeclareRobustCommand|DeclareMathOperator|(?:re|provide)?newrobustcmd|[gex]?def|let"
    r"|(?:re)?newenvironment|(?:New|Renew|Provide|Declare)(?:Expandable)?DocumentCommand|DeclareSIUnit"
)
_NAMED = re.compile(r"\s*+\*?\s*+(?:\[[^\]\n]*+\]\s*+)?+\{?\s*+\\([a-zA-Z@]++|.)\s*+\}?")
_ENVIRONMENT = re.compile(r"\s*+\*?\s*+\{([^{}]*+)\}")
_EQUAL = re.compile(r"\s*+=?\s*+\\([a-zA-Z@]++|.)")
_COUNT = re.compile(r"\s*+(?:\[\s*+(\d)\s*+\])?+\s*+")
_PARAMETERS = re.compile(r"\s*+((?:#\d\s*+)*+)(?=\{)")
_KIND = re.compile(r"[+!\s]*+([mosO])")
_PROGRAM = re.compile(r"\\(?:@[a-zA-Z]|expandafter|csname|futurelet|catcode)")


class MacroParameter(NamedTuple):
    """One of what a command takes: an argument, or with a *kind* other than `m` an optional one or a star."""

    kind: str = "m"
    default: str = ""


class Macro(NamedTuple):
    """What a command of the paper's own stands for: its body, in which `#1` is its first argument."""

    body: str
    parameters: tuple[MacroParameter, ...] = ()


NO_VALUE = "-NoValue-"
"""What an optional argument is that is not given."""


class Definition(NamedTuple):
    """A definition: of which command, to what (None if that cannot be told), and where it ends."""

    name: str
    macro: Macro | None
    end: int


def definition(source: LatexSource, command: str, at: int) -> Definition:
    """The definition that *command*, such as `newcommand`, begins; *at* is the offset behind its name."""
    end = len(source.text)
    if command.endswith("environment"):
        named = _ENVIRONMENT.match(source.text, at)
        for _ in range(2 if named else 0):
            at = source.argument(named.end() if named and at < named.end() else at, end)[1]
        return Definition("", None, at)
    named = _NAMED.match(source.text, at)
    if not named:
        return Definition("", None, at)
    name, at = named[1], named.end()
    if command == "let":
        other = _EQUAL.match(source.text, at)
        return Definition(name, Macro(f"\\{other[1]}") if other else None, other.end() if other else at)
    parameters: tuple[MacroParameter, ...] | None = ()
    if command.endswith("DocumentCommand"):
        (start, stop), at = source.argument(at, end)
        parameters = _specified(LatexSource(source.text[start:stop]))
    elif command.endswith("def"):
        found = _PARAMETERS.match(source.text, at)
        parameters = (MacroParameter(),) * found[1].count("#") if found else None
        at = found.end() if found else max(source.text.find("{", at, at + 200), at)
    elif command not in ("DeclareMathOperator", "DeclareSIUnit"):
        parameters, at = _counted(source, at)
    (start, stop), at = source.argument(at, end)
    body = source.text[start:stop]
    if command == "DeclareMathOperator":
        body = f"\\operatorname{{{body}}}"
    readable = parameters is not None and not _PROGRAM.search(body)
    return Definition(name, Macro(body, parameters or ()) if readable else None, at)


def _counted(source: LatexSource, at: int) -> tuple[tuple[MacroParameter, ...], int]:
    """The parameters of `[2][default]`, and the offset behind them."""
    found = _COUNT.match(source.text, at)
    if not found or not found[1]:
        return (), at
    parameters = (MacroParameter(),) * int(found[1])
    (start, stop), after = source.optional(found.end(), len(source.text))
    if after > found.end():
        parameters = (MacroParameter("O", source.text[start:stop]), *parameters[1:])
    return parameters, after


def _specified(written: LatexSource) -> tuple[MacroParameter, ...] | None:
    """The parameters of `s m O{default}`; None if there are others."""
    parameters: list[MacroParameter] = []
    at = 0
    while found := _KIND.match(written.text, at):
        at, default = found.end(), NO_VALUE
        if found[1] == "O":
            (start, stop), at = written.argument(at, len(written.text))
            default = written.text[start:stop]
        parameters.append(MacroParameter(found[1], default))
    return None if written.text[at:].strip() else tuple(parameters)
