"""Papers as records of XML: PubMed, Atom, Zotero's RDF and TEI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from ragkit.document import Span, places_of
from ragkit.errors import LoadError
from ragkit.read.files import Files
from ragkit.read.formats import TextFormat
from ragkit.read.formats.tei import Tei
from ragkit.read.formats.xml_records import Atom, PubMed, ZoteroRdf


def told(paper: Document) -> dict[str, Any]:
    return {k: v for k, v in paper.metadata.items() if k not in ("sources", "sections", "bibliography")}


def in_file(file: str, paper: Document, words: str) -> str:
    """What stands in the file where a paper has these words."""
    start = paper.page_content.index(words)
    paper.metadata["sources"][0]["uri"] = "x"
    [place] = places_of(paper, Span("", start, start + len(words)))
    return file[place["start"] : place["end"]]


PUBMED = """<?xml version="1.0"?>
<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2019//EN" "https://example.org/pubmed.dtd">
<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID>7</PMID><Article>
<Journal><JournalIssue><Volume>3</Volume><PubDate><MedlineDate>1998 Nov-Dec</MedlineDate></PubDate></JournalIssue><Title>Bridge letters</Title></Journal>
<ArticleTitle>Glass &amp; <i>steel</i> bridges.</ArticleTitle><ELocationID EIdType="doi">10.5555/g.1</ELocationID>
<Abstract><AbstractText Label="RESULTS">They carry 4 &lt; 5 people of 10<sup>3</sup>.</AbstractText>
<AbstractText Label="METHODS">We  jump.</AbstractText></Abstract>
<AuthorList><Author><LastName>Roe</LastName><ForeName>Ann</ForeName></Author><Author><CollectiveName>The Jumpers</CollectiveName></Author></AuthorList>
</Article><KeywordList><Keyword>glass</Keyword></KeywordList></MedlineCitation>
<PubmedData><ArticleIdList><ArticleId IdType="pmc">PMC9</ArticleId></ArticleIdList></PubmedData></PubmedArticle>
<PubmedArticle><MedlineCitation><PMID>8</PMID><Article><ArticleTitle>On ropes</ArticleTitle></Article></MedlineCitation></PubmedArticle>
</PubmedArticleSet>
"""

ATOM = """<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:arxiv="http://arxiv.org/schemas/atom">
  <title>ArXiv Query</title>
  <entry><id>http://arxiv.org/abs/2101.00001v2</id><published>2021-01-01T00:00:00Z</published><title>Glass
  bridges</title><summary>  We jump on
  bridges.</summary><author><name>Ann Roe</name></author><author><name>Ed Poe</name></author>
  <arxiv:doi>10.5555/g.1</arxiv:doi><arxiv:journal_ref>Bridge Lett. 3 (2021)</arxiv:journal_ref><category term="cs.CL"/></entry>
  <entry><id>https://example.org/7</id><title>Ropes</title><summary type="html">&lt;p&gt;They &lt;i&gt;sway&lt;/i&gt; &amp;amp; hold.&lt;/p&gt;</summary></entry>
</feed>
"""

RDF = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:z="http://www.zotero.org/namespaces/export#"
 xmlns:dcterms="http://purl.org/dc/terms/" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:bib="http://purl.org/net/biblio#" xmlns:foaf="http://xmlns.com/foaf/0.1/">
<bib:Article rdf:about="#item_1"><z:itemType>journalArticle</z:itemType><dcterms:isPartOf rdf:resource="urn:issn:1"/>
 <bib:authors><rdf:Seq><rdf:li><foaf:Person><foaf:surname>Roe</foaf:surname><foaf:givenName>Ann</foaf:givenName></foaf:Person></rdf:li></rdf:Seq></bib:authors>
 <dc:subject>glass</dc:subject><dc:title>Glass bridges</dc:title><dcterms:abstract>They carry
 40 people.</dcterms:abstract><dc:date>May 2012</dc:date><bib:pages>3-9</bib:pages></bib:Article>
<bib:Journal rdf:about="urn:issn:1"><dc:title>Bridge Letters</dc:title><dc:identifier>DOI 10.5555/g.1</dc:identifier></bib:Journal>
<rdf:Description rdf:about="#item_2"><z:itemType>thesis</z:itemType><dc:title>Ropes</dc:title><dc:identifier>DOI 10.5555/r.1</dc:identifier></rdf:Description>
<z:Attachment rdf:about="#item_3"><z:itemType>attachment</z:itemType><dc:title>Full text</dc:title></z:Attachment>
<bib:Memo rdf:about="#item_4"><rdf:value>a note</rdf:value></bib:Memo>
</rdf:RDF>
"""

