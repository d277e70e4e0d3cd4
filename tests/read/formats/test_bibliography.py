"""Bibliographies: BibTeX and RIS."""

from __future__ import annotations

import contextlib
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from support import SHARED

from ragkit.document import Span, places_of
from ragkit.errors import LoadError
from ragkit.read.formats.bibliography import BibTex
from ragkit.read.formats.tagged import Nbib, Ris


def read(file: str) -> list[Document]:
    return list(BibTex().papers("refs.bib", file.encode()))


def told(paper: Document) -> dict[str, Any]:
    return {name: value for name, value in paper.metadata.items() if name not in ("sources", "bibliography")}


def place(paper: Document, start: int, end: int) -> tuple[int, int]:
    paper.metadata["sources"][0]["uri"] = "refs"
    [found] = places_of(paper, Span("", start, end))
    return found["start"], found["end"]


ARTICLE = r"""% two papers
@string{jml = "Journal of Machine Learning"}

@article{kaiser2017,
  title     = {{BERT} \& Friends: Fast~and {M}emory-Efficient, 1990--2017},
  author    = {Kaiser, {\L}ukasz and de la Cruz, Jr, Mar{\'\i}a and G{\"o}del, Kurt and {Google, Inc.} and Ada Lovelace and others},
  journal   = jml # { Letters},
  year      = 2017,
  volume    = {30},
  number    = "4",
  pages     = {697--706},
  publisher = {MIT Press},
  doi       = {https://doi.org/10.1000/978-3\_13},
  eprint    = {1706.03762},
  archivePrefix = "arXiv",
  url       = {\url{https://example.org/a_b?c=50%25}},
  keywords  = {attention, neural networks; BERT},
}
@misc(other, title = "On Bridges")
"""


def test_an_entry_describes_a_paper() -> None:
    first, second = read(ARTICLE)
    assert told(first) == {
        "title": "BERT & Friends: Fast and Memory-Efficient, 1990–2017",
        "authors": ["Łukasz Kaiser", "María de la Cruz Jr", "Kurt Gödel", "Google, Inc.", "Ada Lovelace"],
        "venue": "Journal of Machine Learning Letters",
        "year": 2017,
        "volume": "30",
        "number": "4",
        "pages": "697-706",
        "publisher": "MIT Press",
        "doi": "10.1000/978-3_13",
        "arxiv": "1706.03762",
        "url": "https://example.org/a_b?c=50%25",
        "keywords": ["attention", "neural networks", "BERT"],
        "key": "kaiser2017",
    }
    assert told(second) == {"title": "On Bridges", "key": "other"}
    assert first.metadata["bibliography"] is second.metadata["bibliography"] is True


def test_an_entry_without_an_abstract_has_no_text_and_stands_where_it_begins() -> None:
    papers = read(ARTICLE)
    assert [paper.page_content for paper in papers] == ["", ""]
    assert [paper.metadata["sources"] for paper in papers] == [
        [{"start": ARTICLE.index("@article"), "end": ARTICLE.index("@article")}],
        [{"start": ARTICLE.index("@misc"), "end": ARTICLE.index("@misc")}],
    ]


def test_an_abstract_that_stands_in_the_file_as_it_is_has_its_place() -> None:
    file = "@misc{a, title={Bridges}, note={They sway.}, abstract={They sway.}}"
    [paper] = read(file)
    assert paper.page_content == "They sway."
    assert paper.metadata["sources"] == [{"start": file.rindex("They"), "end": file.rindex("They") + 10}]


def test_an_abstract_in_latex_is_decoded_and_mapped() -> None:
    file = "@misc{a, title={Bridges}, abstract = {  G\\\"odel's {\\em bridges} carry\n    40\\% of $x$ & 5% more.}}"
    [paper] = read(file)
    assert paper.page_content == "Gödel's bridges carry 40% of x & 5% more."
    for words, written in (
        ("bridges", "bridges"),
        ("Gödel", '"odel'),
        ("40%", "40\\%"),
        ("more.", "more."),
        ("5%", "5%"),
    ):
        start = paper.page_content.index(words)
        found = place(paper, start, start + len(words))
        assert file[slice(*found)].endswith(written)


