"""A reranker of the user's own: questions about their papers, passages that the search takes for answers and are none, and a
small cross-encoder trained to tell them apart.

for event in train_events(rag, Path("questions.jsonl"), Path("reranker")): ...

The questions are those of a file, whose gold papers are right; without a file, titles and sentences of the papers stand for
questions, and the passages that they were taken from are right ("Latent Retrieval for Weakly Supervised Open Domain Question
Answering", the inverse cloze task).  What was not trained on says what the reranker is worth.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from pydantic import BaseModel, ConfigDict

from ragkit.config.spec import parts_of
from ragkit.document import above, score_of, searchable, sources_of, span_of, title_of
from ragkit.errors import UsageError
from ragkit.evaluate.dataset import Case, Dataset, read
from ragkit.evaluate.measure import of_rankings
from ragkit.evaluate.outcome import searched
from ragkit.evaluate.statistics import difference
from ragkit.flow import Event, Finished, Progress
from ragkit.models import hub
from ragkit.models.embeddings import SentenceTransformersEmbeddings
from ragkit.models.openvino import computes_bf16, quietly
from ragkit.rag import Rag
from ragkit.refine import blended
from ragkit.text.words import sentences, words

Measured = Literal["ndcg@10", "mrr"]
MEASURES: tuple[Measured, ...] = ("ndcg@10", "mrr")

_BLENDS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_LEAST = 10
"""With fewer questions that can be trained on there is nothing to learn."""
_WORDS = 8
"""A sentence that stands for a question has so many, at least."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a reranker is trained; the defaults take some ten minutes on two processor cores.

    `questions`: how many are used at most.  Of them the share `held_out` (`most_held_out` at most) is kept from training: a
    third of it chooses the weight of the first stage, the rest measures.  Each of `steps` steps sees `batch` questions, each
    with a right passage and `negatives` others out of the first `depth` found.  Passages are cut to `longest` tokens,
    question included.
    """

    questions: int = 1000
    held_out: float = 0.3
    most_held_out: int = 150
    depth: int = 30
    steps: int = 200
    batch: int = 4
    negatives: int = 4
    learning_rate: float = 5e-5
    longest: int = 256
    seed: int = 0


class Gain(BaseModel):
    """The mean of the paired differences of two rankings on the held-out questions, its 95 % interval, and how often chance does that."""

    model_config = ConfigDict(frozen=True)

    value: float
    low: float
    high: float
    p: float


class Worth(BaseModel):
    """One measure on the held-out questions: of the first stage alone, of the model before and after training, and of the trained
    model with the first stage blended in; what training changed, and what the blend is ahead of the first stage.
    """

    model_config = ConfigDict(frozen=True)

    search: float
    before: float
    after: float
    blended: float
    learned: Gain
    gained: Gain


class TrainingReport(BaseModel):
    """What was trained, and what it is worth.  `source`: the file of questions, or `the papers themselves`; for these the first
    stage is the embeddings' cosine, since a search finds a sentence by its own words.
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


def train_reranker(
    rag: Rag,
    questions_file: Path | None,
    output_dir: Path,
    base_model: str | None = None,
    recipe: Recipe = Recipe(),
) -> TrainingReport:
    """`train_events`, without the events."""
    for event in train_events(rag, questions_file, output_dir, base_model, recipe):
        last = event
    assert isinstance(last, Finished)
    return last.result  # type: ignore[no-any-return]


def train_events(
    rag: Rag,
    questions_file: Path | None,
    output_dir: Path,
    base_model: str | None = None,
    recipe: Recipe = Recipe(),
) -> Iterator[Event]:
    """Train a cross-encoder and write it to *output_dir*: `Progress` of searching, training and measuring, then `Finished(report)`.

    *base_model* is what training starts from; without one, the transformer of the embedding model, with a head that has learned
    nothing and takes many questions and steps to; where it has learned too little, the report says `blend: 1.0`, the first stage
    alone.  Raises `UsageError` if *output_dir* holds something, or if there are too few questions.
    """
    started = time.perf_counter()
    if output_dir.exists() and (not output_dir.is_dir() or any(output_dir.iterdir())):
        raise UsageError(f"'{output_dir}' holds something already; name a new directory, or remove it first")
    embed = _embeddings(rag)
    base = base_model or (embed.model if isinstance(embed, SentenceTransformersEmbeddings) else "")
    if not base:
        raise UsageError("the pipeline has no sentence-transformers model to start from; name a base model")
    directory = hub.files(base)
    examples = (
        yield from _examples_of_file(rag, questions_file, recipe)
        if questions_file
        else _examples_of_papers(rag, recipe)
    )
    training, choosing, measuring = _split(examples, recipe)
    if questions_file is None:
        choosing, measuring = (
            [_by_cosine(embed, e) for e in choosing],
            [_by_cosine(embed, e) for e in measuring],
        )
    network = _Network(directory, recipe)
    before = yield from _scores(network, measuring, "measure before")
    loss = yield from _trained(network, training, recipe)
    blend = _best_blend(choosing, (yield from _scores(network, choosing, "choose")))
    after = yield from _scores(network, measuring, "measure after")
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
    network.save(output_dir, report)
    yield Finished(report)


