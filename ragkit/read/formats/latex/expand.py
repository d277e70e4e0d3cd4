"""What TeX does before it sets a text: takes files in, expands the paper's own commands, decides conditionals.

What comes of it is the source without comments, definitions and text that is switched off.  Each character of it
knows its place in a file; what a command of the paper's own prints stands for the whole command.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from ragkit.read.formats.latex.commands import HIDDEN, VERBATIM, is_known
from ragkit.read.formats.latex.definitions import DEFINITIONS, Macro, MacroParameter, definition
from ragkit.read.formats.latex.places import FileSpan, Placed
from ragkit.read.formats.latex.source import ADDRESSES, DEPTH, VERB, LatexSource, address_end
from ragkit.read.formats.latex.switches import CHOICES, Branches, Switches

_TOKEN = re.compile(
    r"(?P<comment>%[^\r\n]*+(?:(?:\r?\n|\r)(?![ \t]*+[\r\n])[ \t]*+)?)|\\(?:(?P<name>[a-zA-Z@]++)|(?P<sign>[\s\S]))"
)
_SPACE = re.compile(r"[ \t]*+(?:\r?\n[ \t]*+(?![ \t\r\n]))?")
_BODY = re.compile(r"^[^%\n]*?(\\begin\s*\{document\})", re.MULTILINE)
_ENVIRONMENT = re.compile(r"\s*+\{\s*+([a-zA-Z]++\*?)\s*+\}")
_ENDS_IN_COMMAND = re.compile(r"\\[a-zA-Z@]+\Z")
_HOLE = re.compile(r"#([#1-9])")
_BARE = re.compile(r"\s*+([^\s{}\\%]++)")
_ONE = re.compile(r"\\[a-zA-Z@]++|\\.|[^\s{}\\]")  # an argument without braces
_VERB = re.compile(VERB)
_TAKING_IN = frozenset(("input", "include", "subfile", "bibliography"))
_INCLUSIONS = 1000  # files that a paper takes in, each counted as often as it does
# How many characters may come of commands, at least and for each character of the source, and how many a call and
# each piece of what it stands for counts.
_LEAST, _GROWTH, _CALL = 1_000_000, 3, 20
_WITHIN = 4  # times that a command may stand in itself


def expanded(name: str, text: str, companions: Mapping[str, str]) -> tuple[Placed, list[str]]:
    """The source of a paper as TeX sets it, and the files that it takes in from among *companions*."""
    expander = _Expander(Path(name).stem, companions, text)
    expander.run()
    return expander.out, expander.files


class _Frame:
    """A text that is being expanded: a file, or what a command stands for."""

    def __init__(self, written: Placed, name: str) -> None:
        self.written, self.name = written, name
        self.text = written.text
        self.at = self.copied = 0
        self.end = len(self.text)

    @cached_property
    def source(self) -> LatexSource:
        return LatexSource(self.text)

    def cut(self, after: str = "") -> None:
        """Leave out what stands behind the document, and with *after* what stands before it."""
        if begin := _BODY.search(self.text):
            close = self.source.closing.get(begin.start(1))
            self.end = self.end if close is None else close
            if after:
                self.at = self.copied = begin.end(1)


class _Expander:
    def __init__(self, stem: str, companions: Mapping[str, str], text: str) -> None:
        self.stem, self.companions = stem, companions
        texts = [text, *companions.values()]
        self.switches = Switches(texts)
        self.left = max(_LEAST, _GROWTH * sum(map(len, texts)))
        self.macros: dict[str, Macro] = {}
        self.aliases: dict[str, str] = {}
        self.left_out = set(HIDDEN)
        self.files: list[str] = []
        self.taken = 0
        self.known_branches: dict[str, Branches] = {}
        self.out = Placed()
        self.frames = [_Frame(Placed(text, FileSpan(0, len(text))), "")]
        self.frames[0].cut()

    def run(self) -> None:
        while self.frames:
            frame = self.frames[-1]
            found = _TOKEN.search(frame.text, frame.at, frame.end)
            if not found:
                self._copy(frame, frame.end)
                self.frames.pop()
            elif found["comment"]:
                frame.at = self._drop(frame, *found.span())
            else:
                frame.at = self._command(frame, found["name"] or found["sign"], *found.span())

    def _copy(self, frame: _Frame, end: int) -> None:
        for piece, place in frame.written.pieces(frame.copied, end):
            self.out.add(piece, place)
        frame.copied = max(frame.copied, end)

    def _drop(self, frame: _Frame, start: int, end: int) -> int:
        """Copy what stands before *start*, and pass over the text up to *end*."""
        self._copy(frame, start)
        frame.copied = end
        return end

    def _command(self, frame: _Frame, name: str, at: int, after: int) -> int:
        """Execute a command; return the position in its frame where reading continues."""
        if name in self.macros:
            return self._call(frame, name, at, after)
        if name in self.aliases:
            self._drop(frame, at, after)
            self.out.add(f"\\{self.aliases[name]}", frame.written.place(at, after))
        elif DEFINITIONS.fullmatch(name):
            return self._drop(frame, at, self._define(frame, name, after))
        elif name == "begin":
            return self._begin(frame, at, after)
        elif name in ("verb", "lstinline"):
            verbatim = _VERB.match(frame.text, at, frame.end)
            return verbatim.end() if verbatim else after
        elif name in ADDRESSES:
            return address_end(frame.text, frame.source.gap(after, frame.end), frame.end) or after
        elif name in _TAKING_IN:
            return self._take_in(frame, name, at, after)
        elif name == "endinput":
            return self._drop(frame, at, frame.end)
        elif name in ("excludecomment", "includecomment"):
            (start, stop), after = frame.source.argument(after, frame.end)
            change = self.left_out.add if name == "excludecomment" else self.left_out.discard
            change(frame.text[start:stop].strip())
            return self._drop(frame, at, after)
        elif CHOICES.fullmatch(name):
            return self._choose(frame, name, at, after)
        elif name in ("else", "fi") or name in self.switches.conditionals:
            return self._branch(frame, name, at, after)
        elif set_to := self.switches.set(name, frame.text, after):
            return self._drop(frame, at, _space(frame.text, set_to))
        return after

    def _begin(self, frame: _Frame, at: int, after: int) -> int:
        named = _ENVIRONMENT.match(frame.text, after, frame.end)
        if not named or (named[1] not in VERBATIM and named[1] not in self.left_out):
            return named.end() if named else after
        end = f"\\end{{{named[1]}}}"
        close = frame.text.find(end, named.end(), frame.end)
        close = frame.end if close < 0 else close + len(end)
        return self._drop(frame, at, close) if named[1] in self.left_out else close

    # --- the paper's own commands

    def _define(self, frame: _Frame, command: str, after: int) -> int:
        name, macro, end = definition(frame.source, command, after)
        given = name in self.macros or name in self.aliases
        if not name or is_known(name) or (given and command.lower().startswith("provide")):
            return min(end, frame.end)
        self.macros.pop(name, None)
        self.aliases.pop(name, None)
        if command == "let" and macro:
            other = macro.body.removeprefix("\\")
            if other in ("iftrue", "iffalse"):
                self.switches.values[name.removeprefix("if")] = other == "iftrue"
            elif other in self.macros:
                self.macros[name] = self.macros[other]
            else:
                self.aliases[name] = self.aliases.get(other, other)
        elif macro:
            self.macros[name] = macro
        return min(end, frame.end)

    def _call(self, frame: _Frame, name: str, at: int, after: int) -> int:
        macro = self.macros[name]
        arguments, end = _arguments(frame, macro.parameters, after)
        place = frame.written.place(at, end)
        if not macro.parameters and name[0].isalpha():
            end = _space(frame.text, end)
        self._drop(frame, at, end)
        written = _filled(macro, arguments, frame.written, place)
        self.left -= written.length + _CALL * (1 + len(written.places))
        if self.left > 0 and len(self.frames) < DEPTH and sum(f.name == name for f in self.frames) < _WITHIN:
            self.frames.append(_Frame(written, name))
        return end

    # --- conditionals

    def _choose(self, frame: _Frame, name: str, at: int, after: int) -> int:
        (start, stop), after = frame.source.argument(after, frame.end)
        holds = self.switches.chosen(name, frame.text[start:stop], self.macros)
        ranges = []
        for _ in range(1 if name.startswith("If") and not name.endswith("TF") else 2):
            inside, after = frame.source.argument(after, frame.end)
            ranges.append(inside)
        self._drop(frame, at, after)
        if len(ranges) == 2:
            self._read_on(frame, *ranges[not holds])
        elif holds == name.endswith("T"):
            self._read_on(frame, *ranges[0])
        return after

    def _read_on(self, frame: _Frame, start: int, end: int) -> None:
        """Expand a part of a text at this place."""
        self.left -= end - start + _CALL
        if self.left > 0 and len(self.frames) < DEPTH:
            written = Placed()
            for piece, place in frame.written.pieces(start, end):
                written.add(piece, place)
            self.frames.append(_Frame(written, ""))

    def _branch(self, frame: _Frame, name: str, at: int, after: int) -> int:
        """Pass over a conditional's name and condition, and over the branch that is not read."""
        if frame.text not in self.known_branches:
            self.known_branches[frame.text] = self.switches.branches(frame.text)
        branches = self.known_branches[frame.text]
        end = branches.ends.get(at, after)
        if at in branches.otherwise:
            holds, read_on = self.switches.decided(name, frame.text, after, self.macros)
            end = read_on if holds else branches.otherwise[at]
        return self._drop(frame, at, min(_space(frame.text, end), frame.end))

    # --- files

    def _take_in(self, frame: _Frame, name: str, at: int, after: int) -> int:
        """Read another file at the place that includes it."""
        (start, stop), end = frame.source.argument(after, frame.end)
        if start == stop and name == "input" and (bare := _BARE.match(frame.text, after, frame.end)):
            (start, stop), end = bare.span(1), bare.end()
        taken = f"{self.stem}.bbl" if name == "bibliography" else file_name(frame.text[start:stop].strip())
        self._drop(frame, at, end)
        nested = [each.name for each in self.frames]
        if (
            taken in self.companions
            and taken not in nested
            and self.taken < _INCLUSIONS
            and len(nested) < DEPTH
        ):
            self.taken += 1
            if taken not in self.files:
                self.files.append(taken)
            text = self.companions[taken]
            inner = _Frame(Placed(text, FileSpan(0, len(text), self.files.index(taken) + 1)), taken)
            inner.cut(after="document")
            self.frames.append(inner)
        return end


