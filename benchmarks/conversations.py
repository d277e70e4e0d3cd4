"""Conversations over the example papers, played with the default pipeline and no chat model.

python -m benchmarks.conversations [--split dev|test|all] [pipeline.yaml]

Every turn is asked after the turns before it and the answers that the system itself gave to them.  The
conversations of the split `test` were written together with those of `dev`, before any was played, and
nothing was tuned on them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import ragkit
from benchmarks.table import ROOT, markdown
from ragkit.document import normalised_title
from ragkit.evaluate.dataset import Case
from ragkit.evaluate.measure import is_right
from ragkit.evaluate.statistics import interval

CONVERSATIONS = Path(__file__).with_name("data") / "conversations.jsonl"
PAPERS = ROOT / "examples" / "papers"

SOCIAL = ("thanks", "small_talk")


@dataclass(frozen=True)
class Turn:
    """A turn of a conversation, and what the system said."""

    conversation: str
    number: int
    kind: str
    question: str
    title: str
    must_include: tuple[tuple[str, ...], ...]
    answer: ragkit.Answer

    @property
    def is_right(self) -> bool:
        """A social turn wants a reply without citations, an unanswerable one an abstention; the others an
        answer that says what it must and cites the paper."""
        if self.kind == "unanswerable":
            return self.answer.abstained is not None
        if self.answer.abstained:
            return False
        if self.kind in SOCIAL:
            return bool(self.answer.text) and not self.answer.citations
        case = Case(id="", question=self.question, must_include=self.must_include)
        cited = {normalised_title(citation.title) for citation in self.answer.citations}
        return is_right(case, self.answer.text) and normalised_title(self.title) in cited


def play(split: str, pipeline: str | Path | None = None) -> list[Turn]:
    """The turns of the conversations of *split* (`all`: of both), each with its answer."""
    rows = [json.loads(line) for line in CONVERSATIONS.read_text(encoding="utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        rag = ragkit.load(pipeline or ROOT / "configs" / "default.yaml", corpus=folder)
        rag.ingest(PAPERS)
        return [turn for row in rows if split in (row["split"], "all") for turn in _played(rag, row)]


def _played(rag: ragkit.Rag, row: dict[str, object]) -> Iterable[Turn]:
    chat = ragkit.Conversation(rag)
    turns: list[dict[str, object]] = row["turns"]  # type: ignore[assignment]
    for number, turn in enumerate(turns, 1):
        must: list[list[str]] = turn.get("must_include", [])  # type: ignore[assignment]
        question = str(turn["question"])
        yield Turn(
            conversation=str(row["id"]),
            number=number,
            kind=str(turn["kind"]),
            question=question,
            title=str(turn.get("title", "")),
            must_include=tuple(map(tuple, must)),
            answer=chat.ask(question),
        )


def report(turns: list[Turn]) -> str:
    """Right by kind, and the turns that are wrong."""
    kinds = [*dict.fromkeys(turn.kind for turn in turns), "all"]
    rows = []
    for kind in kinds:
        right = [float(turn.is_right) for turn in turns if kind in (turn.kind, "all")]
        share = interval(right, binary=True)
        rows.append([kind, len(right), f"{share.value:.2f} [{share.low:.2f}, {share.high:.2f}]"])
    wrong = [
        f"- {turn.conversation}, turn {turn.number} ({turn.kind}): {turn.question}"
        for turn in turns
        if not turn.is_right
    ]
    table = markdown(["kind", "turns", "right"], rows)
    return f"{table}\n\nWrong:\n\n" + "\n".join(wrong) if wrong else table


def main(split: str = "test", pipeline: str | Path | None = None) -> str:
    turns = play(split, pipeline)
    spoken = len({turn.conversation for turn in turns})
    title = f"## Conversations: {len(turns)} turns of {spoken} conversations (split: {split}) over the example papers, 95 % intervals"
    return f"{title}\n\n{report(turns)}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Conversations over the example papers.")
    parser.add_argument("pipeline", nargs="?", help="a pipeline file (default: the default one)")
    parser.add_argument("--split", choices=["dev", "test", "all"], default="test")
    given = parser.parse_args()
    print(main(given.split, given.pipeline))
