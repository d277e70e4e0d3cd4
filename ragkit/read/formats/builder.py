"""Builds a paper's text from pieces and records each piece's offset in the file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from langchain_core.documents import Document

from ragkit.text.lists import is_item

Kind = Literal["abstract", "body", "caption", "table", "references", "heading", "footnote"]
"""The kind of a part of a paper; references are not used for answers, and a heading is not a sentence."""

_NUMBER = re.compile(r"^(?:[\dIVX]+(?:\.\d+)*|[A-Z])[.)]?\s+(?=\S)")
_TOLD: dict[str, Kind] = {
    "abstract": "abstract",
    **dict.fromkeys(
        (
            "references",
            "reference",
            "bibliography",
            "literature cited",
            "works cited",
            "literature",
            "references and notes",
        ),
        "references",
    ),
}


def kind_of(heading: str) -> Kind:
    """The kind of text under a heading: an abstract, references or the body."""
    words = _NUMBER.sub("", heading.strip(" \t*:.")).casefold()
    return _TOLD.get(words, "body")


class Sections:
    """The headings that a place in a paper stands under."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str, Kind]] = []  # level, heading and kind, outermost first

    def begin(self, heading: str, level: int, kind: Kind | None = None) -> None:
        """Begin a section, which ends those of its level and below; see `PaperBuilder.section`."""
        self._open = [above for above in self._open if above[0] < level]
        told = kind or kind_of(heading)
        if told == "body" and kind is None:
            told = self.kind
        self._open.append((level, " ".join(heading.split()), told))

    @property
    def path(self) -> list[str]:
        """The headings, outermost first."""
        return [heading for _, heading, _ in self._open if heading]

    @property
    def kind(self) -> Kind:
        """The kind that the innermost heading gives, or else one above it."""
        return next((kind for _, _, kind in reversed(self._open) if kind != "body"), "body")


_WIDE = re.compile(r"\s{2,}")
_ONE_SPACE = re.compile(r"\s")


