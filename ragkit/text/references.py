r"""How a text cites: `[3]`, `\cite{key}`, `[@key]`, `(Smith et al., 2020)`, `Smith (2020)`, and its list of references.

Pure functions; offsets are characters of the given text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from ragkit.text.marks import MARK, numbers_in
from ragkit.text.words import ITEM, Offsets, sentences


class Mark(NamedTuple):
    """One thing that a text cites, as written, and what it names it by: a number, a key, or names and a year."""

    written: str
    number: int = 0
    key: str = ""
    names: tuple[str, ...] = ()
    year: str = ""
    more: bool = False
    """Do the names go on with `et al.`?"""


class Statement(NamedTuple):
    """A sentence at `start:end` of a text, and its marks, each with its place.

    `masked` is the sentence as long as it is in the text, with blanks or a pronoun in place of its marks; a mark may
    stand behind it.
    """

    start: int
    end: int
    masked: str
    marks: tuple[tuple[int, Mark], ...]


class ReferenceEntry(NamedTuple):
    """An entry of a list of references: its number or key, if it has one, and what it says."""

    label: str
    text: str


# --- marks

_KEYS = re.compile(r"(?<![ \t])[ \t]*\[(?=[^\[\]\n]{0,60}@\w)[^\[\]\n]{1,400}\]")
_KEY = re.compile(r"@([\w][\w:./+-]*\w|\w)")
_CITE = re.compile(
    r"(?:(?<!~)~)?\\(?!nocite)[a-zA-Z]{0,12}[cC]ite[a-zA-Z]{0,12}\*?(?:\[[^\[\]\n]{0,200}\]){0,2}\{([^{}]{1,500})\}"
)
_YEAR = r"(?:1[89]|20)\d\d[a-z]?\b"
_SURNAME = r"(?:(?:van|von|der|den|de|del|della|di|da|dos|la|le|ten) ){0,3}+[^\W\d_](?:[^\W\d_]|['’-])++"
_NAMES = rf"{_SURNAME}(?:, {_SURNAME}){{0,5}}+(?:,? (?:and|&) {_SURNAME})?(?:,? et al\.?)?"
_NARRATED = re.compile(rf"(?<![\w'’-])({_NAMES})(?:['’]s?)? [(\[]({_YEAR})(?:[,;:][^()\[\]\n]{{0,60}})?[)\]]")
_BRACKETED = re.compile(r"(?<![ \t])[ \t]*[(\[]([^()\[\]\n]{5,400})[)\]]")
_CITED = re.compile(
    rf"(?:(?:see|cf\.|e\.g\.,?|i\.e\.,?|also|as in|for example,?) ){{0,2}}+({_NAMES}),? [(\[]?({_YEAR})((?:, {_YEAR})*+)"
    r"(?:,? (?:p|pp|sec|ch)\w*\.? ?[\d–-]+)?"
)
_NO_NAMES = frozenset(
    "January February March April May June July August September October November December Spring Summer Autumn Fall Winter"
    " Table Figure Section Since In Until From By Before After During Around About".split()
)


def marks_of(text: str, keys: Collection[str] = ()) -> Iterator[tuple[Offsets, list[Mark], bool]]:
    """Every mark in *text*, in order: its place, what it names, and whether it is a part of its sentence.

    *keys*: those that a reader of LaTeX has printed in square brackets.
    """
    found: list[tuple[Offsets, list[Mark], bool]] = []
    for mark in MARK.finditer(text):
        found.append((mark.span(), [Mark(f"[{n}]", number=n) for n in numbers_in(mark[1])], False))
    for mark in _CITE.finditer(text):
        own = [key.strip() for key in mark[1].split(",") if key.strip()]
        textual = bool(re.match(r"~?\\(?:\w*citet|textcite|citeauthor)", mark[0]))
        found.append((mark.span(), [Mark(f"\\cite{{{key}}}", key=key) for key in own], textual))
    for mark in _KEYS.finditer(text):
        found.append((mark.span(), [Mark(f"[@{key}]", key=key) for key in _KEY.findall(mark[0])], False))
    for mark in _BRACKETED.finditer(text):
        inside = [part.strip() for part in mark[1].split(",")]
        if keys and all(part in keys for part in inside):
            found.append((mark.span(), [Mark(f"\\cite{{{key}}}", key=key) for key in inside], False))
        elif named := _by_names(mark[1]):
            found.append((mark.span(), named, False))
    for mark in _NARRATED.finditer(text):
        if person := _named(mark[1], mark[2]):
            found.append((mark.span(), [person._replace(written=mark[0])], True))
    end = 0
    for span, named, textual in sorted(found, key=lambda each: (each[0][0], -each[0][1])):
        if span[0] >= end and named:
            end = span[1]
            yield span, named, textual


def _by_names(inside: str) -> list[Mark]:
    """What a bracket names, if all of it names papers by author and year."""
    found = []
    for part in inside.split(";"):
        said = _CITED.fullmatch(part.strip())
        first = _named(said[1], said[2]) if said else None
        if said is None or first is None:
            return []
        years = re.findall(_YEAR, said[3])
        found += [
            first,
            *(Mark(f"({said[1]}, {year})", 0, "", first.names, year, first.more) for year in years),
        ]
    return found


def _named(names: str, year: str) -> Mark | None:
    plain, more = re.subn(r",? et al\.?", "", names)
    every = tuple(part.strip() for part in re.split(r", and | and |,? & |, ", plain) if part.strip())
    if any(name in _NO_NAMES or not name.split()[-1][0].isupper() for name in every):
        every = every[-1:] if len(every) == 1 else every[1:]  # *However, Smith and Jones (2020)*
        if not every or any(name in _NO_NAMES or not name.split()[-1][0].isupper() for name in every):
            return None
    return Mark(f"({names}, {year})", 0, "", every, year, bool(more))


# --- sentences and their marks

_NOUN_BEFORE = re.compile(
    r"\b(?:in|by|of|from|to|with|see|following|follow|like|than|on|and|or|as|both|unlike|extend|extends|use|uses)[ \t]*\Z",
    re.IGNORECASE,
)
_EMPTY = re.compile(r" ?\((?:\s|see|cf\.|e\.g\.,?|as in|it|they|,|;)*+\)")


def statements(text: str, keys: Collection[str] = ()) -> list[Statement]:
    """The sentences of *text* with what each cites.

    A mark stands in its sentence or behind it; one that opens a line belongs to that line.  A mark that is a
    part of its sentence (`Smith (2020) shows`, `as in [3]`) is read as a pronoun.
    """
    placed = list(marks_of(text, keys))
    masked = text
    for (start, end), _, textual in placed:
        space = len(text[start:end]) - len(text[start:end].lstrip())
        stands_for = (
            _pronoun(text, start + space, end) if textual or _is_noun(text, start + space, end) else ""
        )
        masked = masked[:start] + (" " * space + stands_for).ljust(end - start) + masked[end:]
    spans = sentences(masked)
    own: list[list[tuple[int, Mark]]] = [[] for _ in spans]
    for (start, end), named, _ in placed if spans else ():
        begin = start + len(text[start:end]) - len(text[start:end].lstrip())
        own[_owner(masked, spans, begin, end)] += [(begin, each) for each in named]
    return [
        Statement(start, end, masked[start:end], tuple(each))
        for (start, end), each in zip(spans, own, strict=True)
    ]


def _pronoun(text: str, start: int, end: int) -> str:
    opens = not text[:start].strip() or text[:start].rstrip()[-1:] in ".!?\n"
    word = "they" if end - start >= 4 else "it"
    return word.capitalize() if opens else word


def _is_noun(text: str, start: int, end: int) -> bool:
    """Is a mark the noun behind a preposition, or the subject that opens a sentence?"""
    before, after = text[max(start - 20, 0) : start], text[end : end + 2]
    opens = not before.strip() or before.rstrip()[-1:] in ".!?"
    return bool(_NOUN_BEFORE.search(before)) or (opens and after[:1] == " " and after[1:].islower())


def _owner(text: str, spans: Sequence[Offsets], start: int, end: int) -> int:
    """The sentence that a mark at `start:end` belongs to."""
    owner = max((n for n, span in enumerate(spans) if span[0] < end and span[0] <= start), default=0)
    follows = owner + 1 < len(spans) and "\n" not in text[end : spans[owner + 1][0]]
    return owner + 1 if follows and "\n" in text[spans[owner][1] : start + 1] else owner


_BULLET = re.compile(rf"(?:{ITEM}|>)[ \t]+")


_REPORT = re.compile(
    r"\A(?:(?:As (?:shown|reported|described|found|noted|observed) (?:in|by)|According to|In) (?:it|they|them),? )?"
    r"(?:(?:they|it|the (?:authors|paper|study|work)) (?:also |further )?"
    r"(?:show|report|find|demonstrate|prove|observe|note|state|conclude|confirm|establish|argue)(?:s|ed|d)? that |"
    r"(?:they|it|the (?:authors|paper|study|work)) (?:also |further )?(?:found|shown|proven) that )?",
    re.IGNORECASE,
)
"""How a text says who says something, before it says it."""


def without_marks(masked: str) -> str:
    """What is left of a masked sentence, in one line: without a bullet, brackets that have become empty, and *They
    show that*.
    """
    bullet = _BULLET.match(masked)
    plain = " ".join(_EMPTY.sub("", masked[bullet.end() if bullet else 0 :]).split())
    said = re.sub(r" ([.,;:!?](?: |\Z))", r"\1", plain)
    report = _REPORT.match(said)
    return said[report.end() :][:1].upper() + said[report.end() + 1 :] if report and report.end() else said


# --- the list of references

_HEADING = re.compile(
    r"^[#*\s]*(?:\d+\.?\s+)?(?:references|bibliography|works cited|literature(?: cited)?|sources)[*:\s]*$",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[ \t]*(?:[-*][ \t]+)?(?:\[\^?(\d{1,4}|[\w:.+/-]{1,60})\]:?|(\d{1,4})[.)])[ \t]+")


def split_references(text: str) -> tuple[int, list[ReferenceEntry]]:
    """Where the list of references of *text* begins, and its entries; the end of the text if there is none.

    It stands under a heading such as `References`, or it is the last lines, each of which begins with a number
    in square brackets that the text before cites.
    """
    at, lines = 0, []
    for line in text.splitlines(keepends=True):
        lines.append((at, line))
        at += len(line)
    headings = [n for n, (_, line) in enumerate(lines) if _HEADING.match(line) and len(line) < 40]
    if headings and any(line.strip() for _, line in lines[headings[-1] + 1 :]):
        return lines[headings[-1]][0], entries("".join(line for _, line in lines[headings[-1] + 1 :]))
    first = len(lines)
    cited = {
        n for mark in MARK.finditer(text) if not _opens_line(text, mark.start()) for n in numbers_in(mark[1])
    }
    for n in range(len(lines) - 1, -1, -1):
        label = _LABEL.match(lines[n][1])
        if label and label[1] and label[1].isdigit() and int(label[1]) in cited:
            first = n
        elif lines[n][1].strip() and not lines[n][1][:1].isspace():
            break
    if first == len(lines):
        return len(text), []
    return lines[first][0], entries("".join(line for _, line in lines[first:]))


def _opens_line(text: str, at: int) -> bool:
    return not text[text.rfind("\n", 0, at) + 1 : at + 1].strip(" \t-*[")


def entries(text: str) -> list[ReferenceEntry]:
    """The entries of a list of references: what a label begins, or paragraphs, or lines."""
    found: list[ReferenceEntry] = []
    labelled = any(_LABEL.match(line) for line in text.splitlines())
    blank = True
    for line in text.splitlines():
        label = _LABEL.match(line)
        if label:
            found.append(ReferenceEntry(label[1] or label[2], line[label.end() :].strip()))
        elif line.strip() and (not labelled or not found) and (blank or not line[:1].isspace()):
            found.append(ReferenceEntry("", line.strip()))
        elif line.strip() and found:
            found[-1] = found[-1]._replace(text=f"{found[-1].text} {line.strip()}")
        blank = not line.strip()
    return found


# --- LaTeX

_COMMAND = re.compile(
    r"\\(?:(?:chapter|section|subsection|paragraph|begin|end|emph|textbf|textit|texttt|label|ref|footnote|bibitem|cite[pt]?|autocite"
    r"|parencite|textcite)\*?[{\[]|documentclass|[%&#_])"
)


def is_latex(text: str) -> bool:
    """Is *text* written in LaTeX?  Keys cited in a text of another kind do not make it so."""
    return any(not found[0].startswith("\\cite") for found in _COMMAND.finditer(text))


def cited_keys(text: str) -> frozenset[str]:
    """The keys that commands such as `\\cite` name."""
    return frozenset(
        key.strip() for found in _CITE.finditer(text) for key in found[1].split(",") if key.strip()
    )
