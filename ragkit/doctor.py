"""Is the corpus sound, and does every index hold what it should?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from langchain_core.vectorstores import VectorStore
from pydantic import BaseModel, ConfigDict

from ragkit.index import Index
from ragkit.rag import Rag


class IndexHealth(BaseModel):
    """One index: the passages that the ledger tracks, those really present, and those it should hold (`wanted`)."""

    model_config = ConfigDict(frozen=True)

    name: str
    wanted: int
    tracked: int
    present: int | None
    problem: str | None = None


class Diagnosis(BaseModel):
    """What `ragkit doctor` reports; `problems` is empty when all is well."""

    model_config = ConfigDict(frozen=True)

    corpus: str
    counts: dict[str, int]
    indexes: tuple[IndexHealth, ...]
    problems: tuple[str, ...]
    repaired: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def examine(rag: Rag) -> Diagnosis:
    """Compare the database with itself, and each index of *rag* with the ledger.  Changes nothing."""
    counts = asdict(rag.corpus.counts())
    indexes = tuple(_examine_index(rag, index) for index in rag.ingest_pipeline.index)
    problems = [*rag.corpus.problems(), *(f"{i.name}: {i.problem}" for i in indexes if i.problem)]
    return Diagnosis(
        corpus=str(rag.corpus.directory), counts=counts, indexes=indexes, problems=tuple(problems)
    )


def repair(rag: Rag) -> Diagnosis:
    """Bring every index of *rag* into the state that the corpus says, and examine the result."""
    done = rag.repair()
    return examine(rag).model_copy(update={"repaired": tuple(done)})


def _examine_index(rag: Rag, index: VectorStore | Index) -> IndexHealth:
    pipeline = rag.ingest_pipeline
    name = pipeline.name_of(index)
    tracked = set(rag.corpus.held(name))
    waiting, surplus = pipeline.backlog(rag.corpus, index)
    wanted = len(tracked) + len(waiting) - len(surplus)
    if rag.corpus.index_fingerprint(name) is None:
        return IndexHealth(
            name=name,
            wanted=wanted,
            tracked=0,
            present=0,
            problem="not built for this configuration; run `ragkit ingest`",
        )
    if not isinstance(index, Index):
        return IndexHealth(name=name, wanted=wanted, tracked=len(tracked), present=None)
    index.use(rag.corpus.published()[name][1])
    if not index.is_sound():
        return IndexHealth(
            name=name,
            wanted=wanted,
            tracked=len(tracked),
            present=0,
            problem="its files are damaged; run `ragkit doctor --repair`",
        )
    try:
        present = index.ids()
    except Exception as error:  # whatever a damaged index raises is a finding
        unreadable = f"cannot be read ({type(error).__name__}); run `ragkit doctor --repair`"
        return IndexHealth(name=name, wanted=wanted, tracked=len(tracked), present=0, problem=unreadable)
    problem: str | None = None
    if present != tracked:
        problem = f"{len(tracked - present)} passages lost, {len(present - tracked)} unknown; run `ragkit doctor --repair`"
    elif waiting or surplus:
        problem = f"an ingest was cut short: {len(waiting)} passages to add, {len(surplus)} to drop; run `ragkit ingest` (no path is needed)"
    return IndexHealth(name=name, wanted=wanted, tracked=len(tracked), present=len(present), problem=problem)
