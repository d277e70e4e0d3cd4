"""Every exception ragkit defines.

    RagkitError
    ├── ConfigError           a pipeline file is wrong; lists every problem with file:line:column
    ├── UsageError            a command or call was given something it cannot use
    ├── CorpusError           the corpus cannot be read, written or locked
    │   ├── NoCorpus          there is none in the directory named
    │   ├── CorpusBusy        another process writes to it
    │   ├── LeaseLost         another worker has the file by now
    │   ├── DepotError        the depot cannot be read or written
    │   │   └── DepotLacks    what it should have is missing there or damaged
    │   └── IndexMismatch     an index does not hold what this configuration needs
    ├── LoadError             one file cannot be read as papers; costs that file, never the run
    │   └── Unreachable       it could not be fetched, and is tried again by the next ingest
    ├── DeadlinePassed        a call was not made, or not finished, before its deadline
    └── ModelError            a model cannot be found, loaded or reached

Each message is one sentence that names the thing, the value and the way out.  A component's own
exception is never wrapped: it keeps its type and gains a note that says which stage it came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar


class RagkitError(Exception):
    """Base class of the errors above."""

    exit_status: ClassVar[int] = 1
    """What the command line exits with: 1 failed while running, 2 wrong usage or configuration."""


class UsageError(RagkitError):
    """A command or call was given something it cannot use."""

    exit_status = 2


class CorpusError(RagkitError):
    """The corpus cannot be read, written or locked."""


class NoCorpus(CorpusError):
    """There is no corpus in the directory named."""

    exit_status = 2


class CorpusBusy(CorpusError):
    """Another process is writing to the corpus."""


class LeaseLost(CorpusError):
    """Another worker has the file that this one took from the queue; nothing of the change was kept."""


class DepotError(CorpusError):
    """The depot, through which indexes are shipped between machines, cannot be read or written."""


class DepotLacks(DepotError):
    """The depot is there, but not a generation of an index, or some of its files are missing or damaged."""


class IndexMismatch(CorpusError):
    """An index does not hold what this configuration needs."""

    exit_status = 2


class LoadError(RagkitError):
    """One file cannot be read as papers."""


class Unreachable(LoadError):
    """One file, or the store that has it, could not be reached; the next ingest tries again."""


class DeadlinePassed(RagkitError):
    """A call was not made, or not finished, before its deadline."""


class ModelError(RagkitError):
    """A model cannot be found, loaded or reached."""


@dataclass(frozen=True)
class Problem:
    """One mistake in a pipeline file; `line` and `column` count from 1, and are 0 in an option.

    `file` is the extended file or the option that it is in; empty for the file that was asked for.
    """

    line: int
    column: int
    path: str
    message: str
    source: str = ""
    file: str = ""

    def render(self, file: str) -> str:
        message = " ".join(f"{self.path}: {self.message}".splitlines())  # a value may have several lines
        place = f":{self.line}:{self.column}" if self.line else ""
        head = f"{self.file or file}{place}: {message}"
        if not self.source.strip():
            return head
        indent = "".join("\t" if c == "\t" else " " for c in self.source[: self.column - 1])
        return f"{head}\n    {self.source}\n    {indent}^"


class ConfigError(RagkitError):
    """The file does not describe the pipeline asked for."""

    exit_status = 2

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.file = file
        self.problems = sorted(problems, key=lambda p: (p.file, p.line, p.column))
        super().__init__("\n".join(problem.render(file) for problem in self.problems))


@contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """Import the packages of an extra inside this context.

    Raises `UsageError` with the install command if one is missing.
    """
    try:
        yield
    except ImportError as error:
        raise UsageError(f"{what} needs {error.name or error}; pip install 'ragkit[{extra}]'") from None
