"""Planted falsehoods: an edit changes one part of a sentence, and only the true ones leave it true."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import pytest
from langchain_core.documents import Document

pytest.importorskip("spacy")

from benchmarks.falsehoods import Pair, cells_of, is_held_out, is_supported, judge_named, parser, table
from benchmarks.paraphrases import TRUE
from benchmarks.swaps import FALSE, Donors, Phrase
from ragkit.errors import UsageError
from ragkit.verify.evidence import EvidenceVerifier

DONORS = Donors(
    {
        "subject": [Phrase("the second teacher", False, frozenset({"second", "teacher"}))],
        "object": [
            Phrase("wooden spoons", True, frozenset({"wooden", "spoon"})),
            Phrase("the ladder", False, frozenset({"ladder"})),
        ],
    },
    ["the birds slept"],
)


@cache
def doc(text: str) -> Any:
    return parser()(text)


@pytest.mark.parametrize(
    ("kind", "sentence", "claim"),
    [
        ("subject", "The nurse cleaned the wound.", "The second teacher cleaned the wound."),
        ("object", "The nurse cleaned the wound.", "The nurse cleaned the ladder."),
        ("roles", "The red encoder outperformed the blue decoder.", "The blue decoder outperformed the red encoder."),
        ("unit", "The patients waited for 12 days.", None),
        ("arm", "The drug helped 31 patients and the placebo helped 12 patients.", "The drug helped 12 patients and the placebo helped 31 patients."),
        ("direction", "The treatment increased the heart rate.", "The treatment decreased the heart rate."),
        ("polarity", "The treatment was effective.", "The treatment was not effective."),
        ("polarity", "The treatment was not effective.", "The treatment was effective."),
        ("polarity", "The nurse cleaned the wound.", "The nurse did not clean the wound."),
        ("hedge", "The drug may improve sleep.", "The drug will improve sleep."),
        ("quantifier", "Some patients slept.", "All patients slept."),
        ("added item", "The kit holds bandages, needles and gloves.", "The kit holds bandages, wooden spoons, needles and gloves."),
        ("added clause", "The drug improved sleep.", "The drug improved sleep, and the birds slept."),
    ],
)  # fmt: skip
def test_a_false_edit_changes_its_own_part_only(kind: str, sentence: str, claim: str | None) -> None:
    [made] = FALSE[kind](doc(sentence), DONORS, random.Random(0))
    assert made != sentence
    assert claim in (None, made)


@pytest.mark.parametrize(
    ("kind", "sentence", "claim"),
    [
        ("the authors", "We trained our model.", "The authors trained their model."),
        ("aside dropped", "The drug improved sleep (mostly at night) in mice [3].", "The drug improved sleep in mice."),
        ("front moved", "In all old mice, the drug improved sleep.", "The drug improved sleep in all old mice."),
        ("clause dropped", "The nurse cleaned the wound, and the doctor wrote a letter.", "The nurse cleaned the wound."),
        ("other voice", "The nurse cleaned the wound.", "The wound was cleaned by the nurse."),
        ("other voice", "The wound was cleaned by the nurse.", "The nurse cleaned the wound."),
        ("item dropped", "The kit holds bandages, needles, and gloves.", "The kit holds needles and gloves."),
    ],
)  # fmt: skip
def test_a_true_edit_says_the_same_or_less(kind: str, sentence: str, claim: str) -> None:
    assert list(TRUE[kind](doc(sentence))) == [claim]


@pytest.mark.parametrize("kind", ["hedge", "quantifier"])
def test_a_negated_sentence_is_not_hardened(kind: str) -> None:
    assert not list(
        FALSE[kind](doc("None of some trials suggested that it may help."), DONORS, random.Random(0))
    )


def test_references_and_ranges_are_no_numbers() -> None:
    for sentence in (
        "Table 3 shows the results.",
        "The results are shown elsewhere [12].",
        "It took 3-5 days.",
    ):
        assert not list(FALSE["number"](doc(sentence), DONORS, random.Random(0)))


def test_cells_are_exchanged_with_those_of_another_row_or_column() -> None:
    text = "Model | Recall | Precision\nAda | 10 | 20\nBob | 30 | 40"
    rows = [{"start": 0, "end": len(text), "path": [], "kind": "table"}]
    paper = Document(text, metadata={"title": "Models", "sections": rows})
    for pair in cells_of(paper, random.Random(1)):
        row, column, value = (
            pair.claim.rstrip(".").replace("The value of ", "").replace(" for ", " is ").split(" is ")
        )
        right = {
            ("Ada", "Recall"): "10",
            ("Ada", "Precision"): "20",
            ("Bob", "Recall"): "30",
            ("Bob", "Precision"): "40",
        }
        assert (right[row, column] == value) == pair.true


def test_half_of_the_papers_are_held_out_by_their_titles() -> None:
    titles = [f"Paper {n}" for n in range(200)]
    held = [is_held_out(Document("x", metadata={"title": title})) for title in titles]
    assert 70 < sum(held) < 130
    assert held == [is_held_out(Document("y", metadata={"title": f"  {title.upper()}!"})) for title in titles]


PAIR = Pair(
    "number", False, "It took 9 days.", "It took 5 days.", "It rained. It took 5 days.", "Rain", False
)


def test_a_verifier_judges_the_claim_in_an_answer_that_cites_its_sentence() -> None:
    truth = Pair(
        "verbatim", True, *PAIR.context.split("rained. ")[1:], *(PAIR.quote, PAIR.context, "Rain", False)
    )
    assert [is_supported(EvidenceVerifier(), pair) for pair in (PAIR, truth)] == [False, True]


def scores(pairs: list[tuple[str, str]]) -> list[float]:
    return [float(claim == source) for claim, source in pairs]


def test_a_verifier_may_be_a_function() -> None:
    assert judge_named(f"{__name__}:scores")([PAIR]) == [False]
    with pytest.raises(UsageError, match="cannot import 'nowhere:f'"):
        judge_named("nowhere:f")


def test_the_table_counts_refused_falsehoods_by_half() -> None:
    assert "| number | 1.00 [0.21, 1.00] of 1 | – |" in table([PAIR], [False], true=False)
