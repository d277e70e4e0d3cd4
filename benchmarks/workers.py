"""Ingest by one and by two workers that share a queue in Postgres.

    python -m benchmarks workers                                         # writes its section of docs/benchmarks.md
    python -m benchmarks.workers [--papers 60] [--words 1500] [--rounds 3]

The papers are generated, a file each; the default configuration reads, cuts and embeds them with the real model. Each
worker is bound to one core, as the model of one worker uses all the cores that it is given; the last row is one worker
that has them all. Workers are started and have loaded their models before the files are put into the queue; the time is
from then until all are published. The runs take turns, and the median of their times is reported; other programs on the
machine slow all of them down, those on two cores more.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.ingest import WORDS
from benchmarks.table import ROOT, markdown

WARMING = 8  # papers, so that each worker has worked


def write(folder: Path, papers: int, words: int, seed: int) -> None:
    """Papers in sections of ten sentences."""
    folder.mkdir()
    chance = random.Random(seed)
    for number in range(papers):
        sentences = [
            f"{' '.join(chance.choices(WORDS, k=15)).capitalize()} {chance.random():.4f}."
            for _ in range(words // 16)
        ]
        sections = [
            f"## Part {at}\n\n{' '.join(sentences[at : at + 10])}\n" for at in range(0, len(sentences), 10)
        ]
        (folder / f"{number:05}.md").write_text(
            f"# Paper {seed}-{number} on {chance.choice(WORDS)}\n\n" + "\n".join(sections)
        )


def timed(server: Any, name: str, cores: Sequence[set[int]], papers: int, words: int) -> float:
    """The seconds that workers, each on its cores, take from a filled queue to the publication."""
    command = [sys.executable, "-m", "ragkit"]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as workers:
        where: dict[str, Any] = {"cwd": folder, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
        corpus = f"--corpus={server.database(name)}"

        def seconds(papers: Path) -> float:
            queued = [*command, "ingest", str(papers), corpus, "--queue", "--json"]
            done = subprocess.run(queued, capture_output=True, check=True, **where)
            return float(json.loads(done.stdout)["seconds"])

        for own in cores:
            bound = partial(os.sched_setaffinity, 0, own)
            process = subprocess.Popen(
                [*command, "work", corpus],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                preexec_fn=bound,
                **where,
            )
            workers.callback(process.wait)
            workers.callback(process.terminate)
        write(Path(folder, "warming"), WARMING, words, 1)
        seconds(Path(folder, "warming"))
        write(Path(folder, "papers"), papers, words, 2)
        return seconds(Path(folder, "papers"))


COUNT = "import sys, time\nends, n = time.time() + 2, 0\nwhile time.time() < ends: n += 1\nprint(n)"


def gained(cores: Sequence[set[int]]) -> float:
    """How many times as far as one process two get that only count, each on its core: what the machine gives at most."""

    def counted(some: Sequence[set[int]]) -> int:
        bound = [partial(os.sched_setaffinity, 0, own) for own in some]
        start = [sys.executable, "-c", COUNT]
        each = [subprocess.Popen(start, stdout=subprocess.PIPE, preexec_fn=bind) for bind in bound]
        return sum(int(process.communicate()[0]) for process in each)

    return counted(cores) / counted(cores[:1])


def main(papers: int = 60, words: int = 1500, rounds: int = 3) -> str:
    sys.path.append(str(ROOT / "tests"))
    server = importlib.import_module("postgres").Server()
    cores = sorted(os.sched_getaffinity(0))[:2]
    each, every = [{core} for core in cores], set(cores)
    runs = {"1 worker on 1 core": each[:1], "2 workers on 1 core each": each, "1 worker on 2 cores": [every]}
    times: dict[str, list[float]] = {name: [] for name in runs}
    most: list[float] = []
    try:
        for number in range(rounds):
            most.append(gained(each))
            for at, (name, own) in enumerate(runs.items()):
                times[name].append(timed(server, f"run{number}{at}", own, papers, words))
    finally:
        server.close()
    alone = statistics.median(times["1 worker on 1 core"])
    rows = [
        [
            name,
            f"{statistics.median(spent):.1f} s",
            f"{papers / statistics.median(spent):.1f}",
            f"{alone / statistics.median(spent):.2f}",
            ", ".join(f"{each:.1f}" for each in spent),
        ]
        for name, spent in times.items()
    ]
    header = ["", "time", "papers/s", "times as fast", "each run, s"]
    return (
        f"## Ingest by workers: {papers} papers of {words:,} words, in Postgres\n\n{markdown(header, rows)}\n\n"
        f"Two processes that only count, each on its core, got {statistics.median(most):.2f} times as far as one meanwhile."
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--papers", type=int, default=60)
    parser.add_argument("--words", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    print(main(**vars(parser.parse_args())))
