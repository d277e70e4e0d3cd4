"""A text made of pieces of files, and a paper built from it whose places are those of the files."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from ragkit.read.formats.builder import PaperBuilder


class FileSpan(NamedTuple):
    """Characters of a file, which is the paper's own (0) or one that it takes in (from 1)."""

    at: int
    size: int
    file: int = 0


class Placed:
    """A text whose every piece stands for a place; a piece as long as its place is the text there."""

    def __init__(self, text: str = "", place: FileSpan = FileSpan(0, 0)) -> None:
        self.parts: list[str] = []
        self.starts: list[int] = []
        self.places: list[FileSpan] = []
        self.length = 0
        self.add(text, place)

    def add(self, text: str, place: FileSpan) -> None:
        """Append a piece, before the text is first read."""
        if not text:
            return
        if self.places:
            last, size = self.places[-1], self.length - self.starts[-1]
            copied = last.size == size and place.size == len(text)
            if copied and last.file == place.file and last.at + last.size == place.at:
                self.places[-1] = last._replace(size=last.size + place.size)
                self._append(text)
                return
        self.starts.append(self.length)
        self.places.append(place)
        self._append(text)

    def _append(self, text: str) -> None:
        self.parts.append(text)
        self.length += len(text)

    @cached_property
    def text(self) -> str:
        return "".join(self.parts)

    def pieces(self, start: int, end: int) -> Iterator[tuple[str, FileSpan]]:
        """The pieces of `text[start:end]`, each with its place."""
        for n in range(max(bisect_right(self.starts, start) - 1, 0), len(self.starts)):
            begin, stop = self.starts[n], [*self.starts[n + 1 : n + 2], self.length][0]
            if begin >= end:
                break
            first, last = max(start, begin), min(end, stop)
            place = self.places[n]
            if place.size == stop - begin:
                place = place._replace(at=place.at + first - begin, size=last - first)
            if first < last:
                yield self.text[first:last], place

    def place(self, start: int, end: int) -> FileSpan:
        """The place that `text[start:end]` stands for, as far as it is in one file."""
        places = [place for _, place in self.pieces(start, end)]
        if not places:
            return FileSpan(0, 0)
        file = places[0].file
        at = min(place.at for place in places if place.file == file)
        return FileSpan(at, max(place.at + place.size for place in places if place.file == file) - at, file)


class PlacedBuilder(PaperBuilder):
    """Builds a paper from *written*, by offsets in that text; *files* are those the paper takes in."""

    def __init__(self, written: Placed, files: Sequence[str]) -> None:
        super().__init__()
        self.written = written
        self.files = list(files)

    def add(
        self,
        text: str,
        at: int | None = None,
        size: int | None = None,
        page: int | None = None,
        box: Sequence[int] = (),
    ) -> None:
        if at is None:
            super().add(text)
        elif size is not None:
            self._stand(text, self.written.place(at, at + size))
        else:
            done = 0
            for part, place in self.written.pieces(at, at + len(text)):
                self._stand(text[done : done + len(part)], place)
                done += len(part)

    def _stand(self, text: str, place: FileSpan) -> None:
        self._file = place.file
        super().add(text, place.at, None if place.size == len(text) else place.size)
