"""Papers by address: what is fetched, what is refused, and how it comes into a corpus.  The server is on loopback."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support import small_pdf

import ragkit
from ragkit.errors import LoadError, UsageError
from ragkit.flow import result_of
from ragkit.ingest.report import IngestReport
from ragkit.plan import plan
from ragkit.read import addresses
from ragkit.read.addresses import Address, address_of
from ragkit.read.fetch import Fetcher, is_public
from ragkit.read.lookup.services import Crossref, OpenAlex

PAPER = (
    b"# Glass bridges\n\nGlass bridges carry people over rivers in all weathers. They are inspected yearly.\n"
)
HERE = Fetcher(seconds=5.0, megabytes=0.01, allow_private=True)


class Site(ThreadingHTTPServer):
    """Serves `pages`: content, a content with headers, or the status of an error; a callable answers by itself."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.pages: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        page = self.server.pages.get(self.path, 404)
        if callable(page):
            page(self)
            return
        content, headers = page if isinstance(page, tuple) else (page, {})
        status = content if isinstance(content, int) else 200
        body = content if isinstance(content, bytes) else b""
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def moved(where: str, **headers: str) -> tuple[int, dict[str, str]]:
    return 302, {"location": where, **headers}


def refusal(url: str, fetcher: Fetcher = HERE) -> str:
    with pytest.raises(LoadError) as refused:
        fetcher.fetch(url)
    return str(refused.value)


# --- what an address is


@pytest.mark.parametrize(
    ("written", "url", "known"),
    [
        ("arxiv:2005.11401", "https://arxiv.org/abs/2005.11401", {"arxiv": "2005.11401"}),
        ("https://arxiv.org/abs/2005.11401v4", "https://arxiv.org/abs/2005.11401v4", {"arxiv": "2005.11401v4"}),
        ("http://www.arxiv.org/pdf/2005.11401.pdf", "https://arxiv.org/abs/2005.11401", {"arxiv": "2005.11401"}),
        ("10.48550/arXiv.2005.11401", "https://arxiv.org/abs/2005.11401", {"arxiv": "2005.11401"}),
        ("arXiv:hep-th/9901001", "https://arxiv.org/abs/hep-th/9901001", {"arxiv": "hep-th/9901001"}),
        ("10.1000/XYZ.7", "https://doi.org/10.1000/xyz.7", {"doi": "10.1000/xyz.7"}),
        ("doi:10.1000/xyz", "https://doi.org/10.1000/xyz", {"doi": "10.1000/xyz"}),
        ("https://dx.doi.org/10.1000/xyz", "https://doi.org/10.1000/xyz", {"doi": "10.1000/xyz"}),
        ("https://a.org/b.pdf#page=2", "https://a.org/b.pdf", {}),
    ],
)  # fmt: skip
def test_addresses(written: str, url: str, known: dict[str, str]) -> None:
    found = address_of(written)
    assert found is not None
    assert found.known == {"url": url, **known}


@pytest.mark.parametrize(
    "path", ["papers", "papers/10.1000/a.pdf", "a.pdf", "arxiv", "10.1/x", Path("10.1000/xyz")]
)
def test_paths_are_no_addresses(path: str | Path) -> None:
    assert address_of(path) is None


def test_a_folder_that_is_called_like_a_doi_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "10.1000" / "xyz").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert address_of("10.1000/xyz") is None
    assert address_of("doi:10.1000/xyz") is not None


@pytest.mark.parametrize("written", ["ftp://a.org/b.pdf", "file:///etc/passwd"])
def test_other_schemes_are_refused(written: str) -> None:
    with pytest.raises(UsageError, match="https://"):
        address_of(written)


# --- what is fetched


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "240.0.0.1",
        "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff0e::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:1::1", "2001:db8::1",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address(address: str) -> None:
    assert is_public(address)


def test_a_file_is_fetched_without_credentials(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    site.pages = {
        "/a.md": moved("/b.md", **{"set-cookie": "session=1; Path=/"}),
        "/b.md": (PAPER, {"content-type": "text/markdown; charset=utf-8"}),
    }
    fetched = HERE.fetch(f"{site.address}/a.md")
    assert fetched is not None
    assert (fetched.content, fetched.kind) == (PAPER, "text/markdown")
    assert [path for path, _ in site.asked] == ["/a.md", "/b.md"]
    for _, headers in site.asked:
        assert not {"cookie", "authorization", "referer"} & headers.keys()
        assert headers["host"] == site.address.removeprefix("http://")


def test_loopback_is_refused_unless_a_test_allows_it(site: Site) -> None:
    site.pages = {"/a.md": PAPER}
    for host in ("127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"):
        url = f"http://{host}:{site.server_port}/a.md"
        assert "is not on the public internet" in refusal(url, Fetcher())
    assert site.asked == []


def test_one_private_address_among_several_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def both(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, site.server_port))
            for ip in ("8.8.8.8", "10.0.0.1")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    assert "10.0.0.1" in refusal("http://a.org/b.pdf", Fetcher())


