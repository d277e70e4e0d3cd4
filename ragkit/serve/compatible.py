"""OpenAI's API: `/v1/chat/completions`, `/v1/responses`, `/v1/models` and `/v1/embeddings`."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.sse import format_sse_event
from pydantic import BaseModel, ConfigDict, Field

from ragkit.answer import Citation
from ragkit.ingest import embeddings_of
from ragkit.models.embeddings import vectors_of
from ragkit.rag import Rag
from ragkit.serve import pieces
from ragkit.serve.failures import Refusal, told
from ragkit.serve.openwebui import source_event
from ragkit.serve.pieces import AnswerPiece
from ragkit.serve.replies import Completion, Embeddings, Model, Models, OpenResponse, answers, replies
from ragkit.serve.running import EVENTS, UNBUFFERED, kept_alive
from ragkit.serve.service import Service, unless_gone
from ragkit.serve.shapes import LONGEST_NAME, LONGEST_QUESTION, LONGEST_TEXT, MOST_TURNS, Ask, Turn
from ragkit.text.printable import exact_json

Name = Annotated[str, Field(max_length=LONGEST_NAME)]
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
_MOST_TEXTS = 2048  # of one request for embeddings, as OpenAI allows


class _Open(BaseModel):
    """Clients send much that is of no use here, which is ignored."""

    model_config = ConfigDict(extra="allow")


class ContentPart(_Open):
    """A part of a message; only text is read."""

    type: Name = "text"
    text: Text = ""


class ChatMessage(_Open):
    """A message of a conversation.  Those of other roles than user and assistant are not read."""

    role: str = Field(default="", max_length=40)
    content: Text | list[ContentPart] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return pieces.joined(part.text for part in self.content)
        return self.content or ""


class StreamOptions(_Open):
    """`include_usage`: a last chunk says how many tokens were used."""

    include_usage: bool = False


class ChatRequest(_Open):
    """A request for a chat completion.  `where` is ragkit's own: a filter."""

    model: Name = ""
    messages: list[ChatMessage] = Field(min_length=1, max_length=MOST_TURNS)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    where: str | None = Field(default=None, max_length=LONGEST_QUESTION)


class ResponseRequest(_Open):
    """A request for a response.  `where` is ragkit's own: a filter."""

    model: Name = ""
    input: Text | list[ChatMessage]
    stream: bool | None = False
    previous_response_id: Name | None = None
    where: str | None = Field(default=None, max_length=LONGEST_QUESTION)


class EmbeddingRequest(_Open):
    """Texts to be embedded with the model of the configuration's index."""

    model: Name = ""
    input: Text | list[Text] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] = "float"


