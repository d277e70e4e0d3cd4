"""The weights of `ragkit/verify/support.json`: what the comparison of two parses tells about support.

    python -m benchmarks.fit_evidence [--write]

A logistic regression, in which a difference can only speak against support, on pairs of claim and quote: the half of `benchmarks.falsehoods` that may be looked at,
which a script made from sentences of real papers, and the halves for choosing of BEGIN and QAGS, which people
labelled.  The weights with a reader are fitted without BEGIN, of which the reader that ships was trained on
that half.  True and false pairs weigh the same in each group.  Printed: the shares that are right when the
weights are fitted to the pairs of other papers (five folds), and what each check is worth: the loss of area
under the ROC curve without it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import falsehoods
from benchmarks.falsehoods import Pair
from benchmarks.table import markdown
from ragkit.models.reader import JointReader, PassageReader
from ragkit.verify import structure, support
from ragkit.verify.support import smallest_support

EACH = 100
"""Pairs of a kind that are made."""
PEOPLE = ("people: BEGIN", "people: QAGS, CNN/DM", "people: QAGS, XSum")
PEOPLES_WEIGHT = 0.5
"""What the pairs that people labelled count together, against 1 for those made by script."""
STRENGTH = 0.3
"""Inverse of the ridge, of standardised features."""
CHECKS = {
    "words that are changed": "changed",
    "items that are added": "added",
    "words that are crossed": "crossed",
    "who and what": "turned",
    "negation": "negated denied",
    "hedges": "surer",
    "quantities": "quantified unquantified",
    "words that are apart": "kept apart some not names number",
}
"""The features of each check, by their first words."""

Floats = NDArray[np.float64]


def pairs() -> list[Pair]:
    """What is fitted to; a pair with a table is decided without weights."""
    found = falsehoods.planted(EACH) + [p for p in falsehoods.labelled(EACH) if p.kind in PEOPLE]
    return [pair for pair in found if not pair.held_out and not structure.is_table(pair.quote)]


def features(pair: Pair, reader: PassageReader | None = None) -> dict[str, float]:
    """Those of the claim and the part of the quote that has most of it."""
    quote = pair.quote
    if pair.kind in PEOPLE:
        (start, end), _ = smallest_support(pair.claim, quote, pair.title)
        quote = quote[start:end]
    at = max(pair.context.find(quote), 0)
    compared = (pair.claim, quote, pair.title, pair.context[:at][-support.BEFORE :])
    return structure.features(*compared) | (support.reading(reader, *compared) if reader else {})


def weights_of(every: Sequence[Pair]) -> Floats:
    """What each pair counts: true and false ones the same, people's less than those of the script."""
    found = np.zeros(len(every))
    for people in (True, False):
        for true in (True, False):
            own = np.array([(p.kind in PEOPLE) == people and p.true == true for p in every])
            found[own] = (PEOPLES_WEIGHT if people else 1.0) / max(own.sum(), 1)
    return np.asarray(found * len(every) / found.sum())


FOR = {"found", "resolved", "kept", "literal", "one lost", support.FOLLOWS}
"""The features that may speak for support; every other one is a difference, which may only speak against it."""


def fitted(rows: Floats, true: Floats, weights: Floats, names: Sequence[str]) -> tuple[Floats, float]:
    """The coefficients of the features as they are, each of its sign, and the constant."""
    from scipy.optimize import minimize

    spread = np.maximum(rows.std(axis=0), 1e-6)
    scaled, sides = rows / spread, 2 * true - 1

    def loss(values: Floats) -> tuple[float, Floats]:
        margins = sides * (scaled @ values[:-1] + values[-1])
        slope = -weights * sides / (1 + np.exp(np.clip(margins, -30, 30)))
        ridge = values[:-1] / STRENGTH
        value = float(weights @ np.logaddexp(0, -margins) + ridge @ values[:-1] / 2)
        return value, np.append(scaled.T @ slope + ridge, slope.sum())

    bounds = [(0, None) if name.split(",")[0] in FOR else (None, 0) for name in names]
    best = minimize(
        loss, np.zeros(len(names) + 1), jac=True, method="L-BFGS-B", bounds=[*bounds, (None, None)]
    )
    return np.asarray(best.x[:-1] / spread), float(best.x[-1])


