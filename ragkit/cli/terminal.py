"""Prints answers, search results, progress and tables; in a pipe without colour, links and line breaks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from ragkit import notebook
from ragkit.answer import CLOSEST, Answer, Citation, NumberedClaim, Quote, Source, Verdict
from ragkit.citation import whole
from ragkit.cli.links import link_of, link_to, link_to_doi
from ragkit.document import score_of, scores_of, sources_of, span_of, title_of
from ragkit.flow import Event, Progress, StateReached, Token, result_of
from ragkit.text.marks import unmarked
from ragkit.text.printable import one_line, printable
from ragkit.text.words import STOPWORDS, stem, words
from ragkit.verify.streaming import ClaimReady

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from ragkit.check.result import Check


_UNWRAPPED = 1_000_000
"""The width of a pipe, in which no line is broken."""


class _Screen(Console):
    """A console on which no text is markup and no character of a text controls the terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)
        if not self.file.isatty() and "width" not in options:
            self.width = _UNWRAPPED

    @property
    def shows_links(self) -> bool:
        """Is it a terminal that may be told where a text leads to?"""
        return self.file.isatty() and not self.no_color and not self.is_dumb_terminal

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


out = _Screen()
err = _Screen(stderr=True)

_STYLE = {
    Verdict.QUOTED: "green",
    Verdict.SUPPORTED: "green",
    Verdict.UNSUPPORTED: "red",
    Verdict.UNRESOLVED: "red",
    Verdict.UNCHECKED: "yellow",
}


def show_trace(lines: Iterable[str]) -> None:
    """The lines of a trace, on standard error."""
    for line in lines:
        err.print(Text(line, style="dim"), soft_wrap=True)


def show_answer(answer: Answer) -> None:
    """The answer, then its numbered sources with title, file and quote, the question's words highlighted."""
    if answer.abstained:
        out.print(Text(f"I cannot answer this from the papers: {answer.abstained.reason}."))
        if not answer.claims:
            for title in answer.abstained.nearest:
                out.print(Text(f"  closest paper: {one_line(title)}", style="dim"))
            return
        out.print(f"\n{CLOSEST}\n")
    links = {each.number: link_of(each) for each in answer.citations} if out.shows_links else {}
    out.print(_answer_text(answer.numbered, links))
    show_sources(answer)


def show_sources(answer: Answer) -> None:
    """The numbered sources of an answer, below what it says nothing of."""
    if answer.unmentioned:
        out.print(Text(f"\n{notebook.unmentioned(answer)}", style="yellow"))
    out.print()
    dois = {
        span_of(passage).document_id: str(doi)
        for passage in answer.context
        if (doi := passage.metadata.get("doi"))
    }
    for citation in answer.citations:
        _show_citation(citation, answer.question, dois.get(str(citation.document_id), ""))
    for claim in answer.numbered:
        if claim.against:
            marks = "".join(f"[{n}]" for n in claim.citations)
            out.print(Text(f"\nAgainst {marks}: {claim.against.reason}", style="yellow"))
            _show_quote("against", claim.against, claim.text)
    if sure := notebook.confidence(answer):
        out.print(Text(f"\n{sure}", style="dim"))


def show_as_written(events: Iterable[Event]) -> Answer:
    """Show an answer while it is written: each sentence once it is checked, then the final answer.

    On a terminal the sentence that is being written is there too, dimmed, until it is checked.  The final
    answer comes with its sources.
    """
    page = _Page()
    if out.is_terminal:
        from rich.live import Live
        from rich.spinner import Spinner

        waits = Spinner(_SPINNER, Text(_ANSWERING, style="dim"))

        def refresh() -> None:
            written = page.text().append(page.unchecked, style="dim")
            live.update(written if written else waits)

        with Live(waits, console=out, transient=True, refresh_per_second=12) as live:
            answer: Answer = result_of(page.noting(events, refresh))
        show_answer(answer)
        return answer
    answer = result_of(page.noting(events, page.print_more))
    if page.printed and page.printed == _answer_text(answer.numbered).plain:
        out.print()
        show_sources(answer)
    else:
        out.print("\n\nAfter checking the whole answer:\n" if page.printed else "", end="")
        show_answer(answer)
    return answer


_SPINNER, _ANSWERING = "dots", "looking for an answer"


