"""What those who run the server look at: is it alive, is it ready, and what does it do."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ragkit.ingest.queue import QueueCounts, counts_of
from ragkit.serve.failures import told
from ragkit.serve.replies import Alive, Ready, of_type, refused, replies
from ragkit.serve.service import Service

_BEHIND = "answers from the state before the published one, which is not fetched from the depot yet; the server's log has the reason"


def routes(service: Service) -> APIRouter:
    router = APIRouter(tags=["operation"])
    state = replies(Ready) | {503: {"model": Ready, "description": "It is not ready; `reasons` say why."}}

    @router.get("/livez", responses=replies(Alive))
    async def alive() -> dict[str, bool]:
        """The process answers."""
        return {"alive": True}

    @router.get("/readyz", response_model=None, responses=state)
    @router.get("/health", response_model=None, include_in_schema=False)
    async def ready() -> Response:
        """Are the models loaded and the indexes open?  503 with the reasons if not.

        A server that answers from an earlier state of the indexes, since the published one was not fetched yet, is ready
        and says so in the reasons.
        """
        reasons, behind = [] if service.is_warm else ["the models are being loaded"], []
        for name, rag in service.rags.items():
            try:
                await asyncio.to_thread(rag.snapshot)
            except Exception as failure:
                reasons.append(f"{name}: {told(failure).message}")
            else:
                behind += [f"{name}: {_BEHIND}"] if rag.behind else []
        found: dict[str, Any] = {"ready": not reasons, "reasons": reasons + behind}
        return JSONResponse(found, 503 if reasons else 200)

    @router.get("/metrics", response_class=Response, responses=of_type("text/plain") | refused(503))
    async def metrics() -> Response:
        """Counts and times, as Prometheus reads them."""
        await asyncio.to_thread(_look, service)
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router


def _look(service: Service) -> None:
    if service.rag.corpus.exists():
        for name, (_, generation) in service.rag.corpus.published().items():
            service.metrics.generation.labels(name).set(generation)
        for state, files in (counts_of(service.rag.corpus) or QueueCounts())._asdict().items():
            service.metrics.queue.labels(state).set(files)
