"""The border between a file and the corpus: the only form in which papers leave the process that reads.

Whatever reads a file, its papers are written as JSON and admitted only if they are what a paper may be: text and
plain metadata of a limited size, sections and places that lie in the text, boxes that lie on a page.
"""

from __future__ import annotations

import json
import math
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NotRequired

from langchain_core.documents import Document
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from ragkit.document import IDENTIFIERS, RESERVED
from ragkit.errors import LoadError
from ragkit.read.composed import composed
from ragkit.read.formats.builder import Kind

if TYPE_CHECKING:
    from ragkit.read.files import Files

_ALWAYS = 20_000_000  # bytes that the papers of a small file may take
_MOST = 2**31 - 1  # a place in a text or file, as the corpus keeps it

_STRICT = ConfigDict(strict=True)
_Place = Annotated[int, Field(ge=0, le=_MOST)]
_Range = Annotated[list[_Place], Field(min_length=2, max_length=2)]
_Coordinate = Annotated[int, Field(ge=-_MOST, le=_MOST)]


class _Section(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    start: _Place
    end: _Place
    path: list[str]
    kind: Kind
    caption: NotRequired[_Range]
    header: NotRequired[_Range]


class _SourceEntry(TypedDict, total=False):
    """Where the text stands in its file; see `ragkit.document`."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    start: _Place
    end: _Place
    map: list[Annotated[list[_Place], Field(min_length=4, max_length=5)]]
    pages: list[Annotated[list[_Coordinate], Field(min_length=2, max_length=6)]]
    files: list[str]


class _Known(TypedDict, total=False):
    __pydantic_config__ = ConfigDict(strict=True, extra="allow")  # type: ignore[misc]
    title: str
    title_guessed: bool
    bibliography: bool
    attached: list[str]
    guessed: list[str]
    lost: list[str]
    sections: list[_Section]
    sources: Annotated[list[_SourceEntry], Field(max_length=1)]


_PAPERS = TypeAdapter(list[tuple[str, _Known]], config=_STRICT)


class Parts(NamedTuple):
    """The files that the one in a path includes, by their path from its folder, and whether it is a paper by
    itself: a fragment of LaTeX is not.
    """

    names: Sequence[str] = ()
    is_whole: bool = True


_PARTS = TypeAdapter(tuple[Annotated[list[str], Field(max_length=10_000)], bool], config=_STRICT)
_OURS = frozenset(_Known.__annotations__)


class Border:
    """What the papers of the file in *path* must pass; it counts how large they are together.

    Their source is *uri*, by default the path.
    """

    def __init__(self, limits: Files, path: Path, uri: str = "") -> None:
        self.limits = limits
        self.uri = uri or str(path)
        try:
            size = path.stat().st_size
        except (OSError, ValueError):
            size = 0  # whoever reads it says what is wrong
        self.left = int(max(limits.growth * size, _ALWAYS))

    def count(self, size: int) -> None:
        """Note that papers of *size* bytes are to come.  Raises `LoadError` if they are too large."""
        self.left -= size
        if self.left < 0:
            raise LoadError(
                f"its papers are more than {self.limits.growth:g} times as large as the file (`growth` of the loader)"
            )

    def admitted(self, papers: bytes) -> list[Document]:
        """The papers written by `encoded`.  Raises `LoadError` for those that are not what a paper may be."""
        self.count(len(papers))
        try:
            return [self._paper(clean(text), known) for text, known in _PAPERS.validate_json(papers)]
        except ValidationError as error:
            raise _malformed(error) from None

    def _paper(self, text: str, known: _Known) -> Document:
        limits = self.limits
        if len(text) > limits.characters_a_paper:
            raise LoadError(
                f"it has a paper of {len(text):,} characters, more than {limits.characters_a_paper:,}"
                " (`characters_a_paper` of the loader)"
            )
        plain = _Plain(limits.metadata_a_paper)
        metadata = plain.mapping({name: known[name] for name in known.keys() - _OURS})  # type: ignore[literal-required]
        metadata["title"] = plain.text(known.get("title", ""))
        for name in IDENTIFIERS:
            if not isinstance(metadata.get(name, ""), str | int | float):
                del metadata[name]
        metadata |= {name: True for name in ("title_guessed", "bibliography") if known.get(name)}
        lists = {
            "guessed": known.get("guessed"),
            "lost": known.get("lost"),
            "attached": known.get("attached"),
        }
        metadata |= {name: [plain.text(each) for each in told] for name, told in lists.items() if told}
        if sections := known.get("sections"):
            _check_order([(row["start"], row["end"]) for row in sections], len(text))
            for row in sections:
                for start, end in (row.get("caption", (0, 0)), row.get("header", (0, 0))):
                    _check_order([(start, end)], len(text))
            metadata["sections"] = [{**row, "path": [plain.text(h) for h in row["path"]]} for row in sections]
        where = _where(*known.get("sources", ()))
        whole = {**metadata, "sources": [{**where, "uri": self.uri}]}
        return composed(Document(page_content=text, metadata=whole))


def encoded(papers: Iterable[Document]) -> bytes:
    """Papers as they cross the border."""
    rows = [(paper.page_content, paper.metadata) for paper in papers]
    return json.dumps(rows, ensure_ascii=False, default=str).encode("utf-8", "replace")


def parts(content: bytes) -> Parts:
    """What a paper includes, written as JSON.  Raises `LoadError`."""
    try:
        names, is_whole = _PARTS.validate_json(content)
        return Parts([name for name in names if _is_inside(name)], is_whole)
    except ValidationError as error:
        raise _malformed(error) from None


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def clean(text: str) -> str:
    """*text* with a blank for each control character and `?` for each half of one, so that it is as long."""
    return _CONTROL.sub(lambda found: "?" if found[0] >= "\ud800" else " ", text)


def foreign(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata that a file or another program gives, as plain values, without the names that are ragkit's
    own.
    """
    return _Plain().mapping(metadata)


class _Plain:
    """Makes values plain, as JSON has them, and counts their characters.  Raises `LoadError` for too many."""

    def __init__(self, most: int = 1_000_000) -> None:
        self.most = self.left = most

    def mapping(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        named = {self.text(str(name)): value for name, value in metadata.items()}
        plain = {name: self.value(value) for name, value in named.items() if name not in RESERVED}
        return {name: value for name, value in plain.items() if value is not None}

    def value(self, value: Any) -> Any:
        """A plain value; None for a number that JSON does not have, or that needs more than 64 bits."""
        self.left -= 1
        match value:
            case bool() | None:
                return value
            case int():
                return value if abs(value) < 2**63 else None
            case float():
                return value if math.isfinite(value) else None
            case date():
                return value.isoformat()
            case dict():
                return {self.text(str(name)): self.value(inner) for name, inner in value.items()}
            case list() | tuple() | set():
                return [self.value(inner) for inner in value]
        return self.text(str(value))

    def text(self, text: str) -> str:
        self.left -= len(text)
        if self.left < 0:
            raise LoadError(
                f"it has a paper with metadata of more than {self.most:,} characters (`metadata_a_paper` of the loader)"
            )
        return clean(text)


def _where(source: _SourceEntry | None = None) -> dict[str, Any]:
    """A source in which no place of the text raises."""
    source = source or {}
    where: dict[str, Any] = {name: source[name] for name in ("start", "end") if name in source}
    files = source.get("files", [])
    if not all(map(_is_inside, files)):
        raise LoadError("its reader names a file outside its folder")
    if rows := source.get("map"):
        if any(len(row) > 4 and row[4] > len(files) for row in rows):
            raise LoadError("its reader names a file that the paper does not include")
        _check_order([(row[0], row[0]) for row in rows], _MOST)
        where["map"] = rows
    if pages := source.get("pages"):
        _check_order([(row[0], row[0]) for row in pages], _MOST)
        where["pages"] = [[*row[:2], *_box(row[2:])] for row in pages]
    return {**where, "files": files} if files else where


def _box(box: Sequence[int]) -> Sequence[int]:
    """A box, without what is left of its page or above it."""
    return [max(number, 0) for number in box] if len(box) == 4 else ()


def _check_order(spans: Sequence[tuple[int, int]], most: int) -> None:
    if any(start > end for start, end in spans) or any(b[0] < a[1] for a, b in pairwise(spans)) or (
        spans and spans[-1][1] > most
    ):  # fmt: skip
        raise LoadError("its reader gives parts of the paper that are out of order")


def _is_inside(name: str) -> bool:
    """Is *name* the path of a file in the folder of the paper?"""
    lies = posixpath.normpath(name)
    return not (lies.startswith(("/", "..")) or _CONTROL.search(name))


def _malformed(error: ValidationError) -> LoadError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(clean(str(part))[:50] for part in first["loc"][:8])
    return LoadError(f"its reader returned something that is no paper ({where}: {first['msg']})"[:400])
