"""Reads files in confined processes, several at once.

What comes back passes the border (`ragkit.read.border`) while the rest of the file is still being read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from langchain_core.documents import Document

from ragkit import platform
from ragkit.confined import Confined, ConfinedPool, Job
from ragkit.confined.ahead import in_order
from ragkit.errors import LoadError
from ragkit.read import PaperSource
from ragkit.read.border import Border, Parts, encoded, parts

if TYPE_CHECKING:
    from ragkit.read.files import Files

_MANY = 100  # papers, or
_MUCH = 1_000_000  # characters, that are sent together


class Reader(PaperSource):
    """The files of a `Files` loader, read in confined processes; a context manager, which ends them.

    *files* sets the limits, *system* how they are kept.
    """

    def __init__(self, files: Files, system: platform.System = platform.HERE) -> None:
        self.files = files
        self._pool = ConfinedPool(files.limits, system)
        known = dataclasses.replace(
            files, formats=files.ordered_formats, more_formats=(), lookup=()
        )  # a plug-in may be registered in this process only
        self._papers, self._parts = _Papers(known), _Parts(known)
        self._included: dict[Path, Parts | LoadError] = {}
        self._versions: dict[str, str] = {}  # of the objects that were found

    @property
    def pool(self) -> ConfinedPool:
        return self._pool

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    def find(self, paths: Sequence[str | Path] = ()) -> list[str]:
        self._versions |= (objects := self.files.objects(paths))
        files = self.files.under([*self.files.paths, *paths], self.included)
        return [*map(str, files), *objects]

    def unused(self, paths: Sequence[str | Path] = ()) -> list[str]:
        return [str(path) for path in self.files.unused_in([*self.files.paths, *paths], self.included)]

    def digest(self, uri: str | Path) -> str:
        return self._versions.get(str(uri)) or self.files.digest(uri, self.included)

    def gone(self, uris: Iterable[str], paths: Sequence[str | Path] = ()) -> list[str]:
        return self.files.gone(uris, paths)

    def included(self, path: Path) -> Parts:
        """What the paper in a file includes; asked once for each file."""
        if not self._pool.takes(self._papers):
            return self.files.included(path)
        if path not in self._included:
            try:
                with contextlib.closing(self._pool.ask(self._parts, _named(path))) as replies:
                    self._included[path] = next(map(parts, list(replies)), Parts())
            except LoadError as error:
                self._included[path] = error
        known = self._included[path]
        if isinstance(known, LoadError):
            raise known
        return known

    def read(self, uri: str | Path) -> Iterator[list[Document]]:
        """The papers that a file lists, in batches.  Raises `LoadError` with the reason."""
        if not self._pool.takes(self._papers):
            yield from self.files.read(str(uri))
            return
        with self._pool.taken(1) as [process]:
            yield from self._read(process, uri)

    def read_each(self, uris: Sequence[str]) -> Generator[Iterator[list[Document]]]:
        count = min(self._pool.size, len(uris))
        if count < 2 or not self._pool.takes(self._papers):
            yield from super().read_each(uris)
            return
        with (
            self._pool.taken(count) as processes,
            contextlib.closing(in_order(processes, uris, self._read)) as each,
        ):
            yield from each

    def _read(self, process: Confined, uri: str | Path) -> Iterator[list[Document]]:
        with self.files.local(str(uri)) as path:
            border = Border(self.files, path, str(uri))
            with contextlib.closing(self._pool.replies(process, self._papers, _named(path))) as replies:
                for content in replies:
                    yield border.admitted(content)


def _named(path: Path) -> bytes:
    return os.fsencode(path.absolute())


@dataclasses.dataclass(frozen=True, eq=False)
class _OfFiles(Job):
    """Done for a path, with the formats of *files*."""

    files: Files
    doing: ClassVar = "reading"
    done: ClassVar = "read"
    unconfined: ClassVar = (
        "files are read without limits on time and memory, since the formats need this process"
    )

    @property
    def parts(self) -> Sequence[object]:
        return [self, self.files, *self.files.ordered_formats]


class _Papers(_OfFiles):
    """The papers of a file."""

    def replies(self, request: bytes) -> Iterator[bytes]:
        return map(encoded, _batches(self.files.each(Path(os.fsdecode(request)))))


class _Parts(_OfFiles):
    """What the paper in a file includes."""

    def replies(self, request: bytes) -> Iterator[bytes]:
        yield json.dumps(self.files.included(Path(os.fsdecode(request)))).encode()


def _batches(papers: Iterable[Document]) -> Iterator[list[Document]]:
    """Papers that are sent together."""
    some: list[Document] = []
    size = 0
    for paper in papers:
        some.append(paper)
        size += len(paper.page_content)
        if len(some) >= _MANY or size >= _MUCH:
            yield some
            some, size = [], 0
    if some:
        yield some
