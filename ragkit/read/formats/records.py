"""Papers as records: one per line of JSON, or one per row of a table.

Every text keeps its place in the file: `start` and `end` where it stands there as it is, a `map` as
`PaperBuilder` makes it where the file writes some of its characters otherwise, as `\\n` or `""`.
"""

from __future__ import annotations

import json
import math
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from langchain_core.documents import Document

from ragkit.config.components import component
from ragkit.document import RESERVED
from ragkit.errors import LoadError
from ragkit.read.formats import ListFormat

TITLE = ("title",)
TEXT = ("abstract", "abstract note", "text", "contents", "body")
EVERY = ("*",)

# One thing, one name, whatever a collection calls it.
_NAMES = {
    "_id": "id",
    "arxiv_id": "arxiv",
    "arxivid": "arxiv",
    "journal": "venue",
    "booktitle": "venue",
    "author": "authors",
    "publication year": "year",
    "publication title": "venue",
}

# Names that no record may set: ragkit's own, and what the text is called.
_OURS = RESERVED | {"pages", "title", "text", "metadata_only"}


class Value(NamedTuple):
    """A field's value and the characters of the file that write it, quotation marks apart."""

    value: Any
    start: int
    end: int


Record = dict[str, Value]


@dataclass(frozen=True)
class Records(ListFormat):
    """One paper per record, with its title and text in the fields that `title` and `text` name.

    The first field that is present and not empty counts; case is ignored.

    The other fields become metadata: those that `metadata` names, or all of them (`*`), if their values are
    plain.  A record with neither title nor text is skipped; one that cannot be read is reported, and the rest
    is read.
    """

    title: Sequence[str] = TITLE
    text: Sequence[str] = TEXT
    metadata: Sequence[str] = EVERY

    piece: ClassVar[re.Pattern[str]]
    """One stretch of a written value.

    It is a run of characters that stand for themselves, or (in a named group) an escape for one other
    character.
    """

    @abstractmethod
    def records(self, text: str) -> Iterator[Record | str]:
        """The records in order, each field's name in lower case; a sentence for one that cannot be read."""

    def entries(self, name: str, text: str) -> Iterator[Document | str]:
        for record in self.records(text):
            if found := record if isinstance(record, str) else self._paper(text, record):
                yield found

    def _paper(self, text: str, record: Record) -> Document | None:
        title, body = _first(record, self.title), _first(record, self.text)
        if not (title or body):
            return None
        known = self._metadata(record)
        if not title and body:
            title, known = Value(_opening(body.value), 0, 0), {**known, "title_guessed": True}
        words, source = _placed(text, body, self.piece) if body else ("", _nowhere(record))
        return Document(
            page_content=words,
            metadata={**known, "title": " ".join(title.value.split()) if title else "", "sources": [source]},
        )

    def _metadata(self, record: Record) -> dict[str, Any]:
        given: dict[str, Any] = {name: value for name, (value, _, _) in record.items()}
        inner = given.get("metadata")
        if isinstance(inner, dict):  # as in the collections of BEIR
            given = {**{str(k).lower(): v for k, v in inner.items()}, **given}
        wanted = {m.lower() for m in self.metadata}
        mapped = {n.lower() for n in (*self.title, *self.text)}
        found: dict[str, Any] = {}
        for name, value in given.items():
            key = _NAMES.get(name, name)
            plain = _plain(value)
            if key == "authors" and isinstance(plain, str) and ";" in plain:
                plain = [each for part in plain.split(";") if (each := part.strip())]
            if plain in (None, "", []) or key in _OURS or name in mapped:
                continue
            if "*" in wanted or name in wanted or key in wanted:
                found[key] = plain
        return found

    def _maps(self, names: Iterable[str]) -> bool:
        return not {n.lower() for n in (*self.title, *self.text)}.isdisjoint(names)


def _first(record: Record, names: Sequence[str]) -> Value | None:
    fields = (record.get(name.lower()) for name in names)
    return next((f for f in fields if f and isinstance(f.value, str) and f.value.strip()), None)


