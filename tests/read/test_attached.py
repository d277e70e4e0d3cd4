"""Files that the entries of a bibliography name are read with what the entries say of them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from support import small_pdf

import ragkit
from ragkit.plan import plan
from ragkit.read.formats import TextFormat
from ragkit.read.formats.bibliography import BibTex
from ragkit.read.formats.tagged import Ris
from ragkit.read.formats.xml_records import ZoteroRdf

GLASS = ("Scan 17", "Glass bridges carry people over rivers in all weathers.")
ENTRY = """@article{{smith2020,
  title = {{Glass bridges}}, author = {{Smith, Anna}}, year = {{2020}}, journal = {{Bridge Letters}}, doi = {{10.1000/glass}},
  file = {{{file}}}
}}
"""
RIS = "TY  - JOUR\nTI  - Glass bridges\nAU  - Smith, Anna\nPY  - 2020\nL1  - {file}\nUR  - https://example.org/glass\nER  - \n"
RDF = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:z="http://www.zotero.org/namespaces/export#"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:bib="http://purl.org/net/biblio#" xmlns:link="http://purl.org/rss/1.0/modules/link/">
<bib:Article rdf:about="#item_1"><z:itemType>journalArticle</z:itemType><dc:title>Glass bridges</dc:title><dc:date>2020</dc:date>
 <link:link rdf:resource="#item_2"/><link:link rdf:resource="#item_3"/></bib:Article>
<z:Attachment rdf:about="#item_2"><z:itemType>attachment</z:itemType><rdf:resource rdf:resource="{file}"/><dc:title>Full Text</dc:title></z:Attachment>
<z:Attachment rdf:about="#item_3"><z:itemType>attachment</z:itemType><dc:identifier>https://example.org/glass</dc:identifier></z:Attachment>
</rdf:RDF>
"""


