"""What two texts say of the same things: the graph of a claim held against the graph of a quote.

Each check below finds one kind of difference and can say it in words.  How much a difference weighs is
fitted (`ragkit.verify.support`), not set by hand.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ragkit.text.facts import has_name, sizes
from ragkit.text.syntax import Graph, Node, graphs
from ragkit.text.tables import cells, is_rule
from ragkit.text.words import names, numbers, stems

_NEAR = 2
"""Words at most so many edges apart belong to one statement."""

TRIED = 50
"""A word that stands more often in a text is looked at in so many places, so that the time stays linear."""

_PARTS = ("number", "noun", "verb", "modifier")
KINDS = ("name", "number", "noun", "verb", "modifier")


@dataclass(frozen=True)
class Alignment:
    """Where the content words of *claim* stand in *source*; a word that is not there is left out."""

    claim: Graph
    source: Graph
    places: Mapping[int, int]

    @functools.cached_property
    def known(self) -> list[tuple[int, int]]:
        """The edges of the claim of which the source has both words."""
        return [(a, b) for a, b in self.claim.edges if a in self.places and b in self.places]

    def distance(self, edge: tuple[int, int]) -> int:
        """How far apart the two words of a known edge are in the source."""
        return self.source.distance(self.places[edge[0]], self.places[edge[1]])

    @functools.cached_property
    def apart(self) -> list[tuple[int, int]]:
        """The known edges whose words do not belong together in the source."""
        return [edge for edge in self.known if self.distance(edge) > _NEAR]

    @functools.cached_property
    def lost(self) -> list[int]:
        """The words of the claim that the source lacks."""
        return [n for n in range(len(self.claim.nodes)) if n not in self.places]

    @functools.cached_property
    def pairs(self) -> list[tuple[Node, Node]]:
        """Each word of the claim that is in the source, with the word there."""
        return [(self.claim.nodes[n], self.source.nodes[place]) for n, place in self.places.items()]


def match(claim: Graph, source: Graph) -> Alignment:
    """Each word of *claim* at the place in *source* that is nearest to the words that it belongs to."""
    chosen = {
        n: source.places[node.key][0] for n, node in enumerate(claim.nodes) if node.key in source.places
    }
    for _ in range(3):
        before = dict(chosen)
        for n in chosen:
            near = [chosen[other] for other in claim.neighbours[n] if other in chosen]
            chosen[n] = max(
                source.places[claim.nodes[n].key][:TRIED],
                key=lambda place: sum(3 - source.distance(place, other) for other in near),
            )
        if chosen == before:
            break
    return Alignment(claim, source, chosen)


# --- the checks: each yields the differences of its kind


def changed(found: Alignment) -> Iterator[tuple[Node, Node]]:
    """Words that the source lacks, each with the word that stands in its place there."""
    kept = {source.key for _, source in found.pairs}
    for (head, dependent), relation in found.claim.edges.items():
        for here, there in ((head, dependent), (dependent, head)):
            if here in found.places and there not in found.places:
                place, own = found.places[here], found.claim.nodes[there]
                beside = found.source.dependents if here == head else found.source.heads
                others = (found.source.nodes[at] for at in beside(place, relation))
                other = next((o for o in others if o.kind == own.kind and o.key not in kept), None)
                if other is not None:
                    yield own, other


def added(found: Alignment) -> Iterator[Node]:
    """Items of a list that the source lacks, where it has the other items."""
    for (head, dependent), relation in found.claim.edges.items():
        if dependent not in found.places and any(
            other in found.places for other in found.claim.dependents(head, relation)
        ):
            yield found.claim.nodes[dependent]


def crossed(found: Alignment) -> Iterator[tuple[Node, str, Node, Node]]:
    """Words that belong together in the claim and apart in the source.

    Each is a word, a relation, what the claim puts to the word in it, and what the source puts there instead.
    """
    for head, dependent in found.apart:
        own, relation = found.claim.nodes[dependent], found.claim.edges[head, dependent]
        others = found.source.dependents(found.places[head], relation)
        alike = (found.source.nodes[at] for at in others if at != found.places[dependent])
        other = next((each for each in alike if each.kind == own.kind), None)
        if other is not None:
            yield found.claim.nodes[head], relation, own, other


def turned(found: Alignment) -> Iterator[Node]:
    """Words whose subject has another part in the source, or the other way round."""
    for head, dependent in found.known:
        here = found.claim.edges[head, dependent]
        there = found.source.edges.get((found.places[head], found.places[dependent]))
        if {here, there} in ({"subject", "object"}, {"subject", "than"}):
            yield found.claim.nodes[head]


def negated(found: Alignment) -> Iterator[Node]:
    """Words that one of the two negates and the other does not, or leaves out."""
    yield from (claim for claim, source in found.pairs if claim.negated != source.negated)
    shared = set(found.places.values())
    for at, node in enumerate(found.source.nodes):
        beside = found.source.neighbours[at] & shared
        if node.negated and node.kind != "verb" and at not in shared and beside:
            if not any(found.source.nodes[each].negated for each in beside):  # else it is a part of that
                yield node


def surer(found: Alignment) -> Iterator[Node]:
    """Words that the source hedges and the claim states."""
    yield from (claim for claim, source in found.pairs if source.hedged and not claim.hedged)


def quantified(found: Alignment) -> Iterator[tuple[Node, str]]:
    """Words that the claim says of another quantity than the source: *all* for *some*."""
    for claim, source in found.pairs:
        if claim.quantifier != source.quantifier:
            yield claim, source.quantifier


# --- the numbers that are weighed


def _kind(node: Node) -> str:
    return "noun" if node.kind == "name" else node.kind


def _resolved(found: Alignment, around: Sequence[Graph]) -> set[int]:
    """The words that the source lacks and what stands around it has, where it says nothing else instead."""
    others = {id(own) for own, _ in changed(found)}
    nodes = found.claim.nodes
    return {
        n
        for n in found.lost
        if id(nodes[n]) not in others and any(nodes[n].key in graph.places for graph in around)
    }


def features(claim: str, quote: str, title: str = "", before: str = "") -> dict[str, float]:
    """What the comparison finds of a claim and a quote, each figure from 0 to 4.

    *before* is what the paper says before the quote: with the title, what *it* and *they* may stand for.
    Raises `ModelError` without a parser.
    """
    own, source, *around = graphs([claim, quote, title, before])
    found = match(own, source)
    size, edges = max(len(own.nodes), 1), max(len(own.edges), 1)
    changes, crosses = list(changed(found)), list(crossed(found))
    resolved = _resolved(found, around)
    gone = [own.nodes[n] for n in found.lost if n not in resolved]
    names = [e for e in found.known if "name" in (own.nodes[e[0]].kind, own.nodes[e[1]].kind)]
    amounts = [e for e in found.apart if "number" in (own.nodes[e[0]].kind, own.nodes[e[1]].kind)]
    quantities = list(quantified(found))
    plain = {
        "found": len(found.places) / size,
        "resolved": len(resolved) / size,
        "kept": (len(found.known) - len(found.apart)) / edges,
        "apart": len(found.apart) / edges,
        "some apart": float(bool(found.apart)),
        "not adjacent": float(min(sum(found.distance(e) > 1 for e in found.known), 4)),
        "names not adjacent": float(min(sum(found.distance(e) > 1 for e in names), 3)),
        **{f"lost {kind}": float(min(sum(node.kind == kind for node in gone), 3)) for kind in KINDS},
        **{f"changed {kind}": float(min(sum(_kind(o) == kind for o, _ in changes), 2)) for kind in _PARTS},
        "changed": float(min(len(changes), 2)),
        "added": float(min(len(list(added(found))), 2)),
        "crossed": float(min(len(crosses), 2)),
        "crossed subject": float(any(relation == "subject" for _, relation, _, _ in crosses)),
        "crossed number": float(any("number" in (a.kind, b.kind) for a, _, b, _ in crosses)),
        "number apart": float(bool(amounts)),
        "turned": float(min(len(list(turned(found))), 2)),
        "negated": float(any(negated(found))),
        "surer": float(any(surer(found))),
        "quantified": float(any(node.quantifier for node, _ in quantities)),
        "unquantified": float(any(not node.quantifier for node, _ in quantities)),
        "words": min(size, 30) / 10,
    }
    lost = len(found.lost) - len(resolved)
    near = {0: "literal", 1: "one lost"}.get(lost, "")
    beside = {f"{name}, {near}": plain[name] for name in _WITH_NEAR} if near else {}
    return plain | ({near: 1.0} if near else {}) | beside


_WITH_NEAR = [
    *("kept", "apart", "some apart", "not adjacent", "names not adjacent", "number apart", "turned", "negated"),
    *("added", "crossed", "crossed number", "crossed subject", "changed", *(f"changed {kind}" for kind in _PARTS)),
]  # fmt: skip
"""A difference tells most where the claim is next to word for word."""


def missing(claim: str, quote: str, title: str = "", before: str = "") -> str | None:
    """The number or name that the sources lack, or what they do not say that a number is of; None if nothing.

    A number must stand in *quote*.  A name, or a noun of a claim with a number, may also stand in *title* or
    *before*.
    """
    own, source, *around = graphs([claim, quote, title, before])
    given = numbers(quote) | sizes(quote, f"{claim} {title}")
    counts = [node for node in own.nodes if node.kind == "number" and numbers(node.text)]
    for node in counts:
        if node.key not in given:
            return f"the source does not have the number {node.text}"
    whole = f"{quote} {title} {before}"
    folded, known = whole.casefold(), frozenset(stems(whole))
    for name in () if claim.isupper() else sorted(names(claim)):
        if not has_name(name, folded, known):
            return f"the source does not name '{name}'"
    if counts:
        found = match(own, source)
        for n in sorted(set(found.lost) - _resolved(found, around)):
            if own.nodes[n].kind == "noun" and own.nodes[n].key not in _SOURCES:
                others = [there.text for here, there in changed(found) if here is own.nodes[n]]
                word = own.nodes[n].text
                besides = f"the source does not say '{word}', which the claim has a number of"
                return instead(word, others[0]) if others else besides
    return None


def extended(claim: str, quote: str) -> str | None:
    """The item that *claim* has in a list, of which *quote* has another one; None if there is none."""
    own, source = graphs([claim, quote])
    item = next((each for each in added(match(own, source)) if each.kind in _ITEMS), None)
    return f"the source does not say '{item.text}', which the claim has beside what it says" if item else None


_ITEMS = ("name", "number", "noun")
"""What an item of a list is: an adverb beside another one, such as *also*, adds nothing to what is listed."""


def instead(here: str, there: str) -> str:
    """Why a claim is not supported that says *here* where its source says *there*."""
    return f"the claim says '{here}' where the source says '{there}'"


_SOURCES = frozenset({"author", "articl", "paper", "studi", "research", "work", "result"})
"""The stems of the words by which a claim speaks of its source."""


def reason(claim: str, quote: str, title: str = "", before: str = "") -> str:
    """The gravest difference between *claim* and *quote*, in words."""
    own, source, *around = graphs([claim, quote, title, before])
    found = match(own, source)
    resolved = _resolved(found, around)
    for here, there in changed(found):
        return instead(here.text, there.text)
    for head, _, here, there in crossed(found):
        return f"the source puts '{there.text}', not '{here.text}', to '{head.text}'"
    for node in negated(found):
        return f"one of claim and source negates '{node.text}', the other does not"
    for node in turned(found):
        return f"the claim exchanges who and what of '{node.text}'"
    for node in surer(found):
        return f"the source is less sure of '{node.text}' than the claim"
    for node, other in quantified(found):
        return (
            f"the claim speaks of '{node.quantifier or 'any'} {node.text}', the source of '{other or 'any'}'"
        )
    for at in found.lost:
        if at not in resolved:
            return f"the source does not say '{own.nodes[at].text}'"
    for above, below in found.apart:
        return f"the source does not put '{own.nodes[below].text}' to '{own.nodes[above].text}'"
    return "the words of the claim are in the source, but not together"


# --- tables


def is_table(text: str) -> bool:
    """Is *text* made of rows of cells?

    One line alone is a row if it has at least three cells and no bar stands in brackets, as in `p(y | x)`.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    rows = [[line[a:b] for a, b in cells(line)] for line in lines]
    if len(rows) == 1:
        return len(rows[0]) > 2 and all(cell.count("(") == cell.count(")") for cell in rows[0])
    return len(rows) > 1 and sum(len(row) > 1 for row in rows) >= len(rows) - 1


