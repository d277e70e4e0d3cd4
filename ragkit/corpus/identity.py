"""Are two entries the same paper?  An identifier or a title suggests it; the texts decide."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ragkit.document import authors_of, normalised_title

_SHINGLE = 4  # words in a row
_SHORT = 40  # words; in a text with fewer, single words are compared
# The share of the shorter text that the other one has: an abstract is found in its paper, a first version in
# the second; texts on one subject share a few shingles in a hundred.
_BY_IDENTIFIER = 0.15
_BY_TITLE = 0.4


def is_same(key: str, one: Mapping[str, Any], text: str, other: Mapping[str, Any], other_text: str) -> bool:
    """Are two papers with this key in common one, given what is known of them and their texts?

    Where one has no text, the key decides; the same title by other authors never suffices.
    """
    by_title = key.startswith("title:")
    if by_title and differ_in_authors(one, other):
        return False
    if not text or not other_text or text == other_text:
        return True
    words, others = (re.findall(r"\w+", each.casefold()) for each in (text, other_text))
    short = min(len(words), len(others)) < _SHORT
    share = _overlap(words, others, 1 if short else _SHINGLE)
    return share >= (_BY_TITLE if by_title or short else _BY_IDENTIFIER)


def differ_in_authors(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Do two papers state authors who have no name in common?  Guessed authors are none."""
    names = [_names(known) for known in (one, other)]
    return all(names) and names[0].isdisjoint(names[1])


def _names(known: Mapping[str, Any]) -> set[str]:
    stated = () if "authors" in known.get("guessed", ()) else authors_of(known)
    return {word for name in stated for word in normalised_title(name).split() if len(word) > 1}


def _overlap(one: Sequence[str], other: Sequence[str], size: int) -> float:
    """The share of the shingles of the shorter text that the other has, from 0 to 1."""
    shingles = ({tuple(words[n : n + size]) for n in range(len(words) - size + 1)} for words in (one, other))
    few, many = sorted(shingles, key=len)
    return len(few & many) / len(few) if few else 0.0
