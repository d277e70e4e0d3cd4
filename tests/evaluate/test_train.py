"""Training a reranker on one's own papers."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, cast

import numpy as np
import pytest
from support import ROOT
from tiny_models import tiny_cross_encoder

from ragkit.ask import AnswerPipeline
from ragkit.chunk import SentenceChunker
from ragkit.errors import UsageError
from ragkit.evaluate.examples import Recipe
from ragkit.evaluate.train import TrainingReport, train_events
from ragkit.flow import Event, Finished, Progress
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index.bm25 import Bm25Index
from ragkit.index.chroma import ChromaIndex
from ragkit.ingest import IngestPipeline
from ragkit.rag import Rag
from ragkit.refine.cross_encoder import CrossEncoderReranker
from ragkit.retrieve import DenseRetriever
from ragkit.testing import HashedEmbeddings

THINGS = "bridge tower tunnel harbour castle".split()
MATERIALS = "glass wood steel stone paper brick".split()
QUICK = Recipe(steps=60, batch=8, negatives=3, depth=8, learning_rate=3e-3, longest=48, held_out=0.4)


@pytest.fixture(scope="module")
def rag(tmp_path_factory: pytest.TempPathFactory) -> Rag:
    """Thirty papers on good or bad things; only the good ones are relevant, which no search can tell."""
    folder = tmp_path_factory.mktemp("toy")
    chance = random.Random(0)
    fates = {(thing, material): chance.choice(["good", "bad"]) for thing in THINGS for material in MATERIALS}
    (folder / "papers").mkdir()
    for (thing, material), fate in fates.items():
        text = f"We have built and then tested one {thing} made of {material} . The result is {fate} and the {thing} is sold to a town ."
        (folder / "papers" / f"{thing}-{material}.txt").write_text(text)
    gold = [f"{thing}-{material}" for (thing, material), fate in fates.items() if fate == "good"]
    rows = [
        {"question": f"is a {thing} of {material} {word} ?", "gold_titles": gold}
        for thing, material in fates
        for word in ("sold", "tested")
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = ChromaIndex(embed=HashedEmbeddings(size=16))  # so few dimensions that words collide
    made = Rag(
        corpus=folder / "corpus",
        ingest=IngestPipeline(chunk=SentenceChunker(), index=[store, Bm25Index()]),
        answer=AnswerPipeline(retrieve=[DenseRetriever(store=store, k=20)], generate=ExtractiveGenerator()),
    )
    made.ingest(folder / "papers")
    return made


@pytest.fixture(scope="module")
def questions(rag: Rag) -> Path:
    return rag.corpus.directory.parent / "questions.jsonl"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    rest = "we have built and then tested one made of the result is good bad sold to a town . ? -".split()
    return str(
        tiny_cross_encoder(
            tmp_path_factory.mktemp("models") / "base", spread=0.05, words=[*THINGS, *MATERIALS, *rest]
        )
    )


@pytest.fixture(scope="module")
def trained(
    rag: Rag, questions: Path, base: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Event], TrainingReport]:
    events = list(train_events(rag, questions, tmp_path_factory.mktemp("trained") / "reranker", base, QUICK))
    assert isinstance(events[-1], Finished)
    return events, events[-1].result


def train_reranker(*arguments: Any) -> TrainingReport:
    *_, last = train_events(*arguments)
    assert isinstance(last, Finished)
    return cast(TrainingReport, last.result)


def test_the_trained_reranker_beats_the_untrained_one(trained: tuple[list[Event], TrainingReport]) -> None:
    _, report = trained
    worth = report.worth["ndcg@10"]
    assert (report.trained_on, report.held_out) == (36, 16)
    assert worth.learned.value > 0.1
    assert worth.learned.low > 0
    assert worth.after > worth.before


def test_every_stage_tells_how_far_it_is(trained: tuple[list[Event], TrainingReport]) -> None:
    events, report = trained
    stages = [event.stage for event in events if isinstance(event, Progress)]
    assert list(dict.fromkeys(stages)) == ["search", "measure before", "train", "choose", "measure after"]
    assert sum(stage == "train" for stage in stages) == report.steps + 1


def test_the_cross_encoder_component_loads_what_was_saved(
    trained: tuple[list[Event], TrainingReport], rag: Rag
) -> None:
    _, report = trained
    reranker = CrossEncoderReranker(model=report.directory)
    hits = rag.search("is a tower of steel sold ?", k=8)
    assert len(reranker.compress_documents(hits, "is a tower of steel sold ?")) == 8
    assert report.component == {
        "type": "cross_encoder",
        "model": report.directory,
        "depth": 8,
        "blend": report.blend,
    }
    assert json.loads((Path(report.directory) / "training.json").read_text()) == json.loads(
        json.dumps(report.as_json())
    )


def test_the_same_seed_trains_the_same_model(rag: Rag, questions: Path, base: str, tmp_path: Path) -> None:
    short = Recipe(steps=3, depth=5, longest=48, seed=7)
    one, two = (train_reranker(rag, questions, tmp_path / name, base, short) for name in "ab")
    texts = ["a tower of glass", "a bridge of steel"]
    scores = [
        CrossEncoderReranker(model=r.directory, backend="torch").scores("is a tower good ?", texts)
        for r in (one, two)
    ]
    assert one.loss == two.loss
    assert np.allclose(*scores)


def test_without_questions_the_papers_themselves_are_asked(rag: Rag, base: str, tmp_path: Path) -> None:
    report = train_reranker(rag, None, tmp_path / "new", base, Recipe(steps=2, depth=5, longest=48))
    assert report.source == "the papers themselves"
    assert report.trained_on >= 10
    assert 0 <= report.worth["mrr"].search <= 1


def test_a_model_with_no_head_is_given_one(rag: Rag, questions: Path, base: str, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    from ragkit.models.openvino import quietly

    with quietly():
        from transformers import AutoModel, AutoTokenizer

        AutoModel.from_pretrained(base).save_pretrained(bare)
        AutoTokenizer.from_pretrained(base).save_pretrained(bare)
    report = train_reranker(rag, questions, tmp_path / "new", str(bare), Recipe(steps=2, depth=5, longest=48))
    assert len(CrossEncoderReranker(model=report.directory).scores("is a tower good ?", ["a tower"])) == 1


def test_what_was_trained_on_short_texts_reads_short_texts(
    rag: Rag, questions: Path, base: str, tmp_path: Path
) -> None:
    report = train_reranker(rag, questions, tmp_path / "new", base, Recipe(steps=2, depth=5, longest=16))
    reranker = CrossEncoderReranker(model=report.directory, precision="f32")
    one, two, short = reranker.scores(
        "is a tower good ?", ["a tower of glass " * 4, "a tower of glass " * 40, "a tower of glass"]
    )
    assert one == pytest.approx(two)
    assert one != pytest.approx(short)


def test_a_directory_that_holds_something_is_left_alone(
    rag: Rag, questions: Path, base: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(UsageError, match="holds something already; name a new directory"):
        next(iter(train_events(rag, questions, tmp_path, base)))
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_too_few_questions_are_refused(rag: Rag, base: str, tmp_path: Path) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text('{"question": "is a tower of steel sold ?", "gold_titles": ["tower-steel"]}\n')
    with pytest.raises(
        UsageError, match=r"1 questions leave . to train on, which is too few \(the least is 10\)"
    ):
        train_reranker(rag, few, tmp_path / "new", base)
    assert not (tmp_path / "new").exists()


def test_a_pipeline_without_a_transformer_needs_a_base(rag: Rag, questions: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no sentence-transformers model to start from; name a base model"):
        train_reranker(rag, questions, tmp_path / "new")


@pytest.mark.parametrize("package", ["accelerate", "datasets"])
def test_without_the_extra_train_a_sentence_says_what_to_install(
    rag: Rag, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"training needs {package}; pip install 'ragkit\[train\]'"):
        train_reranker(rag, None, tmp_path / "new", base)


def test_an_interrupted_training_leaves_nothing(rag: Rag, questions: Path, base: str, tmp_path: Path) -> None:
    events: Iterator[Event] = train_events(
        rag, questions, tmp_path / "new", base, Recipe(steps=5, depth=5, longest=48)
    )
    next(e for e in events if isinstance(e, Progress) and e.stage == "train")
    del events
    assert list(tmp_path.iterdir()) == []


def test_the_command_trains_and_says_whether_it_is_worth_it(
    ingested: Path, tmp_path: Path, command: Callable[..., CompletedProcess[str]]
) -> None:
    base = tiny_cross_encoder(tmp_path / "base")
    common = [
        "train",
        "reranker",
        "out",
        "--questions",
        ROOT / "examples" / "questions.jsonl",
        "--base",
        base,
        "--corpus",
        ingested,
    ]
    done = command(*common, "--steps", "2", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert (report["steps"], report["component"]["type"], report["component"]["model"]) == (
        2,
        "cross_encoder",
        "out",
    )
    again = command(*common)
    assert (again.returncode, again.stderr) == (
        2,
        "'out' holds something already; name a new directory, or remove it first\n",
    )
