"""A quoted lead-in brings its items along."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import ROOT

import ragkit

NOTE = (
    "Reward models for route planning\n\nA reward model can guide a planner. In practice it has three limitations."
    " First, steps are hard to define. Second, it needs a person. Third, the planner cheats.\n\n"
    "The study makes these contributions:\n\n- a set of 900 routes,\n- a planner.\n\nIt was tested in Oslo.\n"
)


@pytest.mark.parametrize(
    ("question", "items"),
    [
        ("What are the three limitations of reward models?", ["steps are hard", "needs a person", "cheats"]),
        ("What are the contributions of the study?", ["900 routes", "a planner."]),
    ],
)
def test_an_answer_has_the_items_behind_a_lead_in(tmp_path: Path, question: str, items: list[str]) -> None:
    (tmp_path / "a.txt").write_text(NOTE, encoding="utf-8")
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=tmp_path / "corpus")
    rag.ingest(tmp_path / "a.txt")
    answer = rag.ask(question)
    assert all(item in answer.citations[0].quote for item in items)
