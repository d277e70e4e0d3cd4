"""The example of a format in a package of its own: saved pages that list papers."""

from __future__ import annotations

import codecs
import json
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from paper_pages import PaperPage
from support import ROOT

from ragkit.chunk import WholeChunker
from ragkit.config import components
from ragkit.document import normalised_title, sources_of, title_of
from ragkit.ingest import IngestPipeline
from ragkit.read.files import Files
from ragkit.read.formats import registered_formats
from ragkit.read.formats.html import Html
from ragkit.read.process import Reader

pytestmark = pytest.mark.usefixtures("paper_pages")

GLASS = (
    "Bridges of glass carry people over deep valleys and show them the ground below. In this work we measure how many people a"
    " glass bridge carries before it bends. We find that forty people are no problem, and that sixty are one when they jump."
)
STEEL = "We weigh trains on bridges of steel. None of them was too heavy."
WOOD = "Wooden bridges rot where the rain cannot run off, and a roof of slate makes them last four times as long."


def listed(folder: Path, content: str | bytes, name: str = "page.txt") -> list[tuple[str, str]]:
    """The titles and texts that a file with this content lists; checks each text against its offsets."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    whole = path.read_bytes()
    text = whole.decode(
        "utf-16" if whole.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    )
    found = []
    for paper in Files().each(path):
        [source] = sources_of(paper)
        assert text[source["start"] : source["end"]] == paper.page_content
        found.append((title_of(paper), paper.page_content))
    return found


# --- paper pages

SPACED = f"""new

Get trending papers in your email inbox!

Subscribe

byAK and the research community

Mar 17

How Many People Does a Glass Bridge Carry?

{GLASS}

Trains on Steel

{STEEL}

Roofs Over Bridges: Wood, Rain and "Slate"

