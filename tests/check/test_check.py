"""Texts held against the corpus: verdicts, quotes for and against, references, and what is missing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import ragkit
from ragkit import check as flow
from ragkit.answer import Verdict
from ragkit.check import bibliography
from ragkit.check.result import Check, CheckedClaim
from ragkit.errors import NoCorpus, UsageError
from ragkit.flow import Called, steps

CONFIG = """
corpus: corpus
define:
  dense: &dense {type: flat, embed: hashed}
  words: &words {type: bm25}
ingest: {read: files, chunk: sentence, index: [*dense, *words]}
answer:
  retrieve: [{type: dense, store: *dense, k: 20}, {type: lexical, index: *words, k: 20}]
  refine: {type: top, k: 4}
  generate: {type: extractive, embed: hashed}
  verify: evidence
"""
BRIDGES = """---
title: On Glass Bridges
authors: [Ann Archer, Bob Bell]
year: 2020
doi: 10.1234/glass
---

Glass bridges carry 40 people at a time. They are tested every year by an engineer. Wooden bridges are cheaper, but
do not last. The tests increased the cost of the glass bridges.
"""
BOATS = """---
title: Boats of the North
authors: [Cid van der Berg, Dora Dean, Eve East]
year: 2019
---

Northern boats are built of pine. Pine boats last for 25 years in cold water.
"""
BIB = """
@article{archer2020, title={On Glass Bridges}, author={Archer, Ann and Bell, Bob}, year={2020}, doi={10.1234/glass}}
@article{berg2019, title={Boats of the North}, author={van der Berg, Cid and Dean, Dora and East, Eve}, year={2019}}
@article{lost1999, title={Trains of the South}, author={Lost, Finn}, year={1999}}
"""


@pytest.fixture(scope="module")
def rag(tmp_path_factory: pytest.TempPathFactory) -> ragkit.Rag:
    folder = tmp_path_factory.mktemp("check")
    for name, text in (("bridges.md", BRIDGES), ("boats.md", BOATS), ("refs.bib", BIB)):
        (folder / "papers").mkdir(exist_ok=True)
        (folder / "papers" / name).write_text(text)
    (folder / "rag.yaml").write_text(CONFIG)
    made = ragkit.load(folder / "rag.yaml", corpus=folder / "corpus")
    made.ingest(folder / "papers")
    return made


def only(found: Check) -> CheckedClaim:
    [claim] = found.claims
    return claim


def test_a_true_claim_is_supported_by_the_smallest_span(rag: ragkit.Rag) -> None:
    claim = only(rag.check("At a time, glass bridges carry 40 people."))
    assert claim.verdict is Verdict.SUPPORTED
    quote = claim.quotes[0]
    assert quote.quote == "Glass bridges carry 40 people at a time."
    paper = rag.corpus.document(str(quote.document_id))
    assert paper is not None
    assert paper.page_content[quote.start : quote.end] == quote.quote
    assert claim.against is None
    assert claim.missing == ()


@pytest.mark.parametrize(
    ("text", "kind", "against"),
    [
        ("Glass bridges carry 70 people at a time.", "number", "Glass bridges carry 40 people at a time."),
        ("The tests decreased the cost of the glass bridges.", "direction", "The tests increased the cost of the glass bridges."),
        ("The tests did not increase the cost of the glass bridges.", "negation", "The tests increased the cost of the glass bridges."),
    ],
)  # fmt: skip
def test_a_claim_turned_round_is_shown_what_says_otherwise(
    rag: ragkit.Rag, text: str, kind: str, against: str
) -> None:
    claim = only(rag.check(text))
    assert claim.verdict is Verdict.UNSUPPORTED
    assert claim.against is not None
    assert (claim.against.kind, claim.against.quote) == (kind, against)
    assert claim.reason == claim.against.reason


def test_what_no_passage_has_is_named(rag: ragkit.Rag) -> None:
    claim = only(rag.check("Glass bridges carry 40 elephants to Zanzibar."))
    assert claim.verdict is Verdict.UNSUPPORTED
    assert claim.missing == ("elephants", "Zanzibar")


def test_a_sentence_is_cut_into_parts_where_only_some_are_supported(rag: ragkit.Rag) -> None:
    text = "Glass bridges carry 40 people at a time, and pine boats last for 60 years in cold water."
    one, two = rag.check(text).claims
    assert (one.verdict, two.verdict) == (Verdict.QUOTED, Verdict.UNSUPPORTED)
    assert (one.text, two.text) == ("Glass bridges carry 40 people at a time", text[45:])
    assert text[two.start : two.end] == two.text


def test_headings_and_questions_are_no_claims_and_lines_are_counted(rag: ragkit.Rag) -> None:
    text = (
        "# Bridges of today\n\nWho built them?\n\nHow they are\n\nGlass bridges carry 40 people at a time.\n"
    )
    claim = only(rag.check(text))
    assert (claim.line, text[claim.start : claim.end]) == (7, claim.text)


# --- references


@pytest.mark.parametrize(
    "written",
    [
        "Glass bridges carry 40 people at a time [2].\n\n[2] Archer and Bell. On Glass Bridges. 2020.\n",
        "Glass bridges carry 40 people at a time [1].\n\n## References\n[1] A. Archer. doi:10.1234/glass.\n",
        r"Glass bridges carry 40 people at a time \cite{archer2020}.",
        r"\section{Old} Glass \emph{bridges} carry 40 people at a time~\citep[p.~1]{archer2020}.",
        "Glass bridges carry 40 people at a time [@archer2020].",
        "Glass bridges carry 40 people at a time (Archer and Bell, 2020).",
        "Glass bridges carry 40 people at a time (Archer et al., 2020).",
        "Archer and Bell (2020) show that glass bridges carry 40 people at a time.",
        "However, Archer and Bell (2020) report that glass bridges carry 40 people at a time.",
        "Glass bridges carry 40 people at a time (Archer & Bell, 2021).",
    ],
)
def test_a_mark_of_each_kind_means_its_paper(rag: ragkit.Rag, written: str) -> None:
    claim = only(rag.check(written))
    [reference] = claim.references
    assert reference.title == "On Glass Bridges"
    assert claim.verdict.holds
    assert reference.verdict.holds


def test_what_another_paper_says_is_not_what_the_cited_one_says(rag: ragkit.Rag) -> None:
    claim = only(rag.check("Glass bridges carry 40 people at a time (van der Berg et al., 2019)."))
    assert claim.verdict is Verdict.UNSUPPORTED
    assert claim.references[0].title == "Boats of the North"
    assert claim.references[0].verdict is Verdict.UNSUPPORTED
    assert claim.elsewhere is not None
    assert claim.elsewhere.title == "On Glass Bridges"


def test_each_part_is_held_against_what_it_cites(rag: ragkit.Rag) -> None:
    text = (
        "Glass bridges carry 40 people at a time [@archer2020], and pine boats last for 25 years in cold water [@archer2020; @berg2019];"
        " northern boats are built of pine [@archer2020]."
    )
    assert [claim.verdict for claim in rag.check(text).claims] == [
        Verdict.QUOTED,
        Verdict.QUOTED,
        Verdict.UNSUPPORTED,
    ]


@pytest.mark.parametrize(
    ("written", "verdict", "reason"),
    [
        ("Kites fly [4].", Verdict.UNRESOLVED, "there is no list of references with a [4]"),
        ("Kites fly [4].\n\nReferences\n[1] On Glass Bridges.", Verdict.UNRESOLVED, "the list of references has no [4]"),
        ("Kites fly [@nobody].", Verdict.UNRESOLVED, "no bibliography has the key 'nobody'"),
        ("Kites fly [1].\n\nReferences\n[1] Kites of the East.", Verdict.UNCHECKED, "the corpus does not hold this paper"),
        ("Kites fly (Zorg et al., 2020).", Verdict.UNCHECKED, "the corpus holds no paper by Zorg et al. of 2020"),
    ],
)  # fmt: skip
def test_a_mark_that_names_no_paper_of_the_corpus_says_why(
    rag: ragkit.Rag, written: str, verdict: Verdict, reason: str
) -> None:
    claim = only(rag.check(written))
    assert (claim.verdict, claim.reason) == (verdict, reason)


def test_references_may_stand_in_a_file(rag: ragkit.Rag, tmp_path: Path) -> None:
    (tmp_path / "own.bib").write_text(BIB.replace("archer2020", "mine"))
    (tmp_path / "own.txt").write_text("[7] Archer. On Glass Bridges.\n")
    said = "Glass bridges carry 40 people at a time"
    for mark, file in (("[@mine]", "own.bib"), ("[1]", "own.bib"), ("[7]", "own.txt")):
        assert only(rag.check(f"{said} {mark}.", tmp_path / file)).verdict.holds
    lost = only(rag.check("Trains roll (Lost, 1999).", tmp_path / "own.bib"))
    assert (lost.verdict, lost.references[0].title) == (Verdict.UNCHECKED, "Trains of the South")


def test_an_entry_without_a_title_describes_no_paper_that_has_none_either(tmp_path: Path) -> None:
    (tmp_path / "rag.yaml").write_text(CONFIG)
    made = ragkit.load(tmp_path / "rag.yaml", corpus=tmp_path / "corpus")
    (tmp_path / "kites.txt").write_text("Kites fly over the sea, and they come back.\n")
    made.ingest(tmp_path / "kites.txt")
    made.add("Kites fly over the sea at noon.")
    (tmp_path / "own.bib").write_text("@misc{fisher2001, author={Fisher, Ada}, year={2001}}\n")
    claim = only(made.check("Kites fly over the sea [@fisher2001].", tmp_path / "own.bib"))
    assert (claim.verdict, claim.reason) == (Verdict.UNCHECKED, "the corpus does not hold this paper")


def test_files_of_references_that_cannot_be_read_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty.bib").write_text("% nothing\n")
    (tmp_path / "bad.bib").write_text("@article{a, title={x}, year\n")
    for name in ("empty.bib", "none.bib"):
        with pytest.raises(UsageError, match=name):
            bibliography(tmp_path / name)


# --- the flow


def test_the_async_twin_finds_the_same(rag: ragkit.Rag) -> None:
    text = "Glass bridges carry 70 people at a time (Archer and Bell, 2020). Pine boats last for 25 years."
    found, again = rag.check(text), asyncio.run(rag.acheck(text))
    assert found.claims == again.claims
    assert found.timings_ms.keys() == again.timings_ms.keys() >= {"retrieve", "verify", "total"}


def test_all_claims_are_searched_for_at_once(rag: ragkit.Rag) -> None:
    given = flow.CheckRequest(
        rag.snapshot(), "Glass bridges carry 40 people. Pine boats last. Boats are built of pine."
    )
    called = [e for e in steps(flow.flow(rag.answer_pipeline, given)) if isinstance(e, Called)]
    assert sum(each.stage == "retrieve" for each in called) == 2


def test_a_filter_limits_what_a_text_is_held_against(rag: ragkit.Rag) -> None:
    said = "Glass bridges carry 40 people at a time."
    assert rag.check(said, where="year >= 2020").is_supported
    assert not rag.check(said, where="year < 2020").is_supported


def test_a_claim_in_latex_is_shown_as_it_stands_in_the_file(rag: ragkit.Rag) -> None:
    said = r"Glass bridges carry people in \SI{88}{\percent}"
    found = rag.check(rf"\documentclass{{article}}\begin{{document}}{said}\end{{document}}")
    assert only(found).text == said


@pytest.fixture(scope="module")
def revised(tmp_path_factory: pytest.TempPathFactory) -> ragkit.Rag:
    """A corpus with a paper of which the second version corrects a number."""
    folder = tmp_path_factory.mktemp("revised")
    (folder / "papers").mkdir()
    for number, share in ((1, 71), (2, 84)):
        front = f"title: On Raising Terns\nauthors: [Ann Archer]\nyear: 2021\narxiv: 2101.00007v{number}\n"
        text = f"On the island, {share} percent of the young terns were raised on the shingle beach."
        (folder / "papers" / f"v{number}.md").write_text(f"---\n{front}---\n\n{text}\n")
    (folder / "rag.yaml").write_text(CONFIG)
    made = ragkit.load(folder / "rag.yaml", corpus=folder / "corpus")
    made.ingest(folder / "papers")
    return made


@pytest.mark.parametrize("mark", ["", " (Archer, 2021)"])
def test_older_versions_support_a_claim_only_if_they_are_asked_for(revised: ragkit.Rag, mark: str) -> None:
    said = f"On the island, {{}} percent of the young terns were raised on the shingle beach{mark}."
    assert only(revised.check(said.format(84))).verdict is Verdict.QUOTED
    claim = only(revised.check(said.format(71)))
    assert claim.verdict is Verdict.UNSUPPORTED
    assert "84 percent" in claim.quotes[0].quote
    for found in (
        revised.check(said.format(71), versions=True),
        asyncio.run(revised.acheck(said.format(71), versions=True)),
    ):
        claim = only(found)
        assert claim.verdict is Verdict.QUOTED
        assert [each.verdict for each in claim.references] == [Verdict.QUOTED] * bool(mark)
        assert claim.quotes[0].version == "v1, 2021"


def test_a_check_as_json_and_markdown(rag: ragkit.Rag) -> None:
    found = rag.check(
        "Glass bridges carry 70 people at a time [@nobody]. *Pine boats* last for 25 years in cold water."
    )
    plain: dict[str, Any] = found.as_json()
    assert plain["supported"] is False
    assert plain["counts"] == {"supported": 1, "unresolved": 1}
    assert Check.model_validate({k: v for k, v in plain.items() if k in Check.model_fields}) == found
    report = found.as_markdown()
    assert report.startswith("# Check\n\n2 claims: 1 supported, 1 unresolved.\n\n## Not supported\n")
    assert r"\[@nobody\]" in report
    assert r"\*Pine boats\*" in report


@pytest.mark.parametrize(
    ("text", "message"), [(" \n", "there is no text to check"), ("# Bridges\n\nWho?", "it has no statement")]
)
def test_a_text_without_a_claim_is_one_sentence(rag: ragkit.Rag, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rag.check(text)


def test_an_empty_corpus_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "rag.yaml").write_text(CONFIG)
    (tmp_path / "papers").mkdir()
    empty = ragkit.load(tmp_path / "rag.yaml", corpus=tmp_path / "corpus")
    with pytest.raises(NoCorpus, match="there is no corpus"):
        empty.check("Kites fly.")
    empty.ingest(tmp_path / "papers")
    with pytest.raises(NoCorpus, match="holds no text to check against"):
        empty.check("Kites fly.")