@contextmanager
def waiting() -> Iterator[None]:
    """A spinner on standard error while a question is answered, if that is a terminal."""
    if not sys.stderr.isatty() or err.is_dumb_terminal:
        yield
        return
    with err.status(Text(_ANSWERING, style="dim"), spinner=_SPINNER):
        yield


class _Page:
    """What may be shown of an answer that is being written, and what of it nobody has checked yet."""

    def __init__(self) -> None:
        self.claims: dict[int, ClaimReady] = {}
        self.unchecked = self.printed = ""

    def noting(self, events: Iterable[Event], changed: Callable[[], None]) -> Iterator[Event]:
        for event in events:
            match event:
                case Token():
                    self.unchecked += event.text
                case ClaimReady():
                    self.unchecked = self.unchecked[len(whole(self.unchecked)) :]
                    self.claims[event.index] = event
                case StateReached(state="judged"):
                    self.unchecked = ""
            changed()
            yield event

    def text(self) -> Text:
        return _answer_text([checked.claim for _, checked in sorted(self.claims.items()) if checked.shown])

    def print_more(self) -> None:
        """Print what is new, unless something printed has changed."""
        text = self.text().plain
        if text != self.printed and text.startswith(self.printed):
            out.file.write(printable(text[len(self.printed) :]))
            out.file.flush()
            self.printed = text


def show_history(answers: Sequence[Answer]) -> None:
    """What was asked and answered."""
    for answer in answers:
        out.print(Text(f"> {one_line(answer.question)}", style="bold"))
        out.print(Text(f"{answer.text}\n"))


def _answer_text(claims: Sequence[NumberedClaim], links: Mapping[int, str] = {}) -> Text:
    text = Text()
    for claim in claims:
        before = unmarked(claim.before if text else claim.before.lstrip())
        text.append(before, style="bold" if before.strip() else "")
        text.append(
            unmarked(claim.text),
            style="red" if claim.is_fault else "",
        )
        for n in claim.citations:
            text.append(" ").append(f"[{n}]", style=Style(color="cyan", link=links.get(n)))
        if claim.is_fault:
            text.append(f" ({claim.verdict})", style="red")
    return text


def _linked(text: Text, link: str) -> Text:
    """*text*, which leads to *link* if the terminal may be told so."""
    if link and out.shows_links:
        text.stylize(Style(link=link))
    return text


def _show_citation(citation: Citation, question: str, doi: str) -> None:
    """A numbered source: its title leads to its DOI, if it has one, and each file's place to the file."""
    head = Text().append(f"[{citation.number}] ", style="cyan")
    title = Text(one_line(citation.title or citation.reason), style="bold")
    head.append_text(_linked(title, link_to_doi(doi) if doi else link_of(citation)))
    head.append(version_of(citation.version, bool(citation.superseded_by)))
    head.append(f"  {citation.verdict}", style=_STYLE[citation.verdict])
    out.print(head)
    for source in citation.sources:
        field = f", metadata: {citation.field}" if citation.field else ""
        _show_below(_linked(Text(f"{_where(source)}{field}", style="dim"), link_to(source)))
    if citation.quote:
        _show_below(_highlighted(f"“{citation.quote}”", question))


def show_check(found: Check) -> None:
    """Each claim of a text with its verdict, the quotes for and against it, and what is missing."""
    for claim in found.claims:
        head = Text().append(f"{claim.line}: ", style="cyan").append(one_line(claim.text), style="bold")
        out.print(head.append(f"  {claim.verdict}", style=_STYLE[claim.verdict]))
        if not claim.verdict.holds:
            _show_below(Text(one_line(claim.reason)))
        for label, quote in claim.evidence:
            _show_quote(label, quote, claim.claim)
        if claim.missing:
            _show_below(Text(f"missing: {one_line(', '.join(claim.missing))}", style="yellow"))
        for each in claim.references:
            why = f" ({each.reason})" if each.reason and not each.verdict.holds else ""
            _show_below(
                Text(one_line(f"{each.mark} {each.title}"))
                .append(f"  {each.verdict}", style=_STYLE[each.verdict])
                .append(printable(why))
            )
        out.print()
    counts = ", ".join(f"{number} {verdict}" for verdict, number in found.counts.items())
    out.print(f"{many(len(found.claims), 'claim')}: {counts}")


