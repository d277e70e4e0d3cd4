"""axe-core finds nothing serious on any view of the page, in light and dark, wide and narrow."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect
from support import ROOT, needs_browser, small_pdf

import ragkit

Serving = Callable[..., httpx2.Client]

needs_browser()
AXE = Path(__file__).parent / "node" / "node_modules" / "axe-core" / "axe.min.js"
SEALS = small_pdf("Notes on seals", "We followed twelve animals.", "The harbour seal dives 287 metres deep.")


@pytest.fixture(scope="module")
def papers(serving: Serving, ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> httpx2.Client:
    """A server over the example papers and a PDF."""
    corpus = tmp_path_factory.mktemp("corpus") / "copy"
    shutil.copytree(ingested, corpus)
    client = serving(ragkit.load(ROOT / "configs" / "default.yaml", corpus=corpus))
    assert client.post("/api/papers", files=[("files", ("seals.pdf", SEALS))]).status_code == 200
    return client


@pytest.fixture(params=["light 1440", "light 390", "dark 1440", "dark 390"])
def page(browser: Browser, node: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page into which axe-core can be put, which the page's own policy forbids."""
    colours, width = request.param.split()
    context = browser.new_context(
        viewport={"width": int(width), "height": 900},
        color_scheme=colours,
        reduced_motion="reduce",
        bypass_csp=True,
    )
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()


class Findings:
    """What axe-core finds serious or critical, by view."""

    def __init__(self, page: Page) -> None:
        self.page, self.views, self.serious = page, 0, list[str]()

    def look(self, view: str) -> None:
        if not self.page.evaluate("Boolean(window.axe)"):
            self.page.add_script_tag(path=AXE)
        found: dict[str, Any] = self.page.evaluate("axe.run()")
        assert found["passes"]
        self.views += 1
        self.serious += [
            f"{view}: {each['id']}: {node['html'][:150]}: {node['failureSummary'][:250]}"
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]


def test_no_view_has_a_serious_finding(page: Page, papers: httpx2.Client) -> None:
    def ask(question: str) -> None:
        page.fill("#question", question)
        page.keyboard.press("Enter")
        expect(page.locator(".turn").last.locator(".took")).to_be_visible()

    def close(dialog: str) -> None:
        findings.look(dialog)
        page.keyboard.press("Escape")
        expect(page.locator("#dialog")).to_be_hidden()

    findings = Findings(page)
    page.goto(str(papers.base_url))
    expect(page.locator("#corpus")).to_contain_text("49 papers")
    findings.look("welcome")
    page.get_by_role("button", name="Add a filter").first.click()
    close("filter")
    page.keyboard.press("?")
    close("keys")
    ask("How many parameters do BERT-base and BERT-large have?")
    findings.look("answer")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="What happened").click()
    findings.look("trace")
    page.locator(".chip").first.click()
    expect(page.locator("mark.now").first).to_be_visible()
    findings.look("evidence as text")
    page.get_by_role("tab", name="Also found").click()
    expect(page.locator(".evidence .note, .evidence .hit").first).to_be_visible()
    findings.look("evidence also found")
    page.get_by_label("Close the evidence").click()
    ask("How deep does the harbour seal dive?")
    page.locator(".turn").last.locator(".chip").first.click()
    page.get_by_role("tab", name="Page").click()
    page.wait_for_selector(".sheet[data-ready] .box.now")
    findings.look("evidence as page")
    page.get_by_label("Close the evidence").click()
    ask("What is the capital of France?")
    expect(page.locator(".abstained")).to_be_visible()
    findings.look("abstention")
    page.locator("#open-drawer").click()
    expect(page.locator(".talks")).to_be_visible()
    findings.look("conversations")
    page.keyboard.press("Escape")
    page.goto(str(papers.base_url.join("/#/papers")))
    expect(page.locator(".paper").first).to_be_visible()
    findings.look("papers")
    page.get_by_role("button", name="Remove").first.click()
    close("remove")
    page.goto(str(papers.base_url.join("/#/check")))
    page.fill("#check-text", "BERT-base has 110 million parameters. BERT-base has 900 million parameters.")
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator(".verdict-row")).to_have_count(2)
    findings.look("check")
    identity = papers.get("/api/papers").json()["papers"][0]["id"]
    page.goto(str(papers.base_url.join(f"/papers/{identity}?from=0&to=40")))
    expect(page.locator("mark.now").first).to_be_visible()
    findings.look("reader")
    assert "\n".join(findings.serious) == ""
    assert findings.views == 14
