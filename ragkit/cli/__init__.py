"""The command line.

The commands are `ragkit ingest`, `work`, `lookup`, `ask`, `check`, `search`, `chat`, `serve`, `mcp`, `list`, `show`, `open`, `edit`, `rm`, `export`, `cite`, `doctor`, `eval`, `probe`,
`tune`, `testset`, `calibrate`, `train`, `config`, `presets` and `components`.

Exit status: 0 done; 1 failed while running; 2 wrong usage or configuration; 3 ingest finished but some files
failed that had not failed before, or lookup finished but a service failed; 4 `check` found a claim
that is not supported, or `ask --fail-on-abstain` no answer.

Nothing heavy is imported before a command runs, so that `ragkit --help` answers at once.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Annotated, ParamSpec

import typer

import ragkit
from ragkit.cli import ask, calibrate, chat, check, corpus, evaluate, ingest, mcp, papers, serve, train, work
from ragkit.cli.options import (
    BEFORE_COMMAND,
    AsJson,
    ChosenPipeline,
    CorpusName,
    ShownPipeline,
    Versions,
    Where,
    print_json,
    say,
    start_up,
    started,
    watched,
    with_pipeline,
)

P = ParamSpec("P")

app = typer.Typer(
    name="ragkit",
    help="Answers over a corpus of papers, with checked citations.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="With --debug anywhere, an error shows its traceback.",
)
config_app = typer.Typer(no_args_is_help=True, help="Check, show or describe pipeline files.")
app.add_typer(config_app, name="config")
app.add_typer(train.app, name="train")
app.add_typer(corpus.app, name="corpus")


def _traced(command: Callable[P, None]) -> Callable[P, None]:
    """*command*, its traces sent where OpenTelemetry's environment variables say."""

    @functools.wraps(command)
    def run(*arguments: P.args, **options: P.kwargs) -> None:
        from ragkit import telemetry

        with telemetry.from_environment():
            command(*arguments, **options)

    return run


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ragkit {ragkit.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version."),
    ] = False,
    corpus_name: CorpusName = None,
) -> None:
    BEFORE_COMMAND.set(corpus_name)


app.command()(_traced(with_pipeline(ingest.ingest)))
app.command()(_traced(with_pipeline(work.work)))


