"""Bibliographies of lines with tags: RIS, and the NBIB that PubMed exports.

Each entry describes a paper, as those of BibTeX do (`ragkit.read.formats.bibliography`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from langchain_core.documents import Document

from ragkit.config.components import component
from ragkit.read.formats import ListFormat
from ragkit.read.formats.bibliography import described, entry_of
from ragkit.read.formats.builder import PaperBuilder
from ragkit.read.formats.stated import without_mail

_LINE = re.compile(r"[^\r\n]+")
_GAP = re.compile(r"(?:\r\n?|\n)[ \t]*(?:\r\n?|\n)\s*")

_Spans = list[tuple[int, int]]


class _Tagged(ListFormat):
    """One paper per entry; an entry that is broken is reported, and the rest is read."""

    tag: ClassVar[re.Pattern[str]]
    """How a line begins that has a tag."""
    first: ClassVar[str]
    """The tag that begins an entry."""
    last: ClassVar[str]
    """The tag that ends an entry; empty if the next entry does."""
    fields: ClassVar[dict[str, str]]
    """The tags of each field, the best first."""

    def entries(self, name: str, text: str) -> Iterator[Document | str]:
        for entry in self._entries(text):
            yield entry if isinstance(entry, str) else self._paper(name, text, *entry)

    def _paper(self, name: str, text: str, start: int, tags: dict[str, _Spans]) -> Document:
        spans = {
            field: next((tags[tag] for tag in order.split() if tags.get(tag)), [])
            for field, order in self.fields.items()
        }
        values = {
            field: [" ".join(text[slice(*span)].split()) for span in found] for field, found in spans.items()
        }
        builder = PaperBuilder()
        for place, end in spans["abstract"]:
            for stop in [*_GAP.finditer(text, place, end), None]:
                builder.paragraph()
                builder.prose(text[place : stop.start() if stop else end], place)
                place = stop.end() if stop else end
        plain = self.plain(values)
        metadata = described(plain, plain.get("key", ""), name)
        if names := [spoken for one in values["author"] if (spoken := _spoken(one))]:
            metadata["authors"] = names
        metadata |= {known: plain[known] for known in ("pmid", "pmcid") if plain.get(known)}
        if files := [each for each in values.get("attached", ()) if "://" not in each]:
            metadata["attached"] = files
        return entry_of(text, "".join(builder.parts), builder.map, start, metadata)

    def plain(self, values: dict[str, list[str]]) -> dict[str, str]:
        """What the fields of an entry say, as `described` takes it."""
        plain = {field: found[0] for field, found in values.items() if found}
        plain["keywords"] = ";".join(values["keywords"])
        plain |= {
            field: ";".join(map(without_mail, values[field]))
            for field in ("affiliation",)
            if values.get(field)
        }
        if plain.get("journal") == plain.get("title"):
            plain.pop("journal", None)  # the book itself
        return plain

    def _entries(self, text: str) -> Iterator[tuple[int, dict[str, _Spans]] | str]:
        """Where each entry starts, and the characters of every value of each tag; a sentence for a broken one."""
        tags: dict[str, _Spans] = {}
        start, tag, opened = 0, "", 0
        number, counted, strays = 1, 0, False
        for line in _LINE.finditer(text):
            found = self.tag.match(line[0])
            if not found and tag:
                tags[tag][-1] = tags[tag][-1][0], line.end()  # a continuation of the line before
            if not found:
                continue
            number += len(re.findall(r"\r\n?|\n", text[counted : line.start()]))
            counted = line.start()
            name = found[1].rstrip()
            if name == self.first:
                if opened and self.last:
                    yield f"line {opened}: the entry is not closed"
                elif opened:
                    yield start, _filled(text, tags)
                tags, start, opened, strays = {}, line.start(), number, False
            elif not opened:
                if not strays:
                    yield f"line {number}: {name} stands in no entry"
                strays = True
                continue
            tag = name
            tags.setdefault(tag, []).append((line.start() + found.end(), line.end()))
            if tag == self.last:
                yield start, _filled(text, tags)
                tags, tag, opened = {}, "", 0
        if opened and self.last:
            yield f"line {opened}: the entry is not closed"
        elif opened:
            yield start, _filled(text, tags)


def _filled(text: str, tags: dict[str, _Spans]) -> dict[str, _Spans]:
    return {name: [span for span in spans if text[slice(*span)].strip()] for name, spans in tags.items()}


def _spoken(name: str) -> str:
    """`Family, Given` or `Family, Given, Jr` the way it is spoken."""
    family, given, *rest = [*(part.strip() for part in name.split(",")), ""]
    return " ".join(part for part in (given, family, *rest) if part)


@component("ris")
@dataclass(frozen=True)
class Ris(_Tagged):
    """One paper per entry of a RIS file."""

    priority: ClassVar[int] = 80
    endings: ClassVar[tuple[str, ...]] = (".ris",)
    tag = re.compile(r"([A-Z][A-Z0-9])  -(?: |\Z)")
    first, last = "TY", "ER"
    fields = {
        "title": "TI T1 CT BT", "author": "AU A1", "year": "PY Y1 DA", "doi": "DO", "journal": "JF T2 BT JO JA", "publisher": "PB",
        "volume": "VL", "number": "IS", "url": "UR L1 L2", "attached": "L1", "keywords": "KW", "abstract": "AB N2", "note": "N1", "key": "ID",
        "from": "SP", "to": "EP",
    }  # fmt: skip

    def recognises_text(self, name: str, text: str) -> bool:
        return bool(re.match(r"\s*^TY  - ", text, re.MULTILINE))

    def plain(self, values: dict[str, list[str]]) -> dict[str, str]:
        plain = super().plain(values)
        if plain.get("url") in values["attached"] and "://" not in plain["url"]:
            del plain["url"]
        return plain | {"pages": "-".join(part for part in (plain.get("from"), plain.get("to")) if part)}


@component("nbib")
@dataclass(frozen=True)
class Nbib(_Tagged):
    """One paper per entry of an NBIB file, the format in which PubMed exports citations."""

    priority: ClassVar[int] = 81
    endings: ClassVar[tuple[str, ...]] = (".nbib",)
    tag = re.compile(r"([A-Z][A-Z0-9 ]{3})-(?: |\Z)")
    first, last = "PMID", ""
    fields = {
        "title": "TI BTI TT", "author": "FAU AU CN", "year": "DP DEP", "located": "LID", "also": "AID", "journal": "JT TA",
        "publisher": "PB", "volume": "VI", "number": "IP", "pages": "PG", "keywords": "OT", "abstract": "AB OAB", "pmid": "PMID",
        "pmcid": "PMC", "affiliation": "AD",
    }  # fmt: skip

    def recognises_text(self, name: str, text: str) -> bool:
        return bool(re.match(r"\s*^PMID- ", text, re.MULTILINE))

    def plain(self, values: dict[str, list[str]]) -> dict[str, str]:
        plain = super().plain(values)
        dois = [each for each in (*values["located"], *values["also"]) if each.endswith("[doi]")]
        year = re.match(r"\d{4}", plain.get("year", ""))
        return plain | {
            "title": plain.get("title", "").removesuffix("."),
            "doi": dois[0].removesuffix("[doi]").strip() if dois else "",
            "year": year[0] if year else plain.get("year", ""),
        }
