"""XML and HTML as a tree whose every piece of text knows where in the file it stands."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any, NamedTuple

from ragkit.errors import LoadError
from ragkit.read.formats.builder import PaperBuilder

# What is nested deeper stands beside its parent: no paper needs more, and no visitor runs out of stack.
_DEPTH = 150


class Piece(NamedTuple):
    """Text that stands for `file[at:at+size]`; the same characters unless it was written as an entity."""

    text: str
    at: int
    size: int


@dataclass
class Element:
    """A tag (without namespace), what is in it, and where it begins."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    at: int = 0
    children: list[Element | Piece] = field(default_factory=list)

    def elements(self, *tags: str) -> Iterator[Element]:
        """The child elements with one of these tags; all if none is given."""
        return (c for c in self.children if isinstance(c, Element) and (not tags or c.tag in tags))

    def find(self, *path: str) -> Element | None:
        """The first element at the end of a path of tags."""
        if not path:
            return self
        return next((found for child in self.elements(path[0]) if (found := child.find(*path[1:]))), None)

    def every(self, *tags: str) -> Iterator[Element]:
        """The elements below with one of these tags, in the file's order, but none inside another."""
        left = [*reversed(list(self.elements()))]
        while left:
            element = left.pop()
            if element.tag in tags:
                yield element
            else:
                left += reversed(list(element.elements()))

    def below(self) -> Iterator[Element]:
        """All elements below, in the file's order."""
        left = [*reversed(list(self.elements()))]
        while left:
            yield (element := left.pop())
            left += reversed(list(element.elements()))

    def pieces(self) -> Iterator[Piece]:
        """The pieces of text below, in the file's order."""
        left = self.children[::-1]
        while left:
            child = left.pop()
            if isinstance(child, Piece):
                yield child
            else:
                left += child.children[::-1]

    def text(self) -> str:
        """All text below, white space of any length as one space."""
        return " ".join("".join(piece.text for piece in self.pieces()).split())


def write(builder: PaperBuilder, piece: Piece) -> None:
    """Add a piece of running text."""
    if piece.size == len(piece.text):
        builder.prose(piece.text, piece.at)
    else:
        builder.add(piece.text, piece.at, piece.size)


def raised(builder: PaperBuilder, superscript: Element) -> bool:
    """Is a superscript that follows what is written an exponent?  10<sup>3</sup> is 10^3, not 103."""
    return builder.ends_in_word and bool(re.match(r"[-+−–]?\d", superscript.text()))


def write_table(builder: PaperBuilder, table: Element, write_cell: Callable[[Element], None]) -> None:
    """Add a table: a row a line, a bar between its cells.

    A cell that spans several columns or rows is written in each, so that every row has all its cells.  The
    header is what is marked as such: a `thead`, or first rows of nothing but `th`.
    """
    heads = {id(row) for head in table.every("thead") for row in head.every("tr")}
    reaching: dict[
        int, tuple[Element, int]
    ] = {}  # column: a cell of a row above, and how many rows it has left
    written: dict[int, str] = {}
    in_header = True
    with builder.aside("table"):
        for number, row in enumerate(table.every("tr")):
            cells = _row(row, reaching)
            is_head = id(row) in heads or all(cell.tag == "th" for cell in cells)
            if in_header and number and not is_head:
                builder.header()
            in_header = in_header and is_head
            with builder.row():
                for column, cell in enumerate(cells):
                    if column:
                        builder.add(" | ")
                    if id(cell) in written:
                        builder.add(written[id(cell)])
                    else:
                        before = len(builder.parts)
                        write_cell(cell)
                        written[id(cell)] = "".join(builder.parts[before:])


_WIDEST = 100  # columns or rows that a cell may span; more are no table for readers


def _row(row: Element, reaching: dict[int, tuple[Element, int]]) -> list[Element]:
    """The cell in each column of *row*, those that reach into it from above included."""
    cells: list[Element] = []

    def reach() -> None:
        while len(cells) in reaching:
            cell, left = reaching.pop(len(cells))
            if left > 1:
                reaching[len(cells)] = cell, left - 1
            cells.append(cell)

    for cell in row.elements("td", "th"):
        reach()
        for _ in range(_span(cell, "colspan")):
            if len(cells) < _WIDEST:
                if (rows := _span(cell, "rowspan")) > 1:
                    reaching[len(cells)] = cell, rows - 1
                cells.append(cell)
    reach()
    return cells


def _span(cell: Element, name: str) -> int:
    written = cell.attributes.get(name, "").strip()
    return min(max(int(written), 1), _WIDEST) if re.fullmatch(r"[0-9]{1,6}", written) else 1


