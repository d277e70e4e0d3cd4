"""What a question leaves to the conversation before it, as the parser sees it.

English only: of another language it is only told whether a question is short and names nothing new.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from ragkit.text.anaphora import DEMONSTRATIVE, PLURAL, is_asked_for, parsed, points, points_back
from ragkit.text.language import is_english
from ragkit.text.question import ParsedQuestion
from ragkit.text.words import names, stems, words

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span, Token

SHORT = 3
"""Content words of a question that is too short to name its topic: *how many layers are there*."""

_OPENS = re.compile(r"^\s*(?:(?:and|but|also|so)\b[\s,]*)?(?:(?:what|how) about\b[\s,]*)?", re.IGNORECASE)


def opened(question: str) -> tuple[str, str]:
    """The opening that ties *question* to what was said (*And*, *What about*), and the rest; or "" and all."""
    found = _OPENS.match(question)
    end = found.end() if found else 0
    return question[:end], question[end:]


def leans(question: str, last: str, short: int = SHORT) -> bool:
    """Does *question* take the one before it, *last*, to be understood?

    It does if it points back, is a fragment, or has at most *short* content words and names nothing new.
    """
    opening, rest = opened(question)
    new = bool(names(question) - names(last))
    if not is_english(question):
        return not new and (bool(opening) or len(stems(question)) <= short)
    if points_back(rest) or lacks_noun(rest):
        return True
    if new:
        return is_fragment(rest) and (bool(opening) or is_name(rest))
    if opening or is_fragment(rest):
        return True
    defines = ParsedQuestion.of(question).asks_definition and not _is_definite(rest)
    return len(stems(question)) <= short and not defines


def lacks_noun(question: str) -> bool:
    """Does *how many* count nothing that the question says: *how many does it have*?"""
    return any(
        token.lower_ == "many"
        and token.i > 0
        and token.nbor(-1).lower_ == "how"
        and token.head.pos_ not in ("NOUN", "PROPN")
        for token in parsed(question)
    )


def is_fragment(question: str) -> bool:
    """Is there no verb in it?  A name is no verb, whatever the parser takes it for."""
    return is_name(question) or not any(token.pos_ in ("VERB", "AUX") for token in parsed(question))


def is_name(text: str) -> bool:
    """Is it a name and nothing else?"""
    said = {word for word in words(text) if not word.isdigit()}
    return bool(said) and said <= {part for name in names(f"of {text}") for part in words(name)}


def begins_with_name(question: str) -> bool:
    """Does it name its own topic first: *What about MTEB, how many does it have*?"""
    rest = opened(question)[1]
    named = names(f"of {rest}" if is_fragment(rest) else question)
    doc = parsed(rest)
    first = next((topic for topic in _topics(doc, named) if not points(topic.root)), None)
    return first is not None and all(token.pos_ == "DET" for token in doc[: first.start])


class Other(NamedTuple):
    """What a fragment names instead: *What about DPR?*, *And on SQuAD?*, *And those of GTR?*"""

    name: str
    article: bool = False
    preposition: str = ""
    whole: bool = True
    """Is it another topic, rather than another circumstance (*on SQuAD*)?"""


class Exchange(NamedTuple):
    """A question with its subject exchanged; `pronoun`: what was exchanged is one."""

    question: str
    pronoun: bool


def other(question: str) -> Other | None:
    """What *question* names instead of something in the one before it, if it does nothing else."""
    doc = parsed(opened(question)[1].strip().rstrip("?.! "))
    if not is_english(question) or not (is_name(doc.text) or _is_of_a_name(doc)):
        return None
    start = int(doc[0].tag_ == "DT" and doc[0].lower_ in DEMONSTRATIVE and len(doc) > 1)
    leads = doc[start].pos_ == "ADP" and start + 1 < len(doc)
    name = doc[start + leads :]
    preposition = doc[start].lower_ if leads else ""
    return Other(name.text, name[0].pos_ == "DET", preposition, bool(start) or preposition in ("", "of"))


def exchanged(other: Other, last: str) -> Exchange | None:
    """The question *last* with its subject exchanged for *other*; None if it has none.

    Behind a preposition what stands behind the same one is exchanged, otherwise the highest of subject, object
    and the rest: the order in which centering theory (Grosz, Joshi and Weinstein, 1995) ranks what a sentence
    is about.  The owner in a phrase comes before what it owns.  A plural pronoun is not exchanged: what it
    stands for belongs to the topic (*who wrote them?*).
    """
    doc = parsed(last)
    topics = (t for t in _topics(doc, names(f"of {last}")) if t.root.lower_ not in PLURAL)
    ranked = sorted(topics, key=lambda topic: _rank(topic.root))
    if other.preposition:
        behind = [t for t in ranked if t.root.dep_ == "pobj" and t.root.head.lower_ == other.preposition]
        owns = [t for t in ranked if t.root.dep_ == "poss"] if other.preposition == "of" else []
        ranked = behind or owns or (ranked if other.whole else [])
    if not ranked:
        return None
    old = ranked[0]
    first = old.start - int(other.article and old.start > 0 and doc[old.start - 1].pos_ == "DET")
    possessive = "'s" if old.root.tag_ == "PRP$" else ""
    whole = f"{last[: doc[first].idx]}{other.name}{possessive}{last[old.end_char :]}"
    return Exchange(whole, points(old.root))


def _is_of_a_name(doc: Doc) -> bool:
    """Is it a phrase about a name (*those of DPR*, *GTR's largest model*), not about a thing (*its F1 on SQuAD*)?"""
    if any(t.pos_ in ("VERB", "AUX") or t.tag_.startswith("W") or t.tag_ == "PRP$" for t in doc):
        return False
    topics = _topics(doc, names(f"of {doc.text}"))
    named = next((topic for topic in topics if not points(topic.root)), None)
    if named is None:
        return False
    leads = all(token.pos_ in ("ADP", "DET", "PRON") for token in doc[: named.start])
    return named.root.dep_ in ("ROOT", "poss") or (leads and named.root.dep_ == "pobj")


# --- what the parser says


def _is_definite(question: str) -> bool:
    return any(_has_the(token) for token in parsed(question))


def _has_the(noun: Token) -> bool:
    return any(child.lower_ == "the" and child.dep_ == "det" for child in noun.children)


def _topics(doc: Doc, named: set[str]) -> Iterator[Span]:
    """What *doc* may be about: the names in it, with a number behind (*Llama 2*), and its pronouns."""
    last = -1
    for token in doc:
        if token.i <= last or is_asked_for(token):
            continue
        last = token.i
        if points(token) and token.dep_ != "det":
            yield doc[token.i : token.i + 1]
        elif end := _end_of_name(token, named):
            last = end - 1
            yield doc[token.i : end]


def _end_of_name(token: Token, named: set[str]) -> int:
    """Behind which token the longest name ends that begins with *token*; 0 if none does."""
    found = 0
    for end in range(token.i + 1, min(len(token.doc), token.i + _WORDS_OF_A_NAME) + 1):
        written = token.doc[token.i : end].text.casefold()
        is_number = bool(found) and token.doc[end - 1].like_num and found == end - 1
        if is_number or all(word in named for word in written.split()):
            found = end
    while 0 < found < len(token.doc) - 1 and token.doc[found].text == "-":  # BERT-base is one name
        found += 2
    return found


_WORDS_OF_A_NAME = 7
"""Tokens: a hyphen is one, too."""


def _rank(token: Token) -> tuple[int, int]:
    """Its place in the order of what a sentence is about; at one place, the owner before what it owns."""
    at, depth = token, 0
    while at.dep_ in ("poss", "pobj", "prep", "compound", "amod", "conj", "appos") and at.head != at:
        if at.dep_ == "prep" and at.lower_ != "of":
            return 2, token.i
        at, depth = at.head, depth + 1
    role = 0 if at.dep_ in ("nsubj", "nsubjpass") else 1 if at.dep_ in ("dobj", "attr", "dative") else 2
    return role, -depth
