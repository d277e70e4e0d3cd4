"""A network that is cut, and a database server that is lost: an error in seconds, and nothing lost or done twice."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from network import WAYS, Far, Network, between, missing
from postgres import Server, Standby
from workers import LEASE, claimed, forked, pipeline, put, queue, state, work, write

from ragkit.corpus import Corpus, sessions
from ragkit.corpus.postgres import PostgresCorpus
from ragkit.errors import CorpusBusy, CorpusError, LeaseLost
from ragkit.ingest.queue import Kept, QueueCounts, counts_of
from ragkit.ingest.reading import Did

CUT = r"(cannot read or write the corpus in|the corpus in '.*' cannot be reached)"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with closing(Server(fsync="off", listen_addresses="*")) as made:
        yield made


@pytest.fixture(params=WAYS)
def network(request: pytest.FixtureRequest, server: Server) -> Iterator[Network]:
    if reason := missing(request.param):
        pytest.skip(reason)
    with between(request.param, server.port) as made:
        yield made


@pytest.fixture
def url(server: Server) -> str:
    return server.database(f"db{time.time_ns()}")


@pytest.fixture
def near(url: str, tmp_path: Path) -> PostgresCorpus:
    """The corpus, from the server's own side."""
    return PostgresCorpus(url, tmp_path / "near")


@pytest.fixture
def far(url: str, network: Network, tmp_path: Path) -> PostgresCorpus:
    """The same corpus, from the other side of the network."""
    name = url.rpartition("/")[2]
    return PostgresCorpus(f"postgresql://ragkit@{network.host}:{network.port}/{name}", tmp_path / "far")


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    write(tmp_path / "papers", 2)
    return tmp_path / "papers" / "paper0001.md"


def test_a_worker_that_is_cut_off_with_a_lease_fails_and_another_takes_over(
    near: PostgresCorpus, far: PostgresCorpus, network: Network, paper: Path
) -> None:
    rag, cut_off, at_the_end = pipeline(near), pipeline(far), Far(network)
    put(rag, paper)
    first = at_the_end(claimed, cut_off)
    network.cut()
    with pytest.raises(CorpusError, match=CUT):
        at_the_end(queue(cut_off).keep, first, Kept(), Did())
    assert work(near).files == 1, "another took the file"
    before = state(rag)
    network.heal()

    def late() -> None:
        with queue(cut_off).held(first):
            queue(cut_off).keep(first, Kept(), Did())

    with pytest.raises(LeaseLost, match=r"paper0001.md was taken by another worker"):
        at_the_end(late)
    assert state(rag) == before
    assert before["counts"].documents == 1


def test_a_worker_that_is_cut_off_in_a_transaction_lets_go_of_its_file(
    near: PostgresCorpus, far: PostgresCorpus, network: Network, paper: Path
) -> None:
    """The server rolls back by itself, or the file would stay locked."""
    rag, cut_off, at_the_end = pipeline(near), pipeline(far), Far(network)
    put(rag, paper)
    first = at_the_end(claimed, cut_off)

    class Cutting(Did):
        def model_dump_json(self, **given: Any) -> str:
            """It is called between the first statement of the transaction and its commit."""
            network.cut()
            return super().model_dump_json(**given)

    def keep() -> None:
        with queue(cut_off).held(first):
            queue(cut_off).keep(first, Kept(), Cutting())

    with pytest.raises(CorpusError, match=CUT):
        at_the_end(keep)
    assert work(near).files == 1
    network.heal()
    with pytest.raises(LeaseLost):
        at_the_end(keep)
    assert state(rag)["counts"].documents == 1


def test_a_commit_whose_answer_is_lost_counts_and_is_not_done_twice(
    near: PostgresCorpus, far: PostgresCorpus, network: Network, paper: Path, url: str
) -> None:
    rag, cut_off, at_the_end = pipeline(near), pipeline(far), Far(network)
    put(rag, paper)
    with psycopg.connect(url, autocommit=True) as connection:  # a commit that takes a second
        connection.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END';"
            "CREATE CONSTRAINT TRIGGER slow AFTER UPDATE OF read ON ragkit.queue DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW WHEN (new.state = 'read') EXECUTE FUNCTION slow()"
        )
        first = at_the_end(claimed, cut_off)
        keeping = at_the_end.begin(queue(cut_off).keep, first, Kept(), Did())
        sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
        while connection.execute(sleeps).fetchone() != (1,):
            time.sleep(0.01)
        network.cut()
        with pytest.raises(CorpusError, match=CUT):
            keeping.result(60)
        while counts_of(rag.corpus) != QueueCounts(read=1):
            time.sleep(0.05)
        connection.execute("DROP TRIGGER slow ON ragkit.queue")
    network.heal()

    def again() -> None:
        with queue(cut_off).held(first):
            queue(cut_off).keep(first, Kept(), Did())

    with pytest.raises(LeaseLost):
        at_the_end(again)
    assert work(near).files == 0, "nothing is left to read"


def test_a_writer_that_is_cut_off_does_not_keep_the_corpus_lock(
    near: PostgresCorpus, far: PostgresCorpus, network: Network
) -> None:
    other, at_the_end = Corpus(near), Far(network)
    cut_off = Corpus(far)
    writing = cut_off.writing()
    at_the_end(writing.__enter__)
    with pytest.raises(CorpusBusy), other.writing():
        pass
    network.cut()
    ends = time.monotonic() + 60
    while True:
        try:
            with other.writing():
                break
        except CorpusBusy:
            assert time.monotonic() < ends, "the server never noticed"
            time.sleep(0.2)
    with pytest.raises(CorpusError, match=CUT):
        at_the_end(cut_off.forget_files, ["a.md"])
    network.heal()
    with other.writing(), pytest.raises(CorpusError, match="another process writes to the corpus"):
        at_the_end(cut_off.forget_files, ["a.md"])


