"""From lines to paragraphs: running heads, columns and their reading order, headings and captions."""

from __future__ import annotations

import re
from bisect import bisect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from statistics import median

from ragkit.read.formats.builder import Kind, kind_of
from ragkit.read.formats.pdf.lines import Line, Page

# --- running heads


def remove_running_heads(pages: Sequence[Page]) -> None:
    """Remove page numbers, and text that stands at the same height at the edge of several pages."""
    seen: Counter[tuple[str, int]] = Counter()
    edges = {}
    for page in pages:
        by_height = sorted(page.lines, key=lambda line: line.top)
        edge = [
            line
            for line in (*by_height[:3], *by_height[-3:])
            if line.bottom < 0.12 * page.height or line.top > 0.88 * page.height
        ]
        edges[page.number] = {id(line): (_head(line), round(line.top / 6)) for line in edge}
        seen.update({(text, row + near) for text, row in edges[page.number].values() for near in (-1, 0, 1)})
    often = 2 if len(pages) < 4 else 3
    for page in pages:
        tops = [line.top for line in page.lines]

        def is_head(line: Line, edge: dict[int, tuple[str, int]], tops: Sequence[float] = tops) -> bool:
            outermost = min(line.top - min(tops), max(tops) - line.top) < line.size
            return id(line) in edge and (
                seen[edge[id(line)]] >= often or (outermost and _PAGE_NUMBER.fullmatch(line.text) is not None)
            )

        page.lines = [line for line in page.lines if not is_head(line, edges[page.number])]


_PAGE_NUMBER = re.compile(r"[-–—\s]*(?:page\s*)?[\divxlc]{1,5}(?:\s*(?:/|of)\s*\d+)?[-–—\s]*", re.IGNORECASE)
_FEWEST = 5  # line numbers on the first page that has them; fewer may be a list's


def remove_line_numbers(pages: Sequence[Page]) -> None:
    """Remove the line numbers of a manuscript: left of all other text, each a step more than the one above."""
    last = -1
    for page in pages:
        numbered = _numbered(page)
        numbers = [int(line.words[0].text) for line in numbered]
        steps = {b - a for a, b in pairwise(numbers)}
        goes_on = bool(numbers) and last > 0 and numbers[0] - last in (1, 5)
        if (len(numbers) < _FEWEST and not goes_on) or not (steps <= {1} or steps <= {5}):
            continue
        last = numbers[-1]
        for line in numbered:
            line.text = line.text.removeprefix(line.words[0].text).lstrip()
            line.words = line.words[1:]
            line.left = line.words[0].left if line.words else line.left
        page.lines = [line for line in page.lines if line.text]


def _numbered(page: Page) -> list[Line]:
    """The lines that begin with a number in the margin, from the top; none if other text stands there."""
    least = min((line.left for line in page.lines), default=0.0)
    found = [
        line
        for line in sorted(page.lines, key=lambda line: line.top)
        if line.left < least + 1.5 * line.size
        and line.words
        and re.fullmatch(r"[0-9]{1,4}", line.words[0].text)
    ]
    own = {id(line) for line in found}
    rest = [word.left for line in page.lines for word in line.words[id(line) in own :]]
    edge = max((line.words[0].right for line in found), default=0.0)
    return found if rest and edge < min(rest) else []


def _head(line: Line) -> str:
    return re.sub(r"\d+", "#", line.text.casefold())


# --- reading order


@dataclass
class Block:
    """Lines under one another."""

    lines: list[Line]

    @property
    def left(self) -> float:
        return min(line.left for line in self.lines)

    @property
    def right(self) -> float:
        return max(line.right for line in self.lines)

    @property
    def top(self) -> float:
        return min(line.top for line in self.lines)


def _blocks(lines: Sequence[Line], gutters: Sequence[float]) -> list[Block]:
    """The lines of a page in the order in which they are read."""
    blocks: list[Block] = []
    for line in lines:
        last = blocks[-1].lines[-1] if blocks else None
        follows = last is not None and _follows(last, line)
        if follows:
            blocks[-1].lines.append(line)
        else:
            blocks.append(Block([line]))
    return _ordered(blocks, gutters) if gutters else blocks