# --- what is learned from


class Candidate(NamedTuple):
    """A passage that was found: what a model reads of it, the names of its paper, and its score."""

    text: str
    papers: tuple[str, ...]
    score: float


@dataclass(frozen=True)
class Example:
    """A question, what was found for it (best first), and passages that are right."""

    case: Case
    dataset: Dataset
    candidates: tuple[Candidate, ...]
    right: tuple[str, ...]

    @property
    def wrong(self) -> list[str]:
        return [
            c.text
            for c in self.candidates
            if not any(self.case.relevant.get(paper, 0) > 0 for paper in c.papers)
        ]

    @property
    def teaches(self) -> bool:
        return bool(self.right and self.wrong)


def _examples_of_file(rag: Rag, path: Path, recipe: Recipe) -> Generator[Event, None, list[Example]]:
    """The questions of a file that have gold papers.  Right is the best passage found of each."""
    dataset = read(path)
    cases = [case for case in dataset.cases if any(grade > 0 for grade in case.relevant.values())]
    random.Random(recipe.seed).shuffle(cases)
    examples = []
    for number, case in enumerate(cases[: recipe.questions]):
        yield Progress("search", number, min(len(cases), recipe.questions))
        found = [
            Candidate(
                searchable(p),
                tuple(dataset.paper([str(s["uri"]) for s in sources_of(p)], title_of(p))),
                score_of(p),
            )
            for p in searched(rag, case)[1]
        ]
        found = [c for c in found if not case.left_out.intersection(c.papers)]
        right: dict[str, str] = {}
        for candidate in found:
            for paper in candidate.papers:
                if case.relevant.get(paper, 0) > 0:
                    right.setdefault(paper, candidate.text)
        examples.append(
            Example(case, dataset, tuple(found[: recipe.depth]), tuple(dict.fromkeys(right.values())))
        )
    return examples


def _examples_of_papers(rag: Rag, recipe: Recipe) -> Generator[Event, None, list[Example]]:
    """A question a paper: its title, or one of its sentences.

    The title is taken off every passage, and the sentence out of its own, as another is out of each of the others, so that
    nothing but the meaning gives the right one away.
    """
    chance = random.Random(recipe.seed)
    ids = rag.corpus.document_ids()
    chance.shuffle(ids)
    examples: list[Example] = []
    dataset = Dataset("papers", (), "")
    for number, identity in enumerate(ids):
        if len(examples) == recipe.questions:
            break
        yield Progress("search", len(examples), min(len(ids), recipe.questions))
        paper = rag.corpus.documents([identity])[identity]
        title = title_of(paper)
        by_title = number % 2 == 0 and len(words(title)) > 3 and not paper.page_content.startswith(title)
        question = title if by_title else _sentence_of(paper.page_content, chance)
        if not question:
            continue
        case = Case(id=identity, question=question, relevant={identity: 1.0})
        candidates, right = [], []
        for found in searched(rag, case)[1]:
            own = span_of(found).document_id == identity
            text = (
                found.page_content
                if by_title
                else _without(found, question if own else _sentence_of(found.page_content, chance))
            )
            if not words(text):
                continue
            candidates.append(Candidate(text, (span_of(found).document_id,), score_of(found)))
            if own and (by_title or question in found.page_content):
                right.append(text)
        examples.append(Example(case, dataset, tuple(candidates[: recipe.depth]), tuple(right[:1])))
    return [example for example in examples if example.teaches]


