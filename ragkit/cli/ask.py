"""`ragkit ask`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import (
    NOT_SUPPORTED,
    AsJson,
    ChosenPipeline,
    Versions,
    Where,
    print_json,
)

if TYPE_CHECKING:
    from ragkit.answer import Answer
    from ragkit.flow import Event


def ask(
    pipeline: ChosenPipeline,
    question: Annotated[
        list[str],
        typer.Argument(
            metavar="QUESTION", help="The question, with or without quotation marks.", show_default=False
        ),
    ],
    as_json: AsJson = False,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream", help="Show each sentence once it is checked (with --json: one event a line)."
        ),
    ] = False,
    where: Where = None,
    versions: Versions = False,
    trace: Annotated[
        bool,
        typer.Option(
            "--trace", help="Show what each stage found, kept and dropped, its time, and what the gate saw."
        ),
    ] = False,
    fail_on_abstain: Annotated[
        bool, typer.Option("--fail-on-abstain", help="Exit with 4 if the papers do not answer.")
    ] = False,
) -> None:
    """Answer a question from the corpus, with citations that have been checked."""
    from ragkit.cli import terminal
    from ragkit.flow import result_of
    from ragkit.trace import Trace

    def happening() -> Iterator[Event]:
        rag = pipeline.load()
        told = Trace() if trace else None
        for event in rag.stream(" ".join(question), where=where, versions=versions):
            if told:
                terminal.show_trace(told.lines(event))
            yield event

    if not stream:
        with terminal.waiting():
            answer: Answer = result_of(happening())
        print_json(answer.as_json()) if as_json else terminal.show_answer(answer)
    elif not as_json:
        answer = terminal.show_as_written(happening())
    else:
        answer = result_of(_as_json(happening()))
    if answer.abstained and fail_on_abstain:
        raise typer.Exit(NOT_SUPPORTED)


def _as_json(happening: Iterator[Event]) -> Iterator[Event]:
    """The events, each of which is printed as a line of JSON if it has one."""
    from ragkit import events

    try:
        for event in happening:
            if told := events.of(event):
                print_json(told.as_json(), indent=None)
            yield event
    except Exception as error:
        print_json(events.failed(error).as_json(), indent=None)
        raise