def routes(service: Service, prefix: str, open_webui: bool, framed: bool) -> APIRouter:
    """The API below *prefix*; with *open_webui*, streams have that client's own events, and these the addresses of
    frames if papers may be *framed*.
    """
    router = APIRouter(prefix=prefix, tags=["OpenAI"], include_in_schema=prefix == "/v1")

    @router.get("/models", responses=replies(Models))
    async def models() -> dict[str, Any]:
        """The configurations."""
        return {"object": "list", "data": [_model(name) for name in service.rags]}

    @router.get("/models/{name}", responses=replies(Model, 404, 422))
    async def model(name: str) -> dict[str, Any]:
        """One configuration."""
        service.named(name)
        return _model(name)

    @router.post("/chat/completions", response_model=None, responses=answers(Completion, 404, also=(EVENTS,)))
    async def chat(given: ChatRequest, request: Request) -> Response:
        """A chat completion; with `stream`, each claim once it is checked."""
        asked = _asked(service, given.model, given.messages, given.where)
        base, model = service.address(request), given.model or service.default
        if given.stream:
            usage = bool(given.stream_options and given.stream_options.include_usage)
            source = partial(source_event, base=base, framed=framed) if open_webui else None
            return _streamed(_chat_chunks(service, asked, model, base, usage, source))
        answer = await unless_gone(request, service.answer(asked))
        return JSONResponse(_completion(pieces.whole(answer), model, base))

    @router.post("/responses", response_model=None, responses=answers(OpenResponse, 404, also=(EVENTS,)))
    async def responses(given: ResponseRequest, request: Request) -> Response:
        """A response; with `stream`, each claim once it is checked."""
        if given.previous_response_id:
            raise Refusal(
                400, "not_kept", "responses are not kept here; send the whole conversation as `input`"
            )
        texts = given.input
        messages = [ChatMessage(role="user", content=texts)] if isinstance(texts, str) else texts
        asked = _asked(service, given.model, messages, given.where)
        base, model = service.address(request), given.model or service.default
        if given.stream:
            return _streamed(_response_events(service, asked, model, base))
        piece = pieces.whole(await unless_gone(request, service.answer(asked)))
        item = _item(pieces.named("msg_"), piece.text, pieces.url_citations(piece, base))
        return JSONResponse(_response(pieces.named("resp_"), model, [item], piece, base))

    @router.post("/embeddings", response_model=None, responses=answers(Embeddings, 404))
    async def embeddings(given: EmbeddingRequest) -> Response:
        """Vectors of texts, by the embedding model of the configuration."""
        texts = [given.input] if isinstance(given.input, str) else given.input
        if not texts or len(texts) > _MOST_TEXTS:
            raise Refusal(400, "invalid_request", f"give 1 to {_MOST_TEXTS} texts")
        only = [text for text in texts if isinstance(text, str)]
        if len(only) < len(texts):
            said = "give texts, not tokens; in LangChain, set check_embedding_ctx_length=False"
            raise Refusal(400, "invalid_request", said)
        if not all(only):
            raise Refusal(400, "invalid_request", "a text is empty")
        await service.warm()
        vectors = await asyncio.to_thread(_vectors, service.named(given.model), only)
        data = [
            {"object": "embedding", "index": n, "embedding": _encoded(vector, given.encoding_format)}
            for n, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": 0, "total_tokens": 0}
        model = given.model or service.default
        return JSONResponse({"object": "list", "data": data, "model": model, "usage": usage})

    return router


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "ragkit"}


def _asked(service: Service, model: str, messages: list[ChatMessage], where: str | None) -> Ask:
    """The last message of the user as a question, those before it as the conversation."""
    service.named(model)
    turns = [each for each in messages if each.role in ("user", "assistant") and each.text.strip()]
    if not turns or turns[-1].role != "user":
        raise Refusal(400, "invalid_request", "the last message must be a question of the user")
    *before, last = turns
    if len(last.text) > LONGEST_QUESTION:
        raise Refusal(400, "invalid_request", f"a question has at most {LONGEST_QUESTION} characters")
    history = [
        Turn(role="user", content=each.text)
        if each.role == "user"
        else Turn(role="assistant", content=pieces.spoken(each.text) or each.text)
        for each in before
    ]
    return Ask(question=last.text, history=history, where=where, model=model or None)


def _streamed(chunks: AsyncGenerator[bytes, None]) -> Response:
    return StreamingResponse(kept_alive(chunks), media_type=EVENTS, headers=UNBUFFERED)


# --- chat completions


def _nested(annotation: dict[str, Any]) -> dict[str, Any]:
    inner = {key: value for key, value in annotation.items() if key != "type"}
    return {"type": "url_citation", "url_citation": inner}


