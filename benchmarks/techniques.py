"""What the techniques of papers are worth: writes docs/techniques.md.

python -m benchmarks techniques [NAME ...]

Each file of configs/techniques/ is held against the configuration that it extends, paired by question: nDCG@10 on
test collections, and whether the paper is among the first six passages for the questions of this project.  Those
that ask a chat model are measured if RAGKIT_MODEL names one.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import ragkit
from benchmarks.answers import questions
from benchmarks.table import ROOT, SHARED, markdown
from ragkit import Rag
from ragkit.config.components import credits_of
from ragkit.config.spec import parts_of
from ragkit.document import title_of
from ragkit.errors import RagkitError
from ragkit.evaluate.dataset import Case, Dataset, read
from ragkit.evaluate.measure import of_rankings
from ragkit.evaluate.outcome import searched
from ragkit.evaluate.projection import fit_projection
from ragkit.evaluate.run import Settings, placed
from ragkit.evaluate.statistics import Difference, difference
from ragkit.models.adapted import ProjectedEmbeddings

REPORT = ROOT / "docs" / "techniques.md"
KNOWN = ROOT / "benchmarks" / "data" / "techniques.json"
FOLDER = ROOT / "configs" / "techniques"
COLLECTIONS = ("cranfield", "medline")
BASE = "default"
MODEL = "RAGKIT_MODEL"
FIRST = 6
"""Passages that a chat model is shown by the preset `chat`."""


@dataclass(frozen=True)
class Measured:
    """One pipeline on one dataset: a value a question, and what it took.

    `keys` is how many keys a passage has, `ingest` and `search` are seconds, the latter for a question.
    """

    values: Mapping[str, float]
    keys: float
    ingest: float
    search: float


def pipeline(name: str) -> Rag:
    if name == BASE:
        return ragkit.load(preset=BASE)
    stand_in = None if MODEL in os.environ or not asks(name) else "http://127.0.0.1:1/v1#none"
    return ragkit.load(FOLDER / f"{name}.yaml", model=stand_in)


def asks(name: str) -> bool:
    """Does it ask a chat model?"""
    return "extends: chat" in (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def told(name: str) -> str:
    """What a pipeline file is about: its first comment."""
    line = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").partition("\n")[0]
    return line.removeprefix("#").strip()


def papers_of(name: str) -> list[str]:
    """The titles of the papers that the components of a file credit."""
    rag = pipeline(name)
    parts = parts_of([rag.ingest_pipeline.keys, rag.ingest_pipeline.index, rag.answer_pipeline.rewrite])
    return list(dict.fromkeys(title for part in parts for title in credits_of(type(part))))


def measured(name: str, dataset: Dataset, settings: Settings) -> Measured:
    """Ingests what is not there, and searches for every question."""
    rag = placed(pipeline(name), dataset, settings)
    started = time.perf_counter()
    rag.ingest(*([] if dataset.folder else settings.papers))
    ingest = time.perf_counter() - started
    cases = [case for case in dataset.cases if case.relevant and not case.history]
    found, spent = {}, 0.0
    rag.search(cases[0].question)  # loads the models
    for case in cases:
        started = time.perf_counter()
        passages = searched(rag, case)[1] if dataset.folder else rag.search(case.question, k=FIRST)
        spent += time.perf_counter() - started
        found[case.id] = dict.fromkeys(
            name
            for p in passages
            for name in dataset.paper([str(s["uri"]) for s in p.metadata["sources"]], title_of(p))
        )
    holding = rag.ingest_pipeline.name_of(rag.ingest_pipeline.index[0])
    keys = rag.corpus.count_keys(holding) / max(rag.corpus.count_held(holding), 1)
    return Measured(_values(dataset, cases, found), keys, ingest, spent / len(cases))


def _values(
    dataset: Dataset, cases: Sequence[Case], found: Mapping[str, Mapping[str, None]]
) -> dict[str, float]:
    if dataset.folder is None:
        return {case.id: float(any(name in case.relevant for name in found[case.id])) for case in cases}
    rankings = {case.id: [name for name in found[case.id] if name not in case.left_out] for case in cases}
    return {case: values["ndcg@10"] for case, values in of_rankings(dataset, rankings).items()}


def row(name: str, dataset: Dataset, own: Measured, base: Measured) -> list[object]:
    """What a technique is worth on one dataset."""
    both = list(base.values)
    binary = dataset.folder is None
    d = difference([own.values[c] for c in both], [base.values[c] for c in both], binary=binary)
    return [
        f"`{name}`",
        dataset.name,
        d.cases,
        f"{np.mean(list(base.values.values())):.3f}",
        _apart(d),
        f"{own.keys:.1f}",
        f"{own.ingest:.0f}",
        f"{1000 * own.search:.0f}",
    ]


def _apart(d: Difference) -> str:
    return f"{d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}]{'' if d.is_chance else ' *'}"


def lost(dataset: Dataset, own: Measured, base: Measured) -> list[object]:
    """By kind of question: how many are found among the first six, without and with, and how many are lost."""
    found: list[object] = []
    for kind in ("paraphrase", None):
        ids = [
            c.id
            for c in dataset.cases
            if c.id in base.values and (c.kind == "paraphrase") == (kind is not None)
        ]
        gone = sum(base.values[i] > own.values[i] for i in ids)
        before, now = (int(sum(each.values[i] for i in ids)) for each in (base, own))
        found.append(f"{before} -> {now} of {len(ids)}, {gone} lost")
    return found


def main(names: Sequence[str] = (), collections: Sequence[str] = COLLECTIONS) -> str:
    """Measure the files *names*, all by default; figures of others stay as they were measured last."""
    every = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    wanted = [name for name in names or every if MODEL in os.environ or not asks(name)]
    known: dict[str, list[object]] = json.loads(KNOWN.read_text(encoding="utf-8")) if KNOWN.exists() else {}
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(workspace=Path(folder), papers=[SHARED / "papers"])
        os.chdir(folder)  # where the file of `projected` is written
        try:
            for dataset in (*(read(SHARED / "data" / c) for c in collections), questions(None)):
                base = measured(BASE, dataset, settings)
                for name in wanted:
                    print(name, *known_of(name, dataset, settings, base, known), flush=True)
        finally:
            os.chdir(here)
    KNOWN.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", encoding="utf-8")
    page = _page(every, known)
    REPORT.write_text(f"{page}\n", encoding="utf-8")
    return page


def known_of(
    name: str, dataset: Dataset, settings: Settings, base: Measured, known: dict[str, list[object]]
) -> list[object]:
    """Measures one technique on one dataset, and puts the row among those *known*."""
    try:
        for part in parts_of(pipeline(name).ingest_pipeline):
            if isinstance(part, ProjectedEmbeddings):
                fit_projection(placed(pipeline(BASE), dataset, settings), Path(part.fit))
        own = measured(name, dataset, settings)
    except RagkitError as error:
        known[f"{name} {dataset.name}"] = [
            f"`{name}`",
            dataset.name,
            "",
            "",
            f"not measurable: {error}",
            "",
            "",
            "",
        ]
    else:
        known[f"{name} {dataset.name}"] = row(name, dataset, own, base)
        if dataset.folder is None:
            known[f"{name} first"] = [f"`{name}`", *lost(dataset, own, base)]
    return known[f"{name} {dataset.name}"]


def _page(every: Sequence[str], known: Mapping[str, list[object]]) -> str:
    header = [
        "technique",
        "on",
        "questions",
        "default",
        "difference",
        "keys a passage",
        "ingest, s",
        "search, ms",
    ]
    credited = [[f"`{name}`", told(name), "; ".join(papers_of(name)) or "–"] for name in every]
    missing = ", ".join(f"`{n}`" for n in every if not any(key.startswith(f"{n} ") for key in known))
    about = [
        "Difference to the default configuration, paired by question, with 95 % intervals (* p < .05): nDCG@10 on the collections;",
        f"for `questions`, the share for which a right paper is among the first {FIRST} passages. None calls a chat model, so the",
        "tokens are 0. Search: the mean for a question. Ingest: seconds beside the default's. Both are rough: the machine had other work.",
    ]
    return "\n\n".join(
        [
            "# Techniques of papers",
            "Written by `python -m benchmarks techniques`. Each technique is a file in `configs/techniques/`, which extends a preset.",
            markdown(["file", "what differs", "paper"], credited),
            "## Effect",
            "\n".join(about),
            markdown(header, [each for key, each in known.items() if not key.endswith(" first")]),
            f"Questions whose paper is among the first {FIRST} passages, before and with the technique:",
            markdown(
                ["technique", "paraphrases", "other questions"],
                [each for key, each in known.items() if key.endswith(" first")],
            ),
            *(
                [
                    f"Not measured so far: {missing}. Files that extend `chat` are measured if RAGKIT_MODEL names a model."
                ]
                if missing
                else []
            ),
        ]
    )


if __name__ == "__main__":
    import sys

    print(main(sys.argv[1:]))
