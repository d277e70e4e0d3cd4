"""Bibliographies in BibTeX: each entry describes a paper.

An entry gives authors, venue and year, and sometimes an abstract.  Entries are not papers themselves, and are
marked by `bibliography` in their metadata.  An entry that is broken is reported, and the rest is read.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from langchain_core.documents import Document

from ragkit.config.components import component
from ragkit.errors import LoadError
from ragkit.read.formats import ListFormat, title_from_name
from ragkit.read.formats.latex import Latex
from ragkit.read.formats.stated import listed

_ARXIV_ID = r"((?:\d{4}\.\d{4,5}|[a-z-]+(?:\.[a-z]{2})?/\d{7})(?:v\d+)?)(?!\d)"
_ARXIV = re.compile(_ARXIV_ID, re.IGNORECASE)
# What a field says of its own paper stands at the field's beginning; an address is recognised by its site.
_ON_ARXIV = re.compile(
    r"(?:arxiv|corr|abs)\b(?:[\s,:/]|arxiv|abs|e-?prints?|preprint)*" + _ARXIV_ID, re.IGNORECASE
)
_ARXIV_ADDRESS = re.compile(r"arxiv(?:\.org/\w+/|\.)" + _ARXIV_ID, re.IGNORECASE)
_DOI = re.compile(r"\A(?:https?://)?(?:dx\.|www\.)?doi\.org/|doi:\s*", re.IGNORECASE)

_VENUE = ("journal", "journaltitle", "booktitle")
_AS_WRITTEN = ("publisher", "volume", "number", "url")
_READ = (
    *_VENUE,
    *_AS_WRITTEN,
    *"title year date doi archiveprefix eprinttype eprint note howpublished pages keywords affiliation affiliations institution funding".split(),
)


def described(entry: Mapping[str, str], key: str, name: str) -> dict[str, Any]:
    """What the fields of an entry, in plain text under the names of BibTeX, say of its paper."""
    venue = next((entry[field] for field in _VENUE if entry.get(field)), "")
    doi = entry.get("doi") or (entry["url"] if _DOI.match(entry.get("url", "")) else "")
    written = entry.get("year") or entry.get("date", "")
    year = re.match(r"(\d{4})(?:[-/].*)?\Z", written)
    known = {field: entry.get(field, "") for field in _AS_WRITTEN} | {
        "year": int(year[1]) if year else written,
        "doi": _DOI.sub("", doi),
        "arxiv": _arxiv(entry, venue),
        "venue": venue,
        "pages": "-".join(part.strip() for part in re.split(r"-+|[–—]", entry.get("pages", ""))),
        "keywords": [
            word for part in re.split(r"[,;\n]", entry.get("keywords", "")) if (word := part.strip())
        ],
        "affiliations": _several(entry, "affiliation", "affiliations", "institution"),
        "funding": _several(entry, "funding"),
        "key": key,
    }
    title = (
        {"title": entry["title"]}
        if entry.get("title")
        else {"title": key or title_from_name(name), "title_guessed": True}
    )
    return {
        **{field: value for field, value in known.items() if value not in ("", [])},
        **title,
        "bibliography": True,
    }


def _several(entry: Mapping[str, str], *names: str) -> list[str]:
    """What the first of these fields that is filled lists, divided by semicolons."""
    return listed(next((entry[name] for name in names if entry.get(name)), "").split(";"))


def _arxiv(entry: Mapping[str, str], venue: str) -> str:
    archive = (entry.get("archiveprefix") or entry.get("eprinttype") or "").casefold()
    eprint = re.sub(r"^arxiv:\s*", "", entry.get("eprint", ""), flags=re.IGNORECASE)
    if archive in ("", "arxiv") and (found := _ARXIV.fullmatch(eprint)):
        return found[1]
    for say in (f"{venue} {entry.get('volume', '')}", entry.get("note", ""), entry.get("howpublished", "")):
        if found := _ON_ARXIV.match(say):
            return found[1]
    found = _ARXIV_ADDRESS.search(" ".join(entry.get(field, "") for field in ("url", "doi", "howpublished")))
    return found[1] if found else ""


def entry_of(text: str, words: str, rows: list[list[int]], start: int, metadata: dict[str, Any]) -> Document:
    """The entry at *start*: its abstract, and for each piece of it a row with its place in the file."""
    source: dict[str, Any] = {"map": rows}
    if not words:
        source = {"start": start, "end": start}
    elif (
        len(rows) == 1
        and text.startswith(words, rows[0][1])
        and rows[0] == [0, rows[0][1], len(words), len(words)]
    ):
        source = {"start": rows[0][1], "end": rows[0][1] + len(words)}
    return Document(
        page_content=words,
        metadata={**metadata, "title": " ".join(metadata["title"].split()), "sources": [source]},
    )


def _broken(line: int, problem: str) -> LoadError:
    return LoadError(f"line {line}: {problem}")


# --- BibTeX

_COMMENTS = re.compile(r"\s*(?:%[^\n]*(?:\n\s*|\Z))*@")
_ENTRY = re.compile(
    r"^[ \t]*@(?!(?:comment|string|preamble)\b)\w++\s*+[{(]\s*+[^\s,{}()\"=#%]*+\s*+,\s*+[\w:.+-]++\s*+=",
    re.MULTILINE | re.IGNORECASE,
)
_SETTINGS = ("control", "ieeetranbstctl", "xdata", "set")  # entries that are no papers
# What is no comment, whatever stands around it.
_OUTSIDE = re.compile(r"\A,\s*[\w-]+\s*=|^[ \t]*@(?!comment)\w+", re.MULTILINE | re.IGNORECASE)
_SPACE = re.compile(r"\s*")
_PART = re.compile(r"\s*([{\"]|[^\s{}\"#]+)")
_JOINT = re.compile(r"\s*(#|\Z)")
_TEX = re.compile(r"[\\{}$~`]|--|''|\s\s|[^\S ]")  # what may not print as it is written
_MARK = re.compile(r"(?<!\\)[{}\"]")
_COLON = re.compile(r"(?<!\\)(?!(?<=:[A-Za-z]):[\\/]):")  # neither escaped nor that of a drive
_ABBREVIATED = 1000  # characters that an abbreviation may stand for: a journal's name, or a publisher's

logging.getLogger("bibtexparser").addHandler(logging.NullHandler())  # what it warns of is raised here


class _Piece(NamedTuple):
    """A piece of a value: the text at `file[start:end]`, or the text of the abbreviation there."""

    text: str
    start: int
    end: int


_Fields = dict[str, list[_Piece]]


@component("bibtex")
@dataclass(frozen=True)
class BibTex(ListFormat):
    """One paper per entry of a BibTeX file."""

    priority: ClassVar[int] = 70
    endings: ClassVar[tuple[str, ...]] = (".bib",)

    def recognises_text(self, name: str, text: str) -> bool:
        return bool((name.lower().endswith(self.endings) or _COMMENTS.match(text)) and _ENTRY.search(text))

    def entries(self, name: str, text: str) -> Iterator[Document | str]:
        for entry in _entries(text):
            if isinstance(entry, str):
                yield entry
                continue
            start, key, fields = entry
            words, rows = _placed(fields.pop("abstract", []))
            values = {field: "".join(piece.text for piece in pieces) for field, pieces in fields.items()}
            authors = [_author(one) for one in _split(values.pop("author", ""), r"(?<!\s)\s++and\s")]
            addresses = {
                field: _address(values[field]) for field in ("url", "doi", "eprint") if field in values
            }
            metadata = described(
                {field: _printed(values[field])[0] for field in _READ if field in values} | addresses,
                key,
                name,
            )
            if names := [author for author in authors if author and author != "others"]:
                metadata["authors"] = names
            if files := _files(values.get("file", "")):
                metadata["attached"] = files
            yield entry_of(text, words, rows, start, metadata)


def _entries(text: str) -> Iterator[tuple[int, str, _Fields] | str]:
    """The offset of each entry, its key, and its fields by their names in lower case.

    In place of one that is broken stands a sentence.
    """
    from bibtexparser.entrypoint import parse_string

    abbreviations: dict[str, str] = {}
    end = 0
    for block in parse_string(text, parse_stack=[]).blocks:
        raw = block.raw or ""
        start = max(text.find(raw, end), end)
        end = start + (
            len(raw) if getattr(block, "ignore_error_block", block) else 1
        )  # of one that is cut off
        try:
            if entry := _entry(text, start, block, abbreviations):
                yield start, *entry
        except LoadError as error:
            yield str(error)


def _entry(text: str, start: int, block: Any, abbreviations: dict[str, str]) -> tuple[str, _Fields] | None:
    """The key and the fields of an entry; None for what is none.  Raises `LoadError`."""
    from bibtexparser import model

    line, raw = (block.start_line or 0) + 1, block.raw or ""
    if isinstance(block, model.ParsingFailedBlock):
        if raw[:8].lower() == "@comment":
            return None  # it need not be closed
        if not block.ignore_error_block:
            raise _failed(line, raw, getattr(block.error, "abort_reason", ""))
        block = block.ignore_error_block  # a key, of an entry or of a field, that was there before
    if isinstance(block, model.ImplicitComment) and (outside := _OUTSIDE.search(raw)):
        raise _broken(
            line + raw.count("\n", 0, outside.start()),
            "this belongs to no entry, for the braces around it do not match",
        )
    if isinstance(block, model.String):
        value = _past_space(text, text.index("=", start) + 1)
        pieces = _pieces(text, value, value + len(block.value), abbreviations, line)
        if sum(len(piece.text) for piece in pieces) > _ABBREVIATED:
            raise _broken(line, f"'{block.key}' stands for more than {_ABBREVIATED:,} characters")
        abbreviations[block.key.lower()] = "".join(piece.text for piece in pieces)
    if not isinstance(block, model.Entry) or _commented(text, start, start + len(raw)):
        return None
    fields = _fields(text, start, block, abbreviations)
    return None if block.entry_type in _SETTINGS else (block.key, fields)


def _failed(line: int, raw: str, why: str) -> LoadError:
    if re.search("Unexpected|found `@", why):
        return _broken(line, "the entry is not closed")
    if why.startswith("Expected comma"):
        return _broken(line, "the comma after the key of the entry is missing")
    return _broken(line + raw.count("\n"), "an equals sign is missing")


def _past_space(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]


def _commented(text: str, start: int, end: int) -> bool:
    """Do all lines of an entry begin with a percent sign?"""
    first = _past_space(text, text.rfind("\n", 0, start) + 1)
    return text.startswith("%", first) and all(
        line.lstrip().startswith("%") for line in text[first:end].split("\n")
    )


def _fields(text: str, start: int, entry: Any, abbreviations: Mapping[str, str]) -> _Fields:
    """The first field of each name; that they stand one behind another gives each its place."""
    fields: _Fields = {}
    at = _past_space(text, re.compile(r"@\w*[ \t]*[{(]").match(text, start).end()) + len(entry.key)  # type: ignore[union-attr]
    for field in entry.fields:
        at = _past_space(text, _past_space(text, at) + 1) + len(field.key)  # past the comma
        at = _past_space(text, _past_space(text, at) + 1)  # past the equals sign
        name = field.key.rpartition("\n")[2].strip()  # behind comments, if need be
        if not re.fullmatch(r"%.*|\S+", name):
            raise _broken(
                field.start_line + 1, f"'{name}' is no name of a field; the comma before it may be missing"
            )
        pieces = _pieces(text, at, at + len(field.value), abbreviations, field.start_line + 1)
        fields.setdefault(name.lower(), pieces)
        at += len(field.value)
    return fields


def _pieces(text: str, start: int, end: int, abbreviations: Mapping[str, str], line: int) -> list[_Piece]:
    """The parts of a value, which `#` joins: in braces, in quotation marks, numbers and abbreviations."""
    pieces: list[_Piece] = []
    at = start
    while start < end:
        part = _PART.match(text, at, end)
        at = _closing(text, part.start(1), end) if part and part[1] in '{"' else part.end() if part else -1
        joint = _JOINT.match(text, at, end) if at > 0 else None
        if not part or not joint:
            raise _broken(line, "the value that begins here is broken, or the comma after it is missing")
        if part[1] in '{"':
            pieces.append(_Piece(text[part.start(1) + 1 : at - 1], part.start(1) + 1, at - 1))
        else:
            pieces.append(_Piece(abbreviations.get(part[1].lower(), part[1]), *part.span(1)))
        at = joint.end()
        if not joint[1]:
            break
    return pieces


def _closing(text: str, start: int, end: int) -> int:
    """Where the part in braces or quotation marks ends that begins at *start*; -1 if nowhere."""
    depth = 0
    for mark in _MARK.finditer(text, start + 1, end):
        if depth == 0 and mark[0] == {"{": "}", '"': '"'}[text[start]]:
            return mark.end()
        depth = max(depth + {"{": 1, "}": -1, '"': 0}[mark[0]], 0)
    return -1


def _split(value: str, at: str) -> list[str]:
    """What stands between the matches of *at* that are not in braces."""
    parts, depth, start = [], 0, 0
    for mark in re.finditer(rf"\\.|([{{}}])|{at}", value, re.IGNORECASE | re.DOTALL):
        if mark[1]:
            depth = max(depth + (1 if mark[1] == "{" else -1), 0)
        elif depth == 0 and mark[0][0] != "\\":
            parts.append(value[start : mark.start()])
            start = mark.end()
    return [*parts, value[start:]]


def _author(name: str) -> str:
    """`Family, Given` or `Family, Jr, Given` the way it is spoken."""
    family, *rest = (_printed(part)[0] for part in _split(name, ","))
    return " ".join(part for part in (*rest[-1:], family, *rest[:-1]) if part)


def _files(value: str) -> list[str]:
    """The paths in a field `file`: `path` or `description:path:type`, several divided by semicolons."""
    paths = []
    for each in re.split(r"(?<!\\);", value):
        parts = _COLON.split(f":{each}")[1:]
        path = parts[1] if len(parts) > 2 else parts[0]
        paths.append(re.sub(r"\\([\\:;_%&#$~{} ])", r"\1", path.strip()))
    return [path for path in paths if path and "://" not in path]


def _address(value: str) -> str:
    return re.sub(r"\\url\b|[{}]|\\(?=[_%&#~])|\s", "", value)


def _placed(pieces: Sequence[_Piece]) -> tuple[str, list[list[int]]]:
    """An abstract as it prints, and a row for each piece of it with its place in the file."""
    words, rows = "", list[list[int]]()
    for number, (text, start, end) in enumerate(pieces):
        printed, places = _printed(text)
        spaced = text[:1].isspace() or (number and pieces[number - 1].text[-1:].isspace())
        words += " " if words and printed and spaced else ""
        if len(text) == end - start:
            rows += [[len(words) + place, start + at, *lengths] for place, at, *lengths in places]
        elif printed:
            rows.append([len(words), start, len(printed), end - start])
        words += printed
    return words, rows


def _printed(value: str) -> tuple[str, list[list[int]]]:
    """A value as LaTeX prints it, and the rows of its map.

    % and & stay as they are, since nearly all authors mean them so.
    """
    bare = value.strip()
    as_written = bare, [[0, value.index(bare), len(bare), len(bare)]] if bare else []
    if not _TEX.search(value):
        return as_written
    used = set(value)
    free = (chr(number) for number in range(0xE000, 0x110000) if chr(number) not in used)
    stand_ins = {"%": next(free), "&": next(free)}
    masked = re.sub(r"(\\[\s\S])|[%&]", lambda m: m[1] or stand_ins[m[0]], value)
    try:
        [printed] = Latex().papers_in("", masked)
    except LoadError:  # it prints nothing
        return "", []
    except RecursionError:
        return as_written
    words = printed.page_content.translate({ord(stand_in): sign for sign, stand_in in stand_ins.items()})
    return words, printed.metadata["sources"][0].get("map", [])
