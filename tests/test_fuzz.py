"""Fuzzing: whatever a file holds, it gives papers whose spans hold, or one clear sentence, within its limits.

Twelve hundred files are made from valid ones of every format by cutting, flipping, repeating and mixing their
bytes.
"""

from __future__ import annotations

import csv
import io
import random
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from langchain_core.documents import Document

from ragkit.document import Span, places_of
from ragkit.errors import LoadError
from ragkit.read.files import Files
from ragkit.read.formats import registered_formats
from ragkit.read.process import Reader

MARKDOWN = b"---\ntitle: On Bridges\nyear: 2020\n---\n# On Bridges\n\n## Results\n\nGlass bridges carry **40** people.\n\n## References\n\nA. Smith.\n"
PLAIN = (
    "On Bridges\n\nGlass bridges carry 40 people – and more: “sway”.\r\n\r\nThey hold. 知识检索。\n".encode()
)
JSONL = b'{"_id": "1", "title": "On Bridges", "text": "They \\"carry\\" \\u00e9 people.", "year": 2020}\n' * 3
CSV = b'title,abstract,year\n"On ""Bridges""","They carry, people.",2020\nSteel,Trains.,2021\n'
BIBTEX = (
    b'@article{s20,\n  title = {Glass {B}ridges},\n  author = {Smith, Anna and M{\\"u}ller, Jo},\n  year = 2020,\n  abstract = {They carry.}\n}\n'
    * 2
)
RIS = (
    b"TY  - JOUR\nTI  - Glass Bridges\nAU  - Smith, Anna\nPY  - 2020\nAB  - They carry people.\nER  - \n" * 2
)
LATEX = (
    b"\\documentclass{article}\\newcommand{\\model}{BERT\\xspace}\\title{On Bridges}\\author{A. Smith \\and B. Jones}\n\\begin{document}\\maketitle\n"
    b"\\begin{abstract}We test $x^{2}$ bridges.\\end{abstract}\n\\section{Results}\\label{r} \\model carries 40\\% of people~\\cite{a}.\n"
    b"\\begin{table}\\begin{tabular}{ll}a & b \\\\ c & d\\end{tabular}\\caption{Bridges}\\end{table}\n"
    b"\\begin{thebibliography}{9}\\bibitem{a} A. Smith. 1999.\\end{thebibliography}\\end{document}\n"
)
JATS = (
    '<?xml version="1.0"?><article xmlns:x="y"><front><article-meta><article-id pub-id-type="doi">10.1/2</article-id><title-group>'
    "<article-title>On Bridges</article-title></title-group><abstract><p>We test &lt;glass&gt; – bridges.</p></abstract></article-meta></front>"
    "<body><sec><title>Results</title><p>They carry 10<sup>3</sup> people <xref>1</xref>.</p><table-wrap><label>1</label><caption><p>Loads</p></caption>"
    "<table><tr><td>a</td><td>b</td></tr></table></table-wrap></sec></body><back><ref-list><ref><mixed-citation>A. Smith</mixed-citation></ref></ref-list></back></article>"
).encode()
HTML = (
    b"<!doctype html><html><head><title>On Bridges</title><meta name='citation_author' content='Smith, Anna'></head><body><nav>menu</nav><main>"
    b"<h1>On Bridges</h1><p>They carry 10<sup>3</sup> people &amp; carts.<h2>Results</h2><ul><li>One<li>Two</ul><table><tr><td>a<td>b</table></main></body></html>"
)


def docx() -> bytes:
    import docx

    document = docx.Document()
    document.add_heading("On Bridges", 0)
    document.add_heading("Results", 1)
    document.add_paragraph("Glass bridges carry 40 people.")
    table = document.add_table(1, 2)
    table.cell(0, 0).text = "a"
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def pdf() -> bytes:
    """A page of text, written out."""
    lines = [
        "On Bridges",
        "Abstract",
        "We test glass bridges, which carry infor-",
        "mation and people.",
        "1 Results",
        "They hold 40 people.",
    ]
    text = (
        b"BT /F1 12 Tf 14 TL 72 720 Td " + b" ".join(b"(%s) Tj T*" % line.encode() for line in lines) + b" ET"
    )
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return (
        out
        + b"xref\n0 6\n0000000000 65535 f \n%strailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
        % (table, len(out))
    )


