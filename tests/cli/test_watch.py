"""`ragkit ingest FOLDER --watch`: what changes is ingested once it is written, and Ctrl-C ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ragkit.cli import ingest

GLASS = (
    "# Glass bridges\n\nGlass bridges carry people over rivers in all weathers. They are inspected yearly.\n"
)
BOATS = "# Boats\n\nBoats carry people over rivers, too, unless there is ice on the water in winter.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "papers"
    made.mkdir()
    (made / "glass.md").write_text(GLASS)
    return made


Watching = tuple[subprocess.Popen[str], Callable[[], dict[str, Any]]]


@pytest.fixture
def watching(folder: Path, tmp_path: Path) -> Iterator[Watching]:
    """The command, watching *folder*, in which its corpus is, too; and what reads its next report."""
    out, err = ((tmp_path / name).open("w+") for name in ("out", "err"))
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-m", "ragkit", "ingest", str(folder), "--watch", "--json", "--corpus", "papers/corpus"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=out,
        stderr=err,
        text=True,
    )  # fmt: skip
    at = 0

    def report() -> dict[str, Any]:
        nonlocal at
        ends = time.monotonic() + 60
        while time.monotonic() < ends:
            text = (tmp_path / "out").read_text()[at:]
            if "\n}\n" in text:
                whole = text[: text.index("\n}\n") + 3]
                at += len(whole)
                return dict(json.loads(whole))
            time.sleep(0.1)
        raise AssertionError((tmp_path / "err").read_text())

    yield process, report
    process.kill()
    process.wait()
    out.close()
    err.close()


def test_what_changes_is_ingested_until_ctrl_c(watching: Watching, folder: Path, tmp_path: Path) -> None:
    process, report = watching
    assert report()["new"] == 1
    (folder / ".hidden.md").write_text(BOATS)
    (folder / "boats.md").write_text(BOATS)
    assert report()["new"] == 1
    (folder / "glass.md").write_text(GLASS.replace("yearly", "weekly"))
    assert (again := report())["changed"] == 1
    assert again["new"] == 0
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(20) == 0
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # writes where each thread is
        process.wait()
        raise AssertionError((tmp_path / "err").read_text()) from None
    said = (tmp_path / "err").read_text()
    assert "Ctrl-C ends it" in said
    assert "stopped watching" in said
    assert "Traceback" not in said
    assert (tmp_path / "out").read_text().count("\n}\n") == 3


def test_a_file_that_is_still_written_is_awaited(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "_QUIET", 0.5)
    changes = ingest._changes([folder], tmp_path / "corpus")
    next(changes)  # at first in any case
    script = (
        "import sys, time\n"
        f"with open({str(folder / 'slow.md')!r}, 'w', buffering=1) as file:\n"
        "    for n in range(15):\n"
        "        print('Boats carry people.', file=file)\n"
        "        time.sleep(0.1)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script])
    next(changes)
    assert writer.poll() is not None or (folder / "slow.md").read_text().count("\n") == 15
    writer.wait()
    changes.close()


def test_a_folder_that_never_rests_is_read_all_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "_QUIET", 0.5)
    monkeypatch.setattr(ingest, "_LONGEST", 1.0)
    changes = ingest._changes([folder], tmp_path / "corpus")
    next(changes)
    script = (
        f"import time\nwhile True:\n    open({str(folder / 'a.log')!r}, 'a').write('x')\n    time.sleep(0.05)"
    )
    writer = subprocess.Popen([sys.executable, "-c", script])
    began = time.monotonic()
    next(changes)
    writer.kill()
    writer.wait()
    assert time.monotonic() - began > 0.9
    changes.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["glass.md"], "--watch needs a folder"),
        ([], "--watch needs a folder"),
        ([".", "--dry-run"], "exclude each other"),
    ],
)
def test_wrong_usage(
    command: Callable[..., subprocess.CompletedProcess[str]], folder: Path, arguments: list[str], said: str
) -> None:
    done = command("ingest", "--watch", *arguments, cwd=folder)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
