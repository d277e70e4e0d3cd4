"""The page in a real browser: Chromium, driven by Playwright."""

from __future__ import annotations

import html
import json
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest
from langchain_core.documents import Document
from playwright.sync_api import BrowserContext, Page, expect
from support import ROOT, ModelServer, needs_browser

import ragkit

Serving = Callable[..., httpx2.Client]

needs_browser()
QUESTION = "How many parameters do BERT-base and BERT-large have?"
RED = "The harbour seal dives 287 metres deep."
HOSTILE = """---
title: <img src=x onerror="window.harmed=1"> & <b>co</b>
---
# Quagga mussels

<script>window.harmed = 1</script> The quagga mussel filters $x_1 < 7$ litres <b onclick="window.harmed=1">a day</b> & more.

| mussel | litres |
| --- | --- |
| <i>quagga</i> | 7 |
"""


@pytest.fixture
def own(serving: Serving, tmp_path: Path) -> httpx2.Client:
    """A server over a corpus of its own, which is empty."""
    return serving(ragkit.load(ROOT / "configs" / "default.yaml", corpus=tmp_path / "corpus"))


def address(server: httpx2.Client, path: str = "/") -> str:
    return str(server.base_url.join(path))


def ask(page: Page, question: str) -> None:
    page.fill("#question", question)
    page.keyboard.press("Enter")
    expect(page.locator(".turn").last.locator(".took")).to_be_visible()


def pdf(rotation: int = 0) -> bytes:
    """A page whose second sentence is red."""
    text = f"BT /F1 12 Tf 72 700 Td (Notes on seals) Tj 0 -40 Td (We followed twelve animals for a year.) Tj 0 -18 Td 1 0 0 rg ({RED}) Tj 0 g 0 -18 Td (All of them came back to the same sandbank.) Tj ET"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Rotate {rotation} /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        f"<< /Length {len(text)} >>\nstream\n{text}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, places = "%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{each}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    return f"{out}xref\n0 6\n0000000000 65535 f \n{table}trailer << /Size 6 /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n".encode()


def test_the_policy_lets_in_neither_scripts_of_elsewhere_nor_in_the_page(
    context: BrowserContext, server: httpx2.Client
) -> None:
    page = context.new_page()
    page.goto(address(server))
    expect(page.locator(".welcome")).to_be_visible()
    refused = page.evaluate(
        """async () => {
          const refused = [];
          document.addEventListener("securitypolicyviolation", event => refused.push(event.effectiveDirective));
          const add = (name, put) => document.body.append(Object.assign(document.createElement(name), put));
          add("script", {textContent: "window.harmed = 1"});
          add("script", {src: "http://localhost:1/x.js"});
          add("img", {src: "http://localhost:1/x.png"});
          add("iframe", {src: "http://localhost:1/"});
          await fetch("http://localhost:1/").catch(() => {});
          await new Promise(done => setTimeout(done, 500));
          return [window.harmed ?? null, refused.sort()];
        }"""
    )
    assert refused == [None, ["connect-src", "frame-src", "img-src", "script-src-elem", "script-src-elem"]]


