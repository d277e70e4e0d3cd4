"""Ways of asking a chat model for an answer, compared: `cited` and `structured`.

    RAGKIT_MODEL=... RAGKIT_BASE_URL=... python -m benchmarks.strategies [--split dev|test|all] [--every N]

Each takes the place of the generator in configs/small_model.yaml, without the papers' own words behind the
answer, so that what is seen is the model's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import ragkit
from benchmarks.answers import SMALL, measured, report, selected
from ragkit import Rag
from ragkit.config.chat_model import VARIABLE
from ragkit.config.layers import Override
from ragkit.evaluate.run import Configuration

WAYS = ("cited", "structured")


def asking(way: str) -> Rag:
    """configs/small_model.yaml with the generator *way* in the place of the last."""
    last = len(ragkit.load(SMALL).answer_pipeline.generate) - 1
    asked = Override.parse(f"answer.generate.{last}.generate={{type: {way}, llm: *llm}}")
    return ragkit.load(SMALL, overrides=[asked])


def configurations() -> Iterator[Configuration]:
    for way in WAYS:
        yield Configuration(way, asking(way))


def main(split: str = "all", every: int = 5) -> str:
    found = measured(list(configurations()), split, every)
    asked = f"{len(found.runs[0].results)} questions (split: {split}, every {every}th)"
    title = f"## Ways of asking a chat model: {asked}, {os.environ[VARIABLE]}, 95 % intervals"
    return f"{title}\n\n{report(found)}"


if __name__ == "__main__":
    print(main(*selected("Ways of asking a chat model, compared.", "all", 5)))
