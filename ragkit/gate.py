"""When to abstain: whether the passages can answer the question, and whether the answer is likely right."""

from __future__ import annotations

import difflib
import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from langchain_core.documents import Document
from pydantic import Field

from ragkit.answer import Answer, Finding, Verdict
from ragkit.config.components import component, interface
from ragkit.document import named, scores_of, table_of
from ragkit.models.reader import READ
from ragkit.text.kinds import unseen_kind
from ragkit.text.language import is_english
from ragkit.text.question import Asked, Mentions, ParsedQuestion, as_written
from ragkit.text.words import numbers, sentences, stems

Share = Annotated[float, Field(ge=0, le=1)]


class Relevance(NamedTuple):
    """How relevant passages, or an answer, are to the question, from 0 to 1.

    `refusal` is the reason to abstain, if there is one.
    """

    score: float = 1.0
    refusal: str | None = None


@interface
class Gate(ABC):
    """Decides whether to answer: from the passages before anything is written, and from the judged answer."""

    @abstractmethod
    def weigh(self, asked: Asked, passages: Sequence[Document]) -> Relevance:
        """How far *passages* are about what is *asked*; the refusal is the end of a sentence."""

    def confirm(self, asked: Asked, relevance: Relevance, answer: Answer) -> Relevance:
        """How likely the judged *answer* is right, given the *relevance* of its passages.

        By default the relevance times `support`.
        """
        return Relevance(relevance.score * support(answer))


def support(answer: Answer) -> float:
    """The mean, over the claims with citations, of the score of their best citation.

    A citation that a verifier could not check counts 0.5; without a verifier the result is 1.
    """
    found = [[cited.finding for cited in claim.cites] for claim in answer.claims if claim.cites]
    if not any(finding for findings in found for finding in findings):
        return 1.0
    best = [max(_score(finding) for finding in findings) for findings in found]
    return sum(best) / len(best)


def _score(finding: Finding | None) -> float:
    if finding is None:
        return 0.0
    return 0.5 if finding.verdict is Verdict.UNCHECKED else finding.score


# --- a calibrated gate

Signals = dict[str, float]
"""What a decision rests on: a number by the name of what it measures."""

FOUND_SIGNALS = {
    "nearest": "the nearest passage's cosine to the question",
    "coverage": "share of the question's words, the rarest weighing most, that one passage has",
    "codes_missing": "share of the names such as GPT-4 in the question that no passage has",
    "names_missing": "share of the other names in the question that no passage has",
    "together": "1 if the question has names and one passage has them all",
    "asked_missing": "of the words that say what is asked for (which *data set*), the share that no passage with the names has",
    "number_missing": "1 if a number is asked for, and no passage with the names gives one, near what it counts",
}
"""What the passages found tell."""

JUDGED_SIGNALS = {
    "found": "how likely the passages answer the question, as log odds",
    "support": "mean score of the claims' best citations",
    "supported": "share of the claims that the verifier did not find unsupported",
    "said": "share of the question's words that the supported claims say",
    "number_unsaid": "1 if a number is asked for and no supported claim gives one",
    "covered": "share of the question's words, the rarest weighing most, that the best sentence has, if one was chosen",
    "lead": "how much better the best sentence is than the next, if one was chosen",
    "chance": "the log odds that the sentence that answers, if one does, is among those chosen",
    "answers": "by the reader, the log odds that the likeliest of the chosen sentences, or else of all, answers",
    "written": "1 if a supported claim is in a chat model's words, not quoted from a paper",
}
"""What the judged answer tells."""


@dataclass(frozen=True)
class Logistic:
    """A probability: 1 / (1 + exp(-(`bias` + the sum of weight times signal))).

    Below `threshold` the gate abstains.
    """

    weights: Mapping[str, float]
    bias: float
    threshold: Share = 0.5

    def __call__(self, signals: Mapping[str, float]) -> float:
        return 1 / (1 + math.exp(-min(max(self.log_odds(signals), -30.0), 30.0)))

    def log_odds(self, signals: Mapping[str, float]) -> float:
        return self.bias + sum(weight * signals.get(name, 0.0) for name, weight in self.weights.items())


