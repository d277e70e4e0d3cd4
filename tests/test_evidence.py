"""What supports a claim: its words, numbers, names and negation, compared with the source's."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ragkit.evidence import Support, closest, missing_names, smallest_support, support
from ragkit.text import sentences

QUOTE = "In 2023, glass bridges near Oslo carried 1,200 people, which is 4.5% more than steel ones. They do not bend."
TITLE = "On Bridges: A GPT-4 Survey"


@pytest.mark.parametrize(
    "claim",
    [
        QUOTE,
        "They do not bend.",
        "In 2023, glass bridges near Oslo carried 1,200 people",
        "glass  bridges near\nOslo carried 1,200 people, which is 4.5% more than steel ones.",
        "IN 2023, GLASS BRIDGES NEAR OSLO CARRIED 1,200 PEOPLE",
    ],
)
def test_what_stands_in_the_source_word_for_word_scores_one(claim: str) -> None:
    assert support(claim, QUOTE) == Support(1.0, "the source says it word for word")


def test_quotation_marks_and_the_encoding_of_accents_make_no_difference() -> None:
    assert support("The “café’s” bridge bends.", 'The "cafe\u0301\'s" bridge bends.').score == 1.0


@pytest.mark.parametrize(
    "claim",
    [
        "Near Oslo, bridges of glass carried 1200 people in 2023.",
        "It is 4.50% more than steel: bridges of glass carried 1200.",
        "More people were carried by glass bridges than by steel ones.",
        "The bridges of the survey carried 1,200 people.",
    ],
)
def test_the_same_words_in_another_order_support_a_claim(claim: str) -> None:
    found = support(claim, QUOTE, TITLE)
    assert found == Support(0.99, "every word of the claim is in the source")
    assert found.holds


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        ("In 2024, glass bridges near Oslo carried 1,200 people.", "the source does not have the number 2024"),
        ("Glass bridges near Oslo carried 1,300 people.", "the source does not have the number 1300"),
        ("Glass bridges carried 4.55% more than steel ones.", "the source does not have the number 4.55"),
        ("In 2023, glass bridges near Oslo carried 1", "the source does not have the number 1"),
        ("In 2023, glass bridges near Bergen carried 1,200 people.", "the source does not name 'bergen'"),
        ("People near Oslo carried a GPT-3 of glass.", "the source does not name 'gpt-3'"),
        ("They do bend.", "one of claim and source is negated, the other is not"),
        ("They bend.", "one of claim and source is negated, the other is not"),
        ("Glass bridges never carried 1,200 people near Oslo.", "one of claim and source is negated, the other is not"),
        ("Glass bridges didn’t carry 1,200 people near Oslo.", "one of claim and source is negated, the other is not"),
    ],
)
def test_a_wrong_number_a_missing_name_or_a_flipped_negation_does_not_hold(claim: str, reason: str) -> None:
    found = support(claim, QUOTE, TITLE)
    assert found.reason == reason
    assert not found.holds


@pytest.mark.parametrize(
    ("claim", "quote"),
    [
        ("The share rose to 9", "The share rose to 95% of all."),
        ("The share rose to 9.", "The share rose to 9.5 points."),
        ("The share rose to 9.", "The share rose to 9,500 people."),
        ("5 points are lost.", "About 0.5 points are lost."),
        ("Bridges of glass bend.", "We do not find that bridges of glass bend."),
        ("Bridges of glass bend.", "No proof is there that bridges of glass bend, and much that they hold."),
    ],
)
def test_part_of_a_number_or_of_a_denial_is_not_word_for_word(claim: str, quote: str) -> None:
    assert not support(claim, quote).holds


@pytest.mark.parametrize(
    "quote", ["Although it is not new, glass bends.", "It is not new. Glass bends.", "Glass bends. It is not new.", "in tasks.Glass bends."]
)
def test_a_denial_of_something_else_does_not_count(quote: str) -> None:
    assert support("Glass bends.", quote).score == 1.0


def test_the_share_of_the_words_that_the_source_has_is_the_score() -> None:
    assert support("glass wood stone paper", "Glass and wood.") == Support(0.5, "50% of the claim's words are in the source")
    assert support("glass wood stone", "Glass and wood.").holds
    assert support("glass paper", "wood") == Support(0.0, "0% of the claim's words are in the source")


@pytest.mark.parametrize("claim", ["", " ", "...", "It is what it is."])
def test_a_claim_that_says_nothing_is_not_supported(claim: str) -> None:
    assert support(claim, QUOTE, TITLE) == Support(0.0, "the claim has no content words")


def test_names_may_stand_in_another_form_and_capitals_throughout_name_nothing() -> None:
    assert missing_names("We use BERT and Bergen's bridges in Oslo", "Bert's bridge at Oslo") == ["bergen"]
    assert missing_names("We met in Natural-Questions and Rome, then Paris", "natural questions") == ["rome", "paris"]
    assert missing_names("NO BRIDGE OF ROME BENDS", "") == []


def test_the_closest_sentence_shares_most_words_and_is_the_shortest_of_equals() -> None:
    text = "Glass bends a lot in the wind. Glass bends. Steel holds."
    assert closest("Does glass bend?", text) == "Glass bends."
    assert closest("Does steel hold?", text) == "Steel holds."
    assert closest("Glass?", "") == ""


def test_the_smallest_span_that_supports_a_claim_is_found() -> None:
    text = "Bridges are old. Glass ones bend. Steel ones hold trains. Wood rots."
    assert smallest_support("Glass ones bend.", text) == ((17, 33), Support(1.0, "the source says it word for word"))
    (start, end), found = smallest_support("Glass bends and steel holds.", text)
    assert text[start:end] == "Glass ones bend. Steel ones hold trains."
    assert found.score == 0.99
    (start, end), found = smallest_support("Glass bends and steel holds.", text, most=1)
    assert (text[start:end], found.score) == ("Glass ones bend.", 0.5)
    assert smallest_support("Glass bends.", "") == ((0, 0), Support(0.0, "0% of the claim's words are in the source"))


SENTENCES = [
    "Glass bends.",
    "In 2023, 40 people fell.",
    "They do not fly in Oslo!",
    "GPT-4 has 1.8T of them, e.g. in BERT.",
    "知识。",
    "Is it so?",
    "x",
]
texts = st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=5).map(" ".join)
anything = st.one_of(texts, st.text(max_size=40))


@settings(max_examples=100, deadline=None)
@given(anything, anything, anything)
def test_a_score_is_between_nothing_and_all_and_has_a_reason(claim: str, text: str, title: str) -> None:
    (start, end), found = smallest_support(claim, text, title)
    assert 0 <= start <= end <= len(text)
    assert 0 <= found.score <= 1
    assert found.reason
    assert found == support(claim, text[start:end], title)


@settings(max_examples=100, deadline=None)
@given(texts, st.data())
def test_every_sentence_of_a_text_is_found_in_it_word_for_word(text: str, data: st.DataObject) -> None:
    start, end = data.draw(st.sampled_from(sentences(text)))
    assume(any(c.isalnum() for c in text[start:end]))
    (first, last), found = smallest_support(text[start:end], text)
    assert found.score == 1.0
    assert text[first:last] == text[start:end]
