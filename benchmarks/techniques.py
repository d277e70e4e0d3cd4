"""What the techniques of papers are worth: writes docs/techniques.md and ragkit/effects.json.

python -m benchmarks techniques [--only NAME ...] [--limit N] [--seed N] [--papers FILE ...]

Each file of configs/techniques/ is held against the default configuration, paired by question, by what the search
finds: nDCG@10 on test collections, and for the questions of this project whether a right paper is among the first
six passages.  Those that ask a chat model are measured on the questions, if RAGKIT_MODEL names one; `--limit` asks
all paraphrases and so many of the other questions, drawn by the seed.  `--papers` searches only these files of the
shared paper pages, with the questions that they answer.  Replies and searches are kept in `--workspace`: a run
that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from langchain_core.documents import Document

import ragkit
from benchmarks.answers import questions
from benchmarks.table import ROOT, SHARED, markdown
from ragkit import Rag
from ragkit.ask import refined
from ragkit.config import components
from ragkit.config.chat_model import VARIABLE
from ragkit.config.components import credits_of
from ragkit.config.spec import parts_of
from ragkit.document import digest, title_of
from ragkit.effects import EFFECTS, MeasuredEffect, effects
from ragkit.errors import RagkitError
from ragkit.evaluate.dataset import Dataset, read
from ragkit.evaluate.measure import of_rankings
from ragkit.evaluate.outcome import SEARCHES_BY
from ragkit.evaluate.projection import fit_projection
from ragkit.evaluate.run import Session, Settings, placed
from ragkit.evaluate.statistics import difference
from ragkit.flow import Called, run
from ragkit.models.adapted import ProjectedEmbeddings
from ragkit.models.chat import spent
from ragkit.models.hub import cache_directory

REPORT = ROOT / "docs" / "techniques.md"
BENCHMARKS = ROOT / "docs" / "benchmarks.md"
FOLDER = ROOT / "configs" / "techniques"
PAPERS = SHARED / "papers"
COLLECTIONS = ("cranfield", "medline")
BASE = "default"
NOBODY = "http://127.0.0.1:1/v1#none"
"""A chat model that is never asked."""
FIRST = 6
"""Passages that a chat model is shown by the preset `chat`."""
LIMITS = {"define.llm.timeout": 900, "define.llm.max_tokens": 160}
"""Of a chat model: a small one on a busy machine is slow, and may not come to an end."""


@dataclass
class Spent:
    """Seconds, calls of a chat model and its tokens."""

    seconds: float = 0.0
    calls: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Measured:
    """One pipeline on one dataset: a value a question, how many keys a passage has, and what it took.

    `shown` is whether a right paper is among the passages that a chat model is shown, for the questions of this
    project; `search` is the sum over the questions.
    """

    values: Mapping[str, float]
    shown: Mapping[str, float]
    keys: float
    ingest: Spent
    search: Spent


def pipeline(name: str) -> Rag:
    if name == BASE:
        return ragkit.load(preset=BASE)
    if not asks(name):
        return ragkit.load(FOLDER / f"{name}.yaml")
    stand_in = None if VARIABLE in os.environ else NOBODY
    return ragkit.load(FOLDER / f"{name}.yaml", model=stand_in, overrides=LIMITS)


def asks(name: str) -> bool:
    """Does it ask a chat model?"""
    return name != BASE and "extends: chat" in (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def told(name: str) -> str:
    """What a pipeline file is about: its first comment."""
    line = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").partition("\n")[0]
    return line.removeprefix("#").strip()


def searching_parts(name: str) -> list[object]:
    """The components of a file that decide what a search finds."""
    rag = pipeline(name)
    deciding = [rag.ingest_pipeline.keys, rag.ingest_pipeline.index, rag.answer_pipeline.rewrite]
    return list(parts_of(deciding))


def slot_of(name: str) -> str:
    """The slot of the technique's component, which has the name of the file."""
    made = {type(part) for part in searching_parts(name)}
    return next(s.__name__ for s in components.interfaces() if components.names(s).get(name) in made)


