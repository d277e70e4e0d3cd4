"""LaTeX source: a paper a file, with its commands taken for what they print.

TeX cannot be parsed without being run, so nothing is parsed: one pass over the source writes what is text and leaves out
what is not.  Braces vanish, so a command that is not known still shows its argument, and broken source is only read worse.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from langchain_core.documents import Document

from ragkit.config.components import component
from ragkit.errors import LoadError
from ragkit.read.formats import HEAD, ProjectFormat, decode, titled
from ragkit.read.formats.builder import PaperBuilder
from ragkit.read.formats.latex.reader import SourceReader, file_name

_TOLD_BY = re.compile(
    r"^[^%\n]{0,200}?\\(?:documentclass\b|documentstyle\b|begin\s*\{(?:document|thebibliography)\})",
    re.MULTILINE,
)
_SECTION = re.compile(r"^[ \t]*\\(?:sub)*(?:section|chapter)\*?\s*[\[{]", re.MULTILINE)
_COMMAND = re.compile(r"\\[a-zA-Z]+\s*[\[{]")


_TAKES_IN = re.compile(r"%[^\r\n]*|\\(?:input|include|subfile)\s*\{?\s*([^\s{}%\\]+)|\\(bibliography)\s*\{")

_LATIN = re.compile(rb"\\(?:usepackage|inputenc)\s*\[(?:latin1|latin9|ansinew|cp1252)\]")


@component("latex")
@dataclass(frozen=True)
class Latex(ProjectFormat):
    """The LaTeX source of one paper, with the files that it takes in and the `.bbl` of its references beside it."""

    priority: ClassVar[int] = 90

    def recognises_text(self, name: str, text: str) -> bool:
        if name.lower().endswith((".tex", ".ltx", ".latex", ".bbl")):
            return bool(_COMMAND.search(text))
        return bool(_TOLD_BY.search(text)) or sum(1 for _ in _SECTION.finditer(text)) > 1

    def decoded(self, content: bytes, partial: bool = False) -> str:
        if _LATIN.search(content[:HEAD]) and not content.startswith(codecs.BOM_UTF8):
            return content.decode("cp1252", errors="replace")
        return decode(content, partial)

    def companions(self, name: str, text: str, whole: bool) -> list[str]:
        if whole and not _TOLD_BY.search(text):
            return []  # it may be taken in by another, but is none that takes in
        found = []
        for taken in _TAKES_IN.finditer(text):
            if taken[2]:
                found.append(f"{Path(name).stem}.bbl")
            elif taken[1]:
                found.append(file_name(taken[1]))
        return found

    def papers_with(self, name: str, text: str, companions: Mapping[str, str]) -> Iterator[Document]:
        builder = PaperBuilder()
        reader = SourceReader(text, builder)
        reader.companions, reader.name = companions, name
        reader.document()
        title = " ".join(str(reader.known.pop("title", "")).split())
        if not title and not builder.length:
            raise LoadError("it defines commands and has no text of its own")
        yield builder.paper(**titled(title, name), **reader.known)
