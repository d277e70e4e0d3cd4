"""`ragkit train`: a reranker for the user's own papers, a projection of vectors, and the reader that verifies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ragkit.cli.evaluate import Seed
from ragkit.cli.options import AsJson, ChosenPipeline, print_json, watched, with_pipeline

app = typer.Typer(
    no_args_is_help=True,
    help="Train models: a reranker and a projection on your papers, a reader on labelled rows.",
)


@app.command("reranker")
@with_pipeline
def reranker(
    pipeline: ChosenPipeline,
    output: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write the model; a new folder.")],
    questions: Annotated[
        Path | None,
        typer.Option(
            "--questions",
            metavar="FILE",
            help="A file of questions; else the papers' own sentences stand for them.",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            metavar="MODEL",
            help="What to start from (default: the embedding model).",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="How many steps of training.")] = 200,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a cross-encoder and say, on questions it was not trained on, whether it is worth using."""
    from ragkit.cli import terminal
    from ragkit.evaluate.examples import Recipe
    from ragkit.evaluate.train import TrainingReport, train_events

    rag = pipeline.load()
    report: TrainingReport = watched(
        train_events(rag, questions, output, base, Recipe(steps=steps, seed=seed))
    )
    if as_json:
        print_json(report.as_json())
        return
    worth = report.worth["ndcg@10"]
    terminal.out.print(
        f"trained on {report.trained_on} questions in {report.seconds:.0f} s; on {report.held_out} others, nDCG@10: search {worth.search:.3f},"
        f" reranked {worth.after:.3f} ({worth.before:.3f} before training), blended {worth.blended:.3f}"
        f" ({worth.gained.value:+.3f} [{worth.gained.low:+.3f}, {worth.gained.high:+.3f}], p = {worth.gained.p:.2g})",
        soft_wrap=True,
    )
    if report.is_worth_it:
        terminal.out.print(f"to use it: refine: {report.component}", soft_wrap=True)
    else:
        terminal.out.print(
            "it is not ahead of the search by more than chance: train on more questions, or from a base that reranks already"
        )


@app.command("projection")
@with_pipeline
def projection(
    pipeline: ChosenPipeline,
    output: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; an .npz file.")],
    whiten: Annotated[
        bool, typer.Option("--whiten", help="Scale the components to the same variance.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fit principal components to the vectors that the corpus has kept; `projected` reads them."""
    from ragkit.cli import terminal
    from ragkit.evaluate.projection import fit_projection

    fitted = fit_projection(pipeline.load(), output, whiten)
    if as_json:
        print_json(fitted.as_json())
        return
    shares = ", ".join(f"{share:.0%} in {n}" for n, share in fitted.kept.items())
    terminal.out.print(
        f"fitted to {fitted.vectors} vectors of {fitted.dimensions} dimensions; of their variance {shares}",
        soft_wrap=True,
    )
    terminal.out.print(
        f"to use it: embed: {{type: projected, embed: ..., fit: {output}, dimensions: {fitted.dimensions // 2}}}",
        soft_wrap=True,
    )


@app.command("verifier")
def verifier(
    output: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write the model; a new folder.")],
    data: Annotated[
        Path,
        typer.Option("--data", metavar="DIR", help="A folder with files of labelled rows, *.jsonl[.gz]."),
    ],
    base: Annotated[
        str, typer.Option("--base", metavar="MODEL", help="The sentence-transformers model to start from.")
    ] = "all-MiniLM-L6-v2",
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            metavar="MODEL",
            help="Train this larger model first, and let the reader learn from it.",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help="How many steps of training.", show_default=False),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            min=0.1,
            help="How long to train, and the teacher as long (default: 30).",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train the reader, which tells what answers a question and what supports a claim, on labelled rows."""
    from ragkit.cli import terminal
    from ragkit.errors import UsageError
    from ragkit.evaluate.reader_data import ReaderRecipe
    from ragkit.evaluate.train_reader import ReaderReport, train_reader_events

    if steps and minutes:
        raise UsageError("--steps and --minutes both say how long to train; give one of them")
    recipe = ReaderRecipe(steps=steps, minutes=minutes or ReaderRecipe.minutes, seed=seed)
    report: ReaderReport = watched(train_reader_events(data, output, base, teacher, recipe))
    if as_json:
        print_json(report.as_json())
        return
    if report.teacher:
        terminal.out.print(f"the teacher: {report.teacher.figures}", soft_wrap=True)
    terminal.out.print(
        f"trained for {report.steps} steps ({report.tokens:,} tokens) in {report.seconds:.0f} s; on {report.held_out} examples"
        f" of other texts: {report.figures}",
        soft_wrap=True,
    )
    terminal.out.print(f"to use it: reader: {report.component}", soft_wrap=True)
