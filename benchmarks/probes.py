"""`ragkit probe` over the shared paper pages: what altered passages, small talk and other words change in the answers.

python -m benchmarks.probes [--split dev|test|all] [--every N]

If RAGKIT_MODEL names a chat model, it asks each question in other words, and the default configuration answers.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import ragkit
from benchmarks.answers import DEFAULT, chat_model, questions, selected
from benchmarks.table import SHARED, markdown
from ragkit.config.chat_model import VARIABLE
from ragkit.evaluate.probe import Row, probe_events
from ragkit.evaluate.run import Configuration, Settings
from ragkit.flow import result_of
from ragkit.rewrite import MultiQueryRewriter

MEASURES = ("right", "declined", "kept", "flipped")


def rows(found: Sequence[Row]) -> list[list[object]]:
    return [
        [row.probe, row.questions, *(_value(row, name) for name in MEASURES), _against(row)] for row in found
    ]


def _value(row: Row, name: str) -> str:
    found = row.values.get(name)
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]" if found else ""


def _against(row: Row) -> str:
    apart = row.against
    return f"{apart.value:+.2f} [{apart.low:+.2f}, {apart.high:+.2f}]" if apart else ""


HEADER = ["probe", "questions", *MEASURES, "right − as found"]


def main(split: str = "all", every: int = 1) -> str:
    asked = questions(None if split == "all" else split)
    asked = replace(asked, cases=asked.cases[::every])
    reword = MultiQueryRewriter(llm=chat_model()) if os.environ.get(VARIABLE) else None
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(papers=[SHARED / "papers"], workspace=Path(folder))
        default = Configuration("default", ragkit.load(DEFAULT))
        found: list[Row] = result_of(probe_events([default], asked, settings, reword=reword))
    words = f"; other words by {os.environ[VARIABLE]}" if reword else ""
    title = f"## Probes: questions of the split '{split}' over the shared paper pages, default configuration{words}, 95 % intervals"
    return f"{title}\n\n{markdown(HEADER, rows(found))}"


if __name__ == "__main__":
    print(main(*selected("Stress tests of answers over the shared paper pages.", "all", 1)))
