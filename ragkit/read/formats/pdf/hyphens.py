"""Words that a hyphen parts at the end of a line: joined where the joined word is known, else as they look."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, cached_property
from typing import TYPE_CHECKING

from ragkit.read.formats.pdf.lines import Line

if TYPE_CHECKING:
    from spellchecker.spellchecker import WordFrequency

_WORD = re.compile(r"\w++(?:-\w++)*+")
_LEAST = 200  # times that a word stands in the texts behind the list; what is rarer may be a syllable
_SHORTEST = 3  # letters of a part of a compound
# What begins a word without being one, or is not parted from what it begins; and what ends one.
_BEFORE = frozenset(
    "ab ad aero ante anti arch astro auto bi bio chemo co con contra counter cyber de di dis down electro en"
    " endo ex extra fore geo hetero homo hydro hyper hypo im in infra inter intra iso macro mal mega meta micro"
    " mid mini mis mono multi nano neo neuro non omni ortho out over para per peri photo poly post pre pro proto"
    " pseudo psycho quasi re retro semi socio sub super sur syn tele thermo trans tri ultra un under uni up".split()
)
_BEHIND = frozenset(
    "able ably ance ant ants ated ation ations ative ence ency ent ents ers est ful hood ible ically ics ied ier ies"
    " ing ings ion ions ious isation ise ised iser ises ish ising ism ist istic ists ity ive ization ize ized izer"
    " izes izing less ment ments ness ous ship sion sions tion tional tions".split()
)
_SUSPENDED = re.compile(r"(?:and|or|to|und|oder|bis|et|ou|y|o)\b")


class Hyphens:
    """Tells of the hyphens at the ends of a paper's lines which are its own and which only part a word."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._words = {word.casefold() for line in lines for word in _words_of(line)}

    def joined(self, before: str, text: str) -> str:
        """*text* as it follows the word *before*, which ends in a hyphen: behind the hyphen or without it."""
        follows = re.match(r"\w+", text)
        if not follows:
            return f"-{text}"
        if _SUSPENDED.match(text):
            return f"- {text}"
        return f"-{text}" if self._keeps(before, follows[0]) else text

    def _keeps(self, before: str, behind: str) -> bool:
        """Is the hyphen part of the word?  It is where the paper or English has its parts and not the whole."""
        if not before[-1:].isalpha() or not (behind[:1].islower() or (before.isupper() and behind.isalpha())):
            return True
        before, behind = before.casefold(), behind.casefold()
        if before + behind in self._words:
            return False
        if f"{before}-{behind}" in self._words:
            return True
        last = before.rpartition("-")[2]
        if last in _BEFORE or behind in _BEHIND or min(len(last), len(behind)) < _SHORTEST:
            return False
        told = [len(part) > _SHORTEST and part in self._words for part in (last, behind)]
        if not self._is_english:
            return all(told)
        parts = [known or _times(part) >= _LEAST for known, part in zip(told, (last, behind), strict=True)]
        return all(parts) and not _times(last + behind)

    @cached_property
    def _is_english(self) -> bool:
        """Does the list know most of the paper's words?"""
        told = [_times(word) >= _LEAST for word in self._words if word.isalpha()]
        return 2 * sum(told) > len(told)


def _words_of(line: Line) -> list[str]:
    """The words of a line, except a last one that a hyphen divides."""
    found: list[str] = _WORD.findall(line.text)
    return found[:-1] if line.hyphen or line.text.endswith("-") else found


def _times(word: str) -> int:
    """How often an English word stands in the texts behind the list of words; 0 for what the list lacks."""
    return _frequencies()[word]


@cache
def _frequencies() -> WordFrequency:
    from spellchecker import SpellChecker

    return SpellChecker(language="en").word_frequency
