"""Files to papers: which files there are, which format each has, and the papers it lists.

A paper's text is `file[start:end]` of the decoded file, exactly, so a citation can point into the file as well.
"""

from __future__ import annotations

import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from langchain_core.document_loaders import BaseBlobParser, BaseLoader, Blob
from langchain_core.documents import Document

from ragkit.document import IDENTIFIERS
from ragkit.errors import LoadError, UsageError
from ragkit.registry import component, interface
from ragkit.text import sentences, trimmed


@interface
class FileFormat(BaseBlobParser, ABC):
    """One kind of text file, told by its content."""

    @abstractmethod
    def recognises(self, name: str, text: str) -> bool:
        """Is this file of this kind?  *name* is the file's own name, for where the content says too little."""

    @abstractmethod
    def papers(self, name: str, text: str) -> Iterator[Document]:
        """The papers that the file lists, in order; each made with `paper`."""

    def lazy_parse(self, blob: Blob) -> Iterator[Document]:
        uri = str(blob.source or "")
        return self.papers(Path(uri).name, decode(blob.as_bytes()))


def paper(text: str, start: int, end: int, /, title: str, **metadata: Any) -> Document:
    """A paper whose text is `text[start:end]` of its file, without the white space around it."""
    start, end = trimmed(text, start, end)
    known = {name: value for name, value in metadata.items() if value not in (None, "", [])}
    return Document(
        page_content=text[start:end], metadata={**known, "title": " ".join(title.split()), "sources": [{"start": start, "end": end}]}
    )


@component("paper_page")
@dataclass(frozen=True)
class PaperPage(FileFormat):
    """A saved web page that lists papers, each a line with its title and then its abstract.

    In one variant blank lines separate them, in the other none does and the first title is glued to the word
    `Subscribe` of the page's head.  What stands before the first title is the page's own.
    """

    def recognises(self, name: str, text: str) -> bool:
        head = [line for _, _, line in _lines(text[:4000])][:6]
        return (
            any(line.startswith("Subscribe") for line in head)
            and any("email inbox" in line for line in head)
            and any(self.papers(name, text))
        )

    def papers(self, name: str, text: str) -> Iterator[Document]:
        title: tuple[int, int] | None = None
        body: tuple[int, int] | None = None
        in_head = True  # until the first abstract; the line before it is the first title
        for start, end, line in _lines(text):
            if _is_prose(line):
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
        return paper(text, *(body or (title[1], title[1])), title=text[slice(*title)])  # an abstract may be missing


def _lines(text: str) -> Iterator[tuple[int, int, str]]:
    for match in re.finditer(r"[^\r\n]+", text):
        start, end = trimmed(text, *match.span())
        if start < end:
            yield start, end, text[start:end]


def _is_prose(line: str) -> bool:
    """Is *line* running text rather than a title?"""
    if not 60 < len(line) <= 250:
        return len(line) > 250
    end = line.rstrip("\"'”)")[-1:]
    return end == "." or (end in ("!", "?", ":") and (len(line) > 160 or len(sentences(line)) > 1))


_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"\A\s*#[ \t]+(?!#+[ \t]*[\r\n])(\S[^\r\n]*?)(?:[ \t]+#+)?[ \t]*(?:\r?\n|\Z)")
_SETEXT_HEADING = re.compile(r"\A\s*(\S[^\r\n]*)\r?\n=+[ \t]*(?:\r?\n|\Z)")


@component("markdown")
@dataclass(frozen=True)
class Markdown(FileFormat):
    """One paper, its title and the rest of what is known about it in YAML front matter, or the title in a heading."""

    def recognises(self, name: str, text: str) -> bool:
        return bool(_FRONT_MATTER.match(text) or _HEADING.match(text)) or name.lower().endswith((".md", ".markdown"))

    def papers(self, name: str, text: str) -> Iterator[Document]:
        metadata: dict[str, Any] = {}
        start = 0
        if front := _FRONT_MATTER.match(text):
            metadata, start = _front_matter(front[1]), front.end()
        title = str(metadata.pop("title", "") or "")
        if heading := _HEADING.match(text[start:]) or _SETEXT_HEADING.match(text[start:]):
            if not title or " ".join(heading[1].split()).casefold() == " ".join(title.split()).casefold():
                title, start = heading[1], start + heading.end()
        guessed = {} if title else {"title_guessed": True}
        yield paper(text, start, len(text), **{**metadata, **guessed, "title": title or _from_name(name)})


