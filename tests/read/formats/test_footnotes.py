"""Footnotes: parts of their own kind, behind the paragraph that they belong to."""

from __future__ import annotations

import pytest
from read.formats.test_documents import parts, read

from ragkit.chunk import SectionChunker
from ragkit.document import stretches_of
from ragkit.read.formats import FileFormat
from ragkit.read.formats.html import Html
from ragkit.read.formats.jats import Jats
from ragkit.read.formats.latex import Latex
from ragkit.read.formats.markdown import Markdown
from ragkit.read.formats.tei import Tei
from ragkit.where import parse

TEI = '<TEI xmlns="http://www.tei-c.org/ns/1.0"><teiHeader/><text><body><p>%s</p></body></text></TEI>'
JATS = "<article><front><article-meta/></front><body><p>%s</p></body></article>"
LATEXML = (
    '<span class="ltx_note ltx_role_footnote"><sup class="ltx_note_mark">1</sup><span class="ltx_note_outer"><span'
    ' class="ltx_note_content"><sup class="ltx_note_mark">1</sup><span class="ltx_tag ltx_tag_note">1</span>%s</span></span></span>'
)
CASES = [
    (Latex(), "a.tex", "Glass carries 40\\footnote{Not all.} people.\n\nSteel is old.\n"),
    (Latex(), "a.tex", "Glass carries 40\\footnote{Not all.}\npeople.\\par Steel is old.\n"),
    (Jats(), "a.xml", JATS % "Glass carries 40 <fn><label>1</label><p>Not all.</p></fn>people.</p><p>Steel is old."),
    (Tei(), "a.xml", TEI % 'Glass carries 40 people.</p><note place="foot" n="1">Not all.</note><p>Steel is old.'),
    (Html(), "a.html", f"<html><body><p>Glass carries 40 {LATEXML % 'Not all.'}people.</p><p>Steel is old.</p></body></html>"),
    (Html(), "a.html", "<html><body><p>Glass carries 40 people.</p><p class='footnote'>Not all.</p><p>Steel is old.</p></body></html>"),
    (Markdown(), "a.md", "Glass carries 40 people.\n\nNot all.\n\nSteel is old.\n".replace("Not", "[^1]: Not")),
]  # fmt: skip


@pytest.mark.parametrize(("form", "name", "written"), CASES)
def test_a_footnote_stands_behind_its_paragraph(form: FileFormat, name: str, written: str) -> None:
    paper = read(form, written, name)
    assert [(kind, text.removeprefix("[^1]: ")) for _, kind, text in parts(paper)] == [
        ("body", "Glass carries 40 people."),
        ("footnote", "Not all."),
        ("body", "Steel is old."),
    ]


def test_a_footnote_parts_no_list_heading_caption_or_table() -> None:
    written = r"""\section{Loads\footnote{A.}}
Two kinds\footnote{B.}:
\begin{itemize}
\item Glass\footnote{C.}

\item Steel
\end{itemize}
\begin{table}\begin{tabular}{l|r}year\footnote{D.} & load \\ 2020 & 7\end{tabular}\caption{Loads\footnote{E.} by year.}\end{table}
They hold.\footnote{F\footnote{G.}.}
\subsection{More}
\begin{thebibliography}{9}\bibitem{a} Smith\footnote{H.}, 1999.\end{thebibliography}"""
    assert [(kind, text) for _, kind, text in parts(read(Latex(), written, "a.tex"))] == [
        ("heading", "Loads"),
        ("footnote", "A."),
        ("body", "Two kinds:\n\n- Glass\n\n- Steel"),
        ("table", "year | load\n2020 | 7"),
        ("caption", "Loads by year."),
        ("body", "They hold."),
        *(("footnote", note) for note in ("B.", "C.", "D.", "E.", "F.", "G.")),
        ("heading", "More"),
        ("references", "[a] Smith, 1999.\n\nH."),
    ]


def test_a_page_ends_with_its_notes() -> None:
    written = (
        "<html><body><p>Glass carries 40 people<a href='#fn1' class='footnote-ref' role='doc-noteref'><sup>1</sup></a>.</p>"
        "<section id='footnotes' role='doc-endnotes'><ol><li id='fn1'>Not all.</li></ol></section></body></html>"
    )
    assert parts(read(Html(), written, "a.html"))[-1] == ([], "footnote", "1. Not all.")


def test_footnotes_are_passages_that_a_filter_tells() -> None:
    written = "\\section{Loads}\nGlass carries 40\\footnote{Not all of it.} people.\n\nSteel is old.\n"
    paper = read(Latex(), written, "a.tex")
    kinds = [each.metadata["kind"] for each in SectionChunker().transform_documents([paper])]
    assert kinds == ["body", "footnote", "body"]
    assert [parse("kind = footnote").matches({"kind": kind}) for kind in kinds] == [False, True, False]
    assert [each.kind for each in stretches_of(paper)] == kinds
