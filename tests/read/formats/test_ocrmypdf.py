"""Scanned PDFs: a stand-in for the program OCRmyPDF, and what comes of what it does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pypdfium2
import pytest
from langchain_core.documents import Document
from read.formats.test_documents import pdf

from ragkit.document import Span, places_of
from ragkit.errors import LoadError
from ragkit.read.files import Files
from ragkit.read.formats import registered_formats
from ragkit.read.formats.ocrmypdf import OcrMyPdf
from ragkit.read.process import Reader

SCAN = b"0 0 612 792 re f"  # a page that shows something and has no text
TEXT = [(72.0, 700.0, 10.0, "Glass bridges carry people.")]
EXPECTED = "--skip-text --output-type pdf --optimize 0 --quiet --language deu+fra --tesseract-timeout 60.0 --jobs 1 - -"

PROGRAM = """#!{python} -IS
import os, sys, tempfile
if " ".join(sys.argv[1:]) != {expected!r}:
    sys.exit("other options: " + " ".join(sys.argv[1:]))
with tempfile.NamedTemporaryFile() as file:  # it needs a folder to write into
    file.write(sys.stdin.buffer.read())
    file.flush()
    {does}
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install a program that does this after it has read the PDF."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")

    def install(does: str) -> None:
        path = tmp_path / "bin" / "ocrmypdf"
        path.parent.mkdir(exist_ok=True)
        path.write_text(PROGRAM.format(python=sys.executable, expected=EXPECTED, does=does))
        path.chmod(0o755)

    install("sys.exit('it is not called')")
    return install


def writes(tmp_path: Path, content: bytes) -> str:
    (tmp_path / "recognised").write_bytes(content)
    return f"sys.stdout.buffer.write(open({str(tmp_path / 'recognised')!r}, 'rb').read())"


def read(tmp_path: Path, content: bytes, **limits: float) -> list[Document]:
    (tmp_path / "a.pdf").write_bytes(content)
    files = Files(more_formats=[OcrMyPdf("deu+fra")], **limits)  # type: ignore[arg-type]
    with Reader(files) as reader:
        return [paper for batch in reader.read(tmp_path / "a.pdf") for paper in batch]


def test_a_scanned_page_is_read_at_its_place(tmp_path: Path, program: Callable[[str], None]) -> None:
    program(writes(tmp_path, pdf(TEXT, [(72.0, 600.0, 10.0, "They sway in the wind.")])))
    [paper] = read(tmp_path, pdf(TEXT, SCAN))
    assert "They sway in the wind." in paper.page_content
    assert not paper.metadata.get("pages_without_text")
    assert not paper.metadata.get("lost")
    start = paper.page_content.index("They sway")
    [place] = places_of(paper, Span("", start, start + 22))
    assert (place["page"], place["box"][0], place["uri"]) == (2, 72, str(tmp_path / "a.pdf"))


def test_the_date_and_title_of_the_program_are_not_those_of_the_paper(
    tmp_path: Path, program: Callable[[str], None]
) -> None:
    about = b"90 0 obj\n<< /Title (Made by a program) /CreationDate (D:20260101000000Z) >>\nendobj\n"
    recognised = pdf([(72.0, 740.0, 17.0, "Counts of birds"), *TEXT])
    recognised = recognised.replace(b"1 0 obj", about + b"1 0 obj", 1).replace(
        b"/Root", b"/Info 90 0 R /Root"
    )
    assert pypdfium2.PdfDocument(recognised).get_metadata_dict()["CreationDate"] == "D:20260101000000Z"
    program(writes(tmp_path, recognised))
    [paper] = read(tmp_path, pdf(SCAN))
    assert (paper.metadata["title"], paper.metadata.get("year")) == ("Counts of birds", None)


@pytest.mark.parametrize("pages", [[TEXT], [TEXT, b""]])
def test_a_pdf_without_scanned_pages_is_not_given_to_the_program(
    tmp_path: Path, program: Callable[[str], None], pages: list[bytes]
) -> None:
    [paper] = read(tmp_path, pdf(*pages))
    assert "Glass bridges" in paper.page_content
    assert not any("ocrmypdf" in each for each in paper.metadata.get("lost", ()))


@pytest.mark.parametrize(
    "does", ["sys.exit('bad image\\n')", "print('', file=sys.stderr); sys.exit(1)", "pass"]
)
def test_where_recognition_fails_the_text_of_the_other_pages_is_read(
    tmp_path: Path, program: Callable[[str], None], does: str
) -> None:
    program(does)
    failed = "its text cannot be recognised: `ocrmypdf` ended with status"
    [paper] = read(tmp_path, pdf(TEXT, SCAN))
    assert "Glass bridges" in paper.page_content
    assert paper.metadata["lost"][0].startswith("no text on 1 page (2)")
    assert paper.metadata["lost"][1].startswith(failed)
    with pytest.raises(LoadError, match=failed) as raised:
        read(tmp_path, pdf(SCAN))
    assert ("(bad image)" in str(raised.value)) == ("bad image" in does)


def test_what_it_writes_is_gone_when_it_takes_too_long(
    tmp_path: Path, program: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    told = tmp_path / "pid"
    program(
        f"open({str(told)!r}, 'w').write(file.name + ' ' + str(os.getpid())); import time; time.sleep(60)"
    )
    with pytest.raises(
        LoadError, match=r"reading it took longer than 3 s \(`seconds_a_file` of the loader\)"
    ):
        read(tmp_path, pdf(SCAN), seconds_a_file=3)
    name, pid = told.read_text().split()
    assert Path(name).is_relative_to(tmp_path / "tmp")
    assert list((tmp_path / "tmp").iterdir()) == []
    state, deadline = Path(f"/proc/{pid}/stat"), time.monotonic() + 20
    while state.exists() and state.read_text().split()[2] != "Z" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert time.monotonic() < deadline


def test_the_other_formats_stay_and_it_is_used_only_if_it_is_named(
    tmp_path: Path, program: Callable[[str], None]
) -> None:
    assert not any(isinstance(form, OcrMyPdf) for form in registered_formats())
    (tmp_path / "a.md").write_text("# Steel\n\nIt rusts.")
    files = Files(more_formats=[OcrMyPdf("eng")])
    assert files.settings != Files(more_formats=[OcrMyPdf("deu")]).settings != Files().settings
    with Reader(files) as reader:
        [[paper]] = reader.read(tmp_path / "a.md")
    assert paper.metadata["title"] == "Steel"


CONFIG = "ingest:\n  read: {type: files, more_formats: [{type: ocrmypdf, language: %s}]}\n  chunk: sentence\n  index: [bm25]\nanswer: {retrieve: {type: lexical, index: bm25}, generate: extractive}\n"


def test_a_program_that_is_not_installed_is_a_mistake_of_the_file(
    tmp_path: Path,
    command: Callable[..., subprocess.CompletedProcess[str]],
    program: Callable[[str], None],
) -> None:
    (tmp_path / "p.yaml").write_text(CONFIG % "eng")
    assert command("config", "check", tmp_path / "p.yaml").returncode == 0
    (tmp_path / "bin" / "ocrmypdf").unlink()
    ran = command("config", "check", tmp_path / "p.yaml")
    assert ran.returncode == 2
    assert "ocrmypdf: the program `ocrmypdf` is not installed; install it" in ran.stderr
    (tmp_path / "p.yaml").write_text(CONFIG % "--help")
    assert command("config", "check", tmp_path / "p.yaml").returncode == 2