def measured(name: str, dataset: Dataset, session: Session) -> Measured:
    """Ingests what is not there, and searches for every question."""
    rag = placed(pipeline(name), dataset, session.settings)
    ingest = ingested(rag, dataset, session)
    state = rag.state(*SEARCHES_BY)
    if not asks(name):
        rag.search("loads the models")
    found: dict[str, dict[str, None]] = {}
    shown: dict[str, float] = {}
    search = Spent()
    refine = ragkit.load(preset="chat", model=NOBODY).answer_pipeline.refine
    for case in dataset.cases:
        kept, passages = session.search(rag, case, state)
        search.seconds += kept.seconds
        search.calls += kept.calls
        search.tokens += int(sum(kept.usage.get(way, 0) for way in ("input_tokens", "output_tokens")))
        found[case.id] = papers_of(dataset, passages if dataset.folder else passages[:FIRST])
        if dataset.folder is None:
            read_first = run(refined(refine, kept.asked(case), passages))[:FIRST]
            shown[case.id] = float(not case.relevant.keys().isdisjoint(papers_of(dataset, read_first)))
    holding = rag.ingest_pipeline.name_of(rag.ingest_pipeline.index[0])
    keys = rag.corpus.count_keys(holding) / max(rag.corpus.count_held(holding), 1)
    return Measured(_values(dataset, found), shown, keys, ingest, search)


def papers_of(dataset: Dataset, passages: Sequence[Document]) -> dict[str, None]:
    """The names of the papers of *passages*, in order."""
    return dict.fromkeys(
        paper
        for p in passages
        for paper in dataset.paper([str(s["uri"]) for s in p.metadata["sources"]], title_of(p))
    )


def ingested(rag: Rag, dataset: Dataset, session: Session) -> Spent:
    """Ingest what is missing; what that took is kept and added up, since an ingest may have been stopped."""
    key = digest("ingest", rag.corpus.name, rag.ingest_pipeline.settings)
    taken = Spent(**json.loads(session.results.get(key) or "{}"))
    last = time.perf_counter()
    for event in rag.ingest_events(*([] if dataset.folder else session.settings.papers)):
        if isinstance(event, Called) and event.stage == "keys":
            usage = spent(event.owner, event.result)
            taken.calls += bool(usage)
            taken.tokens += int(usage.get("input_tokens", 0) + usage.get("output_tokens", 0))
            taken.seconds, last = taken.seconds + time.perf_counter() - last, time.perf_counter()
            session.results.put(key, json.dumps(asdict(taken)))
    taken.seconds += time.perf_counter() - last
    session.results.put(key, json.dumps(asdict(taken)))
    return taken


def _values(dataset: Dataset, found: Mapping[str, Mapping[str, None]]) -> dict[str, float]:
    if dataset.folder is None:
        return {c.id: float(any(name in c.relevant for name in found[c.id])) for c in dataset.cases}
    rankings = {c.id: [name for name in found[c.id] if name not in c.left_out] for c in dataset.cases}
    return {case: values["ndcg@10"] for case, values in of_rankings(dataset, rankings).items()}


def effect(name: str, dataset: Dataset, own: Measured, base: Measured) -> MeasuredEffect:
    """What a technique is worth on one dataset."""
    both = list(base.values)
    apart = difference(
        [own.values[c] for c in both], [base.values[c] for c in both], binary=dataset.folder is None
    )
    slot = slot_of(name)
    return MeasuredEffect(
        technique=name,
        slot=slot,
        on=dataset.name,
        questions=apart.cases,
        base=float(np.mean(list(base.values.values()))),
        difference=(apart.value, apart.low, apart.high),
        significant=not apart.is_chance,
        model=os.environ[VARIABLE] if asks(name) else "",
        keys=own.keys,
        calls=own.ingest.calls + own.search.calls,
        tokens=own.ingest.tokens + own.search.tokens,
        ingest=0.0 if slot == "QueryRewriter" else own.ingest.seconds,  # which searches the default's indexes
        search=own.search.seconds / len(both),
        first=() if dataset.folder else tuple(_counted(dataset, own.values, base.values)),
        shown=() if dataset.folder else tuple(_counted(dataset, own.shown, base.shown)),
    )


