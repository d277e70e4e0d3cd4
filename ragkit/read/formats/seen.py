"""What is seen of a Markdown text: all but comments and struck text, with entities as the signs they stand for."""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from html.entities import html5
from typing import Any

_COMMENT, _STRUCK = "comment", "struck out"
_MARK = re.compile(
    r"(?P<fence>^[ ]{0,3}(?P<bar>`{3,}+|~{3,}+)[^\n]*+)|(?P<code>`++)|(?P<comment><!--)|(?P<note>^[ ]{0,3}\[(?://|comment)\]:[^\n]*+)"
    r"|(?P<tildes>~++)|<(?P<tag>/?(?:del|strike))>|(?P<blank>\n[ \t\r]*+(?=\n))|(?P<escape>\\[^\w\s])"
    r"|(?P<entity>&(?:\#\d{1,7}|\#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});)",
    re.MULTILINE | re.IGNORECASE,
)
_FENCE_END = {
    "`": re.compile(r"^ {0,3}(`{3,}+)[ \t]*+\r?$", re.MULTILINE),
    "~": re.compile(r"^ {0,3}(~{3,}+)[ \t]*+\r?$", re.MULTILINE),
}
_TICKS = re.compile(r"`++")
_BLANK = re.compile(r"\n[ \t\r]*+(?=\n)")
_LINE_END = re.compile(r"[ \t]*+(?:\r?\n|\Z)")
_KEPT_ENTITIES = frozenset("|#\n\r")  # these would be markup


@dataclass(frozen=True)
class Seen:
    """What is seen of a text, with a row for each piece: its place here and in the file, its length in both."""

    text: str
    rows: list[list[int]]
    hidden: Counter[str]

    def source(self, start: int, end: int) -> dict[str, Any]:
        """Where `text[start:end]` stands in the file, as a source of a paper."""
        kept = [row for row in self.rows if row[0] < end and row[0] + row[2] > start]
        if all(row[2] == row[3] for row in kept) and len(kept) < 2:
            at = kept[0][1] - kept[0][0] if kept else 0
            return {"start": at + start, "end": at + end}
        rows = []
        for place, at, length, taken in kept:
            first, last = max(start, place), min(end, place + length)
            if length == taken:
                rows.append([first - start, at + first - place, last - first, last - first])
            else:
                rows.append([first - start, at, last - first, taken])
        return {"map": rows}


def seen(text: str, begin: int) -> Seen:
    """What is seen of `text[begin:]`."""
    pieces: list[str] = []
    rows: list[list[int]] = []
    hidden: Counter[str] = Counter()
    length, at = 0, begin

    def keep(piece: str, place: int, taken: int) -> None:
        nonlocal length
        if piece:
            pieces.append(piece)
            rows.append([length, place, len(piece), taken])
            length += len(piece)

    for start, end, stands in _Scan(text, begin).replaced:
        keep(text[at:start], at, start - at)
        at = end
        if stands in (_COMMENT, _STRUCK):
            hidden[stands] += len("".join(text[start:end].split()))
        else:
            keep(stands, start, end - start)
    keep(text[at:], at, len(text) - at)
    return Seen("".join(pieces), rows, hidden)


class _Scan:
    """Finds what is not seen as it is written: comments, struck text, and entities with what they stand for."""

    def __init__(self, text: str, begin: int) -> None:
        self.text, self.begin = text, begin
        self.replaced: list[tuple[int, int, str]] = []
        self.ticks: dict[int, list[int]] = {}  # the places of runs of so many backticks
        for run in _TICKS.finditer(text, begin):
            self.ticks.setdefault(len(run[0]), []).append(run.start())
        self.blanks = [blank.start() for blank in _BLANK.finditer(text, begin)]
        self.last_comment_end = text.rfind("-->")
        self.opened: dict[str, int] = {}  # where text begins that may be struck, by what struck it
        at = begin
        while mark := _MARK.search(text, at):
            at = self._read(mark)

    def _read(self, mark: re.Match[str]) -> int:
        """Record what a mark means; return the position where reading continues."""
        start, end = mark.span()
        match mark.lastgroup:
            case "fence" | "bar":
                return self._fence(mark)
            case "code":
                return self._code(start, end)
            case "comment" if start < self.last_comment_end:
                return self._leave_out(start, self.text.find("-->", end) + 3, _COMMENT)
            case "note":
                return self._leave_out(start, end, _COMMENT)
            case "tildes" if end - start == 2:
                self._strike("~~", start, end)
            case "tag" if mark["tag"].startswith("/"):
                if (opened := self.opened.pop(mark["tag"][1:].lower(), None)) is not None:
                    return self._leave_out(opened, end, _STRUCK)
            case "tag":
                self.opened.setdefault(mark["tag"].lower(), start)
            case "blank":
                self.opened.pop("~~", None)
            case "entity":
                name = mark["entity"][1:]
                stands = html.unescape(mark[0]) if name[0] == "#" else html5.get(name, mark[0])
                if stands != mark[0] and stands not in _KEPT_ENTITIES:
                    self.replaced.append((start, end, stands))
        return end

    def _fence(self, mark: re.Match[str]) -> int:
        """The end of a block of code."""
        bar = mark["bar"]
        if bar[0] in mark[0].rstrip()[mark.end("bar") - mark.start() :]:
            return self._code(mark.start("bar"), mark.end("bar"))
        for close in _FENCE_END[bar[0]].finditer(self.text, mark.end()):
            if len(close[1]) >= len(bar):
                return close.end()
        return len(self.text)

    def _code(self, start: int, end: int) -> int:
        """The end of code in a paragraph; that of its mark if it is none."""
        places = self.ticks.get(end - start, [])
        n = bisect_right(places, start)
        blank = bisect_right(self.blanks, start)
        limit = self.blanks[blank] if blank < len(self.blanks) else len(self.text)
        return places[n] + end - start if n < len(places) and places[n] < limit else end

    def _strike(self, by: str, start: int, end: int) -> None:
        before, after = self.text[start - 1 : start], self.text[end : end + 1]
        if by in self.opened and before.strip():
            self._leave_out(self.opened.pop(by), end, _STRUCK)
        elif after.strip():
            self.opened[by] = start

    def _leave_out(self, start: int, end: int, reason: str) -> int:
        """Record hidden text, with the white space that would be left; return the position where reading continues."""
        while self.replaced and self.replaced[-1][0] >= start:
            self.replaced.pop()
        first = max(self.replaced[-1][1] if self.replaced else 0, self.begin)
        before = len(self.text[max(first, start - 80) : start].rstrip(" \t")) + max(first, start - 80)
        rest = _LINE_END.match(self.text, end)
        if rest and (before == first or self.text[before - 1] == "\n"):
            start, end = before, rest.end()  # whole lines
        elif rest or self.text[end : end + 1].isspace():
            start = before
        self.replaced.append((start, end, reason))
        return end
