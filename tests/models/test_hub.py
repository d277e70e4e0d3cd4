"""Which files a model's name means: a name is never a folder that lies beside the papers."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragkit.errors import ModelError
from ragkit.models import hub


@pytest.fixture(autouse=True)
def _fresh() -> None:
    hub.files.cache_clear()


def planted(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")


def test_a_folder_of_the_same_name_does_not_replace_the_packaged_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = hub.files("all-MiniLM-L6-v2")
    hub.files.cache_clear()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    planted(tmp_path / "all-MiniLM-L6-v2")
    planted(tmp_path / "all_minilm_l6_v2" / "model")
    assert hub.files("all-MiniLM-L6-v2") == usual


def test_a_folder_is_named_by_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    planted(tmp_path / "models" / "mine")
    assert hub.files("./models/mine") == Path("models/mine")
    assert hub.files(str(tmp_path / "models" / "mine")) == tmp_path / "models" / "mine"
    with pytest.raises(ModelError, match=r"give a directory, such as \./model"):
        hub.files("models/mine")
