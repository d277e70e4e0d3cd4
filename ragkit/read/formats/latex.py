"""LaTeX source: a paper a file, with its commands taken for what they print.

TeX cannot be parsed without being run, so nothing is parsed: one pass over the source writes what is text and leaves out
what is not.  Braces vanish, so a command that is not known still shows its argument, and broken source is only read worse.
"""

from __future__ import annotations

import codecs
import functools
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from langchain_core.documents import Document

from ragkit.config.components import component
from ragkit.errors import LoadError
from ragkit.read.formats import HEAD, ProjectFormat, decode, title_from_name
from ragkit.read.formats.builder import Kind, PaperBuilder

_TOLD_BY = re.compile(
    r"^[^%\n]{0,200}?\\(?:documentclass\b|documentstyle\b|begin\s*\{(?:document|thebibliography)\})",
    re.MULTILINE,
)
_SECTION = re.compile(r"^[ \t]*\\(?:sub)*(?:section|chapter)\*?\s*[\[{]", re.MULTILINE)
_COMMAND = re.compile(r"\\[a-zA-Z]+\s*[\[{]")


_TAKES_IN = re.compile(r"%[^\r\n]*|\\(?:input|include|subfile)\s*\{?\s*([^\s{}%\\]+)|\\(bibliography)\s*\{")

_LATIN = re.compile(rb"\\(?:usepackage|inputenc)\s*\[(?:latin1|latin9|ansinew|cp1252)\]")


@component("latex")
@dataclass(frozen=True)
class Latex(ProjectFormat):
    """The LaTeX source of one paper, with the files that it takes in and the `.bbl` of its references beside it."""

    priority: ClassVar[int] = 90

    def recognises_text(self, name: str, text: str) -> bool:
        if name.lower().endswith((".tex", ".ltx", ".latex", ".bbl")):
            return bool(_COMMAND.search(text))
        return bool(_TOLD_BY.search(text)) or sum(1 for _ in _SECTION.finditer(text)) > 1

    def decoded(self, content: bytes, partial: bool = False) -> str:
        if _LATIN.search(content[:HEAD]) and not content.startswith(codecs.BOM_UTF8):
            return content.decode("cp1252", errors="replace")
        return decode(content, partial)

    def companions(self, name: str, text: str, whole: bool) -> list[str]:
        if whole and not _TOLD_BY.search(text):
            return []  # it may be taken in by another, but is none that takes in
        found = []
        for taken in _TAKES_IN.finditer(text):
            if taken[2]:
                found.append(f"{Path(name).stem}.bbl")
            elif taken[1]:
                found.append(_file_name(taken[1]))
        return found

    def papers_with(self, name: str, text: str, companions: Mapping[str, str]) -> Iterator[Document]:
        builder = PaperBuilder()
        reader = _Reader(text, builder)
        reader.companions, reader.name = companions, name
        reader.document()
        title = " ".join(str(reader.known.pop("title", "")).split())
        if not title and not builder.length:
            raise LoadError("it defines commands and has no text of its own")
        yield builder.paper(
            title or title_from_name(name), **reader.known, **({} if title else {"title_guessed": True})
        )


def _file_name(written: str) -> str:
    return written if re.search(r"\.\w{2,4}$", written) else f"{written}.tex"


# --- what commands and environments mean

_SECTIONS = {
    "part": 0,
    "chapter": 0,
    "section": 1,
    "subsection": 2,
    "subsubsection": 3,
    "paragraph": 4,
    "subparagraph": 5,
}