_VALUE = re.compile(r"[-–−+±<>~]?\d[\d.,]*+\s?%?")


def misplaced(claim: str, table: str, about: str = "") -> str | None:
    """Why no row of *table* bears *claim* out; None if one does.

    A row bears it out that has every number of the claim, and every word of the claim that names a row; the
    columns of these numbers must have every word that names a column, and if the claim names one of them, it names
    all.  A word that names another row or column may stand in *about*, such as the title, if the claim names the right
    one, too; so may a noun that the table lacks.
    """
    lines = [line for line in table.splitlines() if len(cells(line)) > 1 and not is_rule(line)]
    rows = [[line[a:b] for a, b in cells(line)] for line in lines]
    if len(rows) < 2 or any(_VALUE.fullmatch(cell) for cell in rows[0][1:]):
        return "the columns of this row are not named"
    header, body = rows[0], rows[1:]
    said, wanted, known = set(stems(claim)), numbers(claim), set(stems(about))
    heads = [set(stems(cell)) for cell in header]
    shared = {
        word for n, own in enumerate(heads) for word in own if any(word in other for other in heads[:n])
    }
    labels, every = set(stems(" ".join(row[0] for row in body))), set[str]().union(*heads)
    [graph] = graphs([claim])
    nouns = {stem for node in graph.nodes if node.kind in ("name", "noun") for stem in stems(node.text)}
    objection = f"no row has the number {min(wanted)}" if wanted else "no row is named"
    for row in body:
        if wanted - numbers(" ".join(row)):
            continue
        at = [n for n, cell in enumerate(row) if not wanted or wanted & numbers(cell)]
        columns = [heads[n] for n in at if n < len(heads)]
        own = set(stems(" ".join([row[0], *(row[n] for n in at)]))).union(*columns)
        whole = set(stems(" ".join(row)))
        names_row = said & set(stems(" ".join(cell for cell in row if not _VALUE.fullmatch(cell))))
        names_columns = [bool(said & column - shared) for column in columns]
        if lost := (said & labels) - own - every - (known if said & set(stems(row[0])) else set()):
            objection = f"the table has it in another row than '{min(lost)}'"
        elif lost := (said & every) - own - whole - (known if any(names_columns) else set()):
            objection = f"the table has it in another column than '{min(lost)}'"
        elif not names_row and (lost := (nouns & said) - every - whole - _SOURCES):
            objection = (
                f"the table has it in a row that the claim does not name, and does not say '{min(lost)}'"
            )
        elif wanted and any(names_columns) and (n := _unnamed(wanted, row, heads, said - shared)):
            objection = f"the claim does not name the column that has {n}"
        else:
            return None
    return objection


def _unnamed(wanted: set[str], row: Sequence[str], heads: Sequence[set[str]], said: set[str]) -> str | None:
    """The number among those *wanted* that stands in no column of *row* with a word that is *said*, if one does."""
    for number in sorted(wanted):
        own = [n for n, cell in enumerate(row) if number in numbers(cell) and n < len(heads)]
        if not any(said & heads[n] or not heads[n] or not _VALUE.fullmatch(row[n]) for n in own):
            return number
    return None