def _counted(
    dataset: Dataset, own: Mapping[str, float], base: Mapping[str, float]
) -> Iterator[tuple[int, int, int, int]]:
    """For paraphrases, then others: how many have a right paper without and with it, of how many, and how many lost it."""
    for paraphrased in (True, False):
        ids = [c.id for c in dataset.cases if (c.kind == "paraphrase") is paraphrased]
        before, now = (int(sum(each[i] for i in ids)) for each in (base, own))
        yield before, now, len(ids), sum(base[i] > own[i] for i in ids)


def sampled(dataset: Dataset, limit: int | None, seed: int) -> Dataset:
    """The questions that a paper answers; with a *limit*, all paraphrases and so many of the others."""
    cases = [case for case in dataset.cases if case.relevant and not case.history]
    others = [case for case in cases if case.kind != "paraphrase"]
    drawn = others if limit is None else random.Random(seed).sample(others, min(limit, len(others)))
    return replace(dataset, cases=tuple(c for c in cases if c.kind == "paraphrase" or c in drawn))


def answered_by(dataset: Dataset, papers: Sequence[Path], session: Session) -> Dataset:
    """The questions that *papers* answer, under a name that says which papers these are."""
    rag = placed(pipeline(BASE), dataset, session.settings)
    ingested(rag, dataset, session)
    documents = rag.corpus.documents(rag.corpus.document_ids()).values()
    there = {name for d in documents for name in dataset.paper([], title_of(d))}
    cases = tuple(case for case in dataset.cases if there & set(case.relevant))
    return replace(dataset, name=f"questions, {len(documents)} papers", cases=cases)


def main(arguments: Sequence[str] = ()) -> str:
    """Measure all files by default; figures of others stay as they were measured last."""
    every = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    parser = argparse.ArgumentParser(prog="python -m benchmarks techniques")
    parser.add_argument("--only", nargs="+", choices=every, default=every, metavar="NAME")
    parser.add_argument("--limit", type=int, help="ask all paraphrases and so many of the other questions")
    parser.add_argument("--seed", type=int, default=0, help="by which these are drawn (default: 0)")
    parser.add_argument("--papers", nargs="+", type=Path, help="files of the paper pages (default: all)")
    parser.add_argument("--collections", nargs="*", choices=COLLECTIONS, default=COLLECTIONS)
    parser.add_argument("--workspace", type=Path, default=cache_directory() / "techniques")
    given = parser.parse_args(arguments)
    wanted = [name for name in given.only if VARIABLE in os.environ or not asks(name)]
    papers = [path.resolve() for path in given.papers or [PAPERS]]
    here = Path.cwd()
    with Session(Settings(workspace=given.workspace.resolve(), papers=papers)) as session:
        os.chdir(session.settings.folder)  # where the file of `projected` is written
        try:
            asked = questions(None)
            if given.papers:
                asked = answered_by(asked, papers, session)
            asked = sampled(asked, given.limit, given.seed)
            for dataset in (asked, *(read(SHARED / "data" / c) for c in given.collections)):
                names = [name for name in wanted if dataset is asked or not asks(name)]
                base = measured(BASE, dataset, session) if names else None
                for name in names:
                    assert base is not None
                    _measure(name, dataset, base, session)
        finally:
            os.chdir(here)
    page = _page(every, effects())
    REPORT.write_text(f"{page}\n", encoding="utf-8")
    return page


def _measure(name: str, dataset: Dataset, base: Measured, session: Session) -> None:
    """Measure one technique on one dataset, and keep what it is worth."""
    try:
        for part in searching_parts(name):
            if isinstance(part, ProjectedEmbeddings):
                fit_projection(placed(pipeline(BASE), dataset, session.settings), Path(part.fit))
        found = effect(name, dataset, measured(name, dataset, session), base)
    except RagkitError as error:
        print(f"{name} cannot be measured on {dataset.name}: {error}", flush=True)
        return
    print(found, flush=True)
    effects.cache_clear()
    kept = {(e.technique, e.on): e for e in effects()} | {(name, dataset.name): found}
    rows = ",\n".join(json.dumps(asdict(kept[key]), default=float) for key in sorted(kept))
    EFFECTS.write_text(f"[\n{rows}\n]\n", encoding="utf-8")
    effects.cache_clear()