# Fitted by ridge logistic regression, three of them set later; docs/abstention.md says to what, and why.
FITTED_TO = "all-MiniLM-L6-v2"  # the encoder whose cosines FOUND weighs
FOUND = Logistic(
    weights={
        "nearest": 4.75,
        "coverage": 2.4,
        "codes_missing": -4.0,
        "names_missing": -1.36,
        "together": 2.07,
        "asked_missing": -0.7,
        "number_missing": -5.2,
    },
    bias=-1.68,
)
FOUND_BY_WORDS = Logistic(
    weights={
        "coverage": 4.49,
        "codes_missing": -4.0,
        "names_missing": -1.11,
        "together": 1.68,
        "asked_missing": -0.54,
        "number_missing": -5.2,
    },
    bias=-0.37,
)
JUDGED = Logistic(
    weights={"found": 0.14, "chance": 0.76, "answers": 0.15, "support": 1.9},
    bias=-2.1,
    threshold=0.6,
)
_TYPICAL = {"covered": 0.45, "lead": 0.34, "chance": 1.68, "answers": 0.17}
"""The means over the verbatim answers of `benchmarks.fit_chance`: what is known of one whose sentences were not chosen."""


@component("calibrated")
@dataclass(frozen=True)
class CalibratedGate(Gate):
    """Answers if the passages are likely to hold the answer and the judged answer is likely to be right.

    `found` weighs the passages, `judged` the answer and its verdicts; `ragkit calibrate` fits both to your
    questions.  An answer about another kind of thing than the question asks about (*reed warbler* for *marsh
    warbler*), which no passage mentions, is refused.  The defaults are for the cosines of all-MiniLM-L6-v2, which
    the retriever called `retriever` gives; if it found nothing, only the words are weighed.
    """

    retriever: str = "dense"
    found: Logistic = FOUND
    judged: Logistic = JUDGED

    def __post_init__(self) -> None:
        _check(self.found, "found", FOUND_SIGNALS)
        _check(self.judged, "judged", JUDGED_SIGNALS)

    def weigh(self, asked: Asked, passages: Sequence[Document]) -> Relevance:
        if not passages:
            return Relevance(0.0, "nothing was found")
        signals = found_signals(asked.understood, passages, self.retriever)
        likely = (
            FOUND_BY_WORDS if "nearest" in self.found.weights and "nearest" not in signals else self.found
        )
        score = likely(signals)
        if score >= likely.threshold:
            return Relevance(score)
        return Relevance(score, _lack(asked.understood, passages, signals, likely))

    def confirm(self, asked: Asked, relevance: Relevance, answer: Answer) -> Relevance:
        score = self.judged(judged_signals(asked.parsed, relevance, answer))
        texts = [Mentions.of(named(passage)) for passage in answer.context]
        if kind := unseen_kind(asked.understood.text, " ".join(claim.text for claim in answer.claims), texts):
            return Relevance(score, f"none of the closest passages mentions '{kind}'")
        unsure = f"the best answer found is too uncertain (about {score:.0%} of such answers are right)"
        return Relevance(score, unsure if score < self.judged.threshold else None)


def _check(part: Logistic, name: str, known: Mapping[str, str]) -> None:
    for word in part.weights:
        if word not in known:
            close = difflib.get_close_matches(word, known, 1)
            hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"
            raise ValueError(f"there is no signal '{word}' to weigh in {name} ({hint})")


# --- what the passages tell


def found_signals(asked: ParsedQuestion, passages: Sequence[Document], retriever: str = "dense") -> Signals:
    """`FOUND_SIGNALS` of *passages* (at least one); without `nearest` where *retriever* scored none of them.

    If a question asks several things, each is looked for by itself, and the mean is taken.
    """
    every = [_Passage.of(p) for p in passages]
    lost = {name for name in asked.names if not any(p.mentions.has(name) for p in every)}
    cosines = [scores_of(p)[retriever] for p in passages if retriever in scores_of(p)]
    by_part = [_signals_of_part(part, every) for part in asked.parts]
    return {
        **({"nearest": max(cosines)} if cosines else {}),
        "codes_missing": _share(lost, asked.codes),
        "names_missing": _share(lost, asked.names - asked.codes),
        **{name: sum(each[name] for each in by_part) / len(by_part) for name in by_part[0]},
    }


