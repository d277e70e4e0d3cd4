"""Markdown: one paper per file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar

import yaml
from langchain_core.documents import Document

from ragkit.config.bounded_yaml import TooMuch
from ragkit.config.bounded_yaml import load as load_yaml
from ragkit.config.components import component
from ragkit.document import IDENTIFIERS
from ragkit.errors import LoadError
from ragkit.read.border import foreign
from ragkit.read.formats import TextFormat, paper, titled
from ragkit.read.formats.builder import Sections, complete_tables
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

    def recognises_text(self, name: str, text: str) -> bool:
        return bool(_FRONT_MATTER.match(text) or _HEADING.match(text)) or name.lower().endswith(
            (".md", ".markdown")
        )

    def papers_in(self, name: str, text: str) -> Iterator[Document]:
        metadata: dict[str, Any] = {}
        lost: list[str] = []
        start = 0
        if front := _FRONT_MATTER.match(text):
            metadata, lost = _front_matter(front[1])
            start = front.end()
        title = str(metadata.pop("title", "") or "")
        heading = _HEADING.match(text[start:])
        if underlined := None if heading else _SETEXT_HEADING.match(text[start:]):
            heading = underlined
        if heading:
            words = heading[1] if underlined else _without_closing(heading[1])
            if not title or " ".join(words.split()).casefold() == " ".join(title.split()).casefold():
                title, start = words, start + heading.end()
        found = paper(text, start, len(text), **{**metadata, **titled(title, name)})
        if lost:
            found.metadata["lost"] = lost
        if sections := _sections(found.page_content):
            found.metadata["sections"] = sections
        yield found


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


_AUTHORS = ("author", "authors")
_ENTRY = re.compile(r"^(?=[^\s#-])", re.MULTILINE)  # where one begins
_PLAIN = re.compile(r"([\w-]+):[ \t]+([^\s&*!|>%@`\[{\"'#][^\r\n]*)\s*")


def _front_matter(text: str) -> tuple[dict[str, Any], list[str]]:
    """What the front matter says, and a sentence on each entry of it that is not YAML.

    Such an entry is the text behind its colon if that is one line.
    """
    try:
        found = _mapping(text)
        return _named(found), []
    except LoadError:
        raise
    except TooMuch as error:
        raise LoadError(f"its front matter {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 2}" if mark else ""
        lost = [f"its front matter is not YAML{where}: {getattr(error, 'problem', error)}"]
    except Exception as error:  # what reads a value, such as `2024-02-30`, raises what it likes
        lost = [f"its front matter has a value that YAML cannot read: {error}"]
    whole: dict[str, Any] = {}
    for entry in _ENTRY.split(text):
        try:
            whole |= _mapping(entry)
        except Exception:
            if plain := _PLAIN.fullmatch(entry):
                whole[plain[1]] = plain[2].strip()
    return _named(whole), lost


def _named(found: dict[str, Any]) -> dict[str, Any]:
    """What the front matter says, its authors a list and its year a number, whatever they are called."""
    authors = next((found.pop(name) for name in _AUTHORS if isinstance(found.get(name), str)), None)
    dated = re.match(r"((?:19|20)\d\d)\b", str(found.get("date", "")))
    if authors:
        found["authors"] = [name for part in authors.split(";") if (name := part.strip())]
    if dated and "year" not in found:
        found["year"] = int(dated[1])
    return found


def _mapping(text: str) -> dict[str, Any]:
    """A YAML mapping; `LoadError` for other YAML."""
    found = load_yaml(text)
    as_written = load_yaml(text, yaml.BaseLoader)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise LoadError("its front matter is not a YAML mapping such as `title: ...`")
    # These are no numbers, whatever they look like: arXiv 2301.10140 is not 2301.1014.
    verbatim = {
        k: as_written[k]
        for k in ("title", *IDENTIFIERS)
        if k in as_written and isinstance(found[k], bool | int | float | date)
    }
    return foreign({**found, **verbatim})
