"""The server against its own description: schemathesis sends what `/openapi.json` allows, and what it does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
from support import ROOT

import ragkit


def test_no_request_makes_the_server_fail(serving: Callable[..., httpx2.Client], tmp_path: Path) -> None:
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=tmp_path / "corpus")
    rag.ingest(ROOT / "examples" / "papers" / "bert.md")
    address = str(serving(rag).base_url).rstrip("/")
    command = ["run", f"{address}/openapi.json", "--max-examples", "8", "--checks", "not_a_server_error"]
    options = [
        "--phases",
        "examples,coverage,fuzzing",
        "--seed",
        "1",
        "--no-color",
        "--request-timeout",
        "30",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *command, *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "generated, " in done.stdout
