"""`ragkit list`, `show`, `open`, `edit` and `rm`: papers, one by one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import AsJson, ChosenPipeline, print_json, say

if TYPE_CHECKING:
    from ragkit.answer import Answer


def _ids(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The ids of papers that begin so, with their titles, for a shell that completes a command."""
    given = {name: value for name in ChosenPipeline._fields if (value := context.params.get(name))}
    try:
        papers = ChosenPipeline(**given).load().papers()
    except Exception:  # a shell can show no error here
        return []
    return [(paper.id, _line(paper.title)) for paper in papers if paper.id.startswith(incomplete)]


Name = Annotated[
    str,
    typer.Argument(
        metavar="ID|TITLE|DOI",
        autocompletion=_ids,
        help="A paper's id or its beginning, its DOI or arXiv id, its title or words of it.",
        show_default=False,
    ),
]
NameInWords = Annotated[
    list[str],
    typer.Argument(
        metavar="ID|TITLE|DOI...",
        autocompletion=_ids,
        help="A paper's id or its beginning, its DOI or arXiv id, its title or words of it, with or without quotation marks.",
        show_default=False,
    ),
]
OfPapers = Annotated[
    str | None,
    typer.Option(
        "--where", metavar="FILTER", help="Only papers that match, such as 'year >= 2023 and venue = Nature'."
    ),
]


def list_papers(
    pipeline: ChosenPipeline,
    where: OfPapers = None,
    sort: Annotated[
        str,
        typer.Option(
            metavar="FIELD",
            help="id, year, author, title, venue, pages or passages; -year begins with the last.",
        ),
    ] = "title",
    as_json: AsJson = False,
) -> None:
    """List the papers: id, year, first author, title, venue, pages and passages.

    In a pipe, each paper is one line, its fields separated by tabs.
    """
    from ragkit.cli import reports

    found = pipeline.load().papers(where, sort)
    if not found:
        why = (
            "no paper passes the filter" if where else "the corpus holds no papers; run `ragkit ingest PATH`"
        )
        say(why, err=True)
    if as_json:
        print_json({"papers": [paper.model_dump(mode="json") for paper in found]})
    else:
        reports.show_papers(found)


