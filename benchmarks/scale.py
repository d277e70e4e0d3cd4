"""How indexing, memory, disk, queries and exactness change with the number of passages.

    python -m benchmarks.scale [--sizes 10000 100000 1000000] [--stores flat bm25 chroma pgvector qdrant]

Passages have generated words (Zipf's law) and generated vectors (clusters of 384 dimensions, as texts of
topics have), so that any number can be had; the corpus, which holds real ingests, is measured in
`benchmarks.ingest`.  Each store runs in a process of its own; `pgvector` asks a Postgres server on this machine, whose
memory is not counted, and `qdrant` Qdrant's engine in the process.  Recall is that of the first 10 against comparing
every vector in float32.  Each query is asked once before it is timed.
"""

from __future__ import annotations

import argparse
import atexit
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

from benchmarks.plot import panels
from benchmarks.table import ROOT, markdown
from ragkit.document import Key, passage_id
from ragkit.index import Place
from ragkit.index.bm25 import Bm25Index
from ragkit.index.chroma import ChromaIndex
from ragkit.index.flat import FlatIndex
from ragkit.index.pgvector import PgvectorIndex

Vectors = NDArray[np.float32]

DIMENSIONS = 384
BATCH = 5_000
QUERIES = 60
FILTERED = 10
"""One passage in so many passes the filter."""
SIZES = (10_000, 100_000, 1_000_000)
STORES = ("flat", "bm25", "chroma", "pgvector", "qdrant")


