"""How well a quote supports a claim: word for word, by structure, or not at all."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple

from ragkit.models.reader import PassageReader, SourceText
from ragkit.text.facts import numbers_beside_sizes
from ragkit.text.language import language_of
from ragkit.text.letters import compose
from ragkit.text.question import Mentions, parsed
from ragkit.text.syntax import LONGEST, NEGATIONS
from ragkit.text.words import (
    Offsets,
    codes,
    sentences,
    stems,
    without_asides,
    words,
)
from ragkit.verify import structure
from ragkit.verify.alignment import difference
from ragkit.verify.opposition import opposition

SUPPORTED = 0.5
"""The least score at which a quote supports a claim: it is then more probable than not."""


class Support(NamedTuple):
    """How far a quote supports a claim, from 0 to 1, and why."""

    score: float
    reason: str

    @property
    def holds(self) -> bool:
        return self.score >= SUPPORTED


class Setting(NamedTuple):
    """What is known beside claim and quote: the question that the claim answers, what was found of the paper
    that the quote is of, and what of each other paper, with its title.

    An answer says the question's words again, and a sentence of a paper leaves out what those before it said.
    """

    question: str = ""
    passage: str = ""
    others: tuple[str, ...] = ()


def support_of(
    claim: str,
    quote: str,
    title: str = "",
    setting: Setting = Setting(),
    reader: PassageReader | None = None,
) -> Support:
    """How well *quote*, from the paper *title*, supports *claim*.

    A claim that stands in the quote word for word, and is not negated there, scores 1.  One held against a
    table needs a cell in its row and column.  Else the score is the probability that people say it is
    supported, fitted to labelled pairs (`benchmarks/fit_evidence.py`) over what the two parses have in common
    (`ragkit.verify.structure`).  With a *reader*, it is the mean of that and of the probability fitted with what the
    reader makes of both.  A few words that answer only together with the question (`40`) need a source that speaks
    of what is asked.
    """
    claim = without_asides(claim)
    own = _read(claim)
    if is_verbatim(claim, quote):
        beside = off_topic(claim, quote, title, setting)
        return Support(_BESIDE, beside) if beside else Support(1.0, "the source says it word for word")
    if not own.stems:
        return Support(0.0, "the claim has no content words")
    if len(claim) > LONGEST:
        return Support(0.0, f"the claim has more than {LONGEST:,} characters, too many to compare")
    if structure.is_table(quote):
        wrong = structure.misplaced(claim, quote, title)
        return Support(0.0, wrong) if wrong else Support(_CELL, "the table has it in this row and column")
    before = setting.passage[: max(setting.passage.find(quote), 0)][-BEFORE:]
    found = structure.features(claim, quote, title, before)
    score = by_structure = probability(found)
    changed = structure.missing(claim, quote, title, before) or structure.extended(claim, quote)
    if objection := changed or difference(claim, quote, f"{title} {before}"):
        return Support(_LOST * score, objection)
    if beside := off_topic(claim, quote, title, setting):
        return Support(_BESIDE * score, beside)
    if reader:
        together = probability(found | reading(reader, claim, quote, title, before))
        score = (by_structure + together) / 2  # each makes mistakes that the other does not
    opposed = opposition(claim, quote, title, before) if score >= SUPPORTED else None
    if opposed and opposed.holds:
        return Support(1 - opposed.score, opposed.reason)
    if score >= SUPPORTED:
        return Support(score, "the source says the same of the same things")
    if by_structure >= SUPPORTED:
        return Support(score, "read together, the source does not say it")
    return Support(score, structure.reason(claim, quote, title, before))


_LOST = 0.5
"""What is left of the score where the source lacks a number, a name or an item, or has another in its place: less
than support, whatever else it has.
"""
_CELL = 0.9
"""The score of a claim that a cell of a table bears out."""
BEFORE = 1000
"""How many characters before a quote may say what it speaks of."""


def reading(reader: PassageReader, claim: str, quote: str, title: str, before: str) -> dict[str, float]:
    """What *reader* makes of claim and quote: the log odds that the one follows, for and against.

    The quote is read by itself and behind what stands before it, which may say what its pronouns mean.
    """
    texts = (before.strip(), quote) if before.strip() else (quote,)
    alone, behind = reader.read(claim, [SourceText(title, (quote,)), SourceText(title, texts)])
    odds = max(alone.supported, float(behind.supports[-1]))
    return {FOLLOWS: max(odds, 0.0), FOLLOWS_NOT: max(-odds, 0.0)}


FOLLOWS, FOLLOWS_NOT = "follows", "does not follow"


def probability(features: Mapping[str, float]) -> float:
    """Of being supported, from what the comparison of claim and quote finds, with or without a `reading`."""
    weights = _weights("weights with reader" if FOLLOWS in features else "weights")
    log_odds = weights["constant"] + sum(weights.get(name, 0.0) * value for name, value in features.items())
    return 1 / (1 + math.exp(-max(min(log_odds, 30.0), -30.0)))


@functools.cache
def _weights(name: str) -> Mapping[str, float]:
    """The weights of a logistic regression; the file says where they are from."""
    found: dict[str, float] = json.loads(fitted())[name]
    return found


def fitted() -> str:
    """The file with the weights of `probability` and where they are from, as JSON."""
    return Path(__file__).with_suffix(".json").read_text(encoding="utf-8")


class _ComparedText:
    """A text as it is compared; each view of it is made once, as most texts are compared with several."""

    def __init__(self, text: str) -> None:
        self.text = text

    @functools.cached_property
    def plain(self) -> str:
        """In lower case, with one kind of quotation mark and of white space."""
        straight = re.sub(r"[“”„]", '"', re.sub(r"[’‘]", "'", compose(self.text)))
        return " ".join(straight.casefold().split()).strip(" .")

    @functools.cached_property
    def stems(self) -> tuple[str, ...]:
        return tuple(stems(self.text))

    @functools.cached_property
    def known(self) -> frozenset[str]:
        return frozenset(self.stems)

    @functools.cached_property
    def numbers(self) -> frozenset[str]:
        return numbers_beside_sizes(self.text)

    @functools.cached_property
    def sentences(self) -> tuple[Offsets, ...]:
        """At least one."""
        return tuple(sentences(self.text)) or ((0, len(self.text)),)


_read = functools.lru_cache(maxsize=4096)(_ComparedText)


def is_verbatim(claim: str, quote: str) -> bool:
    """Does *quote* have *claim* word for word, and not negated?"""
    return _says(_read(quote).plain, _read(without_asides(claim)).plain)


def _says(quote: str, claim: str) -> bool:
    """Does *quote* have all of *claim*, no word or number cut short, not behind a `not` in its clause?"""
    if not claim or claim not in quote:
        return False
    whole = re.finditer(rf"(?<![\w-])(?<!\d\.){re.escape(claim)}(?![\w-]|[.,]\d)", quote)
    return any(not _negated(_CLAUSE_END.split(quote[: found.start()])[-1]) for found in whole)


def smallest_support(claim: str, text: str, title: str = "", most: int = 2) -> tuple[Offsets, float]:
    """The span of at most *most* consecutive sentences of *text* with most of *claim*, and its share.

    A longer span needs a share of `_WIDER` more.
    """
    wanted = _read(claim).known - _read(title).known or _read(claim).known
    spans = _read(text).sentences
    best: tuple[Offsets, float] | None = None
    for size in range(1, min(most, len(spans)) + 1):
        for first in range(len(spans) - size + 1):
            span = (spans[first][0], spans[first + size - 1][1])
            share = len(wanted & _read(text[slice(*span)]).known) / max(len(wanted), 1)
            if best is None or share > best[1] + (_WIDER if size > 1 else 0):
                best = (span, share)
    assert best is not None
    return best


_WIDER = 0.05
"""What a second sentence must add to the share of the claim's words, so that it is cited too."""


