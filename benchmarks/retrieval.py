"""Retrieval quality: each retriever alone and both fused, nDCG@10 on test collections, paired by query.

    python -m benchmarks.retrieval [collection ...]

nDCG@10 here is the mean over the queries that have a judged document, gains linear in the grade, the ideal ranking over
all judged documents.
"""

from __future__ import annotations

import csv
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document
from numpy.typing import NDArray

import ragkit
from benchmarks.table import SHARED, markdown, paired_difference
from ragkit.chunk import SentenceChunker
from ragkit.document import span_of
from ragkit.embed import SentenceTransformersEmbeddings
from ragkit.flow import run
from ragkit.fuse import Fusion, MinMaxFusion, ReciprocalRankFusion
from ragkit.generate import ExtractiveGenerator
from ragkit.lexical import TantivyIndex
from ragkit.pipeline import AnswerPipeline, IngestPipeline, Question
from ragkit.retrieve import DenseRetriever, LexicalRetriever
from ragkit.store import ChromaStore

COLLECTIONS = ("cranfield", "medline", "cisi", "vaswani")


class Collection(NamedTuple):
    queries: dict[str, str]
    relevant: dict[str, dict[str, float]]
    left_out: dict[str, set[str]]
    """By query: documents that are taken out of its ranking (the paper the question was written from)."""


@dataclass(frozen=True)
class BeirCorpus(BaseLoader):
    """The documents of a folder in BEIR layout, each its own source."""

    folder: str

    def lazy_load(self) -> Iterator[Document]:
        with (Path(self.folder) / "corpus.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                known = {"source": row["_id"], "title": row.get("title", ""), "title_guessed": True, "sources": [{}]}
                yield Document(page_content=row.get("text", "") or row.get("title", ""), metadata=known)


def read(folder: Path) -> Collection:
    queries = {row["_id"]: row["text"] for row in map(json.loads, (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines())}
    relevant: dict[str, dict[str, float]] = {}
    for query, document, score in _rows(folder / "qrels.tsv"):
        if float(score) > 0:
            relevant.setdefault(query, {})[document] = float(score)
    left_out: dict[str, set[str]] = {}
    if (folder / "source_docs.tsv").exists():
        for query, document, *_ in _rows(folder / "source_docs.tsv"):
            left_out.setdefault(query, set()).add(document)
    return Collection(queries, relevant, left_out)


def _rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter="\t"))[1:]


def ndcg(ranking: Sequence[str], relevant: dict[str, float], k: int = 10) -> float:
    gained = sum(relevant.get(d, 0.0) / math.log2(i + 2) for i, d in enumerate(ranking[:k]))
    best = sum(g / math.log2(i + 2) for i, g in enumerate(sorted(relevant.values(), reverse=True)[:k]))
    return gained / best


def measure(folder: Path, corpus: Path) -> dict[str, NDArray[np.float64]]:
    """nDCG@10 of each query (rows in the same order) for each way to retrieve."""
    collection = read(folder)
    dense, words = ChromaStore(embed=SentenceTransformersEmbeddings()), TantivyIndex()
    ingest = IngestPipeline(load=BeirCorpus(str(folder)), chunk=SentenceChunker(), index=[dense, words])
    by_dense, by_words = DenseRetriever(store=dense, k=100), LexicalRetriever(index=words, k=100)
    ways: dict[str, tuple[list[DenseRetriever | LexicalRetriever], Fusion]] = {
        "dense": ([by_dense], MinMaxFusion()),
        "bm25": ([by_words], MinMaxFusion()),
        "rrf": ([by_dense, by_words], ReciprocalRankFusion()),
        "minmax (default)": ([by_dense, by_words], MinMaxFusion(weights={"dense": 0.6, "lexical": 0.4})),
    }
    found: dict[str, NDArray[np.float64]] = {}
    judged = [q for q in collection.queries if q in collection.relevant]
    for name, (retrievers, fusion) in ways.items():
        rag = ragkit.Rag(
            corpus=corpus, ingest=ingest, answer=AnswerPipeline(retrieve=retrievers, fuse=fusion, generate=ExtractiveGenerator())
        )
        if not found:
            rag.ingest()
        names = {identity: _name(rag, identity) for identity in rag.corpus.document_ids()}
        scores = []
        for query in judged:
            _, passages = run(rag.answer_pipeline.search(Question(rag.corpus, collection.queries[query])))
            ranking = dict.fromkeys(n for p in passages for n in names[span_of(p).document_id])
            kept = [d for d in ranking if d not in collection.left_out.get(query, ())]
            scores.append(ndcg(kept, collection.relevant[query]))
        found[name] = np.array(scores)
    return found


def _name(rag: ragkit.Rag, identity: str) -> list[str]:
    paper = rag.corpus.document(identity)
    return [str(source["uri"]) for source in paper.metadata["sources"]] if paper else []


def main(collections: Sequence[str] = COLLECTIONS) -> str:
    rows, means = [], []
    for name in collections:
        with tempfile.TemporaryDirectory() as corpus:
            found = measure(SHARED / "data" / name, Path(corpus))
        default = found["minmax (default)"]
        means.append([scores.mean() for scores in found.values()])
        rows.append(
            [
                name,
                len(default),
                *(f"{s.mean():.3f}" for s in found.values()),
                *(paired_difference(default, found[w]) for w in ("dense", "bm25", "rrf")),
            ]
        )
        print(rows[-1], file=sys.stderr)
    rows.append(["mean", "", *(f"{m:.3f}" for m in np.mean(means, axis=0)), "", "", ""])
    header = ["collection", "queries", "dense", "BM25", "RRF", "min-max (default)", "default − dense", "default − BM25", "default − RRF"]
    return "## Retrieval: nDCG@10, all-MiniLM-L6-v2, differences paired by query with 95 % intervals\n\n" + markdown(header, rows)


if __name__ == "__main__":
    print(main(sys.argv[1:] or COLLECTIONS))
