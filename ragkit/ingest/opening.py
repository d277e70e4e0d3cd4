"""Opening what an ingest has published, for questions."""

from __future__ import annotations

import json
import logging
import os
import threading
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from pydantic import TypeAdapter

from ragkit import private
from ragkit.corpus import Corpus
from ragkit.document import digest
from ragkit.errors import CorpusError, DepotError, DepotLacks, IndexMismatch
from ragkit.index import Index, Searcher, Snapshot
from ragkit.index.depot import depot_of, is_shipped
from ragkit.ingest import AnyIndex, IngestPipeline, embeddings_of, made_with
from ragkit.ingest.consistency import emptied
from ragkit.ingest.fetching import Fetching

log = logging.getLogger("ragkit")

_PATIENCE = 10.0  # seconds that a process which has just begun waits for the published state rather than open an earlier one

_NOTED = TypeAdapter(dict[str, tuple[int, str]])


class OpenIndexes:
    """The indexes of *pipeline* over *corpus*, open at their published state, for questions.

    An index whose files are missing or changed is fetched from the depot of the corpus; where there is none, *repair*
    rebuilds it.  *others* are the same indexes as other objects.
    """

    def __init__(
        self,
        pipeline: IngestPipeline,
        corpus: Corpus,
        others: Collection[AnyIndex],
        repair: Callable[[], object],
    ) -> None:
        self.pipeline, self.corpus, self.others, self.repair = pipeline, corpus, others, repair
        self.named = {pipeline.name_of(index): index for index in pipeline.index}
        self.behind = ""
        """Why questions are answered from an earlier state than the published one; empty if they are not."""
        self._fetching = Fetching()
        self._opening = threading.RLock()
        self._snapshot: Snapshot | None = None
        self._asked = set[str]()  # the LangChain vector stores that hold what they should
        self._fingerprints: dict[str, str] = {}

    def snapshot(self) -> Snapshot:
        """The published state of every index, open; kept until something new is published.

        With a depot, that is the newest state that is here whole while the published one is fetched, or cannot be.
        """
        with self._opening:
            published = self.published()
            if self._snapshot and self._snapshot.generations == published:
                self.behind = ""
                return self._snapshot
            damaged = self._damaged(published)
            # If another state is published by now, a writer has only swept away what was to be opened.
            if damaged and self.published() == published:
                return self._fetched(damaged, published) or self._rebuilt(damaged)
            if damaged:
                return self.snapshot()
            self._snapshot = self._open(published)
            self._note(published)
            self.behind = ""
            return self._snapshot

    def published(self) -> dict[str, int]:
        """The published generation of each index; raises `IndexMismatch` if one has other settings."""
        published = self.corpus.published()
        for name, index in self.named.items():
            if name not in published:
                raise IndexMismatch(
                    f"the corpus in '{self.corpus.name}' has no index for this configuration ({name});"
                    " run `ragkit ingest` with it (no path is needed), or use the configuration that the corpus was built with"
                )
            if published[name][0] != self.fingerprint(name):
                raise IndexMismatch(
                    f"index {name} was built with another model or other settings; run `ragkit ingest` to build it anew"
                )
            if not isinstance(index, Index) and name not in self._asked:
                if not self.pipeline.holds(self.corpus, index):
                    raise IndexMismatch(f"index {name}: {emptied(self.corpus.count_held(name))}")
                self._asked.add(name)
        return {name: published[name][1] for name in self.named}

    def fingerprint(self, name: str) -> str:
        """What the index of that name is built with."""
        if name not in self._fingerprints:
            self._fingerprints[name] = made_with(self.named[name])
        return self._fingerprints[name]

    def _damaged(self, state: Mapping[str, int]) -> list[str]:
        """The indexes of which this generation is not here as it was sealed."""
        return [
            name
            for name, index in self.named.items()
            if isinstance(index, Index)
            and not index.is_sound(self.pipeline.place(self.corpus, index, state[name]))
        ]

    def _rebuilt(self, damaged: Sequence[str]) -> Snapshot:
        log.warning("index %s is damaged and is built anew from the corpus", " and ".join(damaged))
        self.repair()
        if still := self._damaged(self.published()):
            raise CorpusError(
                f"index {' and '.join(still)} is damaged again as soon as it is built; check the disk"
            )
        return self.snapshot()

    def _fetched(self, damaged: Collection[str], published: Mapping[str, int]) -> Snapshot | None:
        """The state that is open once the depot was asked for what is *damaged*; None if that is not shipped."""
        depot = depot_of(self.corpus) if any(is_shipped(self.named[name]) for name in damaged) else None
        if depot is None:
            return None
        wanted = [
            (index, self.pipeline.place(self.corpus, index, published[name]))
            for name in damaged
            if is_shipped(index := self.named[name])
        ]
        earlier = self._earlier()
        patience = None if earlier is None else 0.0 if self._snapshot else _PATIENCE
        try:
            if self._fetching.is_done(depot, wanted, patience):
                return self.snapshot()
            fetching = f"the published indexes are being fetched from the depot '{depot.name}'"
            reason = self._fetching.failure or fetching
        except DepotError as error:
            if earlier is None:
                out = "; `ragkit doctor --repair` builds it" if isinstance(error, DepotLacks) else ""
                raise type(error)(
                    f"this machine does not have the published indexes, and {error}{out}"
                ) from None
            reason = str(error)
        assert earlier is not None
        if reason != self.behind:
            log.warning("answering from the state before the published one: %s", reason)
        self.behind = reason
        if self._snapshot is None or self._snapshot.generations != earlier:
            self._snapshot = self._open(earlier)
        return self._snapshot

    def _earlier(self) -> dict[str, int] | None:
        """The state that this process, or the last one here, had open, if it is still whole."""
        if self._snapshot:
            state = dict(self._snapshot.generations)
            still = {name for name in state if not is_shipped(self.named[name])}  # open files stay
            return None if still & set(self._damaged(state)) else state
        noted = self._noted()
        if {name: built for name, (_, built) in noted.items()} != {
            n: self.fingerprint(n) for n in self.named
        }:
            return None
        state = {name: number for name, (number, _) in noted.items()}
        return None if self._damaged(state) else state

    def _open(self, state: dict[str, int]) -> Snapshot:
        """Open the indexes, each at its generation, and load their models meanwhile."""
        searchers: dict[str, Searcher] = {}
        with ThreadPoolExecutor(1) as pool:
            for embed in {id(e): e for e in map(embeddings_of, self.named.values()) if e}.values():
                pool.submit(embed.embed_query, "")
            try:
                for name, index in self.named.items():
                    if isinstance(index, Index):
                        searchers[name] = index.open(self.pipeline.place(self.corpus, index, state[name]))
            except BaseException:
                _close(list(searchers.values()))
                raise
        names = {id(index): self.pipeline.name_of(index) for index in [*self.pipeline.index, *self.others]}
        of_each = {i: searchers[name] for i, name in names.items() if name in searchers}
        snapshot = Snapshot(self.corpus, of_each, names, state, self.snapshot)
        weakref.finalize(snapshot, _close_ours, list(searchers.values()), os.getpid()).atexit = False
        return snapshot

    @property
    def _notes(self) -> Path:
        """Where it is noted which state of these indexes was open last: each generation, and what it was built with."""
        return self.corpus.directory / "indexes" / f"{digest(*sorted(self.named))[:8]}.opened"

    def _noted(self) -> dict[str, tuple[int, str]]:
        try:
            return _NOTED.validate_json(self._notes.read_text())
        except (OSError, ValueError):
            return {}

    def _note(self, state: Mapping[str, int]) -> None:
        """Note that *state* is here whole, and delete what is older than the state that was noted before."""
        if self.corpus.store.depot is None:
            return
        with suppress(OSError, CorpusError):  # of a folder that this process may only read
            before = self._noted()
            new = self._notes.with_suffix(f".{os.getpid()}")
            with open(new, "w", opener=private.unlinked) as file:
                json.dump({name: [number, self.fingerprint(name)] for name, number in state.items()}, file)
            new.replace(self._notes)
            for name, index in self.named.items():
                if is_shipped(index):
                    root = self.pipeline.place(self.corpus, index, state[name]).root
                    index.sweep_before(root, min(before.get(name, (0, ""))[0], state[name]))


def _close(searchers: Sequence[Searcher]) -> None:
    for searcher in searchers:
        searcher.close()


def _close_ours(searchers: Sequence[Searcher], process: int) -> None:
    """Close those of this process: in one that was forked, an index waits for threads that are not there."""
    if process == os.getpid():
        _close(searchers)
