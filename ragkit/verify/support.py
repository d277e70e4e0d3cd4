"""How well a quote supports a claim: pure functions over words, numbers, names, negation and comparison."""

from __future__ import annotations

import functools
import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from ragkit.text.facts import has_name, numbers_beside_sizes, sizes
from ragkit.text.language import language_of
from ragkit.text.question import Mentions, parsed
from ragkit.text.words import (
    Offsets,
    codes,
    names,
    numbers,
    quantities,
    sentences,
    stem,
    stems,
    without_asides,
    words,
)

SUPPORTED = 0.5
"""The least score at which a quote supports a claim: it is then more probable than not."""

_NEGATIONS = frozenset(
    "no not never none nor neither without cannot fail fails failed lack lacks unable hardly".split()
)


class Support(NamedTuple):
    """How far a quote supports a claim, from 0 to 1, and why."""

    score: float
    reason: str

    @property
    def holds(self) -> bool:
        return self.score >= SUPPORTED


class Setting(NamedTuple):
    """What is known besides claim and quote: the question, and the text found of this and of other papers.

    `passage` is the text found of the quoted paper; `others` that of each other paper, with its title.  An
    answer repeats the question's words, and a sentence of a paper leaves out what those before it said.
    """

    question: str = ""
    passage: str = ""
    others: tuple[str, ...] = ()


class Likeness(NamedTuple):
    """What a claim and a quote have in common, each from 0 to 1.

    `covered`: the share of the claim's content words that the quote (or, for what the paper is about, the
    title) has; words that only the setting has count in part; `paired`: the share of its pairs of
    neighbouring content words, those of the question left out, that are neighbours there, in that order:
    words put together from different places are covered, but not paired.  `aligned`: the mean, over the
    claim's tokens, of the best cosine with a token of the quote; None where no model is asked.
    """

    covered: float
    paired: float
    aligned: float | None = None


def support_of(
    claim: str, quote: str, title: str = "", aligned: float | None = None, setting: Setting = Setting()
) -> Support:
    """How well *quote*, from the paper *title*, supports *claim*.

    A claim that stands in the quote word for word, and is not negated there, scores 1.  Else the score is the
    probability that a reader says it is supported, as fitted to the judgements of people
    (`benchmarks/fit_evidence.py`) on what the two have in common (see `Likeness`, also for *aligned*).  A
    number or name that the quote lacks, a number that counts something else there, a negation on one side
    only, or a comparison turned round leaves little of it; a name that the question asks about may stand
    elsewhere in the passage.  A few words that answer only together with the question (`40`) need a source
    that speaks of what is asked.
    """
    claim = without_asides(claim)
    own = _read(claim)
    if _says(_read(quote).plain, own.plain):
        beside = off_topic(claim, quote, title, setting)
        return Support(_BESIDE, beside) if beside else Support(1.0, "the source says it word for word")
    if not own.stems:
        return Support(0.0, "the claim has no content words")
    alike = likeness(claim, quote, title, aligned, setting)
    score = probability(alike)
    for share, objection in objections(claim, quote, title, setting):
        return Support(share * score, objection)
    if alike.covered == 1:
        return Support(score, "every word of the claim is in the source")
    reason = f"{alike.covered:.0%} of the claim's words are in the source"
    return Support(
        score,
        reason if aligned is None or score < SUPPORTED else f"{reason}, and the others are like words of it",
    )


_BOTH, _EITHER = 0.8, 0.4
"""What a word counts that the quote lacks and question and passage have, or one of them."""


def likeness(
    claim: str, quote: str, title: str = "", aligned: float | None = None, setting: Setting = Setting()
) -> Likeness:
    """What they have in common; numbers count as covered, and are in no pair: they are compared as such."""
    own, there, name = _read(claim), _read(quote), _read(title)
    asked, near = _read(setting.question).known, _read(setting.passage).known

    def counts(word: str) -> float:
        if word.isdecimal() or word in there.known or word in name.known:
            return 1.0
        return (0.0, _EITHER, _BOTH)[(word in asked) + (word in near)]

    covered = sum(map(counts, own.known)) / max(len(own.known), 1)
    pairs = {(a, b) for a, b in own.pairs if a not in asked and b not in asked} if asked else own.pairs
    paired = len(pairs & (there.pairs | name.pairs)) / len(pairs) if pairs else covered
    return Likeness(covered, paired, aligned)


def probability(alike: Likeness) -> float:
    """Of being supported, were half of all claims; below 1 even where all is alike."""
    weights = _weights()["words" if alike.aligned is None else "aligned"]
    given = {name: value for name, value in alike._asdict().items() if value is not None}
    return 1 / (
        1 + math.exp(-weights["constant"] - sum(weights[name] * value for name, value in given.items()))
    )