@pytest.fixture
def rag(tmp_path: Path) -> ragkit.Rag:
    return ragkit.load(preset="default", corpus=tmp_path / "corpus")


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A folder of an export with one attached file."""
    folder = tmp_path / "export"
    (folder / "files" / "12").mkdir(parents=True)
    (folder / "files" / "12" / "scan.pdf").write_bytes(small_pdf(*GLASS))
    return folder


def bibliography(folder: Path, file: str, *more: str) -> Path:
    path = folder / "library.bib"
    path.write_text("\n".join([ENTRY.format(file=file), *more]))
    return path


# --- what formats say


@pytest.mark.parametrize(
    ("field", "files"),
    [
        ("Full Text PDF:files/12/Smith - 2020.pdf:application/pdf", ["files/12/Smith - 2020.pdf"]),
        (":scan.pdf:PDF", ["scan.pdf"]),
        ("scan.pdf", ["scan.pdf"]),
        ("files/1/a.pdf;files/2/b.html", ["files/1/a.pdf", "files/2/b.html"]),
        (
            "Full Text:files/1/a.pdf:application/pdf;Snapshot:files/2/b.html:text/html",
            ["files/1/a.pdf", "files/2/b.html"],
        ),
        (r"A\: B:files/1/a\; b\:c.pdf:application/pdf", ["files/1/a; b:c.pdf"]),
        (r"Full Text:C\:\\Users\\anna\\a_1.pdf:application/pdf", [r"C:\Users\anna\a_1.pdf"]),
        (r":C\:/Users/anna/a\_1.pdf:PDF", ["C:/Users/anna/a_1.pdf"]),
        (r"C:\Users\anna\a.pdf", [r"C:\Users\anna\a.pdf"]),
        ("/home/anna/a.pdf", ["/home/anna/a.pdf"]),
        ("Full Text:/home/anna/a.pdf:application/pdf", ["/home/anna/a.pdf"]),
        (r":https\://example.org/a.pdf:URL", []),
        ("::", []),
    ],
)
def test_the_field_of_zotero_and_jabref(field: str, files: list[str]) -> None:
    [entry] = BibTex().papers("x.bib", ENTRY.format(file=field).encode())
    assert entry.metadata.get("attached", []) == files


@pytest.mark.parametrize(("form", "text"), [(Ris(), RIS), (ZoteroRdf(), RDF)])
def test_ris_and_rdf_name_files_too(form: TextFormat, text: str) -> None:
    [entry] = form.papers("x", text.format(file="files/12/scan.pdf").encode())
    assert entry.metadata["attached"] == ["files/12/scan.pdf"]
    assert entry.metadata.get("url", "https://example.org/glass") == "https://example.org/glass"


def test_a_link_of_ris_to_a_file_is_no_address() -> None:
    text = RIS.format(file="files/12/scan.pdf").replace("UR  - https://example.org/glass\n", "")
    [entry] = Ris().papers("x.ris", text.encode())
    assert "url" not in entry.metadata


# --- what an ingest does with them


@pytest.mark.parametrize(
    ("name", "text"), [("library.bib", ENTRY), ("library.ris", RIS), ("library.rdf", RDF)]
)
def test_an_attached_file_is_read_with_what_its_entry_says(
    rag: ragkit.Rag, export: Path, name: str, text: str
) -> None:
    (export / name).write_text(text.format(file="files/12/scan.pdf"))
    report = rag.ingest(export / name)
    assert (report.new, report.failed) == (2, ())
    [paper] = rag.papers()
    assert (paper.title, paper.year) == ("Glass bridges", 2020)
    assert paper.files == (str(export / "files" / "12" / "scan.pdf"),)
    known = rag.corpus.documents([paper.id])[paper.id].metadata
    assert not {"attached", "bibliography", "title_guessed"} & known.keys()
    [found] = rag.search("Glass bridges over rivers", k=1)
    assert found.metadata["title"] == "Glass bridges"


def test_a_folder_is_read_once_and_a_changed_entry_is_taken_over(rag: ragkit.Rag, export: Path) -> None:
    path = bibliography(export, ":files/12/scan.pdf:PDF")
    assert plan(rag, export).new == 2
    assert rag.ingest(export).new == 2
    assert rag.ingest(export).unchanged == 2
    assert rag.ingest(path).unchanged == 2
    path.write_text(path.read_text().replace("2020}", "2021}"))
    assert plan(rag, path).changed == 2
    assert rag.ingest(path).changed == 2
    assert [paper.year for paper in rag.papers()] == [2021]


def test_an_export_is_named_like_a_library(rag: ragkit.Rag, export: Path) -> None:
    path = bibliography(export, ":files/12/scan.pdf:PDF")
    assert rag.ingest(f"zotero:{export}").new == 2
    assert rag.ingest(f"zotero:{path}").unchanged == 2


def test_the_pdf_is_the_paper_and_other_files_are_papers_of_their_own(rag: ragkit.Rag, export: Path) -> None:
    (export / "more.md").write_text("# Supplement\n\nTables of loads on bridges, one for each year.\n")
    bibliography(export, "More:more.md:text/markdown;Full Text:files/12/scan.pdf:application/pdf")
    rag.ingest(export / "library.bib")
    assert [(paper.title, paper.doi) for paper in rag.papers()] == [
        ("Glass bridges", "10.1000/glass"),
        ("Supplement", ""),
    ]


def test_a_file_of_several_entries_is_none_of_them(rag: ragkit.Rag, export: Path) -> None:
    """Such as proceedings in one file."""
    second = "@article{roe, title = {Ropes}, year = {1999}, file = {:files/12/scan.pdf:PDF}}"
    bibliography(export, ":files/12/scan.pdf:PDF", second)
    rag.ingest(export / "library.bib")
    [paper] = rag.papers()
    assert paper.title not in ("Glass bridges", "Ropes")


@pytest.mark.parametrize("written", ["../secret.pdf", "{outside}/secret.pdf", "link.pdf", ".hidden/a.pdf"])
def test_a_bibliography_reads_nothing_outside_its_folder(
    rag: ragkit.Rag, export: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, written: str
) -> None:
    (tmp_path / "secret.pdf").write_bytes(small_pdf("Secret", "The code of the safe is 4711."))
    (export / "link.pdf").symlink_to(tmp_path / "secret.pdf")
    (export / ".hidden").mkdir()
    (export / ".hidden" / "a.pdf").write_bytes(small_pdf("Secret", "The code of the safe is 4711."))
    name = written.format(outside=tmp_path)
    path = bibliography(export, f":{name}:PDF")
    with caplog.at_level(logging.WARNING, "ragkit"):
        assert rag.ingest(path).new == 1
    assert rag.papers() == []
    [said] = [each.getMessage() for each in caplog.records]
    assert said == (
        f"'library.bib' names files that are not read, since they are hidden or outside its folder: 1, such as '{name}';"
        " export the library with its files, or name these files, too"
    )


def test_files_that_are_not_there_are_counted(
    rag: ragkit.Rag, export: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = bibliography(export, ":files/13/a.pdf:PDF;:files/14/b.pdf:PDF")
    with caplog.at_level(logging.WARNING, "ragkit"):
        assert rag.ingest(path).new == 1
    [said] = [each.getMessage() for each in caplog.records]
    assert said == (
        "'library.bib' names files that do not exist: 2, such as 'files/13/a.pdf';"
        " export the library with its files"
    )


def test_a_broken_bibliography_fails_alone(rag: ragkit.Rag, export: Path) -> None:
    (export / "library.rdf").write_text(RDF.split("<bib:Article")[0])
    report = rag.ingest(export)
    assert (report.new, [Path(each.source).name for each in report.failed]) == (1, ["library.rdf"])
