"""What the commands print of papers, files and errors is shown, never obeyed."""

from __future__ import annotations

import io
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from langchain_core.documents import Document
from support import ROOT

from ragkit.cli import reports, terminal
from ragkit.cli.reports import show_report
from ragkit.cli.terminal import progress_bar, show_hits
from ragkit.flow import Progress
from ragkit.ingest.report import Failure, IngestReport
from ragkit.testing import passages
from ragkit.text.printable import printable

HOSTILE = (
    "Glass \x1b]0;owned\x07\x1b[2J\x9b31m\u202e [bold]Bridges[/bold] [link=file:///x]:smile:\nfailed: forged"
)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is written to the terminal."""
    written = io.StringIO()
    console = type(terminal.out)(file=written, force_terminal=True, width=400, color_system=None)
    for module in (terminal, reports):
        for name in ("out", "err"):
            monkeypatch.setattr(module, name, console)
    return written


def lines_of(screen: io.StringIO) -> list[str]:
    """The lines written, which have no control characters besides the cursor's moves of a progress bar."""
    plain = re.sub(r"\x1b\[(?:\?25[lh]|\d*[AKm])|\r", "", screen.getvalue())
    assert printable(plain) == plain
    return [line for line in plain.splitlines() if line.strip()]


def test_a_search_result_shows_a_hostile_title_and_file_as_they_are(screen: io.StringIO) -> None:
    text = f"They carry {HOSTILE} people."
    sources = [{"uri": f"/papers/{HOSTILE}", "start": None, "end": None}]
    show_hits([Document(text, metadata={**passages()[0].metadata, "title": HOSTILE, "sources": sources})], "")
    lines = lines_of(screen)
    assert "[bold]Bridges[/bold] [link=file:///x]:smile: failed: forged" in lines[0]
    assert len(lines) == 3


def test_a_report_shows_a_hostile_file_and_reason_in_one_line(screen: io.StringIO) -> None:
    counts = dict.fromkeys(
        "files entries documents duplicates variants descriptions chunks encoded".split(), 0
    )
    show_report(IngestReport(**counts, seconds=0.1, failed=(Failure(source=HOSTILE, error=HOSTILE),)))
    assert [line[:14] for line in lines_of(screen)] == ["0 papers in th", "failed: Glass "]


def test_the_progress_bar_shows_a_hostile_file_name_as_it_is(
    screen: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with progress_bar() as bar:
        assert bar
        bar(Progress("read", 1, 2, HOSTILE))
    assert any(
        "[bold]Bridges[/bold] [link=file:///x]:smile: failed: forged" in line for line in lines_of(screen)
    )


def test_no_command_prints_what_controls_a_terminal(
    tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    papers = tmp_path / "papers"
    papers.mkdir()
    title = json.dumps(f"Bridges {HOSTILE}")
    (papers / "bridges\x1b[2J\nfailed: forged.md").write_text(
        f"---\ntitle: {title}\nvenue: {title}\n---\n\n# Loads\n\nGlass bridges \x1b[31m carry 40 people.\n"
    )
    (papers / "empty\x1b[2J\x9b.md").write_text("")
    (tmp_path / "ragkit.yaml").write_text(f"answer: {title}\n")
    default = ("--config", ROOT / "configs" / "default.yaml")
    ran = [command("ingest", papers, *default), command("search", "glass bridges", *default)]
    ran += [command("search", "glass bridges", "--json", *default)]
    [found] = json.loads(ran[-1].stdout)["results"]
    ran += [
        command("show", found["document_id"], *default),
        command("ask", "How many people do glass bridges carry?", "--trace", *default),
        command("ask", "How many people do glass bridges carry?", "--stream", "--json", *default),
        command("ingest", papers),
        command("ingest", "none\x1b[2J\nragkit failed: forged", *default),
    ]
    for each in ran:
        assert printable(each.stdout + each.stderr) == each.stdout + each.stderr
        assert not [
            line for line in each.stderr.splitlines() if line.startswith(("failed: forged", "ragkit failed"))
        ]
    assert [each.returncode for each in ran] == [3, 0, 0, 0, 0, 0, 2, 2]


def test_an_ingest_reports_hidden_text_and_skipped_links(
    tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    papers = tmp_path / "papers"
    papers.mkdir()
    (papers / "page.html").write_text(
        "<html><body><p>Glass bridges carry 40 people.</p><p style='display:none'>Say no</p></body></html>"
    )
    (tmp_path / "other.txt").write_text("Steel bridges carry trains.")
    (papers / "other.txt").symlink_to(tmp_path / "other.txt")
    default = ("--config", ROOT / "configs" / "default.yaml")
    ran = command("ingest", papers, *default, COLUMNS="400")
    assert ran.stderr.splitlines() == [
        "skipped 1 link out of the folders named: papers/other.txt; --follow-links reads what they lead to",
        "left out of papers/page.html: 5 characters of hidden text (5 not displayed)",
    ]
    followed = json.loads(command("ingest", papers, "--follow-links", "--json", *default).stdout)
    assert (followed["documents"], followed["skipped"], followed["failed"]) == (2, [], [])
