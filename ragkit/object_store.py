"""Objects in a directory or in a store such as S3, through `obstore`; its errors become sentences of ours."""

from __future__ import annotations

import functools
import importlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote

from ragkit.errors import RagkitError, needs

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

_CLIENT: ClientConfig = {"connect_timeout": "5s", "timeout": "60s"}
_RETRIES: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=10)}


class StoredObject(NamedTuple):
    """Its size in bytes, when it was written, and its ETag, which changes with the content; empty without
    one.
    """

    size: int
    when: datetime
    tag: str


class Objects:
    """The objects below *address*, a directory or an address such as `s3://bucket/path`, by their paths from
    it.

    *name* is what messages call it, such as `depot`.  Errors are raised as *fails*, and as *lacks* for an
    object that is not there, without the store's own words about requests.  Nothing is opened before it is
    needed. Raises `UsageError` if `obstore` is not installed.
    """

    def __init__(self, address: str, name: str, fails: type[RagkitError], lacks: type[RagkitError]) -> None:
        self.address, self._name, self._fails, self._lacks = address, f"the {name} '{address}'", fails, lacks
        with needs("depot", f"a {name}"):
            self._module = importlib.import_module("obstore")
            self._errors = importlib.import_module("obstore.exceptions")

    def put(self, path: str, content: bytes | Path) -> None:
        with self._told(path):
            self._module.put(self._store, path, content)

    def get(self, path: str) -> bytes:
        with self._told(path):
            return bytes(self._module.get(self._store, path).bytes())

    def head(self, path: str) -> StoredObject:
        with self._told(path):
            return _described(self._module.head(self._store, path))

    def piece(self, path: str, start: int, length: int, tag: str = "") -> bytes:
        """Some bytes of an object; with a *tag*, only if it is still its tag."""
        options: dict[str, Any] = {"range": (start, start + length)}
        if tag:
            options["if_match"] = tag
        with self._told(path):
            return bytes(self._module.get(self._store, path, options=options).bytes())

    def list(self, prefix: str | None = None) -> list[tuple[str, StoredObject]]:
        """All objects, those of a folder *prefix* only if there is one."""
        with self._told(prefix or ""):
            return [
                (each["path"], _described(each))
                for some in self._module.list(self._store, prefix=prefix)
                for each in some
            ]

    def delete(self, paths: Sequence[str]) -> None:
        for path in paths:
            with suppress(self._lacks), self._told(path):
                self._module.delete(self._store, path)

    @functools.cached_property
    def _store(self) -> Any:
        scheme, _, path = self.address.rpartition("://")
        if scheme not in ("", "file"):
            plain = os.environ.get("AWS_ALLOW_HTTP", "").lower() == "true"  # which options of ours would hide
            return self._module.store.from_url(
                self.address, client_options={**_CLIENT, "allow_http": plain}, retry_config=_RETRIES
            )
        folder = Path(unquote(path) if scheme else path)
        if not folder.is_dir():  # perhaps nothing is mounted there, so it is not made
            raise self._fails(f"{self._name} is not there; make the directory, or mount it")
        return self._module.store.LocalStore(folder)

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        refused = PermissionError, self._errors.PermissionDeniedError, self._errors.UnauthenticatedError
        try:
            yield
        except FileNotFoundError:
            raise self._lacks(f"{self._name} has no '{path}'") from None
        except refused:
            raise self._fails(f"{self._name} refuses access to '{path}'; see the credentials") from None
        except (self._errors.BaseError, OSError, ValueError) as error:
            said = re.split(r"[<\n]", str(error).strip())[0].strip(" :")
            raise self._fails(f"{self._name} cannot be used: {said}") from None


def written(address: str) -> str:
    """An address whose path is written as the store has it, as the URL that `Objects` takes."""
    return quote(address, safe="/:")


def _described(meta: Any) -> StoredObject:
    return StoredObject(int(meta["size"]), meta["last_modified"], meta.get("e_tag") or "")
