"""Word documents (.docx): one paper per file."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, ClassVar, NamedTuple

from langchain_core.documents import Document

from ragkit.config.components import component
from ragkit.errors import LoadError
from ragkit.read.formats import FileFormat, title_from_name
from ragkit.read.formats.builder import Kind, PaperBuilder
from ragkit.read.formats.docx_hidden import BOX, remove_hidden

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# What a file may unpack to, from which size a part is looked at, and how densely it may be packed then.
_UNPACKED, _LARGE, _RATIO = (
    200_000_000,
    10_000_000,
    200,
)

_NO_TITLE = re.compile(
    r"(?:microsoft word - .*|word document|untitled.*|document\d*|manuscript|title|abstract|introduction|\S+\.(?:docx?|tex|pdf))?",
    re.I,
)
_NO_AUTHOR = re.compile(
    r"(?:python-docx|microsoft office user|microsoft|windows user|user|author|admin|administrator)?", re.I
)
_DOI = re.compile(r"(?:doi:\s*|https?://(?:dx\.)?doi\.org/)(10\.\d{4,9}/[^\s\"<>]+)", re.I)
_ARXIV = re.compile(r"arxiv:\s*(\d{4}\.\d{4,5}(?:v\d+)?)", re.I)
_FIRST_PAGE = 3000  # characters, about a page of print

_STYLED: dict[str, Kind] = {
    "abstract": "abstract",
    "bibliography": "references",
    "references": "references",
    "caption": "caption",
}

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_PRINTED = {f"{_W}tab": " ", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}
_UP, _DOWN = "\x02", "\x03"  # no XML can have these
# Without these marks 10² would read 102.
_MARKS = {
    f"{_M}{n}": mark
    for n, mark in {"sup": "^", "sub": "_", "lim": "_", "num": "", "den": "/", "d": ""}.items()
}
# What was deleted or moved away, and what stands beside the text: pictures, readings.
_UNPRINTED = frozenset(f"{_W}{n}" for n in "del moveFrom pPr rPr drawing pict object rt".split()) | {
    f"{_MC}AlternateContent"
}
_BLOCKS = (f"{_W}p", f"{_W}tbl")
_AROUND = frozenset(f"{_W}{n}" for n in "sdt sdtContent customXml ins moveTo smartTag".split())


class BodyElement(NamedTuple):
    """A paragraph or a table, and the notes that it cites."""

    lines: list[str]
    kind: Kind = "body"
    style: str = ""
    level: int = 0
    item: bool = False
    notes: Sequence[str] = ()


@component("docx")
@dataclass(frozen=True)
class Docx(FileFormat):
    """One paper, titled by the style Title, by a first and only Heading 1, or by the file's properties.

    Its authors are in the file's properties.  A text box is read behind the paragraph that it is anchored to.
    """

    priority: ClassVar[int] = 40
    endings: ClassVar[tuple[str, ...]] = (".docx",)

    def recognises(self, name: str, head: bytes) -> bool:
        named = name.lower().endswith(self.endings)
        if head.startswith(b"PK\x03\x04"):
            # A name in the archive follows the length of its extra field.
            return b"\x00word/" in head or (named and b"[Content_Types].xml" in head)
        return named and head.startswith(_OLE)

    def papers(self, name: str, content: bytes) -> Iterator[Document]:
        if content.startswith(_OLE):
            raise LoadError("it is encrypted or in the old Word format; save it as .docx without a password")
        try:
            _check(content)
            blocks, known = _read(content)
        except LoadError:
            raise
        except zipfile.BadZipFile:
            raise LoadError(
                "it is not a Word document: it is not a zip file, or it is damaged or truncated"
            ) from None
        # What is broken inside shows as whatever zipfile, zlib, lxml and python-docx come to raise: KeyError,
        # ValueError, AttributeError, XMLSyntaxError, zlib.error, NotImplementedError, RuntimeError, EOFError,
        # RecursionError ...
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise LoadError(f"it is not a Word document that can be read: {reason}") from None
        yield _paper(name, blocks, known)


def _check(content: bytes) -> None:
    """Raises `LoadError` for a file that is unsafe to unpack or parse."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        parts = file.infolist()
        if not any(re.fullmatch(r"word/document\d*\.xml", p.filename) for p in parts):
            raise LoadError("it is not a Word document: it has no word/document.xml")
        unpacked = sum(p.file_size for p in parts)
        if unpacked > _UNPACKED or any(p.file_size > max(_LARGE, _RATIO * p.compress_size) for p in parts):
            raise LoadError(
                f"it is not a Word document that is safe to read: it would unpack to {unpacked // 1_000_000} MB"
            )
        if any(p.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for p in parts):
            # It could unpack to more than it says.
            raise LoadError("it is not a Word document: it is packed as none is")
        for part in parts:
            if part.filename.lower().endswith((".xml", ".rels")):
                if re.search(rb"<!(?:DOCTYPE|ENTITY)", file.read(part).replace(b"\x00", b"")):  # UTF-16 too
                    raise LoadError(f"it is not a Word document: {part.filename} declares entities")