def test_an_abstract_in_parts_is_mapped_part_by_part() -> None:
    file = '@string{who = "We"}\n@misc{a, title={B}, abstract = who # " test " # {bridges.}}'
    [paper] = read(file)
    assert paper.page_content == "We test bridges."
    assert [file[slice(*place(paper, start, end))] for start, end in ((0, 2), (3, 7), (8, 16))] == [
        "who",
        "test",
        "bridges.",
    ]


@pytest.mark.parametrize(
    ("fields", "arxiv"),
    [
        ("eprint = {1605.09103}, archiveprefix = {arXiv}", "1605.09103"),
        ("eprint = {arXiv:hep-th/9901001v2}", "hep-th/9901001v2"),
        ("eprint = {2020/123}, eprinttype = {iacr}", None),
        ("eprint = {2006.12345}, eprinttype = {iacr}", None),
        ("journal = {arXiv preprint arXiv:1706.03762}", "1706.03762"),
        ("journal = {CoRR abs/1706.03762}", "1706.03762"),
        ("journal = {CoRR}, volume = {abs/1706.03762}", "1706.03762"),
        ("journal = {ArXiv}, volume = {abs/1706.03762}", "1706.03762"),
        ("url = {http://arxiv.org/pdf/1706.03762v5}", "1706.03762v5"),
        ("doi = {10.48550/arXiv.1706.03762}", "1706.03762"),
        ("note = {arXiv:1706.03762}", "1706.03762"),
        ("note = {It answers arXiv:1706.03762}", None),
        ("journal = {Nature}, volume = {1706.03762}", None),
    ],
)
def test_the_arxiv_id_is_found_where_it_is_written(fields: str, arxiv: str | None) -> None:
    [paper] = read(f"@misc{{a, title = {{T}}, {fields}}}")
    assert paper.metadata.get("arxiv") == arxiv


@pytest.mark.parametrize(
    ("year", "known"),
    [("{2017}", 2017), ("2017", 2017), ("{in press}", "in press"), ("{2017a}", "2017a"), ("{}", None)],
)
def test_a_year_is_a_number_if_it_reads_as_one(year: str, known: Any) -> None:
    assert read(f"@misc{{a, title = {{T}}, year = {year}}}")[0].metadata.get("year") == known


def test_what_biblatex_calls_otherwise_is_known_too() -> None:
    [paper] = read(
        "@article{a, title={T}, journaltitle={Nature}, date={2020-05-01}, url={https://doi.org/10.1/x}}"
    )
    assert told(paper) == {
        "title": "T",
        "venue": "Nature",
        "year": 2020,
        "url": "https://doi.org/10.1/x",
        "doi": "10.1/x",
        "key": "a",
    }


def test_an_entry_without_a_title_is_called_by_its_key() -> None:
    assert [told(paper) for paper in read("@misc{smith2020, year=2020}\n@misc{,year=2021}")] == [
        {"title": "smith2020", "title_guessed": True, "key": "smith2020", "year": 2020},
        {"title": "refs", "title_guessed": True, "year": 2021},
    ]


