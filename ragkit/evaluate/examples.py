"""Training examples of a reranker: questions, passages that answer them, and hard negatives.

A hard negative is a passage that only seems to answer its question.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from ragkit.document import above, score_of, searchable, sources_of, span_of, title_of
from ragkit.errors import UsageError
from ragkit.evaluate.dataset import Case, Dataset, read
from ragkit.evaluate.outcome import searched
from ragkit.flow import Event, Progress
from ragkit.models.embeddings import unit
from ragkit.rag import Rag
from ragkit.text.words import sentences, words

_LEAST = 10
"""With fewer questions that can be trained on there is nothing to learn."""
_WORDS = 8
"""A sentence that stands for a question has so many, at least."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a reranker is trained; the defaults take some ten minutes on two processor cores.

    `questions`: how many are used at most.  Of them the share `held_out` (`most_held_out` at most) is kept
    from training: a third of it chooses the weight of the first stage, the rest measures.  Each of `steps`
    steps sees `batch` questions, each with a right passage and `negatives` others out of the first `depth`
    found.  Passages are cut to `longest` tokens, question included.
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


class FoundPassage(NamedTuple):
    """A passage that was found: what a model reads of it, the names of its paper, and its score."""

    text: str
    papers: tuple[str, ...]
    score: float


@dataclass(frozen=True)
class TrainingExample:
    """A question, what was found for it (best first), and passages that are right."""

    case: Case
    dataset: Dataset
    candidates: tuple[FoundPassage, ...]
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


def examples_of_file(rag: Rag, path: Path, recipe: Recipe) -> Generator[Event, None, list[TrainingExample]]:
    """The questions of a file that have gold papers.  Right is the best passage found of each."""
    dataset = read(path)
    cases = [case for case in dataset.cases if any(grade > 0 for grade in case.relevant.values())]
    random.Random(recipe.seed).shuffle(cases)
    examples = []
    for number, case in enumerate(cases[: recipe.questions]):
        yield Progress("search", number, min(len(cases), recipe.questions))
        found = [
            FoundPassage(
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
            TrainingExample(case, dataset, tuple(found[: recipe.depth]), tuple(dict.fromkeys(right.values())))
        )
    return examples


def examples_of_papers(rag: Rag, recipe: Recipe) -> Generator[Event, None, list[TrainingExample]]:
    """A question a paper: its title, or one of its sentences.

    The title is taken off every passage, and the sentence out of its own, as another is out of each of the
    others, so that nothing but the meaning gives the right one away.
    """
    chance = random.Random(recipe.seed)
    ids = rag.corpus.paper_ids()
    chance.shuffle(ids)
    examples: list[TrainingExample] = []
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
            candidates.append(FoundPassage(text, (span_of(found).document_id,), score_of(found)))
            if own and (by_title or question in found.page_content):
                right.append(text)
        examples.append(TrainingExample(case, dataset, tuple(candidates[: recipe.depth]), tuple(right[:1])))
    return [example for example in examples if example.teaches]


def _sentence_of(text: str, chance: random.Random) -> str:
    """One of the sentences that say enough; empty, if none does."""
    every = [text[start:end] for start, end in sentences(text)]
    said = [sentence for sentence in every if len(words(sentence)) >= _WORDS]
    return chance.choice(said) if said and len(every) > 1 else ""


def _without(passage: Document, sentence: str) -> str:
    text = passage.page_content.replace(sentence, " ") if sentence else passage.page_content
    return "\n".join(part for part in (above(passage), text.strip()) if part) if words(text) else ""


def by_cosine(embed: Embeddings, example: TrainingExample) -> TrainingExample:
    """*example*, its candidates ranked by what the embeddings make of their texts as they are now."""
    vectors = unit(embed.embed_documents([c.text for c in example.candidates]))
    cosines = vectors @ unit(embed.embed_query(example.case.question))
    again = [c._replace(score=float(cosine)) for c, cosine in zip(example.candidates, cosines, strict=True)]
    return replace(example, candidates=tuple(sorted(again, key=lambda c: -c.score)))


def split(
    examples: Sequence[TrainingExample], recipe: Recipe
) -> tuple[list[TrainingExample], list[TrainingExample], list[TrainingExample]]:
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
