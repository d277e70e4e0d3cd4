"""The characters, lines and pages of a PDF: accents, halves, small capitals, hyphens, turned pages and notes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from langchain_core.documents import Document
from read.formats.test_documents import pdf, read, shown_at

from ragkit.document import Span, places_of
from ragkit.read.files import Files
from ragkit.read.formats.pdf import Pdf
from ragkit.read.process import Reader

Row = tuple[float, float, float, str]


def text_of(*rows: Row) -> str:
    """The text behind the title of a page."""
    whole = read(Pdf(), pdf([(72.0, 740.0, 17.0, "Counts of birds"), *rows]), "x.pdf").page_content
    return whole.removeprefix("Counts of birds").strip()


def place_of(paper: Document, words: str) -> dict[str, Any]:
    paper.metadata["sources"][0]["uri"] = "x.pdf"
    start = paper.page_content.index(words)
    [place] = places_of(paper, Span("", start, start + len(words)))
    return dict(place)


def test_a_character_beyond_the_basic_plane_is_one_character() -> None:
    content = pdf(
        [(72.0, 700.0, 10.0, "A group of size G = 7 birds of kind ~.")], unicode={"G": "𝐺", "~": "\U0001f426"}
    )
    assert read(Pdf(), content, "x.pdf").page_content == "A group of size 𝐺 = 7 birds of kind \U0001f426."


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([(72.0, 700.0, 10.0, "S"), (80.0, 700.0, 10.0, "¨"), (78.9, 700.0, 10.0, "uderland")], "Süderland"),
        ([(72.0, 700.0, 10.0, "Garc"), (94.0, 700.0, 10.0, "¸"), (97.0, 700.0, 10.0, "on")], "Garçon"),
        ([(72.0, 700.0, 10.0, "Val"), (86.3, 700.0, 10.0, "´"), (86.2, 700.0, 10.0, "i")], "Valí"),
        (
            [(72.0, 700.0, 10.0, "The n¨achste Stra´se is caf´e near it´s end")],
            "The nächste Stra´se is café near it´s end",
        ),
        ([(72.0, 700.0, 10.0, "Ma"), (81.4, 700.0, 10.0, "ˆ"), (85.4, 700.0, 10.0, "tre")], "Mâtre"),
        ([(72.0, 700.0, 10.0, "the `old' name and voil`a")], "the `old' name and voilà"),
    ],
)
def test_an_accent_over_or_before_a_letter_is_one_letter_with_it(rows: list[Row], text: str) -> None:
    assert text_of(*rows) == text


def test_a_letter_and_a_mark_that_combine_are_one_letter() -> None:
    content = pdf([(72.0, 700.0, 10.0, "We saw Ma#ana and O%land.")], unicode={"#": "n\u0303", "%": "\u0308"})
    assert read(Pdf(), content, "x.pdf").page_content == "We saw Mañana and Öland."


def test_a_capital_and_small_capitals_are_one_word() -> None:
    title = [
        (72.0, 700.0, 10.0, "S"), (79.5, 700.0, 8.0, "WA"), (93.6, 700.0, 10.0, "L"), (100.2, 700.0, 8.0, "LOW"),
        (126.0, 700.0, 10.0, "S"), (133.5, 700.0, 8.0, "URVEY"), (168.0, 700.0, 8.0, "AND"),
        (191.0, 700.0, 10.0, "N"), (199.1, 700.0, 8.0, "EST"),
    ]  # fmt: skip
    assert text_of(*title) == "SWALLOW SURVEY AND NEST"


SIDEWAYS = [
    shown_at(60.0, 500.0 - 20 * n, 11.0, f"Station {name} recorded {n}7 birds in May.")
    for n, name in enumerate(("Quill", "Reed", "Sedge"), 1)
]
UPRIGHT = [(72.0, 740.0, 17.0, "Counts of birds"), (72.0, 700.0, 10.0, "We counted birds in May.")]


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("turn", [b"1 0 0 1 0 0", b"0 1 -1 0 612 0", b"-1 0 0 -1 612 792", b"0 -1 1 0 0 792"])
def test_a_turned_page_is_read_in_order_and_its_boxes_are_those_of_the_page_shown(
    rotate: int, turn: bytes
) -> None:
    content = pdf(list(UPRIGHT), b"q %s cm\n%sQ" % (turn, b"".join(SIDEWAYS)), rotate=rotate)
    paper = read(Pdf(), content, "x.pdf")
    assert paper.page_content.split("\n\n")[1] == (
        "Station Quill recorded 17 birds in May. Station Reed recorded 27 birds in May. Station Sedge recorded 37 birds in May."
    )
    assert not paper.metadata.get("lost")
    ink = pypdfium2.PdfDocument(content)[1].render(scale=1).to_numpy()[:, :, 0] < 128
    for name in ("Quill", "Reed", "Sedge"):
        left, top, right, bottom = place_of(paper, f"Station {name}")["box"]
        assert ink[top:bottom, left:right].sum() > 100
        ink[max(top - 2, 0) : bottom + 3, max(left - 2, 0) : right + 3] = False
    assert not ink.any()


def test_text_that_stands_another_way_than_its_page_is_reported() -> None:
    stray = b"q 0 1 -1 0 400 0 cm\n%sQ" % shown_at(300.0, 0.0, 10.0, "Birds a year")
    paper = read(Pdf(), pdf(b"".join(shown_at(*row) for row in UPRIGHT) + stray), "x.pdf")
    assert paper.page_content == "We counted birds in May."
    assert paper.metadata["lost"] == [
        "page 1: 1 line of text that stands another way than the rest ('Birds a year')"
    ]


@pytest.mark.parametrize(
    ("first", "second", "read"),
    [
        ("We tried a self-", "learning nest box.", "a self-learning nest box"),
        ("It is a state-of-the-", "art nest box.", "a state-of-the-art nest box"),
        ("Birds sing for infor-", "mation of others.", "for information of others"),
        ("We use a re-", "ranking of the nests.", "a reranking of the nests"),
        ("The counts were token-", "ised by hand.", "were tokenised by hand"),
        ("The phosphoryl-", "ation was slow.", "The phosphorylation was slow"),
        ("The ring has type ABC-", "12 in our list.", "type ABC-12 in our list"),
        ("Eggs weigh 10-", "20 g each.", "weigh 10-20 g each"),
        ("Of our Aqu-", "ilaBox one was kept.", "our AquilaBox one"),
        ("The INFOR-", "MATION was kept.", "The INFORMATION was kept"),
        ("We saw pre-", "and post-season birds.", "saw pre- and post-season birds"),
        ("A nest-box count or a nest-", "box survey.", "or a nest-box survey"),
        ("Der Bienen-", "stock steht bei uns am Haus und die Vögel sind auch da.", "Der Bienenstock steht"),
    ],
)
def test_a_hyphen_at_the_end_of_a_line_goes_only_where_it_parts_a_word(
    first: str, second: str, read: str
) -> None:
    assert read in text_of((72.0, 700.0, 10.0, first), (72.0, 688.0, 10.0, second))


WORDS = "swift tern wren rook crane heron finch egret stork robin".split()


def column(left: float, top: float, count: int, first: str = "", last: str = "") -> list[Row]:
    """Lines of a column without a full stop, one of which may be given at either end."""
    rows = [
        f"the {WORDS[n % 10]} and the {WORDS[(3 * n + 1) % 10]} were seen near a pond," for n in range(count)
    ]
    rows = [first or rows[0], *rows[1:-1], last or rows[-1]]
    return [(left, top - 12 * n, 10.0, text) for n, text in enumerate(rows)]


NOTES: list[list[Row]] = [
    [(72.0, 90.0, 8.0, "* Write to: birds@example.org"), (72.0, 80.0, 8.0, "or to the club.")],
    [(72.0, 90.0, 8.0, "2 The list of ponds is on request."), (72.0, 80.0, 8.0, "3 Or on a map.")],
    [(75.0, 93.0, 5.0, "4"), (79.0, 90.0, 8.0, "The list of ponds is on request.")],
    [(72.0, 90.0, 8.0, "Permission to copy is given for free.")],
]


@pytest.mark.parametrize("notes", NOTES)
@pytest.mark.parametrize(
    "goes_on", ["grew tall there and none was cut.", "GPS tags told that they had come from far."]
)
@pytest.mark.parametrize("over_page", [False, True])
def test_a_paragraph_that_a_note_divides_is_whole_and_the_note_stands_behind_it(
    notes: list[Row], goes_on: str, over_page: bool
) -> None:
    title = (72.0, 740.0, 17.0, "Counts of birds")
    end = "the reeds near this pond of all the ponds in there"
    if over_page:
        pages = [[title, *column(72.0, 700.0, 45, last=end), *notes], column(72.0, 700.0, 30, goes_on)]
    else:
        pages = [[title, *column(72.0, 700.0, 45, last=end), *notes, *column(330.0, 700.0, 45, goes_on)]]
    paper = read(Pdf(), pdf(*pages), "x.pdf")
    first, *behind = paper.page_content.split("\n\n")
    assert {row["kind"] for row in paper.metadata["sections"]} == {"body", "footnote"}
    assert f"{end} {goes_on}" in first
    assert "".join(" ".join(behind).split()) == "".join(" ".join(row[3] for row in notes).split())


def test_small_type_that_a_page_is_full_of_is_no_note() -> None:
    small = [(72.0, 640.0 - 10 * n, 8.0, f"{n} the {WORDS[n % 10]} of the list.") for n in range(1, 50)]
    rows = [(72.0, 740.0, 17.0, "Counts of birds"), *column(72.0, 700.0, 3, last="This is the list.")]
    more = column(72.0, 700.0, 50)
    assert (
        "1 the tern of the list. 2 the wren" in read(Pdf(), pdf([*rows, *small], more), "x.pdf").page_content
    )


def test_a_word_that_only_the_list_knows_is_joined_in_the_process_that_reads(tmp_path: Path) -> None:
    rows = [
        (72.0, 700.0, 10.0, "Birds sing for their self-"),
        (72.0, 688.0, 10.0, "defence and for infor-"),
        (72.0, 676.0, 10.0, "mation."),
    ]
    (tmp_path / "x.pdf").write_bytes(pdf([(72.0, 740.0, 17.0, "Counts of birds"), *rows]))
    with Reader(Files()) as reader:
        [[paper]] = reader.read(tmp_path / "x.pdf")
    assert paper.page_content == "Birds sing for their self-defence and for information."
