"""Which corpus is used: of the working directory, of a folder above it that is the user's own, or by name."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ragkit
from ragkit import private
from ragkit.corpus import places
from ragkit.errors import UsageError

Command = Callable[..., subprocess.CompletedProcess[str]]
GLASS = (
    "# Glass bridges\n\nGlass bridges carry people over rivers in all weathers. They are inspected yearly.\n"
)


@pytest.fixture
def below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder two levels below one with a paper and no corpus; the user's data folder is empty."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folder = tmp_path / "thesis" / "chapters" / "one"
    folder.mkdir(parents=True)
    (tmp_path / "thesis" / "glass.md").write_text(GLASS)
    monkeypatch.chdir(folder)
    places._say.cache_clear()
    return folder


@pytest.fixture
def above(below: Path) -> Path:
    """The corpus two levels above the working directory."""
    corpus = below.parents[1] / ".ragkit"
    ragkit.load(preset="default", corpus=corpus).ingest(below.parents[1] / "glass.md")
    return corpus


def test_the_corpus_above_is_used_and_said(command: Command, above: Path, below: Path) -> None:
    done = command("list", cwd=below)
    assert done.returncode == 0
    assert "Glass bridges" in done.stdout
    assert done.stderr == f"using the corpus in {above}, found above {below}; --corpus names another\n"


def test_an_ingest_below_adds_to_it(above: Path, below: Path) -> None:
    (below / "boats.md").write_text(
        "# Boats\n\nBoats carry people over rivers, too, unless there is ice on them.\n"
    )
    assert ragkit.load(preset="default").ingest("boats.md").documents == 2
    assert not (below / ".ragkit").exists()


def test_that_of_the_working_directory_comes_first_and_is_not_said(
    above: Path, below: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (below / ".ragkit").mkdir()
    assert ragkit.load(preset="default").corpus.directory == Path(".ragkit")
    assert caplog.text == ""


def test_the_nearest_one_above_is_used_and_a_folder_without_a_corpus_is_none(
    above: Path, below: Path
) -> None:
    (below.parent / ".ragkit").mkdir()
    assert ragkit.load(preset="default").corpus.directory == above


@pytest.mark.parametrize("foreign", [".ragkit", "corpus.sqlite"])
def test_one_of_another_user_is_passed_over(
    above: Path, below: Path, foreign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.lstat

    def owned(path: Path) -> os.stat_result:
        known = real(path)
        other = known.st_uid + (path.name == foreign)
        return os.stat_result((*known[:4], other, *known[5:10]))

    monkeypatch.setattr(Path, "lstat", owned)
    rag = ragkit.load(preset="default")
    assert rag.corpus.directory == Path(".ragkit")
    with pytest.raises(
        ragkit.NoCorpus, match=r"'.*/thesis/.ragkit' belongs to another user; --corpus reads it"
    ):
        rag.papers()


def test_a_link_to_a_corpus_is_passed_over(above: Path, below: Path) -> None:
    (below.parent / ".ragkit").symlink_to(above)
    assert not private.is_own(below.parent / ".ragkit")
    assert ragkit.load(preset="default").corpus.directory == above


@pytest.mark.parametrize(
    "chosen",
    [
        {"corpus": ".ragkit"},
        {"path": {"extends": "default", "corpus": ".ragkit"}},
        {"path": "mine.yaml"},
        {"preset": "default", "overrides": {"corpus": ".ragkit"}},
    ],
)
def test_a_corpus_that_is_named_is_not_searched_for(above: Path, below: Path, chosen: dict[str, Any]) -> None:
    (below / "mine.yaml").write_text("extends: default\ncorpus: .ragkit\n")
    assert ragkit.load(**chosen).corpus.directory == Path(".ragkit")


@pytest.mark.parametrize("chosen", [{}, {"path": "mine.yaml"}, {"path": {"extends": "default"}}])
def test_one_that_nobody_names_is_searched_for(above: Path, below: Path, chosen: dict[str, Any]) -> None:
    (below / "mine.yaml").write_text("extends: default\n")
    assert ragkit.load(**chosen).corpus.directory == above


def test_a_corpus_by_name_is_seen_from_every_folder(command: Command, below: Path, tmp_path: Path) -> None:
    done = command("--corpus-name", "thesis", "ingest", tmp_path / "thesis" / "glass.md", cwd=below)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data" / "ragkit" / "corpora" / "thesis" / "corpus.sqlite").exists()
    assert "Glass bridges" in command("--corpus-name", "thesis", "list").stdout
    assert "Glass bridges" in command("list", "--corpus-name", "thesis").stdout
    done = command("--corpus-name", "notes", "list")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "no corpus named 'notes'" in done.stderr
    assert "thesis" in done.stderr
    assert "`ragkit --corpus-name notes ingest PATH` makes one" in done.stderr


@pytest.mark.parametrize("name", ["", "../other", "a/b", ".hidden", "/tmp", "a\nb"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(UsageError, match="is no name for a corpus"):
        places.named(name)


def test_a_name_and_a_folder_exclude_each_other(below: Path) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        ragkit.load(preset="default", corpus="here", corpus_name="thesis")


def test_where_there_is_none_the_places_are_named(below: Path) -> None:
    with pytest.raises(ragkit.NoCorpus) as missing:
        ragkit.load(preset="default").papers()
    assert str(missing.value) == (
        f"there is no corpus in '.ragkit' of '{below}' or of a folder above it; `ragkit ingest PATH` makes one here,"
        " and --corpus or --corpus-name uses one elsewhere"
    )
