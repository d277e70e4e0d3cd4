"""Workers on a Ray cluster: as plain ones, whatever happens to the actors."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from ray_cluster import Cluster
from workers import LEASE, forked, pipeline, put, state, work, write

from ragkit.config import components
from ragkit.corpus import Corpus
from ragkit.corpus.postgres import PostgresCorpus
from ragkit.errors import RagkitError, UsageError
from ragkit.flow import Progress
from ragkit.ingest import IngestPipeline
from ragkit.ingest.cluster import RayWorkers
from ragkit.ingest.queue import QueueCounts, counts_of
from ragkit.ingest.work import Worker

CONFIG = """
ingest: {read: files, chunk: {type: sentence, max_tokens: 40}, index: [&words {type: bm25}]}
answer: {retrieve: [{type: lexical, index: *words}], generate: extractive}
"""
LONGEST = 60.0  # seconds

thorough = pytest.mark.skipif(
    int(os.environ.get("RAGKIT_TEST_KILLS", "8")) < 40,
    reason="starts many processes: `make test-scale` runs it",
)


@pytest.fixture(autouse=True)
def only_the_components_that_actors_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests, and the benchmarks, add formats to this process, which would be another way to read files."""
    own = [each for each in components.registered() if each[1].__module__.startswith("ragkit.")]
    monkeypatch.setattr(components, "_components", own)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    yield cluster
    cluster.close()


def made(place: PostgresCorpus, tokens: int = 40) -> tuple[IngestPipeline, Corpus]:
    rag = pipeline(place, tokens)
    return rag.ingest_pipeline, rag.corpus


def drained(place: PostgresCorpus, address: str, between: Callable[[RayWorkers], None] | None = None) -> None:
    """Let two actors work until all is published; *between* is called while they do."""
    with RayWorkers(partial(made, place), address, 2, lease=LEASE) as workers:
        seen = []
        for event in workers.run(drain=True):
            seen.append(event)
            if between and counts_of(workers.corpus).running == 2:  # type: ignore[union-attr]
                between(workers)
                between = None
        assert all(isinstance(event, Progress) and event.done <= event.total for event in seen)
        assert between is None


