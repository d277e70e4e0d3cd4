"""What Crossref, OpenAlex and arXiv know of a paper completes it, and their failures cost nothing else.

The replies are written by hand in the shape of the three services, and given by a server on loopback.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from langchain_core.documents import Document

import ragkit
from ragkit.ask import AnswerPipeline
from ragkit.chunk import WholeChunker
from ragkit.document import title_of
from ragkit.errors import ConfigError, NoCorpus, UsageError
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index.bm25 import Bm25Index
from ragkit.ingest import IngestPipeline
from ragkit.read import PaperSource
from ragkit.read.files import Files
from ragkit.read.formats.plain import PlainText
from ragkit.read.lookup import LookupService, Record, Request
from ragkit.read.lookup.agreement import agrees
from ragkit.read.lookup.run import Lookup
from ragkit.read.lookup.services import Arxiv, Crossref, OpenAlex
from ragkit.retrieve import LexicalRetriever
from ragkit.testing import check_component

TEXT = "A bridge of glass carries forty people. It is tested every year."
TITLE = "Glass bridges carry people over rivers"
DOI = "10.1234/glass.7"


# --- replies


def of_crossref(title: str = TITLE, year: int = 2020, doi: str = DOI, **more: object) -> dict[str, Any]:
    return {
        "DOI": doi,
        "title": [title],
        "author": [
            {"given": "Anna", "family": "Smith", "sequence": "first"},
            {"given": "Mei", "family": "Sato", "sequence": "additional"},
        ],
        "container-title": ["Bridge Letters"],
        "issued": {"date-parts": [[year, 6, 1]]},
        "type": "journal-article",
        **more,
    }


def work(**more: Any) -> dict[str, Any]:
    return {"status": "ok", "message-type": "work", "message": of_crossref(**more)}


def works(*items: dict[str, Any]) -> dict[str, Any]:
    return {
        "status": "ok",
        "message-type": "work-list",
        "message": {"total-results": len(items), "items": items},
    }


def of_openalex(title: str = TITLE, year: int = 2020, kind: str = "journal") -> dict[str, Any]:
    return {
        "id": "https://openalex.org/W1",
        "doi": f"https://doi.org/{DOI}",
        "display_name": title,
        "publication_year": year,
        "authorships": [{"author": {"display_name": name}} for name in ("Anna Smith", "Mei Sato")],
        "primary_location": {"source": {"display_name": "Bridge Letters", "type": kind}},
        "locations": [{"landing_page_url": "http://arxiv.org/abs/2001.01234", "source": None}],
    }


FEED = """<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom"><title>ArXiv Query</title>%s</feed>"""
ENTRY = """<entry><id>http://arxiv.org/abs/2001.01234v2</id><published>2020-01-03T00:00:00Z</published>
<title>Glass bridges carry
 people over rivers</title><summary>Not the text.</summary><author><name>Anna Smith</name></author>
<author><name>Mei Sato</name></author><arxiv:doi xmlns:arxiv="http://arxiv.org/schemas/atom">10.1234/glass.7</arxiv:doi>
<arxiv:journal_ref xmlns:arxiv="http://arxiv.org/schemas/atom">Bridge Letters 7 (2020)</arxiv:journal_ref></entry>"""


@dataclass
class Reply:
    """A reply as it goes over the wire; text is sent as it is, anything else as JSON."""

    says: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "application/json"


PAGE = Reply("<html><body>Sign in</body></html>", kind="text/html")


