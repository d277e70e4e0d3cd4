"""What `reorder` changes in the answers of a chat model that reads a right passage among hard negatives.

    RAGKIT_MODEL=... RAGKIT_BASE_URL=... python -m benchmarks.reordering [--split dev|test|all] [--every N]

Each question is asked of up to two passages of a right paper among the best passages of other papers, as the search
ranks them, and then with the best at both ends ("Long-Context LLMs Meet RAG: Overcoming Challenges for Long Inputs in
RAG", whose curve over the number of passages rises and then falls).  What counts is what the model writes, before any
of it is dropped.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from langchain_core.documents import Document

from benchmarks.answers import questions, selected
from benchmarks.strategies import asking
from benchmarks.table import SHARED, markdown
from ragkit import Rag
from ragkit.config.chat_model import VARIABLE
from ragkit.document import title_of
from ragkit.evaluate.dataset import Case, Dataset
from ragkit.evaluate.measure import is_right
from ragkit.evaluate.outcome import observed, searched
from ragkit.evaluate.run import Settings, placed
from ragkit.evaluate.statistics import difference, interval
from ragkit.flow import steps
from ragkit.refine.context import Reordered
from ragkit.text.question import Asked

NEGATIVES = (0, 5, 10, 20)
GOLD = 2


def contexts(dataset: Dataset, case: Case, passages: Sequence[Document]) -> Iterator[list[Document]]:
    """The passages of a right paper among 0, 5, ... of the best others, as ranked; none if no right paper is found."""
    gold = [p for p in passages if not case.relevant.keys().isdisjoint(dataset.paper((), title_of(p)))]
    others = [p for p in passages if p not in gold]
    if gold:
        for number in NEGATIVES:
            yield [p for p in passages if p in gold[:GOLD] or p in others[:number]]


def both(rag: Rag, case: Case, asked: Asked, shown: Sequence[Document]) -> tuple[bool, bool]:
    """Is what the model writes right, from the passages as *shown*, and from them reordered?"""
    reordered = Reordered().compress_documents(shown, case.question)
    plain = written(rag, case, asked, shown)
    return plain, plain if list(reordered) == list(shown) else written(rag, case, asked, reordered)


def written(rag: Rag, case: Case, asked: Asked, shown: Sequence[Document]) -> bool:
    """Is what the model writes from *shown* right?"""
    return is_right(case, observed(steps(rag.answer_pipeline.respond(asked, shown))).draft or "")


def main(split: str = "all", every: int = 5) -> str:
    dataset = questions(None if split == "all" else split)
    cases = [case for case in dataset.cases if case.answerable and case.must_include and case.relevant]
    found: list[list[tuple[bool, bool]]] = []
    with tempfile.TemporaryDirectory() as folder:
        rag = placed(asking("cited"), dataset, Settings(papers=[SHARED / "papers"], workspace=Path(folder)))
        rag.ingest(SHARED / "papers")
        for case in cases[::every]:
            search, passages = searched(rag, case)
            shown = list(contexts(dataset, case, passages))
            found += [[both(rag, case, search.asked(case), each) for each in shown]] if shown else []
    return f"{title(split, every, len(found))}\n\n{markdown(HEADER, list(rows(found)))}"


HEADER = ["passages of other papers", "questions", "right, as ranked", "right, `reorder`", "difference"]


def title(split: str, every: int, number: int) -> str:
    return (
        f"## Reordering: {number} questions (split: {split}, every {every}th), up to {GOLD} passages of a right paper among those of others,"
        f" {os.environ[VARIABLE]}, 95 % intervals"
    )


def rows(found: Sequence[Sequence[tuple[bool, bool]]]) -> Iterator[list[object]]:
    for number, pairs in zip(NEGATIVES, zip(*found, strict=True), strict=True):
        plain, turned = ([float(pair[way]) for pair in pairs] for way in (0, 1))
        apart = difference(turned, plain, binary=True)
        shares = (interval(values, binary=True) for values in (plain, turned))
        yield [
            number,
            len(pairs),
            *(f"{i.value:.2f} [{i.low:.2f}, {i.high:.2f}]" for i in shares),
            f"{apart.value:+.2f} [{apart.low:+.2f}, {apart.high:+.2f}]",
        ]


if __name__ == "__main__":
    print(main(*selected("What `reorder` changes among hard negatives.", "all", 5)))