def _front_matter(text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
        as_written = yaml.load(text, Loader=yaml.BaseLoader)
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
    verbatim = {k: as_written[k] for k in ("title", *IDENTIFIERS) if k in as_written and isinstance(found[k], bool | int | float | date)}
    return {str(k): _plain(v) for k, v in {**found, **verbatim}.items()}


def _plain(value: Any) -> Any:
    """A YAML value as JSON has it."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(v) for v in value]
    if isinstance(value, str):
        return value.encode(errors="replace").decode()  # an escape can write half of a character
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, bool | int | float | None) else str(value)


@component("text")
@dataclass(frozen=True)
class PlainText(FileFormat):
    """One paper; its title is the first line where a blank line follows it, else the file's name."""

    def recognises(self, name: str, text: str) -> bool:
        return True

    def papers(self, name: str, text: str) -> Iterator[Document]:
        first = re.match(r"\s*(\S[^\r\n]{2,199})\r?\n[ \t]*\r?\n(?=\s*\S)", text)
        if first and not _is_prose(first[1].strip()) and not first[1].rstrip().endswith((".", ",", ";")):
            yield paper(text, first.end(), len(text), title=first[1])
        else:
            yield paper(text, 0, len(text), title=_from_name(name), title_guessed=True)


def _from_name(name: str) -> str:
    return re.sub(r"[-_\s]+", " ", Path(name).stem).strip() or name


@component("files")
@dataclass(frozen=True)
class Files(BaseLoader):
    """Files and the folders they are in, each read by the first of `formats` that recognises its content.

    Hidden files and folders are passed over.  `paths` are read by every ingest, before those named in the call.
    """

    paths: Sequence[str] = ()
    formats: Sequence[FileFormat] = (PaperPage(), Markdown(), PlainText())

    def lazy_load(self) -> Iterator[Document]:
        for path in self.find(self.paths):
            yield from self.read(path)[1]

    def find(self, paths: Sequence[str | Path]) -> list[Path]:
        """Every file under *paths*, absolute, each once, in order.  Raises `UsageError` for a path that is not there."""
        found: dict[Path, None] = {}
        for path in map(Path, paths):
            if path.is_dir():
                found.update(dict.fromkeys(_walk(path)))
            elif path.exists():
                found[path.resolve()] = None
            else:
                raise UsageError(f"there is no file or folder '{path}'")
        return list(found)

    def read(self, path: Path) -> tuple[str, list[Document]]:
        """The digest of a file's content and the papers that it lists.  Raises `LoadError` with the reason."""
        content = self.content(path)
        text = decode(content)
        if not text.strip():
            raise LoadError("it is empty")
        form = next((f for f in self.formats if f.recognises(path.name, text)), None)
        if form is None:
            raise LoadError("none of the configured formats recognises it")
        papers = list(form.papers(path.name, text))
        for each in papers:
            for source in each.metadata["sources"]:
                source["uri"] = str(path)
        return hashlib.sha256(content).hexdigest(), papers

    def content(self, path: Path) -> bytes:
        try:
            str(path).encode()
            if not path.is_file():
                raise LoadError("it is a folder that cannot be opened" if path.is_dir() else "it is not a regular file")
            return path.read_bytes()
        except UnicodeEncodeError:
            raise LoadError("its name is not UTF-8; rename it") from None
        except OSError as error:
            raise LoadError(f"it cannot be read: {error.strerror}") from None


def _walk(folder: Path) -> Iterator[Path]:
    """The files under *folder*; a folder that cannot be opened comes as one, to fail where it is read."""
    unopened: list[Path] = []
    for directory, folders, names in os.walk(folder.resolve(), onerror=lambda error: unopened.append(Path(error.filename))):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        yield from (Path(directory) / name for name in sorted(names) if not name.startswith("."))
    yield from unopened


def decode(content: bytes) -> str:
    """The text of a file, line ends and all, so that offsets in it are offsets in the file."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    else:
        encoding = "utf-8-sig"
        if b"\x00" in content[:4096]:
            raise LoadError("it is not a text file")
        if content.startswith(b"%PDF-"):
            raise LoadError("it is a PDF, which this version does not read")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise LoadError(
            f"it is not {encoding.upper().removesuffix('-SIG')}: byte {error.start} cannot be decoded; save it as UTF-8"
        ) from None
