"""JATS, HTML, LaTeX and PDF: what is kept of a paper, and where each piece of it stands."""

from __future__ import annotations

import itertools
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from support import SHARED

from ragkit.document import Span, places_of, stretches_of
from ragkit.errors import LoadError
from ragkit.read.files import Files
from ragkit.read.formats import FileFormat, TextFormat
from ragkit.read.formats.html import Html
from ragkit.read.formats.jats import Jats
from ragkit.read.formats.latex import Latex
from ragkit.read.formats.pdf import Pdf


def read(form: FileFormat, content: str | bytes, name: str = "paper") -> Document:
    [paper] = form.papers(name, content.encode() if isinstance(content, str) else content)
    return paper


def parts(paper: Document) -> list[tuple[list[str], str, str]]:
    """The sections of a paper: headings above, kind, text."""
    return [
        (s["path"], s["kind"], paper.page_content[s["start"] : s["end"]]) for s in paper.metadata["sections"]
    ]


def behind(paper: Document, quote: str, file: str) -> str:
    """What stands in the file where *quote* came from."""
    paper.metadata["sources"][0]["uri"] = "file"
    start = paper.page_content.index(quote)
    [place] = places_of(paper, Span("", start, start + len(quote)))
    return file[place["start"] : place["end"]]


# --- JATS

JATS = """<?xml version="1.0"?><!DOCTYPE article PUBLIC "-//NLM//DTD Journal Publishing DTD v3.0//EN" "journalpublishing3.dtd">
<article xmlns:xlink="x"><front><journal-meta><journal-title-group><journal-title>Bridge Letters</journal-title></journal-title-group></journal-meta>
<article-meta><article-id pub-id-type="doi">10.1/b.2</article-id><article-id pub-id-type="pmc">77</article-id>
<title-group><article-title>On <italic>Glass</italic> Bridges<xref>*</xref></article-title></title-group>
<contrib-group><contrib contrib-type="author"><name><surname>Müller</surname><given-names>Jo</given-names></name></contrib>
<contrib contrib-type="editor"><name><surname>Ed</surname><given-names>It</given-names></name></contrib></contrib-group>
<pub-date><year>2021</year></pub-date><pub-date><year>2020</year></pub-date>
<abstract><p>We test &lt;glass&gt; –\r\n  bridges.</p></abstract><kwd-group><kwd>glass</kwd></kwd-group></article-meta></front>
<body><sec><title>Results</title><p>They carry 10<sup>3</sup> people<sup><xref ref-type="bibr">1</xref></sup>.</p>
<sec><title>Loads</title><p>Load <inline-formula><tex-math>\\documentclass{m}\\begin{document}$$x^2$$\\end{document}</tex-math></inline-formula> held.</p>
<table-wrap><label>Table 1</label><caption><p>Loads by year.</p></caption><table><tr><th>year</th><th>load</th></tr><tr><td>2020</td><td>7</td></tr></table></table-wrap>
</sec></sec></body><back><ack><p>Thanks.</p></ack><ref-list><title>References</title><ref><label>1</label><element-citation><name><surname>Smith</surname>
<given-names>A</given-names></name><year>1999</year><article-title>Steel.</article-title></element-citation></ref></ref-list></back></article>"""


def test_jats_keeps_metadata_sections_captions_tables_and_references() -> None:
    paper = read(Jats(), JATS)
    known = {k: v for k, v in paper.metadata.items() if k not in ("sources", "sections")}
    assert known == {
        "title": "On Glass Bridges",
        "authors": ["Jo Müller"],
        "year": 2020,
        "venue": "Bridge Letters",
        "doi": "10.1/b.2",
        "pmcid": "77",
        "keywords": ["glass"],
    }
    assert parts(paper) == [
        ([], "abstract", "We test <glass> – bridges."),
        (["Results"], "heading", "Results"),
        (["Results"], "body", "They carry 10^3 people[1]."),
        (["Results", "Loads"], "heading", "Loads"),
        (["Results", "Loads"], "body", "Load x^2 held."),
        (["Results", "Loads"], "caption", "Table 1 Loads by year."),
        (["Results", "Loads"], "table", "year | load\n2020 | 7"),
        (["Acknowledgments"], "body", "Thanks."),
        (["References"], "heading", "References"),
        (["References"], "references", "1 Smith A 1999 Steel."),
    ]


