"""`ragkit chat`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import ChosenPipeline, Versions, Where

if TYPE_CHECKING:
    from ragkit.answer import Answer
    from ragkit.conversation import Conversation

HELP = """\
/sources        the sources of the last answer
/open N         open source N of the last answer
/where FILTER   ask only of such passages; without a filter, of all
/history        what was asked and answered
/export FILE    write the conversation (.md) or references to the papers it cites (.bib, .ris, .json)
/save FILE      save the conversation, from now on too
/reset          begin anew; what was saved stays
/quit           end"""

_FORMATS = {".bib": "bibtex", ".ris": "ris", ".json": "csl-json"}


def chat(
    pipeline: ChosenPipeline,
    session: Annotated[
        Path | None,
        typer.Option(
            "--session",
            help="File that keeps the conversation; an existing one is resumed.",
            show_default=False,
        ),
    ] = None,
    where: Where = None,
    versions: Versions = False,
) -> None:
    """Ask questions interactively; follow-up questions use the conversation so far."""
    from ragkit.cli import terminal
    from ragkit.conversation import Conversation, FileChatHistory
    from ragkit.errors import RagkitError

    conversation = Conversation(pipeline.load(), FileChatHistory(session) if session else None)
    talk = _Talk(conversation, where, versions)
    interactive = sys.stdin.isatty()
    if session:
        terminal.err.print(_welcome(conversation, session), style="dim", soft_wrap=True)
    if interactive:
        _edit_lines(conversation)
        terminal.out.print("Ask about the papers.  /help lists the commands, /quit ends.", style="dim")
    while (said := _next_line(interactive)) not in (None, "/quit", "/exit"):
        try:
            talk.reply(str(said))
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


def _edit_lines(conversation: Conversation) -> None:
    """Let `input` edit lines and bring back earlier ones, those of the session too, where Python has readline."""
    with contextlib.suppress(ImportError):
        import readline

        for answer in conversation.answers:
            readline.add_history(" ".join(answer.question.split()))


def _next_line(interactive: bool) -> str | None:
    if interactive:
        print()
    try:
        return input("> " if interactive else "").strip()
    except (EOFError, KeyboardInterrupt):
        return None


class _Talk:
    """A conversation, and the filter that holds for the next question."""

    def __init__(self, conversation: Conversation, where: str | None, versions: bool) -> None:
        self.conversation, self.where, self.versions = conversation, where, versions

    def reply(self, said: str) -> None:
        from ragkit.cli import terminal
        from ragkit.errors import UsageError
        from ragkit.papers import filter_of

        conversation = self.conversation
        match said.split(maxsplit=1):
            case []:
                return
            case ["/help"]:
                terminal.out.print(HELP)
            case ["/reset"]:
                conversation.reset()
                terminal.err.print("the conversation begins anew", style="dim")
            case ["/save", file]:
                conversation.save(file)
                terminal.err.print(f"saved in '{file}', from now on too", style="dim", soft_wrap=True)
            case ["/export", file]:
                self._export(Path(file))
                terminal.err.print(f"written to '{file}'", style="dim", soft_wrap=True)
            case ["/where", *given]:
                where = next(iter(given), None)
                filter_of(where, conversation.rag.corpus)
                self.where = where
                told = f"from now on, only passages with {self.where}" if self.where else "all passages again"
                terminal.err.print(told, style="dim", soft_wrap=True)
            case ["/history"]:
                terminal.show_history(conversation.answers)
            case ["/sources"]:
                terminal.show_sources(self._last())
            case ["/open", number]:
                self._open(number)
            case ["/open" | "/save" | "/export"]:
                raise UsageError(f"'{said}' needs an argument; /help lists the commands")
            case [command, *_] if command.startswith("/"):
                raise UsageError(f"there is no command '{said}'; /help lists the commands")
            case _:
                terminal.show_as_written(conversation.stream(said, self.where, self.versions))

    def _last(self) -> Answer:
        from ragkit.errors import UsageError

        if not (answers := self.conversation.answers):
            raise UsageError("nothing has been asked yet; ask a question first")
        return answers[-1]

    def _open(self, number: str) -> None:
        from ragkit.cli.papers import open_file
        from ragkit.errors import UsageError

        citations = self._last().citations
        chosen = next((each for each in citations if str(each.number) == number.strip("[]")), None)
        if chosen is None:
            raise UsageError(f"the last answer has no source '{number}'; /sources shows {len(citations)}")
        source = next((each for each in chosen.sources if Path(each.uri).is_file()), None)
        if source is None:
            raise UsageError(f"the file of source {number} no longer exists; `ragkit show` prints its text")
        open_file(source.uri, source.page)

    def _export(self, file: Path) -> None:
        from ragkit import export
        from ragkit.errors import UsageError

        answers, corpus = self.conversation.answers, self.conversation.rag.corpus
        if file.suffix == ".md":
            text = "\n".join(line for answer in answers for line in _markdown(answer))
        elif form := _FORMATS.get(file.suffix):
            cited = [paper for answer in answers for paper in export.cited(corpus, answer)]
            text = export.FORMATS[form](export.items(corpus, cited))
        else:
            raise UsageError(f"'{file}' has no ending that names a format; use .md, {', '.join(_FORMATS)}")
        try:
            with file.open("x", encoding="utf-8") as out:
                out.write(f"{text.rstrip()}\n")
        except FileExistsError:
            raise UsageError(f"there is a file '{file}' already; write to another name") from None
        except OSError as error:
            raise UsageError(f"cannot write '{file}': {error.strerror}") from None


def _markdown(answer: Answer) -> Iterator[str]:
    """A question as a heading, its answer and its sources."""
    yield from (f"## {' '.join(answer.question.split())}", "", answer.text, "")
    for each in answer.citations:
        places = ", ".join(source.place for source in each.sources)
        yield f"- [{each.number}] {each.title} ({places}): “{' '.join(each.quote.split())}”"
    yield ""
