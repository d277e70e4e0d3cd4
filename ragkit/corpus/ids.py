"""Sets of passages that may be as large as the corpus, in 16 bytes a passage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Set
from itertools import compress
from typing import Self

import numpy as np
from numpy.typing import NDArray

_BLOCK = 10_000  # ids that are written out together
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class PassageIds(Set[str]):
    """The ids of passages, which are UUIDs; unlike a `frozenset`, it does not hold an object for each.

    Iterating gives the ids in order.  Raises `ValueError` if one of *ids* is not a UUID.
    """

    def __init__(self, ids: Iterable[str]) -> None:
        packed = np.fromiter(map(_packed, ids), dtype="S16")
        self.table: NDArray[np.bytes_] = np.unique(packed)
        """Of shape `(passages,)`, sorted: the bytes of each id."""

    @classmethod
    def of(cls, ids: Iterable[str]) -> Self:
        """*ids* themselves if they are such a set."""
        return ids if isinstance(ids, cls) else cls(ids)

    @property
    def first_halves(self) -> NDArray[np.uint64]:
        """The first 8 bytes of each id, as a number."""
        return self.table.view(">u8")[::2].astype(np.uint64)

    def __contains__(self, identity: object) -> bool:
        return bool(self & {identity})

    def __and__(self, other: Set[object]) -> Set[str]:
        """Those of *other* that are in it, which are looked for at once."""
        given = [each for each in other if isinstance(each, str) and _UUID.fullmatch(each)]
        if not given or not len(self.table):
            return frozenset()
        wanted = np.fromiter(map(_packed, given), dtype="S16", count=len(given))
        at = np.minimum(np.searchsorted(self.table, wanted), len(self.table) - 1)
        return frozenset(compress(given, self.table[at] == wanted))

    __rand__ = __and__

    def __iter__(self) -> Iterator[str]:
        for at in range(0, len(self.table), _BLOCK):
            digits = self.table[at : at + _BLOCK].tobytes().hex()
            yield from (_written(digits[n : n + 32]) for n in range(0, len(digits), 32))

    def __len__(self) -> int:
        return len(self.table)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PassageIds):
            return np.array_equal(self.table, other.table)
        return super().__eq__(other)

    __hash__ = Set._hash


def _packed(identity: str) -> bytes:
    packed = bytes.fromhex(identity.replace("-", ""))
    if len(packed) != 16:
        raise ValueError(f"'{identity}' is not a UUID")
    return packed


def _written(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