TEI = """<?xml version="1.0" encoding="UTF-8"?>
<TEI xmlns="http://www.tei-c.org/ns/1.0"><teiHeader><fileDesc><titleStmt><title level="a" type="main">Glass bridges</title></titleStmt>
<sourceDesc><biblStruct><analytic><author><persName><forename type="first">Ann</forename><surname>Roe</surname></persName></author><title level="a">Glass bridges</title></analytic>
<monogr><title level="j">Bridge Letters</title><imprint><date type="published" when="2021-05-01"/></imprint></monogr><idno type="DOI">10.5555/g.1</idno></biblStruct></sourceDesc></fileDesc>
<profileDesc><textClass><keywords><term>glass</term></keywords></textClass><abstract><div><p>They carry people.</p></div></abstract></profileDesc></teiHeader>
<text><body><div><head n="1">Results</head><p>They carry 40 <ref type="bibr">[1]</ref>.</p></div>
<figure type="table"><head>Table 1</head><figDesc>Loads.</figDesc><table><row><cell>span</cell><cell>load</cell></row><row><cell>40 m</cell><cell>3 t</cell></row></table></figure></body>
<back><div type="references"><listBibl><biblStruct><analytic><title>On ropes</title></analytic><monogr><imprint><date>1999</date></imprint></monogr></biblStruct></listBibl></div></back></text></TEI>
"""

FILES: list[tuple[TextFormat, str]] = [(PubMed(), PUBMED), (Atom(), ATOM), (ZoteroRdf(), RDF), (Tei(), TEI)]


def test_a_record_of_pubmed_is_a_paper() -> None:
    first, second = PubMed().papers("x.xml", PUBMED.encode())
    assert told(first) == {
        "title": "Glass & steel bridges",
        "authors": ["Ann Roe", "The Jumpers"],
        "year": 1998,
        "venue": "Bridge letters",
        "doi": "10.5555/g.1",
        "pmid": "7",
        "pmcid": "PMC9",
        "keywords": ["glass"],
    }
    assert first.page_content == "They carry 4 < 5 people of 10^3.\n\nWe jump."
    assert in_file(PUBMED, first, "4 < 5") == "4 &lt; 5"
    assert [(s["path"], s["kind"]) for s in first.metadata["sections"]] == [
        (["Results"], "abstract"),
        (["Methods"], "abstract"),
    ]
    assert told(second) == {"title": "On ropes", "pmid": "8"}
    assert PUBMED[second.metadata["sources"][0]["start"] :].startswith("<PubmedArticle>")


def test_an_entry_of_a_feed_is_a_paper() -> None:
    first, second = Atom().papers("x.xml", ATOM.encode())
    assert told(first) == {
        "title": "Glass bridges",
        "authors": ["Ann Roe", "Ed Poe"],
        "year": 2021,
        "venue": "Bridge Lett. 3 (2021)",
        "doi": "10.5555/g.1",
        "arxiv": "2101.00001",
        "url": "http://arxiv.org/abs/2101.00001v2",
        "keywords": ["cs.CL"],
    }
    assert first.page_content == "We jump on bridges."
    assert in_file(ATOM, first, "on bridges") == "on\n  bridges"
    assert second.page_content == "They sway & hold."
    assert in_file(ATOM, second, "&") == "&amp;amp;"
    assert in_file(ATOM, second, "way") == "way"


def test_an_item_of_zotero_is_a_paper() -> None:
    first, second = ZoteroRdf().papers("x.rdf", RDF.encode())
    assert told(first) == {
        "title": "Glass bridges",
        "authors": ["Ann Roe"],
        "year": 2012,
        "venue": "Bridge Letters",
        "doi": "10.5555/g.1",
        "pages": "3-9",
        "keywords": ["glass"],
    }
    assert first.page_content == "They carry 40 people."
    assert in_file(RDF, first, "carry 40") == "carry\n 40"
    assert told(second) == {"title": "Ropes", "doi": "10.5555/r.1"}


