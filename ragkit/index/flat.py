"""Vectors in flat files, mapped into memory.

A generation is a few *segments*, each three files that are written once: `{segment}.f32` (a vector a row),
`{segment}.u64` (its signs) and `{segment}.keys` (whose it is).  What is removed from a segment is named by a
fourth, `{segment}.{generation}.gone`, a byte a row, so that the others can be shared with the generations
before.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray
from pydantic import PositiveInt

from ragkit import private
from ragkit.config.components import component
from ragkit.corpus.ids import PassageIds
from ragkit.document import Key
from ragkit.errors import CorpusError
from ragkit.index import FEW, Builder, Hit, Place, Searcher, VectorIndex, best_passages
from ragkit.index.folder import FolderIndex
from ragkit.models.embeddings import Vectors, query_vectors_of

Vector = NDArray[np.float32]
Integers = NDArray[np.intp]
Integers64 = NDArray[np.uint64]
Mask = NDArray[np.bool_]

_LIKELY = (
    4_000  # vectors that are compared after their signs: of a million, .99 of the nearest 10 are among them
)
_FAR = np.iinfo(np.uint16).max  # more than any number of dimensions that differ
_BLOCK = 32_768  # rows that are worked on together
# The most segments; of more, the smallest half become one: a search takes a call a segment, and a row is rewritten seldom.
_SEGMENTS = 16
_GONE = 0.25  # share of a segment's rows from which it is written anew: what a search compares for nothing
# The two halves of a UUID, and the number of the key.
_KEY = np.dtype([("high", "<u8"), ("low", "<u8"), ("n", "<u4")])


@component("flat")
@dataclass(frozen=True)
class FlatIndex(FolderIndex, VectorIndex):
    """All vectors in memory-mapped files; scores by cosine, clipped to 0..1.

    All vectors are compared, which is exact and, up to some hundred thousand, faster than a graph.  If there
    are more than `compared`, their signs (one bit a dimension) are compared first, then the vectors of the
    best.
    """

    embed: Embeddings
    compared: PositiveInt = 200_000

    def write(self, place: Place) -> Builder:
        return _FlatBuilder(place)

    def open(self, place: Place) -> Searcher:
        return _FlatSearcher(self, place.folder)


class _Segment:
    """The files of a segment, mapped into memory."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        try:
            self.keys = np.memmap(folder / f"{name}.keys", dtype=_KEY, mode="r")
            self.vectors: Vectors = self._table("f32", np.float32)
            self.signs: Integers64 = self._table("u64", np.uint64)
            self.tombs = next(iter(folder.glob(f"{name}.*.gone")), None)
            gone = np.fromfile(self.tombs, dtype=np.uint8) if self.tombs else np.zeros(len(self.keys))
            self.alive: Mask = (gone == 0).reshape(self.keys.shape)
        except ValueError:
            raise CorpusError(
                f"'{folder}' is no flat index: its files do not fit together; run `ragkit doctor --repair`"
            ) from None

    def _table(self, suffix: str, kind: type[Any]) -> Any:
        return np.memmap(self.folder / f"{self.name}.{suffix}", dtype=kind, mode="r").reshape(
            len(self.keys), -1
        )

    @functools.cached_property
    def rows(self) -> int:
        """How many are alive."""
        return int(self.alive.sum())

    def of(self, passages: Integers64) -> Mask:
        """Which rows are of these passages, by the first halves of their ids, in order.

        Two of a million passages share that with a chance of one in 10^7; then one more is found, which the
        caller tells apart.
        """
        found = np.zeros(len(self.keys), dtype=np.bool_)
        for at in range(0, len(self.keys) if len(passages) else 0, _BLOCK):
            halves = self.keys["high"][at : at + _BLOCK]
            near = np.minimum(np.searchsorted(passages, halves), len(passages) - 1)
            found[at : at + _BLOCK] = passages[near] == halves
        return found

    def delete(self) -> None:
        for path in self.folder.glob(f"{self.name}.*"):
            path.unlink()


def _segments(folder: Path) -> list[_Segment]:
    return [_Segment(folder, path.stem) for path in sorted(folder.glob("*.keys"))]


