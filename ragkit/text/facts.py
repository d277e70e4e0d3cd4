"""Compares the numbers and names of two texts, in whatever languages they are.  Pure functions."""

from __future__ import annotations

import re

from ragkit.text.words import codes, numbers, stem, stems, words

_SIZE = r"\d+(?:\.\d+)?[KMBT](?!\w)"
SIZED = re.compile(rf"\b([^\W\d_][\w.]*+(?:-(?!{_SIZE})[\w.]++)*+)(?:-({_SIZE}))?")
"""A name, and the size that it ends in, if any: `SFR-RAG` and `9B` of `SFR-RAG-9B`."""


def numbers_beside_sizes(text: str) -> frozenset[str]:
    """The numbers in *text* that are no part of a name."""
    return frozenset(numbers(SIZED.sub(r"\1", text)))


def sizes(text: str, subject: str) -> frozenset[str]:
    """The numbers in the names in *text* that *subject* uses: `9B` of *SFR-RAG-9B*, if it has `SFR-RAG`."""
    subject = subject.casefold()
    return frozenset().union(
        *(numbers(size) for name, size in SIZED.findall(text) if name.casefold() in subject)
    )


def has_name(name: str, folded: str, known: frozenset[str]) -> bool:
    """Does a text, given in lower case and as its stems, use *name*, or all parts of it?"""
    if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", folded):
        return True
    parts = [stem(word) for word in words(name)]
    versions = [part for part in parts if part.isdigit()]  # the 5 of `GPT-5` is not that of `GPT-3.5`
    whole = all(re.search(rf"(?<![\d.]){version}(?!\d|\.\d)", folded) for version in versions)
    return bool(parts) and whole and all(part in known for part in parts)


def lacking(claim: str, source: str) -> str | None:
    """Why *source*, in another language, does not support *claim*: the number or name that it lacks."""
    given = numbers_beside_sizes(source) | sizes(source, claim)
    swapped = claim.translate(str.maketrans(".,", ",."))  # 1.000 in German is 1,000 in English
    if missing := min((numbers_beside_sizes(text) - given for text in (claim, swapped)), key=len):
        return f"the source does not have the number {min(missing)}"
    folded, known = source.casefold(), frozenset(stems(source))
    unknown = [code for code in codes(claim) if not has_name(code, folded, known)]
    return f"the source does not name '{min(unknown)}'" if unknown else None
