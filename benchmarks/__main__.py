"""`make bench`: run every measurement and write docs/benchmarks.md and docs/formats.md."""

from __future__ import annotations

import os
import platform
import sys

from benchmarks import answers, encode, formats, hostile, ingest, judges, lexical, peers, retrieval, scale, speed
from benchmarks.table import ROOT, SHARED

INTRODUCTION = """# Benchmarks

Written by `make bench`, a section by each script in `benchmarks/`. All with the default configuration: all-MiniLM-L6-v2, no chat
model. The collections are public test collections (see each script); the questions in `benchmarks/data/questions.jsonl`
were written for this project, two thirds for development (`dev`) and one third for reporting (`test`).
"""

if not (SHARED / "papers").is_dir():
    sys.exit(f"the benchmarks need the shared data, and there is no '{SHARED}'")
machine = f"Measured on {os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}."
sections = (speed, encode, peers, ingest, scale, retrieval, lexical, answers, judges, hostile)
report = "\n\n".join([INTRODUCTION + "\n" + machine, *(section.main() for section in sections)])
(ROOT / "docs" / "benchmarks.md").write_text(report + "\n", encoding="utf-8")
formats.main()
print(report)
