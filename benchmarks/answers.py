"""Answers over the shared paper pages: right, cited, declined, by kind of question.

    python -m benchmarks.answers [--split dev|test|all] [pipeline.yaml ...]

An answer is right when it has, for every list of `must_include`, one of the alternatives; it cites a right paper when one
of its citations is of a gold paper; a question without gold papers should be declined.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import ragkit
from benchmarks.table import SHARED, markdown, share
from ragkit.cite import parse

QUESTIONS = Path(__file__).with_name("data") / "questions.jsonl"


def questions(split: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if split in ("all", row["split"])]


def is_right(answer: ragkit.Answer, row: dict[str, Any]) -> bool:
    """Marks are taken out first, so that `[11]` is not an eleven."""
    said = "".join(m.before + m.text for m in parse(answer.text)).casefold()
    return not answer.abstained and all(any(a.casefold() in said for a in alternatives) for alternatives in row["must_include"])


def measure(rag: ragkit.Rag, rows: Sequence[dict[str, Any]]) -> list[list[object]]:
    """A table row for each kind of question, and one for all that can be answered."""
    by_kind: dict[str, list[tuple[bool, bool, bool, float]]] = {}
    for row in rows:
        answer = rag.ask(row["question"], row.get("history", ()))
        cites = any(c.title in row["gold_titles"] for c in answer.citations)
        outcome = (is_right(answer, row), cites, answer.abstained is not None, answer.timings_ms["total"])
        by_kind.setdefault(row["kind"], []).append(outcome)
        if row["gold_titles"]:
            by_kind.setdefault("all answerable", []).append(outcome)
    order = sorted(by_kind, key=lambda kind: (kind == "unanswerable", kind == "all answerable"))
    return [_row(kind, by_kind[kind]) for kind in order]


def _row(kind: str, outcomes: list[tuple[bool, bool, bool, float]]) -> list[object]:
    number = len(outcomes)
    right, cites, declined = (sum(bool(o[i]) for o in outcomes) for i in range(3))
    median = f"{np.median([o[3] for o in outcomes]):.0f}"
    answerable = kind != "unanswerable"
    return [
        kind,
        number,
        share(right, number) if answerable else "",
        share(cites, number) if answerable else "",
        share(declined, number),
        median,
    ]


def main(configurations: Sequence[str | None] = (None,), split: str = "test") -> str:
    rows = questions(split)
    parts = [f"## Answers: {len(rows)} questions ({split} split) over the shared paper pages, 95 % intervals"]
    for configuration in configurations:
        with tempfile.TemporaryDirectory() as corpus:
            rag = ragkit.load(configuration, corpus=corpus)
            rag.ingest(SHARED / "papers")
            table = markdown(["kind", "questions", "right", "cites a right paper", "declined", "ms (median)"], measure(rag, rows))
        parts.append(f"{configuration or 'default configuration'}:\n\n{table}")
    return "\n\n".join(parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Answers over the shared paper pages.")
    parser.add_argument("configurations", nargs="*", default=[None])
    parser.add_argument("--split", choices=["dev", "test", "all"], default="test")
    given = parser.parse_args()
    print(main(given.configurations, given.split))
