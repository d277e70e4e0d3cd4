"""Rows of cells are read with the names of their columns."""

from __future__ import annotations

import pytest

from ragkit.text.tables import columns, is_rule, named_cells, read_out, says
from ragkit.text.words import sentences


@pytest.mark.parametrize(
    ("row", "header", "named"),
    [
        (
            "Boxter | 93.7 | 740",
            "Sampler | Recovery | Price",
            ["Sampler=Boxter", "Recovery=93.7", "Price=740"],
        ),
        ("Boxter | | 740", "Sampler | Recovery | Price", ["Sampler=Boxter", "Price=740"]),
        ("| Boxter|93.7 |", "| Sampler | Recovery |\n|---|--:|", ["Sampler=Boxter", "Recovery=93.7"]),
        ("Boxter | 93.7 | extra", "Sampler | Recovery", ["Sampler=Boxter", "Recovery=93.7", "=extra"]),
        ("|x| | P(a|b)", "Norm | Chance", ["Norm=|x|", "Chance=P(a|b)"]),
    ],
)
def test_each_cell_has_the_name_of_its_column(row: str, header: str, named: list[str]) -> None:
    assert [f"{name}={cell}" for name, cell in named_cells(row, header)] == named


def test_a_column_under_two_lines_of_header_has_the_words_of_both() -> None:
    assert columns("Model | Accuracy | Accuracy\nModel | dev | test") == [
        "Model",
        "Accuracy dev",
        "Accuracy test",
    ]


def test_rows_are_read_out_and_the_header_stays() -> None:
    header = "Pond | Newts"
    assert read_out(f"{header}\nAlder | 83.8%", header) == f"{header}\nPond: Alder, Newts: 83.8%"


@pytest.mark.parametrize("line", ["|---|:-:|", "--- | ---", "|-"])
def test_the_rule_under_a_header_is_told(line: str) -> None:
    assert is_rule(line)


def test_each_row_of_a_table_is_a_sentence_and_a_bar_in_prose_ends_none() -> None:
    table = "Item | Note\nA. Lee | First. Second.\nB | Third."
    text = f"The likelihood P(x | y) is high. We sample it.\n\n{table}\n\nThe end."
    prose = ["The likelihood P(x | y) is high.", "We sample it."]
    assert [text[a:b] for a, b in sentences(text)] == [*prose, *table.split("\n"), "The end."]


def test_a_claim_may_be_made_of_cells_of_one_row() -> None:
    header, rows = "Sampler | Recovery (%) | Price", "Boxter | 93.7 | 11,500\nPushlet | 64.0 | 740"
    assert says(rows, header, "Sampler: Pushlet, Recovery (%): 64.0, Price: 740")
    assert says(rows, header, "Sampler: Boxter, Price: 11,500")
    assert not says(rows, header, "Sampler: Boxter, Price: 740")
    assert not says(rows, header, "Sampler: Boxter, Price: 11,500, which is much")
    assert not says(rows, header, ",")
