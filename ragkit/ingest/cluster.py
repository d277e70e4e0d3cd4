"""Workers as actors of a Ray cluster.

Ray starts their processes, and starts them again if they die.  It keeps no record: which files are to be
read, and who reads them, is in the queue alone, so another worker takes the file of a lost actor when its
lease has passed.
"""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from ragkit.corpus import Corpus
from ragkit.errors import CorpusError, RagkitError, UsageError, needs
from ragkit.flow import Event, Progress
from ragkit.ingest import IngestPipeline
from ragkit.ingest.queue import ATTEMPTS, LEASE, counts_of
from ragkit.ingest.work import Worker, queue_of, warn_of_others
from ragkit.text.printable import one_line

Made = Callable[[], tuple[IngestPipeline, Corpus]]
"""Makes, in the process of an actor, what its worker works with.  It is pickled to get there."""

log = logging.getLogger("ragkit")

_CONNECT = 20.0  # seconds in which a cluster has to answer; Ray itself waits for minutes
_LATE = 30.0  # seconds after which it is said that actors wait for resources
_POLL = 0.5  # seconds
_GRACE = 10.0  # seconds that actors have to give back their files, before they are killed
_PROBE = "import ray, sys; ray.init(sys.argv[1], log_to_driver=False, logging_level='ERROR')"


class ActorWorker:
    """A `Worker` as an actor: `run` works in one thread, and `stop` comes in another."""

    def __init__(self, make: Made, lease: float, attempts: int) -> None:
        self._worker = Worker(*make(), lease, attempts)

    def run(self, settings: str, drain: bool) -> None:
        """Work as `Worker.run` does.  Raises `UsageError` if files are read with other *settings* here."""
        if self._worker.queue.settings != settings:
            raise UsageError(
                "it reads files in another way than this machine; install the same version of ragkit, of its"
                " models and of its formats on each machine of the cluster"
            )
        for _ in self._worker.run(drain):
            pass

    def stop(self) -> None:
        self._worker.stop()


class RayWorkers:
    """Workers on the Ray cluster at *address*, as `ray.init` takes it; a context manager, which ends them.

    Each of the *workers* has one CPU and *gpus* GPUs of the cluster, which may be a fraction.  *make* makes
    the same pipeline and corpus here and there; *lease* is in seconds, see `Queue` for it and for *attempts*.
    Raises `UsageError` if Ray is not installed, if no cluster answers in time, and for a corpus that has no
    queue.
    """

    def __init__(
        self,
        make: Made,
        address: str,
        workers: int = 1,
        gpus: float = 0.0,
        lease: float = LEASE,
        attempts: int = ATTEMPTS,
    ) -> None:
        pipeline, self.corpus = make()
        self._queue = queue_of(pipeline, self.corpus, lease, attempts)
        self._given, self._count, self._gpus, self._address = (make, lease, attempts), workers, gpus, address
        with needs("ray", "--ray"):
            self._ray = importlib.import_module("ray")
        self._demand_cluster()
        self.interrupted = False
        """Set by a handler of signals: `run` ends soon.  An exception would rise inside Ray's client, at any point of it."""
        self.actors: list[Any] = []
        """The handles of the actors, while there are any."""
        self._running: dict[Any, int] = {}  # what each actor runs, and which one it is

    def _demand_cluster(self) -> None:
        """Connect in another process first, which can be ended: Ray gives no limit on how long it tries.

        A `ray://` address has two tries: Ray's proxy at times cannot start the server of its first client.
        """
        for _ in range(2 if self._address.startswith("ray://") else 1):
            if not (said := self._refused()):
                return
        raise UsageError(
            f"there is no Ray cluster at '{self._address}' that can be used ({one_line(said)}); start one by"
            " `ray start --head`, or leave out --ray"
        )

    def _refused(self) -> str:
        """Why a process that connects to the cluster fails; nothing if it does not."""
        probe = [sys.executable, "-c", _PROBE, self._address]
        try:
            done = subprocess.run(probe, capture_output=True, timeout=_CONNECT, check=False)
        except subprocess.TimeoutExpired:
            return f"nothing answered within {_CONNECT:g} s"
        if not done.returncode:
            return ""
        return done.stderr.decode(errors="replace").strip().rpartition("\n")[2] or "it ended without a word"

    def __enter__(self) -> RayWorkers:
        self._ray.init(self._address, log_to_driver=False, logging_level="ERROR")
        # An actor that dies is started again, and goes on with `run`.
        actor = self._ray.remote(ActorWorker).options(
            num_cpus=1,
            num_gpus=self._gpus,
            max_restarts=-1,
            max_task_retries=-1,
            max_concurrency=2,
            scheduling_strategy="SPREAD",
        )
        self.actors = [actor.remote(*self._given) for _ in range(self._count)]
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()  # which ends the actors

    def run(self, drain: bool = False) -> Iterator[Event]:
        """Let the actors work, with *drain* until everything in the queue is published, or until `interrupted`; yields
        its state.

        An actor that ends by an error is named in a warning, and the others go on.  Raises `RagkitError` if
        all ended so.
        """
        warn_of_others(self._queue)
        running = self._running = {
            actor.run.remote(self._queue.settings, drain): n for n, actor in enumerate(self.actors, 1)
        }
        ready, late = [actor.__ray_ready__.remote() for actor in self.actors], time.monotonic() + _LATE
        failures: list[str] = []
        while running and not self.interrupted:
            ended, _ = self._ray.wait(list(running), timeout=_POLL)
            for each in ended:
                number = running.pop(each)
                try:
                    self._ray.get(each)
                except self._ray.exceptions.RayError as error:
                    failures.append(f"worker {number} of {self._count} on the cluster ended: {_said(error)}")
                    log.warning("%s", failures[-1])
            if late and time.monotonic() > late:
                late = 0.0
                here, waiting = self._ray.wait(ready, num_returns=len(ready), timeout=0)
                if waiting:
                    log.warning(
                        "%d of %d workers have started; the others wait for a free CPU%s of the cluster each",
                        len(here),
                        len(ready),
                        f" and {self._gpus:g} GPUs" if self._gpus else "",
                    )
            with suppress(CorpusError):  # the workers wait for a database that is away
                if counts := counts_of(self.corpus):
                    total = counts.waiting + counts.running + counts.read
                    yield Progress("queue", counts.read, total, f"{counts.running} running")
        if len(failures) == self._count:
            raise RagkitError(failures[-1])

    def stop(self) -> None:
        """Let the actors give back their files and end; those that have not after 10 seconds are killed."""
        for actor in self.actors:
            actor.stop.remote()
        if waits := list(self._running):
            self._ray.wait(waits, num_returns=len(waits), timeout=_GRACE)


def _said(error: Exception) -> str:
    """What ended an actor, in one line: its own error where there is one, without what Ray says around it."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, RagkitError):
        return one_line(str(cause))
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return one_line(f"{type(cause).__name__}: {lines[-1] if lines else ''}")
