"""What the commands have in common: options, and how JSON is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

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
        "--allow-import", help="Package whose import paths the file may use; repeatable.", show_default=False
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
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def print_json(value: Any, indent: int | None = 2) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=indent))
