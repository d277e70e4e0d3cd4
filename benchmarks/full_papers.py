"""Questions over real full papers: how many are answered right, what is shown, what confidence is worth.

    python -m benchmarks.full_papers [--corpus DIR] [--config FILE] [--wrong]

An answer is right if it has what the labels say it must, whatever else it says; what is `read` is right if the
labelled evidence stands in a passage that the generator is given.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import ragkit
from benchmarks.table import SHARED, markdown
from ragkit import Answer, Rag
from ragkit.evaluate.statistics import interval

DATA = SHARED / "data"
QUESTIONS = DATA / "real_questions" / "dev.jsonl"
PAPERS = [DATA / name for name in ("pdfs", "jats/pmc", "jats/docling", "jats/plos", "latex")]


@dataclass(frozen=True)
class Outcome:
    """A labelled question and what became of it."""

    label: Mapping[str, Any]
    answer: Answer

    @property
    def kind(self) -> str:
        return str(self.label["kind"])

    @property
    def answerable(self) -> bool:
        return bool(self.label["files"])

    @property
    def shown(self) -> bool:
        return not self.answer.abstained

    @property
    def right(self) -> bool:
        """Does an answerable question's answer have what it must, the usual wrong answers struck out?"""
        said = _plain(re.sub(r"\s*\[\d+\]", "", self.answer.text))
        for wrong in self.label.get("must_not", ()):
            said = said.replace(_plain(wrong), " ")
        return (
            self.answerable
            and self.shown
            and all(any(_has(said, each) for each in every) for every in self.label["must_include"])
        )

    @property
    def read(self) -> bool:
        """Does each piece of the evidence stand in a passage that the generator is given?"""
        read = [_letters(passage.page_content) for passage in self.answer.context]
        return all(
            any(_letters(piece) in text for text in read) for piece in self.label["evidence"].split(" ... ")
        )


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())


def _has(said: str, wanted: str) -> bool:
    before = r"(?<!\d)" if wanted[:1].isdigit() else ""
    return bool(re.search(before + re.escape(_plain(wanted)), said))


def asked(rag: Rag) -> list[Outcome]:
    """Every labelled question, asked."""
    labels = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    return [Outcome(label, rag.ask(label["question"], history=label.get("history", ()))) for label in labels]


def calibration_error(outcomes: Sequence[Outcome], bins: int = 10) -> float:
    """The expected calibration error of the confidence of what is shown, over *bins* of equal width."""
    sure = np.array([each.answer.confidence for each in outcomes])
    right = np.array([each.right for each in outcomes])
    at = np.minimum((sure * bins).astype(int), bins - 1)
    return float(sum(abs(sure[at == n].sum() - right[at == n].sum()) for n in range(bins)) / len(outcomes))


def separation(outcomes: Sequence[Outcome]) -> float:
    """The area under the curve of confidence as a sign of a right answer, among what is shown."""
    from sklearn.metrics import roc_auc_score

    right = [each.right for each in outcomes]
    return float(roc_auc_score(right, [each.answer.confidence for each in outcomes]))


def report(outcomes: Sequence[Outcome]) -> str:
    rows = [_row("all", outcomes)]
    rows += [_row(kind, _of(outcomes, kind)) for kind in dict.fromkeys(each.kind for each in outcomes)]
    shown = [each for each in outcomes if each.shown]
    title = "## Full papers: questions over articles, preprints and reports, 95 % intervals"
    table = markdown(["kind", "questions", "read", "right", "shown", "right of the shown", "words"], rows)
    return (
        f"{title}\n\n{table}\n\nConfidence of the {len(shown)} shown: area under the curve"
        f" {separation(shown):.2f}, expected calibration error {calibration_error(shown):.2f}.\n"
    )


def _of(outcomes: Iterable[Outcome], kind: str) -> list[Outcome]:
    return [each for each in outcomes if each.kind == kind]


def _row(name: str, outcomes: Sequence[Outcome]) -> list[str]:
    known = [each for each in outcomes if each.answerable]
    shown = [each for each in outcomes if each.shown]
    words = [len(each.answer.text.split()) for each in shown]
    return [
        name,
        str(len(outcomes)),
        _share([each.read for each in known if each.label["evidence"]]),
        _share([each.right for each in known]),
        _share([each.shown for each in outcomes]),
        _share([each.right for each in shown]),
        f"{np.mean(words):.0f}" if words else "",
    ]


def _share(values: Sequence[bool]) -> str:
    if not values:
        return ""
    found = interval(values, binary=True)
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def measure(folder: Path | None = None, config: str | None = None) -> list[Outcome]:
    """The questions asked of the corpus in *folder*, which is made of the papers if it is not there."""
    with tempfile.TemporaryDirectory() as scratch:
        rag = ragkit.load(
            config, preset=None if config else "default", corpus=folder or Path(scratch) / "corpus"
        )
        if folder is None or not folder.exists():
            rag.ingest(*PAPERS)
        return asked(rag)


def main() -> str:
    return report(measure())


def _told(each: Outcome) -> str:
    declined = each.answer.abstained
    said = f"(declined: {declined.reason})" if declined else " ".join(each.answer.text.split())[:500]
    read = "read" if each.answerable and each.read else "not read"
    return (
        f"{each.label['id']} {each.answer.confidence:.2f} {read}: {each.label['question']}\n"
        f"   wanted {each.label['answer']}\n   got    {said}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Questions over real full papers.")
    parser.add_argument("--corpus", type=Path, help="where the corpus is, or is to be kept")
    parser.add_argument("--config")
    parser.add_argument("--wrong", action="store_true", help="list what was not answered right")
    args = parser.parse_args()
    outcomes = measure(args.corpus, args.config)
    for each in outcomes if args.wrong else ():
        if not each.right and (each.answerable or each.shown):
            print(_told(each))
    print(report(outcomes))
