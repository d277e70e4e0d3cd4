"""`make check`: known vulnerabilities and licences of all that an installed ragkit brings along.

Fails if pip-audit reports an advisory that is not accepted below, or if the licence of a runtime dependency
(of the extras, too) or of a vendored library is not allowed, or if an exception to that is not needed any more.
Where the advisory service cannot be reached, a line says so, and only the licences are checked.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from email.message import Message
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple, cast

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


class Accepted(NamedTuple):
    """An advisory that does not concern ragkit: since when it is accepted, and why."""

    package: str
    date: str
    reason: str


_SERVER = (
    "in Chroma's server, which ragkit never starts: it opens Chroma inside its process; no release mends it"
)
ACCEPTED: Mapping[str, Accepted] = {
    "GHSA-f4j7-r4q5-qw2c": Accepted(
        "chromadb", "2026-11-26", f"code injection before authentication {_SERVER}"
    ),
    "GHSA-36p7-vc44-83pf": Accepted("chromadb", "2026-11-26", f"code injection by an update {_SERVER}"),
    "GHSA-2wm9-hf6c-p5cr": Accepted("chromadb", "2026-11-26", f"missing separation of tenants {_SERVER}"),
    "GHSA-xph7-9rjv-w5fr": Accepted("chromadb", "2026-11-26", f"permissions without a scope {_SERVER}"),
}

ALLOWED = re.compile(
    r"MIT|BSD|Apache|\bISC\b|Zlib|CC0-1\.0|BSL-1\.0|CNRI-Python|PSF|Python Software Foundation|MPL|Mozilla Public"
)
"""Permissive licences, and the MPL, which concerns changes to the package's own files."""
REFUSED = re.compile(r"\bA?L?GPL|GNU|SSPL|BUSL|Commons.Clause|non.?commercial", re.IGNORECASE)
EXTRAS = ("cite", "depot", "evaluate", "otel", "postgres", "qdrant", "ray", "serve", "train", "tune")
"""All that users install, but `docling`, which brings many packages and is not installed where this runs."""
_LIBRARY = (
    "of the optional extra `postgres`, which a user installs; it is imported as a library, and unchanged"
)
EXCEPTIONS: Mapping[tuple[str, str], str] = {
    ("psycopg", "LGPL-3.0-only"): _LIBRARY,
    ("psycopg-binary", "LGPL-3.0-only"): _LIBRARY,
}
"""Packages whose licence is not allowed in general, with this licence, and why they are accepted."""
VENDORED = Path(__file__).parents[1] / "ragkit" / "serve" / "page" / "vendor"
"""What the page brings along, a folder each with its LICENSE."""
LICENCE_TEXT = re.compile(
    r"Apache License\s+Version 2\.0|MIT License|Permission is hereby granted, free of charge"
)


def findings(report: Mapping[str, Any]) -> list[str]:
    """A sentence for each advisory of pip-audit's *report* that is not accepted."""
    return [
        f"{package['name']} {package['version']}: {advisory['id']}"
        f" (mended in {', '.join(advisory['fix_versions']) or 'no release'}); upgrade it, or accept the advisory in {__file__}"
        for package in report["dependencies"]
        for advisory in package.get("vulns", ())
        if not any(
            ACCEPTED[name].package == package["name"]
            for name in (advisory["id"], *advisory.get("aliases", ()))
            if name in ACCEPTED
        )
    ]


def licence(package: Distribution) -> str:
    """The licence that a package names: an SPDX expression, else its classifiers, else the beginning of its
    text.
    """
    said = cast(Message, package.metadata)  # whose type promises less than it has
    kinds = [c.rpartition("::")[2].strip() for c in said.get_all("Classifier", []) if c.startswith("License")]
    return said.get("License-Expression") or " / ".join(kinds) or (said.get("License") or "")[:60] or "none"


def runtime(name: str, extras: Sequence[str] = ()) -> Iterator[Distribution]:
    """The package called *name* and all that it needs, as far as it is installed, each once."""
    known: set[tuple[str, str]] = set()
    given: set[str] = set()
    waiting = [(name, extra) for extra in ("", *extras)]
    while waiting:
        asked, extra = waiting.pop()
        if (canonicalize_name(asked), extra) in known:
            continue
        known.add((canonicalize_name(asked), extra))
        try:
            found = distribution(asked)
        except PackageNotFoundError:  # an extra that is not installed, or another system's
            continue
        if canonicalize_name(asked) not in given:
            given.add(canonicalize_name(asked))
            yield found
        for needed in map(Requirement, found.requires or ()):
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(needed.name, each) for each in ("", *needed.extras)]


def refused_licences() -> list[str]:
    """A sentence for each runtime dependency whose licence is not allowed, and for each exception without use."""
    refused = {
        (package.name, named): package.version
        for package in runtime("ragkit", EXTRAS)
        if not ALLOWED.search(named := licence(package)) or REFUSED.search(named)
    }
    return [
        f"{name} {version} has the licence '{named}', which is not allowed"
        for (name, named), version in refused.items()
        if (name, named) not in EXCEPTIONS
    ] + [
        f"{name} is not installed with the licence '{named}', which is accepted for it in {__file__}; remove that"
        for name, named in sorted(EXCEPTIONS.keys() - refused.keys())
    ]


def refused_vendored(folder: Path = VENDORED) -> list[str]:
    """A sentence for each vendored library that has no licence beside it, or one that is not allowed."""
    texts = {each.name: each / "LICENSE" for each in sorted(folder.iterdir())}
    return [
        f"the vendored {name} has no LICENSE beside it that is allowed"
        for name, text in texts.items()
        if not text.is_file() or not LICENCE_TEXT.search(text.read_text(encoding="utf-8")[:1000])
    ]


def main() -> int:
    audit = [sys.executable, "-m", "pip_audit", "--local", "--format", "json", "--progress-spinner", "off"]
    asked = subprocess.run(audit, capture_output=True, text=True, check=False)
    problems = refused_licences() + refused_vendored()
    try:
        problems += findings(json.loads(asked.stdout))
    except ValueError:
        reason = (asked.stderr.strip().splitlines() or ["it says nothing"])[-1]
        print(
            f"the advisory service cannot be reached, so known vulnerabilities are not checked: {reason[:200]}"
        )
    print(
        "\n".join(problems)
        or "no advisory that is not accepted, and no licence that is not allowed, was found"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
