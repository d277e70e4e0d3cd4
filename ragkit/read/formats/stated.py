"""What documents state of themselves, in the form that all readers give it: affiliations and funders each once, and
the date of the last update.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

_LONGEST = 400  # characters; a longer line is no affiliation and no name of a funder


def listed(texts: Iterable[str]) -> list[str]:
    """*texts* in order, each once, without spaces and separators at their ends."""
    tidy = (" ".join(text.split()).strip(" ,;") for text in texts)
    return list(dict.fromkeys(text for text in tidy if 1 < len(text) <= _LONGEST))


def parts_of(text: str) -> list[str]:
    """What commas divide, without spaces around it and what is empty."""
    return [part for each in text.split(",") if (part := " ".join(each.split()))]


_MAIL = re.compile(r"\.(?:\s*electronic address:)?\s*[^\s@]{1,99}@[^\s@]{1,99}$|\.$", re.IGNORECASE)


def without_mail(affiliation: str) -> str:
    """An affiliation without the address of mail and the full stop behind it that PubMed's records have."""
    return _MAIL.sub("", affiliation.strip())


_UPDATED = re.compile(
    r"^\W{0,3}(?:(?:last )?(?:updated|revised|modified)(?: on)?|(?:date of )?last (?:update|revision))(?: ?:)? (\w.{3,30})$",
    re.IGNORECASE,
)
_FORMATS = {
    **dict.fromkeys(("%B %d %Y", "%b %d %Y", "%d %B %Y", "%d %b %Y", "%Y-%m-%d", "%Y/%m/%d"), "%Y-%m-%d"),
    **dict.fromkeys(("%B %Y", "%b %Y", "%Y-%m"), "%Y-%m"),
    "%Y": "%Y",
}
"""How dates are written, and which part of ISO 8601 says the same; 3/4/2020 may be two dates and is none."""


def updated_in(lines: Iterable[str]) -> str:
    """The date in the first line that says when a document was last updated, and nothing else; empty if none does."""
    found = (line[1].rstrip(" .)]") for text in lines if (line := _UPDATED.match(" ".join(text.split()))))
    return next((date for each in found if (date := iso_date(each))), "")


def iso_date(written: str) -> str:
    """A date as ISO 8601 writes it, as exact as it is *written*; empty for what is no date."""
    plain = re.sub(r"(?<=\d)(?:st|nd|rd|th)\b|[.,]", " ", re.sub(r"(?<=\d)T\d\d:.*", "", written.strip()))
    for known, exact in _FORMATS.items():
        try:
            return datetime.strptime(" ".join(plain.split()), known).strftime(exact)
        except ValueError:
            continue
    return ""
