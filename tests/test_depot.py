"""Machines that share a corpus in Postgres ship indexes through a depot: one builds them, the others fetch them."""

from __future__ import annotations

import logging
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import s3
from postgres import Server
from workers import pipeline, put, work

import ragkit
from ragkit.cli.reports import show_diagnosis
from ragkit.corpus.postgres import PostgresCorpus
from ragkit.doctor import examine, repair
from ragkit.errors import ConfigError, DepotError, DepotLacks
from ragkit.index import Index, depot
from ragkit.index.depot import Depot, depot_of
from ragkit.ingest import IngestPipeline, fetching

QUESTION = "bridge 3 people across river 2"


@pytest.fixture
def one(postgres: Server, tmp_path: Path) -> PostgresCorpus:
    """The corpus as a machine sees it, in a database of its own."""
    (tmp_path / "depot").mkdir()
    url = postgres.database(f"db{time.time_ns()}")
    return PostgresCorpus(url, tmp_path / "one", depot=str(tmp_path / "depot"))


@pytest.fixture(params=["directory", "s3"])
def anywhere(
    request: pytest.FixtureRequest, one: PostgresCorpus, monkeypatch: pytest.MonkeyPatch
) -> PostgresCorpus:
    """The first machine's corpus, with a depot that is a directory or an object store."""
    if request.param == "directory":
        return one
    server: s3.Server = request.getfixturevalue("s3")
    return replace(one, depot=server.bucket(monkeypatch))


@pytest.fixture
def other(one: PostgresCorpus, tmp_path: Path) -> PostgresCorpus:
    """The same, as another machine sees it."""
    return replace(one, folder=tmp_path / "other")


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    (tmp_path / "papers").mkdir()
    add(tmp_path / "papers", range(6))
    return tmp_path / "papers"


def add(papers: Path, numbers: range) -> None:
    for n in numbers:
        body = " ".join(f"Bridge {n} carries {10 * n + i} people across river {i}." for i in range(4))
        (papers / f"paper{n}.md").write_text(f"# Bridge number {n} of many\n\n{body}\n")


def found(rag: ragkit.Rag) -> list[str]:
    return [str(passage.id) for passage in rag.search(QUESTION)]


def generations(rag: ragkit.Rag) -> dict[str, int]:
    """What is open."""
    return dict(rag.snapshot().generations)


def published(rag: ragkit.Rag) -> dict[str, int]:
    return {name: number for name, (_, number) in rag.corpus.published().items()}


def objects(place: PostgresCorpus) -> list[Path]:
    return sorted(path for path in Path(str(place.depot)).rglob("*") if path.is_file())