{WOOD}
"""
GLUED = f"""Get trending papers in your email inbox once a day!
Get trending papers in your email inbox!
SubscribeHow Many People Does a Glass Bridge Carry?
{GLASS}
Trains on Steel
{STEEL}
Roofs Over Bridges: Wood, Rain and "Slate"
{WOOD}
"""
THREE = [
    ("How Many People Does a Glass Bridge Carry?", GLASS),
    ("Trains on Steel", STEEL),
    ('Roofs Over Bridges: Wood, Rain and "Slate"', WOOD),
]


@pytest.mark.parametrize("page", [SPACED, GLUED])
@pytest.mark.parametrize("name", ["page.txt", "page.html", "readme.md", "page"])
def test_a_paper_page_is_told_by_its_content_and_lists_its_papers(
    tmp_path: Path, page: str, name: str
) -> None:
    assert listed(tmp_path, page, name) == THREE


@pytest.mark.parametrize("page", [SPACED, GLUED])
def test_a_paper_page_may_have_other_line_ends_a_byte_order_mark_or_utf_16(tmp_path: Path, page: str) -> None:
    crlf = page.replace("\n", "\r\n")
    assert listed(tmp_path, crlf) == THREE
    assert listed(tmp_path, codecs.BOM_UTF8 + crlf.encode()) == THREE
    assert listed(tmp_path, page.encode("utf-16")) == THREE


@pytest.mark.parametrize(
    "title", ["“Glass” or Death", "(In)stability of Glass", "iGlass: Small Bridges", "$\\mu$Bridge", "Glass"]
)
def test_the_first_title_is_freed_from_the_word_it_is_glued_to(tmp_path: Path, title: str) -> None:
    page = GLUED.replace("How Many People Does a Glass Bridge Carry?", title)
    assert listed(tmp_path, page) == [(title, GLASS), *THREE[1:]]


def test_only_the_first_title_is_freed(tmp_path: Path) -> None:
    page = SPACED.replace("Trains on Steel", "Subscribers on Steel")
    assert listed(tmp_path, page)[1] == ("Subscribers on Steel", STEEL)


@pytest.mark.parametrize("page", [SPACED, GLUED])
def test_a_title_without_an_abstract_is_a_paper_without_text(tmp_path: Path, page: str) -> None:
    assert listed(tmp_path, page.replace(STEEL, "").replace(WOOD, "")) == [
        THREE[0],
        ("Trains on Steel", ""),
        (THREE[2][0], ""),
    ]


@pytest.mark.parametrize("page", [SPACED, GLUED])
@pytest.mark.parametrize("newline", ["\n", "\n\n", "\r\n"])
def test_an_abstract_of_several_lines_is_one_text(tmp_path: Path, page: str, newline: str) -> None:
    broken = GLASS.replace("below. In", f"below.{newline}In")
    assert listed(tmp_path, page.replace(GLASS, broken)) == [(THREE[0][0], broken), *THREE[1:]]


@pytest.mark.parametrize(
    "abstract",
    [
        "Short abstracts have two sentences. Some of them are very short.",
        "An abstract of a single sentence says that bridges of glass break.",
        "We ask whether “a bridge of glass is a bridge”. We say that it “is.”",
        "Do bridges of glass break at night? Nobody knows, and nobody will!",
    ],
)
def test_an_abstract_may_be_short(tmp_path: Path, abstract: str) -> None:
    assert listed(tmp_path, GLUED.replace(STEEL, abstract))[1] == ("Trains on Steel", abstract)


def test_a_long_title_that_asks_is_a_title(tmp_path: Path) -> None:
    title = "What Do We Know of Bridges That Are Made of Glass and Carry People Over Deep Valleys?"
    assert listed(tmp_path, GLUED.replace("Trains on Steel", title))[1] == (title, STEEL)


def test_a_page_about_subscribing_that_lists_nothing_is_a_text(tmp_path: Path) -> None:
    text = "Subscribe\n\nGet trending papers in your email inbox!\n"
    assert listed(tmp_path, text) == [("Subscribe", "Get trending papers in your email inbox!")]


def test_the_shared_pages_list_what_their_readme_says(real_papers: Path) -> None:
    titles = []
    for path in Files().under([real_papers]):
        text = path.read_bytes().decode()
        for paper in Files().each(path):
            [source] = sources_of(paper)
            assert text[source["start"] : source["end"]] == paper.page_content
            assert len(paper.page_content) > 250
            titles.append(normalised_title(title_of(paper)))
    assert (len(titles), len(set(titles))) == (392, 322)


# --- as a plug-in


def test_a_registered_format_is_asked_by_its_priority_without_being_named() -> None:
    names = [type(form).__name__ for form in registered_formats()]
    assert names == [
        "Pdf", "PaperPage", "PubMed", "Atom", "ZoteroRdf", "Tei", "Jats", "Html", "Docx", "JsonLines", "Csv", "BibTex", "Ris", "Nbib", "Latex", "Markdown", "PlainText",
    ]  # fmt: skip


def test_the_other_process_knows_a_format_that_only_this_one_registered(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text(GLUED)
    with Reader(Files()) as reader:
        assert [title_of(paper) for some in reader.read(tmp_path / "page.txt") for paper in some] == [
            title for title, _ in THREE
        ]


def test_files_are_read_again_with_a_new_format_unless_the_formats_are_named() -> None:
    def fingerprints() -> tuple[str, str]:
        both = [
            IngestPipeline(read=files, chunk=WholeChunker(), index=[])
            for files in (Files(), Files(formats=[Html()]))
        ]
        return both[0].loader, both[1].loader

    every, named = fingerprints()
    components._components.remove(("paper_page", PaperPage))
    try:
        assert fingerprints()[0] != every
        assert fingerprints()[1] == named
    finally:
        components.component("paper_page")(PaperPage)
    assert fingerprints() == (every, named)


def test_an_installed_plug_in_reads_its_files_without_being_named(
    tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    site = tmp_path / "site"
    info = site / "ragkit_paper_pages-0.1.0.dist-info"
    info.mkdir(parents=True)
    package = ROOT / "examples" / "paper_pages"
    shutil.copy(package / "paper_pages.py", site)
    offered = tomllib.loads((package / "pyproject.toml").read_text())["project"]["entry-points"]
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ragkit-paper-pages\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items())
            for group, points in offered.items()
        )
    )
    (tmp_path / "page.html").write_text(GLUED)
    (tmp_path / "small.yaml").write_text(
        "ingest: {chunk: whole, index: []}\nanswer: {retrieve: [], generate: extractive}\n"
    )
    arguments = ("ingest", "page.html", "--config", "small.yaml", "--json")
    assert json.loads(command(*arguments, PYTHONPATH=f"{site}:{ROOT}").stdout)["entries"] == 3
    (site / "paper_pages.py").write_text("import nothing_of_this_name\n")
    broken = command(*arguments, PYTHONPATH=f"{site}:{ROOT}")
    assert broken.returncode == 2
    assert broken.stderr == (
        "the plug-in 'paper_pages:PaperPage' cannot be imported (No module named 'nothing_of_this_name');"
        " repair or uninstall its package\n"
    )
