"""Composed letters: canonically equal text, such as `ö` in one character or two, becomes the same text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# Longer runs of accents are no text, and to sort them takes time that grows with the square of their number.
_PILE = re.compile(r"[^\w\s\x00-\x7f]{31,}+")
_OTHER = re.compile(
    r"[\x00-\x7f]?[^\x00-\x7f]+"
)  # what composing may change: nothing joins two ASCII characters


def compose(text: str) -> str:
    """*text* with each letter and its accents in one character where there is one (NFC)."""
    if text.isascii():
        return text
    if not _PILE.search(text):
        return unicodedata.normalize("NFC", text)
    at, parts = 0, []
    for pile in _PILE.finditer(text):
        parts += [unicodedata.normalize("NFC", text[at : pile.start()]), pile[0]]
        at = pile.end()
    return "".join([*parts, unicodedata.normalize("NFC", text[at:])])


_FOREIGN = re.compile("[\u00c0-\u024f\u1e00-\u1eff]")  # of the Latin script, one letter at a time
_ACCENTS = re.compile("[\u0300-\u036f]+")
_BARRED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe"})


def without_accents(text: str) -> str:
    """Lower-case *text* as many write it: `gödel` as `godel`, `łukasiewicz` as `lukasiewicz`."""
    if text.isascii():
        return text
    bare = _FOREIGN.sub(lambda letter: unicodedata.normalize("NFD", letter[0])[0], compose(text))
    return _ACCENTS.sub("", bare).translate(_BARRED)


def decomposed(text: str) -> Iterator[tuple[int, int]]:
    """The shortest parts of *text* that `compose` changes, in order."""
    at = 0
    for pile in _PILE.finditer(text):
        yield from _in_part(text, at, pile.start())
        at = pile.end()
    yield from _in_part(text, at, len(text))


def _in_part(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    for some in _OTHER.finditer(text, begin, end):
        if unicodedata.is_normalized("NFC", some[0]):
            continue
        start = some.start()
        for at in range(some.start() + 1, some.end() + 1):
            if at < some.end() and (unicodedata.combining(text[at]) or _joins(text[start:at], text[at])):
                continue
            if not unicodedata.is_normalized("NFC", text[start:at]):
                yield start, at
            start = at


def _joins(before: str, character: str) -> bool:
    """Does a character change with what stands before it?"""
    apart = unicodedata.normalize("NFC", before) + unicodedata.normalize("NFC", character)
    return unicodedata.normalize("NFC", before + character) != apart
