"""`ragkit eval`, `probe`, `tune`, `testset`: compare, stress and tune configurations; write questions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.cli.options import (
    AsJson,
    ChosenPipeline,
    ComparedPipelines,
    print_json,
    started,
    watched,
)

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from ragkit.evaluate.evaluation import Evaluation
    from ragkit.evaluate.run import Assessors, Configuration

Papers = Annotated[
    list[Path] | None,
    typer.Option(
        "--papers",
        help="Evaluate on these papers, in a separate corpus, instead of the configured one.",
    ),
]
Workspace = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        help="Folder that keeps corpora and results (default: in the cache).",
        show_default=False,
    ),
]
JudgeFile = Annotated[
    Path | None,
    typer.Option(
        "--judge",
        metavar="FILE",
        help="YAML file with `judge:` (a chat model that grades answers) and `verify:`.",
    ),
]
Jobs = Annotated[int, typer.Option("--jobs", min=1, help="How many questions are asked at a time.")]
Questions = Annotated[Path, typer.Argument(metavar="QUESTIONS", help="A file of questions (JSON lines).")]
Split = Annotated[
    str | None,
    typer.Option("--split", help="Use the judgements of this split, or the questions marked with it."),
]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="Only the first questions of each dataset.")
]
MaxCalls = Annotated[
    int | None,
    typer.Option("--max-calls", help="Stop after so many calls to chat models.", show_default=False),
]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", help="Stop after so many of their tokens.", show_default=False)
]
MaxSeconds = Annotated[
    float | None, typer.Option("--max-seconds", help="Stop after so much time.", show_default=False)
]
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same result.")]


def eval_(
    pipeline: ComparedPipelines,
    datasets: Annotated[
        list[Path],
        typer.Argument(metavar="DATASET...", help="Folders in BEIR's layout, or files of questions."),
    ],
    papers: Papers = None,
    split: Split = None,
    limit: Limit = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write one self-contained HTML page.")
    ] = None,
    as_json: AsJson = False,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML.")] = None,
    require: Annotated[
        list[str] | None,
        typer.Option("--require", help="Exit with 1 unless it holds, such as 'right >= 0.8'."),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline",
            metavar="FILE",
            help="Exit with 1 if worse than this earlier --json by more than chance.",
        ),
    ] = None,
    max_flips: Annotated[
        int | None,
        typer.Option(
            "--max-flips",
            min=0,
            help="Exit with 1 if more questions than that are answered well by the first and not by another.",
            show_default=False,
        ),
    ] = None,
    judge: JudgeFile = None,
    pairwise: Annotated[
        bool,
        typer.Option("--pairwise", help="Let the judge compare the configurations' answers, and rank them."),
    ] = False,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_seconds: MaxSeconds = None,
    jobs: Jobs = 1,
    price: Annotated[
        list[str] | None,
        typer.Option("--price", metavar="MODEL=IN/OUT", help="Price of a million tokens read and written."),
    ] = None,
    workspace: Workspace = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print what would be asked and an estimate of the cost; ask nothing."),
    ] = False,
    trec: Annotated[
        Path | None,
        typer.Option("--trec", metavar="FOLDER", help="Write the rankings as TREC runs and qrels."),
    ] = None,
    ranked: Annotated[
        list[Path] | None,
        typer.Option("--run", metavar="FILE", help="A TREC run to compare with; repeatable."),
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option("--samples", metavar="FILE", help="Write the answers for ragas and deepeval."),
    ] = None,
) -> None:
    """Measure retrieval and answers, and report which differences between configurations are significant.

    Configurations are compared pair by pair.  Results are cached; interrupted runs resume.
    """
    from ragkit.cli import show, terminal
    from ragkit.evaluate.dataset import read
    from ragkit.evaluate.estimate import estimate
    from ragkit.evaluate.evaluation import Requirement, regressions
    from ragkit.evaluate.flips import flips, too_many
    from ragkit.evaluate.run import Budget, Settings, evaluate_events, with_runs

    wanted = [Requirement.parse(text) for text in require or ()]
    settings = Settings(
        papers=papers or (),
        workspace=workspace,
        budget=Budget(max_calls, max_tokens, max_seconds),
        assessors=assessors(judge, pipeline.allow_import, pipeline.allow_env),
        pairwise=pairwise,
        jobs=jobs,
        prices=dict(map(_price, price or ())),
    )
    given = [read(path, split).first(limit) for path in datasets]
    compared = configurations(pipeline.each())
    if dry_run:
        planned = estimate(compared, given, settings)
        print_json({"runs": [vars(each) for each in planned]}) if as_json else show.estimate(planned)
        return
    found: Evaluation = with_runs(watched(evaluate_events(compared, given, settings)), given, ranked or ())
    unmet = [problem for each in wanted for problem in each.unmet(found)] + (
        regressions(found, baseline) if baseline else []
    )
    flipped = flips(found, baseline)
    unmet += too_many(flipped, max_flips) if max_flips is not None else []
    data = found.as_json() | {"flips": [each.as_json() for each in flipped], "unmet": unmet}
    if as_json:
        print_json(data)
    else:
        show.evaluation(found)
        show.flips(flipped)
    write(report, lambda: _html(data))
    write(junit, lambda: found.junit(unmet))
    if trec:
        found.write_trec(trec)
    if samples:
        found.write_samples(samples)
    for problem in unmet:
        terminal.err.print(f"not met: {problem}", style="red")
    if unmet or found.failed:
        raise typer.Exit(1)


def probe(
    pipeline: ComparedPipelines,
    questions: Questions,
    papers: Papers = None,
    split: Split = None,
    limit: Limit = None,
    as_json: AsJson = False,
    workspace: Workspace = None,
    llm: Annotated[
        Path | None,
        typer.Option(
            "--llm",
            metavar="FILE",
            help="YAML file with `llm:`, a chat model that asks questions in other words if the file does not.",
        ),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Stress-test answers: ask the same questions again with altered passages or small talk before them.

    Gold papers are taken away, numbers changed, passages shuffled, or hard negatives added; questions are asked
    in other words, those of their `paraphrases` or of a chat model.
    """
    from ragkit.cli import show
    from ragkit.evaluate.dataset import read
    from ragkit.evaluate.probe import probe_events
    from ragkit.evaluate.run import Settings
    from ragkit.rewrite import MultiQueryRewriter

    dataset = read(questions, split).first(limit)
    settings = Settings(papers=papers or (), workspace=workspace)
    model = chat_model_in(llm, pipeline.allow_import, pipeline.allow_env)
    reworded = MultiQueryRewriter(llm=model) if model else None
    rows = watched(probe_events(configurations(pipeline.each()), dataset, settings, seed, reworded))
    print_json({"probes": [row.as_json() for row in rows]}) if as_json else show.probes(rows)


