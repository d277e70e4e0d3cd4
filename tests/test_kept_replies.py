"""An ingest that is killed while a chat model writes keys: no call is made again whose reply was kept."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from test_key_writers import Writing, papers
from workers import ReadHere, forked

import ragkit
from ragkit.ask import AnswerPipeline
from ragkit.chunk import WholeChunker
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index.bm25 import Bm25Index
from ragkit.ingest import IngestPipeline
from ragkit.keys.chat import QuestionKeys
from ragkit.retrieve import LexicalRetriever

KILLS = int(os.environ.get("RAGKIT_TEST_REPLY_KILLS", "10"))
PAPERS = 40
AT_ONCE = 8
"""Calls that are under way together."""


def test_a_kill_at_a_random_moment_costs_no_call_twice(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, __file__, tmp_path, str(KILLS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["kept, and made again"] == 0
    assert figures["neither kept nor made again"] == 0
    assert figures["most made again after a kill"] <= AT_ONCE, "only those that were under way"
    assert figures["killed"] >= KILLS // 4, "many kills must come before the ingest is over"
    assert figures["kept at a kill"] > 0


# --- the trials, in a process that forks one child for each


def ingest(corpus: Path, folder: Path, log: Path) -> None:
    """Ingest; *log* has a line for each call that is begun, and one for each reply."""
    words = Bm25Index()
    with log.open("a", buffering=1) as lines:

        def reply(text: str) -> str:
            paper = text.splitlines()[0]
            lines.write(f"begun {paper}\n")
            time.sleep(random.uniform(0.005, 0.03))
            lines.write(f"replied {paper}\n")
            return f"What of {paper}?"

        llm = Writing(rule=reply, asked=[])
        ragkit.Rag(
            corpus=corpus,
            ingest=IngestPipeline(
                read=ReadHere(), chunk=WholeChunker(), keys=[QuestionKeys(llm=llm)], index=[words]
            ),
            answer=AnswerPipeline(retrieve=[LexicalRetriever(index=words)], generate=ExtractiveGenerator()),
        ).ingest(folder)


def logged(log: Path, what: str) -> list[str]:
    lines = log.read_text().splitlines() if log.exists() else []
    return [line.partition(" ")[2] for line in lines if line.startswith(what)]


def kept(corpus: Path) -> set[str]:
    """The papers whose passage has a reply in the corpus."""
    if not (corpus / "corpus.sqlite").exists():
        return set()
    with closing(sqlite3.connect(corpus / "corpus.sqlite")) as db:
        try:
            replies = db.execute("SELECT reply FROM replies").fetchall()
        except sqlite3.OperationalError:  # no table yet
            return set()
    return {reply.removeprefix("What of ").removesuffix("?") for (reply,) in replies}


def whole(corpus: Path, folder: Path, log: Path) -> float:
    """Ingest to the end, in a child; the seconds from the first call on."""
    child = forked(lambda: ingest(corpus, folder, log))
    started = begun(child, log)
    _, status = os.waitpid(child, 0)
    assert status == 0
    return time.perf_counter() - started


def begun(child: int, log: Path) -> float:
    """Wait until the first call is begun; when that was."""
    while (
        not logged(log, "begun") and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    ):
        time.sleep(0.001)
    return time.perf_counter()


def killed(corpus: Path, folder: Path, log: Path, moment: float) -> bool:
    """Ingest in a child that is killed so many seconds after the first call; was it, before the end?"""
    child = forked(lambda: ingest(corpus, folder, log))
    begun(child, log)
    time.sleep(moment)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main(folder: Path, kills: int) -> dict[str, int]:
    library, corpus = papers(folder / "papers", *range(PAPERS)), folder / "corpus"
    seconds = whole(corpus, library, folder / "log of all")
    every, chance, figures = kept(corpus), random.Random(22), Counter(kills=kills)
    assert len(every) == PAPERS
    for n in range(kills):
        shutil.rmtree(corpus)
        log, again = folder / f"log {n}", folder / f"log {n} again"
        figures["killed"] += killed(corpus, library, log, chance.uniform(0, seconds))
        first, replied, before = set(logged(log, "begun")), set(logged(log, "replied")), kept(corpus)
        whole(corpus, library, again)
        second = set(logged(again, "begun"))
        twice = first & second
        figures["calls"] += len(logged(log, "begun")) + len(logged(again, "begun"))
        figures["kept at a kill"] += len(before)
        figures["kept, and made again"] += len(before & second)
        figures["neither kept nor made again"] += len(every - before - second)
        figures["made again, as no reply had come"] += len(twice - replied)
        figures["made again, as the reply came within the moment of the kill"] += len(twice & replied)
        figures["most made again after a kill"] = max(figures["most made again after a kill"], len(twice))
    return dict(figures)


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