def test_every_entry_counts_also_of_the_same_key_and_none_that_is_a_comment() -> None:
    file = """%% @article{off1,
%  title = {Off}}
@comment{not closed
@Article{a, title={One}, TITLE={Uno},
   % its year is not known
   note={n}}
@ARTICLE{a, title={Two}}
@Comment{jabref-meta: databaseType:bibtex;}
@preamble{"x"}
@CONTROL{achemso-control, ctrl-use-title = "yes"}
Any text, with joe@example.org in it.
@article {b , title={Three}}
"""
    assert [(paper.metadata["key"], paper.metadata["title"]) for paper in read(file)] == [
        ("a", "One"),
        ("a", "Two"),
        ("b", "Three"),
    ]


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("@misc{a, title={One}}\n\n@misc{b, title={Two}, year={2020\n", "line 3: the entry is not closed"),
        ("@misc{a, title={One},\n@misc{b, title={Two}}\n", "line 1: the entry is not closed"),
        (
            "@misc{a,\n title={One}\n year={2020}}",
            "line 2: the value that begins here is broken, or the comma after it is missing",
        ),
        ("@misc{a\n title={One}}", "line 1: the comma after the key of the entry is missing"),
        ("@misc{a,\n title={One},\n year\n}", "line 4: an equals sign is missing"),
        ("@misc{a,\n title={One},\n year {2020}}", "line 3: an equals sign is missing"),
        ("@misc{a,\n title={One}, of the year=2020}", "line 2: 'of the year' is no name of a field"),
        ("@misc{a,\n title={One}},\n year=2020}", "line 2: this belongs to no entry"),
        ("@misc{a, title={One}}\n@misc b, title={Two}}", "line 2: this belongs to no entry"),
    ],
)
def test_a_broken_entry_costs_itself_and_its_line_is_named(file: str, problem: str) -> None:
    broken = "".join(f"\n{line}" for line in file.split("\n"))  # a line lower, behind an entry
    whole = f"@misc{{first, title={{First}}}}{broken}\n\n@misc{{last, title={{Last}}}}\n"
    number = re.search(r"\d+", problem)
    assert number
    problem = problem.replace(number[0], str(int(number[0]) + 1), 1)
    papers = read(whole)
    titles = [paper.metadata["title"] for paper in papers]
    assert (titles[0], titles[-1]) == ("First", "Last")
    assert any(said.startswith(problem) for said in papers[-1].metadata["lost"])
    with contextlib.suppress(LoadError):
        read(file)


@pytest.mark.parametrize(
    ("name", "text", "is_one"),
    [
        ("x.txt", "@article{a, title={T}}", True),
        ("x.txt", "\n% made by hand\n\n @InProceedings(a,\n title={T})", True),
        ("x.txt", '@string{a = "b"}\n@comment{c}\n@article{a, title={T}}', True),
        ("refs.bib", "Some words first.\n@article{a, title={T}}", True),
        ("refs.bib", "Only words.", False),
        ("x.md", "# Citing\n\n```\n@article{a, title={T}}\n```\n", False),
        ("x.tex", "\\documentclass{article}\n@article{a, title={T}}", False),
        ("x.css", "@media screen { a, b { color: red } }", False),
        ("x.py", "@component(name)\nclass A: ...", False),
    ],
)
def test_bibtex_is_told_by_what_it_begins_with(name: str, text: str, is_one: bool) -> None:
    assert BibTex().recognises(name, text.encode()) is is_one


RIS = """TY  - JOUR
ID  - kaiser2017
TI  - Fast and
 memory-efficient
AU  - Kaiser, Łukasz
A1  - not counted beside AU
AU  - Cruz, María, Jr.
AU  - Google
JO  - JML
T2  - Journal of Machine Learning
PY  - 2017/05/01/
VL  - 30
IS  - 4
SP  - 697
EP  - 706
DO  - doi:10.1000/xyz
UR  - https://arxiv.org/abs/1706.03762
KW  - attention
KW  - networks
PB  - MIT Press
AB  - They carry 40 people.
ER  -

TY  - BOOK
BT  - On Ropes
Y1  - 1999
N2  - They   sway,
always.

And often.
ER  -
"""


def test_an_entry_of_ris_describes_a_paper() -> None:
    first, second = Ris().papers("refs.ris", RIS.encode())
    assert told(first) == {
        "title": "Fast and memory-efficient",
        "authors": ["Łukasz Kaiser", "María Cruz Jr.", "Google"],
        "venue": "Journal of Machine Learning",
        "year": 2017,
        "volume": "30",
        "number": "4",
        "pages": "697-706",
        "publisher": "MIT Press",
        "doi": "10.1000/xyz",
        "arxiv": "1706.03762",
        "url": "https://arxiv.org/abs/1706.03762",
        "keywords": ["attention", "networks"],
        "key": "kaiser2017",
    }
    assert (told(second), first.metadata["bibliography"]) == ({"title": "On Ropes", "year": 1999}, True)


