"""Is the corpus sound, and does every index hold what it should?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from langchain_core.vectorstores import VectorStore
from pydantic import BaseModel, ConfigDict

from ragkit.errors import CorpusError
from ragkit.index import Index
from ragkit.rag import Rag, empty


class IndexHealth(BaseModel):
    """One index: how many passages are `wanted`, `tracked` and `present`.

    Those `wanted` should be in the index, those `tracked` are by the ledger, and those `present` really are.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    wanted: int
    tracked: int
    present: int | None
    problem: str | None = None

    def having(self, problem: str | None, present: int | None = 0) -> IndexHealth:
        return self.model_copy(update={"problem": problem, "present": present})


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
    pipeline, corpus = rag.ingest_pipeline, rag.corpus
    name, holding = pipeline.name_of(index), pipeline.holding(index)
    tracked, waiting, surplus = (
        corpus.count_held(name),
        corpus.count_missing(holding),
        corpus.count_surplus(name),
    )
    health = IndexHealth(name=name, wanted=tracked + waiting - surplus, tracked=tracked, present=0)
    if corpus.index_fingerprint(name) is None:
        return health.having("not built for this configuration; run `ragkit ingest`")
    if not isinstance(index, Index):
        problem = None if pipeline.holds(corpus, index) else empty(tracked)
        return health.having(problem, present=0 if problem else None)
    try:
        lost, unknown = rag.differing(index)
    except CorpusError as damaged:
        return health.having(str(damaged))
    except Exception as error:  # whatever a damaged index raises is a finding
        return health.having(f"cannot be read ({type(error).__name__}); run `ragkit doctor --repair`")
    problem = None
    if lost or unknown:
        problem = f"{lost} passages lost, {unknown} unknown; run `ragkit doctor --repair`"
    elif waiting or surplus:
        problem = f"an ingest was cut short: {waiting} passages to add, {surplus} to drop; run `ragkit ingest` (no path is needed)"
    return health.having(problem, present=tracked - lost + unknown)
