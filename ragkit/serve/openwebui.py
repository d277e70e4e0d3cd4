"""The events of Open WebUI: sources that its page shows, and keeps with the message."""

from __future__ import annotations

from typing import Any

from ragkit.answer import Citation
from ragkit.serve.pieces import address, embedded_address, page_of


def source_event(citation: Citation, base: str, framed: bool) -> dict[str, Any]:
    """A source; the n-th one that the client is told of is what it opens for `[n]`: *framed*, the paper beside the
    answer, else the quote.
    """
    if citation.document_id is None:
        url, title = f"unresolved:{citation.number}", "no source"
    else:
        url, title = address(base, citation), citation.title
    page = page_of(citation)
    metadata: dict[str, Any] = {"source": url, "source_url": url, "name": title}
    if page is not None:
        metadata |= {"page": page - 1}  # Open WebUI counts pages from 0
    source = {"id": url, "name": title, "url": url}
    if framed and citation.document_id is not None:
        source["embed_url"] = embedded_address(base, citation)
    return {
        "type": "source",
        "data": {
            "source": source,
            "document": [citation.quote],
            "metadata": [metadata],
            "distances": [citation.score],
        },
    }
