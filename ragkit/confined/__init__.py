"""Processes in which files and texts of strangers are worked on, so that one that cannot be worked on fails alone.

A file or text that crashes its process, takes too long or takes too much memory fails with one sentence, and the next
one gets a new process.

Such a process imports nothing from the folder that ragkit is started in, sees none of the environment but what says
how text is written, and may write no file (but see `ProcessLimits.scratch`), start few processes and, where the
system allows it, reach no network.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import pickle
import signal
import struct
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar

from ragkit import platform
from ragkit.errors import LoadError
from ragkit.text.printable import one_line

log = logging.getLogger("ragkit")

_FRAME = struct.Struct(">cQ")  # what a frame is, and its length
_JOB, _REQUEST, _REPLY, _DONE, _ERROR = b"t", b"r", b"p", b"d", b"e"
_NUMBER = struct.Struct(">I")  # of the job that a request is for
_START = 120.0  # seconds that a process may take to start: some, on a machine that is busy
_AT_ONCE = 4  # processes at most, unless the user says how many: each may take `megabytes_a_file`
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
_BEGIN = "import gc, sys, site; gc.disable(); sys.path += sys.argv[1:]; site.main(); from ragkit.confined import serve; serve({system!r})"


@dataclass(frozen=True)
class ProcessLimits:
    """What a process may take; the loader `files` sets them under the same names.

    `scratch` is how many bytes may be written to a folder that is deleted with the process.
    """

    seconds_a_file: float
    seconds_in_all: float
    megabytes_a_file: int
    characters_a_paper: int
    metadata_a_paper: int
    network: bool = False
    scratch: int = 0
    processes: int | None = None


class Job(ABC):
    """Work that a confined process does.  It is pickled to get there."""

    doing: ClassVar[str]
    """What the work is called in messages, such as `reading`, and `done` when it is done, such as `read`."""
    done: ClassVar[str]
    unconfined: ClassVar[str]
    """The warning that it is done in this process, up to the reason."""

    @property
    @abstractmethod
    def parts(self) -> Sequence[object]:
        """The objects whose classes' modules the process has to find, this job's own among them."""

    @abstractmethod
    def replies(self, request: bytes) -> Iterable[bytes]:
        """The replies to a request, in the other process.  Raises `LoadError` with the reason if there is none."""


class Confined:
    """One confined process, which replies to one request at a time; it starts with the first one."""

    def __init__(self, limits: ProcessLimits, system: platform.System = platform.HERE) -> None:
        self.limits, self.system = limits, system
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: platform.Pipe | None = None
        self._guard: platform.Guard | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._jobs: list[Job] = []

    @property
    def pid(self) -> int | None:
        """The number of the process; None while there is none."""
        return self._process.pid if self._process else None

    def ask(self, job: Job, pickled: bytes, request: bytes) -> Generator[bytes]:
        """What the process replies to a request for *job*, until it has replied all.

        Raises `LoadError` with the reason if it cannot.
        """
        waits, left = False, self.limits.seconds_in_all
        try:
            process = self._process or self._begin(job)
            number = self._number(process, job, pickled)
            self._send(process, job, _REQUEST, _NUMBER.pack(number) + request)
            while True:
                began = time.monotonic()
                told, content = self._receive(process, job, min(left, self.limits.seconds_a_file))
                left -= time.monotonic() - began
                waits = told in (_DONE, _ERROR)
                if told == _ERROR:
                    raise LoadError(_sentence(content))
                if told == _DONE:
                    return
                if told != _REPLY:
                    raise LoadError("its reader replied what it was not asked")
                yield content
        except TimeoutError:
            name = "seconds_a_file" if left > self.limits.seconds_a_file else "seconds_in_all"
            most = getattr(self.limits, name)
            raise LoadError(f"{job.doing} it took longer than {most:g} s (`{name}` of the loader)") from None
        finally:
            if not waits:
                self.end()  # it may still be busy with this request

    def stop(self) -> None:
        """Make what is being done in another thread fail."""
        if process := self._process:
            self.system.end(process)

    def end(self) -> None:
        """End the process; the next request starts another one."""
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

    def _begin(self, job: Job) -> subprocess.Popen[bytes]:
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        if self.limits.scratch:
            self._scratch = tempfile.TemporaryDirectory(prefix="ragkit-", ignore_cleanup_errors=True)
            environment |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), self._scratch.name)
        self._jobs = []
        self._process = process = subprocess.Popen(
            [
                sys.executable,
                *("-I", "-S", "-X", "utf8", "-c", _BEGIN.format(system=self.system.name)),
                *_search_path(job.parts),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=os.sep,
            env=environment,
            **self.system.session(),  # so that Ctrl-C stops the run, which then stops this process
        )
        assert process.stdout
        self._pipe = self.system.pipe(process.stdout)
        return process

    def _number(self, process: subprocess.Popen[bytes], job: Job, pickled: bytes) -> int:
        """The number of *job* in the process, which gets to know it first if need be."""
        for number, known in enumerate(self._jobs):
            if known is job:
                return number
        folders = [_home(type(part).__module__) for part in job.parts]
        self._send(process, job, _JOB, pickle.dumps((self.limits, folders, pickled)))
        try:
            told, content = self._receive(process, job, _START)
        except TimeoutError:
            raise LoadError(f"the process that {job.done} it did not start within {_START:g} s") from None
        if told != _DONE:
            raise LoadError(_sentence(content))
        if not self._jobs:
            self._guard = self.system.guard(process.pid, self.limits.megabytes_a_file)
        self._jobs.append(job)
        return len(self._jobs) - 1

    def _send(self, process: subprocess.Popen[bytes], job: Job, kind: bytes, content: bytes) -> None:
        assert process.stdin
        try:
            _write(process.stdin, kind, content)
        except OSError:
            raise self._died(process, job) from None

    def _receive(self, process: subprocess.Popen[bytes], job: Job, seconds: float) -> tuple[bytes, bytes]:
        deadline = time.monotonic() + seconds
        kind, length = _FRAME.unpack(self._bytes(process, job, _FRAME.size, deadline))
        if length > _WIDE * (self.limits.characters_a_paper + self.limits.metadata_a_paper):
            raise LoadError(
                f"it has a paper that is larger than {self.limits.characters_a_paper:,} characters"
                " (`characters_a_paper` of the loader)"
            )
        return kind, self._bytes(process, job, length, deadline)

    def _bytes(self, process: subprocess.Popen[bytes], job: Job, count: int, deadline: float) -> bytes:
        assert self._pipe
        parts: list[bytes] = []
        while count:
            left = max(deadline - time.monotonic(), 0)
            part = self._pipe.read(min(count, 1 << 20), min(left, platform.PATROL) if self._guard else left)
            if self._guard and self._guard.is_exceeded():
                raise LoadError(_too_much_memory(self.limits, job))
            if part is None:
                if time.monotonic() >= deadline:
                    raise TimeoutError
                continue
            if not part:
                raise self._died(process, job)
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _died(self, process: subprocess.Popen[bytes], job: Job) -> LoadError:
        self.end()
        code = process.returncode
        how = signal.Signals(-code).name if code and code < 0 else f"status {code}"
        return LoadError(
            f"it crashed the process that {job.done} it ({how}); it is damaged, or made to do so"
        )


class ConfinedPool:
    """Confined processes that are kept for the next request, until `close`."""

    def __init__(self, limits: ProcessLimits, system: platform.System = platform.HERE) -> None:
        self.limits, self.system = limits, system
        self.size = limits.processes or min(platform.processors(), _AT_ONCE)
        self._all: list[Confined] = []
        self._idle: list[Confined] = []
        self._pickled: list[tuple[Job, bytes | None]] = []

    def close(self) -> None:
        """End the processes."""
        for process in self._all:
            process.end()

    @property
    def idle(self) -> int:
        """How many processes wait for a request."""
        return sum(process.pid is not None for process in self._idle)

    @property
    def pids(self) -> list[int]:
        """The numbers of the processes that there are."""
        return [process.pid for process in self._all if process.pid is not None]

    def takes(self, job: Job) -> bool:
        """Can *job* be done in a confined process?

        It cannot, which is said in a warning, if it cannot be pickled or if only this process knows a part of it.
        """
        return self._known(job) is not None

    def ask(self, job: Job, request: bytes) -> Generator[bytes]:
        """What an idle process replies; another one is started if none is."""
        with self.taken(1) as [process], contextlib.closing(self.replies(process, job, request)) as replies:
            yield from replies

    def replies(self, process: Confined, job: Job, request: bytes) -> Generator[bytes]:
        """What *process* replies.  Raises `LoadError` with the reason if it cannot."""
        pickled = self._known(job)
        assert pickled is not None, "see `takes`"
        return process.ask(job, pickled, request)

    @contextlib.contextmanager
    def taken(self, count: int) -> Iterator[list[Confined]]:
        """So many processes, which nobody else asks meanwhile."""
        while len(self._idle) < count:
            self._idle.append(Confined(self.limits, self.system))
            self._all.append(self._idle[-1])
        taken = [self._idle.pop() for _ in range(count)]
        try:
            yield taken
        finally:
            self._idle += reversed(taken)

    def _known(self, job: Job) -> bytes | None:
        for known, pickled in self._pickled:
            if known is job:
                return pickled
        self._pickled.append((job, _pickled(job)))
        return self._pickled[-1][1]


def _pickled(job: Job) -> bytes | None:
    here = [type(part) for part in job.parts if type(part).__module__ == "__main__"]
    try:
        if not here:
            return pickle.dumps(job)
        reason = f"{here[0].__name__} is defined in __main__; move it to a module"
    except Exception as error:  # whatever an object that cannot be pickled raises
        reason = f"they cannot be pickled ({error})"
    log.warning("%s: %s", job.unconfined, reason)
    return None


def _search_path(parts: Iterable[object]) -> list[str]:
    """The folders that the process imports from: that of ragkit, those of this process, and those of the
    classes of *parts*.

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


