"""Ingest of many papers: rates and peak memory.

    python -m benchmarks.ingest [--papers 50000] [--words 60]

The papers are generated, a line of JSON each, so that their number can be chosen; the default configuration
ingests them with the real model.  Memory is the largest resident size of the ingesting process and of its
reader, together.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.table import markdown

WORDS = (
    "retrieval generation model language passage dense sparse query index vector question answer evidence citation training data "
    "encoder ranking score token context attention sentence document corpus benchmark method result accuracy recall improves over "
    "baseline with without several large small new simple robust neural shared joint online offline multi task domain transfer"
).split()


def write(path: Path, papers: int, words: int) -> None:
    chance = random.Random(11)
    with path.open("w", encoding="utf-8") as file:
        for number in range(papers):
            text = " ".join(chance.choices(WORDS, k=words)).capitalize() + "."
            file.write(
                json.dumps(
                    {
                        "title": f"Paper {number} on {chance.choice(WORDS)}",
                        "text": text,
                        "year": 1990 + number % 35,
                    }
                )
                + "\n"
            )


class Resident(threading.Thread):
    """Watches the resident size, in MB, of a process and its children."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__(daemon=True)
        self.process, self.peak = process, 0.0

    def run(self) -> None:
        while self.process.poll() is None:
            self.peak = max(self.peak, sum(_resident(pid) for pid in _family(self.process.pid)))
            time.sleep(0.2)


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    below = [int(child) for child in children.read_text().split()] if children.exists() else []
    return [pid, *(each for child in below for each in _family(child))]


def _resident(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))
    except (OSError, StopIteration):
        return 0.0


def main(papers: int = 50_000, words: int = 60) -> str:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "papers.jsonl"
        write(source, papers, words)
        command = [
            sys.executable,
            "-m",
            "ragkit",
            "ingest",
            str(source),
            "--corpus",
            f"{folder}/corpus",
            "--json",
        ]
        rows = []
        for what in ("ingest", "again, unchanged"):
            started = time.perf_counter()
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            watch = Resident(process)
            watch.start()
            assert process.stdout
            report = json.loads(process.stdout.read())
            process.wait()
            watch.join()
            spent = time.perf_counter() - started
            rows.append(
                [
                    what,
                    report["documents"],
                    report["encoded"],
                    f"{spent:.1f} s",
                    f"{papers / spent:,.0f}",
                    f"{watch.peak:,.0f} MB",
                ]
            )
        size = sum(p.stat().st_size for p in Path(folder, "corpus").rglob("*") if p.is_file()) / 1e6
    header = ["", "papers", "embedded", "time", "papers/s", "peak resident memory"]
    return f"## Ingest of {papers:,} papers of {words} words\n\n{markdown(header, rows)}\n\nThe corpus and its indexes take {size:,.0f} MB on disk."


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--papers", type=int, default=50_000)
    parser.add_argument("--words", type=int, default=60)
    print(main(**vars(parser.parse_args())))