@functools.cache
def _weights() -> Mapping[str, Mapping[str, float]]:
    """The weights of a logistic regression, without and with a model; the file says where they are from."""
    found: dict[str, Mapping[str, float]] = json.loads(fitted())["weights"]
    return found


def fitted() -> str:
    """The file with the weights of `probability` and where they are from, as JSON."""
    return Path(__file__).with_suffix(".json").read_text(encoding="utf-8")


Sides = tuple[frozenset[str], frozenset[str]]
"""The stems before a word that compares, and those behind it."""


class _Text:
    """A text as it is compared; each view of it is made once, as most texts are compared with several."""

    def __init__(self, text: str) -> None:
        self.text = text

    @functools.cached_property
    def plain(self) -> str:
        """In lower case, with one kind of quotation mark and of white space."""
        straight = re.sub(r"[“”„]", '"', re.sub(r"[’‘]", "'", unicodedata.normalize("NFC", self.text)))
        return " ".join(straight.casefold().split()).strip(" .")

    @functools.cached_property
    def folded(self) -> str:
        return self.text.casefold()

    @functools.cached_property
    def stems(self) -> tuple[str, ...]:
        return tuple(stems(self.text))

    @functools.cached_property
    def known(self) -> frozenset[str]:
        return frozenset(self.stems)

    @functools.cached_property
    def pairs(self) -> frozenset[tuple[str, str]]:
        """The neighbours among the stems, numbers left out."""
        return frozenset(pairwise(w for w in self.stems if not w.isdecimal()))

    @functools.cached_property
    def numbers(self) -> frozenset[str]:
        return numbers_beside_sizes(self.text)

    @functools.cached_property
    def quantities(self) -> tuple[tuple[str, str], ...]:
        return tuple(quantities(self.text))

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """In order; a text all in capitals has none."""
        return () if self.text.isupper() else tuple(sorted(names(self.text), key=self.folded.find))

    @functools.cached_property
    def sentences(self) -> tuple[Offsets, ...]:
        """At least one."""
        return tuple(sentences(self.text)) or ((0, len(self.text)),)

    @functools.cached_property
    def denied(self) -> tuple[tuple[str, ...], ...]:
        """For each negation the stems that it is of, the nearest first: those behind it in its clause."""
        return tuple(found for clause in _CLAUSE.split(self.text) for found in _denials(clause))

    def denies(self, other: _Text, question: _Text) -> bool:
        """Is what it says with words of *other* negated?  What the question denies too does not count."""
        asked = {denied[:1] for denied in question.denied}
        return (
            sum(
                denied[:1] not in asked and (not other.known.isdisjoint(denied) or not denied)
                for denied in self.denied
            )
            % 2
            == 1
        )

    @functools.cached_property
    def compared(self) -> Mapping[str, Sides]:
        return _compared(self.text)


_read = functools.lru_cache(maxsize=4096)(_Text)


def _says(quote: str, claim: str) -> bool:
    """Does *quote* have all of *claim*, no word or number cut short, not behind a `not` in its clause?"""
    if not claim or claim not in quote:
        return False
    whole = re.finditer(rf"(?<![\w-])(?<!\d\.){re.escape(claim)}(?![\w-]|[.,]\d)", quote)
    return any(not _negated(re.split(r"[.,;:!?]\s", quote[: found.start()])[-1]) for found in whole)


def closest(claim: str, quote: str) -> str:
    """The sentence of *quote* that shares most with *claim*."""
    wanted = _read(claim).known
    every = [quote[a:b] for a, b in _read(quote).sentences]
    return max(every, key=lambda s: (len(wanted & _read(s).known), -len(s)))


def smallest_support(
    claim: str, text: str, title: str = "", most: int = 2, question: str = ""
) -> tuple[Offsets, Support]:
    """The span of at most *most* consecutive sentences of *text* that best supports *claim*.

    The claim answers *question*, if one is given.  Of equal spans, the smallest is taken.
    """
    setting = Setting(question, text if question else "")
    spans = _read(text).sentences
    best: tuple[Offsets, Support] | None = None
    for size in range(1, min(most, len(spans)) + 1):
        for first in range(len(spans) - size + 1):
            span = (spans[first][0], spans[first + size - 1][1])
            found = support_of(claim, text[slice(*span)], title, setting=setting)
            if (
                best is None
                or found.score > best[1].score + (0.05 if size > 1 else 0)
                or (found.score == best[1].score and span[1] - span[0] < best[0][1] - best[0][0])
            ):
                best = (span, found)
    assert best is not None
    return best


