"""A paper as the reader shows it: its text with the characters that are cited, its file, and the boxes on its pages."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from langchain_core.documents import Document

from ragkit.document import Span as Characters
from ragkit.document import places_of, sources_of
from ragkit.errors import LoadError
from ragkit.ingest.origins import Origins
from ragkit.papers import as_plain_data
from ragkit.rag import Rag
from ragkit.read import source_of
from ragkit.serve.failures import Refusal


class PaperFile(NamedTuple):
    """A file that lists a paper, as it was when it was read."""

    path: Path
    digest: str

    def as_json(self, identity: str) -> dict[str, Any]:
        is_pdf = self.path.suffix.lower() == ".pdf"
        return {
            "url": f"/papers/{identity}/file",
            "name": self.path.name,
            "digest": self.digest,
            "type": "application/pdf" if is_pdf else "application/octet-stream",
        }


class PageLine(NamedTuple):
    """A line of a page: its characters in the paper's text, and its box in points from the page's top left corner."""

    start: int
    end: int
    page: int
    box: tuple[int, ...] | None

    def as_json(self) -> dict[str, Any]:
        return {"start": self.start, "end": self.end, "page": self.page, "box": self.box}


def paper_of(rag: Rag, identity: str) -> Document:
    """The paper with that id.  Raises `Refusal` if there is none."""
    found = rag.corpus.documents([identity]).get(identity)
    if found is None or not sources_of(found):
        raise _no_paper(identity)
    return found


def _no_paper(identity: str) -> Refusal:
    return Refusal(404, "paper_not_found", f"no paper has the id '{identity}'; /api/papers lists all")


def span_in(paper: Document, start: int | None, end: int | None) -> tuple[int, int] | None:
    """The characters asked for, if any are.  Raises `Refusal` if the paper does not have them."""
    if start is None and end is None:
        return None
    length = len(paper.page_content)
    begin, stop = start or 0, length if end is None else end
    if not 0 <= begin < stop <= length:
        raise Refusal(
            400,
            "no_such_span",
            f"from={begin}&to={stop} are no characters of this paper, which has {length}",
        )
    return begin, stop


def as_json(rag: Rag, identity: str, start: int | None = None, end: int | None = None) -> dict[str, Any]:
    """The paper with text, sections and metadata, where it stands, and what is `marked` of it."""
    paper = paper_of(rag, identity)
    try:
        plain = as_plain_data(rag.corpus, identity)
    except KeyError:  # it was deleted meanwhile
        raise _no_paper(identity) from None
    sections = plain["metadata"].pop("sections", [])
    file, lines = file_of(rag, paper), lines_of(paper)
    plain |= {
        "sections": sections,
        "file": file.as_json(identity) if file else None,
        "pages": max((line.page for line in lines), default=None),
        "marked": None,
    }
    if span := span_in(paper, start, end):
        plain["marked"] = {
            "start": span[0],
            "end": span[1],
            "quote": paper.page_content[slice(*span)],
            "sources": places_of(paper, Characters(identity, *span)),
            "lines": [line.as_json() for line in touched(lines, span)],
        }
    return plain


def page_as_json(
    rag: Rag, identity: str, page: int, start: int | None = None, end: int | None = None
) -> dict[str, Any]:
    """The lines of a page, and of those with characters from *start* to *end* the boxes.

    Raises `Refusal` if the paper has no such page.
    """
    paper = paper_of(rag, identity)
    lines = lines_of(paper)
    last = max((line.page for line in lines), default=0)
    if not 1 <= page <= last:
        said = f"it has pages 1 to {last}" if last else "its file has no pages"
        raise Refusal(404, "page_not_found", f"the paper has no page {page}: {said}")
    file, span = file_of(rag, paper), span_in(paper, start, end)
    marked = touched(lines, span) if span else []
    return {
        "id": identity,
        "page": page,
        "pages": last,
        "file": file.as_json(identity) if file else None,
        "lines": [line.as_json() for line in lines if line.page == page],
        "marked": [line.as_json() for line in marked if line.page == page],
        "marked_pages": sorted({line.page for line in marked}),
    }


def lines_of(paper: Document) -> list[PageLine]:
    """The lines of the paper's pages, in the order of its text; none where its format has no pages."""
    rows: list[list[int]] = next((source["pages"] for source in sources_of(paper) if source.get("pages")), [])
    ends = [*(row[0] for row in rows), len(paper.page_content)][1:]
    found = []
    for row, end in zip(rows, ends, strict=True):
        text = paper.page_content[row[0] : end]
        box = tuple(row[2:]) if len(row) > 2 else None
        found.append(PageLine(row[0], row[0] + len(text.rstrip()), row[1], box))
    return found


def touched(lines: list[PageLine], span: tuple[int, int]) -> list[PageLine]:
    """The lines that have characters of *span*."""
    return [line for line in lines if line.start < span[1] and line.end > span[0]]


def file_of(rag: Rag, paper: Document) -> PaperFile | None:
    """The first file of the paper that is still as it was read, one with pages before others."""
    sources = sorted(sources_of(paper), key=lambda source: not source.get("pages"))
    read = source_of(rag.ingest_pipeline.read)
    for source in sources:
        path = Path(source["uri"])
        kept = rag.corpus.value("SELECT digest FROM files WHERE uri = ?", (source["uri"],))
        if kept is None or not path.is_absolute() or not path.is_file():
            continue
        changed = path.stat()
        try:
            now = _digest(read, str(path), changed.st_size, changed.st_mtime_ns)
        except LoadError:
            continue
        if Origins(rag.corpus.origins(source["uri"])).digest(source["uri"], now) == kept:
            return PaperFile(path, now)
    return None


@lru_cache(maxsize=1000)
def _digest(read: Any, path: str, size: int, changed: int) -> str:
    """The digest of a file of that size and time of change."""
    return str(read.digest(path))
