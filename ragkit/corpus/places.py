"""Where corpora are: in `.ragkit` of the working directory or of a folder above it, or by name in the user's data folder."""

from __future__ import annotations

import logging
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit import private
from ragkit.errors import UsageError

if TYPE_CHECKING:
    from ragkit.corpus.store import CorpusPlace

DEFAULT = Path(".ragkit")
DATABASE = "corpus.sqlite"

log = logging.getLogger("ragkit")


def upwards() -> Path:
    """The corpus of the working directory, else the user's own one of the nearest folder above; `DEFAULT` if there is none.

    One that is found above is said in a warning.  One of another user is passed over: it is data, and may be
    made to be found.
    """
    if DEFAULT.exists():
        return DEFAULT
    here = Path.cwd()
    found = next((each for each in _above(here) if _is_own(each)), None)
    if found is None:
        return DEFAULT
    _say(found, here)
    return found


@cache
def _say(found: Path, here: Path) -> None:
    log.warning("using the corpus in %s, found above %s; --corpus names another", found, here)


def named(name: str) -> Path:
    """Where the corpus of this name is kept.  Raises `UsageError` for what is no name."""
    if not re.fullmatch(r"\w[\w.-]{0,99}", name):
        raise UsageError(
            f"'{name}' is no name for a corpus: use letters, digits, '.', '-' and '_', such as thesis; a folder is --corpus"
        )
    return _home() / name


def place_of(text: str) -> Path | CorpusPlace:
    """The place that a user names: a folder, or a corpus in Postgres by its address, `postgresql://...`.

    Raises `UsageError` for an address that is none.
    """
    if not re.match(r"postgres(ql)?:/", text):
        return Path(text)
    from ragkit.corpus.postgres import PostgresCorpus

    try:
        return PostgresCorpus(re.sub(r"^(\w+):/+", r"\1://", text))  # a path has lost a '/'
    except ValueError as error:
        raise UsageError(str(error)) from None


def absent(directory: Path) -> str:
    """What to say where there is no corpus: where it was looked for, and how to make one."""
    if directory.parent == _home():
        others = ", ".join(sorted(each.parent.name for each in _home().glob(f"*/{DATABASE}")))
        known = f"those that there are: {others}" if others else "there is none yet"
        return (
            f"there is no corpus named '{directory.name}' in '{directory.parent}' ({known});"
            f" `ragkit --corpus-name {directory.name} ingest PATH` makes one"
        )
    if directory != DEFAULT:
        return f"there is no corpus in '{directory}'; `ragkit ingest PATH` makes one"
    here = Path.cwd()
    foreign = [each for each in _above(here) if (each / DATABASE).exists() and not _is_own(each)]
    passed = f" ('{foreign[0]}' belongs to another user; --corpus reads it all the same)" if foreign else ""
    return (
        f"there is no corpus in '{DEFAULT}' of '{here}' or of a folder above it{passed};"
        " `ragkit ingest PATH` makes one here, and --corpus or --corpus-name uses one elsewhere"
    )


def _above(here: Path) -> list[Path]:
    return [folder / DEFAULT for folder in here.parents]


def _is_own(corpus: Path) -> bool:
    """Is there a corpus that the user made?"""
    return private.is_own(corpus) and private.is_own(corpus / DATABASE)


def _home() -> Path:
    from platformdirs import user_data_path

    return user_data_path("ragkit", appauthor=False) / "corpora"
