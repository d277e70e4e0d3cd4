"""Who wrote a paper, what it is called and when it appeared: from the typography of its first page, the marks
at its margin and the file's properties.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from ragkit.document import normalised_title
from ragkit.read.formats.builder import kind_of
from ragkit.read.formats.pdf.lines import Line, Page
from ragkit.read.formats.pdf.names import affiliations_in, is_address, names_in, personal
from ragkit.read.formats.stated import updated_in


@dataclass
class Front:
    """What is known of a paper before its text, and the lines of the title, which are no part of the text.

    `guessed` names what the file does not state plainly, which a bibliography may correct.
    """

    title: str = ""
    lines: list[Line] = field(default_factory=list)
    known: dict[str, Any] = field(default_factory=dict)
    guessed: list[str] = field(default_factory=list)


def front_of(
    name: str, pages: Sequence[Page], properties: dict[str, str], xmp: dict[str, list[str]]
) -> Front:
    """The title, authors, year, venue and identifiers of a paper, in that order of care.

    *properties* are those of the file, by their names in small letters; *xmp* the terms of its XMP packet.
    """
    cover = _COVER.search(_text(pages[0])) if len(pages) > 1 else None
    first = pages[1] if cover else pages[0]
    rows = _rows(first)
    title, block, guessed = _title(rows, first, properties)
    if cover and len(normalised_title(cover[1])) > 7 and not block:
        title = cover[1]
    waiting = _under(rows, block, first)
    authors = _authors(waiting, rows, block) or _told(properties.get("author", ""), xmp.get("creator", []))
    stated, supposed = _year(pages[:3], properties)
    venue = next(iter(xmp.get("publicationName", [])), None)
    above = "" if venue or not block else _masthead(rows, block)
    known = {
        "authors": authors,
        "keywords": [k for k in re.split(r" ?[;,] ?", properties.get("keywords", "")) if k],
        "venue": venue or above or None,
        "doi": _doi(pages, xmp),
        "affiliations": _affiliations(waiting),
        "updated": updated_in(row.text for row in rows),
        **_arxiv(name, pages),
    }
    known["year"] = known.get("year") or stated or supposed
    doubtful = {
        "title": guessed,
        "authors": True,
        "affiliations": True,
        "venue": above,
        "year": not stated and supposed == known["year"],
    }
    return Front(
        title,
        [line for row in block for line in row.lines],
        known,
        [name for name, doubt in doubtful.items() if doubt and (name == "title" or known.get(name))],
    )


# --- rows


@dataclass
class _LineRow:
    """The lines that stand side by side."""

    lines: list[Line]

    @property
    def text(self) -> str:
        return re.sub(r" (?=[,;])", "", " ".join(line.text for line in self.lines))

    @property
    def parts(self) -> list[str]:
        """The text between the wide gaps; a comma continues the text before it."""
        found: list[str] = []
        for part in (part for line in self.lines for part in line.parts or [line.text]):
            if found and part.startswith((",", ";", "and ")):
                found[-1] += part if part[0] in ",;" else f" {part}"
            else:
                found.append(part)
        return found

    @property
    def top(self) -> float:
        return min(line.top for line in self.lines)

    @property
    def bottom(self) -> float:
        return max(line.bottom for line in self.lines)

    @property
    def size(self) -> float:
        return max(map(_type_size, self.lines))


def _type_size(line: Line) -> float:
    """The size of the type; where the file scales it, what the height of the letters tells."""
    height = line.bottom - line.top
    if line.size > 0.9 * height:
        return line.size
    return height / (0.95 if re.search(r"[gjpqy,;()]", line.text) else 0.72)


def _rows(page: Page) -> list[_LineRow]:
    rows: list[_LineRow] = []
    for line in sorted(page.lines, key=lambda line: (line.top, line.left)):
        if rows and abs(line.bottom - rows[-1].lines[-1].bottom) < 0.4 * (line.bottom - line.top):
            rows[-1].lines.append(line)
        else:
            rows.append(_LineRow([line]))
    for row in rows:
        row.lines.sort(key=lambda line: line.left)
    return rows


def _text(page: Page) -> str:
    return "\n".join(row.text for row in _rows(page))


# --- the title

_COVER = re.compile(
    r"\b(?:version|manuscript|copy|reprint|preprint)\s+of(?:\s+(?:an?|the)\s+(?:article|paper|chapter))?\s*:\s*(\S.+)",
    re.IGNORECASE,
)
_NO_TITLE = re.compile(
    r"(?:untitled|microsoft word - .*|slide 1|.*\.(?:docx?|tex|pdf|dvi|indd|rtf)|title|paper|manuscript|\W*)",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"\W*\d+(?:\W\d+)*[.)]?\s")
_PAGE_NUMBER = re.compile(r"(?:(\d++)\s++)?+(.*?)(?:(?<!\s)\s++(\d++))?")


def _title(rows: list[_LineRow], page: Page, properties: dict[str, str]) -> tuple[str, list[_LineRow], bool]:
    """The title, its rows on the page, and whether the typography is all that tells it.

    Blocks in larger type than the text are asked: the one that stands over the names of persons, else the
    largest.
    """
    given = properties.get("title", "")
    given = "" if _NO_TITLE.fullmatch(given) else given
    body = median([_type_size(line) for line in page.lines for _ in line.text] or [0.0])
    blocks = [block for block in _blocks(rows) if block[0].top < 0.6 * page.height]
    large = [
        block
        for block in blocks
        if 8 <= len(_joined(block)) <= 300
        and kind_of(_joined(block)) == "body"
        and all(len(row.parts) < 3 for row in block)  # as in the head of a table
        and max(row.size for row in block) > 1.12 * body
    ]
    bold = [block for block in blocks[:1] if all(line.bold for row in block for line in row.lines)]
    best = max(large or bold, key=lambda block: _rank(block, rows), default=None)
    shown = _joined(best) if best else ""
    said, whole = normalised_title(given), normalised_title(" ".join(row.text for row in rows))
    if said and said in whole and not (best and _rank(best, rows)[0] and said not in normalised_title(shown)):
        return given, [r for r in best or [] if normalised_title(r.text) in said], False
    if best:
        return shown, best, True
    return (given, [], False) if given else (_running(rows, page), [], True)


def _rank(block: list[_LineRow], rows: list[_LineRow]) -> tuple[bool, bool, bool, float, float]:
    below = _below(block, rows)
    named = bool(below) and below[0].top - block[-1].bottom < 5 * block[-1].size and bool(_names(below[:1]))
    unlike = not names_in([part for row in block for part in row.parts])
    numbered = _NUMBERED.match(block[0].text) is None
    return named, unlike or named, numbered, round(max(row.size for row in block)), -block[0].top


def _blocks(rows: list[_LineRow]) -> list[list[_LineRow]]:
    """Rows in the same type close to one another."""
    found: list[list[_LineRow]] = []
    for row in rows:
        last = found[-1][-1] if found else None
        same = last is not None and abs(row.size - last.size) < 0.1 * row.size
        if (
            last
            and same
            and row.top - last.bottom < 1.5 * row.size
            and row.lines[0].bold == last.lines[0].bold
        ):
            found[-1].append(row)
        else:
            found.append([row])
    return found


def _joined(block: list[_LineRow]) -> str:
    return " ".join(" ".join(row.text for row in block).split())


def _below(block: list[_LineRow], rows: list[_LineRow]) -> list[_LineRow]:
    return [row for row in rows if row.top > block[-1].top]


def _running(rows: list[_LineRow], page: Page) -> str:
    """The running head of a page that was taken out of a paper: one with a number other than 1 beside it."""
    for row in rows[:1]:
        found = _PAGE_NUMBER.fullmatch(row.text)
        number = found and (found[1] or found[3])
        if (
            found
            and number
            and int(number) > 1
            and row.bottom < 0.15 * page.height
            and len(found[2].split()) > 3
        ):
            return found[2] if not names_in(row.parts) else ""
    return ""


def _masthead(rows: list[_LineRow], block: list[_LineRow]) -> str:
    """What stands above the title in larger type: the name of a journal."""
    above = [row for row in rows if row.bottom < block[0].top and row.size > 1.1 * block[0].size]
    return above[0].text if len(above) == 1 and len(above[0].text) < 100 else ""


# --- the authors


def _under(rows: list[_LineRow], block: list[_LineRow], page: Page) -> list[_LineRow]:
    """The rows under the title, down to the abstract or the first sentence."""
    waiting: list[_LineRow] = []
    for row in _below(block, rows) if block else []:
        if (
            any(kind_of(part) == "abstract" for part in (row.text, *row.parts))
            or _is_prose(row.text)
            or row.top > 0.6 * page.height
        ):
            break
        if row.size <= block[0].size:  # no picture of letters
            waiting.append(row)
    return waiting


def _affiliations(waiting: list[_LineRow]) -> list[str]:
    """What stands below the first names in type that is no larger."""
    first = next((n for n, row in enumerate(waiting) if _names([row])), len(waiting))
    return affiliations_in(
        row.parts for row in waiting[first:] if row.size < 1.1 * waiting[first].size and not _names([row])
    )


def _authors(waiting: list[_LineRow], rows: list[_LineRow], block: list[_LineRow]) -> list[str]:
    """The names among the rows under the title; on a title page, all names."""
    found = _names(waiting)
    if not found and len(waiting) > 1 and "@" in waiting[1].text and _is_group(waiting[0].text):
        return [waiting[0].text]
    if not found and block and sum(len(row.text.split()) for row in rows) < 150:
        columns = [names_in(row.parts) for row in _below(block, rows)]
        found = [name for names in columns for name in names] if sum(map(bool, columns)) > 2 else []
    return found


def _names(rows: Sequence[_LineRow]) -> list[str]:
    """The names in rows of names only; a name that a row cuts continues in the next."""
    found: list[str] = []
    cut = ""
    for row in rows:
        parts = row.parts
        if is_address(row.text):
            cut = ""
            continue
        here = names_in([f"{cut} {parts[0]}", *parts[1:]]) if cut else names_in(parts)
        cut = ""
        if not here and (ended := re.fullmatch(r"(.+(?:,| and| &))\s*([^\W\d_][\w'’.-]*)", row.text)):
            here, cut = names_in([re.sub(r",?(?<!\s)\s++(?:and|&)$|,$", "", ended[1])]), ended[2]
        found += [name for name in here if name not in found]
    return found


def _is_prose(text: str) -> bool:
    """Is a row part of a sentence?  An affiliation has few words in small letters."""
    small = [word for word in re.findall(r"[^\W\d_]+", text) if word.islower() and len(word) > 1]
    return len(small) > 3 and "@" not in text and not is_address(text)


def _is_group(text: str) -> bool:
    return len(text.split()) < 5 and not re.search(r"[\d@:/]", text)


def _told(author: str, creators: Sequence[str]) -> list[str]:
    """The authors in the file's properties, as far as they are names of persons."""
    several = (
        creators if len(creators) > 1 else re.split(r" ?; ?|, | and ", author or next(iter(creators), ""))
    )
    return [name for name in (each.strip() for each in several) if personal(name)]


