"""Putting a paper's text together while keeping where in the file every piece of it stood."""

from __future__ import annotations

from typing import Any, Literal

from langchain_core.documents import Document

Kind = Literal["abstract", "body", "caption", "table", "references", "heading"]
"""What a part of a paper is; references are never answered from, and a heading is no sentence."""


class PaperBuilder:
    """Grows a paper's text piece by piece.

        builder.section("Results", level=1)
        builder.add("We measure ", at=120)          # these characters stand at 120 of the file
        builder.add("<", at=131, size=4)            # this one stands for `&lt;`
        builder.paragraph()                         # a blank line, which stands nowhere in the file

    White space is never doubled and never leads or trails.  For a format with pages, `at` is not given and `page` is.
    """

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.length = 0
        self.map: list[list[int]] = []
        self.pages: list[list[int]] = []
        self.sections: list[dict[str, Any]] = []
        self._path: list[str] = []
        self._kind: Kind = "body"
        self._gap = ""

    def add(self, text: str, at: int | None = None, size: int | None = None, page: int | None = None) -> None:
        """Append *text*, which stands for `file[at:at+size]` (its own length if *size* is not given), on *page* (from 1)."""
        if not text:
            return
        lead = len(text) - len(text.lstrip())
        if lead == len(text):
            self.space()
            return
        if lead:
            self.space()
        body = text.strip()
        if self._gap and self.length:
            self._append(self._gap)
        self._gap = ""
        self._open_section()
        if page is not None and (not self.pages or self.pages[-1][1] != page):
            self.pages.append([self.length, page])
        if at is not None:
            start = at + lead if size is None else at
            taken = len(body) if size is None else size
            last = self.map[-1] if self.map else None
            if last and last[2] == last[3] and taken == len(body) and last[0] + last[2] == self.length and last[1] + last[3] == start:
                last[2] += len(body)
                last[3] += taken
            else:
                self.map.append([self.length, start, len(body), taken])
        self._append(body)
        if text != text.rstrip():
            self.space()

    def space(self) -> None:
        """White space, however much there was: one space."""
        self._gap = self._gap or " "

    def line(self) -> None:
        """A new line."""
        if "\n" not in self._gap:
            self._gap = "\n"

    def paragraph(self) -> None:
        """A new paragraph: a blank line."""
        self._gap = "\n\n"

    def section(self, title: str, level: int = 1, kind: Kind = "body") -> None:
        """What follows stands under this heading, of this level (from 1), and is of this kind."""
        self.paragraph()
        self._close_section()
        self._path = [*self._path[: max(level, 1) - 1], " ".join(title.split())] if title.strip() else self._path[: max(level, 1) - 1]
        self._kind = kind

    def kind(self, kind: Kind) -> None:
        """What follows is of this kind, under the same headings."""
        if kind != self._kind:
            self._close_section()
            self._kind = kind

    def paper(self, title: str, **metadata: Any) -> Document:
        """The paper as put together.  `sections` has a row for each stretch: start, end, path of headings, kind."""
        self._close_section()
        known = {name: value for name, value in metadata.items() if value not in (None, "", [], {})}
        if any(s["path"] or s["kind"] != "body" for s in self.sections):
            known["sections"] = self.sections
        source: dict[str, Any] = {}
        if self.map:
            source["map"] = self.map
        if self.pages:
            source["pages"] = self.pages
        return Document(page_content="".join(self.parts), metadata={**known, "title": " ".join(title.split()), "sources": [source]})

    def _append(self, text: str) -> None:
        self.parts.append(text)
        self.length += len(text)

    def _open_section(self) -> None:
        if not self.sections or "end" in self.sections[-1]:
            self.sections.append({"start": self.length, "path": list(self._path), "kind": self._kind})

    def _close_section(self) -> None:
        if self.sections and "end" not in self.sections[-1]:
            self.sections[-1]["end"] = self.length
