"""How well do these characters support this sentence?  Pure functions over words, numbers, names and negation."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from ragkit.text import Offsets, names, numbers, sentences, stem, stems, words

SUPPORTED = 0.6
"""The least score at which a quote supports a claim."""

_NEGATIONS = frozenset("no not never none nor neither without cannot fail fails failed lack lacks unable hardly".split())


class Support(NamedTuple):
    """How far a quote supports a claim, from 0 to 1, and why."""

    score: float
    reason: str

    @property
    def holds(self) -> bool:
        return self.score >= SUPPORTED


def support(claim: str, quote: str, title: str = "") -> Support:
    """How well *quote*, from the paper *title*, supports *claim*.

    A claim that stands in the quote word for word, and is not negated there, scores 1.  Else the score is the share of its content words that
    the quote (or, for what the paper is about, the title) has; a number or name that they lack, or a negation on one
    side only, leaves little of it.
    """
    if _says(_plain(quote), _plain(claim)):
        return Support(1.0, "the source says it word for word")
    wanted = stems(claim)
    if not wanted:
        return Support(0.0, "the claim has no content words")
    given = set(stems(quote)) | set(stems(title))
    missing = [w for w in dict.fromkeys(wanted) if w not in given and not w.isdecimal()]  # numbers are compared as such
    share = 1 - len(missing) / len(set(wanted))
    if lost := sorted(numbers(claim) - numbers(quote) - numbers(title)):
        return Support(0.3 * share, f"the source does not have the number {lost[0]}")
    if lost := missing_names(claim, f"{title}\n{quote}"):
        return Support(0.5 * share, f"the source does not name '{lost[0]}'")
    if _negated(claim) != _negated(closest(claim, quote)):
        return Support(0.5 * share, "one of claim and source is negated, the other is not")
    if missing and share < 1:
        return Support(share, f"{share:.0%} of the claim's words are in the source")
    return Support(0.99, "every word of the claim is in the source")


def _says(quote: str, claim: str) -> bool:
    """Does *quote* have all of *claim*, cutting no word or number short, and not behind a `not` in the same clause?"""
    if not claim or claim not in quote:
        return False
    whole = re.finditer(rf"(?<![\w-])(?<!\d\.){re.escape(claim)}(?![\w-]|[.,]\d)", quote)
    return any(not _negated(re.split(r"[.,;:!?]\s", quote[: found.start()])[-1]) for found in whole)


def closest(claim: str, quote: str) -> str:
    """The sentence of *quote* that shares most with *claim*."""
    wanted = set(stems(claim))
    every = [quote[a:b] for a, b in sentences(quote)] or [quote]
    return max(every, key=lambda s: (len(wanted & set(stems(s))), -len(s)))


def smallest_support(claim: str, text: str, title: str = "", most: int = 2) -> tuple[Offsets, Support]:
    """The span of at most *most* consecutive sentences of *text* that supports *claim* best; the smallest of equals."""
    spans = sentences(text) or [(0, len(text))]
    best: tuple[Offsets, Support] | None = None
    for size in range(1, min(most, len(spans)) + 1):
        for first in range(len(spans) - size + 1):
            span = (spans[first][0], spans[first + size - 1][1])
            found = support(claim, text[slice(*span)], title)
            if (
                best is None
                or found.score > best[1].score + (0.05 if size > 1 else 0)
                or (found.score == best[1].score and span[1] - span[0] < best[0][1] - best[0][0])
            ):
                best = (span, found)
    assert best is not None
    return best


def _plain(text: str) -> str:
    straight = re.sub(r"[“”„]", '"', re.sub(r"[’‘]", "'", unicodedata.normalize("NFC", text)))
    return " ".join(straight.casefold().split()).strip(" .")


def missing_names(text: str, source: str) -> list[str]:
    """What *text* calls by name and *source* does not, in the order of *text*.  Text all in capitals names nothing."""
    if text.isupper():
        return []
    plain, given = source.casefold(), set(stems(source))
    return [n for n in sorted(names(text), key=text.casefold().find) if not _has_name(n, plain, given)]


def _has_name(name: str, source: str, given: set[str]) -> bool:
    if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", source):
        return True
    parts = [stem(w) for w in words(name)]
    return bool(parts) and all(part in given for part in parts)


def _negated(text: str) -> bool:
    found = words(text)
    return sum(w in _NEGATIONS or w.endswith(("n't", "n’t")) for w in found) % 2 == 1
