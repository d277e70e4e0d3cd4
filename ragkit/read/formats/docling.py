"""PDFs read by docling, whose models tell headings, lists, tables, captions and footnotes on the page."""

from __future__ import annotations

import functools
import importlib.util
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

from ragkit.config.components import component
from ragkit.errors import LoadError
from ragkit.read.formats import titled
from ragkit.read.formats.builder import PaperBuilder
from ragkit.read.formats.pdf import Pdf


@component("docling")
@dataclass(frozen=True)
class Docling(Pdf):
    """PDFs by docling, with its models in the folder `artifacts_path`; nothing is downloaded.

    With `ocr`, docling recognises the text of images.  The limits of the loader hold: models need memory
    (`megabytes_a_file`) and time (`seconds_a_file`).
    """

    artifacts_path: str
    ocr: bool = False
    folder: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        folder = Path(self.artifacts_path).expanduser().absolute()  # the reading process is in another folder
        if importlib.util.find_spec("docling") is None:
            raise ValueError(
                "docling is not installed; pip install 'ragkit[docling]', or leave it out of the formats"
            )
        if not folder.is_dir():
            raise ValueError(
                f"there is no folder '{self.artifacts_path}' with docling's models; `docling-tools models download -o"
                f" {self.artifacts_path}` makes it"
            )
        object.__setattr__(self, "folder", str(folder))

    def papers(self, name: str, content: bytes) -> Iterator[Document]:
        try:
            converted = _converter(self.folder, self.ocr)(name, content)
            document = converted.document.export_to_dict()
            lost = [f"docling: {error.error_message}" for error in converted.errors]
        except MemoryError:
            raise
        except Exception as error:  # whatever docling and its models raise
            reason = " ".join(str(error).split())[:500] or type(error).__name__
            raise LoadError(
                f"docling cannot convert it with the models in '{self.folder}': {reason}"
            ) from None
        writer = _DoclingWriter(document)
        writer.children(document["body"])
        if not writer.builder.length:
            raise LoadError("docling finds no text in it; set `ocr: true` if it consists of images")
        yield writer.builder.paper(**titled(writer.title, name), lost=lost)


@functools.cache
def _converter(folder: str, ocr: bool) -> Any:
    """Converts a file of this name and content; the models are loaded once."""
    from docling.datamodel.base_models import DocumentStream, InputFormat
    from docling.datamodel.pipeline_options import PdfPipelineOptions
    from docling.document_converter import DocumentConverter, PdfFormatOption

    options = PdfFormatOption(pipeline_options=PdfPipelineOptions(artifacts_path=folder, do_ocr=ocr))
    converter = DocumentConverter([InputFormat.PDF], {InputFormat.PDF: options})
    return lambda name, content: converter.convert(DocumentStream(name=name, stream=io.BytesIO(content)))


Item = Mapping[str, Any]
_UNREAD = frozenset("page_header page_footer document_index".split())  # what is no text of the paper


class _DoclingWriter:
    """Writes a `DoclingDocument`, as its `export_to_dict` gives it, in reading order."""

    def __init__(self, document: Item) -> None:
        self.document = document
        self.builder = PaperBuilder()
        self.title = ""
        self._seen: set[str] = set()

    def children(self, parent: Item, *names: str) -> None:
        for name in names or ("children",):
            for child in parent.get(name, ()):
                if (place := child["$ref"]) not in self._seen:
                    self._seen.add(place)
                    _, kind, number = place.split("/")
                    self._item(self.document[kind][int(number)], kind)

    def _item(self, item: Item, kind: str) -> None:
        builder, label = self.builder, item.get("label", "")
        if item.get("content_layer", "body") != "body" or label in _UNREAD:
            return
        if kind == "tables":
            self.children(item, "captions")
            with builder.aside("table"):
                self._rows(item)
            self.children(item, "footnotes", "children")
        elif kind == "pictures":
            self.children(item, "captions", "footnotes")  # its children are words in the picture
        elif kind == "texts":
            self._text(item, label)
            self.children(item)
        elif label == "inline":
            builder.paragraph()
            with builder.cell():
                self.children(item)
            builder.paragraph()
        else:
            builder.paragraph()
            self.children(item)
            builder.paragraph()

    def _text(self, item: Item, label: str) -> None:
        builder, text = self.builder, item.get("text", "")
        if label == "title" and not self.title:
            self.title = text
        elif label in ("title", "section_header") and text.strip():
            with builder.heading(text, int(item.get("level", 1))):
                self._add(item)
        elif label == "list_item":
            number = re.match(r"\(?(\d{1,4})", item.get("marker", "")) if item.get("enumerated") else None
            builder.line()
            builder.item(text, int(number[1]) if number else 0)
            self._add(item)
            builder.line()
        elif label in ("caption", "reference"):
            with builder.aside("caption" if label == "caption" else "references"):
                self._add(item)
        elif label == "footnote":
            with builder.footnote():
                self._add(item)
        else:
            builder.paragraph()
            self._add(item)
            builder.paragraph()

    def _add(self, item: Item) -> None:
        """Write a text, each part of it at its place on a page."""
        text = item.get("text") or item.get("orig", "")
        places = item.get("prov", ())
        starts = [0, *(place["charspan"][0] for place in places[1:])]
        for start, end, place in zip(starts, [*starts[1:], len(text)], places or [{}], strict=False):
            self.builder.add(text[start:end], **self._place(place))

    def _place(self, place: Item) -> dict[str, Any]:
        """The page, and the box on it from its top left corner, as `PaperBuilder.add` takes them."""
        if not place:
            return {}
        box, height = place["bbox"], self.document["pages"][str(place["page_no"])]["size"]["height"]
        top, bottom = box["t"], box["b"]
        if box.get("coord_origin") == "BOTTOMLEFT":
            top, bottom = height - top, height - bottom
        return {"page": place["page_no"], "box": [round(n) for n in (box["l"], top, box["r"], bottom)]}

    def _rows(self, table: Item) -> None:
        place = self._place(next(iter(table.get("prov", ())), {}))
        grid: Sequence[Sequence[Item]] = table["data"]["grid"]
        for number, row in enumerate(grid):
            if number and not _is_header(row) and all(map(_is_header, grid[:number])):
                self.builder.header()
            with self.builder.row():
                for column, cell in enumerate(row):
                    if column:
                        self.builder.add(" | ")
                    begins = (cell["start_row_offset_idx"], cell["start_col_offset_idx"]) == (number, column)
                    self.builder.add(" ".join(cell["text"].split()) if begins else "", **place)


def _is_header(row: Sequence[Item]) -> bool:
    return any(cell["column_header"] for cell in row)
