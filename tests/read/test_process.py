"""A file that crashes its reader, hangs or swells costs itself and nothing else."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from langchain_core.documents import Document

from ragkit.errors import LoadError
from ragkit.read.files import Files
from ragkit.read.formats import FileFormat, paper
from ragkit.read.formats.plain import PlainText
from ragkit.read.process import Reader


@dataclass(frozen=True)
class Malicious(FileFormat):
    """Does what the file says."""

    def recognises(self, name: str, head: bytes) -> bool:
        return name.endswith(".evil")

    def papers(self, name: str, content: bytes) -> Iterator[Document]:
        match content.decode():
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "leave":
                os._exit(3)
            case "hang":
                time.sleep(600)
            case "swell":
                yield paper("x" * 3_000_000_000, 0, 1, title="never")
            case "dig":
                self.papers_below(0)
            case "fail":
                raise KeyError("nothing\nhere")
            case "print":
                print("noise on standard output", flush=True)
                yield paper("It prints.", 0, 10, title="Print")
            case "drip":
                while True:
                    yield from [paper("Text.", 0, 5, title="Drop")] * 100
                    time.sleep(0.2)
            case "flood":
                while True:
                    yield paper("x" * 1_000_000, 0, 1_000_000, title="Flood")
            case "stop in between":
                yield from (paper("Text.", 0, 5, title=f"Paper {n}") for n in range(250))
                raise LoadError("line 251 is broken")

    def papers_below(self, depth: int) -> None:
        self.papers_below(depth + 1)


FILES = Files(formats=[Malicious(), PlainText()], seconds_a_file=5, megabytes_a_file=500)


def read(folder: Path, what: str, reader: Reader) -> list[Document]:
    file = folder / f"{what[:5].strip()}.evil"
    file.write_text(what)
    return [each for some in reader.read(file) for each in some]


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("crash", "it crashed the process that read it (SIGSEGV); it is damaged, or made to do so"),
        ("leave", "it crashed the process that read it (status 3); it is damaged, or made to do so"),
        ("swell", "reading it takes more than 500 MB of memory (`megabytes_a_file` of the loader)"),
        ("dig", "it is nested too deeply to be read"),
        ("fail", "it cannot be read: KeyError: 'nothing\\nhere'"),
        ("stop in between", "line 251 is broken"),
    ],
)
def test_a_file_that_cannot_be_read_says_why_and_the_next_one_is_read(
    tmp_path: Path, what: str, reason: str
) -> None:
    (tmp_path / "good.txt").write_text("Glass bridges carry people.")
    with Reader(FILES) as reader:
        with pytest.raises(LoadError) as error:
            read(tmp_path, what, reader)
        assert str(error.value) == reason
        [[good]] = reader.read(tmp_path / "good.txt")
        assert good.page_content == "Glass bridges carry people."
        assert good.metadata["sources"] == [{"start": 0, "end": 27, "uri": str(tmp_path / "good.txt")}]


def test_a_file_that_hangs_is_given_up(tmp_path: Path) -> None:
    with Reader(Files(formats=[Malicious()], seconds_a_file=0.5)) as reader:
        with pytest.raises(LoadError, match="reading it took longer than 0.5 s"):
            read(tmp_path, "hang", reader)
        assert [p.metadata["title"] for p in read(tmp_path, "print", reader)] == ["Print"]


def test_what_a_library_prints_is_not_taken_for_a_paper(tmp_path: Path) -> None:
    with Reader(FILES) as reader:
        assert [p.page_content for p in read(tmp_path, "print", reader)] == ["It prints."]


def test_papers_come_while_the_file_is_still_being_read(tmp_path: Path) -> None:
    with Reader(FILES) as reader:
        file = tmp_path / "many.evil"
        file.write_text("stop in between")
        batches = reader.read(file)
        assert len(next(batches)) == 100
        batches.close()
        assert [p.metadata["title"] for p in read(tmp_path, "print", reader)] == ["Print"]


def test_the_process_ends_when_the_one_that_asks_is_killed(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("Glass bridges carry people.")
    asks = f"""
import os, signal
from pathlib import Path
from ragkit.read.files import Files
from ragkit.read.process import Reader
reader = Reader(Files())
list(reader.read(Path({str(tmp_path / "good.txt")!r})))
print(reader.pool.pids[0], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", asks], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while Path(f"/proc/{int(done.stdout)}").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{int(done.stdout)}/stat").read_text().split()[2] == "Z":
            return  # ended, and nobody has asked for its status yet
        time.sleep(0.05)
    assert time.monotonic() < deadline


def test_the_process_is_gone_when_the_reader_is_closed(tmp_path: Path) -> None:
    with Reader(FILES) as reader:
        read(tmp_path, "print", reader)
        [pid] = reader.pool.pids
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert reader.pool.pids == []


def test_formats_that_only_this_process_knows_are_read_here_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Local(PlainText):
        """A class that cannot be pickled."""

    (tmp_path / "good.txt").write_text("Glass bridges carry people.")
    with Reader(Files(formats=[Local()])) as reader:
        for _ in range(2):
            [[good]] = reader.read(tmp_path / "good.txt")
            assert good.page_content == "Glass bridges carry people."
    [record] = caplog.records
    assert record.message.startswith(
        "files are read without limits on time and memory, since the formats need this process: they cannot be pickled ("
    )


