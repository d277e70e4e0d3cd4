"""Does an index hold what the ledger of the corpus lists?"""

from __future__ import annotations

from contextlib import closing, suppress
from itertools import islice
from typing import NamedTuple

from ragkit.corpus import Corpus
from ragkit.errors import CorpusError, DepotLacks
from ragkit.index import Index
from ragkit.index.depot import depot_of, is_shipped
from ragkit.ingest import AnyIndex, IngestPipeline

_COMPARED = 10_000  # keys of an index that are looked up in the ledger at once


def is_whole(pipeline: IngestPipeline, corpus: Corpus, index: AnyIndex) -> bool:
    """Does *index* hold what the ledger lists, in files that are undamaged?"""
    if not isinstance(index, Index):
        return corpus.index_fingerprint(pipeline.name_of(index)) is None or pipeline.holds(corpus, index)
    try:
        found = differing(pipeline, corpus, index)
        return not (found.lost or found.unknown)
    except Exception:  # whatever a damaged index raises
        return False


class IndexDifference(NamedTuple):
    """What an index has against what the ledger says: keys `lost` and `unknown`, and the passages that are `present`."""

    lost: int
    unknown: int
    present: int


def differing(pipeline: IngestPipeline, corpus: Corpus, index: Index) -> IndexDifference:
    """What the published generation of *index* has.

    Raises `CorpusError` if its files are damaged, and whatever opening it may raise.
    """
    name = pipeline.name_of(index)
    place = pipeline.place(corpus, index, corpus.published().get(name, ("", 0))[1])
    if not index.is_sound(place):
        if corpus.store.depot and is_shipped(index):
            raise CorpusError(
                "this machine does not have it as it was published; the next question fetches it from the depot"
            )
        raise CorpusError("its files are damaged; run `ragkit doctor --repair`")
    with closing(index.open(place)) as searcher:
        entries, there, known, present = searcher.entries(), 0, 0, 0
        while some := list(islice(entries, _COMPARED)):
            there += len(some)
            known += corpus.count_known(name, some)
            present += sum(n == 0 for _, n in some)
    return IndexDifference(corpus.count_keys(name) - known, there - known, present)


def damaged(pipeline: IngestPipeline, corpus: Corpus) -> tuple[list[str], list[str]]:
    """The indexes that are not what the ledger says, by name, and a sentence for each that was mended without rebuilding it:
    fetched from the depot, or put there again from here, after all digests there were compared.
    """
    broken, mended, depot = [], [], depot_of(corpus)
    for index in pipeline.index:
        name = pipeline.name_of(index)
        through = depot if is_shipped(index) and corpus.index_fingerprint(name) is not None else None
        if through and is_shipped(index):
            place = pipeline.place(corpus, index, corpus.published()[name][1])
            with suppress(DepotLacks):
                if not index.is_sound(place):
                    through.fetch(index, place)
                    mended.append(f"fetched {name} from the depot")
        if not is_whole(pipeline, corpus, index):
            broken.append(name)
        elif through and is_shipped(index) and through.mend(index, place):
            mended.append(f"put what was missing or damaged of {name} into the depot")
    return broken, mended


def emptied(held: int) -> str:
    """What to say of a LangChain vector store without the passages that were put into it."""
    return (
        f"the vector store is empty, although {held} passages were put into it: give it a place where it keeps them,"
        " then run `ragkit ingest` (no path is needed); one that is in memory lasts as long as its process"
    )
