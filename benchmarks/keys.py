"""What keys cost: the size of the indexes and a warm search, beside the same papers without keys.

    python -m benchmarks keys          # writes its section of docs/benchmarks.md
    python -m benchmarks.keys

The papers are those of the shared pages; each pipeline is asked the questions of this project, one after another, in
turn with the default configuration.
"""

from __future__ import annotations

import statistics
import tempfile
from functools import partial
from pathlib import Path

import ragkit
from benchmarks.answers import questions
from benchmarks.speed import folder_of, seconds
from benchmarks.table import ROOT, SHARED, markdown
from ragkit.index import Index

WRITERS = ("headings", "entities", "sentences")
"""Those that ask no model; their files in configs/techniques/ differ from the default by these keys alone."""
TIMES = 100  # questions


def megabytes(rag: ragkit.Rag) -> float:
    """The size of the indexes that are searched."""
    folders = [folder_of(rag, each) for each in rag.ingest_pipeline.index if isinstance(each, Index)]
    return sum(f.stat().st_size for folder in folders for f in folder.rglob("*") if f.is_file()) / 1e6


def keys_a_passage(rag: ragkit.Rag) -> float:
    name = rag.ingest_pipeline.name_of(rag.ingest_pipeline.index[0])
    return rag.corpus.count_keys(name) / rag.corpus.count_held(name)


def main() -> str:
    files = [ROOT / "configs" / "techniques" / f"{name}.yaml" for name in WRITERS]
    with tempfile.TemporaryDirectory() as folder:
        plain = ragkit.load(preset="default", corpus=Path(folder, "none"))
        rags = [plain, *(ragkit.load(file, corpus=Path(folder, file.stem)) for file in files)]
        for rag in rags:
            rag.ingest(SHARED / "papers")
            rag.search("opens the indexes")
        times: list[list[float]] = [[] for _ in rags]
        for case in questions(None).cases[:TIMES]:
            for rag, spent in zip(rags, times, strict=True):
                spent.append(seconds(partial(rag.search, case.question)))
        sizes, searches = [megabytes(rag) for rag in rags], [statistics.median(spent) for spent in times]
        rows = [
            [
                name,
                f"{keys_a_passage(rag):.1f}",
                f"{size:.1f}",
                f"{size / sizes[0]:.2f}",
                f"{1000 * search:.1f}",
                f"{search / searches[0]:.2f}",
            ]
            for name, rag, size, search in zip(("none", *WRITERS), rags, sizes, searches, strict=True)
        ]
    header = ["keys", "a passage", "index MB", "times", "warm search ms", "times"]
    return f"## What keys cost: {len(times[0])} questions, medians\n\n{markdown(header, rows)}"


if __name__ == "__main__":
    print(main())
