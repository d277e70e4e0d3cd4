"""Batches that threads share."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from ragkit.models.embeddings import SentenceTransformersEmbeddings
from ragkit.models.shared import SharedBatches


def test_what_comes_while_a_batch_is_encoded_is_encoded_together() -> None:
    batches: list[list[str]] = []
    begun, go_on = threading.Event(), threading.Event()

    def encode(texts: list[str]) -> NDArray[np.float32]:
        batches.append(texts)
        begun.set()
        assert go_on.wait(20)
        return np.array([[float(text)] for text in texts], dtype=np.float32)

    shared = SharedBatches(encode)
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(shared, ["0"])
        assert begun.wait(20)
        others = [pool.submit(shared, [str(n), str(10 * n)]) for n in range(1, 6)]
        while len(shared._waiting) < 5:
            time.sleep(0.01)
        go_on.set()
        assert first.result().tolist() == [[0.0]]
        assert [each.result().tolist() for each in others] == [[[n], [10.0 * n]] for n in range(1, 6)]
    assert [len(batch) for batch in batches] == [1, 10]


def test_an_error_is_raised_and_the_next_call_works() -> None:
    def encode(texts: list[str]) -> NDArray[np.float32]:
        return np.array([[float(text)] for text in texts], dtype=np.float32)

    shared = SharedBatches(encode)
    with pytest.raises(ValueError, match="none"):
        shared(["none"])
    assert shared(["1"]).tolist() == [[1.0]]


def test_queries_that_share_batches_have_the_vectors_of_each_alone() -> None:
    embed = SentenceTransformersEmbeddings()
    queries = [f"How many parameters has model {n}{' and why' * (n % 3)}?" for n in range(60)]
    alone = [embed.query_vectors([query])[0] for query in queries]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda query: embed.query_vectors([query])[0], queries))
    assert np.abs(np.array(alone) - np.array(together)).max() < 1e-3
