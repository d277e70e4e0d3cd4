"""An ingest that is killed, at every step and at random moments, loses nothing once it is run again."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import ragkit
from ragkit.ask import AnswerPipeline
from ragkit.chunk import SentenceChunker
from ragkit.doctor import examine
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index import Index
from ragkit.index.bm25 import Bm25Index
from ragkit.index.chroma import ChromaIndex
from ragkit.ingest import IngestPipeline
from ragkit.read.files import Files
from ragkit.retrieve import DenseRetriever, LexicalRetriever
from ragkit.testing import HashedEmbeddings

RANDOM_KILLS = 50


def test_a_killed_ingest_resumes_to_the_state_of_a_clean_build(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, __file__, tmp_path], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["differing"] == []
    assert report["steps"] >= 20
    assert report["killed"] >= report["steps"] + RANDOM_KILLS // 4, (
        "many kills must come before the ingest is over"
    )


# --- the trials: a process of their own, that forks one child for each, so that each costs little and can be killed


class ReadHere(Files):
    """Reads files in this process: only it knows this class, and a new process per trial would be slow."""


def pipeline(directory: Path) -> ragkit.Rag:
    dense, words = ChromaIndex(embed=HashedEmbeddings()), Bm25Index()
    retrieve = [DenseRetriever(store=dense, k=5), LexicalRetriever(index=words, k=5)]
    ingest = IngestPipeline(read=ReadHere(), chunk=SentenceChunker(max_tokens=40), index=[dense, words])
    return ragkit.Rag(
        corpus=directory,
        ingest=ingest,
        answer=AnswerPipeline(retrieve=retrieve, generate=ExtractiveGenerator()),
    )


def write(folder: Path, version: int) -> None:
    """Papers of which a third differ from version to version, and some more each time."""
    folder.mkdir(exist_ok=True)
    for n in range(9 + 3 * version):
        edition = version if n % 3 == 0 else 0
        body = " ".join(
            f"Bridge {n} of edition {edition} carries {10 * n + i} people across river {i}." for i in range(4)
        )
        (folder / f"paper{n:02}.md").write_text(f"# Bridge number {n} of many\n\n{body}\n")


def state(directory: Path) -> dict[str, Any]:
    """All that a corpus and its indexes hold, and what doctor says."""
    rag = pipeline(directory)
    corpus, held = rag.corpus, {}
    for index in rag.ingest_pipeline.index:
        assert isinstance(index, Index)
        name = rag.ingest_pipeline.name_of(index)
        with closing(
            index.open(rag.ingest_pipeline.place(corpus, index, corpus.published()[name][1]))
        ) as open_:
            held[name] = [sorted(corpus.held(name)), sorted(map(list, open_.entries()))]
    papers = {i: [d.page_content, d.metadata] for i, d in corpus.documents(corpus.document_ids()).items()}
    counts = corpus.counts()
    return {
        "papers": papers,
        "held": held,
        "chunks": counts.chunks,
        "vectors": counts.vectors,
        "problems": examine(rag).problems,
    }


def in_a_child(work: Callable[[], object], kill_after: float | None = None) -> tuple[bool, Any]:
    """Run *work* in a forked process; say whether it had to be killed, and what it returned."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as pipe:
            json.dump(work(), pipe)
        os._exit(0)
    os.close(writing)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status), json.loads(said) if said else None


def ingest_until(directory: Path, papers: Path, step: int | None = None) -> int:
    """Ingest; after so many events, be killed.  Returns how many events there were."""
    events = 0
    for _ in pipeline(directory).ingest_events(papers):
        if events == step:
            os.kill(os.getpid(), signal.SIGKILL)
        events += 1
    return events


def main(folder: Path) -> None:
    papers, old = folder / "papers", folder / "old"
    write(papers, 0)
    in_a_child(lambda: ingest_until(old, papers))
    write(papers, 1)
    times = []
    for _ in range(3):  # the quickest: a machine that was busy then would put the kills after the end
        shutil.rmtree(folder / "clean", ignore_errors=True)
        shutil.copytree(old, folder / "clean")
        started = time.perf_counter()
        _, steps = in_a_child(lambda: ingest_until(folder / "clean", papers))
        times.append(time.perf_counter() - started)
    whole = min(times)
    _, expected = in_a_child(lambda: state(folder / "clean"))

    chance = random.Random(2)
    trials: list[tuple[str, int | None, float | None]] = [(f"step {n}", n, None) for n in range(steps)]
    trials += [(f"moment {n}", None, chance.uniform(0, whole)) for n in range(RANDOM_KILLS)]
    killed, differing = 0, []
    for name, step, moment in trials:
        corpus = folder / "trial"
        shutil.rmtree(corpus, ignore_errors=True)
        shutil.copytree(old, corpus)
        died, _ = in_a_child(lambda corpus=corpus, step=step: ingest_until(corpus, papers, step), moment)
        killed += died
        in_a_child(lambda corpus=corpus: ingest_until(corpus, papers))
        _, found = in_a_child(lambda corpus=corpus: state(corpus))
        if found != expected:
            differing.append([name, [k for k in expected if not found or found[k] != expected[k]]])
    print(json.dumps({"steps": steps, "killed": killed, "differing": differing}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
