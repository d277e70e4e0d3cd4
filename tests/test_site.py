"""The documents as a site: it is built, every link in it leads somewhere, and every document is in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from support import ROOT


def test_the_site_is_built_with_every_document_and_without_a_broken_link(tmp_path: Path) -> None:
    (tmp_path / "mkdocs.yml").write_text(
        (ROOT / "mkdocs.yml").read_text().replace("paths: [.]", f"paths: [{ROOT}]")
    )
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    done = subprocess.run(
        [str(Path(sys.executable).with_name("zensical")), "build", "--strict"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = [path.stem for path in (ROOT / "docs").glob("*.md")]
    assert [
        name for name in pages if name != "index" and not (tmp_path / "site" / name / "index.html").exists()
    ] == []
    reference = (tmp_path / "site" / "reference" / "index.html").read_text()
    assert 'id="ragkit.Rag.ask"' in reference


def test_every_document_has_a_place_in_the_site() -> None:
    def files(entries: list[object]) -> set[str]:
        named = {entry for entry in entries if isinstance(entry, str)}
        for entry in entries:
            if isinstance(entry, dict):
                for inner in entry.values():
                    named |= files(inner)
        return named

    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert files(site["nav"]) == {path.name for path in (ROOT / "docs").glob("*.md")}
