"""For tests of components, ours and third parties': fakes, and the contract that every component keeps.

def test_my_reranker_is_a_component():
    check_component(MyReranker, top_k=3)
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import inspect
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from ragkit.document import Span, passage, places_of, score_of, scored, span_of
from ragkit.flow import arun, run
from ragkit.fuse import Fusion, Ranking
from ragkit.gate import Gate
from ragkit.generate import Generator
from ragkit.index import LexicalIndex, VectorIndex
from ragkit.models.embeddings import FingerprintedEmbeddings
from ragkit.read.formats import FileFormat
from ragkit.rewrite import QueryRewriter
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


@component("scripted")
def scripted_chat(responses: list[str]) -> FakeListChatModel:
    """A chat model that says *responses*, one a call, over and over."""
    return FakeListChatModel(responses=responses)


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

    Every argument is annotated and stored unchanged under its own name; making one imports nothing heavy; it can be
    written as YAML and read back; empty gives empty; sync and async agree; what goes in is not changed.
    Raises `AssertionError` that says which rule is broken.
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


def _check_vector_index(store: VectorIndex) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store.attach(Path(folder) / "index")
        assert store.similarity_search_with_relevance_scores("bridge", k=3) == []
        given = passages()
        assert store.embeddings is not None
        store.add_vectors(
            given,
            np.asarray(store.embeddings.embed_documents([p.page_content for p in given]), dtype=np.float32),
        )
        store.add_vectors(
            given[:1], np.asarray(store.embeddings.embed_documents([given[0].page_content]), dtype=np.float32)
        )
        assert store.ids() == {str(p.id) for p in given}, "adding a passage again is not a replacement"
        found = store.similarity_search_with_relevance_scores(given[1].page_content, k=2)
        assert found[0][0].id == given[1].id
        assert [
            d.id
            for d, _ in asyncio.run(
                store.asimilarity_search_with_relevance_scores(given[1].page_content, k=2)
            )
        ] == [d.id for d, _ in found]
        store.remove([str(given[1].id), "never there"])
        assert store.ids() == {str(given[0].id), str(given[2].id)}
        store.clear()
        assert store.ids() == set()
        store.clear()


def _check_lexical_index(index: LexicalIndex) -> None:
    with tempfile.TemporaryDirectory() as folder:
        index.attach(Path(folder) / "index")
        assert index.search("bridge", 3) == []
        given = passages()
        index.add_passages(given)
        index.add_passages(given[:1])
        assert index.ids() == {str(p.id) for p in given}, "adding a passage again is not a replacement"
        assert index.search("wooden cheaper", 3)[0][0] == given[2].id
        assert index.search("", 3) == []
        index.remove([str(given[2].id), "never there"])
        assert index.search("wooden cheaper", 3) == []
        index.clear()
        assert index.ids() == set()
        index.clear()


def _check_compressor(refiner: BaseDocumentCompressor) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(refiner, CorpusReader):
            corpus = Corpus(folder)
            with corpus.writing():
                pass
            refiner.attach_corpus(corpus)
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
    assert judged.citations[0].verdict == "supported", "a sentence quoted word for word is not supported"
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
    VectorIndex: _check_vector_index,
    LexicalIndex: _check_lexical_index,
    BaseDocumentCompressor: _check_compressor,
    Fusion: _check_fusion,
    Generator: _check_generator,
    Verifier: _check_verifier,
    Gate: _check_gate,
    QueryRewriter: _check_rewriter,
    FileFormat: _check_format,
    BaseLoader: _check_loader,
}
