"""A test set from the user's own papers: questions with answers and gold spans, and unanswerable ones.

Questions are written by a chat model from one passage at a time, or without a model from sentences that say
one thing plainly ("X, a method that ..." -> "Which method ...?").  A draft is kept only if it is clear by
itself, if its own papers are found for it, and if no other paper answers it as well; rejected questions are
counted by reason.  (Related: the generated queries of "Promptagator: Few-shot Dense Retrieval From 8 Examples".)
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from langchain_core.language_models import BaseChatModel

from ragkit.document import title_of
from ragkit.evaluate.dataset import Case, write_beir
from ragkit.evaluate.testset.drafts import AcceptedDrafts
from ragkit.evaluate.testset.entries import KINDS, Entry, GoldSpan, Kind, Testset
from ragkit.evaluate.testset.model import ChatWriter
from ragkit.evaluate.testset.papers import BATCH, Pool
from ragkit.evaluate.testset.plain import Writer
from ragkit.flow import Event, Finished, Progress
from ragkit.rag import Rag

__all__ = ["KINDS", "ChatModel", "Entry", "GoldSpan", "Kind", "Testset", "write_events", "written_as_beir"]


@dataclass(frozen=True)
class ChatModel:
    """What a file for `--llm` holds: `llm: {type: openai, model: ...}`."""

    llm: BaseChatModel


def written_as_beir(folder: Path, rag: Rag, entries: Sequence[Entry]) -> None:
    """The papers of *rag* and the questions that they answer, as a collection in BEIR's layout."""
    identities = rag.corpus.paper_ids()
    papers = (
        (str(paper.id), title_of(paper), paper.page_content)
        for at in range(0, len(identities), BATCH)
        for paper in rag.corpus.documents(identities[at : at + BATCH]).values()
    )
    answered = [entry for entry in entries if entry.spans]
    cases = [Case(e.id, e.question, relevant={s.document_id: 1.0 for s in e.spans}) for e in answered]
    write_beir(folder, papers, cases)


def write_events(
    rag: Rag,
    size: int = 50,
    kinds: Sequence[Kind] = KINDS,
    llm: BaseChatModel | None = None,
    unanswerable: float = 0.2,
    seed: int = 0,
) -> Iterator[Event]:
    """Write at most *size* questions about the papers of *rag*.

    There are fewer if the papers do not give more good ones.  *unanswerable* is the share of questions that
    nothing in the corpus answers.  With *llm*, it writes the questions about one paper and answers them
    again; without, the same *seed* gives the same questions.

    Yields `Progress("testset", questions kept, size)` and ends with `Finished(testset)`.
    """
    pool = Pool(rag, size, random.Random(seed))
    writer: Writer = Writer(pool) if llm is None else ChatWriter(pool, llm)
    kept = AcceptedDrafts(rag, pool, size, writer.confirms)
    yield Progress("testset", 0, size)
    queues = {kind: writer.drafts(kind) for kind in kinds}
    while len(kept.entries) < size:
        wanted = round(unanswerable * (len(kept.entries) + 1))
        enough = kept.count("unanswerable") >= wanted and set(kinds) != {"unanswerable"}
        open_ = [kind for kind in queues if kind != "unanswerable" or not enough]
        if not open_:
            break
        kind = min(open_, key=lambda kind: kept.count(kind) if kind != "unanswerable" else -1)
        if kept.next(queues[kind]):
            yield Progress("testset", len(kept.entries), size)
        else:
            del queues[kind]
    yield Finished(Testset(entries=tuple(kept.entries), rejected=dict(sorted(kept.rejected.items()))))