def crossed(
    rows: Floats, true: Floats, weights: Floats, groups: Sequence[str], names: Sequence[str]
) -> Floats:
    """The log odds of each pair by weights fitted to the pairs of other papers."""
    from sklearn.model_selection import GroupKFold

    found = np.zeros(len(rows))
    for train, test in GroupKFold(5).split(rows, true, groups):
        own, constant = fitted(rows[train], true[train], weights[train], names)
        found[test] = rows[test] @ own + constant
    return found


def by_kind(every: Sequence[Pair], odds: Floats) -> str:
    kinds = dict.fromkeys((pair.kind, pair.true) for pair in every)
    rows = []
    for kind, true in kinds:
        right = [
            (o >= 0) == true for p, o in zip(every, odds, strict=True) if p.kind == kind and p.true == true
        ]
        rows.append([kind, "kept" if true else "refused", falsehoods.share(sum(right), len(right))])
    return markdown(["pairs", "right is", "right"], rows)


class Fit(NamedTuple):
    """The weights of the features, and what is printed of them."""

    weights: dict[str, float]
    report: str


def fit(every: Sequence[Pair], checks: Mapping[str, str], reader: PassageReader | None = None) -> Fit:
    """Weights fitted to the pairs *every*, and what they and *checks* are worth on those of other papers."""
    from sklearn.metrics import roc_auc_score

    found = [features(pair, reader) for pair in every]
    names = sorted({name for each in found for name in each})
    rows = np.array([[each.get(name, 0.0) for name in names] for each in found])
    true = np.array([float(pair.true) for pair in every])
    weights, groups = weights_of(every), [pair.title or pair.quote for pair in every]
    odds = crossed(rows, true, weights, groups, names)
    whole = float(roc_auc_score(true, odds, sample_weight=weights))
    worth: list[list[object]] = [["all", f"{whole:.3f}"]]
    for check, words in checks.items():
        kept = [n for n, name in enumerate(names) if name.split()[0].strip(",") not in words.split()]
        without = crossed(rows[:, kept], true, weights, groups, [names[n] for n in kept])
        worth.append([f"without {check}", f"{roc_auc_score(true, without, sample_weight=weights):.3f}"])
    own, constant = fitted(rows, true, weights, names)
    report = f"{by_kind(every, odds)}\n\n{markdown(['checks', 'area under the ROC curve'], worth)}"
    return Fit(dict(zip(names, map(float, own), strict=True)) | {"constant": constant}, report)


def main(write: bool = False) -> str:
    every = pairs()
    alone = fit(every, CHECKS)
    unread = [pair for pair in every if pair.kind != PEOPLE[0]]
    together = fit(unread, {**CHECKS, "the reader": "follows does"}, JointReader())
    if write:
        save({"weights": alone.weights, "weights with reader": together.weights})
    return f"{alone.report}\n\nWith the reader:\n\n{together.report}"


def save(every: Mapping[str, Mapping[str, float]]) -> None:
    origin = " ".join(str(__doc__).split("\n\n")[2].split())
    text: dict[str, object] = {"origin": f"benchmarks/fit_evidence.py: {origin}"}
    for name, weights in every.items():
        text[name] = {feature: round(value, 2) for feature, value in weights.items() if abs(value) >= 0.005}
    path = Path(support.__file__).with_suffix(".json")
    path.write_text(f"{json.dumps(text, indent=2)}\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fit the weights of the evidence score.")
    parser.add_argument("--write", action="store_true", help="write them into the package")
    print(main(parser.parse_args().write))
