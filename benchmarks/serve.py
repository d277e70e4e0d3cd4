"""`ragkit serve` under load, beside the same retrieval of LangChain on FastAPI.

    python -m benchmarks.serve [CORPUS] [--clients 1 16 64 256] [--seconds 10] [--questions 200] [--checked 10000] [--folder DIR]
    python -m benchmarks.serve [CORPUS] --minutes 30 [--checked 10000] [--clients 256]

With `--minutes`, ragkit alone is asked by half of the clients and searched by the other half, for so long and until so many replies
were compared; the resident memory is sampled all the while.

CORPUS is a folder that `ragkit ingest` made; without it, 2,000 abstracts are ingested into one.  It is copied, since papers
are added to it.  LangChain gets the same passages, the same encoder (by `HuggingFaceEmbeddings`), Chroma and `BM25Retriever` in an
`EnsembleRetriever`, in a virtual environment of its own.

Clients are tasks of this process that ask again as soon as they have a reply, so that each reply can be compared with the one
that the same question got alone.  They take the same share of the processor from every server.  Papers that are added
change what is found: beside an ingest, only errors are counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import psutil

import ragkit
from benchmarks.peers import MODEL, Tool, ToolFailedError, documents, environment
from benchmarks.table import markdown
from ragkit.models import hub

CLIENTS = (1, 16, 64, 256)
ABSTRACTS = 2000
K = 5  # passages of a search
ADDED = 20  # papers of one ingest
STARTED_WITHIN = 600  # seconds, in which LangChain embeds all passages
PATIENCE = 120  # seconds for a reply
TOO_MANY = 429
SHOWN = 30  # rows of the table of memory

LANGCHAIN = """
import json, sys
import uvicorn
from fastapi import FastAPI
from langchain_chroma import Chroma
from langchain_classic.retrievers import EnsembleRetriever
from langchain_community.retrievers import BM25Retriever
from langchain_core.documents import Document
from langchain_huggingface import HuggingFaceEmbeddings
from pydantic import BaseModel

port, model, passages, folder, k = sys.argv[1:]
papers = [Document(page_content=row["text"], id=row["id"]) for row in map(json.loads, open(passages))]
chroma = Chroma(persist_directory=folder, embedding_function=HuggingFaceEmbeddings(model_name=model))
for at in range(0, len(papers), 1000):
    chroma.add_documents(papers[at : at + 1000])
words = BM25Retriever.from_documents(papers, k=int(k))
retriever = EnsembleRetriever(
    retrievers=[chroma.as_retriever(search_kwargs={"k": int(k)}), words], weights=[0.5, 0.5]
)
app = FastAPI()

class Search(BaseModel):
    query: str
    k: int

class Papers(BaseModel):
    texts: list[str]

@app.get("/readyz")
def ready():
    return {}

@app.post("/api/search")
async def search(asked: Search):
    found = await retriever.ainvoke(asked.query)
    return {"results": [{"text": each.page_content} for each in found[: asked.k]]}

@app.post("/api/papers")
def add(given: Papers):
    chroma.add_texts(given.texts)

uvicorn.run(app, port=int(port), log_level="error")
"""
"""What LangChain's documents show: an ensemble retriever behind a route of FastAPI.  `BM25Retriever` takes no new papers."""

PEER = Tool(
    "LangChain on FastAPI",
    "langchain",
    LANGCHAIN,
    (
        "langchain-classic",
        "langchain-community",
        "langchain-chroma",
        "langchain-huggingface[full]",
        "rank_bm25",
        "fastapi",
        "uvicorn",
    ),
)


@dataclass
class Load:
    """What many clients saw: milliseconds of each reply, replies by status, and those that differ from the one alone."""

    seconds: float = 0.0
    ms: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: int = 0

    @property
    def errors(self) -> int:
        return sum(count for status, count in self.statuses.items() if status not in ("200", str(TOO_MANY)))

    def cells(self) -> list[str]:
        """Requests a second, and the 50th, 95th and 99th percentile of the milliseconds."""
        if len(self.ms) < 2:
            return ["-"] * 4
        parts = statistics.quantiles(self.ms, n=100, method="inclusive")
        return [f"{len(self.ms) / self.seconds:.1f}", *(f"{parts[p - 1]:.0f}" for p in (50, 95, 99))]


