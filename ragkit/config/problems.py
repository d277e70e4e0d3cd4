"""The problems of a pipeline file and of those that it extends, each with the line that it stands in."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import yaml

from ragkit.config.spec import Position
from ragkit.errors import Problem


class Stop(Exception):
    """The file cannot be checked any further."""


class Problems:
    """The problems found so far, and the texts that they stand in.  *name* is the file that was asked for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.found: list[Problem] = []
        self._lines: dict[str, list[str]] = {}

    def add_text(self, name: str, text: str) -> None:
        """Remember the lines of a file, which messages quote."""
        self._lines[name] = text.splitlines()

    def line(self, place: Position) -> str:
        """The line that *place* is in; empty where there is none, as in an option of the command line."""
        lines = self._lines.get(place.file or self.name, [])
        return lines[place.line] if 0 <= place.line < len(lines) else ""

    def at(self, place: Position, message: str) -> None:
        path = place.path if len(place.path) < 100 else f"{place.path[:40]}..."
        file = "" if place.file == self.name else place.file
        problem = Problem(place.line + 1, place.column + 1, path or "(file)", message, self.line(place), file)
        if not any(
            (p.file, p.line, p.column, p.message)
            == (problem.file, problem.line, problem.column, problem.message)
            for p in self.found
        ):
            self.found.append(problem)  # once, however many aliases lead to it

    def node(self, node: yaml.Node, path: str, message: str) -> None:
        self.at(place_of(node.start_mark, path), message)


def place_of(mark: yaml.Mark | None, path: str) -> Position:
    return Position(mark.line, mark.column, path, mark.name) if mark else Position(0, 0, path)


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    return "".join(f"; did you mean '{prefix}{each}'?" for each in close(word, known))


def close(word: str, known: Iterable[str]) -> list[str]:
    """The known word nearest to *word*, if one is near."""
    return difflib.get_close_matches(word, list(known), n=1)
