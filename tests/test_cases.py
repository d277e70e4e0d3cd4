"""Small inputs that reproduce what users of tools like this report, each a kind of fault, asked from file to answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import ROOT, SHARED

import ragkit

CASES = SHARED / "cases"
ASKED = [
    ("K01_masthead", "How many harbour seals were found after the storm?", "87"),
    ("K01_cover_page", "How many fox cubs did allotments hold?", "17 fox cubs"),
    ("K01_sametitle", "How many members does the society have?", "1,934"),
    ("K01_versions", "How many gulls did the tip feed?", "1,350"),
    ("K03_pdf_table/papers", "What was the recovery of the Boxter sampler?", "93.7"),
    ("K03_pdf_table/papers", "How much does the Pushlet cost?", "740"),
    ("K03_long_table", "What is the newts value of the Nettle pond?", "76.7"),
    ("K04_line_numbers", "How many tagged fish left the fjord?", "38"),
    ("K04_astral_math", "What is the group size?", "16"),
    ("K04_accents", "How many lichens did Müller count?", "77"),
    ("K04_hyphen", "What did we replace self-attention with?", "low-rank router"),
    ("K04_superscript", "How many algal cells per millilitre did the lagoon hold in June?", "10^5"),
    ("K05_rotated_page", "How much did station Upper mill record?", "12.5"),
    ("K06_split_by_footnote", "Which roof material was best for bats?", "tiled roofs"),
    ("K07_who_when/papers", "Who wrote the paper on budoxal?", "S. Lindh"),
    ("K07_who_when/papers", "When was the oxarin paper published?", "2020"),
    ("K07_who_when/papers", "According to Lindh, how often was headache seen?", "31%"),
    ("K08_caption", "Which three flours are used in the bread tests?", "rye, spelt and emmer"),
    ("K09_list", "What are the three main limitations of reward models?", "cheat the model"),
    ("K09_list", "What are the contributions of the study?", "a planner that needs no map"),
    ("K10_acronym", "What does RIFT stand for?", "River Ice Forecast Testing"),
    ("K12_how_many", "How many salamanders came out after rain?", "45"),
    ("K13_cjk", "丹顶鹤的数量是多少？", "241"),
    ("K13_cjk", "2019年记录了多少种鸟类？", "368"),
    ("K15_siunitx", "How long did we sample?", "5 to 10 min"),
    ("K15_siunitx", "What accuracy does FrogNet reach?", "94.2"),
    ("K15_siunitx", "What did a pond cost?", "40 euros"),
    ("K17_jsonl", "How many voles per hectare did the dyke hold?", "355"),
    ("K17_front_matter", "How many gardens had slow worms?", "26 of 40"),
    ("K18_project_files", "What is the number of ants?", "19 ants"),
    ("K18_zotero_csv", "How many roofs did moss cover?", "412"),
    ("K18_pubmed_xml", "How many bats did turbines kill?", "12 bats"),
    ("K18_pubmed_xml", "How many ticks did deer carry?", "17 ticks"),
    ("K20_docx", "What doubled since 1990?", "snails"),
    ("K22_markdown", "How many gardens had slow worms?", "26"),
    ("K14_nfd", "Wie viele Rotorsegel hatte der Frachter Häsör?", "zwei Rotorsegeln"),
]  # fmt: skip


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ragkit.Rag]:
    return {}


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not beside this checkout")
@pytest.mark.parametrize(("folder", "question", "wanted"), ASKED)
def test_the_answer_to_a_case_is_right_and_shown_as_one(
    folder: str,
    question: str,
    wanted: str,
    corpora: dict[str, ragkit.Rag],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    if folder not in corpora:
        corpora[folder] = ragkit.load(
            ROOT / "configs" / "default.yaml", corpus=tmp_path_factory.mktemp("case")
        )
        corpora[folder].ingest(CASES / folder)
    answer = corpora[folder].ask(question)
    assert answer.abstained is None
    assert wanted in answer.text
    assert all(claim.verdict.holds for claim in answer.claims)


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not beside this checkout")
def test_a_question_about_another_kind_of_bird_is_declined(tmp_path: Path) -> None:
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=tmp_path)
    rag.ingest(CASES / "K11_unseen_lowercase")
    declined = rag.ask("How often does the marsh warbler feed its chicks?").abstained
    assert declined
    assert "'marsh warbler'" in declined.reason
    assert rag.ask("How often does the reed warbler feed its chicks?").abstained is None
