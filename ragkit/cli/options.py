"""What the commands have in common: options, how a pipeline file is loaded, and how JSON is printed."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.text.printable import exact_json, printable

if TYPE_CHECKING:
    from ragkit.rag import Rag

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="Pipeline file; without it, ./ragkit.yaml if there is one, else the default.",
        show_default=False,
    ),
]
CorpusDirectory = Annotated[
    Path | None,
    typer.Option("--corpus", help="Directory of the corpus, instead of the file's.", show_default=False),
]
AllowImport = Annotated[
    list[str],
    typer.Option(
        "--allow-import",
        metavar="PATH",
        help="Class (or module, or package) that the file may import; repeatable.",
        show_default=False,
    ),
]
AllowEnv = Annotated[
    list[str],
    typer.Option(
        "--allow-env",
        metavar="NAME",
        help="Environment variable that the file may read, beside RAGKIT_...; repeatable.",
        show_default=False,
    ),
]
Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="FILTER",
        help="Only of passages such as 'year >= 2023 and section contains results'.",
    ),
]
Versions = Annotated[
    bool,
    typer.Option("--versions", help="Also from older versions of papers, of which else the newest answers."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


_USUAL = gc.get_threshold()


def start_up() -> None:
    """Let the garbage collector rest while modules are imported.

    It would take a tenth of the import time and free nothing.
    """
    gc.set_threshold(1_000_000)


def started() -> None:
    """End `start_up`: the collector works as usual, and passes over what is imported."""
    gc.freeze()
    gc.set_threshold(*_USUAL)


def load_rag(config: Path | None, corpus: Path | None, allow_import: list[str], allow_env: list[str]) -> Rag:
    """The pipelines that a command works with, which ends its start-up."""
    from ragkit import pipeline_file

    rag = pipeline_file.load(config, corpus=corpus, allow_import=allow_import, allow_env=allow_env)
    started()
    return rag


def print_json(value: Any, indent: int | None = 2) -> None:
    typer.echo(exact_json(value, indent))


def say(message: str, err: bool = False) -> None:
    """Print a message that may quote what strangers wrote."""
    typer.echo(printable(message), err=err)