def in_time(reached: Callable[[], bool]) -> None:
    """Wait until something is reached that another thread does."""
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders in which an index is built."""
    seen: list[Path] = []
    real = IngestPipeline._built

    def built(self: IngestPipeline, corpus: ragkit.corpus.Corpus, *given: object) -> object:  # type: ignore[name-defined]
        seen.append(corpus.directory)
        return real(self, corpus, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(IngestPipeline, "_built", built)
    return seen


def test_one_machine_builds_and_the_other_fetches_the_same(
    anywhere: PostgresCorpus, tmp_path: Path, papers: Path, builds: list[Path]
) -> None:
    first, second = pipeline(anywhere), pipeline(replace(anywhere, folder=tmp_path / "other"))
    first.ingest(papers)
    assert builds == [anywhere.folder] * 2
    assert (found(second), generations(second)) == (found(first), generations(first))
    assert (builds, second.behind) == ([anywhere.folder] * 2, "")
    assert examine(second).problems == ()
    add(papers, range(6, 7))
    second.ingest(papers)
    assert builds == [anywhere.folder] * 2 + [tmp_path / "other"] * 2
    in_time(lambda: generations(first) == published(first))
    assert generations(second) == published(second)
    assert found(first) == found(second)
    assert builds == [anywhere.folder] * 2 + [tmp_path / "other"] * 2
    assert examine(first).problems == examine(second).problems == ()


def test_one_more_paper_puts_about_one_paper_into_the_depot(
    one: PostgresCorpus, papers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_bytes: list[int] = []
    real = Depot._put
    monkeypatch.setattr(Depot, "_put", lambda *given: put_bytes.append(real(*given)) or put_bytes[-1])
    rag = pipeline(one)
    add(papers, range(6, 200))
    rag.ingest(papers)
    add(papers, range(200, 201))
    rag.ingest(papers)
    *whole, flat, words = put_bytes
    assert len(whole) == 2
    passages = len(list(rag.corpus.held(next(iter(published(rag)))))) / 201
    assert flat == passages * (64 * 4 + 8 + 20), "a vector, its signs and its key for each passage"
    assert words < 6_000
    assert flat + words < sum(whole) / 20


def test_an_ingest_deletes_old_states_from_the_depot_once_nobody_can_be_fetching_them(
    one: PostgresCorpus,
    other: PostgresCorpus,
    papers: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rag = pipeline(one)
    rag.ingest(papers)
    first = published(rag)
    for n in (6, 7):
        add(papers, range(n, n + 1))
        rag.ingest(papers)
    seals = [path.relative_to(str(one.depot)).parts[1:] for path in objects(one) if path.suffix == ".seal"]
    assert len(seals) == 6, "a machine may be fetching the first one"
    monkeypatch.setattr(depot, "GRACE", timedelta(0))
    state = published(rag)
    add(papers, range(8, 9))
    rag.ingest(papers)
    left = [path.relative_to(str(one.depot)).parts[1:] for path in objects(one) if path.suffix == ".seal"]
    assert left == sorted(
        (name, f"{number:08d}.seal") for each in (state, published(rag)) for name, number in each.items()
    )
    assert not set(first.items()) & set(state.items())
    second = pipeline(other)
    assert found(second) == found(rag)

    def refused(self: object, paths: object) -> None:
        raise DepotError("the depot 'x' refuses access to 'y'; see the credentials")

    monkeypatch.setattr("ragkit.index.depot.Objects.delete", refused)
    add(papers, range(9, 10))
    rag.ingest(papers)
    assert "stay in the depot: the depot 'x' refuses access" in caplog.text
    assert published(rag) == generations(rag)


def test_workers_ship_what_they_publish(one: PostgresCorpus, other: PostgresCorpus, papers: Path) -> None:
    first, second = pipeline(one), pipeline(other)
    put(first, papers)
    work(other)
    assert (found(first), generations(first)) == (found(second), published(second))
    assert examine(first).problems == ()


# --- what goes wrong


def newest(place: PostgresCorpus, rag: ragkit.Rag) -> list[Path]:
    """The objects that the published generations added, the largest first."""
    numbers = {f"{number:08d}" for number in published(rag).values()}
    return sorted((p for p in objects(place) if p.parent.name in numbers), key=lambda p: -p.stat().st_size)


_SAID = {
    "truncated": "has another size",
    "flipped": "is damaged",
    "absent": "has no '",
    "away": "is not there",
}


@pytest.mark.parametrize("spoilt", _SAID)
def test_a_reader_answers_from_the_old_generation_until_the_new_one_is_whole(
    spoilt: str,
    one: PostgresCorpus,
    other: PostgresCorpus,
    papers: Path,
    builds: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(fetching, "_AGAIN", 0.0)
    first, second = pipeline(one), pipeline(other)
    first.ingest(papers)
    before, old = found(second), generations(second)
    add(papers, range(6, 30))
    first.ingest(papers)
    builds.clear()
    victim = newest(one, first)[0]
    content, folder = victim.read_bytes(), Path(str(one.depot))
    match spoilt:
        case "truncated":
            victim.write_bytes(content[:-1])
        case "flipped":
            victim.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "absent":
            victim.unlink()
        case "away":
            folder.rename(folder.with_name("elsewhere"))
    said = _SAID[spoilt]
    in_time(lambda: bool(second.search(QUESTION)) and said in second.behind)
    assert (found(second), generations(second)) == (before, old)
    lines = [
        each.message for each in caplog.records if said in each.message and each.levelno == logging.WARNING
    ]
    assert len(set(lines)) == len(lines) > 0
    later = pipeline(other)  # a process that begins now
    assert (found(later), generations(later), said in later.behind) == (before, old, True)
    with pytest.raises(
        DepotError, match="this machine does not have the published indexes, and .*" + said
    ) as told:
        pipeline(replace(one, folder=other.folder / "new")).search(QUESTION)
    assert isinstance(told.value, DepotLacks) is (spoilt != "away")
    assert builds == []
    if spoilt == "away":
        folder.with_name("elsewhere").rename(folder)
    else:
        victim.write_bytes(content)
    in_time(lambda: generations(second) == published(first))
    assert (found(second), second.behind) == (found(first), "")
    assert generations(later) == published(first)


def test_an_old_state_whose_rows_a_server_has_deleted_is_not_answered_from(
    one: PostgresCorpus, other: PostgresCorpus, papers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of vectors keeps two generations, so half of the state before may be gone."""
    monkeypatch.setattr(fetching, "_AGAIN", 0.0)
    first, second = pipeline(one, vectors=one.url), pipeline(other, vectors=other.url)
    first.ingest(papers)
    before, old = found(second), generations(second)
    for n in (6, 7):
        there = set(objects(one))
        add(papers, range(n, n + 1))
        first.ingest(papers)
        for path in set(objects(one)) - there:
            path.unlink()
        if n == 6:
            in_time(lambda: bool(second.search(QUESTION)) and "has no '" in second.behind)
            assert (found(second), generations(second)) == (before, old)
    with pytest.raises(DepotLacks, match="this machine does not have the published indexes"):
        second.search(QUESTION)
    assert repair(first).problems == ()
    in_time(lambda: opened(second) == published(first))
    assert found(second) == found(first)


