"""Tables in a text: each row is a line of cells between bars, `Boxter | 93.7 | 740`, under a header of such
lines.  Pure functions.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

from ragkit.text.words import Offsets, trimmed

_BAR = re.compile(r"(?<!\S)\|(?!\S)")
_PIPE = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"[ \t]*+\|?[ \t]*+:?-++:?[ \t]*+(?:\|[ \t]*+:?-++:?[ \t]*+)*+\|?[ \t]*+")


def cells(row: str) -> list[Offsets]:
    """Where in *row* each of its cells stands; an empty cell has no characters.

    A row that begins and ends with a bar is written as in Markdown.
    """
    start, end = trimmed(row, 0, len(row))
    framed = end - start > 1 and row[start] == row[end - 1] == "|"
    bars = [bar.start() for bar in (_PIPE if framed else _BAR).finditer(row)]
    edges = bars if framed else [-1, *bars, len(row)]
    return [trimmed(row, a + 1, b) for a, b in itertools.pairwise(edges)]


def is_rule(line: str) -> bool:
    """Is *line* what Markdown draws under a header, `|---|:-:|`?"""
    return "-" in line and _RULE.fullmatch(line) is not None


def columns(header: str) -> list[str]:
    """The names of a table's columns; one that several lines of the header name has all of their words."""
    lines = [[line[a:b] for a, b in cells(line)] for line in header.splitlines() if not is_rule(line)]
    width = max(map(len, lines), default=0)
    named = [[line[n] for line in lines if n < len(line) and line[n]] for n in range(width)]
    return [" ".join(dict.fromkeys(names)) for names in named]


def named_cells(row: str, header: str) -> list[tuple[str, str]]:
    """The cells of *row* that are not empty, each with the name of its column."""
    names = columns(header)
    return [(names[n] if n < len(names) else "", row[a:b]) for n, (a, b) in enumerate(cells(row)) if a < b]


def said(named: Iterable[tuple[str, str]]) -> str:
    """Cells in words: `Sampler: Boxter, Price: 740`."""
    return ", ".join(f"{name}: {cell}" if name and name != cell else cell for name, cell in named)


def says(text: str, header: str, claim: str) -> bool:
    """Is *claim* made of cells of one row of *text* under *header*, as `said` puts them?"""
    for row in text.splitlines():
        left = claim
        for cell in sorted((said([cell]) for cell in named_cells(row, header)), key=len, reverse=True):
            left = left.replace(cell, "", 1)
        if not left.strip(" ,."):
            return bool(claim.strip(" ,."))
    return False


def read_out(text: str, header: str) -> str:
    """*text*, rows of a table under *header*, each cell with the name of its column."""
    above = set(header.splitlines())
    return "\n".join(
        line if line in above or len(cells(line)) < 2 else said(named_cells(line, header))
        for line in text.splitlines()
    )
