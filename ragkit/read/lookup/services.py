"""Crossref, OpenAlex and arXiv.

Crossref is asked through habanero.  The clients of the others (pyalex, arxiv) set no time limit on a request, and
take the address from a setting of the whole process, so that they are asked through httpx2, as habanero does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, cast
from urllib.parse import quote

from pydantic import Field, PositiveFloat, SecretStr, TypeAdapter

from ragkit import __version__
from ragkit.config.components import component
from ragkit.document import normalised_title
from ragkit.read.formats.markup import html_tree
from ragkit.read.formats.stated import listed
from ragkit.read.formats.xml_records import Atom, arxiv_in, doi_in
from ragkit.read.lookup import By, LookupService, NoReply, Record, Request

Address = Annotated[str, Field(pattern=r"^https?://[^/]")]

_RECORDS = TypeAdapter(list[Record])
_FEW = 5  # of the papers with a title like the one asked for
_UNKNOWN = (400, 404, 410)  # a service that answers so does not know the identifier, or takes it for none
_BUSY = (408, 425, 429)  # and all from 500: it may know more at the next try
_AGENT = f"ragkit/{__version__}"


@component("crossref")
@dataclass(frozen=True)
class Crossref(LookupService):
    """Crossref, which has the DOIs of nearly all journals: found by DOI or title.

    With `mailto`, an address at which Crossref can reach you, it answers more reliably and five times a second,
    else once.  A request may take `seconds_a_request`, all of an ingest `seconds_in_all`.
    """

    mailto: str = ""
    base_url: Address = "https://api.crossref.org"
    requests_a_second: PositiveFloat | None = None
    seconds_a_request: PositiveFloat = 20.0
    seconds_in_all: PositiveFloat = 600.0

    asked_by: ClassVar[Sequence[By]] = ("doi", "title")  # DataCite, not Crossref, has the DOIs of arXiv

    @property
    def pause(self) -> float:
        return 1 / (self.requests_a_second or (5.0 if self.mailto else 1.0))

    @property
    def address(self) -> str:
        return self.base_url

    def find(self, request: Request) -> Sequence[Record]:
        import habanero

        client = habanero.Crossref(
            self.base_url, mailto=self.mailto or None, ua_string=_AGENT, timeout=self.seconds_a_request
        )
        with _failures(self.seconds_a_request) as known:
            if request.by == "doi":
                works = [client.works(ids=quote(request.value, safe=""))["message"]]
            else:
                works = client.works(query_bibliographic=request.value, limit=_FEW)["message"]["items"]
            known += [record for work in works for record in _of_crossref(work)]
        return known


def _of_crossref(work: Mapping[str, Any]) -> Iterator[Record]:
    """The record, also with its subtitle, which some publishers give apart from the title."""
    names = [
        " ".join(filter(None, (author.get("given"), author.get("family")))) or author.get("name", "")
        for author in work.get("author", ())
    ]
    [[year, *_], *_] = work.get("issued", {}).get("date-parts") or [[None]]
    record = _record(
        _plain(*work.get("title", ())[:1]),
        [_plain(name) for name in names],
        year,
        _plain(*work.get("container-title", ())[:1]),
        work["DOI"],
        affiliations=[
            _plain(each.get("name"))
            for author in work.get("author", ())
            for each in author.get("affiliation") or ()
        ],
        funding=[_plain(each.get("name")) for each in work.get("funder") or ()],
    )
    yield record
    if subtitle := _plain(*work.get("subtitle", ())[:1]):
        yield {**record, "title": f"{record.get('title', '')}: {subtitle}"}


@component("openalex")
@dataclass(frozen=True)
class OpenAlex(LookupService):
    """OpenAlex, which has journals, conferences and repositories: found by DOI, arXiv id or title.

    Without an `api_key`, which is free, it answers few searches by title a day.  `mailto` is an address at which
    OpenAlex can reach you.  A request may take `seconds_a_request`, all of an ingest `seconds_in_all`.
    """

    mailto: str = ""
    api_key: SecretStr = SecretStr("")
    base_url: Address = "https://api.openalex.org"
    requests_a_second: PositiveFloat = 10.0
    seconds_a_request: PositiveFloat = 20.0
    seconds_in_all: PositiveFloat = 600.0

    @property
    def pause(self) -> float:
        return 1 / self.requests_a_second

    @property
    def address(self) -> str:
        return self.base_url

    def find(self, request: Request) -> Sequence[Record]:
        given = {"mailto": self.mailto, "api_key": self.api_key.get_secret_value()}
        given = {name: value for name, value in given.items() if value}
        with _failures(self.seconds_a_request) as known:
            if request.by == "title":
                asked = {"filter": f"title.search:{normalised_title(request.value)}", "per-page": str(_FEW)}
                works = _get(f"{self.base_url}/works", {**asked, **given}, self.seconds_a_request).json()
                works = works["results"]
            else:
                doi = request.value if request.by == "doi" else f"10.48550/arxiv.{request.value}"
                path = f"{self.base_url}/works/doi:{quote(doi, safe='/')}"
                works = [_get(path, given, self.seconds_a_request).json()]
            known += map(_of_openalex, works)
        return known


def _of_openalex(work: Mapping[str, Any]) -> Record:
    places = [work.get("primary_location") or {}, *(work.get("locations") or ())]
    source = places[0].get("source") or {}
    return _record(
        _plain(work["display_name"]),
        [_plain(each["author"]["display_name"]) for each in work.get("authorships", ())],
        work.get("publication_year"),
        "" if source.get("type") == "repository" else _plain(source.get("display_name")),
        doi_in(work.get("doi") or ""),
        arxiv_in(*(place.get("landing_page_url") or "" for place in places)),
        affiliations=[
            _plain(each.get("display_name"))
            for author in work.get("authorships", ())
            for each in author.get("institutions") or ()
        ],
        funding=[
            _plain(each.get("funder_display_name") or each.get("display_name"))
            for each in (*(work.get("grants") or ()), *(work.get("funders") or ()))
        ],
    )


@component("arxiv")
@dataclass(frozen=True)
class Arxiv(LookupService):
    """arXiv, found by arXiv id or title; it wants three seconds between requests.

    A request may take `seconds_a_request`, all of an ingest `seconds_in_all`.
    """

    base_url: Address = "https://export.arxiv.org/api"
    requests_a_second: PositiveFloat = 1 / 3
    seconds_a_request: PositiveFloat = 20.0
    seconds_in_all: PositiveFloat = 600.0

    asked_by: ClassVar[Sequence[By]] = ("arxiv", "title")

    @property
    def pause(self) -> float:
        return 1 / self.requests_a_second

    @property
    def address(self) -> str:
        return self.base_url

    def find(self, request: Request) -> Sequence[Record]:
        asked = {"id_list": request.value, "max_results": str(_FEW)}
        if request.by == "title":
            asked = {"search_query": f'ti:"{normalised_title(request.value)}"', "max_results": str(_FEW)}
        with _failures(self.seconds_a_request) as known:
            text = _get(f"{self.base_url}/query", asked, self.seconds_a_request).text
            if not Atom().recognises_text("", text):
                raise NoReply(_NONSENSE)
            papers = [paper.metadata for paper in Atom().papers_in("arxiv", text)]
            names = ("title", "authors", "year", "venue", "doi", "arxiv")
            known += [_record(*(paper.get(name) for name in names)) for paper in papers]
        return known


EVERY = (Crossref(), OpenAlex(), Arxiv())
"""What `ragkit lookup` asks where the configuration names nothing."""


def _record(
    title: Any = None,
    authors: Any = None,
    year: Any = None,
    venue: Any = None,
    doi: Any = None,
    arxiv: Any = None,
    *,
    affiliations: Sequence[str] = (),
    funding: Sequence[str] = (),
) -> Record:
    values = {
        "title": title, "authors": [name for name in authors or () if name], "year": year, "venue": venue,
        "doi": doi, "arxiv": arxiv, "affiliations": listed(affiliations), "funding": listed(funding),
    }  # fmt: skip
    return cast(Record, {name: value for name, value in values.items() if value})


def _plain(written: Any = None) -> str:
    """Text that may have tags and entities, as some publishers deposit it."""
    return " ".join(html_tree(written).text().split()) if written else ""


# --- requests and what goes wrong

_NONSENSE = "replied with something else than it should"


def _get(address: str, asked: Mapping[str, str], seconds: float) -> Any:
    import httpx2

    reply = httpx2.get(address, params=asked, timeout=seconds, headers={"user-agent": _AGENT})
    return reply.raise_for_status()


@contextmanager
def _failures(seconds: float) -> Iterator[list[Record]]:
    """Collects records; what goes wrong inside becomes `NoReply`, and an identifier that is unknown no record."""
    import httpx2

    records: list[Record] = []
    try:
        yield records
        _RECORDS.validate_python(records)
    except NoReply:
        raise
    except Exception as error:  # clients raise what they like, with what the server said as the cause
        records.clear()
        found = [error, error.__cause__, error.__context__]
        status = next((each for each in found if isinstance(each, httpx2.HTTPStatusError)), None)
        if status is not None:
            code = status.response.status_code
            if code in _UNKNOWN:
                return
            from ragkit.models.http import wait_in

            wait = wait_in(status.response.headers.get("retry-after", "0"))
            raise NoReply(f"answered with HTTP {code}", code in _BUSY or code >= 500, wait) from error
        if any(isinstance(each, httpx2.TimeoutException) for each in found):
            raise NoReply(f"did not answer within {seconds:g} s", again=True) from error
        if any(isinstance(each, httpx2.TransportError) for each in found):
            raise NoReply("cannot be reached", again=True) from error
        raise NoReply(_NONSENSE) from error