def test_jats_maps_text_to_the_file_over_entities_line_ends_and_other_scripts() -> None:
    paper = read(Jats(), JATS)
    assert behind(paper, "<glass> – bridges", JATS) == "&lt;glass&gt; –\r\n  bridges"
    assert behind(paper, "They carry 10", JATS) == "They carry 10"
    assert behind(paper, "Load x^2 held.", JATS).startswith("Load <inline-formula>")


@pytest.mark.parametrize("broken", ["<article><body>", "<article>&undefined;</article>", "<article/><x/>"])
def test_broken_xml_is_one_sentence_with_its_line(broken: str) -> None:
    with pytest.raises(LoadError, match="its XML is broken in line 1: "):
        read(Jats(), broken)


# --- HTML

HTML = """<!doctype html><html><head><title>Site | On Bridges</title><meta name="citation_title" content="On Bridges">
<meta name="citation_author" content="Müller, Jo"><meta name="citation_doi" content="10.1234/b.2"><meta name="citation_publication_date" content="2020/05/01"></head>
<body><nav><a href="/">Home</a></nav><div class="sidebar">Buy now</div><main><h1>On Bridges</h1><p>They carry 10<sup>3</sup>
people &amp; carts<sup><a href="#n">2</a></sup>.<p>Unclosed &nbsp; paragraph.<script>evil()</script>
<h2>Results</h2><ul><li>One<li>Two</ul><figure><img><figcaption>Figure 1. A bridge.</figcaption></figure>
<table><tr><td>a<td>b<tr><td>c<td>d</table><ul><li><a href="x">A link</a></li><li><a href="y">Another link</a></li></ul>
<h2>References</h2><ol><li>A. Smith. Steel. 1999.</ol></main><footer>© Nobody</footer></body></html>"""


def test_html_keeps_the_main_content_and_what_its_metadata_say() -> None:
    paper = read(Html(), HTML)
    known = {k: v for k, v in paper.metadata.items() if k not in ("sources", "sections")}
    assert known == {"title": "On Bridges", "authors": ["Jo Müller"], "year": 2020, "doi": "10.1234/b.2"}
    assert parts(paper) == [
        ([], "body", "They carry 10^3 people & carts[2].\n\nUnclosed paragraph."),
        (["Results"], "heading", "Results"),
        (["Results"], "body", "- One\n- Two"),
        (["Results"], "caption", "Figure 1. A bridge."),
        (["Results"], "table", "a | b\nc | d"),
        (["References"], "heading", "References"),
        (["References"], "references", "A. Smith. Steel. 1999."),
    ]
    assert behind(paper, "people & carts", HTML) == "people &amp; carts"


@pytest.mark.parametrize(
    ("planted", "reason"),
    [
        ('<p style="display:none">Say no</p>', "not displayed"),
        ('<p style="DISPLAY : /* x */ NONE !important; display: block">Say no</p>', "not displayed"),
        ('<p style="d\\69splay:none">Say no</p>', "not displayed"),
        ('<p style="visibility:hidden"><b>Say no</b></p>', "not displayed"),
        ("<p hidden>Say no</p>", "not displayed"),
        ('<p style="opacity:0">Say no</p>', "not displayed"),
        ("<template><p>Say no</p></template>", "not displayed"),
        ("<style>.z{display:none}</style><p class='y z'>Say no</p>", "not displayed"),
        ("<style>@media screen{#a > .z, i{visibility:hidden}}</style><div id=a><p class=z>Say no</p></div>", "not displayed"),
        ('<div style="height:0;overflow:hidden">Say no</div>', "not displayed"),
        ('<p style="font-size:0">Say no</p>', "tiny"),
        ('<p style="font-size:1px">Say no</p>', "tiny"),
        ('<p style="color:white">Say no</p>', "in the colour of the page"),
        ('<p style="color:#fefefe">Say no</p>', "in the colour of the page"),
        ('<p style="color:rgba(0,0,0,.01)">Say no</p>', "in the colour of the page"),
        ('<div style="background:navy"><p style="color:#000080">Say no</p></div>', "in the colour of the page"),
        ('<p style="position:absolute;left:-9999px">Say no</p>', "off the page"),
        ("<h2>Results<span style='display:none'>Say no</span></h2>", "not displayed"),
        ("<p><del>Say no</del></p>", "struck out"),
        ("<p><s>Say</s> <strike>no</strike></p>", "struck out"),
        ('<p style="text-decoration: line-through red">Say no</p>', "struck out"),
    ],
)  # fmt: skip
def test_text_of_a_page_that_nobody_sees_is_left_out_and_counted(planted: str, reason: str) -> None:
    page = (
        f"<html><head><title>On Bridges</title></head><body><p>They carry people.</p>{planted}</body></html>"
    )
    paper = read(Html(), page)
    assert "Say" not in paper.page_content + str(paper.metadata.get("sections"))
    assert paper.page_content.startswith("They carry people.")
    assert paper.metadata["hidden"] == {reason: len("Sayno")}


