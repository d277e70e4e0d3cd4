"""The depot: what is put there, what a machine fetches from it, and what it does not believe."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from s3 import Server

from ragkit.document import Key, passage_id
from ragkit.errors import DepotError, DepotLacks, UsageError
from ragkit.index import Index, Place
from ragkit.index import depot as module
from ragkit.index.bm25 import Bm25Index
from ragkit.index.chroma import ChromaIndex
from ragkit.index.depot import Depot, is_shipped
from ragkit.index.flat import FlatIndex
from ragkit.index.folder import FolderIndex
from ragkit.testing import HashedEmbeddings, imports_heavy
from ragkit.testing.engines import add_keys

INDEXES = (FlatIndex(embed=HashedEmbeddings()), Bm25Index())


def keys(first: int, last: int) -> list[Key]:
    return [
        Key(passage_id("bridges", n, n + 1), 0, f"bridge {n} over river {n % 7}") for n in range(first, last)
    ]


def build(index: FolderIndex, last: Place | None, place: Place, added: list[Key]) -> Place:
    builder = index.build(last, place)
    add_keys(index, builder, added)  # type: ignore[arg-type]
    builder.seal()
    return place


def found(index: Index, place: Place) -> tuple[list[tuple[str, int]], list[str]]:
    """All that a generation holds, and what it finds."""
    with closing(index.open(place)) as searcher:
        return sorted(searcher.entries()), [
            hit.passage for hit in searcher.search("bridge 12 over river 5", 5)
        ]


@pytest.fixture(params=["directory", "s3"])
def depot(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Depot:
    if request.param == "s3":
        server: Server = request.getfixturevalue("s3")
        return Depot(server.bucket(monkeypatch), "papers")
    (tmp_path / "depot").mkdir()
    return Depot(str(tmp_path / "depot"), "papers")


@pytest.fixture(params=INDEXES, ids=lambda index: type(index).__name__)
def index(request: pytest.FixtureRequest) -> FolderIndex:
    assert isinstance(request.param, FolderIndex)
    return request.param


def at(folder: Path, generation: int) -> Place:
    """A generation in the folder of a machine."""
    return Place(folder / "indexes" / "index-1", generation)


def objects(depot: Depot) -> dict[str, int]:
    """All that there is, with the sizes."""
    return {path: each.size for path, each in depot._objects.list("")}


def spoil(depot: Depot, path: str, content: bytes) -> None:
    depot._objects.put(path, content)


def test_a_generation_that_is_fetched_is_the_one_that_was_put(
    depot: Depot, index: FolderIndex, tmp_path: Path
) -> None:
    made = build(index, None, at(tmp_path / "one", 1), keys(0, 50))
    put = depot.ship(index, made)
    assert put == sum(size for path, size in objects(depot).items() if not path.endswith(".seal")) > 0
    got = at(tmp_path / "other", 1)
    depot.fetch(index, got)
    assert index.is_sound(got)
    assert {path.stat().st_mode & 0o77 for path in got.root.rglob("*")} == {0}
    assert (found(index, got), index.contents(got)) == (found(index, made), index.contents(made))
    assert depot.problem("index-1", 1) == ""
    assert sorted(path.name for path in got.root.iterdir()) == ["00000001", "00000001.seal", "fetching.lock"]


def test_what_the_generation_before_has_is_neither_put_nor_fetched_again(
    depot: Depot, index: FolderIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(index, None, at(tmp_path / "one", 1), keys(0, 2000))
    second = build(index, first, at(tmp_path / "one", 2), keys(2000, 2001))
    whole = depot.ship(index, first)
    depot.fetch(index, at(tmp_path / "other", 1))
    more = depot.ship(index, second, first)
    assert more < 10_000 < whole / 5
    fetched = []
    real = module.Objects.piece
    monkeypatch.setattr(
        module.Objects,
        "piece",
        lambda self, path, start, length: fetched.append(length) or real(self, path, start, length),
    )
    got = at(tmp_path / "other", 2)
    depot.fetch(index, got)
    assert 0 < sum(fetched) <= more
    assert found(index, got) == found(index, second)
    fresh = at(tmp_path / "third", 2)
    depot.fetch(index, fresh)
    assert found(index, fresh) == found(index, second)


def test_only_a_seal_makes_a_generation(depot: Depot, index: FolderIndex, tmp_path: Path) -> None:
    made = build(index, None, at(tmp_path / "one", 1), keys(0, 50))
    depot.ship(index, made)
    depot._objects.delete(["papers/index-1/00000001.seal"])
    with pytest.raises(DepotLacks, match=r"the depot '.*' has no 'papers/index-1/00000001.seal'"):
        depot.fetch(index, at(tmp_path / "other", 1))
    assert depot.problem("index-1", 1) == f"the depot '{depot.name}' has no 'papers/index-1/00000001.seal'"


@pytest.mark.parametrize(
    "spoilt", ["truncated", "empty", "longer", "flipped", "absent", "seal", "hostile", "nonsense"]
)
def test_what_is_damaged_is_not_believed_and_is_mended_from_a_machine_that_has_it(
    depot: Depot, index: FolderIndex, tmp_path: Path, spoilt: str
) -> None:
    made = build(index, None, at(tmp_path / "one", 1), keys(0, 50))
    depot.ship(index, made)
    before = objects(depot)
    victim = max(
        (path for path in before if not path.endswith(".seal")), key=lambda path: (before[path], path)
    )
    seal = "papers/index-1/00000001.seal"
    content = depot._objects.get(victim)
    match spoilt:
        case "truncated":
            spoil(depot, victim, content[:-1])
        case "empty":
            spoil(depot, victim, b"")
        case "longer":
            spoil(depot, victim, content + b"x")
        case "flipped":
            spoil(depot, victim, content[:-1] + bytes([content[-1] ^ 1]))
        case "absent":
            depot._objects.delete([victim])
        case "seal":
            spoil(depot, seal, depot._objects.get(seal).replace(b"0", b"1"))
        case "hostile":
            names = json.dumps({"../../escaped": [1, "0", 1]}).encode()
            spoil(depot, seal, hashlib.blake2b(names).hexdigest().encode() + b"\n" + names)
        case "nonsense":
            spoil(depot, seal, hashlib.blake2b(b"[1]").hexdigest().encode() + b"\n[1]")
    got = at(tmp_path / "other", 1)
    with pytest.raises(DepotLacks, match=r"in the depot|the depot '.*' has no"):
        depot.fetch(index, got)
    assert not index.is_sound(got)
    assert [path.name for path in got.root.iterdir() if path.name[0].isdigit()] == []
    assert (depot.problem("index-1", 1) == "") is (spoilt == "flipped")
    assert depot.mend(index, made) > 0
    depot.fetch(index, got)
    assert found(index, got) == found(index, made)
    assert depot.mend(index, made) == 0


def test_a_broken_seal_of_the_last_generation_only_means_that_all_is_put_again(
    depot: Depot, index: FolderIndex, tmp_path: Path
) -> None:
    first = build(index, None, at(tmp_path / "one", 1), keys(0, 50))
    depot.ship(index, first)
    spoil(depot, "papers/index-1/00000001.seal", b"")
    second = build(index, first, at(tmp_path / "one", 2), keys(50, 51))
    assert depot.ship(index, second, first) == sum(size for size, _ in index.contents(second).values())
    got = at(tmp_path / "other", 2)
    depot.fetch(index, got)
    assert found(index, got) == found(index, second)


def test_old_generations_are_deleted_once_nobody_can_be_fetching_them(
    depot: Depot, index: FolderIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = None
    for generation in range(1, 5):
        more = keys(10 * generation, 10 * generation + 10)
        place = build(index, last, at(tmp_path / "one", generation), more)
        depot.ship(index, place, last)
        last = place
    spoil(depot, "papers/index-1/00000000/left", b"by a writer that was killed")
    spoil(depot, "papers/index-1/00000009/begun", b"by another writer")
    before = objects(depot)
    depot.sweep("index-1", keep=[3, 4])
    assert objects(depot) == before, "within the time in which a reader may be fetching them"
    monkeypatch.setattr(module, "GRACE", timedelta(0))
    time.sleep(1.1)  # some stores know the time in seconds
    spoil(depot, "papers/index-1/00000004.seal", depot._objects.get("papers/index-1/00000004.seal"))
    depot.sweep("index-1", keep=[3, 4])
    left = objects(depot)
    assert sorted(path for path in left if path.endswith(".seal")) == [
        "papers/index-1/00000003.seal",
        "papers/index-1/00000004.seal",
    ]
    assert "papers/index-1/00000000/left" not in left
    assert "papers/index-1/00000009/begun" in left
    assert len(left) < len(before)
    for generation in (3, 4):
        got = at(tmp_path / "other", generation)
        depot.fetch(index, got)
        assert found(index, got) == found(index, at(tmp_path / "one", generation))


FETCH = """
import sys
from pathlib import Path
from ragkit.index import Place
from ragkit.index import depot as module
from ragkit.index.bm25 import Bm25Index
real = module.Objects.piece
def slowly(self, path, start, length):
    piece = real(self, path, start, length)
    print(path, flush=True)
    if len(sys.argv) > 3:
        sys.stdin.read()
    return piece
