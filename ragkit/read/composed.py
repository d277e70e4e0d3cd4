"""Papers with composed letters: canonically equal text becomes the same text, as `ragkit.text.letters` says.

So it is equal in every index, filter and quote.  Each place still leads to the characters of the file.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from langchain_core.documents import Document

from ragkit.text.letters import compose, decomposed


def composed(paper: Document) -> Document:
    """A paper with composed letters in its text and in what is known of it, its places moved accordingly."""
    known = {
        name: _plain(value) for name, value in paper.metadata.items() if name not in ("sources", "sections")
    }
    known |= {name: paper.metadata[name] for name in ("sections", "sources") if name in paper.metadata}
    text = compose(paper.page_content)
    if text != paper.page_content:
        changes = _Changes(paper.page_content)
        known |= (
            {"sections": [_moved(row, changes) for row in known["sections"]]} if "sections" in known else {}
        )
        known |= (
            {"sources": [changes.source(each) for each in known["sources"]]} if "sources" in known else {}
        )
    if "sections" in known:
        known["sections"] = [{**row, "path": _plain(row["path"])} for row in known["sections"]]
    return Document(page_content=text, metadata=known, id=paper.id)


def _plain(value: Any) -> Any:
    """A plain value with composed letters in its texts."""
    match value:
        case str():
            return compose(value)
        case list():
            return [_plain(each) for each in value]
        case dict():
            return {
                compose(name) if isinstance(name, str) else name: _plain(each) for name, each in value.items()
            }
    return value


def _moved(row: dict[str, Any], changes: _Changes) -> dict[str, Any]:
    """A row of `sections` with its places in the composed text."""
    moved: dict[str, Any] = {name: changes.place(row[name]) for name in ("start", "end")}
    for name in ("caption", "header"):
        if name in row:
            moved[name] = [changes.place(each) for each in row[name]]
    return {**row, **moved}


class _Change(NamedTuple):
    """What becomes other characters: where it begins and ends, and where what it becomes begins and ends."""

    start: int
    end: int
    new_start: int
    new_end: int


class _Changes:
    """What composing changes in a text, in order."""

    def __init__(self, text: str) -> None:
        self.length = len(text)
        self.all: list[_Change] = []
        shift = 0
        for start, end in decomposed(text):
            size = len(compose(text[start:end]))
            self.all.append(_Change(start, end, start + shift, start + shift + size))
            shift += size - (end - start)
        self.starts = [change.start for change in self.all]

    def place(self, old: int) -> int:
        """Where a place in the text is in the composed one; one inside a change is behind it."""
        n = bisect_right(self.starts, old) - 1
        if n < 0:
            return old
        change = self.all[n]
        return change.new_start if old == change.start else change.new_end + max(old - change.end, 0)

    def source(self, source: dict[str, Any]) -> dict[str, Any]:
        """A source of the text as one of the composed text."""
        moved = dict(source)
        if source.get("start") is not None:
            del moved["start"], moved["end"]
            moved["map"] = self._mapped([[0, source["start"], self.length, self.length]])
        elif "map" in source:
            moved["map"] = self._mapped(source["map"])
        if "pages" in source:
            moved["pages"] = [[self.place(row[0]), *row[1:]] for row in source["pages"]]
        return moved

    def _mapped(self, rows: Sequence[Sequence[int]]) -> list[list[int]]:
        found: list[list[int]] = []
        for row in rows:
            for start, at, length, taken, *file in self._parted(row):
                first, end = self.place(start), self.place(start + length)
                last = found[-1] if found else None
                within = first == end or (last and first < last[0] + last[2])
                if last and within and last[4:] == file:  # a letter of two pieces
                    last[2] = max(end - last[0], last[2])
                    last[3] = max(at + taken - last[1], last[3])
                elif not within:
                    found.append([first, at, end - first, taken, *file])
        return found

    def _parted(self, row: Sequence[int]) -> Iterator[Sequence[int]]:
        """A row of a map, its copied text parted where it changes."""
        start, at, length, taken, *file = row
        if length != taken:
            yield row
            return
        done, end = start, start + length
        n = max(bisect_right(self.starts, start) - 1, 0)
        while n < len(self.all) and self.all[n].start < end:
            change = self.all[n]
            for stop in (max(change.start, done), min(change.end, end)):
                if done < stop:
                    yield [done, at + done - start, stop - done, stop - done, *file]
                    done = stop
            n += 1
        if done < end:
            yield [done, at + done - start, end - done, end - done, *file]
