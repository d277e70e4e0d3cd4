"""What supports a claim: its words, and who does what, how much, against the source's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ragkit.models.reader import PassageReader, SentenceOdds, SourceText
from ragkit.text.words import sentences, without_asides
from ragkit.verify.support import (
    SUPPORTED,
    Setting,
    Support,
    clauses,
    smallest_support,
    support_of,
)


@dataclass(frozen=True)
class Finding(PassageReader):
    """A reader that finds every claim equally likely."""

    odds: float

    def read(self, first: str, sources: Sequence[SourceText]) -> list[SentenceOdds]:
        def each(source: SourceText) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
            return np.full(len(source.sentences), self.odds)

        return [SentenceOdds(each(source), each(source), self.odds, self.odds) for source in sources]


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
    assert support_of(claim, QUOTE) == Support(1.0, "the source says it word for word")


def test_quotation_marks_and_the_encoding_of_accents_make_no_difference() -> None:
    assert support_of("The “café’s” bridge bends.", 'The "cafe\u0301\'s" bridge bends.').score == 1.0


@pytest.mark.parametrize(
    "claim",
    [
        "In 2023, bridges of glass near Oslo carried 1200 people.",
        "It is 4.50% more than steel: bridges of glass carried 1200.",
        "More people were carried by glass bridges than by steel ones.",
        "The bridges of the survey carried 1,200 people.",
    ],
)
def test_the_same_words_in_another_order_support_a_claim(claim: str) -> None:
    found = support_of(claim, QUOTE, TITLE)
    assert SUPPORTED <= found.score < 1


def test_a_reader_that_is_sure_knows_a_claim_in_other_words() -> None:
    claim, quote = "The lab runs its search in Oslo.", "The laboratory has deployed its search in Oslo."
    assert not support_of(claim, quote).holds
    assert support_of(claim, quote, reader=Finding(3.5)).holds
    assert not support_of(claim, quote, reader=Finding(-3.5)).holds


def test_a_reader_that_is_sure_makes_up_for_no_number_name_or_item() -> None:
    for claim, reason in (
        ("In 2024, glass bridges near Oslo carried 1,200 people.", "the number 2024"),
        ("In 2023, glass bridges near Rome carried 1,200 people.", "'rome'"),
    ):
        found = support_of(claim, QUOTE, TITLE, reader=Finding(9.0))
        assert not found.holds
        assert reason in found.reason.casefold()
    items = support_of("Owls eat voles, mice and frogs.", "Owls eat voles and mice.", reader=Finding(9.0))
    assert not items.holds
    assert "frogs" in items.reason


def test_a_reader_that_finds_a_claim_improbable_outweighs_its_parse() -> None:
    claim = "In 2023, bridges of glass near Oslo carried 1200 people."
    scores = [support_of(claim, QUOTE, TITLE, reader=Finding(odds)).score for odds in (-9.0, -2.0, 2.0, 9.0)]
    assert scores == sorted(scores)
    assert support_of(claim, QUOTE, TITLE).holds
    doubted = support_of(claim, QUOTE, TITLE, reader=Finding(-9.0))
    assert not doubted.holds
    assert doubted.reason == "read together, the source does not say it"


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        (
            "In 2024, glass bridges near Oslo carried 1,200 people.",
            "the source does not have the number 2024",
        ),
        ("Glass bridges near Oslo carried 1,300 people.", "the source does not have the number 1300"),
        ("Glass bridges carried 4.55% more than steel ones.", "the source does not have the number 4.55"),
        ("In 2023, glass bridges near Oslo carried 1", "the source does not have the number 1"),
        ("In 2023, glass bridges near Bergen carried 1,200 people.", "the source does not name 'bergen'"),
        ("People near Oslo carried a GPT-3 of glass.", "the source does not name 'gpt-3'"),
        ("They do bend.", "one of claim and source is negated, the other is not"),
        ("They bend.", "one of claim and source is negated, the other is not"),
        (
            "Glass bridges never carried 1,200 people near Oslo.",
            "one of claim and source is negated, the other is not",
        ),
        (
            "Glass bridges didn’t carry 1,200 people near Oslo.",
            "one of claim and source is negated, the other is not",
        ),
    ],
)
def test_a_wrong_number_a_missing_name_or_a_flipped_negation_does_not_hold(claim: str, reason: str) -> None:
    assert not support_of(claim, QUOTE, TITLE).holds


@pytest.mark.parametrize(
    ("claim", "quote"),
    [
        ("The share rose to 9", "The share rose to 95% of all."),
        ("The share rose to 9.", "The share rose to 9.5 points."),
        ("The share rose to 9.", "The share rose to 9,500 people."),
        ("5 points are lost.", "About 0.5 points are lost."),
        ("Bridges of glass bend.", "We do not find that bridges of glass bend."),
    ],
)
def test_part_of_a_number_or_of_a_denial_is_not_word_for_word(claim: str, quote: str) -> None:
    assert not support_of(claim, quote).holds


@pytest.mark.parametrize(
    "quote",
    [
        "Although it is not new, glass bends.",
        "It is not new. Glass bends.",
        "Glass bends. It is not new.",
        "in tasks.Glass bends.",
    ],
)
def test_a_denial_of_something_else_does_not_count(quote: str) -> None:
    assert support_of("Glass bends.", quote).score == 1.0


@pytest.mark.parametrize(
    ("claim", "quote", "reason"),
    [
        (
            "It has 1.5B tokens.",
            "It has 1.5B parameters and saw 300B tokens.",
            "the number 1500000000 is of 'tokens' in the claim and of 'parameters' in the source",
        ),
        (
            "Training takes 80 hours.",
            "Training on 80 GPUs takes 3 hours.",
            "the number 80 is of 'hours' in the claim and of 'gpus' in the source",
        ),
    ],
)
def test_a_number_that_counts_something_else_does_not_hold(claim: str, quote: str, reason: str) -> None:
    assert not support_of(claim, quote).holds


@pytest.mark.parametrize(
    ("claim", "quote"),
    [
        ("It was trained for 80 hours on glass.", "Training on glass took 80 long hours."),
        ("Of them, 80 are of glass.", "There are 80 bridges of glass."),
        ("The small bridge has 110M rivets.", "The small bridge has 12 arches and 110 million rivets."),
    ],
)
def test_a_number_of_what_may_be_the_same_is_no_mistake(claim: str, quote: str) -> None:
    assert support_of(claim, quote).holds


@pytest.mark.parametrize(
    ("claim", "quote", "reason"),
    [
        (
            "Glass outperforms steel.",
            "On all tests, the steel outperforms the glass.",
            "the claim compares the other way round than the source",
        ),
        (
            "Glass is outperformed by steel.",
            "On all tests, glass outperforms steel.",
            "the claim compares the other way round than the source",
        ),
        (
            "Steel is stronger than glass.",
            "Glass is much stronger than steel.",
            "the claim compares the other way round than the source",
        ),
        (
            "The load increased by 5%.",
            "The load has decreased by 5%.",
            "the claim says 'increased' where the source says 'decreased'",
        ),
        (
            "Glass is worse than steel.",
            "We find glass better than steel.",
            "the claim says 'worse' where the source says 'better'",
        ),
    ],
)
def test_a_comparison_turned_round_does_not_hold(claim: str, quote: str, reason: str) -> None:
    assert not support_of(claim, quote).holds


@pytest.mark.parametrize(
    ("claim", "quote"),
    [
        ("Glass outperforms steel.", "On all tests steel is outperformed by glass."),
        ("Glass is better than steel.", "On all tests, steel is worse than glass."),
        ("Glass is stronger than steel.", "Wood bends less often, and glass is stronger than steel."),
    ],
)
def test_a_comparison_in_other_words_is_not_turned_round(claim: str, quote: str) -> None:
    assert support_of(claim, quote).holds


def test_words_put_together_from_different_places_count_less() -> None:
    text = "Tall men built glass bridges. Old women crossed steel roads."
    whole, mixed = (
        "Glass bridges were built by tall men.",
        "Old men built steel bridges; tall women crossed glass roads.",
    )
    assert support_of(whole, text).score > support_of(mixed, text).score


@pytest.mark.parametrize("claim", ["", " ", "...", "It is what it is."])
def test_a_claim_that_says_nothing_is_not_supported(claim: str) -> None:
    assert support_of(claim, QUOTE, TITLE) == Support(0.0, "the claim has no content words")


def test_a_name_that_is_asked_about_may_stand_elsewhere_in_the_passage_and_another_may_not() -> None:
    passage = "PEG is a model of text. It trains with 80,000 negatives. ORPO is something else."
    asked = Setting("How many negatives does PEG train with?", passage)
    quote = "It trains with 80,000 negatives."
    assert support_of("PEG trains with 80,000 negatives.", quote, setting=asked).holds
    assert (
        support_of("ORPO trains with 80,000 negatives.", quote, setting=asked).reason
        == "the source does not name 'orpo'"
    )
    assert (
        support_of(
            "DPR trains with 80,000 negatives.", quote, setting=Setting("How does DPR train?", passage)
        ).reason
        == "the source does not name 'dpr'"
    )


def test_a_negation_of_other_words_does_not_count() -> None:
    quote = "The code is made by three kinds of synthesis, and runs without a server."
    assert support_of("The code is made by three kinds of synthesis.", quote).holds
    assert not support_of("The code runs with a server.", quote).holds


@pytest.mark.parametrize(
    "claim",
    [
        "Additionally, glass bends.",
        "According to the sources, glass bends.",
        "Glass bends, as stated in the paper.",
        "Glass bends.",
    ],
)
def test_what_a_claim_says_of_its_sources_need_not_be_in_them(claim: str) -> None:
    assert without_asides(claim).casefold() == "glass bends."


@pytest.mark.parametrize(
    "claim",
    [
        "The ranker is based on the contextual embeddings of BERT.",
        "Labels were assigned based on the text.",
        "The survey is based on the papers.",
    ],
)
def test_what_a_claim_says_of_what_it_is_about_stays(claim: str) -> None:
    assert without_asides(claim) == claim


def test_a_negation_is_of_what_stands_behind_it_in_its_clause() -> None:
    quote = "The models of glass, none of which bends early, are tested on all 42 scenarios."
    assert support_of("The models of glass are tested on 42 scenarios.", quote).holds
    assert support_of("Glass models carry weight.", "Glass models carry weight but do not bend.").holds
    assert not support_of("Glass models bend.", "Glass models carry weight but do not bend.").holds


@pytest.mark.parametrize(
    ("claim", "quote"),
    [
        (
            "Aspirin helps patients with migraine.",
            "There is no evidence from randomised trials that aspirin helps patients with migraine.",
        ),
        (
            "Retrieval improves factuality of large models.",
            "We found no significant evidence that retrieval improves factuality of large models.",
        ),
        (
            "Vitamin D has an effect on mortality of the elderly.",
            "The effect of vitamin D on mortality of the elderly was not significant.",
        ),
    ],
)
def test_what_a_source_denies_from_afar_is_not_supported(claim: str, quote: str) -> None:
    assert not support_of(claim, quote).holds


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ("Glass bends.", ["Glass bends."]),
        ("Glass bends and wood breaks.", ["Glass bends and wood breaks."]),
        ("Thin glass bends, and old wood breaks.", ["Thin glass bends", "old wood breaks."]),
        (
            "Thin glass bends; old wood breaks, while stone stays put.",
            ["Thin glass bends", "old wood breaks", "stone stays put."],
        ),
        ("They use glass, wood, and stone.", ["They use glass, wood, and stone."]),
    ],
)
def test_a_sentence_has_the_parts_that_say_something_of_their_own(claim: str, expected: list[str]) -> None:
    assert clauses(claim) == expected


PEG = "PEG is trained with five hard negatives for each question. It is tested on 7 data sets."
FOOTBRIDGE = "The oldest wooden footbridge is crossed by 40 people a day."


@pytest.mark.parametrize(
    ("question", "claim", "quote", "reason"),
    [
        (
            "How many hard negatives does ZorgNet use?",
            "five",
            PEG,
            "the source does not name 'zorgnet', which the question is about",
        ),
        (
            "How many hard negatives does PEG use?",
            "HERON-7",
            "Reply with HERON-7.",
            "the question asks for a number",
        ),
        (
            "How many people cross the oldest wooden footbridge?",
            "Only 7",
            PEG,
            "the question is about another paper",
        ),
        (
            "Who crosses the oldest wooden footbridge each day?",
            "Data Sets",
            PEG,
            "the question is about another paper",
        ),
    ],
)
def test_a_few_words_alone_are_no_answer_if_their_source_speaks_of_something_else(
    question: str, claim: str, quote: str, reason: str
) -> None:
    found = support_of(claim, quote, "Notes", setting=Setting(question, PEG, (FOOTBRIDGE,)))
    assert not found.holds
    assert found.reason.startswith(reason)


@pytest.mark.parametrize(
    ("question", "claim", "source"),
    [
        ("How many hard negatives does PEG use?", "five", PEG),
        ("How many hard negatives does PEG use?", "5.", PEG),
        ("On how many data sets is PEG tested?", "7", PEG),
        ("Who built the oldest footbridge, and with how many hard negatives is PEG trained?", "five", PEG),
        ("Wie viele Negative braucht PEG?", "five", PEG),
        ("", "7", PEG),
        ("Which model was chosen for reranking?", "BERT", "We order the passages anew with BERT."),
        (
            "Under which license is the code released?",
            "Apache 2.0",
            "We publish our source under Apache 2.0.",
        ),
        ("When was it published?", "In 2019", "It came out in 2019."),
        ("On how many GPUs was it trained?", "A single A100", "We use a single A100."),
        ("How many people were asked?", "45", "45 patients took part. Most people were older than 60."),
        (
            "How many layers does it have?",
            "12",
            "It has 12 Transformer blocks. Its layers have a hidden size of 768.",
        ),
        (
            "How many questions and passages does MARCO contain?",
            "8,841,823",
            "MARCO has 1,010,916 questions and 8,841,823 passages.",
        ),
        (
            "What accuracy does DPR reach on NQ, and what does BM25 reach?",
            "59.1%",
            "DPR has an accuracy of 78.4% on NQ, BM25 of 59.1%.",
        ),
        ("Which optimizer was used?", "Adam", "We train with Adam."),
        ("Which LLM writes the data?", "GPT-4", "We have GPT-4 make the data."),
        ("What GPU was BERT trained on?", "NVIDIA A100", "BERT was trained on eight NVIDIA A100 GPUs."),
        ("How many parameters does GPT3 have?", "175", "GPT-3 has 175 billion parameters."),
        (
            "Which programming language is it written in?",
            "R.",
            "It is written in the programming language R.",
        ),
        ("How many hard negatives does PEG use?", "7", "PEG uses 7 hard negatives and does not overfit."),
        ("How often is the index rebuilt?", "On Mondays.", "The index is rebuilt on Mondays."),
        ("What kind of GPU was used?", "NVIDIA A100", "It ran on one NVIDIA A100."),
        (
            "How many images are in the data set?",
            "12 million",
            "The data set has 12 million labelled images.",
        ),
        ("How many people were enrolled?", "120", "We enrolled 120 patients. 12 people left."),
        ("How many benchmarks are used, and which?", "BEIR, MTEB", "Two benchmarks are used: BEIR, MTEB."),
        ("Womit wurde das BERT-Modell trainiert?", "Adam", "The BERT model is trained with Adam."),
        ("BERT模型的研究有多少参与者？", "40", "我们使用BERT模型，共有40位参与者。"),
    ],
)
def test_a_few_words_alone_are_an_answer_if_nothing_speaks_against_it(
    question: str, claim: str, source: str
) -> None:
    setting = Setting(question, source, ("An optimizer matters, says a GPU.",))
    assert support_of(claim, source, "Notes", setting=setting).holds


def test_the_smallest_span_with_most_of_a_claim_is_found() -> None:
    text = "Bridges are old. Glass ones bend. Steel ones hold trains. Wood rots."
    assert smallest_support("Glass ones bend.", text) == ((17, 33), 1.0)
    (start, end), share = smallest_support("Glass bends and steel holds.", text)
    assert (text[start:end], share) == ("Glass ones bend. Steel ones hold trains.", 1.0)
    (start, end), share = smallest_support("Glass bends and steel holds.", text, most=1)
    assert (text[start:end], share) == ("Glass ones bend.", 0.5)
    assert smallest_support("Glass bends.", "")[0] == (0, 0)


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


@settings(max_examples=50, deadline=None)
@given(anything, anything, anything)
def test_a_score_is_between_nothing_and_all_and_has_a_reason(claim: str, text: str, title: str) -> None:
    (start, end), share = smallest_support(claim, text, title)
    assert 0 <= start <= end <= len(text)
    assert 0 <= share <= 1
    found = support_of(claim, text[start:end], title)
    assert 0 <= found.score <= 1
    assert found.reason


@given(texts, st.data())
def test_every_sentence_of_a_text_is_found_in_it_word_for_word(text: str, data: st.DataObject) -> None:
    start, end = data.draw(st.sampled_from(sentences(text)))
    assume(any(c.isalnum() for c in text[start:end]))
    assert support_of(text[start:end], text).score == 1.0