# --- year and identifiers

_STAMP = re.compile(
    r"arXiv:(?:submit/\d+|(\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})(?:v(?P<version>\d+))?).{0,100}?\b(?P<year>(?:19|20)\d\d)\b"
)
_FILE = re.compile(r"(?<!\d)((\d\d)(?:0[1-9]|1[0-2])\.\d{4,5})(?:v(?P<version>\d+))?(?!\d)")
_YEAR = r"((?:19|20)\d\d)"
_DATED = re.compile(
    rf"(?:©|\(c\)|copyright|published|accepted|received|appeared|issued|edition)\D{{0,40}}(?:\d{{1,2}}\D{{1,12}})?\b{_YEAR}\b"
    rf"|^[^\w\n]*+(?:(?:updated|version of)[^\w\n]*+){{0,3}}(?:[^\W\d_]+\.?\s+\d{{1,2}}(?:st|nd|rd|th)?,?|\d{{1,2}}\.?\s+[^\W\d_]+,?|[^\W\d_]+)\s+{_YEAR}\b\W*$"
    rf"|\b{_YEAR}年|\b{_YEAR}년|\b\d{{1,2}}\. [^\W\d_]+ {_YEAR}\b",
    re.IGNORECASE | re.MULTILINE,
)
_DOI = re.compile(r"(?:doi[:\s]+|doi\.org/)(10\.\d{4,9}/[^\s\"<>]+)", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"10\.\d+/[nx0.]+", re.IGNORECASE)
_OTHER = re.compile(r"\b(?:data|dataset|code|software|supplement\w*|materials?)\b[^.]*$", re.IGNORECASE)


