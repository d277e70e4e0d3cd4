"""ragkit against LangChain, LlamaIndex, Haystack and txtai, each as its quick start has it.

    python -m benchmarks.peers [--documents 5000] [--tools langchain llama_index haystack txtai] [--folder DIR]

All use the same machine, model and documents.  Each tool has a virtual environment of its own under the
folder, made with pip the first time, with the same torch.  A tool runs in processes of its own: one reads the
documents and makes an index on disk (timed with the model loaded), others start from nothing, open that index
and answer.  Titles and abstracts go in as one text.  Where a tool splits its documents, a document ranks
where its best passage does.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

from benchmarks.table import SHARED, markdown
from ragkit.evaluate.dataset import Dataset, read
from ragkit.evaluate.measure import of_rankings
from ragkit.evaluate.statistics import Interval, difference, holm, interval
from ragkit.models import hub

COLLECTIONS = ("cranfield", "medline", "cisi", "pubmedqa_retrieval", "vaswani")
JUDGED = "cranfield"
MODEL = "all-MiniLM-L6-v2"
TORCH = "torch==2.13.0"
MEASURE = "ndcg@10"
QUERIES = 100
STARTS = 3
DEEP = 100
"""How many passages are asked for where rankings are judged.

Ten documents are among them, however they were split.
"""

# Each program defines: `load()`, the model, ready to encode; `ingest(encoder)`, the file `documents` into an index in `folder`;
# `opened(encoder)`, that index again, as a function from a question and a number of passages to the ids of their documents.

RAGKIT = """
import ragkit

def load():
    rag = ragkit.load(preset="default", corpus=folder)
    rag.ingest_pipeline.index[0].embed.embed_query("loads the model")
    return rag

def ingest(rag):
    rag.ingest(documents)

def opened(rag):
    return lambda question, k: [p.metadata["id"] for p in rag.search(question, k=k)]
"""

LANGCHAIN = """
from langchain_chroma import Chroma
from langchain_core.documents import Document
from langchain_huggingface import HuggingFaceEmbeddings
from langchain_text_splitters import RecursiveCharacterTextSplitter

def load():
    return HuggingFaceEmbeddings(model_name=model)

def ingest(embeddings):
    papers = [Document(page_content=text, metadata={"id": id}) for id, text in rows()]
    splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200, add_start_index=True)
    Chroma.from_documents(splitter.split_documents(papers), embeddings, persist_directory=folder)

def opened(embeddings):
    store = Chroma(persist_directory=folder, embedding_function=embeddings)
    return lambda question, k: [d.metadata["id"] for d in store.similarity_search(question, k=k)]
"""
"""The tutorial "Build a semantic search engine", with the store that keeps its index on disk."""

LLAMA_INDEX = """
from llama_index.core import Document, Settings, StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.embeddings.huggingface import HuggingFaceEmbedding

def load():
    Settings.embed_model = HuggingFaceEmbedding(model_name=model)

def ingest(_):
    index = VectorStoreIndex.from_documents([Document(text=text, doc_id=id) for id, text in rows()])
    index.storage_context.persist(persist_dir=folder)

def opened(_):
    index = load_index_from_storage(StorageContext.from_defaults(persist_dir=folder))
    retrievers = {}
    def search(question, k):
        retriever = retrievers.get(k) or retrievers.setdefault(k, index.as_retriever(similarity_top_k=k))
        return [found.node.ref_doc_id for found in retriever.retrieve(question)]
    return search
"""
"""The starter tutorial with local models, and "Storing"."""

HAYSTACK = """
from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.components.writers import DocumentWriter
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack_integrations.components.embedders.sentence_transformers import (
    SentenceTransformersDocumentEmbedder,
    SentenceTransformersTextEmbedder,
)

def load():
    embedder = SentenceTransformersDocumentEmbedder(model=model) if ingesting else SentenceTransformersTextEmbedder(model=model)
    embedder.warm_up()
    return embedder

def ingest(embedder):
    store = InMemoryDocumentStore()
    pipeline = Pipeline()
    pipeline.add_component("embedder", embedder)
    pipeline.add_component("writer", DocumentWriter(document_store=store))
    pipeline.connect("embedder.documents", "writer.documents")
    pipeline.run({"embedder": {"documents": [Document(content=text, meta={"id": id}) for id, text in rows()]}})
    store.save_to_disk(folder + ".json")

def opened(embedder):
    pipeline = Pipeline()
    pipeline.add_component("embedder", embedder)
    store = InMemoryDocumentStore.load_from_disk(folder + ".json")
    pipeline.add_component("retriever", InMemoryEmbeddingRetriever(document_store=store))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    def search(question, k):
        found = pipeline.run({"embedder": {"text": question}, "retriever": {"top_k": k}})
        return [d.meta["id"] for d in found["retriever"]["documents"]]
    return search
"""
"""The page of the embedder, "in a pipeline"; the store is the one of every first tutorial."""

TXTAI = """
from txtai import Embeddings

def load():
    embeddings = Embeddings(path=model) if ingesting else Embeddings()
    if ingesting:
        embeddings.transform("loads the model")
    return embeddings

