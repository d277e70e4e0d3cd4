"""Stress tests: the same questions with altered context.

Each probe changes the passages that the generator is shown, or the conversation before, and asks the same
questions again:

as_found         nothing is changed; the others are compared with this
missing          the gold papers are taken out of the ranking: the right thing is now to abstain
counterfactual   a number of the answer is changed in every passage: does the answer follow the passages?
shuffled         the passages come in another order, three times
negatives_K      the gold passages among the K best that are not gold, in the order of `reorder` where the pipeline has it
filler_N         N turns about something else come before the question
paraphrased      the question is asked in other words: those that its dataset has, else those of a rewriter; this
                 is what "P-Adapters: Robustly Extracting Factual Information from Language Models with Diverse
                 Prompts" calls consistency

The first three are those of "SFR-RAG: Towards Contextually Faithful LLMs".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from langchain_core.documents import Document

from ragkit.ask import refined
from ragkit.config.spec import identify
from ragkit.document import digest, title_of
from ragkit.evaluate.dataset import Case, Dataset
from ragkit.evaluate.measure import Values, is_right, spoken
from ragkit.evaluate.outcome import Outcome, observed, searched
from ragkit.evaluate.results import Results
from ragkit.evaluate.run import Configuration, Session, Settings
from ragkit.evaluate.statistics import Difference, Interval, difference, interval
from ragkit.flow import Event, Finished, Progress, run, steps
from ragkit.rag import Rag
from ragkit.refine.context import Reordered
from ragkit.rewrite import QueryRewriter
from ragkit.text.question import Asked

NEGATIVES = (5, 10, 20, 50)
FILLER = (1, 5, 10)
ORDERS = 3
_MEANS = ("shuffled", "paraphrased")  # probes that ask each question several times
_DEPTH = 100

_SMALL_TALK = (
    ("Good morning! Did you sleep well?", "I do not sleep, but thank you for asking."),
    ("What should I cook tonight?", "Perhaps a vegetable soup: it is quick and keeps well."),
    ("Is it going to rain tomorrow?", "I have no forecast, so take an umbrella to be safe."),
    ("Tell me a proverb.", "Many hands make light work."),
    ("How do I get ink out of a shirt?", "Dab it with alcohol and wash it cold."),
    ("What is seven times eight?", "Fifty-six."),
    ("Which day comes after Thursday?", "Friday."),
    ("Can you recommend a walk?", "Along the river, while the light is good."),
    ("My bicycle squeaks.", "A drop of oil on the chain often helps."),
    ("Thanks, that was useful.", "You are welcome."),
)


@dataclass(frozen=True)
class Trial:
    """One question under one probe: what came of it, and what counts."""

    case: Case
    outcome: Outcome
    values: Values


@dataclass(frozen=True)
class Row:
    """One probe of one configuration.

    `values` by measure: `right` (what the passages say), `declined`, and by probe `kept` (the answer keeps
    the number that no passage has) and `flipped` (another order, or other words, changed the outcome).  `against` is the
    difference in `right` to `as_found`, on the same questions.
    """

    configuration: str
    probe: str
    questions: int
    values: Mapping[str, Interval]
    against: Difference | None

    def as_json(self) -> dict[str, Any]:
        named = {name: getattr(self, name) for name in ("configuration", "probe", "questions")}
        values = {name: {"value": i.value, "low": i.low, "high": i.high} for name, i in self.values.items()}
        a = self.against
        against = {"difference": a.value, "low": a.low, "high": a.high, "p": a.p} if a else None
        return {**named, **values, "against": against}


def probe_events(
    configurations: Sequence[Configuration],
    dataset: Dataset,
    settings: Settings = Settings(),
    seed: int = 0,
    reword: QueryRewriter | None = None,
) -> Iterator[Event]:
    """Run every probe with every configuration: a stream of `Progress` that ends with `Finished(rows)`.

    The questions are those with a known answer (`must_include`) for which a gold paper is found.  Earlier
    outcomes are reused.  *reword* asks in other words what has no paraphrases in the dataset.
    """
    rows: list[Row] = []
    with Session(settings) as session:
        for configuration in configurations:
            rag = yield from session.prepared(configuration, dataset)
            trials = yield from _Prober(rag, dataset, session.results, seed, reword).all(configuration.name)
            rows += _rows(configuration.name, trials)
    yield Finished(rows)


@dataclass(frozen=True)
class _Found:
    """A question, its ranking, and which of it is of a gold paper."""

    case: Case
    asked: Asked
    passages: Sequence[Document]
    gold: Sequence[Document]


class _Prober:
    """The probes of one configuration over one corpus."""

    def __init__(
        self, rag: Rag, dataset: Dataset, results: Results, seed: int, reword: QueryRewriter | None = None
    ) -> None:
        self.rag, self.dataset, self.results, self.seed = rag, dataset, results, seed
        self.reword = reword
        self.state = rag.state()

    def all(self, name: str) -> Generator[Event, None, dict[str, list[Trial]]]:
        """By probe: its trials."""
        probes: dict[str, Callable[[_Found], list[Trial]]] = {
            "as_found": self.as_found,
            "missing": self.missing,
            "counterfactual": self.counterfactual,
            "shuffled": self.shuffled,
            **{f"negatives_{k}": partial(self.negatives, k=k) for k in NEGATIVES},
            **{f"filler_{n}": partial(self.filler, turns=n) for n in FILLER},
            "paraphrased": self.paraphrased,
        }
        cases = [
            case for case in self.dataset.cases if case.answerable and case.must_include and case.relevant
        ]
        trials: dict[str, list[Trial]] = {probe: [] for probe in probes}
        for number, case in enumerate(cases):
            yield Progress("probe", number, len(cases), name)
            found = self.find(case)
            if found.gold:
                for probe, ask in probes.items():
                    trials[probe] += ask(found)
        yield Progress("probe", len(cases), len(cases), name)
        return trials

    def find(self, case: Case) -> _Found:
        search, passages = searched(self.rag, case)
        gold = [
            p for p in passages if any(name in case.relevant for name in self.dataset.paper((), title_of(p)))
        ]
        return _Found(case, search.asked(case), passages[:_DEPTH], gold)

    # --- the probes

    def as_found(self, found: _Found) -> list[Trial]:
        return [self.tried(found.case, self.respond("as_found", found, self.refined(found, found.passages)))]

    def missing(self, found: _Found) -> list[Trial]:
        others = [p for p in found.passages if p not in found.gold]
        return [self.tried(found.case, self.respond("missing", found, self.refined(found, others)))]

    def counterfactual(self, found: _Found) -> list[Trial]:
        context = self.refined(found, found.passages)
        number = _number_in(
            found.case, [p for p in context if any(title_of(p) == title_of(g) for g in found.gold)]
        )
        other = number and _another(
            number, "\n".join(p.page_content for p in context), self.chance("counterfactual", found.case)
        )
        if not number or not other:
            return []
        changed = [
            p.model_copy(update={"page_content": _replaced(p.page_content, number, other)}) for p in context
        ]
        wanted = replace(found.case, must_include=((other,),))
        outcome = self.respond("counterfactual", found, changed)
        trial = self.tried(wanted, outcome)
        kept = not trial.values["declined"] and is_right(
            replace(found.case, must_include=((number,),)), _text(outcome)
        )
        return [replace(trial, values=trial.values | {"kept": float(kept)})]

    def shuffled(self, found: _Found) -> list[Trial]:
        context = self.refined(found, found.passages)
        chance = self.chance("shuffled", found.case)
        trials = []
        for number in range(ORDERS):
            order = [context[int(i)] for i in chance.permutation(len(context))]
            trials.append(self.tried(found.case, self.respond(f"shuffled {number}", found, order)))
        return [_together(trials, trials)]

    def negatives(self, found: _Found, k: int) -> list[Trial]:
        others = [p for p in found.passages if p not in found.gold][:k]
        if len(others) < k:
            return []
        among = [p for p in found.passages if p in found.gold[:2] or p in others]
        order = [r for r in self.rag.answer_pipeline.refine if isinstance(r, Reordered)]
        shown = run(refined(order, found.asked, among))
        return [self.tried(found.case, self.respond(f"among {k} negatives", found, shown))]

    def filler(self, found: _Found, turns: int) -> list[Trial]:
        chosen = self.chance(f"filler {turns}", found.case).choice(len(_SMALL_TALK), turns, replace=False)
        said = [_SMALL_TALK[int(i)] for i in chosen]
        before = [
            {"role": role, "content": text}
            for turn in said
            for role, text in zip(("user", "assistant"), turn, strict=True)
        ]
        history = [*before, *found.case.history]
        outcome = self.kept(
            f"filler {turns}", found.case, lambda: observed(self.rag.stream(found.case.question, history))
        )
        return [self.tried(found.case, outcome)]

    def paraphrased(self, found: _Found) -> list[Trial]:
        trials = [
            self.tried(found.case, self.asked_so(found.case, text)) for text in self.paraphrases(found.case)
        ]
        return [_together(trials, [*trials, *self.as_found(found)])] if trials else []

    def paraphrases(self, case: Case) -> Sequence[str]:
        """The question of *case* in other words; those of a rewriter are kept, as outcomes are."""
        if case.paraphrases or self.reword is None:
            return case.paraphrases
        key = digest("paraphrases", identify(self.reword), case.question)
        if (known := self.results.get(key)) is None:
            found = run(self.reword.flow(Asked.of(case.question))).searches[1:]
            self.results.put(key, known := json.dumps(list(map(str, found))))
        return list(map(str, json.loads(known)))

    # --- asking

    def asked_so(self, case: Case, text: str) -> Outcome:
        return self.kept(
            f"paraphrased {text}", case, lambda: observed(self.rag.stream(text, list(case.history)))
        )

    def refined(self, found: _Found, passages: Sequence[Document]) -> list[Document]:
        return list(run(refined(self.rag.answer_pipeline.refine, found.asked, passages)))

    def respond(self, probe: str, found: _Found, passages: Sequence[Document]) -> Outcome:
        return self.kept(
            probe,
            found.case,
            lambda: observed(steps(self.rag.answer_pipeline.respond(found.asked, passages))),
        )

    def kept(self, probe: str, case: Case, ask: Callable[[], Outcome]) -> Outcome:
        key = digest(
            "probe",
            self.state,
            probe,
            str(self.seed),
            case.question,
            str(list(map(dict, case.history))),
            str(case.must_include),
        )
        if known := self.results.get(key):
            return Outcome.model_validate_json(known)
        outcome = ask()
        self.results.put(key, outcome.model_dump_json())
        return outcome

    def tried(self, case: Case, outcome: Outcome) -> Trial:
        declined = outcome.answer is None or outcome.answer.abstained is not None
        right = not declined and is_right(case, _text(outcome))
        return Trial(case, outcome, {"right": float(right), "declined": float(declined)})

    def chance(self, probe: str, case: Case) -> np.random.Generator:
        """The same for the same question, whatever was asked before."""
        return np.random.default_rng(int(digest(str(self.seed), probe, case.id), 16))


def _together(trials: Sequence[Trial], compared: Sequence[Trial]) -> Trial:
    """The means of *trials* of one question; `flipped` if one of those *compared* is right and another wrong."""
    values = {name: float(np.mean([t.values[name] for t in trials])) for name in ("right", "declined")}
    right = {t.values["right"] for t in compared}
    return replace(trials[0], values=values | {"flipped": float(len(right) > 1)})


def _text(outcome: Outcome) -> str:
    return spoken(outcome.answer.text) if outcome.answer else ""


# --- changing a number

_NUMBER = re.compile(r"(?<![\w.,])\d+(?:[.,]\d+)*(?![\w]|[.,]\d)")


def _number_in(case: Case, gold: Sequence[Document]) -> str | None:
    """A number that the answer must have and a gold passage does."""
    wanted = [n for alternatives in case.must_include for a in alternatives for n in _NUMBER.findall(a)]
    return next((n for n in wanted if any(n in _NUMBER.findall(p.page_content) for p in gold)), None)


def _another(number: str, taken: str, chance: np.random.Generator, tries: int = 100) -> str | None:
    """A number that looks like *number* and does not occur in *taken*; None if none is found.

    It has as many digits, and the same punctuation.
    """
    for _ in range(tries):
        digits = [
            c if not c.isdigit() else str(chance.integers(1 if i == 0 else 0, 10))
            for i, c in enumerate(number)
        ]
        if (other := "".join(digits)) not in _NUMBER.findall(taken):
            return other
    return None


def _replaced(text: str, number: str, other: str) -> str:
    return _NUMBER.sub(lambda found: other if found[0] == number else found[0], text)


# --- the table


def _rows(configuration: str, trials: Mapping[str, Sequence[Trial]]) -> Iterator[Row]:
    before = {t.case.id: t.values["right"] for t in trials["as_found"]}
    for name, own in trials.items():
        if own:
            measures = dict.fromkeys(measure for t in own for measure in t.values)
            binary = name not in _MEANS
            values = {
                m: interval([t.values[m] for t in own], binary=binary or m == "flipped") for m in measures
            }
            pairs = [(t.values["right"], before[t.case.id]) for t in own]
            against = (
                None
                if name == "as_found"
                else difference([a for a, _ in pairs], [b for _, b in pairs], binary=binary)
            )
            yield Row(configuration, name, len(own), values, against)