HEADER = [
    "technique",
    "on",
    "questions",
    "default",
    "difference",
    "keys a passage",
    "calls",
    "tokens",
    "ingest, s",
    "search, ms",
    "chat model",
]


def _row(e: MeasuredEffect) -> list[object]:
    return [
        f"`{e.technique}`",
        e.on,
        e.questions,
        f"{e.base:.3f}",
        e.interval,
        f"{e.keys:.1f}",
        e.calls,
        f"{e.tokens:,}",
        f"{e.ingest:.0f}",
        f"{1000 * e.search:.0f}",
        e.model,
    ]


def _change(counts: tuple[int, int, int, int]) -> str:
    before, now, questions, lost = counts
    return f"{before} -> {now} of {questions}, {lost} lost" if questions else "–"


def _page(every: Sequence[str], known: Sequence[MeasuredEffect]) -> str:
    credited = []
    for name in every:
        titles = dict.fromkeys(title for part in searching_parts(name) for title in credits_of(type(part)))
        credited.append([f"`{name}`", told(name), "; ".join(titles) or "–"])
    missing = ", ".join(f"`{n}`" for n in every if n not in {e.technique for e in known})
    nothing = (0, 0, 0, 0)
    first = [
        [f"`{e.technique}`", e.on, *map(_change, (*e.first, *(e.shown or (nothing, nothing))))]
        for e in known
        if e.first
    ]
    return "\n\n".join(
        [
            "# Techniques of papers",
            "Written by `python -m benchmarks techniques`. Each technique is a file in `configs/techniques/`, which extends a preset.",
            markdown(["file", "what differs", "paper"], credited),
            "## Effect",
            ABOUT,
            markdown(HEADER, [_row(e) for e in known]),
            f"Questions for which a right paper is among the first {FIRST} passages, before and with the technique: of those found, and of"
            " those that the preset `chat` shows its model, which a reader has put in order:",
            markdown(
                ["technique", "on", "paraphrases", "others", "paraphrases, shown", "others, shown"], first
            ),
            *([f"Not measured so far: {missing}."] if missing else []),
            "## Measured elsewhere",
            "What a pipeline file does not have, or what does not change what a search finds, has a section of [Benchmarks](benchmarks.md):",
            markdown(["what", "section", "paper"], _elsewhere()),
        ]
    )


def _elsewhere() -> list[list[str]]:
    report = BENCHMARKS.read_text(encoding="utf-8")
    return [
        [what, section if f"\n## {section}" in report else "not measured so far", papers]
        for what, section, papers in ELSEWHERE
    ]


ELSEWHERE = [
    [
        "`reorder`",
        "Reordering",
        "Long-Context LLMs Meet RAG: Overcoming Challenges for Long Inputs in RAG",
    ],
    ["`ragkit tune`", "Tuning as a replay", "On Speeding Up Language Model Evaluation"],
    [
        "`ragkit testset`, `ragkit train reranker`",
        "Training a reranker",
        "Promptagator: Few-shot Dense Retrieval From 8 Examples",
    ],
    [
        "`ragkit probe`",
        "Probes",
        "SFR-RAG: Towards Contextually Faithful LLMs; P-Adapters: Robustly Extracting Factual Information from Language Models with"
        " Diverse Prompts",
    ],
    [
        "`ragkit eval --judge FILE --pairwise`",
        "A judge of pairs",
        "Long-Span Question-Answering: Automatic Question Generation and QA-System Ranking via Side-by-Side Evaluation",
    ],
]
ABOUT = f"""\
Difference to the default configuration in what a search finds, paired by question, with 95 % intervals (* p < .05): nDCG@10 on
the collections; for `questions`, the share for which a right paper is among the first {FIRST} passages, before any refiner.
Where fewer than all 115 questions were asked, they are the 25 paraphrases and some of the others, drawn with seed 0, or, where
the papers are counted, those that the papers of one page answer, asked of that page alone (`--papers`). Calls and tokens
are those of a chat model in all, at the ingest for written keys and at the questions for queries; a reply has at most
{LIMITS["define.llm.max_tokens"]} tokens. Search: the mean for a question. Ingest: seconds beside the default's. Seconds are rough: the machine had
other work."""


if __name__ == "__main__":
    import sys

    print(main(sys.argv[1:]))
