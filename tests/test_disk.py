"""Disks that are full or read-only, and a clock that was set back: the corpus stays whole, and is read."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

import ragkit
from ragkit.ask import AnswerPipeline
from ragkit.chunk import SentenceChunker
from ragkit.conversation import FileChatHistory
from ragkit.corpus import Corpus
from ragkit.doctor import examine
from ragkit.errors import CorpusError, ModelError, UsageError
from ragkit.evaluate.results import Results
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index import VectorIndex
from ragkit.index.bm25 import Bm25Index
from ragkit.index.chroma import ChromaIndex
from ragkit.index.flat import FlatIndex
from ragkit.ingest import IngestPipeline
from ragkit.models import hub, openvino
from ragkit.read.files import Files
from ragkit.retrieve import DenseRetriever, LexicalRetriever
from ragkit.testing import HashedEmbeddings

INTACT = "what was there before is intact"
INDEXES: dict[str, type[VectorIndex]] = {"flat": FlatIndex, "chroma": ChromaIndex}
LEFT = ("with its shared memory", "with its log", "closed")
"""How the last process can have left the database: killed, killed and then copied, or at its end."""


class ReadHere(Files):
    """Files that are read in this process, since only it knows this class."""


def library(directory: Path, kind: str) -> ragkit.Rag:
    dense, words = INDEXES[kind](embed=HashedEmbeddings()), Bm25Index()
    retrieve = [DenseRetriever(store=dense, k=5), LexicalRetriever(index=words, k=5)]
    ingest = IngestPipeline(read=ReadHere(), chunk=SentenceChunker(max_tokens=40), index=[dense, words])
    answer = AnswerPipeline(retrieve=retrieve, generate=ExtractiveGenerator())
    return ragkit.Rag(corpus=directory, ingest=ingest, answer=answer)


def made(folder: Path, kind: str, left: str) -> Path:
    """A corpus of one paper, as *left* by a process."""
    (folder / "one.md").write_text("# On Bridges\n\nGlass bridges carry 40 people.\n")
    open_, corpus = library(folder / "open", kind), folder / "corpus"
    open_.ingest(folder / "one.md")
    if left == "closed":
        open_.corpus.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copytree(folder / "open", corpus)
    for name in {"with its shared memory": (), "with its log": ("shm",), "closed": ("shm", "wal")}[left]:
        (corpus / f"corpus.sqlite-{name}").unlink()
    return corpus


def read(corpus: Path, kind: str) -> list[Any]:
    """What a question, a search and the doctor say."""
    rag = library(corpus, kind)
    question = "How many people do glass bridges carry?"
    return [rag.ask(question).text, len(rag.search(question)), list(examine(rag).problems)]


READ = ["“On Bridges”: Glass bridges carry 40 people. [1]", 1, []]


def alone(*task: str | Path, prefix: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run a task of this file in a process of its own."""
    return subprocess.run(
        [*prefix, sys.executable, __file__, *map(str, task)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Writing beyond *size* fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- reading


def test_a_read_only_corpus_is_read_and_a_writer_is_told(tmp_path: Path) -> None:
    prefix: list[str] = []
    if os.geteuid() == 0:  # to whom permissions do not apply, unless it gives up that right
        if not shutil.which("setpriv"):
            pytest.skip("root ignores permissions, and there is no setpriv")
        prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]
    cases = [(kind, left, tmp_path / f"{kind} {left}") for kind in INDEXES for left in LEFT]
    for kind, left, folder in cases:
        folder.mkdir()
        made(folder, kind, left)
    corpora = {str(folder / "corpus"): kind for kind, _, folder in cases}
    every = [path for corpus in corpora for path in (Path(corpus), *Path(corpus).rglob("*"))]
    for path in every:
        path.chmod(path.stat().st_mode & ~0o222)
    before = {path: path.stat().st_mtime_ns for path in every}
    try:
        done = alone("read", json.dumps(corpora), prefix=prefix)
        assert done.returncode == 0, done.stderr
        assert {path: path.stat().st_mtime_ns for path in every} == before
        assert json.loads(done.stdout) == [
            [READ, f"cannot write to the corpus in '{corpus}': Permission denied; choose another --corpus"]
            for corpus in corpora
        ]
    finally:
        for path in every:
            path.chmod(path.stat().st_mode | 0o200)


@pytest.mark.parametrize("left", ["with its log", "closed"])
def test_a_corpus_is_read_where_sqlite_has_no_place_for_its_shared_memory(tmp_path: Path, left: str) -> None:
    """As on a full disk; here a link that leads nowhere takes the place, which SQLite does not follow."""
    place = made(tmp_path, "flat", left) / "corpus.sqlite-shm"
    place.symlink_to("nowhere")
    rag = library(place.parent, "flat")
    assert read(place.parent, "flat") == READ
    with pytest.raises(CorpusError, match=r"^cannot write to the corpus in '.*': SQLite has no place beside"):
        rag.ingest(tmp_path / "one.md")


def test_a_reader_of_files_at_rest_sees_what_is_written_later(tmp_path: Path) -> None:
    corpus = made(tmp_path, "flat", "closed")
    (corpus / "corpus.sqlite-shm").symlink_to("nowhere")
    reader = library(corpus, "flat")
    assert len(reader.search("bridges")) == 1
    (corpus / "corpus.sqlite-shm").unlink()
    (tmp_path / "two.md").write_text("# On Steel\n\nSteel bridges carry 90 trains.\n")
    library(corpus, "flat").ingest(tmp_path / "two.md")
    assert len(reader.search("bridges")) == 2


# --- writing


def test_on_a_disk_that_fills_up_an_ingest_is_one_sentence_and_what_is_there_is_read(tmp_path: Path) -> None:
    """On a real disk, whatever is left of it when the ingest begins."""
    prefix = [
        "unshare",
        "--mount",
        "--",
        "sh",
        "-c",
        f'mount -t tmpfs -o size=16m tmpfs {tmp_path} && exec "$@"',
        "-",
    ]
    try:
        subprocess.run([*prefix, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user can mount no file system")
    done = alone("fill", tmp_path, prefix=prefix)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [
        trial for trial in report if trial["read"] != READ[0] or trial["problems"] or trial["papers"] != 31
    ] == []
    said = [trial["said"] for trial in report]
    ends = (INTACT, "choose another --corpus")
    assert said[0].endswith(ends)
    assert said[-1] == ""
    assert [sentence for sentence in said if sentence and not sentence.endswith(ends)] == []


def test_a_corpus_that_cannot_be_made_on_a_full_disk_is_one_sentence_and_leaves_none(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "corpus")
    with (
        files_limited_to(0),
        pytest.raises(CorpusError, match=r"^cannot write to the corpus in '.*': .*; choose"),
    ):
        with corpus.writing():
            pass
    assert not corpus.exists()
    with corpus.writing():
        assert corpus.counts().files == 0


def test_a_conversation_that_a_full_disk_cuts_short_goes_on_from_its_last_answer(tmp_path: Path) -> None:
    history = FileChatHistory(tmp_path / "session")
    turn = [HumanMessage("What do they carry?"), AIMessage("People.")]
    history.add_messages(turn)
    with files_limited_to(history.path.stat().st_size + 20):
        with pytest.raises(
            UsageError, match=r"^the conversation cannot be saved in '.*session': File too large$"
        ):
            history.add_messages([HumanMessage("How many?"), AIMessage("40.")])
    assert [m.text for m in history.messages] == [m.text for m in turn]
    history.add_messages([HumanMessage("How many?"), AIMessage("40.")])
    assert [m.text for m in history.messages][2:] == ["How many?", "40."]


def test_results_that_a_full_disk_does_not_take_are_one_sentence_and_the_others_stay(tmp_path: Path) -> None:
    with closing(Results(tmp_path / "results.sqlite")) as results:
        results.put("old", "kept")
        results._database.execute("PRAGMA max_page_count = 2")
        with pytest.raises(
            CorpusError, match=r"^cannot keep results in '.*': database or disk is full; free some"
        ):
            results.put("new", "x" * 100_000)
        assert (results.get("old"), results.get("new")) == ("kept", None)


def test_a_cache_file_on_a_full_disk_is_not_half_written(tmp_path: Path) -> None:
    with files_limited_to(10):
        hub.write_whole(tmp_path / "note", b"x" * 100)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_cannot_be_written_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setenv("RAGKIT_CACHE", str(tmp_path))

    def convert(folder: Path) -> None:
        openvino.save(torch.nn.Embedding(9, 300_000), ["input"], folder)

    with (
        files_limited_to(1_000_000),
        pytest.raises(ModelError, match=r"^the converted model cannot be written to .*RAGKIT_CACHE"),
    ):
        openvino.converted("large", convert)
    assert list((tmp_path / "models").iterdir()) == []


def test_a_model_runs_where_its_compiled_form_cannot_be_kept(tmp_path: Path) -> None:
    import torch

    openvino.save(torch.nn.Embedding(9, 2), ["input"], tmp_path)
    (tmp_path / "compiled").write_text("in the way")
    assert openvino.compiled(tmp_path, "f32")({"input": [[1, 2]]}).shape == (1, 2, 2)
    assert (tmp_path / "model.xml").exists()


# --- the clock


def test_with_the_clock_set_back_new_papers_are_found_and_old_states_are_not_taken_for_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = made(tmp_path, "flat", "closed")
    reader = library(corpus, "flat")
    assert len(reader.search("bridges")) == 1
    published = reader.corpus.published()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    (tmp_path / "two.md").write_text("# On Steel\n\nSteel bridges carry 90 trains.\n")
    os.utime(tmp_path / "two.md", (0, 0))
    library(corpus, "flat").ingest(tmp_path / "two.md")
    assert all(number > published[name][1] for name, (_, number) in reader.corpus.published().items())
    assert len(reader.search("bridges")) == 2
    (tmp_path / "two.md").write_text("# On Steel\n\nSteel bridges carry 80 trains.\n")
    os.utime(tmp_path / "two.md", (0, 0))
    library(corpus, "flat").ingest(tmp_path / "two.md")
    assert "80 trains" in reader.search("steel bridges")[0].page_content
    assert examine(reader).problems == ()


# --- tasks of their own process


def read_only(corpora: str) -> list[Any]:
    found = []
    for corpus, kind in json.loads(corpora).items():
        told = ""
        try:
            library(Path(corpus), kind).ingest()
        except CorpusError as error:
            told = str(error)
        found.append([read(Path(corpus), kind), told])
    return found


def fill(disk: str) -> list[dict[str, Any]]:
    """Ingest into corpora on *disk* with ever more space left."""
    trials, folder = [], Path(disk)
    corpus, full = made(folder, "flat", "closed"), folder / "full"
    papers = [folder / f"{n}.md" for n in range(30)]
    for n, paper in enumerate(papers):
        text = " ".join(f"Bridge {n} carries {10 * n + i} trains across river {i}." for i in range(20))
        paper.write_text(f"# Bridge number {n} of many\n\n{text}\n")
    for blocks in range(0, 4000, 400):
        shutil.copytree(corpus, folder / "trial")
        with full.open("wb") as file:
            free = os.statvfs(disk)
            file.write(bytes(max(free.f_bavail * free.f_bsize - 1024 * blocks, 0)))
        said = ""
        try:
            library(folder / "trial", "flat").ingest(*papers)
        except CorpusError as error:
            said = str(error)
        answer = library(folder / "trial", "flat").ask("How many people do glass bridges carry?").text
        full.unlink()
        again = library(folder / "trial", "flat")
        again.ingest(*papers)
        trials.append(
            {
                "said": said,
                "read": answer,
                "papers": again.corpus.counts().documents,
                "problems": list(examine(again).problems),
            }
        )
        shutil.rmtree(folder / "trial")
    return trials


if __name__ == "__main__":
    print(json.dumps({"read": read_only, "fill": fill}[sys.argv[1]](*sys.argv[2:])))
