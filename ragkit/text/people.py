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


def csl_name(author: str) -> dict[str, str]:
    """The parts of a name as CSL calls them, told as BibTeX tells them; one of a single word is taken as it is."""
    from bibtexparser.middlewares.names import parse_single_name_into_parts

    plain = author.translate(str.maketrans("{}\\", "   "))
    parts = parse_single_name_into_parts(plain, strict=False)
    named = {
        "family": " ".join(parts.last),
        "given": " ".join(parts.first),
        "non-dropping-particle": " ".join(parts.von),
        "suffix": " ".join(parts.jr),
    }
    if not parts.first:
        return {"literal": " ".join(plain.split())}
    return {name: value for name, value in named.items() if value}


def family_name(author: str) -> str:
    """The family name as it is written, with what belongs in front of it: `van der Maaten`."""
    parts = csl_name(author)
    named = (parts.get("non-dropping-particle"), parts.get("family") or parts.get("literal"))
    return " ".join(part for part in named if part)
