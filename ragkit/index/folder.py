"""Indexes in files: each generation is a sealed folder beside the corpus.

A new generation shares with the last one all files that never change once they are written, as hard links, so
what it costs to write is what is new.  A seal notes the size, time and digest of each file, so that one that
was touched since is noticed before it is opened.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import stat
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from ragkit import platform, private
from ragkit.document import Key
from ragkit.errors import CorpusError
from ragkit.index import Builder, Index, Place
from ragkit.models.embeddings import Vectors

_OURS = re.compile(r"\d{8,}(\.seal|\.\d+\.new)?")
"""What is in the folder of an index: generations, their seals, and seals that are being written."""


class FolderIndex(Index):
    """An index whose generations are folders.

    `write` fills a folder; files that are already in it must stay unchanged or be replaced whole.
    """

    changing: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The SQLite files that opening the index changes, and in each the tables that change.

    If there are any, files are copied instead of linked.
    """

    @abstractmethod
    def write(self, place: Place) -> Builder:
        """A builder in the folder at *place*, which holds the contents of the last generation, or nothing."""

    def build(self, last: Place | None, place: Place) -> Builder:
        _demand_no_links(place.root)
        _delete(place.folder)  # of a process that was killed
        _delete(place.seal)
        private.make_folder(place.folder)
        for path in self.files(last) if last else ():
            new = place.folder / path.relative_to(last.folder) if last else path
            new.parent.mkdir(parents=True, exist_ok=True)
            _copied(path, new) if self.changing else platform.HERE.link(path, new)
        return _Sealing(self, last, place)

    @contextmanager
    def writable(self, place: Place) -> Iterator[Place]:
        """The generation at *place* in a temporary folder, for a library that must write where it only reads.

        Files that never change are symbolic links.
        """
        with TemporaryDirectory(prefix="ragkit-") as folder:
            there = Place(Path(folder), place.generation)
            for path in self.files(place):
                new = there.folder / path.relative_to(place.folder)
                new.parent.mkdir(parents=True, exist_ok=True)
                _copied(path, new) if self.changing else new.symlink_to(path.resolve())
            yield there

    def files(self, place: Place) -> list[Path]:
        """The files of a generation that matter; none is reached by way of a symbolic link."""
        if place.folder.is_symlink():
            return []
        found = (Path(folder) / name for folder, _, names in os.walk(place.folder) for name in names)
        return sorted(p for p in found if stat.S_ISREG(p.lstat().st_mode) and p.suffix != ".lock")

    def is_sound(self, place: Place) -> bool:
        _demand_no_links(place.root)
        try:
            moved, there = False, set(self.files(place))
            for name, (size, changed, digest) in _sealed(place).items():
                if (path := place.folder / name) not in there:
                    return False
                if _stamp(path) == [size, changed]:
                    continue
                if self.digest(path) != digest:
                    return False
                moved = True
        except (OSError, ValueError, sqlite3.DatabaseError):
            return False
        if moved:
            self.reseal(place)
        return True

    def seal(self, last: Place | None, place: Place) -> None:
        """Record size, time and digest of the files at *place*.

        Those of files that it shares with the *last* generation are taken over from there.
        """
        for path in (place.folder, *place.folder.rglob("*")):
            private.close_to_others(path)
        known = _sealed(last) if last else {}
        seal: dict[str, list[Any]] = {}
        for path in self.files(place):
            name = str(path.relative_to(place.folder))
            before = known.get(name)
            shared = before and last and before[:2] == _stamp(path) and path.samefile(last.folder / name)
            seal[name] = before if before and shared else [*_stamp(path), self.digest(path)]
        _write_seal(place, seal)

    def reseal(self, place: Place) -> None:
        """Note when and how large the files are, after they were opened or copied."""
        try:
            held = {
                name: [*_stamp(place.folder / name), digest]
                for name, (_, _, digest) in _sealed(place).items()
            }
            _write_seal(place, held)
        except (OSError, ValueError):
            pass  # it is not sealed yet, or this process may only read

    def sweep(self, root: Path, keep: Collection[int]) -> None:
        _sweep(root, lambda generation: generation not in keep)

    def sweep_before(self, root: Path, generation: int) -> None:
        """Delete the generations before this one; a later one may be written at the moment."""
        _sweep(root, lambda each: each < generation)

    def contents(self, place: Place) -> dict[str, tuple[int, str]]:
        """The size in bytes and the digest of each file of a sealed generation, by its name.

        Raises `OSError` or `ValueError` if it is not sealed.
        """
        return {name: (size, digest) for name, (size, _, digest) in _sealed(place).items()}

    def intact(self, root: Path) -> dict[str, Path]:
        """The files of all generations in *root* that are as they were sealed, by their digests."""
        found = {}
        for path in root.glob("*.seal"):
            place = Place(root, int(path.stem))
            with suppress(OSError, ValueError):
                for name, (size, changed, digest) in _sealed(place).items():
                    with suppress(OSError):
                        if _stamp(place.folder / name) == [size, changed]:
                            found[digest] = place.folder / name
        return found

    def adopt(self, folder: Path, place: Place, digests: Mapping[str, str]) -> None:
        """Make *folder*, whose files have these *digests*, the generation at *place*."""
        _delete(place.seal)  # without it, nobody takes the rest for a generation
        _delete(place.folder)
        for path in (folder, *folder.rglob("*")):
            private.close_to_others(path)
        folder.rename(place.folder)
        _write_seal(place, {name: [*_stamp(place.folder / name), each] for name, each in digests.items()})

    def digest(self, path: Path) -> str:
        """That of a file: of its bytes, or of what it holds if opening it changes it."""
        if path.name in self.changing:
            return _digest_of_database(path, self.changing[path.name])
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()


