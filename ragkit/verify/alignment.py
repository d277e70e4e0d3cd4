"""Claim and quote word by word: what the one has in the place of the other, or more, where both say the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from ragkit.text.letters import compose
from ragkit.text.syntax import QUANTIFIERS, Kind, graphs
from ragkit.text.words import STOPWORDS, in_full, names, numbers, stem, stems
from ragkit.verify.opposition import are_opposite
from ragkit.verify.structure import instead

_TOKEN = re.compile(r"\d[\d.,]*\d|\d|[^\W_]+(?:[-'’][^\W_]+)*")
_ALIKE = 0.8
"""The least share of a claim's words that the quote has in the same order, for the two to be held against each other
word by word.

With .6, .7, .8 and .9, 268, 257, 235 and 220 of 640 false claims in the half of `benchmarks.falsehoods` that may be looked at are
found out, always the same 27 of those that nothing else refuses, and 2 of 410 true ones.
"""
_LONGEST = 300
"""Words of claim and quote that are aligned, as the time grows with the square: more than any sentence has."""


def difference(claim: str, quote: str, around: str = "") -> str | None:
    """The first number or name of *claim* in whose place *quote* has another, or noun that it has besides, in words.

    None where the two are not nearly the same, word for word.  What a claim has besides may stand in *around*.
    Raises `ModelError` without a parser.
    """
    own, other = list(_words(claim)), list(_words(quote))
    if len(own) * len(other) > _LONGEST**2:
        return None
    if "respectively" in claim and [w.masked for w in own] == [w.masked for w in other]:
        return next(
            (
                instead(here.text, there.text)
                for here, there in zip(own, other, strict=True)
                if _differ(here, there)
            ),
            None,
        )
    aligned = SequenceMatcher(None, [w.key for w in own], [w.key for w in other], autojunk=False)
    found: list[str] = []
    same, known = 0, {*stems(around)}
    for kind, a, b, c, d in aligned.get_opcodes():
        if kind == "equal":
            same += b - a
        elif kind == "replace" and b - a == d - c:
            found += [
                instead(here.text, there.text)
                for here, there in zip(own[a:b], other[c:d], strict=True)
                if _differ(here, there)
            ]
        elif kind == "delete":  # what the claim has and the quote has not
            found += _besides(own[a:b], known | {word.key for word in other})
    return found[0] if found and same + len(found) >= _ALIKE * len(own) else None


def _besides(words: Sequence[_Word], known: set[str]) -> Iterator[str]:
    for word in words:
        if word.kind in ("name", "noun", "number") and not {word.key, *stems(word.text)} & known:
            yield f"the source does not say '{word.text}', which the claim has besides"


class _Word(NamedTuple):
    text: str
    key: str
    kind: Kind | None
    number: str = ""
    """The number that stands before it."""

    @property
    def masked(self) -> str:
        return "" if self.kind == "number" else self.key


def _differ(here: _Word, there: _Word) -> bool:
    """Are they two numbers, two names, the units of a number, opposites, or more and less of something?"""
    if here.key == there.key:
        return False
    if "number" in (here.kind, there.kind):
        return here.kind == there.kind
    one, other = here.text.casefold(), there.text.casefold()
    if here.number and here.number == there.number and not _MAY_VARY & {one, other, here.kind, there.kind}:
        return True
    if QUANTIFIERS.get(one) != QUANTIFIERS.get(other) or are_opposite(here.key, there.key):
        return True
    nouns = here.kind in ("name", "noun") and there.kind in ("name", "noun")
    # The parser may take a name for a noun, at the beginning of a sentence.
    return nouns and here.text[0].isupper() and there.text[0].isupper() and "name" in (here.kind, there.kind)


_MAY_VARY = STOPWORDS | {"verb"}
"""What stands behind a number and is not what it counts."""


def _words(text: str) -> Iterator[_Word]:
    text = in_full(compose(text))
    [graph] = graphs([text])
    kinds: dict[str, Kind] = {node.text.casefold(): node.kind for node in graph.nodes}
    named = names(text)
    before = ""
    for token in _TOKEN.findall(text):
        number = min(numbers(token), default="")
        folded = token.casefold()
        kind: Kind | None = "number" if number else "name" if folded in named else kinds.get(folded)
        yield _Word(token, number or stem(folded), kind, before)
        before = number
