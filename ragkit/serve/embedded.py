"""What another page shows of a paper in a frame: its text with the characters that are cited, without scripts.

Such frames are often sandboxed, Open WebUI's among them: their content belongs to no origin, so that neither scripts nor
styles of the server would load.  The style is inside the page, and allowed by its digest.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from xml.etree.ElementTree import tostring

from ragkit.document import authors_of
from ragkit.notebook import element

CITED = "cited"
"""The fragment at which the characters that are cited stand."""
_STYLE = """
:root { color-scheme: light dark; --ground: #fffefb; --ink: #1f1d1a; --soft: #5f5a52; --mark: #ffe58a; }
@media (prefers-color-scheme: dark) { :root { --ground: #1b1b1e; --ink: #eceae4; --soft: #a8a49b; --mark: #6b5a12; } }
body { margin: 0; padding: 20px; background: var(--ground); color: var(--ink); font: 1rem/1.6 Georgia, serif; }
main { max-width: 42rem; margin: auto; }
h1 { margin: 0 0 4px; font-size: 1.25rem; line-height: 1.3; text-wrap: balance; }
header p { margin: 0 0 20px; color: var(--soft); font-size: 0.875rem; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; }
mark { background: var(--mark); color: inherit; border-radius: 2px; scroll-margin-top: 30vh; }
"""
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none';"
    " frame-ancestors {}"
)
"""The content-security policy of the page, for `guard.policy`."""


def page(paper: dict[str, Any]) -> str:
    """The HTML of a paper as `evidence.as_json` gives it; what is `marked` of it is at `#cited`."""
    text, marked = paper["text"], paper["marked"]
    inside = [text]
    if marked:
        start, end = marked["start"], marked["end"]
        inside = [text[:start], element("mark", text[start:end], id=CITED), text[end:]]
    known = [*authors_of(paper["metadata"]), str(paper["metadata"].get("year") or "")]
    whole = element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("title", paper["title"]),
            element("style", _STYLE),
        ),
        element(
            "body",
            element(
                "main",
                element(
                    "header", element("h1", paper["title"]), element("p", ", ".join(filter(None, known)))
                ),
                element("div", *inside, **{"class": "text"}),
            ),
        ),
        lang="en",
    )
    return "<!doctype html>\n" + tostring(whole, encoding="unicode", method="html")
