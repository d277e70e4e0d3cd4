"""What a run would take, from the questions that earlier runs asked; asks nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel

from ragkit.config.spec import parts_of
from ragkit.errors import IndexMismatch, NoCorpus
from ragkit.evaluate.dataset import Dataset
from ragkit.evaluate.outcome import Outcome
from ragkit.evaluate.results import Results
from ragkit.evaluate.run import Configuration, Settings, keys_of, placed
from ragkit.plan import plan, work_of


@dataclass(frozen=True)
class RunEstimate:
    """What one configuration would do with one dataset, and about what it would cost.

    Of the `questions`, `known` have an outcome already.  `papers` are to be ingested first, with `encode`
    passages to embed.  `calls` and `tokens` of chat models, and `seconds`, are estimates; None means that
    nothing is known of them yet.
    """

    dataset: str
    configuration: str
    questions: int
    known: int
    papers: int
    encode: int
    calls: int
    tokens: int | None
    seconds: float | None


def estimate(
    configurations: Sequence[Configuration], datasets: Sequence[Dataset], settings: Settings = Settings()
) -> list[RunEstimate]:
    """What a run would take; asks nothing and changes nothing.

    Calls, tokens and time of a question are those of the questions known from earlier runs; without any, a
    call for each chat model of the configuration.
    """
    if not (settings.folder / "results.sqlite").exists():
        return [_estimate(c, d, settings, None) for d in datasets for c in configurations]
    results = Results(settings.folder / "results.sqlite")
    try:
        return [_estimate(c, d, settings, results) for d in datasets for c in configurations]
    finally:
        results.close()


def _estimate(
    configuration: Configuration, dataset: Dataset, settings: Settings, results: Results | None
) -> RunEstimate:
    rag = placed(configuration.rag, dataset, settings)
    papers = encode = 0
    spent = 0.0
    known: list[Outcome] = []
    try:
        keys = keys_of(rag, dataset)
        known = [
            Outcome.model_validate_json(kept)
            for key in keys.values()
            if results and (kept := results.get(key))
        ]
    except (NoCorpus, IndexMismatch):
        if dataset.folder is not None:
            work = work_of(rag, _batches(rag.ingest_pipeline.read.lazy_load()))
            papers, encode, spent = work.papers, work.encode, work.seconds
        elif settings.papers:
            planned = plan(rag, *settings.papers)
            papers, encode, spent = planned.papers, planned.encode, planned.seconds
    left = len(dataset.cases) - len(known)
    models = (
        len({id(part) for part in parts_of(rag.answer_pipeline) if isinstance(part, BaseChatModel)})
        if dataset.asks
        else 0
    )
    calls = sum(o.calls for o in known) / len(known) if known else models
    tokens = sum(o.tokens for o in known) / len(known) if known else None if models else 0.0
    seconds = sum(o.seconds for o in known) / len(known) if known else None
    return RunEstimate(
        dataset=dataset.name,
        configuration=configuration.name,
        questions=len(dataset.cases),
        known=len(known),
        papers=papers,
        encode=encode,
        calls=round(calls * left),
        tokens=None if tokens is None else round(tokens * left),
        seconds=round(spent + seconds * left, 1) if seconds is not None else spent or None,
    )


def _batches(papers: Iterable[Document], size: int = 256) -> Iterator[list[Document]]:
    every = iter(papers)
    while some := list(islice(every, size)):
        yield some
