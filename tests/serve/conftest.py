"""A server in a thread, with real sockets, over the example papers or over an empty corpus."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from support import ROOT

import ragkit
from ragkit.serve.app import application
from ragkit.serve.guard import Rules
from ragkit.serve.service import Limits, Service

Serving = Callable[..., httpx2.Client]


@contextmanager
def running(service: Service, rules: Rules | None = None) -> Iterator[httpx2.Client]:
    listening = socket.create_server(("127.0.0.1", 0))
    service.listens = f"http://127.0.0.1:{listening.getsockname()[1]}"
    config = uvicorn.Config(
        application(service, rules), log_config=None, server_header=False, timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    with httpx2.Client(base_url=service.listens, timeout=60) as client:
        yield client
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()
    listening.close()


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    """Starts servers, and ends them after the module's tests."""
    from contextlib import ExitStack

    with ExitStack() as started:

        def start(
            *rags: ragkit.Rag, limits: Limits = Limits(), rules: Rules | None = None, **settings: Any
        ) -> httpx2.Client:
            named = {f"config{n}" if n else "default": rag for n, rag in enumerate(rags)}
            return started.enter_context(running(Service(named, limits, **settings), rules))

        yield start


@pytest.fixture(scope="module")
def server(serving: Serving, ingested: Path) -> httpx2.Client:
    return serving(ragkit.load(ROOT / "configs" / "default.yaml", corpus=ingested))
