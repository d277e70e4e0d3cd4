"""PDFs by docling: a stand-in for the package, and a document that docling-core 2.104 wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from read.formats.test_documents import parts, pdf

from ragkit.document import Span, places_of
from ragkit.errors import LoadError
from ragkit.read.files import Files
from ragkit.read.formats import registered_formats
from ragkit.read.formats.docling import Docling
from ragkit.read.process import Reader

WRITTEN = Path(__file__).with_name("docling_document.json")
STAND_IN = {
    "__init__": "",
    "datamodel/__init__": "",
    "datamodel/base_models": """
import enum
class InputFormat(enum.Enum):
    PDF = "pdf"
class DocumentStream:
    def __init__(self, *, name, stream):
        self.name, self.stream = name, stream
""",
    "datamodel/pipeline_options": """
class PdfPipelineOptions:
    def __init__(self, *, artifacts_path, do_ocr):
        self.artifacts_path, self.do_ocr = artifacts_path, do_ocr
""",
    "document_converter": """
import json, types
from pathlib import Path
class PdfFormatOption:
    def __init__(self, *, pipeline_options):
        self.pipeline_options = pipeline_options
class DocumentConverter:
    def __init__(self, allowed_formats, format_options):
        self.options = format_options[allowed_formats[0]].pipeline_options
    def convert(self, source):
        assert source.name == "a.pdf" and source.stream.read(5) == b"%PDF-" and self.options.do_ocr is False
        told = json.loads((Path(self.options.artifacts_path) / "document.json").read_text())
        return types.SimpleNamespace(
            document=types.SimpleNamespace(export_to_dict=lambda: told),
            errors=[types.SimpleNamespace(error_message="page 3 timed out")],
        )
""",
}


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the models, from which the stand-in takes what it returns."""
    for name, text in STAND_IN.items():
        path = tmp_path / "packages" / "docling" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "document.json").write_bytes(WRITTEN.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path / "models"


def read(models: Path) -> Document:
    (models.parent / "a.pdf").write_bytes(pdf([(72.0, 700.0, 10.0, "Glass.")]))
    with Reader(Files(more_formats=[Docling("models")])) as reader:
        [[paper]] = reader.read(models.parent / "a.pdf")
    return paper


def place(paper: Document, words: str) -> tuple[int, tuple[int, ...]]:
    start = paper.page_content.index(words)
    [found] = places_of(paper, Span("", start, start + len(words)))
    return found["page"], found["box"]


def test_a_document_is_read_with_its_kinds_pages_and_boxes(models: Path) -> None:
    paper = read(models)
    assert (paper.metadata["title"], paper.metadata["lost"]) == (
        "On Glass Bridges",
        ["docling: page 3 timed out"],
    )
    results, kinds = ["1 Results"], ["1 Results", "1.1 Kinds"]
    assert parts(paper) == [
        (["Abstract"], "heading", "Abstract"),
        (["Abstract"], "abstract", "We test bridges."),
        (results, "heading", "1 Results"),
        (results, "body", "Glass bridges carry 40 people."),
        (results, "footnote", "Not all of them."),
        (kinds, "heading", "1.1 Kinds"),
        (kinds, "body", "- Glass\n- Steel"),
        (kinds, "caption", "Table 1: Loads by year."),
        (kinds, "table", "Year | Load\n2020 | 7 t\n2021 | 9 t"),
        (kinds, "body", "a = b^2"),
        (kinds, "caption", "Figure 1: A bridge."),
        (["References"], "heading", "References"),
        (["References"], "references", "Smith. Steel. 1999."),
    ]
    assert place(paper, "40 people") == (1, (72, 152, 300, 162))
    assert place(paper, "2021 | 9 t") == (2, (72, 122, 300, 192))
    [table] = [row for row in paper.metadata["sections"] if row["kind"] == "table"]
    assert paper.page_content[slice(*table["header"])] == "Year | Load"
    assert paper.page_content[slice(*table["caption"])] == "Table 1: Loads by year."


def change(models: Path, **changes: Any) -> None:
    told = json.loads(WRITTEN.read_bytes())
    (models / "document.json").write_text(json.dumps(told | changes))


def test_a_paragraph_over_two_pages_has_both_places(models: Path) -> None:
    told = json.loads(WRITTEN.read_bytes())
    texts = told["texts"]
    [first] = texts[5]["prov"]
    second = {**first, "page_no": 2, "charspan": [14, 30], "bbox": {"l": 9.6, "t": 20.0, "r": 99.0, "b": 30.0, "coord_origin": "TOPLEFT"}}  # fmt: skip
    texts[5]["prov"].append(second)
    change(models, texts=texts)
    paper = read(models)
    assert "Glass bridges carry 40 people." in paper.page_content
    assert place(paper, "Glass bridges")[0] == 1
    assert place(paper, "carry 40 people") == (2, (10, 20, 99, 30))


def test_a_document_without_text_and_one_that_docling_cannot_convert_are_one_sentence_each(
    models: Path,
) -> None:
    change(models, body={"children": []})
    with pytest.raises(LoadError, match="docling finds no text in it"):
        read(models)
    (models / "document.json").unlink()
    with pytest.raises(
        LoadError, match=f"docling cannot convert it with the models in '{models}': .*No such file"
    ):
        read(models)


def test_what_is_missing_is_said_when_a_file_is_loaded(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(isinstance(form, Docling) for form in registered_formats())
    with pytest.raises(
        ValueError, match=r"no folder 'none' with docling's models; `docling-tools models dow"
    ):
        Docling("none")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"docling is not installed; pip install 'ragkit\[docling\]'"):
        Docling("models")
