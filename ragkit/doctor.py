"""Is the corpus sound, and does every index hold what it should?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from langchain_core.vectorstores import VectorStore
from pydantic import BaseModel, ConfigDict

from ragkit.errors import CorpusError, DepotError
from ragkit.index import Index
from ragkit.index.depot import depot_of, is_shipped
from ragkit.ingest.consistency import differing, emptied
from ragkit.ingest.queue import counts_of
from ragkit.ingest.report import encodable
from ragkit.rag import Rag
from ragkit.read import source_of

_NAMED = 10  # files that a problem names; `gone` has them all


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
    """What `ragkit doctor` reports; `problems`, which the user must solve, is empty when all is well.

    `gone`: files that the corpus lists and that are not there any more; `orphaned_vectors`: those of texts by which
    no passage is found any more, which only take room, and `removed_vectors` those that `vacuum` deleted; `queue`: the files that workers share, of
    a corpus that has a queue: how many are waiting, running, read but not published, and failed; `depot`: where machines
    ship indexes to each other, if they do.
    """

    model_config = ConfigDict(frozen=True)

    corpus: str
    counts: dict[str, int]
    indexes: tuple[IndexHealth, ...]
    problems: tuple[str, ...]
    repaired: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    orphaned_vectors: int = 0
    removed_vectors: int = 0
    queue: dict[str, int] = {}
    depot: str | None = None

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def examine(rag: Rag) -> Diagnosis:
    """Compare the database with itself, and each index of *rag* with the ledger.  Changes nothing."""
    counts = asdict(rag.corpus.counts())
    indexes = tuple(_examine_index(rag, index) for index in rag.ingest_pipeline.index)
    problems = [*rag.corpus.problems(), *(f"{i.name}: {i.problem}" for i in indexes if i.problem)]
    problems += _problems_of_depot(rag)
    if not counts["documents"]:
        problems.append("the corpus holds no paper; run `ragkit ingest PATH`")
    elif not counts["chunks"]:
        problems.append(
            "no paper of the corpus has a passage; run `ragkit ingest`, which says what was left out"
        )
    gone = source_of(rag.ingest_pipeline.read).gone(rag.corpus.uris())
    if gone:
        problems.append(
            f"{_missing(gone)}; restore what is missing, or run `ragkit ingest --prune` to forget its papers"
        )
    return Diagnosis(
        corpus=rag.corpus.name,
        counts=counts,
        indexes=indexes,
        problems=tuple(problems),
        gone=tuple(map(encodable, gone)),
        orphaned_vectors=len(rag.corpus.orphaned_vectors()),
        queue=queued._asdict() if (queued := counts_of(rag.corpus)) else {},
        depot=rag.corpus.store.depot,
    )


def vacuum(rag: Rag) -> Diagnosis:
    """Delete the vectors that no passage needs, and examine the result."""
    with rag.corpus.writing():
        removed = rag.corpus.vacuum()
    return examine(rag).model_copy(update={"removed_vectors": removed})


def _missing(gone: Sequence[str]) -> str:
    named = ", ".join(map(encodable, gone[:_NAMED])) + (
        f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else ""
    )
    return f"{len(gone)} {'file no longer exists' if len(gone) == 1 else 'files no longer exist'}: {named}"


def repair(rag: Rag) -> Diagnosis:
    """Bring every index of *rag* into the state that the corpus says, and examine the result."""
    done = rag.repair()
    return examine(rag).model_copy(update={"repaired": tuple(done)})


def _problems_of_depot(rag: Rag) -> list[str]:
    """What other machines could not fetch; the files in the depot are looked for, and not read."""
    depot = depot_of(rag.corpus)
    shipped = [rag.ingest_pipeline.name_of(i) for i in rag.ingest_pipeline.index if is_shipped(i)]
    if depot is None:
        return []
    try:
        found = [
            depot.problem(name, number)
            for name, (_, number) in rag.corpus.published().items()
            if name in shipped
        ]
    except DepotError as error:
        return [str(error)]
    return [f"{each}; run `ragkit doctor --repair`" for each in found if each]


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
        problem = None if pipeline.holds(corpus, index) else emptied(tracked)
        return health.having(problem, present=0 if problem else None)
    try:
        found = differing(pipeline, corpus, index)
    except CorpusError as damaged:
        return health.having(str(damaged))
    except Exception as error:  # whatever a damaged index raises is a finding
        return health.having(f"cannot be read ({type(error).__name__}); run `ragkit doctor --repair`")
    problem = None
    if found.lost or found.unknown:
        what = "passages" if corpus.count_keys(name) == tracked else "keys of passages"
        problem = f"{found.lost} {what} lost, {found.unknown} unknown; run `ragkit doctor --repair`"
    elif waiting or surplus:
        problem = f"an ingest was interrupted: {waiting} passages to add, {surplus} to drop; run `ragkit ingest` (no path is needed)"
    return health.having(problem, present=found.present)
