"""Edits that make a sentence false, by kind.

Each yields the text of a claim.  The edits know grammar (subject, object, number, negation) and a few lists
of opposites; they know nothing of any verifier.  `Donors` holds what is put in place of a part: phrases and
clauses of other sentences.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

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
    lemmas,
    root_of,
    subject,
    whole,
)


class Phrase(NamedTuple):
    """A noun phrase of a paper, with what decides where it fits."""

    text: str
    plural: bool
    lemmas: frozenset[str]


@dataclass(frozen=True)
class Donors:
    """What other sentences give: phrases of the same paper by their role, clauses of another paper."""

    phrases: Mapping[str, list[Phrase]] = field(default_factory=dict)
    clauses: list[str] = field(default_factory=list)

    def phrase(self, role: str, plural: bool, taken: frozenset[str], rng: random.Random) -> str | None:
        """One in *role* that shares no word with what is *taken*."""
        fit = [p.text for p in self.phrases.get(role, ()) if p.plural == plural and not p.lemmas & taken]
        return rng.choice(fit) if fit else None


_ROLES = {"nsubj": "subject", "nsubjpass": "subject", "dobj": "object", "pobj": "object", "attr": "object"}


def phrases_of(doc: Doc) -> Iterator[tuple[str, Phrase]]:
    """The noun phrases that may stand in other sentences, with the role of each."""
    for token in doc:
        role = _ROLES.get(token.dep_)
        inside = list(token.subtree)
        if role and is_phrase(token, 6) and not any(t.like_num or t.dep_ in ("cc", "conj") for t in inside):
            text = whole(token).text
            if inside[0].pos_ != "PROPN" and inside[0].is_title:
                text = text[:1].lower() + text[1:]
            bare = token.pos_ == "NOUN" and not is_plural(token) and inside[0].pos_ != "DET"
            if not bare and len(text) > 3:
                yield role, Phrase(text, is_plural(token), lemmas(inside))


def clause_of(doc: Doc) -> str | None:
    """*doc* as a clause that may follow `, and`: short, and understood without another sentence."""
    root, words = root_of(doc), [t for t in doc if not t.is_punct]
    if not (4 <= len(words) <= 14 and root.pos_ in ("VERB", "AUX") and is_phrase(subject(root))):
        return None
    if any(t.lower_ in DEICTIC or t.text in "()[];:" for t in doc):
        return None
    text = str(doc.text).rstrip(". ")
    return text if doc[0].pos_ == "PROPN" else text[:1].lower() + text[1:]


Made = Iterator[str]


def other_subject(doc: Doc, donors: Donors, rng: random.Random) -> Made:
    yield from _other(doc, subject(root_of(doc)), "subject", donors, rng)


def other_object(doc: Doc, donors: Donors, rng: random.Random) -> Made:
    yield from _other(doc, child(root_of(doc), "dobj", "attr"), "object", donors, rng)


def _other(doc: Doc, token: Token | None, role: str, donors: Donors, rng: random.Random) -> Made:
    if token is not None and is_phrase(token):
        other = donors.phrase(role, is_plural(token), lemmas(doc), rng)
        if other:
            start, end, _ = whole(token)
            yield edited(doc.text, Edit(start, end, other))


_SYMMETRIC = frozenset(
    "equal match resemble meet accompany parallel differ correlate correspond interact associate be become remain "
    "represent constitute comprise have intersect overlap border neighbor mirror approximate".split()
)


def roles(doc: Doc, donors: Donors, rng: random.Random) -> Made:
    """Subject and object change places, or the two sides of a comparison."""
    root = root_of(doc)
    first, second = subject(root), child(root, "dobj")
    if root.lemma_.lower() in _SYMMETRIC or child(root, "neg") is not None:
        second = None
    than = next((t for t in doc if t.lower_ == "than" and t.dep_ == "prep"), None)
    if second is None and than is not None:
        second = child(than, "pobj")
    if first is None or second is None or not (is_phrase(first) and is_phrase(second)):
        return
    agree = is_plural(first) == is_plural(second) or (root.tag_ == "VBD" and root.lemma_ != "be")
    if agree and is_before(first, root) and lemmas(first.subtree) != lemmas(second.subtree):
        a, b = whole(first), whole(second)
        lead = a.text if doc[first.left_edge.i].pos_ == "PROPN" else a.text[:1].lower() + a.text[1:]
        yield edited(doc.text, Edit(a.start, a.end, b.text), Edit(b.start, b.end, lead))


_REFERENCE = frozenset(
    "fig figs figure figures table tables section sections sec eq equation equations appendix chapter ref refs reference "
    "references step version dataset additional supplementary supplemental file text box page pp lemma theorem algorithm "
    "example definition proposition".split()
)
_PLAIN = re.compile(r"\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?")
_WRITTEN = "two three four five six seven eight nine ten eleven twelve".split()


def figures(doc: Doc) -> list[Token]:
    """The numbers in digits that say how much, how many or when: none of a figure, a formula or a reference."""
    return [
        token
        for token in doc
        if _PLAIN.fullmatch(token.text)
        and not _is_reference(doc, token)
        and (token.i == 0 or doc[token.i - 1].text[-1] not in "[-–−/^_×(.")
        and (token.i + 1 == len(doc) or doc[token.i + 1].text[0] not in "]-–−/^_×")
    ]


def _is_reference(doc: Doc, token: Token) -> bool:
    before = doc[max(token.i - 3, 0) : token.i]
    return any(t.lower_.rstrip(".") in _REFERENCE for t in before) or (
        doc.text.rfind("[", 0, token.idx) > doc.text.rfind("]", 0, token.idx)
    )


def other_number(doc: Doc, donors: Donors, rng: random.Random) -> Made:
    found = figures(doc)
    if found:
        token = rng.choice(found)
        yield edited(doc.text, Edit(token.idx, token.idx + len(token), _changed(token.text, rng)))
    written = [t for t in doc if t.lower_ in _WRITTEN and t.dep_ == "nummod"]
    if written and not found:
        token = rng.choice(written)
        other = rng.choice([w for w in _WRITTEN if w != token.lower_])
        yield edited(doc.text, Edit(token.idx, token.idx + len(token), other))


def _changed(number: str, rng: random.Random) -> str:
    """Another number of the same make, at least a tenth away."""
    whole_part, point, decimals = number.replace(",", "").partition(".")
    value = int(whole_part + decimals)
    step = max(1, value // 10)
    other = value + step + rng.randrange(max(2, value // 2))
    if value > 3 and rng.random() < 0.5:
        other = max(1, value - step - rng.randrange(max(1, value // 3)))
    digits = str(other).rjust(len(decimals) + 1, "0")
    if not point:
        return f"{other:,}" if "," in number else str(other)
    return f"{digits[: -len(decimals)]}.{digits[-len(decimals) :]}"


_UNITS = [
    "milligrams grams kilograms tons", "mg g kg", "μg mg", "ng μg", "nm μm mm", "mm cm m km", "ms s", "μs ms",
    "seconds minutes hours days weeks months years decades", "second minute hour day week month year decade",
    "thousand million billion trillion", "KB MB GB TB", "Hz kHz MHz GHz", "μL mL L", "μl ml l", "μM mM M", "nM μM",
    "bp kb Mb", "meters kilometers miles", "°C °F", "percent permille", "mV V", "W kW MW", "Pa kPa MPa",
    "patients controls", "men women", "males females", "boys girls", "mice rats", "parameters layers",
    "tokens sentences words documents", "participants researchers", "genes proteins", "children adults",
]  # fmt: skip
"""Units of one kind, and things that are counted alike; another of the same row takes the place of one."""


def other_unit(doc: Doc, donors: Donors, rng: random.Random) -> Made:
    """The unit behind a number, or what is counted, becomes another one."""
    there = {t.text for t in doc}
    for token in doc[1:]:
        counts = doc[token.i - 1].like_num or (
            token.i > 1 and doc[token.i - 2].like_num and doc[token.i - 1].pos_ == "ADJ"
        )
        rows = [row.split() for row in _UNITS if token.text in row.split()] if counts else []
        others = [unit for row in rows for unit in row if unit not in there]
        if others:
            yield edited(doc.text, Edit(token.idx, token.idx + len(token), rng.choice(others)))
            return


def arms(doc: Doc, donors: Donors, rng: random.Random) -> Made:
    """Two values that belong to two things of one sentence change places."""
    found = figures(doc)
    respectively = any(t.lower_ == "respectively" for t in doc)
    for one, two in pairwise(found):
        between = doc[one.i + 1 : two.i]
        apart = any(t.pos_ in ("NOUN", "PROPN") and t.head != two for t in between) or respectively
        ranges = any(t.lower_ in ("to", "±", "between") for t in (*between, doc[max(one.i - 1, 0)]))
        if one.text != two.text and apart and not ranges and _alike(doc, one, two):
            yield edited(
                doc.text,
                Edit(one.idx, one.idx + len(one), two.text),
                Edit(two.idx, two.idx + len(two), one.text),
            )
            return


def _alike(doc: Doc, one: Token, two: Token) -> bool:
    """Are both shares, or both none; both with decimals, or both without?"""
    sign = [t.i + 1 < len(doc) and doc[t.i + 1].text == "%" for t in (one, two)]
    return sign[0] == sign[1] and ("." in one.text) == ("." in two.text)


_OPPOSITES = dict(
    pair.split("/")
    for pair in (
        "increase/decrease increases/decreases increased/decreased increasing/decreasing higher/lower highest/lowest greater/smaller "
        "larger/smaller largest/smallest better/worse best/worst more/less before/after above/below improve/impair improves/impairs "
        "improved/impaired faster/slower positive/negative positively/negatively upregulated/downregulated up-regulated/down-regulated "
        "rise/fall rises/falls longer/shorter older/younger earlier/later stronger/weaker upstream/downstream maximum/minimum "
        "maximal/minimal gain/loss gained/lost benefit/harm benefits/harms activates/inhibits activated/inhibited promotes/prevents "
        "promoted/prevented enhances/reduces enhanced/reduced majority/minority outperforms/underperforms outperformed/underperformed "
        "outperform/underperform common/rare high/low early/late strong/weak large/small north/south east/west"
    ).split()
)
_OPPOSITES |= {b: a for a, b in _OPPOSITES.items() if b not in _OPPOSITES}
_OPPOSITES |= {"reduce": "increase", "reduces": "increases", "reduced": "increased", "fewer": "more"}


def direction(doc: Doc, donors: Donors, rng: random.Random) -> Made:
    """One word of more or less, before or after, better or worse becomes its opposite."""
    found = [t for t in doc if t.lower_ in _OPPOSITES and doc[max(t.i - 1, 0)].lower_ not in ("no", "not")]
    found = [t for t in found if not (t.i + 1 < len(doc) and doc[t.i + 1].lower_ in ("or", "and", "-", "/"))]
    if found and not any(_OPPOSITES[t.lower_] in doc.text.lower() for t in found):
        token = rng.choice(found)
        other = _OPPOSITES[token.lower_]
        yield edited(doc.text, Edit(token.idx, token.idx + len(token), other))


def polarity(doc: Doc, donors: Donors, rng: random.Random) -> Made:
    """A negation is put in where the main clause has none, or taken out."""
    root = root_of(doc)
    negation = child(root, "neg")
    helper = child(root, "aux", "auxpass") or (root if root.lemma_ == "be" else None)
    if negation is not None:
        if negation.lower_ == "not" and helper is not None and helper.lemma_ != "do":
            yield edited(doc.text, Edit(negation.idx, negation.idx + len(negation), ""))
        return
    if any(t.dep_ == "neg" or t.lower_ in ("no", "only", "neither", "none") for t in doc):
        return
    if helper is not None and helper.i <= root.i and helper.tag_ != "TO":
        at = helper.idx + len(helper)
        yield edited(doc.text, Edit(at, at, " not"))
    elif root.tag_ in ("VBD", "VBZ", "VBP") and subject(root) is not None:
        does = {"VBD": "did", "VBZ": "does", "VBP": "do"}[root.tag_]
        yield edited(doc.text, Edit(root.idx, root.idx + len(root), f"{does} not {root.lemma_}"))


_CERTAIN = {
    "suggest": "prove",
    "indicate": "prove",
    "suggests": "proves",
    "suggested": "proved",
    "indicates": "proves",
}
_SOFT = frozenset("possibly probably perhaps likely potentially presumably apparently".split())


def hedge(doc: Doc, donors: Donors, rng: random.Random) -> Made:
    """What may be becomes what is."""
    if is_negative(doc):
        return
    for token in doc:
        start, end = token.idx, token.idx + len(token)
        if token.lower_ in ("may", "might", "could") and token.dep_ == "aux":
            yield edited(doc.text, Edit(start, end, "will" if token.head.lemma_ != "have" else "must"))
            return
        if token.lower_ in _SOFT and token.dep_ == "advmod":
            yield edited(doc.text, Edit(start, end, "certainly"))
            return
        if token.lower_ in _CERTAIN and token == root_of(doc):
            yield edited(doc.text, Edit(start, end, _CERTAIN[token.lower_]))
            return


_MORE = {
    "some": "all", "most": "all", "many": "all", "several": "all", "few": "most", "often": "always", "usually": "always",
    "sometimes": "always", "generally": "always", "typically": "always", "frequently": "always", "rarely": "often",
    "partly": "fully", "partially": "fully", "nearly": "exactly", "almost": "exactly", "mainly": "only", "mostly": "only",
}  # fmt: skip


def quantifier(doc: Doc, donors: Donors, rng: random.Random) -> Made:
    """Some become all, often becomes always."""
    if is_negative(doc):
        return
    for token in doc:
        alone = token.i == 0 or doc[token.i - 1].pos_ not in ("DET", "NUM")
        plural = token.head.tag_ in ("NNS", "NNPS") and token.head.i == token.i + 1 and alone
        often = token.dep_ == "advmod" and token.pos_ == "ADV" and token.head.pos_ in ("VERB", "AUX")
        some = token.dep_ in ("amod", "det", "advmod") and plural
        if token.lower_ in _MORE and (often or some):
            yield edited(doc.text, Edit(token.idx, token.idx + len(token), _MORE[token.lower_]))
            return


def added_item(doc: Doc, donors: Donors, rng: random.Random) -> Made:
    """A list gets one item more."""
    for head in doc:
        items, joint = items_of(head)
        if len(items) < 2 or joint is None or joint.lower_ != "and":
            continue
        other = donors.phrase("object", True, lemmas(doc), rng)
        if other:
            at = items[0].idx + len(items[0]) if len(items) == 2 else end_of(items[0], items[1])
            yield edited(doc.text, Edit(at, at, f", {other}"))
        return


def added_clause(doc: Doc, donors: Donors, rng: random.Random) -> Made:
    """A true sentence gets a clause that another paper says."""
    if donors.clauses and doc[-1].text == ".":
        yield edited(doc.text, Edit(doc[-1].idx, len(doc.text), f", and {rng.choice(donors.clauses)}."))


FALSE: dict[str, Callable[[Doc, Donors, random.Random], Made]] = {
    "subject": other_subject,
    "object": other_object,
    "roles": roles,
    "number": other_number,
    "unit": other_unit,
    "arm": arms,
    "direction": direction,
    "polarity": polarity,
    "hedge": hedge,
    "quantifier": quantifier,
    "added item": added_item,
    "added clause": added_clause,
}