def clauses(claim: str) -> list[str]:
    """The parts of a sentence that a source may support on their own: what `, and` or a semicolon joins."""
    found: list[str] = []
    for part in _JOINED.split(claim):
        if found and min(len(_read(part).stems), len(_read(found[-1]).stems)) < 2:
            found[-1] += f", and {part}"
        else:
            found.append(part)
    return found


_JOINED = re.compile(r"[,;]\s+(?:and|but|while|whereas)\s+|;\s+", re.IGNORECASE)


# --- what speaks against it


def objections(
    claim: str, quote: str, title: str = "", setting: Setting = Setting()
) -> Iterator[tuple[float, str]]:
    """What the source contradicts or lacks, the gravest first, each with the share of the score it leaves."""
    own, there, name = _read(claim), _read(quote), _read(title)
    if own.known <= _read(setting.question).known:
        yield 0.5, "the claim says nothing that the question does not"
    if objection := off_topic(claim, quote, title, setting):
        yield _BESIDE, objection
    # What a title says is no evidence.
    called = name.numbers & _read(setting.question).numbers if setting.question else name.numbers
    for number in sorted(
        own.numbers - there.numbers - sizes(quote, f"{claim} {title}") - called - _counted(setting.question)
    ):
        yield 0.3, f"the source does not have the number {number}"
    asked_of = _read(setting.question).names
    for lost in _missing(own, (name, there)):
        if lost not in asked_of or lost in _missing(own, (name, there, _read(setting.passage))):
            yield 0.5, f"the source does not name '{lost}'"
    for number, unit, other in _mistaken_units(own, there):
        yield 0.5, f"the number {number} is of '{unit}' in the claim and of '{other}' in the source"
    near = _read(closest(claim, quote))
    question = _read(setting.question)
    if own.denies(near, question) != near.denies(own, question):
        yield 0.5, "one of claim and source is negated, the other is not"
    for turned in _turned(own, near):
        yield 0.5, turned


_FEW, _BESIDE = 4, 0.3
"""How short a claim must be to be checked for relevance, and the share of its score if it is off topic.

A claim of at most so many content words, none of them the question's, may only make sense as its answer.
"""
_TELLING, _FAR = 5, 3
"""The content words a question needs to identify its paper, and the lead that another paper needs.

A question of so many content words is about another paper if that has so many more of them.
"""


def off_topic(claim: str, quote: str, title: str, setting: Setting) -> str | None:
    """Why a source that has the few words of *claim* (`40`) does not have them as the answer, if known.

    They are a name where a number of things is asked for; or the source lacks a name such as `GPT-4` or
    `ZorgNet` of each part of the question; or another paper that was found has far more of its words.
    """
    own, question = _read(claim), _read(setting.question)
    if not question.known or not 0 < len(own.known) <= _FEW or own.known & question.known:
        return None
    every, sure = _parts_of(setting.question)
    is_name = not own.numbers and all(
        word.isupper() or word.casefold() in codes(claim) for word in claim.strip(" .").split()
    )
    asked = parsed(setting.question)
    if is_name and len(every) == 1 and asked.counted and asked.asks_once:
        return "the question asks for a number"
    about = _mentions(
        f"{title}\n{setting.passage}" if quote in setting.passage else f"{title}\n{quote}\n{setting.passage}"
    )
    lost = [next((name for name in own_names if not about.has(name)), "") for own_names in sure]
    if all(lost):
        return f"the source does not name '{lost[0]}', which the question is about"
    if _is_of_another(every, about.stems, setting.others) and language_of(setting.passage) == language_of(
        setting.question
    ):
        return "the question is about another paper"
    return None


def _is_of_another(asked: Sequence[_Text], known: Set[str], others: Sequence[str]) -> bool:
    """Has one of *others* far more words than *known* of each *asked* part, all long enough to tell?"""
    return all(len(part.known) >= _TELLING for part in asked) and any(
        all(len(part.known & _read(other).known) - len(part.known & known) >= _FAR for part in asked)
        for other in others
    )


_mentions = functools.lru_cache(maxsize=256)(Mentions.of)


@functools.lru_cache(maxsize=256)
def _parts_of(question: str) -> tuple[list[_Text], list[list[str]]]:
    """The parts of *question*, and of each the names with a digit or mixed capitals: no `GPU`."""
    every = parsed(question).parts
    spelled = {
        word.casefold()
        for written in re.findall(r"[\w.+-]+", question)
        if (word := written.rstrip(".+-")).isalpha() and word.isupper()
    }
    return [_read(part.text) for part in every], [sorted(part.codes - spelled) for part in every]


