"""Vectors in flat files, mapped into memory."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray
from pydantic import PositiveInt

from ragkit.config.components import component
from ragkit.corpus import Vectors
from ragkit.index import VectorIndex

Vector = NDArray[np.float32]
Integers = NDArray[np.intp]
Integers64 = NDArray[np.uint64]
_LIKELY = 2_000  # vectors of a flat store that are compared after their signs
_BLOCK = 32_768  # rows that are worked on together


@component("flat")
@dataclass(frozen=True)
class FlatStore(VectorIndex):
    """Every vector in one file that is mapped into memory; the nearest by cosine, from 0 (unrelated) to 1 (the same).

    All vectors are compared, which is exact and, up to some hundred thousand, quicker than a graph.  Where there are more than
    `compared`, their signs are compared first, a bit a dimension, and the vectors of the best ones then.
    """

    handles: ClassVar[tuple[str, ...]] = ("_rows", "_masks")

    embed: Embeddings
    compared: PositiveInt = 200_000

    def add_vectors(self, passages: Sequence[Document], vectors: Vectors) -> None:
        if not len(passages):
            return
        self.let_go()
        self.folder.mkdir(parents=True, exist_ok=True)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        made = np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)
        with (self.folder / "vectors.f32").open("ab") as file:
            file.write(made.tobytes())
        with (self.folder / "signs.u64").open("ab") as file:
            file.write(_signs(made).tobytes())
        ids = [str(p.id).encode() for p in passages]
        with self._ids_file(max(map(len, ids))).open("ab") as file:
            file.write(np.asarray(ids, dtype=self._ids_file(0).suffix[1:]).tobytes())

    def _ids_file(self, least: int) -> Path:
        """The file of ids, all of one width, which its name tells; made wider if one needs *least* bytes."""
        known = next(iter(self.folder.glob("ids.S*")), None)
        if known is None:
            return self.folder / f"ids.S{least}"
        if int(known.suffix[2:]) < least:
            wider = self.folder / f"ids.S{least}"
            np.fromfile(known, dtype=known.suffix[1:]).astype(wider.suffix[1:]).tofile(wider)
            known.unlink()
            return wider
        return known

    def seal(self) -> None:
        """See `Index`; what was added again stands only once."""
        self.let_go()
        ids = np.asarray(self._opened.ids)[::-1]
        last = np.sort(len(ids) - 1 - np.unique(ids, return_index=True)[1])
        if len(last) < len(ids):
            self._keep(last)
        super().seal()

    def remove(self, ids: Sequence[str]) -> None:
        gone = np.asarray([identity.encode() for identity in ids] or [b""])
        self._keep(np.flatnonzero(~np.isin(self._opened.ids, gone)))

    def _keep(self, rows: Integers) -> None:
        """Write the files anew with these rows only."""
        opened = self._opened
        if len(rows) == len(opened.ids):
            return
        files: dict[str, NDArray[Any]] = {
            "vectors.f32": opened.vectors,
            "signs.u64": opened.signs,
            self._ids_file(1).name: opened.ids,
        }
        for name, table in files.items():
            with (self.folder / f"{name}.new").open("wb") as file:
                for at in range(0, len(rows), _BLOCK):
                    file.write(np.ascontiguousarray(table[rows[at : at + _BLOCK]]).tobytes())
        self.let_go()
        for name in files:
            (self.folder / f"{name}.new").replace(self.folder / name)

    def nearest(self, query: str, k: int, among: frozenset[str] | None = None) -> list[tuple[str, float]]:
        vector = np.asarray(self.embed.embed_query(query), dtype=np.float32)
        opened = self._opened
        length = float(np.linalg.norm(vector))
        if not len(opened.ids) or length == 0 or (among is not None and not among):
            return []
        vector /= length
        rows = None if among is None else self._rows_of(among)
        number = len(opened.ids) if rows is None else len(rows)
        if number > self.compared:
            rows = opened.likely(vector, max(_LIKELY, 20 * k), rows)
        scores = opened.vectors @ vector if rows is None else opened.vectors[rows] @ vector
        best = _best(scores, k)
        chosen = best if rows is None else rows[best]
        return [
            (opened.ids[row].decode(), min(max(float(scores[i]), 0.0), 1.0))
            for i, row in zip(best, chosen, strict=True)
        ]

    def count(self) -> int:
        return len(self._opened.ids)

    def ids(self) -> set[str]:
        return {identity.decode() for identity in self._opened.ids.tolist()}

    def let_go(self) -> None:
        self.__dict__.pop("_rows", None)
        self.__dict__.pop("_masks", None)

    @property
    def _opened(self) -> _Rows:
        rows: _Rows | None = self.__dict__.get("_rows")
        if rows is None:
            rows = self.__dict__["_rows"] = _Rows(self.folder)
        return rows

    def _rows_of(self, among: frozenset[str]) -> Integers:
        """The rows of these ids; the last set asked for is remembered, as a filter is asked with again and again."""
        known: tuple[frozenset[str], Integers] | None = self.__dict__.get("_masks")
        if known is None or known[0] is not among:
            row_of = self._opened.row_of
            known = (
                among,
                np.asarray(
                    sorted(row_of[i] for identity in among if (i := identity.encode()) in row_of),
                    dtype=np.intp,
                ),
            )
            self.__dict__["_masks"] = known
        return known[1]


class _Rows:
    """The files of a flat store, mapped into memory."""

    def __init__(self, folder: Path) -> None:
        path = next(iter(folder.glob("ids.S*")), None)
        filled = path is not None and path.stat().st_size > 0
        self.ids: NDArray[np.bytes_] = (
            np.memmap(path, dtype=path.suffix[1:], mode="r") if path and filled else np.empty(0, dtype="S1")
        )
        if len(self.ids):
            flat = np.memmap(folder / "vectors.f32", dtype=np.float32, mode="r")
            self.vectors = flat.reshape(len(self.ids), -1)
            self.signs = np.memmap(folder / "signs.u64", dtype=np.uint64, mode="r").reshape(len(self.ids), -1)
        else:
            self.vectors, self.signs = np.empty((0, 0), dtype=np.float32), np.empty((0, 0), dtype=np.uint64)

    @functools.cached_property
    def row_of(self) -> dict[bytes, int]:
        return {identity: row for row, identity in enumerate(self.ids.tolist())}

    def likely(self, vector: Vector, most: int, rows: Integers | None) -> Integers:
        """The rows whose signs differ least from those of *vector*."""
        wanted = _signs(vector[None])[0]
        signs = self.signs if rows is None else self.signs[rows]
        apart = np.empty(len(signs), dtype=np.uint16)

        def compare(at: int) -> None:
            differing = np.bitwise_count(signs[at : at + _BLOCK] ^ wanted)
            np.sum(differing, axis=1, dtype=np.uint16, out=apart[at : at + _BLOCK])

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(compare, range(0, len(signs), _BLOCK)))
        near = np.argpartition(apart, min(most, len(apart) - 1))[:most]
        return np.sort(near if rows is None else rows[near])


def _signs(vectors: Vectors) -> Integers64:
    """A bit for each dimension: is it above 0?"""
    bits = np.packbits(vectors > 0, axis=1)
    padded = np.zeros((len(vectors), -(-bits.shape[1] // 8) * 8), dtype=np.uint8)
    padded[:, : bits.shape[1]] = bits
    return padded.view(np.uint64)


def _best(scores: Vector, k: int) -> Integers:
    """The places of the *k* highest scores, best first; of equal ones the first."""
    near = np.argpartition(-scores, k)[:k] if k < len(scores) else np.arange(len(scores))
    return near[np.lexsort((near, -scores[near]))]
