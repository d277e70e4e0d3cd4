"""Batches that threads share: what they ask for while one batch is encoded is encoded together in the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

_FEW = 16  # texts of one call; for more, sharing gains nothing, and others would wait for them


class SharedBatches:
    """Calls *encode*, which gives one row a text, for one batch at a time; a call that is alone waits for nothing."""

    def __init__(self, encode: Callable[[list[str]], NDArray[np.float32]]) -> None:
        self._encode = encode
        self._encoding, self._listing = threading.Lock(), threading.Lock()
        self._waiting: list[tuple[list[str], Future[NDArray[np.float32]]]] = []

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row a text, as *encode* gives it.  An error of a batch is raised in each of its calls."""
        if not 0 < len(texts) <= _FEW:
            return self._encode(list(texts))
        rows: Future[NDArray[np.float32]] = Future()
        with self._listing:
            self._waiting.append((list(texts), rows))
        with self._encoding:
            if not rows.done():
                self._encode_waiting()
        return rows.result()

    def _encode_waiting(self) -> None:
        with self._listing:
            batch, self._waiting = self._waiting, []
        try:
            found, at = self._encode([text for texts, _ in batch for text in texts]), 0
            for texts, rows in batch:
                rows.set_result(found[at : at + len(texts)])
                at += len(texts)
        except BaseException as error:
            for _, rows in batch:
                rows.set_exception(error)
