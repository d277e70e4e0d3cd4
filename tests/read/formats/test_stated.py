"""Affiliations, funders and the last update, as documents of each format state them."""

from __future__ import annotations

from typing import Any

import pytest
from read.formats.test_documents import JATS, read

from ragkit.read.formats.jats import Jats
from ragkit.read.formats.stated import iso_date, listed, updated_in


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
