"""Ask every question of every configuration, within a budget; interrupted runs resume.

from ragkit.evaluate.run import Configuration, evaluate
found = evaluate([Configuration("default", ragkit.load())], [read("questions.jsonl")])

Corpora are built once, and results are cached.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Self, get_args

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel

from ragkit import __version__
from ragkit.config.spec import identify, parts_of
from ragkit.document import digest
from ragkit.errors import IndexMismatch, NoCorpus, RagkitError, UsageError, needs
from ragkit.evaluate.dataset import BeirCorpus, Case, Dataset, read_run
from ragkit.evaluate.evaluation import Evaluation, Result, Run
from ragkit.evaluate.judge import Judge, ToJudge, Winner
from ragkit.evaluate.measure import Values, claimed, fault, of_answer, of_rankings, ranking, similarities
from ragkit.evaluate.outcome import (
    DEEPEST,
    SEARCHES_BY,
    Outcome,
    RetrievedPassage,
    Search,
    answered,
    ranked,
    searched,
)
from ragkit.evaluate.results import Results
from ragkit.evaluate.verdicts import Match, Ranked, bradley_terry
from ragkit.flow import Event, Finished, Progress, result_of, run
from ragkit.gate import FOUND, FOUND_BY_WORDS, JUDGED
from ragkit.generate.sentence_scores import CHANCE
from ragkit.models import hub
from ragkit.models.embeddings import SentenceTransformersEmbeddings, fingerprint_of
from ragkit.rag import Rag
from ragkit.verify import Verifier
from ragkit.verify.evidence import EvidenceVerifier
from ragkit.verify.support import fitted

_ERRORS_IN_A_ROW = 5
"""After so many a run stops: the model server is gone."""


@dataclass(frozen=True)
class Configuration:
    """A pipeline under the name that tables give it."""

    name: str
    rag: Rag


@dataclass(frozen=True)
class Budget:
    """What a run may spend before it stops with what it has; what is kept from earlier runs is free."""

    calls: int | None = None
    tokens: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Assessors:
    """What assesses the answers.

    `verify` says which claims their citations support, `judge` grades, `embed` compares with references.
    """

    verify: Verifier = EvidenceVerifier()
    judge: Judge | None = None
    embed: Embeddings = SentenceTransformersEmbeddings()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a run is made.

    `papers` are read into a corpus of the run's own, which question files then ask; without any they ask the
    corpus of each configuration.  `workspace` keeps corpora and results (default: `evaluate` in the cache
    directory).  `prices`: for a chat model's name, the price of a million tokens read and written.  `jobs`
    questions are asked at a time.
    """

    papers: Sequence[str | Path] = ()
    workspace: Path | None = None
    budget: Budget = Budget()
    assessors: Assessors = Assessors()
    pairwise: bool = False
    jobs: int = 1
    prices: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.workspace or hub.cache_directory() / "evaluate"


def evaluate(
    configurations: Sequence[Configuration], datasets: Sequence[Dataset], settings: Settings = Settings()
) -> Evaluation:
    """Every dataset with every configuration.  Raises `UsageError` if two have the same name."""
    evaluation: Evaluation = result_of(evaluate_events(configurations, datasets, settings))
    return evaluation


def evaluate_events(
    configurations: Sequence[Configuration], datasets: Sequence[Dataset], settings: Settings = Settings()
) -> Iterator[Event]:
    """The same, as a stream of `Progress` that ends with `Finished(evaluation)`."""
    with Session(settings) as session:
        yield from session.evaluate(configurations, datasets)


