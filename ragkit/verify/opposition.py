"""Does a source say the opposite of a claim: nearly all of it, but another number, or the other way round?

A source that speaks of something else is not against a claim, however alike the two are; so a changed name or
noun is no opposition, unless the noun is what a number counts.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence, Set
from typing import Literal, NamedTuple

from ragkit.text.facts import has_name
from ragkit.text.syntax import Graph, Node, graphs
from ragkit.text.words import names, stem, stems
from ragkit.verify.structure import TRIED, Alignment, changed, crossed, instead, is_table, match, turned

Kind = Literal["number", "negation", "direction", "exchange"]

OPPOSED = 0.8
"""The least score at which a source is against a claim; `docs/verification.md` says how it was chosen."""


class Opposition(NamedTuple):
    """How far a source says the opposite of a claim, from 0 to 1; in what, and in words."""

    score: float
    kind: Kind
    reason: str

    @property
    def holds(self) -> bool:
        return self.score >= OPPOSED


class _Difference(NamedTuple):
    kind: Kind
    reason: str
    words: frozenset[int]
    """The words of the claim that differ."""


def opposition(claim: str, quote: str, title: str = "", before: str = "") -> Opposition | None:
    """How far *quote*, of the paper *title*, says the opposite of *claim*; None if it does not differ so.

    The score is the share of the other content words of the claim that the source has, put together in the
    same way.  Each name of the claim must be in quote or title; other words may be in *before*, what the paper
    says before the quote.  Raises `ModelError` without a parser.
    """
    if is_table(quote):
        return None
    own, source, *around = graphs([claim, quote, title, before])
    found = match(own, source)
    differences = list(_differences(found))
    if not differences or _cancel_out(differences):
        return None
    whole = f"{quote} {title}"
    folded, known = whole.casefold(), frozenset(stems(whole))
    first = differences[0]
    apart = frozenset[int]().union(*(each.words for each in differences))
    written = {own.nodes[n].text.casefold() for n in apart}
    if any(name not in written and not has_name(name, folded, known) for name in names(claim)):
        return None
    if any(_tells_apart(claim, found, n) for n in found.lost if n not in apart):
        return None
    return Opposition(_agreement(found, around, apart), first.kind, first.reason)


def _tells_apart(claim: str, found: Alignment, n: int) -> bool:
    """Is a word that the source lacks a part of a name or compound that it has: *large* of `BERT-large`?"""
    own, text = found.claim, found.claim.nodes[n].text
    there = {own.nodes[other].text for other in found.places}
    compounds = (
        word.strip(".,;:()").split("-") for word in claim.split() if f"-{text}" in word or f"{text}-" in word
    )
    return any(there & {*parts} for parts in compounds) or any(
        own.nodes[other].kind == "name"
        and "modifier" in (own.edges.get((other, n)), own.edges.get((n, other)))
        for other in own.neighbours[n]
        if other in found.places
    )


def _cancel_out(differences: Sequence[_Difference]) -> bool:
    """Do they turn the sense round twice?  *Hard to explain is bad* is not against *easy to explain is good*."""
    kinds = [each.kind for each in differences]
    turns = ("negation" in kinds) + kinds.count("direction")
    return {*kinds} <= {"negation", "direction"} and turns % 2 == 0


def _agreement(found: Alignment, around: Sequence[Graph], apart: Set[int]) -> float:
    """The share of the claim's words, but those *apart*, that stand in the source where they belong."""
    own = found.claim
    rest = [n for n in range(len(own.nodes)) if n not in apart]
    loose = {below for above, below in found.apart if not apart & {above, below}}
    said = [n for n in rest if n in found.places and n not in loose]
    if len(said) < _LEAST:
        return 0.0
    meant = [n for n in rest if n not in found.places and any(own.nodes[n].key in g.places for g in around)]
    return (len(said) + _MEANT * len(meant)) / len(rest)


_LEAST = 3
"""So many words must stand in the source itself: two that agree say little."""
_MEANT = 0.5
"""What a word counts that stands only in the title or before the quote."""


# --- the kinds of difference, the gravest first


def _differences(found: Alignment) -> Iterator[_Difference]:
    yield from _numbers(found)
    yield from _negations(found)
    yield from _directions(found)
    yield from _exchanges(found)


def _numbers(found: Alignment) -> Iterator[_Difference]:
    """Another number of the same thing, or the same number of another thing."""
    own, source = found.claim.nodes, found.source
    place = _places(found)
    taken = set(found.places.values())
    for n in found.lost:
        if _is_amount(own[n]) and own[n].text.casefold() != "one":
            if other := _number_of(found, [own[other].key for other in found.claim.neighbours[n]], taken):
                yield _Difference("number", instead(own[n].text, other.text), frozenset({n}))
    for here, there in changed(found):
        counted = [
            found.places[n]
            for n in found.claim.neighbours[place[id(here)]]
            if n in found.places and _is_amount(own[n])
        ]
        at_source = next(at for at, node in enumerate(source.nodes) if node is there)
        if here.kind == there.kind == "noun" and any(at_source in source.neighbours[at] for at in counted):
            yield _Difference("number", instead(here.text, there.text), frozenset({place[id(here)]}))


