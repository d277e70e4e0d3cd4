"""Agents: the Model Context Protocol with its own Python client, over HTTP and over standard input and output."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from support import ROOT

import ragkit

BERT = "How many parameters do BERT-base and BERT-large have?"


@asynccontextmanager
async def over_http(server: httpx2.Client, ingested: Path) -> AsyncIterator[Client]:
    async with Client(f"{str(server.base_url).rstrip('/')}/mcp") as client:
        yield client


@asynccontextmanager
async def over_pipes(server: httpx2.Client, ingested: Path) -> AsyncIterator[Client]:
    options = ["--config", str(ROOT / "configs" / "default.yaml"), "--corpus", str(ingested)]
    command = StdioServerParameters(command=sys.executable, args=["-m", "ragkit", "mcp", *options])
    async with Client(stdio_client(command)) as client:
        yield client


@pytest.mark.parametrize("reach", [over_http, over_pipes])
async def test_an_agent_finds_reads_asks_and_checks(
    reach: Callable[..., Any], server: httpx2.Client, ingested: Path, rag: ragkit.Rag
) -> None:
    async with reach(server, ingested) as client:
        tools = (await client.list_tools()).tools
        assert {tool.name for tool in tools} == {"search", "fetch", "ask", "find", "check"}
        assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)

        [item] = (await client.call_tool("search", {"query": "hard negatives"})).content
        results = json.loads(item.text)["results"]
        assert results[0].keys() == {"id", "title", "url"}
        begin = "http://127.0.0.1:" if reach is over_http else "ragkit://papers/"
        assert all(each["url"].startswith(begin) for each in results)
        for each in results:
            [item] = (await client.call_tool("fetch", {"id": each["id"]})).content
            fetched = json.loads(item.text)
            assert fetched.keys() == {"id", "title", "text", "url", "metadata"}
            assert fetched["text"]
        identity = results[0]["id"].partition(":")[0]
        [item] = (await client.call_tool("fetch", {"id": identity})).content
        assert (
            fetched["text"]
            != json.loads(item.text)["text"]
            == rag.corpus.documents([identity])[identity].page_content
        )

        asked = await client.call_tool("ask", {"question": BERT})
        assert asked.structured_content["answer"] == rag.ask(BERT).text
        assert asked.content[0].text.startswith(rag.ask(BERT).text)
        link = asked.content[1]
        assert link.type == "resource_link"
        text = (await client.read_resource(link.uri)).contents[0].text
        assert asked.structured_content["citations"][0]["quote"] in text

        found = await client.call_tool("find", {"query": "hard negatives", "k": 2})
        assert len(found.structured_content["results"]) == 2
        claim = "DPR adds one hard negative per question taken from the top BM25 results."
        checked = await client.call_tool("check", {"text": claim})
        assert checked.structured_content["supported"]


@pytest.mark.parametrize(
    ("tool", "given", "sentence"),
    [
        ("fetch", {"id": "none"}, "no paper has the id 'none'"),
        ("find", {"query": "x", "where": "year >="}, "expected a value"),
        ("ask", {"question": " "}, "the question is empty"),
    ],
)
async def test_an_error_says_why(
    server: httpx2.Client, ingested: Path, tool: str, given: dict[str, Any], sentence: str
) -> None:
    async with over_http(server, ingested) as client:
        failed = await client.call_tool(tool, given)
        assert failed.is_error
        assert sentence in failed.content[0].text


def test_the_program_of_the_document_prints_an_answer(server: httpx2.Client) -> None:
    text = (ROOT / "docs" / "serving.md").read_text()
    [program] = re.findall(r"^```python\n(import anyio.*?)^```$", text, re.DOTALL | re.MULTILINE)
    program = program.replace("http://127.0.0.1:8321", str(server.base_url).rstrip("/"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "340 million" in done.stdout
