"""LaTeX files that no paper includes, in a folder that has a paper."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ROOT

from ragkit.errors import LoadError
from ragkit.read.border import parts
from ragkit.read.files import Files
from ragkit.read.process import Reader

MAIN = "\\documentclass{article}\n\\begin{document}\n\\input{intro}\\input{parts/end}\n%s\n\\end{document}\n"
FRAGMENT = "\\section{Glass}\nGlass bridges carry \\emph{40} people.\n"
PAPER = {"main.tex": MAIN % "Text.", "intro.tex": FRAGMENT, "parts/end.tex": FRAGMENT}


def sorted_out(tmp_path: Path, files: dict[str, str], *named: str) -> tuple[list[str], list[str]]:
    """The files that are read and those that are unused, by the reading process as without it."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)
    paths = [tmp_path, *(tmp_path / name for name in named)]
    loader = Files()
    with Reader(loader) as reader:
        found, unused = reader.find(paths), reader.unused(paths)
    assert (found, unused) == (loader.find(paths), loader.unused(paths))
    return tuple([str(Path(each).relative_to(tmp_path)) for each in some] for some in (found, unused))  # type: ignore[return-value]


@pytest.mark.parametrize("name", ["old.tex", "parts/old.tex", "parts/drafts/old.tex"])
@pytest.mark.parametrize("text", [FRAGMENT, f"% \\documentclass{{article}}\n{FRAGMENT}"])
def test_a_fragment_that_the_paper_beside_or_above_does_not_include_is_unused(
    tmp_path: Path, name: str, text: str
) -> None:
    assert sorted_out(tmp_path, {**PAPER, name: text}) == (["main.tex"], [name])


def test_a_fragment_that_is_named_is_read(tmp_path: Path) -> None:
    assert sorted_out(tmp_path, {**PAPER, "old.tex": FRAGMENT}, "old.tex") == (["main.tex", "old.tex"], [])


def test_fragments_without_a_paper_are_read(tmp_path: Path) -> None:
    files = {
        **{f"one/{name}": text for name, text in PAPER.items()},
        "a.tex": FRAGMENT,
        "two/b.tex": FRAGMENT,
    }
    assert sorted_out(tmp_path, files) == (["a.tex", "one/main.tex", "two/b.tex"], [])


@pytest.mark.parametrize(
    "other", [MAIN % "Older.", "\\documentstyle{article}\n\\section{A}", "Plain \\TeX{}.\n\\bye\n"]
)
def test_two_complete_papers_in_a_folder_are_both_read(tmp_path: Path, other: str) -> None:
    assert sorted_out(tmp_path, {**PAPER, "main_v1.tex": other}) == (["main.tex", "main_v1.tex"], [])


def test_a_report_says_why_they_are_skipped(
    tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    sorted_out(tmp_path / "papers", {**PAPER, "old.tex": FRAGMENT, "plot.py": "x = 1"})
    ran = command("ingest", tmp_path / "papers", "--config", ROOT / "configs" / "default.yaml", COLUMNS="400")
    assert ran.stderr.splitlines() == [
        "skipped 1 file (no papers, or left out): papers/plot.py",
        "skipped 1 LaTeX file that no paper beside or above it includes: papers/old.tex; name a file to read it",
    ]


def test_plain_words_that_no_paper_includes_are_unused(tmp_path: Path) -> None:
    assert sorted_out(tmp_path, {**PAPER, "words.tex": "Plain words."}) == (["main.tex"], ["words.tex"])
    assert sorted_out(tmp_path / "other", {"words.tex": "Plain words."}) == (["words.tex"], [])


@pytest.mark.parametrize("told", [b'["a.tex"]', b'[["a.tex"], 1]', b"[[1], true]", b"{}"])
def test_a_reader_that_says_something_else_is_refused(told: bytes) -> None:
    with pytest.raises(LoadError, match="returned something that is no paper"):
        parts(told)
