"""What `make check` refuses: known vulnerabilities that nobody has accepted, and licences that are not
permissive.
"""

from __future__ import annotations

import importlib.util
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from support import ROOT


@pytest.fixture(scope="module")
def audit() -> Any:
    spec = importlib.util.spec_from_file_location("audit", ROOT / "tools" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_runtime_dependency_has_an_allowed_licence(audit: Any) -> None:
    names = {package.name.lower() for package in audit.runtime("ragkit", audit.EXTRAS)}
    assert names >= {"ragkit", "chromadb", "numpy", "openvino", "tantivy", "pypdfium2", "obstore", "psycopg"}
    assert audit.refused_licences() == []


def test_every_extra_that_users_install_is_audited(audit: Any) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert tuple(sorted(extras.keys() - {"dev", "docling", "docs"})) == audit.EXTRAS


def test_an_exception_is_for_one_licence_and_fails_the_check_when_it_is_not_needed(
    audit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert all(audit.EXCEPTIONS.values())
    needless = {("numpy", "GPL-2.0-only"): "a reason", ("psycopg", "AGPL-3.0-only"): "a reason"}
    monkeypatch.setattr(audit, "EXCEPTIONS", needless)
    said = audit.refused_licences()
    assert any(each.startswith("psycopg ") and "'LGPL-3.0-only', which is not" in each for each in said)
    assert [each.split()[0] for each in said if each.endswith("; remove that")] == ["numpy", "psycopg"]


def test_a_vendored_library_has_an_allowed_licence_beside_it(audit: Any, tmp_path: Path) -> None:
    assert audit.refused_vendored() == []
    for name, text in (("free", "MIT License"), ("copyleft", "GNU GENERAL PUBLIC LICENSE")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "LICENSE").write_text(text)
    (tmp_path / "nothing").mkdir()
    assert [said.split()[2] for said in audit.refused_vendored(tmp_path)] == ["copyleft", "nothing"]


@pytest.mark.parametrize("name", ["GPL-3.0-only", "LGPL-2.1", "AGPL-3.0", "MIT AND GPL-2.0-only", "none"])
def test_a_licence_that_is_not_permissive_is_refused(
    audit: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(audit, "licence", lambda package: name)
    monkeypatch.setattr(audit, "EXTRAS", ())
    assert f"has the licence '{name}', which is not allowed" in audit.refused_licences()[0]


def test_an_advisory_fails_the_check_unless_it_is_accepted_for_that_package(audit: Any) -> None:
    accepted = next(iter(audit.ACCEPTED))

    def said(name: str, **advisory: Any) -> list[str]:
        vulns = [{"fix_versions": [], "aliases": [], **advisory}]
        found: list[str] = audit.findings({"dependencies": [{"name": name, "version": "1", "vulns": vulns}]})
        return found

    assert said("chromadb", id=accepted) == []
    assert said("chromadb", id="PYSEC-X", aliases=[accepted]) == []
    assert said("numpy", id=accepted)[0].startswith(f"numpy 1: {accepted} (mended in no release); upgrade it")
    assert "PYSEC-X (mended in 2)" in said("chromadb", id="PYSEC-X", fix_versions=["2"])[0]


def test_each_accepted_advisory_has_a_date_and_a_reason(audit: Any) -> None:
    for accepted in audit.ACCEPTED.values():
        assert date.fromisoformat(accepted.date) >= date(2026, 1, 1)
        assert accepted.reason