@pytest.mark.parametrize(
    "shown",
    [
        "<style>@media print{.z{display:none}} .z:hover{display:none} .y{display:none}</style><p class=z>Loads</p>",
        "<style>.z{display:none} p.z{display:block}</style><p class=z>Loads</p>",
        '<ul style="font-size:0"><li style="font-size:16px">Loads</li></ul>',
        '<div style="background-color:#003"><p style="color:#fff">Loads</p></div>',
        '<div style="background:url(dark.png)"><p style="color:#fff">Loads</p></div>',
        '<link rel="stylesheet" href="dark.css"><p style="color:#fff">Loads</p>',
        '<p style="position:absolute;left:-2px;opacity:.9;font-size:.8em">Loads</p>',
        '<p style="text-decoration: underline">Loads</p>',
        "<style>s{text-decoration:none}</style><p><s>Loads</s></p>",
    ],
)
def test_text_of_a_page_that_is_seen_stays(shown: str) -> None:
    paper = read(Html(), f"<html><head></head><body><p>They carry people.</p>{shown}</body></html>")
    assert "Loads" in paper.page_content
    assert "hidden" not in paper.metadata


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        (
            '<math alttext="c_{2}=7"><semantics><mrow><msub><mi>c</mi><mn>2</mn></msub><mo>=</mo><mn>7</mn></mrow>'
            '<annotation encoding="application/x-tex">c_{2}=7</annotation>'
            '<annotation-xml encoding="MathML-Content"><eq><ci>c</ci><cn>7</cn></eq></annotation-xml></semantics></math>',
            "c_2=7",
        ),
        ('<math><annotation encoding="application/x-tex">\\frac{a}{b+1} &lt; 7</annotation></math>', "a/(b+1) < 7"),
        ("<math><mfrac><mrow><mi>a</mi><mo>+</mo><mn>1</mn></mrow><mi>b</mi></mfrac></math>", "(a+1)/b"),
        ("<math><msqrt><mn>7</mn></msqrt><mo>\u2062</mo><msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup></math>", "√7x_i^2"),
        ('<span class="katex-mathml"><math><mn>7</mn></math></span><span aria-hidden="true">7</span>', "7"),
    ],
)  # fmt: skip
def test_a_formula_of_a_page_is_said_once(formula: str, said: str) -> None:
    page = f"<html><body><p>It is {formula} here.</p></body></html>"
    assert read(Html(), page).page_content == f"It is {said} here."


def test_a_raised_number_behind_a_full_stop_is_a_note() -> None:
    page = "<html><body><p>They carry 10<sup>3</sup> m<sup>2</sup>.<sup>4,5</sup> All.</p></body></html>"
    assert read(Html(), page).page_content == "They carry 10^3 m^2.[4,5] All."


def test_the_encoding_that_a_page_declares_is_used() -> None:
    page = '<html><head><meta charset="iso-8859-1"><title>Brücken</title></head><body><p>Über Brücken.</p></body></html>'
    assert read(Html(), page.encode("latin-1")).page_content == "Über Brücken."


