"""The files that entries of a bibliography name, as exports of Zotero and JabRef do, and what the entries say of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from langchain_core.documents import Document

from ragkit.read.border import foreign

ENDINGS = (".bib", ".ris", ".rdf")
"""How the names of files end whose entries may name other files."""


class AttachedFiles(NamedTuple):
    """The `files` to read, with what is known of each.

    `missing` are those that are not there, `outside` those that are not read since they are hidden or not in the
    folder of the bibliography; both as they are written.
    """

    files: Mapping[Path, dict[str, Any]]
    missing: Sequence[str]
    outside: Sequence[str]


def attached(bibliography: Path, entries: Iterable[Document]) -> AttachedFiles:
    """The files that the *entries* of a bibliography name.

    The first PDF of an entry is its paper; others, such as supplements, are papers of their own, and so is a
    file that several entries name.
    """
    folder = bibliography.resolve().parent
    files: dict[Path, dict[str, Any]] = {}
    named: Counter[Path] = Counter()
    missing, outside = list[str](), list[str]()
    for entry in entries:
        there: list[Path] = []
        for written in dict.fromkeys(entry.metadata.get("attached", ())):
            path = _inside(folder, written)
            if path is None:
                outside.append(written)
            elif not path.is_file():
                missing.append(written)
            else:
                there.append(path)
        for number, path in enumerate(sorted(there, key=lambda path: path.suffix.lower() != ".pdf")):
            files[path] = {} if number else _said(entry.metadata)
            named[path] += 1
    return AttachedFiles(
        {path: known if named[path] == 1 else {} for path, known in files.items()}, missing, outside
    )


def _inside(folder: Path, written: str) -> Path | None:
    """The file of this name, all links followed; None if it is hidden or not in the *folder*."""
    try:
        path = (folder / written).resolve()
    except (OSError, ValueError, RuntimeError):  # it is too long, or a circle of links
        return None
    if not path.is_relative_to(folder):
        return None
    return None if any(part.startswith(".") for part in path.relative_to(folder).parts) else path


def _said(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What an entry says of its paper, by ragkit's names."""
    left_out = {"key", *(["title"] if entry.get("title_guessed") else [])}
    return foreign({name: value for name, value in entry.items() if name not in left_out})
