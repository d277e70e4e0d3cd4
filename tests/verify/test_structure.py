"""What two parses have in common, and each difference between them."""

from __future__ import annotations

import pytest

from ragkit.answer import Quote
from ragkit.verify import structure
from ragkit.verify.attribution import pair_of
from ragkit.verify.evidence import EvidenceVerifier
from ragkit.verify.support import Setting, support_of

TABLE = "Sampler | Recovery (%) | Price (EUR)\nBoxter | 93.7 | 740\nPushlet | 88.1 | 310"


@pytest.mark.parametrize(
    ("claim", "quote"),
    [
        (
            "Headache was seen in 5% of the oxarin arm.",
            "Headache was seen in 12% of the oxarin arm and in 5% of the placebo arm.",
        ),
        ("The kite flight lasted 240 minutes.", "The balloon flight lasted 240 minutes and cost 310 euros."),
        ("Oxarin reduces night cough.", "Oxarin may reduce night cough."),
        ("All patients recovered in a week.", "Some patients recovered in a week."),
        ("The oxarin arm lost no patient.", "The placebo arm lost no patient."),
        ("We used rye, spelt and emmer.", "We used rye and spelt."),
    ],
    ids=["arm", "noun", "hedge", "quantity", "modifier", "item"],
)
def test_a_statement_about_something_else_supports_nothing(claim: str, quote: str) -> None:
    assert not support_of(claim, quote).holds


@pytest.mark.parametrize(
    ("claim", "quote"),
    [
        (
            "Headache was seen in 12% of the oxarin arm.",
            "Headache was seen in 12% of the oxarin arm and in 5% of the placebo arm.",
        ),
        ("The balloon flight cost 310 euros.", "The balloon flight lasted 240 minutes and cost 310 euros."),
        ("Treatment for 5 to 10 days was enough.", "Treatment for 5–10 days was enough in most patients."),
        ("Steel is outperformed by glass.", "Glass outperforms steel in all of our tests."),
    ],
)
def test_the_same_statement_in_another_form_is_supported(claim: str, quote: str) -> None:
    assert support_of(claim, quote).holds


def test_an_abbreviation_behind_what_is_negated_is_a_part_of_it() -> None:
    claim = "Glassnet-R1 is trained without supervised fine-tuning."
    quote = "Glassnet-R1, a model trained via large-scale learning without supervised fine-tuning (SFT), reasons well."
    assert support_of(claim, quote).holds
    assert not support_of(claim.replace("without", "with"), quote).holds


def test_what_a_pronoun_stands_for_may_be_in_the_title() -> None:
    claim, quote = "The dose of oxarin was 20 mg twice daily.", "The dose was 20 mg twice daily."
    assert support_of(claim, quote, "Oxarin in mild asthma").holds
    assert structure.features(claim, quote, "Oxarin in mild asthma")["resolved"] > 0
    assert structure.features(claim, quote, "Budoxal in severe asthma")["resolved"] == 0


@pytest.mark.parametrize(
    ("claim", "wrong"),
    [
        ("The recovery of the Boxter was 93.7 %.", None),
        ("The Pushlet costs 310 EUR.", None),
        ("The Boxter has a recovery of 93.7 and a price of 740.", None),
        ("The recovery of the Boxter was 88.1 %.", "the table has it in another row than 'boxter'"),
        ("The price of the Boxter is 93.7.", "the table has it in another column than 'price'"),
        ("The price of the Boxter is 12.", "no row has the number 12"),
    ],
)
def test_a_number_of_a_table_needs_its_row_and_its_column(claim: str, wrong: str | None) -> None:
    assert structure.is_table(TABLE)
    assert structure.misplaced(claim, TABLE) == wrong


ARMS = "Outcome | Oxarin arm | Placebo arm\nDeaths | 61 | 89"


@pytest.mark.parametrize(
    ("claim", "wrong"),
    [
        ("There were 61 deaths in the oxarin arm.", None),
        ("There were 61 deaths.", None),
        ("There were 89 deaths in the oxarin arm.", "the table has it in another column than 'oxarin'"),
        (
            "There were 61 births in the oxarin arm.",
            "the table has it in a row that the claim does not name, and does not say 'birth'",
        ),
        (
            "Deaths in the oxarin arm were 61, and 89 in all.",
            "the claim does not name the column that has 89",
        ),
        ("Deaths in the oxarin arm were 61, and 89 in the placebo arm.", None),
    ],
)
def test_the_title_excuses_no_other_arm(claim: str, wrong: str | None) -> None:
    assert structure.misplaced(claim, ARMS, "Oxarin and placebo in mild asthma") == wrong


def test_a_table_is_compared_whatever_language_its_cells_look_like() -> None:
    header = "Corpus | Documents (D) | Passages (P)"
    quote = Quote(document_id="p", title="T", quote="Banking | 4,497 | 33,380", end=24, header=header)
    claims = [
        "The value of Telco for Documents (D) is 4,497.",
        "The value of Banking for Documents (D) is 4,497.",
    ]
    found = EvidenceVerifier().judged([pair_of(claim, quote) for claim in claims], [Setting(), Setting()])
    assert [each.verdict for each in found] == ["unsupported", "supported"]


def test_rows_without_their_header_support_no_number() -> None:
    rows = "\n".join(TABLE.splitlines()[1:])
    assert structure.misplaced("The recovery of the Boxter was 93.7 %.", rows)
    assert structure.misplaced("The recovery of the Boxter was 93.7 %.", rows.splitlines()[0])


@pytest.mark.parametrize(
    ("title", "supported"), [("Oxarin in mild asthma", True), ("Budoxal in severe asthma", False)]
)
def test_a_number_is_of_what_the_paper_speaks_of(title: str, supported: bool) -> None:
    found = support_of("The oxarin trial ran in 14 hospitals.", "The trial ran in 14 hospitals.", title)
    assert found.holds == supported
    if not supported:
        assert found.reason == "the source does not say 'oxarin', which the claim has a number of"


def test_a_bar_in_a_formula_makes_no_table() -> None:
    quote = "The decoder maximises p(y | x) over 5 samples."
    assert not structure.is_table(quote)
    assert support_of("Over 5 samples, the decoder maximises p(y | x).", quote).holds


def test_the_reason_names_the_difference() -> None:
    found = support_of("The kite flight lasted 240 minutes.", "The balloon flight lasted 240 minutes.")
    assert found.reason == "the claim says 'kite' where the source says 'balloon'"


def test_the_cells_of_a_row_are_quoted_whatever_their_columns_are_called() -> None:
    header = "Instrument | Luminal volume (l) in 2007 | 2008"
    quote = Quote(document_id="p", title="T", quote="Ex Wilmotte | 2.04 | 2.06", end=24, header=header)
    pair = pair_of("Instrument: Ex Wilmotte, Luminal volume (l) in 2007: 2.04", quote)
    [finding] = EvidenceVerifier().judged([pair], [Setting("What is the volume of the Ex Wilmotte?")])
    assert (finding.verdict, finding.score) == ("supported", 1.0)
    wrong = pair_of("Instrument: Ex Wilmotte, Luminal volume (l) in 2007: 2.06", quote)
    [finding] = EvidenceVerifier().judged([wrong], [Setting("What is the volume of the Ex Wilmotte?")])
    assert finding.verdict == "unsupported"
