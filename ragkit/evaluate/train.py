"""Train a reranker on the user's papers, and measure it on held-out questions.

for event in train_events(rag, Path("questions.jsonl"), Path("reranker")): ...

The trainer is that of sentence-transformers.  The questions come from a file with gold papers; without a
file, titles and sentences of the papers are the questions, and the passages they were taken from the answers
("Latent Retrieval for Weakly Supervised Open Domain Question Answering", the inverse cloze task).  The loss
is binary cross-entropy over right passages and hard negatives, so scores are probabilities.  (Related: the
rerankers of "Promptagator: Few-shot Dense Retrieval From 8 Examples".)
"""

from __future__ import annotations

import json
import queue
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from langchain_core.embeddings import Embeddings
from pydantic import BaseModel, ConfigDict

from ragkit.config.spec import parts_of
from ragkit.errors import UsageError, needs
from ragkit.evaluate.examples import (
    Recipe,
    TrainingExample,
    by_cosine,
    examples_of_file,
    examples_of_papers,
    split,
)
from ragkit.evaluate.measure import of_rankings
from ragkit.evaluate.statistics import Difference, difference
from ragkit.flow import Event, Finished, Progress
from ragkit.models import hub
from ragkit.models.embeddings import SentenceTransformersEmbeddings
from ragkit.models.openvino import computes_bf16, quietly
from ragkit.rag import Rag
from ragkit.refine import blended

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

Measured = Literal["ndcg@10", "mrr"]
MEASURES: tuple[Measured, ...] = ("ndcg@10", "mrr")

_BLENDS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


class Worth(BaseModel):
    """One measure on the held-out questions, for four rankings, with two paired comparisons.

    `search` is the mean for the first stage alone, `before` and `after` for the model before and after
    training, `blended` for the trained model blended with the first stage.  `learned` compares after with
    before, `gained` the blend with the first stage, both paired by question.
    """

    model_config = ConfigDict(frozen=True)

    search: float
    before: float
    after: float
    blended: float
    learned: Difference
    gained: Difference


class TrainingReport(BaseModel):
    """What was trained, and how good it is.

    `source`: the file of questions, or `the papers themselves`; for these the first stage is the embeddings'
    cosine, since a search finds a sentence by its own words.
    """

    model_config = ConfigDict(frozen=True)

    directory: str
    base: str
    source: str
    trained_on: int
    held_out: int
    steps: int
    depth: int
    blend: float
    loss: float
    worth: dict[Measured, Worth]
    seconds: float

    @property
    def component(self) -> dict[str, Any]:
        """What to write under `refine` of a pipeline file."""
        return {"type": "cross_encoder", "model": self.directory, "depth": self.depth, "blend": self.blend}

    @property
    def is_worth_it(self) -> bool:
        """Is the blend ahead of the first stage by more than chance?"""
        gained = self.worth["ndcg@10"].gained
        return gained.value > 0 and gained.p < 0.05

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json") | {"component": self.component, "is_worth_it": self.is_worth_it}


def train_events(
    rag: Rag,
    questions_file: Path | None,
    output_dir: Path,
    base_model: str | None = None,
    recipe: Recipe = Recipe(),
) -> Iterator[Event]:
    """Train a cross-encoder and write it to *output_dir*: `Progress` events, then `Finished(report)`.

    `Progress` is that of searching, training and measuring.  Training starts from *base_model*, or else from
    the transformer of the embedding model with an untrained head, which needs many questions and steps; if it
    has learned too little, the report says `blend: 1.0`, the first stage alone.  The trainer seeds the global
    random generators with the recipe's seed.  Raises `UsageError` if *output_dir* is not empty, if there are
    too few questions, or if the extra `train` is not installed.
    """
    started = time.perf_counter()
    with needs("train", "training"):
        import accelerate  # noqa: F401
        import datasets  # noqa: F401
    check_new(output_dir)
    embed = _embeddings(rag)
    base = base_model or (embed.model if isinstance(embed, SentenceTransformersEmbeddings) else "")
    if not base:
        raise UsageError("the pipeline has no sentence-transformers model to start from; name a base model")
    directory = hub.files(base)
    examples = (
        yield from examples_of_file(rag, questions_file, recipe)
        if questions_file
        else examples_of_papers(rag, recipe)
    )
    training, choosing, measuring = split(examples, recipe)
    if questions_file is None:
        choosing, measuring = (
            [by_cosine(embed, e) for e in choosing],
            [by_cosine(embed, e) for e in measuring],
        )
    model = _loaded(directory, recipe)
    before = yield from _scores(model, measuring, "measure before")
    loss = yield from _trained(model, training, recipe)
    blend = _best_blend(choosing, (yield from _scores(model, choosing, "choose")))
    after = yield from _scores(model, measuring, "measure after")
    report = TrainingReport(
        directory=str(output_dir),
        base=base,
        source=str(questions_file or "the papers themselves"),
        trained_on=len(training),
        held_out=len(measuring),
        steps=recipe.steps,
        depth=recipe.depth,
        blend=blend,
        loss=round(loss, 4),
        worth=_worth(measuring, before, after, blend),
        seconds=round(time.perf_counter() - started, 1),
    )
    _save(model, output_dir, report)
    yield Finished(report)


