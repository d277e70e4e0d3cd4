"""Draws `docs/terminal.svg`: an answer and a check over the example papers, as a terminal shows them.

python examples/picture.py CORPUS      # the corpus that `make demo` makes, for example
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
WIDTH = 108
ASKED = 'ragkit ask "How many parameters does BERT-large have?"'
CLAIMED = "BERT-base has 12 layers. BERT-large has 240 million parameters."


def printed(*arguments: str, given: str = "") -> Text:
    """What ragkit prints in colour, without the folders of this machine."""
    coloured = {"FORCE_COLOR": "1", "COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    done = subprocess.run(
        [sys.executable, "-m", "ragkit", *arguments],
        input=given,
        capture_output=True,
        text=True,
        env=os.environ | coloured,
        cwd=ROOT,
    )
    if done.returncode not in (0, 4):
        raise SystemExit(done.stderr)
    return Text.from_ansi(done.stdout.replace(f"{ROOT}/", "").rstrip())


def drawn(corpus: str) -> str:
    """The picture as SVG; fonts are those of the page, none is fetched."""
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    console.print(Text(f"$ {ASKED}", style="bold"))
    console.print(printed("ask", ASKED.split('"')[1], "--corpus", corpus))
    console.print()
    console.print(Text(f'$ echo "{CLAIMED}" | ragkit check -', style="bold"))
    console.print(printed("check", "-", "--corpus", corpus, given=CLAIMED))
    svg = console.export_svg(title="ragkit", unique_id="ragkit")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


if __name__ == "__main__":
    (ROOT / "docs" / "terminal.svg").write_text(drawn(sys.argv[1]) + "\n", encoding="utf-8")