def xml_tree(text: str) -> Element:
    """The root element of an XML file.

    Raises `LoadError` if the file is not well formed, or defines entities.
    """
    from xml.parsers.expat import ExpatError, errors

    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import DefusedXMLParser

    grown = _XmlTarget(text)
    try:
        parser = DefusedXMLParser(target=grown, encoding="utf-8")
        grown.expat = parser.parser
        parser.parser.buffer_text = False  # else a piece would not know where it begins
        parser.entity.update({name.removesuffix(";"): value for name, value in html.entities.html5.items()})
        parser.feed(grown.content)
        parser.close()
    except DefusedXmlException as error:
        raise LoadError(
            f"its XML defines entities, which is not safe to read: {type(error).__name__}"
        ) from None
    except (ExpatError, SyntaxError) as error:  # xml.etree's ParseError is a SyntaxError
        line = getattr(error, "lineno", None) or getattr(error, "position", (0,))[0]
        reason = errors.messages.get(getattr(error, "code", 0), str(error))
        raise LoadError(f"its XML is broken in line {line}: {reason}") from None
    root = next(grown.root.elements(), None)
    if root is None:
        raise LoadError("its XML has no element")
    return root


class _Tree:
    """A tree while it grows."""

    def __init__(self) -> None:
        self.root = Element("")
        self.open = [self.root]

    @property
    def here(self) -> Element:
        return self.open[min(len(self.open) - 1, _DEPTH)]

    def begin(self, tag: str, attributes: dict[str, str], at: int) -> None:
        element = Element(tag, attributes, at)
        self.here.children.append(element)
        self.open.append(element)


class _XmlTarget(_Tree):
    """What expat calls; its places are bytes, ours are characters."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.file = text
        self.content = text.encode(errors="replace")
        self.is_ascii = len(self.content) == len(text)
        self.expat: Any = None
        self.seen = (0, 0)

    def place(self) -> int:
        byte: int = self.expat.CurrentByteIndex
        if self.is_ascii:
            return byte
        last, character = self.seen
        if byte < last:
            last, character = 0, 0
        self.seen = byte, character + len(self.content[last:byte].decode(errors="replace"))
        return self.seen[1]

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.begin(_local(tag), {_local(name): value for name, value in attributes.items()}, self.place())

    def end(self, tag: str) -> None:
        self.open.pop()

    def data(self, text: str) -> None:
        at = self.place()
        self.here.children.append(Piece(text, at, _written(self.file, text, at)))


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _written(file: str, text: str, at: int) -> int:
    """How many characters of the file *text* stands for."""
    if file.startswith(text, at):
        return len(text)
    if file.startswith("&", at):
        return file.find(";", at) + 1 - at
    return 2 if file.startswith("\r\n", at) else len(text)


_VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())
_ENDED_BY = {
    "p": frozenset(
        "p div ul ol dl table section article aside nav header footer main h1 h2 h3 h4 h5 h6 pre blockquote figure form hr li td th tr".split()
    ),
    "li": frozenset({"li"}),
    "dt": frozenset({"dt", "dd"}),
    "dd": frozenset({"dt", "dd"}),
    "td": frozenset({"td", "th", "tr", "tbody", "tfoot"}),
    "th": frozenset({"td", "th", "tr", "tbody", "tfoot"}),
    "tr": frozenset({"tr", "tbody", "tfoot"}),
    "option": frozenset({"option", "optgroup"}),
}
"""Elements whose end may be left out, and the tags that end them."""


def html_tree(text: str) -> Element:
    """The tree of an HTML page, however it is written; its root has no tag."""
    parser = _HtmlParser(text)
    parser.feed(text)
    parser.close()
    return parser.tree.root


class _HtmlParser(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=False)
        self.tree = _Tree()
        self.file = text
        self.lines = [0, *(found.end() for found in re.finditer("\n", text))]

    def place(self) -> int:
        line, column = self.getpos()
        return self.lines[line - 1] + column

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        while len(self.tree.open) > 1 and tag in _ENDED_BY.get(self.tree.open[-1].tag, ()):
            self.tree.open.pop()
        self.tree.begin(tag, {name: value or "" for name, value in attributes}, self.place())
        if tag in _VOID:
            self.tree.open.pop()

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in _VOID:
            self.tree.open.pop()

    def handle_endtag(self, tag: str) -> None:
        for depth in range(len(self.tree.open) - 1, max(len(self.tree.open) - _DEPTH, 0), -1):
            if self.tree.open[depth].tag == tag:
                del self.tree.open[depth:]
                return

    def handle_data(self, text: str) -> None:
        at = self.place()
        self.tree.here.children.append(Piece(text, at, len(text)))

    def handle_entityref(self, name: str) -> None:
        self._reference(f"&{name}")

    def handle_charref(self, name: str) -> None:
        self._reference(f"&#{name}")

    def _reference(self, written: str) -> None:
        at = self.place()
        whole = written + ";" if self.file.startswith(written + ";", at) else written
        stands_for = html.unescape(whole)
        # A browser leaves what is no entity as it is, and so does unescape.
        self.tree.here.children.append(Piece(stands_for, at, len(whole)))
