"""The weights of `ragkit/evidence.json`, fitted to human judgements of whether a quote supports a claim.

    python -m benchmarks.fit_evidence [--write]

A logistic regression on the halves for choosing of BEGIN and QAGS, whose claims were written from the texts
that they are held against, as an answer's are.  Every set counts the same, and in a set the supported count
as much as the others, so that the probability is that of even odds.  The quote is the best span of at most
two sentences by the weights themselves; claims with an objection (a number or name that is not there, ...)
are left out, as they are never supported.

Shown: for several choices of features the area under the ROC curve on each set, with weights fitted on the
two others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.judges import SETS, Labelled
from benchmarks.table import markdown
from ragkit.answer import Quote
from ragkit.models.embeddings import SentenceTransformersEmbeddings
from ragkit.text.words import sentences
from ragkit.verify import support
from ragkit.verify.attribution import Pair
from ragkit.verify.evidence import aligned, texts_of
from ragkit.verify.support import Likeness, likeness, objections

FITTED_ON = ("BEGIN", "QAGS, CNN/DM", "QAGS, XSum")
FEATURES = {"words": ("covered", "paired"), "aligned": ("covered", "paired", "aligned")}
ROUNDS = 4

Weights = Mapping[str, float]
Floats = NDArray[np.float64]


def spans(item: Labelled) -> list[str]:
    """The stretches of one or two sentences of the text."""
    found = sentences(item.text) or [(0, len(item.text))]
    return [item.text[a:b] for (a, _), (_, b) in [*zip(found, found, strict=True), *pairwise(found)]]


def value(weights: Weights, alike: Likeness) -> float:
    return sum(weight * float(getattr(alike, name)) for name, weight in weights.items() if name != "constant")


def best(every: Sequence[Sequence[Likeness]], weights: Weights) -> list[int]:
    """Which span of each item is its quote."""
    return [max(range(len(alike)), key=lambda i: value(weights, alike[i])) for alike in every]


def fitted(
    alike: Mapping[str, Sequence[Likeness]], labels: Mapping[str, Sequence[bool]], features: Sequence[str]
) -> dict[str, float]:
    """The weights from the sets in *alike*."""
    from sklearn.linear_model import LogisticRegression

    rows = np.array([[getattr(a, f) for f in features] for name in alike for a in alike[name]])
    known = np.array([label for name in alike for label in labels[name]])
    weight = np.concatenate([_balanced(labels[name]) for name in alike])
    model = LogisticRegression(C=1e6, max_iter=10_000).fit(rows, known, sample_weight=weight)
    return {"constant": round(float(model.intercept_[0]), 2)} | {
        f: round(float(w), 2) for f, w in zip(features, model.coef_[0], strict=True)
    }


def _balanced(labels: Sequence[bool]) -> Floats:
    given = np.asarray(labels)
    return np.asarray(np.where(given, 500 / given.sum(), 500 / (~given).sum()), dtype=np.float64)


def _unobjected(items: Sequence[Labelled], quoted: Sequence[str]) -> list[int]:
    return [
        i
        for i, (item, quote) in enumerate(zip(items, quoted, strict=True))
        if not any(objections(item.claim, quote, item.title))
    ]


def main(write: bool = False) -> str:
    from sklearn.metrics import roc_auc_score

    items = {name: [i for i in SETS[name]() if i.is_for_choosing] for name in FITTED_ON}
    parts = {name: [spans(i) for i in items[name]] for name in items}
    every = {
        name: [
            [likeness(i.claim, s, i.title) for s in p] for i, p in zip(items[name], parts[name], strict=True)
        ]
        for name in items
    }
    weights: Weights = {"covered": 1.0, "paired": 1.0}
    for _ in range(ROUNDS):
        chosen = {name: best(every[name], weights) for name in items}
        quoted = {name: [p[k] for p, k in zip(parts[name], chosen[name], strict=True)] for name in items}
        kept = {name: _unobjected(items[name], quoted[name]) for name in items}
        alike = {name: [every[name][i][chosen[name][i]] for i in kept[name]] for name in items}
        labels = {name: [items[name][i].supported for i in kept[name]] for name in items}
        weights = fitted(alike, labels, FEATURES["words"])
    embed = SentenceTransformersEmbeddings()
    for name in items:
        pairs = [
            Pair(items[name][i].claim, (Quote(title=items[name][i].title, quote=quoted[name][i]),))
            for i in kept[name]
        ]
        nearness = aligned(
            pairs, dict(zip(texts := texts_of(pairs), embed.token_vectors(texts), strict=True))
        )
        alike[name] = [a._replace(aligned=n) for a, n in zip(alike[name], nearness, strict=True)]
    found = {model: fitted(alike, labels, features) for model, features in FEATURES.items()}
    if write:
        origin = " ".join(str(__doc__).split("\n\n")[2].split())
        text = json.dumps({"origin": f"benchmarks/fit_evidence.py: {origin}", "weights": found}, indent=2)
        Path(support.__file__).with_suffix(".json").write_text(f"{text}\n", encoding="utf-8")
    rows: list[list[object]] = []
    for features in (("covered",), ("paired",), FEATURES["words"], ("aligned",), FEATURES["aligned"]):
        row: list[object] = [" + ".join(features)]
        for name in items:
            others = fitted({n: alike[n] for n in items if n != name}, labels, features)
            row.append(f"{roc_auc_score(labels[name], [value(others, a) for a in alike[name]]):.3f}")
        rows.append([*row, json.dumps(fitted(alike, labels, features))])
    return markdown(["features", *items, "weights on all three"], rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fit the weights of the evidence score.")
    parser.add_argument("--write", action="store_true", help="write them into the package")
    print(main(parser.parse_args().write))