def clauses(claim: str) -> list[str]:
    """The parts of a sentence that a source may support on their own: what `, and` or a semicolon joins."""
    return [claim[start:end] for start, end in clause_spans(claim)]


def clause_spans(claim: str) -> list[Offsets]:
    """Where they stand; what joins two of them belongs to neither."""
    found: list[Offsets] = []
    start = 0
    for joint in [*_JOINED.finditer(claim), None]:
        end = joint.start() if joint else len(claim)
        few = (
            found and min(len(_read(claim[start:end]).stems), len(_read(claim[slice(*found[-1])]).stems)) < 2
        )
        found.append((found.pop()[0] if few else start, end))
        start = joint.end() if joint else end
    return found


_JOINED = re.compile(r"[,;]\s+(?:and|but|while|whereas)\s+|;\s+", re.IGNORECASE)


# --- a few words that answer only together with the question

_FEW, _BESIDE = 4, 0.3
"""A claim of so many content words, none of them the question's, may say something only in answer to it; what
is left of its score if it is beside the question.
"""
_TELLING, _FAR = 5, 3
"""A question of so many content words tells which paper it is about: the one that has so many more of them
than another.
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


def _is_of_another(asked: Sequence[_ComparedText], known: Set[str], others: Sequence[str]) -> bool:
    """Has one of *others* far more words than *known* of each *asked* part, all long enough to tell?"""
    return all(len(part.known) >= _TELLING for part in asked) and any(
        all(len(part.known & _read(other).known) - len(part.known & known) >= _FAR for part in asked)
        for other in others
    )


_mentions = functools.lru_cache(maxsize=256)(Mentions.of)


@functools.lru_cache(maxsize=256)
def _parts_of(question: str) -> tuple[list[_ComparedText], list[list[str]]]:
    """The parts of *question*, and of each the names with a digit or mixed capitals: no `GPU`."""
    every = parsed(question).parts
    spelled = {
        word.casefold()
        for written in re.findall(r"[\w.+-]+", question)
        if (word := written.rstrip(".+-")).isalpha() and word.isupper()
    }
    return [_read(part.text) for part in every], [sorted(part.codes - spelled) for part in every]


_CLAUSE_END = re.compile(r"[.,;:!?]\s")


def _negated(text: str) -> bool:
    return sum(word in NEGATIONS or word.endswith(("n't", "n’t")) for word in words(text)) % 2 == 1
