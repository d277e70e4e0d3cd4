"""How many questions each gate declines: of those that the papers answer, and of those that nothing answers.

    python -m benchmarks.abstention

Beside the questions written for it, every answerable question is asked of papers from which those that answer
it are taken away, and of collections about other things.  Each is answered whole, by the default
configuration.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ragkit
from benchmarks.answers import QUESTIONS
from benchmarks.table import ROOT, SHARED, markdown
from ragkit import Rag
from ragkit.document import normalised_title
from ragkit.evaluate.dataset import BeirCorpus, Case, read
from ragkit.evaluate.statistics import interval
from ragkit.gate import CalibratedGate, Gate

NOTES = ROOT / "examples"
GATES: dict[str, Gate] = {"calibrated": CalibratedGate()}
MEDICAL = 150
"""So many of the questions of PubMedQA are asked."""


@dataclass(frozen=True)
class Questions:
    """Questions asked of one corpus; with `taken_away`, each without the papers that answer it."""

    what: str
    corpus: str
    cases: Sequence[Case]
    taken_away: bool = False


def asked() -> Iterator[Questions]:
    dev, test = (read(QUESTIONS, split).cases for split in ("dev", "test"))
    notes = read(NOTES / "questions.jsonl").cases
    medical = read(SHARED / "data" / "pubmedqa_retrieval").cases[:MEDICAL]
    own = [("papers, dev", "papers", dev), ("papers, test", "papers", test), ("demo notes", "notes", notes)]
    for name, corpus, cases in own:
        yield Questions(f"answerable, {name}", corpus, _good(cases))
    yield Questions("answerable, medical abstracts", "pubmedqa_retrieval", medical)
    for name, corpus, cases in own:
        yield Questions(f"unanswerable, {name}", corpus, [case for case in cases if not case.answerable])
    for name, corpus, cases in own:
        yield Questions(f"{name}, what answers taken away", corpus, _good(cases), taken_away=True)
    papers = [case for case in _good([*dev, *test]) if not case.history]
    for corpus in ("pubmedqa_retrieval", "cranfield", "cisi"):
        yield Questions(f"of the papers, asked of {corpus}", corpus, papers)
    yield Questions("of medical abstracts, asked of cisi", "cisi", medical)


def _good(cases: Sequence[Case]) -> list[Case]:
    return [case for case in cases if case.answerable]


class Corpora:
    """The corpora that are asked, each read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[str, Rag] = {}

    def __getitem__(self, name: str) -> Rag:
        if name not in self._read:
            self._read[name] = self._ingested(name)
        return self._read[name]

    def _ingested(self, name: str) -> Rag:
        rag = ragkit.load(preset="default", corpus=self.folder / name)
        if name in ("papers", "notes"):
            rag.ingest(SHARED / "papers" if name == "papers" else NOTES / "papers")
            return rag
        collection = replace(rag.ingest_pipeline, read=BeirCorpus(str(SHARED / "data" / name)))
        filled = Rag(corpus=self.folder / name, ingest=collection, answer=rag.answer_pipeline)
        filled.ingest()
        return filled


def declines(rag: Rag, case: Case, taken_away: bool) -> bool:
    return (
        rag.ask(case.question, case.history, _without(rag, case.relevant) if taken_away else None).abstained
        is not None
    )


def _without(rag: Rag, papers: Collection[str]) -> str:
    """The filter that passes all but *papers*, which are named by their titles."""
    titles = {
        str(paper.metadata["title"]) for paper in rag.corpus.documents(rag.corpus.document_ids()).values()
    }
    return f"title not in ({', '.join(json.dumps(t, ensure_ascii=False) for t in titles if normalised_title(t) in papers)})"


def share(rag: Rag, gate: Gate, questions: Questions) -> str:
    gated = Rag(
        corpus=rag.corpus.directory,
        ingest=rag.ingest_pipeline,
        answer=replace(rag.answer_pipeline, gate=gate),
    )
    found = interval([declines(gated, case, questions.taken_away) for case in questions.cases], binary=True)
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def main() -> str:
    with tempfile.TemporaryDirectory() as folder:
        corpora = Corpora(Path(folder))
        rows = [
            [
                each.what,
                len(each.cases),
                *(share(corpora[each.corpus], gate, each) for gate in GATES.values()),
            ]
            for each in asked()
        ]
    title = "## Abstention: share of questions declined, without a chat model, with 95 % intervals"
    return f"{title}\n\n{markdown(['questions', '', *GATES], rows)}"


if __name__ == "__main__":
    print(main())
