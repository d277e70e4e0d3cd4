"""Fixtures: a small corpus that is really embedded and indexed, and the shared real papers where they are there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import ragkit
import ragkit.testing

ROOT = Path(__file__).parents[1]
NOTES = ROOT / "examples" / "papers"
SHARED = ROOT.parent / "shared"

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus directory that holds the example papers.  Tests read it and change nothing."""
    directory = tmp_path_factory.mktemp("corpus") / "notes"
    ragkit.load(ROOT / "configs" / "default.yaml", corpus=directory).ingest(NOTES)
    return directory


@pytest.fixture
def rag(ingested: Path) -> ragkit.Rag:
    return ragkit.load(ROOT / "configs" / "default.yaml", corpus=ingested)


@pytest.fixture(scope="session")
def real_papers() -> Path:
    papers = SHARED / "papers"
    if not papers.is_dir():
        pytest.skip("the shared paper pages are not beside this checkout")
    return papers


class ModelServer(ThreadingHTTPServer):
    """An OpenAI-compatible server on loopback that says what the test told it to, and keeps what it was asked."""

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
            rows = [{"object": "embedding", "index": i, "embedding": [float(len(t)), 1.0]} for i, t in enumerate(body["input"])]
            self._send(
                "application/json",
                json.dumps({"object": "list", "data": rows, "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}}),
            )
        elif not body.get("stream"):
            words = len(re.findall(r"\S+\s*", self.server.says))
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": self.server.says}}
            usage = {"prompt_tokens": 11, "completion_tokens": words, "total_tokens": 11 + words}
            whole = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
            self._send("application/json", json.dumps(whole))
        else:
            said = [{"delta": {"content": piece}} for piece in re.findall(r"\S+\s*", self.server.says)]
            whole = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "m"}
            lines = [{**whole, "choices": [{"index": 0, "finish_reason": None, **s}]} for s in said]
            lines.append({**whole, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            lines.append(
                {**whole, "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": len(said), "total_tokens": 11 + len(said)}}
            )
            self._send("text/event-stream", "".join(f"data: {json.dumps(line)}\n\n" for line in lines) + "data: [DONE]\n\n")

    def _send(self, kind: str, text: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the real command line in a directory of its own."""

    def run(*arguments: str | Path, cwd: Path = tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ragkit", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "COLUMNS": "120", **environment},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )

    return run


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
