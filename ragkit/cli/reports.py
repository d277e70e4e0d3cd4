"""Prints what happened to the corpus: what an ingest did or would do, what doctor finds, and one paper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from ragkit.cli.options import say
from ragkit.cli.terminal import err, many, nearby, out, version_of
from ragkit.document import stretches_of, title_of
from ragkit.text.printable import one_line

if TYPE_CHECKING:
    from langchain_core.documents import Document

    from ragkit.doctor import Diagnosis
    from ragkit.ingest.report import Failure, IngestReport, MergedEntry, Versions
    from ragkit.papers import PaperRecord
    from ragkit.plan import Plan
    from ragkit.read.lookup.run import LookupReport, ToLookUp

_LISTED = 10  # things of one kind that a report names


def show_report(report: IngestReport) -> None:
    """What an ingest did and which papers it recognised; what was left out is named on standard error."""
    also = (
        (len(report.failed), "failed"),
        (len(report.known), "failed before"),
        (len(report.skipped), "skipped"),
        (report.pruned, "forgotten"),
    )
    files = ", ".join(
        [f"{report.new} new", f"{report.changed} changed", f"{report.unchanged} unchanged"]
        + [f"{number} {what}" for number, what in also if number]
    )
    entries = (
        f"{report.duplicates} merged" if report.duplicates else "",
        many(report.variants, "further version") if report.variants else "",
        many(report.descriptions, "bibliography reference") if report.descriptions else "",
    )
    listed = (
        f"; they list {many(report.entries, 'paper')}: {', '.join(filter(None, entries))}"
        if any(entries)
        else ""
    )
    looked_up = f"; {many(report.looked_up, 'paper')} completed by lookup" if report.looked_up else ""
    out.print(
        f"{many(report.documents, 'paper')} in the corpus ({many(report.chunks, 'passage')}); files: {files}{listed}"
        f"{looked_up}; embedded {many(report.encoded, 'text')} in {report.seconds:.1f} s",
        soft_wrap=True,
    )
    if report.dropped_keys:
        left_out = ", ".join(f"{number} {reason}" for reason, number in report.dropped_keys.items())
        out.print(f"keys left out: {left_out}", soft_wrap=True)
    for paper in report.versions[:_LISTED]:
        _show_versions(paper)
    for each in report.merged[:_LISTED]:
        _show_merged(each)
    _say_more(report.versions, "paper that has several versions")
    _say_more(report.merged, "merged paper")
    links = [path for path in report.skipped if Path(path).is_symlink()]
    if others := [nearby(path) for path in report.skipped if path not in (*links, *report.unused)]:
        _warn(f"skipped {many(len(others), 'file')} (no papers, or left out): {_first(others)}")
    if report.unused:
        _warn(
            f"skipped {many(len(report.unused), 'LaTeX file')} that no paper beside or above it includes:"
            f" {_first(list(map(nearby, report.unused)))}; name a file to read it"
        )
    if links:
        _warn(
            f"skipped {many(len(links), 'link')} out of the folders named: {_first([nearby(link) for link in links])};"
            " --follow-links reads what they lead to"
        )
    for encoding in sorted(set(report.encodings.values())):
        named = [nearby(path) for path, told in report.encodings.items() if told == encoding]
        _warn(one_line(f"read as {encoding}, not UTF-8: {_first(named)}"))
    for loss in report.lost[:_LISTED]:
        _warn(f"left out of {nearby(loss.source)}: {loss.error}")
    if len(report.lost) > _LISTED:
        _warn(f"left out: {many(len(report.lost) - _LISTED, 'more part')} of files; --json lists them")
    for found in report.hidden[:_LISTED]:
        total = many(sum(found.characters.values()), "character")
        reasons = one_line(", ".join(f"{number} {reason}" for reason, number in found.characters.items()))
        _warn(f"left out of {nearby(found.source)}: {total} of hidden text ({reasons})")
    if len(report.hidden) > _LISTED:
        _warn(f"left out of {many(len(report.hidden) - _LISTED, 'more paper')}: hidden text; --json lists it")
    _show_failures(report.failed, report.known)


def show_paper(
    paper: Document,
    sources: Sequence[Mapping[str, Any]],
    versions: Sequence[Versions],
    merged: Sequence[MergedEntry],
    whole: bool = False,
) -> None:
    """A paper with the files that list it, why they were taken for the same paper, its versions, metadata, abstract
    and sections; with *whole*, its text.
    """
    label = version_of(str(paper.metadata.get("version_label", "")), "superseded_by" in paper.metadata)
    out.print(Text(one_line(title_of(paper)), style="bold").append(label))
    out.print(Text(f"id: {paper.id}", style="dim"))
    for source in sources:
        out.print(nearby(str(source["uri"])), style="dim")
    for each in merged:
        _show_merged(each)
    for work in versions:
        for version in work.versions:
            mark = "newest" if version is work.versions[0] else "older"
            files = _first(map(nearby, version.sources))
            line = f"{mark} version: {version.version}, {version.document_id}, {files}"
            out.print(Text(one_line(line), style="dim"), soft_wrap=True)
        out.print(Text(one_line(f"versions of one paper: {', '.join(work.because)}"), style="dim"))
    known = {name: value for name, value in paper.metadata.items() if name not in _SHOWN_APART}
    for name, value in known.items():
        written = _added(value) if name == "looked_up" else _readable(value)
        label = "not stated plainly in the file" if name == "guessed" else name
        out.print(Text(f"{one_line(label)}: ", style="cyan").append(one_line(written)))
    if abstract := _abstract(paper):
        out.print(f"\n{abstract}")
    if headings := list(dict.fromkeys(each.section for each in stretches_of(paper) if each.section)):
        out.print()
        for n, path in enumerate(headings):
            _show_heading(path, headings[n - 1] if n else ())
    if whole:
        out.print(f"\n{paper.page_content}")


_SHOWN_APART = ("title", "sources", "sections", "abstract", "version_label", "superseded_by")


def _readable(value: object) -> str:
    """A value of the metadata as people write it."""
    match value:
        case Mapping():
            return "; ".join(f"{name}: {_readable(each)}" for name, each in value.items())
        case list() | tuple():
            each = [*map(_readable, value)]
            return ("; " if any("," in one for one in each) else ", ").join(each)
        case bool():
            return "yes" if value else "no"
    return str(value)


def _abstract(paper: Document) -> str:
    """The abstract, from the text or beside it."""
    parts = [paper.page_content[s.start : s.end] for s in stretches_of(paper) if s.kind == "abstract"]
    return "\n\n".join(text for part in parts if (text := part.strip())) or str(
        paper.metadata.get("abstract", "")
    )


def _show_heading(path: Sequence[str], before: Sequence[str]) -> None:
    """Those headings of *path* that are not in the one before, each indented by how deep it is."""
    same = next((n for n, pair in enumerate(zip(path, before, strict=False)) if pair[0] != pair[1]), None)
    first = min(len(path), len(before)) if same is None else same
    for depth in range(first, len(path)):
        out.print(Text(f"{'  ' * depth}{one_line(path[depth])}"))


def show_papers(papers: Sequence[PaperRecord]) -> None:
    """A table that fits the terminal; in a pipe a line for each paper, its fields parted by tabs."""
    rows = [[one_line(str(_cell(paper, name))) for name in _COLUMNS] for paper in papers]
    if not out.is_terminal:
        for row in rows:
            say("\t".join(row))
        return
    table = Table(box=None, pad_edge=False, expand=True)
    for name in _COLUMNS:
        number = name in ("pages", "passages")
        table.add_column(
            name,
            style="cyan" if name == "id" else None,
            no_wrap=True,
            overflow="ellipsis",
            width=_WIDTHS.get(name),
            ratio=_SHARES.get(name),
            justify="right" if number else "left",
        )
    for row in rows:
        table.add_row(*map(Text, row))
    out.print(table)
    out.print(Text(many(len(papers), "paper"), style="dim"))


_COLUMNS = ("id", "year", "author", "title", "venue", "pages", "passages")
_WIDTHS = {"id": 8, "year": 4, "pages": 5, "passages": 8}
"""Columns of a table of papers in which nothing is cut off; of an id, thousands of papers need no more."""
_SHARES = {"author": 2, "title": 5, "venue": 2}
"""What shares the others have of the room that is left."""


def _cell(paper: PaperRecord, name: str) -> object:
    value = getattr(paper, name)
    return value[: _WIDTHS[name]] if name == "id" else "" if value is None else value


def _added(looked_up: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{', '.join(names)} from {service}" for service, names in looked_up.items())


def show_lookup(report: LookupReport) -> None:
    """What a lookup added to which papers."""
    out.print(
        f"asked about {many(report.papers, 'paper')}: {len(report.found)} completed, {report.left} left for next time"
    )
    for each in report.found[:_LISTED]:
        line = f"“{each.title}” ({each.document_id}): {_added(each.looked_up)}"
        out.print(Text(one_line(line), style="dim"), soft_wrap=True)
    _say_more(report.found, "paper")


def show_to_look_up(papers: Sequence[ToLookUp]) -> None:
    """Which papers a lookup would ask about, and how."""
    out.print(f"would ask about {many(len(papers), 'paper')}")
    for each in papers[:_LISTED]:
        asks = f"by {', '.join(each.asks)}" if each.asks else "not asked: no DOI, arXiv id or title"
        line = f"“{each.title}” ({each.document_id}) lacks {', '.join(each.lacks)}; {asks}"
        out.print(Text(one_line(line), style="dim"), soft_wrap=True)
    _say_more(papers, "paper")


def _show_merged(each: MergedEntry) -> None:
    reason = f": {', '.join(each.because)}" if each.because else ""
    line = (
        f"merged: {nearby(each.source)} lists “{one_line(each.title)}” as {nearby(each.same_as)} does{reason}"
    )
    out.print(Text(one_line(line), style="dim"), soft_wrap=True)


def _show_versions(paper: Versions) -> None:
    """The versions of a paper, and which of them answers."""
    newest, *older = [f"{each.version} ({_first(map(nearby, each.sources))})" for each in paper.versions]
    reason = f"; {', '.join(paper.because)}" if paper.because else ""
    line = f"versions of “{paper.title}”: {newest} answers, --versions finds {', '.join(older)}, too{reason}"
    out.print(Text(one_line(line), style="dim"), soft_wrap=True)


def _say_more(found: Sequence[object], thing: str) -> None:
    if len(found) > _LISTED:
        out.print(Text(f"and {many(len(found) - _LISTED, f'more {thing}')}; --json lists all", style="dim"))


def _warn(message: str) -> None:
    err.print(Text(message, style="yellow"))


def show_plan(plan: Plan) -> None:
    """What an ingest would do."""
    forgotten = (
        f", forget {many(plan.gone, 'file')} that {'is' if plan.gone == 1 else 'are'} gone"
        if plan.gone
        else ""
    )
    out.print(
        f"would read {plan.new} new and {many(plan.changed, 'changed file')} ({plan.unchanged} unchanged){forgotten}:"
        f" {many(plan.papers, 'paper')}, {many(plan.passages, 'passage')};"
        f" embed {many(plan.encode, 'text')} of {plan.tokens:,} tokens; about {plan.seconds:,.0f} s"
    )
    if plan.keys:
        money = "at an unknown price" if plan.cost is None else f"for about {plan.cost:.2f}"
        calls = f" by {many(plan.calls, 'call')} of {plan.chat_tokens:,} tokens {money}" if plan.calls else ""
        out.print(f"would write {many(plan.keys, 'key')}{calls}", soft_wrap=True)
    if plan.fetch:
        out.print(Text(f"would fetch, beside that: {', '.join(map(one_line, plan.fetch))}"), soft_wrap=True)
    _show_failures(plan.failed, plan.known)


def _show_failures(failed: Sequence[Failure], known: Sequence[Failure]) -> None:
    if known:
        named = _first([f"{nearby(failure.source)} ({one_line(failure.error)})" for failure in known])
        _warn(
            f"{many(len(known), 'known failure')}, unchanged and not tried again: {named}; to try again, name the file"
        )
    for failure in failed:
        err.print(Text(f"failed: {nearby(failure.source)}: {one_line(failure.error)}", style="red"))


def _first(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _LISTED} more" if len(every) > _LISTED else ""
    return ", ".join(every[:_LISTED]) + more


def show_diagnosis(diagnosis: Diagnosis) -> None:
    """Counts, a row for each index, and every problem."""
    counts = diagnosis.counts
    kinds = ("documents", "paper"), ("files", "file"), ("chunks", "passage"), ("vectors", "vector")
    also = (
        ("duplicates", "merged entry", "merged entries"),
        ("variants", "further version", "further versions"),
        ("descriptions", "bibliography reference", "bibliography references"),
    )
    told = [many(counts[name], thing) for name, thing in kinds]
    told += [f"{n} {one if n == 1 else several}" for name, one, several in also if (n := counts[name])]
    out.print(f"corpus {one_line(diagnosis.corpus)}: {', '.join(told)}")
    table = Table("index", "wanted", "tracked", "present", box=None, pad_edge=False)
    for index in diagnosis.indexes:
        table.add_row(
            index.name,
            str(index.wanted),
            str(index.tracked),
            "unknown" if index.present is None else str(index.present),
        )
    out.print(table)
    if any(diagnosis.queue.values()):
        out.print("queue: " + ", ".join(f"{n} {what}" for what, n in diagnosis.queue.items()))
    if diagnosis.depot:
        out.print(f"depot {one_line(diagnosis.depot)}")
    for done in diagnosis.repaired:
        out.print(f"repaired: {done}")
    if diagnosis.removed_vectors:
        out.print(f"deleted {many(diagnosis.removed_vectors, 'orphaned vector')}")
    if diagnosis.orphaned_vectors:
        number = many(diagnosis.orphaned_vectors, "orphaned vector")
        out.print(f"{number} of texts that the corpus has no more; --vacuum deletes them", style="dim")
    for problem in diagnosis.problems:
        out.print(Text(f"problem: {one_line(problem)}", style="red"))
    if not diagnosis.problems:
        out.print(Text("no problems", style="green"))