def _follows(last: Line, line: Line) -> bool:
    """Does *line* stand right below *last*, or beside it?  A table stands alone."""
    if last.table or line.table:
        return False
    height = max(last.bottom - last.top, line.bottom - line.top, 1.0)
    below = -0.7 * height < line.top - last.bottom < 1.5 * height and line.top > last.top
    overlap = min(last.right, line.right) - max(last.left, line.left)
    beside = abs(line.top - last.top) < 0.5 * height and 0 <= line.left - last.right < 3 * height
    return (below and overlap > 0) or beside


def columns(page: Page) -> list[float]:
    """The middles of the gutters between the page's columns; none if there is one column."""
    lines = [line for line in page.lines if line.right - line.left > 0.12 * page.width]
    if len(lines) < 10:
        return []
    gutters: list[float] = []
    for step in range(20, 81):
        x = page.width * step / 100
        crossing = sum(1 for line in lines if line.left < x - 2 and line.right > x + 2)
        before = sum(1 for line in lines if line.right <= x + 2)
        behind = len(lines) - crossing - before
        if crossing < 0.35 * len(lines) and min(before, behind) > 0.15 * len(lines):
            gutters.append(x)
    if not gutters:
        return []
    groups = [[gutters[0]]]
    for x in gutters[1:]:
        if x - groups[-1][-1] < page.width * 0.015:
            groups[-1].append(x)
        else:
            groups.append([x])

    def crossed(x: float) -> int:
        return sum(1 for line in lines if line.left < x - 2 and line.right > x + 2)

    best = [min(group, key=lambda x: (crossed(x), abs(x - page.width / 2))) for group in groups]
    least = min(map(crossed, best))
    return [x for x in best if crossed(x) <= least + 0.1 * len(lines)]


def _ordered(blocks: list[Block], gutters: Sequence[float]) -> list[Block]:
    """The blocks in reading order.

    Blocks that cross a gutter divide the page into bands; in each band, columns are read from left to right.
    """
    wide = sorted(
        (b for b in blocks if bisect(gutters, b.left + 2) != bisect(gutters, b.right - 2)),
        key=lambda b: b.top,
    )
    tops = [b.top for b in wide]

    def place(block: Block) -> tuple[int, int, float]:
        if any(block is w for w in wide):
            return 2 * bisect(tops, block.top) - 1, 0, block.top
        return 2 * bisect(tops, block.top), bisect(gutters, (block.left + block.right) / 2), block.top

    return sorted(blocks, key=place)


# --- paragraphs

MARK = re.compile(r"(?:[∗*†‡§¶⋆#]{1,3}|\d{1,2}(?![\d.,:)\]%–-]))\s?(?=\S|$)")
"""What begins a footnote."""


@dataclass
class Paragraph:
    lines: list[Line]
    kind: Kind = "body"
    level: int = 0
    is_full: bool = False
    """Does its last line end at the right edge of its column, so that it may go on elsewhere?"""

    @property
    def text(self) -> str:
        return " ".join(line.text for line in self.lines)

    @property
    def is_note(self) -> bool:
        return self.kind == "footnote"

    @property
    def is_finished(self) -> bool:
        return (
            bool(re.search(r"[.!?:;。！？]['\"”’)\]\d]*$", self.lines[-1].text)) and not self.lines[-1].hyphen
        )

    @property
    def goes_on(self) -> bool:
        """Does it begin in the middle of a sentence?"""
        return self.lines[0].text[:1].islower()