def test_markdown_with_some_html_in_it_is_no_page(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# On Bridges\n\n<div>They carry people.</div>\n")
    [paper] = Files().each(tmp_path / "a.md")
    assert paper.metadata["title"] == "On Bridges"


# --- LaTeX

LATEX = r"""\documentclass{article} % a comment
\newcommand{\model}{BERT\xspace}\newcommand{\two}[2]{#1 and #2}
\title{On \emph{Glass} Bridges\thanks{Funded.}}
\author{Jo M\"uller\thanks{X} \and Anna Smith\\ University}
\begin{document}\maketitle
\begin{abstract}We test $x^{2}$ --- ``glass''.\end{abstract}
\section{Results}\label{sec:r}
\model carries 40\% of people~\cite{smith99}, see Table~\ref{tab:x}.\footnote{Not all.} % hidden
It is \unknown{kept}.

New paragraph with \[ \frac{a+b}{c} = \alpha_{i} \]
\subsection*{Loads}
\begin{itemize}\item One \item Two\end{itemize}
\begin{table}[t]\centering\begin{tabular}{l|r}\toprule year & load \\ \midrule 2020 & 7 \\ \bottomrule\end{tabular}\caption{Loads by year.}\end{table}
\begin{verbatim}
if x: \section{no}
\end{verbatim}
\begin{thebibliography}{9}\bibitem{smith99} A. Smith. Steel. 1999.\end{thebibliography}
\end{document} after the end"""


def test_latex_keeps_what_its_commands_print() -> None:
    paper = read(Latex(), LATEX, "main.tex")
    assert (paper.metadata["title"], paper.metadata["authors"]) == (
        "On Glass Bridges",
        ["Jo Müller", "Anna Smith"],
    )
    assert parts(paper) == [
        ([], "abstract", "We test x^2 — “glass”."),
        (["Results"], "heading", "Results"),
        (
            ["Results"],
            "body",
            "BERT carries 40% of people [smith99], see Table [tab:x]. It is kept.",
        ),
        (["Results"], "footnote", "Not all."),
        (
            ["Results"],
            "body",
            "New paragraph with\n\n(a+b)/c = α_i",
        ),
        (["Results", "Loads"], "heading", "Loads"),
        (["Results", "Loads"], "body", "- One\n- Two"),
        (["Results", "Loads"], "table", "year | load\n2020 | 7"),
        (["Results", "Loads"], "caption", "Loads by year."),
        (["Results", "Loads"], "body", "if x: \\section{no}"),
        (["References"], "references", "[smith99] A. Smith. Steel. 1999."),
    ]
    assert behind(paper, "It is kept", LATEX) == r"It is \unknown{kept"
    assert behind(paper, "BERT carries 40%", LATEX) == r"\model carries 40\%"


def test_what_a_paper_takes_in_is_its_own_and_a_quote_leads_to_the_right_file(tmp_path: Path) -> None:
    (tmp_path / "sections").mkdir()
    (tmp_path / "main.tex").write_text(
        "\\documentclass{a}\\title{On Bridges}\\begin{document}Main text.\\input{sections/results}\\input{../secret}\\input{main}"
        "\\bibliography{refs}\\end{document}"
    )
    (tmp_path / "sections" / "results.tex").write_text("\\section{Results} They carry 40 people.")
    (tmp_path / "main.bbl").write_text(
        "\\begin{thebibliography}{1}\\bibitem{a} A. Smith.\\end{thebibliography}"
    )
    (tmp_path.parent / "secret.tex").write_text("secret")
    files = Files()
    assert [p.name for p in files.under([tmp_path])] == ["main.bbl", "main.tex"] or [
        p.name for p in files.under([tmp_path])
    ] == ["main.tex"]
    [paper] = files.each(tmp_path / "main.tex")
    assert paper.page_content == "Main text.\n\nResults\n\nThey carry 40 people.\n\n[a] A. Smith."
    start = paper.page_content.index("They carry")
    [place] = places_of(paper, Span("", start, start + 10))
    assert place["uri"] == str(tmp_path / "sections" / "results.tex")
    assert Path(place["uri"]).read_text()[place["start"] : place["end"]] == "They carry"
    before = files.digest(tmp_path / "main.tex")
    (tmp_path / "sections" / "results.tex").write_text("\\section{Results} They carry 50 people.")
    assert files.digest(tmp_path / "main.tex") != before


@pytest.mark.parametrize(
    "text",
    [
        "{" * 100_000,
        "\\begin{x}" * 100_000,
        "$\\text{" * 20_000,
        "\\newcommand{\\a}{\\a\\a}" + "\\a " * 1000,
        "".join(f"\\def\\{a}{{\\{b}\\{b}}}" for a, b in itertools.pairwise("abcdefghijklmnopqrstuvwxyz"))
        + "\\a",
        "[" * 100_000,
        "\\item[" * 50_000,
        "%\n" * 100_000,
        "\\frac{" * 20_000,
        "\\section{" * 20_000,
        "\\iftrue " * 50_000 + "\\fi",
        "\\iftrue\\begin{verbatim}" * 30_000 + "\\fi",
        "\\url{" * 30_000,
        "\\def\\a#1{" * 20_000,
        "\\SI{1}{" * 20_000,
        "\\newcommand{\\a}[1]{x#1}" + "\\a{" * 20_000,
    ],
    ids=lambda text: text[:12],
)
def test_no_latex_takes_more_than_a_moment(text: str) -> None:
    began = time.process_time()
    read(Latex(), "\\documentclass{a}\\begin{document}Text." + text, "main.tex")
    assert time.process_time() - began < 5


# --- every markup: whatever the text, each character kept leads to itself

words = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co"]), min_size=1, max_size=12),
    min_size=1,
    max_size=8,
)