class Services(ThreadingHTTPServer):
    """The three services.  Each gives its replies in order and repeats the last; without any, it knows nothing."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.replies: dict[str, list[Reply]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.agents: list[str] = []

    def says(self, service: str, *replies: Any) -> None:
        self.replies[service] = [each if isinstance(each, Reply) else Reply(each) for each in replies]

    def crossref(self, **settings: Any) -> Crossref:
        return Crossref(base_url=f"{self.address}/crossref", **{"requests_a_second": 1000.0, **settings})

    def openalex(self, **settings: Any) -> OpenAlex:
        return OpenAlex(base_url=f"{self.address}/openalex", requests_a_second=1000.0, **settings)

    def arxiv(self, **settings: Any) -> Arxiv:
        return Arxiv(base_url=f"{self.address}/arxiv", requests_a_second=1000.0, **settings)


class _Handler(BaseHTTPRequestHandler):
    server: Services

    def do_GET(self) -> None:
        where = urlsplit(self.path)
        service = where.path.split("/")[1]
        query = {name: values[0] for name, values in parse_qs(where.query).items()}
        self.server.asked.append((unquote(where.path), query))
        self.server.agents.append(str(self.headers["user-agent"]))
        replies = self.server.replies.get(service, [])
        known = replies.pop(0) if len(replies) > 1 else replies[0] if replies else Reply("not found", 404)
        body = (known.says if isinstance(known.says, str) else json.dumps(known.says)).encode()
        self.send_response(known.status)
        for name, value in {"content-type": known.kind, **known.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def services() -> Iterator[Services]:
    with Services() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits, which take no time here."""
    waits: list[float] = []
    now = time.monotonic
    monkeypatch.setattr("ragkit.read.lookup.run.time.sleep", waits.append)
    monkeypatch.setattr("ragkit.read.lookup.run.time.monotonic", lambda: now() + sum(waits))
    return waits


# --- papers


@dataclass
class Drawer(PaperSource):
    """Papers with any metadata, each in a unit of its own."""

    sheets: dict[str, Document] = field(default_factory=dict)
    lookup: Sequence[LookupService] = ()

    def find(self, paths: Sequence[str | Path] = ()) -> list[str]:
        return list(self.sheets)

    def digest(self, uri: str) -> str:
        return repr(self.sheets[uri])

    def read(self, uri: str) -> Iterator[list[Document]]:
        yield [self.sheets[uri]]

    def gone(self, uris: Iterable[str], paths: Sequence[str | Path] = ()) -> list[str]:
        return []

    @property
    def settings(self) -> str:
        return "drawer"


def sheet(title: str = TITLE, text: str = TEXT, **known: Any) -> Document:
    return Document(text, metadata={"title": title, "sources": [{"start": 0, "end": len(text)}], **known})


def over(directory: Path, read: PaperSource) -> ragkit.Rag:
    words = Bm25Index()
    return ragkit.Rag(
        corpus=directory,
        ingest=IngestPipeline(read=read, chunk=WholeChunker(), index=[words]),
        answer=AnswerPipeline(retrieve=[LexicalRetriever(index=words)], generate=ExtractiveGenerator()),
    )


Ingested = Callable[..., ragkit.Rag]


@pytest.fixture
def ingested(tmp_path: Path) -> Ingested:
    """Ingest papers with services, into one corpus."""

    def ingest(*papers: Document, lookup: Sequence[LookupService] = ()) -> ragkit.Rag:
        rag = over(tmp_path / "corpus", Drawer({f"{n}.txt": p for n, p in enumerate(papers)}, lookup))
        rag.ingest()
        return rag

    return ingest


def facts(rag: ragkit.Rag) -> dict[str, Any]:
    """What is known of the only paper, but where it is."""
    [[_, known]] = rag.corpus.facts()
    return {name: value for name, value in known.items() if name != "uri"}


WHOLE = {
    "title": TITLE,
    "authors": ["Anna Smith", "Mei Sato"],
    "year": 2020,
    "venue": "Bridge Letters",
    "doi": DOI,
}


# --- found


def test_a_paper_is_found_by_its_doi(ingested: Ingested, services: Services) -> None:
    services.says("crossref", work())
    rag = ingested(sheet(doi=DOI), lookup=[services.crossref(mailto="me@example.org")])
    assert facts(rag) == {**WHOLE, "looked_up": {"crossref": ["authors", "year", "venue"]}}
    assert services.asked == [(f"/crossref/works/{DOI}", {})]
    assert "mailto:me@example.org" in services.agents[0]


def test_crossref_adds_affiliations_and_funders(ingested: Ingested, services: Services) -> None:
    named = {"given": "Anna", "family": "Smith", "affiliation": [{"name": "Lund University"}]}
    services.says(
        "crossref", work(author=[named, named], funder=[{"name": "Glass &amp; Co", "award": ["7"]}])
    )
    known = facts(ingested(sheet(doi=DOI), lookup=[services.crossref()]))
    assert (known["affiliations"], known["funding"]) == (["Lund University"], ["Glass & Co"])
    assert known["looked_up"] == {"crossref": ["authors", "year", "venue", "affiliations", "funding"]}


