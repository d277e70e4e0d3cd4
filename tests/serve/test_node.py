"""The clients people have in JavaScript: Vercel's AI SDK and the MCP SDK, in the Node of a wheel."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest

import ragkit
from ragkit.serve.service import PAGE

HERE = Path(__file__).parent / "node"
BERT = "How many parameters do BERT-base and BERT-large have?"


@pytest.fixture(scope="module")
def told(server: httpx2.Client, node: Path) -> Any:
    address = str(server.base_url).rstrip("/")
    asked = subprocess.run(
        [str(node / "bin" / "node"), "clients.mjs", address, BERT],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
    return json.loads(asked.stdout.splitlines()[-1])


@pytest.mark.parametrize("way", ["chat", "chat streamed", "responses", "responses streamed"])
def test_the_ai_sdk_has_text_and_sources(told: Any, way: str, rag: ragkit.Rag) -> None:
    answer = rag.ask(BERT)
    assert told[way]["text"] == answer.text
    assert len(told[way]["sources"]) >= len(answer.citations) >= 2
    assert {title for _, title in told[way]["sources"]} == {each.title for each in answer.citations}


def test_the_mcp_sdk_finds_reads_and_asks(told: Any, rag: ragkit.Rag) -> None:
    assert set(told["mcp"]["tools"]) == {"search", "fetch", "ask", "find", "check"}
    assert told["mcp"]["fetched"]["text"]
    assert told["mcp"]["answer"] == rag.ask(BERT).text


def test_the_vendored_files_are_those_of_the_package(node: Path) -> None:
    package = HERE / "node_modules" / "pdfjs-dist"
    for ours in (PAGE / "vendor" / "pdfjs").iterdir():
        theirs = package / ("" if ours.name == "LICENSE" else "build") / ours.name
        assert ours.read_bytes() == theirs.read_bytes(), ours.name
