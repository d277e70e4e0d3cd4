"""A corpus in Postgres: in a pipeline file, when the server dies or is cut off, with two writers, and earlier tables."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from langchain_core.documents import Document
from postgres import Server
from support import NOTES

import ragkit
from ragkit.config import components
from ragkit.corpus import Corpus
from ragkit.corpus import postgres as module
from ragkit.corpus.postgres import PostgresCorpus
from ragkit.corpus.sessions import WatchedConnection
from ragkit.doctor import examine
from ragkit.errors import ConfigError, CorpusError, NoCorpus, UsageError
from ragkit.export import items
from ragkit.ingest.queue import QueueCounts, counts_of
from ragkit.testing import imports_heavy

FILE = """
extends: default
corpus: {{type: postgres, url: "{url}", folder: {folder}}}
"""


def put(corpus: Corpus, *names: str) -> None:
    for name in names:
        corpus.put_file(name, "digest", "loader", [Document(f"About {name}.", metadata={"title": name})])


@pytest.fixture
def url(postgres: Server, request: pytest.FixtureRequest) -> str:
    """A database of its own."""
    return postgres.database(f"db{time.time_ns()}")


@pytest.fixture
def corpus(url: str, tmp_path: Path) -> Iterator[Corpus]:
    with closing(Corpus(PostgresCorpus(url, tmp_path / "folder"))) as made:
        yield made


def test_a_pipeline_file_names_a_corpus_in_postgres_that_answers_as_one_in_a_folder_does(
    url: str, tmp_path: Path, rag: ragkit.Rag
) -> None:
    (tmp_path / "ragkit.yaml").write_text(FILE.format(url=url, folder=tmp_path / "one"))
    shared = ragkit.load(tmp_path / "ragkit.yaml")
    report = shared.ingest(NOTES)
    assert (report.documents, report.failed) == (rag.corpus.counts().documents, ())
    question = "How many parameters do BERT-base and BERT-large have?"
    assert shared.ask(question).text == rag.ask(question).text
    assert examine(shared).problems == ()
    other = shared.moved(PostgresCorpus(url, tmp_path / "another machine"))
    assert [hit.id for hit in other.search("late interaction", where="year >= 2020")] == [
        hit.id for hit in rag.search("late interaction", where="year >= 2020")
    ]
    assert shared.ingest(NOTES).encoded == 0
    exported = [items(each.corpus, each.corpus.paper_ids()) for each in (shared, rag)]
    assert exported[0] == exported[1] != []
    assert "postgres" in ragkit.dump(shared)


def test_the_command_line_takes_its_address(
    url: str, tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "glass.md").write_text("# Glass\n\nGlass bridges carry 40 people.\n")
    assert command("--help").returncode == 0
    done = command("ask", "How many?", "--corpus", url)
    assert (done.returncode != 0, "there is no corpus in" in " ".join(done.stderr.split())) == (True, True)
    assert command("ingest", "glass.md", "--corpus", url).returncode == 0
    assert "40 people" in command("ask", "How many people do glass bridges carry?", "--corpus", url).stdout
    assert command("doctor", "--corpus", url).returncode == 0


def test_messages_hold_no_password(tmp_path: Path) -> None:
    place = PostgresCorpus("postgresql://me:secret@127.0.0.1:1/papers", tmp_path)
    with pytest.raises(
        CorpusError, match=r"the corpus in 'postgresql://127.0.0.1:1/papers' cannot be reached: "
    ) as told:
        Corpus(place).counts()
    assert "secret" not in str(told.value)


def test_what_is_no_address_is_refused_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "ragkit.yaml").write_text(FILE.format(url="mysql://127.0.0.1/papers", folder="x"))
    with pytest.raises(ConfigError, match="begins with postgresql://"):
        ragkit.load(tmp_path / "ragkit.yaml")
    with pytest.raises(ValueError, match="is no name for a schema"):
        PostgresCorpus("postgresql://127.0.0.1/papers", schema='a"; DROP')


def test_without_psycopg_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(
        UsageError, match=r"a corpus in Postgres needs psycopg; pip install 'ragkit\[postgres\]'"
    ):
        Corpus(PostgresCorpus("postgresql://127.0.0.1/papers")).counts()


def test_reading_where_there_is_no_corpus_makes_none(corpus: Corpus, url: str) -> None:
    assert not corpus.exists()
    with pytest.raises(NoCorpus, match="`ragkit ingest PATH` makes one"):
        corpus.counts()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT to_regnamespace('ragkit')").fetchone() == (None,)


# --- writers


HOLDER = """
import sys
from ragkit.corpus import Corpus
from ragkit.corpus.postgres import PostgresCorpus
with Corpus(PostgresCorpus(sys.argv[1])).writing():
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_is_told_who_writes_and_a_dead_ones_lock_is_free(
    corpus: Corpus, url: str, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "writing\n"
        said = rf"is being written by process {holder.pid} on {socket.gethostname()}; wait for it to finish"
        with pytest.raises(CorpusError, match=said), corpus.writing():
            pass
        holder.kill()
    deadline = time.monotonic() + 5
    while True:  # the server notices within its `client_connection_check_interval`
        try:
            with corpus.writing():
                put(corpus, "glass")
            break
        except CorpusError:
            assert time.monotonic() < deadline
    assert list(corpus.uris()) == ["glass"]


def test_a_writer_that_lost_its_lock_changes_nothing_more(corpus: Corpus, url: str) -> None:
    other = Corpus(corpus.place)
    with corpus.writing():
        put(corpus, "glass")
        with psycopg.connect(url, autocommit=True) as connection:  # as a cut network does
            ends = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            assert connection.execute(ends).fetchall() == [(True,)]
            while connection.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'").fetchall():
                time.sleep(0.01)
        with closing(other), other.writing():
            put(other, "rope")
            with pytest.raises(CorpusError, match="another process writes to the corpus"):
                put(corpus, "steel")
    assert list(corpus.uris()) == ["glass", "rope"]


def test_a_reader_sees_what_another_process_changed(corpus: Corpus) -> None:
    other = Corpus(corpus.place)
    with closing(other), other.writing():
        put(other, "glass")
        before = corpus.state
        assert (corpus.state, corpus.counts().files) == (before, 1)
        put(other, "rope")
        assert (corpus.state != before, corpus.counts().files) == (True, 2)


# --- the server dies, or is cut off


def test_what_was_committed_is_there_after_the_server_died(tmp_path: Path) -> None:
    server = Server()
    try:
        corpus = Corpus(PostgresCorpus(server.url(), tmp_path))
        with corpus.writing():
            put(corpus, *(f"paper {n}" for n in range(20)))
            before = corpus.documents(corpus.document_ids())
        server.kill()
        with pytest.raises(CorpusError, match="cannot"):
            corpus.counts()
        server.start()
        assert corpus.documents(corpus.document_ids()) == before
        with corpus.writing():
            put(corpus, "one more")
        assert corpus.counts().documents == 21
        corpus.close()
    finally:
        server.close()


@contextmanager
def listening() -> Iterator[int]:
    """A port that takes connections and never says anything, as a server behind a cut network."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield silent.getsockname()[1]


def test_a_server_that_says_nothing_is_an_error_within_seconds(tmp_path: Path) -> None:
    with listening() as port:
        started = time.monotonic()
        with pytest.raises(CorpusError, match="cannot be reached: .*timeout"):
            Corpus(PostgresCorpus(f"postgresql://127.0.0.1:{port}/papers", tmp_path)).counts()
    assert time.monotonic() - started < 5


def test_every_connection_fails_in_seconds_when_the_network_is_cut(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, Any]] = []
    real = WatchedConnection.connect

    def connect(*arguments: Any, **options: Any) -> Any:
        given.append(options)
        return real(*arguments, **options)

    monkeypatch.setattr(WatchedConnection, "connect", connect)
    corpus = Corpus(PostgresCorpus(url, tmp_path))
    with closing(corpus), corpus.writing():
        put(corpus, "glass")
    assert len(given) == 2
    for options in given:
        assert options["connect_timeout"] + options["tcp_user_timeout"] / 1000 <= 5
        assert options["keepalives_idle"] + options["keepalives_interval"] * options["keepalives_count"] <= 5


def test_connections_of_threads_that_ended_are_closed(corpus: Corpus, url: str) -> None:
    with corpus.writing():
        put(corpus, "glass")
    for _ in range(5):
        thread = threading.Thread(target=corpus.counts)
        thread.start()
        thread.join()
    with psycopg.connect(url) as connection:
        open_ = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        assert open_.fetchone() <= (2 + 1,)  # type: ignore[operator]


# --- tables of other versions


def test_tables_of_an_earlier_ragkit_are_brought_up_to_date_by_the_next_writer(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    with corpus.writing():
        put(corpus, "glass")
    steps = {5: ("CREATE TABLE later (uri TEXT PRIMARY KEY)", "INSERT INTO later SELECT uri FROM files")}
    monkeypatch.setattr(module, "_MIGRATIONS", steps)
    monkeypatch.setattr(module, "_VERSION", 5)
    assert (list(corpus.uris()), corpus.has_table("later")) == (["glass"], False)
    with corpus.writing():
        assert corpus.column("SELECT uri FROM later") == ["glass"]
    with corpus.writing():
        assert list(corpus.uris()) == ["glass"]
    monkeypatch.setattr(module, "_VERSION", 4)
    with pytest.raises(
        CorpusError, match=r"was written by a newer ragkit \(schema 5\); upgrade ragkit to read it"
    ):
        Corpus(corpus.place).counts()
    with pytest.raises(CorpusError, match="upgrade ragkit"), corpus.writing():
        pass
    assert corpus.db.execute("SELECT version FROM corpus").fetchone()[0] == 5


def test_rights_that_are_missing_are_told_in_a_sentence(corpus: Corpus, url: str, tmp_path: Path) -> None:
    with corpus.writing():
        put(corpus, "glass")
    reader = f"reader{time.time_ns()}"
    for statement in (
        f"CREATE ROLE {reader} LOGIN",
        f"GRANT USAGE ON SCHEMA ragkit TO {reader}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA ragkit TO {reader}",
    ):
        corpus.db.execute(statement)
    as_reader = Corpus(PostgresCorpus(url.replace("ragkit@", f"{reader}@"), tmp_path / "reader"))
    assert list(as_reader.uris()) == ["glass"]
    with pytest.raises(CorpusError, match="permission denied for table corpus"), as_reader.writing():
        pass


def test_tables_from_before_there_was_a_queue_get_one(corpus: Corpus) -> None:
    with corpus.writing():
        put(corpus, "glass")
        for statement in (
            "DROP TABLE queue, renewed",
            "DROP SEQUENCE queue_tokens",
            "ALTER TABLE corpus DROP COLUMN identity",
            "UPDATE corpus SET version = 1",
        ):
            corpus.db.execute(statement)
    assert (list(corpus.uris()), counts_of(corpus), corpus.store.identity) == (["glass"], None, "")
    with corpus.writing():
        assert (list(corpus.uris()), counts_of(corpus)) == (["glass"], QueueCounts())
        assert uuid.UUID(corpus.store.identity)


def test_a_migration_that_fails_leaves_the_tables_as_they_were(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    with corpus.writing():
        put(corpus, "glass")
    steps = {5: ("CREATE TABLE later (uri TEXT)", "SELECT nothing FROM nowhere")}
    monkeypatch.setattr(module, "_MIGRATIONS", steps)
    monkeypatch.setattr(module, "_VERSION", 5)
    with pytest.raises(psycopg.errors.UndefinedTable), corpus.writing():
        pass
    assert (corpus.has_table("later"), list(corpus.uris())) == (False, ["glass"])


def test_a_corpus_in_a_folder_imports_no_postgres() -> None:
    assert imports_heavy("import ragkit; import ragkit.corpus") == []
    code = "import ragkit, sys; ragkit.load(); print(*[m for m in ('psycopg', 'ragkit.corpus.postgres') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
    assert "postgres" in components.names(
        *[i for i in components.interfaces() if i.__name__ == "CorpusPlace"]
    )


def test_a_writer_that_is_done_keeps_no_other_waiting(corpus: Corpus) -> None:
    for _ in range(50):
        with corpus.writing():
            put(corpus, "glass")
