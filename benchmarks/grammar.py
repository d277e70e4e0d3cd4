"""The parts of a parsed English sentence, and edits of its text."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

Doc = Any
Token = Any
"""spaCy's, which is imported only where a sentence is parsed."""


class Edit(NamedTuple):
    """Characters of a sentence, and what takes their place."""

    start: int
    end: int
    text: str


def edited(text: str, *edits: Edit) -> str:
    """*text* with *edits*, which do not overlap; it begins with a capital, blanks stand alone."""
    for start, end, put in sorted(edits, reverse=True):
        text = text[:start] + put + text[end:]
    text = re.sub(r"\s+([,.;:])", r"\1", re.sub(r"\s+", " ", text)).strip(" ,")
    return text[:1].upper() + text[1:]


# --- the parts of a sentence

DEICTIC = frozenset(
    "i we it its our this that these those they their them he she his her such which who same other "
    "another latter former both each there here".split()
)


def root_of(doc: Doc) -> Token:
    return next(token for token in doc if token.head == token)


def child(token: Token, *deps: str) -> Token | None:
    return next((c for c in token.children if c.dep_ in deps), None)


def subject(verb: Token) -> Token | None:
    return child(verb, "nsubj", "nsubjpass")


def whole(token: Token) -> Edit:
    """All that hangs on *token*, as it stands."""
    doc, left, right = token.doc, token.left_edge, token.right_edge
    return Edit(left.idx, right.idx + len(right), doc.text[left.idx : right.idx + len(right)])


def is_phrase(token: Token | None, most: int = 8) -> bool:
    """Is it a noun with what hangs on it: short, in one piece, and understood without another sentence?"""
    if token is None or token.pos_ not in ("NOUN", "PROPN"):
        return False
    inside = list(token.subtree)
    return (
        len(inside) <= most
        and inside[-1].i - inside[0].i + 1 == len(inside)
        and not any(t.lower_ in DEICTIC or t.pos_ in ("PRON", "PUNCT", "VERB", "SYM", "X") for t in inside)
    )


def lemmas(tokens: Any) -> frozenset[str]:
    return frozenset(t.lemma_.lower() for t in tokens if t.pos_ in ("NOUN", "PROPN", "ADJ", "VERB"))


def is_plural(token: Token) -> bool:
    return str(token.tag_) in ("NNS", "NNPS")


def is_before(token: Token, verb: Token) -> bool:
    """Is there nothing between the phrase of *token* and its *verb* but what helps the verb?"""
    between = token.doc[token.right_edge.i + 1 : verb.i]
    return token.i < verb.i and all(t.pos_ in ("AUX", "ADV", "PART") for t in between)


def is_negative(doc: Doc) -> bool:
    return any(t.dep_ == "neg" or t.lower_ in ("no", "none", "neither", "nor") for t in doc)


def items_of(head: Token) -> tuple[list[Token], Token | None]:
    """The nouns that are listed from *head* on, if there it begins, and the word that joins the last."""
    if head.pos_ not in ("NOUN", "PROPN") or head.dep_ == "conj":
        return [], None
    found, joint, last = [head], None, head
    while (following := child(last, "conj")) is not None and following.pos_ in ("NOUN", "PROPN"):
        joint = child(last, "cc") or joint
        found.append(following)
        last = following
    listed = len(found) > 1 and not any(t.lower_ in ("respectively", "between", "both") for t in head.doc)
    return (found, joint) if listed else ([], None)


def end_of(item: Token, following: Token) -> int:
    """Where *item* ends before the comma or word that leads to *following*."""
    stop = next((t for t in item.doc[item.i + 1 : following.i] if t.dep_ == "cc" or t.text == ","), following)
    before = item.doc[stop.i - 1]
    return int(before.idx + len(before))
