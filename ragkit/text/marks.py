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


# --- marks as models write them

_NUMBERS = rf"(\d{{1,4}}(?:{_GAP}(?:,|;|-|–|and|&){_GAP}\d{{1,4}})*)"
_CALLED = r"(?:sources?|sentences?|references?|refs?|citations?|passages?|documents?|docs?|papers?|numbers?|no|nr|quellen?|s)"
_NAMED = re.compile(
    rf"[(\[［（【]{_GAP}(?:{_CALLED}\b[.:]?{_GAP}#?|#){_GAP}{_NUMBERS}{_GAP}[)\]］）】]", re.IGNORECASE
)
"""`[Source 1]`, `(sources 1 and 2)`, `[#3]`."""
_TITLED = re.compile(
    r"[\[［【][ \t]?(\d{1,4})[ \t]?(?:[:†|]|,(?=[ \t]?[^\W\d]))[^\[\]［］【】\n]{1,200}[\]］】](?!\()"
)
"""`[1: a.md]`, `[1, a.md]`, `【1†source】`."""
_IN_FILE = re.compile(
    r"[\[［【][^\[\]［］【】\n]{1,200}\.[a-z]{2,5}[,:#; \t]{1,3}(?:\w{1,12}[ \t])?(\d{1,4})[\]］】](?!\()",
    re.IGNORECASE,
)
"""`[a.md: 1]`, `[a.md, sentence 1]`."""
_RAISED = re.compile(
    r"(?:(?<=[^\W\d_]{3})|(?<=[.!?,;:)”’\"']))(?<![⁰¹²³⁴-⁹])(?<![⁰¹²³⁴-⁹][,⁻˒ ])([⁰¹²³⁴-⁹](?:[,⁻˒ ]?[⁰¹²³⁴-⁹])*+)(?=[.!?,;:\s]|\Z)"
)
"""Raised digits behind a word or a full stop."""
_ROUND = re.compile(
    rf"[ \t]?[(（]{_GAP}{_NUMBERS}{_GAP}[)）](?=[ \t]?(?:[.!?。]|\n|\Z))|(?<=[.!?。])[ \t]?[(（]{_GAP}{_NUMBERS}{_GAP}[)）]"
)
"""Numbers in round brackets at the end of a sentence."""


def as_marks(reply: str, most: int) -> str:
    """*reply* with its marks as `[n]`, where a model wrote `[Source 1]`, `[1: a.md]`, `¹` or `(1)`.

    Raised digits and round brackets are only taken for marks in a reply that has no others, and only if they name
    one of the *most* sentences that there are.
    """
    for pattern in (_NAMED, _TITLED, _IN_FILE):
        reply = pattern.sub(lambda found: f"[{found[1]}]", reply)
    for pattern in (_RAISED, _ROUND):
        if not MARK.search(reply):
            reply = pattern.sub(lambda found: _mark(found, most), reply)
    return reply


def _mark(found: re.Match[str], most: int) -> str:
    inside = next(group for group in found.groups() if group)
    numbers = numbers_in(inside.replace(" ", ","))
    return (
        f" [{', '.join(map(str, numbers))}]"
        if numbers and max(numbers) <= most and min(numbers)
        else found[0]
    )


_SOURCES = re.compile(
    r"[\W_]{0,8}(?:sources?|references?|citations?|bibliography|works cited|quellen|literatur|références|fuentes)(?:[ \t]+(?:used|cited))?[\W_]{0,8}",
    re.IGNORECASE,
)
_ITEM = re.compile(rf"[ \t]*(?:[-*•–][ \t]*)?(?:{_OPEN}|[(（]?{_DIGIT}{{1,4}}[.):）]|[-*•–])")


def without_sources(reply: str) -> str:
    """*reply* without a closing list of sources under a heading, which is no part of the answer."""
    lines = reply.rstrip().split("\n")
    for at in range(len(lines) - 1, 0, -1):
        if _SOURCES.fullmatch(lines[at]) and any(line.strip() for line in lines[:at]):
            rest = [line for line in lines[at + 1 :] if line.strip()]
            return "\n".join(lines[:at]) if all(_ITEM.match(line) for line in rest) else reply
    return reply