def tune(
    pipeline: ChosenPipeline,
    arguments: Annotated[
        list[Path],
        typer.Argument(
            metavar="[FILE] DATASET",
            help="A pipeline file (else --config or --preset), and a file of questions or a folder in BEIR's layout.",
            show_default=False,
        ),
    ],
    papers: Papers = None,
    split: Split = None,
    measure: Annotated[
        str, typer.Option("--measure", help="What is to be best (default: good, or ndcg@10 of a collection).")
    ] = "",
    candidates: Annotated[
        int, typer.Option("--candidates", min=2, help="How many ways to fill in the file are tried at most.")
    ] = 32,
    held_out: Annotated[
        float,
        typer.Option(
            "--held-out", min=0, max=0.9, help="Share of the questions kept for the last comparison."
        ),
    ] = 0.3,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the winning pipeline file.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write what mattered, as Markdown.")
    ] = None,
    judge: JudgeFile = None,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_seconds: MaxSeconds = None,
    jobs: Jobs = 1,
    workspace: Workspace = None,
    seed: Seed = 0,
) -> None:
    """Choose the best values for the open settings of a pipeline, measured on your questions.

    Settings are left open by {choice: [a, b]} or {range: [low, high]} in the file, or with --set.  Many
    candidates are tried on few questions, the best of them on more.
    """
    from ragkit.cli import terminal
    from ragkit.errors import UsageError
    from ragkit.evaluate.dataset import read
    from ragkit.evaluate.run import Budget, Settings
    from ragkit.evaluate.space import Space
    from ragkit.evaluate.tune import Tuned, tune_events
    from ragkit.pipeline_file import LOCAL

    *file, dataset = arguments
    if len(file) > 1 or (file and (pipeline.config or pipeline.preset)):
        raise UsageError("give one pipeline (FILE, --config or --preset) and one DATASET")
    pipeline = pipeline._replace(config=file[0]) if file else pipeline
    chosen = pipeline.file()
    if chosen == LOCAL and not (file or pipeline.config):
        raise UsageError(
            f"./{LOCAL} is in this folder: name the pipeline to tune, with --config {LOCAL} or --preset NAME"
        )
    settings = Settings(
        papers=papers or (),
        workspace=workspace,
        budget=Budget(max_calls, max_tokens, max_seconds),
        assessors=assessors(judge, pipeline.allow_import, pipeline.allow_env),
        jobs=jobs,
    )
    space = Space.read(chosen, pipeline.allow_import, pipeline.allow_env, pipeline.model, pipeline.changes())
    started()
    options: dict[str, Any] = {
        "corpus": pipeline.directory(),
        "measure": measure,
        "most": candidates,
        "held_out": held_out,
        "seed": seed,
    }
    found: Tuned = watched(tune_events(space, read(dataset, split), settings, **options))
    terminal.out.print(found.markdown(), soft_wrap=True)
    write(report, found.markdown)
    if output and (refused := found.refusal):
        raise UsageError(f"'{output}' was not written: {refused}")
    write(output, lambda: found.yaml)


