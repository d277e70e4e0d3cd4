"""What several tests share: where things are, a model server on loopback, a tiny static model."""

from __future__ import annotations

import json
import re
import shutil
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings

ROOT = Path(__file__).parents[1]
NOTES = ROOT / "examples" / "papers"
SHARED = ROOT.parent / "shared"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as given:
        given.bind(("127.0.0.1", 0))
        return int(given.getsockname()[1])


def needs_browser() -> None:
    """Skip the module that says so, in one line, where no browser is found."""
    if CHROMIUM is None:
        pytest.skip(
            "the page was not tested, since no browser is found: apt-get install chromium",
            allow_module_level=True,
        )


class ModelServer(ThreadingHTTPServer):
    """A local OpenAI-compatible server that replies as the test sets it up, and records the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _ModelServerHandler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.says = "Yes [1]."
        self.status = 200
        self.asked: list[dict[str, Any]] = []


class _ModelServerHandler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(body)
        if self.server.status != 200:
            self._send("application/json", json.dumps({"error": {"message": "no"}}), self.server.status)
        elif self.path.endswith("/embeddings"):
            rows = [
                {"object": "embedding", "index": i, "embedding": [float(len(t)), 1.0]}
                for i, t in enumerate(body["input"])
            ]
            self._send(
                "application/json",
                json.dumps(
                    {
                        "object": "list",
                        "data": rows,
                        "model": "m",
                        "usage": {"prompt_tokens": 1, "total_tokens": 1},
                    }
                ),
            )
        elif not body.get("stream"):
            words = len(re.findall(r"\S+\s*", self.server.says))
            choice = {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": self.server.says},
            }
            usage = {"prompt_tokens": 11, "completion_tokens": words, "total_tokens": 11 + words}
            whole = {
                "id": "x",
                "object": "chat.completion",
                "created": 0,
                "model": "m",
                "choices": [choice],
                "usage": usage,
            }
            self._send("application/json", json.dumps(whole))
        else:
            said = [{"delta": {"content": piece}} for piece in re.findall(r"\S+\s*", self.server.says)]
            whole = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "m"}
            lines = [{**whole, "choices": [{"index": 0, "finish_reason": None, **s}]} for s in said]
            lines.append({**whole, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            lines.append(
                {
                    **whole,
                    "choices": [],
                    "usage": {
                        "prompt_tokens": 11,
                        "completion_tokens": len(said),
                        "total_tokens": 11 + len(said),
                    },
                }
            )
            self._send(
                "text/event-stream",
                "".join(f"data: {json.dumps(line)}\n\n" for line in lines) + "data: [DONE]\n\n",
            )

    def _send(self, kind: str, text: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None: ...


def static_model(folder: Path, table: Any) -> str:
    """A static embedding model of four words, a row of *table* each; the directory it is in."""
    import numpy as np
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = Tokenizer(WordLevel({"[UNK]": 0, "glass": 1, "bridges": 2, "boats": 3}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    words.save(str(folder / "tokenizer.json"))
    save_file({"embeddings": np.asarray(table, dtype=np.float16)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return str(folder)


class Stretched(Embeddings):
    """Embeddings of another make, whose vectors are those of *embed* at any length."""

    def __init__(self, embed: Embeddings) -> None:
        self.embed = embed

    def embed_query(self, text: str) -> list[float]:
        return [(1 + len(text) % 7) * number for number in self.embed.embed_query(text)]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        found = self.embed.embed_documents(texts)
        return [[(1 + len(t) % 7) * n for n in row] for t, row in zip(texts, found, strict=True)]


def small_pdf(*lines: str) -> bytes:
    """A PDF of one page with these lines; it leaves out the table of objects, which readers make themselves."""
    shown = " ".join(f"({line}) Tj T*" for line in lines)
    stream = f"BT /F1 12 Tf 14 TL 72 720 Td {shown} ET"
    objects = (
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        " /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
    )
    body = "\n".join(f"{n} 0 obj\n{each}\nendobj" for n, each in enumerate(objects, 1))
    return f"%PDF-1.4\n{body}\ntrailer << /Root 1 0 R /Size 5 >>\n%%EOF\n".encode()
