"""For tests of components, ours and third parties': fakes, and the contract that every component keeps.

def test_my_reranker_is_a_component():
    check_component(MyReranker, top_k=3)
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import inspect
import math
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence, Set
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml
from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import BaseDocumentCompressor, BaseDocumentTransformer, Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import FakeListChatModel
from pydantic import PositiveInt

from ragkit import config
from ragkit.answer import Answer, Cited, Claim, Quote
from ragkit.config import components
from ragkit.config.components import component
from ragkit.config.spec import describe
from ragkit.corpus import Corpus, CorpusReader
from ragkit.document import Key, Span, passage, passage_id, places_of, score_of, scored, span_of
from ragkit.errors import UsageError
from ragkit.flow import Flow, arun, done, run
from ragkit.fuse import Fusion, Ranking
from ragkit.gate import Gate
from ragkit.generate import Generator
from ragkit.index import Hit, LexicalIndex, Place, VectorIndex, best_passages
from ragkit.index.collection import CollectionIndex, Rows
from ragkit.keys import Estimate, KeptReplies, KeyWriter
from ragkit.models.embeddings import AdaptedEmbeddings, FingerprintedEmbeddings, Vectors
from ragkit.read.formats import FileFormat
from ragkit.rewrite import QueryRewriter
from ragkit.testing.engines import add_keys
from ragkit.text.question import Asked
from ragkit.text.words import words
from ragkit.verify import Verifier

HEAVY = ("torch", "transformers", "sentence_transformers", "chromadb", "openai", "openvino", "tantivy")
"""Packages that neither importing ragkit nor making a component may import."""

# --- fakes


@component("hashed")
@dataclass(frozen=True)
class HashedEmbeddings(FingerprintedEmbeddings):
    """A vector of hashed words: no model, always the same, near where words are shared."""

    size: PositiveInt = 64

    def embed_query(self, text: str) -> list[float]:
        vector = np.zeros(self.size)
        for word in words(text):
            vector[zlib.crc32(word.encode()) % self.size] += 1.0
        return list((vector / max(float(np.linalg.norm(vector)), 1e-12)).tolist())

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def fingerprint(self) -> str:
        return f"hashed-{self.size}"


@component("memory")
@dataclass(frozen=True)
class MemoryIndex(CollectionIndex, VectorIndex):
    """Vectors in the memory of this process, as a server called *server* would keep them."""

    embed: Embeddings
    server: str

    def rows(self, name: str) -> MemoryRows:
        return MemoryRows(
            self.embed, name, _servers.setdefault(self.server, {}).setdefault(name, _StoredRows())
        )


@dataclass
class _StoredKey:
    key: Key
    vector: Vectors
    added: int
    removed: float = math.inf


@dataclass
class _StoredRows:
    keys: list[_StoredKey] = dataclasses.field(default_factory=list)
    writer: int = 0
    sealed: set[int] = dataclasses.field(default_factory=set)


_servers: dict[str, dict[str, _StoredRows]] = {}


class MemoryRows(Rows):
    """The collection of a `MemoryIndex`."""

    def __init__(self, embed: Embeddings, name: str, collection: _StoredRows) -> None:
        self.embed, self.name, self.collection = embed, name, collection

    def begin(self, generation: int, last: int | None) -> None:
        self.collection.writer = generation
        kept = generation - 1 if last is None else last
        self.collection.keys = [row for row in self.collection.keys if row.added <= kept]
        self.collection.sealed = {each for each in self.collection.sealed if each <= kept}
        for row in self.collection.keys:
            if last is None:
                row.removed = min(row.removed, generation)
            elif row.removed > last:
                row.removed = math.inf

    def add(self, keys: Sequence[Key], vectors: Vectors | None, generation: int) -> None:
        assert vectors is not None
        self._demand(generation)
        self.collection.keys += [
            _StoredKey(key, vector, generation) for key, vector in zip(keys, vectors, strict=True)
        ]

    def remove(self, passages: Collection[str], generation: int) -> int:
        self._demand(generation)
        gone = [
            row for row in self.collection.keys if row.removed == math.inf and row.key.passage in passages
        ]
        for row in gone:
            row.removed = generation
        return len(gone)

    def seal(self, generation: int) -> None:
        self._demand(generation)
        self.collection.sealed.add(generation)

    def _demand(self, generation: int) -> None:
        if self.collection.writer != generation:
            raise self.refuse(self.name)

    def is_sealed(self, generation: int) -> bool:
        return generation in self.collection.sealed

    def drop(self, generation: int) -> None:
        self.collection.keys = [row for row in self.collection.keys if row.removed > generation]
        self.collection.sealed = {each for each in self.collection.sealed if each >= generation}

    def _seen(self, generation: int) -> list[_StoredKey]:
        return [row for row in self.collection.keys if row.added <= generation < row.removed]

    def search(
        self, queries: Sequence[str], k: int, generation: int, among: Set[str] | None
    ) -> list[list[Hit]]:
        return [self._nearest(query, k, generation, among) for query in queries]

    def _nearest(self, query: str, k: int, generation: int, among: Set[str] | None) -> list[Hit]:
        asked = np.asarray(self.embed.embed_query(query))
        hits = [
            Hit(row.key.passage, float(row.vector @ asked), row.key.n)
            for row in self._seen(generation)
            if asked.any()
        ]
        hits.sort(key=lambda hit: -hit.score)
        return best_passages(lambda wanted: hits[:wanted], k, lambda hit: hit.passage, among)

    def entries(self, generation: int) -> Iterator[tuple[str, int]]:
        return ((row.key.passage, row.key.n) for row in self._seen(generation))

    def count(self, generation: int) -> int:
        return len(self._seen(generation))


@component("scripted")
def scripted_chat(responses: list[str]) -> FakeListChatModel:
    """A chat model that says *responses*, one a call, over and over."""
    return FakeListChatModel(responses=responses)


# --- nulls


@dataclass(frozen=True)
class NoKeys(KeyWriter):
    """Writes no keys."""

    kind: ClassVar[str] = "none"

    def flow(self, passages: Sequence[Document], replies: KeptReplies) -> Flow[Sequence[Sequence[str]]]:
        return done([[] for _ in passages])

    def estimate(self, passages: Sequence[Document], replies: KeptReplies) -> Estimate:
        return Estimate()


@dataclass(frozen=True)
class SearchAsAsked(QueryRewriter):
    """Searches for what is asked."""

    def flow(self, asked: Asked) -> Flow[Asked]:
        return done(asked)


def without(technique: Any) -> Any:
    """The null of *technique*, to show that an effect is its effect: no keys, no rewriting, or vectors as they are.

    Raises `UsageError` for a component that has none.
    """
    if isinstance(technique, KeyWriter):
        return NoKeys()
    if isinstance(technique, QueryRewriter):
        return SearchAsAsked()
    if isinstance(technique, AdaptedEmbeddings):
        return technique.embed
    raise UsageError(
        f"a {type(technique).__name__} has no null: only key writers, rewriters and adapted embeddings have one"
    )


PAPER = Document(
    id="p1",
    page_content="Glass bridges carry 40 people. They are tested every year. Wooden ones are cheaper, but do not last.",
    metadata={"title": "On Bridges", "sources": [{"uri": "bridges.txt", "start": 0, "end": 101}]},
)
"""A paper to try components on."""


def passages() -> list[Document]:
    """The sentences of `PAPER` as scored passages, best first."""
    spans = ((0, 30), (31, 58), (59, 101))
    cut = [passage(PAPER, start, end, sources=PAPER.metadata["sources"]) for start, end in spans]
    return [scored(p, 1.0 - i / 10, {"dense": 0.8 - i / 10}) for i, p in enumerate(cut)]


# --- the contract


def check_component(maker: components.Maker, **arguments: Any) -> None:
    """Assert that *maker*, called with *arguments*, keeps the contract of components.

    Every argument is annotated and stored unchanged under its own name; making one imports nothing heavy; it
    can be written as YAML and read back; empty gives empty; sync and async agree; what goes in is not
    changed.  Raises `AssertionError` that says which rule is broken.
    """
    check_signature(maker)
    made = maker(**arguments) if inspect.isclass(maker) else config.use(maker, **arguments)
    assert isinstance(made, components.interfaces()), (
        f"{maker.__qualname__} makes a {type(made).__name__}, which fits no slot"
    )
    if inspect.isclass(maker):
        for name, value in arguments.items():
            assert getattr(made, name) is value or getattr(made, name) == value, (
                f"argument '{name}' is not stored as it was given"
            )
    check_describes(made)
    for interface, behaves in _BEHAVIOURS.items():
        if isinstance(made, interface):
            behaves(made)


def check_signature(maker: components.Maker) -> None:
    """Assert that every argument is named and annotated, and that the maker says what it makes."""
    function = maker.__init__ if inspect.isclass(maker) else maker
    for parameter in list(inspect.signature(function).parameters.values())[
        1 if inspect.isclass(maker) else 0 :
    ]:
        swallows = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        pydantic_made = hasattr(maker, "model_fields")
        assert pydantic_made or not swallows, (
            f"{maker.__qualname__} swallows arguments with *{parameter.name}"
        )
    for name, known in components.parameters(maker).items():
        assert known.hint not in (Any, inspect.Parameter.empty), (
            f"argument '{name}' of {maker.__qualname__} has no annotation"
        )
    assert components.summary(maker), f"{maker.__qualname__} has no docstring"
    assert components.is_slot(components.makes(maker)), f"{maker.__qualname__} does not say what it makes"


def check_describes(made: Any) -> None:
    """Assert that *made*, written as YAML and read back, is described the same."""
    slot = next(s for s in components.interfaces() if isinstance(made, s))
    holder = dataclasses.make_dataclass("Holder", [("it", slot)])
    described = describe(made)
    again: Any = config.loads(holder, yaml.safe_dump({"it": described}))
    assert describe(again.it) == described, f"{type(made).__name__} is described differently once rebuilt"


def imports_heavy(code: str) -> list[str]:
    """The heavy packages that running *code* in a fresh interpreter imports."""
    asked = f"{code}\nimport sys; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    return done.stdout.split()


def _check_chunker(chunker: BaseDocumentTransformer) -> None:
    assert list(chunker.transform_documents([])) == []
    paper = copy.deepcopy(PAPER)
    chunks = list(chunker.transform_documents([paper]))
    assert paper == PAPER, "the chunker changed the paper it was given"
    assert chunks == list(asyncio.run(chunker.atransform_documents([paper])))
    for chunk in chunks:
        span = span_of(chunk)
        assert PAPER.page_content[span.start : span.end] == chunk.page_content, (
            "a chunk is not the text at its span"
        )


def _check_embeddings(embed: Embeddings) -> None:
    assert embed.embed_documents([]) == []
    one, two = embed.embed_documents(["a glass bridge", "a wooden bridge that is longer"])
    assert len(one) == len(two) == len(embed.embed_query("bridge"))
    assert np.allclose(asyncio.run(embed.aembed_documents(["a glass bridge"]))[0], one, atol=0.02)


def _check_index(index: VectorIndex | LexicalIndex) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, second = (Place(Path(folder) / "index", generation) for generation in (1, 2))
        index.build(None, first).seal()
        with closing(index.open(first)) as searcher:
            assert (searcher.search("bridge", 3), searcher.count(), list(searcher.entries())) == ([], 0, [])
        one, two, three = passages()
        keys = [Key(str(p.id), 0, p.page_content) for p in (one, two, three)]
        more = Key(str(two.id), 1, "Is a footbridge over the Rhine inspected?")
        builder = index.build(first, second)
        add_keys(index, builder, [*keys, more])
        builder.seal()
        assert index.is_sound(second), "it takes what it has just sealed for damaged"
        with closing(index.open(second)) as searcher:
            assert sorted(searcher.entries()) == sorted((key.passage, key.n) for key in (*keys, more))
            assert searcher.search(three.page_content, 2)[0].passage == three.id
            if isinstance(index, LexicalIndex):
                assert searcher.search("", 3) == []
            assert searcher.search("footbridge over the Rhine", 3)[0][::2] == (two.id, 1)
            found = searcher.search("bridges tested footbridge", 3)
            assert len({hit.passage for hit in found}) == len(found), "a passage is found twice"
            among = frozenset({str(one.id), str(three.id)})
            assert searcher.search("glass wooden footbridge", 2, among)[0].passage in among
            third = index.build(second, Place(second.root, 4))
            third.remove([str(two.id), passage_id("never there", 0, 1)])
            third.seal()
            assert searcher.count() == 4, "a searcher sees what another generation removes"
        with closing(index.open(Place(second.root, 4))) as searcher:
            assert sorted(searcher.entries()) == sorted([(str(one.id), 0), (str(three.id), 0)])
            assert two.id not in {hit.passage for hit in searcher.search(two.page_content, 3)}
        builder = index.build(None, Place(second.root, 5))
        add_keys(index, builder, keys[:1])
        builder.seal()
        index.sweep(second.root, keep=[5])
        with closing(index.open(Place(second.root, 5))) as searcher:
            assert list(searcher.entries()) == [(one.id, 0)], (
                "an index that is built anew holds what it did before"
            )


def _check_compressor(refiner: BaseDocumentCompressor) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(refiner, CorpusReader):
            corpus = Corpus(folder)
            with corpus.writing():
                pass
            refiner = refiner.over(corpus)
        _check_refiner(refiner)


def _check_refiner(refiner: BaseDocumentCompressor) -> None:
    assert list(refiner.compress_documents([], "bridge")) == []
    given = passages()
    kept = list(refiner.compress_documents(given, "How many people do glass bridges carry?"))
    assert given == passages(), "the refiner changed the passages it was given"
    assert kept == list(
        asyncio.run(refiner.acompress_documents(given, "How many people do glass bridges carry?"))
    )
    assert {span_of(p).document_id for p in kept} <= {"p1"}
    scores = [score_of(p) for p in kept]
    if [p.id for p in kept] != [p.id for p in given] and set(scores) - {score_of(p) for p in given}:
        assert scores == sorted(scores, reverse=True), "the refiner's scores do not agree with its order"


def _check_fusion(fusion: Fusion) -> None:
    assert fusion.fuse([]) == []
    assert fusion.fuse([Ranking("dense", [])]) == []
    one, two, three = passages()
    fused = fusion.fuse([Ranking("dense", [one, two]), Ranking("lexical", [two, three])])
    assert sorted(str(p.id) for p in fused) == sorted(str(p.id) for p in passages()), (
        "a document is lost or there twice"
    )
    assert [score_of(p) for p in fused] == sorted((score_of(p) for p in fused), reverse=True)


def _check_generator(generator: Generator) -> None:
    asked = Asked.of("How many people do glass bridges carry?")
    given = passages()
    answer = run(generator.flow(asked, given))
    assert given == passages(), "the generator changed the passages it was given"
    assert answer == asyncio.run(arun(generator.flow(asked, given)))
    for citation in answer.citations:
        if citation.document_id is not None:
            assert PAPER.page_content[citation.start : citation.end] == citation.quote
    assert all(citation.document_id is None for citation in run(generator.flow(asked, [])).citations)


def _check_verifier(verifier: Verifier) -> None:
    first = passages()[0]
    asked = Asked.of("How many?")
    cites = (Cited(quote=Quote.of(first, span_of(first))),)
    answer = Answer(question="How many?", claims=(Claim(text=first.page_content, cites=cites),))
    judged = run(verifier.flow(asked, answer))
    assert judged == asyncio.run(arun(verifier.flow(asked, answer)))
    assert [c.text for c in judged.claims] == [c.text for c in answer.claims], (
        "the verifier edited the answer"
    )
    assert judged.citations[0].verdict == "quoted", "a sentence quoted word for word is not `quoted`"
    nothing = Answer(question="")
    assert run(verifier.flow(Asked.of(""), nothing)) == nothing


def _check_gate(gate: Gate) -> None:
    asked = Asked.of("How many people do glass bridges carry?")
    assert gate.weigh(asked, []).refusal, "the gate lets a question pass for which nothing was found"
    assert 0 <= gate.weigh(asked, passages()).score <= 1


def _check_rewriter(rewriter: QueryRewriter) -> None:
    asked = Asked.of("What is a bridge?")
    rewritten = run(rewriter.flow(asked))
    assert rewritten.text == asked.text, "the rewriter changed what the user wrote"
    assert rewritten.searches, "the rewriter leaves nothing to search for"
    assert rewritten == asyncio.run(arun(rewriter.flow(asked)))


def _check_key_writer(writer: KeyWriter) -> None:
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus(folder)
        with corpus.writing():
            replies = KeptReplies(corpus)
            assert list(run(writer.flow([], replies))) == []
            given = passages()
            keys = list(run(writer.flow(given, replies)))
            assert given == passages(), "the key writer changed the passages it was given"
            assert len(keys) == len(given), "the key writer has not one list of keys for each passage"
            assert keys == list(asyncio.run(arun(writer.flow(given, replies))))
            assert writer.estimate(given, replies).calls == 0, "it estimates calls whose replies are kept"


def _check_format(form: FileFormat) -> None:
    samples = (
        "# On Bridges\n\nGlass bridges carry 40 people.\n",
        '{"title": "On Bridges", "text": "Glass bridges carry 40 people."}\n',
    )
    for text in samples:
        if form.recognises("bridges.txt", text.encode()):
            for paper in form.papers("bridges.txt", text.encode()):
                paper.metadata["sources"][0]["uri"] = "bridges.txt"
                [place] = places_of(paper, Span("", 0, len(paper.page_content)))
                if place["start"] is not None:
                    assert text[place["start"] : place["end"]] == paper.page_content, (
                        "a paper's text is not that of the file at its place"
                    )


def _check_loader(loader: BaseLoader) -> None:
    assert isinstance(loader.lazy_load(), Iterator)


_BEHAVIOURS: dict[type, Callable[[Any], None]] = {
    BaseDocumentTransformer: _check_chunker,
    Embeddings: _check_embeddings,
    VectorIndex: _check_index,
    LexicalIndex: _check_index,
    BaseDocumentCompressor: _check_compressor,
    Fusion: _check_fusion,
    Generator: _check_generator,
    Verifier: _check_verifier,
    Gate: _check_gate,
    QueryRewriter: _check_rewriter,
    KeyWriter: _check_key_writer,
    FileFormat: _check_format,
    BaseLoader: _check_loader,
}