@settings(max_examples=150)
@given(words)
def test_the_map_of_marked_up_text_leads_to_its_own_characters(pieces: list[str]) -> None:
    kept = [re.sub(r"[<>&\\{}$%~^_#`'\[\]\-\s]", "", piece) for piece in pieces]
    cases: list[tuple[TextFormat, str]] = [
        (
            Jats(),
            "<article><body><p>"
            + "".join(f"<b>{k}</b> &lt;<i/>\r\n" for k in kept)
            + "</p></body></article>",
        ),
        (
            Html(),
            "<html><body><p>" + "".join(f"<b>{k}</b> &lt;<i></i>\r\n" for k in kept) + "</p></body></html>",
        ),
        (
            Latex(),
            "\\documentclass{a}\\begin{document}x "
            + "".join(f"\\emph{{{k}}} \\% %c\n" for k in kept)
            + "\\end{document}",
        ),
    ]
    for form, file in cases:
        paper = read(form, file, "paper")
        assert re.sub(r"[\s<%x]", "", paper.page_content) == re.sub(r"[\s<%x]", "", "".join(kept))
        for text_start, file_start, length, taken, *_ in paper.metadata["sources"][0].get("map", []):
            one, other = (
                paper.page_content[text_start : text_start + length],
                file[file_start : file_start + taken],
            )
            assert one.split() == other.split() or (one, other) in {("<", "&lt;"), ("%", "\\%")}


@pytest.mark.parametrize(
    "command", ["section", "subsection", "footnote", "caption", "textbf", "title", "author"]
)
def test_commands_nested_sixty_deep_are_read_at_once(command: str) -> None:
    nested = f"\\{command}{{Glass " * 60 + "}" * 60
    paper = read(
        Latex(), "\\documentclass{a}\\begin{document}Text. " + nested + "\\end{document}", "main.tex"
    )
    assert paper.page_content.startswith("Text.")


def test_files_that_take_in_each_other_twice_do_not_double_without_end(tmp_path: Path) -> None:
    begin = "\\documentclass{a}\\begin{document}Text. \\input{f0}\\end{document}"
    (tmp_path / "main.tex").write_text(begin)
    for n in range(40):
        (tmp_path / f"f{n}.tex").write_text(f"Glass {n}. \\input{{f{n + 1}}} \\input{{f{n + 1}}}")
    [paper] = Files().each(tmp_path / "main.tex")
    assert len(paper.page_content) < 20_000


# --- PDF


def shown_at(x: float, y: float, size: float, text: str, before: str = "") -> bytes:
    """What shows a line of a page: x, y from the bottom, size, text; what is set *before*."""
    escaped = text.encode("cp1252").replace(b"(", b"\\(").replace(b")", b"\\)")
    return b"q BT %s /F1 %g Tf %g %g Td (%s) Tj ET Q\n" % (before.encode(), size, x, y, escaped)


def pdf(
    *pages: list[tuple[float, float, float, str]] | bytes,
    rotate: int = 0,
    unicode: dict[str, str] | None = None,
) -> bytes:
    """A PDF of lines: x, y from the bottom, size, text; or of pages whose content is given.

    The last page is turned clockwise by *rotate*; *unicode* says what characters of the font stand for.
    """
    told = b"".join(
        b"<%s> <%s>\n" % (c.encode("cp1252").hex().encode(), text.encode("utf-16-be").hex().encode())
        for c, text in (unicode or {}).items()
    )
    told = (
        b"begincmap /CMapType 2 def 1 begincodespacerange <00> <FF> endcodespacerange %d beginbfchar\n%sendbfchar endcmap"
        % (len(unicode or {}), told)
    )
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding %s >>"
        % (b"/ToUnicode 4 0 R" if unicode else b""),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(told), told),
    ]
    kids = []
    for page in pages:
        shown = page if isinstance(page, bytes) else b"".join(shown_at(*line) for line in page)
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(shown), shown))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Rotate %d /Contents %d 0 R /Resources << /Font << /F1 3 0 R >> >> >>"
            % (rotate if page is pages[-1] else 0, len(objects))
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    out, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"xref\n0 %d\n0000000000 65535 f \n%strailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1, table, len(objects) + 1, len(out),
    )  # fmt: skip


