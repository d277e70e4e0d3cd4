"""A lead-in and its items are told, whether they are marked or counted."""

from __future__ import annotations

import pytest

from ragkit.text.lists import lists
from ragkit.text.words import sentences

BULLETS = "We write:\n\n- a set of routes,\n- a planner.\n\nIt was tested in Oslo."
NAMED = "We weigh three costs. One is the time. Another is the room that it takes. The third is money. We stop here."
COUNTED = "It has three limits. First, it is slow. It needs hours. Second, it is dear. Third, it cheats. We stop here."


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (BULLETS, ["We write:\n\n- a set of routes,\n- a planner."]),
        (
            "The steps are as follows.\n1. Wash. Then dry.\n2. Cut.",
            ["The steps are as follows.\n1. Wash. Then dry.\n2. Cut."],
        ),
        ("The parts are:\n(a) rye\n(b) spelt\n\nMore text.", ["The parts are:\n(a) rye\n(b) spelt"]),
        (COUNTED, [COUNTED.removesuffix(" We stop here.")]),
        (
            NAMED.replace("costs. ", "costs.\n\n"),
            [NAMED.removesuffix(" We stop here.").replace("costs. ", "costs.\n\n")],
        ),
        (NAMED, [NAMED.removesuffix(" We stop here.")]),
        (
            "There are two kinds. The former swims. It is big. The latter flies. It sings.",
            ["There are two kinds. The former swims. It is big. The latter flies."],
        ),
        ("First, we wash. Then we cut.", []),
        ("We like it. One can see why. Another day comes.", []),
        ("We like two kinds. One can see why. They are big.", []),
        ("We like it. First, we wash. We cut. We dry.", []),
        ("One thing is sure: it works. It is quick.", []),
    ],
)
def test_a_lead_in_and_its_items_are_a_list(text: str, found: list[str]) -> None:
    spans = sentences(text)
    assert [text[spans[own[0]][0] : spans[own[-1]][1]] for own in lists(text, spans)] == found
