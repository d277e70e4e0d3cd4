"""`ragkit ask` and `ragkit chat`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
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
    from ragkit.conversation import Conversation
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
    from ragkit.cli.trace import Trace
    from ragkit.flow import result_of

    def happening() -> Iterator[Event]:
        rag = pipeline.load()
        show = Trace() if trace else None
        for event in rag.stream(" ".join(question), where=where, versions=versions):
            if show:
                show(event)
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


HELP = """\
/sources     the sources of the last answer
/history     what was asked and answered
/save FILE   save the conversation, from now on too
/reset       forget the conversation
/quit        end"""


def chat(
    pipeline: ChosenPipeline,
    session: Annotated[
        Path | None,
        typer.Option(
            "--session",
            help="File that keeps the conversation; if there is one, it goes on.",
            show_default=False,
        ),
    ] = None,
    where: Where = None,
) -> None:
    """Ask one question after another; later ones may lean on earlier ones."""
    from ragkit.cli import terminal
    from ragkit.conversation import Conversation, FileChatHistory
    from ragkit.errors import RagkitError

    conversation = Conversation(pipeline.load(), FileChatHistory(session) if session else None)
    interactive = sys.stdin.isatty()
    if session:
        terminal.err.print(_welcome(conversation, session), style="dim", soft_wrap=True)
    if interactive:
        terminal.out.print(
            "Ask about the papers.  /help lists what else you can say, /quit ends.", style="dim"
        )
    while (said := _next_line(interactive)) not in (None, "/quit", "/exit"):
        try:
            _reply(conversation, str(said), where)
        except RagkitError as error:
            if not interactive:
                raise
            terminal.err.print(str(error), style="red", soft_wrap=True)
        except KeyboardInterrupt:
            terminal.err.print("\nstopped; the question is forgotten", style="dim")


def _welcome(conversation: Conversation, session: Path) -> str:
    match len(conversation.answers):
        case 0:
            return f"a new conversation, kept in '{session}'"
        case 1:
            return f"1 question and its answer found in '{session}'"
        case many:
            return f"{many} questions and their answers found in '{session}'"


def _next_line(interactive: bool) -> str | None:
    try:
        return input("\n> " if interactive else "").strip()
    except (EOFError, KeyboardInterrupt):
        return None


def _reply(conversation: Conversation, said: str, where: str | None) -> None:
    from ragkit.cli import terminal
    from ragkit.errors import UsageError

    match said.split(maxsplit=1):
        case []:
            return
        case ["/help"]:
            terminal.out.print(HELP)
        case ["/reset"]:
            conversation.reset()
            terminal.err.print("forgotten", style="dim")
        case ["/save", file]:
            conversation.save(file)
            terminal.err.print(f"saved in '{file}', from now on too", style="dim", soft_wrap=True)
        case ["/history"]:
            terminal.show_history(conversation.answers)
        case ["/sources"]:
            for answer in conversation.answers[-1:]:
                terminal.show_sources(answer)
        case [command, *_] if command.startswith("/"):
            raise UsageError(f"there is no '{said}' here; /help lists what there is")
        case _:
            terminal.show_as_written(conversation.stream(said, where))