class PaperBuilder:
    """Grows a paper's text piece by piece.

        builder.section("Results", level=1)
        builder.add("We measure ", at=120)          # these characters stand at 120 of the file
        builder.add("<", at=131, size=4)            # this one stands for `&lt;`
        builder.paragraph()                         # a blank line, which stands nowhere in the file

    White space is never doubled and never leads or trails.  Where a paper is spread over several files, each
    row of the map but the main file's ends with the number (from 1) of its file in `files`.  For a format
    with pages, `at` is not given and `page` is.  `hidden` counts the characters, by reason, that are left out
    since the paper's readers do not see them.
    """

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.length = 0
        self.map: list[list[int]] = []
        self.files: list[str] = []
        self._file = 0
        self.pages: list[list[int]] = []
        self.sections: list[dict[str, Any]] = []
        self.hidden: Counter[str] = Counter()
        self._sections = Sections()
        self._kind: Kind = "body"
        self._gap = ""
        self._in_row = False

    def add(
        self,
        text: str,
        at: int | None = None,
        size: int | None = None,
        page: int | None = None,
        box: Sequence[int] = (),
    ) -> None:
        """Append *text*, which stands for `file[at:at+size]` (its own length if *size* is not given).

        For a format with pages it stands on *page* (from 1), in the *box* (left, top, right, bottom, in
        points from the page's top left corner).
        """
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
        if page is not None and (not self.pages or self.pages[-1][1:] != [page, *box]):
            self.pages.append([self.length, page, *box])
        if at is not None:
            start = at + lead if size is None else at
            taken = len(body) if size is None else size
            last = self.map[-1] if self.map else None
            same_file = last is not None and (last[4] if len(last) > 4 else 0) == self._file
            if (
                last
                and same_file
                and last[2] == last[3]
                and taken == len(body)
                and last[0] + last[2] == self.length
                and last[1] + last[3] == start
            ):
                last[2] += len(body)
                last[3] += taken
            else:
                self.map.append([self.length, start, len(body), taken, *([self._file] if self._file else [])])
        self._append(body)
        if text != text.rstrip():
            self.space()

    @property
    def ends_in_word(self) -> bool:
        """Does the text end in a word that the next piece would continue?"""
        return (
            not self._gap
            and bool(self.parts)
            and (self.parts[-1][-1].isalnum() or self.parts[-1][-1] in ")]")
        )

    @property
    def ends_in_stop(self) -> bool:
        """Does the text end in a full stop or the like that the next piece would follow at once?"""
        return not self._gap and bool(self.parts) and self.parts[-1][-1] in ".,;:!?"

    def space(self) -> None:
        """One space, for white space of any length."""
        self._gap = self._gap or " "

    def unspace(self) -> None:
        """The next piece continues the word before."""
        self._gap = ""

    def line(self) -> None:
        """A new line."""
        if "\n" not in self._gap:
            self._gap = self._gap or " " if self._in_row else "\n"

    def paragraph(self) -> None:
        """A new paragraph: a blank line."""
        self._gap = self._gap or " " if self._in_row else "\n\n"

    @contextmanager
    def row(self) -> Iterator[None]:
        """Pieces added in this context are a row of a table: one line, whatever they hold."""
        self.line()
        with self.cell():
            yield
        self.line()

    @contextmanager
    def cell(self) -> Iterator[None]:
        """Pieces added in this context stay on one line, whatever they hold."""
        outer, self._in_row = self._in_row, True
        yield
        self._in_row = outer

    def item(self, words: str = "", number: int = 0) -> None:
        """Mark what follows as an item of a list, by its number if it has one.

        An item whose *words* are marked already, and a reference, stay as they are.
        """
        if self._kind != "references" and not is_item(words):
            self.add(f"{number}. " if number else "- ")

    def prose(self, text: str, at: int) -> None:
        """Add running text that stands verbatim at *at* of the file.

        White space of any length becomes one space.
        """
        start = 0
        for wide in _WIDE.finditer(text):
            self.add(_ONE_SPACE.sub(" ", text[start : wide.start()]), at + start)
            self.space()
            start = wide.end()
        self.add(_ONE_SPACE.sub(" ", text[start:]), at + start)

    def section(self, title: str, level: int = 1, kind: Kind | None = None) -> None:
        """Begin a section with this heading, of this level (from 1).

        Without *kind*, the heading decides, or one of a higher level: everything under "References" is
        references.
        """
        self.paragraph()
        self._close_section()
        self._sections.begin(title, level, kind)
        self._kind = self._sections.kind

    @contextmanager
    def heading(self, title: str, level: int = 1, kind: Kind | None = None) -> Iterator[None]:
        """Begin a section; pieces added in this context are its heading, a paragraph of its own."""
        self.section(title, level, kind)
        with self.aside("heading"):
            yield

    @contextmanager
    def aside(self, kind: Kind) -> Iterator[None]:
        """Pieces added in this context are a paragraph of this kind, under the same headings."""
        before = self._kind
        self.paragraph()
        self.kind(kind)
        yield
        self.paragraph()
        self.kind(before)

    @contextmanager
    def footnote(self) -> Iterator[None]:
        """Pieces added in this context are a footnote; one of references is a reference."""
        with self.aside("references" if self._kind == "references" else "footnote"):
            yield

    def kind(self, kind: Kind) -> None:
        """The pieces that follow are of this kind, under the same headings."""
        if kind != self._kind:
            self._close_section()
            self._kind = kind

    def paper(self, title: str, **metadata: Any) -> Document:
        """The finished paper.  `sections` has a row for each stretch: start, end, path of headings, kind."""
        self._close_section()
        complete_tables(self.sections, text := "".join(self.parts))
        known = {name: value for name, value in metadata.items() if value not in (None, "", [], {})}
        if any(s["path"] or s["kind"] != "body" for s in self.sections):
            known["sections"] = self.sections
        if self.hidden:
            known["hidden"] = dict(self.hidden)
        source: dict[str, Any] = {}
        if self.map:
            source["map"] = self.map
        if self.files:
            source["files"] = self.files
        if self.pages:
            source["pages"] = self.pages
        return Document(
            page_content=text,
            metadata={**known, "title": " ".join(title.split()), "sources": [source]},
        )

    def header(self) -> None:
        """The lines of the table so far are its header."""
        row = self.sections[-1] if self.sections else {}
        if "end" not in row and row.get("kind") == "table":
            row["header"] = [row["start"], self.length]

    def _append(self, text: str) -> None:
        self.parts.append(text)
        self.length += len(text)

    def _open_section(self) -> None:
        if not self.sections or "end" in self.sections[-1]:
            self.sections.append({"start": self.length, "path": self._sections.path, "kind": self._kind})

    def _close_section(self) -> None:
        if self.sections and "end" not in self.sections[-1]:
            self.sections[-1]["end"] = self.length


_OF_FIGURE = re.compile(r"(?:fig|abb)", re.IGNORECASE)


def complete_tables(sections: Sequence[dict[str, Any]], text: str) -> None:
    """Give each table among *sections* its header, by default its first line, and the caption beside it.

    A caption above is taken before one below, and none is taken twice.
    """
    taken: list[int] = []
    for n, row in enumerate(sections):
        if row["kind"] != "table":
            continue
        first = text.find("\n", row["start"], row["end"])
        if "header" not in row and first > 0:
            row["header"] = [row["start"], first]
        for beside in (n - 1, n + 1):
            if 0 <= beside < len(sections) and beside not in taken:
                caption = sections[beside]
                if caption["kind"] == "caption" and not _OF_FIGURE.match(text, caption["start"]):
                    row["caption"] = [caption["start"], caption["end"]]
                    taken.append(beside)
                    break
