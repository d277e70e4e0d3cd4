"""Lexical search: what stemming, stop words, titles and phrases are worth; and three forms of queries.

python -m benchmarks.lexical [collection ...]

Each is measured alone and fused.  Every other query of a collection is for choosing, the others for
reporting.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.retrieval import COLLECTIONS, DEFAULT, MEASURE, configurations
from benchmarks.table import SHARED, markdown
from ragkit import Rag
from ragkit.ask import AnswerPipeline
from ragkit.chunk import SentenceChunker
from ragkit.document import digest
from ragkit.evaluate.dataset import BeirCorpus, Case, Dataset, read
from ragkit.evaluate.evaluation import Evaluation
from ragkit.evaluate.run import Configuration, Settings, evaluate
from ragkit.evaluate.statistics import difference
from ragkit.fuse import MinMaxFusion
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index.bm25 import Bm25Index
from ragkit.index.flat import FlatIndex
from ragkit.ingest import IngestPipeline
from ragkit.models.embeddings import SentenceTransformersEmbeddings
from ragkit.retrieve import DenseRetriever, LexicalRetriever
from ragkit.text.words import STOPWORDS, words

BASE = "stems, no stop words (default)"


@dataclass(frozen=True)
class EveryWordIndex(Bm25Index):
    """Stems, stop words among them."""

    def analyzer(self) -> Any:
        import tantivy

        builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()).filter(tantivy.Filter.lowercase())
        return builder.filter(tantivy.Filter.stemmer(self.language)).build()


VARIANTS = {
    BASE: Bm25Index(),
    "stems, stop words too": EveryWordIndex(),
    "words as they are": Bm25Index(language="none"),
}


def variants() -> list[Configuration]:
    """Each variant alone and fused with the dense part, over the same vectors."""
    dense = FlatIndex(embed=SentenceTransformersEmbeddings())
    fusion = MinMaxFusion(weights={"dense": 0.6, "lexical": 0.4})
    found = []
    for name, index in VARIANTS.items():
        ingest = IngestPipeline(chunk=SentenceChunker(), index=[dense, index])
        lexical = LexicalRetriever(index=index, k=100)
        for way, retrievers in (
            ("alone", [lexical]),
            ("fused", [DenseRetriever(store=dense, k=100), lexical]),
        ):
            fuse = fusion if way == "fused" else MinMaxFusion()
            answer = AnswerPipeline(retrieve=retrievers, fuse=fuse, generate=[ExtractiveGenerator()])
            found.append(Configuration(f"{name}: {way}", Rag(ingest=ingest, answer=answer)))
    return found


def forms(dataset: Dataset) -> list[Dataset]:
    """The queries as they are asked, their content words only, and the three rarest of these."""
    assert dataset.folder is not None
    texts = BeirCorpus(str(dataset.folder)).lazy_load()
    frequency = Counter(
        word for paper in texts for word in set(words(f"{paper.metadata['title']} {paper.page_content}"))
    )

    def keywords(query: str) -> list[str]:
        return list(dict.fromkeys(word for word in words(query) if word not in STOPWORDS)) or [query]

    def rarest(query: str) -> list[str]:
        known = sorted(keywords(query), key=lambda word: (frequency[word] == 0, frequency[word]))[:3]
        return [word for word in keywords(query) if word in known]

    def asked(name: str, rewrite: Callable[[str], list[str]]) -> Dataset:
        return named(
            dataset,
            name,
            [replace(case, question=" ".join(rewrite(case.question))) for case in dataset.cases],
        )

    return [
        asked("as asked", lambda query: [query]),
        asked("keywords", keywords),
        asked("three words", rarest),
    ]


def named(dataset: Dataset, name: str, cases: Sequence[Case]) -> Dataset:
    return replace(
        dataset, name=f"{dataset.name}, {name}", cases=tuple(cases), digest=digest(dataset.digest, name)
    )


def halves(dataset: Dataset) -> list[Dataset]:
    return [named(dataset, name, dataset.cases[n::2]) for n, name in enumerate(("choosing", "reporting"))]


def values(found: Evaluation, dataset: str, configuration: str) -> list[float]:
    run = next(r for r in found.runs if (r.dataset.name, r.configuration) == (dataset, configuration))
    return list(run.values(MEASURE).values())


def variant_rows(found: Evaluation, collections: Sequence[str]) -> list[list[object]]:
    rows: list[list[object]] = []
    for name in VARIANTS:
        row: list[object] = [name]
        for way in ("alone", "fused"):
            for half in ("choosing", "reporting"):
                each = [values(found, f"{c}, {half}", f"{name}: {way}") for c in collections]
                row.append(f"{np.mean([np.mean(v) for v in each]):.3f}")
            own, base = (
                [x for c in collections for x in values(found, f"{c}, reporting", f"{n}: {way}")]
                for n in (name, BASE)
            )
            d = difference(own, base)
            row.append("" if name == BASE else f"{d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}]")
        rows.append(row)
    return rows


def form_rows(found: Evaluation) -> list[list[object]]:
    ways = list(dict.fromkeys(run.configuration for run in found.runs))
    means = {(f.dataset, f.configuration): f.interval.value for f in found.figures() if f.measure == MEASURE}
    names = list(dict.fromkeys(run.dataset.name for run in found.runs))
    rows: list[list[object]] = [[name, *(f"{means[name, way]:.3f}" for way in ways)] for name in names]
    for form in dict.fromkeys(name.partition(", ")[2] for name in names):
        same = [name for name in names if name.endswith(f", {form}")]
        rows.append(
            [f"mean, {form}", *(f"{np.mean([means[name, way] for name in same]):.3f}" for way in ways)]
        )
    return rows


def main(collections: Sequence[str] = COLLECTIONS) -> str:
    datasets = [read(SHARED / "data" / name) for name in collections]
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(workspace=Path(folder))
        varied = evaluate(variants(), [half for dataset in datasets for half in halves(dataset)], settings)
        formed = evaluate(
            configurations(), [form for dataset in datasets for form in forms(dataset)], settings
        )
    header = [
        "lexical part",
        *(
            f"{way}, {what}"
            for way in ("alone", "fused")
            for what in ("choosing", "reporting", "against the default")
        ),
    ]
    ways = list(dict.fromkeys(run.configuration for run in formed.runs))
    return (
        f"## The lexical part: mean nDCG@10 of {', '.join(collections)}, on the queries for choosing and those for reporting\n\n"
        + markdown(header, variant_rows(varied, collections))
        + '\n\n"Against the default" pools the queries for reporting, paired, with 95 % intervals. Fused: with the dense part, min-max .6 / .4.\n\n'
        + f"## Forms of queries: nDCG@10 ({DEFAULT.partition(' ')[0]}: the default)\n\n"
        + markdown(["queries", *ways], form_rows(formed))
    )


if __name__ == "__main__":
    print(main(sys.argv[1:] or COLLECTIONS))
