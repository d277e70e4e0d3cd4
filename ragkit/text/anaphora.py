"""What a sentence leaves to those before it: pronouns and demonstratives that nothing in it explains.

As the parser sees it; English only.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from ragkit.text.syntax import LONGEST, pipeline
from ragkit.text.words import codes

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

_SINGULAR = frozenset("it its itself this that".split())
PLURAL = frozenset("they their them theirs themselves these those".split())
_PERSON = frozenset("he she him his her hers".split())
DEMONSTRATIVE = frozenset("this that these those".split())
_MAY_POINT = re.compile(rf"\b(?:{'|'.join(sorted(_SINGULAR | PLURAL | _PERSON))})\b", re.IGNORECASE)


def points_back(question: str) -> bool:
    """Has it a pronoun, or *the one*, that nothing in it explains?"""
    return any(
        (points(token) and not _is_expletive(token) and not _has_antecedent(token)) or _is_pro_noun(token)
        for token in parsed(question)
    )


def leans(sentence: str) -> bool:
    """Does a sentence of a paper take the one before it to be understood?

    The paper itself, *in this study*, is known.
    """
    return bool(_MAY_POINT.search(sentence)) and any(
        points(token)
        and not _is_expletive(token)
        and not _has_antecedent(token)
        and not (token.dep_ == "det" and token.head.lemma_.casefold() in THE_PAPER)
        for token in parsed(sentence)
    )


THE_PAPER = frozenset("paper article study work review survey report thesis chapter section".split())
"""What a paper calls itself, or a part of itself."""


def points(token: Token) -> bool:
    """Is it a third-person pronoun or a demonstrative?"""
    if token.lower_ in DEMONSTRATIVE:
        return str(token.tag_) == "DT"
    return token.tag_ in ("PRP", "PRP$") and token.lower_ in _SINGULAR | PLURAL | _PERSON


def _has_antecedent(pronoun: Token) -> bool:
    """Is there a noun before it that agrees in number, is not asked for, and is no argument of its verb?"""
    plural, named = pronoun.lower_ in PLURAL, codes(pronoun.doc.text)
    return any(
        (token.pos_ in ("NOUN", "PROPN") or token.lower_ in named)
        and (token.tag_ in ("NNS", "NNPS")) == plural
        and not is_asked_for(token)
        and (pronoun.tag_ == "PRP$" or token.head != pronoun.head or _is_set_apart(token, pronoun))
        and token.dep_ != "compound"
        for token in pronoun.doc[: pronoun.i]
    )


def _is_set_apart(noun: Token, pronoun: Token) -> bool:
    """*REALM, how many parameters has it?*: the noun is no argument of the verb."""
    return any(token.text in (",", ":", ";") for token in noun.doc[noun.i : pronoun.i])


def _is_expletive(pronoun: Token) -> bool:
    """*Is it true that ...*, *it has been shown that ...*: it stands for the clause behind."""
    clauses = ("ccomp", "csubj", "xcomp")
    near = [*pronoun.head.children, *(t for child in pronoun.head.children for t in child.children)]
    return (
        pronoun.lower_ == "it"
        and (pronoun.head.lemma_ == "be" or pronoun.dep_ == "nsubjpass")
        and any(t.dep_ in clauses and t.i > pronoun.i for t in near)
    )


def is_asked_for(noun: Token) -> bool:
    return any(t.tag_.startswith("W") for child in noun.children for t in (child, *child.children))


def _is_pro_noun(token: Token) -> bool:
    """*the largest one*, *which ones*; not *one of them*, nor one of what the question itself names before."""
    told = [child.dep_ for child in token.children]
    if token.lower_ not in ("one", "ones") or "prep" in told or not {"det", "amod"}.intersection(told):
        return False
    return not any(
        t.pos_ in ("NOUN", "PROPN") and not is_asked_for(t) for t in token.doc[: token.left_edge.i]
    )


@functools.lru_cache(maxsize=256)
def parsed(text: str) -> Doc:
    return pipeline()(text[:LONGEST])