def _read(content: bytes) -> tuple[list[BodyElement], dict[str, Any]]:
    """The blocks of a document in order, and what its properties say."""
    import docx
    from docx.oxml import parse_xml

    document = docx.Document(io.BytesIO(content))
    styles = _styles(document.styles.element)
    _choose(document.element)
    hidden = remove_hidden(document.element, document.styles.element)
    notes: dict[tuple[str, str], str] = {}
    for relation in document.part.rels.values():
        if relation.reltype.endswith(("/footnotes", "/endnotes")) and not relation.is_external:
            root = parse_xml(relation.target_part.blob)
            hidden += remove_hidden(root, document.styles.element)
            for note in root.iterchildren(f"{_W}footnote", f"{_W}endnote"):
                notes[f"{note.tag}Reference", note.get(f"{_W}id", "")] = _flat(note)
    blocks = [_block(e, styles, notes) for e in _with_boxes(document.element.body)]
    properties = document.core_properties
    return [b for b in blocks if b.lines], {
        "title": " ".join(properties.title.split()),
        "authors": [
            a
            for a in map(str.strip, re.split(r";|\sand\s", properties.author))
            if not _NO_AUTHOR.fullmatch(a)
        ],
        "keywords": [k for k in map(str.strip, re.split(r"[;,]", properties.keywords)) if k],
        "hidden": hidden,
    }


def _choose(root: Any) -> None:
    """Of content that is written in several ways, such as a text box, keep one: the first with text."""
    for alternatives in list(root.iter(f"{_MC}AlternateContent")):
        ways = [way for way in alternatives if next(way.iter(BOX), None) is not None]
        for way in list(alternatives):
            if way not in ways[:1]:
                alternatives.remove(way)


def _with_boxes(parent: Any) -> Iterator[Any]:
    """The paragraphs and tables in *parent*, each with those of the text boxes in it behind it."""
    for element in _elements(parent, *_BLOCKS):
        boxes = [box for box in element.iter(BOX) if element in _around(box)]
        for box in boxes:
            box.getparent().remove(box)
        yield element
        for box in boxes:
            yield from _with_boxes(box)


def _around(box: Any) -> Iterator[Any]:
    """The elements around a text box, up to the text box that it stands in."""
    return takewhile(lambda outer: outer.tag != BOX, box.iterancestors())


def _styles(root: Any) -> dict[str, tuple[str, int]]:
    """For each style, its name in lower case and its heading level, 0 if it has none.

    A style may have its level from the style that it is based on.
    """
    elements = {style.get(f"{_W}styleId", ""): style for style in root.iter(f"{_W}style")}
    found = {}
    for key, style in elements.items():
        level, base, steps = -1, style, 0
        while base is not None and level < 0 and steps < 16:  # a style may be based on itself
            heading = re.fullmatch(r"heading ([1-9])", _value(base, "name"), re.I)
            level = _outline(base, int(heading[1]) if heading else -1)
            base, steps = elements.get(_value(base, "basedOn")), steps + 1
        found[key] = (_value(style, "name").casefold(), max(level, 0))
    return found


def _value(element: Any, *path: str) -> str:
    found = element.find("/".join(_W + name for name in path))
    return "" if found is None else found.get(f"{_W}val", "")


def _outline(element: Any, default: int) -> int:
    """The level (from 1) that a paragraph or style says it is outlined at; 0 is body text."""
    outline = _value(element, "pPr", "outlineLvl")
    return int(outline) + 1 if outline in tuple("012345678") else 0 if outline else default


def _elements(parent: Any, *tags: str) -> Iterator[Any]:
    """The elements in *parent* with these tags, in order, content controls included.

    A table of contents is left out.
    """
    for child in parent:
        if child.tag in tags:
            yield child
        elif (
            child.tag in _AROUND
            and _value(child, "sdtPr", "docPartObj", "docPartGallery") != "Table of Contents"
        ):
            yield from _elements(child, *tags)


def _block(
    element: Any, styles: dict[str, tuple[str, int]], notes: dict[tuple[str, str], str]
) -> BodyElement:
    cited = [
        (ref.tag, ref.get(f"{_W}id", ""))
        for ref in element.iter(f"{_W}footnoteReference", f"{_W}endnoteReference")
    ]
    own = [notes[c] for c in cited if notes.get(c)]
    if element.tag == f"{_W}tbl":
        return BodyElement(list(_rows(element)), "table", notes=own)
    style, level = styles.get(_value(element, "pPr", "pStyle"), ("", 0))
    level = _outline(element, level)
    lines = [words for line in _read_out(element).split("\n") if (words := " ".join(line.split()))]
    if re.match(r"toc\b|table of figures", style):
        return BodyElement([])
    if level and lines:
        return BodyElement([" ".join(lines)], "heading", style, level, notes=own)
    kind: Kind = next((kind for ending, kind in _STYLED.items() if style.endswith(ending)), "body")
    item = style.startswith("list") or element.find(f"{_W}pPr/{_W}numPr") is not None
    return BodyElement(lines, kind, style, item=item, notes=own)