_EVIDENCE = {"for": "green", "against": "red", "nearest": "yellow", "elsewhere": "yellow"}


def _show_quote(label: str, quote: Quote, claim: str) -> None:
    """What a quote is to a claim, its paper and place, and its words."""
    places = ", ".join(_where(source) for source in quote.sources)
    said = Text().append(f"{label}: ", style=_EVIDENCE[label]).append(one_line(quote.title))
    _show_below(said.append(f"  {places}", style="dim"))
    _show_below(_highlighted(f"“{quote.quote}”", claim), 8)


def _show_below(text: Text, by: int = 4) -> None:
    out.print(Padding.indent(text, by))


def version_of(label: str, superseded: bool) -> str:
    """Which version of a paper something is of, where there are several."""
    return f" ({one_line(label)}{'; an older version' if superseded else ''})" if label else ""


def _where(source: Source) -> str:
    return source.model_copy(update={"uri": nearby(source.uri)}).place


def nearby(uri: str) -> str:
    """A path as seen from here, if it lies below, in one line."""
    path = Path(uri)
    return one_line(str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else uri)


def _highlighted(text: str, question: str) -> Text:
    """*text*, with the words that it shares with *question* set off."""
    wanted = {stem(w) for w in words(question) if w not in STOPWORDS}
    shown = Text(" ".join(text.split()), style="italic")
    for word in {w for w in words(text) if w not in STOPWORDS and stem(w) in wanted}:
        shown.highlight_words([word], style="bold yellow", case_sensitive=False)
    return shown


def show_hits(hits: Sequence[Document], query: str) -> None:
    """Search results: title, scores, file, and the passage."""
    if not hits:
        out.print("nothing found")
    for number, hit in enumerate(hits, 1):
        own = ", ".join(f"{name} {score:.3f}" for name, score in scores_of(hit).items())
        span = span_of(hit)
        head = (
            Text()
            .append(f"{number}. ", style="cyan")
            .append(one_line(title_of(hit)), style="bold")
            .append(version_of(str(hit.metadata.get("version_label", "")), "superseded_by" in hit.metadata))
            .append(f"  {score_of(hit):.3f} ({own})", style="dim")
        )
        out.print(head)
        files = ", ".join(nearby(str(s["uri"])) for s in sources_of(hit))
        _show_below(Text(f"{span.document_id}:{span.start}-{span.end}  {files}", style="dim"), 3)
        _show_below(_highlighted(_shortened(hit.page_content), query), 3)
        out.print()


def _shortened(text: str, most: int = 400) -> str:
    return text if len(text) <= most else text[:most].rsplit(" ", 1)[0] + " …"


def many(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def show_table(title: str, rows: Iterable[Sequence[str]]) -> None:
    table = Table(
        *["" for _ in range(2)],
        title=title,
        title_justify="left",
        title_style="bold",
        show_header=False,
        box=None,
        pad_edge=False,
    )
    for row in rows:
        table.add_row(Text(row[0], style="cyan"), *map(Text, row[1:]))
    out.print(table)
    out.print()


@contextmanager
def progress_bar() -> Iterator[_ProgressBar | None]:
    """A progress bar on a terminal; None in a pipe."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description:<7}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[what]}", markup=False),
    )
    with Bar(*columns, console=err, transient=True) as bar:
        yield _ProgressBar(bar)


class _ProgressBar:
    """One line for each stage, advanced by the stage's `Progress` events."""

    def __init__(self, bar: Bar) -> None:
        self.bar = bar
        self.tasks: dict[tuple[str, str], Any] = {}
        self.begun: dict[tuple[str, str], tuple[float, int]] = {}

    def __call__(self, event: Progress) -> None:
        key = (event.stage, event.what if event.stage == "index" else "")
        if key not in self.tasks:
            self.tasks[key] = self.bar.add_task(event.stage, total=event.total, what=event.what, rate="")
            self.begun[key] = time.monotonic(), event.done
        began, at = self.begun[key]
        passed, come = time.monotonic() - began, event.found or event.done - at
        rate = f"{come / passed:,.0f}/s" if passed > 0.5 and come else ""
        what = f"{many(event.found, 'paper')}  {event.what}" if event.found else event.what
        self.bar.update(
            self.tasks[key], completed=event.done, total=event.total, what=one_line(what), rate=rate
        )
