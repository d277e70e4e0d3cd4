"""Speed of ingest, warm queries and cold questions, each against the bare parts that it uses.

    python -m benchmarks.speed

Ingest is compared with the encoder alone, a warm query with its raw parts, a cold question with a bare
script.  Ratios compare both sides in one run on one machine; the absolute figures are of that machine.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import ragkit
from benchmarks.answers import questions
from benchmarks.encode import abstracts
from benchmarks.table import ROOT, SHARED, markdown
from ragkit.document import searchable
from ragkit.index import Index, LexicalIndex, VectorIndex

PEG = "How many in-batch negatives does PEG train with?"

BARE = """
import sys, json, sqlite3
import numpy as np, openvino, tantivy
from tokenizers import Tokenizer
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from pydantic import BaseModel
import nupunkt, yaml, rich.console, rich.table, typer
model, vectors, words, corpus, texts, question = sys.argv[1:]
tokenizer = Tokenizer.from_file(f"{model}/tokenizer.json")
core = openvino.Core()
precision = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
settings = {"CACHE_DIR": f"{model}/compiled", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
compiled = core.compile_model(f"{model}/model.xml", "CPU", settings)
def encode(some):
    tokenizer.enable_padding(); tokenizer.enable_truncation(256)
    found = tokenizer.encode_batch(some)
    ids, mask = (np.array([getattr(f, n) for f in found], dtype=np.int64) for n in ("ids", "attention_mask"))
    return compiled.create_infer_request().infer({"input_ids": ids, "attention_mask": mask})[0]
query = encode([question])[0]
table = np.memmap(vectors, dtype=np.float32, mode="r").reshape(-1, len(query))
best = np.argsort(-(table @ query))[:100]
index = tantivy.Index.open(words)
stemmed = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()).filter(tantivy.Filter.lowercase()).filter(tantivy.Filter.stemmer("english"))
index.register_tokenizer("ragkit", stemmed.build())
searcher = index.searcher()
hits = searcher.search(index.parse_query(question.replace("?", "").replace("-", " "), ["text"]), 100).hits
ids = [searcher.doc(address)["id"][0] for _, address in hits]
rows = sqlite3.connect(corpus).execute(f"SELECT * FROM chunks JOIN documents ON documents.id = document WHERE chunks.id IN ({','.join('?' * len(ids))})", ids).fetchall()
sentences = json.loads(open(texts).read())
for at in range(0, len(sentences), 16):
    encode(sentences[at : at + 16])
nupunkt.sent_spans(sentences[0])
print(len(rows))
"""
"""The same libraries, files and calls: encode question and sentences, search twice, read the passages."""


def seconds(what: Callable[[], object], times: int = 1) -> float:
    """The median of *times* runs."""
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        what()
        spent.append(time.perf_counter() - started)
    return statistics.median(spent)


def ingest(papers: int, folder: Path) -> list[object]:
    """Abstracts into a fresh corpus, against the encoder alone on the same passages."""
    with (folder / "abstracts.jsonl").open("w", encoding="utf-8") as file:
        for number, text in enumerate(abstracts(papers)):
            title, _, body = text.partition("\n")
            file.write(json.dumps({"title": f"{title[:200]} ({number})", "text": body}) + "\n")
    rag = ragkit.load(preset="default", corpus=folder / "abstracts")
    store = rag.ingest_pipeline.index[0]
    assert isinstance(store, VectorIndex)
    store.embed.embed_query("loads the model")
    whole = seconds(lambda: rag.ingest(folder / "abstracts.jsonl"))
    held = list(rag.corpus.held(rag.ingest_pipeline.name_of(store)))
    passages = [searchable(p) for p in rag.corpus.passages(held).values()]
    alone = seconds(lambda: store.embed.embed_documents(passages))
    what = f"ingest of {rag.corpus.counts().documents:,} abstracts ({len(passages):,} passages)"
    return [what, f"{whole:.1f} s", f"encoder alone {alone:.1f} s", f"{whole / alone:.2f}"]


def warm(rag: ragkit.Rag, name: str) -> list[object]:
    """A search, against the encoding of its question and the two searches by themselves.

    One question is asked after another.
    """
    store, words = rag.ingest_pipeline.index
    assert isinstance(store, VectorIndex)
    assert isinstance(words, LexicalIndex)
    asked = [case.question for case in questions(None).cases][:100]
    rag.search("opens the indexes")
    dense, lexical = (rag.snapshot().searcher(index) for index in (store, words))
    whole: list[float] = []
    nearest: list[float] = []
    matching: list[float] = []
    for question in asked:  # in turn, so that both sides see the same machine
        nearest.append(seconds(partial(dense.search, question, 100)))
        matching.append(seconds(partial(lexical.search, question, 100)))
        whole.append(seconds(partial(rag.search, question)))
    raw, found = statistics.median(nearest) + statistics.median(matching), statistics.median(whole)
    return [
        f"warm search, {name}",
        f"{1000 * found:.1f} ms",
        f"encode + {name} + tantivy {1000 * raw:.1f} ms",
        f"{found / raw:.2f}",
    ]


def folder_of(rag: ragkit.Rag, index: Index) -> Path:
    """The files of the generation that is searched."""
    generation = rag.corpus.published()[rag.ingest_pipeline.name_of(index)][1]
    return rag.ingest_pipeline.place(rag.corpus, index, generation).folder


def cold(rag: ragkit.Rag, folder: Path) -> list[object]:
    """`ragkit ask` from the shell, against a bare script."""
    from ragkit.models import embeddings, hub

    store, words = rag.ingest_pipeline.index
    assert isinstance(store, VectorIndex)
    assert isinstance(words, LexicalIndex)
    answer = rag.ask(PEG)
    sentences = [line for p in answer.context for line in p.page_content.split(". ")]
    (folder / "texts.json").write_text(json.dumps(sentences))
    converted = embeddings.folder_of(hub.files("all-MiniLM-L6-v2"))
    paths = [
        converted,
        next(folder_of(rag, store).glob("*.f32")),
        folder_of(rag, words),
        rag.corpus.directory / "corpus.sqlite",
        folder / "texts.json",
    ]
    ask = [sys.executable, "-m", "ragkit", "ask", PEG, "--corpus", str(rag.corpus.directory)]
    bare = [sys.executable, "-c", BARE, *map(str, paths), PEG]
    ours, theirs = [], []
    for _ in range(9):
        ours.append(seconds(lambda: subprocess.run(ask, check=True, capture_output=True)))
        theirs.append(seconds(lambda: subprocess.run(bare, check=True, capture_output=True)))
    one, other = statistics.median(ours), statistics.median(theirs)
    return ["cold `ragkit ask`", f"{one:.2f} s", f"bare script {other:.2f} s", f"{one / other:.2f}"]


def main(papers: int = 5000) -> str:
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        rows = [ingest(papers, folder)]
        rag = ragkit.load(preset="default", corpus=folder / "corpus")
        rag.ingest(SHARED / "papers")
        over_chroma = ragkit.load(ROOT / "configs" / "chroma.yaml", corpus=folder / "corpus")
        over_chroma.ingest()
        rows += [warm(rag, "flat"), warm(over_chroma, "Chroma"), cold(rag, folder)]
    help_ = seconds(
        lambda: subprocess.run([sys.executable, "-m", "ragkit", "--help"], check=True, capture_output=True),
        times=5,
    )
    rows.append(["`ragkit --help`", f"{help_:.2f} s", "", ""])
    return "## Speed: medians\n\n" + markdown(["what", "time", "against", "ratio"], rows)


if __name__ == "__main__":
    print(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000))
