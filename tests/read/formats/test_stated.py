"""Affiliations, funders and the last update, as documents of each format state them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from read.formats.test_documents import HTML, JATS, read
from read.formats.test_front import Row, front
from read.formats.test_xml_records import PUBMED, TEI

from ragkit.errors import LoadError
from ragkit.read.border import Border, encoded
from ragkit.read.files import Files
from ragkit.read.formats.bibliography import BibTex
from ragkit.read.formats.front_matter import front_matter
from ragkit.read.formats.html import Html
from ragkit.read.formats.jats import Jats
from ragkit.read.formats.latex import Latex
from ragkit.read.formats.stated import iso_date, listed, updated_in
from ragkit.read.formats.tagged import Nbib
from ragkit.read.formats.tei import Tei
from ragkit.read.formats.xml_records import PubMed


def test_each_is_listed_once_and_a_paragraph_is_none() -> None:
    assert listed([" Lund  University,", "Lund University", "", "x" * 500, "MIT"]) == [
        "Lund University",
        "MIT",
    ]


@pytest.mark.parametrize(
    ("line", "date"),
    [
        ("Updated: September 25, 2021", "2021-09-25"),
        ("Last updated 3 May 2019.", "2019-05-03"),
        ("(Revised: June 2018)", "2018-06"),
        ("Last update: 2020-02-29", "2020-02-29"),
        ("Date of last revision: 1st March 2004", "2004-03-01"),
        ("Updated: 3/4/2020", ""),
        ("Updated figures from September 25, 2021", ""),
        ("January 26, 2020", ""),
        ("The guideline was updated: May 2019", ""),
    ],
)
def test_a_line_that_says_when_a_document_was_updated_is_a_date(line: str, date: str) -> None:
    assert updated_in(["A title", line]) == date


def test_a_date_with_a_time_is_a_date() -> None:
    assert iso_date("2021-09-25T10:00:00Z") == "2021-09-25"


# --- JATS


def jats(meta: str, back: str = "") -> dict[str, Any]:
    start, end = JATS.index("<contrib-group>"), JATS.index("</contrib-group>") + len("</contrib-group>")
    text = JATS[:start] + meta + JATS[end:].replace("<back>", f"<back>{back}", 1)
    return read(Jats(), text).metadata


def contrib(xrefs: str, kind: str = "author", inside: str = "") -> str:
    rids = "".join(f'<xref ref-type="aff" rid="{rid}"/>' for rid in xrefs.split())
    name = "<name><surname>Roe</surname><given-names>Ann</given-names></name>"
    return f'<contrib contrib-type="{kind}">{name}{rids}{inside}</contrib>'


AFFILIATIONS = """<aff id="a1"><label>1</label>School of Glass, <institution>Lund University</institution>, Sweden
<email>x@lund.se</email></aff><aff id="a2"><sup>2</sup><institution>Institute of Bridges</institution><country>Norway</country></aff>
<aff id="e1">Editors' University</aff>"""


def test_jats_gives_the_affiliations_of_the_authors_but_not_of_the_editors() -> None:
    known = jats(
        f"<contrib-group>{contrib('a1 a2')}{contrib('a1')}</contrib-group>"
        f"<contrib-group>{contrib('e1', 'editor')}</contrib-group>{AFFILIATIONS}"
    )
    assert known["affiliations"] == [
        "School of Glass, Lund University, Sweden",
        "Institute of Bridges, Norway",
    ]


def test_jats_affiliations_may_stand_with_their_authors_or_unmarked() -> None:
    inside = contrib(
        "",
        inside="<aff><institution-wrap><institution-id>grid.1</institution-id><institution>MIT</institution>"
        "</institution-wrap></aff>",
    )
    editor = contrib("", "editor", "<aff>Editors' University</aff>")
    assert jats(f"<contrib-group>{inside}{editor}</contrib-group>")["affiliations"] == ["MIT"]
    assert jats(f"<contrib-group>{contrib('')}<aff>Oslo</aff></contrib-group>")["affiliations"] == ["Oslo"]
    assert jats(f"<contrib-group>{contrib('')}</contrib-group><aff>Bergen</aff>")["affiliations"] == [
        "Bergen"
    ]


FUNDED = """<contrib-group/><funding-group><award-group><funding-source><institution-wrap><institution-id>http://dx.doi.org/10.1/2
</institution-id><institution>Glass Foundation</institution></institution-wrap></funding-source><award-id>7</award-id></award-group>
<award-group><funding-source>Bridge Council</funding-source></award-group><award-group><funding-source>Glass Foundation</funding-source>
</award-group><funding-statement>The funders had no role.</funding-statement></funding-group>"""


def test_jats_gives_the_funders_and_what_is_stated_of_the_funding() -> None:
    known = jats(FUNDED)
    assert known["funding"] == ["Glass Foundation", "Bridge Council"]
    assert known["funding_statement"] == "The funders had no role."
    noted = '<fn-group><fn fn-type="financial-disclosure"><p>Funding: the Roof Fund.</p></fn></fn-group>'
    assert jats("<contrib-group/>", noted)["funding_statement"] == "Funding: the Roof Fund."


