"""Answers to questions in eight languages over English papers: their language, and whether they are right.

    RAGKIT_MODEL=... RAGKIT_BASE_URL=... python -m benchmarks.languages [pipeline.yaml]

The papers' own sentences behind a model's answer (`backed`) stay in English; they count for what is right,
not for the language.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import ragkit
from benchmarks.answers import SMALL, measured_on
from benchmarks.table import markdown
from ragkit.evaluate.dataset import read
from ragkit.evaluate.evaluation import Result
from ragkit.evaluate.run import Configuration
from ragkit.evaluate.statistics import interval
from ragkit.text.language import LANGUAGES, likelier

QUESTIONS = Path(__file__).with_name("data") / "languages.jsonl"


def own_words(result: Result) -> str:
    """What of an answer is not quoted."""
    answer = result.outcome.answer
    return " ".join(claim.text for claim in answer.claims if not claim.quoted) if answer else ""


def row(name: str, results: list[Result]) -> list[object]:
    said = [(result, own_words(result)) for result in results]
    spoke = [float(likelier(text, result.case.kind)) for result, text in said if text]
    right = [float(result.values.get("right", False)) for result in results]
    return [name, len(results), len(spoke), _share(spoke), _share(right)]


def _share(values: list[float]) -> str:
    if not values:
        return ""
    found = interval(values, binary=True)
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def main(pipeline: str | Path = SMALL) -> str:
    found = measured_on(read(QUESTIONS), [Configuration(Path(pipeline).stem, ragkit.load(pipeline))])
    results = list(found.runs[0].results)
    kinds = dict.fromkeys(result.case.kind for result in results)
    table = [row(LANGUAGES[kind], [r for r in results if r.case.kind == kind]) for kind in kinds]
    header = [
        "language",
        "questions",
        "answered in its own words",
        "of these in the question's language",
        "right",
    ]
    title = f"## Questions in other languages: {len(results)}, over the shared paper pages, {os.environ['RAGKIT_MODEL']}, 95 % intervals"
    return f"{title}\n\n{markdown(header, [*table, row('all', results)])}"


if __name__ == "__main__":
    print(main(*sys.argv[1:2]))
