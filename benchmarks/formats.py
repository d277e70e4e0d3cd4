"""What is kept of each kind of file, counted on real ones; writes docs/formats.md.

    python -m benchmarks.formats

The files: journal articles in JATS, arXiv sources in LaTeX with their bibliographies, PDFs, web pages and
Word files of the shared data, and the example papers of this project in Markdown.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.table import ROOT, SHARED, markdown
from ragkit.document import Span, places_of, stretches_of
from ragkit.errors import LoadError
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

TEXT = """# Formats

Files are recognised by their content, not by their name, and a folder may mix them. Each is read in a process of its own, with
a limit on time and memory. Every passage and citation knows its characters in the paper's text and, where the format has
characters, its characters in the original file; in a PDF, the page and the box on it (in points from the page's top left
corner). Text that was cleaned (entities, commands, hyphens at line ends) is mapped as it is read, never searched for
afterwards.

{table}

A figure is the share of the papers that have it; `place of a span`: of sentences drawn evenly from each text, those whose
place in the file is known (characters, or page and box). Written by `python -m benchmarks.formats`, from the real files
named there. A Word file is a zip archive, in which characters have no useful place.

| format | read by | what is kept |
| --- | --- | --- |
| PDF | PDFium (`pypdfium2`) | reading order of columns, words parted at line ends made whole, running heads and page numbers dropped, headings by number and type, captions, references; title, arXiv id and year from the stamp. A file locked by a password, or of images only, fails with the reason |
| JATS XML | `defusedxml` over expat | title, authors, year, venue, DOI, PubMed ids, keywords; sections, captions, tables, formulas as TeX, references. Reviews printed with an article are left out |
| LaTeX | expansion, then one pass over the source; symbols by `pylatexenc` | title, authors, keywords; sections, captions, tables, formulas, citations as `[key]`, the files it takes in with `\\input`, the `.bbl` of its references. The paper's own commands are expanded, text that a conditional switches off is left out, and siunitx quantities have their units |
| HTML | `html.parser` | the main content without menus, forms and footers; `citation_` and Dublin Core metadata; sections, captions, tables, reference lists, formulas in MathML. Hidden and struck text is left out and counted |
| Word (.docx) | `python-docx` | title, authors, keywords; headings, lists, tables, notes, captions, references |
| Markdown | front matter by PyYAML | everything in the front matter, whose bad lines cost only themselves; sections. Comments and struck text are left out and counted |
| text | | the text; the title is guessed from the first line or the name |
| JSON lines, CSV | | a paper a record; which fields are the title, the text and the metadata is said in YAML: `{{type: json_lines, title: [name], text: [summary]}}` |
| BibTeX, RIS | `bibtexparser`; a line reader | what they say is attached to the paper of the same DOI, arXiv id or title; an entry with an abstract is a paper until the paper itself is there |
| saved paper pages | the plug-in in [`examples/paper_pages`](../examples/paper_pages) | a paper for each title and abstract |

## Look up what a file does not say

A PDF rarely states its authors, year, venue and DOI. Crossref, OpenAlex and arXiv know them. They are asked only if you say so: at
each ingest,

```yaml
ingest:
  read:
    type: files
    lookup:
      - {{type: crossref, mailto: you@example.org}}   # your address: answers are faster and more reliable
      - {{type: openalex, api_key: "${{RAGKIT_OPENALEX_KEY}}"}}   # free; without it, few searches by title a day
      - arxiv
```

or once, for the papers in the corpus, with `ragkit lookup` (`--dry-run` lists the papers and asks nobody). The services see the DOI, the
arXiv id, or the title of a paper that has neither, and nothing else of your files. Each is asked, in order, for what is still missing.

- A record counts only if its title agrees and its year differs by at most one; if it was found by title, an author must agree, too.
  Where the title was only guessed, the record's title may stand on the first page instead.
- Title, authors, year, venue, DOI and arXiv id are added if the file lacks them or they were only guessed. What the file states stays,
  and a bibliography wins over a service. `ragkit show` names the values that each service added (`looked_up`).
- Replies are kept in the corpus, so that nothing is asked twice. `ragkit lookup` changes neither texts nor indexes; a corrected title
  is searched once its paper is indexed anew.
- Requests keep to the limits of the services (`requests_a_second`) and to the wait that they ask for. A service that fails three times in
  a row, or takes more than `seconds_in_all`, is named in a warning and left alone; papers are ingested without it, and the next ingest or
  `ragkit lookup` asks again. `ragkit lookup` then exits with 3.
- `base_url` names a mirror. A service of your own is a class with one method: see `LookupService` in `ragkit/read/lookup`.

A format in a package of its own is used once the package is installed: see [integrations](integrations.md).
"""


def main() -> str:
    if not (SHARED / "data").is_dir():
        raise SystemExit(f"this needs the shared data, and there is no '{SHARED / 'data'}'")
    report = TEXT.format(table=markdown(HEADER, [row(kind) for kind in KINDS]))
    (ROOT / "docs" / "formats.md").write_text(report, encoding="utf-8")
    return report


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