def test_openalex_adds_institutions_and_funders(ingested: Ingested, services: Services) -> None:
    found = of_openalex() | {"grants": [{"funder_display_name": "Glass Fund"}], "funders": None}
    found["authorships"][0]["institutions"] = [{"display_name": "Lund University"}]
    services.says("openalex", found)
    known = facts(ingested(sheet(doi=DOI), lookup=[services.openalex()]))
    assert (known["affiliations"], known["funding"]) == (["Lund University"], ["Glass Fund"])


def test_for_affiliations_alone_nobody_is_asked(ingested: Ingested, services: Services) -> None:
    whole = sheet(doi=DOI, authors=["Anna Smith"], year=2020, venue="Bridge Letters")
    ingested(whole, lookup=[services.crossref()])
    assert services.asked == []


def test_a_doi_is_one_part_of_the_address(ingested: Ingested, services: Services) -> None:
    doi = "10.1002/(sici)1097?a#b<1::aid-1>3.0.co;2-x"
    services.says("crossref", work(doi=doi))
    ingested(sheet(doi=doi), lookup=[services.crossref()])
    assert services.asked == [(f"/crossref/works/{doi}", {})]


def test_openalex_finds_by_doi_and_by_arxiv_id(ingested: Ingested, services: Services) -> None:
    services.says("openalex", of_openalex())
    rag = ingested(sheet(arxiv="2001.01234v1"), lookup=[services.openalex(mailto="me@example.org")])
    assert facts(rag) == {
        **WHOLE,
        "arxiv": "2001.01234v1",
        "looked_up": {"openalex": ["authors", "year", "venue", "doi"]},
    }
    assert services.asked == [("/openalex/works/doi:10.48550/arxiv.2001.01234", {"mailto": "me@example.org"})]


def test_a_repository_is_no_venue(ingested: Ingested, services: Services) -> None:
    services.says("openalex", of_openalex(kind="repository"))
    assert "venue" not in facts(ingested(sheet(doi=DOI), lookup=[services.openalex()]))


def test_arxiv_finds_by_its_id(ingested: Ingested, services: Services) -> None:
    services.says("arxiv", Reply(FEED % ENTRY, kind="application/atom+xml"))
    rag = ingested(sheet(arxiv="2001.01234"), lookup=[services.arxiv()])
    assert facts(rag) == {
        **WHOLE,
        "arxiv": "2001.01234",
        "venue": "Bridge Letters 7 (2020)",
        "looked_up": {"arxiv": ["authors", "year", "venue", "doi"]},
    }
    assert services.asked == [("/arxiv/query", {"id_list": "2001.01234", "max_results": "5"})]


@pytest.mark.parametrize("service", ["crossref", "openalex", "arxiv"])
def test_a_paper_without_an_identifier_is_found_by_its_title_and_authors(
    ingested: Ingested, services: Services, service: str
) -> None:
    other = of_crossref(title="Glass bridges carry people over rivers, part 2", doi="10.1234/other")
    services.says("crossref", works(other, of_crossref()))
    services.says("openalex", {"meta": {"count": 1}, "results": [of_openalex()]})
    services.says("arxiv", Reply(FEED % ENTRY, kind="application/atom+xml"))
    rag = ingested(sheet(authors=["A. Smith"]), lookup=[getattr(services, service)()])
    known = facts(rag)
    assert (known["doi"], known["year"], known["authors"]) == (DOI, 2020, ["A. Smith"])
    [(_, query)] = services.asked
    assert TITLE.casefold() in " ".join(query.values()).casefold()


def test_a_subtitle_may_be_a_part_of_the_title(ingested: Ingested, services: Services) -> None:
    services.says("crossref", work(title="Glass <i>bridges</i>", subtitle=["An &amp; overview"]))
    rag = ingested(sheet("Glass bridges: an & overview", doi=DOI), lookup=[services.crossref()])
    assert facts(rag)["year"] == 2020