def _demand_no_links(root: Path) -> None:
    """Refuse an index whose folder is somewhere else: what is there may be somebody's, and not an index."""
    for path in (root, root.parent):
        if path.is_symlink():
            raise CorpusError(f"'{path}' is a symbolic link, which is not followed; delete the link")


def _sweep(root: Path, unwanted: Callable[[int], bool]) -> None:
    _demand_no_links(root)
    for path in root.iterdir() if root.exists() else ():
        if _OURS.fullmatch(path.name) and unwanted(int(path.name.partition(".")[0])):
            _delete(path)


def _delete(path: Path) -> None:
    """Delete a file or a folder if it is there; of a symbolic link, only the link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


class _Sealing(Builder):
    """A builder that, at the end, seals the folder too."""

    def __init__(self, index: FolderIndex, last: Place | None, place: Place) -> None:
        self.index, self.last, self.place = index, last, place
        self.inner = index.write(place)

    def add(self, keys: Sequence[Key], vectors: Vectors | None = None) -> None:
        self.inner.add(keys, vectors)

    def remove(self, passages: Collection[str]) -> None:
        self.inner.remove(passages)

    def seal(self) -> None:
        self.inner.seal()
        self.index.seal(self.last, self.place)


def _copied(source: Path, target: Path) -> None:
    """Copy a file; a database as one that may be open elsewhere."""
    if source.suffix != ".sqlite3":
        shutil.copy2(source, target)
        return
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)


def _stamp(path: Path) -> list[int]:
    known = path.stat()
    return [known.st_size, known.st_mtime_ns]


def _sealed(place: Place) -> dict[str, list[Any]]:
    """Size, time and digest of each file of a generation, by its name."""
    return json.loads(place.seal.read_text())  # type: ignore[no-any-return]


def _write_seal(place: Place, held: Mapping[str, object]) -> None:
    new = place.seal.with_suffix(f".{os.getpid()}.new")
    _delete(new)
    try:
        with open(new, "x", opener=private.unlinked) as file:
            file.write(json.dumps(held))
        new.replace(place.seal)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _digest_of_database(path: Path, but: Sequence[str]) -> str:
    """What a database holds, whatever its pages look like, but for some tables."""
    whole = hashlib.blake2b()
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        if database.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("its pages are damaged")
        tables = database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        ).fetchall()
        for [table] in tables:
            if table not in but and not table.startswith("sqlite_"):
                quoted = table.replace('"', '""')
                for row in database.execute(f'SELECT * FROM "{quoted}"'):
                    whole.update(repr(row).encode())
    return whole.hexdigest()
