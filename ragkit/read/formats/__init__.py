"""File formats: how a file is recognised, and how the text of its papers is extracted.

A format cleans the text and records the offset in the file of each piece: see `PaperBuilder`.
"""

from __future__ import annotations

import functools
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from langchain_core.document_loaders import BaseBlobParser, Blob
from langchain_core.documents import Document

from ragkit.config import components
from ragkit.config.components import interface
from ragkit.errors import LoadError
from ragkit.read.formats.encoding import decode, noted
from ragkit.text.words import trimmed

HEAD = 65_536
"""The number of bytes at a file's beginning that recognition reads: room for a long licence or preamble."""


@interface
class FileFormat(BaseBlobParser, ABC):
    """One kind of file, recognised by its content."""

    priority: ClassVar[int] = 0
    """Of several formats that recognise a file, the one with the lowest number reads it.

    Those of ragkit have 10 (PDF) to 1000 (plain text, which recognises anything); others are asked before
    them unless they say otherwise.
    """

    endings: ClassVar[tuple[str, ...]] = ()
    """How the names of such files end, in small letters, such as `.pdf`: `ragkit serve` takes uploads that end so."""

    scratch: ClassVar[int] = 0
    """The bytes that a file which a program started by the format writes into the temporary folder may have.

    A reading process may write no file; one whose formats have `scratch` starts with a temporary folder of its own,
    and a program that it starts may raise its limit on the size of files to the largest `scratch`.
    """

    @abstractmethod
    def recognises(self, name: str, head: bytes) -> bool:
        """Is this file of this kind?

        *head* is its first `HEAD` bytes; *name*, without folders, helps where the content does not decide.
        """

    @abstractmethod
    def papers(self, name: str, content: bytes) -> Iterator[Document]:
        """The papers that the file lists, in order.

        Raises `LoadError` with the reason if the file cannot be read.
        """

    def unlocked(self, content: bytes, passwords: Sequence[str]) -> bytes:
        """The content of a file, opened by the first of *passwords* that fits, if it is locked by one."""
        return content

    def lazy_parse(self, blob: Blob) -> Iterator[Document]:
        return self.papers(Path(str(blob.source or "")).name, blob.as_bytes())


components.later(
    f"ragkit.read.formats.{name}"
    for name in "bibliography docling docx html jats latex markdown ocrmypdf pdf plain records tagged tei xml_records".split()
)


def registered_formats() -> tuple[FileFormat, ...]:
    """Every format that needs no arguments, those of installed plug-ins included, in order of `priority`."""
    return _by_priority(tuple(components.registered()))


@functools.lru_cache(maxsize=1)
def _by_priority(registered: tuple[tuple[str, components.Maker], ...]) -> tuple[FileFormat, ...]:
    formats: list[tuple[int, str, FileFormat]] = []
    for name, maker in registered:
        needed = [p for p in components.parameters(maker).values() if p.required]
        if issubclass(components.makes(maker), FileFormat) and not needed:
            made = maker()
            formats.append((made.priority, name, made))
    return tuple(made for _, _, made in sorted(formats, key=lambda each: each[:2]))


class TextFormat(FileFormat):
    """A text format: its bytes are decoded before it is recognised and read."""

    def recognises(self, name: str, head: bytes) -> bool:
        try:
            return self.recognises_text(name, self.decoded(head, partial=len(head) >= HEAD))
        except LoadError:
            return False

    def papers(self, name: str, content: bytes) -> Iterator[Document]:
        text = self.decoded(content)
        return noted(self.papers_in(name, text), text)

    def decoded(self, content: bytes, partial: bool = False) -> str:
        """The text of a file, or of its beginning.  Raises `LoadError`."""
        return decode(content, partial)

    @abstractmethod
    def recognises_text(self, name: str, text: str) -> bool:
        """Is a file that begins with *text* of this kind?"""

    @abstractmethod
    def papers_in(self, name: str, text: str) -> Iterator[Document]:
        """The papers that *text* lists, in order; offsets are characters of *text*."""


class ListFormat(TextFormat):
    """A text format that lists entries; those that cannot be read are reported, and the others are read."""

    def papers_in(self, name: str, text: str) -> Iterator[Document]:
        yield from with_losses(self.entries(name, text))

    @abstractmethod
    def entries(self, name: str, text: str) -> Iterator[Document | str]:
        """The papers in *text*, and a sentence on each entry that cannot be read, in order."""


class ProjectFormat(TextFormat):
    """A text format whose paper may be spread over several files."""

    def papers_in(self, name: str, text: str) -> Iterator[Document]:
        return self.papers_with(name, text, {})

    @abstractmethod
    def companions(self, name: str, text: str, whole: bool) -> list[str]:
        """The files that *text* includes, by their path from the folder of the paper.

        *name* is the paper's own file.  With *whole*, *text* is the content of that file, which may be no
        paper by itself.
        """

    def is_whole(self, text: str) -> bool:
        """Is a file with this text a paper by itself?  Beside one that is, others are its parts or unused."""
        return True

    @abstractmethod
    def papers_with(self, name: str, text: str, companions: Mapping[str, str]) -> Iterator[Document]:
        """The papers of a file and of those of its *companions* that exist."""


def paper(text: str, start: int, end: int, /, title: str, **metadata: Any) -> Document:
    """A paper whose text is `text[start:end]` of its file, without the white space around it."""
    start, end = trimmed(text, start, end)
    known = {name: value for name, value in metadata.items() if value not in (None, "", [])}
    return Document(
        page_content=text[start:end],
        metadata={**known, "title": " ".join(title.split()), "sources": [{"start": start, "end": end}]},
    )


def titled(title: str, name: str) -> dict[str, Any]:
    """The metadata that say a paper's title, which is guessed from its file's name if it has none."""
    return {"title": title} if title else {"title": title_from_name(name), "title_guessed": True}


_LISTED = 20


def with_losses(papers: Iterator[Document | str]) -> Iterator[Document]:
    """The papers among *papers* and sentences on entries that cannot be read, which the last one carries.

    Raises `LoadError` if every entry is lost.
    """
    last: Document | None = None
    lost: list[str] = []
    count = 0
    for each in papers:
        if isinstance(each, str):
            count += 1
            lost += [each] if count <= _LISTED else []
            continue
        if last:
            yield last
        last = each
    if count > _LISTED:
        lost.append(f"{count - _LISTED} more entries cannot be read")
    if last:
        last.metadata |= {"lost": lost} if lost else {}
        yield last
    elif lost:
        raise LoadError(f"{lost[0]}; nothing was read from this file")


def title_from_name(name: str) -> str:
    return re.sub(r"[-_\s]+", " ", Path(name).stem).strip() or name
