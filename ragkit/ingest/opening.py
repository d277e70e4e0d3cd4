"""Opening what an ingest has published, for questions."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from ragkit.corpus import Corpus
from ragkit.index import Index, Searcher, Snapshot
from ragkit.ingest import AnyIndex, IngestPipeline, embeddings_of


def opened(
    pipeline: IngestPipeline,
    corpus: Corpus,
    others: Collection[AnyIndex],
    published: Mapping[str, int],
    renew: Callable[[], Snapshot],
) -> Snapshot:
    """Open the indexes of *pipeline*, each at its generation in *published*, and load their models meanwhile.

    *others* are the same indexes as other objects; *renew* gives the snapshot that follows this one.
    """
    searchers: dict[str, Searcher] = {}
    named = {pipeline.name_of(index): index for index in pipeline.index}
    with ThreadPoolExecutor(1) as pool:
        for embed in {id(e): e for e in map(embeddings_of, named.values()) if e}.values():
            pool.submit(embed.embed_query, "")
        for name, index in named.items():
            if isinstance(index, Index):
                searchers[name] = index.open(pipeline.place(corpus, index, published[name]))
    names = {id(index): pipeline.name_of(index) for index in [*pipeline.index, *others]}
    of_each = {i: searchers[name] for i, name in names.items() if name in searchers}
    snapshot = Snapshot(corpus, of_each, names, published, renew)
    weakref.finalize(snapshot, _close, list(searchers.values())).atexit = False
    return snapshot


def _close(searchers: Sequence[Searcher]) -> None:
    for searcher in searchers:
        searcher.close()
