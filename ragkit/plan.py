"""A dry run of an ingest: the files it would read, and the model tokens and time it would take."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from langchain_core.documents import Document
from pydantic import BaseModel, ConfigDict

from ragkit.chunk.process import Cutter
from ragkit.confined import ConfinedPool
from ragkit.corpus.papers import FailedRead
from ragkit.document import digest, paper_id, searchable, sources_of
from ragkit.errors import LoadError
from ragkit.index import VectorIndex
from ragkit.ingest.origins import Gathered, Origins, gathered_offline
from ragkit.ingest.report import Failure, encodable
from ragkit.keys import Estimate, KeptReplies
from ragkit.models.embeddings import FingerprintedEmbeddings, encoder_of, fingerprint_of, tokens_of
from ragkit.rag import Rag
from ragkit.read import PaperSource, source_of

_SAMPLE = 64  # texts that are embedded to see how fast it goes


class Plan(BaseModel):
    """What an ingest would do.

    `new`, `changed`, `unchanged`: files; `gone`: files that would be forgotten; `papers`: in new and changed
    files, each paper counted once; `passages`: theirs; `encode`: the passages that would be embedded, which
    are `tokens` long and take about `seconds` (reading alone, where the model is a server's); `keys`: what
    key writers would add to them and to papers that they have not seen yet, which none of these figures count,
    by so many `calls` of chat models, with `chat_tokens` read and written for about `cost` (None if a model has
    no price); replies that are kept count for nothing.
    Papers that the corpus lists under another file are counted as if they were new.  `known`: files that failed
    before and have not changed since, which would not be tried again; `fetch`: addresses that would be fetched,
    of which the other figures count the files that are kept from before.
    """

    model_config = ConfigDict(frozen=True)

    new: int
    changed: int
    unchanged: int
    gone: int
    failed: tuple[Failure, ...]
    papers: int
    passages: int
    encode: int
    tokens: int
    keys: int = 0
    calls: int = 0
    chat_tokens: int = 0
    cost: float | None = 0.0
    seconds: float
    known: tuple[Failure, ...] = ()
    fetch: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def plan(rag: Rag, *paths: str | Path, prune: bool = False) -> Plan:
    """Read and cut what is new or changed, and store nothing.

    Raises `UsageError` for a path that does not exist.
    """
    started = time.perf_counter()
    corpus, source = rag.corpus, source_of(rag.ingest_pipeline.read)
    named, to_fetch = gathered_offline(corpus.directory, paths)
    unreadable: list[Failure] = []
    with source.reading() as reader:
        files = _compared(rag, named, reader)
        work = work_of(rag, _read(reader, files.to_read, unreadable), reader.pool)
    keys = sum(_unkeyed(rag), work.keys)
    return Plan(
        new=len(files.to_read) - files.changed,
        changed=files.changed,
        unchanged=files.unchanged,
        gone=len(source.gone(corpus.uris(), named.scopes)) if prune and corpus.exists() else 0,
        failed=(*files.failed, *unreadable, *work.failed),
        papers=work.papers,
        passages=work.passages,
        encode=work.encode,
        tokens=work.tokens,
        keys=keys.keys,
        calls=keys.calls,
        chat_tokens=keys.input_tokens + keys.output_tokens,
        cost=keys.cost,
        seconds=round(time.perf_counter() - started + work.seconds, 1),
        known=tuple(files.failed_before),
        fetch=tuple(to_fetch),
    )


@dataclass
class ComparedFiles:
    """The files that an ingest finds: those `to_read` are new or `changed`, which is a number as `unchanged` is.

    `failed` cannot be opened, and `failed_before` would not be tried again.
    """

    to_read: list[str] = field(default_factory=list)
    changed: int = 0
    unchanged: int = 0
    failed: list[Failure] = field(default_factory=list)
    failed_before: list[Failure] = field(default_factory=list)


def _compared(rag: Rag, named: Gathered, reader: PaperSource) -> ComparedFiles:
    """Find the files of what was *named*, and compare them with what the corpus has."""
    pipeline, corpus, files = rag.ingest_pipeline, rag.corpus, ComparedFiles()
    found = named.with_attached(corpus, named.own(corpus, reader.find(named.paths)), reader)
    known = corpus.known_files(map(encodable, found)) if corpus.exists() else set()
    failures = corpus.failures() if corpus.exists() else {}
    origins = Origins({**(corpus.origins() if corpus.exists() else {}), **named.known})
    for uri in found:
        is_named = uri in named.again
        before = None if is_named else failures.get(encodable(uri))
        try:
            content = origins.digest(uri, reader.digest(uri))
        except LoadError as error:
            failed = FailedRead("", pipeline.attempt, str(error))
            kept = files.failed_before if failed == before else files.failed
            kept.append(Failure(source=encodable(uri), error=str(error)))
            continue
        is_back = is_named and uri in known and corpus.has_removed(uri)
        if uri in known and corpus.has_file(uri, content, pipeline.loader) and not is_back:
            files.unchanged += 1
        elif before and before[:2] == (content, pipeline.attempt):
            files.failed_before.append(Failure(source=uri, error=before.error))
        else:
            files.to_read.append(uri)
            files.changed += uri in known
    return files


class Workload(NamedTuple):
    """The work of an ingest.

    `papers` counts distinct papers, `encode` the passages to embed and `tokens` their tokens; `seconds`
    estimates the time for that, `keys` the further keys, `failed` has what cannot be cut.
    """

    papers: int
    passages: int
    encode: int
    tokens: int
    seconds: float
    keys: Estimate
    failed: tuple[Failure, ...]


def work_of(rag: Rag, batches: Iterable[Sequence[Document]], pool: ConfinedPool | None = None) -> Workload:
    """What it would take to ingest the papers of *batches*, which are cut in the processes of *pool*."""
    cutter = Cutter(rag.ingest_pipeline.chunk, pool)
    papers: set[str] = set()
    failed: list[Failure] = []
    passages, keys, replies = 0, Estimate(), KeptReplies(rag.corpus)
    texts: dict[str, str] = {}
    for some in batches:
        known = [paper.model_copy(update={"id": paper_id(paper)}) for paper in some if paper.page_content]
        fresh = [paper for paper in known if paper.id not in papers]
        papers |= {str(paper.id) for paper in fresh}
        cut: list[Document] = []
        for each in cutter.cut(fresh):
            if each.error:
                failed.append(Failure(source=sources_of(each.paper)[0]["uri"], error=str(each.error)))
            cut += each.passages
        passages += len(cut)
        texts |= {digest(text): text for text in map(searchable, cut)}
        keys = sum((writer.estimate(cut, replies) for writer in rag.ingest_pipeline.keys), keys)
    return Workload(len(papers), passages, *_encoding(rag, texts), keys, tuple(failed))


def _unkeyed(rag: Rag) -> Iterator[Estimate]:
    """What key writers would take for the papers that are in the corpus and that they have not seen."""
    pipeline, corpus = rag.ingest_pipeline, rag.corpus
    if not corpus.exists():
        return
    for writer, name in zip(pipeline.keys, pipeline.writers, strict=True):
        for paper in corpus.unkeyed(pipeline.chunker, name):
            yield writer.estimate(list(corpus.passages(paper.ids).values()), KeptReplies(corpus))


def _read(source: PaperSource, uris: Sequence[str], failed: list[Failure]) -> Iterator[Sequence[Document]]:
    with closing(source.read_each(uris)) as each:
        for uri, batches in zip(uris, each, strict=True):
            try:
                yield from batches
            except LoadError as error:
                failed.append(Failure(source=uri, error=str(error)))


def _encoding(rag: Rag, texts: dict[str, str]) -> tuple[int, int, float]:
    """How many texts would be embedded, their tokens, and the seconds it takes, estimated from a sample."""
    encode, tokens, seconds = 0, 0, 0.0
    for index in rag.ingest_pipeline.index:
        if not isinstance(index, VectorIndex):
            continue
        embed = encoder_of(index.embed)
        cached = rag.corpus.vectors(fingerprint_of(embed), texts) if rag.corpus.exists() else {}
        waiting = [text for key, text in texts.items() if key not in cached]
        encode += len(waiting)
        length = tokens_of(embed, waiting)
        tokens += length
        if waiting and isinstance(embed, FingerprintedEmbeddings):  # a server may ask for money
            sample = waiting[:: max(len(waiting) // _SAMPLE, 1)][:_SAMPLE]
            embed.embed_documents(sample[:1])  # loads the model
            started = time.perf_counter()
            embed.embed_documents(sample)
            seconds += (time.perf_counter() - started) * length / max(tokens_of(embed, sample), 1)
    return encode, tokens, seconds
