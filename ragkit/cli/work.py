"""`ragkit work`: take files from the queue of a corpus and work on them, beside any number of other workers."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from ragkit.cli.options import ChosenPipeline, say


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
) -> None:
    """Work on the files that `ragkit ingest --queue` puts into the queue, until Ctrl-C.

    Start as many as you like, on every machine that sees the files under the same paths, with the same configuration.
    """
    from ragkit.cli import terminal
    from ragkit.cli.terminal import many
    from ragkit.flow import Progress
    from ragkit.ingest.work import Worker

    rag = pipeline.load()
    worker = Worker(rag.ingest_pipeline, rag.corpus, lease, attempts)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as services are stopped
    try:
        with terminal.progress_bar() as bar:
            for event in worker.run(drain):
                if bar and isinstance(event, Progress):
                    bar(event)
    except KeyboardInterrupt:
        say("stopped; what was not finished is back in the queue", err=True)
    say(f"worked on {many(worker.files, 'file')}, published {many(worker.publications, 'time')}")