def _embeddings(rag: Rag) -> Embeddings:
    found = [
        part for part in parts_of([rag.ingest_pipeline, rag.answer_pipeline]) if isinstance(part, Embeddings)
    ]
    ours = [part for part in found if isinstance(part, SentenceTransformersEmbeddings)]
    return (ours or found or [SentenceTransformersEmbeddings()])[0]


# --- training


def _loaded(directory: Path, recipe: Recipe) -> CrossEncoder:
    """The model with a head of one label; a head that it lacks starts from the recipe's seed."""
    with quietly():
        import torch
        from sentence_transformers import CrossEncoder

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            model = CrossEncoder(
                str(directory),
                num_labels=1,
                local_files_only=True,
                model_kwargs={"ignore_mismatched_sizes": True, "dtype": torch.float32},
            )
    window = getattr(model.model.config, "max_position_embeddings", None) or recipe.longest
    model.max_seq_length = min(recipe.longest, window)
    return model


def check_new(directory: Path) -> None:
    """Raise `UsageError` if *directory* is there and is not an empty directory."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(f"'{directory}' holds something already; name a new directory, or remove it first")


@contextmanager
def made_whole(directory: Path) -> Iterator[Path]:
    """A folder that becomes *directory* when the context ends, or vanishes if it fails."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        yield made
        made.chmod(0o755)
        made.replace(directory)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _save(model: CrossEncoder, directory: Path, report: TrainingReport) -> None:
    with made_whole(directory) as made:
        with quietly():
            model.save_pretrained(str(made), create_model_card=False)
        (made / "training.json").write_text(json.dumps(report.as_json(), indent=2), encoding="utf-8")


def _trained(
    model: CrossEncoder, examples: Sequence[TrainingExample], recipe: Recipe
) -> Generator[Event, None, float]:
    """Train *model*; return the mean loss of the last tenth of the steps.

    The trainer runs in a thread, so that its progress can be yielded; closing this generator stops it after
    its step.
    """
    events: queue.SimpleQueue[Progress | None] = queue.SimpleQueue()
    stop = threading.Event()
    yield Progress("train", 0, recipe.steps)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(_train, model, examples, recipe, events.put, stop)
        future.add_done_callback(lambda _: events.put(None))
        try:
            yield from iter(events.get, None)
        finally:
            stop.set()
    return future.result()