def _sentence(content: bytes) -> str:
    """A sentence in which a process says what is wrong, as one line of a limited length."""
    return one_line(content.decode("utf-8", "replace"))[:1000]


def _write(pipe: IO[bytes], kind: bytes, frame: bytes) -> None:
    pipe.write(_FRAME.pack(kind, len(frame)) + frame)
    pipe.flush()


def _read(pipe: IO[bytes]) -> tuple[bytes, bytes] | None:
    header = pipe.read(_FRAME.size)
    if len(header) < _FRAME.size:
        return None
    kind, length = _FRAME.unpack(header)
    return kind, pipe.read(length)


def _too_much_memory(limits: ProcessLimits, job: Job) -> str:
    return (
        f"{job.doing} it takes more than {limits.megabytes_a_file} MB of memory"
        " (`megabytes_a_file` of the loader)"
    )


# --- the other side


def serve(system: str) -> None:
    """Reply to each request that arrives, until the input ends; *system* names one of `ragkit.platform`."""
    here = platform.of(system)
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints may come between
    jobs: list[Job] = []
    limits: ProcessLimits | None = None
    while given := _read(requests):
        kind, content = given
        if kind == _JOB:
            told, folders, pickled = pickle.loads(content)
            sys.path += [folder for folder in folders if folder not in sys.path]
            if limits is None and not told.network:
                here.leave_network()
            try:
                jobs.append(pickle.loads(pickled))  # what importing takes counts for no request
            except Exception as error:  # whatever importing and making the parts raises
                _write(
                    answers,
                    _ERROR,
                    f"what it needs cannot be loaded: {type(error).__name__}: {error}".encode(),
                )
                return
            if limits is None:
                gc.freeze()
                gc.enable()
                sys.dont_write_bytecode = True
                here.limit(told.megabytes_a_file, told.scratch)
            limits = told
            _write(answers, _DONE, b"")
        elif limits:
            job = jobs[_NUMBER.unpack_from(content)[0]]
            here.limit_time(limits.seconds_in_all)
            _write(answers, *_reply(job, content[_NUMBER.size :], limits, answers))


def _reply(job: Job, request: bytes, limits: ProcessLimits, answers: IO[bytes]) -> tuple[bytes, bytes]:
    """Send the replies to a request, and return how it ended."""
    try:
        for reply in job.replies(request):
            _write(answers, _REPLY, reply)
    except MemoryError:
        return _ERROR, _too_much_memory(limits, job).encode()
    except LoadError as error:
        return _ERROR, str(error).encode("utf-8", "replace")
    except Exception as error:
        return _ERROR, f"it cannot be {job.done}: {type(error).__name__}: {error}".encode("utf-8", "replace")
    return _DONE, b""
