"""Measurements: `make bench` runs them all and writes docs/benchmarks.md; each module also runs by itself.

They need the shared data (a folder `shared` beside the checkout) and skip, saying so, where it is absent.
"""

import sys
from pathlib import Path

from ragkit.config.components import component

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("examples/paper_pages", "tests")]
from paper_pages import PaperPage

component("paper_page")(PaperPage)
