"""MathML: a formula as one line, written once though a page may hold it in several notations."""

from __future__ import annotations

import re

from ragkit.read.formats.builder import PaperBuilder
from ragkit.read.formats.latex.reader import SourceReader
from ragkit.read.formats.markup import Element, Piece, write

_SIGNS = {
    "msup": "^", "msub": "_", "mfrac": "/", "msubsup": "_^", "munder": "_", "mover": "^", "munderover": "_^", "mroot": "^1/",
}  # fmt: skip
"""Elements with several arguments, and what is written before each but the first."""
_ACCENTS = re.compile(r"[\s\u0300-\u036f\u20d0-\u20ff‾¯ˉ˙¨^~˜ˆ→⃗_⏞⏟︷︸]*+\Z")
_INVISIBLE = re.compile("[\u2061-\u2064]*+\\Z")  # operators that are not printed
_SKIPPED = frozenset(("annotation", "annotation-xml", "mphantom", "maligngroup", "malignmark"))
_TERMS = re.compile(r"\S[\s]*+[-+−±,=]")


def write_formula(builder: PaperBuilder, formula: Element) -> None:
    """Add a formula, a `math` element: as it is shown, or as its TeX if the page shows none."""
    before = builder.length
    _write(builder, formula)
    if builder.length == before and (tex := _tex(formula)):
        reader = SourceReader("", PaperBuilder())
        reader.math = True
        builder.add(reader.plain(tex.text), tex.at, tex.size)


def _write(builder: PaperBuilder, element: Element) -> None:
    signs = _SIGNS.get(element.tag)
    arguments = list(element.elements())
    if signs and len(arguments) > 1:
        accented = element.tag in ("mover", "munder") and _ACCENTS.match(arguments[1].text())
        for n, argument in enumerate(arguments):
            if n and accented:
                builder.unspace()
            elif n:
                builder.add(signs if element.tag == "mroot" else signs[min(n, len(signs)) - 1])
            _argument(builder, argument, bracketed=element.tag == "mfrac")
        return
    if element.tag == "msqrt":
        builder.add("√")
        _argument(builder, Element("", children=element.children), bracketed=True)
        return
    for child in element.children:
        if isinstance(child, Piece):
            if not _INVISIBLE.match(child.text):
                write(builder, child)
        elif child.tag in ("mspace", "mtd", "mtr"):
            builder.space()
            _write(builder, child)
            builder.space()
        elif child.tag not in _SKIPPED:
            _write(builder, child)


def _argument(builder: PaperBuilder, argument: Element, bracketed: bool) -> None:
    """Write one of several arguments, in brackets if it has several terms."""
    many = bracketed and bool(_TERMS.search(argument.text()))
    builder.add("(") if many else None
    _write(builder, Element("", children=[argument]))
    builder.add(")") if many else None


def _tex(formula: Element) -> Piece | None:
    """The formula in TeX, as an annotation."""
    for annotation in formula.every("annotation"):
        pieces = list(annotation.pieces())
        if "tex" in annotation.attributes.get("encoding", "").lower() and pieces:
            end = pieces[-1].at + pieces[-1].size
            return Piece("".join(piece.text for piece in pieces), pieces[0].at, end - pieces[0].at)
    return None
