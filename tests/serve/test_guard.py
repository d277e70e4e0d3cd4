"""Hosts, origins, keys, limits, and what a response never says."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from support import ROOT

import ragkit
from ragkit.errors import UsageError
from ragkit.serve import keys
from ragkit.serve.guard import Rules
from ragkit.serve.keys import Allowance, ApiKey, ApiKeys, Most
from ragkit.serve.service import Limits

BERT = {"question": "How many parameters do BERT-base and BERT-large have?"}
Serving = Callable[..., httpx2.Client]


def key(name: str, secret: str, *scopes: Any, **most: int) -> ApiKey:
    return ApiKey(name=name, sha256=hashlib.sha256(secret.encode()).hexdigest(), scopes=scopes, **most)


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@pytest.fixture(scope="module")
def locked(serving: Serving, ingested: Path) -> httpx2.Client:
    known = ApiKeys(
        keys=(
            key("reader", "r", "read"),
            key("writer", "w", "read", "write"),
            key("few", "f", "read", a_minute=2),
        )
    )
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=ingested)
    return serving(rag, rules=Rules(keys=known), limits=Limits(seconds_a_body=0.5, bytes_an_upload=5000))


# --- hosts and origins


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8321", "127.0.0.1.evil.example", "", "a b", "[::1"]
)
def test_a_name_that_is_not_the_servers_is_refused(server: httpx2.Client, host: str) -> None:
    assert server.get("/api/config", headers={"host": host}).status_code in (400, 421)


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:80"])
def test_addresses_and_names_of_this_machine_are_known(server: httpx2.Client, host: str) -> None:
    assert server.get("/api/config", headers={"host": host}).status_code == 200


def test_a_page_of_another_server_is_refused(server: httpx2.Client) -> None:
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        reply = server.post("/api/search", json={"query": "x"}, headers={"origin": origin})
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "foreign_origin")
        assert "access-control-allow-origin" not in reply.headers
    own = str(server.base_url).rstrip("/")
    assert server.post("/api/search", json={"query": "x"}, headers={"origin": own}).status_code == 200


# --- keys


def test_without_a_key_only_the_page_is_there(locked: httpx2.Client) -> None:
    for place in ("/", "/static/reader.js"):
        assert locked.get(place).status_code == 200
    for place in ("/api/config", "/api/papers", "/v1/models", "/papers/x", "/openapi.json", "/mcp"):
        assert locked.get(place).status_code == 401
        assert locked.get(place, headers=bearer("wrong")).status_code == 401
    assert locked.post("/api/ask", json=BERT).status_code == 401


def test_a_link_to_a_paper_opens_the_page_that_asks_for_the_key(locked: httpx2.Client) -> None:
    link = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    assert "/static/reader.js" in locked.get("/papers/x", headers=link).text
    for place in ("/papers/x/embed", "/papers/x%2fembed", "/papers/x/file", "/api/papers"):
        assert locked.get(place, headers=link).status_code == 401
    assert locked.get("/papers/x", headers={"accept": "text/html, application/json"}).status_code == 401


def test_a_reader_may_not_write(locked: httpx2.Client) -> None:
    assert locked.get("/api/config", headers=bearer("r")).status_code == 200
    assert locked.delete("/api/papers/none", headers=bearer("r")).status_code == 403
    assert locked.delete("/api/papers/none", headers=bearer("w")).status_code == 404


def test_an_allowance_that_is_used_is_told_with_the_time_to_wait(locked: httpx2.Client) -> None:
    replies = [locked.post("/api/search", json={"query": "x"}, headers=bearer("f")) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert 0 < int(replies[2].headers["retry-after"]) <= 60
    assert locked.post("/api/search", json={"query": "x"}, headers=bearer("r")).status_code == 200


def test_an_allowance_comes_back() -> None:
    now = 0.0
    allowance, some = Allowance(lambda: now), Most(a_minute=1, a_day=2)
    assert [allowance.wait("k", some), allowance.wait("k", some)] == [0, 60]
    now = 60.0
    assert [allowance.wait("k", some), allowance.wait("k", some)] == [0, 86_340]


def test_an_allowance_takes_the_same_memory_however_much_is_asked() -> None:
    now = 0.0
    allowance = Allowance(lambda: now)
    for n in range(30_000):
        now += 1
        allowance.wait(f"127.0.{n // 250}.{n % 250}", Most(a_minute=3))
    assert len(allowance.used) < 11_000


def test_without_keys_an_address_has_an_allowance(serving: Serving, ingested: Path) -> None:
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=ingested)
    client = serving(rag, rules=Rules(anyone=Most(a_minute=2)))
    replies = [client.post(place, json={"query": "x"}) for place in ("/api/search", "/v1/x", "/api/search")]
    assert [reply.status_code for reply in replies] == [200, 404, 429]
    assert replies[2].json()["error"]["code"] == "rate_limited"
    assert 0 < int(replies[2].headers["retry-after"]) <= 60
    assert client.get("/api/papers").status_code == 200
    with httpx2.Client(transport=httpx2.HTTPTransport(local_address="127.0.0.2")) as other:
        assert other.post(f"{client.base_url}/api/search", json={"query": "x"}).status_code == 200


def test_keys_are_made_once_and_kept_as_hashes(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    made = keys.add(file, "ann:write")
    other = keys.add(file, "bob")
    assert made not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    known = keys.read(file)
    found, second = known.of(made), known.of(other)
    assert found is not None
    assert (found.name, found.scopes) == ("ann", ("read", "write"))
    assert second is not None
    assert second.scopes == ("read",)
    assert known.of("") is None
    with pytest.raises(UsageError, match="there is a key 'bob' already"):
        keys.add(file, "bob")
    (tmp_path / "other").write_text("{}x")
    with pytest.raises(UsageError, match="is no file of keys"):
        keys.read(tmp_path / "other")


def test_another_address_than_loopback_needs_keys(
    command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = command("serve", "--host", "0.0.0.0", "--port", "0")
    assert (done.returncode, "needs --keys FILE" in done.stderr) == (2, True)
    made = command("serve", "--keys", "keys.json", "--add-key", "ann")
    assert made.stdout.startswith("rk-")


# --- bodies


def raw(client: httpx2.Client, text: bytes, wait: float = 5) -> bytes:
    with socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=wait) as connection:
        connection.sendall(text)
        received = b""
        while piece := connection.recv(65536):
            received += piece
            if b"}}" in received:
                break
        return received


def test_a_slow_body_is_not_waited_for(locked: httpx2.Client) -> None:
    began = time.monotonic()
    head = b"POST /api/ask HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer r\r\ncontent-type: application/json\r\n"
    assert b" 408 " in raw(locked, head + b'content-length: 100\r\n\r\n{"que').splitlines()[0]
    assert time.monotonic() - began < 4


def test_a_large_body_is_refused_before_it_is_read(locked: httpx2.Client) -> None:
    head = b"POST /api/ask HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer r\r\ncontent-length: 99999999\r\n\r\n"
    assert b" 413 " in raw(locked, head).splitlines()[0]
    chunked = (b"x" * 1000 for _ in range(3000))
    kind = {"content-type": "application/json"}
    assert locked.post("/api/ask", content=chunked, headers=bearer("r") | kind).status_code == 413


def test_a_large_upload_is_refused_while_it_comes(locked: httpx2.Client) -> None:
    files = {"files": ("a.md", b"x" * 9000)}
    assert locked.post("/api/papers", files=files, headers=bearer("w")).status_code == 413
    kind = {"content-type": "multipart/form-data; boundary=b", **bearer("w")}
    part = b'--b\r\ncontent-disposition: form-data; name="files"; filename="a.md"\r\n\r\n'
    pieces = (each for each in [part, *[b"x" * 1000] * 9, b"\r\n--b--\r\n"])
    assert locked.post("/api/papers", content=pieces, headers=kind).status_code == 413


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_json_is_refused(server: httpx2.Client, opening: str) -> None:
    kind = {"content-type": "application/json"}
    reply = server.post("/api/ask", content=opening * 100_000, headers=kind)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "too_deep")
    text = {"question": "[" * 1000 + '\\"{'}
    assert server.post("/api/ask", json=text).status_code == 200


def test_quotes_without_end_cost_no_time(server: httpx2.Client) -> None:
    began = time.monotonic()
    kind = {"content-type": "application/json"}
    server.post("/api/ask", content='"' + '\\"' * 900_000, headers=kind)
    assert time.monotonic() - began < 5


# --- what a response says


def test_every_response_has_an_id_and_keeps_browsers_safe(server: httpx2.Client) -> None:
    for reply in (
        server.get("/"),
        server.get("/api/config"),
        server.get("/none"),
        server.get("/", headers={"host": "evil.example"}),
    ):
        assert reply.headers["x-request-id"]
        assert reply.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "server" not in reply.headers
    given = server.get("/", headers={"x-request-id": "abc-1"})
    assert given.headers["x-request-id"] == "abc-1"
    assert server.get("/", headers={"x-request-id": "a b<"}).headers["x-request-id"] != "a b<"


def test_a_mistake_of_the_server_is_told_without_its_details(
    serving: Serving, ingested: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=ingested)
    client = serving(rag)

    def broken(*_: Any) -> Any:
        raise RuntimeError(f"secret at {ROOT}")

    monkeypatch.setattr(rag, "papers", broken)
    reply = client.get("/api/papers")
    assert (reply.status_code, reply.json()["error"]["code"]) == (500, "internal_error")
    assert str(ROOT) not in reply.text
    assert "Traceback" not in reply.text


def test_no_path_leads_out_of_the_page(server: httpx2.Client) -> None:
    for path in (
        b"/static/../../../pyproject.toml",
        b"/static/%2e%2e/%2e%2e/app.py",
        b"/papers/..%2f..%2fx/file",
    ):
        head = b"GET " + path + b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        assert b" 404 " in raw(server, head).splitlines()[0]


def test_the_address_in_citations_is_the_one_that_was_given(serving: Serving, ingested: Path) -> None:
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=ingested)
    client = serving(rag, base="https://papers.example")
    body = {"messages": [{"role": "user", "content": BERT["question"]}]}
    reply = client.post("/v1/chat/completions", json=body).json()
    assert all(url.startswith("https://papers.example/papers/") for url in reply["citations"])
    assert json.dumps(reply).count("127.0.0.1") == 0
