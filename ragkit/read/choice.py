"""Which files of a folder are read: those that are no papers by their name, and those that the user leaves out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

log = logging.getLogger("ragkit")

IGNORE = ".ragkitignore"
"""The file that names, in the syntax of `.gitignore`, files of its folder and below that are not read."""

# Endings and names of what stands beside papers: programs, style sheets, logs and auxiliary files; stems of
# what is about the folder.
_NO_PAPERS = frozenset(
    ".py .ipynb .js .ts .r .m .c .h .cpp .java .go .rs .sh .bat .css .scss .sty .cls .bst .aux .log .out .toc .lof .lot"
    " .bbl .blg .bcf .fls .fdb_latexmk .synctex .spl .ini .cfg .toml .lock makefile dockerfile".split()
)
_ABOUT_THE_FOLDER = frozenset("readme license licence copying changelog contributing".split())


class Choice:
    """Chooses the files of a folder by their paths from it.

    *include* and *exclude* are patterns as in `.gitignore`.  A file that matches *exclude* or an ignore file is
    not read.  With *include*, only files that match it are read, whatever their names say.
    """

    def __init__(self, root: Path, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self.root = root
        self._include = _patterns(include, "include") if include else None
        self._exclude = _patterns(exclude, "exclude")
        self._ignored: dict[Path, GitIgnoreSpec] = {}

    def reads(self, path: Path) -> bool:
        return not self._is_ignored(path) and self.wants(path.relative_to(self.root))

    def wants(self, path: PurePath) -> bool:
        """Is a file read, as far as its *path* from the folder says?"""
        if self._exclude.match_file(path.as_posix()):
            return False
        return self._include.match_file(path.as_posix()) if self._include else not _is_no_paper(path)

    def _is_ignored(self, path: Path) -> bool:
        """Of the ignore files in the folders above a file, the nearest that has a pattern for it decides."""
        for folder in path.parents:
            if folder not in self._ignored:
                file = folder / IGNORE
                self._ignored[folder] = _patterns(_lines(file), str(file))
            said = self._ignored[folder].check_file(path.relative_to(folder).as_posix()).include
            if said is not None or folder == self.root:
                return bool(said)
        return False


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8-sig", "replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        log.warning("%s cannot be read: %s", file, error.strerror)
        return []


def _patterns(lines: Iterable[str], where: str) -> GitIgnoreSpec:
    """The patterns of some lines; a line that is none is reported and left out."""
    from pathspec import GitIgnoreSpec

    kept = []
    for number, line in enumerate(lines, 1):
        try:
            GitIgnoreSpec.from_lines([line])
            kept.append(line)
        except ValueError as error:
            log.warning("%s: line %d is no pattern: %s", where, number, error)
    return GitIgnoreSpec.from_lines(kept)


def _is_no_paper(path: PurePath) -> bool:
    """Does its name say that a file is a program, an auxiliary file, or about the folder itself?"""
    return (
        bool(_NO_PAPERS & {path.suffix.lower(), path.name.lower()}) or path.stem.lower() in _ABOUT_THE_FOLDER
    )