def test_thanks_and_conflicts_are_no_funding() -> None:
    known = jats(
        "<contrib-group/>", '<fn-group><fn fn-type="conflict"><p>The Roof Fund pays us.</p></fn></fn-group>'
    )
    assert not {"funding", "funding_statement"} & known.keys()


def test_jats_gives_the_last_update_but_no_other_date_of_its_history() -> None:
    date = '<date date-type="%s"><day>3</day><month>5</month><year>20%s</year></date>'
    received = f"<history>{date % ('rev-recd', '19')}{date % ('accepted', '19')}</history>"
    assert "updated" not in jats(f"<contrib-group/>{received}")
    updates = "".join(f"<event>{date % ('updated', year)}</event>" for year in (20, 22, 21))
    assert jats(f"<contrib-group/><pub-history>{updates}</pub-history>")["updated"] == "2022-05-03"


# --- LaTeX


def latex(preamble: str) -> dict[str, Any]:
    text = f"\\documentclass{{a}}\\title{{T}}{preamble}\\begin{{document}}Glass holds.\\end{{document}}"
    paper = read(Latex(), text, "main.tex")
    assert paper.page_content == "Glass holds."
    return paper.metadata


@pytest.mark.parametrize(
    ("preamble", "affiliations"),
    [
        (r"\author{Ann Roe}\affiliation{Lund University, Sweden}\email{a@b.se}", ["Lund University, Sweden"]),
        (r"\author{Ann Roe}\affil[1]{Dept. of Glass, Universit\"at Ulm}", ["Dept. of Glass, Universität Ulm"]),
        (
            r"\author{A. Roe\inst{1} \and B. Ek\inst{2}}\institute{Lund University \email{a@b.se} \and MIT\\ Boston}",
            ["Lund University", "MIT, Boston"],
        ),
        (r"\author{Ann Roe}\address{CWI, Amsterdam}\address{CWI, Amsterdam}", ["CWI, Amsterdam"]),
        (r"\icmlaffiliation{lund}{Lund University, Sweden}", ["Lund University, Sweden"]),
        (
            r"\affiliation[1]{organization={Fakult\"at f\"ur Glas, Ulm},addressline={Weg 1},postcode={D-1},country={Germany}}",
            ["Fakultät für Glas, Ulm, Germany"],
        ),
        (
            r"\affiliation{%\n  \institution{Lund University}\n  \city{Lund}\n  \country{Sweden}}",
            ["Lund University, Lund, Sweden"],
        ),
        (r"\affil[1]{\orgdiv{Glass}, \orgname{MIT}, \orgaddress{\city{Boston}}}", ["Glass, MIT, Boston"]),
        (r"\affiliations{$^1$Lund University\\ $^2$MIT\\ a@b.se}", ["Lund University", "MIT"]),
        (
            r"\author{Ann Roe\thanks{Paid.\\By us}\\ Google Brain\\ \texttt{a@b.se} \And Bo Ek\footnotemark[1]\\MIT\\ b@b.se}",
            ["Google Brain", "MIT"],
        ),
        (r"\author{Ann Roe, Bo Ek,\\ \textbf{Cy de las Low, Di Orr,}\\ \textbf{Ed Poe}\\ Lund University}", ["Lund University"]),
        (
            r"\author{\IEEEauthorblockN{Ann Roe}\IEEEauthorblockA{\textit{Dept. of Glass} \\ Lund University \\ a@b.se}}",
            ["Dept. of Glass, Lund University"],
        ),
    ],
)  # fmt: skip
def test_latex_gives_affiliations_however_its_class_has_them_written(
    preamble: str, affiliations: list[str]
) -> None:
    assert latex(preamble.replace(r"%\n", "%\n").replace(r"\n ", "\n "))["affiliations"] == affiliations


def test_latex_gives_no_thanks_as_affiliation_and_only_an_update_as_one() -> None:
    known = latex(r"\author{Ann Roe\thanks{New College, Oxford}}\date{May 3, 2019}")
    assert not {"affiliations", "updated"} & known.keys()
    assert latex(r"\date{Last updated: May 3, 2019}")["updated"] == "2019-05-03"


# --- PDF

TITLE: Row = (72.0, 740.0, 16.0, "Moss growth on slate roofs")
NAMES: Row = (72.0, 710.0, 11.0, "Ann Lee1 and Bo Chen2")


@pytest.mark.parametrize(
    ("lines", "affiliations"),
    [
        (["University of Lund"], ["University of Lund"]),
        (["1Institute of Roofs, Lund", "2OpenMoss"], ["Institute of Roofs, Lund", "OpenMoss"]),
        (["1Institute of Roofs, Lund 2University of Ulm"], ["Institute of Roofs, Lund", "University of Ulm"]),
        (["Department of Roofs, Faculty of Moss,", "Lund, Sweden"], ["Department of Roofs, Faculty of Moss, Lund, Sweden"]),
        (["{lee,chen}@inst-of-roofs.org", "https://group.org"], None),
        (["Equal contribution", "May 3, 2019"], None),
        (["Lund University", "Lund University"], ["Lund University"]),
    ],
)  # fmt: skip
def test_a_title_page_gives_the_affiliations_below_the_names(
    lines: list[str], affiliations: list[str] | None
) -> None:
    known = front(TITLE, NAMES, *((72.0, 695.0 - 14 * n, 11.0, line) for n, line in enumerate(lines)))
    assert known["authors"] == ["Ann Lee", "Bo Chen"]
    assert known.get("affiliations") == affiliations
    assert ("affiliations" in known["guessed"]) == bool(affiliations)


