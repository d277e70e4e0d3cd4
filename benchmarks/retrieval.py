"""Retrieval quality: each retriever alone and both fused, on test collections, paired by query.

python -m benchmarks.retrieval [collection ...]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from benchmarks.table import SHARED, markdown
from ragkit import Rag
from ragkit.ask import AnswerPipeline
from ragkit.chunk import SentenceChunker
from ragkit.evaluate.dataset import read
from ragkit.evaluate.evaluation import Evaluation
from ragkit.evaluate.run import Configuration, Settings, evaluate
from ragkit.fuse import Fusion, MinMaxFusion, ReciprocalRankFusion
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index.bm25 import Bm25Index
from ragkit.index.flat import FlatIndex
from ragkit.ingest import IngestPipeline
from ragkit.models.embeddings import SentenceTransformersEmbeddings
from ragkit.retrieve import DenseRetriever, LexicalRetriever

COLLECTIONS = ("cranfield", "medline", "cisi", "vaswani")
DEFAULT = "min-max (default)"
MEASURE = "ndcg@10"


def configurations() -> list[Configuration]:
    dense, words = FlatIndex(embed=SentenceTransformersEmbeddings()), Bm25Index()
    ingest = IngestPipeline(chunk=SentenceChunker(), index=[dense, words])
    by_dense, by_words = DenseRetriever(store=dense, k=100), LexicalRetriever(index=words, k=100)
    ways: dict[str, tuple[list[DenseRetriever | LexicalRetriever], Fusion]] = {
        "dense": ([by_dense], MinMaxFusion()),
        "BM25": ([by_words], MinMaxFusion()),
        "RRF": ([by_dense, by_words], ReciprocalRankFusion()),
        DEFAULT: ([by_dense, by_words], MinMaxFusion(weights={"dense": 0.6, "lexical": 0.4})),
    }
    return [
        Configuration(
            name,
            Rag(
                ingest=ingest,
                answer=AnswerPipeline(retrieve=retrievers, fuse=fusion, generate=[ExtractiveGenerator()]),
            ),
        )
        for name, (retrievers, fusion) in ways.items()
    ]


def rows(found: Evaluation) -> list[list[object]]:
    """A row for each collection, and one with the means over the collections.

    A row has each way's mean, and how far the default is ahead of each.
    """
    means = {(f.dataset, f.configuration): f.interval for f in found.figures() if f.measure == MEASURE}
    apart = {
        (c.dataset, c.first): c.difference
        for c in found.comparisons()
        if c.measure == MEASURE and c.second == DEFAULT
    }
    ways = list(dict.fromkeys(run.configuration for run in found.runs))
    table: list[list[object]] = []
    for name in dict.fromkeys(run.dataset.name for run in found.runs):
        ahead = [apart[name, way] for way in ways if way != DEFAULT]
        differences = [
            f"{-d.value:+.3f} [{-d.high:+.3f}, {-d.low:+.3f}]{'' if d.is_chance else ' *'}" for d in ahead
        ]
        table.append(
            [
                name,
                means[name, DEFAULT].cases,
                *(f"{means[name, way].value:.3f}" for way in ways),
                *differences,
            ]
        )
    average = [
        f"{np.mean([i.value for (_, way), i in means.items() if way == wanted]):.3f}" for wanted in ways
    ]
    return [
        *table,
        ["mean", "", *average, *(_ahead_on_the_mean(found, way) for way in ways if way != DEFAULT)],
    ]


def _ahead_on_the_mean(found: Evaluation, way: str) -> str:
    """How far the default is ahead of *way*, every collection counting the same."""
    gains = {(run.dataset.name, run.configuration): run.values(MEASURE) for run in found.runs}
    names = dict.fromkeys(run.dataset.name for run in found.runs)
    apart = [
        np.array([gain - gains[name, way][case] for case, gain in gains[name, DEFAULT].items()])
        for name in names
    ]
    low, high = bootstrap(
        apart, _mean_of_means, method="percentile", n_resamples=5_000, batch=500, rng=np.random.default_rng(0)
    ).confidence_interval
    return f"{_mean_of_means(*apart, axis=-1):+.3f} [{low:+.3f}, {high:+.3f}]"


def _mean_of_means(*groups: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return np.asarray(np.mean([np.mean(group, axis=axis) for group in groups], axis=0))


def main(collections: Sequence[str] = COLLECTIONS) -> str:
    with tempfile.TemporaryDirectory() as folder:
        datasets = [read(SHARED / "data" / name) for name in collections]
        found = evaluate(configurations(), datasets, Settings(workspace=Path(folder)))
    ways = list(dict.fromkeys(run.configuration for run in found.runs))
    header = ["collection", "queries", *ways, *(f"default − {way}" for way in ways if way != DEFAULT)]
    title = "## Retrieval: nDCG@10, all-MiniLM-L6-v2, differences paired by query with 95 % intervals (* could not be chance, p < .05 by Holm)"
    return f"{title}\n\n{markdown(header, rows(found))}"


if __name__ == "__main__":
    print(main(sys.argv[1:] or COLLECTIONS))
