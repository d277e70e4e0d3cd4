"""The examples of the docstrings are run, all over one corpus of the example papers."""

from __future__ import annotations

import doctest
import importlib
import shutil
from pathlib import Path

import pytest
from support import ROOT

import ragkit

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "ragkit").rglob("*.py")
    if "    >>> " in path.read_text()
)
FIRST_MET = """ragkit.load ragkit.dump ragkit.Answer ragkit.AnswerPipeline ragkit.Citation ragkit.Verdict ragkit.Conversation
Rag.ask Rag.search Rag.stream Rag.check Rag.ingest Rag.ingest_events Rag.add Rag.papers Rag.paper Rag.edit Rag.remove
Rag.repair Rag.as_retriever Rag.as_runnable Answer.citation Answer.faults Answer.as_json Conversation.save""".split()


@pytest.fixture(scope="module")
def folder(ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with the example papers, and a corpus of them in `.ragkit`."""
    folder = tmp_path_factory.mktemp("docstrings")
    (folder / "examples").symlink_to(ROOT / "examples")
    shutil.copytree(ingested, folder / ".ragkit")
    return folder


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_run(module: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names = {"ragkit": ragkit, "rag": ragkit.load(), "Path": Path}
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=options)
    for example in doctest.DocTestFinder().find(importlib.import_module(module), extraglobs=names):
        runner.run(example, out=report.append)
    assert runner.tries > 0
    assert "".join(report) == ""


@pytest.mark.parametrize("name", FIRST_MET)
def test_what_a_user_meets_first_has_an_example(name: str) -> None:
    found: object = ragkit
    for member in name.removeprefix("ragkit.").split("."):
        found = getattr(found, member)
    assert ">>> " in (found.__doc__ or "")
