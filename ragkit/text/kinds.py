"""Kinds of things that a question asks about in small letters: the *marsh warbler* among reed warblers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from ragkit.text.anaphora import parsed
from ragkit.text.question import Mentions
from ragkit.text.words import stems, words

if TYPE_CHECKING:
    from spacy.tokens import Token


def unseen_kind(question: str, said: str, texts: Sequence[Mentions]) -> str:
    """The kind of a thing that *question* asks about, where *said* is about another kind and none of *texts* has it.

    Empty if there is none.  A comparison (*larger model*) is no kind.  English only; raises `ModelError` without a
    parser.
    """
    known, spoken_of = frozenset[str]().union(*(text.stems for text in texts)), frozenset(stems(said))
    if not any(
        unseen and unseen not in known and head in spoken_of
        for unseen, head in pairwise(map(_stem, words(question)))
    ):
        return ""  # the parser need not be loaded
    unseen = [each for each in _kinds(question) if _stem(each.text) not in known]
    there = {(_stem(each.head.text), _stem(each.text)) for each in _kinds(said)}
    for each in unseen:
        if any(head == _stem(each.head.text) and kind != _stem(each.text) for head, kind in there):
            return f"{each.text} {each.head.text}"
    return ""


def _kinds(text: str) -> Iterator[Token]:
    """The words that say which kind of a thing, directly before it in the singular."""
    for token in parsed(text):
        if (
            token.dep_ in ("compound", "amod")
            and token.tag_ in ("NN", "NNP", "JJ")
            and token.head.tag_ == "NN"
            and token.i + 1 == token.head.i
            and _stem(token.text)
            and _stem(token.head.text)
        ):
            yield token


def _stem(word: str) -> str:
    return next(iter(stems(word)), "")
