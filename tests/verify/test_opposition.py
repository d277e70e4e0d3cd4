"""A source that says otherwise: what is opposition, and what is only something else."""

from __future__ import annotations

import pytest

from ragkit.verify.opposition import are_opposite, opposition

OPPOSED = [
    ("number", "The balloon flight lasted 240 minutes and cost 310 euros.", "The balloon flight lasted 240 minutes and cost 930 euros."),
    ("number", "The drug was given to twelve patients in the trial.", "The drug was given to 30 patients in the trial."),
    ("negation", "The new vaccine prevents infection in young children.", "The new vaccine does not prevent infection in young children."),
    ("direction", "The treatment increased the heart rate of the patients.", "The treatment decreased the heart rate of the patients."),
    ("direction", "The model is stable under strong noise.", "The model is unstable under strong noise."),
    ("exchange", "The red encoder outperforms the blue decoder on long texts.", "The blue decoder outperforms the red encoder on long texts."),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "claim", "quote"), OPPOSED, ids=[each[0] for each in OPPOSED])
def test_nearly_the_same_turned_round_is_opposition(kind: str, claim: str, quote: str) -> None:
    for one, other in ((claim, quote), (quote, claim)):
        found = opposition(one, other)
        assert found is not None
        assert found.holds
        assert found.kind == kind


@pytest.mark.parametrize(
    ("claim", "quote"),
    [
        ("The balloon flight lasted 240 minutes.", "The balloon flight lasted 240 minutes and cost 310 euros."),
        ("The kite flight lasted 240 minutes.", "The balloon flight lasted 240 minutes."),
        ("Zorg reached an accuracy of 84.6 on Murk.", "Zorg reached an accuracy of 93.5 on Plinth."),
        ("Zorg-large has 24 layers and 340 million parameters.", "Zorg-base has 12 layers and 110 million parameters."),
        ("A plan that is easy to explain is a good idea.", "A plan that is hard to explain is a bad idea."),
        ("Oxarin reduces night cough.", "Oxarin may reduce night cough."),
        ("The trial ran in 14 hospitals.", "Nobody has tested the bridge for 20 years."),
        ("The price is 740.", "Sampler | Price\nBoxter | 740\nPushlet | 310"),
    ],
    ids=["more", "other thing", "two things differ", "name differs", "twice turned", "hedge", "unrelated", "table"],
)  # fmt: skip
def test_something_else_is_no_opposition(claim: str, quote: str) -> None:
    found = opposition(claim, quote)
    assert found is None or not found.holds


def test_the_reason_says_what_differs() -> None:
    found = opposition(*OPPOSED[0][1:])
    assert found is not None
    assert found.reason == "the claim says '310' where the source says '930'"


def test_opposites_are_pairs_or_made_by_a_prefix() -> None:
    assert are_opposite("increas", "reduc")
    assert are_opposite("below", "abov")
    assert are_opposite("stabl", "unstabl")
    assert not are_opposite("act", "react")