def _counted(question: str) -> set[str]:
    """The numbers that *question* writes as words: the answer speaks of *the two* again."""
    return numbers(re.sub(r"\d\S*", "", question))


def _missing(own: _Text, sources: Sequence[_Text]) -> list[str]:
    known = frozenset[str]().union(*(s.known for s in sources))
    return [name for name in own.names if not any(has_name(name, s.folded, known) for s in sources)]


_CLAUSE = re.compile(r"[,;:()—]\s|\s(?:but|although|though|while|whereas)\s", re.IGNORECASE)


def _denials(clause: str) -> Iterator[tuple[str, ...]]:
    """What stands behind each negation, or the whole clause where that is next to nothing."""
    every = words(clause)
    for at, word in enumerate(every):
        if _denies(word):
            behind = tuple(stems(" ".join(every[at + 1 :])))
            yield behind if len(behind) > 1 else (*behind, *stems(clause))


def _denies(word: str) -> bool:
    return word in _NEGATIONS or word.endswith(("n't", "n’t"))


def _negated(text: str) -> bool:
    return sum(map(_denies, words(text))) % 2 == 1


_MEASURES = frozenset(
    "% percent percentage point points ms s sec seconds minutes hours days weeks months years kb mb gb tb m km cm mm kg g hz".split()
)


def _mistaken_units(claim: _Text, quote: _Text) -> Iterator[tuple[str, str, str]]:
    """The numbers of *claim* that count something else in *quote*: what here, and what there.

    A unit is mistaken if both are measures, such as `%` and `ms`, or if the quote has it with another number
    only.
    """
    there: dict[str, list[str]] = {}
    for number, unit in quote.quantities:
        there.setdefault(number, []).append(unit)
    counted = {stem(unit) for units in there.values() for unit in units if unit}
    for number, unit in claim.quantities:
        others = there.get(number, [])
        if not unit or not others or "" in others or stem(unit) in map(stem, others):
            continue
        if stem(unit) in counted or (unit in _MEASURES and _MEASURES.issuperset(others)):
            yield number, unit, others[0]


# --- comparisons

_MORE = "more higher larger greater bigger better faster longer stronger above most highest largest best increase improve rise grow gain outperform"
_LESS = "less lower smaller lesser tinier worse slower shorter weaker below least lowest smallest worst decrease degrade fall shrink loss underperform"
_TAKES_BY = ("outperform", "underperform")


@functools.cache
def _opposites() -> Mapping[str, str]:
    """The stem of each word that compares, with that of its opposite."""
    pairs = [(stem(more), stem(less)) for more, less in zip(_MORE.split(), _LESS.split(), strict=True)]
    return {a: b for pair in pairs for a, b in (pair, pair[::-1])} | {
        stem("fewer"): stem("more"),
        stem("reduce"): stem("increase"),
    }


def _turned(claim: _Text, near: _Text) -> Iterator[str]:
    """The words of comparisons in *claim* that *near* makes the other way round, by word or by sides."""
    own, there = claim.compared, near.compared
    for word, sides in own.items():
        opposite = _opposites()[word]
        if word in there and _are_swapped(sides, there[word]):
            yield "the claim compares the other way round than the source"
        elif (
            word not in there
            and opposite in there
            and opposite not in own
            and _are_alike(sides, there[opposite])
        ):
            yield f"the claim says '{_spelled(word, claim.text)}' where the source says '{_spelled(opposite, near.text)}'"


def _compared(sentence: str) -> dict[str, Sides]:
    """The stems of the words that compare, each with its sides."""
    found: dict[str, Sides] = {}
    every = words(sentence)
    for at, word in enumerate(every):
        if (root := stem(word)) in _opposites():
            before, behind = (frozenset(stems(" ".join(part))) for part in (every[:at], every[at + 1 :]))
            passive = root in _TAKES_BY and every[at + 1 : at + 2] == ["by"]
            found.setdefault(root, (behind, before) if passive else (before, behind))
    return found


def _are_swapped(one: Sides, other: Sides) -> bool:
    return bool(one[0] & other[1] and one[1] & other[0]) and not one[0] & other[0]


def _are_alike(one: Sides, other: Sides) -> bool:
    return bool(one[0] & other[0] or one[1] & other[1]) and not _are_swapped(one, other)


def _spelled(root: str, text: str) -> str:
    return next(word for word in words(text) if stem(word) == root)
