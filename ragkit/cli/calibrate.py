"""`ragkit calibrate`: when to answer, learnt from questions whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.evaluate import Jobs, Papers, Questions, Split, Workspace, configurations, write
from ragkit.cli.options import AsJson, ChosenPipeline, print_json, watched

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
            "--output",
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
    from ragkit.errors import UsageError
    from ragkit.evaluate.calibrate import calibrate_events, lines, svg
    from ragkit.evaluate.dataset import read
    from ragkit.evaluate.run import Settings

    [configuration] = configurations([pipeline])
    settings = Settings(papers=papers or (), workspace=workspace, jobs=jobs)
    found: Calibration = watched(calibrate_events(configuration, read(questions, split), settings, precision))
    refused = found.refusal if out else ""
    if out and not refused:
        write(out, lambda: fitted_file(pipeline, found.gate, out))
    write(plot, lambda: svg(found))
    print_json(found.as_json()) if as_json else show.calibration(found)
    if refused:
        raise UsageError(f"'{out}' was not written: {refused}")
    if out is None and not as_json:
        terminal.out.print(
            f"\nto use it, in the pipeline file under `answer`:\n\n{lines(found.gate)}",
        )


def fitted_file(pipeline: ChosenPipeline, gate: CalibratedGate, out: Path) -> str:
    """The pipeline file with *gate*: as it was written where that can be, else every setting anew.

    Its corpus is the same one, seen from the place of *out*.
    """
    import json
    import re
    from dataclasses import replace

    from ragkit.config import loads
    from ragkit.errors import ConfigError
    from ragkit.evaluate.calibrate import written
    from ragkit.pipeline_file import dump
    from ragkit.rag import Rag

    file = pipeline.file()
    rag = pipeline._replace(corpus=None).load()
    corpus = rag.corpus.directory.resolve()
    wanted = dump(
        Rag(corpus=corpus, ingest=rag.ingest_pipeline, answer=replace(rag.answer_pipeline, gate=gate))
    )
    text = written(file.read_text(encoding="utf-8-sig"), gate) or ""
    moved = re.sub(r"(?m)^corpus:.*$", lambda _: f"corpus: {json.dumps(str(corpus))}", text, count=1)
    for each in filter(None, (text, moved)):
        try:
            read = loads(
                Rag, each, str(file), pipeline.allow_import, pipeline.allow_env, folder=out.resolve().parent
            )
        except ConfigError:  # what it extends is not beside *out*
            continue
        if dump(read.moved(read.corpus.directory.resolve())) == wanted:
            return each
    return wanted
