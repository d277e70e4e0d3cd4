"""`ragkit check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ragkit.cli.options import (
    NOT_SUPPORTED,
    AsJson,
    ChosenPipeline,
    Versions,
    Where,
    print_json,
    say,
)


def check(
    pipeline: ChosenPipeline,
    file: Annotated[
        Path, typer.Argument(help="Plain text, Markdown or LaTeX; - reads standard input.", metavar="FILE|-")
    ],
    references: Annotated[
        Path | None,
        typer.Option(
            "--references",
            metavar="FILE",
            help="BibTeX, RIS or a list: what [3] or \\cite{key} means.",
            show_default=False,
        ),
    ] = None,
    where: Where = None,
    versions: Versions = False,
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a report in Markdown.")] = False,
) -> None:
    """Hold a text of your own against the corpus, claim by claim, with the best quotes for and against.

    The exit status is 4 if a claim is not supported.
    """
    from ragkit.check import text_of
    from ragkit.cli import terminal
    from ragkit.errors import UsageError

    if as_json and markdown:
        raise UsageError("--json and --markdown exclude each other; choose one")
    text = text_of(file) if str(file) != "-" else text_of("standard input", sys.stdin.buffer.read())
    found = pipeline.load().check(text, references, where, versions)
    if as_json:
        print_json(found.as_json())
    elif markdown:
        say(found.as_markdown().removesuffix("\n"))
    else:
        terminal.show_check(found)
    if not found.is_supported:
        raise typer.Exit(NOT_SUPPORTED)