# How many arguments of a command are no text; those after them are.
_DROPPED = {
    1: """label bibliographystyle addbibresource usepackage RequirePackage documentclass documentstyle includegraphics
        pagestyle thispagestyle vspace hspace addvspace index phantom hphantom vphantom color pagecolor textcolor
        colorbox hypersetup graphicspath setlist captionsetup geometry selectlanguage foreignlanguage hyphenation nocite scalebox
        rotatebox raisebox parbox newcounter stepcounter refstepcounter usetikzlibrary lstset thanks date email affiliation affil
        institute address inst orcidID orcid keywords pacs received accepted acmConference ccsdesc newlength newsavebox pgfplotsset
        tikzset urlstyle theoremstyle href subjclass cline cmidrule bstctlcite lfoot cfoot rfoot lhead chead rhead markright nobibliography
        tag epsfbox epsfig psfig authorrunning titlerunning institution icmlkeywords pdfbookmark captionof rowcolor cellcolor
        arrayrulecolor preprint shortauthors shorttitle footnotemark enlargethispage fontfamily fontseries footnotetext icmlauthor
        icmlaffiliation icmlcorrespondingauthor acmYear acmJournal copyrightyear setcitestyle bibinfo@ hskip@ fancyhead fancyfoot
        setcopyright ccsdesc todo glsresetall newacronym@ iclrfinalcopy@ crefname@ linespread author title""",
    2: """setlength addtolength setcounter addtocounter resizebox multicolumn multirow markboth definecolor colorlet newtheorem
        fcolorbox fontsize counterwithin numberwithin newcolumntype crefname Crefname rule titleformat newglossaryentry import
        newenvironment@ bibinfo bibfield altaffiltext""",
    3: "specialrule addcontentsline crefformat titlespacing addtocontents newacronym",
}  # fmt: skip
_ARGUMENTS = {name: count for count, names in _DROPPED.items() for name in names.split() if "@" not in name}

_REFERENCE = re.compile(r"(?:[A-Za-z]*[cC]ite(?!style)[a-zA-Z]*|(?:auto|eq|page|c|C|name|v|sub)?ref)\Z")
_DEFINITIONS = re.compile(r"(?:re|provide)?newcommandx?|providecommand|renewcommand|DeclareRobustCommand|DeclareMathOperator|[gex]?def|let|(?:re)?newenvironment|(?:New|Renew)DocumentCommand")  # fmt: skip
_SPACES = set("quad qquad hfill hfil space enspace enskip thinspace nobreakspace xspace".split())
_BREAKS = set("par newpage clearpage maketitle bigskip medskip smallskip appendix and And AND".split())
_LINES = set("newline linebreak tabularnewline cr midrule hline toprule bottomrule".split())
_METADATA = {"keywords": "keywords", "icmlkeywords": "keywords", "acmDOI": "doi"}

_HIDDEN = set(
    "comment tikzpicture picture CCSXML filecontents filecontents* pspicture pgfpicture forest overpic tikzcd".split()
)
_VERBATIM = set("verbatim verbatim* Verbatim lstlisting minted alltt".split())
_MATH = set("equation align gather multline eqnarray displaymath math flalign alignat dmath mathpar".split())
_TABLES = set("tabular tabularx tabulary longtable tabu supertabular deluxetable array".split())
_LISTS = set("itemize enumerate description compactitem compactenum enumerate* itemize*".split())
_ENVIRONMENT_ARGUMENTS = {
    "tabular": 1, "tabular*": 2, "tabularx": 2, "tabulary": 2, "longtable": 1, "supertabular": 1, "tabu": 1, "minipage": 1, "array": 1,
    "thebibliography": 1, "multicols": 1, "adjustbox": 1, "spacing": 1, "wrapfigure": 2, "wraptable": 2, "subfigure": 1, "subtable": 1,
    "list": 2, "otherlanguage": 1, "adjustwidth": 2, "alignat": 1, "alignat*": 1, "deluxetable": 1, "CJK": 2, "CJK*": 2,
}  # fmt: skip

_MARKS = {
    "`": "\u0300", "'": "\u0301", "^": "\u0302", "~": "\u0303", "=": "\u0304", "u": "\u0306", ".": "\u0307", '"': "\u0308", "r": "\u030a",
    "H": "\u030b", "v": "\u030c", "c": "\u0327", "k": "\u0328", "d": "\u0323", "b": "\u0331",
}  # fmt: skip
_LETTER = re.compile(
    r"\s*(?:\{\s*(?:\\([ij])(?![a-zA-Z])\s*|([^\W\d_]))?\s*\}|\\([ij])(?![a-zA-Z])\s*|([^\W\d_]))"
)
_SIGNS = {
    "S": "§", "P": "¶", "LaTeX": "LaTeX", "TeX": "TeX", "BibTeX": "BibTeX", "i": "ı", "j": "ȷ", "slash": "/", "textbar": "|",
    "textless": "<", "textgreater": ">", "textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textunderscore": "_",
    "dots": "…", "ldots": "…", "cdots": "⋯", "dotsc": "…", "dotsb": "…", "lbrace": "{", "rbrace": "}", "lvert": "|", "rvert": "|",
    "texttimes": "×", "textmu": "µ", "eg": "e.g.", "ie": "i.e.", "mid": "|", "sqrt": "√", "prime": "′", "vert": "|", "Vert": "‖",
}  # fmt: skip
_LIGATURES = {"---": "—", "--": "–", "``": "“", "''": "”", "`": "‘"}
_SILENT = re.compile(r"left|right|[bB]igg?[lr]?|nonumber|notag|displaystyle|textstyle|limits|nolimits|middle|protect|rm|bf|it|cal|sf|tt|em|\w*math\w*|text\w{2}|emph|mbox|hbox")  # fmt: skip


