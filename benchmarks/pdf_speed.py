"""How many pages of real PDFs are read in a second, beside other readers of PDFs; writes it into docs/formats.md.

    pip install --target /tmp/readers pypdf pdfminer.six 'pymupdf4llm<2'
    PYTHONPATH=/tmp/readers python -m benchmarks.pdf_speed

The others are no dependencies (the licence of pymupdf4llm forbids it), so they are installed by hand.  The readers take
turns file by file, so that a busy machine slows all of them, and the least time of each file over the rounds counts.
pymupdf4llm is measured with the model of layouts that it runs by default, in one round since that takes minutes, and
without it.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import formats, title_pages
from benchmarks.table import markdown
from ragkit.read.formats.pdf import Pdf

ROUNDS = 3
BY_MODEL = ", with its model"


def main() -> str:
    logging.disable()
    sides = readers()
    files = sorted(title_pages.truth())
    least: dict[tuple[str, str], float] = {}
    for number in range(ROUNDS):
        for name in files:
            path = title_pages.PDFS / name
            for side, read in sides.items():
                if number and side.endswith(BY_MODEL):
                    continue
                started = time.perf_counter()
                read(path)
                least[side, name] = min(least.get((side, name), 1e9), time.perf_counter() - started)
    pages = sum(_pages(title_pages.PDFS / name) for name in files)
    spent = {side: sum(least[side, name] for name in files) for side in sides}
    rows = [
        [side, f"{spent[side]:.1f}", f"{pages / spent[side]:.0f}", f"{spent[side] / spent['ragkit']:.2f}"]
        for side in sides
    ]
    table = markdown(["reader", f"seconds for {pages} pages", "pages per second", "time of ragkit's"], rows)
    formats.write("speed", table)
    return table


def readers() -> dict[str, Callable[[Path], Any]]:
    """How each reader turns a file into text, by its name and version."""
    try:
        pdfminer, pymupdf4llm, pypdf = map(import_module, ("pdfminer.high_level", "pymupdf4llm", "pypdf"))
    except ImportError as error:
        raise SystemExit(
            f"this needs {error.name}: `pip install --target /tmp/readers pypdf pdfminer.six 'pymupdf4llm<2'`, "
            "and run it again with PYTHONPATH=/tmp/readers"
        ) from None

    def by_pypdf(path: Path) -> Any:
        return [page.extract_text() for page in pypdf.PdfReader(path).pages]

    def by_pymupdf4llm(path: Path, by_model: bool) -> Any:
        pymupdf4llm.use_layout(by_model)
        return pymupdf4llm.to_markdown(path)

    return {
        "ragkit": lambda path: list(Pdf().papers(path.name, path.read_bytes())),
        f"pypdf {version('pypdf')}": by_pypdf,
        f"pdfminer.six {version('pdfminer.six')}": lambda path: pdfminer.extract_text(path),
        f"pymupdf4llm {version('pymupdf4llm')}": lambda path: by_pymupdf4llm(path, False),
        f"pymupdf4llm {version('pymupdf4llm')}{BY_MODEL}": lambda path: by_pymupdf4llm(path, True),
    }


def _pages(path: Path) -> int:
    import pypdfium2

    with io.BytesIO(path.read_bytes()) as content:
        return len(pypdfium2.PdfDocument(content))


if __name__ == "__main__":
    print(main())
