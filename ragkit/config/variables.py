"""Where a pipeline file may name environment variables, and which: a file may be a stranger's, and what it
names may be sent to a server that it names too.
"""

from __future__ import annotations

import os
import re
import typing
from collections.abc import Collection, Iterator
from typing import Any

from pydantic import SecretStr

ADDRESSES = frozenset({"base_url", "url", "host", "depot"})
"""Arguments that are the address of a server, whoever made the class."""

_EXPECTED = ADDRESSES | {"api_key", "model"}  # what differs between the places where a pipeline runs
_OURS = "RAGKIT_"

VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*+))?(\}|\Z)")
"""`${NAME}` or `${NAME:-default}`; the last group is empty where the end is missing."""


def objection(word: str, hint: Any, written: Any, allow: Collection[str]) -> str:
    """Why *written*, the value of an argument called *word*, may not name the variables that it does; empty
    if it may.
    """
    allowed = {*allow, *os.environ.get("RAGKIT_ALLOW_ENV", "").replace(",", " ").split()}
    for where, name in _named(word, written):
        if where not in _EXPECTED and not (where == word and _is_secret(hint)):
            return f"'{where}' cannot be taken from an environment variable; only a secret, {', '.join(sorted(_EXPECTED))} can"
        if not name.startswith(_OURS) and name not in allowed:
            return f"environment variable '{name}' does not begin with {_OURS}; if you trust this file, pass --allow-env {name}"
    return ""


def _is_secret(hint: Any) -> bool:
    return hint is SecretStr or any(map(_is_secret, typing.get_args(hint)))


def _named(word: str, written: Any) -> Iterator[tuple[str, str]]:
    """The variables in a value, each with the argument or key whose value it stands in."""
    if isinstance(written, str):
        yield from ((word, name) for name, _, end in VARIABLE.findall(written) if end)
    elif isinstance(written, list):
        for each in written:
            yield from _named(word, each)
    elif isinstance(written, dict):
        for key, value in written.items():
            yield from _named("a key", key)
            yield from _named(str(key), value)