# --- what the process may do


@dataclass(frozen=True)
class Curious(FileFormat):
    """Tells what it finds, or tries, in the process that reads."""

    def recognises(self, name: str, head: bytes) -> bool:
        return name.endswith(".evil")

    def papers(self, name: str, content: bytes) -> Iterator[Document]:
        yield Document(str(self.found(content.decode())), metadata={"title": "Found", "sources": [{}]})

    def found(self, what: str) -> object:
        try:
            match what:
                case "environment":
                    return sorted(os.environ)
                case "folder":
                    return Path.cwd()
                case "write":
                    return Path("/tmp/ragkit-written").write_text("x")
                case "connect":
                    return socket.create_connection(("127.0.0.1", 9), timeout=5)
                case "fork":
                    return [subprocess.Popen(["sleep", "60"]) for _ in range(5000)]
                case "open":
                    return [os.open(os.devnull, os.O_RDONLY) for _ in range(5000)]
                case "spawn":
                    return subprocess.Popen(["sleep", "600"]).pid
        except OSError as error:
            return type(error).__name__, error.errno
        return None


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with modules that no process may execute."""
    folder = tmp_path / "papers"
    (folder / "ragkit" / "read").mkdir(parents=True)
    for name in ("pickle", "json", "yaml", "sitecustomize", "ragkit/__init__", "ragkit/read/process"):
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    (folder / "good.txt").write_text("Glass bridges carry people.")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("first", ["", "."])
def test_modules_beside_the_papers_are_not_executed(
    hostile: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    monkeypatch.setattr(sys, "path", [first and str(hostile), *sys.path])
    monkeypatch.setenv("PYTHONPATH", str(hostile))
    with Reader(FILES) as reader:
        [[good]] = reader.read("good.txt" if not first else hostile / "good.txt")
    assert good.page_content == "Glass bridges carry people."
    assert not (hostile.parent / "executed").exists()


def test_the_process_sees_no_key_and_not_the_folder_of_the_papers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with Reader(Files(formats=[Curious()])) as reader:
        [environment] = read(tmp_path, "environment", reader)
        assert "OPENAI_API_KEY" not in environment.page_content
        assert [p.page_content for p in read(tmp_path, "folder", reader)] == ["/"]


def test_the_process_writes_no_file_and_opens_and_starts_few(tmp_path: Path) -> None:
    with Reader(Files(formats=[Curious()])) as reader:
        assert [p.page_content for p in read(tmp_path, "write", reader)] == [f"('OSError', {errno.EFBIG})"]
        assert [p.page_content for p in read(tmp_path, "open", reader)] == [f"('OSError', {errno.EMFILE})"]
        if os.geteuid():  # the limit does not hold for root
            [forked] = read(tmp_path, "fork", reader)
            assert "BlockingIOError" in forked.page_content


def test_the_process_reaches_no_network_where_the_system_allows_it(tmp_path: Path) -> None:
    may = subprocess.run(["unshare", "-n", "true"], check=False).returncode == 0
    with Reader(Files(formats=[Curious()])) as reader:
        [tried] = read(tmp_path, "connect", reader)
        assert not may or str(errno.ENETUNREACH) in tried.page_content


def test_what_a_file_started_ends_with_its_reader(tmp_path: Path) -> None:
    with Reader(Files(formats=[Curious()])) as reader:
        [spawned] = read(tmp_path, "spawn", reader)
    state = Path(f"/proc/{spawned.page_content}/stat")
    deadline = time.monotonic() + 20
    while state.exists() and state.read_text().split()[2] != "Z" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert time.monotonic() < deadline


def test_a_file_that_drips_ends_though_each_paper_comes_in_time(tmp_path: Path) -> None:
    with Reader(Files(formats=[Malicious()], seconds_a_file=30, seconds_in_all=2)) as reader:
        with pytest.raises(LoadError, match=r"took longer than 2 s \(`seconds_in_all` of the loader\)"):
            read(tmp_path, "drip", reader)
        assert [p.metadata["title"] for p in read(tmp_path, "print", reader)] == ["Print"]


def test_papers_much_larger_than_their_file_are_refused_and_the_next_file_is_read(tmp_path: Path) -> None:
    with Reader(FILES) as reader:
        with pytest.raises(LoadError, match="more than 100 times as large as the file"):
            read(tmp_path, "flood", reader)
        assert [p.metadata["title"] for p in read(tmp_path, "print", reader)] == ["Print"]


def test_formats_read_in_this_process_pass_the_same_border(tmp_path: Path) -> None:
    class Forging(PlainText):
        """A class that cannot be pickled."""

        def papers_in(self, name: str, text: str) -> Iterator[Document]:
            yield paper(text, 0, len(text), title="Forged", sections=7)

    with Reader(Files(formats=[Forging()])) as reader, pytest.raises(LoadError, match="its reader returned"):
        read(tmp_path, "forge", reader)
