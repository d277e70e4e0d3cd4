"""Finds the files of a path, and reads each with the format that recognises it."""

from __future__ import annotations

import codecs
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path, PurePath

from langchain_core.documents import Document
from pydantic import PositiveFloat, PositiveInt, SecretStr

from ragkit.config.components import component
from ragkit.config.spec import describe
from ragkit.confined import ProcessLimits
from ragkit.document import digest
from ragkit.errors import LoadError, UsageError
from ragkit.read import PaperSource, objects, settings_of
from ragkit.read.border import Border, Parts, encoded
from ragkit.read.choice import Choice
from ragkit.read.formats import HEAD, FileFormat, ProjectFormat, registered_formats
from ragkit.read.formats.encoding import noted
from ragkit.read.lookup import LookupService

_PROJECTS = (".tex", ".ltx", ".latex")  # endings of files that include others
_COMPANIONS = 500  # files that one paper includes; theses have some dozens

Included = Callable[[Path], Parts]
"""Says what the file in a path includes, and whether it is a paper by itself."""


@component("files")
@dataclass(frozen=True)
class Files(PaperSource):
    """Files and the folders they are in, each read by the first of `formats` that recognises its content.

    Without `formats`, all that are registered and need no settings are asked in order of their priority, those
    of installed plug-ins included.  `more_formats` are asked before them.  Hidden files and folders are skipped, and so are programs, style sheets, logs,
    auxiliary files, READMEs and licences in a folder, and fragments of LaTeX beside or below a paper that does not
    include them; they are read if they are named.  `paths` are read by
    every ingest, before those named in the call.  `include`, `exclude` and the files `.ragkitignore` in a folder
    are patterns as in `.gitignore` that choose among its files: with `include`, only those that match are read.
    Each `password` is tried on PDFs that are locked.

    An ingest reads in processes of its own, which have no network unless `network` is set; each reads one file at
    a time.  `processes` is their number, by default that of the processors, up to 4.  A file fails from which no
    paper comes for `seconds_a_file`, which takes more than `seconds_in_all` or more than `megabytes_a_file` of
    memory, or whose papers are larger than `growth` times the file (20 MB are always allowed); so does one with a
    paper of more than `characters_a_paper`, or with metadata of more than `metadata_a_paper` characters.
    Symbolic links that lead out of a folder are followed only with `follow_links`.

    The ingest itself, never the process that reads, asks the services in `lookup` about papers that lack authors,
    year, venue or DOI, or whose file does not state these or the title plainly; what it does state stays.
    """

    paths: Sequence[str] = ()
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    password: SecretStr | Sequence[SecretStr] = ()
    formats: Sequence[FileFormat] = ()
    more_formats: Sequence[FileFormat] = ()
    seconds_a_file: PositiveFloat = 120.0
    seconds_in_all: PositiveFloat = 3600.0
    megabytes_a_file: PositiveInt = 4000
    growth: PositiveFloat = 100.0
    characters_a_paper: PositiveInt = 20_000_000
    metadata_a_paper: PositiveInt = 1_000_000
    processes: PositiveInt | None = None
    network: bool = False
    follow_links: bool = False
    lookup: Sequence[LookupService] = ()

    @property
    def ordered_formats(self) -> Sequence[FileFormat]:
        """The formats in the order in which they are asked."""
        return (*self.more_formats, *(self.formats or registered_formats()))

    @property
    def limits(self) -> ProcessLimits:
        """What a process that reads these files may take."""
        return ProcessLimits(
            self.seconds_a_file,
            self.seconds_in_all,
            self.megabytes_a_file,
            self.characters_a_paper,
            self.metadata_a_paper,
            self.network,
            max((form.scratch for form in self.ordered_formats), default=0),
            self.processes,
        )

    @property
    def settings(self) -> str:
        # These decide what is read and how fast, not how.
        way = replace(
            self, processes=None, follow_links=False, include=(), exclude=(), password=(), lookup=()
        )
        return f"{settings_of(way)} {describe(list(self.ordered_formats))}"

    @property
    def attempt(self) -> str:
        return digest(self.settings, *self._passwords)

    @property
    def _passwords(self) -> list[str]:
        given = [self.password] if isinstance(self.password, SecretStr) else self.password
        return [each.get_secret_value() for each in given if each.get_secret_value()]

    def find(self, paths: Sequence[str | Path] = ()) -> list[str]:
        return [*map(str, self.under([*self.paths, *paths])), *self.objects(paths)]

    def objects(self, paths: Sequence[str | Path]) -> dict[str, str]:
        """The objects to read at the addresses among *paths*, and the version of each.

        Raises `UsageError` for an address with nothing there, and if the loader itself names one; and `Unreachable`.
        """
        if named := objects.parted(self.paths)[0]:
            raise UsageError(
                f"'{named[0]}' is not fetched, since a pipeline file names it; name it in the command: ragkit ingest {named[0]}"
            )
        return {uri: version for uri, version, wanted in self._stored(paths) if wanted}

    def _stored(self, paths: Sequence[str | Path]) -> Iterator[tuple[str, str, bool]]:
        """Each object at the addresses among *paths*, its version, and whether it is read."""
        for address in objects.parted(paths)[0]:
            root = PurePath(address)
            choice = Choice(Path(root), self.include, self.exclude)
            for uri, version in objects.listed(address).items():
                yield uri, version, uri == address or choice.wants(PurePath(uri).relative_to(root))

    @contextmanager
    def local(self, uri: str) -> Iterator[Path]:
        """The file that is called *uri*, for as long as this lasts: an object is fetched.  Raises `LoadError`."""
        if not objects.is_object(uri):
            yield Path(uri)
            return
        with objects.fetched(uri, self.megabytes_a_file) as path:
            yield path

    def under(self, paths: Sequence[str | Path], included: Included | None = None) -> list[Path]:
        """Every file in *paths*, absolute, each once, in order, but those that another one includes.

        *included* says which these are; without it, this process reads the files that may include others.
        Raises `UsageError` for a path that is not there.
        """
        found, unused = self._sorted_out(paths, included)
        return [path for path in found if path not in unused]

    def unused_in(self, paths: Sequence[str | Path], included: Included | None = None) -> list[Path]:
        """The files in the folders of *paths* that are parts of a paper beside or above them, but not included."""
        return self._sorted_out(paths, included)[1]

    def _sorted_out(
        self, paths: Sequence[str | Path], included: Included | None
    ) -> tuple[list[Path], list[Path]]:
        """Every file in *paths* that no other one includes, and those of them that are unused parts."""
        found: dict[Path, bool] = {}  # and whether it is named
        for path in map(Path, objects.parted(paths)[1]):
            if path.is_dir():
                for file in (file for file, wanted in self._walk(path) if wanted):
                    found.setdefault(file, False)
            elif path.exists():
                found[path.resolve()] = True
            else:
                raise UsageError(f"there is no file or folder '{path}'")
        included = included or self.included
        projects: dict[Path, Parts] = {}
        for path in found:
            if path.suffix.lower() in _PROJECTS:
                with suppress(LoadError):  # the error is reported when the file is read
                    projects[path] = included(path)
        parts = {_part(path, name) for path, told in projects.items() for name in told.names}
        mains = {path.parent for path, told in projects.items() if told.is_whole}
        kept = [path for path in found if path not in parts]
        return kept, [
            path
            for path in kept
            if not found[path] and not projects.get(path, Parts()).is_whole and mains & {*path.parents}
        ]

    def skipped(self, paths: Sequence[str | Path] = ()) -> list[str]:
        folders = [path for path in map(Path, [*self.paths, *paths]) if path.is_dir()]
        left_out = [str(f) for each in folders for f, wanted in self._walk(each) if not wanted]
        return left_out + [uri for uri, _, wanted in self._stored(paths) if not wanted]

    def digest(self, uri: str | Path, included: Included | None = None) -> str:
        """A digest of a file's content and of the files that it includes, as for `under`.

        Raises `LoadError`.
        """
        if objects.is_object(uri):
            return objects.version(str(uri))
        path = Path(uri)
        if path.suffix.lower() in _PROJECTS:
            names = (included or self.included)(path).names
            parts = {name: part for name in names if (part := _part(path, name)) != path}
            return self._digest(path, parts)
        with self._opened(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def unused(self, paths: Sequence[str | Path] = ()) -> list[str]:
        return [str(path) for path in self.unused_in([*self.paths, *paths])]

    def included(self, path: Path) -> Parts:
        """The files that the paper in a file includes, directly or not."""
        content = self.content(path)
        form = self._format(path, content)
        is_whole = isinstance(form, ProjectFormat) and form.is_whole(form.decoded(content))
        return Parts(list(self._companions(path, content)), is_whole)

    def read(self, uri: str) -> Iterator[list[Document]]:
        with self.local(uri) as path:
            border = Border(self, path, uri)
            for paper in self.each(path):
                yield border.admitted(encoded([paper]))

    @contextmanager
    def reading(self) -> Iterator[PaperSource]:
        """These files, recognised and parsed in processes of their own with the limits of this loader."""
        from ragkit.read.process import Reader

        with Reader(self) as reader:
            yield reader

    def gone(self, uris: Iterable[str], paths: Sequence[str | Path] = ()) -> list[str]:
        addresses, local = objects.parted(paths)
        folders, uris = [Path(path).resolve() for path in local], list(uris)
        there = {uri for address in addresses for uri in objects.listed(address)}
        return [
            uri for uri in uris if any(objects.is_below(uri, each) for each in addresses) and uri not in there
        ] + [
            uri
            for uri in uris
            if Path(uri).is_absolute()  # else it is no file that was read here
            and not Path(uri).exists()
            and (not paths or any(Path(uri).is_relative_to(each) for each in folders))
        ]

    def each(self, path: Path) -> Iterator[Document]:
        """The papers that a file lists, one after another.  Raises `LoadError` with the reason."""
        content = self.content(path)
        if not content.removeprefix(codecs.BOM_UTF8).strip():
            raise LoadError("it is empty")
        try:
            form = self._format(path, content)
            if form is None:
                raise LoadError("none of the configured formats recognises it")
            if isinstance(form, ProjectFormat):
                texts = {name: form.decoded(part) for name, part in self._companions(path, content).items()}
                text = form.decoded(content)
                papers = noted(form.papers_with(path.name, text, texts), text)
            else:
                papers = form.papers(path.name, form.unlocked(content, self._passwords))
            for each in papers:
                for source in each.metadata["sources"]:
                    source["uri"] = str(path)
                yield each
        except (LoadError, MemoryError):
            raise
        except RecursionError:
            raise LoadError("it is nested too deeply to be read") from None
        except Exception as error:  # a format's mistake costs the file, not the run
            reason = " ".join(str(error).split())[:200]
            raise LoadError(
                f"it cannot be read: {type(error).__name__}{': ' if reason else ''}{reason}"
            ) from error

    def _walk(self, folder: Path) -> Iterator[tuple[Path, bool]]:
        root = folder.resolve()
        return _walk(root, self.follow_links, Choice(root, self.include, self.exclude))

    def _format(self, path: Path, content: bytes) -> FileFormat | None:
        return next((f for f in self.ordered_formats if f.recognises(path.name, content[:HEAD])), None)

    def _companions(self, path: Path, content: bytes) -> dict[str, bytes]:
        """The files that a paper's file includes, directly or indirectly, by their names.

        Only existing files in its own folder, or below it, count.
        """
        form = self._format(path, content) if path.suffix.lower() in _PROJECTS else None
        if not isinstance(form, ProjectFormat):
            return {}
        found: dict[str, bytes] = {}
        waiting = form.companions(path.name, form.decoded(content), whole=True)
        while waiting and len(found) < _COMPANIONS:
            name = waiting.pop(0)
            part = _part(path, name)
            if name not in found and part != path and part.is_file():
                found[name] = self.content(part)
                waiting += form.companions(path.name, form.decoded(found[name]), whole=False)
        return found

    def _digest(self, path: Path, companions: Mapping[str, Path]) -> str:
        whole = hashlib.sha256(self.content(path))
        for name, part in sorted(companions.items()):
            whole.update(name.encode() + b"\0" + hashlib.sha256(self.content(part)).digest())
        return whole.hexdigest()

    def content(self, path: Path) -> bytes:
        with self._opened(path) as file:
            return file.read()

    @contextmanager
    def _opened(self, path: Path) -> Iterator[BufferedReader]:
        try:
            str(path).encode()
            if not path.is_file():
                raise LoadError(
                    "it is a folder that cannot be opened" if path.is_dir() else "it is not a regular file"
                )
            with path.open("rb") as file:
                yield file
        except UnicodeEncodeError:
            raise LoadError("its name is not UTF-8; rename it") from None
        except OSError as error:
            raise LoadError(f"it cannot be read: {error.strerror}") from None


def _part(path: Path, name: str) -> Path:
    """The file that the one in *path* includes by this name; *path* itself for one outside its folder."""
    part = (path.parent / name).resolve()
    return part if part.is_relative_to(path.parent) else path


def _walk(root: Path, follow_links: bool, choice: Choice) -> Iterator[tuple[Path, bool]]:
    """Each file under *root*, once, and whether it is read.

    Links that lead out of *root* may not be, and what is not in the *choice* is not.

    A folder that cannot be opened is listed as a file, which then fails when it is read.
    """
    entered: set[str] = set()
    waiting = [root]
    while waiting:
        directory = waiting.pop()
        if (real := os.path.realpath(directory)) in entered:  # links may form a circle
            continue
        entered.add(real)
        try:
            entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
        except OSError:
            yield directory, True
            continue
        folders = []
        for entry in entries:
            path, linked = Path(entry.path), entry.is_symlink()
            if entry.name.startswith("."):
                continue
            if linked and (target := Path(os.path.realpath(path))).is_relative_to(root):
                path = target
            elif linked and not follow_links:
                yield path, False
                continue
            if path.is_dir() if linked else entry.is_dir():
                folders.append(path)
            else:
                yield path, choice.reads(path)
        waiting += reversed(folders)
