"""Draws `docs/page.png` and `docs/page-phone.png`: the page of `ragkit serve` over the example papers and a PDF.

python examples/page_pictures.py      # needs Playwright (in the dev extra) and a Chromium of the system
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[1]
QUESTION = "How deep do the seals dive, and how long do dives last?"
SEALS = """<title>Dives of harbour seals at a sandbank (an invented study)</title>
<style>
  body { font: 10.5pt/1.4 serif; margin: 1.5cm 1.2cm; } h1 { font-size: 18pt; text-align: center; }
  .by { text-align: center; } main { columns: 2; column-gap: 0.8cm; text-align: justify; }
  h2 { font-size: 12pt; margin: 0.6em 0 0.2em; } p { margin: 0 0 0.6em; }
</style>
<h1>Dives of harbour seals at a sandbank (an invented study)</h1>
<p class="by">A. Example, B. Example</p>
<main>
<h2>Abstract</h2>
<p>We followed twelve harbour seals for one year with depth recorders. The seals dive to a median depth of 42 metres,
and the deepest dive reached 287 metres. Most dives last between three and five minutes. In winter the seals travel
further and rest less.</p>
<h2>1 Introduction</h2>
<p>Harbour seals rest on sandbanks and feed at sea. How far they travel between two rests is known for few places. This text
was written as an example: neither the animals nor the measurements exist.</p>
<h2>2 Methods</h2>
<p>Recorders of 90 grams were glued to the fur of twelve animals, seven of them female. They wrote depth and temperature
every four seconds, and fell off with the moult. A dive begins below two metres.</p>
<h2>3 Results</h2>
<p>The recorders counted 61,204 dives. Seals dived deeper by day than by night. The longest dive lasted eleven minutes, and was
also the deepest one. Ten of the twelve animals came back to the same sandbank after every trip.</p>
<p>In January a trip lasted 4.6 days on average, in June 1.9 days. Water temperature explained a small part of the
difference, day length most of it.</p>
<h2>4 Discussion</h2>
<p>Depth follows the sea floor: where it lies at 40 metres, most dives end at 40 metres. Deep dives are rare, and all of them
were made at the edge of the shelf.</p>
</main>"""


def main() -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise SystemExit("no browser is found: install Chromium, for example by `apt-get install chromium`")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        printed = browser.new_page()
        printed.set_content(SEALS)
        printed.pdf(path=Path(folder) / "seals.pdf", format="A4")
        corpus = ["--corpus", f"{folder}/papers"]
        command = [sys.executable, "-m", "ragkit"]
        subprocess.run(
            [*command, "ingest", str(ROOT / "examples" / "papers"), f"{folder}/seals.pdf", *corpus],
            check=True,
        )
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        server = subprocess.Popen([*command, "serve", "--port", str(port), *corpus])
        try:
            address = f"http://127.0.0.1:{port}"
            while not is_ready(address):
                if server.poll() is not None:
                    raise SystemExit("the server has ended")
                time.sleep(0.5)
            draw(browser, address, "page.png", (1440, 900), "light")
            draw(browser, address, "page-phone.png", (390, 844), "dark")
        finally:
            server.terminate()
            server.wait()


def is_ready(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/readyz").is_success
    except httpx2.TransportError:
        return False


def draw(browser: Browser, address: str, name: str, size: tuple[int, int], colours: str) -> None:
    """The page with an answer; where it is wide, with the evidence open beside it."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if colours == "dark" else "light",
        reduced_motion="reduce",
        is_mobile=size[0] < 600,
    )
    page = context.new_page()
    page.goto(address)
    page.fill("#question", QUESTION)
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn .took")
    if size[0] > 960:
        page.locator(".chip").first.click()
        page.wait_for_selector(".sheet[data-ready] .box.now")
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)
    page.screenshot(path=ROOT / "docs" / name)
    context.close()


if __name__ == "__main__":
    main()