def is_stamp(text: str) -> bool:
    """Is text the stamp that arXiv sets at the margin?"""
    return _STAMP.search(text) is not None


def _year(pages: Sequence[Page], properties: dict[str, str]) -> tuple[int | None, int | None]:
    """The year that the first pages state, and the year in which the file was made."""
    made = re.match(r"D:((?:19|20)\d\d)", properties.get("creationdate", ""))
    stamp = next((found for text in pages[0].turned if (found := _STAMP.search(text))), None)
    if stamp:
        return int(stamp["year"]), int(stamp["year"])
    for page in pages:
        if found := _DATED.search(_text(page)):
            year = next(group for group in found.groups() if group)
            return int(year), int(year)
    return None, int(made[1]) if made else None


def _arxiv(name: str, pages: Sequence[Page]) -> dict[str, Any]:
    """The arXiv id on the stamp, else in the file's name, with the year and the version that it tells."""
    stamp = next((found for text in pages[0].turned if (found := _STAMP.search(text))), None)
    if stamp and stamp[1]:
        return {"arxiv": stamp[1], "year": int(stamp["year"]), "version": stamp["version"]}
    if not stamp and (named := _FILE.search(name)):
        return {"arxiv": named[1], "year": 2000 + int(named[2]), "version": named["version"]}
    return {}


def _doi(pages: Sequence[Page], xmp: dict[str, list[str]]) -> str | None:
    """The only DOI on the first page that is not said of data, code or other things, or that of the XMP."""
    told = [found[0] for value in xmp.get("doi", []) if (found := re.search(r"10\.\d{4,9}/\S+", value))]
    if not told:
        text = _text(pages[0])
        told = [
            found[1].rstrip(".,;)")
            for found in _DOI.finditer(text)
            if not _OTHER.search(text[max(found.start() - 80, 0) : found.start()])
        ]
    dois = {doi.casefold() for doi in told if not _PLACEHOLDER.fullmatch(doi)}
    return dois.pop() if len(dois) == 1 else None
