"""The title, authors, year and identifiers of a PDF: from its first page, its margin and its properties."""

from __future__ import annotations

import re
from typing import Any

import pytest
from read.formats.test_documents import pdf, read
from support import SHARED

from ragkit.read.files import Files
from ragkit.read.formats.pdf import Pdf
from ragkit.read.formats.pdf.names import names_in

Row = tuple[float, float, float, str]

TEXT = [
    (72.0, 560.0 - 12 * n, 10.0, "The sampled roofs were covered by moss in every year.") for n in range(9)
]


def front(*rows: Row, name: str = "x.pdf", more: tuple[list[Row], ...] = ()) -> dict[str, Any]:
    return read(Pdf(), pdf([*rows, *TEXT], *more), name).metadata


@pytest.mark.parametrize("above", ["Northern Field Letters", "Download", "MOSS & MOULD"])
def test_larger_type_over_the_title_is_a_masthead(above: str) -> None:
    known = front(
        (72.0, 740.0, 26.0, above),
        (72.0, 715.0, 9.0, "Research Article"),
        (72.0, 680.0, 17.0, "Moss growth on slate roofs of the"),
        (72.0, 660.0, 17.0, "northern coast"),
        (72.0, 640.0, 11.0, "Ines Kvale and Piet Brun"),
    )
    assert known["title"] == "Moss growth on slate roofs of the northern coast"
    assert known["authors"] == ["Ines Kvale", "Piet Brun"]


def test_the_title_of_a_repositorys_copy_stands_behind_its_cover_page() -> None:
    cover: list[Row] = [
        (72.0, 740.0, 22.0, "Portal of a University"),
        (72.0, 700.0, 11.0, "This is the accepted version of: Gull chicks on flat roofs"),
        (72.0, 660.0, 10.0, "Downloaded from the portal. All rights are kept."),
    ]
    paper: list[Row] = [
        (72.0, 740.0, 17.0, "Gull chicks on flat roofs"),
        (72.0, 710.0, 11.0, "Mei Sato"),
        *TEXT,
    ]
    known = read(Pdf(), pdf(cover, paper), "x.pdf").metadata
    assert (known["title"], known["authors"]) == ("Gull chicks on flat roofs", ["Mei Sato"])


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("Ann Lee1,2, Bo de Vries*, and Carla M. O'Neil3", ["Ann Lee", "Bo de Vries", "Carla M. O'Neil"]),
        ("Ann Lee∗1 Bo Chen†2", ["Ann Lee", "Bo Chen"]),
        ("Jean-Luc Noël & Ó. Briem", ["Jean-Luc Noël", "Ó. Briem"]),
        ("김 창 호*", ["김창호"]),
        ("Department of Computer Science", []),
        ("1Lund University", []),
        ("Moss growth on roofs", []),
        ("January 3, 2024", []),
    ],
)
def test_names_are_told_from_affiliations_and_marks(line: str, names: list[str]) -> None:
    assert names_in([line]) == names


def test_names_that_only_wide_gaps_divide_are_several() -> None:
    known = front(
        (72.0, 740.0, 16.0, "Moss growth on slate roofs"),
        (72.0, 710.0, 11.0, "Ann Lee"),
        (122.0, 710.0, 11.0, "Bo Chen"),
        (72.0, 695.0, 11.0, "University of Lund"),
    )
    assert known["authors"] == ["Ann Lee", "Bo Chen"]


@pytest.mark.parametrize(
    ("line", "name", "known"),
    [
        ("12 March 2019", "x.pdf", {"year": 2019}),
        ("Received 3 May 2018", "x.pdf", {"year": 2018}),
        ("doi:10.5555/moss.7 (c) 2017 The Authors", "x.pdf", {"doi": "10.5555/moss.7", "year": 2017}),
        ("doi:10.1145/nnnnnnn.nnnnnnn", "x.pdf", {}),
        ("Data are at https://doi.org/10.5281/zenodo.77", "x.pdf", {}),
        (
            "In the year 2011 it rained",
            "2305.03393v2.pdf",
            {"arxiv": "2305.03393", "year": 2023, "version": "2"},
        ),
    ],
)
def test_year_and_identifiers_are_what_the_page_states(line: str, name: str, known: dict[str, Any]) -> None:
    found = front((72.0, 740.0, 16.0, "Moss growth on slate roofs"), (72.0, 700.0, 9.0, line), name=name)
    assert {k: found[k] for k in ("year", "doi", "arxiv", "version") if k in found} == known


@pytest.mark.skipif(not (SHARED / "cases").is_dir(), reason="the shared cases are not there")
@pytest.mark.parametrize("case", ["K01_masthead", "K01_cover_page"])
def test_papers_of_one_journal_or_portal_have_their_own_titles(case: str) -> None:
    titles = [
        p.metadata["title"] for path in Files().under([SHARED / "cases" / case]) for p in Files().each(path)
    ]
    assert len(set(titles)) == len(titles)
    assert not [title for title in titles if re.match("Northern Field|University of", title)]
