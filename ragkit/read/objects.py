"""Files in object stores (`s3://`, `gs://`, `az://`): folders are listed, and files are fetched to be read.

An address is written as the store has it, without percent-encoding: `s3://bucket/My papers/a.pdf`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from ragkit.document import digest
from ragkit.errors import LoadError, Unreachable, UsageError
from ragkit.object_store import Objects, StoredObject, written

_ADDRESS = re.compile(r"(s3|gs|az)://[^/]+(/.*)?", re.DOTALL)
_FILE = "file://"
_PIECE = 16 * 2**20  # bytes that are fetched together


class _NoObject(LoadError):
    """The store has no such object."""


def is_object(uri: str | Path) -> bool:
    """Is it an address in an object store?"""
    return isinstance(uri, str) and _ADDRESS.fullmatch(uri) is not None


def parted(paths: Sequence[str | Path]) -> tuple[list[str], list[str | Path]]:
    """The addresses in object stores among *paths*, and the other ones."""
    return [str(path) for path in paths if is_object(path)], [path for path in paths if not is_object(path)]


def local(path: str | Path) -> str | Path:
    """The path that a `file://` address means; any other one as it is."""
    if isinstance(path, str) and path.startswith(f"{_FILE}/"):
        return Path(unquote(path.removeprefix(_FILE)))
    return path


def is_below(uri: str, address: str) -> bool:
    """Is *uri* the object at *address*, or in the folder there?"""
    return uri == address or uri.startswith(f"{address.rstrip('/')}/")


def listed(address: str) -> dict[str, str]:
    """The object at *address*, or those in the folder there, in order, each with its version.

    What is hidden in the folder is left out.  Raises `UsageError` if nothing is there, and `Unreachable`.
    """
    if not address.endswith("/"):
        try:
            return {address: version(address)}
        except _NoObject:
            pass  # it may be a folder
    root = address.rstrip("/")
    found = {f"{root}/{path}": _version(each) for path, each in _store(root).list() if not _is_hidden(path)}
    if not found:
        raise UsageError(f"there is no object or folder '{address}', or it is empty")
    return dict(sorted(found.items()))


def version(uri: str) -> str:
    """What changes with the content of an object.  Raises `LoadError` if there is none, and `Unreachable`."""
    store, name = _place(uri)
    return _version(store.head(name))


@contextmanager
def fetched(uri: str, megabytes: float) -> Iterator[Path]:
    """A copy of an object in a private folder, which is deleted with it afterwards.

    Raises `LoadError` if there is none or it is larger than so many *megabytes*, and `Unreachable`.
    """
    store, name = _place(uri)
    found, done = store.head(name), 0
    if found.size > megabytes * 1e6:
        raise LoadError(
            f"it is larger than {megabytes:g} MB (`megabytes_a_file` of the loader), and is not fetched"
        )
    with tempfile.TemporaryDirectory(prefix="ragkit-") as folder:
        # as for other addresses: nothing that a file system or a reader of names could stumble over
        path = Path(folder) / (re.sub(r"[^\w.-]+", "-", name).strip(".-")[-100:] or "paper")
        try:
            with path.open("xb") as file:
                while done < found.size:
                    piece = store.piece(name, done, min(_PIECE, found.size - done), found.tag)
                    if not piece:
                        raise Unreachable("the store ends it too early; ingest it again")
                    done += file.write(piece)
        except OSError as error:
            raise Unreachable(f"it cannot be kept in '{folder}' to be read: {error.strerror}") from None
        yield path


def _place(uri: str) -> tuple[Objects, str]:
    """The store of the folder that an object is in, and its name there."""
    folder, _, name = uri.rpartition("/")
    if folder.endswith(":/") or not name:
        raise _NoObject(f"'{uri}' is a bucket or a folder, and no object")
    return _store(folder), name


def _store(folder: str) -> Objects:
    return Objects(written(folder), "store", Unreachable, _NoObject)


def _version(found: StoredObject) -> str:
    """By its tag, which some stores quote only sometimes; by the time where there is none."""
    return digest(str(found.size), found.tag.strip('"') or found.when.isoformat())


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") or not part for part in path.split("/"))
