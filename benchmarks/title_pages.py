"""How many real PDFs are known by their title, their authors, and their year or identifier.

    python -m benchmarks.title_pages

The truth was written down from pictures of the pages.  A document without authors counts if none is named; a
year or an identifier that is wrong makes the third figure wrong, even beside one that is right.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from benchmarks.table import ROOT, SHARED, markdown
from ragkit.read.files import Files

TRUTH = ROOT / "benchmarks" / "data" / "pdf_metadata.json"
PDFS = SHARED / "data" / "pdfs"
FACTS = ("title", "authors", "year or id")


def main() -> str:
    right = rights()
    rows = [[name, *("yes" if each else "no" for each in told)] for name, told in right.items()]
    total = [f"{sum(told)} of {len(right)}" for told in zip(*right.values(), strict=True)]
    return markdown(["file", *FACTS], [*rows, ["all", *total]])


def rights() -> dict[str, tuple[bool, bool, bool]]:
    """Of each file that can be read: are its title, its authors, and its year or identifier right?"""
    found = {}
    for name, true in truth().items():
        [paper] = Files().each(PDFS / name)
        found[name] = judged(paper.metadata, true)
    return found


def truth() -> dict[str, dict[str, Any]]:
    """What is right, by the name of the file."""
    known: dict[str, dict[str, Any]] = json.loads(TRUTH.read_text(encoding="utf-8"))
    return known


def judged(found: Mapping[str, Any], true: Mapping[str, Any]) -> tuple[bool, bool, bool]:
    """Are the title, the authors, and the year or identifier right?"""
    title = _letters(found["title"]) in map(_letters, true["titles"])
    authors = [_letters(surname(name)) for name in found.get("authors", ())]
    return title, authors == [_letters(name) for name in true["authors"]], _dated(found, true)


def surname(name: str) -> str:
    """The surname in "Ann Roe" or "Roe, Ann"."""
    return name.partition(",")[0] if "," in name else name.rsplit(" ", 1)[-1]


def _dated(found: Mapping[str, Any], true: Mapping[str, Any]) -> bool:
    years, told = found.get("year"), [found.get(name) for name in ("doi", "arxiv")]
    known = [true.get(name) for name in ("doi", "arxiv")]
    wrong = any(a and b and a != b for a, b in zip(told, known, strict=True))
    right_year = years in true["years"] if true["years"] else not years
    right_id = any(a and a == b for a, b in zip(told, known, strict=True))
    return not wrong and (right_year or (right_id and not years))


def _letters(text: str) -> str:
    return "".join(re.findall(r"\w", text.casefold()))


if __name__ == "__main__":
    print(main())