def _train(
    model: CrossEncoder,
    examples: Sequence[TrainingExample],
    recipe: Recipe,
    tell: Callable[[Progress], None],
    stop: threading.Event,
) -> float:
    from datasets import Dataset as Rows
    from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments, losses
    from transformers import PrinterCallback, TrainerCallback

    class Tell(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            losses = [log["loss"] for log in state.log_history if "loss" in log]
            note = f"loss {losses[-1]:.3f}" if losses else ""
            tell(Progress("train", state.global_step, recipe.steps, note))
            control.should_training_stop |= stop.is_set()

    tenth = max(1, recipe.steps // 10)
    with tempfile.TemporaryDirectory() as folder, quietly():
        trainer = CrossEncoderTrainer(
            model,
            CrossEncoderTrainingArguments(
                folder,
                max_steps=recipe.steps,
                per_device_train_batch_size=recipe.batch * (1 + recipe.negatives),
                learning_rate=recipe.learning_rate,
                weight_decay=0.01,
                warmup_steps=tenth,
                seed=recipe.seed,
                use_cpu=model.device.type == "cpu",
                bf16=model.device.type == "cuda" or computes_bf16(),
                save_strategy="no",
                logging_steps=tenth,
                report_to="none",
                disable_tqdm=True,
                dataloader_pin_memory=False,
            ),
            Rows.from_list(_rows(examples, recipe)),
            loss=losses.BinaryCrossEntropyLoss(model),
            callbacks=[Tell()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return float(next(log["loss"] for log in reversed(trainer.state.log_history) if "loss" in log))


def _rows(examples: Sequence[TrainingExample], recipe: Recipe) -> list[dict[str, Any]]:
    """Rows of a question, a passage and a label, 1.0 for a right passage and 0.0 for a hard negative.

    There are as many as the recipe's steps take.
    """
    chance = random.Random(recipe.seed)
    rows: list[dict[str, Any]] = []
    groups: list[TrainingExample] = []
    while len(groups) < recipe.steps * recipe.batch:
        groups += chance.sample(examples, len(examples))
    for example in groups[: recipe.steps * recipe.batch]:
        texts = [chance.choice(example.right), *_drawn(example.wrong, recipe.negatives, chance)]
        rows += [
            {"question": example.case.question, "passage": text, "label": float(text in example.right)}
            for text in texts
        ]
    return rows


def _drawn(texts: Sequence[str], number: int, chance: random.Random) -> list[str]:
    """*number* of *texts*, each once where there are enough."""
    return chance.sample(texts, number) if len(texts) >= number else chance.choices(texts, k=number)


# --- what it is worth


Scores = Sequence[Sequence[float]]
"""One for each candidate of each example."""


def _scores(
    model: CrossEncoder, examples: Sequence[TrainingExample], stage: str
) -> Generator[Event, None, list[list[float]]]:
    """The model's scores (0..1) of each example's candidates."""
    scores = []
    for number, example in enumerate(examples):
        yield Progress(stage, number, len(examples))
        pairs = [(example.case.question, candidate.text) for candidate in example.candidates]
        scores.append(
            [float(score) for score in model.predict(pairs, batch_size=16, show_progress_bar=False)]
        )
    yield Progress(stage, len(examples), len(examples))
    return scores


def _mixed(examples: Sequence[TrainingExample], scores: Scores, blend: float) -> list[list[float]]:
    return [
        blended(own, [c.score for c in e.candidates], blend) for e, own in zip(examples, scores, strict=True)
    ]


def _values(examples: Sequence[TrainingExample], scores: Scores, measure: Measured) -> list[float]:
    """The measure of each example, its candidates ranked by *scores*."""
    rankings: dict[str, list[str]] = {}
    for example, own in zip(examples, scores, strict=True):
        order = sorted(range(len(own)), key=lambda i: -own[i])
        rankings[example.case.id] = list(
            dict.fromkeys(paper for i in order for paper in example.candidates[i].papers)
        )
    dataset = replace(examples[0].dataset, cases=tuple(e.case for e in examples))
    found = of_rankings(dataset, rankings)
    return [found[e.case.id][measure] for e in examples]


def _best_blend(examples: Sequence[TrainingExample], scores: Scores) -> float:
    """The weight of the first stage that ranks best; the least of equals."""
    return max(
        _BLENDS,
        key=lambda blend: (np.mean(_values(examples, _mixed(examples, scores, blend), "ndcg@10")), -blend),
    )


def _worth(
    examples: Sequence[TrainingExample], before: Scores, after: Scores, blend: float
) -> dict[Measured, Worth]:
    rankings = [
        [[candidate.score for candidate in example.candidates] for example in examples],
        before,
        after,
        _mixed(examples, after, blend),
    ]
    worth: dict[Measured, Worth] = {}
    for measure in MEASURES:
        values = [_values(examples, scores, measure) for scores in rankings]
        search, untrained, trained, mixed = values
        means = (round(float(np.mean(some)), 4) for some in values)
        worth[measure] = Worth(
            **dict(zip(("search", "before", "after", "blended"), means, strict=True)),
            learned=difference(trained, untrained),
            gained=difference(mixed, search),
        )
    return worth
