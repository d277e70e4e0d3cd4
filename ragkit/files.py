"""Files to papers: which files there are, and which format reads each."""

from __future__ import annotations

import codecs
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from ragkit.errors import LoadError, UsageError
from ragkit.formats import HEAD, FileFormat
from ragkit.formats.markdown import Markdown
from ragkit.formats.page import PaperPage
from ragkit.formats.plain import PlainText
from ragkit.formats.records import Csv, JsonLines
from ragkit.registry import component


@component("files")
@dataclass(frozen=True)
class Files(BaseLoader):
    """Files and the folders they are in, each read by the first of `formats` that recognises its content.

    Hidden files and folders are passed over.  `paths` are read by every ingest, before those named in the call.
    """

    paths: Sequence[str] = ()
    formats: Sequence[FileFormat] = (PaperPage(), JsonLines(), Csv(), Markdown(), PlainText())

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
        if not content.removeprefix(codecs.BOM_UTF8).strip():
            raise LoadError("it is empty")
        form = next((f for f in self.formats if f.recognises(path.name, content[:HEAD])), None)
        if form is None:
            raise LoadError("none of the configured formats recognises it")
        papers = list(form.papers(path.name, content))
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