def _opening(text: str) -> str:
    """The first words of a text, to show where there is no title."""
    words = " ".join(text[:400].split())
    return words if len(words) <= 100 else words[:100].rpartition(" ")[0].rstrip(",;:") + " …"


def _nowhere(record: Record) -> dict[str, Any]:
    start = min((v.start for v in record.values()), default=0)
    return {"start": start, "end": start}


def _plain(value: Any) -> Any:
    """A value as metadata holds it; None for one that is no plain value."""
    if isinstance(value, str):
        return _whole(value).strip()
    if isinstance(value, list):
        items = [_plain(v.get("name") if isinstance(v, dict) else v) for v in value]
        return None if any(isinstance(i, list) for i in items) else [i for i in items if i not in (None, "")]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float) else None


def _whole(text: str) -> str:
    """*text* without halves of characters, which a JSON escape can write; as long as before."""
    return text.encode(errors="replace").decode()


def _placed(text: str, field: Value, piece: re.Pattern[str]) -> tuple[str, dict[str, Any]]:
    """A field's text without the white space around it, and where in the file it stands."""
    words = _whole(field.value)
    lead, end = len(words) - len(words.lstrip()), len(words.rstrip())
    raw = text[field.start : field.end]
    if raw == words:
        return words[lead:end], {"start": field.start + lead, "end": field.start + end}
    rows: list[list[int]] = []
    place = 0
    for found in piece.finditer(raw):
        taken = len(found[0])
        verbatim = found.lastgroup is None
        length = taken if verbatim else 1
        first, last = max(place, lead), min(place + length, end)
        if first < last:
            at = field.start + found.start() + (first - place if verbatim else 0)
            rows.append([first - lead, at, last - first, last - first if verbatim else taken])
        place += length
    return words[lead:end], {"map": rows}


@component("json_lines")
@dataclass(frozen=True)
class JsonLines(Records):
    """One paper per line, a JSON object, as in the `corpus.jsonl` of a BEIR collection."""

    priority: ClassVar[int] = 50
    endings: ClassVar[tuple[str, ...]] = (".jsonl", ".json")

    piece = re.compile(r"(?P<other>\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.)|[^\\]+")

    def recognises_text(self, name: str, text: str) -> bool:
        lines = [(start, end) for _, start, end in _lines(text)][:3]
        return (
            bool(lines)
            and any(self._is_record(text, *line) for line in lines)
            and all(text[start] == "{" for start, _ in lines)
        )

    def _is_record(self, text: str, start: int, end: int) -> bool:
        record: Record = {}
        try:
            for name, value in _members(text, start, end):
                record[name] = value
        except (ValueError, RecursionError):
            if end < len(text):
                return False
            # The last line of the head may be cut; its fields so far, and one whose text is cut, still tell.
            record.update(
                {cut[1].lower(): Value("", 0, 0) for cut in re.finditer(r'"(\w+)"\s*:\s*"', text[start:end])}
                if record
                else {}
            )
        return self._maps(record)

    def records(self, text: str) -> Iterator[Record | str]:
        for number, start, end in _lines(text):
            try:
                yield dict(_members(text, start, end))
            except RecursionError:
                yield f"line {number} is nested too deeply"
            except ValueError as error:
                reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
                yield f"line {number} is not a JSON object: {reason[:1].lower()}{reason[1:]}"


_LINE = re.compile(r"[^\n]+")


def _lines(text: str) -> Iterator[tuple[int, int, int]]:
    """The number, from 1, and range of each line that is not blank, without the white space around it."""
    number, counted = 1, 0
    for match in _LINE.finditer(text):
        number += text.count("\n", counted, match.start())
        counted = match.start()
        if words := match[0].strip():
            start = match.start() + match[0].index(words[0])
            yield number, start, start + len(words)


_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder(parse_constant=lambda _: None)