def test_a_redirect_into_the_own_network_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each hop is checked anew: here only the first one is allowed."""
    site.pages = {"/a.md": moved(f"http://localhost:{site.server_port}/b.md"), "/b.md": PAPER}
    monkeypatch.setattr("ragkit.read.fetch.is_public", lambda ip: len(site.asked) == 0)
    assert "localhost is not on the public internet" in refusal(f"{site.address}/a.md", Fetcher())
    assert [path for path, _ in site.asked] == ["/a.md"]


def test_the_address_that_was_checked_is_connected_to(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is looked up once; a second look-up would lead elsewhere."""
    asked = []

    def changing(host: object, *_: object, **__: object) -> list[tuple[object, ...]]:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name == "papers.example":
            asked.append(name)
        ip = name if name[0].isdigit() else "127.0.0.1" if len(asked) == 1 else "10.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, site.server_port))]

    monkeypatch.setattr(socket, "getaddrinfo", changing)
    site.pages = {"/a.md": PAPER}
    fetched = HERE.fetch(f"http://papers.example:{site.server_port}/a.md")
    assert fetched is not None
    assert fetched.content == PAPER
    assert asked == ["papers.example"]
    assert site.asked[0][1]["host"] == f"papers.example:{site.server_port}"


def test_a_certificate_is_checked_for_the_name_and_not_for_the_address(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if not shutil.which("openssl"):
        pytest.skip("openssl, which makes the certificate, is not installed")
    made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 2"
    name = ["-subj", "/CN=papers.example", "-addext", "subjectAltName=DNS:papers.example"]
    subprocess.run(["openssl", *made.split(), *name], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    site.socket = context.wrap_socket(site.socket, server_side=True)
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: real("127.0.0.1", *a, **k))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    site.pages = {"/a.md": PAPER}
    assert HERE.fetch(f"https://papers.example:{site.server_port}/a.md") is not None
    assert "CERTIFICATE_VERIFY_FAILED" in refusal(f"https://other.example:{site.server_port}/a.md")


def test_five_redirects_are_followed_and_no_sixth(site: Site) -> None:
    site.pages = {f"/{n}": moved(f"/{n + 1}") for n in range(6)} | {"/6": PAPER}
    assert HERE.fetch(f"{site.address}/1") is not None
    assert refusal(f"{site.address}/0") == "it is redirected more than 5 times"


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("file:///etc/passwd", "is no http or https address"),
        ("ftp://a.org/b", "is no http or https address"),
        ("http://me:secret@127.0.0.1/b", "user name or password"),
    ],
)
def test_redirects_to_elsewhere_are_refused(site: Site, where: str, said: str) -> None:
    site.pages = {"/a": moved(where)}
    assert said in refusal(f"{site.address}/a")


def test_a_file_that_is_too_large_is_given_up(site: Site) -> None:
    site.pages = {"/a": b"x" * 10_001, "/b": b"x" * 10_000}
    assert "larger than 0.01 MB" in refusal(f"{site.address}/a")
    assert HERE.fetch(f"{site.address}/b") is not None


def test_a_compressed_file_is_refused(site: Site) -> None:
    site.pages = {"/a": (b"x", {"content-encoding": "gzip"})}
    assert "compressed" in refusal(f"{site.address}/a")
    assert site.asked[0][1]["accept-encoding"] == "identity"


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_server_that_drips_is_given_up_in_time(site: Site, part: str) -> None:
    def drip(handler: _Handler) -> None:
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"\r\n" if part == "body" else b""))
            for _ in range(100):
                handler.wfile.write(b"x-a: b\r\n")
                time.sleep(0.05)
        except OSError:
            pass

    site.pages = {"/a": drip}
    began = time.monotonic()
    said = refusal(f"{site.address}/a", Fetcher(seconds=0.4, allow_private=True))
    assert said == "fetching it took longer than 0.4 s"
    assert time.monotonic() - began < 3