@functools.cache
def _signs() -> dict[str, str]:
    """What commands without arguments print."""
    from pylatexenc.latex2text import get_default_latex_context_db

    table = {spec.macroname: spec.simplify_repl for spec in get_default_latex_context_db().iter_macro_specs()}
    known = {
        name: sign
        for name, sign in table.items()
        if isinstance(sign, str) and re.fullmatch(r"\S{1,2}|[a-z]{3,6}", sign)
    }
    for name in {"item", "and", "today", *_MARKS, *_SECTIONS, *_ARGUMENTS, *_BREAKS, *_LINES, *_SPACES}:
        known.pop(name, None)
    return {**{name: sign for name, sign in known.items() if not _SILENT.fullmatch(name)}, **_SIGNS}


_METHODS = {
    "begin": "_environment", "end": "_end", "caption": "_caption", "abstract": "_abstract", "footnote": "_footnote", "footnotetext": "_footnote",
    "verb": "_verb", "lstinline": "_verb", "bibitem": "_bibitem", "item": "_item", "url": "_as_written", "path": "_as_written",
    "nolinkurl": "_as_written", "doi": "_as_written", "text": "_words", "textrm": "_words", "mbox": "_words", "hbox": "_words",
    "operatorname": "_words", **dict.fromkeys(("frac", "dfrac", "tfrac", "nicefrac", "sfrac"), "_fraction"),
    **dict.fromkeys(_SECTIONS, "_heading"), **dict.fromkeys(("input", "include", "subfile", "bibliography"), "_taken_in"),
}  # fmt: skip
"""The commands that print in a way of their own, and the methods of the reader that know it."""


# --- the pass over the source

_TOKEN = re.compile(
    r"""(?P<words>[^\\{}$%&~^_\#\s`'\-]+(?:[ ][^\\{}$%&~^_\#\s`'\-]+)*)
    | (?P<space>\s+)
    | (?P<comment>%[^\r\n]*(?:\r?\n|\r|\Z)[ \t]*)
    | \\(?P<word>[a-zA-Z@]+\*?)(?P<after>[ \t]*(?:\r?\n[ \t]*(?![ \t\r\n]))?)
    | \\(?P<sign>\r\n|[\s\S]|\Z)
    | (?P<dollar>\$\$?)
    | (?P<ligature>---|--|``|''|`)
    | (?P<group>[{}])
    | (?P<other>[\s\S])""",
    re.VERBOSE,
)
_PAIR = re.compile(
    r"\\verb\*?([^a-zA-Z\s*])[^\r\n]{0,200}?\1|\\(begin|end)\s*\{\s*([a-zA-Z]+\*?)\s*\}|\\[\s\S]|%[^\r\n]*|[{}]"
)
_NAME = re.compile(r"\s*\{\s*([a-zA-Z]+\*?)\s*\}")
_LENGTH = re.compile(
    r"\s*(?:=\s*-?[\d.]+|-?[\d.]+\s*(?=pt|cm|mm|in|em|ex))\s*(?:(?:true)?(?:pt|cm|mm|in)|em|ex|\\\w+)?(?:\s*(?:plus|minus)\s*[\d.]+\s*(?:pt|cm|em|ex|fil*))*"
)
_BLANK_LINE = re.compile(r"\r?\n[ \t]*\r?\n|\r[ \t]*\r")
_GAP = re.compile(
    r"(?:[ \t]*(?:%[^\r\n]*(?:\r?\n|\r|\Z))?)*+(?:\r?\n[ \t]*)?(?:[ \t]*%[^\r\n]*(?:\r?\n|\r|\Z)[ \t]*)*"
)
_MATH_END = {"$": re.compile(r"\\[\s\S]|(\$)|\n[ \t]*\r?\n"), "$$": re.compile(r"\\[\s\S]|(\$\$)"), "[": re.compile(r"(\\\])|\\[\s\S]"), "(": re.compile(r"(\\\))|\\[\s\S]")}  # fmt: skip
_DEPTH = 60  # of groups and environments within one another; what is deeper is read without regard to them
_LONGEST = 300  # characters that a command without arguments may stand for


