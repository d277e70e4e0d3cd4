"""`ragkit list`, `show`, `open`, `edit` and `rm` as a user runs them."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ragkit.cli import reports
from ragkit.papers import PaperRecord
from ragkit.text.printable import printable

Command = Callable[..., subprocess.CompletedProcess[str]]
CONFIG = (
    "ingest: {chunk: whole, index: &w bm25}\n"
    "answer: {retrieve: {type: lexical, index: *w}, generate: extractive, verify: evidence}\n"
)
HOSTILE = "Gulls \x1b[2J\x9b31m\u202e [bold]and rats[/bold]"


@pytest.fixture
def shelf(tmp_path: Path, command: Command) -> Path:
    """A folder with a corpus of three papers."""
    papers = tmp_path / "papers"
    papers.mkdir()
    (papers / "terns.md").write_text(
        "---\ntitle: Terns of the island\nauthors: [Ada Reed]\nyear: 2019\nvenue: Ibis\n---\n\n"
        "# Methods\n\nWe counted.\n\n## Boats\n\nFrom boats.\n\n# Results\n\nThe island held 340 pairs of terns.\n"
    )
    (papers / "boats.md").write_text(
        "---\ntitle: Boats of the island\ndoi: 10.1234/boats\n---\n\nBoats carried 40 people.\n"
    )
    (papers / "gulls.md").write_text(f"---\ntitle: {json.dumps(HOSTILE)}\n---\n\nGulls lost eggs to rats.\n")
    (tmp_path / "p.yaml").write_text(CONFIG)
    assert command("ingest", "papers", "--config", "p.yaml").returncode == 0
    return tmp_path


@pytest.fixture
def run(shelf: Path, command: Command) -> Command:
    """A command over that corpus."""
    return lambda *arguments, **environment: command(*arguments, "--config", "p.yaml", **environment)


def test_a_pipe_gets_a_line_for_each_paper_and_json_every_field(shelf: Path, run: Command) -> None:
    rows = [line.split("\t") for line in run("list", "--sort=-year", COLUMNS="20").stdout.splitlines()]
    assert rows[0][1:] == ["2019", "Ada Reed", "Terns of the island", "Ibis", "", "1"]
    assert [len(row) for row in rows] == [7, 7, 7]
    [paper] = json.loads(run("list", "--where", "year = 2019", "--json").stdout)["papers"]
    assert set(paper) == set(PaperRecord.model_fields)
    assert paper["files"] == [str(shelf.resolve() / "papers" / "terns.md")]


def test_a_table_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    console = type(reports.out)(file=written, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(reports, "out", console)
    long = PaperRecord(
        id="0123456789abcdef0123",
        title=f"{HOSTILE} {'of the island ' * 20}",
        authors=("Hubert Blaine Wolfeschlegelsteinhausenbergerdorff",),
        year=2019,
        venue="Proceedings of the Society " * 3,
        pages=12,
        passages=340,
    )
    reports.show_papers([long] * 3)
    head, *rows, count = written.getvalue().splitlines()
    assert head.split() == ["id", "year", "author", "title", "venue", "pages", "passages"]
    assert len(rows) == 3
    for row in rows:
        assert row.startswith("01234567 ")
        assert row.split()[-2:] == ["12", "340"]
        assert len(row) <= 80
        assert "[bold]" in row
    assert count == "3 papers"
    assert printable(written.getvalue()) == written.getvalue()


def test_a_paper_is_shown_with_metadata_sections_and_on_request_its_text(shelf: Path, run: Command) -> None:
    shown = run("show", "terns").stdout
    identity = json.loads(run("show", "terns", "--json").stdout)["id"]
    assert shown.splitlines() == [
        "Terns of the island",
        f"id: {identity}",
        "papers/terns.md",
        "authors: Ada Reed",
        "venue: Ibis",
        "year: 2019",
        "",
        "Methods",
        "  Boats",
        "Results",
    ]
    assert run("show", "10.1234/boats", "--text").stdout.endswith("\nBoats carried 40 people.\n")
    assert json.loads(run("show", "10.1234/boats", "--json").stdout)["text"] == "Boats carried 40 people."


def test_no_python_is_printed_and_the_abstract_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    from langchain_core.documents import Document

    written = io.StringIO()
    monkeypatch.setattr(reports, "out", type(reports.out)(file=written, width=80))
    metadata = {
        "title": "Terns",
        "hidden": {"not displayed": 5},
        "open": True,
        "groups": [["a", "b"], {"c": 1}],
        "sections": [
            {"start": 0, "end": 9, "path": ["Abstract"], "kind": "abstract"},
            {"start": 9, "end": 14, "path": ["Results"], "kind": "body"},
        ],
    }
    reports.show_paper(Document("We count.Many.", id="ab12", metadata=metadata), [], [], [])
    assert written.getvalue().splitlines() == [
        "Terns",
        "id: ab12",
        "hidden: not displayed: 5",
        "open: yes",
        "groups: a, b; c: 1",
        "",
        "We count.",
        "",
        "Abstract",
        "Results",
    ]


def test_names_that_mean_several_papers_or_none_are_one_sentence(shelf: Path, run: Command) -> None:
    for verb in (["show"], ["open", "--print"], ["rm"], ["edit", "year=2020"]):
        several = run(verb[0], "island", *verb[1:])
        assert (several.returncode, several.stdout) == (2, "")
        assert several.stderr.startswith("'island' may be any of 2 papers: ")
        assert several.stderr.count("\n") == 1
        none = run(verb[0], "trens", *verb[1:])
        assert (none.returncode, none.stdout) == (2, "")
        assert none.stderr == (
            "no paper is called 'trens'; the closest titles are “Terns of the island”; `ragkit list` shows all\n"
        )
    wrong = run("list", "--where", "yaer = 2019")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "(did you mean 'year'?)" in wrong.stderr


def test_edit_corrects_and_takes_back(shelf: Path, run: Command) -> None:
    done = run("edit", "terns", "year=1999", "title= Terns \x1b[2J of an isle", "authors=Eve Moor; A. B.")
    assert printable(done.stdout) == done.stdout
    assert done.stdout.rstrip().endswith("corrected by you: year, title, authors")
    assert run("ingest", "papers").returncode == 0
    paper = json.loads(run("edit", "isle", "year=", "--json").stdout)
    assert (paper["year"], paper["authors"]) == (2019, ["Eve Moor", "A. B."])
    assert "corrected: title, authors\n" in run("show", "isle").stdout
    for wrong, sentence in (
        (["year"], "'year' is no correction: write a field, = and a value, such as year=2020\n"),
        (["year=1", "year=2"], "'year' is given twice: give it once\n"),
        (["pages=3"], "'pages' cannot be corrected: choose title, authors, year, venue, doi or arxiv\n"),
    ):
        refused = run("edit", "isle", *wrong)
        assert (refused.returncode, refused.stderr) == (2, sentence)


def test_rm_removes_until_the_file_is_named(shelf: Path, run: Command) -> None:
    done = run("rm", "gulls")
    assert done.returncode == 0
    assert printable(done.stdout) == done.stdout
    assert done.stdout.endswith(f"\n  {shelf.resolve() / 'papers' / 'gulls.md'}\n")
    assert json.loads(run("rm", "10.1234/boats", "--json").stdout)["title"] == "Boats of the island"
    run("ingest", "papers")
    assert len(run("list").stdout.splitlines()) == 1
    run("ingest", "papers/boats.md")
    assert len(run("list").stdout.splitlines()) == 2
    assert run("doctor").returncode == 0


@pytest.mark.parametrize(("answer", "left"), [("n\n", 3), ("y\n", 2)])
def test_on_a_terminal_rm_asks_first(shelf: Path, run: Command, answer: str, left: int) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "ragkit", "rm", "terns", "--config", "p.yaml"],
        cwd=shelf,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as running:
        os.write(ours, answer.encode())
        said, _ = running.communicate(timeout=120)
    os.close(ours)
    os.close(theirs)
    assert said.startswith("Remove “Terns of the island” (".encode())
    assert running.returncode == (0 if left == 2 else 1)
    assert len(run("list").stdout.splitlines()) == left


def test_open_prints_the_path_or_starts_the_viewer(shelf: Path, run: Command) -> None:
    file = str(shelf.resolve() / "papers" / "terns.md")
    assert run("open", "terns", "--print").stdout == f"{file}\n"
    assert run("open", "terns", "of", "the", "island", "--print").stdout == f"{file}\n"
    assert json.loads(run("open", "terns", "--json").stdout)["path"] == file
    assert run("open", "terns", "--page", "3").stderr == (f"there is no page 3: '{file}' has no pages\n")
    programs = shelf / "programs"
    programs.mkdir()
    (programs / "xdg-open").write_text(f"#!/bin/sh\necho \"$1\" > '{shelf}/opened'\n")
    (programs / "xdg-open").chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    assert run("open", "terns", PATH=path).returncode == 0
    assert run("open", "terns", PATH=str(shelf)).stderr == (
        f"no viewer opens '{file}'; `ragkit open --print` prints its path\n"
    )
    Path(file).unlink()
    gone = run("open", "terns", "--print")
    assert gone.returncode == 2
    assert "has no file that is still there" in gone.stderr


def test_a_pdf_is_opened_at_a_page_where_the_viewer_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ragkit.cli import papers

    told = tmp_path / "told"
    for name, does in (("xdg-mime", "echo org.gnome.Evince.desktop"), ("evince", f"echo $* > '{told}'")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    papers.open_file("/papers/a.pdf", 3).wait(10)
    assert told.read_text() == "--page-index=3 /papers/a.pdf\n"
