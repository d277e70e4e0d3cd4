"""A chat server that sends what is no reply is an error, in one sentence, and never an answer of the papers."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ragkit.models.chat import explained, openai_chat

JSON, EVENTS, PAGE = "application/json", "text/event-stream", "text/html; charset=utf-8"
WHOLE: dict[str, Any] = {
    "id": "x",
    "object": "chat.completion",
    "created": 0,
    "model": "m",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Glass bends [1]."}}
    ],
}


def event(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "finish_reason": finish, "delta": {"content": text}}
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        status, kind, body = self.server.sends  # type: ignore[attr-defined]
        self._send(status, kind, body)

    def do_GET(self) -> None:
        self._send(200, PAGE, b"<html><title>Sign in</title></html>")

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        if status == 302:
            self.send_header("location", "/login")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def sending() -> Iterator[Callable[..., str]]:
    """Start a server that sends this; its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(kind: str, body: bytes, status: int = 200) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        server.sends = (status, kind, body)  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/v1"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def asked(url: str) -> dict[str, Callable[[], object]]:
    """The ways to ask a model."""
    llm = openai_chat("m", base_url=url, max_retries=0)

    async def astream() -> list[object]:
        return [chunk async for chunk in llm.astream("What bends?")]

    return {
        "stream": lambda: list(llm.stream("What bends?")),
        "astream": lambda: asyncio.run(astream()),
        "invoke": lambda: llm.invoke("What bends?"),
        "ainvoke": lambda: asyncio.run(llm.ainvoke("What bends?")),
    }


ERROR = json.dumps({"error": {"message": "Upstream overloaded", "code": 502}}).encode()


@pytest.mark.parametrize(
    ("sent", "said", "ways"),
    [
        ((JSON, ERROR), "Upstream overloaded", "stream astream invoke ainvoke"),
        ((PAGE, b"<html>Sign in</html>"), "it sent a web page", "stream astream invoke ainvoke"),
        ((PAGE, b"", 302), "it sent a web page", "stream astream invoke ainvoke"),
        ((JSON, json.dumps(WHOLE).encode()[:90]), "only a part of one", "stream astream invoke ainvoke"),
        (
            (JSON, b'{"choices": [{"message": "caf\xe9"}]}'),
            "what is no JSON",
            "stream astream invoke ainvoke",
        ),
        ((JSON, b'{"id": "x", "choices": null}'), "no choices", "stream astream invoke ainvoke"),
        ((JSON, json.dumps(WHOLE).encode()), "where a stream was asked for", "stream astream"),
        ((EVENTS, event("Glass bends [1]. It is st")), "broke off", "stream astream"),
        ((EVENTS, event("Glass bends [1].").replace(b"Glass", b"Gl\xe4ss")), "broke off", "stream astream"),
        ((EVENTS, b"data: " + ERROR + b"\n\n"), "Upstream overloaded", "stream astream"),
    ],
)
def test_what_is_no_reply_is_an_error_in_one_sentence(
    sending: Callable[..., str], sent: tuple[Any, ...], said: str, ways: str
) -> None:
    every = asked(sending(*sent))
    for way in ways.split():
        with pytest.raises(Exception) as caught:  # noqa: PT011
            every[way]()
        sentence = explained(caught.value)
        assert sentence, (way, caught.value)
        assert said in sentence
        assert "\n" not in sentence


@pytest.mark.parametrize("end", [event("", "stop"), event("", "length"), b"data: [DONE]\n\n"])
def test_a_stream_that_says_that_it_is_over_is_whole(sending: Callable[..., str], end: bytes) -> None:
    every = asked(sending(EVENTS, event("Gläss ") + event("bends.") + end))
    for way in ("stream", "astream"):
        chunks: Any = every[way]()
        assert "".join(chunk.text for chunk in chunks) == "Gläss bends."