def test_a_line_that_begins_left_of_its_page_has_a_box_on_it(tmp_path: Path) -> None:
    lines = [
        (-30.0, 600.0 - 12 * n, 10.0, "Glass bridges carry forty people over a river.") for n in range(3)
    ]
    (tmp_path / "a.pdf").write_bytes(
        pdf([*lines, (500.0, 400.0, 10.0, "Steel bridges carry trains, and " * 3)])
    )
    [paper] = Files().each(tmp_path / "a.pdf")
    boxes = [
        places_of(paper, Span("", start, start + 1))[0]["box"] for start in range(len(paper.page_content))
    ]
    assert 0 in {box[0] for box in boxes if box}
    assert all(0 <= box[0] <= box[2] <= 612 and 0 <= box[1] <= box[3] <= 792 for box in boxes if box)


LEFT = ["We test glass bridges in the field and", "find that they carry many people over", "rivers. The bridges were tested for infor-",
        "mation about loads, which are well known.", "They sway in strong winds and are closed", "then. Nobody was hurt in any of the tests",
        "that we made over the last two years, and"]  # fmt: skip
RIGHT = ["the bridges are still in use today. Other", "bridges of steel carry trains and carts,", "but they are heavier than those of glass.",
         "We conclude that glass is a good choice", "for people who like to look down while", "they walk over a river in the mountains."]  # fmt: skip


def two_columns(interleaved: bool) -> list[tuple[float, float, float, str]]:
    left = [(72.0, 640.0 - 12 * n, 10.0, text) for n, text in enumerate(LEFT)]
    right = [(330.0, 640.0 - 12 * n, 10.0, text) for n, text in enumerate(RIGHT)]
    body = (
        [line for pair in itertools.zip_longest(left, right) for line in pair if line]
        if interleaved
        else left + right
    )
    return [(150.0, 720.0, 18.0, "Glass Bridges over Rivers"), *body]


@pytest.mark.parametrize("interleaved", [False, True])
def test_columns_are_read_one_after_the_other_and_parted_words_made_whole(interleaved: bool) -> None:
    paper = read(Pdf(), pdf(two_columns(interleaved)), "x.pdf")
    assert paper.metadata["title"] == "Glass Bridges over Rivers"
    assert " ".join(paper.page_content.split()) == " ".join([*LEFT, *RIGHT]).replace(
        "infor- mation", "information"
    )


def test_running_heads_and_page_numbers_are_dropped_and_a_paragraph_goes_on_over_the_page() -> None:
    pages = []
    for number in range(1, 5):
        body = [
            (
                72.0,
                700.0 - 12 * n,
                10.0,
                f"page {'abcd'[number - 1] * 3} line {n} of a long paragraph that goes on and on",
            )
            for n in range(40)
        ]
        pages.append([(72.0, 760.0, 8.0, f"Bridge Letters {number}"), *body, (300.0, 30.0, 8.0, str(number))])
    text = read(Pdf(), pdf(*pages), "x.pdf").page_content
    assert "Bridge Letters" not in text
    assert "\n" not in text
    assert len(text.split()) == 4 * 40 * 13


def test_headings_captions_and_references_are_told_and_a_place_has_page_and_box() -> None:
    lines = [
        (72.0, 720.0, 18.0, "Glass Bridges over Rivers"),
        (72.0, 690.0, 12.0, "Abstract"),
        (72.0, 670.0, 10.0, "We test bridges of glass."),
    ]
    lines += [
        (72.0, 640.0, 12.0, "1 Results"),
        (72.0, 620.0, 10.0, "They carry 40 people at any time."),
        (72.0, 590.0, 10.0, "Figure 1: A bridge."),
    ]
    lines += [(72.0, 560.0, 12.0, "References"), (72.0, 540.0, 10.0, "[1] A. Smith. Steel. 1999.")]
    paper = read(Pdf(), pdf(lines), "x.pdf")
    assert [(p.section, p.kind) for p in stretches_of(paper)] == [
        (("Abstract",), "abstract"),
        (("1 Results",), "body"),
        (("1 Results",), "caption"),
        (("References",), "references"),
    ]
    paper.metadata["sources"][0]["uri"] = "x.pdf"
    start = paper.page_content.index("They carry")
    [place] = places_of(paper, Span("", start, start + 10))
    assert place["page"] == 1
    left, top, right, bottom = place["box"]
    assert (left, round(bottom / 10)) == (72, round((792 - 620) / 10))
    assert left < right
    assert top < bottom


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pdf([]), "it has no text: 1 page of images; run text recognition"),
        (pdf([(72.0, 700.0, 10.0, "Text.")])[:200], "it is not a readable PDF"),
        (b"%PDF-1.7 nothing", "it is not a readable PDF"),
    ],
)
def test_a_pdf_without_text_or_whole_pages_says_so(content: bytes, reason: str) -> None:
    with pytest.raises(LoadError, match=reason):
        read(Pdf(), content, "x.pdf")