CAPTION = re.compile(
    r"(?:Fig(?:ure|\.)?|Table|Tab\.|Algorithm|Listing|Scheme|Abb(?:ildung|\.)|Tabelle)\s*[\dIVX]+(?:\.\d+)*\s*[.:|—-]",
    re.IGNORECASE,
)
_NUMBERED = re.compile(
    r"(?:(\d{1,2}(?:\.\d{1,2}){0,4})\.?|([A-Z](?:\.\d{1,2}){0,3})\.?|([IVX]{1,5})\.)\s+(?=[A-Z\W])(?!\d)"
)
_NAMED = re.compile(
    r"(?:abstract|(?:\d+\.?\s+)?introduction|(?:\d+\.?\s+)?conclusions?|references|bibliography|acknowledge?ments?|appendix|related work|"
    r"background|methods?|results|discussion|limitations|summary)\s*[:.]?",
    re.IGNORECASE,
)
_WORDS = re.compile(r"[\w'’&/()?!,:–—\s-]+")


def body_size(pages: Sequence[Page]) -> float:
    """The size of the type of most of the text."""
    sizes: Counter[float] = Counter()
    for page in pages:
        for line in page.lines:
            sizes[round(line.size)] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 10


def paragraphs(pages: Sequence[Page], notes: Mapping[int, Sequence[Line]]) -> list[Paragraph]:
    """The paragraphs in reading order; the *notes* of a page (by its number) are those behind its text."""
    body = body_size(pages)
    found: list[Paragraph] = []
    for page in pages:
        apart = set(map(id, notes.get(page.number, ())))
        gutters = columns(page)
        for block in _blocks([line for line in page.lines if id(line) not in apart], gutters):
            found += _split(block, body)
        found += _notes(notes.get(page.number, ()))
    abstract = next(
        (
            n
            for n, p in enumerate(found)
            if p.level and kind_of(p.text) == "abstract" and p.lines[0].page <= 2
        ),
        0,
    )
    for each in found[:abstract]:
        each.level = 0  # names and addresses
    return _joined(found, body)


def _notes(lines: Sequence[Line]) -> list[Paragraph]:
    """Notes, each a paragraph: a mark begins one."""
    found: list[Paragraph] = []
    for line in lines:
        if not found or MARK.match(line.text):
            found.append(Paragraph([], "footnote"))
        found[-1].lines.append(line)
    return found


def _split(block: Block, body: float) -> list[Paragraph]:
    """The paragraphs of a block: a wider gap, an indented line, other type or a caption begins one."""
    found: list[Paragraph] = []
    gaps = [b.top - a.top for a, b in zip(block.lines, block.lines[1:], strict=False) if b.top - a.top > 2]
    leading = median(gaps) if gaps else 12
    for line in block.lines:
        level = _heading_level(line, body)
        last = found[-1] if found else None
        before = last.lines[-1] if last else None
        if (
            last is None
            or before is None
            or _begins(line, before, block, leading)
            or bool(level) != bool(last.level)
        ):
            found.append(Paragraph([line], _kind(line), level))
        else:
            last.lines.append(line)
    for each in found:
        each.is_full = not _is_short(each.lines[-1], block)
    return found


def _is_short(line: Line, block: Block) -> bool:
    return line.right < block.right - 3 * line.size


def _kind(line: Line) -> Kind:
    return "table" if line.table else "caption" if CAPTION.match(line.text) else "body"


def _begins(line: Line, before: Line, block: Block, leading: float) -> bool:
    beside = abs(line.top - before.top) < 0.5 * max(line.size, before.size)
    if beside:
        return False
    if (
        line.top - before.top > 1.4 * leading
        or abs(line.size - before.size) > 0.15 * before.size
        or CAPTION.match(line.text)
    ):
        return True
    short = _is_short(before, block)
    ended = bool(re.search(r"[.!?:]['\"”’)\]]*$", before.text))
    indented = line.left > block.left + 0.7 * line.size and before.left < line.left - 0.5 * line.size
    outdented = before.left > line.left + 0.7 * line.size and _LISTED.match(line.text) is not None
    return (
        (indented and ended)
        or (short and ended and _NEW.match(line.text) is not None)
        or outdented
        or (_BULLET.match(line.text) is not None)
    )


