"""Where papers come from: the interface that an ingest reads through, and LangChain's loaders behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from ragkit.config.spec import describe
from ragkit.confined import ConfinedPool
from ragkit.document import digest
from ragkit.errors import UsageError
from ragkit.read.border import clean, foreign
from ragkit.read.composed import composed
from ragkit.read.lookup import LookupService
from ragkit.read.objects import is_object

ADDED = "added:"
"""What the URI of a paper begins with that is in no file, since a program gave its text."""


class PaperSource(BaseLoader, ABC):
    """A source of papers: units such as files, pages or records, each with a URI.

    A unit is read again only if its digest has changed, and one that cannot be read (`LoadError`) fails
    alone.
    """

    lookup: Sequence[LookupService] = ()
    """What is asked about papers that lack something; it decides nothing about how they are read."""

    @property
    def pool(self) -> ConfinedPool | None:
        """The processes in which this source is read; None if it is read in this one."""
        return None

    @abstractmethod
    def find(self, paths: Sequence[str | Path] = ()) -> list[str]:
        """The URIs of all units that the configuration names and of those in *paths*, each once, in order.

        Raises `UsageError` for a path that is not there or that is no path of this source.
        """

    @abstractmethod
    def digest(self, uri: str) -> str:
        """A digest of a unit's content.  Raises `LoadError` with the reason if it cannot be read."""

    @abstractmethod
    def read(self, uri: str) -> Iterator[list[Document]]:
        """The papers of a unit, in batches, in order.

        Raises `LoadError` with the reason if the unit cannot be read.
        """

    def read_each(self, uris: Sequence[str]) -> Generator[Iterator[list[Document]]]:
        """What `read` gives for each unit, in their order, to be taken to its end before the next one.

        A source may read several at once; it stops when the generator is closed.
        """
        yield from map(self.read, uris)

    def skipped(self, paths: Sequence[str | Path] = ()) -> list[str]:
        """What `find` leaves out: symbolic links that lead out of a folder, and what is no paper by its name."""
        return []

    def unused(self, paths: Sequence[str | Path] = ()) -> list[str]:
        """What `find` leaves out: parts of a paper that the paper does not include, such as drafts."""
        return []

    @contextmanager
    def reading(self) -> Iterator[PaperSource]:
        """This source, to find and read many units of.

        A process or connection that reading needs is open while this context is.
        """
        yield self

    @abstractmethod
    def gone(self, uris: Iterable[str], paths: Sequence[str | Path] = ()) -> list[str]:
        """Those of *uris*, which were read before, that no longer exist; only in *paths*, if there are any.

        It is called after `find`.
        """

    @property
    def settings(self) -> str:
        """A text that is the same for the same way of reading; a unit is read again if it changes."""
        return settings_of(self)

    @property
    def attempt(self) -> str:
        """A text that is the same for the same try to read; a unit that failed is tried again if it changes."""
        return self.settings

    def lazy_load(self) -> Iterator[Document]:
        for uri in self.find():
            for batch in self.read(uri):
                yield from batch


class LoadedSource(PaperSource):
    """The documents of a LangChain loader: each `source` in their metadata is a unit.

    `find` runs the loader, once, and takes no paths.
    """

    def __init__(self, loader: BaseLoader) -> None:
        self.loader = loader
        self._documents: dict[str, list[Document]] = {}

    @property
    def settings(self) -> str:
        return settings_of(self.loader)

    def find(self, paths: Sequence[str | Path] = ()) -> list[str]:
        if paths:
            raise UsageError(
                f"'{paths[0]}' cannot be ingested: this configuration loads with {self._name}, which takes no paths"
            )
        self._documents = {}
        for document in self.loader.lazy_load():
            self._documents.setdefault(str(document.metadata.get("source", self._name)), []).append(document)
        return list(self._documents)

    def digest(self, uri: str) -> str:
        return digest(*(document.page_content for document in self._documents[uri]))

    def read(self, uri: str) -> Iterator[list[Document]]:
        yield [
            composed(Document(clean(each.page_content), id=each.id, metadata=foreign(each.metadata)))
            for each in self._documents[uri]
        ]

    def gone(self, uris: Iterable[str], paths: Sequence[str | Path] = ()) -> list[str]:
        """The URIs that the loader no longer returns and that are neither existing files nor in object stores.

        These were read by another configuration.
        """
        return [
            uri
            for uri in uris
            if uri not in self._documents
            and not uri.startswith(ADDED)
            and not is_object(uri)
            and not Path(uri).exists()
        ]

    @property
    def _name(self) -> str:
        return type(self.loader).__name__


class Given(LoadedSource):
    """Papers that a program gives, as documents or as texts, of which all *known* is true.

    Each is called by the `source` in its metadata, else by its text.
    """

    def __init__(self, papers: Iterable[Document | str], known: Mapping[str, Any]) -> None:
        super().__init__(self)
        for paper in papers:
            given = paper if isinstance(paper, Document) else Document(paper)
            if not given.page_content.strip():
                raise UsageError("a paper that is added needs text, and this one has none")
            whole = Document(given.page_content, id=given.id, metadata={**given.metadata, **known})
            uri = str(whole.metadata.pop("source", f"{ADDED}{digest(whole.page_content)}"))
            self._documents.setdefault(uri, []).append(whole)

    @property
    def settings(self) -> str:
        return type(self).__name__

    def find(self, paths: Sequence[str | Path] = ()) -> list[str]:
        return list(self._documents)

    def digest(self, uri: str) -> str:
        return digest(*(f"{each.page_content}\x1f{each.metadata}" for each in self._documents[uri]))


def papers_or_paths(papers: Any, known: Mapping[str, Any]) -> Given | list[Path]:
    """What a program adds: texts and documents, of which all *known* is true, or paths to read.

    A text is never taken for a path, since it may be anybody's.  Raises `UsageError` for what is neither.
    """
    is_one = isinstance(papers, str | Document | Path | bytes | Mapping) or not isinstance(papers, Iterable)
    each = [papers] if is_one else list(papers)
    for paper in each:
        if not isinstance(paper, str | Document | Path):
            raise UsageError(
                f"a paper is a text, a LangChain Document or a Path, not {type(paper).__name__}: see `Rag.add`"
            )
        if isinstance(paper, str) and _is_there(paper):
            raise UsageError(
                f"'{paper}' is there as a file or folder: give Path({paper!r}) to read it, or Document({paper!r})"
                " for a paper with this text"
            )
    paths = [paper for paper in each if isinstance(paper, Path)]
    if not paths:
        return Given(each, known)
    if len(paths) < len(each):
        raise UsageError("give paths and texts in calls of their own: paths are read as `ingest` reads them")
    if known:
        raise UsageError(
            f"a file says itself what is known of it: leave out {next(iter(known))}=, and use `edit` for corrections"
        )
    return paths


def _is_there(text: str) -> bool:
    try:
        return bool(text) and Path(text).exists()
    except (OSError, ValueError):  # too long for a path, or with a NUL in it
        return False


def settings_of(loader: BaseLoader) -> str:
    """A loader as a pipeline file describes it; the name of its class if no file can."""
    try:
        return str(describe(loader))
    except TypeError:
        return type(loader).__qualname__


def source_of(loader: BaseLoader) -> PaperSource:
    """The source that an ingest reads, for the *loader* of a pipeline."""
    return loader if isinstance(loader, PaperSource) else LoadedSource(loader)