def _number_of(found: Alignment, keys: Sequence[str], taken: Set[int]) -> Node | None:
    """The number beside a word of *keys* in the source, but those *taken*, that is nearest to what claim and source share."""
    source = found.source
    beside = {
        near for key in keys for at in source.places.get(key, ())[:TRIED] for near in source.neighbours[at]
    }
    free = [at for at in sorted(beside - taken) if _is_amount(source.nodes[at])]
    near = {at: sum(3 - source.distance(at, place) for place in taken) for at in free}
    return source.nodes[max(free, key=lambda at: near[at])] if free else None


def _is_amount(node: Node) -> bool:
    """Is it a number that says how much or when?  Not the number of a figure, `6A`."""
    return node.kind == "number" and not _has_letter_and_digit(node.text)


def _has_letter_and_digit(text: str) -> bool:
    return any(map(str.isalpha, text)) and any(map(str.isdigit, text))


def _negations(found: Alignment) -> Iterator[_Difference]:
    for n, at in found.places.items():
        if found.claim.nodes[n].negated != found.source.nodes[at].negated:
            text = found.claim.nodes[n].text
            which = "claim" if found.claim.nodes[n].negated else "source"
            yield _Difference("negation", f"only the {which} negates '{text}'", frozenset({n}))


def _directions(found: Alignment) -> Iterator[_Difference]:
    """An opposite in place of a word or a preposition."""
    keys = {node.key for node in found.claim.nodes}
    for n in found.lost:
        here = found.claim.nodes[n]
        for key, places in found.source.places.items():
            if key not in keys and are_opposite(here.key, key):
                yield _Difference(
                    "direction", instead(here.text, found.source.nodes[places[0]].text), frozenset({n})
                )
    for head, dependent in found.known:
        said = found.claim.edges[head, dependent]
        other = found.source.edges.get((found.places[head], found.places[dependent]), "")
        if are_opposite(said, other):
            word = found.claim.nodes[dependent].text
            told = instead(f"{said} {word}", f"{other} {word}")
            yield _Difference("direction", told, frozenset())


def _exchanges(found: Alignment) -> Iterator[_Difference]:
    """Who and what in each other's place; what belongs to one put to another."""
    place = _places(found)
    heads = [place[id(node)] for node in turned(found)]
    for n in {n for n in heads if heads.count(n) > 1}:
        reason = f"the claim exchanges who and what of '{found.claim.nodes[n].text}'"
        yield _Difference("exchange", reason, frozenset({n}))
    for head, _, here, there in crossed(found):
        if {here.kind, there.kind} <= {"number"}:
            reason = f"the source puts '{there.text}', not '{here.text}', to '{head.text}'"
            yield _Difference("exchange", reason, frozenset({place[id(here)]}))


def _places(found: Alignment) -> dict[int, int]:
    """Where each word of the claim stands, by its `id`."""
    return {id(node): n for n, node in enumerate(found.claim.nodes)}


# --- opposites

OPPOSITES = (
    "increase/decrease increase/reduce rise/fall grow/shrink gain/lose gain/loss raise/lower improve/degrade improve/worsen improve/impair "
    "improve/hurt improve/harm enhance/reduce help/hurt help/harm benefit/harm promote/inhibit promote/prevent activate/inhibit "
    "activate/suppress stimulate/inhibit induce/suppress accelerate/slow strengthen/weaken outperform/underperform exceed/trail "
    "succeed/fail success/failure accept/reject confirm/refute support/contradict include/exclude allow/prevent enable/prevent enable/disable "
    "add/remove maximize/minimize maximise/minimise maximum/minimum maximal/minimal high/low higher/lower highest/lowest large/small larger/smaller "
    "largest/smallest great/small greater/smaller greater/less more/less more/fewer most/least many/few better/worse best/worst good/bad good/poor "
    "strong/weak stronger/weaker strongest/weakest fast/slow faster/slower fastest/slowest long/short longer/shorter longest/shortest "
    "early/late earlier/later old/young older/younger old/new upper/lower top/bottom first/last positive/negative positively/negatively "
    "upward/downward upstream/downstream common/rare frequent/rare frequently/rarely often/rarely often/seldom always/never cheap/expensive cheaper/costlier easy/hard easier/harder "
    "simple/complex same/different similar/different well/badly sensitive/resistant presence/absence present/absent majority/minority "
    "dense/sparse wide/narrow wider/narrower deep/shallow deeper/shallower hot/cold warm/cool "
    "above/below before/after over/under with/without until/since upregulate/downregulate overestimate/underestimate"
)
"""Pairs of words, as a dictionary has them."""
_NEGATING = ("un", "in", "im", "ir", "non", "dis")


@functools.cache
def _pairs() -> frozenset[frozenset[str]]:
    return frozenset(frozenset(map(stem, pair.split("/"))) for pair in OPPOSITES.split())


def are_opposite(one: str, other: str) -> bool:
    """Are these stems, or prepositions, opposites: a known pair, or one the other with `un-` or the like?"""
    if frozenset((one, other)) in _pairs():
        return True
    short, long = sorted((one, other), key=len)
    return len(short) > 3 and any(long == prefix + short for prefix in _NEGATING)
