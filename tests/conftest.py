"""Fixtures: a small corpus with real embeddings and indexes, and the shared real papers if available."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import postgres as postgres_server
import pytest
from hypothesis import settings
from paper_pages import PaperPage
from support import NOTES, ROOT, SHARED, ModelServer
from workers import write

import ragkit
import ragkit.testing
from ragkit.config import components
from ragkit.corpus.postgres import PostgresCorpus

if TYPE_CHECKING:
    import s3 as s3_server

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


@pytest.fixture
def paper_pages() -> Iterator[None]:
    """The format of saved paper pages, registered as if its package were installed."""
    ours = ("paper_page", PaperPage)
    if ours in components._components:  # the benchmarks register it too
        yield
        return
    components.component("paper_page")(PaperPage)
    yield
    components._components.remove(ours)


@pytest.fixture
def real_papers(paper_pages: None) -> Path:
    papers = SHARED / "papers"
    if not papers.is_dir():
        pytest.skip("the shared paper pages are not beside this checkout")
    return papers


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_server.Server]:
    """A Postgres server that tests make databases on; it keeps nothing."""
    server = postgres_server.Server(fsync="off")
    yield server
    server.close()


@pytest.fixture
def place(postgres: postgres_server.Server, tmp_path: Path) -> PostgresCorpus:
    """Where a corpus in Postgres may be, in a database of its own."""
    return PostgresCorpus(postgres.database(f"db{time.time_ns()}"), tmp_path / "shared")


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    """The folder of 20 files for workers, of which one cannot be read."""
    write(tmp_path / "papers", 12)
    (tmp_path / "papers" / "broken.pdf").write_bytes(b"%PDF-1.4\nnothing")
    return tmp_path / "papers"


@pytest.fixture(scope="session")
def s3() -> Iterator[s3_server.Server]:
    """A server of objects that tests make buckets on; it keeps nothing."""
    from s3 import Server  # some seconds of imports

    server = Server()
    yield server
    server.close()


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the real command line in a directory of its own."""

    def run(
        *arguments: str | Path, cwd: Path = tmp_path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
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