_LISTED = re.compile(r"\[\d+\]|\d{1,3}\.\s|[A-Z][\w'’-]+,?\s")
_NEW = re.compile(r"[A-Z0-9\[(“\"•]")
_BULLET = re.compile(r"[•‣◦▪●–]\s|\[\d+\]\s")


def _heading_level(line: Line, body: float) -> int:
    """The level of a heading (from 1); 0 if the line is not a heading."""
    text = line.text
    if len(text) > 120 or not re.search(r"[^\W\d_]{3}", text) or CAPTION.match(text):
        return 0
    if _NAMED.fullmatch(text):
        return 1 if text[0].isupper() or text[0].isdigit() else 0
    if _NUMBERED.match(text) and text.isupper():
        return _depth(text)
    if not (line.bold or line.size > 1.08 * body) or text.endswith((".", ",", ";")) or line.size < 0.9 * body:
        return 0
    if _NUMBERED.match(text):
        return _depth(text)
    if line.size <= 1.08 * body or not text[0].isupper() or not _WORDS.fullmatch(text):
        return 0
    return 2 if line.size < 1.15 * body else 1


def _depth(text: str) -> int:
    """The level of a numbered heading: 2 for 2.1."""
    numbered = _NUMBERED.match(text)
    return next(number for number in numbered.groups() if number).count(".") + 1 if numbered else 0


def _joined(paragraphs: list[Paragraph], body: float) -> list[Paragraph]:
    """Join paragraphs that a note, column, page or figure divides, and headings of two lines."""
    found: list[Paragraph] = []
    for each in paragraphs:
        if begun := _begun(each, found, body):
            begun.lines += each.lines
            begun.is_full = each.is_full
            continue
        last = found[-1] if found else None
        if (
            last
            and last.level
            and each.level
            and each.lines[0].page == last.lines[-1].page
            and not _NUMBERED.match(each.text)
        ):
            near = 0 < each.lines[0].top - last.lines[-1].top < 2 * each.lines[0].size
            if (
                near
                and each.lines[0].size == last.lines[-1].size
                and not _NAMED.fullmatch(last.text)
                and not _NAMED.fullmatch(each.text)
            ):
                last.lines += each.lines
                continue
        found.append(each)
    return found


_NEAR = 7  # paragraphs; what is further back does not go on


def _begun(each: Paragraph, found: Sequence[Paragraph], body: float) -> Paragraph | None:
    """The paragraph among those *found* that continues in *each*, if there is one."""
    if each.kind != "body" or each.level or each.is_note:
        return None
    first = each.lines[0]
    before = list(islice((p for p in reversed(found) if not p.is_note), _NEAR))
    texts = [p for p in before if p.kind == "body" and not p.level]
    if (
        abs(first.size - body) < 0.1 * body
    ):  # what stands in a figure is set in other type, and divides a text
        texts = [p for p in texts if _is_alike(p, first)]
    begun = texts[0] if texts else None
    if begun is None or begun.is_finished or not _is_alike(begun, first):
        return None
    if each.goes_on:
        return begun
    after = begun.lines[-1]
    divided = first.page != after.page or first.top < after.top or found[-1] is not begun
    parted = any(p.level for p in before[: before.index(begun)])
    wide = after.right - after.left > _WIDE * after.frame.width
    whole = wide and len(begun.lines) > 1 and begun.is_full and not _BEGINS.match(first.text)
    running = abs(first.size - body) < 0.1 * body and whole
    return begun if divided and not parted and (running or _ends_in_hyphen(after)) else None


_WIDE = 0.25  # of the width of a page: no line of running text is shorter, but the last of a paragraph


def _is_alike(paragraph: Paragraph, line: Line) -> bool:
    return abs(paragraph.lines[-1].size - line.size) < 0.1 * line.size


_BEGINS = re.compile(r"\[|\d{1,3}[.)]?\s|\(?[a-z\d]\)|[•‣◦▪●–-]\s")


def _ends_in_hyphen(line: Line) -> bool:
    return line.hyphen or re.search(r"[^\W\d_]-$", line.text) is not None
