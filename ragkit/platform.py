"""What differs between operating systems: the lock of a corpus, links, and limits on a process that reads files.

`HERE` is the system of this process.  `Posix` stands on the kernel's limits; `Portable`, for Windows, has what
Python and psutil can do instead, and no more.  docs/limits.md compares them.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import math
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path
from typing import IO, Any, ClassVar

_NO_LINKS = (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
"""How a file system says that it makes no hard links, or no more of this file."""
_OPEN_FILES, _PROCESSES = 256, 64  # that a limited process may have
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000  # of <linux/sched.h>
_LOCKED_BYTE = 1 << 30
"""Windows locks bytes, and nobody else may read these: one far behind what the lock file says."""
_PAUSE = 0.02  # seconds between two tries of a lock
PATROL = 0.2  # seconds between two looks at the memory of a process
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def processors() -> int:
    """How many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


class Pipe(ABC):
    """The output of a process, read with a time limit."""

    @abstractmethod
    def read(self, most: int, seconds: float) -> bytes | None:
        """Up to *most* bytes, empty at the end; None if nothing came within *seconds*."""


class Guard:
    """Notices when a process, with the processes that it started, takes too much memory."""

    def __init__(self, pid: int, megabytes: int) -> None:
        self._psutil = importlib.import_module("psutil")
        self._process = self._psutil.Process(pid)
        self._next = 0.0
        self._most = self._bytes() + megabytes * 1_000_000

    def is_exceeded(self) -> bool:
        """Does it take more than *megabytes* beside what it had at first?  Looks some times a second."""
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + PATROL
        return self._bytes() > self._most

    def _bytes(self) -> int:
        total = 0
        with contextlib.suppress(self._psutil.Error):
            for each in (self._process, *self._process.children(recursive=True)):
                total += each.memory_info().rss
        return total


class System(ABC):
    """What ragkit needs of an operating system beyond Python's own abstractions."""

    name: ClassVar[str]

    @abstractmethod
    def lock(self, file: IO[bytes]) -> None:
        """Lock an open file until it is closed.  Raises `BlockingIOError` if another process holds the lock."""

    def lock_within(self, file: IO[bytes], seconds: float) -> None:
        """The same, but another process has so many seconds to let go of it."""
        until = time.monotonic() + seconds
        while True:
            try:
                return self.lock(file)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise
                time.sleep(_PAUSE)

    @abstractmethod
    def is_mine(self, known: os.stat_result) -> bool:
        """Does a file with this status belong to the user who runs this process?"""

    @abstractmethod
    def session(self) -> dict[str, Any]:
        """Arguments of `subprocess.Popen` that shield a process from the Ctrl-C of this one."""

    @abstractmethod
    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End a process made with `session`, and those that it started."""

    @abstractmethod
    def pipe(self, file: IO[bytes]) -> Pipe:
        """*file*, the output of a process, to be read with time limits."""

    @abstractmethod
    def guard(self, pid: int, megabytes: int) -> Guard | None:
        """A watch over a process's memory, where `limit` cannot limit it."""

    @abstractmethod
    def limit(self, megabytes: int, scratch: int) -> None:
        """Limit what this process may take in addition to what it has.

        *scratch*: how many bytes what it starts may write to a file; the process itself may write none.
        """

    @abstractmethod
    def limit_time(self, seconds: float) -> None:
        """End this process when it works longer than *seconds* from now, should nobody be left to end it."""

    @abstractmethod
    def leave_network(self) -> None:
        """Go where there is no network, if the system allows it."""

    @abstractmethod
    def before_writing(self) -> Callable[[], None] | None:
        """`preexec_fn` of a program that may write the temporary files that `limit` allows."""

    def link(self, source: Path, target: Path) -> None:
        """Make *target* another name of a file, or a copy where the file system has no hard links."""
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            shutil.copy2(source, target)  # which is as right, only slower

    def open_unlinked(self, path: str, flags: int, mode: int) -> int:
        """Open a file; one that is a symbolic link is an `OSError`."""
        no_follow = getattr(os, "O_NOFOLLOW", 0)
        if not no_follow and Path(path).is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        return os.open(path, flags | no_follow, mode)


