"""Every exception ragkit defines.

RagkitError
├── ConfigError        a pipeline file is wrong; lists every problem with file:line:column
├── UsageError         a command or call was given something it cannot use
├── CorpusError        the corpus cannot be read, written or locked
│   └── IndexMismatch  an index does not hold what this configuration needs
├── LoadError          one file cannot be read as papers; costs that file, never the run
└── ModelError         a model cannot be found, loaded or reached

Each message is one sentence that names the thing, the value and the way out.  A component's own
exception is never wrapped: it keeps its type and gains a note that says which stage it came from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class RagkitError(Exception):
    """Base class of the errors above."""


class UsageError(RagkitError):
    """A command or call was given something it cannot use."""


class CorpusError(RagkitError):
    """The corpus cannot be read, written or locked."""


class IndexMismatch(CorpusError):
    """An index does not hold what this configuration needs."""


class LoadError(RagkitError):
    """One file cannot be read as papers."""


class ModelError(RagkitError):
    """A model cannot be found, loaded or reached."""


@dataclass(frozen=True)
class Problem:
    """One mistake in a pipeline file; `line` and `column` count from 1."""

    line: int
    column: int
    path: str
    message: str
    source: str = ""

    def render(self, file: str) -> str:
        head = f"{file}:{self.line}:{self.column}: {self.path}: {self.message}"
        if not self.source.strip():
            return head
        indent = "".join("\t" if c == "\t" else " " for c in self.source[: self.column - 1])
        return f"{head}\n    {self.source}\n    {indent}^"


class ConfigError(RagkitError):
    """The file does not describe the pipeline asked for."""

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.file = file
        self.problems = sorted(problems, key=lambda p: (p.line, p.column))
        super().__init__("\n".join(problem.render(file) for problem in self.problems))
