"""The HTTP clients for model servers: no request waits beyond the deadline of the call that makes it, and what is
no reply is an error.

A login page, an error with the status 200, a text that is cut or no UTF-8 come to OpenAI's client as a bad gateway
(502), which it tries again as any failure of a server; a stream that ends before its reply does is a connection
that broke off.
"""

from __future__ import annotations

import atexit
import codecs
import functools
import json
import math
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

from httpx2 import (
    AsyncByteStream,
    Client,
    RemoteProtocolError,
    Request,
    RequestNotRead,
    Response,
    SyncByteStream,
    TimeoutException,
)
from openai import DefaultAsyncHttpxClient, DefaultHttpxClient
from pydantic import SecretStr

from ragkit.flow import deadline_passed, time_left

_LONGEST_WAIT = 120.0  # seconds; OpenAI's client does not retry if a server asks for a longer wait


class _Client(DefaultHttpxClient):
    """Gives each request, also one that is made again, the time left as its timeout, if its own is longer.

    OpenAI's client does not retry after `DeadlinePassed`.  Where a server asks for a wait that is longer than
    the time left, the wait ends at the deadline, and the retry raises that error.
    """

    def send(self, request: Request, **settings: Any) -> Response:
        if (left := time_left()) == math.inf:
            return _checked(request, super().send(request, **settings))
        if not left:
            raise deadline_passed()
        timeouts = request.extensions.get("timeout", {})
        ways = ("connect", "read", "write", "pool")
        request.extensions["timeout"] = {way: min(timeouts.get(way) or left, left) for way in ways}
        try:
            response = super().send(request, **settings)
        except TimeoutException as error:
            if time_left():
                raise
            raise deadline_passed() from error
        if (
            response.is_error
            and time_left() < wait_in(response.headers.get("retry-after", "0")) <= _LONGEST_WAIT
        ):
            response.headers["retry-after-ms"] = str(1000 * time_left())
        return _checked(request, response)


class AsyncClient(DefaultAsyncHttpxClient):
    """The same checks of replies, in async code, whose deadlines are those of its tasks."""

    async def send(self, request: Request, **settings: Any) -> Response:
        response = await super().send(request, **settings)
        if not response.is_success:
            return response
        if _is_stream(response):
            if _is_plain(response):
                response.stream = _WholeAsync(response.stream)
            return response
        await response.aread()
        return _if_reply(request, response)


def _checked(request: Request, response: Response) -> Response:
    """*response*, or a bad gateway in place of what is no reply."""
    if not response.is_success:
        return response
    if _is_stream(response):
        if _is_plain(response):
            response.stream = _Whole(response.stream)
        return response
    response.read()
    return _if_reply(request, response)


def _is_stream(response: Response) -> bool:
    return str(response.headers.get("content-type", "")).startswith("text/event-stream")


def _is_plain(response: Response) -> bool:
    return response.headers.get("content-encoding", "identity") == "identity"


def _if_reply(request: Request, response: Response) -> Response:
    """*response*, which is read, if it is a JSON object without an error and not what a stream was asked for."""
    try:
        found = json.loads(response.content.decode())
    except ValueError:
        kind = str(response.headers.get("content-type", "")).partition(";")[0]
        what = "a web page" if kind == "text/html" else "what is no JSON text, or only a part of one"
        return _bad_gateway(request, {"message": f"it sent {what}, from {response.url}"})
    if isinstance(found, dict) and (told := found.get("error")):
        return _bad_gateway(request, told if isinstance(told, dict) else {"message": str(told)})
    asked = request.url.path.endswith("/chat/completions")
    if asked and not (isinstance(found, dict) and found.get("choices")):
        return _bad_gateway(request, {"message": "its reply has no choices"})
    if asked and _wants_stream(request):
        return _bad_gateway(request, {"message": "it sent a whole reply where a stream was asked for"})
    return response


def _wants_stream(request: Request) -> bool:
    try:
        asked = json.loads(request.content)
    except (ValueError, RequestNotRead):
        return False
    return isinstance(asked, dict) and asked.get("stream") is True


def _bad_gateway(request: Request, told: dict[str, Any]) -> Response:
    return Response(502, json={"error": told}, request=request)


class _Ending:
    """Sees whether a stream of events ends with the end of a reply, and is UTF-8."""

    def __init__(self) -> None:
        self.decoder, self.text, self.is_over = codecs.getincrementaldecoder("utf-8")(), "", False

    def saw(self, piece: bytes) -> None:
        try:
            self.text = self.text[-_SEEN:] + self.decoder.decode(piece)
        except UnicodeDecodeError:
            raise RemoteProtocolError("the reply is no UTF-8") from None
        self.is_over = self.is_over or bool(_END.search(self.text))

    def check(self) -> None:
        if not self.is_over:
            raise RemoteProtocolError("the stream ended before the reply did")


_SEEN = 60  # characters that a stream's end may be parted by
_END = re.compile(r'data:\s?\[DONE\]|"finish_reason":\s?"|"error":')


class _Whole(SyncByteStream):
    """A stream of events that must not end before the reply does."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[bytes]:
        ending = _Ending()
        for piece in self.stream:
            ending.saw(piece)
            yield piece
        ending.check()

    def close(self) -> None:
        self.stream.close()


class _WholeAsync(AsyncByteStream):
    """The same in async code."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        ending = _Ending()
        async for piece in self.stream:
            ending.saw(piece)
            yield piece
        ending.check()

    async def aclose(self) -> None:
        await self.stream.aclose()


def wait_in(retry_after: str) -> float:
    """The seconds in a `Retry-After` header, which may be a date; 0 if it is neither."""
    with suppress(ValueError):
        return float(retry_after)
    with suppress(ValueError):
        return parsedate_to_datetime(retry_after).timestamp() - time.time()
    return 0.0


@functools.cache
def client() -> Client:
    """The one of this process, so that all models share its connections."""
    made = _Client()
    atexit.register(made.close)
    return made


def key(api_key: SecretStr, base_url: str | None) -> dict[str, Any]:
    """The `api_key` argument for OpenAI's classes, left out where they are to use OPENAI_API_KEY.

    A server of one's own (*base_url*) may need no key, but the classes do.
    """
    if api_key.get_secret_value():
        return {"api_key": api_key}
    return {} if base_url is None else {"api_key": SecretStr("none")}
