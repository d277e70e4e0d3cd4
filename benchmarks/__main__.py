"""`make bench`: run all or some measurements, and write each into docs/benchmarks.md when it is done.

    python -m benchmarks [speed encode peers ...]
    python -m benchmarks techniques [--only NAME ...] [--help]

The sections of scripts that are not run stay as they are.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
from collections.abc import Mapping

from benchmarks import (
    abstention,
    answers,
    conversations,
    encode,
    falsehoods,
    formats,
    full_papers,
    growth,
    hostile,
    ingest,
    judges,
    keys,
    languages,
    lexical,
    pairs,
    peers,
    probes,
    reordering,
    retrieval,
    scale,
    serve,
    speed,
    strategies,
    techniques,
    training,
    tuning,
    workers,
)
from benchmarks.table import ROOT, SHARED

REPORT = ROOT / "docs" / "benchmarks.md"
SECTIONS = {
    script.__name__.rpartition(".")[2]: script
    for script in (
        speed,
        encode,
        peers,
        ingest,
        workers,
        scale,
        growth,
        keys,
        serve,
        retrieval,
        lexical,
        answers,
        conversations,
        full_papers,
        strategies,
        abstention,
        languages,
        judges,
        falsehoods,
        hostile,
        probes,
        reordering,
        tuning,
        training,
        pairs,
    )
}
PAGE = "techniques"
"""What has a page of its own, docs/techniques.md."""
ASK_A_MODEL = (strategies, languages, reordering, pairs)
"""Those that there is nothing to measure for without a chat model, which RAGKIT_MODEL names."""

INTRODUCTION = """# Benchmarks

Written by `make bench`, a section by each script in `benchmarks/`; `python -m benchmarks NAME` measures one anew. All with the
default configuration (all-MiniLM-L6-v2, no chat model) where nothing else is said. The collections are public test collections
(see each script); the questions in `benchmarks/data/questions.jsonl` were written for this project, two thirds for development
(`dev`) and one third for reporting (`test`).
"""
MACHINE = f"Measured on {os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}."
MARK = "<!-- {} -->"


def known() -> dict[str, str]:
    """The sections of the report as it stands, by script."""
    text = REPORT.read_text(encoding="utf-8") if REPORT.exists() else ""
    parts = re.split(r"^<!-- (\w+) -->\n", text, flags=re.MULTILINE)
    return {name: part.strip() for name, part in zip(parts[1::2], parts[2::2], strict=True)}


def write(sections: Mapping[str, str]) -> None:
    parts = [f"{MARK.format(name)}\n{sections[name]}" for name in SECTIONS if name in sections]
    REPORT.write_text("\n\n".join([INTRODUCTION.strip(), *parts]) + "\n", encoding="utf-8")


def main(names: list[str]) -> None:
    if not (SHARED / "papers").is_dir():
        sys.exit(f"the benchmarks need the shared data, and there is no '{SHARED}'")
    for name in names or (*SECTIONS, PAGE):
        if name == PAGE:
            print(techniques.main(), flush=True)
            continue
        if SECTIONS[name] in ASK_A_MODEL and not os.environ.get("RAGKIT_MODEL"):
            print(f"{name}: left out, as RAGKIT_MODEL names no chat model\n")
            continue
        section = SECTIONS[name].main()
        print(f"{section}\n", flush=True)
        write({**known(), name: f"{section}\n\n{MACHINE}"})
    if not names:
        formats.main()


if __name__ == "__main__":
    if sys.argv[1:2] == [PAGE]:
        print(techniques.main(sys.argv[2:]))
        sys.exit()
    parser = argparse.ArgumentParser(description="Measure, and write docs/benchmarks.md.")
    parser.add_argument(
        "sections", nargs="*", metavar="section", help=f"of {', '.join((*SECTIONS, PAGE))} (default: all)"
    )
    given = parser.parse_args().sections
    if unknown := [name for name in given if name not in (*SECTIONS, PAGE)]:
        parser.error(f"there is no section '{unknown[0]}'; there are {', '.join(SECTIONS)}")
    main(given)