class Command(NamedTuple):
    """A command in the source: where it begins, where its name ends, where what follows begins, and where reading ends."""

    name: str
    at: int
    name_end: int
    end: int
    limit: int


class _Reader:
    """Writes to *builder* what a source prints, and gathers in `known` what it says of the paper."""

    def __init__(self, text: str, builder: PaperBuilder, above: _Reader | None = None) -> None:
        self.text = text
        self.builder = builder
        self.known: dict[str, Any] = {}
        self.macros: dict[str, str] = above.macros if above else {}
        self.printed: dict[tuple[str, bool], str] = above.printed if above else {}
        self.expanding: tuple[str, ...] = above.expanding if above else ()
        self.companions: Mapping[str, str] = above.companions if above else {}
        self.name: str = above.name if above else ""
        self.depth: int = above.depth if above else 0
        self.math = False
        self.closing: dict[int, int] = {}  # of a brace or `\begin`, the brace or `\end` that closes it
        braces: list[int] = []
        begun: list[tuple[str, int]] = []
        for pair in _PAIR.finditer(text):
            if pair[0] == "{":
                braces.append(pair.start())
            elif pair[0] == "}" and braces:
                self.closing[braces.pop()] = pair.start()
            elif pair[2] == "begin":
                begun.append((pair[3], pair.start()))
            elif pair[2] == "end":
                at = next(
                    (
                        n
                        for n in range(len(begun) - 1, max(len(begun) - _DEPTH, 0) - 1, -1)
                        if begun[n][0] == pair[3]
                    ),
                    None,
                )
                if at is not None:
                    self.closing[begun[at][1]] = pair.start()
                    del begun[at:]

    def document(self) -> None:
        """The whole file: what stands before `\\begin{document}` prints nothing, and says what commands mean."""
        begin = re.search(r"^[^%\n]*?(\\begin\s*\{document\})", self.text, re.MULTILINE)
        start = begin.end(1) if begin else 0
        end = self.closing.get(begin.start(1), len(self.text)) if begin else len(self.text)
        self._preamble(start)
        self.read(start, end)

    def plain(self, text: str) -> str:
        """A piece of LaTeX as it prints."""
        written = PaperBuilder()
        inner = _Reader(text, written, self)
        inner.math = self.math
        inner.read(0, len(text))
        return "".join(written.parts)

    def _preamble(self, end: int) -> None:
        at = 0
        for found in re.finditer(r"%[^\r\n]*|\\([a-zA-Z]+\*?)", self.text[:end]):
            if found[1] in ("input", "include") and found.start() >= at:
                at = self._take_in(found[1], found.end(), end)
            elif found[1] and found.start() >= at:
                at = (
                    self._definition(found[1].rstrip("*"), found.end())
                    or self._metadata(found[1], found.end())
                    or at
                )

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
                builder.paragraph() if _BLANK_LINE.search(token[0]) and not self.math else builder.space()
            case "word" | "after":
                return self._command(Command(token["word"].rstrip("*"), at, token.start("after"), after, end))
            case "sign":
                return self._sign(token["sign"], at, after, end)
            case "dollar" if self.math:
                pass
            case "dollar":
                return self._formula(token[0], after, end, display=token[0] == "$$")
            case "ligature" if not self.math:
                builder.add(_LIGATURES[token[0]], at, len(token[0]))
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
        """Write what a command prints, with those of its arguments that it is told with here; return where it ends."""
        name, builder = command.name, self.builder
        if name in self.macros and name not in self.expanding:
            return self._expand(command)
        if defined := self._definition(name, command.name_end) or (
            0 if self.math else self._metadata(name, command.name_end)
        ):
            return min(defined, command.limit)
        if (method := _METHODS.get(name)) and (self.depth < _DEPTH or name in ("begin", "end")):
            return int(getattr(self, method)(command))
        if _REFERENCE.match(name) and name != "nocite":
            return self._reference(command)
        if name in _ARGUMENTS:
            after = command.end
            for _ in range(_ARGUMENTS[name]):
                after = self._argument(after, command.limit)[1]
            return after
        if name in _MARKS and not self.math:
            return self._accent(_MARKS[name], command.at, command.name_end)
        if name in _SPACES:
            builder.space()
        elif name in _LINES:
            builder.line()
        elif name in _BREAKS:
            builder.paragraph()
        elif sign := _signs().get(name):
            builder.add(sign, command.at, command.name_end - command.at)
            if command.end > command.name_end and self.math:
                builder.space()
        elif length := _LENGTH.match(self.text, command.name_end, command.limit):
            return length.end()
        elif self.text.find("{", command.end, command.limit) > 0:
            return self._optional(command.end, command.limit)[1]
        return command.end

    def _sign(self, sign: str, at: int, after: int, end: int) -> int:
        builder = self.builder
        if sign in self.macros and sign not in self.expanding:
            return self._expand(Command(sign, at, after, after, end))
        if sign == "\\":
            builder.line()
            return self._optional(after, end)[1]
        if sign in ("[", "(") and not self.math:
            return self._formula(sign, after, end, display=sign == "[")
        if sign in _MARKS and not self.math:
            return self._accent(_MARKS[sign], at, after)
        if sign in "%&$#_{}":
            builder.add(sign, at, 2)
        elif sign == "-" or sign in "/!)]":
            pass
        else:
            builder.space()
        return after

    def _accent(self, mark: str, at: int, after: int) -> int:
        letter = _LETTER.match(self.text, after)
        if not letter:
            return after
        bare = letter[1] or letter[3] or letter[2] or letter[4] or ""
        if bare:
            self.builder.add(unicodedata.normalize("NFC", bare + mark), at, letter.end() - at)
        return letter.end()

    def _expand(self, command: Command) -> int:
        """A command of the paper's own, as it prints."""
        name, at, word_end, after, _ = command
        body = self.macros[name]
        if (name, self.math) not in self.printed:
            outer, self.expanding = self.expanding, (*self.expanding, name)
            self.printed[name, self.math] = self.plain(body) if len(outer) < _DEPTH // 3 else ""
            self.expanding = outer
        printed = self.printed[name, self.math]
        if len(printed) <= _LONGEST:
            self.builder.add(printed, at, word_end - at)
        if "\\xspace" in body and not re.match(r"[.,;:!?)'\-}/]", self.text[after : after + 1] or "."):
            self.builder.space()
            return after
        return after if self.math or not body else word_end if self.text.startswith("{}", word_end) else after

    def _taken_in(self, command: Command) -> int:
        return self._take_in(command.name, command.name_end, command.limit)

    def _take_in(self, name: str, at: int, end: int) -> int:
        """Another file, where it is taken in."""
        (start, stop), after = self._argument(at, end)
        if (
            start == stop
            and (bare := re.compile(r"\s*([^\s{}\\%]+)").match(self.text, at, end))
            and name == "input"
        ):
            start, stop, after = bare.start(1), bare.end(1), bare.end()
        taken = (
            f"{Path(self.name).stem}.bbl"
            if name == "bibliography"
            else _file_name(self.text[start:stop].strip())
        )
        if taken in self.companions and taken not in self.expanding and self.depth < _DEPTH:
            outer, self.expanding = self.expanding, (*self.expanding, taken)
            with self.builder.file(taken):
                inner = _Reader(self.companions[taken], self.builder, self)
                inner.known = self.known
                inner.document()
            self.expanding = outer
        return after

    def _definition(self, name: str, after: int) -> int:
        """Remember what a definition gives a command, if it takes no arguments; return where the definition ends, 0 if it is none."""
        if not _DEFINITIONS.fullmatch(name):
            return 0
        end = len(self.text)
        named = re.compile(r"\s*\*?\s*\{?\s*\\([a-zA-Z@]+|.)\s*\}?").match(self.text, after)
        if name.endswith("environment"):
            named = re.compile(r"\s*\*?\s*\{([^{}]*)\}").match(self.text, after)
        if not named:
            return after
        at = named.end()
        if name == "let":
            found = re.compile(r"\s*=?\s*\\(?:[a-zA-Z@]+|.)").match(self.text, at)
            return found.end() if found else at
        takes = re.compile(r"\s*(?:\[[^\]\n]*\]\s*)*(?:#\d[^{\n]*)?\s*").match(self.text, at)
        arguments = bool(takes and takes[0].strip())
        at = takes.end() if takes else at
        if name.endswith("DocumentCommand"):
            (start, stop), at = self._argument(at, end)
            arguments = start < stop
        (start, stop), at = self._argument(at, end)
        if name.endswith("environment"):
            return self._argument(at, end)[1]
        if not arguments and stop - start <= 2 * _LONGEST:
            self.macros[named[1]] = self.text[start:stop]
            self.printed.clear()  # what others print may have changed
        return at

    def _metadata(self, name: str, after: int) -> int:
        """Keep what a command says of the paper; return where it ends, 0 if it says nothing."""
        name = name.rstrip("*")
        if name not in ("title", "author", "icmltitle", "icmlauthor") and name not in _METADATA:
            return 0
        (start, stop), after = self._argument(after, len(self.text))
        said = self.text[start:stop]
        if name in ("title", "icmltitle"):
            self.known.setdefault("title", " ".join(self.plain(said).split()))
        elif name in ("author", "icmlauthor"):
            self.known["authors"] = [*self.known.get("authors", []), *self._authors(said)]
        elif name == "acmDOI":
            self.known["doi"] = said.strip()
        else:
            self.known["keywords"] = [
                k for word in re.split(r"[,;]|\\and|\\sep", said) if (k := " ".join(self.plain(word).split()))
            ]
        return after

    def _authors(self, said: str) -> list[str]:
        """The names, without what stands below them."""
        names = []
        for one in re.split(r"\\(?:and|And|AND)(?![a-zA-Z])", said):
            line = self.plain(
                re.split(
                    r"\\\\|\\thanks|\\footnotemark|\\texttt|\\email|\\affil|\\inst(?![a-z])", one.strip()
                )[0]
            )
            names += re.split(
                r",\s*(?:and\s+)?|\s+and\s+",
                " ".join(re.sub(r"[\d*†‡§¶^_$∗]+|\[[^\]]*\]", " ", line).split()),
            )
        return [name.strip() for name in names if re.search(r"\w\W*\s\W*\w", name) and len(name) < 80]

    # --- commands with an argument that prints

    def _argument(self, at: int, end: int) -> tuple[tuple[int, int], int]:
        """Where the next braced argument stands, and where it ends; bracketed ones before it are passed over."""
        for _ in range(4):
            gap = _GAP.match(self.text, at, end)
            begin = gap.end() if gap else at
            if self.text.startswith("[", begin):
                _, at = self._optional(begin, end)
                if at == begin:
                    return (begin, begin), begin
                continue
            if self.text.startswith("{", begin) and begin in self.closing and self.closing[begin] < end + 1:
                return (begin + 1, self.closing[begin]), self.closing[begin] + 1
            break
        return (at, at), at

    def _optional(self, at: int, end: int) -> tuple[tuple[int, int], int]:
        """Where a bracketed argument stands, if there is one here, and where it ends."""
        if not self.text.startswith("[", at) or self.text.find("]", at, at + 2000) < 0:
            return (at, at), at
        inside, place = 0, at + 1
        for found in re.compile(r"\\.|[\[\]{]", re.DOTALL).finditer(self.text, at + 1, min(end, at + 2000)):
            if found.start() < place:
                continue
            place = found.end()
            if found[0] == "{":
                place = self.closing.get(found.start(), found.start()) + 1
            elif found[0] == "[":
                inside += 1
            elif found[0] == "]" and inside == 0:
                return (at + 1, found.start()), found.end()
            elif found[0] == "]":
                inside -= 1
        return (at, at), at

    def _heading(self, command: Command) -> int:
        (start, stop), after = self._argument(command.name_end, command.limit)
        if title := " ".join(self.plain(self.text[start:stop]).split()):
            with self.builder.heading(title, max(_SECTIONS[command.name], 1)):
                self.read(start, stop)
        return after

    def _caption(self, command: Command) -> int:
        return self._aside("caption", command)

    def _abstract(self, command: Command) -> int:
        return self._aside("abstract", command) if self.text.startswith("{", command.end) else command.end

    def _aside(self, kind: Kind, command: Command) -> int:
        (start, stop), after = self._argument(command.name_end, command.limit)
        with self.builder.aside(kind):
            self.read(start, stop)
        return after

    def _footnote(self, command: Command) -> int:
        (start, stop), after = self._argument(command.name_end, command.limit)
        if start < stop:
            self.builder.add(" (")
            self.read(start, stop)
            self.builder.add(")")
        return after

    def _verb(self, command: Command) -> int:
        """What stands between two signs alike, as it is."""
        start = command.name_end + 1
        stop = (
            self.text.find(self.text[command.name_end], start, command.limit) if start < command.limit else -1
        )
        if stop < 0:
            return command.end
        self.builder.add(self.text[start:stop], start)
        return stop + 1

    def _as_written(self, command: Command) -> int:
        (start, stop), after = self._argument(command.name_end, command.limit)
        self.builder.add(self.text[start:stop], start)
        return after

    def _reference(self, command: Command) -> int:
        """A citation or a reference prints a number that only TeX knows: what it is called stands for it."""
        (start, stop), after = self._argument(command.name_end, command.limit)
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
        (start, stop), after = self._optional(command.end, command.limit)
        if start < stop:
            self.read(start, stop)
            self.builder.space()
        return after

    def _fraction(self, command: Command) -> int:
        (start, stop), after = self._argument(command.name_end, command.limit)
        self._part(start, stop)
        self.builder.add("/")
        (start, stop), after = self._argument(after, command.limit)
        self._part(start, stop)
        return after

    def _part(self, start: int, end: int) -> None:
        """An argument of a formula, in brackets if it is more than one sign."""
        many = end - start > 1 and bool(re.search(r"[-+\s,]", self.text[start:end]))
        self.builder.add("(") if many else None
        self.read(start, end)
        self.builder.add(")") if many else None

    def _words(self, command: Command) -> int:
        """Words, in a formula or out of it."""
        (start, stop), after = self._argument(command.name_end, command.limit)
        self.read(start, stop)
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
        if name in _HIDDEN or name in _VERBATIM:
            close = self.text.find(f"\\end{{{name}}}", inside, end)
            close = end if close < 0 else close
            self._verbatim(inside, close) if name in _VERBATIM else None
            return min(close + len(f"\\end{{{name}}}"), end)
        close = min(self.closing.get(at, end), end)
        for _ in range(_ENVIRONMENT_ARGUMENTS.get(name, 0)):
            inside = self._argument(inside, end)[1]
        if self.depth >= _DEPTH or inside > close:
            return inside
        if plain in _MATH:
            self._mathematics(self._optional(inside, close)[1], close, display=True)
        elif plain in _TABLES and not self.math:
            with self.builder.aside("table"):
                self.read(inside, close)
        elif plain in ("abstract", "thebibliography"):
            title, kind = ("", "abstract") if plain == "abstract" else ("References", "references")
            self.builder.section(title, 1, kind)  # type: ignore[arg-type]
            self.read(inside, close)
            self.builder.section("", 1, "body")
        else:
            self.builder.paragraph()
            if plain in ("figure", "table", "wrapfigure", "algorithm", "subfigure", *_LISTS):
                inside = self._optional(inside, close)[1]
            self.read(inside, close)
            self.builder.paragraph()
        return close  # the `\end` is passed over as a command

    def _verbatim(self, start: int, end: int) -> None:
        self.builder.paragraph()
        for line in re.finditer(r"[^\r\n]+", self.text[start:end]):
            self.builder.add(line[0], start + line.start())
            self.builder.line()
        self.builder.paragraph()
