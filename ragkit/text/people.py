"""The names of people: surnames, and whether two ways of writing a name may mean one person.  Pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence


def name_parts(name: str) -> list[str]:
    """The parts of a name in lower case and without accents."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return re.findall(r"[^\W\d_]+", bare.casefold())


def surname(author: str) -> str:
    """The last part of a name, or what stands before a comma."""
    before, comma, _ = author.partition(",")
    parts = name_parts(before)
    return " ".join(parts) if comma else parts[-1] if parts else ""


def is_person(said: Sequence[str], parts: Sequence[str]) -> bool:
    """Is each part *said* a part of the name, or an initial of one, or the other way round?"""
    return all(
        any(one == part or (1 in (len(one), len(part)) and one[0] == part[0]) for part in parts)
        for one in said
    )
