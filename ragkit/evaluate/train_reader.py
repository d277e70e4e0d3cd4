"""Train a reader: the model that tells which sentences answer a question, and which support a claim.

for event in train_reader_events(Path("rows"), Path("reader"), recipe=ReaderRecipe(minutes=30)): ...

With a teacher, a larger model is trained first, in the same way, and its opinions are what the reader learns
from, together with the labels ("Distilling the Knowledge in a Neural Network").
"""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, NonNegativeFloat
from scipy.special import expit
from scipy.stats import rankdata

from ragkit.errors import UsageError
from ragkit.evaluate.reader_data import (
    ReaderExample,
    ReaderRecipe,
    example_of,
    near_passages,
    passages_of,
    planted_claims,
    rows_in,
    split_by_text,
)
from ragkit.evaluate.train import check_new, made_whole
from ragkit.flow import Event, Finished, Progress
from ragkit.models import hub
from ragkit.models.openvino import computes_bf16, quietly
from ragkit.models.reader import COLUMNS, Part, batches, inputs_of, network, parts_of, read_into, write

Vector = NDArray[np.float32]


class ReaderFigures(BaseModel):
    """How good a reader is on texts that it was not trained on; None where these cannot tell.

    `answers`: the area under the curve (0.5 is chance, 1 perfect) for sentences that answer among those that
    do not; `claims`: the same for sources that support a claim; `best`: the share of the questions that a
    sentence answers for which the sentence with the highest score is one that does.
    """

    model_config = ConfigDict(frozen=True)

    answers: float | None
    claims: float | None
    best: float | None

    def __str__(self) -> str:
        shown = (
            "?" if figure is None else f"{figure:.3f}" for figure in (self.answers, self.claims, self.best)
        )
        return "area under the curve {} for answers, {} for claims; best sentence right {}".format(*shown)


class ReaderTeacher(BaseModel):
    """The larger model that a reader was trained by."""

    model_config = ConfigDict(frozen=True)

    base: str
    steps: int
    tokens: int
    figures: ReaderFigures


class ReaderReport(BaseModel):
    """What was trained, on what, and how good it is as it is kept.

    `rows` counts the rows of each set; `planted` and `near` what was made from them; `held_out` how many
    examples of all of these were only measured on.
    """

    model_config = ConfigDict(frozen=True)

    directory: str
    base: str
    longest: int
    teacher: ReaderTeacher | None
    recipe: dict[str, Any]
    rows: dict[str, int]
    planted: int
    near: int
    held_out: int
    steps: int
    tokens: int
    figures: ReaderFigures
    seconds: NonNegativeFloat

    @property
    def component(self) -> dict[str, Any]:
        """What to write where a pipeline file names a reader."""
        return {"type": "joint", "model": self.directory}

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json") | {"component": self.component}


def train_reader_events(
    data: Path,
    output_dir: Path,
    base: str = "all-MiniLM-L6-v2",
    teacher: str | None = None,
    recipe: ReaderRecipe = ReaderRecipe(),
) -> Iterator[Event]:
    """Train a reader on the rows in *data* and write it to *output_dir*: `Progress`, then `Finished(report)`.

    *base* and *teacher* are models of sentence-transformers; their word vectors are not trained.  The GPU is
    used if torch sees one.  torch's global generator is seeded with the recipe's seed.  Raises `UsageError` if *output_dir* is not empty or *data* is not as it should be.
    """
    started = time.perf_counter()
    check_new(output_dir)
    rows = rows_in(data)
    folder, knowing = _files(base, recipe), _files(teacher, recipe) if teacher else None
    chance = random.Random(recipe.seed)
    examples = yield from _examples([example_of(row) for row in rows], folder, recipe, chance)
    training, held = split_by_text(examples, recipe, chance)
    taught = None
    if teacher and knowing:
        taught = yield from _taught(teacher, knowing, training, held, recipe)
    students = yield from _encoded(training, folder, recipe, "encode")
    if taught:
        students = [row._replace(opinion=opinion) for row, opinion in zip(students, taught[1], strict=True)]
    module = _untrained(folder, recipe)
    steps, tokens = yield from _fitted(module, students, recipe, recipe.learning_rate, "train")
    named = hub.folder_named(base)
    home = str(named.resolve()) if named else base
    longest = _longest(module)
    with made_whole(output_dir) as made:
        write(made, module, home, longest, {})
        read_into(module, made)  # as it is kept, in whole numbers: that is what is measured
        measured = yield from _encoded(held, folder, recipe, "encode held out")
        figures = _figures(measured, (yield from _logits(module, measured, recipe, "measure")))
        report = ReaderReport(
            directory=str(output_dir),
            base=home,
            longest=longest,
            teacher=taught[0] if taught else None,
            recipe=asdict(recipe),
            rows=dict(sorted(Counter(row.name for row in rows).items())),
            planted=sum(each.kind == "planted" for each in examples),
            near=sum(each.kind == "near" for each in examples),
            held_out=len(held),
            steps=steps,
            tokens=tokens,
            figures=figures,
            seconds=round(time.perf_counter() - started, 1),
        )
        write(made, module, home, longest, report.model_dump(mode="json", exclude={"directory"}))
    yield Finished(report)