class Session:
    """One run, or several with one budget: what they have spent, their results, and why they ended early."""

    def __init__(self, settings: Settings) -> None:
        with needs("evaluate", "measuring"):  # before anything is asked
            import ir_measures  # noqa: F401
        self.settings = settings
        self.results = Results(settings.folder / "results.sqlite")
        self.started = time.monotonic()
        self.calls = self.tokens = 0
        self.stopped = ""
        self.failed = False
        self._ready: set[str] = set()  # the ingests that were done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.results.close()

    def evaluate(
        self, configurations: Sequence[Configuration], datasets: Sequence[Dataset]
    ) -> Iterator[Event]:
        """Every dataset with every configuration; ends with `Finished(evaluation)`."""
        for kind, names in (
            ("configurations", [c.name for c in configurations]),
            ("datasets", [d.name for d in datasets]),
        ):
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise UsageError(
                    f"two {kind} are called '{twice}'; rename one, so that the table can tell them apart"
                )
        if self.settings.pairwise and self.settings.assessors.judge is None:
            raise UsageError("a pairwise comparison needs a judge; name one with --judge FILE")
        runs: list[Run] = []
        preferred: dict[str, tuple[Ranked, ...]] = {}
        for dataset in datasets:
            for configuration in configurations:
                if not self.stopped:
                    rag = yield from self.prepared(configuration, dataset)
                    if outcomes := (yield from self.ask(rag, configuration, dataset)):
                        runs.append(self.run(rag, configuration, dataset, outcomes))
            if self.settings.pairwise and dataset.asks and len(configurations) > 1:
                preferred[dataset.name] = yield from self.prefer([r for r in runs if r.dataset is dataset])
        yield Finished(Evaluation(tuple(runs), preferred, self.stopped, self.failed, tuple(_notes(datasets))))

    # --- asking

    def ask(
        self, rag: Rag, configuration: Configuration, dataset: Dataset
    ) -> Generator[Event, None, dict[str, Outcome]]:
        """The outcome of each case, from what is kept where possible; of fewer, if the run stops."""
        outcomes: dict[str, Outcome] = {}
        keys = keys_of(rag, dataset)
        what = f"{configuration.name}, {dataset.name}"
        waiting = []
        for case in dataset.cases:
            if kept := self.results.get(keys[case.id]):
                outcomes[case.id] = Outcome.model_validate_json(kept)
            else:
                waiting.append(case)
        searches = rag.state(*SEARCHES_BY)
        failed = 0
        for case, outcome in self.each(lambda case: self.outcome(rag, dataset, case, searches), waiting):
            outcomes[case.id] = outcome
            self.spend(outcome.calls, outcome.tokens)
            if outcome.error:
                failed += 1
                if failed == _ERRORS_IN_A_ROW:
                    self.failed = True
                    self.stopped = (
                        f"{failed} questions in a row failed with {what}; the last: {outcome.error}"
                    )
            else:
                failed = 0
                self.results.put(keys[case.id], outcome.model_dump_json())
            yield Progress("ask", len(outcomes), len(dataset.cases), what)
        yield Progress("ask", len(outcomes), len(dataset.cases), what)
        return outcomes

    def outcome(self, rag: Rag, dataset: Dataset, case: Case, searches: str) -> Outcome:
        """A question that fails costs itself; what is wrong with the set-up ends the run."""
        try:
            return (
                answered(rag, case, *self.search(rag, case, searches)) if dataset.asks else ranked(rag, case)
            )
        except RagkitError:
            raise
        except Exception as error:
            return Outcome(error=f"{type(error).__name__}: {error}")

    def search(self, rag: Rag, case: Case, state: str) -> tuple[Search, list[Document]]:
        """The search of a question, shared with every configuration that searches in the same way."""
        key = digest(
            "search",
            str(Search.model_json_schema()),
            state,
            case.question,
            str(list(map(dict, case.history))),
        )
        if kept := self.results.get(key):
            search = Search.model_validate_json(kept)
            if len(passages := search.passages(rag.corpus)) == len(search.hits):
                return search, passages
        search, passages = searched(rag, case)
        self.results.put(key, search.model_dump_json())
        return search, passages

    def prepared(self, configuration: Configuration, dataset: Dataset) -> Generator[Event, None, Rag]:
        """The configuration's pipelines over the corpus of *dataset*, after ingesting what is missing."""
        rag = placed(configuration.rag, dataset, self.settings)
        ingest = digest(rag.corpus.name, rag.ingest_pipeline.settings)
        if ingest not in self._ready:
            for event in _ingested(rag, dataset, self.settings):
                if isinstance(event, Progress):
                    yield replace(event, what=event.what or f"{configuration.name}, {dataset.name}")
            self._ready.add(ingest)
        return rag

    def each(self, work: Callable[[Case], Outcome], cases: Sequence[Case]) -> Iterator[tuple[Case, Outcome]]:
        """The outcome of each case, as they come; none is begun once the budget is spent."""
        with ThreadPoolExecutor(self.settings.jobs) as pool:
            running: dict[Future[Outcome], Case] = {}
            waiting = list(reversed(cases))
            try:
                while waiting or running:
                    while waiting and len(running) < self.settings.jobs:
                        if self.exhausted():
                            waiting.clear()
                        else:
                            case = waiting.pop()
                            running[pool.submit(copy_context().run, work, case)] = case
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield running.pop(future), future.result()
            finally:
                for future in running:
                    future.cancel()

    def spend(self, calls: int, tokens: int) -> None:
        self.calls += calls
        self.tokens += tokens

    def exhausted(self) -> bool:
        """Is a limit reached?  Then `stopped` says which."""
        budget, seconds = self.settings.budget, time.monotonic() - self.started
        spent = (
            ("calls", self.calls, budget.calls),
            ("tokens", self.tokens, budget.tokens),
            ("seconds", seconds, budget.seconds),
        )
        for unit, used, most in spent:
            if most is not None and used >= most and not self.stopped:
                self.stopped = f"the budget of {most:,g} {unit} is spent; run again to go on from here"
        return bool(self.stopped)

    # --- judging

    def run(
        self, rag: Rag, configuration: Configuration, dataset: Dataset, outcomes: Mapping[str, Outcome]
    ) -> Run:
        """The measured results of one configuration, in the order of the cases."""
        cases = [case for case in dataset.cases if case.id in outcomes]
        rankings = {
            c.id: ranking(dataset, c, outcomes[c.id].found) for c in cases if not outcomes[c.id].error
        }
        values: dict[str, Values] = of_rankings(dataset, rankings)
        for case in cases:
            own = (
                of_answer(dataset, case, outcomes[case.id], self.settings.assessors.verify)
                if dataset.asks
                else _of_ranking(outcomes[case.id])
            )
            values[case.id] = values.get(case.id, {}) | own | self._cost(rag, outcomes[case.id])
        if dataset.asks:
            self._compare(cases, outcomes, values)
            self._grade(cases, outcomes, values)
        faults = {c.id: fault(dataset, c, outcomes[c.id]) for c in cases}
        return Run(
            configuration.name,
            dataset,
            tuple(Result(c, outcomes[c.id], values[c.id], faults[c.id]) for c in cases),
        )

    def _cost(self, rag: Rag, outcome: Outcome) -> Values:
        names = [
            _model_name(part) for part in parts_of(rag.answer_pipeline) if isinstance(part, BaseChatModel)
        ]
        price = next((self.settings.prices[name] for name in names if name in self.settings.prices), None)
        if price is None or not outcome.tokens:
            return {}
        return {
            "cost": sum(
                each * outcome.usage.get(way, 0)
                for each, way in zip(price, ("input_tokens", "output_tokens"), strict=True)
            )
            / 1e6
        }

    def _compare(
        self, cases: Sequence[Case], outcomes: Mapping[str, Outcome], values: dict[str, Values]
    ) -> None:
        """Put the cosine to the reference beside the other values."""
        embed = self.settings.assessors.embed
        name = fingerprint_of(embed)
        pairs = {c.id: (_said(outcomes[c.id]), c.answer) for c in cases if c.answerable and c.answer}
        keys = {case: digest("similarity", name, *pair) for case, pair in pairs.items()}
        new = [case for case, pair in pairs.items() if pair[0] and self.results.get(keys[case]) is None]
        if new:
            for case, cosine in zip(new, similarities(embed, [pairs[case] for case in new]), strict=True):
                self.results.put(keys[case], repr(cosine))
        for case, (said, _) in pairs.items():
            values[case]["similarity"] = float(self.results.get(keys[case]) or 0.0) if said else 0.0

    def _grade(
        self, cases: Sequence[Case], outcomes: Mapping[str, Outcome], values: dict[str, Values]
    ) -> None:
        """Put the judge's grade beside the other values; a declined question that has an answer gets 0."""
        judge = self.settings.assessors.judge
        if judge is None:
            return
        for case in cases:
            if not case.answerable or outcomes[case.id].error:
                continue
            said = _said(outcomes[case.id])
            score = self._graded(judge, ToJudge(case.question, said, case.answer)) if said else 0.0
            if score is not None:
                values[case.id]["grade"] = score

    def _graded(self, judge: Judge, judged: ToJudge) -> float | None:
        key = digest("grade", identify(judge), judged.question, judged.answer, judged.reference)
        if kept := self.results.get(key):
            return float(kept)
        if self.exhausted():
            return None
        grade = run(judge.grade(judged))
        self.spend(1, grade.input_tokens + grade.output_tokens)
        if grade.score is not None:
            self.results.put(key, repr(grade.score))
        return grade.score

    def prefer(self, runs: Sequence[Run]) -> Generator[Event, None, tuple[Ranked, ...]]:
        """The runs as the judge's preferences rank them, each pair asked in both orders."""
        judge = self.settings.assessors.judge
        assert judge is not None
        by_case = [{r.case.id: r for r in run.results if r.case.answerable} for run in runs]
        pairs = [
            (i, j, case)
            for i, j in combinations(range(len(runs)), 2)
            for case in by_case[i]
            if case in by_case[j]
        ]
        matches = []
        for number, (i, j, case) in enumerate(pairs):
            yield Progress(
                "judge", number, len(pairs), f"{runs[i].configuration} against {runs[j].configuration}"
            )
            one, other = by_case[i][case], by_case[j][case]
            if winner := self._preferred(judge, one.case, _said(one.outcome), _said(other.outcome)):
                matches.append(Match(case, runs[i].configuration, runs[j].configuration, winner))
        yield Progress("judge", len(pairs), len(pairs))
        return tuple(bradley_terry(matches, [r.configuration for r in runs]))

    def _preferred(self, judge: Judge, case: Case, said: str, other: str) -> Winner | None:
        if said == other:
            return "tie"
        key = digest("prefer", identify(judge), case.question, said, other, case.answer)
        kept = self.results.get(key)
        if kept is None and not self.exhausted():
            preference = run(
                judge.prefer(ToJudge(case.question, said or _NO_ANSWER, case.answer), other or _NO_ANSWER)
            )
            self.spend(2, preference.input_tokens + preference.output_tokens)
            kept = preference.outcome
            if kept is not None:
                self.results.put(key, kept)
        return next((winner for winner in get_args(Winner) if winner == kept), None)


