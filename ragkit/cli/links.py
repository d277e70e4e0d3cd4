"""Addresses of what an answer cites, for terminals that make links of them (OSC 8)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from ragkit.answer import Quote, Source

_RESERVED = "%/:?#[]@!$&'()*+,;="  # what an address may hold besides letters and digits, by RFC 3986


def link_of(quote: Quote) -> str:
    """The address of the first file that has the quote; empty where none has one."""
    return next(filter(None, map(link_to, quote.sources)), "")


def link_to(source: Source) -> str:
    """A file as `file:///papers/bert.pdf#page=3`, an address as it is; empty for any other name."""
    if source.uri.startswith(("https://", "http://")):
        return quote(source.uri, safe=_RESERVED)
    if not Path(source.uri).is_absolute():
        return ""
    page = f"#page={source.page}" if source.page is not None else ""
    return f"{Path(source.uri).as_uri()}{page}"


def link_to_doi(doi: str) -> str:
    return f"https://doi.org/{quote(doi, safe='/:;().')}"
