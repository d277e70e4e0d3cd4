"""Where the citations of an answer lead to on a terminal, and that nothing of it is in a pipe."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ragkit.answer import Quote, Source
from ragkit.cli.links import link_of, link_to, link_to_doi

Command = Callable[..., subprocess.CompletedProcess[str]]
QUESTION = "How many people do glass bridges carry?"
PLAIN = {"NO_COLOR": "", "FORCE_COLOR": "", "TERM": "xterm", "COLUMNS": "60", "LINES": "40"}


@pytest.fixture
def bridges(tmp_path: Path, command: Command) -> Path:
    """A corpus with one paper, whose title looks like markup of the terminal's library."""
    papers = tmp_path / "my papers"
    papers.mkdir()
    (papers / "bridges.md").write_text(
        "---\ntitle: '[bold]Glass bridges[/bold] [red] in [link=x]'\ndoi: 10.1000/(glass) 1\n---\n\n# Loads\n\n"
        "Glass bridges [/dim] carry 40 people at once, as the engineers of the [bold]city[/bold] have measured.\n"
    )
    assert command("ingest", papers).returncode == 0
    return papers / "bridges.md"


def on_a_terminal(*arguments: str, cwd: Path, **environment: str) -> str:
    """What a command shows on a terminal 60 columns wide."""
    mine, its = pty.openpty()
    known = {**os.environ, **PLAIN, **environment}
    for name in [name for name, value in known.items() if not value]:
        del known[name]
    started = subprocess.Popen(
        [sys.executable, "-m", "ragkit", *arguments], stdin=its, stdout=its, stderr=its, env=known, cwd=cwd
    )
    os.close(its)
    shown = b""
    try:
        while select.select([mine], [], [], 60)[0]:
            shown += os.read(mine, 65536)
    except OSError:  # it has ended
        pass
    started.wait(60)
    os.close(mine)
    return shown.decode()


def test_an_answer_on_a_terminal_wraps_and_leads_to_its_sources(tmp_path: Path, bridges: Path) -> None:
    shown = on_a_terminal("ask", QUESTION, cwd=tmp_path)
    assert f";{bridges.as_uri()}\x1b\\" in shown
    assert ";https://doi.org/10.1000/(glass)%201\x1b\\" in shown
    assert "have measured" not in shown.replace("\r\n", "\n").partition("[1] ")[0].splitlines()[0]


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_who_wants_no_colour_gets_no_links(
    tmp_path: Path, bridges: Path, environment: dict[str, str]
) -> None:
    shown = on_a_terminal("ask", QUESTION, cwd=tmp_path, **environment)
    assert "40 people" in shown
    assert "\x1b]8" not in shown


def test_in_a_pipe_no_line_is_wrapped_and_no_text_is_markup(
    tmp_path: Path, bridges: Path, command: Command
) -> None:
    lines = command("ask", QUESTION, COLUMNS="40").stdout.splitlines()
    assert (
        "    “Glass bridges [/dim] carry 40 people at once, as the engineers of the [bold]city[/bold] have measured.”"
        in lines
    )
    assert "[1] [bold]Glass bridges[/bold] [red] in [link=x]  quoted" in lines
    assert not [line for line in lines if "\x1b" in line or line != line.rstrip()]
    assert "\x1b]8" not in command("ask", QUESTION, FORCE_COLOR="1").stdout
    found = command("search", "glass bridges", COLUMNS="40").stdout.splitlines()
    assert "[bold]Glass bridges[/bold] [red] in [link=x]" in found[0]
    assert found[2].endswith("have measured.")


def test_a_source_has_an_address() -> None:
    assert link_to(Source(uri="/papers/a b#1.pdf", page=3)) == "file:///papers/a%20b%231.pdf#page=3"
    assert link_to(Source(uri="https://x.org/a?b=\x1b c")) == "https://x.org/a?b=%1B%20c"
    assert link_to(Source(uri="notes of mine")) == ""
    assert link_of(Quote(sources=(Source(uri="mine"), Source(uri="/b.md")))) == "file:///b.md"
    assert link_to_doi("10.1/<a>\x07") == "https://doi.org/10.1/%3Ca%3E%07"


def test_a_question_without_an_answer_can_fail(command: Command, ingested: Path) -> None:
    asked = ("ask", "Who won the 1998 football world cup?", "--corpus", ingested)
    assert command(*asked).returncode == 0
    for option in ("--json", "--stream"):
        assert command(*asked, "--fail-on-abstain", option).returncode == 4
    answered = command("ask", "How many layers has BERT-base?", "--corpus", ingested, "--fail-on-abstain")
    assert answered.returncode == 0
