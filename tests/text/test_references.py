"""How a text cites: marks of each kind, the sentence that each belongs to, and lists of references."""

from __future__ import annotations

import pytest

from ragkit.text.references import cited_keys, entries, is_latex, split_references, statements, without_marks


def told(text: str, keys: frozenset[str] = frozenset()) -> list[tuple[str, list[str]]]:
    """Each sentence without its marks, and these as written."""
    return [
        (without_marks(each.masked), [mark.written for _, mark in each.marks])
        for each in statements(text, keys)
    ]


@pytest.mark.parametrize(
    ("text", "claim", "marks"),
    [
        ("Kites fly [1, 3-4].", "Kites fly.", ["[1]", "[3]", "[4]"]),
        ("Kites fly. [2]", "Kites fly.", ["[2]"]),
        ("[2] Kites fly.", "Kites fly.", ["[2]"]),
        ("[2] shows more.", "It shows more.", ["[2]"]),
        ("As shown in [2], kites fly.", "Kites fly.", ["[2]"]),
        ("This helps (see [5]).", "This helps.", ["[5]"]),
        ("- Kites fly [1].", "Kites fly.", ["[1]"]),
        (r"Kites fly~\citep[p.~3]{ann2020, bob}.", "Kites fly.", [r"\cite{ann2020}", r"\cite{bob}"]),
        (r"\citet{ann2020} show that kites fly.", "Kites fly.", [r"\cite{ann2020}"]),
        ("Kites fly [@ann2020, p. 3; @bob].", "Kites fly.", ["[@ann2020]", "[@bob]"]),
        ("Kites fly (Ann et al., 2020).", "Kites fly.", ["(Ann et al., 2020)"]),
        ("Kites fly (see Ann, 2020a; Bob & Cid, 2019).", "Kites fly.", ["(Ann, 2020a)", "(Bob & Cid, 2019)"]),
        ("Kites fly (Ann, 2019, 2020).", "Kites fly.", ["(Ann, 2019)", "(Ann, 2020)"]),
        ("van der Ann and Bob (2020) build kites.", "They build kites.", ["van der Ann and Bob (2020)"]),
        ("Kites flew (in May, 2020).", "Kites flew (in May, 2020).", []),
        ("Kites [flew](http://a.b) there.", "Kites [flew](http://a.b) there.", []),
    ],
)  # fmt: skip
def test_a_mark_names_a_number_a_key_or_people(text: str, claim: str, marks: list[str]) -> None:
    assert told(text) == [(claim, marks)]


def test_a_mark_belongs_to_its_sentence_and_the_offsets_stay() -> None:
    text = "Kites fly [1]. Boats swim (Ann, 2020).\n[3] Trains roll."
    assert [marks for _, marks in told(text)] == [["[1]"], ["(Ann, 2020)"], ["[3]"]]
    assert [text[each.start : each.end] for each in statements(text)][:2] == [
        "Kites fly [1].",
        "Boats swim (Ann, 2020).",
    ]


def test_keys_of_latex_are_known_in_its_print() -> None:
    written = r"Kites fly \cite{ann, bob}. \nocite{cid}"
    assert cited_keys(written) == {"ann", "bob"}
    assert told("Kites fly [ann, bob], not [maybe].", cited_keys(written))[0][1] == [
        r"\cite{ann}",
        r"\cite{bob}",
    ]
    assert is_latex(r"\section{Kites} They fly.")
    assert not is_latex(r"5% of kites fly \cite{ann}.")


@pytest.mark.parametrize(
    "listed",
    [
        "## References\n[1] Ann. On kites.\n[2] Bob. On boats,\n    and more.\n",
        "References\n\n1. Ann. On kites.\n2. Bob. On boats, and more.\n",
        "[1] Ann. On kites.\n[2] Bob. On boats, and more.\n",
        "[^1]: Ann. On kites.\n[^2]: Bob. On boats, and more.\n",
    ],
)
def test_a_list_of_references_is_no_part_of_the_text(listed: str) -> None:
    text = "Kites fly [1]. Boats swim [2].\n\n"
    at, found = split_references(text + listed)
    assert at == len(text)
    assert [tuple(entry) for entry in found] == [("1", "Ann. On kites."), ("2", "Bob. On boats, and more.")]


def test_lines_that_a_mark_opens_are_no_list_unless_they_are_cited_before() -> None:
    text = "Results:\n[1] Kites fly.\n[2] Boats swim.\n"
    assert split_references(text) == (len(text), [])


def test_entries_without_numbers_are_paragraphs() -> None:
    assert [entry.text for entry in entries("Ann. On kites.\n\nBob. On boats.\n")] == [
        "Ann. On kites.",
        "Bob. On boats.",
    ]
