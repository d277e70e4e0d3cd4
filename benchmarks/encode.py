"""The encoder against the compiled model alone, and its vectors against the reference.

python -m benchmarks.encode [--texts 800]

Both encode the same token batches.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.table import SHARED, markdown
from ragkit.models import embeddings, hub
from ragkit.models.embeddings import SentenceTransformersEmbeddings
from ragkit.models.openvino import padded

COLLECTIONS = ("cranfield", "medline", "cisi", "pubmedqa_retrieval")


def abstracts(number: int) -> list[str]:
    """Titles and abstracts, as many of each collection."""
    found = []
    for name in COLLECTIONS:
        with (SHARED / "data" / name / "corpus.jsonl").open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        found += [f"{row.get('title', '')}\n{row['text']}" for row in rows if len(row["text"]) > 100][
            : number // len(COLLECTIONS)
        ]
    return found


def seconds(what: Callable[[], object], times: int = 3) -> float:
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        what()
        spent.append(time.perf_counter() - started)
    return statistics.median(spent)


def raw(texts: Sequence[str], most: int) -> tuple[Callable[[], object], int]:
    """The compiled model over ready-made token batches, and their number of tokens.

    Running it does not tokenise, sort or pad.
    """
    import openvino

    encoder = embeddings._encoder(hub.files("all-MiniLM-L6-v2"), "openvino", "auto")
    encodings = encoder.tokenizer.encode_batch(list(texts), add_special_tokens=False)
    pieces = [piece for encoding in encodings for piece in encoder._pieces(encoding.ids)]
    batches = [padded([pieces[i] for i in batch]) for batch in embeddings._batches(pieces, most)]
    core = openvino.Core()
    precision = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
    folder = embeddings.folder_of(hub.files("all-MiniLM-L6-v2"))
    request = core.compile_model(folder / "model.xml", "CPU", settings).create_infer_request()

    def run() -> None:
        for ids, mask in batches:
            request.infer({"input_ids": ids, "attention_mask": mask})

    return run, sum(map(len, pieces))


def main(number: int = 800) -> str:
    texts = abstracts(number)
    ours = SentenceTransformersEmbeddings()
    vectors = ours.vectors(texts)  # loads the model
    alone, tokens = raw(texts, ours.batch_tokens)
    alone()
    encoder, bare = seconds(lambda: ours.vectors(texts)), seconds(alone)
    reference = embeddings._sentence_transformer(hub.files("all-MiniLM-L6-v2"))
    short = [i for i, text in enumerate(texts) if len(text) < 1000][:200]
    started = time.perf_counter()
    theirs = reference.encode([texts[i] for i in short], normalize_embeddings=True)
    torch = time.perf_counter() - started
    part = seconds(lambda: ours.vectors([texts[i] for i in short]))
    cosine = (vectors[short] * np.asarray(theirs)).sum(axis=1)
    table = [
        ["compiled model alone", f"{len(texts) / bare:.0f}", f"{tokens / bare:,.0f}", "1"],
        [
            "encoder: texts in, vectors out",
            f"{len(texts) / encoder:.0f}",
            f"{tokens / encoder:,.0f}",
            f"{bare / encoder:.2f}",
        ],
    ]
    return (
        f"## Encoder: {len(texts)} abstracts, {tokens / len(texts):.0f} tokens each\n\n"
        + markdown(["what", "texts/s", "tokens/s", "ratio"], table)
        + f"\n\nAgainst sentence-transformers on torch, on {len(short)} of them: {torch / part:.1f} times as fast, least cosine {cosine.min():.5f}"
        f" (mean {cosine.mean():.5f})."
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The encoder against the compiled model alone.")
    parser.add_argument("--texts", type=int, default=800)
    print(main(parser.parse_args().texts))
