"""Kinds of things that a question asks about in small letters."""

from __future__ import annotations

import pytest

from ragkit.text.kinds import unseen_kind
from ragkit.text.question import Mentions

SAID = "The reed warbler feeds its chicks 19 times an hour, in a larger nest."


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How often does the marsh warbler feed its chicks?", "marsh warbler"),
        ("How often does the reed warbler feed its chicks?", ""),
        ("How often does the sedge warbler feed its chicks?", ""),  # a passage mentions it
        ("How often do hungry chicks in a smaller nest eat?", ""),  # a comparison, and a plural
        ("How often does the marsh harrier feed its chicks?", ""),  # nothing is said of a harrier
    ],
)
def test_another_kind_of_the_thing_is_noticed_where_no_passage_has_it(question: str, kind: str) -> None:
    texts = [Mentions.of(SAID), Mentions.of("The nest of the sedge warbler hangs above the water.")]
    assert unseen_kind(question, SAID, texts) == kind