_NO_ANSWER = "(no answer)"


def _said(outcome: Outcome) -> str:
    """The answer as the judge reads it; empty where the question was declined."""
    return claimed(outcome.answer) if outcome.answer and not outcome.answer.abstained else ""


def _of_ranking(outcome: Outcome) -> Values:
    return {"ms": 1000 * outcome.seconds, "failed": float(bool(outcome.error))}


def _model_name(llm: BaseChatModel) -> str:
    return str(getattr(llm, "model_name", None) or getattr(llm, "model", ""))


def _notes(datasets: Sequence[Dataset]) -> Iterator[str]:
    for dataset in datasets:
        if left := sum(len(case.left_out) for case in dataset.cases):
            yield f"{dataset.name}: {left} papers were left out of the rankings, as its source_docs.tsv says"


def with_runs(evaluation: Evaluation, datasets: Sequence[Dataset], files: Sequence[Path]) -> Evaluation:
    """*evaluation* with the rankings of other tools (TREC run files) added to it.

    Each is measured on the datasets that it ranks queries of.  Raises `UsageError` for a run of no dataset.
    """
    runs = []
    for file in files:
        rankings = read_run(file)
        own = [d for d in datasets if any(case.id in rankings for case in d.cases)]
        if not own:
            raise UsageError(f"'{file}' ranks no query of {', '.join(d.name for d in datasets)}")
        runs += [_foreign(file.stem, dataset, rankings) for dataset in own]
    return replace(evaluation, runs=(*evaluation.runs, *runs))