def _usage(piece: AnswerPiece) -> dict[str, int]:
    read, written = pieces.tokens(piece.answer) if piece.answer else (0, 0)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _completion(piece: AnswerPiece, model: str, base: str) -> dict[str, Any]:
    message = {
        "role": "assistant",
        "content": piece.text,
        "refusal": None,
        "annotations": [_nested(each) for each in pieces.url_citations(piece, base)],
    }
    choice = {"index": 0, "finish_reason": "stop", "logprobs": None, "message": message}
    assert piece.answer is not None
    return {
        "id": pieces.named("chatcmpl-"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [choice],
        "usage": _usage(piece),
        **pieces.beside(piece.answer, base),
    }


async def _chat_chunks(
    service: Service,
    asked: Ask,
    model: str,
    base: str,
    usage: bool,
    source: Callable[[Citation], dict[str, Any]] | None,
) -> AsyncGenerator[bytes, None]:
    head = {
        "id": pieces.named("chatcmpl-"),
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
    }

    def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _data({**head, "choices": [choice], **more})

    number, told_of = 0, 0
    made = pieces.pieces(service.ask(asked))
    try:
        yield chunk({"role": "assistant", "content": ""})
        async for piece in made:
            if source:
                for citation, _, _ in piece.cited:
                    if citation.number > told_of:
                        told_of = citation.number
                        yield _data({**head, "choices": [], "event": source(citation)})
            if piece.text:
                yield chunk({"content": piece.text})
            if found := pieces.url_citations(piece, base):
                counted = [{"index": number + n, **_nested(each)} for n, each in enumerate(found)]
                number += len(found)
                yield chunk({"content": "", "annotations": counted})
            if piece.answer:
                yield chunk({}, "stop", **pieces.beside(piece.answer, base))
                if usage:
                    yield _data({**head, "choices": [], "usage": _usage(piece)})
    except Exception as failure:
        yield _data(told(failure).as_json())
    finally:
        await made.aclose()
    yield b"data: [DONE]\n\n"


def _data(value: dict[str, Any]) -> bytes:
    return format_sse_event(data_str=exact_json(value))


# --- responses


def _item(identity: str, text: str, annotations: list[dict[str, Any]], status: str = "completed") -> Any:
    content = {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}
    whole = [content] if status == "completed" else []
    return {"id": identity, "type": "message", "role": "assistant", "status": status, "content": whole}


def _response(
    identity: str, model: str, output: list[dict[str, Any]], piece: AnswerPiece | None, base: str
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": identity,
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed" if piece else "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": output,
        "parallel_tool_calls": False,
        "previous_response_id": None,
        "store": False,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        "usage": None,
    }
    if piece and piece.answer:
        read, written = pieces.tokens(piece.answer)
        found["usage"] = {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": read + written,
        }
        found |= pieces.beside(piece.answer, base)
    return found


async def _response_events(
    service: Service, asked: Ask, model: str, base: str
) -> AsyncGenerator[bytes, None]:
    identity, item, number = pieces.named("resp_"), pieces.named("msg_"), -1
    place = {"item_id": item, "output_index": 0, "content_index": 0}

    def event(name: str, **values: Any) -> bytes:
        nonlocal number
        number += 1
        data = {"type": f"response.{name}", "sequence_number": number, **values}
        return format_sse_event(data_str=exact_json(data), event=f"response.{name}")

    text, known = "", list[dict[str, Any]]()
    empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    started = _response(identity, model, [], None, base)
    made = pieces.pieces(service.ask(asked))
    try:
        yield event("created", response=started)
        yield event("in_progress", response=started)
        yield event("output_item.added", output_index=0, item=_item(item, "", [], "in_progress"))
        yield event("content_part.added", **place, part=empty)
        async for piece in made:
            if piece.text:
                text += piece.text
                yield event("output_text.delta", **place, delta=piece.text, logprobs=[])
            for each in pieces.url_citations(piece, base):
                added = {**place, "annotation_index": len(known), "annotation": each}
                known.append(each)
                yield event("output_text.annotation.added", **added)
            if piece.answer:
                done = _item(item, text, known)
                yield event("output_text.done", **place, text=text, logprobs=[])
                yield event("content_part.done", **place, part=done["content"][0])
                yield event("output_item.done", output_index=0, item=done)
                yield event("completed", response=_response(identity, model, [done], piece, base))
    except Exception as failure:
        said = told(failure)
        error = {"code": "server_error", "message": said.message}
        yield event("failed", response={**started, "status": "failed", "error": error})
    finally:
        await made.aclose()


# --- embeddings


def _vectors(rag: Rag, texts: list[str]) -> list[Any]:
    found = [embed for index in rag.ingest_pipeline.index if (embed := embeddings_of(index))]
    if not found:
        raise Refusal(404, "no_embeddings", "this configuration has no embedding model")
    return list(np.asarray(vectors_of(found[0], texts), dtype="<f4"))


def _encoded(vector: Any, form: str) -> str | list[float]:
    if form == "base64":
        return base64.b64encode(vector.tobytes()).decode()
    return [float(number) for number in vector]
