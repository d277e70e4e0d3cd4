"""The weights of `CHANCE` (`ragkit/generate/sentence_scores.py`) and of `JUDGED` (`ragkit/gate.py`), and what they tell.

    python -m benchmarks.fit_chance [--papers CORPUS]

`CHANCE` is a multinomial logistic regression: of the sentences that were looked at for a question, which is right?  `JUDGED`
is a logistic regression: is the verbatim answer right?  Both are fitted to the labelled questions over full papers
(`benchmarks.full_papers`, whose corpus CORPUS may be) and over abstracts (`benchmarks.answers`).  Printed: both, and the area
under the ROC curve with other signals in ten folds by question, where `chance` is of weights that have not seen the
question either; unanswerable questions are among those that are judged.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.documents import Document
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import ragkit
from benchmarks.answers import QUESTIONS as OVER_ABSTRACTS
from benchmarks.full_papers import PAPERS, Outcome
from benchmarks.full_papers import QUESTIONS as OVER_PAPERS
from benchmarks.table import SHARED, markdown
from ragkit.answer import Answer
from ragkit.flow import Flow
from ragkit.gate import FOUND, CalibratedGate, Relevance, found_signals, judged_signals
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.generate.sentence_scores import CHANCE, SentenceScores
from ragkit.text.question import Asked, ParsedQuestion
from ragkit.text.statements import PassageSentence

Floats = NDArray[np.float64]

FOLDS, TIMES = 10, 3
RIDGE = 1.0  # on the weights of standardised features
SIGNALS = ("lead answers", "chance", "chance answers", "found chance", "found chance answers")
SHIPPED = "found chance answers"
TYPICAL = ("covered", "lead", "chance", "answers")


@dataclass
class Seen:
    """What became of a question: the features of each sentence, which of them is right, which were chosen, and the signals."""

    over: str = ""
    features: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    sentences: Sequence[PassageSentence] = ()
    chosen: Sequence[int] = ()
    found: Mapping[str, float] = field(default_factory=dict)
    signals: dict[str, float] = field(default_factory=dict)
    correct: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    right: bool = False

    @property
    def passes(self) -> bool:
        return FOUND(self.found) >= FOUND.threshold


@dataclass(frozen=True)
class Watched(ExtractiveGenerator):
    """The generator, which notes what it compares and chooses."""

    seen: Seen = field(default_factory=Seen)

    def _scores(
        self, asked: Sequence[ParsedQuestion], pool: Sequence[PassageSentence], read: Mapping[Any, float]
    ) -> Flow[list[SentenceScores]]:
        scores = yield from super()._scores(asked, pool, read)
        self.seen.sentences = pool
        self.seen.features = np.stack([scores[0].features[name] for name in CHANCE], axis=1)
        return scores

    def _chosen(self, *given: Any) -> list[int]:
        self.seen.chosen = super()._chosen(*given)
        return list(self.seen.chosen)


@dataclass(frozen=True)
class Open(CalibratedGate):
    """Lets every answer through, and notes the signals."""

    seen: Seen = field(default_factory=Seen)

    def weigh(self, asked: Asked, passages: Sequence[Document]) -> Relevance:
        self.seen.found = found_signals(asked.understood, passages, self.retriever) if passages else {}
        return Relevance(FOUND(self.seen.found) if passages else 0.0)

    def confirm(self, asked: Asked, relevance: Relevance, answer: Answer) -> Relevance:
        self.seen.signals = dict(judged_signals(asked.parsed, relevance, answer))
        return Relevance(1.0)


def seen_of(
    over: str, corpus: Path, papers: Sequence[Path], labels: Sequence[Mapping[str, Any]]
) -> list[Seen]:
    """What becomes of each labelled question that the metadata do not answer."""
    rag = ragkit.load(preset="default", corpus=corpus)
    if not corpus.exists():
        rag.ingest(*papers)
    found = []
    for label in labels:
        seen = Seen(over)
        pipeline = replace(rag.answer_pipeline, gate=Open(seen=seen))
        generators = [
            Watched(g.embed, g.reader, g.most, g.share, seen) if isinstance(g, ExtractiveGenerator) else g
            for g in pipeline.generate
        ]
        asking = ragkit.Rag(
            corpus=corpus, ingest=rag.ingest_pipeline, answer=replace(pipeline, generate=generators)
        )
        answer = asking.ask(label["question"], label.get("history", ()))
        if not len(seen.chosen) or not seen.found:
            continue
        seen.right = Outcome(label, answer).right
        in_one = label["files"] and label["kind"] != "two_papers"
        seen.correct = np.array(
            [bool(in_one) and Outcome(label, _said(answer, each)).right for each in seen.sentences]
        )
        found.append(seen)
    return found


def _said(answer: Answer, sentence: PassageSentence) -> Answer:
    """*answer*, of this sentence alone."""
    [first, *_] = answer.claims
    claim = first.model_copy(update={"text": sentence.in_context([sentence.passage]).text})
    return answer.model_copy(update={"claims": (claim,)})


def fitted_chance(every: Sequence[Seen], scale: Floats) -> Floats:
    """The weights, by the likelihood that one of the right sentences is the one that is drawn."""
    learnt = [(each.features / scale, each.correct.astype(float)) for each in every if each.correct.any()]

    def loss(weights: Floats) -> tuple[float, Floats]:
        value, slope = RIDGE * float(weights @ weights), 2 * RIDGE * weights
        for features, correct in learnt:
            drawn = _softmax(features @ weights)
            right = drawn @ correct
            value -= float(np.log(right))
            slope = slope - features.T @ (drawn * correct / right - drawn)
        return value, slope

    return np.asarray(minimize(loss, np.zeros(len(scale)), jac=True, method="L-BFGS-B").x / scale)


def _softmax(odds: Floats) -> Floats:
    drawn = np.exp(odds - odds.max())
    return np.asarray(drawn / drawn.sum())


def with_chance(seen: Seen, weights: Floats) -> dict[str, float]:
    """The signals, with a `chance` by these *weights*."""
    among = float(np.clip(_softmax(seen.features @ weights)[list(seen.chosen)].sum(), 0.01, 0.99))
    return {**seen.signals, "chance": float(np.log(among / (1 - among)))}


def _judge(names: str, every: Sequence[Seen], signals: Sequence[Mapping[str, float]]) -> LogisticRegression:
    """Fitted to those that pass `found`; each set of questions weighs the same."""
    passed = [n for n, each in enumerate(every) if each.passes]
    sets = [every[n].over for n in passed]
    weigh = [len(passed) / sets.count(over) for over in sets]
    rows = [[signals[n][name] for name in names.split()] for n in passed]
    return LogisticRegression(C=1.0, max_iter=5000).fit(
        rows, [every[n].right for n in passed], sample_weight=weigh
    )


def areas(every: Sequence[Seen], scale: Floats) -> dict[str, dict[str, float]]:
    """The area under the ROC curve by signals and by set, of predictions for questions that nothing was fitted to."""
    likely = {names: np.zeros(len(every)) for names in SIGNALS}
    for seed in range(TIMES):
        folds = np.random.default_rng(seed).permutation(len(every)) % FOLDS
        for fold in range(FOLDS):
            learnt = [each for each, own in zip(every, folds, strict=True) if own != fold]
            weights = fitted_chance(learnt, scale)
            signals = [with_chance(each, weights) for each in every]
            for names in SIGNALS:
                of_learnt = [signals[n] for n in np.flatnonzero(folds != fold)]
                judge = _judge(names, learnt, of_learnt)
                for n in np.flatnonzero(folds == fold):
                    row = [[signals[n][name] for name in names.split()]]
                    likely[names][n] += judge.predict_proba(row)[0, 1]
    right = np.array([each.right for each in every])
    over = np.array([each.over for each in every])
    return {
        names: {
            o: float(roc_auc_score(right[over == o], found[over == o])) for o in dict.fromkeys(over.tolist())
        }
        for names, found in likely.items()
    }


def main(papers: Path | None = None) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        labels = [json.loads(line) for line in OVER_PAPERS.read_text(encoding="utf-8").splitlines()]
        every = seen_of("full papers", papers or Path(scratch) / "papers", PAPERS, labels)
        labels = [json.loads(line) for line in OVER_ABSTRACTS.read_text(encoding="utf-8").splitlines()]
        labels = [
            {**each, "files": each["gold_titles"], "must_include": each.get("must_include", [])}
            for each in labels
        ]
        every += seen_of("abstracts", Path(scratch) / "abstracts", [SHARED / "papers"], labels)
    scale = np.concatenate([each.features for each in every]).std(axis=0) + 1e-9
    weights = fitted_chance(every, scale)
    signals = [with_chance(each, weights) for each in every]
    judge = _judge(SHIPPED, every, signals)
    chance = ", ".join(f"{name} {weight:.2f}" for name, weight in zip(CHANCE, weights, strict=True))
    judged = ", ".join(f"{n} {w:.2f}" for n, w in zip(SHIPPED.split(), judge.coef_[0], strict=True))
    found = areas(every, scale)
    sets = list(found[SHIPPED])
    table = markdown(
        ["signals", *sets], [[names, *(f"{by[o]:.2f}" for o in sets)] for names, by in found.items()]
    )
    counts = ", ".join(f"{sum(e.over == o for e in every)} over {o}" for o in sets)
    typical = ", ".join(f"{name} {np.mean([each[name] for each in signals]):.2f}" for name in TYPICAL)
    told = sum(bool(each.correct.any()) for each in every)
    return (
        f"`CHANCE`, of {told} questions: {chance}\n\n`JUDGED` without `support`: {judged}, bias {judge.intercept_[0]:.2f}; means: {typical}\n\n"
        f"Area under the curve of {counts}:\n\n{table}\n"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fit how sure a choice of sentences is.")
    parser.add_argument(
        "--papers", type=Path, metavar="CORPUS", help="where the corpus of full papers is, or is to be kept"
    )
    print(main(parser.parse_args().papers))
