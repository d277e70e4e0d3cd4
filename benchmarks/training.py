"""Does a reranker learn from questions that are made of the papers themselves?  `ragkit testset` and `ragkit train`.

python -m benchmarks.training [--size N]

A cross-encoder is trained on questions that templates make of plain sentences, and, if RAGKIT_MODEL names a chat model,
on questions that this writes ("Promptagator: Few-shot Dense Retrieval From 8 Examples").  Each then
ranks what the search finds for the questions of this project, which it has not seen.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from langchain_core.language_models import BaseChatModel

import ragkit
from benchmarks.answers import DEFAULT, chat_model, questions
from benchmarks.table import SHARED, markdown
from benchmarks.techniques import papers_of
from ragkit import Rag
from ragkit.ask import refined
from ragkit.config.chat_model import VARIABLE
from ragkit.evaluate.dataset import Dataset
from ragkit.evaluate.measure import of_rankings
from ragkit.evaluate.outcome import searched
from ragkit.evaluate.run import Settings, placed
from ragkit.evaluate.statistics import difference
from ragkit.evaluate.testset import Testset, write_events
from ragkit.evaluate.train import TrainingReport, train_events
from ragkit.flow import result_of, run
from ragkit.refine.cross_encoder import CrossEncoderReranker

MEASURE = "ndcg@10"
SIZE = 120


def sources(rag: Rag, folder: Path, size: int) -> Iterator[tuple[str, Path, float]]:
    """What is trained on, with the file of its questions, and the seconds that writing it took."""
    writers: dict[str, BaseChatModel | None] = {"questions of templates": None}
    if name := os.environ.get(VARIABLE):
        writers[f"questions of {name}"] = chat_model()
    for what, llm in writers.items():
        started = time.perf_counter()
        written: Testset = result_of(write_events(rag, size, llm=llm, unanswerable=0.0))
        file = folder / f"{what}.jsonl"
        file.write_text("".join(f"{json.dumps(e.as_json())}\n" for e in written.entries), encoding="utf-8")
        yield what, file, time.perf_counter() - started


def ranked(rag: Rag, dataset: Dataset, *rerank: CrossEncoderReranker) -> Mapping[str, float]:
    """By question: nDCG@10 of the papers that the search finds, as *rerank* orders them."""
    rankings = {}
    for case in dataset.cases:
        search, passages = searched(rag, case)
        order = run(refined(rerank, search.asked(case), passages))
        rankings[case.id] = list(papers_of(dataset, order))
    return {case: values[MEASURE] for case, values in of_rankings(dataset, rankings).items()}


def main(size: int = SIZE) -> str:
    dataset = questions(None)
    dataset = replace(dataset, cases=tuple(c for c in dataset.cases if c.relevant and not c.history))
    table: list[list[object]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        papers = SHARED / "papers"
        rag = placed(ragkit.load(DEFAULT), dataset, Settings(papers=[papers], workspace=folder))
        rag.ingest(papers)
        base = ranked(rag, dataset)
        for what, file, seconds in sources(rag, folder, size):
            report: TrainingReport = result_of(train_events(rag, file, folder / f"model of {what}"))
            depth = report.depth
            model = CrossEncoderReranker(model=report.directory, depth=depth, top_k=depth, blend=report.blend)
            own = ranked(rag, dataset, model)
            apart = difference([own[c] for c in base], [base[c] for c in base])
            table.append(
                [
                    what,
                    report.trained_on,
                    f"{seconds:.0f}",
                    f"{report.seconds:.0f}",
                    report.blend,
                    f"{np.mean(list(own.values())):.3f}",
                    f"{apart.value:+.3f} [{apart.low:+.3f}, {apart.high:+.3f}]",
                ]
            )
    title = (
        f"## Training a reranker: nDCG@10 on {len(base)} questions over the shared paper pages"
        f" ({np.mean(list(base.values())):.3f} by the search alone), 95 % intervals"
    )
    return f"{title}\n\n{markdown(HEADER, table)}"


HEADER = [
    "trained on",
    "questions",
    "written in, s",
    "trained in, s",
    "weight of the search",
    "nDCG@10",
    "difference",
]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Rerankers trained on questions made of the papers.")
    parser.add_argument("--size", type=int, default=SIZE, help="questions that are written at most")
    print(main(parser.parse_args().size))
