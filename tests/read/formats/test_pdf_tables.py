"""The tables of a PDF: between rules or without them, with names over several columns, and cells of several lines."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from read.formats.test_documents import pdf, shown_at

from ragkit.document import Stretch, stretches_of
from ragkit.read.formats.pdf import Pdf

Words = list[tuple[float, float, str]]
Rule = tuple[float, float, float, float]


def paper_of(words: Words, rules: list[Rule], size: float = 10.0) -> Document:
    """A page with words at x and y (from the bottom), and rules: left, bottom, width, height."""
    shown = b"".join(shown_at(x, y, size, text) for x, y, text in words)
    drawn = b"".join(b"%f %f %f %f re f\n" % rule for rule in rules)
    [paper] = Pdf().papers("a.pdf", pdf(shown + drawn))
    return paper


def table_of(words: Words, rules: list[Rule]) -> list[str]:
    paper = paper_of(words, rules)
    [table] = tables_of(paper)
    return paper.page_content[table.start : table.end].split("\n")


def tables_of(paper: Document) -> list[Stretch]:
    return [part for part in stretches_of(paper) if part.kind == "table"]


def level(*heights: float, left: float = 72.0, width: float = 300.0) -> list[Rule]:
    return [(left, height, width, 0.5) for height in heights]


def upright(*places: float, top: float, bottom: float) -> list[Rule]:
    return [(x, bottom, 0.5, top - bottom) for x in places]


def test_a_name_over_several_columns_is_that_of_each_below_its_rule() -> None:
    words = [
        (72.0, 720.0, "Table 1: Catches by net."),
        *[(170.0, 700.0, "Spring"), (272.0, 700.0, "Autumn")],
        *[(160.0, 684.0, "cod"), (200.0, 684.0, "eel"), (260.0, 684.0, "cod"), (300.0, 684.0, "eel"), (340.0, 684.0, "all")],
        *[(72.0, 664.0, "gill net"), (160.0, 664.0, "1.5"), (200.0, 664.0, "2.5"), (260.0, 664.0, "3.5")],
        *[(300.0, 664.0, "4.5"), (340.0, 664.0, "12")],
        *[(72.0, 650.0, "fyke"), (160.0, 650.0, "5.5"), (200.0, 650.0, "6.5"), (260.0, 650.0, "7.5")],
        *[(300.0, 650.0, "8.5"), (340.0, 650.0, "28")],
    ]  # fmt: skip
    rules = [
        *level(712.0, 678.0, 644.0),
        *level(696.0, left=158.0, width=60.0),
        *level(696.0, left=258.0, width=60.0),
    ]
    assert table_of(words, rules) == [
        "| Spring cod | Spring eel | Autumn cod | Autumn eel | all",
        "gill net | 1.5 | 2.5 | 3.5 | 4.5 | 12",
        "fyke | 5.5 | 6.5 | 7.5 | 8.5 | 28",
    ]


def test_numbers_set_close_are_columns_where_the_gap_runs_through_all_rows() -> None:
    numbers = ["0.85", "0.69", "0.65", "0.59", "0.60", "0.55"]
    words = [
        (72.0, 720.0, "Table 1: Two marks."),
        (72.0, 690.0, "boat"),
        (140.0, 690.0, "A"),
        (166.0, 690.0, "B"),
    ]
    for n in range(3):
        words += [(72.0, 670.0 - 14 * n, f"boat {n}"), (140.0, 670.0 - 14 * n, numbers[2 * n])]
        words += [(165.0, 670.0 - 14 * n, numbers[2 * n + 1])]
    rows = table_of(words, level(705.0, 684.0, 634.0, width=120.0))
    assert rows[1:] == ["boat 0 | 0.85 | 0.69", "boat 1 | 0.65 | 0.59", "boat 2 | 0.60 | 0.55"]


def test_a_cell_of_several_lines_is_one_and_its_row_has_one_name() -> None:
    words = [
        (72.0, 720.0, "Table 1: Duties."),
        *[(74.0, 700.0, "Role"), (174.0, 700.0, "Duty")],
        *[(74.0, 680.0, "harbour or"), (174.0, 680.0, "keeps the boats and the")],
        *[(74.0, 668.0, "port master"), (174.0, 668.0, "nets of all the mem-")],
        *[(174.0, 656.0, "bers")],
        *[(74.0, 636.0, "clerk"), (174.0, 636.0, "writes")],
    ]
    rules = [*level(712.0, 694.0, 650.0, 630.0, width=220.0), *upright(170.0, top=712.0, bottom=630.0)]
    assert table_of(words, rules) == [
        "Role | Duty",
        "harbour or port master | keeps the boats and the nets of all the members",
        "clerk | writes",
    ]


def test_a_name_in_the_middle_of_its_rows_is_that_of_each() -> None:
    words = [
        (72.0, 720.0, "Table 1: Speed."),
        (74.0, 698.0, "layers"),
        (134.0, 698.0, "kind"),
        (194.0, 698.0, "speed"),
    ]
    for top, layers in ((680.0, "6"), (640.0, "4")):
        words += [(134.0, top, "slow"), (194.0, top, "0.9"), (74.0, top - 7, layers)]
        words += [(134.0, top - 14, "fast"), (194.0, top - 14, "1.9")]
    rules = level(712.0, 692.0, 656.0, 616.0, width=160.0)
    assert table_of(words, rules)[1:] == [
        "6 | slow | 0.9",
        "6 | fast | 1.9",
        "4 | slow | 0.9",
        "4 | fast | 1.9",
    ]


def test_a_merged_cell_of_a_grid_stands_in_each_of_its_columns() -> None:
    words = [
        *[(154.0, 700.0, "Rome"), (234.0, 700.0, "Paris")],
        *[(74.0, 680.0, "Part"), (190.0, 680.0, "Europe")],
        *[(74.0, 660.0, "People"), (154.0, 660.0, "2.8"), (234.0, 660.0, "2.1")],
        *[(74.0, 640.0, "Rivers"), (154.0, 640.0, "1"), (234.0, 640.0, "1")],
    ]
    rules = [
        *level(712.0, 692.0, 672.0, 652.0, 632.0, width=240.0),
        *upright(150.0, top=712.0, bottom=632.0),
        *upright(230.0, top=712.0, bottom=692.0),
        *upright(230.0, top=672.0, bottom=632.0),
    ]
    assert table_of(words, rules) == [
        "| Rome | Paris",
        "Part | Europe | Europe",
        "People | 2.8 | 2.1",
        "Rivers | 1 | 1",
    ]


def test_each_of_two_tables_has_the_caption_below_it() -> None:
    words: Words = []
    for top, name in ((700.0, "A"), (600.0, "B")):
        words += [(72.0, top, "net"), (172.0, top, "catch"), (72.0, top - 20, name), (172.0, top - 20, "12")]
        words += [
            (72.0, top - 34, name * 2),
            (172.0, top - 34, "17"),
            (72.0, top - 58, f"Table {name == 'B':d}: Of {name}."),
        ]
    rules = level(712.0, 694.0, 660.0, 612.0, 594.0, 560.0, width=160.0)
    tables = tables_of(paper := paper_of(words, rules))
    assert [table.caption for table in tables] == ["Table 0: Of A.", "Table 1: Of B."]
    assert "BB | 17" in paper.page_content[tables[1].start :]


def test_a_text_in_a_frame_is_no_table() -> None:
    lines = [
        "Write an accurate answer for  the question.",
        "Cite one  document and at most  three.",
        "Do not cite more.",
    ]
    words = [
        (72.0, 720.0, "Table 1: The prompt."),
        *[(74.0, 696.0 - 12 * n, text) for n, text in enumerate(lines)],
    ]
    assert not tables_of(paper_of(words, level(712.0, 664.0)))


@pytest.mark.parametrize("mark", ["X", "i"])
def test_a_cell_at_the_foot_of_a_page_is_no_page_number(mark: str) -> None:
    words = [
        (72.0, 108.0, "Table 1: Duties."),
        (74.0, 88.0, "Role"),
        (174.0, 88.0, "may"),
        (274.0, 88.0, "must"),
    ]
    words += [(74.0, 74.0, "clerk"), (174.0, 74.0, mark), (274.0, 74.0, mark), (300.0, 30.0, "7")]
    rules = level(100.0, 84.0, 66.0)
    assert table_of(words, rules) == ["Role | may | must", f"clerk | {mark} | {mark}"]
    assert "7" not in paper_of(words, rules).page_content


def test_a_raised_number_in_a_table_is_an_exponent() -> None:
    content = b"".join(
        shown_at(*line)
        for line in [
            (72.0, 720.0, 10.0, "Table 1: Cells."),
            (72.0, 690.0, 10.0, "day"),
            (172.0, 690.0, 10.0, "count"),
        ]
    )
    content += b"BT /F1 10 Tf 0 Ts 72 670 Td (one) Tj 100 0 Td (10) Tj /F1 7 Tf 4 Ts (5) Tj ET\n"
    content += b"BT /F1 10 Tf 0 Ts 72 656 Td (two) Tj 100 0 Td (20) Tj /F1 7 Tf 4 Ts (6) Tj ET\n"
    content += b"".join(b"%f %f %f %f re f\n" % rule for rule in level(705.0, 684.0, 650.0, width=160.0))
    [paper] = Pdf().papers("a.pdf", pdf(content))
    [table] = tables_of(paper)
    assert paper.page_content[table.start : table.end].split("\n")[1:] == ["one | 10^5", "two | 20^6"]
