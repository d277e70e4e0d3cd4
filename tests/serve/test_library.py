"""The papers over HTTP: list, upload, read, file, pages, delete."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import httpx2
import pytest
from langchain_core.documents import Document
from support import NOTES, ROOT

import ragkit
from ragkit.read.files import Files
from ragkit.read.formats.plain import PlainText
from ragkit.serve.library import endings
from ragkit.serve.service import Limits

Serving = Callable[..., httpx2.Client]
JSON = {"accept": "application/json"}
NOTE = b"# Terns of the north\n\nThe Arctic tern flies 70,000 kilometres a year.\n"


@pytest.fixture
def own(serving: Serving, tmp_path: Path) -> httpx2.Client:
    """A server over a corpus of its own, which is empty."""
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=tmp_path / "corpus")
    return serving(rag, limits=Limits(bytes_a_file=10_000, files_an_upload=3))


def bert(client: httpx2.Client) -> dict[str, Any]:
    found = client.get("/api/papers", params={"where": "title contains 'Pre-training of Deep'"}).json()
    [paper] = found["papers"]
    return dict(paper)


def test_papers_are_listed_page_by_page(server: httpx2.Client) -> None:
    first = server.get("/api/papers", params={"limit": 30}).json()
    rest = server.get("/api/papers", params={"limit": 30, "offset": 30}).json()
    assert (first["total"], len(first["papers"]), len(rest["papers"])) == (48, 30, 18)
    assert len({paper["id"] for paper in first["papers"] + rest["papers"]}) == 48


def test_papers_are_filtered_and_sorted(server: httpx2.Client) -> None:
    found = server.get("/api/papers", params={"where": "year >= 2023", "sort": "-year"}).json()
    years = [paper["year"] for paper in found["papers"]]
    assert years == sorted(years, reverse=True)
    assert min(years) == 2023
    assert all("/" not in name for paper in found["papers"] for name in paper["files"])


@pytest.mark.parametrize(
    ("query", "status"), [({"sort": "x"}, 400), ({"where": "a ="}, 400), ({"limit": 0}, 422)]
)
def test_a_wrong_list_is_refused(server: httpx2.Client, query: dict[str, Any], status: int) -> None:
    assert server.get("/api/papers", params=query).status_code == status


def test_a_paper_has_text_sections_and_what_is_marked(server: httpx2.Client) -> None:
    paper = bert(server)
    found = server.get(f"/papers/{paper['id']}", params={"from": 5, "to": 40}, headers=JSON).json()
    assert found["title"] == paper["title"]
    assert found["marked"]["quote"] == found["text"][5:40]
    assert found["sections"][0].keys() == {"start", "end", "path", "kind"}
    assert found["file"]["name"] == "bert.md"
    assert str(NOTES) not in str(found)


def test_the_page_of_a_paper_has_no_text_in_it(server: httpx2.Client) -> None:
    reply = server.get(f"/papers/{bert(server)['id']}", headers={"accept": "text/html"})
    assert reply.headers["content-type"].startswith("text/html")
    assert "/static/reader.js" in reply.text
    assert server.get("/static/reader.js").status_code == 200
    assert server.get("/").status_code == 200


@pytest.mark.parametrize(
    ("place", "status"),
    [
        ("/papers/none", 404),
        ("/papers/none/file", 404),
        ("/papers/none/pages/1", 404),
        ("/papers/{id}?from=10&to=5", 400),
        ("/papers/{id}?from=0&to=99999999", 400),
        ("/papers/{id}/pages/1", 404),
        ("/static/../app.py", 404),
        ("/static/%2e%2e/app.py", 404),
    ],
)
def test_what_is_not_there_is_told(server: httpx2.Client, place: str, status: int) -> None:
    reply = server.get(place.format(id=bert(server)["id"]), headers=JSON)
    assert reply.status_code == status
    assert reply.json()["error"]["message"]


def test_a_file_is_sent_whole_and_in_parts(server: httpx2.Client) -> None:
    place = f"/papers/{bert(server)['id']}/file"
    content = (NOTES / "bert.md").read_bytes()
    whole = server.get(place)
    assert whole.content == content
    assert whole.headers["x-file-digest"] == hashlib.sha256(content).hexdigest()
    assert whole.headers["content-disposition"].startswith("attachment")
    part = server.get(place, headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, content[10:20])


def test_a_file_that_has_changed_is_not_sent(serving: Serving, tmp_path: Path) -> None:
    file = tmp_path / "terns.md"
    file.write_bytes(NOTE)
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=tmp_path / "corpus")
    rag.ingest(file)
    client, [paper] = serving(rag), rag.papers()
    assert client.get(f"/papers/{paper.id}/file").content == NOTE
    file.write_bytes(NOTE + b"More.\n")
    reply = client.get(f"/papers/{paper.id}/file")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "file_gone")
    assert client.get(f"/papers/{paper.id}", headers=JSON).json()["file"] is None


def test_the_lines_of_a_page_have_boxes(serving: Serving, tmp_path: Path) -> None:
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=tmp_path / "corpus")
    text = "First line.\nSecond line.\nThird line."
    [page] = ([[0, 1, 72, 80, 300, 92], [12, 1, 72, 94, 300, 106], [25, 2, 72, 80, 300, 92]],)
    rag.add(Document(text, metadata={"title": "Lines", "source": "lines"}))
    identity = rag.papers()[0].id
    import numpy as np

    rows = np.asarray(page, dtype=np.int32).tobytes()
    with rag.corpus.transaction() as db:
        db.execute("UPDATE sources SET pages = ? WHERE document = ?", (rows, identity))
    client = serving(rag)
    found = client.get(f"/papers/{identity}/pages/1", params={"from": 15, "to": 30}).json()
    assert [line["box"] for line in found["lines"]] == [[72, 80, 300, 92], [72, 94, 300, 106]]
    assert found["marked"] == [{"start": 12, "end": 24, "page": 1, "box": [72, 94, 300, 106]}]
    assert (found["pages"], found["marked_pages"], found["file"]) == (2, [1, 2], None)
    assert client.get(f"/papers/{identity}/pages/3").status_code == 404


def test_an_upload_is_ingested_with_progress_and_answers(own: httpx2.Client) -> None:
    with own.stream(
        "POST",
        "/api/papers",
        files={"files": ("terns.md", NOTE)},
        headers={"accept": "text/event-stream"},
    ) as reply:
        names = [line.removeprefix("event: ") for line in reply.iter_lines() if line.startswith("event: ")]
    assert (names[0], names[-1]) == ("stored", "report")
    answer = own.post("/api/ask", json={"question": "How far does the Arctic tern fly in a year?"}).json()
    assert "70,000 kilometres" in answer["answer"]


def test_the_report_of_an_upload_names_its_papers(own: httpx2.Client, tmp_path: Path) -> None:
    files = [("files", ("terns.md", NOTE)), ("files", ("broken.pdf", b"%PDF-1.4 nothing"))]
    report = own.post("/api/papers", files=files).json()
    assert [paper["title"] for paper in report["papers"]] == ["Terns of the north"]
    assert [failure["source"] for failure in report["failed"]] == ["broken.pdf"]
    kept = [path.name for path in (tmp_path / "corpus" / "uploads").rglob("*") if path.is_file()]
    assert kept == ["terns.md"]
    again = own.post("/api/papers", files=files[:1]).json()
    assert again["documents"] == 1


def test_a_deleted_paper_is_gone_with_its_upload(own: httpx2.Client, tmp_path: Path) -> None:
    report = own.post("/api/papers", files={"files": ("terns.md", NOTE)}).json()
    [paper] = report["papers"]
    removed = own.delete(f"/api/papers/{paper['id']}").json()["removed"]
    assert removed["title"] == paper["title"]
    assert own.get("/api/papers").json()["total"] == 0
    assert [path for path in (tmp_path / "corpus" / "uploads").rglob("*") if path.is_file()] == []
    assert own.delete(f"/api/papers/{paper['id']}").status_code == 404
    assert own.post("/api/papers", files={"files": ("terns.md", NOTE)}).json()["documents"] == 1


class FieldNotes(PlainText):
    """A format of a plug-in."""

    endings: ClassVar[tuple[str, ...]] = (".notes",)


def test_the_files_that_the_formats_read_can_be_uploaded_those_of_plug_ins_included(
    serving: Serving, tmp_path: Path
) -> None:
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=tmp_path / "corpus")
    known = (
        ".pdf .md .markdown .txt .html .htm .xhtml .xml .nxml .tex .ltx .latex .docx .json .jsonl .csv .bib .ris .nbib .rdf"
        " .atom .tei"
    )
    assert endings(rag) == sorted(known.split())
    ingest = replace(rag.ingest_pipeline, read=Files(more_formats=[ragkit.use(FieldNotes)]))
    extended = ragkit.Rag(corpus=tmp_path / "corpus", ingest=ingest, answer=rag.answer_pipeline)
    assert endings(extended) == sorted([*known.split(), ".notes"])
    report = serving(extended).post("/api/papers", files={"files": ("terns.notes", NOTE)}).json()
    assert report["documents"] == 1


@pytest.mark.parametrize(
    ("files", "status", "code"),
    [
        ([("x.exe", b"MZ")], 415, "file_type"),
        ([("terns.md", b"# x\n" * 10_000)], 413, "file_too_large"),
        ([(f"{n}.md", NOTE) for n in range(4)], 413, "too_many_files"),
        ([("a.md", NOTE), ("a.md", NOTE)], 400, "same_name"),
    ],
)
def test_an_upload_that_is_not_wanted_is_refused(
    own: httpx2.Client, tmp_path: Path, files: list[tuple[str, bytes]], status: int, code: str
) -> None:
    reply = own.post("/api/papers", files=[("files", each) for each in files])
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert not (tmp_path / "corpus" / "uploads").exists()


def test_an_upload_stays_in_its_folder(own: httpx2.Client, tmp_path: Path) -> None:
    report = own.post("/api/papers", files={"files": ("../../../evil.md", NOTE)}).json()
    assert report["papers"]
    [kept] = list(tmp_path.rglob("evil.md"))
    assert kept.is_relative_to(tmp_path / "corpus" / "uploads")
    assert kept.stat().st_mode & 0o077 == 0
