"""The papers over HTTP: list, upload, delete, and read."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncGenerator, Collection, Generator
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Annotated, Any

from fastapi import APIRouter, File, Header, Query, UploadFile
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse

from ragkit import private
from ragkit.corpus import Corpus
from ragkit.corpus.database import batches
from ragkit.errors import NoCorpus, RagkitError
from ragkit.flow import Finished, Progress
from ragkit.ingest.report import IngestReport
from ragkit.rag import Rag
from ragkit.read.files import Files
from ragkit.read.formats import registered_formats
from ragkit.serve import embedded, evidence
from ragkit.serve.engine import last_of
from ragkit.serve.failures import Refusal, told
from ragkit.serve.guard import policy
from ragkit.serve.replies import (
    PageShown,
    PaperList,
    PaperShown,
    RemovedPaper,
    UploadReport,
    of_type,
    refused,
    replies,
)
from ragkit.serve.running import EVENTS, UNBUFFERED, following, kept_alive
from ragkit.serve.service import PAGE, Service, without_folders
from ragkit.text.printable import one_line

_LONGEST_NAME = 150  # characters; file systems take 255 bytes
_MOST_LISTED = 500  # papers of one page of the list
_COPIED = 1 << 20  # bytes of an upload that are copied at once

Start = Annotated[int | None, Query(alias="from", ge=0)]
End = Annotated[int | None, Query(alias="to", ge=1)]


def routes(service: Service) -> APIRouter:
    router = APIRouter(tags=["papers"])
    shown = of_type("text/html") | refused(400, 404, 422, 503)
    whole = of_type("application/pdf", "application/octet-stream")
    files = {**whole, 206: whole[200], **refused(404, 416, 422, 503)}

    @router.get("/api/papers", responses=replies(PaperList, 400, 422, 503))
    async def list_papers(
        where: Annotated[str | None, Query(max_length=2000)] = None,
        sort: Annotated[str, Query(max_length=20)] = "title",
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=_MOST_LISTED)] = 50,
    ) -> dict[str, Any]:
        """The papers that pass the filter `where`; `sort` by title, -year and so on; one page of them."""
        try:
            found = await asyncio.to_thread(service.rag.papers, where or None, sort)
        except NoCorpus:  # nothing was ingested yet
            found = []
        papers = [each.model_dump(mode="json") for each in found[offset : offset + limit]]
        return {
            "total": len(found),
            "offset": offset,
            "limit": limit,
            "papers": without_folders(papers),
        }

    @router.post(
        "/api/papers",
        response_model=None,
        responses=replies(UploadReport, 400, 415, 422, 502, 503, also=(EVENTS,)),
    )
    async def upload(
        files: Annotated[list[UploadFile], File()],
        accept: Annotated[str, Header()] = "",
    ) -> Response:
        """Add papers.  With `Accept: text/event-stream`, events tell how far the ingest is."""
        kept = await asyncio.to_thread(_kept, service, files)
        happening = _ingesting(service, kept)
        if EVENTS in accept:
            pieces = kept_alive(following(_until_failure(happening)))
            return StreamingResponse(pieces, media_type=EVENTS, headers=UNBUFFERED)
        report = await last_of(happening)
        return JSONResponse({k: v for k, v in report.items() if k != "type"})

    @router.delete("/api/papers/{identity}", responses=replies(RemovedPaper, 404, 422, 503))
    async def delete(identity: str) -> dict[str, Any]:
        """Delete a paper, all its versions, and the files that were uploaded for it; others stay where they are."""

        def removing() -> Generator[dict[str, Any], None, None]:
            evidence.paper_of(service.rag, identity)
            removed = service.rag.remove(identity)
            _drop(service.rag.corpus, removed.files)
            _bring_up_to_date(service)
            yield removed.model_dump(mode="json")

        return {"removed": without_folders(await last_of(service.engine.write(removing)))}

    @router.get(
        "/papers/{identity}",
        response_model=None,
        responses=replies(PaperShown, 400, 404, 422, 503, also=("text/html",)),
    )
    async def paper(
        identity: str,
        start: Start = None,
        end: End = None,
        accept: Annotated[str, Header()] = "",
    ) -> Response:
        """A paper: JSON for `Accept: application/json`, else the page that shows its text with `from` to `to` marked."""
        headers = {"vary": "accept"}
        if "application/json" not in accept:
            headers["content-security-policy"] = policy(service.framed_by)
            return FileResponse(PAGE / "reader.html", headers=headers)
        found = await asyncio.to_thread(evidence.as_json, service.rag, identity, start, end)
        return JSONResponse(without_folders(found), headers=headers)

    @router.get("/papers/{identity}/embed", response_class=Response, responses=shown)
    async def embed(identity: str, start: Start = None, end: End = None) -> Response:
        """The text of a paper as a page without scripts, for frames; `from` to `to` is marked, at `#cited`."""
        found = await asyncio.to_thread(evidence.as_json, service.rag, identity, start, end)
        allowed = {"content-security-policy": policy(service.framed_by, embedded.POLICY)}
        return HTMLResponse(embedded.page(found), headers=allowed)

    @router.get("/papers/{identity}/file", response_class=Response, responses=files)
    async def file(identity: str) -> Response:
        """The paper's file, if it is as it was when it was read; ranges of it, too."""
        found = await asyncio.to_thread(
            lambda: evidence.file_of(service.rag, evidence.paper_of(service.rag, identity))
        )
        if found is None:
            raise Refusal(404, "file_gone", "the paper's file is gone, or has changed since it was read")
        kind = found.as_json(identity)["type"]
        shown = "inline" if kind == "application/pdf" else "attachment"
        return FileResponse(
            found.path,
            media_type=kind,
            filename=found.path.name,
            content_disposition_type=shown,
            headers={"x-file-digest": found.digest, "cache-control": "private, no-cache"},
        )

    @router.get("/papers/{identity}/pages/{page}", responses=replies(PageShown, 400, 404, 422, 503))
    async def lines(identity: str, page: int, start: Start = None, end: End = None) -> dict[str, Any]:
        """The lines of a page with their boxes; those with characters `from` to `to` are `marked`."""
        found = await asyncio.to_thread(evidence.page_as_json, service.rag, identity, page, start, end)
        return dict(without_folders(found))

    return router


