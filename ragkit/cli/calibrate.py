"""`ragkit calibrate`: when to answer, learnt from questions whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.evaluate import Jobs, Papers, Questions, Split, Workspace, configurations, watched, write
from ragkit.cli.options import AsJson, ChosenPipeline, print_json

if TYPE_CHECKING:
    from ragkit.evaluate.calibrate import Calibration
    from ragkit.gate import CalibratedGate


def calibrate(
    pipeline: ChosenPipeline,
    questions: Questions,
    papers: Papers = None,
    split: Split = None,
    precision: Annotated[
        float,
        typer.Option("--precision", min=0, max=1, help="Share of the answers given that should be right."),
    ] = 0.9,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Write the pipeline file with the fitted gate; else its lines are shown.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Write the risk-coverage curve as an SVG picture."),
    ] = None,
    jobs: Jobs = 1,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Calibrate on your questions when to answer and when to abstain, for a target precision.

    The calibrated gate answers as many questions as that precision allows.
    """
    from ragkit.cli import show, terminal
    from ragkit.evaluate.calibrate import calibrate_events, lines, svg
    from ragkit.evaluate.dataset import read
    from ragkit.evaluate.run import Settings

    [configuration] = configurations([pipeline])
    settings = Settings(papers=papers or (), workspace=workspace, jobs=jobs)
    found: Calibration = watched(calibrate_events(configuration, read(questions, split), settings, precision))
    write(out, lambda: _file(pipeline, found.gate))
    write(plot, lambda: svg(found))
    if as_json:
        print_json(found.as_json())
        return
    show.calibration(found)
    if out is None:
        terminal.out.print(
            f"\nto use it, in the pipeline file under `answer`:\n\n{lines(found.gate)}",
        )


def _file(pipeline: ChosenPipeline, gate: CalibratedGate) -> str:
    """The pipeline file with *gate*: as it was written where that can be, else every setting anew."""
    from dataclasses import replace

    from ragkit.config import loads
    from ragkit.evaluate.calibrate import written
    from ragkit.pipeline_file import dump
    from ragkit.rag import Rag

    file = pipeline.file()
    rag = pipeline._replace(corpus=None).load()
    wanted = dump(
        Rag(
            corpus=rag.corpus.directory,
            ingest=rag.ingest_pipeline,
            answer=replace(rag.answer_pipeline, gate=gate),
        )
    )
    text = written(file.read_text(encoding="utf-8-sig"), gate)
    allowed = (pipeline.allow_import, pipeline.allow_env)
    if text and dump(loads(Rag, text, str(file), *allowed, folder=file.parent)) == wanted:
        return text
    return wanted
