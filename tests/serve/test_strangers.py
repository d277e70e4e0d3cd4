"""What strangers send, and what becomes of the server's surroundings: each ends in one error of JSON with an id."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from support import ROOT

import ragkit
from ragkit.serve import connection

Serving = Callable[..., httpx2.Client]
NOTE = b"# Terns of the north\n\nThe Arctic tern flies 70,000 kilometres a year.\n"
GET = b"GET /api/config HTTP/1.1\r\nhost: localhost\r\n"
POST = b"POST /api/ask HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
JSON = {"content-type": "application/json"}


def sent(client: httpx2.Client, pieces: Iterable[bytes]) -> tuple[int, dict[str, str], Any]:
    """The status, headers and JSON of the last reply to raw bytes, after which the server ends the connection."""
    received = b""
    with socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=20) as connected:
        try:
            for piece in pieces:
                connected.sendall(piece)
        except OSError:
            pass  # it was refused while more was sent
        try:
            while piece := connected.recv(65536):
                received += piece
        except ConnectionError:
            pass
    head, _, body = received.rpartition(b"HTTP/1.1 ")[2].partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[0]), dict(line.lower().split(": ", 1) for line in lines), json.loads(body)


@pytest.mark.parametrize(
    "pieces",
    [
        (b"\x00\xff\xfe garbage\r\n\r\n",),
        (GET, *[b"x: " + b"a" * 100_000] * 5),
        (GET, *[b"x-%d: a\r\n" % n for n in range(20_000)]),
        (b"GET /" + b"a" * 500_000, b" HTTP/1.1\r\nhost: localhost\r\n\r\n"),
        ("GET /papers/é HTTP/1.1\r\nhost: localhost\r\n\r\n".encode(),),
        (POST, b"content-length: -5\r\n\r\n{}"),
        (POST, b"content-length: 5\r\ncontent-length: 50\r\n\r\n{}"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",),
    ],
    ids=["garbage", "long header", "many headers", "long path", "bytes", "negative", "two lengths", "http2"],
)
def test_what_is_no_http_is_told(server: httpx2.Client, pieces: tuple[bytes, ...]) -> None:
    status, headers, said = sent(server, pieces)
    assert (status, said["error"]["code"]) == (400, "invalid_http")
    assert headers["x-request-id"]
    assert headers["connection"] == "close"
    assert server.get("/livez").is_success


def test_headers_that_do_not_come_are_not_waited_for(
    server: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SECONDS_A_HEAD", 0.2)

    def second() -> Iterator[bytes]:
        yield GET + b"\r\n"
        time.sleep(0.5)  # until the first is answered
        yield GET

    for pieces in (iter(()), iter((b"GET /api/con",)), second()):
        status, headers, said = sent(server, pieces)
        assert (status, said["error"]["code"]) == (408, "too_slow")
        assert headers["x-request-id"]
    assert server.get("/livez").is_success


@pytest.mark.parametrize(
    ("place", "body", "status", "sentence"),
    [
        (
            "/api/ask",
            b'{"question": "x", "model": "\\ud800"}',
            422,
            "body.model: Input should be a valid string",
        ),
        ("/v1/chat/completions", b'{"messages": [{"role": "user", "content": "\\ud800"}]}', 422, "content"),
        ("/v1/responses", b'{"input": "x", "model": "\\ud800"}', 422, "body.model"),
        ("/v1/embeddings", b'{"input": ["\\ud800"]}', 422, "body.input"),
        ("/api/search", b'{"query": "\xff"}', 400, "parsing the body"),
        ("/api/search", b'{"query": "x", "k": 1e999}', 422, "body.k: Input should be a valid integer"),
        ("/api/search", b'{"query": "x", "k": -1}', 422, "greater than or equal to 1"),
        ("/api/search", b'{"query": "x", "k": ' + b"9" * 5000 + b"}", 400, "parsing the body"),
        ("/api/search", b'{"query": "x", "where": "title = \\"a\\u0000b\\" and"}', 400, "expected"),
        ("/mcp", b"{", 400, "Parse error"),
    ],
)
def test_a_body_that_makes_no_sense_is_told(
    server: httpx2.Client, place: str, body: bytes, status: int, sentence: str
) -> None:
    reply = server.post(place, content=body, headers=JSON)
    assert reply.status_code == status
    assert sentence in reply.json()["error"]["message"]
    assert reply.headers["x-request-id"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_of_another_type_is_told_which_one_to_send(server: httpx2.Client, kind: str) -> None:
    reply = server.post("/api/ask", content=b'{"question": "x"}', headers={"content-type": kind})
    assert (reply.status_code, reply.json()["error"]["code"]) == (415, "not_json")
    assert "Content-Type: application/json" in reply.json()["error"]["message"]


@pytest.mark.parametrize(("asked", "status"), [("bytes=9999999-", 416), ("bytes=a-b", 400)])
def test_a_range_that_is_none_is_told(server: httpx2.Client, asked: str, status: int) -> None:
    [paper] = server.get("/api/papers", params={"limit": 1}).json()["papers"]
    reply = server.get(f"/papers/{paper['id']}/file", headers={"range": asked})
    assert reply.status_code == status
    assert reply.json()["error"]["message"]
    assert int(reply.headers["content-length"]) == len(reply.content)
    assert server.get("/livez").is_success


def test_an_upgrade_to_a_web_socket_is_not_made(server: httpx2.Client) -> None:
    upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    assert server.get("/api/config", headers=upgrade).json()["version"]


def test_the_number_of_an_event_of_another_question_is_told(server: httpx2.Client) -> None:
    with server.stream("POST", "/api/ask", json={"question": "How many?", "stream": True}) as reply:
        place = reply.headers["content-location"]
        reply.read()
    found = server.get(place, headers={"last-event-id": "999"})
    assert (found.status_code, found.json()["error"]["code"]) == (400, "no_such_event")


# --- what happens to the server's surroundings


def own(serving: Serving, tmp_path: Path) -> httpx2.Client:
    return serving(ragkit.load(ROOT / "configs" / "default.yaml", corpus=tmp_path / "corpus"))


def uploads(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "corpus" / "uploads").rglob("*") if path.is_file())


def test_the_same_file_uploaded_at_once_is_one_paper(serving: Serving, tmp_path: Path) -> None:
    client = own(serving, tmp_path)
    with ThreadPoolExecutor(6) as pool:
        replies = list(
            pool.map(lambda _: client.post("/api/papers", files={"files": ("terns.md", NOTE)}), range(6))
        )
    assert {reply.status_code for reply in replies} == {200}
    assert sum(reply.json()["new"] for reply in replies) == 1
    assert client.get("/api/papers").json()["total"] == 1
    assert uploads(tmp_path) == ["terns.md"]


def test_an_upload_that_breaks_off_leaves_nothing(serving: Serving, tmp_path: Path) -> None:
    client = own(serving, tmp_path)
    head = b"POST /api/papers HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: 5000000\r\n\r\n"
    part = b'--b\r\ncontent-disposition: form-data; name="files"; filename="a.md"\r\n\r\n'
    with socket.create_connection(("127.0.0.1", client.base_url.port or 0)) as connected:
        connected.sendall(head + part + b"x" * 1_000_000)
    assert client.post("/api/papers", files={"files": ("terns.md", NOTE)}).json()["new"] == 1
    assert uploads(tmp_path) == ["terns.md"]


def test_a_paper_may_be_deleted_while_it_is_read(serving: Serving, tmp_path: Path) -> None:
    client = own(serving, tmp_path)
    files = [
        ("files", (f"{n}.md", b"# Tern %d\n\nTern %d flies %d kilometres.\n" % (n, n, n))) for n in range(4)
    ]
    papers = client.post("/api/papers", files=files).json()["papers"]

    def read(identity: str) -> set[int]:
        place, text = f"/papers/{identity}", {"accept": "application/json"}
        asked = {"question": "How far does a tern fly?"}
        return {client.get(place, headers=text).status_code for _ in range(10)} | {
            client.post("/api/ask", json=asked).status_code
        }

    with ThreadPoolExecutor(8) as pool:
        reading = [pool.submit(read, paper["id"]) for paper in papers]
        deleting = [pool.submit(client.delete, f"/api/papers/{paper['id']}") for paper in papers]
        assert [each.result().status_code for each in deleting] == [200] * 4
        assert set().union(*(each.result() for each in reading)) <= {200, 404}
    assert client.get("/api/papers").json()["total"] == 0


def test_a_corpus_that_is_removed_is_gone_at_once_and_may_be_made_anew(
    serving: Serving, tmp_path: Path
) -> None:
    client = own(serving, tmp_path)
    question = {"question": "How far does the Arctic tern fly in a year?"}
    client.post("/api/papers", files={"files": ("terns.md", NOTE)})
    for _ in range(20):  # so that every thread has the corpus open
        assert "70,000" in client.post("/api/ask", json=question).json()["answer"]
    shutil.rmtree(tmp_path / "corpus")
    assert client.get("/readyz").status_code == 503
    for _ in range(20):
        reply = client.post("/api/ask", json=question)
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "no_corpus")
    assert client.get("/api/papers").json()["total"] == 0
    assert client.delete("/api/papers/x").status_code == 503
    client.post("/api/papers", files={"files": ("new.md", NOTE.replace(b"70,000", b"90,000"))})
    assert "90,000" in client.post("/api/ask", json=question).json()["answer"]


def test_a_full_disk_is_told(serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = own(serving, tmp_path)
    client.post("/api/papers", files={"files": ("terns.md", NOTE)})

    class Full:
        def __getattr__(self, name: str) -> Any:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("ragkit.serve.library.shutil.copyfileobj", lambda *_: Full().write)
        kept = client.post("/api/papers", files={"files": ("more.md", NOTE + b"More.")})
    with monkeypatch.context() as patched:
        patched.setattr(tempfile.SpooledTemporaryFile, "rollover", lambda _: Full().write)
        spooled = client.post("/api/papers", files={"files": ("large.md", NOTE * 50_000)})
    for reply in (kept, spooled):
        assert (reply.status_code, reply.json()["error"]["code"]) == (507, "disk_full")
        assert str(tmp_path) not in reply.text
    assert uploads(tmp_path) == ["terns.md"]
    assert client.post("/api/papers", files={"files": ("more.md", NOTE + b"More.")}).json()["files"] == 1


def test_an_upload_that_another_process_keeps_from_the_corpus_leaves_no_file(
    serving: Serving, tmp_path: Path
) -> None:
    client = own(serving, tmp_path)
    client.post("/api/papers", files={"files": ("terns.md", NOTE)})
    with ragkit.load(ROOT / "configs" / "default.yaml", corpus=tmp_path / "corpus").corpus.writing():
        reply = client.post("/api/papers", files={"files": ("more.md", NOTE + b"More.")})
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "corpus_busy")
    assert uploads(tmp_path) == ["terns.md"]