@dataclass(frozen=True)
class Kind:
    """A kind of request: its path, its body, and what must be the same in each reply to one question."""

    name: str
    path: str
    asks: str
    more: dict[str, Any]

    def body(self, question: str) -> dict[str, Any]:
        return {self.asks: question, **self.more}

    @staticmethod
    def essence(reply: dict[str, Any]) -> object:
        if "results" in reply:
            return [each["text"] for each in reply["results"]]
        return reply["answer"], [(cited["document_id"], cited["start"]) for cited in reply["citations"]]


SEARCH = Kind("search", "/api/search", "query", {"k": K})
ASK = Kind("ask", "/api/ask", "question", {})


# --- servers


@contextmanager
def serving(command: Sequence[str], port: int) -> Iterator[tuple[str, psutil.Process]]:
    """The address of the server that the command starts, and its process.  Raises `ToolFailedError`."""
    address, until = f"http://127.0.0.1:{port}", time.monotonic() + STARTED_WITHIN
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stderr=said)
        try:
            while not _is_ready(address):
                if process.poll() is not None or time.monotonic() > until:
                    said.seek(0)
                    raise ToolFailedError((said.read().strip().splitlines() or ["it does not start"])[-1])
                time.sleep(0.2)
            yield address, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(60)


def _is_ready(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/readyz").is_success
    except httpx2.TransportError:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


# --- clients


async def alone(client: httpx2.AsyncClient, kind: Kind, questions: Sequence[str]) -> dict[str, object]:
    """The reply to each question, one after another."""
    found = {}
    for question in questions:
        reply = await client.post(kind.path, json=kind.body(question))
        found[question] = kind.essence(reply.raise_for_status().json())
    return found


async def loaded(
    address: str,
    kind: Kind,
    right: dict[str, object],
    clients: int,
    *,
    more: Callable[[float, int], bool],
    compare: bool = True,
    load: Load | None = None,
) -> Load:
    """So many clients at once, as long as *more* is true of the seconds that have passed and the requests sent.

    *load* is what is counted into.
    """
    load, questions, sent = load or Load(), cycle(right), 0
    limits = httpx2.Limits(max_connections=clients, max_keepalive_connections=clients)
    began = time.perf_counter()

    async def one(client: httpx2.AsyncClient) -> None:
        nonlocal sent
        while more(time.perf_counter() - began, sent):
            sent += 1
            question, start = next(questions), time.perf_counter()
            try:
                reply = await client.post(kind.path, json=kind.body(question))
            except httpx2.HTTPError as error:
                load.statuses[type(error).__name__] += 1
                continue
            load.statuses[str(reply.status_code)] += 1
            if reply.is_success:
                load.ms.append(1000 * (time.perf_counter() - start))
                load.wrong += compare and kind.essence(reply.json()) != right[question]

    async with httpx2.AsyncClient(base_url=address, limits=limits, timeout=PATIENCE) as client:
        await asyncio.gather(*(one(client) for _ in range(clients)))
    load.seconds = time.perf_counter() - began
    return load


@asynccontextmanager
async def ingesting(address: str, is_ours: bool) -> AsyncIterator[None]:
    """Papers are added all the while."""

    async def add() -> None:
        async with httpx2.AsyncClient(base_url=address, timeout=PATIENCE) as client:
            for n in range(1_000_000):
                texts = [
                    f"The gannet of island {n} nests {n + i} metres above the sea." for i in range(ADDED)
                ]
                if is_ours:
                    rows = [{"title": f"Island {n}, nest {i}", "text": text} for i, text in enumerate(texts)]
                    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
                    done = await client.post("/api/papers", files=[("files", (f"{n}.jsonl", lines))])
                else:
                    done = await client.post("/api/papers", json={"texts": texts})
                done.raise_for_status()

    adding = asyncio.create_task(add())
    yield
    if adding.done():
        adding.result()  # it failed
    adding.cancel()
    await asyncio.gather(adding, return_exceptions=True)


# --- measuring


async def measured(
    name: str,
    served: tuple[str, psutil.Process],
    kinds: Sequence[Kind],
    questions: Sequence[str],
    given: argparse.Namespace,
) -> tuple[list[list[str]], list[str]]:
    """A row for each load of one server, and a sentence for each kind of request that was compared."""
    address, process = served
    rows, sentences, rights = [], [], {}
    async with httpx2.AsyncClient(base_url=address, timeout=PATIENCE) as client:
        for kind in kinds:
            rights[kind.name] = await alone(client, kind, questions)

    async def load(kind: Kind, clients: int, beside: str) -> None:
        found = await loaded(
            address,
            kind,
            rights[kind.name],
            clients,
            more=lambda passed, _: passed < given.seconds,
            compare=not beside,
        )
        wrong = "" if beside else str(found.wrong)
        row = [name, kind.name, str(clients), beside or "-", *found.cells(), str(found.errors), wrong]
        print(" ".join(row), dict(found.statuses), file=sys.stderr, flush=True)
        rows.append(row)

    for kind in kinds:
        for clients in given.clients:
            await load(kind, clients, "")
        before = process.memory_info().rss
        checked = await loaded(
            address,
            kind,
            rights[kind.name],
            min(64, max(given.clients)),
            more=lambda _, sent: sent < given.checked,
        )
        grown = (process.memory_info().rss - before) / 1e6
        sentences.append(
            f"{name}, {kind.name}: {len(checked.ms):,} replies compared, {checked.wrong} differ from the reply to the same question"
            f" alone, {checked.errors} errors; memory grew by {grown:.0f} MB."
        )
    for kind in kinds:  # last, since papers that are added change the replies
        for clients in given.clients:
            async with ingesting(address, name == "ragkit"):
                await load(kind, clients, "ingest")
    return rows, sentences


class Sample(NamedTuple):
    """What a server had done after so many minutes, and the resident memory that it had, in megabytes."""

    minutes: float
    megabytes: float
    searches: int
    asks: int
    errors: int
    wrong: int


async def soaked(
    served: tuple[str, psutil.Process], questions: Sequence[str], given: argparse.Namespace
) -> str:
    """Searches and questions for a long time: what was wrong, and the memory of the server as time goes by."""
    address, process = served
    kinds, loads = (SEARCH, ASK), {SEARCH.name: Load(), ASK.name: Load()}
    rights: dict[str, dict[str, object]] = {}
    async with httpx2.AsyncClient(base_url=address, timeout=PATIENCE) as client:
        for kind in kinds:
            rights[kind.name] = await alone(client, kind, questions)
    began, samples = time.perf_counter(), list[Sample]()

    async def sample() -> None:
        while True:
            searches, asks = loads.values()
            samples.append(
                Sample(
                    (time.perf_counter() - began) / 60,
                    process.memory_info().rss / 1e6,
                    len(searches.ms),
                    len(asks.ms),
                    searches.errors + asks.errors,
                    searches.wrong + asks.wrong,
                )
            )
            await asyncio.sleep(1)

    def more(passed: float, sent: int) -> bool:
        done = sum(len(load.ms) for load in loads.values())
        return bool(passed < 60 * given.minutes or done < given.checked)

    sampling = asyncio.create_task(sample())
    await asyncio.gather(
        *(
            loaded(
                address,
                kind,
                rights[kind.name],
                max(1, max(given.clients) // 2),
                more=more,
                load=loads[kind.name],
            )
            for kind in kinds
        )
    )
    sampling.cancel()
    return report(samples, loads, given)


def report(samples: Sequence[Sample], loads: dict[str, Load], given: argparse.Namespace) -> str:
    """A table of at most `SHOWN` samples, and a line on what grew."""
    shown = [*samples[:: max(1, len(samples) // SHOWN)], samples[-1]]
    rows = [[f"{each.minutes:.1f}", f"{each.megabytes:.0f}", *each[2:]] for each in shown]
    later = samples[len(samples) // 2 :]
    slope = statistics.linear_regression([s.minutes for s in later], [s.megabytes for s in later]).slope
    compared = " and ".join(f"{len(load.ms):,} replies to {name}" for name, load in loads.items())
    statuses = sum((load.statuses for load in loads.values()), Counter[str]())
    quantiles = "; ".join(f"{name} {', '.join(load.cells()[1:])}" for name, load in loads.items())
    return f"""## Serving for a long time

`python -m benchmarks.serve --minutes {given.minutes:g}`: {max(given.clients)} clients.

{markdown(["minutes", "resident MB", "searches", "asks", "errors", "wrong"], rows)}

{compared} were compared with the reply to the same question alone: {samples[-1].wrong} differ. Replies by status: {dict(statuses)}; p50, p95, p99 in ms:
{quantiles}. In the second half of the time the memory changed by {60 * slope:+.1f} MB an hour; at most it was {max(s.megabytes for s in samples):.0f} MB."""


def prepared(corpus: Path | None, number: int, folder: Path) -> tuple[Path, Path, list[str]]:
    """A corpus to serve, a file of its passages, and questions, which are titles of its papers."""
    copy = folder / "corpus"
    if corpus:
        shutil.copytree(corpus, copy)
    rag = ragkit.load(preset="default", corpus=copy)
    if not corpus:
        papers = folder / "papers.jsonl"
        papers.write_text("".join(json.dumps(row) + "\n" for row in documents(ABSTRACTS)), encoding="utf-8")
        rag.ingest(papers)
    found = rag.corpus.passages(rag.corpus.column("SELECT id FROM chunks ORDER BY id"))
    passages = folder / "passages.jsonl"
    with passages.open("w", encoding="utf-8") as file:
        for identity, passage in found.items():
            file.write(json.dumps({"id": identity, "text": passage.page_content}) + "\n")
    titles = [paper.title for paper in rag.papers() if paper.title]
    return copy, passages, titles[:: max(1, len(titles) // number)][:number]


def main(arguments: Sequence[str] = ()) -> str:
    given = _options().parse_args(arguments)
    rows, sentences = [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        corpus, passages, questions = prepared(given.corpus, given.questions, folder)
        port = str(_free_port())
        ours = [sys.executable, "-m", "ragkit", "serve", "--port", port, "--corpus", str(corpus)]
        ours += ["--preset", "default", "--per-minute", "0", "--per-day", "0"]
        with serving(ours, int(port)) as served:
            if given.minutes:
                return asyncio.run(soaked(served, questions, given))
            found = asyncio.run(measured("ragkit", served, (SEARCH, ASK), questions, given))
        rows += found[0]
        sentences += found[1]
        try:
            if given.alone:
                raise ToolFailedError("--alone leaves it out")
            python = environment("langchain_server", PEER, given.folder or folder)
            theirs = [str(python), "-c", LANGCHAIN, port, str(hub.files(MODEL)), str(passages)]
            with serving([*theirs, str(folder / "chroma"), str(K)], int(port)) as served:
                found = asyncio.run(measured(PEER.name, served, (SEARCH,), questions, given))
            rows += found[0]
            sentences += found[1]
        except ToolFailedError as error:
            sentences.append(f"{PEER.name} was not measured: {error}.")
        counted = sum(1 for _ in passages.open(encoding="utf-8"))
    header = [
        "server",
        "request",
        "clients",
        "beside",
        "a second",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "errors",
        "wrong",
    ]
    return f"""## Serving

`python -m benchmarks.serve`: {counted:,} passages, {len(questions)} questions, {given.seconds:g} seconds a row; `ask` answers without a chat model.
Errors are replies other than 200 and 429; *wrong* are replies that differ from the one to the same question alone.

{markdown(header, rows)}

{" ".join(sentences)}"""


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("corpus", nargs="?", type=Path, help="a folder that `ragkit ingest` made")
    parser.add_argument("--clients", nargs="+", type=int, default=CLIENTS)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each row")
    parser.add_argument("--questions", type=int, default=200, help="different ones")
    parser.add_argument("--checked", type=int, default=10_000, help="replies that are compared")
    parser.add_argument("--minutes", type=float, help="ask and search for so long, and watch the memory")
    parser.add_argument("--alone", action="store_true", help="leave LangChain out")
    parser.add_argument("--folder", type=Path, help="where LangChain's environment is kept")
    return parser


if __name__ == "__main__":
    print(main(sys.argv[1:]))
