"""Files made to exhaust their reader, and texts made to break out of a stream, over HTTP."""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from langchain_core.documents import Document
from support import ModelServer

import ragkit
from ragkit.serve.service import Limits

Serving = Callable[..., httpx2.Client]
NOTE = b"# Terns of the north\n\nThe Arctic tern flies 70,000 kilometres a year.\n"
QUICK = {"ingest.read": {"type": "files", "seconds_a_file": 8, "megabytes_a_file": 1500}}


def zip_bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", b" " * 200_000_000)
    return file.getvalue()


def pdf_bomb() -> bytes:
    """A page of 64 MB of text, packed, that is drawn a thousand times."""
    packed = zlib.compress(b"BT /F1 12 Tf (x) Tj ET " * 2_800_000, 9)
    head = f"<< /Length {len(packed)} /Filter /FlateDecode >>\nstream\n".encode()
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents ["
        + b"4 0 R " * 1000
        + b"] /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        head + packed + b"\nendstream",
    )
    body = b"\n".join(b"%d 0 obj\n%b\nendobj" % (n, each) for n, each in enumerate(objects, 1))
    return b"%PDF-1.4\n" + body + b"\ntrailer << /Root 1 0 R /Size 5 >>\n%%EOF\n"


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [("bomb.docx", zip_bomb, "unpack"), ("bomb.pdf", pdf_bomb, "longer than 8 s|1500 MB|SIGABRT")],
)
def test_a_bomb_fails_in_a_sentence_and_the_files_beside_it_are_read(
    serving: Serving, tmp_path: Path, name: str, make: Callable[[], bytes], reason: str
) -> None:
    rag = ragkit.load(preset="default", corpus=tmp_path / "corpus", overrides=QUICK)
    client = serving(rag)
    files = [("files", (name, make())), ("files", ("terns.md", NOTE))]
    report = client.post("/api/papers", files=files).raise_for_status().json()
    [failed] = report["failed"]
    assert failed["source"] == name
    assert re.search(reason, failed["error"])
    assert "\n" not in failed["error"]
    assert str(tmp_path) not in failed["error"]
    assert [paper["title"] for paper in report["papers"]] == ["Terns of the north"]
    kept = [path.name for path in (tmp_path / "corpus" / "uploads").rglob("*") if path.is_file()]
    assert kept == ["terns.md"]


def test_a_file_without_an_end_is_refused_in_a_sentence(serving: Serving, tmp_path: Path) -> None:
    rag = ragkit.load(preset="default", corpus=tmp_path / "corpus")
    client = serving(rag, limits=Limits(bytes_an_upload=3_000_000))
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="endless.md"\r\n\r\n'
        while sent < 1_000_000_000:
            sent += 65536
            yield b"x" * 65536

    try:
        reply = client.post(
            "/api/papers", content=endless(), headers={"content-type": "multipart/form-data; boundary=b"}
        )
        assert (reply.status_code, reply.json()["error"]["code"]) == (413, "too_large")
        assert reply.json()["error"]["message"] == "the body of the request is larger than 3 MB"
    except httpx2.WriteError:
        pass  # the server closed the connection while more was sent
    assert sent < 100_000_000
    assert not (tmp_path / "corpus" / "uploads").exists()
    assert client.get("/livez").is_success


# --- streams

EVIL = "x\n\nevent: answer\ndata: {}\n\ndata: [DONE]\r\n\r\n: y\u2028id: 7\x00"


def datas(reply: httpx2.Response) -> list[Any]:
    """What the `data` of each event is as JSON; every line must belong to an event."""
    lines = [line for line in reply.content.decode().split("\n") if line]
    assert all(re.match(r"(event|data|id): |: ", line) for line in lines), lines
    assert "\r" not in reply.text
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


@pytest.fixture
def evil(serving: Serving, tmp_path: Path, model_server: ModelServer) -> httpx2.Client:
    """A chat model that writes events, over a paper whose title and text have some."""
    rag = ragkit.load(preset="chat", model=f"{model_server.url}#m", corpus=tmp_path / "corpus")
    rag.add(
        Document(f"The quagga mussel filters 7 litres a day. {EVIL}", metadata={"title": EVIL, "source": "q"})
    )
    model_server.says = f"The quagga mussel filters 7 litres a day [1]. {EVIL}"
    return serving(rag)


def test_no_text_breaks_out_of_our_events(evil: httpx2.Client) -> None:
    body = {"question": f"How many litres does the quagga mussel filter? {EVIL}", "stream": True}
    reply = evil.post("/api/ask", json=body)
    types = [event["type"] for event in datas(reply)]
    assert types.count("answer") == 1
    assert types[-1] == "answer"
    assert re.findall(r"^id: (\d+)$", reply.text, re.MULTILINE) == [str(n + 1) for n in range(len(types))]


@pytest.mark.parametrize("base", ["/v1", "/open-webui/v1"])
def test_no_text_breaks_out_of_the_events_of_openai(evil: httpx2.Client, base: str) -> None:
    question = f"How many litres does the quagga mussel filter? {EVIL}"
    messages = [{"role": "user", "content": question}]
    chat = evil.post(
        f"{base}/chat/completions", json={"model": "default", "messages": messages, "stream": True}
    )
    chunks = datas(chat)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chat.text.count("\ndata: [DONE]\n") == 1
    reply = evil.post(f"{base}/responses", json={"model": "default", "input": question, "stream": True})
    events = datas(reply)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert re.findall(r"^event: (.*)$", reply.text, re.MULTILINE) == [event["type"] for event in events]


def test_no_text_breaks_out_of_a_header(evil: httpx2.Client) -> None:
    reply = evil.post("/api/search", json={"query": EVIL}, headers={"x-request-id": "a b"})
    assert reply.headers["x-request-id"] != "a b"
    name = 'a"; filename="x\r\nset-cookie: a=b.md'
    report = evil.post("/api/papers", files=[("files", (name, NOTE))]).json()
    [paper] = report["papers"]
    file = evil.get(f"/papers/{paper['id']}/file")
    assert file.is_success
    assert "set-cookie" not in file.headers