def test_an_abstract_of_ris_keeps_its_place() -> None:
    first, second = Ris().papers("refs.ris", RIS.encode())
    start = RIS.index("They carry")
    assert (first.page_content, first.metadata["sources"]) == (
        "They carry 40 people.",
        [{"start": start, "end": start + 21}],
    )
    assert second.page_content == "They sway, always.\n\nAnd often."
    assert [RIS[slice(*place(second, start, end))] for start, end in ((5, 18), (20, 30))] == [
        "sway,\nalways.",
        "And often.",
    ]
    [bare] = Ris().papers("refs.ris", b"\r\nTY  - JOUR\r\nTI  - T\r\nER  - \r\n")
    assert (bare.page_content, bare.metadata["sources"]) == ("", [{"start": 2, "end": 2}])


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("TY  - JOUR\nTI  - One\nER  -\n\nTY  - JOUR\nTI  - Two\n", "line 5: the entry is not closed"),
        ("TY  - JOUR\r\nTI  - One\r\nTY  - JOUR\r\nER  -\r\n", "line 1: the entry is not closed"),
        ("TY  - JOUR\rER  -\rTI  - Two\r", "line 3: TI stands in no entry"),
    ],
)
def test_a_broken_entry_of_ris_costs_itself_and_is_named(file: str, problem: str) -> None:
    papers = list(Ris().papers("refs.ris", file.encode()))
    assert len(papers) == 1
    assert papers[0].metadata["lost"] == [problem]
    with pytest.raises(LoadError, match="line 1: the entry is not closed; nothing was read from this file"):
        list(Ris().papers("refs.ris", b"TY  - JOUR\nTI  - One\n"))


NBIB = """
PMID- 123
OWN - NLM
DP  - 2014 Jun
TI  - Bats and the wind: a
      study.
LID - S0001(14)1 [pii]
LID - 10.5555/b.1 [doi]
AB  - RESULTS: Turbines met 12 bats
      per year - or more.
FAU - Roe, Ann
AU  - Roe A
FAU - Poe, Ed Jr
PG  - 3-9
OT  - bats
OT  - wind
JT  - Field letters
PMC - PMC77

PMID- 124
TI  - [No abstract].
AU  - Li W
"""


def test_an_entry_of_nbib_describes_a_paper() -> None:
    assert Nbib().recognises("pubmed-export.txt", NBIB.encode())
    first, second = Nbib().papers("pubmed.nbib", NBIB.encode())
    assert told(first) == {
        "title": "Bats and the wind: a study",
        "authors": ["Ann Roe", "Ed Jr Poe"],
        "year": 2014,
        "venue": "Field letters",
        "doi": "10.5555/b.1",
        "pages": "3-9",
        "keywords": ["bats", "wind"],
        "pmid": "123",
        "pmcid": "PMC77",
    }
    assert first.page_content == "RESULTS: Turbines met 12 bats per year - or more."
    assert NBIB[slice(*place(first, 22, 37))] == "12 bats\n      per yea"
    assert told(second) == {"title": "[No abstract]", "authors": ["Li W"], "pmid": "124"}
    assert second.page_content == ""


def test_lines_of_nbib_before_the_first_entry_are_named() -> None:
    [paper] = Nbib().papers("x", b"TI  - Lost\nAB  - Lost\nPMID- 1\nTI  - Kept\n")
    assert paper.metadata["lost"] == ["line 1: TI stands in no entry"]


def test_ris_is_told_by_its_first_line() -> None:
    assert Ris().recognises("x.txt", b"\xef\xbb\xbf\r\nTY  - JOUR\r\n")
    assert not Ris().recognises("x.ris", b"An article shows\nTY  - JOUR\n")