PUBMED = b"""<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID>7</PMID><Article><ArticleTitle>On Bridges</ArticleTitle>
<Abstract><AbstractText Label="RESULTS">They carry 40 &lt; 50 people.</AbstractText></Abstract></Article></MedlineCitation></PubmedArticle>
</PubmedArticleSet>"""
ATOM = b"""<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>http://arxiv.org/abs/2101.00001v2</id><title>On Bridges</title>
<summary>They carry 40 people.</summary><author><name>Ann Roe</name></author></entry></feed>"""
RDF = b"""<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:z="http://www.zotero.org/namespaces/export#"
xmlns:bib="http://purl.org/net/biblio#" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/">
<bib:Article rdf:about="#a"><dc:title>On Bridges</dc:title><dcterms:abstract>They carry 40 people.</dcterms:abstract></bib:Article></rdf:RDF>"""
TEI = b"""<TEI xmlns="http://www.tei-c.org/ns/1.0"><teiHeader><fileDesc><titleStmt><title>On Bridges</title></titleStmt></fileDesc></teiHeader>
<text><body><div><head>Results</head><p>They carry 40 people.</p></div></body></text></TEI>"""
NBIB = b"""PMID- 7
TI  - On Bridges.
AB  - They carry 40 people,
      and more.
AU  - Roe A
DP  - 2019 Nov
"""
SEEDS = {
    "md": MARKDOWN, "txt": PLAIN, "jsonl": JSONL, "csv": CSV, "bib": BIBTEX, "ris": RIS, "tex": LATEX, "xml": JATS, "html": HTML,
    "docx": docx(), "pdf": pdf(), "pubmed.xml": PUBMED, "atom.xml": ATOM, "rdf": RDF, "tei.xml": TEI, "nbib": NBIB,
}  # fmt: skip
SPICES = [
    b"\x00", b"\xff\xfe", b"\xed\xa0\x80", "\u202e\u0301\u200d".encode(), b"\r", b"{" * 300, b"[" * 300, b"<a>" * 300, b"\\begin{x}" * 50,
    b"&amp;&#xD800;&#1114112;&x;", b'"' * 7, b"$$$", b"%", b"\\input{../x}", b"9" * 400, b"]]>", b"<!--", b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
]  # fmt: skip
PER_SEED = 100


def mutated(seed: bytes, chance: random.Random) -> bytes:
    content = bytearray(seed)
    for _ in range(chance.randint(1, 6)):
        at, size = chance.randrange(len(content) + 1), chance.randint(0, 60)
        match chance.randrange(6):
            case 0:
                del content[at:]
            case 1:
                del content[at : at + size]
            case 2:
                content[at:at] = chance.choice(SPICES)
            case 3:
                content[at:at] = content[at : at + size] * chance.randint(1, 40)
            case 4 if content:
                content[at % len(content)] = chance.randrange(256)
            case 5:
                other = chance.choice(list(SEEDS.values()))
                start = chance.randrange(len(other))
                content[at:at] = other[start : start + size * 5]
    return bytes(content)


