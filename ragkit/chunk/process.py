"""Cuts papers in confined processes, several at once: sentences are found where a text can do no harm."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, is_dataclass, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar, NamedTuple

from langchain_core.documents import BaseDocumentTransformer, Document
from langchain_core.embeddings import Embeddings
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from ragkit.chunk import SplitterChunker, chunker_of
from ragkit.confined import Confined, ConfinedPool, Job
from ragkit.confined.ahead import in_order
from ragkit.document import passage
from ragkit.errors import LoadError
from ragkit.models import hub

_ENOUGH = 32  # papers for each process that has to be started: starting one takes as long as cutting some


class Cut(NamedTuple):
    """A paper and its passages, or why it could not be cut."""

    paper: Document
    passages: list[Document]
    error: LoadError | None = None


_Place = Annotated[int, Field(ge=0)]
_ROWS = TypeAdapter(list[tuple[_Place, _Place, dict[str, Any]]], config=ConfigDict(strict=True))


class Cutter:
    """Cuts papers with *chunker*, in the processes of *pool* if there is one and the chunker can be sent there.

    A chunker that embeds sentences is not sent: it needs its model.
    """

    def __init__(self, chunker: BaseDocumentTransformer, pool: ConfinedPool | None = None) -> None:
        self.works_for = self._chunker = chunker_of(chunker)
        embeds = any(isinstance(part, Embeddings) for part in getattr(self._chunker, "__dict__", {}).values())
        self._pool = None if embeds else pool

    def cut(self, papers: Sequence[Document]) -> list[Cut]:
        """The passages of each of *papers*, in their order."""
        if not papers:
            return []
        if not self._pool or not self._pool.takes(self._job):
            return list(map(self._here, papers))
        count = min(self._pool.size, max(self._pool.idle, len(papers) // _ENOUGH, 1))
        with (
            self._pool.taken(count) as processes,
            contextlib.closing(in_order(processes, papers, self._there)) as each,
        ):
            return [cut for some in each for cut in some]

    @cached_property
    def _job(self) -> _Chunks:
        return _Chunks(_located(self._chunker))

    def _here(self, paper: Document) -> Cut:
        try:
            return Cut(paper, list(self._chunker.transform_documents([paper])))
        except LoadError as error:
            return Cut(paper, [], error)

    def _there(self, process: Confined, paper: Document) -> Iterator[Cut]:
        assert self._pool
        known = {name: value for name, value in paper.metadata.items() if name != "sources"}
        request = json.dumps([paper.page_content, known], ensure_ascii=False, default=str).encode()
        try:
            with contextlib.closing(self._pool.replies(process, self._job, request)) as replies:
                yield Cut(paper, _admitted(paper, b"".join(replies)))
        except LoadError as error:
            yield Cut(paper, [], error)


def _admitted(paper: Document, reply: bytes) -> list[Document]:
    """The passages of *paper* in a reply.  Raises `LoadError` if it has anything else."""
    try:
        rows = _ROWS.validate_json(reply)
    except ValidationError:
        rows = [(0, -1, {})]
    if not all(start <= end <= len(paper.page_content) for start, end, _ in rows):
        raise LoadError("the process that cut it replied what are no passages of it")
    return [passage(paper, start, end, **known) for start, end, known in rows]


def _located(chunker: BaseDocumentTransformer) -> BaseDocumentTransformer:
    """*chunker* with the folder of its tokenizer's model for the name, which is looked for in this process alone."""
    model = getattr(chunker, "model", None)
    if isinstance(model, str) and is_dataclass(chunker):
        return replace(chunker, model=str(hub.files(model)))
    return chunker


@dataclass(frozen=True, eq=False)
class _Chunks(Job):
    """The passages of a paper."""

    chunker: BaseDocumentTransformer
    doing: ClassVar = "cutting"
    done: ClassVar = "cut"
    unconfined: ClassVar = (
        "papers are cut without limits on time and memory, since the chunker needs this process"
    )

    @property
    def parts(self) -> list[object]:
        inner = [self.chunker.splitter] if isinstance(self.chunker, SplitterChunker) else []
        return [self, self.chunker, *inner]

    def replies(self, request: bytes) -> Iterator[bytes]:
        text, known = json.loads(request)
        paper = Document(text, metadata=known)
        rows = []
        for chunk in self.chunker.transform_documents([paper]):
            inner = dict(chunk.metadata)
            start, end = inner.pop("start"), inner.pop("end")
            if text[start:end] != chunk.page_content:
                raise LoadError(f"its passage {start}:{end} is not the text at that place")
            rows.append((start, end, {k: v for k, v in inner.items() if k not in ("document_id", "title")}))
        yield json.dumps(rows, ensure_ascii=False).encode()
