"""What an ingest would do, and what it forgets."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document
from test_pipeline import small, write

from ragkit.document import title_of
from ragkit.plan import plan


def test_a_plan_is_what_the_ingest_then_does(tmp_path: Path) -> None:
    papers = write(tmp_path / "papers", glass="They carry people.", rope="They sway.")
    (papers / "broken.jsonl").write_text('{"title": "a", "text": "b"}\n{"title": \n')
    rag = small(tmp_path / "corpus")
    planned = plan(rag, papers)
    assert not (tmp_path / "corpus").exists()
    report = rag.ingest(papers)
    assert (planned.new, planned.changed, planned.unchanged, planned.papers) == (3, 0, 0, report.documents)
    assert (planned.passages, planned.encode) == (report.chunks, report.encoded) == (3, 3)
    assert [f.error for f in planned.failed] == [f.error for f in report.failed]
    assert planned.tokens > 0
    write(papers, glass="They carry many people.")
    (papers / "rope.md").unlink()
    write(papers, iron="They rust.")
    planned = plan(rag, papers, prune=True)
    assert (planned.new, planned.changed, planned.unchanged, planned.gone, planned.encode) == (1, 1, 1, 1, 2)
    assert rag.ingest(papers, prune=True).encoded == 2


def test_a_file_that_could_not_be_opened_before_is_planned_as_the_ingest_reports_it(tmp_path: Path) -> None:
    papers = write(tmp_path / "papers", glass="They carry people.")
    (papers / os.fsdecode(b"caf\xe9.txt")).write_text("Its name is not UTF-8.\n")
    rag = small(tmp_path / "corpus")
    for _ in range(2):
        planned, report = plan(rag, papers), rag.ingest(papers)
        assert planned.failed == report.failed
        assert planned.known == report.known
    assert len(report.known) == 1


def test_prune_forgets_the_papers_whose_files_are_gone_and_nothing_else(tmp_path: Path) -> None:
    one = write(tmp_path / "one", glass="They carry people.", rope="They sway.")
    two = write(tmp_path / "two", glass="They carry people.", iron="They rust.")
    rag = small(tmp_path / "corpus")
    rag.ingest(one, two)
    for gone in (one / "glass.md", one / "rope.md", two / "iron.md"):
        gone.unlink()
    assert rag.ingest(one, two).pruned == 0
    assert rag.corpus.counts().documents == 3
    report = rag.ingest(one, prune=True)
    assert (report.pruned, report.documents, report.encoded) == (2, 2, 0)
    assert sorted({title_of(h) for h in rag.search("they carry rust sway")}) == [
        "Glass Bridges",
        "Iron Bridges",
    ]
    assert rag.ingest(prune=True).pruned == 1
    assert sorted({title_of(h) for h in rag.search("they carry rust sway")}) == ["Glass Bridges"]


def test_the_command_line_says_what_it_would_do(tmp_path: Path, command: Callable[..., Any]) -> None:
    write(tmp_path / "papers", glass="They carry people.")
    shown = command("ingest", "papers", "--dry-run")
    assert shown.returncode == 0
    assert shown.stdout.startswith(
        "would read 1 new and 0 changed files (0 unchanged): 1 paper, 1 passage; embed 1 text of 6 tokens; about"
    )
    assert not (tmp_path / ".ragkit").exists()
    planned = json.loads(command("ingest", "papers", "--dry-run", "--json").stdout)
    assert {k: v for k, v in planned.items() if k != "seconds"} == {
        "new": 1,
        "changed": 0,
        "unchanged": 0,
        "gone": 0,
        "failed": [],
        "papers": 1,
        "passages": 1,
        "encode": 1,
        "tokens": planned["tokens"],
        "keys": 0,
        "calls": 0,
        "chat_tokens": 0,
        "cost": 0.0,
        "known": [],
        "fetch": [],
    }
    command("ingest", "papers")
    (tmp_path / "papers" / "glass.md").unlink()
    assert json.loads(command("ingest", "papers", "--prune", "--json").stdout)["pruned"] == 1


def test_what_a_loader_of_another_make_brings_is_planned_too(tmp_path: Path) -> None:
    class Pages(BaseLoader):
        """Loads a page."""

        def lazy_load(self) -> Iterator[Document]:
            yield Document("Glass bridges carry people.", metadata={"source": "https://here/1"})

    rag = small(tmp_path / "corpus")
    object.__setattr__(rag.ingest_pipeline, "read", Pages())
    first = plan(rag)
    assert (first.new, first.papers, first.passages) == (1, 1, 1)
    rag.ingest()
    assert (plan(rag).new, plan(rag).unchanged) == (0, 1)
