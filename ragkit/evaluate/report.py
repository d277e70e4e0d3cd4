"""An evaluation as one self-contained HTML page: tables, plots, and every question with its outcome."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).with_name("report.html")


def html(data: dict[str, Any], title: str = "ragkit evaluation") -> str:
    """The page for what `Evaluation.as_json()` gives.

    Papers and answers are not to be trusted: in the data no `<` is left, so that nothing can end the script
    element that holds them, and the page puts them in as text only.
    """
    parts = {"title": escape(title), "data": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")}
    return re.sub(
        r"\{\{(title|data)\}\}", lambda found: parts[found[1]], TEMPLATE.read_text(encoding="utf-8")
    )
