"""LaTeX: the paper's own commands, conditionals, addresses, and numbers with units."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document

from ragkit.document import Span, places_of
from ragkit.read.formats.latex import Latex
from ragkit.read.formats.latex.units import number, unit


def read(body: str, preamble: str = "", companions: Mapping[str, str] | None = None) -> Document:
    [paper] = Latex().papers_with("main.tex", whole(body, preamble), companions or {})
    return paper


def whole(body: str, preamble: str = "") -> str:
    return f"\\documentclass{{a}}{preamble}\\begin{{document}}{body}\\end{{document}}"


def printed(body: str, preamble: str = "", companions: Mapping[str, str] | None = None) -> str:
    return read(body, preamble, companions).page_content


def behind(paper: Document, quote: str, file: str) -> str:
    paper.metadata["sources"][0]["uri"] = "main.tex"
    start = paper.page_content.index(quote)
    [place] = places_of(paper, Span("", start, start + len(quote)))
    return file[place["start"] : place["end"]]


# --- numbers and units


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (r"\SI{2.5}{\kilo\gram}", "2.5 kg"),
        (r"\qty[per-mode = symbol]{7}{\metre\per\second\squared}", "7 m s^-2"),
        (r"\SI{7}{m.s^{-2}}", "7 m s^-2"),
        (r"\SI{7}{\kg\per\cubic\m}", "7 kg m^-3"),
        (r"\SI{30}{km/h}", "30 km/h"),
        (r"\qty{88}{\percent}", "88%"),
        (r"\SI{88}{\%}", "88%"),
        (r"$\SI{3}{\micro\litre}$", "3 µL"),
        (r"\SI{-4}{\degreeCelsius}", "-4 °C"),
        (r"\num{6.02e23}", "6.02 × 10^23"),
        (r"\num{4 \pm 0.5}", "4 ± 0.5"),
        (r"\num{1.25(3)}", "1.25(3)"),
        (r"\num{1,5}", "1.5"),
        (r"\SIrange{3}{8}{\day}", "3 to 8 d"),
        (r"\qtyrange{3}{8}{\min}", "3 to 8 min"),
        (r"\numrange{3}{8}", "3 to 8"),
        (r"\numlist{1;2;4}", "1, 2 and 4"),
        (r"\SIlist{1;2}{\kHz}", "1 and 2 kHz"),
        (r"\qtyproduct{2 x 3}{\um}", "2 × 3 µm"),
        (r"\ang{12;30;}", "12°30′"),
        (r"\unit{\joule\per\mole}", "J mol^-1"),
        (r"\si{\square\metre}", "m^2"),
        (r"\unit[9]{m}", "9 m"),
    ],
)
def test_a_quantity_is_printed_with_its_unit(written: str, said: str) -> None:
    assert printed(f"It had {written}.") == f"It had {said}."


def test_units_of_the_papers_own_and_numbers_in_commands_are_printed() -> None:
    preamble = r"\DeclareSIUnit{\hop}{hops}\DeclareSIUnit\croak{cr}\newcommand{\rate}{12.5}"
    assert printed(r"\SI{\rate}{\hop\per\minute}, \qty{3}{\croak}.", preamble) == "12.5 hops min^-1, 3 cr."
    assert printed(r"\qty{5}{mph}.", r"\newcommand{\qty}[2]{#1 (#2)}") == "5 (mph)."


@pytest.mark.parametrize("text", ["", "x", "abc", "1e", "e", "±", "1.2.3", "\\", "^", "{", "/"])
def test_no_number_or_unit_is_too_strange(text: str) -> None:
    assert isinstance(number(text) + unit(text), str)


def test_a_quantity_stands_for_its_whole_command() -> None:
    body = r"It rose by \SI{4}{\percent} a day."
    assert behind(read(body), "4%", whole(body)) == r"\SI{4}{\percent}"


# --- the paper's own commands


@pytest.mark.parametrize(
    ("preamble", "body", "said"),
    [
        (r"\newcommand{\gain}[2]{gain of #1\% on #2}", r"A \gain{7}{Ponds}.", "A gain of 7% on Ponds."),
        (r"\newcommand*\gain[2][Lakes]{#2 (#1)}", r"\gain{7}, \gain[Ponds]{8}.", "7 (Lakes), 8 (Ponds)."),
        (r"\def\pair#1#2{#2/#1}", r"\pair{a}{b} \pair cd.", "b/a d/c."),
        (r"\NewDocumentCommand{\see}{s o m}{\IfBooleanTF{#1}{see}{cf.} #3\IfValueT{#2}{, p. #2}}", r"\see{A} \see*[4]{B}.", "cf. A see B, p. 4."),
        (r"\NewDocumentCommand\n{O{five} m}{#1 #2}", r"\n{newts}, \n[six]{newts}.", "five newts, six newts."),
        (r"\newcommand{\E}[1]{\mathbb{E}[#1]}", r"$\E{X + \E{Y}}$", "E[X + E[Y]]"),
        (r"\newcommand{\norm}[1]{\lVert#1\rVert}", r"$\norm{x}$", "‖ x‖"),
        (r"\newcommand{\be}{\begin{equation}}\newcommand{\ee}{\end{equation}}", r"So \be a = 4 \ee holds.", "So\n\na = 4\n\nholds."),
        (r"\newcommand{\net}{PondNet\xspace}", r"\net is, \net{} was, (\net).", "PondNet is, PondNet was, (PondNet)."),
        (r"\let\strong\textbf \newcommand{\x}{1}\let\y\x \renewcommand{\x}{2}", r"\strong{a} \y \x", "a 12"),
        (r"\newcommand{\x}{1}\providecommand{\x}{2}\providecommand{\z}{3}", r"\x\z", "13"),
        (r"\newcommand{\rev}[1]{\textcolor{blue}{#1}}", "\\rev{Two % not this\nlines with \\emph{5\\%}.}", "Two lines with 5%."),
        (r"\newcommand{\todo}[1]{}\newcommand{\hide}[1]{}", r"A\todo{b}\hide{c}.", "A."),
        (r"\renewcommand{\section}[1]{\textbf{#1}}", r"\section{Loads} Text.", "Loads\n\nText."),
        (r"\newcommand{\odd}{\@ifnextchar[{\a}{\b}}", r"A \odd B.", "A B."),
        (r"\DeclareMathOperator{\argmax}{arg\,max}", r"$\argmax f$", "arg max f"),
    ],
)  # fmt: skip
def test_commands_that_a_paper_defines_print_what_they_stand_for(preamble: str, body: str, said: str) -> None:
    assert printed(body, preamble) == said


def test_words_of_a_command_stand_for_the_command_and_its_arguments_for_themselves() -> None:
    preamble, body = r"\newcommand{\gain}[2]{gain of #1\% on #2}", r"A \gain{7}{Ponds}."
    for quote, there in [
        ("Ponds", "Ponds"),
        ("7", "7"),
        ("gain of", r"\gain{7}{Ponds}"),
        ("7% on Ponds", "7}{Ponds"),
        ("A gain", r"A \gain{7}{Ponds}"),
    ]:
        assert behind(read(body, preamble), quote, whole(body, preamble)) == there


@pytest.mark.parametrize(
    "definitions",
    [
        r"\newcommand{\a}[1]{\a{#1}\a{#1}}",
        r"\newcommand{\a}[1]{\b{#1}\b{#1}}\newcommand{\b}[1]{\a{#1}\a{#1}}",
        r"\def\a#1{\a{#1#1}}",
        r"\newcommand{\a}[1]{#1" + r"\iftrue" * 500 + "}",
        r"\newcommand{\a}[1]{" + "#1" * 1000 + "}",
    ],
    ids=lambda each: each[:30],
)
def test_commands_that_grow_without_end_are_given_up(definitions: str) -> None:
    began = time.process_time()
    text = printed(r"Text. " + r"\a{x}" * 500 + r"\a{" * 50 + "}" * 50, definitions)
    assert text.startswith("Text.")
    assert len(text) < 5_000_000
    assert time.process_time() - began < 10


# --- what is switched off


@pytest.mark.parametrize(
    ("preamble", "body", "said"),
    [
        ("", r"Yes\iffalse{} no \iftrue no\else no\fi{} no\fi.", "Yes."),
        ("", r"\iftrue Yes\else no\fi.", "Yes."),
        ("", "Yes\n\\iffalse\n\nno % \\fi\n\\verb|\\fi| no\n\\fi\nand yes.", "Yes and yes."),
        (r"\newif\iflong", r"\iflong no\else Yes\fi.", "Yes."),
        (r"\newif\iflong\longtrue", r"\iflong Yes\else no\fi.", "Yes."),
        (r"\newif\iflong\longtrue", r"\longfalse\iflong no\else Yes\fi.", "Yes."),
        (r"\let\iflong\iffalse", r"\iflong no\fi Yes.", "Yes."),
        (r"\newboolean{long}\setboolean{long}{true}", r"\ifthenelse{\boolean{long}}{Yes}{no}.", "Yes."),
        (r"\newboolean{long}", r"\ifthenelse{\not\boolean{long}}{Yes}{no}.", "Yes."),
        (r"\newcommand{\kind}{long}", r"\ifthenelse{\equal{\kind}{long}}{Yes}{no}.", "Yes."),
        (r"\newtoggle{long}\toggletrue{long}", r"\iftoggle{long}{Yes}{no}.", "Yes."),
        (r"\usepackage{etoolbox}\newbool{long}", r"\ifbool{long}{no}{Yes}.", "Yes."),
        ("", r"\ifx\long\undefined Yes\else no\fi.", "Yes."),
        (r"\newcommand{\kind}{}", r"\ifx\kind\empty Yes\else no\fi.", "Yes."),
        ("", r"\ifnum 3>2 Yes\else no\fi.", "Yes."),
        (r"\newcommand{\kind}{}", r"\ifdefined\kind Yes\else no\fi.", "Yes."),
        ("", r"\begin{comment}no \end{comment}Yes.", "Yes."),
        (r"\excludecomment{draft}", r"\begin{draft}no\end{draft}Yes.", "Yes."),
        ("", r"Yes.\endinput no", "Yes."),
        ("", r"$a \iff b$, so \iffalse is not closed.", "a ⇔ b, so is not closed."),
    ],
)
def test_text_that_is_switched_off_is_left_out(preamble: str, body: str, said: str) -> None:
    assert printed(body, preamble).replace("⟺", "⇔") == said


def test_a_file_that_is_switched_off_is_not_taken_in() -> None:
    companions = {
        "old.tex": "Old text.",
        "names.tex": r"\newcommand{\net}[1]{PondNet-#1}\newif\ifold",
        "new.tex": r"New \net{2}.\endinput Not this.",
        "part.tex": r"\documentclass[main]{subfiles}\begin{document}A part.\end{document} Not this.",
    }
    body = r"\ifold\input{old}\fi\input new \subfile{part}% \input{old}"
    paper = read(body, r"\input{names}", companions)
    assert paper.page_content == "New PondNet-2. A part."
    assert places_of(
        Document(
            page_content="", metadata={"sources": [{**paper.metadata["sources"][0], "uri": "main.tex"}]}
        ),
        Span("", 0, 3),
    ) == [{"uri": "new.tex", "start": 0, "end": 3, "page": None, "box": None}]


# --- addresses and comments


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("At \\url{https://e.org/a%20b_c} it cost 9 euros.", "At https://e.org/a%20b_c it cost 9 euros."),
        ("At \\href{https://e.org/a%20b}{a shop} it cost 9 euros.", "At a shop it cost 9 euros."),
        ("\\path{C:\\x%y} is \\nolinkurl{a%b}. Nine.", "C:\\x%y is a%b. Nine."),
        ("A\\footnote{See \\url{e.org/%7Ex}.} Nine.", "A Nine.\n\nSee e.org/%7Ex."),
        ("A \\url{https://e.org/a\\_b\\%20}.", "A https://e.org/a_b%20."),
        ("\\verb|5%| and \\verb+\\iffalse+ stay.", "5% and \\iffalse stay."),
        ("One % \\url{x}\ntwo.\n% three\n\nFour.", "One two.\n\nFour."),
        ("\\url{open% } one\n\ntwo.", "open% one\n\ntwo."),
    ],
)  # fmt: skip
def test_a_per_cent_sign_in_an_address_begins_no_comment(body: str, said: str) -> None:
    assert printed(body) == said


def test_brackets_behind_a_sized_delimiter_are_printed() -> None:
    assert printed(r"$\bigl[ a, b \bigr] \left[ c \right] {x}$") == "[ a, b ] [ c ] x"


@pytest.mark.parametrize(
    "cell", [r"\begin{tabular}{@{}c@{}}b \\ c\end{tabular}", r"\makecell[l]{b \\ c}", r"\lines{b \\ c}"]
)
def test_lines_of_a_cell_stay_in_its_row(cell: str) -> None:
    preamble = r"\newcommand{\lines}[1]{\begin{tabular}{@{}l@{}}#1\end{tabular}}"
    body = rf"\begin{{tabular}}{{ll}} a & {cell} \\ \hline d & e \\ \end{{tabular}}"
    assert printed(body, preamble) == "a | b c\nd | e"


def test_struck_text_is_left_out_and_counted() -> None:
    paper = read(r"They carry \sout{30 or \emph{so}} 40.")
    assert paper.page_content == "They carry 40."
    assert paper.metadata["hidden"] == {"struck out": 6}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(
    [r"\iffalse ", r"\iftrue ", r"\else ", r"\fi ", r"\x", "{", "}", "[", "]", r"\x{a}", "%\n", "\n\n", r"\newcommand{\x}[1]{#1 b}",
     r"\newcommand{\y}{\x", r"\y", r"\url{", "%", r"\verb|", r"\SI{1}", r"{\m}", r"\begin{verbatim}", r"\end{verbatim}", "text ", "$"]
), max_size=25))  # fmt: skip
def test_broken_source_is_read_and_each_piece_has_its_place(pieces: list[str]) -> None:
    body = "Text. " + "".join(pieces)
    paper = read(body)
    text, file = paper.page_content, whole(body)
    assert text.startswith("Text.")
    for start, at, length, taken, *_ in paper.metadata["sources"][0]["map"]:
        assert 0 <= start < start + length <= len(text)
        assert 0 <= at <= at + taken <= len(file)