def test_the_next_service_is_asked_for_what_is_still_missing_with_what_is_known_by_then(
    ingested: Ingested, services: Services
) -> None:
    services.says("arxiv", Reply(FEED % ENTRY.replace("arxiv:journal_ref", "arxiv:comment")))
    services.says("crossref", work())
    rag = ingested(
        sheet(arxiv="2001.01234"), lookup=[services.arxiv(), services.crossref(), services.openalex()]
    )
    assert facts(rag)["looked_up"] == {"arxiv": ["authors", "year", "doi"], "crossref": ["venue"]}
    assert [path for path, _ in services.asked] == ["/arxiv/query", f"/crossref/works/{DOI}"]


def test_a_key_is_sent_and_not_shown(ingested: Ingested, services: Services) -> None:
    from pydantic import SecretStr

    services.says("openalex", of_openalex())
    service = services.openalex(api_key=SecretStr("hunter2"))
    ingested(sheet(doi=DOI), lookup=[service])
    assert services.asked[0][1] == {"api_key": "hunter2"}
    assert "hunter2" not in repr(service)


# --- refused


def test_another_paper_is_refused(ingested: Ingested, services: Services) -> None:
    services.says("crossref", work(title="Steel bridges carry trains over valleys"))
    rag = ingested(sheet(doi=DOI), lookup=[services.crossref()])
    assert facts(rag) == {"title": TITLE, "doi": DOI}


def test_another_part_is_refused_if_it_was_found_by_its_title(ingested: Ingested, services: Services) -> None:
    services.says("crossref", works(of_crossref(title=f"{TITLE}, part 2")))
    rag = ingested(sheet(f"{TITLE}, part 1", authors=["Anna Smith"]), lookup=[services.crossref()])
    assert "doi" not in facts(rag)


@pytest.mark.parametrize(("year", "agree"), [(2019, True), (2021, True), (2018, False), (2022, False)])
def test_the_year_may_differ_by_one(ingested: Ingested, services: Services, year: int, agree: bool) -> None:
    services.says("crossref", work(year=year))
    known = facts(ingested(sheet(doi=DOI, year=2020), lookup=[services.crossref()]))
    assert (known["year"], "venue" in known) == (2020, agree)


def test_a_title_by_other_authors_is_refused(ingested: Ingested, services: Services) -> None:
    services.says("crossref", works(of_crossref()))
    rag = ingested(sheet(authors=["Ines Kvale"]), lookup=[services.crossref()])
    assert facts(rag) == {"title": TITLE, "authors": ["Ines Kvale"]}


def test_a_short_title_that_nothing_confirms_is_refused(ingested: Ingested, services: Services) -> None:
    services.says("crossref", works(of_crossref(title="Introduction")))
    assert facts(ingested(sheet("Introduction"), lookup=[services.crossref()])) == {"title": "Introduction"}


def test_a_title_that_is_the_name_of_a_file_is_not_searched_for(
    ingested: Ingested, services: Services
) -> None:
    ingested(sheet("my notes of june on all the bridges", title_guessed=True), lookup=[services.crossref()])
    assert services.asked == []


def test_a_title_that_was_only_guessed_agrees_if_the_other_one_stands_on_the_first_page() -> None:
    record = Record(title=TITLE)
    by_doi = Request("doi", DOI)
    text = f"Journal of Bridges\n{TITLE.upper()}\nAnna Smith\n{TEXT}"
    assert agrees(by_doi, sheet("untitled 7", text, guessed=["title"]), record)
    assert agrees(by_doi, sheet("untitled 7", text, title_guessed=True), record)
    assert not agrees(by_doi, sheet("untitled 7", text), record)
    assert not agrees(by_doi, sheet("untitled 7", TEXT, guessed=["title"]), record)


# --- what is stated stays


def test_nothing_that_the_file_states_plainly_is_overridden(ingested: Ingested, services: Services) -> None:
    services.says("crossref", work(year=2021, doi="10.9/b"))
    stated = {"authors": ["A. Smith"], "year": 2020, "doi": DOI}
    known = facts(ingested(sheet(**stated), lookup=[services.crossref()]))
    assert known == {
        "title": TITLE,
        **stated,
        "venue": "Bridge Letters",
        "looked_up": {"crossref": ["venue"]},
    }


