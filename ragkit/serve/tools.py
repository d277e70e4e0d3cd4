"""The server for agents: tools and resources of the Model Context Protocol.

`search` and `fetch` are OpenAI's, for ChatGPT and deep research; `ask`, `find` and `check` are ragkit's own.  All only read.
"""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, ContentBlock, ResourceLink, TextContent, ToolAnnotations
from pydantic import BaseModel, Field, ValidationError

import ragkit
from ragkit.document import as_json
from ragkit.serve import evidence
from ragkit.serve.failures import Refusal, told
from ragkit.serve.pieces import address
from ragkit.serve.service import Service, without_folders
from ragkit.serve.shapes import MOST_PASSAGES, Ask, CheckText, SearchFor, Turn
from ragkit.text.printable import one_line

_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_FOUND = 10  # passages that `search` returns
_SPAN = re.compile(r"([^:]+):(\d+)-(\d+)")

Where = Annotated[str | None, Field(description="a filter, such as `year >= 2020 and venue = Nature`")]


class FoundItem(BaseModel):
    """A passage that was found: `id` is what `fetch` takes."""

    id: str
    title: str
    url: str


class FoundItems(BaseModel):
    """What `search` returns."""

    results: list[FoundItem]


class FetchedItem(BaseModel):
    """What `fetch` returns: the text of a passage, or of a whole paper."""

    id: str
    title: str
    text: str
    url: str
    metadata: dict[str, Any]


def server(service: Service) -> MCPServer:
    """The tools over *service*."""
    mcp = MCPServer(
        "ragkit",
        version=ragkit.__version__,
        log_level="WARNING",
        instructions="Answers over a corpus of papers.  Every citation was checked: its verdict says whether the paper supports the claim.",
    )

    def place(identity: str, start: int | None = None, end: int | None = None) -> str:
        base = service.base or service.listens or "ragkit:/"
        return f"{base}/papers/{identity}" + (f"?from={start}&to={end}" if start is not None else "")

    @mcp.tool(annotations=_READS)
    async def search(query: str) -> FoundItems:
        """Search the papers.  Returns ids, titles and URLs of passages; `fetch` returns the text of one."""
        results = await hits(SearchFor(query=query, k=_FOUND))
        found = [
            FoundItem(
                id=f"{hit['document_id']}:{hit['start']}-{hit['end']}",
                title=hit["title"],
                url=place(hit["document_id"], hit["start"], hit["end"]),
            )
            for hit in results
        ]
        return FoundItems(results=found)

    @mcp.tool(annotations=_READS)
    async def fetch(id: str) -> FetchedItem:  # noqa: A002  (OpenAI's name)
        """The text of a passage that `search` found, or of a whole paper, with what is known of the paper."""
        span = _SPAN.fullmatch(id)
        identity = span[1] if span else id
        begin, end = (int(span[2]), int(span[3])) if span else (None, None)
        paper = await reading(identity, begin, end)
        text = paper["marked"]["quote"] if paper["marked"] else paper["text"]
        known = {key: value for key, value in paper["metadata"].items() if value}
        return FetchedItem(
            id=id, title=paper["title"], text=text, url=place(identity, begin, end), metadata=known
        )

    @mcp.tool(annotations=_READS)
    async def ask(question: str, where: Where = None, history: list[Turn] = []) -> CallToolResult:  # noqa: B006
        """Answer a question from the papers, with checked citations; says so if the papers do not answer it."""
        try:
            answer = await service.answer(Ask(question=question, where=where, history=history))
        except Exception as failure:
            raise _why(failure) from None
        real = [each for each in answer.citations if each.document_id is not None]
        base = service.base or service.listens or "ragkit:/"
        listed = [
            f"[{each.number}] {one_line(each.title)} ({each.verdict}): “{one_line(each.quote)}” {address(base, each)}"
            for each in real
        ]
        papers = {str(each.document_id): each.title for each in real}
        links: list[ContentBlock] = [
            ResourceLink(type="resource_link", uri=f"ragkit://papers/{identity}", name=identity, title=title)
            for identity, title in papers.items()
        ]
        plain = without_folders(answer.as_json())
        plain.pop("type", None)
        text = "\n".join([answer.text, *([""] if listed else []), *listed])
        said: list[ContentBlock] = [TextContent(type="text", text=text)]
        return CallToolResult(content=said + links, structured_content=plain)

    @mcp.tool(annotations=_READS)
    async def find(
        query: str, where: Where = None, k: Annotated[int, Field(ge=1, le=MOST_PASSAGES)] = 10
    ) -> dict[str, Any]:
        """The best passages with their text, spans and scores."""
        return {"results": await hits(SearchFor(query=query, where=where, k=k))}

    @mcp.tool(annotations=_READS)
    async def check(text: str, references: str = "", where: Where = None) -> dict[str, Any]:
        """Check a text against the papers, claim by claim; `references`: BibTeX, RIS or a list of what it cites."""
        try:
            found = await service.check(CheckText(text=text, references=references, where=where))
        except Exception as failure:
            raise _why(failure) from None
        return dict(without_folders(found.as_json()))

    @mcp.resource("ragkit://papers/{identity}", mime_type="text/plain")
    async def paper(identity: str) -> str:
        """The text of a paper."""
        return str((await reading(identity, None, None))["text"])

    async def hits(wanted: SearchFor) -> list[dict[str, Any]]:
        try:
            found = await service.search(wanted)
        except Exception as failure:
            raise _why(failure) from None
        return [dict(without_folders(as_json(hit))) for hit in found]

    async def reading(identity: str, start: int | None, end: int | None) -> dict[str, Any]:
        try:
            return dict(
                without_folders(await asyncio.to_thread(evidence.as_json, service.rag, identity, start, end))
            )
        except Exception as failure:
            raise _why(failure) from None

    return mcp


def _why(failure: Exception) -> ToolError:
    """The error as an agent reads it: why, and what to do."""
    if isinstance(failure, ValidationError):
        said = failure.errors()[0]
        failure = Refusal(422, "invalid_request", f"{'.'.join(map(str, said['loc']))}: {said['msg']}")
    return ToolError(told(failure).message)