class _FlatBuilder(Builder):
    def __init__(self, place: Place) -> None:
        self.folder, self.generation = place.folder, place.generation

    def add(self, keys: Sequence[Key], vectors: Vectors | None = None) -> None:
        if not keys:
            return
        assert vectors is not None
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        made = np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)
        table = np.asarray([(*_halves(key.passage), key.n) for key in keys], dtype=_KEY)
        self._append(f"{self.generation:016}", table, made, _signs(made))

    def _append(self, name: str, keys: NDArray[np.void], vectors: Vectors, signs: Integers64) -> None:
        for suffix, table in (("f32", vectors), ("u64", signs), ("keys", keys)):
            with open(self.folder / f"{name}.{suffix}", "ab", opener=private.unlinked) as file:
                file.write(np.ascontiguousarray(table).tobytes())

    def remove(self, passages: Collection[str]) -> None:
        gone = PassageIds.of(passages).first_halves
        for segment in _segments(self.folder):
            alive = segment.alive & ~segment.of(gone)
            if alive.sum() < segment.rows:
                (~alive).tofile(self.folder / f"{segment.name}.{self.generation}.new")
                if segment.tombs:
                    segment.tombs.unlink()  # of the last generation, which keeps it
                (self.folder / f"{segment.name}.{self.generation}.new").rename(
                    self.folder / f"{segment.name}.{self.generation}.gone"
                )

    def seal(self) -> None:
        segments = _segments(self.folder)
        worn = [s for s in segments if s.rows <= (1 - _GONE) * len(s.keys)]
        whole = sorted((s for s in segments if s not in worn), key=lambda s: s.rows)
        joined = [*worn, *(whole[: len(whole) // 2] if len(whole) > _SEGMENTS else [])]
        for segment in joined:
            for at in range(0, len(segment.keys), _BLOCK):
                rows = at + np.flatnonzero(segment.alive[at : at + _BLOCK])
                if len(rows):
                    self._append(
                        f"{self.generation:016}b",
                        segment.keys[rows],
                        segment.vectors[rows],
                        segment.signs[rows],
                    )
            segment.delete()


class _FlatSearcher(Searcher):
    """The rows of all segments are counted through, one segment after another."""

    def __init__(self, index: FlatIndex, folder: Path) -> None:
        self.index, self.segments = index, _segments(folder)
        self.starts = np.cumsum([0, *(len(segment.keys) for segment in self.segments)])
        alive = [segment.alive for segment in self.segments]
        self.gone: Integers = np.flatnonzero(~np.concatenate(alive)) if alive else np.empty(0, dtype=np.intp)
        self.several = any(segment.keys["n"].any() for segment in self.segments)
        self.asked: tuple[Set[str], Integers | None, Integers] = (frozenset(), None, self.gone)

    def search(self, query: str, k: int, among: Set[str] | None = None) -> list[Hit]:
        return self._nearest(np.asarray(self.index.embed.embed_query(query), dtype=np.float32), k, among)

    def search_each(self, queries: Sequence[str], k: int, among: Set[str] | None = None) -> list[list[Hit]]:
        return [self._nearest(vector, k, among) for vector in query_vectors_of(self.index.embed, queries)]

    def _nearest(self, vector: Vector, k: int, among: Set[str] | None) -> list[Hit]:
        length = float(np.linalg.norm(vector))
        if not self.count() or length == 0 or (among is not None and not among):
            return []
        vector = vector / length
        rows, barred = (None, self.gone) if among is None else self._rows_of(among)
        if (self.starts[-1] - len(barred) if rows is None else len(rows)) > self.index.compared:
            rows = self._likely(vector, max(_LIKELY, 20 * k), rows, barred)
        scores = self._cosines(vector, rows, barred)

        def best(wanted: int) -> list[Hit]:
            places = _best(scores, wanted)
            places = places[scores[places] > -np.inf]
            return self._hits(places if rows is None else rows[places], scores[places])

        return best_passages(best, k, lambda hit: hit.passage) if self.several else best(k)

    def _rows_of(self, among: Set[str]) -> tuple[Integers | None, Integers]:
        """The rows of these passages, or None and all others where they are most: comparing every row in place is
        faster than comparing copies of many.

        The last result is cached, since filters repeat.
        """
        known = self.asked  # once, as another thread may ask with another filter meanwhile
        if known[0] is not among:
            wanted = PassageIds.of(among).first_halves
            passing = np.concatenate([s.of(wanted) & s.alive for s in self.segments])
            if np.count_nonzero(passing) > FEW * len(passing):
                known = (among, None, np.flatnonzero(~passing))
            else:
                known = (among, np.flatnonzero(passing), self.gone[:0])
            self.asked = known
        return known[1:]

    def _cosines(self, vector: Vector, rows: Integers | None, barred: Integers) -> Vector:
        """Those of *vector* and each of *rows* (all, if None); -inf for the *barred* ones of all."""
        scores = np.empty(self.starts[-1] if rows is None else len(rows), dtype=np.float32)
        places = self.starts if rows is None else np.searchsorted(rows, self.starts)
        for segment, start, a, b in zip(self.segments, self.starts, places, places[1:], strict=False):
            vectors = segment.vectors if rows is None else segment.vectors[rows[a:b] - start]
            np.matmul(vectors, vector, out=scores[a:b])
        if rows is None:
            scores[barred] = -np.inf
        return scores

    def _likely(self, vector: Vector, most: int, rows: Integers | None, barred: Integers) -> Integers:
        """The rows of *rows* (all but the *barred*, if None) whose signs differ least from those of *vector*."""
        wanted = _signs(vector[None])[0]
        apart = np.zeros(self.starts[-1], dtype=np.uint16)
        for segment, start in zip(self.segments, self.starts, strict=False):
            for at in range(0, len(segment.keys), _BLOCK):
                signs = np.asarray(segment.signs[at : at + _BLOCK])
                differing = apart[start + at : start + at + len(signs)]
                for column, word in zip(signs.T, wanted, strict=True):
                    differing += np.bitwise_count(column ^ word)
        if rows is None:
            apart[barred] = _FAR
            return _least(apart, most)
        return rows[_least(apart[rows], most)]

    def _hits(self, rows: Integers, scores: Vector) -> list[Hit]:
        keys = np.empty(len(rows), dtype=_KEY)
        where = np.searchsorted(self.starts, rows, side="right") - 1
        for at in np.unique(where):
            here = where == at
            keys[here] = self.segments[at].keys[rows[here] - self.starts[at]]
        bounded = np.clip(scores, 0.0, 1.0).tolist()
        return [
            Hit(_passage(high, low), score, n)
            for (high, low, n), score in zip(keys.tolist(), bounded, strict=True)
        ]

    def entries(self) -> Iterator[tuple[str, int]]:
        for segment in self.segments:
            for at in range(0, len(segment.keys), _BLOCK):
                alive = segment.alive[at : at + _BLOCK]
                for high, low, n in segment.keys[at : at + _BLOCK][alive].tolist():
                    yield _passage(high, low), n

    def count(self) -> int:
        return int(self.starts[-1]) - len(self.gone)


def _halves(passage: str) -> tuple[int, int]:
    """A UUID as two numbers."""
    digits = passage.replace("-", "")
    return int(digits[:16], 16), int(digits[16:], 16)


def _passage(high: int, low: int) -> str:
    digits = f"{high:016x}{low:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _signs(vectors: Vectors) -> Integers64:
    """A bit for each dimension: is it above 0?"""
    bits = np.packbits(vectors > 0, axis=1)
    padded = np.zeros((len(vectors), -(-bits.shape[1] // 8) * 8), dtype=np.uint8)
    padded[:, : bits.shape[1]] = bits
    return padded.view(np.uint64)


def _least(apart: NDArray[np.uint16], most: int) -> Integers:
    """The places of the *most* smallest numbers below `_FAR`, in order; of equal ones the first."""
    limit = min(int(np.searchsorted(np.bincount(apart).cumsum(), most)), _FAR)
    below = np.flatnonzero(apart < limit)
    level = np.flatnonzero(apart == limit) if limit < _FAR else below[:0]
    return np.sort(np.concatenate([below, level[: most - len(below)]]))


def _best(scores: Vector, k: int) -> Integers:
    """The places of the *k* highest scores, best first; of equal ones the first."""
    near = np.argpartition(-scores, k)[:k] if k < len(scores) else np.arange(len(scores))
    return near[np.lexsort((near, -scores[near]))]
