"""What an index is: a search structure derived from the corpus, which can be deleted and made again.

An index holds passages by id and nothing that the corpus does not; what it finds is read from the corpus.  Each of its
states is a *generation*, a folder of its own: a writer fills a copy of the last one, seals it, and the corpus publishes
it.  So no process opens what another one writes, readers see the old state or the new one, and a file that was touched
since is noticed before it is opened.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import run_in_executor
from langchain_core.vectorstores import VectorStore

from ragkit.config.components import interface
from ragkit.corpus import Vectors
from ragkit.document import hit, passage
from ragkit.errors import UsageError

T = TypeVar("T")


class Index(ABC):
    """Kept in a folder beside the corpus, which `Rag` assigns by `attach`; opened on first use."""

    changing: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The SQLite files that merely opening the index changes, and the tables in them that it does."""

    handles: ClassVar[tuple[str, ...]] = ()
    """The attributes that hold what is open."""

    @property
    def computes(self) -> bool:
        """Is all of a search done by this process?"""
        return True

    def twin(self) -> Self:
        """The same index with nothing open, so that it can be written while this one is searched."""
        twin = copy.copy(self)
        for name in self.handles:
            twin.__dict__.pop(name, None)
        return twin

    def view(self) -> Self:
        """This index as it is open now, whatever generation it is made to use later."""
        return copy.copy(self)

    def attach(self, root: Path) -> None:
        """Say in which folder the generations of the index live."""
        object.__setattr__(self, "_root", root)

    @property
    def attached_to(self) -> Path | None:
        """The folder that `attach` named; None before that."""
        return getattr(self, "_root", None)

    @property
    def root(self) -> Path:
        if self.attached_to is None:
            raise UsageError(
                f"this {type(self).__name__} has no folder yet: make a Rag with it, or call attach(folder)"
            )
        return self.attached_to

    @property
    def generation(self) -> int:
        """The generation that is searched and written; 0 before any is published."""
        return int(getattr(self, "_generation", 0))

    @property
    def folder(self) -> Path:
        return self._folder_of(self.generation)

    def _folder_of(self, generation: int) -> Path:
        return self.root / f"{generation:08d}"

    def _seal_of(self, generation: int) -> Path:
        return self.root / f"{generation:08d}.seal"

    def use(self, generation: int) -> None:
        """Search and write this generation from now on; what others are still searching stays open for them."""
        self.let_go()
        object.__setattr__(self, "_generation", generation)

    def begin(self, generation: int, of_this: bool) -> None:
        """Begin a new generation: a copy *of this* one, or an empty one."""
        last, new = self.folder, self._folder_of(generation)
        shutil.rmtree(new, ignore_errors=True)  # of a process that was killed
        self._seal_of(generation).unlink(missing_ok=True)
        if of_this:
            shutil.copytree(last, new, copy_function=_copied)
        else:
            new.mkdir(parents=True)
        self.use(generation)

    def seal(self) -> None:
        """Write down what the files of this generation hold; nothing changes them from now on."""
        self.let_go()
        self._write_seal(
            {str(path.relative_to(self.folder)): [*_stamp(path), self._digest(path)] for path in self.files()}
        )

    def files(self) -> list[Path]:
        """The files of this generation that matter."""
        return [path for path in sorted(self.folder.rglob("*")) if path.is_file() and path.suffix != ".lock"]

    def is_sound(self) -> bool:
        """Are the files of this generation as they were sealed?  Opens nothing that could crash on a damaged one."""
        try:
            held = json.loads(self._seal_of(self.generation).read_text())
            moved = False
            for name, (size, changed, digest) in held.items():
                path = self.folder / name
                if _stamp(path) == [size, changed]:
                    continue
                if self._digest(path) != digest:
                    return False
                moved = True
        except (OSError, ValueError, sqlite3.DatabaseError):
            return False
        if moved:
            self.reseal()
        return True

    def reseal(self) -> None:
        """Note when and how large the files are, after they were opened or copied."""
        seal = self._seal_of(self.generation)
        try:
            held = json.loads(seal.read_text())
            self._write_seal(
                {name: [*_stamp(self.folder / name), digest] for name, (_, _, digest) in held.items()}
            )
        except (OSError, ValueError):
            pass  # it is not sealed yet, or this process may only read

    def _digest(self, path: Path) -> str:
        if path.name in self.changing:
            return _digest_of_database(path, self.changing[path.name])
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()

    def _write_seal(self, held: object) -> None:
        seal = self._seal_of(self.generation)
        new = seal.with_suffix(f".{os.getpid()}.new")
        new.write_text(json.dumps(held))
        new.replace(seal)

    def sweep(self, keep: Sequence[int]) -> None:
        """Delete the other generations."""
        kept = {self._folder_of(generation).name for generation in keep}
        for path in self.root.iterdir() if self.root.exists() else ():
            if path.name.partition(".")[0] not in kept:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete everything in this generation, the files included."""
        self.let_go()
        shutil.rmtree(self.folder, ignore_errors=True)

    @abstractmethod
    def let_go(self) -> None:
        """Forget what is open, and see that all that was written is in the files."""

    @abstractmethod
    def count(self) -> int:
        """How many passages are really there."""

    @abstractmethod
    def ids(self) -> set[str]:
        """The passages that are really there."""

    @abstractmethod
    def remove(self, ids: Sequence[str]) -> None:
        """Drop these passages; those that are not there are passed over."""


def _copied(source: str, target: str) -> str:
    """Copy a file; a database as one that may be open elsewhere."""
    if source.endswith(".sqlite3"):
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)
        return target
    return str(shutil.copy2(source, target))


def _stamp(path: Path) -> list[int]:
    known = path.stat()
    return [known.st_size, known.st_mtime_ns]


def _digest_of_database(path: Path, but: Sequence[str]) -> str:
    """What a database holds, whatever its pages look like, but for some tables."""
    whole = hashlib.blake2b()
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        if database.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("its pages are damaged")
        tables = [
            name
            for [name] in database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
            )
        ]
        for table in tables:
            if table not in but and not table.startswith("sqlite_"):
                for row in database.execute(f'SELECT * FROM "{table}"'):
                    whole.update(repr(row).encode())
    return whole.hexdigest()


@interface
class LexicalIndex(Index):
    """Finds passages by their words."""

    @abstractmethod
    def add_passages(self, passages: Sequence[Document]) -> None:
        """Add passages under their ids, in place of what was there under these ids."""

    @abstractmethod
    def search(self, query: str, k: int, among: frozenset[str] | None = None) -> list[tuple[str, float]]:
        """The ids of the best *k*, of those *among* if given, with their scores, best first."""


class VectorIndex(VectorStore, Index):
    """A LangChain vector store that takes vectors already made, so that building it again encodes nothing."""

    @abstractmethod
    def add_vectors(self, passages: Sequence[Document], vectors: Vectors) -> None:
        """Add passages under their ids, one row of *vectors* each, in place of what was there under these ids."""

    @abstractmethod
    def nearest(self, query: str, k: int, among: frozenset[str] | None = None) -> list[tuple[str, float]]:
        """The ids of the *k* nearest to *query*, of those *among* if given, with their scores, best first."""

    # --- what LangChain asks of a vector store

    embed: Embeddings

    @property
    def embeddings(self) -> Embeddings:
        return self.embed

    @property
    def computes(self) -> bool:
        return bool(getattr(self.embed, "computes", False))

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **_: Any,
    ) -> list[str]:
        """LangChain's way in; each text is a paper of its own."""
        every = list(texts)
        papers = [
            Document(page_content=t, metadata=m)
            for t, m in zip(every, metadatas or [{} for _ in every], strict=True)
        ]
        added = [passage(p, 0, len(p.page_content)) for p in papers]
        if ids is not None:
            added = [p.model_copy(update={"id": i}) for p, i in zip(added, ids, strict=True)]
        if added:
            self.add_vectors(
                added,
                np.asarray(self.embed.embed_documents([p.page_content for p in added]), dtype=np.float32),
            )
        return [str(p.id) for p in added]

    def delete(self, ids: list[str] | None = None, **_: Any) -> bool:
        self.remove(ids or [])
        return True

    def similarity_search(self, query: str, k: int = 4, **_: Any) -> list[Document]:
        return [document for document, _ in self.similarity_search_with_relevance_scores(query, k)]

    def similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **_: Any
    ) -> list[tuple[Document, float]]:
        """The nearest *k* passages as bare hits (id and score), to be read from the corpus."""
        return [(hit(identity, score), score) for identity, score in self.nearest(query, k)]

    async def asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **_: Any
    ) -> list[tuple[Document, float]]:
        return await run_in_executor(None, self.similarity_search_with_relevance_scores, query, k)

    @classmethod
    def from_texts(
        cls, texts: list[str], embedding: Embeddings, metadatas: list[dict[str, Any]] | None = None, **_: Any
    ) -> Self:
        raise NotImplementedError(
            f"a {cls.__name__} is derived from a corpus: ingest the texts with Rag.ingest"
        )


def widened(search: Callable[[int], list[T]], k: int, keep: Callable[[T], bool]) -> list[T]:
    """The best *k* that *keep* passes, of a search that knows nothing of it: it is asked for more until there are enough."""
    wanted = 2 * k
    while True:
        found = search(wanted)
        kept = [hit for hit in found if keep(hit)]
        if len(kept) >= k or len(found) < wanted:
            return kept[:k]
        wanted *= 4