def _foreign(name: str, dataset: Dataset, rankings: Mapping[str, Sequence[tuple[str, float]]]) -> Run:
    found = {
        c.id: [paper for paper, _ in rankings.get(c.id, ()) if paper not in c.left_out] for c in dataset.cases
    }
    values = of_rankings(dataset, found)
    outcomes = {
        c.id: Outcome(
            found=tuple(
                RetrievedPassage(document_id=p, title=p, uris=(p,), score=score)
                for p, score in rankings.get(c.id, ())[:DEEPEST]
            )
        )
        for c in dataset.cases
    }
    return Run(name, dataset, tuple(Result(c, outcomes[c.id], values.get(c.id, {})) for c in dataset.cases))


# --- corpora


def _ingested(rag: Rag, dataset: Dataset, settings: Settings) -> Iterator[Event]:
    if settings.papers and dataset.asks:
        yield from rag.ingest_events(*settings.papers)
        return
    try:
        rag.state()
    except IndexMismatch:  # the corpus is there, this configuration's indexes are not
        yield from rag.ingest_events()
    except NoCorpus:
        if dataset.asks:
            raise
        yield from rag.ingest_events()


def placed(rag: Rag, dataset: Dataset, settings: Settings) -> Rag:
    """*rag* over the corpus that *dataset* asks: a collection's, the papers', or its own."""
    corpora = settings.folder / "corpora"
    if dataset.folder is not None:
        ingest = replace(rag.ingest_pipeline, read=BeirCorpus(str(dataset.folder)))
        return Rag(corpus=corpora / dataset.corpus, ingest=ingest, answer=rag.answer_pipeline)
    if settings.papers:
        return rag.moved(corpora / digest(*sorted(str(Path(path).resolve()) for path in settings.papers)))
    return rag


def keys_of(rag: Rag, dataset: Dataset) -> dict[str, str]:
    """By case: the key that its outcome is stored under.

    It changes with the question, the settings, the models, the papers, and ragkit's own version and weights.
    """
    shape = str(Outcome.model_json_schema())
    state = digest(rag.state(), __version__, shape, fitted(), str((FOUND, FOUND_BY_WORDS, JUDGED, CHANCE)))
    return {
        c.id: digest("outcome", str(dataset.asks), state, c.question, str(list(map(dict, c.history))))
        for c in dataset.cases
    }
