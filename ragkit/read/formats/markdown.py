"""Markdown: one paper per file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from langchain_core.documents import Document

from ragkit.config.components import component
from ragkit.read.formats import TextFormat, titled
from ragkit.read.formats.builder import Sections, complete_tables
from ragkit.read.formats.front_matter import front_matter
from ragkit.read.formats.seen import Seen, seen
from ragkit.text.tables import is_rule
from ragkit.text.words import Offsets, trimmed

_FRONT_MATTER = re.compile(
    r"\A---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE
)
_HEADING = re.compile(r"\A\s*+#[ \t]++(?!#++[ \t]*+[\r\n])(\S[^\r\n]*+)(?:\r?\n|\Z)")
_SETEXT_HEADING = re.compile(r"\A\s*+(\S[^\r\n]*+)\r?\n=++[ \t]*+(?:\r?\n|\Z)")


@component("markdown")
@dataclass(frozen=True)
class Markdown(TextFormat):
    """One paper, with its title and metadata in YAML front matter, or its title in a heading."""

    priority: ClassVar[int] = 100
    endings: ClassVar[tuple[str, ...]] = (".md", ".markdown")

    def recognises_text(self, name: str, text: str) -> bool:
        named = name.lower().endswith(self.endings)
        return named or bool(_FRONT_MATTER.match(text) or _HEADING.match(text))

    def papers_in(self, name: str, text: str) -> Iterator[Document]:
        metadata: dict[str, Any] = {}
        lost: list[str] = []
        begin = 0
        if front := _FRONT_MATTER.match(text):
            metadata, lost = front_matter(front[1])
            begin = front.end()
        shown = seen(text, begin)
        title = str(metadata.pop("title", "") or "")
        heading = _HEADING.match(shown.text)
        start = 0
        if underlined := None if heading else _SETEXT_HEADING.match(shown.text):
            heading = underlined
        if heading:
            words = heading[1] if underlined else _without_closing(heading[1])
            if not title or " ".join(words.split()).casefold() == " ".join(title.split()).casefold():
                title, start = words, heading.end()
        yield _paper(shown, start, lost, **{**metadata, **titled(title, name)})


def _paper(shown: Seen, start: int, lost: list[str], /, title: str, **metadata: Any) -> Document:
    """The paper that begins at *start* of what is seen of its file."""
    start, end = trimmed(shown.text, start, len(shown.text))
    text = shown.text[start:end]
    known = {name: value for name, value in metadata.items() if value not in (None, "", [])}
    optional = {"lost": lost, "hidden": dict(shown.hidden), "sections": _sections(text)}
    known |= {name: value for name, value in optional.items() if value}
    source = shown.source(start, end)
    return Document(
        page_content=text, metadata={**known, "title": " ".join(title.split()), "sources": [source]}
    )


_SECTION = re.compile(
    r"^ {0,3}(#{1,6})[ \t]++(?!#++[ \t]*+\r?$)(\S[^\r\n]*+)$|^(?:```|~~~).*?(?:^(?:```|~~~)[ \t]*+\r?$|\Z)",
    re.MULTILINE | re.DOTALL,
)


def _sections(text: str) -> list[dict[str, Any]]:
    """The sections of a text by its ATX headings (`## Results`); empty if it has none."""
    rows: list[dict[str, Any]] = []
    sections = Sections()
    at = 0

    def part(start: int, end: int, kind: str) -> None:
        start, end = trimmed(text, start, end)
        if start < end:
            rows.append({"start": start, "end": end, "path": sections.path, "kind": kind})

    def body(end: int) -> None:
        start = at
        for table, rule in _tables(text, at, end):
            caption = _caption(text, start, table[0])
            part(start, caption, sections.kind)
            part(caption, table[0], "caption")
            part(*table, "table")
            rows[-1]["header"] = [rows[-1]["start"], rule]
            start = table[1]
        for note in _FOOTNOTE.finditer(text, start, end):
            part(start, note.start(), sections.kind)
            part(*note.span(), "footnote")
            start = note.end()
        part(start, end, sections.kind)

    for found in _SECTION.finditer(text):
        if found[1]:
            body(found.start())
            sections.begin(_without_closing(found[2]), len(found[1]))
            start, at = trimmed(text, *found.span())
            rows.append({"start": start, "end": at, "path": sections.path, "kind": "heading"})
    body(len(text))
    complete_tables(rows, text)
    return rows if any(row["path"] or row["kind"] != "body" for row in rows) else []


_FOOTNOTE = re.compile(
    r"^\[\^[^\]\s]++\]:[ \t](?:[^\r\n]*+(?:\r?\n(?!\[\^)(?=[^\r\n]*\S)|\Z)?+)++", re.MULTILINE
)
"""A footnote, to the end of its paragraph or to the next one."""
_CAPTION = re.compile(r"^[*_]{0,2}(?:Table|Tab\.)[ \t]++[\dIVX]", re.MULTILINE)  # how one begins
_LINE = re.compile(r"[^\n]*(?:\n|\Z)")


def _caption(text: str, start: int, end: int) -> int:
    """Where the caption begins that the last paragraph of a part of a text is or ends with; *end* if it has none."""
    caption, blank = end, False
    for line in _LINE.finditer(text, start, end):
        if not line[0].strip():
            blank = True
            continue
        if blank:
            caption, blank = end, False
        if caption == end and _CAPTION.match(text, line.start(), end):
            caption = line.start()
    return caption


def _tables(text: str, start: int, end: int) -> Iterator[tuple[Offsets, int]]:
    """The tables in a part of a text, and where the rule under the header of each ends."""
    lines = [line.span() for line in _LINE.finditer(text, start, end)]
    n = 1
    while n < len(lines):
        rule = text[slice(*lines[n])]
        if "|" in rule and is_rule(rule.strip()) and "|" in text[slice(*lines[n - 1])]:
            last = n
            while last + 1 < len(lines) and "|" in text[slice(*lines[last + 1])]:
                last += 1
            yield (lines[n - 1][0], lines[last][1]), trimmed(text, *lines[n])[1]
            n = last + 1
        n += 1


def _without_closing(heading: str) -> str:
    """The words of an ATX heading, without the `#` that may close it."""
    written = heading.rstrip(" \t")
    words = written.rstrip("#")
    return words.rstrip(" \t") if words.endswith((" ", "\t")) else written
