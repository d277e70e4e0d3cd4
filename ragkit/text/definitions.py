"""Sentences that define: what letters stand for, and what a thing is."""

from __future__ import annotations

import re
from collections.abc import Mapping

_INTRODUCED = (
    r"(?<!the )(?<!our )\b(?:(?:propos|introduc|describ|defin|creat|formulat|devis|nam)(?:e|es|ed|ing)|(?:present|develop|construct|design|coin)(?:s|ed|ing)?"
    r"|(?:call|term)(?:s|ed)|dub(?:s|bed)|buil(?:d|ds|t))\b"
)
_NOT_OF_IT = r"(?:against|and|by|for|from|in|of|on|over|than|that|to|unlike|which|with)\b"
_KIND = r"(?:an?|the|one|any|how|what|when|where)\b"
_OPENING = r"(?:^\W*|[,;:]\s+|\b(?:and|here|that|where)\s+)(?:(?:an?|the)\s+)?"
_OF_ITS_OWN = re.compile(
    rf"\b(?:we|paper|work|study|article|report)\b[^.;]{{0,40}}?{_INTRODUCED}", re.IGNORECASE
)


def spells_out(text: str, code: str) -> bool:
    """Says *text* what the letters *code* stand for: have words that begin with them, or the words in brackets?"""
    letters = re.escape(code)
    before = re.search(
        rf"\w[\s-]*\(\s*{letters}s?\s*\)|\(\w[^()]*[,;]\s*{letters}s?\s*\)", text, re.IGNORECASE
    )
    behind = re.search(rf"\b{letters}\s*\(([^()]+)\)", text, re.IGNORECASE)
    if before or (behind and begin_with(behind[1], code)):
        return True
    return (
        len(code) >= _TELLING
        and bool(re.search(rf"\b{letters}\b", text, re.IGNORECASE))
        and begin_with(text, code)
    )


_TELLING = 4
"""So many words that begin with the letters of an abbreviation beside it are hardly chance."""


_SMALL = frozenset("of for and the in to".split())
_RUNS = re.compile(r"(\b)?([^\W\d_]+)|[\W_]+|\d+")


def begin_with(text: str, code: str) -> bool:
    """Do neighbouring words of *text* begin with the letters of *code*, small words between them or not?"""
    letters = [letter.casefold() for letter in code if letter.isalpha()]
    spelled: set[int] = set()  # how many letters may be told by the words up to here
    over: set[int] = set()  # ... by those before a small word
    for run in _RUNS.finditer(text):
        if word := run[2] and run[2].casefold():
            begun = spelled | over | ({0} if run[1] is not None else set())
            told = {n + 1 for n in begun if len(word) > 1 and word[0] == letters[n]}
            if len(letters) in told:
                return True
            spelled, over = told, spelled if word in _SMALL else set()
        else:
            spelled = spelled if not run[0].isdigit() else set()
            over = over if run[0].isspace() else set()
    return False


def tells_what(text: str, subject: str, title: str = "") -> bool:
    """Does *text* say what *subject* is: that it *is a* thing, that somebody proposes it, or what it is short for?

    Where the subject heads the *title* of the paper, what the paper proposes is the subject.
    """
    plain = r"[\s-]+".join(map(re.escape, re.split(r"[\s-]+", re.sub(r"(?<=\w{3}[^s\W])s$", "", subject))))
    name = rf"(?<![\w-]){plain}(?:e?s)?(?![\w-])"
    said = (
        rf"(?:{_OPENING}{name}(?:\s*(?:\([^()]*\)|\[[^\[\]]*\]))?|\({name}\)),?\s+(?:is|are|was|were)\s+(?:\w+\s+)?{_KIND}",
        rf"{_OPENING}{name}(?:\s*\([^()]*\))?,\s+(?:an?|the|one|any|which)\b",
        rf"{_OPENING}{name}\s+(?:means?|refers?\s+to|denotes?)\b",
        rf"{name}(?:\s*\([^()]*\))?(?:\s+(?:--|[—–])|:)\s+(?!\d)",
        rf"{_INTRODUCED}(?:\s+(?!{_NOT_OF_IT})[\w-]+){{0,4}}?\s+{name}",
        rf"{_INTRODUCED}[^.;]{{0,120}}?(?:,\s+{name}(?=[,.:]|\s+(?:--|[—–])|$)|\({name}\))",
    )
    if any(re.search(each, text, re.IGNORECASE) for each in said):
        return True
    if subject.isupper() and subject.isalnum() and spells_out(text, subject):
        return True
    return bool(re.match(rf"\W*{name}\s*[:—–]", title, re.IGNORECASE) and _OF_ITS_OWN.search(text))


_BRACKETED = re.compile(r"\(\s*([^\W\d_a-z][\w-]{1,9})\s*\)")
_SPOKEN = re.compile(r"\w[\w'’-]*")


def expansions(text: str) -> dict[str, str]:
    """The acronyms that *text* writes in brackets behind what they stand for, each with that.

    Of the words before the bracket, those count that begin with its letters, as few as there can be.
    """
    found: dict[str, str] = {}
    for bracket in _BRACKETED.finditer(text):
        code = bracket[1].removesuffix("s")
        letters = sum(map(str.isalpha, code))
        if sum(map(str.isupper, code)) < 2:
            continue
        start = max(text.rfind(mark, 0, bracket.start()) for mark in ".;:()\n")
        before = list(_SPOKEN.finditer(text, start + 1, bracket.start()))
        for word in reversed(before[-2 * letters :]):
            phrase = text[word.start() : bracket.start()].strip()
            if begin_with(phrase, code):
                found.setdefault(code, " ".join(phrase.split()))
                break
    return found


def spelled_out(text: str, known: Mapping[str, str]) -> str:
    """*text* with what acronyms stand for, by *known*, in their place."""
    if not known:
        return text
    codes = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
    return re.sub(rf"(?<![\w-])({codes})(?=s?(?![\w-]))", lambda code: known[code[1]], text)
