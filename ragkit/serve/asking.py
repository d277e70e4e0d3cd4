"""Questions, searches and checks over HTTP, and what a client has to know of the server."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

import ragkit
from ragkit.answer import Answer
from ragkit.document import as_json
from ragkit.errors import NoCorpus
from ragkit.serve.failures import Refusal
from ragkit.serve.replies import CheckedText, Config, Found, Stopped, answers, of_type, refused, replies
from ragkit.serve.running import EVENTS, UNBUFFERED, Running, kept_alive
from ragkit.serve.service import Service, unless_gone, uses_chat_model, without_folders
from ragkit.serve.shapes import Ask, CheckText, SearchFor

Name = Annotated[str, Path(max_length=100)]


def routes(service: Service) -> APIRouter:
    router = APIRouter(tags=["questions"])
    followed = of_type(EVENTS) | refused(400, 404, 422)

    @router.post("/api/ask", response_model=None, responses=answers(Answer, 404, also=(EVENTS,)))
    async def ask(asked: Ask, request: Request, accept: Annotated[str, Header()] = "") -> Response:
        """Answer a question: JSON, or its events as they happen with `stream` or `Accept: text/event-stream`."""
        service.named(asked.model)
        if asked.stream or EVENTS in accept:
            return _followed(service.questions.begin(service.events(asked)))
        answer = await unless_gone(request, service.answer(asked))
        plain = {key: value for key, value in answer.as_json().items() if key != "type"}
        return JSONResponse(without_folders(plain))

    @router.get("/api/ask/{name}", response_class=Response, responses=followed)
    async def read_on(
        name: Name, last_event_id: Annotated[str | None, Header(max_length=20)] = None
    ) -> Response:
        """The events of a question after the one that `Last-Event-ID` numbers."""
        running = _running(service, name)
        if last_event_id and not (last_event_id.isascii() and last_event_id.isdigit()):
            raise Refusal(400, "invalid_request", "Last-Event-ID is the number of an event, such as 12")
        after, told = int(last_event_id or 0), len(running.told)
        if after > told:
            raise Refusal(
                400, "no_such_event", f"the question has {told} events so far, and none numbered {after}"
            )
        return _followed(running, after)

    @router.delete("/api/ask/{name}", responses=replies(Stopped, 404, 422))
    async def stop(name: Name) -> dict[str, bool]:
        """Stop answering a question."""
        _running(service, name).stop()
        return {"stopped": True}

    @router.post("/api/search", responses=answers(Found, 404))
    async def search(asked: SearchFor, request: Request) -> dict[str, Any]:
        """The best passages, with spans, sources and scores."""
        hits = await unless_gone(request, service.search(asked))
        return {"results": without_folders([as_json(hit) for hit in hits])}

    @router.post("/api/check", responses=answers(CheckedText, 404))
    async def check(asked: CheckText, request: Request) -> dict[str, Any]:
        """Check a text, claim by claim."""
        found = await unless_gone(request, service.check(asked))
        return dict(without_folders(found.as_json()))

    @router.get("/api/config", responses=replies(Config, 503))
    async def config() -> dict[str, Any]:
        """The configurations, and what the corpus holds."""
        try:
            held = await asyncio.to_thread(service.rag.corpus.counts)
            papers, passages = held.documents, held.chunks
        except NoCorpus:
            papers = passages = 0
        corpus = service.rag.corpus.directory.resolve().name
        return {
            "version": ragkit.__version__,
            "corpus": {"name": corpus, "papers": papers, "passages": passages},
            "default": service.default,
            "configurations": [
                {
                    "name": name,
                    "chat_model": uses_chat_model(rag),
                    "policy": str(rag.answer_pipeline.policy),
                }
                for name, rag in service.rags.items()
            ],
        }

    return router


def _running(service: Service, name: str) -> Running:
    if (running := service.questions.named(name)) is None:
        raise Refusal(404, "no_such_question", "no such question is being answered; ask it again")
    return running


def _followed(running: Running, after: int = 0) -> Response:
    """The events as server-sent events; `Content-Location` is where they can be read on from."""
    headers = {**UNBUFFERED, "content-location": f"/api/ask/{running.name}"}
    pieces = kept_alive(running.read(after))
    return StreamingResponse(pieces, media_type=EVENTS, headers=headers)