def test_an_institution_in_the_text_or_in_larger_type_is_no_affiliation() -> None:
    known = front(
        TITLE, NAMES, (72.0, 690.0, 14.0, "Research of the Institute"), (72.0, 670.0, 10.0, "Abstract")
    )
    assert "affiliations" not in known


def test_a_title_page_says_when_its_document_was_updated() -> None:
    known = front(
        TITLE, NAMES, (72.0, 690.0, 9.0, "May 3, 2019"), (72.0, 675.0, 9.0, "Updated: June 4, 2020")
    )
    assert known["updated"] == "2020-06-04"


# --- pages, bibliographies and records


def test_a_page_gives_what_its_metadata_say() -> None:
    html = HTML.replace(
        "<head>",
        '<head><meta name="citation_author_institution" content="Lund University"><meta name="citation_author_institution"'
        ' content="Lund University"><meta name="citation_funding_source" content="citation_funder=Glass Fund;citation_grant_number=7">'
        '<meta property="article:modified_time" content="2021-05-03T10:00:00Z">',
    )
    known = read(Html(), html).metadata
    assert (known["affiliations"], known["funding"]) == (["Lund University"], ["Glass Fund"])
    assert known["updated"] == "2021-05-03"


def test_an_entry_of_a_bibliography_gives_its_fields() -> None:
    file = "@article{a, title={Glass}, affiliation={Lund University; {MIT}}, funding={Glass Fund}}\n@techreport{b, title={Moss}, institution={Roof Lab}}"
    first, second = (paper.metadata for paper in BibTex().papers("refs.bib", file.encode()))
    assert (first["affiliations"], first["funding"]) == (["Lund University", "MIT"], ["Glass Fund"])
    assert second["affiliations"] == ["Roof Lab"]


def test_records_of_pubmed_give_affiliations_and_funders() -> None:
    nbib = "PMID- 1\nTI  - Glass\nFAU - Roe, Ann\nAD  - Lund University, Lund, Sweden. a@b.se\nGR  - R01/HL/NHLBI NIH HHS/United States\nAB  - It holds.\n"
    [paper] = Nbib().papers("x.nbib", nbib.encode())
    assert paper.metadata["affiliations"] == ["Lund University, Lund, Sweden"]
    told = "<AffiliationInfo><Affiliation>Lund University, Sweden. a@b.se</Affiliation></AffiliationInfo></Author>"
    grants = (
        "</AuthorList><GrantList><Grant><GrantID>7</GrantID><Agency>Glass Fund</Agency></Grant></GrantList>"
    )
    text = PUBMED.replace("</Author>", told, 1).replace("</AuthorList>", grants, 1)
    first, _ = PubMed().papers("x.xml", text.encode())
    assert (first.metadata["affiliations"], first.metadata["funding"]) == (
        ["Lund University, Sweden"],
        ["Glass Fund"],
    )


def test_tei_gives_the_affiliations_of_the_authors_and_the_funders() -> None:
    lab = '<affiliation><orgName type="department">Lab</orgName><orgName>MIT</orgName><country>US</country></affiliation>'
    text = TEI.replace("</persName></author>", f"</persName>{lab}</author>", 1)
    text = text.replace("</titleStmt>", "<funder><orgName>Glass Fund</orgName></funder></titleStmt>", 1)
    [paper] = Tei().papers("x.xml", text.encode())
    assert (paper.metadata["affiliations"], paper.metadata["funding"]) == (["Lab, MIT"], ["Glass Fund"])


@pytest.mark.parametrize(
    "written",
    [
        "affiliation: Lund University; MIT",
        "affiliations: [Lund University, MIT]",
        "institution:\n- name: Lund University\n- MIT",
        "authors:\n- name: Ann\n  affiliation: Lund University\n- name: Bo\n  affiliations: [{name: MIT}]",
    ],
)
def test_front_matter_gives_affiliations_under_any_name(written: str) -> None:
    known, lost = front_matter(f"title: Glass\n{written}\nfunding: Glass Fund\nlast_updated: 2021-05-03\n")
    assert not lost
    assert (known["affiliations"], known["funding"]) == (["Lund University", "MIT"], ["Glass Fund"])
    assert known["updated"] == "2021-05-03"


def test_what_papers_state_passes_the_border_within_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(f"---\naffiliation: {'x' * 300}\n---\nGlass holds.\n")
    [paper] = Files().each(path)
    assert paper.metadata["affiliations"] == ["x" * 300]
    with pytest.raises(LoadError, match="metadata of more than 200 characters"):
        Border(Files(metadata_a_paper=200), path).admitted(encoded([paper]))
