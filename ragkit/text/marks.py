"""Marks: the numbers in brackets that a reader takes for a citation."""

from __future__ import annotations

import re
import unicodedata

# Brackets and digits that a reader takes for a mark, and what may stand between them, seen or not.
_OPEN, _CLOSE, _DIGIT, _THIN = (
    r"[\[［【〔〖⟦]",
    r"[\]］】〕〗⟧]",
    r"[\d⁰¹²³⁴-⁹]",
    r"\s^\u00ad\u200b-\u200f\u2060-\u2064\ufeff",
)
_GAP = rf"[{_THIN}]{{0,4}}"
MARK = re.compile(
    rf"(?<![ \t])[ \t]*{_OPEN}{_GAP}({_DIGIT}{{1,4}}(?:{_GAP}(?:,|;|-|–|and){_GAP}{_DIGIT}{{1,4}})*){_GAP}{_CLOSE}(?!\()"
)
"""A mark with the blanks before it; its group is what stands in the brackets."""

_BRACKETED = re.compile(rf"{_OPEN}({_GAP}{_DIGIT}(?:{_DIGIT}|[{_THIN},;–-]|and)*){_CLOSE}")
_WIDEST = 20  # sentences that a range such as [3-9] may name; a wider one is read as its two ends


def unmarked(text: str) -> str:
    """*text*, which a paper wrote, with its own references in round brackets."""
    return _BRACKETED.sub(lambda found: f"({found[1].strip()})", text)


def numbers_in(inside: str) -> list[int]:
    """The numbers that a mark names, given what stands in its brackets: `2-4` names three."""
    found: list[int] = []
    plain = re.sub(rf"[{_THIN}]", "", unicodedata.normalize("NFKC", inside))
    for first, last in re.findall(r"(\d+)(?:[-–](\d+))?", plain):
        low, high = int(first), int(last or first)
        found += range(low, high + 1) if low <= high <= low + _WIDEST else [low, high]
    return found