def opened(rag: ragkit.Rag) -> dict[str, int] | None:
    """What is open, if anything is."""
    with suppress(DepotError):
        return generations(rag)
    return None


def test_doctor_finds_what_the_depot_lacks_and_repair_puts_it_there(
    one: PostgresCorpus,
    other: PostgresCorpus,
    papers: Path,
    builds: list[Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = pipeline(one), pipeline(other)
    first.ingest(papers)
    state, victim = published(first), newest(one, first)[0]
    victim.unlink()
    [problem] = examine(first).problems
    assert problem.startswith(f"the depot '{one.depot}' lacks 1 of the ")
    assert problem.endswith("run `ragkit doctor --repair`")
    assert any("this machine does not have it" in each for each in examine(second).problems)
    builds.clear()
    repaired = repair(first)
    [name] = [name for name in state if name in str(victim)]
    assert repaired.repaired == (f"put what was missing or damaged of {name} into the depot",)
    assert (repaired.problems, repaired.depot, published(first), builds) == ((), one.depot, state, [])
    show_diagnosis(repaired)
    shown = "".join(capsys.readouterr().out.split())
    assert f"depot{one.depot}repaired:put" in shown
    victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    assert repair(first).repaired == (f"put what was missing or damaged of {name} into the depot",)
    assert found(second) == found(first)
    assert published(first) == state
    shutil.rmtree(second.corpus.directory / "indexes")
    assert set(repair(second).repaired) == {f"fetched {name} from the depot" for name in state}
    assert published(first) == state


def test_repair_builds_what_neither_the_depot_nor_the_machine_has(
    one: PostgresCorpus, other: PostgresCorpus, papers: Path
) -> None:
    first, second = pipeline(one), pipeline(other)
    first.ingest(papers)
    for path in objects(one):
        path.unlink()
    with pytest.raises(DepotLacks, match="has no '.*'; `ragkit doctor --repair` builds it"):
        second.search(QUESTION)
    state = published(first)
    assert set(repair(second).repaired) == {f"rebuilt {name}" for name in state}
    assert examine(second).problems == ()
    in_time(lambda: generations(first) == generations(second) == published(second))
    assert found(first) == found(second)


def test_an_ingest_ships_what_was_built_before_there_was_a_depot(
    one: PostgresCorpus, other: PostgresCorpus, papers: Path, builds: list[Path]
) -> None:
    pipeline(replace(one, depot=None)).ingest(papers)
    first, second = pipeline(one), pipeline(other)
    state = published(first)
    assert objects(one) == []
    first.ingest(papers)
    assert (published(first), len(builds)) == (state, 2)
    assert (found(second), generations(second)) == (found(first), state)


def test_nothing_is_published_that_could_not_be_shipped(
    one: PostgresCorpus, papers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rag = pipeline(one)
    rag.ingest(papers)
    state, before = published(rag), found(rag)
    local = sorted((one.folder / "indexes").rglob("*.seal"))
    add(papers, range(6, 8))

    def refused(self: object, path: str, content: object) -> None:
        raise DepotError("the depot 'x' cannot be used: the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("ragkit.index.depot.Objects.put", refused)
        with pytest.raises(DepotError, match="the disk is full"):
            rag.ingest(papers)
    assert (published(rag), found(rag)) == (state, before)
    assert sorted((one.folder / "indexes").rglob("*.seal")) == local
    folder = Path(str(one.depot))
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(DepotError, match="is not there; make the directory, or mount it"):
        rag.ingest(papers)
    folder.with_name("elsewhere").rename(folder)
    rag.ingest(papers)
    assert published(rag) != state
    assert rag.search("bridge 7", k=1)


def test_a_local_file_that_was_damaged_is_fetched_again_and_not_built(
    one: PostgresCorpus, papers: Path, builds: list[Path]
) -> None:
    rag = pipeline(one)
    rag.ingest(papers)
    state, expected = published(rag), found(rag)
    builds.clear()
    for victim in (one.folder / "indexes").rglob("*.f32"):
        victim.chmod(0o600)
        victim.write_bytes(b"x" * victim.stat().st_size)
    fresh = pipeline(one)
    assert (found(fresh), published(fresh), builds) == (expected, state, [])


# --- processes and threads


READER = """
import sys
from pathlib import Path
from ragkit.corpus.postgres import PostgresCorpus
from ragkit.index import depot as module
from workers import pipeline
url, folder, depot = sys.argv[1:4]
real = module.Objects.piece
def slowly(self, *given):
    piece = real(self, *given)
    print("fetching", flush=True)
    if len(sys.argv) > 4:
        sys.stdin.read()
    return piece
module.Objects.piece = slowly
rag = pipeline(PostgresCorpus(url, Path(folder), depot=depot))
found = [str(passage.id) for passage in rag.search("bridge 3 people across river 2")]
print(*sorted(rag.snapshot().generations.values()), *found)
"""


def reader(place: PostgresCorpus, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", READER, place.url, str(place.folder), str(place.depot), *more]
    path = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parent)])
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_a_process_that_is_killed_while_it_fetches_leaves_the_old_state_to_the_next(
    one: PostgresCorpus, other: PostgresCorpus, papers: Path
) -> None:
    first = pipeline(one)
    first.ingest(papers)
    with reader(other) as before:
        *_, answered = before.communicate()[0].splitlines()
    assert answered.split() == [*map(str, sorted(published(first).values())), *found(first)]
    add(papers, range(6, 30))
    first.ingest(papers)
    with reader(other, "wait") as killed:
        assert killed.stdout is not None
        killed.stdout.readline()
        killed.kill()
    folder = Path(str(one.depot))
    folder.rename(folder.with_name("elsewhere"))
    with reader(other) as after:
        *_, again = after.communicate()[0].splitlines()
    assert again == answered
    folder.with_name("elsewhere").rename(folder)
    with reader(other) as last:
        *_, now = last.communicate()[0].splitlines()
    assert now.split() == [*map(str, sorted(published(first).values())), *found(first)]


def test_readers_beside_a_publisher_each_see_exactly_one_generation(
    anywhere: PostgresCorpus, tmp_path: Path, papers: Path
) -> None:
    """Each state has one paper more, and the words of its number are in no other."""
    publisher = pipeline(anywhere)
    publisher.ingest(papers)
    states = {tuple(sorted(published(publisher).items())): 6}
    wrong: list[object] = []
    seen: set[int] = set()
    over = threading.Event()

    def read() -> None:
        rag, chance = pipeline(replace(anywhere, folder=tmp_path / "other")), random.Random(1)
        while not over.is_set() or len(seen) < 2:
            snapshot = rag.snapshot()
            held = {
                len({passage for passage, _ in snapshot.searcher(index).entries()})
                for index in rag.ingest_pipeline.index
                if isinstance(index, Index)
            }
            seen.add(min(held))
            if len(held) != 1:
                wrong.append((dict(snapshot.generations), held))
            states_read.append((tuple(sorted(snapshot.generations.items())), min(held)))
            time.sleep(chance.uniform(0, 0.02))
        rag.corpus.close()

    states_read: list[tuple[tuple[tuple[str, int], ...], int]] = []
    readers = [threading.Thread(target=read) for _ in range(2)]
    for each in readers:
        each.start()
    for n in range(6, 14):
        add(papers, range(n, n + 1))
        publisher.ingest(papers)
        states[tuple(sorted(published(publisher).items()))] = n + 1
    over.set()
    for each in readers:
        each.join()
    assert wrong == []
    passages = dict(states_read)
    assert set(passages) <= set(states)
    per_paper = len(list(publisher.corpus.held(next(iter(published(publisher)))))) // 14
    assert passages == {state: states[state] * per_paper for state in passages}
    assert len(seen) > 1


# --- settings


def test_a_pipeline_file_names_a_depot_and_a_wrong_one_is_refused_with_the_place(
    one: PostgresCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGKIT_DEPOT", str(one.depot))
    corpus = {"type": "postgres", "url": one.url, "depot": "${RAGKIT_DEPOT}"}
    rag = ragkit.load({"extends": "default", "corpus": corpus})
    assert rag.corpus.store.depot == one.depot
    plain = ragkit.load({"extends": "default", "corpus": {"type": "postgres", "url": one.url}})
    assert rag.ingest_pipeline.settings == plain.ingest_pipeline.settings
    for address, said in {
        "ftp://papers": r"a depot is a directory or begins with file://, s3://, gs://, az://, not with ftp://",
        "s3://key:secret@papers": r"credentials of a depot belong into the environment",
    }.items():
        with pytest.raises(ConfigError, match=said) as told:
            ragkit.load({"extends": "default", "corpus": {**corpus, "depot": address}})
        assert "secret" not in str(told.value).splitlines()[0]


def test_corpora_that_share_a_depot_keep_apart(one: PostgresCorpus, postgres: Server, papers: Path) -> None:
    another = replace(
        one, url=postgres.database(f"db{time.time_ns()}"), folder=one.folder.with_name("another")
    )
    for place in (one, another):
        pipeline(place).ingest(papers)
    depots = [depot_of(pipeline(place).corpus) for place in (one, another)]
    assert len({each.identity for each in depots if each}) == 2
    assert len({path.relative_to(str(one.depot)).parts[0] for path in objects(one)}) == 2
    assert examine(pipeline(one)).problems == examine(pipeline(another)).problems == ()
