"""The depot: a directory or an object store through which machines ship sealed generations of indexes to each other.

    CORPUS/INDEX/GENERATION/FILE   a file, below the generation that was the first to have it; it never changes
    CORPUS/INDEX/GENERATION.seal   size, digest and place of each file of a generation, after a digest of all that

A seal is put when all files are there, so a generation without one is never read.  Files that the generation before has
shipped are named in the seal and not put again.  Whoever fetches checks every digest, beside the generations that the
machine has, and renames the whole into its place.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeGuard

from pydantic import TypeAdapter

from ragkit import platform, private
from ragkit.corpus import Corpus
from ragkit.errors import DepotError, DepotLacks
from ragkit.index import Place
from ragkit.index.folder import FolderIndex
from ragkit.object_store import Objects, StoredObject

log = logging.getLogger("ragkit")

GRACE = timedelta(hours=1)
"""How long a generation is kept that two later ones have replaced: a reader may be fetching it."""

_PIECE = 16 * 2**20  # bytes that are fetched together
_PAUSE = 0.2  # seconds between two looks whether another process has fetched
_NAME = re.compile(r"\.?[\w-][\w.-]*", re.ASCII)
"""Names of the files of an index; what a seal says may have been written by somebody else."""
_OURS = re.compile(r"[^/]+/[^/]+/\d{8,}(\.seal|/[^/]+)")


class ShippedFile(NamedTuple):
    """A file in the depot: its size in bytes, its digest, and below which generation it is."""

    size: int
    digest: str
    generation: int


_SEALED = TypeAdapter(dict[str, ShippedFile])


class Depot:
    """The depot at *address*, for the corpus with this *identity*; nothing is opened before it is needed.

    Methods raise `DepotError` if it cannot be reached, `DepotLacks` if something is missing there or damaged.
    """

    def __init__(self, address: str, identity: str) -> None:
        self.name, self.identity = address, identity
        self._objects = Objects(address, "depot", DepotError, DepotLacks)

    def ship(self, index: FolderIndex, place: Place, last: Place | None = None) -> int:
        """Put the sealed generation at *place* there, but for the files that the *last* one has shipped.

        Returns how many bytes were put.
        """
        name, known = place.root.name, dict[str, ShippedFile]()
        there = self._there(name)
        with suppress(DepotLacks):
            known = self.files(name, last.generation) if last else {}
        return self._put(index, place, {f: s for f, s in known.items() if self._is_in(there, name, f, s)})

    def mend(self, index: FolderIndex, place: Place) -> int:
        """Put again what is missing or damaged there of the sealed generation at *place*; all digests are compared.

        Returns how many bytes were put.
        """
        name, whole, known = place.root.name, dict[str, ShippedFile](), dict[str, ShippedFile]()
        there = self._there(name)
        with suppress(DepotLacks):
            known = self.files(name, place.generation)
        for file, shipped in known.items():
            if not self._is_in(there, name, file, shipped):
                continue
            with suppress(DepotLacks):
                for _ in self._pieces(self._path(name, file, shipped), shipped):
                    pass
                whole[file] = shipped
        if {file: (s.size, s.digest) for file, s in whole.items()} == index.contents(place):
            return 0
        return self._put(index, place, whole)

    def _put(self, index: FolderIndex, place: Place, known: Mapping[str, ShippedFile]) -> int:
        """Put the files at *place* that are not *known* to be there, then the seal."""
        name, put, files = place.root.name, 0, dict[str, ShippedFile]()
        for file, (size, digest) in index.contents(place).items():
            if file in known and known[file].digest == digest:
                files[file] = known[file]
                continue
            files[file] = ShippedFile(size, digest, place.generation)
            self._objects.put(self._path(name, file, files[file]), place.folder / file)
            put += size
        said = json.dumps(files).encode()
        self._objects.put(self._seal(name, place.generation), f"{_digest(said)}\n".encode() + said)
        log.info("put %d bytes of index %s into the depot '%s'", put, name, self.name)
        return put

    def fetch(self, index: FolderIndex, place: Place) -> None:
        """Fetch the generation at *place*, beside the others of its root: it is there whole afterwards, or not at all.

        Files that this machine has are linked, also those that an earlier call fetched before its process was killed.
        One process of a machine fetches at a time.
        """
        folder, name = place.root / "fetching", place.root.name
        try:
            with _alone(place.root):
                if index.is_sound(place):  # another process was quicker
                    return
                files = self.files(name, place.generation)
                if folder.is_symlink():
                    folder.unlink()
                for path in folder.iterdir() if folder.exists() else ():
                    if path.name not in files:
                        path.unlink()
                private.make_folder(folder)
                here = index.intact(place.root)
                for file, shipped in files.items():
                    path = folder / file
                    if (
                        path.exists()
                        and path.stat().st_size == shipped.size
                        and index.digest(path) == shipped.digest
                    ):
                        continue
                    path.unlink(missing_ok=True)
                    if shipped.digest in here:
                        platform.HERE.link(here[shipped.digest], path)
                        continue
                    with open(path, "xb", opener=private.unlinked) as out:
                        out.writelines(self._pieces(self._path(name, file, shipped), shipped))
                index.adopt(folder, place, {file: shipped.digest for file, shipped in files.items()})
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise DepotError(
                f"what the depot '{self.name}' has cannot be kept in '{place.root}': {error.strerror or error}"
            ) from None

    def _pieces(self, path: str, shipped: ShippedFile) -> Iterator[bytes]:
        """The content of a file in the depot.  Raises `DepotLacks`, at the end, if it is not what its seal says."""
        found, read = hashlib.blake2b(), 0
        if self._objects.head(path).size != shipped.size:
            raise DepotLacks(f"'{path}' in the depot '{self.name}' has another size than its seal says")
        while read < shipped.size:
            if not threading.main_thread().is_alive():
                raise DepotError("the program ends before all was fetched")
            piece = self._objects.piece(path, read, min(_PIECE, shipped.size - read))
            if not piece:
                break
            found.update(piece)
            read += len(piece)
            yield piece
        if found.hexdigest() != shipped.digest:
            raise DepotLacks(
                f"'{path}' in the depot '{self.name}' is damaged: its digest is not that of its seal"
            )

    def files(self, name: str, generation: int) -> dict[str, ShippedFile]:
        """The files of a generation of the index called *name*, by its seal."""
        path = self._seal(name, generation)
        digest, _, said = self._objects.get(path).partition(b"\n")
        try:
            files = _SEALED.validate_json(said)
        except ValueError:
            files = {}
        if digest.decode(errors="replace") != _digest(said) or (not files and said != b"{}"):
            raise DepotLacks(f"'{path}' in the depot '{self.name}' is damaged")
        if odd := [file for file in files if not _NAME.fullmatch(file)]:
            raise DepotLacks(
                f"'{path}' in the depot '{self.name}' names a file '{odd[0]}', which no index has"
            )
        return files

    def problem(self, name: str, generation: int) -> str:
        """Why this generation of an index cannot be fetched; empty if all its files are there, in their sizes."""
        try:
            there, files = self._there(name), self.files(name, generation)
        except DepotLacks as error:
            return str(error)
        lost = [file for file, shipped in files.items() if not self._is_in(there, name, file, shipped)]
        return (
            f"the depot '{self.name}' lacks {len(lost)} of the {len(files)} files of index {name}"
            if lost
            else ""
        )

    def sweep(self, name: str, keep: Collection[int]) -> None:
        """Delete the generations before those to *keep* that were replaced longer than `GRACE` ago, by the depot's clock.

        So is what a writer that was killed has left.  Later generations stay: another process may have put them there.
        """
        there = self._there(name)
        sealed = {_generation(path): each.when for path, each in there.items() if path.endswith(".seal")}
        now = max(sealed.values(), default=datetime.now(UTC))
        over = {
            each
            for each, later in pairwise(sorted(sealed))
            if each < min(keep) and sealed[later] < now - GRACE
        }
        left = [
            path
            for path, each in there.items()
            if not path.endswith(".seal")
            and (number := _generation(path)) < max(keep)
            and (number in over or (number not in sealed and each.when < now - GRACE))
        ]
        if not over and not left:
            return
        wanted = {
            self._path(name, file, shipped)
            for each in sealed.keys() - over
            for file, shipped in self.files(name, each).items()
        }
        self._objects.delete(
            [self._seal(name, each) for each in sorted(over)]
        )  # first: then nobody reads the rest
        self._objects.delete([path for path in left if path not in wanted])

    def _path(self, name: str, file: str, shipped: ShippedFile) -> str:
        return f"{self.identity}/{name}/{shipped.generation:08d}/{file}"

    def _seal(self, name: str, generation: int) -> str:
        return f"{self.identity}/{name}/{generation:08d}.seal"

    def _there(self, name: str) -> dict[str, StoredObject]:
        """All that there is of an index, by its path."""
        return {p: each for p, each in self._objects.list(f"{self.identity}/{name}") if _OURS.fullmatch(p)}

    def _is_in(self, there: Mapping[str, StoredObject], name: str, file: str, shipped: ShippedFile) -> bool:
        found = there.get(self._path(name, file, shipped))
        return found is not None and found.size == shipped.size


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Let the other processes of this machine that fetch there wait, or wait for them."""
    private.make_folder(root)
    with open(root / "fetching.lock", "ab", opener=private.unlinked) as lock:
        while True:
            try:
                platform.HERE.lock(lock)
                break
            except BlockingIOError:
                if not threading.main_thread().is_alive():
                    raise DepotError("the program ends before another process has fetched all") from None
                time.sleep(_PAUSE)
        yield


def depot_of(corpus: Corpus) -> Depot | None:
    """The depot through which the indexes of *corpus* are shipped, if there is one."""
    store = corpus.store
    return Depot(store.depot, store.identity or "none") if store.depot else None


def is_shipped(index: object) -> TypeGuard[FolderIndex]:
    """Is this an index whose generations a depot takes?  Those in which files change are not."""
    return isinstance(index, FolderIndex) and not index.changing


def _digest(said: bytes) -> str:
    return hashlib.blake2b(said).hexdigest()


def _generation(path: str) -> int:
    return int(path.split("/")[2].partition(".")[0])