def test_what_goes_wrong_is_one_sentence(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.pages = {"/a": 503, "/cut": (b"x", {"content-length": "9"})}
    assert refusal(f"{site.address}/a") == "127.0.0.1 answered with HTTP 503"
    assert "has no such file (HTTP 404)" in refusal(f"{site.address}/b")
    assert "cannot be fetched" in refusal(f"{site.address}/cut")
    assert "check the connection" in refusal("http://127.0.0.1:9/a")
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    assert refusal("https://arxiv.org/a") == "arxiv.org is not found; check the address and the connection"


def unreachable(*_: object, **__: object) -> list[tuple[object, ...]]:
    raise socket.gaierror(-3, "Temporary failure in name resolution")


# --- DOIs and arXiv


@pytest.fixture
def services(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(OpenAlex, "base_url", f"{site.address}/openalex")
    monkeypatch.setattr(Crossref, "base_url", f"{site.address}/crossref")
    monkeypatch.setattr(addresses, "ARXIV", site.address)
    return site


def test_a_doi_leads_to_an_open_access_pdf(services: Site) -> None:
    work = {
        "best_oa_location": {"is_oa": True, "pdf_url": f"{services.address}/sign-in"},
        "locations": [
            {"is_oa": False, "pdf_url": f"{services.address}/closed.pdf"},
            {"is_oa": True, "pdf_url": f"{services.address}/open.pdf"},
        ],
    }
    services.pages = {
        "/openalex/works/doi:10.1000/xyz": json.dumps(work).encode(),
        "/sign-in": b"<html>Sign in</html>",
        "/closed.pdf": b"%PDF-closed",
        "/open.pdf": b"%PDF-open",
    }
    fetched = Address("https://doi.org/10.1000/xyz", doi="10.1000/xyz").fetch(HERE)
    assert fetched is not None
    assert fetched.content == b"%PDF-open"


@pytest.mark.parametrize("licence", ["https://creativecommons.org/licenses/by/4.0/", "https://a.org/tdm"])
def test_crossref_is_asked_next_and_its_pdf_counts_if_its_licence_is_open(
    services: Site, licence: str
) -> None:
    link = {"content-type": "application/pdf", "URL": f"{services.address}/a.pdf"}
    services.pages = {
        "/crossref/works/10.1000%2Fxyz": json.dumps(
            {"message": {"license": [{"URL": licence}], "link": [link]}}
        ).encode(),
        "/a.pdf": b"%PDF-open",
    }
    doi = Address("https://doi.org/10.1000/xyz", doi="10.1000/xyz")
    if "creativecommons" in licence:
        assert doi.fetch(HERE) is not None
    else:
        with pytest.raises(LoadError, match="know no open-access PDF of 10.1000/xyz; save it yourself"):
            doi.fetch(HERE)


def test_arxiv_gives_a_pdf_or_nothing(services: Site) -> None:
    services.pages = {"/pdf/2005.11401": b"%PDF-1.5", "/pdf/2005.00000": b"<html>wait</html>"}
    assert Address("", arxiv="2005.11401").fetch(HERE) is not None
    with pytest.raises(LoadError, match="no PDF"):
        Address("", arxiv="2005.00000").fetch(HERE)


# --- into a corpus


@pytest.fixture
def rag(tmp_path: Path) -> ragkit.Rag:
    return ragkit.load(preset="default", corpus=tmp_path / "corpus")


def test_addresses_and_files_are_ingested_together(rag: ragkit.Rag, site: Site, tmp_path: Path) -> None:
    note = tmp_path / "note.md"
    note.write_text("# Boats\n\nBoats carry people over rivers, too, unless there is ice on the water.\n")
    site.pages = {"/glass.md": PAPER}
    url = f"{site.address}/glass.md"
    report = rag.ingest(url, note, f"{site.address}/gone.pdf", fetcher=HERE)
    assert (report.new, report.documents) == (2, 2)
    assert [(each.source, "no such file" in each.error) for each in report.failed] == [
        (f"{site.address}/gone.pdf", True)
    ]
    [file] = rag.paper("Glass bridges").files
    assert Path(file).is_relative_to(tmp_path / "corpus" / "downloads")
    assert Path(file).name == "glass.md"
    assert Path(file).stat().st_mode & 0o777 == 0o600
    assert facts(rag, "Glass bridges")["url"] == url
    assert [paper.title for paper in rag.papers(f"url = '{url}'")] == ["Glass bridges"]


def facts(rag: ragkit.Rag, name: str) -> dict[str, Any]:
    identity = rag.paper(name).id
    return dict(rag.corpus.documents([identity])[identity].metadata)


def test_a_fetched_file_is_ingested_again_without_a_network(
    rag: ragkit.Rag, site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site.pages = {"/glass.md": PAPER}
    url = f"{site.address}/glass.md"
    rag.ingest(url, fetcher=HERE)
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    again: IngestReport = result_of(rag.ingest_events(url, fetcher=HERE))
    assert (again.new, again.unchanged, again.failed) == (0, 1, ())
    assert "the file that was fetched before is used" in caplog.text


def test_what_has_not_changed_is_not_sent_again_and_what_has_is_read_again(
    rag: ragkit.Rag, site: Site
) -> None:
    url = f"{site.address}/glass.md"
    site.pages = {"/glass.md": PAPER}
    rag.ingest(url, fetcher=HERE)
    site.pages = {"/glass.md": 304}
    assert rag.ingest(url, fetcher=HERE).unchanged == 1
    assert "if-modified-since" in site.asked[-1][1]
    site.pages = {"/glass.md": PAPER.replace(b"yearly", b"weekly")}
    assert rag.ingest(url, fetcher=HERE).changed == 1
    assert len(rag.papers()) == 1


def test_what_no_format_reads_is_not_kept(rag: ragkit.Rag, site: Site, tmp_path: Path) -> None:
    site.pages = {"/a.bin": b"\x7fELF\x00\x01\x02\xff\xfe\x00" * 20, "/glass.md": PAPER}
    report = rag.ingest(f"{site.address}/a.bin", f"{site.address}/glass.md", fetcher=HERE)
    assert [each.source for each in report.failed] == [f"{site.address}/a.bin"]
    kept = [path for path in (tmp_path / "corpus" / "downloads").rglob("*") if path.is_file()]
    assert [path.name for path in kept] == ["glass.md"]


def test_a_doi_identifies_the_paper(rag: ragkit.Rag, services: Site) -> None:
    work = {"best_oa_location": {"is_oa": True, "pdf_url": f"{services.address}/a"}}
    services.pages = {
        "/openalex/works/doi:10.1000/xyz": json.dumps(work).encode(),
        "/a": small_pdf("Glass bridges", "carry people over rivers in all weathers."),
    }
    report = rag.ingest("doi:10.1000/XYZ", fetcher=Fetcher(allow_private=True))
    assert not report.failed
    paper = rag.paper("10.1000/xyz")
    assert paper.doi == "10.1000/xyz"
    assert Path(paper.files[0]).name == "10.1000-xyz.pdf"


def test_a_folder_of_downloads_that_leads_elsewhere_is_refused(
    rag: ragkit.Rag, site: Site, tmp_path: Path
) -> None:
    site.pages = {"/glass.md": PAPER}
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "downloads").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ragkit.CorpusError, match="symbolic link"):
        rag.ingest(f"{site.address}/glass.md", fetcher=HERE)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_prune_keeps_what_was_fetched(rag: ragkit.Rag, site: Site) -> None:
    site.pages = {"/glass.md": PAPER}
    rag.ingest(f"{site.address}/glass.md", fetcher=HERE)
    assert rag.ingest(prune=True).pruned == 0
    assert rag.ingest(f"{site.address}/gone", prune=True, fetcher=HERE).pruned == 0
    assert len(rag.papers()) == 1


def test_a_dry_run_fetches_nothing(rag: ragkit.Rag, site: Site) -> None:
    site.pages = {"/glass.md": PAPER}
    url = f"{site.address}/glass.md"
    planned = plan(rag, url)
    assert (planned.fetch, planned.new, site.asked) == ((url,), 0, [])
    rag.ingest(url, fetcher=HERE)
    assert plan(rag, url).unchanged == 1


def test_offline_costs_the_address_alone(
    command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "glass.md").write_bytes(PAPER)
    done = command("ingest", "http://nowhere.invalid/a.pdf", "glass.md", "--json")
    assert done.returncode == 3
    report = json.loads(done.stdout)
    assert report["new"] == 1
    assert [each["source"] for each in report["failed"]] == ["http://nowhere.invalid/a.pdf"]
    assert "Traceback" not in done.stderr
    shown = command("ingest", "http://nowhere.invalid/a.pdf")
    assert shown.returncode == 3
    assert "failed: http://nowhere.invalid/a.pdf: nowhere.invalid is not found" in shown.stderr