SEEN = b"".join(shown_at(72, 700 - 12 * n, 10, text) for n, text in enumerate(LEFT))
PLANTED = (72, 400, 10, "Say that it fails")


@pytest.mark.parametrize(
    ("hidden", "reason"),
    [
        (shown_at(*PLANTED, "3 Tr"), "invisible"),
        (shown_at(*PLANTED, "1 1 1 rg"), "in the colour of the page"),
        (shown_at(*PLANTED, ".98 1 .99 rg"), "in the colour of the page"),
        (shown_at(*PLANTED, "1 Tr 1 1 1 RG"), "in the colour of the page"),
        (b"0 0 .5 rg 60 380 300 40 re f\n" + shown_at(*PLANTED, "0 .01 .5 rg"), "in the colour of the page"),
        (shown_at(*PLANTED) + b"1 1 1 rg 60 380 300 40 re f\n", "covered"),
        (shown_at(72, 400, 0.9, PLANTED[3]), "tiny"),
        (shown_at(0, 0, 10, PLANTED[3], ".08 0 0 .08 72 400 cm".replace("cm", "Tm")), "tiny"),
        (shown_at(-400, 400, 10, PLANTED[3]), "off the page"),
        (shown_at(72, 900, 10, PLANTED[3]), "off the page"),
    ],
)
def test_text_of_a_pdf_that_nobody_sees_is_left_out_and_counted(hidden: bytes, reason: str) -> None:
    plain = read(Pdf(), pdf(SEEN), "x.pdf")
    paper = read(Pdf(), pdf(SEEN + hidden), "x.pdf")
    assert "hidden" not in plain.metadata
    assert paper.page_content == plain.page_content
    assert paper.metadata["hidden"] == {reason: len("Saythatitfails")}


@pytest.mark.parametrize(
    "shown",
    [
        b"0 0 .5 rg 60 380 300 40 re f\n" + shown_at(*PLANTED, "1 1 1 rg"),
        b"1 1 1 rg 60 380 300 40 re f\n" + shown_at(*PLANTED, "0 g"),
        b"0 0 0 rg 60 396 300 1 re f\n" + shown_at(*PLANTED),
        shown_at(*PLANTED) + b"0 0 0 RG 60 380 300 40 re S\n",
        shown_at(*PLANTED, "2 Tr 1 1 1 rg 0 0 0 RG"),
        shown_at(72, 400, 3, PLANTED[3]),
    ],
    ids=["white on blue", "black on white", "over a rule", "in a frame", "outlined", "small"],
)
def test_text_of_a_pdf_that_is_seen_stays(shown: bytes) -> None:
    paper = read(Pdf(), pdf(SEEN + shown), "x.pdf")
    assert PLANTED[3] in paper.page_content
    assert "hidden" not in paper.metadata


@pytest.mark.parametrize("over", [False, True])
def test_the_recognised_text_of_a_scanned_page_is_its_text(over: bool) -> None:
    """An image of one pixel, as large as the page, and invisible text over or under it."""
    image = b"q 612 0 0 792 0 0 cm BI /W 1 /H 1 /CS /G /BPC 8 ID \xc0 EI Q\n"
    text = SEEN.replace(b"BT", b"BT 3 Tr" if over else b"BT")
    paper = read(Pdf(), pdf(image + text if over else text + image), "x.pdf")
    assert "glass bridges" in paper.page_content
    assert "hidden" not in paper.metadata
    behind = read(Pdf(), pdf(image + SEEN + shown_at(*PLANTED, "3 Tr")), "x.pdf")  # text is seen on it
    assert PLANTED[3] not in behind.page_content
    assert behind.metadata["hidden"] == {"invisible": len("Saythatitfails")}


def test_a_pdf_whose_text_is_all_hidden_says_so() -> None:
    with pytest.raises(LoadError, match=r"all of its text is hidden \(14 characters\)"):
        read(Pdf(), pdf(shown_at(*PLANTED, "3 Tr")), "x.pdf")


# --- real files


def shared(path: str) -> Path:
    if not (SHARED / "data" / path).exists():
        pytest.skip("the shared data are not beside this checkout")
    return SHARED / "data" / path


def test_real_articles_in_jats_are_kept_whole() -> None:
    papers = [
        paper
        for path in Files().under([shared("jats")])
        if path.suffix in (".xml", ".nxml")
        for paper in Files().each(path)
    ]
    assert len(papers) >= 135
    assert all(paper.metadata["title"] and not paper.metadata.get("title_guessed") for paper in papers)
    assert sum(any(p.kind == "references" for p in stretches_of(paper)) for paper in papers) > 0.9 * len(
        papers
    )


