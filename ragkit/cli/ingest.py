"""`ragkit ingest`: papers into the corpus, once or whenever they change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import AsJson, ChosenPipeline, print_json, say, watched

if TYPE_CHECKING:
    from ragkit.ingest.report import IngestReport
    from ragkit.rag import Rag

_QUIET = 2.0  # seconds without a change, after which a file is taken to be written
_LONGEST = 60.0  # seconds; a folder in which something is always written is read all the same


def ingest(
    pipeline: ChosenPipeline,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH|ADDRESS]...",
            help="Files, folders, URLs, DOIs, arxiv:ID, s3://BUCKET/PATH and zotero:[FOLDER]; without any, the indexes are updated.",
            show_default=False,
        ),
    ] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Forget the papers of files that are gone.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on and ingest what changes in the folders, until Ctrl-C.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print what would be done and how long it would take; change nothing."
        ),
    ] = False,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Read also where links lead out of the folders.")
    ] = False,
    queue: Annotated[
        bool,
        typer.Option(
            "--queue", help="Let `ragkit work` do the work, in any number of processes; wait for it."
        ),
    ] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Only put the files into the queue.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read papers into the corpus and index them.  Unchanged files are not read again.

    s3://BUCKET/FOLDER/ (gs://, az://) reads the objects of a store like the files of a folder.

    A URL, a DOI (its open-access PDF) or an arXiv id such as arxiv:2005.11401 is fetched and kept beside the corpus.

    `zotero:` reads the files of the Zotero library in ~/Zotero with the metadata of their items, zotero:FOLDER those
    of another library.  A bibliography such as export/library.bib is read with the files in its folder that it names.
    """
    from ragkit.cli import reports
    from ragkit.cli.terminal import many
    from ragkit.errors import UsageError

    given = paths or []
    if watch and dry_run:
        raise UsageError("--watch and --dry-run exclude each other: a dry run changes nothing and ends")
    if no_wait and not queue:
        raise UsageError("--no-wait needs --queue: without a queue, this command does the work itself")
    if queue and (watch or dry_run):
        raise UsageError(f"--queue and {'--watch' if watch else '--dry-run'} exclude each other")
    folders = _folders(given) if watch else []
    rag = pipeline.load()
    if follow_links:
        rag = rag.following_links()
    if dry_run:
        from ragkit.plan import plan

        planned = plan(rag, *given, prune=prune)
        print_json(planned.as_json()) if as_json else reports.show_plan(planned)
        raise typer.Exit(3 if planned.failed else 0)

    def show(report: IngestReport) -> None:
        print_json(report.as_json()) if as_json else reports.show_report(report)

    if watch:
        _watch(rag, given, folders, prune, show)
        return
    try:
        report = _queued(rag, given, prune, not no_wait) if queue else _ingested(rag, given, prune)
    except KeyboardInterrupt:
        kept = "workers go on with what is in the queue" if queue else "finished work is kept"
        say(f"stopped; {kept}; run the same command again to resume", err=True)
        raise
    if isinstance(report, int):
        print_json({"queued": report}) if as_json else say(f"put {many(report, 'file')} into the queue")
        return
    show(report)
    if report.failed:
        raise typer.Exit(3)


def _ingested(rag: Rag, paths: Sequence[str], prune: bool) -> IngestReport:
    report: IngestReport = watched(rag.ingest_events(*paths, prune=prune))
    return report


def _queued(rag: Rag, paths: Sequence[str], prune: bool, wait: bool) -> IngestReport | int:
    """The report of workers, or, without *wait*, how many files they are to work on."""
    from ragkit.flow import steps
    from ragkit.ingest.reading import IngestRequest
    from ragkit.ingest.work import enqueue

    given = IngestRequest(rag.corpus, paths, prune)
    report: IngestReport | int = watched(steps(enqueue(rag.ingest_pipeline, given, wait)))
    return report


def _watch(
    rag: Rag, paths: Sequence[str], folders: Sequence[Path], prune: bool, show: Callable[[IngestReport], None]
) -> None:
    """Ingest, and again whenever something in *folders* has changed; an error is said, and the next change awaited."""
    from ragkit.errors import RagkitError
    from ragkit.read.addresses import address_of

    try:
        show(_ingested(rag, paths, prune))
        local = [path for path in paths if not address_of(path)]
        say(f"watching {', '.join(map(str, folders))}; Ctrl-C ends it", err=True)
        for _ in _changes(folders, rag.corpus.directory):
            try:
                report = _ingested(rag, local, prune)
            except RagkitError as error:
                say(str(error), err=True)
                continue
            if report.new or report.changed or report.pruned or report.failed:
                show(report)
    except KeyboardInterrupt:
        say("stopped watching; finished work is kept", err=True)


def _folders(paths: Sequence[str]) -> list[Path]:
    """The folders to watch.  Raises `UsageError` without any."""
    from ragkit.errors import UsageError
    from ragkit.read import zotero

    libraries = [folder for path in paths if (folder := zotero.folder_of(path))]
    folders = [*libraries, *(Path(path).resolve() for path in paths if Path(path).is_dir())]
    if not folders:
        raise UsageError("--watch needs a folder that is there: `ragkit ingest papers/ --watch`")
    return folders


def _changes(folders: Sequence[Path], corpus: Path) -> Iterator[None]:
    """Yields when files in *folders* have changed and nothing was written for a while; at first in any case, for
    something may have changed before.  Hidden files and those of the corpus do not count.
    """
    from watchfiles import Change, watch

    own = corpus.resolve()

    def counts(_: Change, name: str) -> bool:
        path = Path(name)
        below = next((path.relative_to(each) for each in folders if path.is_relative_to(each)), path)
        return not path.is_relative_to(own) and not any(part.startswith(".") for part in below.parts)

    since: float | None = time.monotonic()
    for changed in watch(
        *folders, watch_filter=counts, rust_timeout=int(_QUIET * 1000), yield_on_timeout=True
    ):
        if changed and since is None:
            since = time.monotonic()
        if since is not None and (not changed or time.monotonic() - since > _LONGEST):
            since = None
            yield