async def _until_failure(
    events: AsyncGenerator[dict[str, Any], None],
) -> AsyncGenerator[dict[str, Any], None]:
    try:
        async for event in events:
            yield event
    except Exception as failure:
        yield {"type": "error", "message": told(failure).message}


# --- uploads


def endings(rag: Rag) -> list[str]:
    """How the names of files end that may be uploaded: those of the formats by which *rag* reads files."""
    read = rag.ingest_pipeline.read
    formats = read.ordered_formats if isinstance(read, Files) else registered_formats()
    return sorted({ending for form in formats for ending in form.endings})


def _name(upload: UploadFile, known: Collection[str]) -> str:
    """The name of an uploaded file, without folders.  Raises `Refusal` for one whose ending is none of *known*."""
    name = one_line(PurePath((upload.filename or "").replace("\\", "/")).name).lstrip(".")
    if PurePath(name).suffix.lower() not in known:
        raise Refusal(
            415,
            "file_type",
            f"'{name[:_LONGEST_NAME]}' is no kind of file that can be uploaded; choose {', '.join(known)}",
        )
    return f"{PurePath(name).stem[:_LONGEST_NAME]}{PurePath(name).suffix}"


def _kept(service: Service, uploads: list[UploadFile]) -> list[Path]:
    """The uploaded files, kept in a folder that their names and contents name.

    Raises `Refusal` for files that are too many, too large or of another kind.
    """
    limits = service.limits
    if len(uploads) > limits.files_an_upload:
        raise Refusal(
            413, "too_many_files", f"at most {limits.files_an_upload} files can be uploaded at once"
        )
    known = endings(service.rag)
    whole, names = hashlib.sha256(), [_name(upload, known) for upload in uploads]
    if len(set(names)) < len(names):
        raise Refusal(400, "same_name", "two of the files have the same name; upload them one after another")
    for upload, name in zip(uploads, names, strict=True):
        if (upload.size or 0) > limits.bytes_a_file:
            largest = limits.bytes_a_file // 1_000_000
            raise Refusal(
                413, "file_too_large", f"'{name}' is larger than {largest} MB, the most for one file"
            )
        whole.update(name.encode() + b"\0" + hashlib.file_digest(upload.file, "sha256").digest())  # type: ignore[arg-type]
    folder = service.rag.corpus.uploads / whole.hexdigest()[:20]
    private.make_folder(folder)
    for upload, name in zip(uploads, names, strict=True):
        upload.file.seek(0)
        try:
            with open(folder / name, "wb", opener=private.unlinked) as kept:
                shutil.copyfileobj(upload.file, kept, _COPIED)
        except OSError:
            (folder / name).unlink(missing_ok=True)  # half of it
            raise
    return [folder / name for name in names]


async def _ingesting(service: Service, paths: list[Path]) -> AsyncGenerator[dict[str, Any], None]:
    """What happens while files are read into the corpus; the last event is the report."""
    yield {"type": "stored", "files": [path.name for path in paths]}
    last: tuple[object, ...] = ()

    def working() -> Generator[dict[str, Any], None, None]:
        try:
            for event in service.rag.ingest_events(*paths):
                if isinstance(event, Progress):
                    yield {
                        "type": "progress",
                        "stage": event.stage,
                        "done": event.done,
                        "total": event.total,
                        "what": PurePath(event.what).name,
                        "found": event.found,
                    }
                elif isinstance(event, Finished):
                    report: IngestReport = event.result
        except Exception:
            with suppress(RagkitError):  # what failed is told
                _drop(service.rag.corpus, [str(path) for path in paths])
            raise
        _drop(service.rag.corpus, [each.source for each in report.failed])
        _bring_up_to_date(service)
        yield {"type": "report", **without_folders(report.as_json()), "papers": _listed(service, paths)}

    async for event in service.engine.write(working):
        if (now := (*event.values(),)) != last or event["type"] != "progress":
            yield event
        last = now


def _listed(service: Service, paths: list[Path]) -> list[dict[str, str]]:
    """The papers that these files list: id and title."""
    corpus = service.rag.corpus
    ids = [
        identity
        for path in paths
        for identity in corpus.column(
            "SELECT document FROM sources WHERE uri = ? ORDER BY position", (str(path),)
        )
    ]
    known = {i: facts for some in batches(dict.fromkeys(ids)) for i, facts in corpus.facts_of(some).items()}
    return [
        {"id": each, "title": str(known[each].get("title", ""))}
        for each in dict.fromkeys(ids)
        if each in known
    ]


def _bring_up_to_date(service: Service) -> None:
    """Index what is new for the other configurations, too."""
    for name, rag in service.rags.items():
        if name != service.default:
            rag.ingest()


def _drop(corpus: Corpus, files: list[str] | tuple[str, ...]) -> None:
    """Delete those of *files* that were uploaded and list no paper any more."""
    folder = corpus.uploads
    for path in map(Path, files):
        listed = corpus.value("SELECT 1 FROM sources WHERE uri = ?", (str(path),))
        if path.is_relative_to(folder) and not listed:
            path.unlink(missing_ok=True)
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
