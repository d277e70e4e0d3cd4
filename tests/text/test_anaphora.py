"""What a sentence leaves to those before it."""

from __future__ import annotations

import pytest

from ragkit.text.anaphora import leans

LEANS = [
    "To counteract this effect, we scale the products.",
    "It is not a public holiday.",
    "They were trained for three days.",
    "Among these efforts, one stands out.",
    "Their density was lower.",
    "To mitigate this, a second judge is used.",
    "However, it fails on long inputs.",
]
STANDS = [
    "In this study, the density of violins was measured.",
    "This paper presents a benchmark of citations.",
    "It has been shown that glass bridges carry forty people.",
    "It is possible that sharks hunt at night.",
    "The Selector reads a paper and decides whether it answers the query.",
    "BERT and its variants are trained on books.",
    "The models were small, and they were trained for three days.",
    "Glass bridges carry forty people.",
    "The accuracy of GTR is higher than that of DPR.",
]


@pytest.mark.parametrize("sentence", LEANS)
def test_a_sentence_leans_on_what_it_points_back_to(sentence: str) -> None:
    assert leans(sentence)


@pytest.mark.parametrize("sentence", STANDS)
def test_a_sentence_stands_alone_that_explains_its_pronouns(sentence: str) -> None:
    assert not leans(sentence)