def _signals_of_part(asked: ParsedQuestion, every: Sequence[_Passage]) -> Signals:
    """What *every* passage together tells of one thing that is asked."""
    missing = [sum(not p.mentions.has(name) for name in asked.names) for p in every]
    homes = [p for p, own in zip(every, missing, strict=True) if own == min(missing)]
    stems_of = [p.mentions.stems for p in every]
    return {
        "coverage": _coverage(asked.text, stems_of) if is_english(asked.text) else _OTHER_LANGUAGE,
        "together": float(bool(asked.names) and min(missing) == 0),
        "asked_missing": min(_share(asked.things - p.mentions.stems, asked.things) for p in homes),
        "number_missing": float(asked.asks_number and not any(p.gives_number(asked) for p in homes)),
    }


_OTHER_LANGUAGE = 0.25
"""What counts as covered of a question in another language than English, whose words no passage may have."""


def _coverage(question: str, texts: Sequence[frozenset[str]]) -> float:
    """The greatest share of the question's words that one of *texts* has; rarer words weigh more."""
    weights = {w: math.log(1 + len(texts) / (1 + sum(w in text for text in texts))) for w in stems(question)}
    most = max(sum(weight for word, weight in weights.items() if word in text) for text in texts)
    return most / (sum(weights.values()) or 1.0)


def _share(some: Collection[str], of: Collection[str]) -> float:
    return len({*some} & {*of}) / len(of) if of else 0.0


@dataclass(frozen=True)
class _Passage:
    text: str
    mentions: Mentions
    is_table: bool

    @classmethod
    def of(cls, passage: Document) -> _Passage:
        header = table_of(passage)[1]
        return cls(passage.page_content, Mentions.of(named(passage)), bool(header))

    def gives_number(self, asked: ParsedQuestion) -> bool:
        """Does one of its sentences give the number that is *asked* for?

        A cell of a table is far from what it counts, which caption, row or column names.
        """
        if self.is_table:
            return asked.counted in {"", *self.mentions.stems} and bool(numbers(self.text) - asked.known)
        return any(asked.gives_number(self.text[start:end]) for start, end in sentences(self.text))


_CLEAR = {"nearest": 0.6, "coverage": 0.5}
"""What the passages of an answerable question tell; no other signal counts against one."""


def _lack(asked: ParsedQuestion, passages: Sequence[Document], signals: Signals, likely: Logistic) -> str:
    """Why the passages do not answer: what speaks most against it."""
    against = {
        name: likely.weights.get(name, 0.0) * (signals[name] - _CLEAR.get(name, 0.0))
        for name in signals
        if name != "together"
    }
    worst = min(against, key=lambda name: against[name])
    if against[worst] >= 0:  # nothing speaks against it, but too little for it
        worst = "nearest"
    if worst in ("codes_missing", "names_missing"):
        every = [Mentions.of(named(p)) for p in passages]
        among = asked.codes if worst == "codes_missing" else asked.names - asked.codes
        lost = [name for name in among if not any(m.has(name) for m in every)]
        written = next(iter(as_written(asked.text, lost).values()), lost[0])
        return f"none of the closest passages mentions '{written}'"
    if worst == "number_missing":
        return "no passage contains the requested number"
    if worst == "asked_missing":
        return "no passage says what is asked for"
    return "no relevant passage was found"


# --- what the answer tells


def judged_signals(asked: ParsedQuestion, relevance: Relevance, answer: Answer) -> Signals:
    """`JUDGED_SIGNALS` of an answer whose claims have their verdicts."""
    good = [c for c in answer.claims if c.verdict.holds or c.verdict is Verdict.UNCHECKED]
    text = " ".join(c.text for c in good)
    likely = min(max(relevance.score, 0.001), 0.999)
    return {
        "found": math.log(likely / (1 - likely)),
        "support": support(answer),
        "supported": len(good) / len(answer.claims) if answer.claims else 0.0,
        "said": _share(set(stems(text)), asked.said),
        **_TYPICAL | _read(answer) | answer.choice,
        "number_unsaid": float(asked.asks_number and not asked.gives_number(text)),
        "written": float(any(c.verdict is Verdict.SUPPORTED and not c.quoted for c in good)),
    }


def _read(answer: Answer) -> Signals:
    """What a reader says of the passages that the answer was written from, if one read them."""
    odds = [scores_of(passage)[READ] for passage in answer.context if READ in scores_of(passage)]
    return {"answers": max(odds)} if odds else {}