module.Objects.piece = slowly
module.Depot(sys.argv[1], "papers").fetch(Bm25Index(), Place(Path(sys.argv[2]), 1))
"""


def test_a_process_that_is_killed_while_it_fetches_leaves_nothing_that_is_believed(
    depot: Depot, tmp_path: Path
) -> None:
    index = Bm25Index()
    made = build(index, None, at(tmp_path / "one", 1), keys(0, 50))
    depot.ship(index, made)
    got = at(tmp_path / "other", 1)
    command = [sys.executable, "-c", FETCH, depot.name, str(got.root)]
    with subprocess.Popen(
        [*command, "wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as fetching:
        assert fetching.stdout is not None
        fetching.stdout.readline()
        assert (got.root / "fetching").is_dir()
        os.kill(fetching.pid, signal.SIGKILL)
    assert not index.is_sound(got)
    assert [path.name for path in got.root.iterdir() if path.name[0].isdigit()] == []
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(again.stdout.splitlines()) == sum(size > 0 for size, _ in index.contents(made).values())
    assert found(index, got) == found(index, made)


def test_what_a_process_that_was_killed_has_fetched_is_not_fetched_again(
    depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Bm25Index()
    made = build(index, None, at(tmp_path / "one", 1), keys(0, 50))
    depot.ship(index, made)
    got, files = at(tmp_path / "other", 1), sorted(index.contents(made))
    left = got.root / "fetching"
    left.mkdir(parents=True)
    for name in files[:3]:
        shutil.copy(made.folder / name, left / name)
    (left / files[1]).write_bytes(b"x" * (left / files[1]).stat().st_size)
    (left / "unknown").write_bytes(b"of another generation")
    pieces, real = [], Depot._pieces
    monkeypatch.setattr(
        Depot,
        "_pieces",
        lambda self, path, *given: pieces.append(Path(path).name) or real(self, path, *given),
    )
    depot.fetch(index, got)
    assert pieces == [name for name in index.contents(made) if name not in (files[0], files[2])]
    assert sorted(path.name for path in got.folder.iterdir()) == files
    assert found(index, got) == found(index, made)


def test_one_process_of_a_machine_fetches_and_the_others_wait_for_it(
    depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Bm25Index()
    depot.ship(index, build(index, None, at(tmp_path / "one", 1), keys(0, 50)))
    got, pieces, real = at(tmp_path / "other", 1), [], module.Objects.piece
    monkeypatch.setattr(
        module.Objects, "piece", lambda self, path, *given: pieces.append(path) or real(self, path, *given)
    )
    threads = [threading.Thread(target=depot.fetch, args=(index, got)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pieces) == len(set(pieces)) > 0
    assert index.is_sound(got)


def test_a_disk_that_cannot_be_written_is_told(
    depot: Depot, index: FolderIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    depot.ship(index, build(index, None, at(tmp_path / "one", 1), keys(0, 50)))

    def full(*given: object) -> Iterator[bytes]:
        raise OSError(28, "No space left on device")
        yield b""

    monkeypatch.setattr(Depot, "_pieces", full)
    got = at(tmp_path / "other", 1)
    with pytest.raises(DepotError, match=r"cannot be kept in '.*index-1': No space left on device"):
        depot.fetch(index, got)
    assert not (got.root / "fetching").exists()


def test_a_directory_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    made = build(Bm25Index(), None, at(tmp_path / "one", 1), keys(0, 5))
    with pytest.raises(DepotError, match="is not there; make the directory, or mount it") as told:
        Depot(f"file://{tmp_path}/nowhere", "papers").ship(Bm25Index(), made)
    assert not isinstance(told.value, DepotLacks)
    assert not (tmp_path / "nowhere").exists()


def test_an_address_with_a_space_in_it_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / "my depot").mkdir()
    made = build(Bm25Index(), None, at(tmp_path / "one", 1), keys(0, 5))
    Depot(f"file://{tmp_path}/my%20depot", "papers").ship(Bm25Index(), made)
    assert (tmp_path / "my depot" / "papers" / "index-1" / "00000001.seal").exists()


def test_a_store_that_is_away_or_refuses_is_an_error_that_names_it_and_no_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: Server
) -> None:
    address = s3.bucket(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(
        DepotError, match=f"the depot '{address}' cannot be used: .*error sending request"
    ) as away:
        Depot(address, "papers").fetch(Bm25Index(), at(tmp_path, 1))
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listening.getsockname()[1]}")
        threading.Thread(target=_refuse, args=(listening,), daemon=True).start()
        with pytest.raises(
            DepotError,
            match=f"the depot '{address}' refuses access to 'papers/index-1/.*'; see the credentials",
        ) as refused:
            Depot(address, "papers").fetch(Bm25Index(), at(tmp_path, 1))
    for told in (away.value, refused.value):
        assert not isinstance(told, DepotLacks)
        assert [word for word in ("hush", "AKIAPAPERS", "\n", "<") if word in str(told)] == []


def _refuse(listening: socket.socket) -> None:
    body = b"<Error><Code>InvalidAccessKeyId</Code><AWSAccessKeyId>AKIAPAPERS</AWSAccessKeyId></Error>"
    with suppress(OSError):
        while True:
            connection, _ = listening.accept()
            with connection:
                connection.recv(100_000)
                head = f"HTTP/1.1 403 Forbidden\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                connection.sendall(head.encode() + body)


def test_without_the_extra_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(UsageError, match=r"a depot needs obstore; pip install 'ragkit\[depot\]'"):
        Depot(str(tmp_path), "papers").problem("index-1", 1)


def test_which_indexes_are_shipped_and_that_none_imports_the_library() -> None:
    assert [is_shipped(each) for each in (*INDEXES, ChromaIndex(embed=HashedEmbeddings()))] == [
        True,
        True,
        False,
    ]
    assert imports_heavy("import ragkit.index.depot") == []
    code = "import ragkit.index.depot, sys; print('obstore' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


def test_a_folder_that_was_deleted_meanwhile_is_fetched_again(
    depot: Depot, index: FolderIndex, tmp_path: Path
) -> None:
    made = build(index, None, at(tmp_path / "one", 1), keys(0, 50))
    depot.ship(index, made)
    expected = found(index, made)
    shutil.rmtree(made.folder)
    assert not index.is_sound(made)
    depot.fetch(index, made)
    assert found(index, made) == expected
