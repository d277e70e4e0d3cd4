"""The wheel as a user installs it: what it holds, and the first commands from an empty folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ROOT, SHARED, ModelServer

Command = Callable[..., subprocess.CompletedProcess[str]]
GLASS = "---\ntitle: Glass bridges\nauthors: [Ada Low]\nyear: 2021\n---\n\n# Loads\n\nGlass bridges carry 40 people at once.\n"
STEEL = "---\ntitle: Steel towers\nauthors: [Bo High]\nyear: 2019\n---\n\n# Heights\n\nSteel towers reach 300 metres.\n"
QUESTION = "How many people do glass bridges carry?"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    if built.returncode and "hatchling" in built.stdout + built.stderr:
        pytest.skip("the build backend, hatchling, cannot be had here")
    assert built.returncode == 0, built.stderr
    [file] = folder.glob("ragkit-*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    done = _pip("install", "--no-deps", "--quiet", "--target", str(folder), str(wheel))
    assert done.returncode == 0, done.stderr
    return folder


def _pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def first(installed: Path, tmp_path: Path) -> Command:
    """The installed command in a folder of its own; nothing of the checkout is on the path."""

    def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "ragkit", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(installed), **environment},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


def test_the_wheel_holds_what_is_not_python(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = [
        path.relative_to(ROOT).as_posix()
        for pattern in ("presets/*.yaml", "**/*.json", "**/*.safetensors", "**/*.html", "py.typed")
        for path in (ROOT / "ragkit").glob(pattern)
    ]
    assert {"ragkit/presets/default.yaml", "ragkit/models/joint/reader.safetensors"} <= {*wanted}
    assert {*wanted} - held == set()


def test_the_first_hour(first: Command, installed: Path, tmp_path: Path, model_server: ModelServer) -> None:
    papers = tmp_path / "papers"
    papers.mkdir()
    (papers / "glass.md").write_text(GLASS)
    (papers / "steel.md").write_text(STEEL)
    where = [sys.executable, "-c", "import ragkit; print(ragkit.__file__)"]
    found = subprocess.run(
        where,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()).is_relative_to(installed)

    assert "2 papers in the corpus" in first("ingest", papers).stdout
    assert "2 unchanged" in first("ingest", papers).stdout
    listed = first("list").stdout.splitlines()
    assert [line.split("\t")[3] for line in listed] == ["Glass bridges", "Steel towers"]
    answer = first("ask", QUESTION, "--json")
    assert json.loads(answer.stdout)["citations"][0]["quote"] == "Glass bridges carry 40 people at once."
    assert first("open", "Glass bridges", "--print").stdout == f"{papers / 'glass.md'}\n"
    assert "title = {Glass bridges}" in first("export", "Glass bridges").stdout
    (tmp_path / "answer.json").write_text(answer.stdout)
    assert "(Low, 2021)" in first("cite", "answer.json").stdout
    assert {"chat", "default"} <= {
        line.split()[0] for line in first("presets").stdout.split("\n") if line.strip()
    }

    model_server.says = "Glass bridges carry 40 people at once [1]."
    written = first("ask", QUESTION, "--json", "--model", f"{model_server.url}#m").stdout
    assert json.loads(written)["claims"][0]["verdict"] in ("quoted", "supported")
    assert model_server.asked[-1]["model"] == "m"


def test_the_first_hour_with_pdfs(first: Command) -> None:
    files = sorted((SHARED / "cases").rglob("*.pdf"))[:3] if SHARED.is_dir() else []
    if not files:
        pytest.skip("the shared PDFs are not beside this checkout")
    report = json.loads(first("ingest", *files, "--json").stdout)
    assert (report["failed"], report["new"]) == ([], len(files))
