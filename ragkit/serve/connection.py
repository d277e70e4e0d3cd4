"""A connection of HTTP/1.1 whose request line and headers must come soon, and whose errors are JSON."""

from __future__ import annotations

import asyncio
import json
import secrets
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ragkit.serve.failures import error
from ragkit.serve.guard import log

SECONDS_A_HEAD = 30.0
"""For the request line and the headers, from the first byte or from the connection on."""


class PromptConnection(H11Protocol):
    """uvicorn's connection by h11, which bounds the size of the headers, with a limit on their time."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        if self._waiting is None and self.conn.their_state is h11.IDLE:
            self._wait()
        super().data_received(data)

    def handle_events(self) -> None:
        super().handle_events()
        if self._waiting and self.conn.their_state is not h11.IDLE:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(
            SECONDS_A_HEAD,
            self._refuse,
            408,
            "too_slow",
            "the headers of the request took too long to arrive",
        )

    def _stop_waiting(self) -> None:
        if self._waiting:
            self._waiting.cancel()
            self._waiting = None

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "invalid_http", "this is no HTTP request, or its headers are too large")

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Say what is wrong, unless a reply has begun, and end the connection."""
        self._stop_waiting()
        identity, body = secrets.token_hex(8), json.dumps(error(status, code, message)).encode()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = {"content-type": "application/json", "content-length": str(len(body))}
            headers |= {"connection": "close", "x-request-id": identity}
            reason = HTTPStatus(status).phrase.encode()
            begun = h11.Response(status_code=status, headers=list(headers.items()), reason=reason)
            for event in (begun, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
            log.info("%s", json.dumps({"request": identity, "status": status, "code": code}))
        self.transport.close()
