"""Lists in a text: a lead-in, `The limitations are:`, and the items that follow it.  Pure functions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ragkit.text.words import ITEM, Offsets, sentences

_ITEM = re.compile(rf"[ \t]*{ITEM}[ \t]")
_LEADS_IN = re.compile(r"(?::|\b(?:follow|follows|following|below)\.)[*_]*$")
_ORDINALS = [
    re.compile(rf"(?:{words})\b,?", re.IGNORECASE)
    for words in (
        "first(?:ly)?",
        "second(?:ly)?",
        "third(?:ly)?",
        "fourth(?:ly)?",
        "fifth(?:ly)?",
        "sixth(?:ly)?",
    )
]
_LAST = re.compile(r"(?:finally|last(?:ly)?)\b,?", re.IGNORECASE)
_ANNOUNCES = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|several|multiple|various)\b", re.IGNORECASE
)
_ONE = re.compile(r"(?:one|the (?:first|former))\b", re.IGNORECASE)
_OTHERS = [
    re.compile(
        r"(?:another|the (?:second|third|fourth|fifth|sixth|other|latter|last|final))\b", re.IGNORECASE
    ),
    _LAST,
]
_NEAR = 4  # sentences; an item that begins with an ordinal has at most so many


_CUE = re.compile(rf"\n[ \t]*{ITEM}[ \t]|\b(?:first(?:ly)?|former|one)\b", re.IGNORECASE)


def is_item(line: str) -> bool:
    """Does *line* begin with what marks an item of a list?"""
    return bool(_ITEM.match(line))


def may_have_lists(text: str) -> bool:
    """Has *text* what each list has?  It saves looking for its sentences."""
    return bool(_CUE.search(text))


def lists(text: str, spans: Sequence[Offsets] | None = None) -> list[range]:
    """The lists of *text*, each as the numbers of its sentences (*spans*, if they are known), its lead-in
    first.

    Items stand on lines that begin with a bullet or a number, after a sentence that ends in a colon or says
    that something follows; or they are sentences of one paragraph that begin with `First`, `Second` and so on,
    after any sentence; or they are sentences that begin with `One`, `Another`, `The third` and so on, after one
    that says how many, in one paragraph or several.
    """
    spans = sentences(text) if spans is None else spans
    found: list[range] = []
    at = 0
    while at < len(spans):
        end = max(_bulleted(text, spans, at), _counted(text, spans, at))
        if end > at + 2:
            found.append(range(at, end))
        at = max(end, at + 1)
    return found


def _bulleted(text: str, spans: Sequence[Offsets], lead: int) -> int:
    """The sentence behind the list that the sentence *lead* leads in."""
    end = lead + 1
    if not _LEADS_IN.search(text[slice(*spans[lead])]):
        return end
    while end < len(spans) and (
        _is_item(text, spans[end]) or (end > lead + 1 and _goes_on(text, spans, end))
    ):
        end += 1
    return end


def _counted(text: str, spans: Sequence[Offsets], lead: int) -> int:
    """The sentence behind the list that begins with `First` or `One` behind the sentence *lead*."""
    end, ordinal = lead + 1, 0
    if end == len(spans):
        return end
    first = spans[end][0]
    counts = bool(_ORDINALS[0].match(text, first)) and _goes_on(text, spans, end)
    if not counts and not (_ONE.match(text, first) and _ANNOUNCES.search(text, *spans[lead])):
        return end
    while not counts or end + 1 == len(spans) or _goes_on(text, spans, end + 1):
        ordinal += 1
        begins = [*_ORDINALS[ordinal : ordinal + 1], *([_LAST] if ordinal > 1 else [])] if counts else _OTHERS
        here = range(end + 1, min(end + 1 + _NEAR, len(spans)))
        following = next((n for n in here if any(each.match(text, spans[n][0]) for each in begins)), None)
        if following is None:
            break
        end = following
    return end + 1


def _is_item(text: str, span: Offsets) -> bool:
    line = text.rfind("\n", 0, span[0]) + 1
    return not text[line : span[0]].strip() and bool(_ITEM.match(text, line, span[1]))


def _goes_on(text: str, spans: Sequence[Offsets], n: int) -> bool:
    """Does the sentence *n* stand in the paragraph of the one before?"""
    return text[spans[n - 1][1] : spans[n][0]].count("\n") < 2
