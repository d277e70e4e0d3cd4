"""Affiliations as LaTeX classes have them written: in commands of their own, or below the names in `\\author`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ragkit.read.formats.latex.source import LatexSource
from ragkit.read.formats.pdf.names import names_in
from ragkit.read.formats.stated import listed, parts_of

AFFILIATIONS = {
    **dict.fromkeys(("affiliation", "affil", "institute", "address", "affiliations"), 1),
    **dict.fromkeys(("icmlaffiliation", "altaffiltext"), 2),
}
"""The commands that give affiliations, and which argument of theirs does: before it may stand a key."""

_AND = re.compile(r"\\(?:and|And|AND)(?![a-zA-Z])")
_BREAK = re.compile(r"\\\\(?:\s*\[[^\]]{0,20}\])?|\\newline(?![a-zA-Z])|\\par(?![a-zA-Z])")
_GROUP = r"\{(?:[^{}]++|\{(?:[^{}]++|\{[^{}]*+\})*+\})*+\}"
_ASIDE = re.compile(
    rf"\\(?:thanks|footnote|email|ead|texttt|url|href|orcidID|inst|footnotemark|institutetext)\s*+(?:\[[^\]]{{0,20}}\]\s*+)?{_GROUP}"
    r"|\\(?:thanksref|footnotemark)\s*(?:\[[^\]]{0,20}\])?"
)
_KEY = re.compile(rf"\b([a-z]++)\s*+=\s*+({_GROUP})")
_NO_PART = frozenset("addressline postcode".split())
_PART = re.compile(
    r"\\(?:institution|department|position|city|state|country|org(?:name|div|address)|streetaddress|postcode|street)\s*(?=\{)"
)
_MARK = re.compile(r"\A(?:\^[\d,]++|\d(?=\s|[A-Z][a-z])|[\^*†‡§¶∗,.()\[\]\s])*+(?=[^\W\d_])")
"""What leads from a name to its affiliation; the digit in 3M is none."""


def affiliations_in(name: str, written: str, plain: Callable[[str], str]) -> list[str]:
    """The affiliations in the argument of a command; *plain* prints a piece of LaTeX."""
    lines = _BREAK if name == "affiliations" else re.compile(r"(?!)")
    return listed(
        _printed(line, plain) for part in _AND.split(_ASIDE.sub(" ", written)) for line in lines.split(part)
    )


def below_names(written: str, plain: Callable[[str], str]) -> list[str]:
    """The affiliations in the argument of `\\author`: what stands in the lines below the names of each."""
    if blocks := [*_blocks(written)]:
        return listed(_printed(_ASIDE.sub(" ", block), plain) for block in blocks)
    return listed(
        ", ".join(_lines_below(part, plain)) for part in _AND.split(_ASIDE.sub(" ", written)) if part.strip()
    )


def _blocks(written: str) -> Iterator[str]:
    """The arguments of `\\IEEEauthorblockA`."""
    source = LatexSource(written)
    for found in re.finditer(r"\\IEEEauthorblockA(?![a-zA-Z])", written):
        start, stop = source.argument(found.end(), len(written))[0]
        yield written[start:stop]


def _lines_below(author: str, plain: Callable[[str], str]) -> Iterator[str]:
    first, *lines = (" ".join(plain(line).split()) for line in _BREAK.split(author))
    several, goes_on = "," in first, first.endswith(",")
    for line in lines:
        names = names_in([line])
        if not (goes_on or len(names) > 1 or (names and several)):
            yield _tidy(line)
        goes_on = goes_on and line.endswith(",")


def _printed(written: str, plain: Callable[[str], str]) -> str:
    """An affiliation in one line; empty for an address of mail."""
    if keys := _KEY.findall(written):
        written = ", ".join(value for key, value in keys if key not in _NO_PART)
    return _tidy(plain(_BREAK.sub(", ", _PART.sub(", ", written))))


def _tidy(text: str) -> str:
    parts = [part for part in parts_of(text) if "@" not in part]
    return _MARK.sub("", ", ".join(parts)).strip(" ,.")
