"""`ragkit work`: take files from the queue of a corpus and work on them, beside any number of others."""

from __future__ import annotations

import functools
import os
import signal
import socket
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import ChosenPipeline, say, started, watched

if TYPE_CHECKING:
    from ragkit.corpus import Corpus
    from ragkit.ingest import IngestPipeline
    from ragkit.ingest.cluster import RayWorkers


def work(
    pipeline: ChosenPipeline,
    drain: Annotated[
        bool, typer.Option("--drain", help="End when everything in the queue is published.")
    ] = False,
    lease: Annotated[
        float,
        typer.Option(
            min=1.0, help="Seconds after which others take the file of a worker that is not heard of."
        ),
    ] = 60.0,
    attempts: Annotated[
        int, typer.Option(min=1, help="Workers that a file may end before it is reported as unreadable.")
    ] = 3,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Start the workers on the Ray cluster at auto, HOST:6379 or ray://HOST:10001.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="With --ray: how many, each with one CPU.")] = 1,
    gpus: Annotated[
        float, typer.Option(min=0.0, help="With --ray: GPUs for each worker, such as 1 or 0.5.")
    ] = 0.0,
) -> None:
    """Work on the files that `ragkit ingest --queue` puts into the queue, until Ctrl-C.

    Start as many as you like, on every machine that sees the files under the same paths, with the same
    configuration; or let a Ray cluster start them: `ragkit work --ray auto --workers 8`.
    """
    from ragkit.cli.terminal import many
    from ragkit.errors import UsageError
    from ragkit.ingest.work import Worker

    if ray is not None:
        _work_on_ray(_shipped(pipeline), ray, workers, gpus, lease, attempts, drain)
        return
    if workers > 1 or gpus:
        raise UsageError(
            "--workers and --gpus need --ray; without it, start this command once for each worker"
        )
    rag = pipeline.load()
    worker = Worker(rag.ingest_pipeline, rag.corpus, lease, attempts)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as services are stopped
    try:
        watched(worker.run(drain))
    except KeyboardInterrupt:
        say("stopped; what was not finished is back in the queue", err=True)
    say(f"worked on {many(worker.files, 'file')}, published {many(worker.publications, 'time')}")


def _work_on_ray(
    make: Callable[[], tuple[IngestPipeline, Corpus]],
    address: str,
    count: int,
    gpus: float,
    lease: float,
    attempts: int,
    drain: bool,
) -> None:
    from ragkit.ingest.cluster import RayWorkers
    from ragkit.ingest.queue import counts_of

    workers = RayWorkers(make, address, count, gpus, lease, attempts)
    started()
    with workers:
        for each in (signal.SIGINT, signal.SIGTERM):  # after Ray has set its own
            signal.signal(each, lambda *_: _interrupt(workers))
        watched(workers.run(drain))
        if workers.interrupted:
            workers.stop()
            say(
                "stopped; what was not finished is back in the queue, or will be when its lease passes",
                err=True,
            )
    if left := counts_of(workers.corpus):
        say(f"queue: {left.waiting} waiting, {left.running} running, {left.read} read, {left.failed} failed")


def _interrupt(workers: RayWorkers) -> None:
    """End the workers; at the second signal, at once."""
    workers.interrupted = True
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)


def _shipped(pipeline: ChosenPipeline) -> Callable[[], tuple[IngestPipeline, Corpus]]:
    """What makes the pipeline on any machine: the file travels with all that it extends, but no value of a
    variable.
    """
    from ragkit import pipeline_file

    used = pipeline_file.read(
        pipeline.config,
        pipeline.preset,
        pipeline.model,
        pipeline.changes(),
        pipeline.allow_import,
        pipeline.allow_env,
    )
    text = pipeline_file.shown(used, pipeline.allow_import, pipeline.allow_env)
    allowed = pipeline.allow_import, pipeline.allow_env
    return functools.partial(_made, text, pipeline.directory(), *allowed, Path.cwd())


def _made(
    text: str, corpus: Path | None, allow_import: Collection[str], allow_env: Collection[str], folder: Path
) -> tuple[IngestPipeline, Corpus]:
    """The pipeline in *text*, made in *folder*, which its relative paths start from."""
    import yaml

    from ragkit import pipeline_file
    from ragkit.errors import UsageError

    if not folder.is_dir():
        raise UsageError(
            f"'{folder}', in which `ragkit work` was started, is not on {socket.gethostname()}; start it in"
            " a folder that each machine of the cluster has"
        )
    os.chdir(folder)
    rag = pipeline_file.load(
        yaml.safe_load(text), corpus=corpus, allow_import=allow_import, allow_env=allow_env
    )
    return rag.ingest_pipeline, rag.corpus