def ingest(embeddings):
    embeddings.index(rows())
    embeddings.save(folder)

def opened(embeddings):
    embeddings.load(folder)
    return lambda question, k: [id for id, _ in embeddings.search(question, k)]
"""
"""The first example of "Embeddings", with ids, and "Index guide"."""

BEFORE = """
import json, sys, time
begun, action, distribution, model, folder, documents, questions, k = sys.argv[1:]
ingesting = action == "ingest"

def rows():
    with open(documents, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            yield row["id"], (row["title"] + "\\n" + row["text"]).strip()
"""

AFTER = """
encoder = load()
said = {}
if ingesting:
    started = time.perf_counter()
    ingest(encoder)
    said["seconds"] = time.perf_counter() - started
else:
    with open(questions, encoding="utf-8") as file:
        asked = json.load(file)
    search = opened(encoder)
    search("what is there to be found", int(k))
    said["start"] = time.time() - float(begun)
    said["ms"], said["found"] = [], {}
    for name, question in asked.items():
        started = time.perf_counter()
        found = search(question, int(k))
        said["ms"].append(1000 * (time.perf_counter() - started))
        said["found"][name] = found
from importlib.metadata import version
print()
print(json.dumps({**said, "version": version(distribution)}))
"""


@dataclass(frozen=True)
class Tool:
    """A measured tool: what pip installs for it (nothing for ragkit), and the program that uses it."""

    name: str
    distribution: str
    program: str
    packages: tuple[str, ...] = ()


OURS = Tool("ragkit", "ragkit", RAGKIT)
PEERS = {
    "langchain": Tool(
        "LangChain",
        "langchain",
        LANGCHAIN,
        ("langchain", "langchain-text-splitters", "langchain-chroma", "langchain-huggingface[full]"),
    ),
    "llama_index": Tool(
        "LlamaIndex",
        "llama-index-core",
        LLAMA_INDEX,
        ("llama-index-core", "llama-index-embeddings-huggingface"),
    ),
    "haystack": Tool("Haystack", "haystack-ai", HAYSTACK, ("haystack-ai", "sentence-transformers-haystack")),
    "txtai": Tool("txtai", "txtai", TXTAI, ("txtai",)),
}


class ToolFailedError(Exception):
    """A tool that could not be installed or did not run; the message is what it said last."""


@dataclass(frozen=True)
class Measured:
    """What one tool took, and its rankings.

    `seconds` for all documents, `start` seconds to the first answer, `ms` milliseconds for a question.
    """

    version: str
    seconds: float
    start: float
    ms: float
    rankings: dict[str, list[str]] = field(repr=False)


# --- environments


def environment(name: str, tool: Tool, folder: Path) -> Path:
    """The Python that has *tool*, installed if it was not.  Raises `ToolFailedError`."""
    if not tool.packages:
        return Path(sys.executable)
    home = folder / name
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    installed, wanted = home / "installed.txt", "\n".join([TORCH, *tool.packages])
    if installed.is_file() and installed.read_text(encoding="utf-8") == wanted:
        return python
    _ran([sys.executable, "-m", "venv", str(home)])
    for packages in ([TORCH], [TORCH, *tool.packages]):  # torch first, so that nothing else chooses another
        _ran([str(python), "-m", "pip", "install", "--quiet", *packages])
    installed.write_text(wanted, encoding="utf-8")
    return python


def _ran(command: Sequence[str], **variables: str) -> str:
    """What a process prints.  Raises `ToolFailedError` if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables})
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [
            f"{shlex.join(command[:4])} ended with {done.returncode}"
        ]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise ToolFailedError(errors[-1].strip().replace("|", "/")[:200])
    return done.stdout


# --- documents and questions


def documents(number: int) -> list[dict[str, str]]:
    """Titles and abstracts, as many of each collection while it has some.

    An id begins with the name of its collection.
    """
    by_collection = [_papers(name, f"{name}-") for name in COLLECTIONS]
    return list(islice(filter(None, chain.from_iterable(zip_longest(*by_collection))), number))


def _papers(name: str, prefix: str = "") -> Iterator[dict[str, str]]:
    with (SHARED / "data" / name / "corpus.jsonl").open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            if row["text"].strip() or row.get("title", "").strip():
                yield {"id": f"{prefix}{row['_id']}", "title": row.get("title", ""), "text": row["text"]}


def _written(path: Path, papers: Sequence[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in papers), encoding="utf-8")
    return path


# --- measuring


@dataclass(frozen=True)
class Work:
    """What every tool is given: documents and questions to be fast with, and those to be right with."""

    folder: Path
    papers: Path
    asked: Path
    judged: Path
    queries: Path


def prepared(number: int, dataset: Dataset, folder: Path) -> Work:
    questions = {case.id: case.question for case in dataset.cases}
    work = Work(
        folder,
        folder / "papers.jsonl",
        folder / "asked.json",
        folder / "judged.jsonl",
        folder / "queries.json",
    )
    _written(work.papers, documents(number))
    _written(work.judged, list(_papers(JUDGED)))
    work.asked.write_text(json.dumps(dict(islice(questions.items(), QUERIES))), encoding="utf-8")
    work.queries.write_text(json.dumps(questions), encoding="utf-8")
    return work


