"""The pipeline files that come with the package, each with a name that `extends` and `--preset` take."""

from __future__ import annotations

from pathlib import Path

PRESETS = Path(__file__).parents[1] / "presets"


def names() -> list[str]:
    """The presets, sorted."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def path_of(name: str) -> Path:
    """The file of the preset *name*, which must be one of `names()`."""
    return PRESETS / f"{name}.yaml"


def summary(name: str) -> str:
    """What the preset is, in one line: the first comment of its file."""
    return path_of(name).read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()