PLAIN = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\{}$~`'-\"#^_\u2028\u2029\x85"),
    min_size=1,
).filter(
    lambda line: (
        not re.match(r"\s*@\w*[ \t]*\(", line)
    )  # a line that begins so begins an entry, also inside of another
)


@given(
    st.lists(PLAIN, min_size=1), st.sampled_from(["\n", "\r\n\t", "   ", " "]), st.text("abc \n%", max_size=9)
)
def test_an_abstract_gives_the_characters_of_its_place(lines: list[str], gap: str, before: str) -> None:
    """In either format, whatever white space stands between the words."""
    abstract = gap.join(lines)
    for format_, file in (
        (BibTex(), f"{before}\n@misc{{a, note={{{abstract}}}, abstract = {{{abstract}}}}}"),
        (Ris(), f"{before}\nTY  - JOUR\nN1  - {abstract}\nAB  - {abstract}\nER  -\n"),
    ):
        [paper] = format_.papers("x", file.encode())
        text = paper.page_content
        assert text.split() == abstract.split()
        for word in re.finditer(r"\S+", text):
            assert file[slice(*place(paper, *word.span()))] == word[0]
        source = paper.metadata["sources"][0]
        if text and "start" in source:
            assert file[source["start"] : source["end"]] == text


PIECES = """@ { } ( ) " , = # % \\ $ & ~ - ' ` a b 1 @misc{a, title={ abstract={ author={ and @string{ @comment{ \\emph{ \\frac{ \\begin{x} TI  AB  ER """
NOISE = st.lists(st.sampled_from([*PIECES.split(" "), " ", "\n", "\r", "TY  - ", "\nAB  - ", "\nER  -"])).map(
    "".join
)


@given(
    st.one_of(NOISE, st.text()), st.sampled_from([ARTICLE, RIS, ""]), st.integers(0, 900), st.integers(0, 9)
)
def test_any_file_is_read_or_refused(noise: str, file: str, at: int, lost: int) -> None:
    """A valid file that something is written into, or taken out of, as well as nothing but noise."""
    broken = file[:at] + noise + file[at + lost :]
    for format_ in (BibTex(), Ris(), Nbib()):
        format_.recognises_text("x", broken)
        try:
            papers = list(format_.papers_in("refs.bib", broken))
        except LoadError as error:
            assert re.match(r"line \d+: \S", str(error))
            continue
        for paper in papers:
            assert paper.metadata["title"]
            assert paper.metadata["bibliography"] is True
            if paper.page_content:
                start, end = place(paper, 0, len(paper.page_content))
                assert 0 <= start <= end <= len(broken)


@pytest.mark.parametrize(
    "file",
    [
        "@misc{a, title=" + "{" * 10_000 + "x" + "}" * 10_000 + "}",
        "@misc{a, abstract={" + "\\emph{" * 10_000 + "x" + "}" * 10_000 + "}}",
        "@misc{a, abstract={$" + "\\text{" * 3_000 + "x" + "}" * 3_000 + "$}}",
        "@misc{a, author={" + " " * 50_000 + "x}}",
        "@misc{" + " " * 50_000,
        "@" * 50_000,
        "{" * 50_000,
    ],
)
def test_what_is_nested_or_long_is_read_in_no_time(file: str) -> None:
    begun = time.monotonic()
    BibTex().recognises_text("refs.bib", file)
    with contextlib.suppress(LoadError):
        read(file)
    assert time.monotonic() - begun < 1


def test_real_bibliographies_load_whole() -> None:
    folder = SHARED / "data" / "latex"
    if not folder.is_dir():
        pytest.skip("the shared papers are not beside this checkout")
    papers = [
        paper
        for path in sorted(folder.glob("*/*.bib"))
        for paper in BibTex().papers(path.name, path.read_bytes())
    ]
    assert len(papers) == 280
    assert not [
        paper
        for paper in papers
        if "title_guessed" in paper.metadata or re.search(r"[{}\\$]", paper.metadata["title"])
    ]
    by_key = {paper.metadata["key"]: paper for paper in papers}
    assert by_key["vaswani2017attention"].metadata["authors"][-2:] == ["Łukasz Kaiser", "Illia Polosukhin"]
    assert by_key["KDD18"].page_content.startswith("Over the past few decades")


def test_abbreviations_of_abbreviations_do_not_swell() -> None:
    doubled = "".join(f"@string{{s{n} = s{n - 1} # s{n - 1}}}\n" for n in range(1, 22))
    file = '@string{s0 = "glass bridges, "}\n' + doubled + "@article{a, title = {Glass}, note = s21}"
    [paper] = read(file)
    assert paper.metadata["lost"][0] == "line 8: 's7' stands for more than 1,000 characters"
