"""What an extra brings: without it, one sentence says what to install."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable

import pytest
from support import ROOT

from ragkit.errors import UsageError
from ragkit.evaluate.dataset import Case, Dataset
from ragkit.evaluate.measure import of_rankings
from ragkit.evaluate.run import Session, Settings
from ragkit.evaluate.space import _optuna
from ragkit.evaluate.verdicts import bradley_terry
from ragkit.telemetry import tracing


def traces() -> None:
    with tracing():
        pass


@pytest.mark.parametrize(
    ("package", "use", "sentence"),
    [
        (
            "ir_measures",
            lambda: Session(Settings()),
            "measuring needs ir_measures; pip install 'ragkit[evaluate]'",
        ),
        (
            "ir_measures",
            lambda: of_rankings(Dataset("d", (Case("1", "what?", relevant={"a": 1.0}),), ""), {"1": ["a"]}),
            "measuring rankings needs ir_measures; pip install 'ragkit[evaluate]'",
        ),
        (
            "choix",
            lambda: bradley_terry([], ["ours", "theirs"]),
            "ranking by preferences needs choix; pip install 'ragkit[evaluate]'",
        ),
        ("optuna", _optuna, "a search this wide needs optuna; pip install 'ragkit[tune]'"),
        ("opentelemetry", traces, "tracing needs opentelemetry; pip install 'ragkit[otel]'"),
    ],
)
def test_a_package_that_is_missing_is_told_with_the_command_that_installs_it(
    package: str, use: Callable[[], object], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError) as error:
        use()
    assert str(error.value) == sentence


def test_developers_have_every_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    small = extras.keys() - {"dev", "docling"}  # docling brings many packages; tests use a stand-in for it
    assert f"ragkit[{','.join(sorted(small))}]" in extras["dev"]
