"""What the measurements have in common: the shared data, intervals, and tables in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def share(right: int, of: int) -> str:
    """A share with its 95 % Wilson interval: `0.82 [0.73, 0.89]`."""
    if of == 0:
        return "–"
    z, p = 1.96, right / of
    middle = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return f"{p:.2f} [{max(middle - half, 0):.2f}, {min(middle + half, 1):.2f}]"


def paired_difference(ours: NDArray[np.float64], theirs: NDArray[np.float64], seed: int = 0) -> str:
    """The mean of the paired differences with its 95 % bootstrap interval (10,000 resamples of the queries)."""
    differences = ours - theirs
    picks = np.random.default_rng(seed).integers(0, len(differences), (10_000, len(differences)))
    low, high = np.percentile(differences[picks].mean(axis=1), [2.5, 97.5])
    return f"{differences.mean():+.3f} [{low:+.3f}, {high:+.3f}]"
