"""What the tests of workers share: papers, a pipeline that is quick to start, and workers in processes of their own."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

import ragkit
from ragkit.ask import AnswerPipeline
from ragkit.chunk import SentenceChunker
from ragkit.corpus.store import CorpusPlace
from ragkit.doctor import examine
from ragkit.flow import run
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index import Index
from ragkit.index.bm25 import Bm25Index
from ragkit.index.flat import FlatIndex
from ragkit.index.pgvector import PgvectorIndex
from ragkit.ingest import IngestPipeline
from ragkit.ingest.queue import Lease, Queue
from ragkit.ingest.reading import IngestRequest
from ragkit.ingest.work import Worker, enqueue, queue_of
from ragkit.read import PaperSource
from ragkit.read.files import Files
from ragkit.retrieve import DenseRetriever, LexicalRetriever
from ragkit.testing import HashedEmbeddings

LEASE = 1.0  # seconds


class ReadHere(Files):
    """Reads files in this process, since one of its own for each worker would be slow to start; some names do more."""

    @contextmanager
    def reading(self) -> Iterator[PaperSource]:
        yield self

    def read(self, uri: str) -> Iterator[list[Document]]:
        path = Path(uri)
        if path.name.startswith("deadly"):
            os.kill(os.getpid(), signal.SIGKILL)
        if path.name.startswith("odd"):
            raise ZeroDivisionError("a mistake in a format")
        if path.name.startswith("slow") and not path.with_suffix(".begun").exists():
            path.with_suffix(".begun").touch()
            while not path.with_suffix(".go").exists():
                time.sleep(0.01)
        yield from super().read(uri)


def pipeline(place: CorpusPlace | Path, tokens: int = 40, vectors: str = "") -> ragkit.Rag:
    """*vectors* is the address of a Postgres that keeps them, if one does."""
    embed, words = HashedEmbeddings(), Bm25Index()
    dense = PgvectorIndex(embed=embed, url=vectors) if vectors else FlatIndex(embed=embed)
    return ragkit.Rag(
        corpus=place,
        ingest=IngestPipeline(
            read=ReadHere(), chunk=SentenceChunker(max_tokens=tokens), index=[dense, words]
        ),
        answer=AnswerPipeline(
            retrieve=[DenseRetriever(store=dense, k=5), LexicalRetriever(index=words, k=5)],
            generate=ExtractiveGenerator(),
        ),
    )


def put(rag: ragkit.Rag, *paths: Path, prune: bool = False) -> int:
    """Put files into the queue, and wait for nobody; how many there are."""
    put: Any = run(enqueue(rag.ingest_pipeline, IngestRequest(rag.corpus, paths, prune), wait=False))
    return int(put)


def work(place: CorpusPlace, attempts: int = 3) -> Worker:
    """Work until all is published."""
    rag = pipeline(place)
    worker = Worker(rag.ingest_pipeline, rag.corpus, LEASE, attempts)
    for _ in worker.run(drain=True):
        pass
    rag.corpus.close()
    return worker


def queue(rag: ragkit.Rag) -> Queue:
    return queue_of(rag.ingest_pipeline, rag.corpus, LEASE)


def claimed(rag: ragkit.Rag) -> Lease:
    found = queue(rag).claim()
    assert found
    return found


def forked(do: Callable[[], object]) -> int:
    """Do something in a process of its own, whose exit status is the result if that is a number; its number."""
    if child := os.fork():
        return child
    gc.freeze()  # what the parent has is the parent's to close
    try:
        done = do()
        os._exit(done if isinstance(done, int) else 0)
    except BaseException as error:
        print(type(error).__name__, error, file=sys.stderr, flush=True)
        os._exit(1)


def write(folder: Path, count: int) -> None:
    """Papers; each third is there twice, with more known of it in one file, each fifth in two versions."""
    folder.mkdir(exist_ok=True)
    for n in range(count):
        body = " ".join(f"Bridge {n} carries {10 * n + i} people across river {i}." for i in range(4))
        paper = f"# Bridge number {n} of many\n\n{body}\n"
        (folder / f"paper{n:04}.md").write_text(f"---\nyear: {1990 + n}\n---\n{paper}")
        if n % 3 == 0:
            (folder / f"again{n:04}.md").write_text(f"---\ndoi: 10.1/{n}\nvenue: Bridges\n---\n{paper}")
        if n % 5 == 0:
            (folder / f"revised{n:04}.md").write_text(paper.replace("river 3", "the delta of river 3"))


def state(rag: ragkit.Rag) -> dict[str, Any]:
    """All that a corpus and its indexes hold, and what doctor says."""
    corpus, held = rag.corpus, {}
    for index in rag.ingest_pipeline.index:
        assert isinstance(index, Index)
        name = rag.ingest_pipeline.name_of(index)
        place = rag.ingest_pipeline.place(corpus, index, corpus.published()[name][1])
        with closing(index.open(place)) as searcher:
            held[name] = [
                sorted(corpus.held(name)),
                sorted(map(list, searcher.entries())),
                corpus.ledger_digest(name),
            ]
    return {
        "papers": {
            i: [d.page_content, d.metadata] for i, d in corpus.documents(corpus.document_ids()).items()
        },
        "works": [
            [(each.uri, each.document, each.version, each.because) for each in work.listings]
            for work in corpus.works(corpus.uris())
        ],
        "held": held,
        "counts": corpus.counts(),
        "failures": corpus.failures(),
        "problems": examine(rag).problems,
    }
