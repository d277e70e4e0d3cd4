"""Speed: ingest against the encoder alone, a warm query against its raw parts, a cold question from the shell.

    python -m benchmarks.speed

Ratios compare both sides in one run on one machine; the absolute figures are of that machine.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ragkit
from benchmarks.answers import questions
from benchmarks.table import SHARED, markdown
from ragkit.document import searchable


def seconds(what: Callable[[], object], times: int = 1) -> float:
    """The median of *times* runs."""
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        what()
        spent.append(time.perf_counter() - started)
    return statistics.median(spent)


def main() -> str:
    with tempfile.TemporaryDirectory() as directory:
        corpus = Path(directory) / "corpus"
        rag = ragkit.load(corpus=corpus)
        store, words = rag.ingest_pipeline.index
        dense: Any = store
        lexical: Any = words
        embed = dense.embeddings
        embed.embed_query("loads the model")
        whole = seconds(lambda: rag.ingest(SHARED / "papers"))
        texts = [searchable(p) for p in rag.corpus.passages(rag.corpus.held(rag.ingest_pipeline.name_of(store))).values()]
        encoder = seconds(lambda: embed.embed_documents(texts))
        asked = [case.question for case in questions(None).cases][:50]
        rag.search("opens the indexes")
        warm = statistics.median(seconds(partial(rag.search, question)) for question in asked)
        nearest = statistics.median(seconds(partial(dense.similarity_search_with_relevance_scores, question, k=50)) for question in asked)
        matching = statistics.median(seconds(partial(lexical.search, question, 50)) for question in asked)
        raw = nearest + matching
        command = [sys.executable, "-m", "ragkit", "ask", "How many in-batch negatives does PEG train with?", "--corpus", str(corpus)]
        cold = seconds(lambda: subprocess.run(command, check=True, capture_output=True), times=5)
        help_ = seconds(lambda: subprocess.run([sys.executable, "-m", "ragkit", "--help"], check=True, capture_output=True), times=5)
    rows = [
        [f"ingest of {len(texts)} passages", f"{whole:.2f} s", f"encoder alone {encoder:.2f} s", f"{whole / encoder:.2f}"],
        ["warm search", f"{1000 * warm:.1f} ms", f"encode + Chroma + tantivy {1000 * raw:.1f} ms", f"{warm / raw:.2f}"],
        ["cold `ragkit ask`", f"{cold:.2f} s", "", ""],
        ["`ragkit --help`", f"{help_:.2f} s", "", ""],
    ]
    return "## Speed: medians, on the shared paper pages\n\n" + markdown(["what", "time", "against", "ratio"], rows)


if __name__ == "__main__":
    print(main())