def holds(paper: Document, content: bytes) -> None:
    """What a paper says of itself is true of its file."""
    text = paper.page_content
    assert isinstance(paper.metadata["title"], str)
    for row in paper.metadata.get("sections", ()):
        assert 0 <= row["start"] <= row["end"] <= len(text)
    for start in range(0, max(len(text) - 5, 1), max(len(text) // 7, 1)):
        for place in places_of(paper, Span("", start, min(start + 5, len(text)))):
            if place["start"] is not None:
                assert 0 <= place["start"] <= place["end"] <= len(content)


@pytest.mark.parametrize("kind", SEEDS)
def test_a_broken_file_gives_papers_that_hold_or_one_sentence(kind: str, tmp_path: Path) -> None:
    chance = random.Random(f"ragkit {kind}")
    ends: Counter[str] = Counter()
    with Reader(Files(seconds_a_file=20, megabytes_a_file=1000)) as reader:
        for number in range(PER_SEED):
            content = SEEDS[kind] if number == 0 else mutated(SEEDS[kind], chance)
            file = tmp_path / f"{number}.{kind}"
            file.write_bytes(content)
            try:
                papers = [paper for some in reader.read(file) for paper in some]
            except LoadError as error:
                said = str(error)
                assert said
                assert "\n" not in said
                assert len(said) < 400
                assert not said.startswith(("reading it took", "reading it takes", "it crashed"))
                assert "it cannot be read: " not in said, f"{file}: an error that no format foresaw: {said}"
                ends["failed"] += 1
            else:
                for paper in papers:
                    holds(paper, content)
                ends["read"] += 1
            assert number > 0 or ends["read"] == 1, "the file as it was is not read"
    assert sum(ends.values()) == PER_SEED


def entity_bomb() -> bytes:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "lol"}">' for n in range(12))
    return f'<?xml version="1.0"?><!DOCTYPE article [{entities}]><article><body><p>&e11;</p></body></article>'.encode()


def zip_bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", b" " * 400_000_000)
    return file.getvalue()


HOSTILE = {
    "an entity bomb": ("bomb.xml", entity_bomb, "entities"),
    "an external entity": ("file.xml", lambda: b'<!DOCTYPE article [<!ENTITY x SYSTEM "file:///etc/passwd">]><article><body>&x;</body></article>', "entities"),
    "a zip bomb": ("bomb.docx", zip_bomb, "unpack"),
    "a line of 200 MB": ("line.jsonl", lambda: b'{"title": "a", "text": "' + b"x" * 200_000_000, "."),
    "nested elements": ("deep.xml", lambda: b"<article><body>" + b"<sec>" * 200_000, "."),
    "nested HTML": ("deep.html", lambda: b"<html><body>" + b"<div><b>" * 100_000 + b"Text that is deep.", None),
    "nested JSON": ("deep.jsonl", lambda: b'{"title": "a", "text": ' + b"[" * 1_000_000, "."),
    "nested braces": ("deep.tex", lambda: b"\\documentclass{a}\\begin{document}Text." + b"{\\bf " * 100_000, None),
    "NUL bytes": ("nul.txt", lambda: b"Glass\x00bridges", "NUL"),
    "another encoding": ("latin.txt", lambda: "Über Brücken".encode("latin-1"), None),
    "a PDF that is none": ("none.pdf", lambda: b"%PDF-1.7\n" + bytes(range(256)) * 1000, "PDF"),
    "an image called PDF": ("image.pdf", lambda: b"\x89PNG\r\n\x1a\n" + bytes(1000), "."),
    "many columns": ("wide.csv", lambda: b"title,text\n" + b"a," * 3_000_000, "."),
    "nothing": ("empty.txt", lambda: b"", "empty"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_costs_itself_and_no_more(what: str, tmp_path: Path) -> None:
    name, make, reason = HOSTILE[what]
    (tmp_path / name).write_bytes(make())
    (tmp_path / "zz.txt").write_text("Glass bridges carry people.")
    with Reader(Files(seconds_a_file=30, megabytes_a_file=2500)) as reader:
        if reason is None:
            assert list(reader.read(tmp_path / name))
        else:
            with pytest.raises(LoadError, match=reason) as error:
                list(reader.read(tmp_path / name))
            assert not str(error.value).startswith(("reading it took", "it crashed"))
        assert len(list(reader.read(tmp_path / "zz.txt"))) == 1


def test_the_seeds_are_what_they_are_called() -> None:
    assert next(csv.reader(io.StringIO(CSV.decode()))) == ["title", "abstract", "year"]
    ours = [f for f in registered_formats() if type(f).__module__.startswith("ragkit.")]
    recognised = {f for kind, seed in SEEDS.items() for f in ours if f.recognises(f"x.{kind}", seed)}
    assert {type(f) for f in recognised} == {type(f) for f in ours}
