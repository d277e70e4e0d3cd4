"""Which text of a LaTeX source is switched off: conditionals, and the switches that decide them."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from typing import NamedTuple

from ragkit.read.formats.latex.definitions import NO_VALUE, Macro
from ragkit.read.formats.latex.source import VERB

# TeX's own conditionals and those of widespread packages; others must be declared by the paper.
_OWN = frozenset(
    "iftrue iffalse if ifcat ifx ifnum ifdim ifodd ifcase ifmmode ifhmode ifvmode ifinner ifvoid ifhbox ifvbox ifeof ifdefined"
    " ifcsname iffontchar ifpdf ifpdftex ifxetex ifluatex iftutex ifPDFTeX ifXeTeX ifLuaTeX ifTUTeX".split()
)
_TRUE = frozenset("iftrue ifpdf ifpdftex ifPDFTeX".split())
_DECLARED = re.compile(
    r"\\(?:newif\s*+\\|let\s*+\\(?=if[a-zA-Z@]++\s*+=?\s*+\\if(?:true|false)))(if[a-zA-Z@]++)"
)
_BRANCH = re.compile(
    rf"%[^\r\n]*+|{VERB}|\\(?:newif|def)\s*+\\[a-zA-Z@]++|\\let\s*+\\[a-zA-Z@]++\s*+=?\s*+(?:\\[a-zA-Z@]++)?+"
    r"|\\(?P<verbatim>begin)\s*+\{(?P<of>verbatim\*?|Verbatim|lstlisting|minted|comment)\}"
    r"|\\(?P<name>if[a-zA-Z@]*+|else|fi)(?![a-zA-Z@])|\\[\s\S]"
)
_TWO = re.compile(r"\s*+(\\[a-zA-Z@]++|\\.|[^\s\\])[ \t]*+(\\[a-zA-Z@]++|\\.|[^\s\\])[ \t]*+")
_NUMBERS = re.compile(r"\s*+(-?\d++)\s*+([<>=])\s*+(-?\d++)[ \t]*+")
_DEFINED = re.compile(r"\s*+(?:\\([a-zA-Z@]++)|([a-zA-Z@]++)\\endcsname)[ \t]*+")
_ORDERS = {"<": operator.lt, ">": operator.gt, "=": operator.eq}
_SET = re.compile(r"\s*+\{\s*+([\w@]++)\s*+\}(?:\s*+\{\s*+(true|false)\s*+\})?")
_NOT = re.compile(r"\s*+(?:\\(?:not|NOT)\b\s*+)?")
_TESTED = re.compile(r"\s*+\\(?:boolean|toggle|bool)\s*+\{\s*+([\w@]++)\s*+\}\s*+")
_EQUAL = re.compile(r"\s*+\\equal\s*+\{([^{}]*+)\}\s*+\{([^{}]*+)\}\s*+")
_SETTERS = {
    **dict.fromkeys(("newboolean", "provideboolean", "newbool", "providebool", "newtoggle", "providetoggle"), False),
    **dict.fromkeys(("toggletrue", "booltrue", "setboolean", "settoggle", "setbool"), True),
    **dict.fromkeys(("togglefalse", "boolfalse"), False),
}  # fmt: skip
CHOICES = re.compile(
    r"ifthenelse|(?:if|not)(?:toggle|bool)|If(?:NoValue|Value|Boolean)(?:TF|T|F)|@ifundefined|ifblank"
)
"""Commands that print one of their arguments, by what the first one says."""


class Branches(NamedTuple):
    """The conditionals of a text: what is read on if one does not hold, and which ends each `\\else`."""

    otherwise: Mapping[int, int]
    ends: Mapping[int, int]


class Switches:
    """The switches of a paper, and what is known of its conditionals."""

    def __init__(self, texts: list[str]) -> None:
        self.conditionals = _OWN.union(*(_DECLARED.findall(text) for text in texts))
        self.values: dict[str, bool] = {}

    def branches(self, text: str) -> Branches:
        """The conditionals of *text*, but for those that nothing ends."""
        open_: list[list[int]] = []
        found = Branches({}, {})
        at = 0 if "\\fi" in text else len(text)
        while token := _BRANCH.search(text, at):
            at, name = token.end(), token["name"]
            if token["verbatim"]:
                close = text.find(f"\\end{{{token['of']}}}", at)
                at = len(text) if close < 0 else close
            elif name == "fi":
                first, *other = open_.pop() if open_ else [-1]
                found.otherwise[first] = other[0] if other else at  # type: ignore[index]
                if other:
                    found.ends[other[1]] = at  # type: ignore[index]
            elif name == "else" and open_ and len(open_[-1]) == 1:
                open_[-1] += [at, token.start()]
            elif name in self.conditionals:
                open_.append([token.start()])
        return found

    def set(self, command: str, text: str, at: int) -> int:
        """Note what a command says of a switch; return where it ends, 0 for a command that says nothing."""
        if command == "newif":
            named = re.compile(r"\s*+\\if([a-zA-Z@]++)").match(text, at)
            self.values[named[1] if named else ""] = False
            return named.end() if named else at
        if (
            command.endswith(("true", "false"))
            and f"if{(name := command.removesuffix('true').removesuffix('false'))}"
            in self.conditionals - _OWN
        ):
            self.values[name] = command.endswith("true")
            return at
        if command in _SETTERS and (found := _SET.match(text, at)):
            self.values[found[1]] = found[2] == "true" if found[2] else _SETTERS[command]
            return found.end()
        return 0

    def decided(self, name: str, text: str, at: int, macros: Mapping[str, Macro]) -> tuple[bool, int]:
        """Does the conditional *name* hold, and where does its condition end?  One that only TeX knows does not."""
        if name == "ifx" and (two := _TWO.match(text, at)):
            one, other = (
                (macros.get(each[1:]) or each) if each[0] == "\\" else each for each in two.groups()
            )
            return _plain(one) == _plain(other), two.end()
        if name == "ifnum" and (numbers := _NUMBERS.match(text, at)):
            return bool(_ORDERS[numbers[2]](int(numbers[1]), int(numbers[3]))), numbers.end()
        if name in ("ifdefined", "ifcsname") and (found := _DEFINED.match(text, at)):
            return (found[1] or found[2]) in macros, found.end()
        return name in _TRUE or self.values.get(name[2:], False), at

    def chosen(self, command: str, test: str, macros: Mapping[str, Macro]) -> bool:
        """Is the first of the texts printed between which *command* chooses?"""
        said = test.strip()
        if command.startswith("If"):
            given = said == "\\BooleanTrue" if "Boolean" in command else said != NO_VALUE
            return given != ("NoValue" in command)
        if command == "@ifundefined":
            return said not in macros
        if command == "ifblank":
            return not said
        if command != "ifthenelse":
            return self.values.get(said, False) == command.startswith("if")
        negated = _NOT.match(test)
        at = negated.end() if negated else 0
        if found := _TESTED.fullmatch(test, at):
            holds = self.values.get(found[1], False)
        elif found := _EQUAL.fullmatch(test, at):
            holds = _value(found[1], macros) == _value(found[2], macros)
        elif found := _NUMBERS.fullmatch(test, at):
            holds = _ORDERS[found[2]](int(found[1]), int(found[3]))
        else:
            return False
        return holds != bool(negated and negated[0].strip())


def _plain(meaning: Macro | str) -> Macro | str:
    """What a token means: undefined commands are equal, and so are empty ones."""
    if meaning in ("\\undefined", "\\@undefined") or (isinstance(meaning, str) and meaning[1:]):
        return "\\empty" if meaning in ("\\empty", "\\@empty") else "\\undefined"
    return "\\empty" if isinstance(meaning, Macro) and not meaning.body else meaning


def _value(written: str, macros: Mapping[str, Macro]) -> str:
    macro = macros.get(written.strip().removeprefix("\\"))
    return (macro.body if macro and written.strip().startswith("\\") else written).strip()