# --- what it is trained on


def _files(model: str, recipe: ReaderRecipe) -> Path:
    """The folder of *model*.  Raises `UsageError` if no reader can be made of it."""
    folder = hub.files(model)
    if len(hub.tokenizer(folder).encode("").ids) != 2:
        raise UsageError(
            f"'{model}' does not put one token before a text and one behind it, as BERT does; name another model,"
            " such as all-MiniLM-L6-v2"
        )
    with quietly():
        from transformers import AutoConfig

        reads = AutoConfig.from_pretrained(str(folder), local_files_only=True).max_position_embeddings
    if reads < recipe.longest:
        raise UsageError(
            f"'{model}' reads {reads} tokens, and a reader is trained on {recipe.longest}; name a model that reads more"
        )
    return folder


def _examples(
    rows: Sequence[ReaderExample], base: Path, recipe: ReaderRecipe, chance: random.Random
) -> Generator[Event, None, list[ReaderExample]]:
    """The rows, claims made from them, and passages near their questions."""
    passages = passages_of(rows)
    questions = [row for row in rows if row.task == "answers"]
    examples = [*rows, *planted_claims(passages, chance)]
    if questions and passages and recipe.near:
        texts = [question.first for question in questions]
        held = [" ".join((each.source.title, *each.source.sentences)) for each in passages]
        vectors = yield from _vectors([*texts, *held], base)
        split = vectors[: len(texts)], vectors[len(texts) :]
        examples += near_passages(questions, passages, split, recipe.near, chance)
    return examples


def _vectors(texts: Sequence[str], base: Path) -> Generator[Event, None, Vector]:
    """Of length one, shape (texts, dimensions)."""
    with quietly():
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(base), local_files_only=True)
    found: list[Vector] = []
    for start in range(0, len(texts), 1024):
        yield Progress("embed", start, len(texts))
        some = list(texts[start : start + 1024])
        found.append(model.encode(some, batch_size=64, normalize_embeddings=True, show_progress_bar=False))
    yield Progress("embed", len(texts), len(texts))
    return np.concatenate(found)


class _Encoded(NamedTuple):
    """An example in tokens, and the column of its task.

    `labels` has one for each sentence, then one for the whole; so has `opinion`, a teacher's probabilities.
    """

    part: Part
    column: int
    labels: Vector
    opinion: Vector | None = None


def _encoded(
    examples: Sequence[ReaderExample], folder: Path, recipe: ReaderRecipe, stage: str
) -> Generator[Event, None, list[_Encoded]]:
    tokenizer = hub.tokenizer(folder)
    rows = []
    for number, example in enumerate(examples):
        if number % 1000 == 0:
            yield Progress(stage, number, len(examples))
        part = next(parts_of(tokenizer, recipe.longest, example.first, example.source))
        example = example.cut(0, int(part.owners.max(initial=-1)) + 1)
        labels = np.array([*example.labels, example.whole], dtype=np.float32)
        rows.append(_Encoded(part, COLUMNS.index(example.task), labels))
    yield Progress(stage, len(examples), len(examples))
    return rows


# --- training


def _untrained(folder: Path, recipe: ReaderRecipe) -> Any:
    """The network on torch's device, its word vectors frozen, since `write` does not keep them."""
    import torch

    torch.manual_seed(recipe.seed)
    module = network(folder)
    for head in (module.token, module.whole):
        torch.nn.init.normal_(head.weight, std=module.enc.config.initializer_range)
        torch.nn.init.zeros_(head.bias)
    for parameter in module.enc.embeddings.parameters():
        parameter.requires_grad = False
    return module.to("cuda" if torch.cuda.is_available() else "cpu").train()