def test_a_container_of_several_items_lends_no_doi() -> None:
    shared = RDF.replace(
        "<z:itemType>thesis</z:itemType>",
        '<z:itemType>thesis</z:itemType><dcterms:isPartOf rdf:resource="urn:issn:1"/>',
    )
    first, second = ZoteroRdf().papers("x.rdf", shared.encode())
    assert "doi" not in first.metadata
    assert second.metadata["doi"] == "10.5555/r.1"
    assert first.metadata["venue"] == second.metadata["venue"] == "Bridge Letters"


def test_a_document_of_tei_is_a_paper() -> None:
    [paper] = Tei().papers("x.xml", TEI.encode())
    assert told(paper) == {
        "title": "Glass bridges",
        "authors": ["Ann Roe"],
        "year": 2021,
        "venue": "Bridge Letters",
        "doi": "10.5555/g.1",
        "keywords": ["glass"],
    }
    rows = [(s["kind"], paper.page_content[s["start"] : s["end"]]) for s in paper.metadata["sections"]]
    assert rows == [
        ("abstract", "They carry people."),
        ("heading", "1 Results"),
        ("body", "They carry 40 [1]."),
        ("caption", "Table 1 Loads."),
        ("table", "span | load\n40 m | 3 t"),
        ("references", "On ropes 1999"),
    ]


@pytest.mark.parametrize(("form", "file"), FILES)
def test_each_is_told_by_its_root(form: TextFormat, file: str, tmp_path: Path) -> None:
    assert [type(each) for each, _ in FILES if each.recognises("x.xml", file.encode())] == [type(form)]
    (tmp_path / "x.txt").write_text(file)
    papers = list(Files().each(tmp_path / "x.txt"))
    assert [p.page_content for p in papers] == [p.page_content for p in form.papers("x", file.encode())]
    assert not form.recognises("x.xml", b"<html><body><p>They sway.</p></body></html>")


@pytest.mark.parametrize(
    ("form", "file", "line"),
    [(PubMed(), PUBMED, 3), (Atom(), ATOM, 4), (ZoteroRdf(), RDF, 3)],
)
def test_a_broken_record_costs_itself_and_is_named(form: TextFormat, file: str, line: int) -> None:
    before = list(form.papers("x", file.encode()))
    broken = file.replace("Glass", "Gl<ass", 1)
    [kept] = form.papers("x", broken.encode())
    assert kept.metadata["lost"] == [f"line {line}: the XML of the record is broken"]
    assert kept.page_content == before[1].page_content
    if kept.page_content:
        assert in_file(broken, kept, "way") == "way"
    cut = file[: file.rindex("</")]
    papers = list(form.papers("x", cut.encode()))
    assert [p.page_content for p in papers] == [p.page_content for p in before]


def test_a_file_of_broken_records_and_one_with_entities_fail() -> None:
    with pytest.raises(LoadError, match="line 3: .*; nothing was read from this file"):
        list(PubMed().papers("x", PUBMED.replace("</MedlineCitation>", "").encode()))
    with pytest.raises(LoadError, match="defines entities"):
        list(PubMed().papers("x", b'<!DOCTYPE PubmedArticleSet [<!ENTITY a "b">]>' + PUBMED[130:].encode()))


@given(
    st.sampled_from(FILES),
    st.text("<>&;/=\"' ab\n\u00e9", max_size=9),
    st.integers(0, 2000),
    st.integers(0, 9),
)
def test_any_file_is_read_or_refused(given: tuple[TextFormat, str], noise: str, at: int, lost: int) -> None:
    form, file = given
    broken = file[:at] + noise + file[at + lost :]
    form.recognises("x", broken.encode())
    try:
        papers = list(form.papers("x", broken.encode()))
    except LoadError:
        return
    for paper in papers:
        for start in range(len(paper.page_content)):
            paper.metadata["sources"][0]["uri"] = "x"
            [place] = places_of(paper, Span("", start, start + 1))
            if place["start"] is not None and place["end"] - place["start"] == 1:
                assert paper.page_content[start] == " " or broken[place["start"]] == paper.page_content[start]
