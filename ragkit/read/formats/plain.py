"""Plain text: one paper per file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from langchain_core.documents import Document

from ragkit.config.components import component
from ragkit.read.formats import TextFormat, paper, titled
from ragkit.text.words import sentences


@component("text")
@dataclass(frozen=True)
class PlainText(TextFormat):
    """One paper; its title is the first line where a blank line follows it, else the file's name."""

    priority: ClassVar[int] = 1000
    endings: ClassVar[tuple[str, ...]] = (".txt",)

    def recognises(self, name: str, head: bytes) -> bool:
        return True  # the last resort: what cannot be decoded says so when it is read

    def recognises_text(self, name: str, text: str) -> bool:
        return True

    def papers_in(self, name: str, text: str) -> Iterator[Document]:
        first = re.match(r"\s*(\S[^\r\n]{2,199})\r?\n[ \t]*\r?\n(?=\s*\S)", text)
        if first and not is_prose(first[1].strip()) and not first[1].rstrip().endswith((".", ",", ";")):
            yield paper(text, first.end(), len(text), title=first[1])
        else:
            yield paper(text, 0, len(text), **titled("", name))


def is_prose(line: str) -> bool:
    """Is *line* running text rather than a title?"""
    if not 60 < len(line) <= 250:
        return len(line) > 250
    end = line.rstrip("\"'”)")[-1:]
    return end == "." or (end in ("!", "?", ":") and (len(line) > 160 or len(sentences(line)) > 1))
