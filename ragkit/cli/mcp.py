"""`ragkit mcp`."""

from __future__ import annotations

import asyncio

from ragkit.cli.options import ChosenPipeline


def mcp(pipeline: ChosenPipeline) -> None:
    """Serve search, answers and checks to an agent, over standard input and output (Model Context Protocol)."""
    from ragkit.errors import needs

    with needs("serve", "an agent's server"):
        from ragkit.serve.service import Service
        from ragkit.serve.tools import server

    rag = pipeline.load()

    async def run() -> None:
        service = Service({"default": rag})
        service.warm_up()
        try:
            await server(service).run_stdio_async()
        finally:
            await service.close()

    asyncio.run(run())
