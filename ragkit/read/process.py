"""Reads files in separate processes, one at a time in each, so that a file that cannot be read fails alone.

A file that crashes the process, takes too long or takes too much memory fails with one sentence, and the next
file gets a new process.  What comes back passes the border (`ragkit.read.border`) while the rest of the file is
still being read.

Such a process imports nothing from the folder that ragkit is started in, sees none of the environment but what says
how text is written, and may write no file (but see `FileFormat.scratch`), start few processes and, where the
system allows it, reach no network.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import logging
import os
import pickle
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING

from langchain_core.documents import Document

from ragkit import platform
from ragkit.errors import LoadError
from ragkit.read import PaperSource
from ragkit.read.ahead import read_ahead
from ragkit.read.border import Border, Parts, encoded, message, parts

if TYPE_CHECKING:
    from ragkit.read.files import Files

log = logging.getLogger("ragkit")

_FRAME = struct.Struct(">cQ")  # what a frame is, and its length
_PAPERS, _PARTS, _DONE, _ERROR = b"p", b"n", b"d", b"e"
_START = 120.0  # seconds that a process may take to start: some, on a machine that is busy
_AT_ONCE = 4  # files that are read at once at most, unless the loader says how many: each may take `megabytes_a_file`
_MANY = 100  # papers, or
_MUCH = 1_000_000  # characters, that are sent together
_WIDE = 8  # bytes that a character of a paper may take, its places counted in
_KEPT = (
    "PATH",
    "SYSTEMROOT",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "TESSDATA_PREFIX",
)

# The folders come before what `site` adds.  The garbage collector is off during imports.
_BEGIN = "import gc, sys, site; gc.disable(); sys.path += sys.argv[1:]; site.main(); from ragkit.read.process import serve; serve({network}, {system!r})"


class Reader(PaperSource):
    """The files of a `Files` loader, read one after another; a context manager, which ends its process.

    *files* sets the limits, *system* how they are kept.  The process starts with the first file that has to be
    recognised or read.
    """

    def __init__(self, files: Files, system: platform.System = platform.HERE) -> None:
        self.files, self.system = files, system
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: platform.Pipe | None = None
        self._guard: platform.Guard | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._included: dict[Path, Parts | LoadError] = {}

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def find(self, paths: Sequence[str | Path] = ()) -> list[str]:
        return [str(path) for path in self.files.under([*self.files.paths, *paths], self.included)]

    def unused(self, paths: Sequence[str | Path] = ()) -> list[str]:
        return [str(path) for path in self.files.unused_in([*self.files.paths, *paths], self.included)]

    def digest(self, uri: str | Path) -> str:
        return self.files.digest(uri, self.included)

    def gone(self, uris: Iterable[str], paths: Sequence[str | Path] = ()) -> list[str]:
        return self.files.gone(uris, paths)

    def included(self, path: Path) -> Parts:
        """What the paper in a file includes; asked once for each file."""
        if self._pickled is None:
            return self.files.included(path)
        if path not in self._included:
            try:
                with contextlib.closing(self._replies(_PARTS, path)) as replies:
                    self._included[path] = next(map(parts, list(replies)), Parts())
            except LoadError as error:
                self._included[path] = error
        known = self._included[path]
        if isinstance(known, LoadError):
            raise known
        return known

    def read(self, uri: str | Path) -> Iterator[list[Document]]:
        """The papers that a file lists, in batches.  Raises `LoadError` with the reason."""
        if self._pickled is None:
            yield from self.files.read(str(uri))
            return
        border = Border(self.files, Path(uri))
        with contextlib.closing(self._replies(_PAPERS, Path(uri))) as replies:
            for content in replies:
                yield border.admitted(content)

    def read_each(self, uris: Sequence[str]) -> Generator[Iterator[list[Document]]]:
        count = min(self.files.processes or min(platform.processors(), _AT_ONCE), len(uris))
        if self._pickled is None or count < 2:
            yield from super().read_each(uris)
            return
        with contextlib.ExitStack() as stack:
            others = [stack.enter_context(Reader(self.files, self.system)) for _ in range(count - 1)]
            with contextlib.closing(read_ahead([self, *others], uris)) as each:
                yield from each

    def stop(self) -> None:
        """Make what is being read in another thread fail."""
        if process := self._process:
            self.system.end(process)

    def _replies(self, kind: bytes, path: Path) -> Generator[bytes]:
        """What the process replies to a request, until it has replied all."""
        waits, left = False, self.files.seconds_in_all
        try:
            process = self._process or self._begin()
            self._send(process, kind + os.fsencode(path.absolute()))
            while True:
                began = time.monotonic()
                told, content = self._receive(process, min(left, self.files.seconds_a_file))
                left -= time.monotonic() - began
                waits = told in (_DONE, _ERROR)
                if told == _ERROR:
                    raise LoadError(message(content))
                if told == _DONE:
                    return
                if told != kind:
                    raise LoadError("its reader replied what it was not asked")
                yield content
        except TimeoutError:
            name = "seconds_a_file" if left > self.files.seconds_a_file else "seconds_in_all"
            most = getattr(self.files, name)
            raise LoadError(f"reading it took longer than {most:g} s (`{name}` of the loader)") from None
        finally:
            if not waits:
                self._end()  # it may still be busy with this file

    @cached_property
    def _pickled(self) -> bytes | None:
        """The loader, pickled for the other process.

        None, with a warning, if it cannot be pickled or only this process knows one of its formats.
        """
        formats = self.files.ordered_formats  # a plug-in may be registered in this process only
        here = [type(part) for part in (self.files, *formats) if type(part).__module__ == "__main__"]
        try:
            if not here:
                return pickle.dumps(
                    dataclasses.replace(self.files, formats=formats, more_formats=(), lookup=())
                )
            reason = f"{here[0].__name__} is defined in __main__; move it to a module"
        except Exception as error:  # whatever an object that cannot be pickled raises
            reason = f"they cannot be pickled ({error})"
        log.warning(
            "files are read without limits on time and memory, since the formats need this process: %s",
            reason,
        )
        return None

    def _begin(self) -> subprocess.Popen[bytes]:
        assert self._pickled
        begin = _BEGIN.format(network=self.files.network, system=self.system.name)
        folders = _search_path([self.files, *self.files.ordered_formats])
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        if any(form.scratch for form in self.files.ordered_formats):
            self._scratch = tempfile.TemporaryDirectory(prefix="ragkit-", ignore_cleanup_errors=True)
            environment |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), self._scratch.name)
        self._process = process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-X", "utf8", "-c", begin, *folders],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=os.sep,
            env=environment,
            **self.system.session(),  # so that Ctrl-C stops the run, which then stops its reader
        )
        assert process.stdout
        self._pipe = self.system.pipe(process.stdout)
        self._send(process, self._pickled)
        try:
            told, content = self._receive(process, _START)
        except TimeoutError:
            raise LoadError(f"the process that reads did not start within {_START:g} s") from None
        if told != _DONE:
            raise LoadError(message(content))
        self._guard = self.system.guard(process.pid, self.files.megabytes_a_file)
        return process

    def _send(self, process: subprocess.Popen[bytes], request: bytes) -> None:
        assert process.stdin
        try:
            _write(process.stdin, _DONE, request)
        except OSError:
            raise self._died(process) from None

    def _receive(self, process: subprocess.Popen[bytes], seconds: float) -> tuple[bytes, bytes]:
        deadline = time.monotonic() + seconds
        kind, length = _FRAME.unpack(self._bytes(process, _FRAME.size, deadline))
        if length > _WIDE * (self.files.characters_a_paper + self.files.metadata_a_paper):
            raise LoadError(
                f"it has a paper that is larger than {self.files.characters_a_paper:,} characters"
                " (`characters_a_paper` of the loader)"
            )
        return kind, self._bytes(process, length, deadline)

    def _bytes(self, process: subprocess.Popen[bytes], count: int, deadline: float) -> bytes:
        assert self._pipe
        parts: list[bytes] = []
        while count:
            left = max(deadline - time.monotonic(), 0)
            part = self._pipe.read(min(count, 1 << 20), min(left, platform.PATROL) if self._guard else left)
            if self._guard and self._guard.is_exceeded():
                raise LoadError(_too_much_memory(self.files))
            if part is None:
                if time.monotonic() >= deadline:
                    raise TimeoutError
                continue
            if not part:
                raise self._died(process)
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _died(self, process: subprocess.Popen[bytes]) -> LoadError:
        self._end()
        code = process.returncode
        how = signal.Signals(-code).name if code and code < 0 else f"status {code}"
        return LoadError(f"it crashed the process that read it ({how}); it is damaged, or made to do so")

    def _end(self) -> None:
        process, self._process, self._guard = self._process, None, None
        if process is None:
            return
        self.system.end(process)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        if self._scratch:
            self._scratch.cleanup()


def _search_path(parts: Iterable[object]) -> list[str]:
    """The folders that the process imports from: that of ragkit, those of this process, and those of the
    loader's *parts*.

    The current folder, which Python searches first in many cases, is left out unless ragkit or a part is from there.
    """
    here = os.path.realpath(os.curdir)
    known = [
        str(Path(folder).absolute()) for folder in sys.path if folder and os.path.realpath(folder) != here
    ]
    return [_home("ragkit"), *known, *(_home(type(part).__module__) for part in parts)]


def _home(module: str) -> str:
    """The folder that a module is imported from."""
    top = sys.modules[module.partition(".")[0]]
    package = next(iter(getattr(top, "__path__", ())), None)
    return str(Path(package or top.__file__ or os.sep).parent)


def _write(pipe: IO[bytes], kind: bytes, frame: bytes) -> None:
    pipe.write(_FRAME.pack(kind, len(frame)) + frame)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes | None:
    header = pipe.read(_FRAME.size)
    return pipe.read(_FRAME.unpack(header)[1]) if len(header) == _FRAME.size else None


# --- the other side


def serve(network: bool, system: str) -> None:
    """Reply to each request that arrives, until the input ends; *system* names one of `ragkit.platform`."""
    here = platform.of(system)
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints may come between
    if not network:
        here.leave_network()
    given = _read(requests)
    if given is None:
        return
    try:
        files: Files = pickle.loads(given)
        _ = files.ordered_formats  # what importing them takes counts for no file
    except Exception as error:  # whatever importing and making the formats raises
        _write(answers, _ERROR, f"the formats cannot be loaded: {type(error).__name__}: {error}".encode())
        return
    gc.freeze()
    gc.enable()
    sys.dont_write_bytecode = True
    here.limit(files.megabytes_a_file, max((form.scratch for form in files.ordered_formats), default=0))
    _write(answers, _DONE, b"")
    while (request := _read(requests)) is not None:
        kind, path = request[:1], Path(os.fsdecode(request[1:]))
        here.limit_time(files.seconds_in_all)
        try:
            if kind == _PARTS:
                _write(answers, kind, json.dumps(files.included(path)).encode())
            else:
                for papers in _batches(files.each(path)):
                    _write(answers, kind, encoded(papers))
            _write(answers, _DONE, b"")
        except MemoryError:
            _write(answers, _ERROR, _too_much_memory(files).encode())
        except Exception as error:
            reason = (
                str(error)
                if isinstance(error, LoadError)
                else f"it cannot be read: {type(error).__name__}: {error}"
            )
            _write(answers, _ERROR, reason.encode("utf-8", "replace"))


def _batches(papers: Iterable[Document]) -> Iterator[list[Document]]:
    """Papers that are sent together."""
    some: list[Document] = []
    size = 0
    for paper in papers:
        some.append(paper)
        size += len(paper.page_content)
        if len(some) >= _MANY or size >= _MUCH:
            yield some
            some, size = [], 0
    if some:
        yield some


def _too_much_memory(files: Files) -> str:
    return (
        f"reading it takes more than {files.megabytes_a_file} MB of memory (`megabytes_a_file` of the loader)"
    )