def measured(name: str, tool: Tool, folder: Path, work: Work) -> Measured:
    """*tool* over *work*.  Raises `ToolFailedError`."""
    python = environment(name, tool, folder)

    def child(action: str, index: str, papers: Path, questions: Path, k: int) -> dict[str, Any]:
        given = [
            action,
            tool.distribution,
            hub.files(MODEL),
            work.folder / f"{name}-{index}",
            papers,
            questions,
            k,
        ]
        command = [str(python), "-c", BEFORE + tool.program + AFTER, str(time.time()), *map(str, given)]
        said = _ran(
            command, HF_HUB_OFFLINE="1", ANONYMIZED_TELEMETRY="False", HAYSTACK_TELEMETRY_ENABLED="False"
        )
        found: dict[str, Any] = json.loads(said.splitlines()[-1])
        return found

    ingest = child("ingest", "fast", work.papers, work.asked, 10)
    starts = [child("search", "fast", work.papers, work.asked, 10) for _ in range(STARTS)]
    child("ingest", "right", work.judged, work.queries, DEEP)
    right = child("search", "right", work.judged, work.queries, DEEP)
    return Measured(
        version=ingest["version"],
        seconds=ingest["seconds"],
        start=statistics.median(run["start"] for run in starts),
        ms=statistics.median(statistics.median(run["ms"]) for run in starts),
        rankings=right["found"],
    )


def gains(dataset: Dataset, rankings: dict[str, list[str]]) -> list[float]:
    """nDCG@10 of each case, in their order."""
    left_out = {case.id: case.left_out for case in dataset.cases}
    kept = {
        case: [paper for paper in dict.fromkeys(found) if paper not in left_out[case]]
        for case, found in rankings.items()
    }
    values = of_rankings(dataset, kept)
    return [values[case.id][MEASURE] for case in dataset.cases]


def table(found: dict[str, Measured | ToolFailedError], number: int, dataset: Dataset) -> list[list[object]]:
    """A row a tool, ragkit first; one that failed says why."""
    ran = {name: it for name, it in found.items() if isinstance(it, Measured)}
    values = {name: gains(dataset, it.rankings) for name, it in ran.items()}
    ours = ran.get(OURS.name)
    apart = {
        name: difference(values[OURS.name], theirs)
        for name, theirs in values.items()
        if ours and name != OURS.name
    }
    p = holm({name: d.p for name, d in apart.items()})
    rows: list[list[object]] = []
    for name, it in found.items():
        if isinstance(it, ToolFailedError):
            rows.append([name, f"did not run: {it}", *[""] * 6])
            continue
        mean: Interval = interval(values[name])
        ratio = f"{ours.seconds / it.seconds:.2f}" if ours else ""
        d = apart.get(name)
        ahead = f"{d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}]{'' if p[name] >= 0.05 else ' *'}" if d else ""
        figures = [f"{number / it.seconds:.1f}", ratio, f"{it.start:.1f}", f"{it.ms:.1f}"]
        rows.append([name, it.version, *figures, f"{mean.value:.3f}", ahead])
    return rows


def main(number: int = 5000, tools: Sequence[str] = tuple(PEERS), folder: Path | None = None) -> str:
    home = folder or hub.cache_directory() / "peers"
    home.mkdir(parents=True, exist_ok=True)
    dataset = read(SHARED / "data" / JUDGED)
    found: dict[str, Measured | ToolFailedError] = {}
    with tempfile.TemporaryDirectory() as directory:
        work = prepared(number, dataset, Path(directory))
        for name, tool in {"ragkit": OURS, **{name: PEERS[name] for name in tools}}.items():
            try:
                found[tool.name] = measured(name, tool, home, work)
            except ToolFailedError as error:
                found[tool.name] = error
        number = len(work.papers.read_text(encoding="utf-8").splitlines())
    header = [
        "tool",
        "version",
        "documents/s",
        "ratio to ragkit",
        "start, s",
        "warm query, ms",
        "nDCG@10",
        "ragkit ahead by",
    ]
    return (
        f"## Peers: {number:,} titles and abstracts, {MODEL}, {TORCH}\n\n"
        + markdown(header, table(found, number, dataset))
        + f"\n\nDocuments a second with the model loaded, index on disk; start: from nothing to the first answer from that index, median of"
        f" {STARTS}; warm query: median of {QUERIES}, 10 passages each. nDCG@10 over {JUDGED} ({len(dataset.cases)} queries), differences"
        " paired by query with 95 % intervals (* could not be chance, p < .05 by Holm)."
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="ragkit against other tools, each as its quick start has it."
    )
    parser.add_argument("--documents", type=int, default=5000)
    parser.add_argument("--tools", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument(
        "--folder",
        type=Path,
        help="where the environments are kept (default: `peers` in the cache directory)",
    )
    given = parser.parse_args()
    print(main(given.documents, given.tools, given.folder))
