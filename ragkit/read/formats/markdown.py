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
from ragkit.read.formats.builder import Sections
from ragkit.text.words import trimmed

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
        start = 0
        if front := _FRONT_MATTER.match(text):
            metadata, start = _front_matter(front[1]), front.end()
        title = str(metadata.pop("title", "") or "")
        heading = _HEADING.match(text[start:])
        if underlined := None if heading else _SETEXT_HEADING.match(text[start:]):
            heading = underlined
        if heading:
            words = heading[1] if underlined else _without_closing(heading[1])
            if not title or " ".join(words.split()).casefold() == " ".join(title.split()).casefold():
                title, start = words, start + heading.end()
        found = paper(text, start, len(text), **{**metadata, **titled(title, name)})
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

    def body(end: int) -> None:
        start, end = trimmed(text, at, end)
        if start < end:
            rows.append({"start": start, "end": end, "path": sections.path, "kind": sections.kind})

    for found in _SECTION.finditer(text):
        if found[1]:
            body(found.start())
            sections.begin(_without_closing(found[2]), len(found[1]))
            start, at = trimmed(text, *found.span())
            rows.append({"start": start, "end": at, "path": sections.path, "kind": "heading"})
    body(len(text))
    return rows if any(row["path"] for row in rows) else []


def _without_closing(heading: str) -> str:
    """The words of an ATX heading, without the `#` that may close it."""
    written = heading.rstrip(" \t")
    words = written.rstrip("#")
    return words.rstrip(" \t") if words.endswith((" ", "\t")) else written


def _front_matter(text: str) -> dict[str, Any]:
    try:
        found = load_yaml(text)
        as_written = load_yaml(text, yaml.BaseLoader)
    except TooMuch as error:
        raise LoadError(f"its front matter {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 2}" if mark else ""
        raise LoadError(f"its front matter is not YAML{where}: {getattr(error, 'problem', error)}") from None
    except Exception as error:  # what reads a value, such as `2024-02-30`, raises what it likes
        raise LoadError(f"its front matter has a value that YAML cannot read: {error}") from None
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