def test_a_question_is_answered_and_its_evidence_opens_at_the_words(
    page: Page, server: httpx2.Client
) -> None:
    page.goto(address(server))
    expect(page.locator(".welcome")).to_be_visible()
    ask(page, QUESTION)
    claim = page.locator(".claim").first
    expect(claim).to_contain_text("110")
    page.locator(".chip").first.click()
    mark = page.locator("mark.now").first
    expect(mark).to_be_in_viewport()
    quoted = page.locator(".cited blockquote").inner_text()
    assert (
        page.evaluate("[...document.querySelectorAll('mark.now')].map(m => m.textContent).join('')") == quoted
    )
    assert claim.locator(".claim-text").all_inner_texts()[0].split()[0] in quoted
    mark.click()
    expect(page.locator(".chip[aria-current]").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#evidence")).to_be_hidden()


def test_a_follow_up_takes_the_conversation_along_and_both_are_kept(
    page: Page, server: httpx2.Client
) -> None:
    page.goto(address(server))
    ask(page, QUESTION)
    with page.expect_request("**/api/ask") as asked:
        ask(page, "What was it trained on?")
    history = asked.value.post_data_json["history"]
    assert [turn["role"] for turn in history] == ["user", "assistant"]
    assert history[0]["content"] == QUESTION
    before = page.locator(".prose").all_inner_texts()
    page.reload()
    expect(page.locator(".turn")).to_have_count(2)
    assert page.locator(".prose").all_inner_texts() == before
    page.click("#open-drawer")
    with page.expect_download() as saved:
        page.get_by_label("Save as Markdown").click()
    text = Path(saved.value.path()).read_text()
    assert QUESTION in text
    assert "[1] " in text


def test_a_follow_up_and_what_happened_with_it_are_in_sight(page: Page, server: httpx2.Client) -> None:
    page.goto(address(server))
    for question in (QUESTION, "What was it trained on?", "What is retrieval-augmented generation?"):
        ask(page, question)
    last = page.locator(".turn").last
    expect(last.locator(".asked")).to_be_in_viewport(ratio=1)
    expect(last.locator(".claim").first).to_be_in_viewport()
    page.keyboard.press("Escape")
    last.get_by_label("What happened").click()
    page.wait_for_function(  # it is scrolled there
        """() => document.querySelector(".turn:last-of-type .trace").getBoundingClientRect().bottom
            <= document.querySelector("#composer .field").getBoundingClientRect().top""",
        timeout=5000,
    )


def test_what_the_papers_do_not_answer_looks_like_no_answer(page: Page, server: httpx2.Client) -> None:
    page.goto(address(server))
    ask(page, "What is the capital of France?")
    expect(page.locator(".abstained")).to_be_visible()
    expect(page.locator(".confidence")).to_have_count(0)


@pytest.mark.parametrize("rotation", [0, 90, 180])
def test_the_mark_lies_on_the_printed_words(page: Page, own: httpx2.Client, rotation: int) -> None:
    page.goto(address(own, "/#/papers"))
    page.set_input_files(
        "#upload", {"name": "seals.pdf", "mimeType": "application/pdf", "buffer": pdf(rotation)}
    )
    expect(page.locator(".upload")).to_contain_text("Added")
    page.get_by_role("link", name="Ask").click()
    ask(page, "How deep does the harbour seal dive?")
    page.locator(".chip").first.click()
    page.wait_for_selector(".sheet[data-ready] .box.now")
    ink, box = page.evaluate(
        """() => {
          const canvas = document.querySelector(".sheet canvas");
          const {width, height} = canvas;
          const {data} = canvas.getContext("2d").getImageData(0, 0, width, height);
          const red = [1, 1, 0, 0];
          for (let y = 0; y < height; y += 1) for (let x = 0; x < width; x += 1) {
            const at = 4 * (y * width + x);
            if (data[at] < 150 || data[at + 1] > 120 || data[at + 2] > 120) continue;
            red[0] = Math.min(red[0], x / width); red[1] = Math.min(red[1], y / height);
            red[2] = Math.max(red[2], x / width); red[3] = Math.max(red[3], y / height);
          }
          const sheet = canvas.getBoundingClientRect();
          const mark = document.querySelector(".box.now").getBoundingClientRect();
          return [red, [(mark.left - sheet.left) / sheet.width, (mark.top - sheet.top) / sheet.height,
                        (mark.right - sheet.left) / sheet.width, (mark.bottom - sheet.top) / sheet.height]];
        }"""
    )
    assert ink == pytest.approx(box, abs=0.012)


def test_a_paper_of_markup_script_and_formulas_shows_as_text(page: Page, own: httpx2.Client) -> None:
    page.goto(address(own, "/#/papers"))
    page.set_input_files(
        "#upload", {"name": "mussels.md", "mimeType": "text/markdown", "buffer": HOSTILE.encode()}
    )
    expect(page.locator(".upload")).to_contain_text("Added")
    expect(page.locator(".paper-title")).to_have_text('<img src=x onerror="window.harmed=1"> & <b>co</b>')
    page.get_by_role("link", name="Ask").click()
    ask(page, "How many litres does the quagga mussel filter?")
    page.locator(".chip").first.click()
    expect(page.locator(".paper-text")).to_contain_text("$x_1 < 7$")
    for name in ("Text", "Also found"):
        page.get_by_role("tab", name=name).click()
        page.wait_for_timeout(300)
        assert (
            page.evaluate("document.querySelectorAll('#evidence :is(script, img, i, b[onclick])').length")
            == 0
        )
    assert page.evaluate("window.harmed") is None


def test_neither_a_question_nor_a_chat_model_breaks_out_of_the_page(
    page: Page, serving: Serving, ingested: Path, model_server: ModelServer
) -> None:
    server = serving(ragkit.load(preset="chat", model=f"{model_server.url}#m", corpus=ingested))
    evil = "</h2></script><img src=x onerror=window.harmed=1>\n\nevent: answer\ndata: {}\n\n"
    model_server.says = f"BERT-base has 110 million parameters [1]. {evil} BERT is <b>large</b> [1]."
    page.goto(address(server))
    ask(page, f"{QUESTION} {evil.replace(chr(10), ' ')}")
    expect(page.locator(".asked")).to_contain_text("<img src=x onerror=window.harmed=1>")
    assert page.locator("main :is(script, img, b)").count() == 0
    page.reload()
    expect(page.locator(".asked")).to_contain_text("<img src=x onerror=window.harmed=1>")
    assert page.locator("main :is(script, img)").count() == 0
    assert page.evaluate("window.harmed") is None


def test_a_paper_that_cannot_be_read_is_said_so(page: Page, own: httpx2.Client) -> None:
    page.goto(address(own, "/#/papers"))
    page.set_input_files(
        "#upload",
        {"name": "seals.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.4 and nothing else"},
    )
    expect(page.locator(".upload .problem")).to_contain_text("seals.pdf")
    expect(page.locator(".papers")).to_contain_text("There are no papers yet")


def test_a_paper_is_filtered_opened_and_removed(page: Page, own: httpx2.Client) -> None:
    files = [
        ("files", (f"{name}.md", f"---\nyear: {year}\n---\n# {name}\n\nIt is {year}.\n".encode()))
        for name, year in (("Old", 1999), ("New", 2024))
    ]
    assert own.post("/api/papers", files=files).status_code == 200
    page.goto(address(own, "/#/papers"))
    expect(page.locator(".paper")).to_have_count(2)
    page.get_by_role("button", name="Add a filter").last.click()
    page.get_by_label("Value").fill("2020")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".paper-title")).to_have_text(["New"])
    page.locator(".paper-open").click()
    expect(page.locator("#evidence")).to_contain_text("It is 2024.")
    page.get_by_role("button", name="Remove New").click()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator(".papers")).to_contain_text("No paper passes the filter")