def _rows(table: Any) -> Iterator[str]:
    """The rows of a table; the text of merged cells stands where they begin."""
    for row in _elements(table, f"{_W}tr"):
        if row.find(f"{_W}trPr/{_W}del") is None:
            cells = [_flat(cell) if _begins(cell) else "" for cell in _elements(row, f"{_W}tc")]
            if any(cells):
                yield " ".join(" | ".join(cells).split())


def _begins(cell: Any) -> bool:
    merged = cell.find(f"{_W}tcPr/{_W}vMerge")
    return merged is None or merged.get(f"{_W}val") == "restart"


def _flat(parent: Any) -> str:
    """The text of paragraphs and tables in one line."""
    blocks = (
        " ".join(_rows(e)) if e.tag == f"{_W}tbl" else _read_out(e) for e in _elements(parent, *_BLOCKS)
    )
    return " ".join(" ".join(blocks).split())


def _read_out(paragraph: Any) -> str:
    """The text of a paragraph, with a mark where a number stands raised behind a word or number."""
    text = _text(paragraph).replace(_DOWN + _UP, "")
    return re.sub(f"[{_UP}{_DOWN}]", "", re.sub(rf"(?<=[\w)\]]){_UP}(?=[-+−–]?\d)", "^", text))


def _text(element: Any) -> str:
    if element.tag in _UNPRINTED:
        return ""
    if element.tag in (f"{_W}t", f"{_M}t"):
        return element.text or ""
    text = _PRINTED.get(element.tag) or "".join(map(_text, element))
    if element.tag == f"{_W}r" and _value(element, "rPr", "vertAlign") == "superscript":
        return _UP + text + _DOWN
    if element.tag == f"{_M}nary":
        sign = element.find(f"{_M}naryPr/{_M}chr")
        return ("∫" if sign is None else sign.get(f"{_M}val", "")) + text
    if text and element.tag in _MARKS:
        bare = len(text) == 1 or text.isdecimal()
        return _MARKS[element.tag] + (text if bare and element.tag != f"{_M}d" else f"({text})")
    return text


def _title(name: str, blocks: Sequence[BodyElement], given: str) -> tuple[str, bool, BodyElement | None]:
    """The title, whether it is only guessed, and the block that it stands in."""
    top = [b for b in blocks if b.level == 1]
    only = top[0] if len(top) == 1 and top == blocks[:1] else None
    found = next((b for b in blocks if b.style == "title"), only)
    printed = " ".join(found.lines) if found else ""
    if printed.casefold() != given.casefold() and not _NO_TITLE.fullmatch(printed):
        return printed, False, found  # whatever the file's properties say
    if not _NO_TITLE.fullmatch(given):
        same = (b for b in (found, *blocks[:1]) if b and " ".join(b.lines).casefold() == given.casefold())
        return given, False, next(same, None)
    return title_from_name(name), True, None


def _paper(name: str, blocks: Sequence[BodyElement], known: dict[str, Any]) -> Document:
    title, guessed, stands_in = _title(name, blocks, known.pop("title"))
    blocks = [b for b in blocks if b is not stands_in]
    opening = "\n".join(line for b in takewhile(lambda b: not b.level, blocks) for line in b.lines)[
        :_FIRST_PAGE
    ]
    for key, pattern in (("doi", _DOI), ("arxiv", _ARXIV)):
        found = {match.rstrip(".,;:)]").casefold() for match in pattern.findall(opening)}
        known[key] = found.pop() if len(found) == 1 else None  # of two, one is another paper's
    builder, item = PaperBuilder(), False
    builder.hidden.update(known.pop("hidden"))
    for block in blocks:
        if not (item and block.item):
            builder.paragraph()
        item = block.item
        as_what = builder.heading(block.lines[0], block.level) if block.level else builder.aside(block.kind)
        with nullcontext() if block.kind == "body" else as_what:
            for number, line in enumerate(block.lines):
                if block.item and not number:
                    builder.item(line)
                builder.add(line)
                builder.line()
        for note in block.notes:
            with builder.footnote():
                builder.add(note)
            item = False
    paper = builder.paper(title, **known, title_guessed=guessed or None)
    if not paper.page_content and builder.hidden:
        raise LoadError(f"all of its text is hidden ({builder.hidden.total()} characters)")
    if not paper.page_content:
        raise LoadError("it has no text")
    return paper
