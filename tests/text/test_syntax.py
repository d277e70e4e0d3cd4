"""What the parser of English costs a cold process."""

from __future__ import annotations

import sys
import threading

import pytest

from ragkit.testing import imports_heavy
from ragkit.text.syntax import unimportable


def test_parsing_imports_nothing_heavy() -> None:
    assert imports_heavy("from ragkit.text.syntax import counted; counted('How many teams left?')") == []


def test_an_unimportable_package_is_missing_for_this_thread_alone_and_only_for_a_while() -> None:
    found: list[object] = []
    sys.modules.pop("colorsys", None)
    with unimportable("colorsys"):
        with pytest.raises(ImportError, match="colorsys"):
            import colorsys
        other = threading.Thread(target=lambda: found.append(__import__("colorsys")))
        other.start()
        other.join()
    assert found == [sys.modules.pop("colorsys")]
    import colorsys

    assert colorsys


def test_a_package_that_is_imported_already_stays() -> None:
    import colorsys

    with unimportable("colorsys"):
        assert __import__("colorsys") is colorsys