def show(
    pipeline: ChosenPipeline,
    words: NameInWords,
    text: Annotated[bool, typer.Option("--text", help="Print the whole text, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one paper: metadata, abstract, sections, the files that list it and why, and its other versions."""
    from ragkit.cli import reports
    from ragkit.document import Span, places_of
    from ragkit.ingest.report import Versions, merged
    from ragkit.papers import as_plain_data, find

    store = pipeline.load().corpus
    identity = find(store, " ".join(words))
    paper = store.documents([identity])[identity]
    works = store.works(documents=[identity])
    sources = places_of(paper, Span(identity, 0, len(paper.page_content)))
    several = [Versions.of(work) for work in works if len(work.documents) > 1]
    again = [each for work in works for each in merged(work) if each.document_id == identity]
    if not as_json:
        reports.show_paper(paper, sources, several, again, text)
        return
    print_json(as_plain_data(store, identity))


def edit(
    pipeline: ChosenPipeline,
    name: Name,
    values: Annotated[
        list[str],
        typer.Argument(
            metavar="FIELD=VALUE...",
            help="title, authors (separated by ;), year, venue, doi or arxiv; year= takes a correction back.",
            show_default=False,
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Correct what is known of a paper.  Corrections survive a new ingest; files stay as they are."""
    from ragkit.errors import UsageError

    given = dict[str, str]()
    for each in values:
        field, sign, value = each.partition("=")
        if not sign:
            raise UsageError(f"'{each}' is no correction: write a field, = and a value, such as year=2020")
        if field.strip() in given:
            raise UsageError(f"'{field.strip()}' is given twice: give it once")
        given[field.strip()] = value
    paper = pipeline.load().edit(name, **given)
    if as_json:
        print_json(paper.model_dump(mode="json"))
        return
    corrected = ", ".join(paper.corrected) or "nothing any more"
    _say_line(f"“{paper.title}” ({paper.id}): corrected by you: {corrected}")


def remove(
    pipeline: ChosenPipeline,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a paper with all its versions, passages and index entries.  Its files stay.

    It stays removed until an ingest names one of its files: `ragkit ingest FILE`.
    """
    from ragkit.cli.terminal import many

    rag = pipeline.load()
    paper = rag.paper(name)
    if not yes and sys.stdin.isatty():
        question = f"Remove “{paper.title}” ({paper.id}, {many(paper.passages, 'passage')})?"
        if not typer.confirm(_line(question)):
            say("nothing was removed", err=True)
            raise typer.Exit(1)
    paper = rag.remove(paper.id)
    if as_json:
        print_json(paper.model_dump(mode="json"))
        return
    _say_line(
        f"removed “{paper.title}” ({paper.id}); it stays removed until `ragkit ingest FILE` names its file:"
    )
    for file in paper.files:
        _say_line(f"  {file}")


def open_paper(
    pipeline: ChosenPipeline,
    words: NameInWords,
    page: Annotated[
        int | None, typer.Option(min=1, help="Of a PDF: the page to begin with.", show_default=False)
    ] = None,
    only_print: Annotated[
        bool, typer.Option("--print", help="Print the path of the file and open nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and open nothing.")] = False,
) -> None:
    """Open a paper's file in the system's viewer."""
    from ragkit.errors import UsageError

    paper = pipeline.load().paper(" ".join(words))
    file = next((file for file in paper.files if Path(file).is_file()), None)
    if file is None:
        raise UsageError(
            f"“{paper.title}” has no file that is still there ({', '.join(paper.files)});"
            f" `ragkit show {paper.id} --text` prints its text"
        )
    if page and page > (paper.pages or 0):
        pages = f"{paper.pages} pages" if paper.pages else "no pages"
        raise UsageError(f"there is no page {page}: '{file}' has {pages}")
    if as_json:
        print_json({"id": paper.id, "title": paper.title, "path": file, "page": page})
    elif only_print:
        say(file)
    else:
        open_file(file, page)


_AT_PAGE = {"evince": "--page-index", "okular": "--page", "zathura": "--page", "xreader": "--page-index"}
"""Viewers of PDFs that begin at a page, and the argument that each takes for it."""


def open_file(file: str, page: int | None = None) -> subprocess.Popen[bytes] | None:
    """Open a file in the viewer that the system has for it; one for PDFs that is known begins at the page.

    Returns the process of such a viewer, which keeps running when ragkit ends.
    """
    from ragkit.errors import UsageError

    if page and (viewer := _viewer_of_pdfs()):
        at_page = [viewer, f"{_AT_PAGE[viewer]}={page}", file]
        return subprocess.Popen(at_page, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if typer.launch(file):
        raise UsageError(f"no viewer opens '{file}'; `ragkit open --print` prints its path")
    if page:
        say(f"the viewer begins at its first page; go to page {page}", err=True)
    return None


def _viewer_of_pdfs() -> str:
    """The user's viewer of PDFs, if it is one of `_AT_PAGE`."""
    if not shutil.which("xdg-mime"):
        return ""
    asked = ["xdg-mime", "query", "default", "application/pdf"]
    usual = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.casefold()
    return next((name for name in _AT_PAGE if name in usual and shutil.which(name)), "")


def _line(message: str) -> str:
    from ragkit.text.printable import one_line

    return one_line(message)


def _say_line(message: str) -> None:
    say(f"{message[: len(message) - len(message.lstrip())]}{_line(message)}")


ANSWER_HELP = "An answer that `ragkit ask --json` printed: a file, or - for standard input."


def export(
    pipeline: ChosenPipeline,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID|TITLE|DOI]...",
            autocompletion=_ids,
            help="Papers; without any, all.",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="bibtex, csl-json, ris or markdown.")
    ] = "bibtex",
    where: OfPapers = None,
    cited_in: Annotated[
        Path | None,
        typer.Option("--cited-in", metavar="ANSWER", help=f"Only papers it cites.  {ANSWER_HELP}"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print references to papers, for a bibliography or another program."""
    from ragkit import export as references
    from ragkit.errors import UsageError

    if form not in references.FORMATS:
        raise UsageError(f"there is no format '{form}': choose {', '.join(references.FORMATS)}")
    rag = pipeline.load()
    found = [paper.id for paper in rag.papers(where, "author")]
    if names:
        named = [rag.paper(name).id for name in names]
        found = [each for each in named if each in found or not where]
    if cited_in:
        cites = references.cited(rag.corpus, _answer(cited_in))
        found = [each for each in cites if each in found or not (names or where)]
    papers = references.items(rag.corpus, found)
    text = references.FORMATS[form](papers)
    if as_json:
        print_json({"format": form, "papers": [paper["id"] for paper in papers], "text": text})
    elif form == "csl-json":
        print_json(papers)
    else:
        say(text.removesuffix("\n"))


def cite(
    pipeline: ChosenPipeline,
    answer: Annotated[Path, typer.Argument(metavar="ANSWER|-", help=ANSWER_HELP, show_default=False)],
    style: Annotated[
        str, typer.Option(metavar="STYLE", help="A CSL style such as apa, ieee or nature, or a file of one.")
    ] = "apa",
    as_json: AsJson = False,
) -> None:
    """Print an answer with its citations and references in a citation style."""
    from ragkit.export import in_style

    given = _answer(answer)
    found = in_style(pipeline.load().corpus, given, style)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    say(found.text)
    if found.references:
        say("")
    for each in found.references:
        say(each)


def _answer(file: Path) -> Answer:
    from ragkit.errors import UsageError
    from ragkit.export import answer_of

    if str(file) == "-":
        return answer_of(sys.stdin.buffer.read(), "standard input")
    try:
        return answer_of(file.read_bytes(), f"'{file}'")
    except OSError as error:
        raise UsageError(
            f"'{file}' cannot be read: {error.strerror}; name an answer of `ragkit ask --json`"
        ) from None
