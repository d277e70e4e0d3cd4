"""What the commands have in common: options, how a pipeline file is loaded, and how JSON is printed."""

from __future__ import annotations

import copy
import gc
import inspect
import re
import typing
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from ragkit.text.printable import exact_json, printable

if TYPE_CHECKING:
    from ragkit.config.layers import Document, Override
    from ragkit.flow import Event
    from ragkit.rag import Rag


def _presets(incomplete: str) -> list[tuple[str, str]]:
    """The presets that begin so, for a shell that completes a command."""
    from ragkit.config import presets

    return [(name, presets.summary(name)) for name in presets.names() if name.startswith(incomplete)]


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="Pipeline file; without it, ./ragkit.yaml if there is one, else the preset default (with --model, chat).",
        show_default=False,
    ),
]
Configs = Annotated[
    list[Path],
    typer.Option("--config", "-c", help="Pipeline file; repeat it to compare several.", show_default=False),
]
PipelineFile = Annotated[Path | None, typer.Argument(metavar="FILE", show_default=False)]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        autocompletion=_presets,
        help="Pipeline of the package, instead of a file; `ragkit presets` lists them.",
        show_default=False,
    ),
]
Presets = Annotated[
    list[str],
    typer.Option(
        "--preset",
        metavar="NAME",
        autocompletion=_presets,
        help="Pipeline of the package; repeat it to compare several.",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="Chat model: gpt-4o-mini, ollama/qwen3 or http://HOST:PORT/v1#NAME; RAGKIT_MODEL does the same.",
        show_default=False,
    ),
]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set a value of the pipeline, such as answer.refine.k=3; repeatable.",
        show_default=False,
    ),
]
CorpusDirectory = Annotated[
    Path | None,
    typer.Option("--corpus", help="Directory of the corpus, instead of the file's.", show_default=False),
]
CorpusName = Annotated[
    str | None,
    typer.Option(
        "--corpus-name",
        metavar="NAME",
        help="Corpus of this name in your data folder, which every folder sees.",
        show_default=False,
    ),
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
        help="Only passages that match, such as 'year >= 2023 and section contains results'.",
    ),
]
Versions = Annotated[
    bool,
    typer.Option("--versions", help="Use older versions of papers, too; by default only the newest."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

BEFORE_COMMAND: ContextVar[str | None] = ContextVar("corpus_name", default=None)
"""The `--corpus-name` that stands before the command, where all commands have it."""

NOT_SUPPORTED = 4
"""The exit status if the papers do not support a claim, or do not answer a question."""

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


class ChosenPipeline(NamedTuple):
    """The options that choose and change a pipeline: an argument of this class takes them all."""

    config: Config = None
    preset: Preset = None
    model: Model = None
    overrides: Overrides = []
    corpus: CorpusDirectory = None
    allow_import: AllowImport = []
    allow_env: AllowEnv = []
    corpus_name: CorpusName = None

    def load(self) -> Rag:
        """The pipelines that a command works with, which ends its start-up."""
        from ragkit import pipeline_file

        rag = pipeline_file.load(
            self.config,
            preset=self.preset,
            model=self.model,
            overrides=self.changes(),
            corpus=self.corpus,
            corpus_name=self.corpus_name or BEFORE_COMMAND.get(),
            allow_import=self.allow_import,
            allow_env=self.allow_env,
        )
        started()
        return rag

    def directory(self) -> Path | None:
        """The corpus that `--corpus` or `--corpus-name` names; None for the pipeline file's.  Raises `UsageError`."""
        from ragkit.corpus import places

        name = self.corpus_name or BEFORE_COMMAND.get()
        return places.named(name) if self.corpus is None and name else self.corpus

    def file(self) -> Path:
        """The pipeline file that is chosen."""
        from ragkit.pipeline_file import find

        return find(self.config, self.preset, self.model)

    def changes(self) -> list[Override]:
        """What `--set` sets.  Raises `UsageError`."""
        return _overrides(self.overrides)


class ComparedPipelines(NamedTuple):
    """The same for several pipelines."""

    config: Configs = []
    preset: Presets = []
    model: Model = None
    overrides: Overrides = []
    corpus: CorpusDirectory = None
    allow_import: AllowImport = []
    allow_env: AllowEnv = []
    corpus_name: CorpusName = None

    def each(self) -> list[ChosenPipeline]:
        """One for each file and preset; without any, the one that every command takes then."""
        shared = (
            self.model,
            self.overrides,
            self.corpus,
            self.allow_import,
            self.allow_env,
            self.corpus_name,
        )
        files = [ChosenPipeline(file, None, *shared) for file in self.config]
        chosen = [ChosenPipeline(None, preset, *shared) for preset in self.preset]
        return files + chosen or [ChosenPipeline(None, None, *shared)]


class ShownPipeline(NamedTuple):
    """The same where the file is an argument, and is checked or shown instead of used."""

    file: PipelineFile = None
    preset: Preset = None
    model: Model = None
    overrides: Overrides = []
    allow_import: AllowImport = []
    allow_env: AllowEnv = []

    def used(self) -> ChosenPipeline:
        return ChosenPipeline(
            self.file, self.preset, self.model, self.overrides, None, self.allow_import, self.allow_env
        )

    def read(self) -> Document:
        """The file with all that it extends and that is set on top of it."""
        from ragkit import pipeline_file

        return pipeline_file.read(
            self.file,
            self.preset,
            self.model,
            _overrides(self.overrides),
            self.allow_import,
            self.allow_env,
            need_model=False,
        )


def _overrides(given: list[str]) -> list[Override]:
    from ragkit.config.layers import Override

    return list(map(Override.parse, given))


def with_pipeline(command: Callable[..., None]) -> Callable[..., None]:
    """*command* with the options of its argument `pipeline` in the place of that argument."""
    own = dict(inspect.signature(command, eval_str=True).parameters)
    kind = own.pop("pipeline").annotation
    hints = typing.get_type_hints(kind, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    options = [
        inspect.Parameter(name, keyword, default=kind._field_defaults[name], annotation=_in_panel(hint))
        for name, hint in hints.items()
    ]

    def run(**given: Any) -> None:
        command(pipeline=kind(**{name: given.pop(name) for name in hints}), **given)

    parameters = [*(each.replace(kind=keyword) for each in own.values()), *options]
    run.__name__, run.__doc__, run.__module__ = command.__name__, _folded(command.__doc__), command.__module__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _in_panel(hint: Any) -> Any:
    """An option that many commands have, in a part of the help of its own."""
    option = copy.copy(hint.__metadata__[0])
    option.rich_help_panel = "Pipeline and corpus"
    return Annotated[hint.__origin__, option]


def _folded(help_text: str | None) -> str:
    """*help_text* with each paragraph in one line, so that it is wrapped to the terminal."""
    return re.sub(r"(?<!\n)\n *(?!\n)", " ", inspect.cleandoc(help_text or ""))


def print_json(value: Any, indent: int | None = 2) -> None:
    typer.echo(exact_json(value, indent))


def say(message: str, err: bool = False) -> None:
    """Print a message that may quote what strangers wrote."""
    typer.echo(printable(message), err=err)


def watched(events: Iterable[Event]) -> Any:
    """The result of *events*, None without one, while a bar shows their progress on a terminal."""
    from ragkit.cli.terminal import progress_bar
    from ragkit.flow import Finished, Progress

    result = None
    with progress_bar() as bar:
        for event in events:
            if bar and isinstance(event, Progress):
                bar(event)
            elif isinstance(event, Finished):
                result = event.result
    return result
