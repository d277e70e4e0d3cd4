"""API keys: a file of their hashes, what each may do, and how much of it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from ragkit import private
from ragkit.errors import UsageError

_MINUTE, _DAY = 60.0, 86_400.0  # seconds
_MANY = 10_000  # periods, beyond which those that are over are forgotten


class Most(BaseModel):
    """How many questions, searches and checks a client may ask for in a minute and in a day; None: any number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    a_minute: PositiveInt | None = None
    a_day: PositiveInt | None = None


class ApiKey(Most):
    """A key: its hash, whether it may `write` (upload and delete), and how much it may ask."""

    name: str
    sha256: str
    scopes: tuple[Literal["read", "write"], ...] = ("read",)


class ApiKeys(BaseModel):
    """The keys in a file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: tuple[ApiKey, ...] = ()

    def of(self, given: str) -> ApiKey | None:
        """The key that was given; every one is compared, so that the time says nothing."""
        found, hashed = None, _hash(given)
        for key in self.keys:
            if hmac.compare_digest(key.sha256, hashed):
                found = key
        return found


def read(path: Path) -> ApiKeys:
    """The keys of a file.  Raises `UsageError` for a file that has none or cannot be read."""
    try:
        found = ApiKeys.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"'{path}' cannot be read: {error.strerror}; `ragkit serve --keys {path} --add-key NAME` makes it"
        ) from None
    except ValidationError as error:
        said = error.errors()[0]
        place = ".".join(map(str, said["loc"]))
        raise UsageError(f"'{path}' is no file of keys: {place}: {said['msg']}") from None
    if not found.keys:
        raise UsageError(f"'{path}' has no key; `ragkit serve --keys {path} --add-key NAME` adds one")
    return found


def add(path: Path, name: str) -> str:
    """Add a key to a file, and return it: nobody can read it from the file.  `NAME:write` may upload and delete.

    Raises `UsageError` for a name that is taken, and a file that is none of keys.
    """
    name, _, scope = name.partition(":")
    if not name.strip() or scope not in ("", "read", "write"):
        raise UsageError(f"'{name}:{scope}' is no key; write NAME or NAME:write")
    known = read(path) if path.exists() else ApiKeys()
    if any(key.name == name for key in known.keys):
        raise UsageError(f"there is a key '{name}' already; choose another name, or remove it from '{path}'")
    made = f"rk-{secrets.token_urlsafe(32)}"
    scopes: tuple[Literal["read", "write"], ...] = ("read", "write") if scope == "write" else ("read",)
    whole = ApiKeys(keys=(*known.keys, ApiKey(name=name, sha256=_hash(made), scopes=scopes)))
    try:
        with open(path, "w", opener=private.opener) as file:
            file.write(whole.model_dump_json(indent=2, exclude_none=True) + "\n")
    except OSError as error:
        raise UsageError(f"'{path}' cannot be written: {error.strerror}; choose another file") from None
    return made


def _hash(key: str) -> str:
    """Keys are 256 random bits, so that a plain hash of one cannot be reversed by guessing."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class Allowance:
    """Counts the questions of each client, in minutes and days that begin with its first question.

    `used`: when a period of a client began, and how many questions were asked in it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.used: dict[tuple[str, float], tuple[float, int]] = {}

    def wait(self, client: str, most: Most) -> float:
        """Count a question; seconds to wait if it is one too many, which is not counted."""
        now, waits = self.clock(), 0.0
        counted = {}
        for period, number in ((_MINUTE, most.a_minute), (_DAY, most.a_day)):
            if number is None:
                continue
            began, asked = self.used.get((client, period), (now, 0))
            if began + period <= now:
                began, asked = now, 0
            if asked >= number:
                waits = max(waits, began + period - now)
            counted[client, period] = (began, asked + 1)
        if not waits:
            self.used |= counted
            if len(self.used) > _MANY:
                self._forget(now)
        return waits

    def _forget(self, now: float) -> None:
        """Forget the periods that are over."""
        self.used = {key: used for key, used in self.used.items() if used[0] + key[1] > now}
