"""Runs the server until it is told to stop: it then takes no new requests, and answers those it has."""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from ragkit.errors import UsageError
from ragkit.serve.app import application
from ragkit.serve.connection import PromptConnection
from ragkit.serve.guard import Rules
from ragkit.serve.service import Service

_ORIGIN = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?/?")
_WAITING = 2048  # connections that wait to be accepted, as uvicorn has it
GRACE = 30  # seconds that requests have to end once the server is told to stop


def serve(service: Service, rules: Rules, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve at that address; *say* is told where.  Raises `UsageError` if the address is taken."""
    listening = _socket(host, port)
    bound = listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    service.listens = f"http://{shown}:{bound}"
    say(f"ragkit serves at {service.listens}")
    _log_requests()
    try:
        uvicorn.Server(configured(application(service, rules))).run([listening])
    finally:
        listening.close()


def configured(app: ASGIApp, grace: int = GRACE) -> uvicorn.Config:
    """How the application is run: *grace* is seconds for requests to end once it is told to stop."""
    return uvicorn.Config(
        app,
        http=PromptConnection,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=grace,
    )


def _log_requests() -> None:
    """A line of JSON on standard error for each request."""
    access, shown = logging.getLogger("ragkit.access"), logging.StreamHandler()
    shown.setFormatter(logging.Formatter("%(message)s"))
    access.addHandler(shown)
    access.setLevel(logging.INFO)
    access.propagate = False


def is_loopback(host: str) -> bool:
    """Can only this machine reach that address?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def names_in(url: str) -> set[str]:
    """The host of an address."""
    host = urlsplit(url).hostname
    return {host} if host else set()


def origin(given: str) -> str:
    """An origin, as a policy names it.  Raises `UsageError` for what is none."""
    if not _ORIGIN.fullmatch(given):
        raise UsageError(f"--frame-ancestor {given} is no origin; write one such as https://chat.example")
    return given.rstrip("/")


def _socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(_WAITING)  # who is told the address may connect at once
    except OSError as error:
        made.close()
        raise UsageError(f"cannot listen at {host}:{port}: {error.strerror}; choose another --port") from None
    return made