def _space(text: str, at: int) -> int:
    """The offset behind the white space that TeX passes over after a command's name."""
    space = _SPACE.match(text, at)
    return space.end() if space else at


_Argument = tuple[int, int] | str  # a range of the text, or what stands for one that is not given


def _arguments(frame: _Frame, parameters: Sequence[MacroParameter], at: int) -> tuple[list[_Argument], int]:
    """The arguments of a command, and the offset behind them."""
    found: list[_Argument] = []
    for kind, default in parameters:
        begin = frame.source.gap(at, frame.end)
        if kind == "s":
            starred = frame.text.startswith("*", begin)
            found.append("\\BooleanTrue" if starred else "\\BooleanFalse")
            at = begin + 1 if starred else at
        elif kind in ("o", "O"):
            inside, after = frame.source.optional(begin, frame.end)
            found.append(inside if after > begin else default)
            at = after if after > begin else at
        elif (close := frame.source.closing.get(begin, frame.end)) < frame.end and frame.text[begin] == "{":
            found.append((begin + 1, close))
            at = close + 1
        elif one := _ONE.match(frame.text, begin, frame.end):
            found.append(one.span())
            at = one.end()
        else:
            found.append("")
    return found, at


def _filled(macro: Macro, arguments: Sequence[_Argument], text: Placed, place: FileSpan) -> Placed:
    """The body of a command with its arguments in it; the body's own words stand for *place*."""
    written = Placed()

    def add(piece: str, where: FileSpan) -> None:
        written.add(piece, where)
        if _ENDS_IN_COMMAND.search(piece):
            written.add(" ", place)  # else the command would go on in what follows

    at = 0
    for hole in _HOLE.finditer(macro.body):
        add(macro.body[at : hole.start()], place)
        at = hole.end()
        argument = "#" if hole[1] == "#" else (list(arguments) + [""] * 9)[int(hole[1]) - 1]
        if isinstance(argument, str):
            add(argument, place)
            continue
        for piece, where in text.pieces(*argument):
            add(piece, where)
    add(macro.body[at:], place)
    return written


def file_name(written: str) -> str:
    return written if re.search(r"\.\w{2,4}$", written) else f"{written}.tex"
