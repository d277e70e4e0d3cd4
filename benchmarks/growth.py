"""The cost of adding one paper to a large corpus: bytes that its indexes write, against all they hold.

    python -m benchmarks.growth [PASSAGES]

Text is drawn at random and vectors are of hashed words, since only sizes are measured.  "Copied" is the same
addition where no file is shared with the last generation.
"""

from __future__ import annotations

import errno
import json
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np

import ragkit
from benchmarks.table import markdown
from ragkit.ask import AnswerPipeline
from ragkit.chunk import WholeChunker
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index import Index
from ragkit.index.bm25 import Bm25Index
from ragkit.index.flat import FlatIndex
from ragkit.ingest import IngestPipeline
from ragkit.retrieve import DenseRetriever, LexicalRetriever
from ragkit.testing import HashedEmbeddings

PASSAGES = 100_000
ADDED = 20  # papers, one ingest each
WORDS, VOCABULARY = 60, 30_000  # of a passage; drawn by Zipf's law


def papers(path: Path, numbers: range) -> Path:
    chance = np.random.default_rng(numbers.start)
    with path.open("w") as file:
        for n in numbers:
            text = " ".join(f"w{word}" for word in np.minimum(chance.zipf(1.2, WORDS), VOCABULARY))
            file.write(json.dumps({"title": f"Paper {n}", "text": text}) + "\n")
    return path


def rag(corpus: Path) -> ragkit.Rag:
    dense, words = FlatIndex(embed=HashedEmbeddings(size=384)), Bm25Index()
    return ragkit.Rag(
        corpus=corpus,
        ingest=IngestPipeline(chunk=WholeChunker(), index=[dense, words]),
        answer=AnswerPipeline(
            retrieve=[DenseRetriever(store=dense), LexicalRetriever(index=words)],
            generate=[ExtractiveGenerator()],
        ),
    )


def files(one: ragkit.Rag, index: Index) -> dict[int, int]:
    """The size of each file of the generation that is searched, by its inode."""
    name = one.ingest_pipeline.name_of(index)
    place = one.ingest_pipeline.place(one.corpus, index, one.corpus.published()[name][1])
    known = [path.stat() for path in place.folder.rglob("*") if path.is_file()]
    return {stat.st_ino: stat.st_size for stat in known}


def added(one: ragkit.Rag, paper: Path) -> list[int]:
    """The bytes that each index writes when *paper* is ingested: the sizes of its new files."""
    before = [files(one, index) for index in one.ingest_pipeline.index if isinstance(index, Index)]
    one.ingest(paper)
    after = [files(one, index) for index in one.ingest_pipeline.index if isinstance(index, Index)]
    return [
        sum(size for inode, size in new.items() if inode not in old)
        for old, new in zip(before, after, strict=True)
    ]


def main(passages: int = PASSAGES) -> str:
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        one = rag(folder / "corpus")
        one.ingest(papers(folder / "all.jsonl", range(passages)))
        written = [
            added(one, papers(folder / f"{n}.jsonl", range(n, n + 1)))
            for n in range(passages, passages + ADDED)
        ]
        whole = [sum(files(one, i).values()) for i in one.ingest_pipeline.index if isinstance(i, Index)]
        with patch("os.link", side_effect=OSError(errno.EPERM, "no links")):
            copied = added(one, papers(folder / "last.jsonl", range(2 * passages, 2 * passages + 1)))
    rows: list[list[object]] = []
    for n, name in enumerate(("flat", "bm25", "both")):
        pick = (lambda each, n=n: each[n]) if n < 2 else sum
        of_all = pick(whole)
        own = [pick(each) for each in written]
        rows.append(
            [
                name,
                f"{of_all / 1e6:,.1f}",
                f"{own[0] / 1e6:.3f} ({own[0] / of_all:.2%})",
                f"{sum(own) / len(own) / 1e6:.3f} ({sum(own) / len(own) / of_all:.2%})",
                f"{max(own) / 1e6:.3f}",
                f"{pick(copied) / 1e6:,.1f}",
            ]
        )
    header = ["index", "holds MB", "first paper, MB", f"mean of {ADDED}, MB", "most, MB", "copied, MB"]
    return f"## Growth: what one more paper writes into the indexes of {passages:,} passages\n\n{markdown(header, rows)}"


if __name__ == "__main__":
    print(main(int(sys.argv[1]) if len(sys.argv) > 1 else PASSAGES))
