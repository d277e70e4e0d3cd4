"""Papers that are named by an address: a URL, an arXiv id or a DOI; and where their files are fetched from.

A DOI leads to the open-access PDF that OpenAlex or Crossref name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from ragkit.errors import LoadError, UsageError
from ragkit.read.fetch import Fetched, Fetcher, NoSuchFile
from ragkit.read.lookup.services import Crossref, OpenAlex
from ragkit.read.objects import is_object

ARXIV = "https://arxiv.org"
_PDF = b"%PDF-"
_SIGNED = 1024  # bytes in which a PDF has its signature
_ARXIV = re.compile(
    r"(?:arxiv:\s*|https?://(?:www\.|export\.)?arxiv\.org/(?:abs|pdf|html)/|(?:doi:\s*|https?://(?:dx\.)?doi\.org/)?10\.48550/arxiv\.)"
    r"((?:[a-z-]+(?:\.[a-z]{2})?/\d{7}|\d{4}\.\d{4,5})(?:v\d+)?)(?:\.pdf)?/?",
    re.IGNORECASE,
)
_DOI = re.compile(r"(?:doi:\s*|https?://(?:dx\.|www\.)?doi\.org/)?(10\.\d{4,9}/\S+)", re.IGNORECASE)
_SCHEME = re.compile(r"(\w[\w+.-]*)://")


class Address(NamedTuple):
    """A paper by its address: the `url` that stands for it, and its `doi` or `arxiv` id, if it is one."""

    url: str
    doi: str = ""
    arxiv: str = ""

    @property
    def known(self) -> dict[str, str]:
        """What the address says of the paper."""
        return {name: value for name, value in self._asdict().items() if value}

    @property
    def name(self) -> str:
        """A name for its file, without what a file system or a reader of names could stumble over."""
        last = self.doi or self.arxiv or unquote(urlsplit(self.url).path).rstrip("/").rpartition("/")[2]
        return re.sub(r"[^\w.-]+", "-", last).strip(".-")[-100:] or "paper"

    def fetch(self, fetcher: Fetcher, since: float | None = None) -> Fetched | None:
        """Its file; None if it has not changed *since* then.  Raises `LoadError`."""
        if self.arxiv:
            return _pdf_at(f"{ARXIV}/pdf/{self.arxiv}", fetcher, since)
        if not self.doi:
            return fetcher.fetch(self.url, since)
        reasons = []
        for url in _open_access(self.doi, fetcher):
            try:
                return _pdf_at(url, fetcher, since)
            except LoadError as error:
                reasons.append(f"{url}: {error}")
        if reasons:
            raise LoadError(f"its open-access PDF cannot be fetched ({'; '.join(reasons)})")
        raise LoadError(
            f"OpenAlex and Crossref know no open-access PDF of {self.doi}; save it yourself and ingest the file"
        )


def address_of(written: str | Path) -> Address | None:
    """What an address means; None for a path, and for one in an object store.  A DOI by itself that is there as a path is one.

    Raises `UsageError` for a URL that is neither http nor https.
    """
    if isinstance(written, Path) or is_object(written):
        return None
    written = written.strip()
    if found := _ARXIV.fullmatch(written):
        return Address(f"https://arxiv.org/abs/{found[1]}", arxiv=found[1])
    if (found := _DOI.fullmatch(written)) and not (found[1] == written and Path(written).exists()):
        return Address(f"https://doi.org/{found[1].lower()}", doi=found[1].lower())
    if scheme := _SCHEME.match(written):
        if scheme[1].lower() not in ("http", "https"):
            raise UsageError(f"'{written}' cannot be fetched: give an address that begins with https://")
        return Address(written.partition("#")[0])
    return None


def file_name(address: Address, fetched: Fetched) -> str:
    """The name for a fetched file: formats are recognised by content, but other programs go by the ending."""
    ending = {"application/pdf": ".pdf", "text/html": ".html"}.get(fetched.kind, "")
    ending = ".pdf" if _is_pdf(fetched) else ending
    return address.name if address.name.lower().endswith(ending) else f"{address.name}{ending}"


def _pdf_at(url: str, fetcher: Fetcher, since: float | None) -> Fetched | None:
    fetched = fetcher.fetch(url, since)
    if fetched and not _is_pdf(fetched):
        raise LoadError(f"what {urlsplit(url).hostname} sends is no PDF")
    return fetched


def _is_pdf(fetched: Fetched) -> bool:
    return _PDF in fetched.content[:_SIGNED]


def _open_access(doi: str, fetcher: Fetcher) -> Iterator[str]:
    """The addresses of open-access PDFs, each once, best first."""
    seen = set()
    for find in (_of_openalex, _of_crossref):
        for url in find(doi, fetcher):
            if url not in seen:
                seen.add(url)
                yield url


def _of_openalex(doi: str, fetcher: Fetcher) -> Iterator[str]:
    work = _record(f"{OpenAlex.base_url}/works/doi:{quote(doi, safe='/')}", fetcher)
    for place in (work.get("best_oa_location"), *(work.get("locations") or ())):
        if place and place.get("is_oa") and place.get("pdf_url"):
            yield str(place["pdf_url"])


def _of_crossref(doi: str, fetcher: Fetcher) -> Iterator[str]:
    work = _record(f"{Crossref.base_url}/works/{quote(doi, safe='')}", fetcher).get("message") or {}
    licences = [str(each.get("URL")) for each in work.get("license") or ()]
    if any("creativecommons.org/" in each for each in licences):
        for link in work.get("link") or ():
            if link.get("content-type") == "application/pdf" and link.get("URL"):
                yield str(link["URL"])


def _record(url: str, fetcher: Fetcher) -> Mapping[str, Any]:
    """What a service knows of a DOI; nothing if it does not know it.  Raises `LoadError` if it does not answer."""
    try:
        fetched = fetcher.fetch(url)
        record = json.loads(fetched.content) if fetched else {}
    except (ValueError, NoSuchFile):
        return {}
    return record if isinstance(record, dict) else {}
