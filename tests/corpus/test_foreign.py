"""A corpus folder that somebody else made: what lies outside it is neither read, changed nor deleted."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage

import ragkit.pipeline_file  # noqa: F401  (registers every component)
from ragkit import config
from ragkit.conversation import FileChatHistory
from ragkit.errors import CorpusError
from ragkit.rag import Rag

TEXT = """
define: {{dense: &d {{type: flat, embed: {{type: hashed}}}}, words: &w bm25}}
corpus: {corpus}
ingest: {{chunk: whole, index: [*d, *w]}}
answer: {{retrieve: {{type: dense, store: *d}}, generate: extractive}}
"""


def filled(folder: Path) -> Rag:
    note = folder / "glass.md"
    note.write_text("# Glass\n\nGlass bridges carry 40 people.\n")
    made = rag(folder)
    made.ingest(note)
    return made


def rag(folder: Path) -> Rag:
    return config.loads(Rag, TEXT.format(corpus=folder / "corpus"))


def more(folder: Path, made: Rag) -> None:
    (folder / "rope.md").write_text("# Rope\n\nRope bridges sway.\n")
    made.ingest(folder / "rope.md")


def flat(folder: Path) -> Path:
    [index] = (folder / "corpus" / "indexes").glob("flat-*")
    return index


@pytest.mark.parametrize("linked", ["an index", "all indexes"])
def test_a_linked_folder_is_refused_and_its_files_stay(linked: str, tmp_path: Path) -> None:
    filled(tmp_path)
    root = flat(tmp_path) if linked == "an index" else tmp_path / "corpus" / "indexes"
    root.rename(tmp_path / "elsewhere")
    root.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "thesis.txt").write_text("mine")
    before = sorted((tmp_path / "elsewhere").rglob("*"))
    with pytest.raises(CorpusError, match="is a symbolic link, which is not followed"):
        more(tmp_path, rag(tmp_path))
    assert sorted((tmp_path / "elsewhere").rglob("*")) == before


def test_only_names_that_ragkit_makes_are_deleted(tmp_path: Path) -> None:
    made = filled(tmp_path)
    (flat(tmp_path) / "thesis.txt").write_text("mine")
    (flat(tmp_path) / "00000001").symlink_to(tmp_path)
    more(tmp_path, made)
    assert (flat(tmp_path) / "thesis.txt").read_text() == "mine"
    assert not (flat(tmp_path) / "00000001").is_symlink()
    assert (tmp_path / "glass.md").exists()


def test_a_linked_file_in_an_index_is_not_read_and_the_index_is_rebuilt(tmp_path: Path) -> None:
    filled(tmp_path)
    [vectors] = flat(tmp_path).rglob("*.f32")
    vectors.rename(tmp_path / "private.f32")
    vectors.symlink_to(tmp_path / "private.f32")
    assert rag(tmp_path).search("glass bridges")
    assert [p for p in flat(tmp_path).rglob("*") if p.is_symlink() and p != vectors] == []
    assert (tmp_path / "private.f32").exists()


def test_a_lock_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    made = filled(tmp_path)
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "corpus" / "lock").unlink()
    (tmp_path / "corpus" / "lock").symlink_to(tmp_path / "mine")
    with pytest.raises(CorpusError, match="cannot write to the corpus"):
        more(tmp_path, made)
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize(
    ("planted", "kind"),
    [
        ("CREATE TRIGGER planted AFTER INSERT ON files BEGIN DELETE FROM documents; END", "trigger"),
        ("CREATE VIEW planted AS SELECT 1", "view"),
        ("CREATE TABLE planted (x)", "table"),
    ],
)
def test_a_database_with_objects_of_others_is_refused(planted: str, kind: str, tmp_path: Path) -> None:
    filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / "corpus" / "corpus.sqlite")) as database:
        database.execute(planted)
    with pytest.raises(CorpusError, match=f"has a {kind} 'planted' that ragkit does not make"):
        rag(tmp_path).search("glass")


@pytest.mark.parametrize("suffix", ["keys", "f32", "u64"])
def test_files_of_an_index_that_do_not_fit_together_are_one_sentence(suffix: str, tmp_path: Path) -> None:
    made = filled(tmp_path)
    [path] = flat(tmp_path).rglob(f"*.{suffix}")
    path.write_bytes(path.read_bytes()[:-1])
    [index, _] = made.ingest_pipeline.index
    place = made.ingest_pipeline.place(made.corpus, index, int(path.parent.name))  # type: ignore[arg-type]
    with pytest.raises(CorpusError, match="is no flat index"):
        index.open(place)  # type: ignore[union-attr]


def test_corpora_and_chats_are_the_users_alone(tmp_path: Path) -> None:
    filled(tmp_path)
    FileChatHistory(tmp_path / "chat.jsonl").add_messages([HumanMessage("How wide is it?")])
    every = [tmp_path / "chat.jsonl", tmp_path / "corpus", *(tmp_path / "corpus").rglob("*")]
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in every}
    assert {p: oct(m) for p, m in modes.items() if m != (0o700 if p.is_dir() else 0o600)} == {}