def test_a_pasted_text_is_checked(page: Page, server: httpx2.Client) -> None:
    page.goto(address(server, "/#/check"))
    page.fill("#check-text", "BERT-base has 110 million parameters. BERT-base has 900 million parameters.")
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator(".verdict-row")).to_have_count(2)
    verdicts = page.locator(".verdict-row").evaluate_all("rows => rows.map(row => row.dataset.verdict)")
    assert verdicts == ["supported", "unsupported"]


def test_checked_sentences_arrive_one_by_one_and_nothing_jumps(
    page: Page, serving: Serving, ingested: Path, model_server: ModelServer
) -> None:
    server = serving(ragkit.load(preset="chat", model=f"{model_server.url}#m", corpus=ingested))
    server.post("/api/ask", json={"question": QUESTION})
    found = re.search(
        r"\[(\d+)\] ([^\n\[]*110 million[^\n\[]*)", str(model_server.asked[-1]["messages"][-1]["content"])
    )
    assert found
    model_server.says = f"{found[2].strip()} [{found[1]}]. BERT was made by nobody at all [{found[1]}]."
    page.goto(address(server))
    page.evaluate(
        """() => {
          window.shift = window.moves = 0;  // the column moves once, when the first question takes the place of the welcome
          const column = [document.querySelector("#turns"), document.querySelector("#composer")];
          const ofColumn = (e) => e.sources.every(({node}) => column.includes(node));
          const count = (e) => ofColumn(e) ? (window.moves += 1) : (window.shift += e.value);
          new PerformanceObserver(list => list.getEntries().forEach(count)).observe({type: "layout-shift"});
        }"""
    )
    ask(page, QUESTION)
    assert page.locator(".claim").count() >= 1
    assert page.evaluate("window.shift") < 0.01
    assert page.evaluate("window.moves") <= 1


