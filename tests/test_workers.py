"""Several workers ingest into one corpus: as one process would have done, whatever happens to them."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from postgres import Server
from workers import LEASE, claimed, forked, pipeline, put, queue, state, work, write

from ragkit.corpus.postgres import PostgresCorpus
from ragkit.doctor import examine
from ragkit.errors import IndexMismatch, LeaseLost
from ragkit.flow import Finished, Progress, steps
from ragkit.ingest.queue import Kept, QueueCounts, counts_of
from ragkit.ingest.reading import Did, IngestRequest
from ragkit.ingest.work import Worker, enqueue

KILLS = int(os.environ.get("RAGKIT_TEST_KILLS", "8"))
RACES = int(os.environ.get("RAGKIT_TEST_RACES", "200"))


@pytest.fixture
def expected(tmp_path: Path, papers: Path) -> dict[str, object]:
    """What one process makes of the same files."""
    alone = pipeline(tmp_path / "alone")
    assert len(alone.ingest(papers).failed) == 1
    return state(alone)


def test_what_workers_did_is_what_one_process_does(
    place: PostgresCorpus, papers: Path, expected: dict[str, object]
) -> None:
    rag = pipeline(place)
    assert put(rag, papers) == 12 + 4 + 3 + 1
    children = [forked(lambda: work(place)) for _ in range(2)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert state(rag) == expected
    assert counts_of(rag.corpus) == QueueCounts(failed=1)
    put(rag, papers)  # nothing has changed
    assert work(place).files == 20
    assert state(rag) == expected


def test_nothing_is_seen_before_it_is_published(
    place: PostgresCorpus, papers: Path, expected: dict[str, object]
) -> None:
    rag = pipeline(place)
    put(rag, papers)
    first = claimed(rag)
    with queue(rag).held(first):  # while another reads all the others
        child = forked(lambda: work(place))
        while counts_of(rag.corpus) != QueueCounts(running=1, read=19, failed=1):
            time.sleep(0.05)
        assert (rag.corpus.counts().documents, list(rag.corpus.uris())) == (0, [])
        with pytest.raises(IndexMismatch, match="has no index for this configuration"):
            rag.search("bridge")
        assert rag.corpus.value("SELECT count(*) FROM vectors") > 0
    queue(rag).give_back(first)
    assert os.waitpid(child, 0)[1] == 0
    assert state(rag) == expected
    write(papers, 13)
    (papers / "paper0012.md").write_text("# Ropes\n\nRopes carry a goat.\n")
    put(rag, papers)
    assert rag.search("ropes carry a goat", k=1)[0].metadata["title"] != "Ropes"
    work(place)
    assert rag.search("ropes carry a goat", k=1)[0].metadata["title"] == "Ropes"


def test_a_claim_is_of_one_worker_until_its_lease_has_passed(place: PostgresCorpus, papers: Path) -> None:
    rag, other = pipeline(place), pipeline(place)
    put(rag, papers / "paper0001.md")
    first = claimed(rag)
    assert queue(other).claim() is None
    with queue(rag).held(first):
        time.sleep(2 * LEASE)  # it is renewed
        assert queue(other).claim() is None
    time.sleep(1.2 * LEASE)
    second = claimed(other)
    assert (second.uri, second.attempts) == (first.uri, 2)
    assert second.token > first.token
    with queue(rag).held(first):
        with pytest.raises(LeaseLost, match=r"paper0001.md was taken by another worker"):
            queue(rag).keep(first, Kept(), Did())
        with pytest.raises(LeaseLost):
            rag.corpus.put_replies("model", "prompt", {"text": "reply"})
        with pytest.raises(LeaseLost):
            rag.corpus.put_vectors("model", ["text"], [[1.0]])  # type: ignore[arg-type]
    queue(rag).give_back(first)
    assert counts_of(rag.corpus) == QueueCounts(running=1)
    assert rag.corpus.counts().vectors == 0
    assert rag.corpus.replies("model", "prompt", ["text"]) == {}


def test_a_file_that_is_put_again_is_taken_from_who_reads_it(place: PostgresCorpus, papers: Path) -> None:
    rag = pipeline(place)
    put(rag, papers / "paper0001.md")
    first = claimed(rag)
    put(rag, papers / "paper0001.md")
    with queue(rag).held(first), pytest.raises(LeaseLost):
        queue(rag).keep(first, Kept(), Did())
    work(place)
    assert rag.corpus.counts().documents == 1


def test_a_worker_that_slept_past_its_lease_writes_nothing(place: PostgresCorpus, papers: Path) -> None:
    slow = papers / "slow.md"
    slow.write_text("# Slow\n\nSnails carry a house.\n")
    rag = pipeline(place)
    put(rag, slow)
    sleeper = forked(lambda: 10 + work(place).files)
    while not slow.with_suffix(".begun").exists():
        time.sleep(0.01)
    os.kill(sleeper, signal.SIGSTOP)
    slow.write_text("# Slow\n\nSnails carry a tent.\n")  # what the sleeper would read is something else
    work(place)  # takes the file when the lease has passed
    before = state(rag), rag.corpus.db.execute("SELECT * FROM queue").fetchall()
    slow.write_text("# Slow\n\nSnails carry a piano.\n")
    slow.with_suffix(".go").touch()
    os.kill(sleeper, signal.SIGCONT)
    assert os.waitstatus_to_exitcode(os.waitpid(sleeper, 0)[1]) == 10, "it finished no file"
    assert (state(rag), rag.corpus.db.execute("SELECT * FROM queue").fetchall()) == before
    assert "a tent" in rag.search("snails")[0].page_content


def test_a_file_that_kills_its_workers_is_given_up_and_costs_only_itself(
    place: PostgresCorpus, papers: Path, expected: dict[str, object]
) -> None:
    (papers / "deadly.md").write_text("# Deadly\n\nText.\n")
    rag = pipeline(place)
    put(rag, papers)
    for _ in range(3):
        assert os.waitpid(forked(lambda: work(place)), 0)[1] == signal.SIGKILL
    work(place)
    error = "3 times a worker ended while it worked on it (it was killed, or needs too much memory); name the file to try it again"
    failed = {Path(uri).name: each for uri, each in rag.corpus.failures().items()}
    assert failed["deadly.md"].error == error
    found = state(rag)
    assert {name: found[name] for name in ("papers", "works", "held")} == {
        name: expected[name] for name in ("papers", "works", "held")
    }
    put(rag, papers)
    work(place)  # it is not tried again
    put(rag, papers / "deadly.md")
    assert os.waitpid(forked(lambda: work(place)), 0)[1] == signal.SIGKILL  # now it is


def test_a_file_that_ends_workers_by_an_exception_is_given_up_with_it(
    place: PostgresCorpus, papers: Path
) -> None:
    (papers / "odd.md").write_text("# Odd\n\nText.\n")
    rag = pipeline(place)
    put(rag, papers / "odd.md")
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            work(place)
    work(place)
    [failed] = rag.corpus.failures().values()
    assert "ended while it worked on it (ZeroDivisionError: a mistake in a format)" in failed.error


def test_a_file_with_more_papers_than_the_queue_can_hold_fails_alone(
    place: PostgresCorpus, papers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (papers / "large.md").write_text("# Large\n\n" + "Bridges carry people. " * 200)
    monkeypatch.setattr("ragkit.ingest.queue._MOST", 2000)
    rag = pipeline(place)
    put(rag, papers)
    work(place)
    failed = {Path(uri).name: each.error for uri, each in rag.corpus.failures().items()}
    assert re.fullmatch(
        r"its papers take 4,\d{3} characters, more than the 2,000 that the queue can hold; split it",
        failed["large.md"],
    )
    assert (set(failed), rag.corpus.counts().files) == ({"broken.pdf", "large.md"}, 19)


def test_a_worker_that_is_stopped_gives_its_file_back_and_that_counts_for_nothing(
    place: PostgresCorpus, papers: Path
) -> None:
    rag = pipeline(place)
    put(rag, papers / "paper0001.md")
    for _ in range(5):
        events = Worker(rag.ingest_pipeline, rag.corpus).run()
        next(events)
        events.close()
        assert counts_of(rag.corpus) == QueueCounts(waiting=1)
    assert claimed(rag).attempts == 1


# --- the commands


def test_the_commands_do_together_what_one_does_alone(
    place: PostgresCorpus,
    papers: Path,
    tmp_path: Path,
    command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """With the real reader, in a process of its own, and the real model."""
    corpus = ("--corpus", place.url)
    alone = json.loads(command("ingest", papers, "--corpus", tmp_path / "alone", "--json").stdout)
    queued = command("ingest", papers, *corpus, "--queue", "--no-wait")
    assert (queued.stdout, queued.returncode) == ("put 20 files into the queue\n", 0)
    doctor = command("doctor", *corpus)
    assert "queue: 20 waiting, 0 running, 0 read, 0 failed" in doctor.stdout
    start = [sys.executable, "-m", "ragkit", "work", *corpus]
    with subprocess.Popen(start, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as worker:
        followed = command("ingest", papers, *corpus, "--queue", "--json")
        worker.terminate()
        assert re.match(r"worked on 2\d files, published [1-9]", worker.communicate()[0])
    assert followed.returncode == 3  # a file has failed
    report = json.loads(followed.stdout)
    assert {**report, "seconds": 0, "encoded": 0} == {**alone, "seconds": 0, "encoded": 0}
    assert command("doctor", *corpus).returncode == 0
    answer = command("ask", "How many people does bridge 3 carry across river 2?", *corpus)
    assert "Bridge 3 carries 32 people across river 2" in answer.stdout
    again = command("ingest", papers, *corpus, "--queue", "--no-wait", "--json")
    assert json.loads(again.stdout) == {"queued": 20}
    assert command("work", *corpus, "--drain").stdout == "worked on 20 files, published 1 time\n"


def test_a_queue_is_refused_where_there_can_be_none(
    tmp_path: Path, papers: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    for arguments in (("ingest", papers, "--queue"), ("work",)):
        done = command(*arguments, "--corpus", tmp_path / "folder")
        assert (done.returncode, "a queue needs a corpus in Postgres" in done.stderr) == (2, True)
    assert command("ingest", papers, "--no-wait").returncode == 2
    assert command("ingest", papers, "--queue", "--watch").returncode == 2


def test_who_waits_sees_the_progress_of_all_and_is_told_if_there_is_no_worker(
    place: PostgresCorpus, papers: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ragkit.ingest.work._LONELY", 0.1)
    rag, seen = pipeline(place), []
    children: list[int] = []
    for event in steps(enqueue(rag.ingest_pipeline, IngestRequest(rag.corpus, [papers]))):
        if isinstance(event, Progress) and event.stage == "queue":
            seen.append((event.done, event.total))
            if "no worker takes files" in caplog.text and not children:
                children += [forked(lambda: work(place)) for _ in range(2)]
        if isinstance(event, Finished):
            report = event.result
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert seen == sorted(seen)
    assert (seen[0], {total for _, total in seen}) == ((0, 20), {20})
    assert (report.new, report.duplicates, report.variants, len(report.failed)) == (19, 4, 3, 1)


def test_who_puts_files_into_the_queue_waits_for_the_corpus_lock_and_is_told_who_holds_it(
    place: PostgresCorpus, papers: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ragkit.ingest.queue._QUIET", 0)
    rag, other = pipeline(place), pipeline(place)
    with ThreadPoolExecutor(1) as threads:
        with other.corpus.writing():
            waiting = threads.submit(put, rag, papers)
            while f"is being written by process {os.getpid()} on" not in caplog.text:
                time.sleep(0.01)
            assert not waiting.done()
        assert waiting.result() == 20


def test_a_worker_takes_only_files_that_are_queued_with_its_own_settings(
    place: PostgresCorpus, papers: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rag, other = pipeline(place), pipeline(place, tokens=20)
    put(rag, papers / "paper0001.md")
    assert list(Worker(other.ingest_pipeline, other.corpus).run(drain=True)) == []
    assert "the queue has 1 files for workers with another configuration" in caplog.text
    assert queue(rag).claim() is not None


def test_files_that_are_gone_are_forgotten_with_a_queue_too(place: PostgresCorpus, papers: Path) -> None:
    rag = pipeline(place)
    put(rag, papers)
    work(place)
    (papers / "paper0001.md").unlink()
    assert put(rag, papers, prune=True) == 19
    work(place)
    assert str(papers / "paper0001.md") not in list(rag.corpus.uris())
    assert examine(rag).problems == ()


# --- kills


def killing(
    place: PostgresCorpus,
    kills: int,
    chance: random.Random,
    meanwhile: Callable[[], None] = lambda: None,
) -> int:
    """Let two workers work, of which one after another is killed, until all is published.  Says how many were killed."""
    killed = 0
    children = [forked(lambda: work(place, attempts=1000)) for _ in range(2)]
    while killed < kills:
        time.sleep(chance.uniform(0.02, 0.25))
        victim = children.pop(chance.randrange(len(children)))
        ended, _ = os.waitpid(victim, os.WNOHANG)
        if ended:
            break
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        killed += 1
        meanwhile()
        children.append(forked(lambda: work(place, attempts=1000)))
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    return killed


def test_workers_that_are_killed_at_any_moment_lose_and_repeat_nothing(
    place: PostgresCorpus, tmp_path: Path
) -> None:
    papers = tmp_path / "many"
    write(papers, 30 * KILLS)  # a fast machine reads some 23 between two kills
    alone, rag = pipeline(tmp_path / "alone"), pipeline(place)
    alone.ingest(papers)
    put(rag, papers)
    assert killing(place, KILLS, random.Random(3)) >= KILLS * 3 // 4
    assert state(rag) == state(alone)


def test_a_database_that_dies_meanwhile_loses_and_repeats_nothing(tmp_path: Path) -> None:
    papers = tmp_path / "many"
    write(papers, 60)
    alone = pipeline(tmp_path / "alone")
    alone.ingest(papers)
    server = Server()
    try:
        place = PostgresCorpus(server.url(), tmp_path / "shared")
        rag = pipeline(place)
        put(rag, papers)
        rag.corpus.close()

        def kill() -> None:
            server.kill()
            time.sleep(0.5)
            server.start()

        assert killing(place, 2, random.Random(5), kill) == 2
        assert state(rag) == state(alone)
        rag.corpus.close()
    finally:
        server.close()


def test_the_same_paper_from_two_workers_is_one_paper_with_both_sources(
    place: PostgresCorpus, tmp_path: Path
) -> None:
    papers = tmp_path / "twice"
    papers.mkdir()
    for n in range(RACES):
        for copy in "ab":
            (papers / f"{n:04}{copy}.md").write_text(f"# Race {n}\n\nRunner {n} wins race {n}.\n")
    rag = pipeline(place)
    put(rag, papers)
    children = [forked(lambda: work(place)) for _ in range(2)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    workers = "SELECT count(DISTINCT worker) FROM queue"
    assert rag.corpus.value(workers) == 2
    sources = rag.corpus.sources(rag.corpus.document_ids())
    assert [[Path(source.uri).name for source in each] for each in sources.values()] == [
        [f"{n:04}a.md", f"{n:04}b.md"]
        for n in sorted(
            range(RACES), key=lambda n: list(sources).index(by_title(dict(rag.corpus.facts()), f"Race {n}"))
        )
    ]


def by_title(facts: dict[str, dict[str, object]], title: str) -> str:
    [found] = [identity for identity, known in facts.items() if known["title"] == title]
    return found
