"""Reads files in a separate process, so that a file that cannot be read fails alone.

A file that crashes the process, takes too long or takes too much memory fails with one sentence, and the next
file gets a new process.  Papers come back as JSON while the rest of the file is still being read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import pickle
import resource
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from langchain_core.documents import Document

from ragkit.errors import LoadError

if TYPE_CHECKING:
    from ragkit.read.files import Files

log = logging.getLogger("ragkit")

_FRAME = struct.Struct(">Q")
_START = 120.0  # seconds that a process may take to start: some, on a machine that is busy
_MANY = 100  # papers, or
_MUCH = 1_000_000  # characters, that are sent together


class Reader:
    """Reads the files of a `Files` loader one after another; a context manager, which ends its process.

    *files* sets the limits: the time without a new paper (`seconds_a_file`) and the memory
    (`megabytes_a_file`).
    """

    def __init__(self, files: Files) -> None:
        self.files = files
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def papers(self, uri: str | Path) -> Iterator[list[Document]]:
        """The papers that a file lists, in batches.  Raises `LoadError` with the reason."""
        given = self._pickled
        if given is None:
            yield from self.files.read(str(uri))
            return
        try:
            process = self._process or self._begin(given)
            self._send(process, str(uri))
            while True:
                kind, content = self._receive(process, self.files.seconds_a_file)
                if kind == "papers":
                    yield [Document(page_content=text, metadata=metadata) for text, metadata in content]
                elif kind == "error":
                    raise LoadError(content)
                else:
                    return
        except BaseException as error:
            if not isinstance(error, LoadError) or self._process is None:
                self._end()  # it may still be busy with this file
            raise

    @cached_property
    def _pickled(self) -> bytes | None:
        """The loader, pickled for the other process.

        None, with a warning, if it cannot be pickled or only this process knows one of its formats.
        """
        formats = self.files.ordered_formats  # a plug-in may be registered in this process only
        here = [type(part) for part in (self.files, *formats) if type(part).__module__ == "__main__"]
        try:
            if not here:
                return pickle.dumps(dataclasses.replace(self.files, formats=formats))
            reason = f"{here[0].__name__} is defined in __main__; move it to a module"
        except Exception as error:  # whatever an object that cannot be pickled raises
            reason = f"they cannot be pickled ({error})"
        log.warning(
            "files are read without limits on time and memory, since the formats need this process: %s",
            reason,
        )
        return None

    def _begin(self, given: bytes) -> subprocess.Popen[bytes]:
        self._process = process = subprocess.Popen(
            [sys.executable, "-m", "ragkit.read.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # so that Ctrl-C stops the run, which then stops its reader
        )
        assert process.stdin
        _write(process.stdin, given)
        self._receive(process, _START)
        return process

    def _send(self, process: subprocess.Popen[bytes], path: str) -> None:
        assert process.stdin
        try:
            _write(process.stdin, path.encode("utf-8", "surrogateescape"))
        except OSError:
            raise self._died(process) from None

    def _receive(self, process: subprocess.Popen[bytes], seconds: float) -> tuple[str, Any]:
        deadline = time.monotonic() + seconds
        header = self._bytes(process, _FRAME.size, deadline)
        [length] = _FRAME.unpack(header)
        kind, content = json.loads(self._bytes(process, length, deadline))
        return kind, content

    def _bytes(self, process: subprocess.Popen[bytes], count: int, deadline: float) -> bytes:
        assert process.stdout
        parts: list[bytes] = []
        while count:
            ready, _, _ = select.select([process.stdout], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                self._end()
                raise LoadError(
                    f"reading it took longer than {self.files.seconds_a_file:g} s (`seconds_a_file` of the loader)"
                )
            part = os.read(process.stdout.fileno(), min(count, 1 << 20))
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
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()


def _write(pipe: IO[bytes], frame: bytes) -> None:
    pipe.write(_FRAME.pack(len(frame)) + frame)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes | None:
    header = pipe.read(_FRAME.size)
    return pipe.read(_FRAME.unpack(header)[0]) if len(header) == _FRAME.size else None


# --- the other side


def serve() -> None:
    """Read each file whose path arrives, until the input ends."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints may come between
    given = _read(requests)
    if given is None:
        return
    files: Files = pickle.loads(given)
    _limit(files.megabytes_a_file)
    _answer(answers, "ready", None)
    while (request := _read(requests)) is not None:
        path = Path(request.decode("utf-8", "surrogateescape"))
        try:
            some: list[tuple[str, dict[str, Any]]] = []
            size = 0
            for paper in files.each(path):
                some.append((paper.page_content, paper.metadata))
                size += len(paper.page_content)
                if len(some) >= _MANY or size >= _MUCH:
                    _answer(answers, "papers", some)
                    some, size = [], 0
            if some:
                _answer(answers, "papers", some)
            _answer(answers, "done", None)
        except MemoryError:
            some = []
            _answer(
                answers,
                "error",
                f"reading it takes more than {files.megabytes_a_file} MB of memory (`megabytes_a_file` of the loader)",
            )
        except LoadError as error:
            _answer(answers, "error", str(error))


def _limit(megabytes: int) -> None:
    """Limit the memory that this process may take in addition to what it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    most = pages * resource.getpagesize() + megabytes * 1_000_000
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _answer(pipe: IO[bytes], kind: str, content: Any) -> None:
    _write(pipe, json.dumps((kind, content), default=str).encode())


if __name__ == "__main__":
    serve()
