"""Fetched files, kept in a folder of the corpus, so that they can be read again and opened without a network."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from ragkit import private
from ragkit.document import digest
from ragkit.errors import CorpusError, LoadError
from ragkit.read.addresses import Address, file_name
from ragkit.read.fetch import Fetcher

log = logging.getLogger("ragkit")


class Downloads:
    """The files in `downloads` below the folder of a corpus, each in a folder of its own."""

    def __init__(self, corpus: Path) -> None:
        self.folder = corpus.resolve() / "downloads"

    def kept(self, address: Address) -> Path | None:
        """The file of an address that was fetched before."""
        folder = self._of(address)
        if self.folder.is_symlink() or folder.is_symlink() or not folder.is_dir():
            return None
        files = (path for path in folder.iterdir() if not path.name.startswith("."))
        return next((path for path in files if path.is_file() and not path.is_symlink()), None)

    def get(self, address: Address, fetcher: Fetcher) -> Path:
        """The file of an address, fetched if it is new or has changed.

        If it cannot be fetched, the one that is kept is used, with a warning; without one, `LoadError` is raised.
        """
        kept = self.kept(address)
        try:
            fetched = address.fetch(fetcher, kept.stat().st_mtime if kept else None)
        except LoadError as error:
            if not kept:
                raise
            log.warning("%s: %s; the file that was fetched before is used", address.url, error)
            return kept
        if fetched is None and kept:
            return kept
        if fetched is None:
            raise LoadError("the server says that it has not changed, although it was never fetched")
        folder = self._of(address)
        path = kept or folder / file_name(address, fetched)
        new = folder / ".new"
        try:
            for each in (self.folder, folder):
                private.make_folder(each)
                if each.is_symlink():
                    raise CorpusError(f"'{each}' is a symbolic link, which is not followed; delete it")
            with open(new, "wb", opener=private.unlinked) as file:
                file.write(fetched.content)
            new.replace(path)
        except OSError as error:
            raise CorpusError(f"cannot write to '{folder}': {error.strerror}") from None
        return path

    def drop(self, path: Path) -> None:
        """Delete a fetched file that is no paper."""
        path.unlink(missing_ok=True)
        with suppress(OSError):  # there may be something else in it
            path.parent.rmdir()

    def _of(self, address: Address) -> Path:
        return self.folder / digest(address.url)