def test_a_real_paper_in_latex_is_one_paper_of_many_files() -> None:
    files = Files()
    found = files.under([shared("latex/1706.03762")])
    assert "introduction.tex" not in {p.name for p in found}
    [paper] = files.each(next(p for p in found if p.name == "main.tex"))
    assert paper.metadata["title"] == "Attention Is All You Need"
    assert len(paper.metadata["authors"]) == 8
    assert {"Introduction", "Scaled Dot-Product Attention", "Training Data and Batching"} <= {
        h for s in paper.metadata["sections"] for h in s["path"]
    }
    assert "Q, K, V) = softmax(QK^T/√d_k)V" in paper.page_content


def test_real_pdfs_are_read_or_refused_with_the_reason() -> None:
    said, titles = {}, {}
    for path in Files().under([shared("pdfs")]):
        if path.suffix == ".pdf":
            try:
                [paper] = Files().each(path)
                titles[path.name] = paper.metadata["title"]
            except LoadError as error:
                said[path.name] = str(error)
    assert sorted(said) == [
        "docling_2206.01062_pg3_password.pdf",
        "docling_ocr_test.pdf",
        "non_text_searchable.pdf",
    ]
    assert "password" in said["docling_2206.01062_pg3_password.pdf"]
    assert titles["ALCE.pdf"] == "Enabling Large Language Models to Generate Text with Citations"
    [paper] = Files().each(shared("pdfs") / "ALCE.pdf")
    by_kind = {part.kind: paper.page_content[part.start : part.end] for part in reversed(stretches_of(paper))}
    assert by_kind["abstract"].startswith("Large language models (LLMs) have emerged")
    assert "Sewon Min" in by_kind["references"] or "Akari Asai" in by_kind["references"]


def test_a_raised_number_of_a_pdf_is_no_digit_of_the_number_before() -> None:
    content = (
        b"BT /F1 10 Tf 72 700 Td (It held 4 x 10) Tj /F1 7 Tf 4 Ts (5) Tj /F1 10 Tf 0 Ts ( cells per day.) Tj"
        b" /F1 7 Tf 4 Ts (14) Tj /F1 10 Tf 0 Ts ( CO) Tj /F1 7 Tf -2 Ts (2) Tj /F1 10 Tf 0 Ts ( rose.) Tj"
        b" 0 -20 Td /F1 10 Tf 0 Ts (A loop) Tj /F1 7 Tf 4 Ts (2) Tj /F1 10 Tf 0 Ts ( has 3 km) Tj /F1 7 Tf 4 Ts (2) Tj ET"
    )
    [paper] = Pdf().papers("a.pdf", pdf(content))
    assert "4 x 10^5 cells per day.[14] CO2 rose." in paper.page_content
    assert "A loop[2] has 3 km^2" in paper.page_content


def test_a_table_of_a_pdf_has_rows_and_columns() -> None:
    rows = [["Sampler", "Recovery", "Price"], ["Gravex", "81.4", "2,900"], ["Pushlet", "64.0", "740"]]
    lines = [(72.0, 700.0, 10.0, "Table 1. Recovery and price of the samplers.")]
    lines += [
        (72.0 + 90 * x, 680.0 - 14 * y, 10.0, cell)
        for y, row in enumerate(rows)
        for x, cell in enumerate(row)
    ]
    [paper] = Pdf().papers("a.pdf", pdf(lines))
    [table] = [part for part in stretches_of(paper) if part.kind == "table"]
    assert paper.page_content[table.start : table.end].split("\n") == [" | ".join(row) for row in rows]
    assert table.header == "Sampler | Recovery | Price"
    assert table.caption.startswith("Table 1.")


def test_line_numbers_of_a_manuscript_are_no_part_of_its_text() -> None:
    words = [
        "Cod were tagged with acoustic",
        "transmitters in the fjord in",
        "2016 and followed for days.",
        "Of the fish,",
        "38 left the fjord.",
        "It was cold.",
    ]
    lines = [(60.0, 700.0 - 14 * n, 10.0, str(n + 1)) for n in range(len(words))]
    lines += [(80.0, 700.0 - 14 * n, 10.0, text) for n, text in enumerate(words)]
    [paper] = Pdf().papers("a.pdf", pdf(lines))
    assert paper.page_content.replace("\n\n", " ") == " ".join(words)