def test_the_keyboard_reaches_everything(page: Page, server: httpx2.Client) -> None:
    page.goto(address(server))
    ask(page, QUESTION)
    page.locator("#main").focus()
    page.keyboard.press("j")
    expect(page.locator(".claim").first).to_be_focused()
    page.keyboard.press("o")
    expect(page.locator("#evidence")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    expect(page.locator(".trace")).to_be_visible()
    page.keyboard.press("?")
    expect(page.locator("#dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.locator("#question")).to_be_focused()


def test_an_address_with_characters_opens_the_paper_there(page: Page, server: httpx2.Client) -> None:
    found = server.post("/api/search", json={"query": "BERT-large parameters", "k": 1}).json()["results"][0]
    page.goto(address(server, f"/papers/{found['document_id']}?from={found['start']}&to={found['end']}"))
    expect(page.locator("mark.now").first).to_be_in_viewport()
    expect(page.locator("h1")).to_have_text(found["title"])


def test_the_page_of_the_document_shows_an_answer_and_its_citations(
    page: Page, server: httpx2.Client
) -> None:
    text = (ROOT / "docs" / "serving.md").read_text()
    [own] = re.findall(r"^```html\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    page.route("**/own.html", lambda route: route.fulfill(body=own, content_type="text/html"))
    page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    page.goto(address(server, "/own.html"))
    page.get_by_role("button").click()
    expect(page.locator("#answer[data-done]")).to_contain_text("340 million")
    page.locator("#answer a").first.click()
    expect(page.locator("mark.now").first).to_be_in_viewport()


def test_a_corpus_without_papers_invites_to_add_some(own: httpx2.Client, page: Page) -> None:
    page.goto(address(own))
    invitation = page.get_by_role("link", name="Add papers")
    invitation.click()
    note = {"name": "terns.md", "mimeType": "text/markdown", "buffer": b"# Terns\n\nTerns fly far.\n"}
    page.set_input_files("#upload", files=[note])  # type: ignore[list-item]
    expect(page.locator(".paper-size")).to_have_text("1 passage")
    page.get_by_role("link", name="Ask").click()
    expect(page.locator(".welcome")).to_be_visible()
    expect(invitation).to_be_hidden()


# --- frames of other pages


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """Another origin, which serves the files of a folder."""
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as started:
        threading.Thread(target=started.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{started.server_port}"
        started.shutdown()


def test_another_page_shows_the_cited_words_in_a_sandboxed_frame(
    serving: Serving, tmp_path: Path, page: Page, elsewhere: str
) -> None:
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=tmp_path / "corpus")
    text = "Much else is known of animals. " * 300
    rag.add(Document(f"{text}{RED} <script>alert(1)</script>", metadata={"title": "<b>Seals</b>"}))
    client = serving(rag, framed_by=[elsewhere])
    body = {"messages": [{"role": "user", "content": "How deep does the harbour seal dive?"}], "stream": True}
    said = client.post("/open-webui/v1/chat/completions", json=body).text
    url = json.loads(re.findall(r'"embed_url": ?("[^"]+")', said)[0])
    # the sandbox that Open WebUI gives to such a frame
    frame = f'<iframe sandbox="allow-scripts allow-downloads" width=600 height=500 src="{html.escape(url)}"></iframe>'
    (tmp_path / "page.html").write_text(f"<!doctype html><link rel=icon href='data:,'>{frame}")
    page.goto(f"{elsewhere}/page.html")
    shown = page.frame_locator("iframe")
    expect(shown.locator("mark")).to_have_text(RED)
    expect(shown.locator("mark")).to_be_in_viewport()
    expect(shown.locator("h1")).to_have_text("<b>Seals</b>")
    expect(shown.locator("main")).to_have_css("max-width", "672px")  # the style is allowed
    page_of_the_paper = re.sub("/embed.*", "", url)
    for place, framed in ((page_of_the_paper, True), (url, True), (str(client.base_url), False)):
        allowed = client.get(place, headers={"accept": "text/html"}).headers["content-security-policy"]
        assert allowed.endswith(f"frame-ancestors 'self' {elsewhere}" if framed else "frame-ancestors 'self'")
