"""Systems without fcntl and resource, such as Windows: the alternatives, run here since Windows is not."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from langchain_core.documents import Document
from support import ROOT

from ragkit import platform
from ragkit.errors import LoadError
from ragkit.read.files import Files
from ragkit.read.formats import FileFormat, paper
from ragkit.read.formats.plain import PlainText
from ragkit.read.process import Reader

WITHOUT_POSIX = """
import importlib.abc, os, sys, types
import mcp.server.mcpserver, psutil, subprocess  # which tell the system otherwise than by what can be imported
BLOCKED = {"fcntl", "resource", "pwd", "grp", "termios", "readline"}
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
for name in BLOCKED:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Absent())
for name in ("killpg", "setsid", "O_NOFOLLOW", "geteuid", "getuid", "fchmod"):
    if hasattr(os, name):
        delattr(os, name)
sys.modules["msvcrt"] = types.SimpleNamespace(  # what it does on Windows, by what this system has
    LK_NBLCK=2, locking=lambda file, mode, count: os.lockf(file, os.F_TLOCK, count)
)
"""

FIRST_QUESTION = """
import importlib, pkgutil
import ragkit
for module in pkgutil.walk_packages(ragkit.__path__, "ragkit."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from ragkit import platform
assert platform.HERE.name == "portable", platform.HERE
rag = ragkit.load()
print(rag.ingest("paper.txt").failed)
print(rag.ingest("second.txt").documents)
print(rag.ask("How long is the glass bridge of Ulm?").text)
from ragkit import private
assert private.is_own(__import__("pathlib").Path("paper.txt"))
"""

HOLD = """
from ragkit.corpus import Corpus
with Corpus(".ragkit").writing():
    print("held", flush=True)
    input()
"""


def python(code: str, folder: Path, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WITHOUT_POSIX + code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_text_is_ingested_and_asked_about_without_anything_of_posix(tmp_path: Path) -> None:
    (tmp_path / "paper.txt").write_text(
        "The glass bridge of Ulm is 340 metres long. It was opened in 1999.\n"
    )
    (tmp_path / "second.txt").write_text("Owls hunt voles in meadows at night.\n")
    out, err = python(FIRST_QUESTION, tmp_path).communicate(timeout=120)
    assert err == ""
    assert out.splitlines()[:2] == ["()", "2"]
    assert "340 metres" in out


def test_one_process_writes_at_a_time_by_the_locks_of_windows(tmp_path: Path) -> None:
    (tmp_path / "paper.txt").write_text("The glass bridge of Ulm is 340 metres long.\n")
    holder = python(HOLD, tmp_path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    _, err = python(HOLD, tmp_path).communicate(timeout=60)
    assert f"is being written by process {holder.pid} since" in err
    holder.kill()
    holder.communicate()
    out, err = python(HOLD, tmp_path).communicate("\n", timeout=60)
    assert (out, err) == ("held\n", "")


class Greedy(FileFormat):
    """Does what the file says."""

    def recognises(self, name: str, head: bytes) -> bool:
        return name.endswith(".evil")

    def papers(self, name: str, content: bytes) -> list[Document]:  # type: ignore[override]
        match content.decode().split():
            case ["swell"]:
                held = []
                while True:
                    held.append(b"x" * 20_000_000)
                    time.sleep(0.02)
            case ["hang"]:
                subprocess.Popen(["sleep", "600"])
                time.sleep(600)
            case ["write", path]:
                Path(path).write_text("written")
            case ["connect"]:
                import socket

                socket.create_connection(("127.0.0.1", 9), timeout=1)
        return [paper("Done.", 0, 5, title="Done")]


@pytest.fixture
def reader() -> Reader:
    files = Files(formats=[Greedy(), PlainText()], seconds_a_file=3, megabytes_a_file=300)
    return Reader(files, platform.Portable())


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("swell", "reading it takes more than 300 MB of memory (`megabytes_a_file` of the loader)"),
        ("hang", "reading it took longer than 3 s (`seconds_a_file` of the loader)"),
        ("write stolen.txt", "a format may not write files"),
        ("connect", "a format may not use the network"),
    ],
)
def test_a_file_that_takes_too_much_fails_alone_under_the_portable_limits(
    what: str, reason: str, reader: Reader, tmp_path: Path
) -> None:
    (tmp_path / "a.evil").write_text(what.replace("stolen.txt", str(tmp_path / "stolen.txt")))
    (tmp_path / "b.txt").write_text("A good file.")
    with reader:
        with pytest.raises(LoadError) as raised:
            list(reader.read(tmp_path / "a.evil"))
        assert reason in str(raised.value)
        [[good]] = reader.read(tmp_path / "b.txt")
    assert good.page_content == "A good file."
    assert not (tmp_path / "stolen.txt").exists()


def test_a_process_without_a_parent_ends_by_itself(tmp_path: Path) -> None:
    code = "import time; from ragkit import platform; platform.Portable().limit_time(0.2); time.sleep(60)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=30
    )
    assert done.returncode == 1


def test_a_file_system_without_hard_links_gets_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EINVAL, "what Windows raises on FAT")

    (tmp_path / "one").write_text("content")
    monkeypatch.setattr(os, "link", refuse)
    platform.HERE.link(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").read_text() == "content"


def test_a_symbolic_link_is_not_opened_where_the_system_cannot_refuse_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_NOFOLLOW")
    (tmp_path / "real").write_text("content")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match="symbolic links"):
        platform.HERE.open_unlinked(str(tmp_path / "link"), os.O_RDONLY, 0o600)
    os.close(platform.HERE.open_unlinked(str(tmp_path / "real"), os.O_RDONLY, 0o600))
