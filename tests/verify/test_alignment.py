"""What a claim says otherwise than a quote that is nearly the same, word for word."""

from __future__ import annotations

import pytest

from ragkit.verify.alignment import difference
from ragkit.verify.support import support_of

TRIAL = "Of the 44 gliders that were entered, 20 were judged to be safe in strong wind."
FAME = "In the harbour, Oslo gave 14 prizes to the swimmers and Bergen gave 6."


@pytest.mark.parametrize(
    ("claim", "quote", "reason"),
    [
        (
            "Of the 20 gliders that were entered, 44 were judged to be safe in strong wind.",
            TRIAL,
            "the claim says '20' where the source says '44'",
        ),
        (
            "Groups A and B had 12 and 9 gliders, respectively.",
            "Groups A and B had 9 and 12 gliders, respectively.",
            "the claim says '12' where the source says '9'",
        ),
        (
            "In the harbour, Bergen gave 14 prizes to the swimmers and Oslo gave 6.",
            FAME,
            "the claim says 'Bergen' where the source says 'Oslo'",
        ),
        (
            "Plates, bowls and spoons were found in the wreck of the long ship.",
            "Plates and bowls were found in the wreck of the long ship.",
            "the source does not say 'spoons', which the claim has besides",
        ),
        (
            "The lens was measured at 405 mm in the first light of the day.",
            "The lens was measured at 405 nm in the first light of the day.",
            "the claim says 'mm' where the source says 'nm'",
        ),
        (
            "All districts had prevalences above the limit in the dry season.",
            "All districts had prevalences below the limit in the dry season.",
            "the claim says 'above' where the source says 'below'",
        ),
        (
            "Wooden kites are always flown by two people in the dry season.",
            "Wooden kites are usually flown by two people in the dry season.",
            "the claim says 'always' where the source says 'usually'",
        ),
    ],
)
def test_one_word_in_the_place_of_another_makes_a_claim_false(claim: str, quote: str, reason: str) -> None:
    assert difference(claim, quote) == reason
    assert not support_of(claim, quote).holds


@pytest.mark.parametrize(
    ("claim", "quote"),
    [
        (TRIAL, TRIAL),
        ("Oslo gave 14 prizes to the swimmers and Bergen gave 6.", FAME),
        ("In the harbour, Oslo gave 14 prizes to the swimmers.", FAME),
        ("The authors entered 44 gliders in strong wind.", "We entered 44 gliders in strong wind."),
        ("Glass bridges carry 40 people.", "Strong winds stopped 12 of the gliders."),
    ],
)
def test_what_is_left_out_or_said_otherwise_is_no_difference(claim: str, quote: str) -> None:
    assert difference(claim, quote) is None


def test_what_a_claim_has_besides_may_stand_around_the_quote() -> None:
    claim = "The Boxter kites were flown by two people in the dry season."
    quote = "The kites were flown by two people in the dry season."
    assert difference(claim, quote) == "the source does not say 'Boxter', which the claim has besides"
    assert difference(claim, quote, "Flying the Boxter") is None