def test_a_whole_worker_that_was_cut_off_goes_on_once_the_network_is_back(
    near: PostgresCorpus, far: PostgresCorpus, network: Network, tmp_path: Path, paper: Path
) -> None:
    slow = paper.with_name("slow.md")
    slow.write_text("# Slow\n\nSnails carry a house.\n")
    rag = pipeline(near)
    put(rag, slow)

    def at_the_end() -> int:
        network.join()
        return 10 + work(far).files

    worker = forked(at_the_end)
    while not slow.with_suffix(".begun").exists():
        time.sleep(0.01)
    network.cut()
    time.sleep(1.2 * LEASE)
    assert work(near).files == 1
    slow.write_text(
        "# Slow\n\nSnails carry a piano.\n"
    )  # what the one that was cut off reads is something else
    slow.with_suffix(".go").touch()
    put(rag, paper)
    network.heal()
    assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == 11, "it read the next file"
    assert "a house" in rag.search("snails")[0].page_content
    assert rag.corpus.counts().documents == 2


# --- the primary is lost


def test_workers_go_on_with_the_standby_and_nothing_acknowledged_is_missing(tmp_path: Path) -> None:
    papers = tmp_path / "papers"
    write(papers, 60)
    alone = pipeline(tmp_path / "alone")
    alone.ingest(papers)
    with closing(Server()) as primary, closing(Standby(primary)) as standby:
        place = PostgresCorpus(
            f"postgresql://ragkit@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/postgres?target_session_attrs=read-write",
            tmp_path / "shared",
        )
        rag = pipeline(place)
        put(rag, papers)
        done = "SELECT uri FROM queue WHERE state IN ('read', 'stored')"
        children = [forked(lambda: work(place)) for _ in range(2)]
        while len(acknowledged := rag.corpus.column(done)) < 20:
            time.sleep(0.01)
        rag.corpus.close()
        primary.kill()
        with pytest.raises(CorpusError, match="cannot be reached"):
            rag.corpus.counts()
        standby.promote()
        with psycopg.connect(standby.url()) as connection:
            query = "SELECT uri FROM ragkit.queue WHERE state IN ('read', 'stored', 'published')"
            there = {uri for [uri] in connection.execute(query)}
        assert set(acknowledged) <= there
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
        assert state(rag) == state(alone)
        rag.corpus.close()


# --- the server of an index is away


def test_a_question_fails_with_one_sentence_while_the_server_of_an_index_is_cut_off(
    network: Network, url: str, tmp_path: Path, paper: Path
) -> None:
    """It is never answered from the other index alone."""
    at_the_end = Far(network)
    name = url.rpartition("/")[2]
    rag = pipeline(tmp_path / "corpus", vectors=f"postgresql://ragkit@{network.host}:{network.port}/{name}")
    assert at_the_end(rag.ingest, paper.parent).failed == ()
    question = "How many people does bridge 1 carry across river 2?"
    answered = at_the_end(rag.ask, question).text
    assert "12 people" in answered
    network.cut()
    for asked in (rag.ask, rag.search):
        with pytest.raises(CorpusError) as told:
            at_the_end(asked, question)
        assert str(told.value).startswith("index ")
        assert " in Postgres cannot be read or written: " in str(told.value)
        assert "\n" not in str(told.value)
    network.heal()
    assert at_the_end(rag.ask, question).text == answered


def test_a_server_that_accepts_everything_and_says_nothing_is_noticed_in_seconds(
    server: Server, url: str, tmp_path: Path, paper: Path
) -> None:
    with between("a proxy", server.port) as proxy:
        address = f"postgresql://ragkit@{proxy.host}:{proxy.port}/{url.rpartition('/')[2]}"
        by_index = pipeline(tmp_path / "corpus", vectors=address)
        by_index.ingest(paper.parent)
        question = "How many people does bridge 1 carry across river 2?"
        answered = by_index.ask(question).text
        corpus = Corpus(PostgresCorpus(address, tmp_path / "far"))
        with corpus.writing():
            pass
        assert not corpus.counts().documents
        proxy.hush()
        for asked in (lambda: by_index.ask(question), corpus.counts):
            started = time.monotonic()
            with pytest.raises(CorpusError, match="the server does not answer"):
                asked()
            assert time.monotonic() - started < 30
            with pytest.raises(CorpusError, match="timeout"):
                asked()
        proxy.heal()
        assert by_index.ask(question).text == answered
        assert corpus.counts()


def test_a_statement_that_takes_long_is_waited_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SILENCE", 0.1)
    with sessions.connected(url, "") as session:
        assert session.execute("SELECT 7 FROM pg_sleep(1)").fetchone() == (7,)


def test_a_process_that_starts_while_the_server_of_an_index_is_away_says_so(
    tmp_path: Path, paper: Path
) -> None:
    with closing(Server(fsync="off")) as away:
        pipeline(tmp_path / "corpus", vectors=away.url()).ingest(paper.parent)
        away.kill()
        rag = pipeline(tmp_path / "corpus", vectors=away.url())
        with pytest.raises(CorpusError, match=r"^index \S+ in Postgres cannot be read or written: "):
            rag.ask("How many people does bridge 1 carry across river 2?")
        away.start()
        assert "12 people" in rag.ask("How many people does bridge 1 carry across river 2?").text