class Prepared(Embeddings):
    """The vectors of the queries, by number: nothing is encoded here."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors

    def embed_query(self, text: str) -> list[float]:
        return self.vectors[int(text) if text.isdigit() else 0].tolist()  # type: ignore[no-any-return]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise NotImplementedError("the vectors are given")


def batches(size: int) -> Iterator[tuple[list[Key], Vectors]]:
    """Passages and their vectors; the same for the same size."""
    chance = np.random.default_rng(size)
    centres = chance.standard_normal((max(size // 200, 50), DIMENSIONS), dtype=np.float32)
    words = np.array([f"word{i}" for i in range(50_000)])
    for first in range(0, size, BATCH):
        number = min(BATCH, size - first)
        vectors = centres[chance.integers(0, len(centres), number)] + 0.9 * chance.standard_normal(
            (number, DIMENSIONS), dtype=np.float32
        )
        drawn = words[np.minimum(chance.zipf(1.2, (number, 60)) - 1, len(words) - 1)]
        keys = [Key(passage_id(str(first + i), 0, 1), 0, " ".join(row)) for i, row in enumerate(drawn)]
        yield keys, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _index(name: str, embed: Embeddings, folder: Path) -> Any:
    if name == "bm25":
        return Bm25Index()
    sys.path.append(str(ROOT / "tests"))  # where the servers are started
    if name == "qdrant":
        from qdrant_engine import EngineIndex

        return EngineIndex(embed=embed, collection="scale", url=str(folder))
    if name == "pgvector":
        from postgres import Server

        server = Server(shared_buffers="1GB", maintenance_work_mem="2GB")
        atexit.register(server.close)
        return PgvectorIndex(embed=embed, url=server.url())
    return {"flat": FlatIndex, "chroma": ChromaIndex}[name](embed=embed)


def measure(name: str, size: int, folder: Path) -> dict[str, Any]:
    """One index of *size* passages: its rate, disk, memory, query times and recall."""
    chance = np.random.default_rng(1)
    queries = np.empty((QUERIES, DIMENSIONS), dtype=np.float32)
    words: list[str] = []
    index = _index(name, Prepared(queries), folder)
    place = Place(folder / "scale", 1)
    builder = index.build(None, place)
    spent = 0.0
    for number, (keys, vectors) in enumerate(batches(size)):
        if number == 0:
            asked = chance.integers(0, len(keys), QUERIES)
            queries[:] = vectors[asked] + 0.02 * chance.standard_normal(
                (QUERIES, DIMENSIONS), dtype=np.float32
            )
            queries /= np.linalg.norm(queries, axis=1, keepdims=True)
            words = [" ".join(keys[int(i)].text.split()[:8]) for i in asked]
        started = time.perf_counter()
        builder.add(keys, vectors)
        spent += time.perf_counter() - started
    started = time.perf_counter()
    builder.seal()
    spent += time.perf_counter() - started
    among = frozenset(passage_id(str(i), 0, 1) for i in range(0, size, FILTERED))
    started = time.perf_counter()
    asked_words = words if name == "bm25" else [str(i) for i in range(QUERIES)]
    searcher = index.open(place)
    searcher.search(asked_words[0], 50)
    opened = time.perf_counter() - started
    for query in asked_words:
        searcher.search(query, 50)  # so that files that are mapped are in memory
    times, filtered = [], []
    found = []
    for query in asked_words:
        started = time.perf_counter()
        found.append([hit.passage for hit in searcher.search(query, 50)])
        times.append(time.perf_counter() - started)
        started = time.perf_counter()
        searcher.search(query, 50, among)
        filtered.append(time.perf_counter() - started)
    return {
        "store": name,
        "size": size,
        "rate": size / spent,
        "disk": (
            _bytes_in_postgres(index.url)
            if name == "pgvector"
            else sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        )
        / 1e6,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "open": 1000 * opened,
        **{f"p{q}": 1000 * float(np.percentile(times, q)) for q in (50, 95)},
        "filtered": 1000 * statistics.median(filtered),
        "recall": _recall(size, queries, found) if name != "bm25" else None,
    }


def _bytes_in_postgres(url: str) -> int:
    import psycopg

    with psycopg.connect(url) as connection:
        [size] = connection.execute("SELECT pg_total_relation_size('ragkit_vectors.scale')").fetchone() or [0]
        return int(size)


def _recall(size: int, queries: Vectors, found: list[list[str]]) -> float:
    """The share of the exact first 10 that is among the first 10 found."""
    best: list[list[tuple[float, str]]] = [[] for _ in queries]
    for keys, vectors in batches(size):
        scores = vectors @ queries.T
        for q, column in enumerate(scores.T):
            top = np.argsort(-column)[:10]
            best[q] = sorted([*best[q], *((float(column[i]), keys[i].passage) for i in top)], reverse=True)[
                :10
            ]
    shared = [len({i for _, i in exact} & set(own[:10])) / 10 for exact, own in zip(best, found, strict=True)]
    return statistics.mean(shared)


def in_own_process(store: str, size: int) -> dict[str, Any]:
    """`measure` in a process of its own; only `failed` where that ended with an error."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.scale", "--one", store, str(size), folder]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["killed"])[-1]
        return {"store": store, "size": size, "failed": last[:120]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(sizes: Sequence[int] = SIZES, stores: Sequence[str] = STORES) -> str:
    every = []
    for store in stores:
        for size in sizes:
            every.append(in_own_process(store, size))
            print(json.dumps(every[-1]), file=sys.stderr)
    return report(every)


def report(every: Sequence[Mapping[str, Any]]) -> str:
    """The section of the report, and its picture, of what was measured."""
    whole = [one for one in every if "failed" not in one]
    (ROOT / "docs" / "scale.svg").write_text(plot(whole), encoding="utf-8")
    header = [
        *("index", "passages", "passages/s", "disk MB", "peak memory MB"),
        *("open ms", "query ms p50", "p95", "with a filter", "recall@10"),
    ]
    title = f"## Scale: 50 nearest of many passages; the filter passes one in {FILTERED}"
    return f"{title}\n\n{markdown(header, list(map(_row, every)))}\n\n![how these grow](scale.svg)"


def _row(one: Mapping[str, Any]) -> list[str]:
    which = [one["store"], f"{one['size']:,}"]
    if "failed" in one:
        return [*which, f"failed: {one['failed']}", *[""] * 7]
    return [
        *which,
        *(f"{one[name]:,.0f}" for name in ("rate", "disk", "memory")),
        *(f"{one[name]:,.1f}" for name in ("open", "p50", "p95", "filtered")),
        "" if one["recall"] is None else f"{one['recall']:.3f}",
    ]


def plot(every: Sequence[Mapping[str, Any]]) -> str:
    """How queries, memory and disk grow, a line an index."""
    shown = {"query, ms (median)": "p50", "peak memory, MB": "memory", "disk, MB": "disk"}
    names = list(dict.fromkeys(one["store"] for one in every))
    return panels(
        {
            what: {name: [(one["size"], one[key]) for one in every if one["store"] == name] for name in names}
            for what, key in shown.items()
        },
        "passages",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="How indexing, memory, disk and queries grow with the number of passages."
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--stores", nargs="+", default=STORES, choices=STORES)
    parser.add_argument("--one", nargs=3, metavar=("STORE", "SIZE", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one[0], int(given.one[1]), Path(given.one[2]))))
    else:
        print(main(given.sizes, given.stores))