def _longest(module: Any) -> int:
    """Tokens that the encoder reads: 512, as all that ship with sentence-transformers, or fewer."""
    return min(512, int(module.enc.config.max_position_embeddings))


def _device(module: Any) -> str:
    return str(next(module.parameters()).device.type)


def _batch_tokens(module: Any, recipe: ReaderRecipe) -> int:
    return recipe.batch_tokens or (_GPU_TOKENS if _device(module) == "cuda" else 4_096)


def _taught(
    teacher: str,
    folder: Path,
    training: Sequence[ReaderExample],
    held: Sequence[ReaderExample],
    recipe: ReaderRecipe,
) -> Generator[Event, None, tuple[ReaderTeacher, list[Vector]]]:
    """Train the teacher; what it is worth, and the probabilities it gives to what it was trained on."""
    rows = yield from _encoded(training, folder, recipe, "encode for teacher")
    module = _untrained(folder, recipe)
    steps, tokens = yield from _fitted(module, rows, recipe, recipe.teacher_rate, "train teacher")
    logits = yield from _logits(module, rows, recipe, "ask teacher")
    measured = yield from _encoded(held, folder, recipe, "encode held out")
    figures = _figures(measured, (yield from _logits(module, measured, recipe, "measure teacher")))
    return ReaderTeacher(base=teacher, steps=steps, tokens=tokens, figures=figures), [
        expit(z) for z in logits
    ]


def _fitted(
    module: Any, rows: Sequence[_Encoded], recipe: ReaderRecipe, rate: float, stage: str
) -> Generator[Event, None, tuple[int, int]]:
    """Train *module*; how many steps it took, of how many tokens together."""
    import torch

    most = _batch_tokens(module, recipe)
    scale = math.sqrt(most / _GPU_TOKENS)
    rates = (("enc.", rate), ("token.", recipe.head_rate), ("whole.", recipe.head_rate))
    optimizer = torch.optim.AdamW(
        [
            {
                "params": [p for name, p in module.named_parameters() if name.startswith(part)],
                "rate": own * scale,
            }
            for part, own in rates
        ],
        weight_decay=0.01,
        betas=(0.9, 0.98),
    )
    begun, step, tokens = time.monotonic(), 0, 0
    total = recipe.steps or round(60 * recipe.minutes)
    for batch in _shuffled(rows, most, np.random.default_rng(recipe.seed)):
        passed = step if recipe.steps else time.monotonic() - begun
        if passed >= total:
            break
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * _schedule(passed / total, step)
        inputs, targets = _tensors([rows[i] for i in batch], recipe, _device(module))
        loss = _loss(_read(module, inputs), targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        tokens += inputs["input_ids"].numel()
        if step % 10 == 0 or recipe.steps:
            yield Progress(stage, int(step if recipe.steps else passed), total, f"loss {loss.item():.3f}")
    yield Progress(stage, total, total)
    return step, tokens


_GPU_TOKENS = 32_768  # in a step, which the learning rates are for
_WARM_UP = 300  # steps, or a tenth of all of them if that is less


def _schedule(done: float, step: int) -> float:
    """The share of the learning rate when *done* of the training is done: up, and then down in a line."""
    return min(1.0, max(done / 0.1, (step + 1) / _WARM_UP)) * max(0.01, 1 - done)


def _shuffled(rows: Sequence[_Encoded], most: int, chance: np.random.Generator) -> Iterator[list[int]]:
    """Batches of rows of about the same length, *most* tokens in each, for ever."""
    while True:
        order = chance.permutation(len(rows))
        for start in range(0, len(order), 20_000):
            some = sorted(order[start : start + 20_000], key=lambda i: len(rows[i].part.ids))
            ranges = list(batches([len(rows[i].part.ids) for i in some], most))
            for n in chance.permutation(len(ranges)):
                yield [some[i] for i in ranges[n]]


def _tensors(rows: Sequence[_Encoded], recipe: ReaderRecipe, device: str) -> tuple[Mapping[str, Any], Any]:
    """What `_read` takes, and the targets, (rows, sentences + 1) with NaN for what is unknown; the whole is last."""
    import torch

    inputs = dict(inputs_of([row.part for row in rows]))
    width = max(len(row.labels) for row in rows)
    owners = np.full(inputs["input_ids"].shape, -1, dtype=np.int64)
    targets = np.full((len(rows), width), np.nan, dtype=np.float32)
    for n, row in enumerate(rows):
        part = row.part
        owners[n, part.at : part.at + len(part.owners)] = part.owners
        target = row.labels * (1 - recipe.smoothing) + recipe.smoothing / 2
        if row.opinion is not None:
            mixed = recipe.labels * target + (1 - recipe.labels) * row.opinion
            target = np.where(np.isnan(target), row.opinion, mixed)
        targets[n, : len(target) - 1], targets[n, -1] = target[:-1], target[-1]
    inputs["owners"] = owners
    inputs["columns"] = np.array([row.column for row in rows], dtype=np.int64)
    return {k: torch.from_numpy(v).to(device) for k, v in inputs.items()}, torch.from_numpy(targets).to(
        device
    )


def _read(module: Any, inputs: Mapping[str, Any]) -> Any:
    """Log odds of each row's own task, (rows, sentences + 1): those of its sentences, and of the whole last.

    A sentence has the mean of its tokens, weighed as `ragkit.models.reader` weighs them.
    """
    import torch

    named = {k: inputs[k] for k in ("input_ids", "attention_mask", "token_type_ids")}
    device = _device(module)
    with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda" or computes_bf16()):
        out = module(**named).float()
    texts = torch.arange(len(out), device=out.device)
    says, weighs, whole = (out[texts, :, first + inputs["columns"]] for first in (0, 2, 4))
    # What belongs to no sentence is summed up in the last column, which is left out.
    none = int(inputs["owners"].max()) + 1
    owners = inputs["owners"].where(inputs["owners"] >= 0, none)
    weights = weighs.clamp(-8, 8).exp()
    sums = torch.zeros(len(out), none + 1, device=out.device)
    sentences = sums.scatter_add(1, owners, says * weights) / sums.scatter_add(1, owners, weights).clamp(
        min=1e-6
    )
    return torch.cat([sentences[:, :none], whole[:, :1]], dim=1)


def _loss(logits: Any, targets: Any) -> Any:
    """Binary cross-entropy, of sentences and of the whole.

    A source of many sentences counts for more than one of few, but by the square root of their number.
    """
    import torch

    known = ~torch.isnan(targets)
    each = (
        torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.nan_to_num(targets), reduction="none"
        )
        * known
    )
    sentences = each[:, :-1].sum(dim=1) / known[:, :-1].sum(dim=1).clamp(min=1).sqrt()
    return sentences.mean() + each[:, -1].mean()