@app.command()
@_traced
@with_pipeline
def lookup(
    pipeline: ChosenPipeline,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print which papers would be asked about; ask nobody.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask Crossref, OpenAlex and arXiv (or the services that the file names) about papers in the corpus that lack
    authors, year, venue or DOI.  What a file or a bibliography states stays; texts and indexes do not change.

    The exit status is 3 if a service failed; the same command asks again about the papers that are left.
    """
    from ragkit.cli import reports

    rag = pipeline.load()
    if dry_run:
        papers = rag.to_look_up()
        if as_json:
            print_json({"papers": [each.model_dump(mode="json") for each in papers]})
        else:
            reports.show_to_look_up(papers)
        return
    report = watched(rag.lookup_events())
    print_json(report.as_json()) if as_json else reports.show_lookup(report)
    if report.left:
        raise typer.Exit(3)


app.command()(_traced(with_pipeline(ask.ask)))
app.command()(_traced(with_pipeline(check.check)))


@app.command()
@_traced
@with_pipeline
def search(
    pipeline: ChosenPipeline,
    words: Annotated[
        list[str], typer.Argument(metavar="QUERY", help="What to look for.", show_default=False)
    ],
    k: Annotated[int, typer.Option("-k", min=1, help="How many passages.")] = 10,
    where: Where = None,
    versions: Versions = False,
    as_json: AsJson = False,
) -> None:
    """Find passages, best first."""
    from ragkit.cli import terminal

    query = " ".join(words)
    hits = pipeline.load().search(query, k, where, versions)
    if as_json:
        from ragkit.document import as_json as plain

        print_json({"results": [plain(hit) for hit in hits]})
    else:
        terminal.show_hits(hits, query)


app.command()(_traced(with_pipeline(chat.chat)))


app.command()(_traced(with_pipeline(serve.serve)))
app.command()(_traced(with_pipeline(mcp.mcp)))


app.command("list")(with_pipeline(papers.list_papers))
app.command()(with_pipeline(papers.show))
app.command("document", hidden=True)(with_pipeline(papers.show))  # its earlier name
app.command("open")(with_pipeline(papers.open_paper))
app.command()(with_pipeline(papers.edit))
app.command("rm")(with_pipeline(papers.remove))
app.command()(with_pipeline(papers.export))
app.command()(with_pipeline(papers.cite))


@app.command()
@with_pipeline
def doctor(
    pipeline: ChosenPipeline,
    as_json: AsJson = False,
    mend: Annotated[
        bool, typer.Option("--repair", help="Rebuild inconsistent indexes from the corpus.")
    ] = False,
    clean: Annotated[
        bool, typer.Option("--vacuum", help="Delete the vectors that no passage needs any more.")
    ] = False,
) -> None:
    """Print corpus statistics and check that every index is consistent and every file is still there.

    The exit status is 1 if there are problems, which you must solve; orphaned vectors are none.
    """
    from ragkit.cli import reports
    from ragkit.doctor import examine, repair, vacuum

    rag = pipeline.load()
    repaired = repair(rag).repaired if mend else ()
    diagnosis = vacuum(rag) if clean else examine(rag)
    diagnosis = diagnosis.model_copy(update={"repaired": repaired})
    if as_json:
        print_json(diagnosis.as_json())
    else:
        reports.show_diagnosis(diagnosis)
    if diagnosis.problems:
        raise typer.Exit(1)


app.command("eval")(_traced(with_pipeline(evaluate.eval_)))
app.command()(_traced(with_pipeline(evaluate.probe)))
app.command()(_traced(with_pipeline(evaluate.tune)))
app.command("testset")(_traced(with_pipeline(evaluate.write_testset)))
app.command()(_traced(with_pipeline(calibrate.calibrate)))


@config_app.command("check")
@with_pipeline
def config_check(
    pipeline: ShownPipeline,
) -> None:
    """Report every mistake in a pipeline file, with its place, and settings that do not fit together."""
    import logging

    from ragkit.mismatch import mismatches

    logging.getLogger("ragkit").setLevel(logging.ERROR)  # the warnings are printed below
    used = pipeline.used()
    rag = used.load()
    warnings = mismatches(rag.ingest_pipeline, rag.answer_pipeline)
    for message in warnings:
        say(f"{used.file()}: warning: {message}")
    if not warnings:
        say(f"{used.file()}: no problems")


@config_app.command("show")
@with_pipeline
def config_show(pipeline: ShownPipeline) -> None:
    """Print a pipeline file, all that it extends included, with every default written out, to start from."""
    from ragkit.pipeline_file import shown

    say(shown(pipeline.read(), pipeline.allow_import, pipeline.allow_env).removesuffix("\n"))


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of pipeline files, for editors."""
    from ragkit.pipeline_file import schema

    print_json(schema())


@app.command("presets")
def list_presets(as_json: AsJson = False) -> None:
    """List the pipelines that come with the package, for --preset and `extends`."""
    from ragkit.cli import terminal
    from ragkit.config import presets

    found = {name: presets.summary(name) for name in presets.names()}
    if as_json:
        print_json({"presets": [{"name": name, "summary": summary} for name, summary in found.items()]})
    else:
        terminal.show_table("presets", list(found.items()))


@app.command()
def components(
    name: Annotated[str | None, typer.Argument(help="One component, to see its arguments.")] = None,
    papers: Annotated[
        bool,
        typer.Option("--papers", help="List the papers that components come from, and measured effects."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List what a pipeline file can name, or the arguments of one component."""
    import ragkit.evaluate.judge  # noqa: F401  (a component that no pipeline file names)
    from ragkit.cli import terminal
    from ragkit.pipeline_file import catalogue

    found = catalogue(name)
    if as_json:
        print_json({"components": found})
        return
    if papers:
        rows = [
            (entry["name"], title, "\n".join(entry["effects"]) or "not measured")
            for entry in found
            for title in entry["papers"]
        ]
        terminal.show_table("papers", [("component", "title", "effect"), *rows])
        return
    for slot in dict.fromkeys(entry["slot"] for entry in found):
        entries = [entry for entry in found if entry["slot"] == slot]
        terminal.show_table(slot, [(entry["name"], entry["summary"]) for entry in entries])
        for entry in entries if name else []:
            terminal.show_table(
                "arguments",
                [
                    (a["name"], f"{a['type']}{' = ' + a['default'] if a['default'] else ''}")
                    for a in entry["arguments"]
                ],
            )


def main(arguments: list[str] | None = None) -> None:
    """Run a command; an error is one sentence on standard error, its traceback only with --debug."""
    start_up()
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    try:
        app([a for a in arguments if a != "--debug"], prog_name="ragkit")
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of the pipe has closed it
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        from ragkit.errors import ConfigError, RagkitError
        from ragkit.text.printable import one_line

        if isinstance(error, RagkitError):
            say(str(error) if isinstance(error, ConfigError) else one_line(str(error)), err=True)
            sys.exit(error.exit_status)
        from ragkit.models.chat import explained

        if sentence := explained(error):
            say(sentence, err=True)
            sys.exit(1)
        notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
        failure = one_line(f"{type(error).__name__}: {error}{notes}")
        say(f"ragkit failed: {failure}; --debug shows the traceback", err=True)
        sys.exit(1)
    finally:
        # Once more, so that the last collection of the process passes over all that is imported, which is
        # a tenth of a short command.
        started()
