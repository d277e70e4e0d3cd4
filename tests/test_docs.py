"""What the documents show is run: the README's commands and Python, and every pipeline file."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ROOT

import ragkit
from ragkit.notebook import IN_WORDS, SHAPES

README = (ROOT / "README.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def test_no_document_has_marks_of_a_merge() -> None:
    texts = {path: path.read_text() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]}
    assert [
        path for path, text in texts.items() if re.search(r"^(<<<<<<< |>>>>>>> )", text, re.MULTILINE)
    ] == []


@pytest.fixture
def newcomers_folder(tmp_path: Path) -> Path:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


def test_the_readmes_commands_run(
    newcomers_folder: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    lines = [
        line.removeprefix("$ ragkit ")
        for block in blocks("console")
        for line in block.splitlines()
        if line.startswith("$ ")
    ]
    assert len(lines) >= 7
    outcomes = {line: command(*shlex.split(line), cwd=newcomers_folder) for line in lines}
    assert {line: done.stderr for line, done in outcomes.items() if done.returncode != 0} == {}
    assert "340 million. [1]" in " ".join(
        outcomes['ask "How many parameters do BERT-base and BERT-large have?"'].stdout.split()
    )


def test_the_readmes_python_runs(newcomers_folder: Path) -> None:
    [block] = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=newcomers_folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "48 papers" in done.stdout
    assert "nDCG@10" in done.stdout


@pytest.mark.parametrize(
    ("page", "printed"),
    [("python.md", "word for word in its source"), ("coming-from.md", "BERT-large has 24 layers")],
)
def test_the_python_of_a_page_runs(page: str, printed: str, newcomers_folder: Path) -> None:
    code = "\n".join(blocks("python", (ROOT / "docs" / page).read_text()))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=newcomers_folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert printed in done.stdout


MEASURED = re.compile(r"0?\.\d+ \[0?\.\d+, 0?\.\d+\]|\d+ of \d+ (?=cells)|[\d,.]+ (?:ms|s|MB)\b")


def figures(text: str) -> set[str]:
    """Measured figures, without the zero before a point, which prose leaves out."""
    return {re.sub(r"\b0\.", ".", found) for found in MEASURED.findall(text)}


def figures_known(*pages: str) -> str:
    """The text of pages in the same form, without the borders of tables."""
    text = " ".join((ROOT / "docs" / page).read_text() for page in pages)
    return " ".join(re.sub(r"\b0\.", ".", text).replace("|", " ").split())


def test_the_figures_of_the_readme_and_of_the_limits_are_measured_ones() -> None:
    """Each stands in the benchmarks, in the page of the verifier, or in the page that its row names."""
    [table] = re.findall(r"^\| \| measured.*?\n\n", README, re.DOTALL | re.MULTILINE)
    assert len(figures(table)) >= 5
    for row in table.splitlines():
        named = re.findall(r"\(docs/(\w+\.md)\)", row)
        known = figures_known("benchmarks.md", "verification.md", *named)
        assert {each for each in figures(row) if each not in known} == set(), row
    limits = figures((ROOT / "docs" / "limits.md").read_text())
    assert len(limits) >= 8
    known = figures_known("benchmarks.md", "verification.md")
    assert {each for each in limits if each.removesuffix(" MB").removesuffix(" ms") not in known} == set()


def test_the_page_on_python_names_verdicts_as_a_notebook_shows_them() -> None:
    rows = [f"| {SHAPES[name]} | `{name}` | {words} |" for name, words in IN_WORDS.items()]
    assert "\n".join(rows) in (ROOT / "docs" / "python.md").read_text()


FIRST_STEPS = json.loads((ROOT / "examples" / "first_steps.ipynb").read_text())


def test_the_notebook_of_first_steps_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cell is run, and what its last line is worth is shown, as a notebook does."""
    (tmp_path / "papers").symlink_to(ROOT / "examples" / "papers")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    shown = []
    for cell in FIRST_STEPS["cells"]:
        if cell["cell_type"] == "code":
            *before, last = ast.parse("".join(cell["source"])).body
            assert isinstance(last, ast.Expr)
            exec(compile(ast.Module(before, []), "cell", "exec"), names)
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
            shown.append(value._repr_html_() if hasattr(value, "_repr_html_") else repr(value))
    for part in ("nothing is ingested yet", "340 million.", "I cannot answer this", "Owls hunt voles"):
        assert part in " ".join(shown), part
    assert "▲ not supported by its source" in shown[-2]


def test_the_notebook_of_first_steps_holds_no_outputs() -> None:
    kept = {"cell_type", "id", "metadata", "source", "execution_count", "outputs"}
    assert (FIRST_STEPS["nbformat"], FIRST_STEPS["nbformat_minor"]) == (4, 5)
    for cell in FIRST_STEPS["cells"]:
        assert set(cell) <= kept
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_the_readme_shows_the_default_configuration_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    [whole] = [block for block in blocks("yaml") if "extends" not in block]
    Path("shown.yaml").write_text(whole)
    assert ragkit.dump(ragkit.load("shown.yaml")) == ragkit.dump(
        ragkit.load(ROOT / "configs" / "default.yaml")
    )


@pytest.mark.parametrize("text", [block for block in blocks("yaml") if "extends" in block])
def test_the_readmes_changes_are_files_of_up_to_four_lines_that_load(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAGKIT_MODEL", raising=False)
    (tmp_path / "mine.yaml").write_text(text)
    assert 1 <= text.count("\n") <= 4
    changed = ragkit.dump(ragkit.load(tmp_path / "mine.yaml"))
    assert changed != ragkit.dump(ragkit.load(preset="default"))


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_every_configuration_loads_and_survives_dumping(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGKIT_MODEL", "some-model")
    monkeypatch.setenv("OPENAI_API_KEY", "some-key")
    text = ragkit.dump(ragkit.load(path))
    (tmp_path / "again.yaml").write_text(text)
    assert ragkit.dump(ragkit.load(tmp_path / "again.yaml")) == text
    assert "some-model" not in text
    assert "some-key" not in text


def test_the_readme_names_every_command() -> None:
    from ragkit.cli import app

    commands = {
        c.name or c.callback.__name__ for c in app.registered_commands if c.callback and not c.hidden
    } | {"config"}
    assert {name for name in commands if f"`ragkit {name}" not in README} == set()


def test_the_chatbot_answers_and_follows_up(ingested: Path, tmp_path: Path) -> None:
    (tmp_path / ".ragkit").symlink_to(ingested)
    asked = "What kind of negatives does DPR train with?\nand how many questions in a batch?\n\n"
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "chatbot.py"],
        cwd=tmp_path,
        input=asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout.count("[1] Dense Passage Retrieval for Open-Domain Question Answering, characters") == 2
    )


def test_the_demo_corpus_has_at_least_forty_notes_with_true_front_matter() -> None:
    from ragkit.read.files import Files

    notes = [
        papers for path in Files().under([ROOT / "examples" / "papers"]) for papers in [Files().each(path)]
    ]
    assert len(notes) >= 40
    for [note] in notes:
        assert {"title", "authors", "year"} <= set(note.metadata)


def test_the_pipeline_files_of_the_page_on_scaling_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGKIT_CORPUS", "postgresql://ragkit@db.example.org/papers")
    texts = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "scaling.md").read_text(), re.DOTALL)
    dense = []
    for number, text in enumerate(texts):
        (path := tmp_path / f"{number}.yaml").write_text(text)
        dense.append(type(ragkit.load(path).ingest_pipeline.index[0]).__name__)
    assert dense == ["FlatIndex", "FlatIndex", "PgvectorIndex", "QdrantIndex"]
