"""The pass over a LaTeX source, which writes what it prints."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, NamedTuple

from ragkit.read.formats.builder import Kind, PaperBuilder
from ragkit.read.formats.latex.affiliations import AFFILIATIONS, affiliations_in, below_names
from ragkit.read.formats.latex.commands import (
    ARGUMENTS,
    BREAKS,
    ENVIRONMENT_ARGUMENTS,
    LETTER,
    LIGATURES,
    LINES,
    LISTS,
    MARKS,
    MATH,
    METADATA,
    METHODS,
    REFERENCE,
    SECTIONS,
    SPACES,
    TABLES,
    VERBATIM,
    signs,
)
from ragkit.read.formats.latex.source import DEPTH, LatexSource
from ragkit.read.formats.latex.units import PRINTERS
from ragkit.read.formats.stated import listed, updated_in

_TOKEN = re.compile(
    r"""(?P<words>[^\\{}$&~^_\#\s`'\-]+(?:[ ][^\\{}$&~^_\#\s`'\-]+)*)
    | (?P<space>\s+)
    | \\(?P<word>[a-zA-Z@]+\*?)(?P<after>[ \t]*(?:\r?\n[ \t]*(?![ \t\r\n]))?)
    | \\(?P<sign>\r\n|[\s\S]|\Z)
    | (?P<dollar>\$\$?)
    | (?P<ligature>---|--|``|''|`)
    | (?P<group>[{}])
    | (?P<other>[\s\S])""",
    re.VERBOSE,
)
_NAME = re.compile(r"\s*\{\s*([a-zA-Z]+\*?)\s*\}")
_LENGTH = re.compile(
    r"\s*(?:=\s*-?[\d.]+|-?[\d.]+\s*(?=pt|cm|mm|in|em|ex))\s*(?:(?:true)?(?:pt|cm|mm|in)|em|ex|\\\w+)?(?:\s*(?:plus|minus)\s*[\d.]+\s*(?:pt|cm|em|ex|fil*))*"
)
_NO_SPACE = re.compile(r"[.,;:!?)'\-}{/]")  # what `\xspace` puts no space before
_PROTECTED = re.compile(r"\\([%#&_~^{}$])|[^\\]++|\\")
_DELIMITER = re.compile(r"(?:left|right|middle|[bB]igg?[lrm]?)\Z")
_BLANK_LINE = re.compile(r"\r?\n[ \t]*\r?\n|\r[ \t]*\r")
_MATH_END = {"$": re.compile(r"\\[\s\S]|(\$)|\n[ \t]*\r?\n"), "$$": re.compile(r"\\[\s\S]|(\$\$)"), "[": re.compile(r"(\\\])|\\[\s\S]"), "(": re.compile(r"(\\\))|\\[\s\S]")}  # fmt: skip


class Command(NamedTuple):
    """A command in the source, by offsets.

    `at` is its backslash, `name_end` the end of its name, `end` what follows it, `limit` the end of reading.
    """

    name: str
    at: int
    name_end: int
    end: int
    limit: int


class SourceReader:
    """Writes to *builder* what a source prints, and collects the paper's metadata in `known`."""

    def __init__(self, text: str, builder: PaperBuilder, above: SourceReader | None = None) -> None:
        self.text = text
        self.source = LatexSource(text)
        self.builder = builder
        self.known: dict[str, Any] = {}
        self.is_piece = above is not None
        self.depth: int = above.depth if above else 0
        self.in_heading: bool = above.in_heading if above else False
        self.math = False
        self.in_table = False
        self.inside = 0
        """How many headings, captions, tables, lists and notes are open, which no footnote may part."""
        self.notes: list[tuple[int, int]] = []
        """The footnotes of the paragraph, which follow it."""

    def document(self) -> None:
        """Read the whole file; the text before `\\begin{document}` prints nothing but defines commands."""
        begin = re.search(r"^[^%\n]*?(\\begin\s*\{document\})", self.text, re.MULTILINE)
        start = begin.end(1) if begin else 0
        end = self.source.closing.get(begin.start(1), len(self.text)) if begin else len(self.text)
        self._preamble(start)
        self.read(start, end)
        self._paragraph()

    def plain(self, text: str) -> str:
        """A piece of LaTeX as it prints."""
        written = PaperBuilder()
        inner = SourceReader(text, written, self)
        inner.math = self.math
        inner.read(0, len(text))
        return "".join(written.parts)

    def _preamble(self, end: int) -> None:
        at = 0
        for found in re.finditer(r"\\([a-zA-Z]+\*?)", self.text[:end]):
            if found.start() >= at:
                at = self._metadata(found[1], found.end()) or at

    def read(self, start: int, end: int) -> None:
        """Write what `text[start:end]` prints."""
        at = start
        self.depth += 1
        while at < end:
            token = _TOKEN.match(self.text, at, end)
            if not token:
                break
            at = self._token(token, end)
        self.depth -= 1

    def _token(self, token: re.Match[str], end: int) -> int:
        builder, at, after = self.builder, token.start(), token.end()
        match token.lastgroup:
            case "words":
                builder.prose(token[0], at)
            case "space":
                self._paragraph() if _BLANK_LINE.search(token[0]) and not self.math else builder.space()
            case "word" | "after":
                return self._command(Command(token["word"].rstrip("*"), at, token.start("after"), after, end))
            case "sign":
                return self._sign(token["sign"], at, after, end)
            case "dollar" if self.math:
                pass
            case "dollar":
                return self._formula(token[0], after, end, display=token[0] == "$$")
            case "ligature" if not self.math:
                builder.add(LIGATURES[token[0]], at, len(token[0]))
            case "group":
                pass
            case "other" if token[0] == "~":
                builder.space()
            case "other" if token[0] == "&":
                builder.add(" | ") if not self.math else builder.space()
            case "ligature" | "other":
                builder.prose(token[0], at)
        return after

    # --- commands

    def _command(self, command: Command) -> int:
        """Write what a command prints, and return the position where reading continues."""
        name, builder = command.name, self.builder
        if told := 0 if self.math else self._metadata(name, command.name_end):
            return min(told, command.limit)
        if (method := METHODS.get(name)) and (self.depth < DEPTH or name in ("begin", "end")):
            return int(getattr(self, method)(command))
        if REFERENCE.match(name) and name != "nocite":
            return self._reference(command)
        if name in ARGUMENTS:
            after = command.end
            for _ in range(ARGUMENTS[name]):
                after = self.source.argument(after, command.limit)[1]
            return after
        if name in MARKS and not self.math:
            return self._accent(MARKS[name], command.at, command.name_end)
        if name == "xspace":
            builder.space() if not _NO_SPACE.match(self.text, command.end) else None
        elif name in SPACES:
            builder.space()
        elif name in LINES:
            builder.line()
        elif name in BREAKS:
            self._paragraph()
        elif sign := signs().get(name):
            builder.add(sign, command.at, command.name_end - command.at)
            if command.end > command.name_end and self.math:
                builder.space()
        elif _DELIMITER.match(name):
            return command.end  # a bracket that follows is printed and begins no optional argument
        elif length := _LENGTH.match(self.text, command.name_end, command.limit):
            return length.end()
        elif self.text.find("{", command.end, command.limit) > 0:
            return self.source.optional(command.end, command.limit)[1]
        return command.end

    def _sign(self, sign: str, at: int, after: int, end: int) -> int:
        builder = self.builder
        if sign == "\\":
            builder.line()
            return self.source.optional(after, end)[1]
        if sign in ("[", "(") and not self.math:
            return self._formula(sign, after, end, display=sign == "[")
        if sign in MARKS and not self.math:
            return self._accent(MARKS[sign], at, after)
        if sign in "%&$#_{}":
            builder.add(sign, at, 2)
        elif sign == "-" or sign in "/!)]":
            pass
        else:
            builder.space()
        return after

    def _accent(self, mark: str, at: int, after: int) -> int:
        letter = LETTER.match(self.text, after)
        if not letter:
            return after
        bare = letter[1] or letter[3] or letter[2] or letter[4] or ""
        if bare:
            self.builder.add(unicodedata.normalize("NFC", bare + mark), at, letter.end() - at)
        return letter.end()

    def _metadata(self, name: str, after: int) -> int:
        """Record the metadata that a command gives; return where it ends, 0 if it gives none."""
        name = name.rstrip("*")
        if name not in METADATA:
            return 0
        for _ in range(AFFILIATIONS.get(name, 1)):
            (start, stop), after = self.source.argument(after, len(self.text))
        written = self.text[start:stop]
        if self.is_piece:
            return (
                after  # nobody asks what a piece says of the paper, and each in another would be read twice
            )
        if name in ("title", "icmltitle"):
            self.known.setdefault("title", " ".join(self.plain(written).split()))
        elif name in ("author", "icmlauthor"):
            self.known["authors"] = [*self.known.get("authors", []), *self._authors(written)]
            self._affiliated(below_names(written, self.plain))
        elif name in AFFILIATIONS:
            self._affiliated(affiliations_in(name, written, self.plain))
        elif name == "date":
            self.known["updated"] = updated_in([" ".join(self.plain(written).split())])
        elif name == "acmDOI":
            self.known["doi"] = written.strip()
        else:
            self.known["keywords"] = [
                k
                for word in re.split(r"[,;]|\\and|\\sep", written)
                if (k := " ".join(self.plain(word).split()))
            ]
        return after

    def _affiliated(self, found: list[str]) -> None:
        self.known["affiliations"] = listed([*self.known.get("affiliations", []), *found])

    def _authors(self, written: str) -> list[str]:
        """The names, without the affiliations below them."""
        names = []
        for one in re.split(r"\\(?:and|And|AND)(?![a-zA-Z])", written):
            line = self.plain(
                re.split(
                    r"\\\\|\\thanks|\\footnotemark|\\texttt|\\email|\\affil|\\inst(?![a-z])", one.strip()
                )[0]
            )
            names += re.split(
                r", ?(?:and )?| and ",
                " ".join(re.sub(r"[\d*†‡§¶^_$∗]+|\[[^\]]{0,200}\]", " ", line).split()),
            )
        return [
            n.strip() for n in names if len(n) < 80 and sum(bool(re.search(r"\w", w)) for w in n.split()) > 1
        ]

    # --- commands with an argument that prints

    def _heading(self, command: Command) -> int:
        (start, stop), after = self.source.argument(command.name_end, command.limit)
        if self.in_heading:  # each would be read twice, and those in it four times
            self.read(start, stop)
            return after
        self._paragraph()
        self.in_heading = True
        if title := " ".join(self.plain(self.text[start:stop]).split()):
            with self.builder.heading(title, max(SECTIONS[command.name], 1)):
                self._read_inside(start, stop)
        self.in_heading = False
        self._paragraph()
        return after

    def _caption(self, command: Command) -> int:
        return self._aside("caption", command)

    def _abstract(self, command: Command) -> int:
        return self._aside("abstract", command) if self.text.startswith("{", command.end) else command.end

    def _aside(self, kind: Kind, command: Command) -> int:
        (start, stop), after = self.source.argument(command.name_end, command.limit)
        with self.builder.aside(kind):
            self._read_inside(start, stop)
        return after

    def _footnote(self, command: Command) -> int:
        (start, stop), after = self.source.argument(command.name_end, command.limit)
        if start < stop:
            self.notes.append((start, stop))
        return after

    def _paragraph(self) -> None:
        """A paragraph ends, which its footnotes follow."""
        self.builder.paragraph()
        while self.notes and not self.inside:
            with self.builder.footnote():
                self._read_inside(*self.notes.pop(0))

    def _read_inside(self, start: int, end: int) -> None:
        """Read what no footnote may part."""
        self.inside += 1
        self.read(start, end)
        self.inside -= 1

    def _verb(self, command: Command) -> int:
        """Write the text between two equal delimiters verbatim."""
        start = command.name_end + 1
        stop = (
            self.text.find(self.text[command.name_end], start, command.limit) if start < command.limit else -1
        )
        if stop < 0:
            return command.end
        self.builder.add(self.text[start:stop], start)
        return stop + 1

    def _as_written(self, command: Command) -> int:
        """Write an address, in which a backslash only protects the sign behind it."""
        (start, stop), after = self.source.argument(command.name_end, command.limit)
        if command.name == "doi":
            self.builder.add("doi:")
        for piece in _PROTECTED.finditer(self.text, start, stop):
            self.builder.add(piece[1] or piece[0], piece.start(), len(piece[0]) if piece[1] else None)
        return after

    def _quantity(self, command: Command) -> int:
        """Write a number with its unit as siunitx prints it."""
        numbers, has_unit, printed = PRINTERS[command.name]
        arguments, after = [], command.name_end
        (start, stop), _ = self.source.optional(self.source.gap(after, command.limit), command.limit)
        if command.name == "unit" and start < stop and "=" not in self.text[start:stop]:
            numbers, has_unit, printed = PRINTERS["qty"]  # of the package `units`: \unit[5]{m}
            arguments.append(self.plain(self.text[start:stop]))
        while len(arguments) < numbers + has_unit:
            (start, stop), after = self.source.argument(after, command.limit)
            written = self.text[start:stop]
            is_number = len(arguments) < numbers and "\\" in written
            arguments.append(self.plain(written) if is_number else written)
        self.builder.add(printed(arguments), command.at, after - command.at)
        return after

    def _reference(self, command: Command) -> int:
        """Write the key of a citation or reference, since only TeX knows its number."""
        (start, stop), after = self.source.argument(command.name_end, command.limit)
        if called := " ".join(self.text[start:stop].split()):
            self.builder.add(f"[{called}]", command.at, after - command.at)
        return after

    def _bibitem(self, command: Command) -> int:
        self.builder.paragraph()
        after = self._reference(command)
        self.builder.space()
        return after

    def _item(self, command: Command) -> int:
        self.builder.line()
        (start, stop), after = self.source.optional(command.end, command.limit)
        if start < stop:
            self.read(start, stop)
            self.builder.space()
        else:
            self.builder.item()
        return after

    def _fraction(self, command: Command) -> int:
        (start, stop), after = self.source.argument(command.name_end, command.limit)
        self._part(start, stop)
        self.builder.add("/")
        (start, stop), after = self.source.argument(after, command.limit)
        self._part(start, stop)
        return after

    def _part(self, start: int, end: int) -> None:
        """Write an argument of a formula, in brackets if it has more than one term."""
        many = end - start > 1 and bool(re.search(r"[-+\s,]", self.text[start:end]))
        self.builder.add("(") if many else None
        self.read(start, end)
        self.builder.add(")") if many else None

    def _words(self, command: Command) -> int:
        """Words, in a formula or out of it."""
        (start, stop), after = self.source.argument(command.name_end, command.limit)
        self.read(start, stop)
        if command.name == "operatorname" and self.text[after : after + 1].isalnum():
            self.builder.space()
        return after

    def _cell(self, command: Command) -> int:
        with self.builder.cell():
            return self._words(command)

    def _struck(self, command: Command) -> int:
        """Leave out text that is struck out, and count it."""
        (start, stop), after = self.source.argument(command.name_end, command.limit)
        if struck := "".join(self.plain(self.text[start:stop]).split()):
            self.builder.hidden["struck out"] += len(struck)
        return after

    # --- formulas and environments

    def _formula(self, opening: str, at: int, end: int, display: bool) -> int:
        stop, after = end, end
        for found in _MATH_END[opening].finditer(self.text, at, end):
            if found[1] or found[0][0] != "\\":
                stop, after = found.start(), found.end() if found[1] else found.start()
                break
        self._mathematics(at, stop, display)
        return after

    def _mathematics(self, start: int, end: int, display: bool) -> None:
        self.builder.paragraph() if display else None
        outer, self.math = self.math, True
        self.read(start, end)
        self.math = outer
        self.builder.paragraph() if display else None

    def _end(self, command: Command) -> int:
        named = _NAME.match(self.text, command.name_end)
        return min(named.end(), command.limit) if named else command.end

    def _environment(self, command: Command) -> int:
        _, at, word_end, _, end = command
        named = _NAME.match(self.text, word_end)
        if not named:
            return word_end
        name, inside = named[1], named.end()
        plain = name.rstrip("*")
        if name in VERBATIM:
            close = self.text.find(f"\\end{{{name}}}", inside, end)
            close = end if close < 0 else close
            self._verbatim(inside, close)
            return min(close + len(f"\\end{{{name}}}"), end)
        close = min(self.source.closing.get(at, end), end)
        for _ in range(ENVIRONMENT_ARGUMENTS.get(name, 0)):
            inside = self.source.argument(inside, end)[1]
        if self.depth >= DEPTH or inside > close:
            return inside
        if plain in MATH:
            self._mathematics(self.source.optional(inside, close)[1], close, display=True)
        elif plain in TABLES and self.in_table and not self.math:
            with self.builder.cell():  # a table in a cell only breaks its lines
                self.read(inside, close)
        elif plain in TABLES and not self.math:
            with self.builder.aside("table"):
                self.in_table = True
                self._read_inside(inside, close)
                self.in_table = False
        elif plain in ("abstract", "thebibliography"):
            title, kind = ("", "abstract") if plain == "abstract" else ("References", "references")
            self.builder.section(title, 1, kind)  # type: ignore[arg-type]
            self.read(inside, close)
            self._paragraph()
            self.builder.section("", 1, "body")
        else:
            self.builder.paragraph()
            if plain in ("figure", "table", "wrapfigure", "algorithm", "subfigure", *LISTS):
                inside = self.source.optional(inside, close)[1]
            self._read_inside(inside, close) if plain in LISTS else self.read(inside, close)
            self.builder.paragraph()
        return close  # the `\end` is passed over as a command

    def _verbatim(self, start: int, end: int) -> None:
        self.builder.paragraph()
        for line in re.finditer(r"[^\r\n]+", self.text[start:end]):
            self.builder.add(line[0], start + line.start())
            self.builder.line()
        self.builder.paragraph()
