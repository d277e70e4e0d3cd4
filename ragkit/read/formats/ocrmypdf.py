"""Scanned PDFs: the program OCRmyPDF recognises their text, and the result is read as any PDF is."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from langchain_core.documents import Document
from pydantic import Field, PositiveFloat, PositiveInt

from ragkit import platform
from ragkit.config.components import component
from ragkit.errors import LoadError
from ragkit.read.formats.pdf import Pdf, paper_of, scanned_pages

_PROGRAM = "ocrmypdf"


@component("ocrmypdf")
@dataclass(frozen=True)
class OcrMyPdf(Pdf):
    """PDFs with scanned pages, whose text the program OCRmyPDF recognises; other PDFs are read as they are.

    `language` is one that Tesseract has data for, or several (`eng`, `deu+fra`).  A page that takes longer than
    `seconds_a_page` is read without its text, and reported; `jobs` pages are recognised at a time.  The limits
    of the loader hold for the program, too: set its `seconds_a_file` to what the longest scan takes.
    """

    language: Annotated[str, Field(pattern=r"^\w+(?:/\w+)?(?:\+\w+(?:/\w+)?)*$")]
    seconds_a_page: PositiveFloat = 60.0
    jobs: PositiveInt = 1

    scratch: ClassVar[int] = 2_000_000_000

    def __post_init__(self) -> None:
        if not shutil.which(_PROGRAM):
            raise ValueError(
                f"the program `{_PROGRAM}` is not installed; install it (`apt install ocrmypdf` or `brew install ocrmypdf`),"
                " or leave it out of the formats"
            )

    def papers(self, name: str, content: bytes) -> Iterator[Document]:
        failed, recognised = None, None
        if scanned_pages(content):
            try:
                recognised = self._recognised(content)
            except LoadError as error:
                failed = error
        try:
            paper = paper_of(name, content, recognised)
        except LoadError as error:
            raise failed or error from None
        if failed:
            paper.metadata["lost"] = [*paper.metadata.get("lost", ()), str(failed)]
        yield paper

    def _recognised(self, content: bytes) -> bytes:
        """A PDF with the text of its scanned pages.  Raises `LoadError`."""
        options: Sequence[object] = (
            *("--skip-text", "--output-type", "pdf", "--optimize", 0, "--quiet"),
            *("--language", self.language, "--tesseract-timeout", self.seconds_a_page, "--jobs", self.jobs),
        )
        command = [_PROGRAM, *map(str, options), "-", "-"]
        try:
            done = subprocess.run(
                command,
                input=content,
                capture_output=True,
                preexec_fn=platform.HERE.before_writing(),
                check=False,
            )
        except OSError as error:
            raise LoadError(f"`{_PROGRAM}` cannot be started: {error.strerror}") from None
        if done.returncode or not done.stdout:
            told = " ".join(done.stderr.decode("utf-8", "replace").split())[:300] or "without a message"
            raise LoadError(
                f"its text cannot be recognised: `{_PROGRAM}` ended with status {done.returncode} ({told})"
            )
        return done.stdout