def _members(text: str, start: int, end: int) -> Iterator[tuple[str, Value]]:
    """The members of the JSON object `text[start:end]`, which json itself does not tell the places of."""
    if text[start] != "{":
        raise ValueError("it does not begin with {")
    at = _skip(text, start + 1, end)
    more = text[at : at + 1] != "}"
    while more:
        if text[at : at + 1] != '"':
            raise ValueError("a field's name must stand in quotation marks")
        name, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at, end)
        if text[at : at + 1] != ":":
            raise ValueError("there is no colon after a field's name")
        at = _skip(text, at + 1, end)
        value, stop = _DECODER.raw_decode(text, at)
        quote = isinstance(value, str)
        yield name.lower(), Value(value, at + quote, stop - quote)
        at = _skip(text, stop, end)
        more = text[at : at + 1] == ","
        at = _skip(text, at + 1, end) if more else at
    if at >= end or text[at] != "}":
        raise ValueError("there is no comma or } after a field's value")
    if at + 1 < end:
        raise ValueError("something follows it")


def _skip(text: str, at: int, end: int) -> int:
    found = _SPACE.match(text, at, end)
    return found.end() if found else at


@component("csv")
@dataclass(frozen=True)
class Csv(Records):
    """One paper per row of a table with a header; commas, tabs or semicolons separate the cells."""

    priority: ClassVar[int] = 60
    endings: ClassVar[tuple[str, ...]] = (".csv",)

    piece = re.compile(r'(?P<other>"")|[^"]+')

    def recognises_text(self, name: str, text: str) -> bool:
        _, header = next(_rows(text, _delimiter(text)), (1, []))
        return not isinstance(header, str) and len(header) > 1 and self._maps(_names(header))

    def records(self, text: str) -> Iterator[Record | str]:
        rows = _rows(text, _delimiter(text))
        _, header = next(rows, (1, []))
        if isinstance(header, str):
            raise LoadError(f"{header}; nothing was read from this file")
        names = _names(header)
        for number, cells in rows:
            if isinstance(cells, str):
                yield cells
                continue
            if any(cell.value.strip() for cell in cells[len(names) :]):
                yield f"line {number} has {len(cells)} cells where the header has {len(names)}"
                continue
            yield dict(zip(names, cells, strict=False))  # the last cells of a row may be missing


def _names(header: Sequence[Value]) -> list[str]:
    return [cell.value.strip().lower() for cell in header]


def _delimiter(text: str) -> str:
    """What parts the cells of the header: the one of the three that stands there most often."""
    header = re.sub(r'"[^"]*"', "", text.lstrip()[:4000].partition("\n")[0])
    return max(",\t;", key=header.count)


_CELLS = {
    d: re.compile(rf'[ ]*"((?:[^"]|"")*+)"[ ]*({d}|\r\n|\r|\n|\Z)|([^{d}\r\n]*)({d}|\r\n|\r|\n|\Z)')
    for d in ",\t;"
}


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[Value] | str]]:
    """The line that each row that is not blank begins in, from 1, and its cells.

    In their place stands a sentence where a quotation mark is not closed; the next line is read as a row.
    """
    at, number = 0, 1
    cell = _CELLS[delimiter]
    while at < len(text):
        row: list[Value] = []
        start, ended = at, False
        while not ended:
            found = cell.match(text, at)
            if found is None or (found[1] is None and found[3].lstrip(" ").startswith('"')):
                yield (
                    number,
                    f"line {number} has a quotation mark that is not closed, or text after one that is",
                )
                row, at = [], text.find("\n", start) + 1 or len(text)
                break
            if found[1] is not None:
                row.append(Value(found[1].replace('""', '"'), *found.span(1)))
            else:
                row.append(Value(found[3], *found.span(3)))
            at = found.end()
            ended = (found[2] if found[1] is not None else found[4]) != delimiter
        if any(v.value.strip() for v in row):
            yield number, row
        number += text.count("\n", start, at) or text.count("\r", start, at)
