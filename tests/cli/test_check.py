"""`ragkit check` as a user runs it: its three forms, exit statuses, and messages."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]
TRUE = "BERT-large has 24 layers and 340 million parameters (Devlin et al., 2019)."
FALSE = "DPR adds nine hard negatives per question taken from the top BM25 results."


def test_the_exit_status_says_whether_all_is_supported(
    command: Command, ingested: Path, tmp_path: Path
) -> None:
    (tmp_path / "true.md").write_text("BERT-base has 12 layers and 110 million parameters.")
    (tmp_path / "false.md").write_text(FALSE)
    assert command("check", "true.md", "--corpus", ingested).returncode == 0
    done = command("check", "false.md", "--corpus", ingested)
    assert (done.returncode, done.stderr) == (4, "")
    told = " ".join(done.stdout.split())
    assert "the claim says 'nine' where the source says 'one'" in told
    assert "against: Dense Passage Retrieval for Open-Domain Question Answering" in told
    assert told.endswith("1 claim: 1 unsupported")


def test_json_and_markdown(command: Command, ingested: Path, tmp_path: Path) -> None:
    (tmp_path / "false.md").write_text(FALSE)
    done = command("check", "false.md", "--corpus", ingested, "--json")
    plain = json.loads(done.stdout)
    assert (done.returncode, plain["supported"], plain["claims"][0]["against"]["kind"]) == (
        4,
        False,
        "number",
    )
    report = command("check", "false.md", "--corpus", ingested, "--markdown").stdout
    assert report.startswith("# Check\n\n1 claim: 1 unsupported.\n")
    both = command("check", "false.md", "--corpus", ingested, "--markdown", "--json")
    assert (both.returncode, both.stderr) == (2, "--json and --markdown exclude each other; choose one\n")


def test_a_text_comes_from_standard_input(ingested: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ragkit", "check", "-", "--corpus", str(ingested), "--json"],
        cwd=tmp_path,
        input=TRUE,
        capture_output=True,
        text=True,
        check=False,
    )
    [claim] = json.loads(done.stdout)["claims"]
    assert claim["references"][0]["title"].startswith("BERT: Pre-training")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "there is no text to check; give a file, or a text on standard input"),
        (b"\x00\x01", "'own' is not text: it is not a text file: it has NUL bytes; give plain text, Markdown or LaTeX"),
        (b"%PDF-1.7", "'own' is not text: it is a PDF; give plain text, Markdown or LaTeX"),
        (None, "'own' cannot be read: No such file or directory"),
    ],
)  # fmt: skip
def test_what_cannot_be_checked_is_one_sentence(
    command: Command, ingested: Path, tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "own").write_bytes(content)
    done = command("check", "own", "--corpus", ingested)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{message}\n")
    assert command("check", "own").returncode == 2