def test_what_was_guessed_is_corrected(ingested: Ingested, services: Services) -> None:
    services.says("crossref", work())
    guess = sheet(
        "Glass bridges cary people over rivers", doi=DOI, authors=["Northern Isles"], year=2024,
        guessed=["title", "authors", "year"],
    )  # fmt: skip
    known = facts(ingested(guess, lookup=[services.crossref()]))
    assert known == {**WHOLE, "looked_up": {"crossref": ["title", "authors", "year", "venue"]}}


def test_a_title_taken_from_the_name_is_replaced_and_identifies_the_paper(
    ingested: Ingested, services: Services
) -> None:
    services.says("crossref", work())
    rag = ingested(
        sheet("scan 7", f"{TITLE}\n{TEXT}", doi=DOI, title_guessed=True), lookup=[services.crossref()]
    )
    known = facts(rag)
    assert known["title"] == TITLE
    assert "title_guessed" not in known
    [hit] = rag.search("glass")
    assert title_of(hit) == TITLE


def test_a_bibliography_wins_over_a_lookup_whichever_comes_first(tmp_path: Path, services: Services) -> None:
    services.says("crossref", work())
    refs = Document("", metadata={"title": TITLE, "year": 2019, "authors": ["Ann Smith"], "bibliography": True, "sources": [{"start": 0, "end": 0}]})  # fmt: skip
    for name, both in {"a": {"1": sheet(doi=DOI), "2": refs}, "b": {"1": refs, "2": sheet(doi=DOI)}}.items():
        rag = over(tmp_path / name, Drawer(both, [services.crossref()]))
        rag.ingest()
        known = facts(rag)
        assert (known["year"], known["authors"], known["venue"]) == (2019, ["Ann Smith"], "Bridge Letters")
        assert known["looked_up"] == {"crossref": ["venue"]}


def test_a_whole_paper_and_an_entry_of_a_bibliography_are_not_asked_about(
    ingested: Ingested, services: Services
) -> None:
    entry = sheet("Steel bridges carry trains", "They are long.", bibliography=True, doi="10.1/steel")
    rag = ingested(
        sheet(**{k: v for k, v in WHOLE.items() if k != "title"}), entry, lookup=[services.crossref()]
    )
    assert services.asked == []
    assert rag.to_look_up() == []


@pytest.mark.parametrize("turn", [1, -1])
def test_papers_with_the_same_identifier_are_one_where_only_a_service_tells_it(
    ingested: Ingested, services: Services, turn: int
) -> None:
    services.says("crossref", works(of_crossref()))
    untold = sheet(authors=["Anna Smith"])
    told = sheet(
        "Bridges of glass",
        f"{TEXT} It was built in Norway.",
        **{k: v for k, v in WHOLE.items() if k != "title"},
    )
    rag = ingested(*[untold, told][::turn], lookup=[services.crossref()])
    counts = rag.corpus.counts()
    assert (counts.documents, counts.variants) == (1, 1)


def test_a_corpus_without_a_table_of_lookups_gets_one(ingested: Ingested, services: Services) -> None:
    rag = ingested(sheet(doi=DOI))
    rag.corpus.db.execute("DROP TABLE lookups")
    assert facts(rag) == {"title": TITLE, "doi": DOI}
    assert len(rag.to_look_up()) == 1
    services.says("crossref", work())
    assert facts(ingested(sheet(doi=DOI), lookup=[services.crossref()]))["year"] == 2020