class Posix(System):
    """Linux, macOS and the BSDs."""

    name = "posix"

    def __init__(self) -> None:
        self._fcntl = importlib.import_module("fcntl")
        self._resource = importlib.import_module("resource")

    def lock(self, file: IO[bytes]) -> None:
        self._fcntl.flock(file, self._fcntl.LOCK_EX | self._fcntl.LOCK_NB)

    def is_mine(self, known: os.stat_result) -> bool:
        return known.st_uid == os.getuid()

    def session(self) -> dict[str, Any]:
        return {"start_new_session": True}

    def end(self, process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()

    def pipe(self, file: IO[bytes]) -> Pipe:
        return _SelectedPipe(file)

    def guard(self, pid: int, megabytes: int) -> Guard | None:
        return Guard(pid, megabytes) if sys.platform == "darwin" else None  # which ignores RLIMIT_AS

    def limit(self, megabytes: int, scratch: int) -> None:
        resource = self._resource
        statm = Path("/proc/self/statm")
        pages = int(statm.read_text().split()[0]) if statm.exists() else 0
        if sys.platform != "darwin":
            self._at_most(resource.RLIMIT_AS, pages * resource.getpagesize() + megabytes * 1_000_000)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, scratch))
        self._at_most(resource.RLIMIT_CORE, 0)
        self._at_most(resource.RLIMIT_NOFILE, _OPEN_FILES)
        with contextlib.suppress(OSError):  # the limit is on all processes and threads of the user
            running = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
            self._at_most(resource.RLIMIT_NPROC, running + _PROCESSES)

    def limit_time(self, seconds: float) -> None:
        used = math.ceil(time.process_time() + seconds * (os.cpu_count() or 1))
        with contextlib.suppress(ValueError, OSError):
            self._resource.setrlimit(self._resource.RLIMIT_CPU, (used, self._resource.RLIM_INFINITY))

    def leave_network(self) -> None:
        unshare = getattr(ctypes.CDLL(None), "unshare", None)  # which Linux has, and mostly allows
        if (
            unshare and unshare(_NEW_NETWORK) and os.geteuid()
        ):  # without rights, as the root of a world of its own
            unshare(_NEW_USER | _NEW_NETWORK)

    def before_writing(self) -> Callable[[], None] | None:
        return self._allow_scratch

    def _allow_scratch(self) -> None:
        most = self._resource.getrlimit(self._resource.RLIMIT_FSIZE)[1]
        self._resource.setrlimit(self._resource.RLIMIT_FSIZE, (most, most))

    def _at_most(self, what: int, limit: int) -> None:
        with contextlib.suppress(ValueError, OSError):
            self._resource.setrlimit(what, (limit, limit))


class Portable(System):
    """Windows, and whatever has no fcntl.

    The process that reads is watched from outside for memory.  Inside it, Python refuses to write files and to
    connect; native code that a format calls is not held back.
    """

    name = "portable"

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None

    def lock(self, file: IO[bytes]) -> None:
        msvcrt = importlib.import_module("msvcrt")
        file.seek(_LOCKED_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(errno.EAGAIN, "another process holds the lock") from error
        finally:
            file.seek(0)

    def is_mine(self, known: os.stat_result) -> bool:
        return True  # Windows tells owners by its own lists, and a home folder is closed to other users

    def session(self) -> dict[str, Any]:
        return {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}

    def end(self, process: subprocess.Popen[bytes]) -> None:
        psutil = importlib.import_module("psutil")
        with contextlib.suppress(psutil.Error):
            for each in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    each.kill()
        process.kill()

    def pipe(self, file: IO[bytes]) -> Pipe:
        return _ThreadedPipe(file)

    def guard(self, pid: int, megabytes: int) -> Guard | None:
        return Guard(pid, megabytes)

    def limit(self, megabytes: int, scratch: int) -> None:
        if not scratch:
            sys.addaudithook(_refuse_to_write)

    def limit_time(self, seconds: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = threading.Timer(seconds, os._exit, [1])
        self._timer.daemon = True
        self._timer.start()

    def leave_network(self) -> None:
        sys.addaudithook(_refuse_to_connect)

    def before_writing(self) -> Callable[[], None] | None:
        return None


def of(name: str) -> System:
    """The system of that *name*, `posix` or `portable`."""
    return {each.name: each for each in (Posix, Portable)}[name]()


def _here() -> System:
    try:
        return Posix()
    except ImportError:
        return Portable()


class _SelectedPipe(Pipe):
    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self._poll = select.poll()  # `select.select` refuses files numbered above 1,023
        self._poll.register(file, select.POLLIN)

    def read(self, most: int, seconds: float) -> bytes | None:
        return os.read(self.file.fileno(), most) if self._poll.poll(1000 * seconds) else None


class _ThreadedPipe(Pipe):
    """Windows cannot wait for a pipe, so a thread does; one that still waits ends with the process."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self._waiting: Future[bytes] | None = None
        self._thread = ThreadPoolExecutor(1)

    def read(self, most: int, seconds: float) -> bytes | None:
        waiting = self._waiting or self._thread.submit(os.read, self.file.fileno(), most)
        try:
            found = waiting.result(seconds)
        except NotYet:
            self._waiting = waiting
            return None
        self._waiting = None
        return found


def _refuse_to_write(event: str, given: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(given[2], int) and given[2] & _WRITES and given[0] != os.devnull:
        raise PermissionError(errno.EACCES, "a format may not write files", str(given[0]))


def _refuse_to_connect(event: str, given: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
        raise PermissionError(errno.EACCES, "a format may not use the network (`network` of the loader)")


HERE: System = _here()
