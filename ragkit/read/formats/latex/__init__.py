"""LaTeX source: one paper per file, with commands replaced by what they print.

TeX cannot be parsed without running it, so nothing is parsed: one pass over the source writes the text and
drops the rest.  Braces are dropped, so an unknown command still shows its argument, and broken source is read
less well but is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from langchain_core.documents import Document

from ragkit.config.components import component
from ragkit.errors import LoadError
from ragkit.read.formats import ProjectFormat, titled
from ragkit.read.formats.latex.expand import expanded, file_name
from ragkit.read.formats.latex.places import PlacedBuilder
from ragkit.read.formats.latex.reader import SourceReader

_TOLD_BY = re.compile(
    r"^[^%\n]{0,200}?\\(?:documentclass\b|documentstyle\b|begin\s*\{(?:document|thebibliography)\})",
    re.MULTILINE,
)
_WHOLE = re.compile(
    r"^[^%\n]{0,200}?\\(?:document(?:class|style)\b|begin\s*\{document\}|bye\b|enddocument\b)", re.MULTILINE
)
"""What only a paper has, and not its parts; the last two end plain TeX and AMS-TeX."""
_SECTION = re.compile(r"^[ \t]*\\(?:sub)*(?:section|chapter)\*?\s*[\[{]", re.MULTILINE)
_COMMAND = re.compile(r"\\[a-zA-Z]+\s*[\[{]")


_TAKES_IN = re.compile(
    r"%[^\r\n]*+|\\(?:input|include|subfile)\s*+\{?\s*+([^\s{}%\\]++)|\\(bibliography)\s*+\{"
)


@component("latex")
@dataclass(frozen=True)
class Latex(ProjectFormat):
    """The LaTeX source of one paper, with the files it includes and the `.bbl` file of its references."""

    priority: ClassVar[int] = 90
    endings: ClassVar[tuple[str, ...]] = (".tex", ".ltx", ".latex")

    def recognises_text(self, name: str, text: str) -> bool:
        if name.lower().endswith((*self.endings, ".bbl")):
            return bool(_COMMAND.search(text))
        return bool(_TOLD_BY.search(text)) or sum(1 for _ in _SECTION.finditer(text)) > 1

    def companions(self, name: str, text: str, whole: bool) -> list[str]:
        if whole and not _TOLD_BY.search(text):
            return []  # another file may include it, but it includes none
        found = []
        for taken in _TAKES_IN.finditer(text):
            if taken[2]:
                found.append(f"{Path(name).stem}.bbl")
            elif taken[1]:
                found.append(file_name(taken[1]))
        return found

    def is_whole(self, text: str) -> bool:
        return bool(_WHOLE.search(text))

    def papers_with(self, name: str, text: str, companions: Mapping[str, str]) -> Iterator[Document]:
        source, files = expanded(name, text, companions)
        builder = PlacedBuilder(source, files)
        reader = SourceReader(source.text, builder)
        reader.document()
        title = " ".join(str(reader.known.pop("title", "")).split())
        if not title and not builder.length:
            raise LoadError("it defines commands and has no text of its own")
        yield builder.paper(**titled(title, name), **reader.known)