def test_a_file_cannot_say_that_it_was_looked_up(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(
        f"---\ntitle: {TITLE}\nlooked_up: [x, {{crossref: {{year: 1}}}}]\n---\n{TEXT}\n"
    )
    rag = over(tmp_path / "corpus", Files())
    rag.ingest(tmp_path / "a.md")
    assert facts(rag) == {"title": TITLE}


# --- failures cost nothing else


FAILURES = {
    "busy": Reply("slow down", 429, {"retry-after": "7"}),
    "broken": Reply("oh", 500),
    "broken in JSON": Reply({"status": "failed", "message": [{"message": "oh"}]}, 503),
    "forbidden": Reply("no", 403),
    "moved": Reply("", 302, {"location": "http://127.0.0.1:9/login"}),
    "a web page": PAGE,
    "cut": Reply('{"status": "ok", "message": {"DOI": "10.12'),
    "something else": Reply([1, 2]),
    "odd values": Reply({"message": {"DOI": 7, "title": 7}, "display_name": 7, "results": 7}),
    "nothing": Reply(""),
}


@pytest.mark.parametrize("paper", [sheet(doi=DOI, arxiv="2001.01234"), sheet(authors=["Anna Smith"])])
@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("service", ["crossref", "openalex", "arxiv"])
def test_a_service_that_fails_costs_nothing_else_and_is_asked_again(
    tmp_path: Path, services: Services, slept: list[float], name: str, service: str, paper: Document
) -> None:
    services.says(service, FAILURES[name])
    rag = over(tmp_path / "corpus", Drawer({"1": paper}, [getattr(services, service)()]))
    report = rag.ingest()
    assert (report.documents, report.failed, report.looked_up) == (1, (), 0)
    assert [hit.page_content for hit in rag.search("glass")] == [TEXT]
    services.says("crossref", work() if "doi" in paper.metadata else works(of_crossref()))
    services.says("openalex", of_openalex() if "doi" in paper.metadata else {"results": [of_openalex()]})
    services.says("arxiv", Reply(FEED % ENTRY, kind="application/atom+xml"))
    report = rag.ingest()
    assert (report.unchanged, report.looked_up) == (1, 1)
    assert facts(rag)["year"] == 2020


def test_the_wait_that_a_service_asks_for_is_kept(
    ingested: Ingested, services: Services, slept: list[float]
) -> None:
    services.says("crossref", FAILURES["busy"], Reply("oh", 500), work())
    assert facts(ingested(sheet(doi=DOI), lookup=[services.crossref()]))["year"] == 2020
    assert [round(wait) for wait in slept if wait > 0.1] == [7, 1]


def test_a_service_that_wants_to_be_left_alone_for_long_is_not_waited_for(
    ingested: Ingested, services: Services, slept: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    services.says("crossref", Reply("no", 429, {"retry-after": "3600"}))
    ingested(sheet(doi=DOI), lookup=[services.crossref()])
    assert sum(slept) < 10
    assert len(services.asked) == 1
    assert "lookup: crossref asks to wait 3600 s and is left alone" in caplog.text


def test_a_service_that_fails_three_times_in_a_row_is_left_alone_with_one_sentence(
    ingested: Ingested, services: Services, slept: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    services.says("crossref", PAGE)
    papers = [sheet(f"{TITLE} {n}", f"{TEXT} {n}", doi=f"10.1/{n}") for n in range(6)]
    with caplog.at_level(logging.WARNING, "ragkit"):
        rag = ingested(*papers, lookup=[services.crossref()])
    assert len(services.asked) == 3
    [said] = [record.getMessage() for record in caplog.records]
    assert said == (
        "lookup: crossref replied with something else than it should and is left alone; the next ingest or `ragkit"
        " lookup` asks again about the papers that go without it"
    )
    assert rag.corpus.counts().documents == 6


def test_a_failure_now_and_then_is_none_in_a_row(
    ingested: Ingested, services: Services, slept: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    unknown = Reply("no", 404)
    services.says("crossref", PAGE, PAGE, unknown, PAGE, PAGE, unknown, unknown)
    papers = [sheet(f"{TITLE} {n}", f"{TEXT} {n}", doi=f"10.1/{n}") for n in range(5)]
    ingested(*papers, lookup=[services.crossref()])
    assert caplog.records == []


def test_a_server_that_is_not_there_costs_nothing_else(
    ingested: Ingested, slept: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    every = [Crossref(base_url=address), OpenAlex(base_url=address), Arxiv(base_url=address)]
    papers = [sheet(f"{TITLE} {n}", f"{TEXT} {n}", authors=["Anna Smith"]) for n in range(4)]
    rag = ingested(*papers, lookup=every)
    assert rag.corpus.counts().documents == 4
    assert [record.getMessage().partition(" and is")[0] for record in caplog.records] == [
        f"lookup: {name} cannot be reached" for name in ("crossref", "openalex", "arxiv")
    ]


def test_a_service_that_hangs_is_given_up(ingested: Ingested, slept: list[float]) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        service = OpenAlex(base_url=f"http://127.0.0.1:{silent.getsockname()[1]}", seconds_a_request=0.05)
        assert "year" not in facts(ingested(sheet(doi=DOI), lookup=[service]))


def test_a_service_has_a_limit_on_its_time_in_all(
    ingested: Ingested, services: Services, slept: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    services.says("crossref", Reply("no", 404))
    papers = [sheet(f"{TITLE} {n}", f"{TEXT} {n}", doi=f"10.1/{n}") for n in range(9)]
    service = services.crossref(requests_a_second=0.1, seconds_in_all=25.0)
    rag = ingested(*papers, lookup=[service])
    assert len(services.asked) == 3
    assert "crossref took more than 25 s" in caplog.text
    assert len(rag.to_look_up()) == 6


@pytest.mark.parametrize(
    ("service", "pause"),
    [(Crossref(), 1.0), (Crossref(mailto="me@example.org"), 0.2), (OpenAlex(), 0.1), (Arxiv(), 3.0)],
)
def test_services_are_asked_no_faster_than_they_wish(service: LookupService, pause: float) -> None:
    assert service.pause == pytest.approx(pause)


def test_requests_keep_the_distance(ingested: Ingested, services: Services, slept: list[float]) -> None:
    services.says("crossref", Reply("no", 404))
    papers = [sheet(f"{TITLE} {n}", f"{TEXT} {n}", doi=f"10.1/{n}") for n in range(3)]
    ingested(*papers, lookup=[services.crossref(requests_a_second=0.5)])
    assert [round(wait) for wait in slept if wait > 0.1] == [2, 2]


class Clumsy(LookupService):
    """A service of another package, which raises what it likes."""

    pause = 0.0
    address = "clumsy"

    def find(self, request: Request) -> Sequence[Record]:
        raise ZeroDivisionError


def test_a_mistake_in_a_service_costs_nothing_else(ingested: Ingested) -> None:
    assert facts(ingested(sheet(doi=DOI), lookup=[Clumsy()])) == {"title": TITLE, "doi": DOI}


# --- nothing is asked twice


def test_a_second_ingest_asks_nothing(ingested: Ingested, services: Services) -> None:
    services.says("crossref", work())
    ingested(sheet(doi=DOI), lookup=[services.crossref()])
    asked = len(services.asked)
    ingested(sheet(doi=DOI), lookup=[services.crossref()])  # unchanged
    rag = ingested(sheet(doi=DOI, text=f"{TEXT} More."), lookup=[services.crossref()])  # another text
    assert len(services.asked) == asked == 1
    assert facts(rag)["year"] == 2020


def test_what_a_service_does_not_know_is_asked_once(ingested: Ingested, services: Services) -> None:
    for _ in range(2):
        rag = ingested(sheet(doi=DOI), lookup=[services.crossref()])
    assert len(services.asked) == 1
    assert rag.to_look_up() == []


def test_another_service_is_asked_about_papers_that_are_there(ingested: Ingested, services: Services) -> None:
    ingested(sheet(doi=DOI), lookup=[services.crossref()])
    services.says("openalex", of_openalex())
    rag = ingested(sheet(doi=DOI), lookup=[services.crossref(), services.openalex()])
    assert facts(rag)["looked_up"] == {"openalex": ["authors", "year", "venue", "arxiv"]}
    assert len(services.asked) == 2


def test_a_paper_that_is_read_anew_without_services_keeps_what_was_found(
    ingested: Ingested, services: Services
) -> None:
    services.says("crossref", work())
    ingested(sheet(doi=DOI), lookup=[services.crossref()])
    rag = ingested(sheet(doi=DOI, note="read anew"))
    assert facts(rag) == {
        **WHOLE,
        "note": "read anew",
        "looked_up": {"crossref": ["authors", "year", "venue"]},
    }


# --- papers that are there


def test_papers_that_are_there_are_looked_up_and_texts_and_indexes_stay(
    ingested: Ingested, services: Services
) -> None:
    rag = ingested(sheet(doi=DOI))
    services.says("crossref", work())
    before = rag.corpus.published(), rag.corpus.document_ids()
    rag = over(rag.corpus.directory, Drawer({}, [services.crossref()]))
    [planned] = rag.to_look_up()
    assert (planned.lacks, planned.asks) == (("arxiv", "authors", "venue", "year"), (f"doi:{DOI}",))
    assert services.asked == []
    report = rag.lookup()
    assert (report.papers, report.left) == (1, 0)
    assert [each.looked_up for each in report.found] == [{"crossref": ["authors", "year", "venue"]}]
    assert (rag.corpus.published(), rag.corpus.document_ids()) == before
    [hit] = rag.search("glass", where="year = 2020 and venue contains letters")
    assert hit.page_content == TEXT
    assert rag.lookup().papers == 0


def test_looking_up_makes_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(NoCorpus, match="there is no corpus"):
        over(tmp_path / "none", Drawer()).lookup()
    assert not (tmp_path / "none").exists()


# --- the reader, the configuration, the command


def test_the_process_that_reads_knows_no_services(tmp_path: Path, services: Services) -> None:
    import pickle

    from ragkit.read.process import Reader

    services.says("crossref", work())
    files = Files(lookup=[services.crossref()], formats=[PlainText()])
    reader = Reader(files)
    assert pickle.loads(pickle.dumps(reader._papers)).files.lookup == ()
    assert not reader.pool.limits.network
    assert (files.settings, files.attempt) == (
        Files(formats=[PlainText()]).settings,
        Files(formats=[PlainText()]).attempt,
    )


YAML = """ingest:
  read: {{type: files, lookup: {lookup}}}
  chunk: {{type: sentence}}
  index: [&words {{type: bm25}}]
answer:
  retrieve: [{{type: lexical, index: *words}}]
  generate: {{type: extractive}}
"""


def test_a_pipeline_file_names_services(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(YAML.format(lookup="[{type: crossref, mailto: me@example.org}, openalex, arxiv]"))
    rag = ragkit.load(file)
    assert rag.ingest_pipeline.read.lookup == [Crossref(mailto="me@example.org"), OpenAlex(), Arxiv()]  # type: ignore[attr-defined]
    file.write_text(YAML.format(lookup="[{type: crossref, base_url: 'file:///etc'}]"))
    with pytest.raises(ConfigError, match="base_url"):
        ragkit.load(file)


def test_a_file_that_nobody_named_asks_no_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ragkit.yaml").write_text(YAML.format(lookup="[crossref]"))
    with pytest.raises(UsageError, match=r"asks for a server \(crossref\)"):
        ragkit.load()


@pytest.mark.parametrize("service", [Crossref, OpenAlex, Arxiv])
def test_services_are_components(service: type[LookupService]) -> None:
    check_component(service)


def test_the_command_completes_papers(
    tmp_path: Path, services: Services, command: Callable[..., Any]
) -> None:
    (tmp_path / "a.md").write_text(f"---\ntitle: {TITLE}\ndoi: {DOI}\n---\n{TEXT}\n")
    lookup = f"[{{type: crossref, base_url: '{services.address}/crossref', requests_a_second: 1000}}]"
    (tmp_path / "plain.yaml").write_text(YAML.format(lookup="[]"))
    (tmp_path / "a.yaml").write_text(YAML.format(lookup=lookup))
    assert command("ingest", "a.md", "--config", "plain.yaml").returncode == 0
    services.says("crossref", PAGE)
    planned = json.loads(command("lookup", "--dry-run", "--json", "--config", "a.yaml").stdout)
    assert [paper["asks"] for paper in planned["papers"]] == [[f"doi:{DOI}"]]
    assert services.asked == []
    failed = command("lookup", "--config", "a.yaml")
    assert (failed.returncode, failed.stdout) == (
        3,
        "asked about 1 paper: 0 completed, 1 left for next time\n",
    )
    services.says("crossref", work())
    done = command("lookup", "--json", "--config", "a.yaml")
    report = json.loads(done.stdout)
    assert (done.returncode, report["papers"], report["left"]) == (0, 1, 0)
    [found] = report["found"]
    shown = command("show", found["document_id"], "--config", "a.yaml").stdout
    assert "looked_up: authors, year, venue from crossref" in shown
    assert "authors: Anna Smith, Mei Sato" in shown
    assert command("lookup", "--config", "a.yaml").stdout.startswith("asked about 0 papers")


def test_no_service_is_asked_where_none_is_named(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lookup, "_found", None)
        (tmp_path / "a.md").write_text(TEXT)
        rag = over(tmp_path / "corpus", Files())
        assert rag.ingest(tmp_path / "a.md").looked_up == 0
