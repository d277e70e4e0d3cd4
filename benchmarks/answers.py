"""Answers over the shared paper pages: right, cited, declined, by kind of question.

python -m benchmarks.answers [--split dev|test|all] [--every N] [pipeline.yaml ...]

Without pipeline files the default one answers, and, if RAGKIT_MODEL names a chat model (RAGKIT_BASE_URL its
server), so does configs/small_model.yaml.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from langchain_core.language_models import BaseChatModel

import ragkit
from benchmarks.table import ROOT, SHARED, markdown
from ragkit.config.chat_model import VARIABLE
from ragkit.config.layers import Override
from ragkit.config.spec import parts_of
from ragkit.evaluate.dataset import Dataset, read
from ragkit.evaluate.evaluation import Evaluation, Run
from ragkit.evaluate.run import Configuration, Settings, evaluate
from ragkit.evaluate.statistics import interval

QUESTIONS = Path(__file__).with_name("data") / "questions.jsonl"
MEASURES = ("right", "cites_gold", "declined_wrongly", "declined_rightly")


def questions(split: str | None) -> Dataset:
    return read(QUESTIONS, split)


def rows(run: Run) -> list[list[object]]:
    """A row a kind of question, and one for all."""
    kinds = [*dict.fromkeys(result.case.kind for result in run.results), None]
    return [
        [kind or "all", len(run.values("ms", kind)), *(_share(run, measure, kind) for measure in MEASURES)]
        for kind in kinds
    ]


def _share(run: Run, measure: str, kind: str | None) -> str:
    values = list(run.values(measure, kind).values())
    if not values:
        return ""
    found = interval(values, binary=True)
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


COSTS = ("cited", "citation_precision", "citation_recall", "input_tokens", "output_tokens", "ms")


def costs(run: Run) -> list[object]:
    """Of all answers of a configuration: how well they are cited, and what they took."""
    claims = [claim for result in run.results if (answer := result.outcome.answer) for claim in answer.claims]
    marks = f"{sum(len(claim.cites) for claim in claims) / len(claims):.2f}" if claims else ""
    means = [
        interval(list(run.values(measure).values())) if run.values(measure) else None for measure in COSTS
    ]
    shares = [f"{m.value:.2f} [{m.low:.2f}, {m.high:.2f}]" if m else "" for m in means[:3]]
    tokens = [f"{m.value:.0f}" if m else "" for m in means[3:5]]
    return [
        run.configuration,
        len(claims),
        marks,
        *shares,
        *tokens,
        f"{means[5].value / 1000:.2f}" if means[5] else "",
    ]


def _ahead(found: Evaluation) -> str:
    return "\n".join(
        f"- {c.measure}: {c.first} − {c.second} = {c.difference.value:+.3f} [{c.difference.low:+.3f}, {c.difference.high:+.3f}]: {c.verdict}"
        for c in found.comparisons()
        if c.measure in ("good", *MEASURES)
    )


DEFAULT = ROOT / "configs" / "default.yaml"
SMALL = ROOT / "configs" / "small_model.yaml"


def chat_model() -> BaseChatModel:
    """The one that RAGKIT_MODEL names; it has time, since a small one on a busy machine is slow."""
    rag = ragkit.load(SMALL, overrides=[Override.parse("define.llm.timeout=900")])
    return next(part for part in parts_of([rag.answer_pipeline]) if isinstance(part, BaseChatModel))


def selected(description: str, split: str, every: int) -> tuple[str, int]:
    """The questions that the command line of a script selects: a split, and every so many of it."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--split", choices=["dev", "test", "all"], default=split)
    parser.add_argument("--every", type=int, default=every, help="ask only every so many questions")
    given = parser.parse_args()
    return given.split, given.every


def main(configurations: Sequence[str | Path] = (), split: str = "test", every: int = 1) -> str:
    configurations = configurations or [DEFAULT, *([SMALL] if os.environ.get(VARIABLE) else [])]
    found = measured(
        [Configuration(Path(path).stem, ragkit.load(path)) for path in configurations],
        split,
        every,
    )
    title = f"## Answers: {len(found.runs[0].results)} questions (split: {split}) over the shared paper pages, 95 % intervals"
    return f"{title}\n\n{report(found)}"


def measured(configurations: Sequence[Configuration], split: str = "test", every: int = 1) -> Evaluation:
    asked = questions(None if split == "all" else split)
    return measured_on(replace(asked, cases=asked.cases[::every]), configurations)


def measured_on(asked: Dataset, configurations: Sequence[Configuration]) -> Evaluation:
    """Every question of *asked* answered over the shared paper pages."""
    with tempfile.TemporaryDirectory() as folder:
        return evaluate(configurations, [asked], Settings(papers=[SHARED / "papers"], workspace=Path(folder)))


def report(found: Evaluation) -> str:
    """A table a configuration, one of what each took, and where they differ."""
    header = ["kind", "questions", "right", "cites a right paper", "declined wrongly", "declined rightly"]
    parts = [f"{run.configuration} configuration:\n\n{markdown(header, rows(run))}" for run in found.runs]
    taken = [
        "configuration",
        "claims",
        "marks a claim",
        "cited",
        "citation precision",
        "citation recall",
        "tokens read",
        "written",
        "s",
    ]
    parts.append(markdown(taken, [costs(run) for run in found.runs]))
    return "\n\n".join([*parts, *([_ahead(found)] if len(found.runs) > 1 else [])])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Answers over the shared paper pages.")
    parser.add_argument(
        "configurations",
        nargs="*",
        help="pipeline files (default: the default one, and with RAGKIT_MODEL set the one for small models)",
    )
    parser.add_argument("--split", choices=["dev", "test", "all"], default="test")
    parser.add_argument("--every", type=int, default=1, help="ask only every so many questions")
    given = parser.parse_args()
    print(main(given.configurations, given.split, given.every))