@thorough
def test_the_commands_do_on_a_cluster_what_one_process_does_alone(
    cluster: Cluster,
    place: PostgresCorpus,
    papers: Path,
    tmp_path: Path,
    command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    (tmp_path / "words.yaml").write_text(CONFIG)
    chosen = ("--config", "words.yaml", "--corpus", place.url)
    command("ingest", papers, "--config", "words.yaml", "--corpus", "alone")
    assert command("ingest", papers, *chosen, "--queue", "--no-wait").returncode == 0
    done = command("work", *chosen, "--ray", cluster.address, "--workers", "2", "--drain")
    assert (done.stdout, done.stderr) == ("queue: 0 waiting, 0 running, 0 read, 1 failed\n", "")
    both = [command("list", "--config", "words.yaml", "--corpus", c, "--json") for c in (place.url, "alone")]
    assert both[0].stdout == both[1].stdout
    assert command("doctor", *chosen).returncode == 0
    (papers / "slow.md").write_text("# Slow\n\nIt takes its time.\n")
    command("ingest", papers, *chosen, "--queue", "--no-wait")
    # Ctrl-C while the actors wait for more
    start = [sys.executable, "-m", "ragkit", "work", *chosen, "--ray", cluster.client_address]
    worker = subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        deadline, corpus = time.monotonic() + LONGEST, pipeline(place).corpus
        while counts_of(corpus) != QueueCounts():
            assert worker.poll() is None, worker.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        worker.send_signal(signal.SIGINT)
        said, errors = worker.communicate(timeout=LONGEST)
    finally:
        worker.kill()
        worker.communicate()
    assert said == "queue: 0 waiting, 0 running, 0 read, 0 failed\n"
    assert errors.startswith("stopped; ")


@pytest.mark.parametrize(
    "way", ["killed by its number", pytest.param("killed by Ray, for good", marks=thorough)]
)
def test_an_actor_that_is_killed_loses_nothing(
    cluster: Cluster, place: PostgresCorpus, papers: Path, tmp_path: Path, way: str
) -> None:
    for n in range(2):
        (papers / f"slow{n}.md").write_text(f"# Slow {n}\n\nRiver {n} is slow.\n")
        (papers / f"slow{n}.go").touch()
    alone, rag = pipeline(tmp_path / "alone"), pipeline(place)
    alone.ingest(papers)
    for n in range(2):  # again, and now they wait
        (papers / f"slow{n}.go").unlink()
        (papers / f"slow{n}.begun").unlink()
    put(rag, *sorted(papers.glob("slow*.md")), papers)
    rag.corpus.close()

    # in a process of its own, which Ray's threads end with
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as started:
        started.submit(drained_with_a_kill, place, cluster.address, papers, way).result(2 * LONGEST)
    assert state(rag) == state(alone)
    assert rag.corpus.value("SELECT max(attempts) FROM queue") == 2


def drained_with_a_kill(place: PostgresCorpus, address: str, papers: Path, way: str) -> None:
    def kill(workers: RayWorkers) -> None:
        [holder] = workers.corpus.column("SELECT worker FROM queue WHERE uri LIKE '%slow0.md'")
        if way.startswith("killed by its number"):
            os.kill(int(str(holder).split()[1]), signal.SIGKILL)
        else:
            workers._ray.kill(workers.actors[0])
        for n in range(2):
            (papers / f"slow{n}.go").touch()

    drained(place, address, kill)


@thorough
def test_actors_that_are_stopped_give_their_files_back(
    cluster: Cluster, place: PostgresCorpus, tmp_path: Path
) -> None:
    write(tmp_path / "papers", 3)
    put(pipeline(place), tmp_path / "papers")
    work(place)
    (tmp_path / "papers" / "slow.md").write_text("# Slow\n\nIt takes its time.\n")
    rag = pipeline(place)
    put(rag, tmp_path / "papers" / "slow.md")

    def stopped() -> None:
        with RayWorkers(partial(made, place), cluster.address, lease=1000.0) as workers:
            for _ in workers.run():
                if (tmp_path / "papers" / "slow.begun").exists():
                    break
            threading.Timer(0.5, (tmp_path / "papers" / "slow.go").touch).start()
            workers.stop()

    rag.corpus.close()
    assert os.waitpid(forked(stopped), 0)[1] == 0
    assert counts_of(rag.corpus) == QueueCounts(waiting=1)


@thorough
def test_workers_that_cannot_work_are_reported_in_a_sentence(
    cluster: Cluster, place: PostgresCorpus, tmp_path: Path
) -> None:
    write(tmp_path / "papers", 1)
    put(pipeline(place), tmp_path / "papers")

    def other(place: PostgresCorpus, here: int) -> tuple[IngestPipeline, Corpus]:
        """Another pipeline wherever it is not made in this process."""
        return made(place, 40 if os.getpid() == here else 50)

    def missing(place: PostgresCorpus, here: int) -> tuple[IngestPipeline, Corpus]:
        if os.getpid() != here:
            raise UsageError("RAGKIT_CORPUS is not set")
        return made(place)

    def failing(make: Callable[[PostgresCorpus, int], tuple[IngestPipeline, Corpus]], said: str) -> None:
        with RayWorkers(partial(make, place, os.getpid()), cluster.address) as workers:
            with pytest.raises(RagkitError, match=said) as caught:
                list(workers.run(drain=True))
            assert "\n" not in str(caught.value)

    for make, said in ((other, "reads files in another way"), (missing, "RAGKIT_CORPUS is not set")):
        assert os.waitpid(forked(lambda make=make, said=said: failing(make, said)), 0)[1] == 0
    assert counts_of(pipeline(place).corpus) == QueueCounts(waiting=3)


def test_what_cannot_be_started_is_one_sentence(
    place: PostgresCorpus,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    (tmp_path / "words.yaml").write_text(CONFIG)
    folder = command("work", "--config", "words.yaml", "--corpus", "folder", "--ray", "auto")
    assert (folder.returncode, folder.stderr.count("\n")) == (2, 1)
    assert "a queue needs a corpus in Postgres" in folder.stderr
    without = command("work", "--config", "words.yaml", "--corpus", place.url, "--workers", "2")
    assert (without.returncode, without.stderr.count("\n")) == (2, 1)
    assert "--workers and --gpus need --ray" in without.stderr
    make = partial(made, place)
    with socket.socket() as silent:  # it takes connections and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr("ragkit.ingest.cluster._CONNECT", 3.0)
        began = time.monotonic()
        with pytest.raises(
            UsageError, match=f"no Ray cluster at '{address}'.*nothing answered within 3 s.*start one"
        ):
            RayWorkers(make, address)
        assert time.monotonic() - began < 10
    with pytest.raises(
        UsageError, match=re.escape("no Ray cluster at 'nonsense' that can be used (ValueError")
    ):
        RayWorkers(make, "nonsense")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=re.escape("--ray needs ray; pip install 'ragkit[ray]'")):
        RayWorkers(make, "auto")


def test_the_proxy_of_clients_is_asked_twice(
    place: PostgresCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = f"import pathlib, sys\np = pathlib.Path({str(tmp_path / 'asked')!r})\nif not p.exists(): p.touch(); sys.exit('no server')"
    monkeypatch.setattr("ragkit.ingest.cluster._PROBE", once)
    with pytest.raises(UsageError, match="can be used \\(no server\\)"):
        RayWorkers(partial(made, place), "127.0.0.1:1")
    (tmp_path / "asked").unlink()
    RayWorkers(partial(made, place), "ray://127.0.0.1:1")


def test_a_worker_that_waits_can_be_stopped_from_another_thread(place: PostgresCorpus) -> None:
    worker = Worker(*made(place), LEASE)
    threading.Timer(0.5, worker.stop).start()
    assert list(worker.run()) == []
