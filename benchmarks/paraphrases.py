"""Edits that leave a sentence true: it says the same in another form, or less.

Each yields the text of a claim.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from benchmarks.grammar import (
    DEICTIC,
    Doc,
    Edit,
    Token,
    child,
    edited,
    end_of,
    is_before,
    is_negative,
    is_phrase,
    is_plural,
    items_of,
    root_of,
    subject,
    whole,
)

Made = Iterator[str]


def verbatim(doc: Doc) -> Made:
    yield doc.text


def the_authors(doc: Doc) -> Made:
    """`We` are the authors."""
    if any(t.lower_ == "we" and t.dep_ in ("nsubj", "nsubjpass") for t in doc) and not any(
        t.lower_ in ("us", "ourselves", "ours") for t in doc
    ):
        named = re.sub(r"\b[Ww]e\b", "the authors", doc.text, count=1)
        yield edited(re.sub(r"\b[Oo]ur\b", "their", re.sub(r"\b[Ww]e\b", "they", named)))


_LINKS = frozenset(
    "however moreover furthermore additionally thus therefore hence finally consequently notably overall".split()
)


def aside_dropped(doc: Doc) -> Made:
    """Without brackets, or a word that links it to the sentence before."""
    text = re.sub(r"(?<=[a-z]{4}) \([^()]{4,}\)|\s*(?:\[[^\[\]]*\][-–,\s]*)+(?=[\s.,;]|$)", "", doc.text)
    if doc[0].lower_ in _LINKS and doc[1].text == ",":
        text = re.sub(r"^\w+,\s*", "", text)
    if text != doc.text and len(text) > len(doc.text) / 2:
        yield edited(text)


def front_moved(doc: Doc) -> Made:
    """`In mice, ...` is said at the end."""
    front = doc[0]
    if front.dep_ != "prep" or front.head != root_of(doc) or doc[-1].text != ".":
        return
    comma = front.right_edge.i + 1
    if (
        comma >= len(doc)
        or doc[comma].text != ","
        or not 3 <= comma <= 10
        or "," in doc.text[doc[comma].idx + 1 :]
    ):
        return
    if any(t.lower_ in DEICTIC for t in front.subtree):
        return
    moved = doc.text[: doc[comma].idx]
    rest = doc.text[doc[comma].idx + 1 : doc[-1].idx].strip()
    yield edited(f"{rest} {moved[:1].lower()}{moved[1:]}.")


def clause_dropped(doc: Doc) -> Made:
    """Only the first of two clauses, or without a clause that only adds something (`, which ...`)."""
    root = root_of(doc)
    second = child(root, "conj")
    joint = child(root, "cc")
    if (
        second is not None
        and joint is not None
        and subject(second) is not None
        and joint.lower_ in ("and", "but")
    ):
        if joint.i < second.i and second.right_edge.i >= len(doc) - 2 and not is_conditional(doc):
            yield edited(doc.text[: joint.idx].rstrip(" ,;") + ".")
            return
    for verb in doc:
        left, right = verb.left_edge, verb.right_edge
        if (
            verb.dep_ == "relcl"
            and left.i > 1
            and doc[left.i - 1].text == ","
            and left.lower_ in ("which", "who")
        ):
            after = doc[right.i + 1] if right.i + 1 < len(doc) else right
            if after.text in (",", "."):
                stop = after.idx + (after.text == ",")
                yield edited(doc.text, Edit(doc[left.i - 1].idx, stop, " "))
            return


def is_conditional(doc: Doc) -> bool:
    return any(t.lower_ in ("if", "whether", "either", "unless", "neither") for t in doc)


def other_voice(doc: Doc) -> Made:
    """Active to passive, or passive to active; the verb is regular, so that its form is certain."""
    root = root_of(doc)
    subj, text = subject(root), doc.text
    if (
        subj is None
        or not is_phrase(subj, 10)
        or is_negative(doc)
        or child(root, "conj", "advcl") is not None
    ):
        return
    if not str(root.text).endswith("ed") or subj.left_edge.i > 0 or doc[-1].text != ".":
        return
    if not is_before(subj, root) or doc.text.count(" by ") > 1:
        return
    own, helper, agent, object_ = (
        whole(subj),
        child(root, "auxpass"),
        child(root, "agent"),
        child(root, "dobj"),
    )
    lead = own.text if doc[0].pos_ == "PROPN" else own.text[:1].lower() + own.text[1:]
    if (
        root.tag_ == "VBD"
        and is_phrase(object_, 12)
        and child(root, "aux", "advmod", "xcomp", "ccomp", "dative") is None
    ):
        assert object_ is not None
        it = whole(object_)
        if not _is_over(object_):
            return
        rest = text[it.end : doc[-1].idx].strip()
        be = "were" if is_plural(object_) or child(object_, "conj") is not None else "was"
        yield edited(f"{it.text} {be} {root.text} by {lead} {rest}.")
    elif (
        helper is not None
        and helper.lower_ in ("was", "were")
        and agent is not None
        and child(root, "aux", "advmod") is None
    ):
        doer = child(agent, "pobj")
        if doer is not None and is_phrase(doer, 12) and agent.i == root.i + 1 and _is_over(doer):
            it = whole(doer)
            yield edited(f"{it.text} {root.text} {lead} {text[it.end : doc[-1].idx].strip()}.")


def _is_over(token: Token) -> bool:
    """Does nothing follow its phrase that could be a part of it?"""
    following = token.doc[token.right_edge.i + 1]
    return bool(following.text == "." or following.pos_ == "ADP")


def item_dropped(doc: Doc) -> Made:
    """A list of three or more without its first item."""
    if any(t.like_num for t in doc) or is_conditional(doc):
        return
    for head in doc:
        items, joint = items_of(head)
        if len(items) >= 3 and joint is not None and joint.lower_ == "and":
            second, third = items[1], items[2]
            start, end = end_of(items[0], second), end_of(second, third)
            if doc.text[start : start + 1] == ",":
                comma = len(items) == 3 and doc.text[end : end + 1] == ","
                yield edited(
                    doc.text,
                    Edit(items[0].left_edge.idx, second.left_edge.idx, ""),
                    *([Edit(end, end + 1, "")] if comma else []),
                )
            return


TRUE: dict[str, Callable[[Doc], Made]] = {
    "verbatim": verbatim,
    "the authors": the_authors,
    "aside dropped": aside_dropped,
    "front moved": front_moved,
    "clause dropped": clause_dropped,
    "other voice": other_voice,
    "item dropped": item_dropped,
}
