"""The front matter of a Markdown file: YAML in which a bad line fails on its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

import yaml

from ragkit.config.bounded_yaml import TooMuch
from ragkit.config.bounded_yaml import load as load_yaml
from ragkit.document import IDENTIFIERS
from ragkit.errors import LoadError
from ragkit.read.border import foreign
from ragkit.read.formats.stated import iso_date, listed

_AUTHORS = ("author", "authors")
_NAMES = {
    "affiliations": ("affiliation", "affiliations", "institution", "institutions", "institute"),
    "funding": ("funding", "funders", "funder"),
}
_UPDATED = ("updated", "last_updated", "last-updated", "lastmod", "revised")
"""What writers and site generators call these."""
_OURS = frozenset(
    (
        *_AUTHORS,
        *_UPDATED,
        *(name for names in _NAMES.values() for name in names),
        *IDENTIFIERS,
        "title",
        "date",
        "year",
    )
)
_ENTRY = re.compile(r"^(?=[^\s#-])", re.MULTILINE)  # where one begins
_PLAIN = re.compile(r"([\w-]+):[ \t]+([^\s&*!|>%@`\[{\"'#][^\r\n]*)\s*")
_YEAR = re.compile(r"(?<!\d)((?:1[5-9]|20)\d\d)(?!\d)")
_LISTED = 20


def front_matter(text: str) -> tuple[dict[str, Any], list[str]]:
    """What the front matter says, and a sentence on each entry of it that is not YAML.

    Such an entry is the text behind its colon if that is one line.
    """
    try:
        return _named(_mapping(text)), []
    except LoadError:
        raise
    except TooMuch as error:
        raise LoadError(f"its front matter {error}") from None
    except Exception as error:  # what reads a value, such as `2024-02-30`, raises what it likes
        whole = _said(error, 2)
    found: dict[str, Any] = {}
    lost: list[str] = []
    line = 2  # behind the `---`
    for entry in _ENTRY.split(text):
        try:
            found |= _mapping(entry)
        except Exception as error:
            lost.append(_said(error, line))
            if plain := _PLAIN.fullmatch(entry):
                found[plain[1]] = plain[2].strip()
        line += entry.count("\n")
    return _named(found), lost[:_LISTED] or [whole]


def _said(error: Exception, line: int) -> str:
    """What is wrong with YAML that begins in a *line* of the file."""
    if isinstance(error, LoadError):
        return f"its front matter has no `name: value` in line {line}"
    if not isinstance(error, yaml.YAMLError):
        return f"its front matter has a value in line {line} that YAML cannot read: {error}"
    mark = getattr(error, "problem_mark", None)
    where = f" in line {mark.line + line}" if mark else ""
    return f"its front matter is not YAML{where}: {getattr(error, 'problem', error)}"


def _named(found: dict[str, Any]) -> dict[str, Any]:
    """What the front matter says, its authors a list and its year a number, whatever they are called."""
    for name in [name for name in found if name.lower() in _OURS]:
        if (lower := name.lower()) != name and lower not in found:
            found[lower] = found.pop(name)
    beside = _texts(_named_in(found, _AUTHORS), _NAMES["affiliations"])
    for name, others in _NAMES.items():
        if several := listed(
            [*_texts(_named_in(found, others)), *(beside if name == "affiliations" else ())]
        ):
            found[name] = several
    if updated := next(filter(None, (iso_date(str(found.get(name, ""))) for name in _UPDATED)), ""):
        found["updated"] = updated
    given = next((name for name in reversed(_AUTHORS) if _authors(found.get(name))), None)
    if given:
        found["authors"] = _authors(found.pop(given))
    if not isinstance(found.get("year"), int):
        dated = next((d for name in ("year", "date") if (d := _YEAR.search(str(found.get(name, ""))))), None)
        found |= {"year": int(dated[1])} if dated else {}
    return found


def _named_in(found: dict[str, Any], names: Sequence[str]) -> list[Any]:
    return [found[name] for name in names if name in found]


def _texts(said: Any, inside: Sequence[str] = ()) -> list[str]:
    """Texts, divided by semicolons, lists of them, and mappings with a name; or what stands *inside* mappings."""
    match said:
        case str() if not inside:
            return said.split(";")
        case list():
            return [text for each in said for text in _texts(each, inside)]
        case dict() if inside:
            return [text for name in inside for text in _texts(said.get(name))]
        case dict():
            return _texts(said.get("name"))
    return []


def _authors(said: Any) -> list[str]:
    """The names of authors, given as a text, a list of texts or of mappings, or a mapping with a name."""
    match said:
        case str():
            return [name for part in re.split(r";|\s(?:and|&)\s", said) for name in _names(part)]
        case list():
            each = (author if isinstance(author, str) else _authors(author) for author in said)
            return [name for one in each for name in ([one] if isinstance(one, str) else one) if name.strip()]
        case dict():
            return _name(said)
    return []


def _names(written: str) -> list[str]:
    """`Ann Roe, Bo Ek` is two names, `Roe, Ann` is one."""
    parts = [part.strip() for part in written.split(",") if part.strip()]
    return parts if all(" " in part for part in parts) else [written.strip().strip(",")]


def _name(author: dict[str, Any]) -> list[str]:
    """The name in a mapping: of one author, or of several by name."""
    fields = {str(field).lower(): value for field, value in author.items()}
    if name := fields.get("name") or fields.get("full_name") or fields.get("literal"):
        return [name] if isinstance(name, str) else _authors(name)
    given, family = (
        next((str(fields[field]) for field in names if fields.get(field)), "")
        for names in (
            ("given", "first", "given-names", "given_names", "firstname", "first_name"),
            ("family", "last", "family-names", "family_names", "surname", "lastname", "last_name"),
        )
    )
    if given or family:
        return [f"{given} {family}".strip()]
    return [
        str(name) for name, details in author.items() if details is None or isinstance(details, dict | list)
    ]


def _mapping(text: str) -> dict[str, Any]:
    """A YAML mapping; `LoadError` for other YAML."""
    found = load_yaml(text)
    as_written = load_yaml(text, yaml.BaseLoader)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise LoadError("its front matter is not a YAML mapping such as `title: ...`")
    # These are no numbers, whatever they look like: arXiv 2301.10140 is not 2301.1014.
    verbatim = {
        k: as_written[k]
        for k in ("title", *IDENTIFIERS)
        if k in as_written and isinstance(found[k], bool | int | float | date)
    }
    return foreign({**found, **verbatim})
