"""What is kept of each kind of file, counted on real ones; writes the figures of docs/formats.md.

    python -m benchmarks.formats

The files: journal articles in JATS, arXiv sources in LaTeX with their bibliographies, PDFs, web pages and
Word files of the shared data, and the example papers of this project in Markdown.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import cells, title_pages
from benchmarks.table import ROOT, SHARED, markdown
from ragkit.document import Span, places_of, stretches_of
from ragkit.errors import LoadError
from ragkit.evaluate.statistics import wilson
from ragkit.read.files import Files
from ragkit.read.formats.encoding import decode

KINDS = {
    "JATS XML": [SHARED / "data" / "jats"],
    "LaTeX": [SHARED / "data" / "latex"],
    "BibTeX": [SHARED / "data" / "latex"],
    "PDF": [SHARED / "data" / "pdfs"],
    "HTML": [SHARED / "data" / "pdfs"],
    "Word (.docx)": [SHARED / "data" / "pdfs"],
    "Markdown": [ROOT / "examples" / "papers"],
    "saved paper pages": [SHARED / "papers"],
    "JSON lines": [SHARED / "data" / "cranfield" / "corpus.jsonl"],
}
ENDINGS = {
    "JATS XML": (".xml", ".nxml", ".txt"),
    "LaTeX": (".tex",),
    "BibTeX": (".bib",),
    "PDF": (".pdf",),
    "HTML": (".html",),
    "Word (.docx)": (".docx",),
    "Markdown": (".md",),
    "saved paper pages": (".txt",),
    "JSON lines": (".jsonl",),
}
HEADER = ["format", "files read", "papers", "authors", "year", "DOI or arXiv id", "venue", "sections", "abstract told", "references told", "place of a span", "MB/s"]  # fmt: skip

PAGE = ROOT / "docs" / "formats.md"
TARGETS = {"title": 17, "authors": 14, "year or id": 12}
"""Of the 17 PDFs of the shared data that can be read: how many must have it right."""


def main() -> str:
    if not (SHARED / "data").is_dir():
        raise SystemExit(f"this needs the shared data, and there is no '{SHARED / 'data'}'")
    table = markdown(HEADER, [row(kind) for kind in KINDS])
    write("figures", table)
    write("targets", reached := targets())
    return f"{table}\n\n{reached}"


def write(name: str, figures: str) -> None:
    """Put *figures* into the page of the documents, between the marks of this *name*; the rest stays as it is."""
    begin, end = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
    before, found, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"'{PAGE}' lacks the marks '<!-- {name} -->' and '<!-- /{name} -->'")
    PAGE.write_text(f"{before}{begin}{figures}{end}{after}", encoding="utf-8")


def targets() -> str:
    """What is found in the PDFs of the shared data, beside how much must be."""
    right = title_pages.rights()
    cells_right = cells.found_of(cells.cells())
    rows = [
        _against(f"{fact} of a PDF", TARGETS[fact], each)
        for fact, each in zip(title_pages.FACTS, zip(*right.values(), strict=True), strict=True)
    ]
    rows.append(
        _against("cell of a table, with row and column", cells.TARGET, [not how for how in cells_right])
    )
    return markdown(["right in PDFs", "found", "95 % interval", "target"], rows)


def _against(what: str, target: int, right: Sequence[bool]) -> list[object]:
    low, high = wilson(sum(right), len(right))
    return [what, f"{sum(right)} of {len(right)}", f"{low:.2f} to {high:.2f}", f"{target} of {len(right)}"]


def row(kind: str) -> list[object]:
    files = Files()
    found = [
        path
        for path in files.under(KINDS[kind])
        if path.suffix in ENDINGS[kind] and path.name != "README.txt"
    ]
    papers, read, size, spent = [], 0, 0, 0.0
    for path in found:
        started = time.perf_counter()
        try:
            papers += [(path, paper) for paper in files.each(path)]
            read += 1
        except LoadError:
            pass
        spent += time.perf_counter() - started
        size += path.stat().st_size

    def share(has: Iterable[bool]) -> str:
        each = list(has)
        return f"{sum(each) / len(each):.2f}" if each else "–"

    def known(*names: str) -> str:
        return share(any(p.metadata.get(name) for name in names) for _, p in papers)

    kinds = [{part.kind for part in stretches_of(paper)} for _, paper in papers]
    placed = [share_placed(path, paper) for path, paper in papers if paper.page_content]
    return [
        kind, f"{read} of {len(found)}", len(papers), known("authors"), known("year"), known("doi", "arxiv"), known("venue"),
        known("sections"), share("abstract" in k for k in kinds), share("references" in k for k in kinds),
        f"{sum(placed) / len(placed):.3f}" if placed else "–", f"{size / 1e6 / spent:.1f}",
    ]  # fmt: skip


def share_placed(path: Path, paper: object) -> float:
    """Of spans drawn evenly from the text, those with a place in the file that is inside it."""
    from langchain_core.documents import Document

    assert isinstance(paper, Document)
    length = len(paper.page_content)
    limit = None if path.suffix in (".pdf", ".docx") else len(decode(path.read_bytes()))
    starts = range(0, max(length - 40, 1), max(length // 50, 1))
    good = 0
    for start in starts:
        [place] = places_of(paper, Span("", start, min(start + 40, length)))[:1]
        if place["start"] is not None:
            good += place["uri"] != str(path) or limit is None or 0 <= place["start"] < place["end"] <= limit
        else:
            good += place["page"] is not None
    return good / len(starts)


if __name__ == "__main__":
    print(main())