def _sentence_of(text: str, chance: random.Random) -> str:
    """One of the sentences that say enough; empty, if none does."""
    every = [text[start:end] for start, end in sentences(text)]
    said = [sentence for sentence in every if len(words(sentence)) >= _WORDS]
    return chance.choice(said) if said and len(every) > 1 else ""


def _without(passage: Document, sentence: str) -> str:
    text = passage.page_content.replace(sentence, " ") if sentence else passage.page_content
    return "\n".join(part for part in (above(passage), text.strip()) if part) if words(text) else ""


def _by_cosine(embed: Embeddings, example: Example) -> Example:
    """*example*, its candidates ranked by what the embeddings make of their texts as they are now."""
    question = np.asarray(embed.embed_query(example.case.question))
    vectors = np.asarray(embed.embed_documents([c.text for c in example.candidates]))
    cosines = (
        vectors @ question / np.maximum(np.linalg.norm(vectors, axis=1) * np.linalg.norm(question), 1e-12)
    )
    again = [c._replace(score=float(cosine)) for c, cosine in zip(example.candidates, cosines, strict=True)]
    return replace(example, candidates=tuple(sorted(again, key=lambda c: -c.score)))


def _embeddings(rag: Rag) -> Embeddings:
    found = [
        part for part in parts_of([rag.ingest_pipeline, rag.answer_pipeline]) if isinstance(part, Embeddings)
    ]
    ours = [part for part in found if isinstance(part, SentenceTransformersEmbeddings)]
    return (ours or found or [SentenceTransformersEmbeddings()])[0]


