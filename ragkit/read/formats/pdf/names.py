"""Names of persons in the lines under a title, and the lines that are addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ragkit.read.formats.stated import listed

# Marks that lead from a name to its affiliation or a note.
_MARK = "∗*†‡§¶⋆★♯#✉"
_MARKS = re.compile(rf"(?:[{_MARK}]|(?<=[^\W\d_])\d)(?:[\s,]*[\d{_MARK}])*")
_SEPARATOR = re.compile(r"[,;&·|•]|\b(?:and|und|et|y)\b")
_PARTICLES = (
    "de da di do du dos das del della la le van von der den ten ter bin ibn al el af av zu y e".split()
)
_LATIN = re.compile(r"(?:[^\W\d_]\.(?:-?[^\W\d_]\.)*|[^\W\d_](?:['’][^\W\d_])?[^\W\d_]*(?:[-’'][^\W\d_]+)*)")
_CJK = re.compile(
    r"[\u3400-\u9fff\uac00-\ud7a3]{2,4}|[\u3400-\u9fff\uac00-\ud7a3](?: [\u3400-\u9fff\uac00-\ud7a3]){1,3}"
)

# A word of an institution or a place in a line of capitalised words, which would else read as a name.
_INSTITUTION = (
    r"\b(?:universi\w*|institut\w*|department|dept|facult\w*|school|college|cent(?:er|re|rum)|laborator\w*|labs?|"
    r"research|hospital|clinic\w*|academy|group|team|division|inc|ltd|gmbh|corp\w*|company|ministry|society)\b"
)
_ADDRESS = re.compile(
    rf"@|{_INSTITUTION}|\b(?:journal|letters|proceedings|conference|workshop|article|report|review|abstract|e-?mail|https?|www)\b",
    re.IGNORECASE,
)
_AFFILIATION = re.compile(rf"{_INSTITUTION}|^\d{{1,2}}[^\W\d_]", re.IGNORECASE)
_ELSEWHERE = re.compile(r"@|https?:|\bwww\.|\be-?mail\b", re.IGNORECASE)
_NEXT = re.compile(rf"(?<![\d\s])\s++(?=(?:\d{{1,2}}|[{_MARK}])[^\W\d_])")
_LEADING = re.compile(rf"\A[\s\d,{_MARK}]*+(?=[^\W\d_])")
_GOES_ON = re.compile(r"(?:,|\b(?:of|for|and|the|at|in))$")


def is_address(text: str) -> bool:
    """Is a line an affiliation, an address or another thing around names?"""
    return bool(_ADDRESS.search(text)) or re.match(r"[\d∗*†‡§¶]\s*[^\W\d_]", text) is not None


def affiliations_in(lines: Iterable[Sequence[str]]) -> list[str]:
    """The affiliations in lines below names, each as its parts, which wide gaps divide: what has a word of an
    institution in it or begins with the number of one.  One that a line cuts goes on in the next.
    """
    found: list[str] = []
    cut = ""
    for parts in lines:
        pieces = [piece for part in parts for piece in _NEXT.split(part)]
        if cut:
            pieces[0] = f"{cut} {pieces[0]}"
            found.pop()
        told = [each for each in pieces if _AFFILIATION.search(each) and not _ELSEWHERE.search(each)]
        found += [_LEADING.sub("", each, count=1) for each in told]
        cut = told[-1] if told and told[-1] == pieces[-1] and _GOES_ON.search(told[-1]) else ""
    return listed(found)


def names_in(parts: Sequence[str]) -> list[str]:
    """The names in a line, whose *parts* wide gaps divide; none if anything else stands in it."""
    found: list[str] = []
    for part in parts:
        if is_address(part):
            return []
        pieces = _SEPARATOR.split(_MARKS.sub(";", part))
        found += [piece.strip() for piece in pieces if piece.strip(" .")]
    if not found or not all(map(personal, found)):
        return []
    return [name.replace(" ", "") if _CJK.fullmatch(name) else name for name in found]


def personal(name: str) -> bool:
    """Has *name* the form of a person's name?"""
    if _CJK.fullmatch(name):
        return True
    words = name.replace(".", ". ").split()
    if not 2 <= len(words) <= 5 or not all(map(_LATIN.fullmatch, words)) or is_address(name):
        return False
    capitals = [word for word in words if word[0].isupper()]
    if any(word not in _PARTICLES for word in words if word not in capitals):
        return False
    return len(capitals) > 1 and any(len(word.strip(".")) > 1 for word in capitals)
