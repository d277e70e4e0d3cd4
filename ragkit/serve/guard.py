"""What a request passes before it is answered: its host, its origin, its key, and the size and speed of its body."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import math
import re
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ragkit.serve.failures import Refusal, error, told
from ragkit.serve.keys import Allowance, ApiKeys, Most
from ragkit.serve.service import Limits

log = logging.getLogger("ragkit.access")

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; worker-src 'self';"
    " img-src 'self' data: blob:; font-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors {}"
)
_SECURITY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
_OPEN = frozenset(("/", "/livez", "/readyz", "/health"))
"""What needs no key; neither do the files of the page, which have no text of a paper."""
_ASKS = re.compile(r"/api/(ask|search|check)|/(open-webui/)?v1/.+|/mcp/?")
"""What counts against the allowance of a client."""
_READER = re.compile(r"/papers/[^/]+")
"""The page of a paper, which has no text of it: a browser that follows a link cannot send a key, and the page asks for it."""
_IDENTITY = re.compile(r"[A-Za-z0-9._-]{1,64}")
_JSON = re.compile(r"application/([\w.-]+\+)?json\b", re.IGNORECASE)
_MARKS_OF_JSON = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)
_DEEPEST = 64  # arrays and objects inside one another


@dataclass(frozen=True)
class Rules:
    """Who is let in.  `hosts`: names that requests may call the server by, beside addresses; `anyone`: what each address
    may ask where there are no keys.
    """

    hosts: Collection[str] = ("localhost",)
    keys: ApiKeys | None = None
    anyone: Most = Most()
    allowance: Allowance = field(default_factory=Allowance)


def policy(framed_by: Collection[str] = (), allowed: str = _POLICY) -> str:
    """The content-security policy *allowed* of a page, which pages of these origins may show in a frame."""
    return allowed.format(" ".join(("'self'", *framed_by)))


class RequestGuard:
    """Refuses what the rules do not allow, and adds to every response what keeps a browser safe."""

    def __init__(self, app: ASGIApp, rules: Rules, limits: Limits) -> None:
        self.app, self.rules, self.limits = app, rules, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        visit = _Visit(self, scope, receive, send)
        try:
            await visit.pass_on()
        except Refusal as refusal:
            await visit.refuse(refusal)
        except Exception as failure:
            if not visit.started:
                found = told(failure)
                await visit.refuse(Refusal(found.status, found.code, found.message))
        finally:
            visit.log()


class _Visit:
    """One request on its way."""

    def __init__(self, guard: RequestGuard, scope: Scope, receive: Receive, send: Send) -> None:
        self.rules, self.limits, self.app = guard.rules, guard.limits, guard.app
        self.scope, self.receive, self._send = scope, receive, send
        self.headers = Headers(scope=scope)
        given = self.headers.get("x-request-id", "")
        self.identity = given if _IDENTITY.fullmatch(given) else secrets.token_hex(8)
        self.began, self.status, self.started = time.perf_counter(), 0, False
        self.who = ""
        self.too_much: Refusal | None = None
        self.replaced = False

    async def pass_on(self) -> None:
        self._check_host()
        self._check_origin()
        self._check_key()
        receive = await self._body()
        await self.app(self.scope, receive, self.send)
        if self.too_much and not self.started:
            raise self.too_much

    def _check_host(self) -> None:
        """A name that the server does not go by may have been made to lead here: DNS rebinding."""
        host = _host_of(self.headers.get("host", ""))
        if not host or not (_is_address(host) or host in self.rules.hosts):
            raise Refusal(
                421, "unknown_host", "the server is not known by this name; `--allow-host NAME` adds it"
            )

    def _check_origin(self) -> None:
        """A page of elsewhere may send forms without being asked."""
        origin, own = self.headers.get("origin"), self.headers.get("host", "")
        if origin is not None and urlsplit(origin).netloc != own:
            raise Refusal(403, "foreign_origin", "pages of other servers may not use this one")

    def _check_key(self) -> None:
        path, method = self.scope["path"], self.scope["method"]
        if path in _OPEN or path.startswith("/static/") or self._opens_a_page():
            return
        if self.rules.keys is None:
            address, _ = self.scope.get("client") or ("", 0)
            self._count(address, self.rules.anyone, "this address")
            return
        kind, _, given = self.headers.get("authorization", "").partition(" ")
        key = self.rules.keys.of(given.strip()) if kind.lower() == "bearer" else None
        if key is None:
            raise Refusal(
                401,
                "invalid_api_key",
                "give an API key: `Authorization: Bearer KEY`",
                {"www-authenticate": "Bearer"},
            )
        self.who = key.name
        writes = path.startswith("/api/papers") and method not in ("GET", "HEAD")
        if writes and "write" not in key.scopes:
            raise Refusal(403, "not_allowed", "this key may read, but neither upload nor delete papers")
        self._count(key.name, key, "this key")

    def _opens_a_page(self) -> bool:
        """Does a browser follow a link to a paper?"""
        accept = ",".join(self.headers.getlist("accept"))
        return (
            self.scope["method"] == "GET"
            and _READER.fullmatch(self.scope["path"]) is not None
            and "text/html" in accept
            and "application/json" not in accept
        )

    def _count(self, client: str, most: Most, who: str) -> None:
        """Count what is asked; one too many is refused."""
        if not self._asks():
            return
        if wait := self.rules.allowance.wait(client, most):
            seconds = math.ceil(wait)
            said = f"{who} has used its allowance; try again in {seconds} seconds"
            raise Refusal(429, "rate_limited", said, {"retry-after": str(seconds)})

    def _asks(self) -> bool:
        return self.scope["method"] == "POST" and _ASKS.fullmatch(self.scope["path"]) is not None

    async def _body(self) -> Receive:
        """What gives the body to the application: at once for JSON, which is checked here; uploads bit by bit."""
        uploads = self.scope["path"] == "/api/papers"
        most = self.limits.bytes_an_upload if uploads else self.limits.bytes_a_body
        length = self.headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length) > most:
            raise _too_large(most)
        if self._asks() and not _JSON.match(self.headers.get("content-type", "")):
            raise Refusal(415, "not_json", "send JSON, with the header `Content-Type: application/json`")
        until = asyncio.get_running_loop().time() + (
            self.limits.seconds_an_upload if uploads else self.limits.seconds_a_body
        )
        if self.scope["method"] in ("GET", "HEAD", "DELETE") and length == "0":
            return self.receive
        if uploads:
            return self._counted(most, until)
        body = b""
        while True:
            message = await _before(until, self.receive)
            if message["type"] == "http.disconnect":
                raise Refusal(499, "client_gone", "the client went away")
            body += message.get("body", b"")
            if len(body) > most:
                raise _too_large(most)
            if not message.get("more_body"):
                break
        await asyncio.to_thread(_check_depth, body)
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return waiting.pop() if waiting else await self.receive()

        return replay

    def _counted(self, most: int, until: float) -> Receive:
        taken, ended = 0, False

        async def counted() -> Message:
            nonlocal taken, ended
            if ended:
                return await self.receive()
            try:
                message = await _before(until, self.receive)
                taken += len(message.get("body", b""))
                ended = not message.get("more_body")
                if taken > most:
                    raise _too_large(most)
            except Refusal as refusal:
                self.too_much = refusal
                return {"type": "http.disconnect"}
            return message

        return counted

    async def send(self, message: Message) -> None:
        if self.replaced or (self.too_much and not self.started):
            return  # what the application makes of a body that was cut off, or no JSON
        if message["type"] == "http.response.start" and _is_wordless(message):
            status, kept = message["status"], Headers(raw=message["headers"]).get("content-range")
            said = "the file has no such range" if status == 416 else HTTPStatus(status).phrase
            more = {"content-range": kept} if kept else None
            await self.refuse(Refusal(status, "invalid_request", said, more))
            self.replaced = True
            return
        if message["type"] == "http.response.start":
            self.started, self.status = True, message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _SECURITY.items():
                headers.setdefault(name, value)
            headers.setdefault("content-security-policy", policy())
            headers.setdefault("cache-control", "no-store")
            headers["x-request-id"] = self.identity
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        if self.started:
            return
        self.too_much = None
        body = json.dumps(error(*refusal.told)).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), **refusal.headers}
        if refusal.told.status in (408, 413):
            headers["connection"] = "close"  # what follows of the body is not read
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": refusal.told.status, "headers": raw})
        await self.send({"type": "http.response.body", "body": body})

    def log(self) -> None:
        """A line of JSON without the question, which may be private."""
        entry: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request": self.identity,
            "method": self.scope["method"],
            "path": self.scope["path"][:200],
            "status": self.status,
            "ms": round(1000 * (time.perf_counter() - self.began), 1),
        }
        log.info("%s", json.dumps(entry | ({"key": self.who} if self.who else {})))


async def _before(until: float, receive: Receive) -> Message:
    try:
        async with asyncio.timeout_at(until):
            return await receive()
    except TimeoutError:
        raise Refusal(408, "too_slow", "the body of the request took too long to arrive") from None


def _is_wordless(start: Message) -> bool:
    """Does an error begin that is no JSON?"""
    return start["status"] >= 400 and not _JSON.match(Headers(raw=start["headers"]).get("content-type", ""))


def _too_large(most: int) -> Refusal:
    return Refusal(413, "too_large", f"the body of the request is larger than {most / 1e6:.0f} MB")


def _check_depth(body: bytes) -> None:
    """Refuse JSON so deep that parsing it costs more than its size says."""
    depth, deepest, in_text = 0, 0, False
    for found in _MARKS_OF_JSON.finditer(body):
        mark = found[0]
        if mark == b'"':
            in_text = not in_text
        elif not in_text and len(mark) == 1:
            depth += 1 if mark in b"[{" else -1
            deepest = max(deepest, depth)
    if deepest > _DEEPEST:
        raise Refusal(400, "too_deep", f"the JSON has more than {_DEEPEST} levels")


def _host_of(header: str) -> str:
    """The host of a Host header, without its port; empty if it is malformed."""
    try:
        return (urlsplit(f"//{header}").hostname or "") if re.fullmatch(r"[\w.:\[\]-]+", header) else ""
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
