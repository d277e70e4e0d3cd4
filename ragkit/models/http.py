"""The HTTP client for model servers: no request waits beyond the deadline of the call that makes it."""

from __future__ import annotations

import atexit
import functools
import math
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

from httpx2 import Client, Request, Response, TimeoutException
from openai import DefaultHttpxClient
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
            return super().send(request, **settings)
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
            and time_left() < _wait(response.headers.get("retry-after", "0")) <= _LONGEST_WAIT
        ):
            response.headers["retry-after-ms"] = str(1000 * time_left())
        return response


def _wait(retry_after: str) -> float:
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