def write_testset(
    pipeline: ChosenPipeline,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The file of questions to write.")
    ] = Path("testset.jsonl"),
    size: Annotated[int, typer.Option("--size", min=1, help="How many questions.")] = 50,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--kind", help="number, definition, fact, two_papers or unanswerable; repeatable."),
    ] = None,
    unanswerable: Annotated[
        float, typer.Option("--unanswerable", min=0, max=1, help="Share of questions that nothing answers.")
    ] = 0.2,
    llm: Annotated[
        Path | None,
        typer.Option(
            "--llm",
            metavar="FILE",
            help="YAML file with `llm:`, a chat model that writes them; else templates do.",
        ),
    ] = None,
    sample: Annotated[int, typer.Option("--sample", min=0, help="How many questions to show.")] = 10,
    review: Annotated[
        bool, typer.Option("--review", help="Show every question and ask whether to keep it.")
    ] = False,
    beir: Annotated[
        Path | None,
        typer.Option("--beir", metavar="FOLDER", help="Write the papers and questions in BEIR's layout too."),
    ] = None,
    as_json: AsJson = False,
    seed: Seed = 0,
) -> None:
    """Write test questions about the papers of the corpus, with answers, gold papers and spans.

    Some of the questions are unanswerable.
    """
    from ragkit.cli import show
    from ragkit.errors import UsageError
    from ragkit.evaluate.testset import KINDS, Testset, write_events, written_as_beir

    if unknown := [kind for kind in kinds or () if kind not in KINDS]:
        raise UsageError(f"there is no kind '{unknown[0]}' (known: {', '.join(KINDS)})")
    wanted = [kind for kind in KINDS if kind in (kinds or KINDS)]
    rag = pipeline.load()
    model = chat_model_in(llm, pipeline.allow_import, pipeline.allow_env)
    found: Testset = watched(write_events(rag, size, wanted, model, unanswerable, seed))
    if review:
        found = found.model_copy(update={"entries": tuple(show.reviewed(found.entries))})
    write(
        output,
        lambda: "".join(json.dumps(entry.as_json(), ensure_ascii=False) + "\n" for entry in found.entries),
    )
    if beir:
        written_as_beir(beir, rag, found.entries)
    if as_json:
        print_json({"output": str(output), "questions": len(found.entries), "rejected": found.rejected})
    else:
        show.testset(found, output, 0 if review else sample, seed)


def configurations(pipelines: list[ChosenPipeline]) -> list[Configuration]:
    """What the files describe, each under its name; where names are the same, under its path."""
    from ragkit.evaluate.run import Configuration

    files = [each.file() for each in pipelines]
    stems = [file.stem for file in files]
    names = [
        stem if stems.count(stem) == 1 else str(file.with_suffix(""))
        for stem, file in zip(stems, files, strict=True)
    ]
    return [Configuration(name, each.load()) for name, each in zip(names, pipelines, strict=True)]


def chat_model_in(path: Path | None, allow_import: list[str], allow_env: list[str]) -> BaseChatModel | None:
    """The chat model that a YAML file has under `llm:`, if there is a file."""
    from ragkit import pipeline_file  # noqa: F401
    from ragkit.config import load
    from ragkit.evaluate.testset import ChatModel

    return load(ChatModel, path, allow_import, allow_env).llm if path else None


def assessors(path: Path | None, allow_import: list[str], allow_env: list[str]) -> Assessors:
    from ragkit import pipeline_file  # noqa: F401
    from ragkit.config import load
    from ragkit.evaluate.run import Assessors

    return load(Assessors, path, allow_import, allow_env) if path else Assessors()


def _html(data: dict[str, Any]) -> str:
    from ragkit.evaluate.report import html

    return html(data)


def _price(text: str) -> tuple[str, tuple[float, float]]:
    from ragkit.errors import UsageError

    model, _, prices = text.rpartition("=")
    try:
        read, written = map(float, prices.split("/"))
    except ValueError:
        raise UsageError(
            f"'{text}' is no price; write one such as gpt-4o-mini=0.15/0.60, for a million tokens read and written"
        ) from None
    return model, (read, written)


def write(path: Path | None, content: Callable[[], str]) -> None:
    from ragkit.errors import UsageError

    if path:
        try:
            path.write_text(content(), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write '{path}': {error.strerror}") from None
