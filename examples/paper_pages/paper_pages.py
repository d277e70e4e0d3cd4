"""Saved web pages that list papers: a format in its own package, which ragkit finds once installed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from langchain_core.documents import Document

from ragkit.read.formats import TextFormat, paper
from ragkit.read.formats.plain import is_prose
from ragkit.text.words import trimmed


@dataclass(frozen=True)
class PaperPage(TextFormat):
    """A saved web page that lists papers, each a line with its title and then its abstract.

    In one variant blank lines separate them, in the other none does and the first title is glued to the word
    `Subscribe` of the page's head.  What stands before the first title is the page's own.
    """

    priority: ClassVar[int] = 15  # such a page may be saved as HTML or plain text

    def recognises_text(self, name: str, text: str) -> bool:
        head = [line for _, _, line in _lines(text[:4000])][:6]
        return (
            any(line.startswith("Subscribe") for line in head)
            and any("email inbox" in line for line in head)
            and any(self.papers_in(name, text))
        )

    def papers_in(self, name: str, text: str) -> Iterator[Document]:
        title: tuple[int, int] | None = None
        body: tuple[int, int] | None = None
        in_head = True  # until the first abstract; the line before it is the first title
        for start, end, line in _lines(text):
            if is_prose(line):
                body = (body[0] if body else start, end)
                continue
            if title and (body or not in_head):
                yield self._paper(text, title, body)
            in_head = in_head and body is None
            glued = re.match(r"Subscribe(?=\S)", line) if in_head else None
            title, body = (start + glued.end() if glued else start, end), None
        if title and (body or not in_head):
            yield self._paper(text, title, body)

    @staticmethod
    def _paper(text: str, title: tuple[int, int], body: tuple[int, int] | None) -> Document:
        # An abstract may be missing.
        return paper(text, *(body or (title[1], title[1])), title=text[slice(*title)])


def _lines(text: str) -> Iterator[tuple[int, int, str]]:
    for match in re.finditer(r"[^\r\n]+", text):
        start, end = trimmed(text, *match.span())
        if start < end:
            yield start, end, text[start:end]
