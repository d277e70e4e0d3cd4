"""Pipeline files with open places, `{choice: [a, b]}` and `{range: [low, high]}`, and ways to fill them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ragkit import config, pipeline_file
from ragkit.config import layers, presets
from ragkit.config.bounded_yaml import load as load_yaml
from ragkit.config.layers import DEFINITIONS, EXTENDS, Override
from ragkit.errors import UsageError, needs
from ragkit.rag import Rag

Value = Any  # whatever YAML can say
Assignment = tuple[int, ...]
"""For each open place, the number of the option taken."""

_POINTS = 5
"""How many values stand for a range without a step."""


@dataclass(frozen=True)
class Open:
    """A place that a pipeline file leaves open: where it first occurs, and what may stand there."""

    path: str
    options: tuple[Value, ...]
    inside: bool = False
    """Does it stand inside an option of another place?"""


class Space:
    """A pipeline file with open places, in the file or in *overrides* (`--set answer.refine.k={range: [3, 9]}`).

    An anchor's open place is one, however often it is used.  *model* is the chat model of every candidate.
    Raises `UsageError` if nothing is open, if a `choice` or `range` is none, or if an override sets what the
    file leaves open.
    """

    def __init__(
        self,
        text: str,
        name: str,
        allow_import: Collection[str] = (),
        allow_env: Collection[str] = (),
        folder: Path | None = None,
        model: str | None = None,
        overrides: Sequence[Override] = (),
    ) -> None:
        self.name, self.allow_import, self.allow_env = name, allow_import, allow_env
        self.folder, self.model, self.overrides = folder, model, overrides
        try:
            self._data = load_yaml(text)
        except yaml.YAMLError as error:
            raise UsageError(f"'{name}' is not YAML: {error}") from None
        found: dict[int, Open] = {}
        _collect(self._data, "", found, name)
        for override in overrides:
            _demand_apart(override, found.values(), name)
        self._set = [_plain(override) for override in overrides]
        for override, value in zip(overrides, self._set, strict=True):
            _collect(value, override.path, found, override.label)
        if not found:
            raise UsageError(
                f"'{name}' leaves nothing open; write {{choice: [a, b]}} or {{range: [low, high]}} where values are to be tried,"
                " in the file or with --set"
            )
        self._places = list(found)
        self.open = tuple(found.values())

    @classmethod
    def read(
        cls,
        path: Path,
        allow_import: Collection[str] = (),
        allow_env: Collection[str] = (),
        model: str | None = None,
        overrides: Sequence[Override] = (),
    ) -> Space:
        """Raises `UsageError` if there is no such file."""
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"cannot read '{path}': {getattr(error, 'strerror', None) or 'it is not UTF-8'}"
            ) from None
        if path.parent == presets.PRESETS:  # which is written as if it lay in the working directory
            text, name, folder = f"extends: {path.stem}\n", f"preset {path.stem}", Path()
        else:
            name, folder = str(path), path.parent
        return cls(text, name, allow_import, allow_env, folder, model, overrides)

    @cached_property
    def size(self) -> int:
        """How many ways there are to fill it in."""
        return math.prod(len(place.options) for place in self.open)

    def filled(self, chosen: Assignment) -> Value:
        """The data of a pipeline file with these options."""
        return _filled(self._data, self._values(chosen), {})

    def _values(self, chosen: Assignment) -> dict[int, Value]:
        return {
            key: place.options[number]
            for key, place, number in zip(self._places, self.open, chosen, strict=True)
        }

    def text(self, chosen: Assignment) -> str:
        """The same as YAML, without the place for anchors, unless it changes those of an extended file."""
        data = self.filled(chosen)
        kept = (
            {key: value for key, value in data.items() if key != DEFINITIONS}
            if isinstance(data, dict) and EXTENDS not in data
            else data
        )
        return str(yaml.dump(kept, Dumper=_NoAliasDumper, sort_keys=False, allow_unicode=True, width=120))

    def yaml(self, chosen: Assignment) -> str:
        """The pipeline file with these options: as it was written, or in full if something is set on top of it."""
        return pipeline_file.dump(self.rag(chosen)) if self._is_changed else self.text(chosen)

    @property
    def _is_changed(self) -> bool:
        return self.model is not None or bool(self.overrides)

    def rag(self, chosen: Assignment) -> Rag:
        """Raises `ConfigError`, which names the options, if they do not make a pipeline."""
        name = f"{self.name} with {self.describe(chosen)}"
        text = (  # anchors are kept, so that what is set under `define` is changed wherever it is used
            str(yaml.safe_dump(self.filled(chosen), sort_keys=False, allow_unicode=True))
            if self._is_changed
            else self.text(chosen)
        )
        document = layers.read(name, text.encode(), self.folder)
        pipeline_file.changed(document, self.model, self._overrides(chosen))
        return config.make(Rag, document, self.allow_import, self.allow_env)

    def _overrides(self, chosen: Assignment) -> list[Override]:
        values, made = self._values(chosen), dict[int, Value]()
        return [
            each if value is _OPAQUE else Override.of(each.path, _filled(value, values, made), each.label)
            for each, value in zip(self.overrides, self._set, strict=True)
        ]

    def describe(self, chosen: Assignment) -> str:
        """The options taken, by place, with what stands in them."""
        values = self._values(chosen)
        told = zip(self.open, self._places, strict=True)
        return ", ".join(
            f"{place.path}: {shown(_filled(values[key], values, {}))}"
            for place, key in told
            if not place.inside
        )

    def matters(self, place: Open, chosen: Assignment) -> bool:
        """Does *place* stand in what *chosen* makes?"""
        used: dict[int, Value] = {}
        values = self._values(chosen)
        for data in (self._data, *self._set):
            _filled(data, values, {}, used)
        return self._places[self.open.index(place)] in used

    def candidates(self, most: int, seed: int) -> list[Assignment]:
        """The first choices, and up to *most* ways in all: every one, or as many spread over the space."""
        first = (0,) * len(self.open)
        every: Iterable[Assignment] = itertools.product(*(range(len(place.options)) for place in self.open))
        wanted = every if self.size <= most else itertools.chain([first], _spread(self.open, most, seed))
        distinct: dict[str, Assignment] = {}  # a place inside an option that is not taken changes nothing
        for chosen in wanted:
            distinct.setdefault(f"{self.text(chosen)}{self._overrides(chosen)}", chosen)
            if len(distinct) == most:
                break
        return list(distinct.values())


class _NoAliasDumper(yaml.SafeDumper):
    """Shared parts are written out where they are used; equal specs build one object."""

    def ignore_aliases(self, data: object) -> bool:
        return True


_OPAQUE = "*"
"""Stands for an override that refers to an anchor of the file: it is set as it is written."""


def _plain(override: Override) -> Value:
    try:
        return load_yaml(override.text)
    except yaml.composer.ComposerError:
        return _OPAQUE
    except yaml.YAMLError as error:
        raise UsageError(f"{override.label}: the value is not YAML: {error}") from None


def _demand_apart(override: Override, places: Iterable[Open], name: str) -> None:
    """Refuse an override of what the file leaves open: its candidates would all be the same."""
    path = override.path.removeprefix(f"{DEFINITIONS}.")
    for place in places:
        if f"{place.path}.".startswith(f"{path}.") or path.startswith(f"{place.path}."):
            raise UsageError(
                f"{override.label}: '{name}' leaves {place.path} open; leave out the option, or fill in the place in the file"
            )


def _collect(value: Value, path: str, found: dict[int, Open], name: str, inside: bool = False) -> None:
    if isinstance(value, dict):
        if set(value) & {"choice", "range"} and set(value) <= {"choice", "range", "step", "log"}:
            if id(value) not in found:
                found[id(value)] = Open(path, _options(value, path, name), inside)
                for option in value.get("choice", ()):
                    _collect(option, path, found, name, inside=True)
            return
        for key, inner in value.items():
            _collect(
                inner,
                ""
                if path == "" and key == DEFINITIONS and EXTENDS not in value
                else f"{path}.{key}".lstrip("."),
                found,
                name,
                inside,
            )
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _collect(inner, f"{path}[{number}]", found, name, inside)


def _options(value: Mapping[str, Value], path: str, name: str) -> tuple[Value, ...]:
    if "choice" in value:
        if set(value) != {"choice"} or not isinstance(value["choice"], list) or len(value["choice"]) < 2:
            raise UsageError(
                f"'{name}': {path}: a choice is a list of two or more values, such as {{choice: [rrf, minmax]}}"
            )
        return tuple(value["choice"])
    ends, step, log = value["range"], value.get("step"), value.get("log", False)
    if not (
        isinstance(ends, list)
        and len(ends) == 2
        and all(type(e) in (int, float) for e in ends)
        and ends[0] < ends[1]
    ):
        raise UsageError(
            f"'{name}': {path}: a range is [low, high] with low < high, such as {{range: [0.1, 0.9]}}"
        )
    if (log and ends[0] <= 0) or (step is not None and not (type(step) in (int, float) and step > 0)):
        raise UsageError(
            f"'{name}': {path}: a step is a number above 0, and a range with `log` begins above 0"
        )
    low, high = ends
    if step is not None:
        points = [low + i * step for i in range(int((high - low) / step + 1e-9) + 1)]
    else:
        spaced = np.geomspace(low, high, _POINTS) if log else np.linspace(low, high, _POINTS)
        points = [float(f"{p:.4g}") for p in spaced]
    whole = all(isinstance(v, int) for v in (*ends, *([step] if step is not None else [])))
    return tuple(dict.fromkeys(round(p) if whole else round(p, 10) for p in points))


def _filled(
    value: Value, values: Mapping[int, Value], made: dict[int, Value], used: dict[int, Value] | None = None
) -> Value:
    """*value* with its open places filled in; parts that were shared stay shared.

    The filled places are added to *used*.
    """
    if id(value) in values:
        if used is not None:
            used[id(value)] = values[id(value)]
        return _filled(values[id(value)], values, made, used)
    if not isinstance(value, dict | list):
        return value
    if id(value) not in made:
        if isinstance(value, dict):
            made[id(value)] = {key: _filled(inner, values, made, used) for key, inner in value.items()}
        else:
            made[id(value)] = [_filled(inner, values, made, used) for inner in value]
    return made[id(value)]


def shown(value: Value) -> str:
    return (
        str(yaml.dump(value, Dumper=_NoAliasDumper, default_flow_style=True, width=10_000))
        .removesuffix("\n...\n")
        .strip()
    )


def _spread(places: Sequence[Open], most: int, seed: int) -> Iterator[Assignment]:
    """Assignments drawn so that they lie evenly in the space."""
    optuna = _optuna()
    study = optuna.create_study(
        sampler=optuna.samplers.QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)
    )
    for _ in range(4 * most):
        trial = study.ask(
            {
                str(i): optuna.distributions.IntDistribution(0, len(p.options) - 1)
                for i, p in enumerate(places)
            }
        )
        study.tell(trial, 0.0)
        yield tuple(trial.params[str(i)] for i in range(len(places)))


def _optuna() -> Any:
    with needs("tune", "a search this wide"):
        import optuna
    import warnings

    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