# --- what it is worth


def _logits(
    module: Any, rows: Sequence[_Encoded], recipe: ReaderRecipe, stage: str
) -> Generator[Event, None, list[Vector]]:
    """For each row the log odds of its sentences and of the whole, in the order of its labels."""
    import torch

    module.eval()
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].part.ids))
    found: dict[int, Vector] = {}
    for batch in batches([len(rows[i].part.ids) for i in order], _batch_tokens(module, recipe)):
        yield Progress(stage, len(found), len(rows))
        some = [order[i] for i in batch]
        inputs, _ = _tensors([rows[i] for i in some], recipe, _device(module))
        with torch.no_grad():
            scores = _read(module, inputs).cpu().numpy()
        for i, own in zip(some, scores, strict=True):
            found[i] = np.append(own[: len(rows[i].labels) - 1], own[-1])
    yield Progress(stage, len(rows), len(rows))
    module.train()
    return [found[i] for i in range(len(rows))]


def _figures(rows: Sequence[_Encoded], logits: Sequence[Vector]) -> ReaderFigures:
    read = list(zip(rows, logits, strict=True))
    questions = [(row.labels[:-1], scores[:-1]) for row, scores in read if COLUMNS[row.column] == "answers"]
    claims = [(row.labels[-1:], scores[-1:]) for row, scores in read if COLUMNS[row.column] == "supports"]
    right = [labels[int(scores.argmax())] == 1 for labels, scores in questions if 1 in labels]
    return ReaderFigures(
        answers=_area(questions),
        claims=_area(claims),
        best=round(float(np.mean(right)), 3) if right else None,
    )


def _area(pairs: Sequence[tuple[Vector, Vector]]) -> float | None:
    """The area under the curve, which is the Mann-Whitney statistic; None unless both labels occur."""
    if not pairs:
        return None
    labels, scores = (np.concatenate(each) for each in zip(*pairs, strict=True))
    right = int((labels == 1).sum())
    wrong = int((labels == 0).sum())
    if not right or not wrong:
        return None
    known = ~np.isnan(labels)
    ranks = rankdata(scores[known])[labels[known] == 1]
    return round(float((ranks.sum() - right * (right + 1) / 2) / (right * wrong)), 3)
