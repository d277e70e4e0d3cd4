"""`ragkit eval`: which configuration is better, and by how much."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.cli.options import AllowImport, AsJson, CorpusDirectory, print_json

if TYPE_CHECKING:
    from ragkit.evaluate.evaluation import Evaluation
    from ragkit.evaluate.run import Assessors, Configuration

Configurations = Annotated[
    list[Path] | None,
    typer.Option("--config", "-c", help="Pipeline file; repeat it to compare several.", show_default=False),
]
Papers = Annotated[
    list[Path] | None,
    typer.Option("--papers", help="Read these papers into a corpus of the run's own, instead of asking the configuration's."),
]
Workspace = Annotated[
    Path | None, typer.Option("--workspace", help="Folder that keeps corpora and results (default: in the cache).", show_default=False)
]
JudgeFile = Annotated[
    Path | None, typer.Option("--judge", metavar="FILE", help="YAML file with `judge:` (a chat model that grades answers) and `verify:`.")
]
Jobs = Annotated[int, typer.Option("--jobs", min=1, help="How many questions are asked at a time.")]


def eval_(
    datasets: Annotated[list[Path], typer.Argument(metavar="DATASET...", help="Folders in BEIR's layout, or files of questions.")],
    config: Configurations = None,
    corpus: CorpusDirectory = None,
    papers: Papers = None,
    split: Annotated[str | None, typer.Option("--split", help="Judgements of this split, or questions with it.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first questions of each dataset.")] = None,
    report: Annotated[Path | None, typer.Option("--report", metavar="FILE", help="Write one self-contained HTML page.")] = None,
    as_json: AsJson = False,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML.")] = None,
    require: Annotated[list[str] | None, typer.Option("--require", help="Exit with 1 unless it holds, such as 'right >= 0.8'.")] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", metavar="FILE", help="Exit with 1 if worse than this earlier --json by more than chance.")
    ] = None,
    judge: JudgeFile = None,
    pairwise: Annotated[bool, typer.Option("--pairwise", help="Let the judge compare the configurations' answers, and rank them.")] = False,
    max_calls: Annotated[int | None, typer.Option("--max-calls", help="Stop after so many calls to chat models.")] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", help="Stop after so many of their tokens.")] = None,
    max_seconds: Annotated[float | None, typer.Option("--max-seconds", help="Stop after so much time.")] = None,
    jobs: Jobs = 1,
    price: Annotated[
        list[str] | None, typer.Option("--price", metavar="MODEL=IN/OUT", help="Price of a million tokens read and written.")
    ] = None,
    workspace: Workspace = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be asked and about what it would take.")] = False,
    trec: Annotated[Path | None, typer.Option("--trec", metavar="FOLDER", help="Write the rankings as TREC runs and qrels.")] = None,
    ranked: Annotated[list[Path] | None, typer.Option("--run", metavar="FILE", help="A TREC run to compare with; repeatable.")] = None,
    samples: Annotated[Path | None, typer.Option("--samples", metavar="FILE", help="Write the answers for ragas and deepeval.")] = None,
    allow_import: AllowImport = [],  # noqa: B006
) -> None:
    """Measure retrieval and answers, compare configurations pair by pair, and say whether a difference could be chance.

    What was asked before is not asked again, and an interrupted run goes on where it stopped.
    """
    from ragkit import terminal
    from ragkit.evaluate import show
    from ragkit.evaluate.dataset import read
    from ragkit.evaluate.evaluation import Requirement, regressions
    from ragkit.evaluate.run import Budget, Settings, estimate, evaluate_events, with_runs
    from ragkit.flow import Finished, Progress

    gc.enable()
    wanted = [Requirement.parse(text) for text in require or ()]
    settings = Settings(
        papers=papers or (),
        workspace=workspace,
        budget=Budget(max_calls, max_tokens, max_seconds),
        assessors=assessors(judge, allow_import),
        pairwise=pairwise,
        jobs=jobs,
        prices=dict(map(_price, price or ())),
    )
    given = [read(path, split).first(limit) for path in datasets]
    compared = configurations(config, corpus, allow_import)
    if dry_run:
        planned = estimate(compared, given, settings)
        print_json({"runs": [vars(each) for each in planned]}) if as_json else show.estimate(planned)
        return
    with terminal.progress_bar() as bar:
        for event in evaluate_events(compared, given, settings):
            if bar and isinstance(event, Progress):
                bar(event)
            if isinstance(event, Finished):
                found: Evaluation = event.result
    found = with_runs(found, given, ranked or ())
    unmet = [problem for each in wanted for problem in each.unmet(found)] + (regressions(found, baseline) if baseline else [])
    data = found.as_json() | {"unmet": unmet}
    print_json(data) if as_json else show.evaluation(found)
    _write(report, lambda: _html(data))
    _write(junit, lambda: found.junit(unmet))
    if trec:
        found.write_trec(trec)
    if samples:
        found.write_samples(samples)
    for problem in unmet:
        terminal.err.print(f"not met: {problem}", style="red", markup=False)
    if unmet or found.failed:
        raise typer.Exit(1)


def configurations(paths: list[Path] | None, corpus: Path | None, allow_import: list[str]) -> list[Configuration]:
    """What the files describe, each under its name; where names are the same, under its path."""
    from ragkit.evaluate.run import Configuration
    from ragkit.main import find, load

    files = list(map(find, paths)) if paths else [find(None)]
    stems = [file.stem for file in files]
    names = [stem if stems.count(stem) == 1 else str(file.with_suffix("")) for stem, file in zip(stems, files, strict=True)]
    return [Configuration(name, load(file, corpus=corpus, allow_import=allow_import)) for name, file in zip(names, files, strict=True)]


def assessors(path: Path | None, allow_import: list[str]) -> Assessors:
    from ragkit import main  # noqa: F401  (which makes the components known)
    from ragkit.config import load
    from ragkit.evaluate.run import Assessors

    return load(Assessors, path, allow_import) if path else Assessors()


def _html(data: dict[str, Any]) -> str:
    from ragkit.evaluate.report import html

    return html(data)


def _price(text: str) -> tuple[str, tuple[float, float]]:
    from ragkit.errors import UsageError

    model, _, prices = text.rpartition("=")
    try:
        read, written = map(float, prices.split("/"))
    except ValueError:
        raise UsageError(f"'{text}' is no price; write one such as gpt-4o-mini=0.15/0.60, for a million tokens read and written") from None
    return model, (read, written)


def _write(path: Path | None, content: Callable[[], str]) -> None:
    from ragkit.errors import UsageError

    if path:
        try:
            path.write_text(content(), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write '{path}': {error.strerror}") from None