def _split(examples: Sequence[Example], recipe: Recipe) -> tuple[list[Example], list[Example], list[Example]]:
    """To train on, to choose the blend by, to measure by; no question is in two of them."""
    order = list(examples)
    random.Random(recipe.seed + 1).shuffle(order)
    held = min(recipe.most_held_out, round(recipe.held_out * len(order)))
    choosing, measuring, training = (
        order[: held // 3],
        order[held // 3 : held],
        [e for e in order[held:] if e.teaches],
    )
    if len(training) < _LEAST or not choosing or not measuring:
        raise UsageError(
            f"{len(examples)} questions leave {len(training)} to train on, which is too few (the least is {_LEAST});"
            " write more, or ingest more papers"
        )
    return training, choosing, measuring


# --- learning


class _Network:
    """The transformer with its head."""

    def __init__(self, directory: Path, recipe: Recipe) -> None:
        self.recipe = recipe
        with quietly():
            import torch
            from transformers import AutoModelForSequenceClassification, AutoTokenizer

            self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(recipe.seed)
                loaded = AutoModelForSequenceClassification.from_pretrained(
                    directory,
                    num_labels=1,
                    local_files_only=True,
                    ignore_mismatched_sizes=True,
                    dtype=torch.float32,
                )
            self.tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        window = getattr(loaded.config, "max_position_embeddings", None) or recipe.longest
        self.tokenizer.model_max_length = self.longest = min(recipe.longest, window)
        self.model = loaded.to(self.device)
        self.halved = self.device.type == "cuda" or computes_bf16()

    def logits(self, pairs: Sequence[tuple[str, str]]) -> Any:
        import torch

        read = self.tokenizer(
            [q for q, _ in pairs],
            [p for _, p in pairs],
            truncation=True,
            max_length=self.longest,
            padding=True,
            return_tensors="pt",
        )
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.halved):
            return self.model(**read.to(self.device)).logits.float().reshape(len(pairs))

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """As `cross_encoder` gives them."""
        import torch

        self.model.eval()
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        found = [0.0] * len(texts)
        with torch.inference_mode():
            for at in range(0, len(order), 16):
                some = order[at : at + 16]
                for i, score in zip(
                    some,
                    torch.sigmoid(self.logits([(question, texts[i]) for i in some])).tolist(),
                    strict=True,
                ):
                    found[i] = score
        return found

    def save(self, directory: Path, report: TrainingReport) -> None:
        """All of it or nothing."""
        directory.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
        try:
            with quietly():
                self.model.save_pretrained(made)
                self.tokenizer.save_pretrained(made)
            (made / "training.json").write_text(json.dumps(report.as_json(), indent=2), encoding="utf-8")
            made.chmod(0o755)
            made.replace(directory)
        finally:
            shutil.rmtree(made, ignore_errors=True)


def _trained(network: _Network, examples: Sequence[Example], recipe: Recipe) -> Generator[Event, None, float]:
    """Train for the recipe's steps; return the mean loss of the last tenth of them.

    The loss tells the right passage from the others of its question, as in "Rethink Training of BERT Rerankers in Multi-Stage
    Retrieval Pipeline", and, so that scores are probabilities, right from wrong one by one.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

    optimizer = torch.optim.AdamW(network.model.parameters(), lr=recipe.learning_rate, weight_decay=0.01)
    chance = random.Random(recipe.seed)
    waiting: list[Example] = []
    losses: list[float] = []
    for step in range(recipe.steps):
        yield Progress("train", step, recipe.steps, f"loss {losses[-1]:.3f}" if losses else "")
        while len(waiting) < recipe.batch:
            waiting += chance.sample(examples, len(examples))
        groups, waiting = waiting[: recipe.batch], waiting[recipe.batch :]
        pairs = [
            (e.case.question, text)
            for e in groups
            for text in (chance.choice(e.right), *_drawn(e.wrong, recipe.negatives, chance))
        ]
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _pace(step, recipe.steps)
        network.model.train()
        with torch.random.fork_rng(devices=[]):  # for dropout, and nobody else's chance is touched
            torch.manual_seed(recipe.seed + step)
            logits = network.logits(pairs).reshape(len(groups), -1)
        wanted = torch.zeros_like(logits)
        wanted[:, 0] = 1.0
        loss = cross_entropy(logits, wanted) + binary_cross_entropy_with_logits(logits, wanted)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    yield Progress("train", recipe.steps, recipe.steps)
    return float(np.mean(losses[-max(1, recipe.steps // 10) :]))


def _drawn(texts: Sequence[str], number: int, chance: random.Random) -> list[str]:
    """*number* of *texts*, each once where there are enough."""
    return chance.sample(texts, number) if len(texts) >= number else chance.choices(texts, k=number)


def _pace(step: int, steps: int) -> float:
    """The share of the learning rate: up over the first tenth, then down to 0."""
    warm = max(1, steps // 10)
    return (step + 1) / warm if step < warm else (steps - step) / max(1, steps - warm)


# --- what it is worth


Scores = Sequence[Sequence[float]]
"""One for each candidate of each example."""


def _scores(
    network: _Network, examples: Sequence[Example], stage: str
) -> Generator[Event, None, list[list[float]]]:
    found = []
    for number, example in enumerate(examples):
        yield Progress(stage, number, len(examples))
        found.append(network.scores(example.case.question, [c.text for c in example.candidates]))
    yield Progress(stage, len(examples), len(examples))
    return found


def _mixed(examples: Sequence[Example], scores: Scores, blend: float) -> list[list[float]]:
    return [
        blended(own, [c.score for c in e.candidates], blend) for e, own in zip(examples, scores, strict=True)
    ]


def _values(examples: Sequence[Example], scores: Scores, measure: Measured) -> list[float]:
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


def _best_blend(examples: Sequence[Example], scores: Scores) -> float:
    """The weight of the first stage that ranks best; the least of equals."""
    return max(
        _BLENDS,
        key=lambda blend: (np.mean(_values(examples, _mixed(examples, scores, blend), "ndcg@10")), -blend),
    )


def _worth(examples: Sequence[Example], before: Scores, after: Scores, blend: float) -> dict[Measured, Worth]:
    found: dict[Measured, Worth] = {}
    for measure in MEASURES:
        search = _values(examples, [[c.score for c in e.candidates] for e in examples], measure)
        untrained, trained = _values(examples, before, measure), _values(examples, after, measure)
        mixed = _values(examples, _mixed(examples, after, blend), measure)
        found[measure] = Worth(
            search=_mean(search),
            before=_mean(untrained),
            after=_mean(trained),
            blended=_mean(mixed),
            learned=_gain(trained, untrained),
            gained=_gain(mixed, search),
        )
    return found


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 4)


def _gain(ours: Sequence[float], theirs: Sequence[float]) -> Gain:
    apart = difference(ours, theirs)
    return Gain(
        value=round(apart.value, 4), low=round(apart.low, 4), high=round(apart.high, 4), p=round(apart.p, 4)
    )
