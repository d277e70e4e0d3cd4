"""`ragkit tune` as a replay: how many evaluations it takes, and how far its winner is from the best.

python -m benchmarks.tuning [collection ...]

All 32 candidates of a space are measured on every query of a test collection.  Then the search runs over what is kept,
with the queries in another order each time.  Beside it stands the plain way with as many evaluations: every candidate
is asked the same queries.  (Aim: that of "On Speeding Up Language Model Evaluation", which finds the best of many ways
with 5 to 15 % of the evaluations.)
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval import COLLECTIONS, MEASURE
from benchmarks.table import SHARED, markdown
from ragkit.config.layers import Override
from ragkit.config.presets import PRESETS
from ragkit.evaluate.dataset import Dataset, read
from ragkit.evaluate.run import Configuration, Session, Settings
from ragkit.evaluate.space import Assignment, Space
from ragkit.evaluate.statistics import interval
from ragkit.evaluate.tune import Tuned, tune_events
from ragkit.flow import result_of

ORDERS = 20
WEIGHTS = (0.6, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8)
FUSIONS = ", ".join(f"{{type: minmax, weights: {{dense: {w}, lexical: {1 - w:.1f}}}}}" for w in WEIGHTS)
OPEN = (f"answer.fuse={{choice: [{FUSIONS}, rrf]}}", "answer.retrieve.0.k={choice: [100, 10, 25, 50]}")

Grid = Mapping[Assignment, NDArray[np.float64]]
"""For each candidate, its value on each query, in the order of the dataset."""


def measured(space: Space, dataset: Dataset, settings: Settings) -> Grid:
    """Every candidate on every query."""
    candidates = space.candidates(space.size, seed=0)
    asked = [Configuration(str(chosen), space.rag(chosen)) for chosen in candidates]
    with Session(settings) as session:
        runs = result_of(session.evaluate(asked, [dataset])).runs
    values = [run.values(MEASURE) for run in runs]
    return {
        chosen: np.array([own[case.id] for case in dataset.cases])
        for chosen, own in zip(candidates, values, strict=True)
    }


def replayed(space: Space, dataset: Dataset, settings: Settings, grid: Grid, seed: int) -> list[float]:
    """The share of all evaluations that the search takes, and what its winner and the plain way's lack to the best."""
    cells = len(grid) * len(dataset.cases)
    tuned: Tuned = result_of(
        tune_events(space, dataset, settings, measure=MEASURE, most=len(grid), held_out=0.0, seed=seed)
    )
    taken = sum(candidate.questions for candidate in tuned.candidates)
    drawn = np.random.default_rng(seed).permutation(len(dataset.cases))[: max(1, taken // len(grid))]
    plain = max(grid, key=lambda chosen: float(np.mean(grid[chosen][drawn])))
    best = max(float(np.mean(values)) for values in grid.values())
    lacking = [best - float(np.mean(grid[chosen])) for chosen in (tuned.candidates[0].chosen, plain)]
    return [taken / cells, *lacking]


def row(name: str) -> list[object]:
    """What 20 searches over one collection took and found, with 95 % intervals over the orders of its queries."""
    dataset = read(SHARED / "data" / name)
    dataset = replace(dataset, cases=tuple(case for case in dataset.cases if case.relevant))
    space = Space.read(PRESETS / "default.yaml", overrides=[Override.parse(each) for each in OPEN])
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(workspace=Path(folder))
        grid = measured(space, dataset, settings)
        found = [replayed(space, dataset, settings, grid, seed) for seed in range(ORDERS)]
    means = [float(np.mean(values)) for values in grid.values()]
    share, lacking, plain = (interval(column) for column in zip(*found, strict=True))
    return [
        name,
        len(dataset.cases),
        len(grid),
        f"{min(means):.3f} to {max(means):.3f}",
        f"{share.value:.0%}",
        *(f"{i.value:.4f} [{i.low:.4f}, {i.high:.4f}]" for i in (lacking, plain)),
    ]


HEADER = [
    "collection",
    "queries",
    "candidates",
    "their nDCG@10",
    "evaluations taken",
    "the winner lacks",
    "the plain way's winner lacks",
]


def main(collections: Sequence[str] = COLLECTIONS) -> str:
    title = f"## Tuning as a replay: {ORDERS} searches for the best of 32 ways, 95 % intervals over orders of the queries"
    about = "*Lacks*: nDCG@10 on all queries, below the best candidate. The plain way asks every candidate the same queries, with as many evaluations."
    return f"{title}\n\n{about}\n\n{markdown(HEADER, [row(name) for name in collections])}"


if __name__ == "__main__":
    print(main(sys.argv[1:] or COLLECTIONS))
