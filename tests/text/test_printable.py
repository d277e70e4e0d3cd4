"""Nothing that a stranger wrote controls a terminal or forges a line of a log."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.text.printable import exact_json, one_line, printable

HOSTILE = "\x1b]0;owned\x07 \x1b[2J \x9b31m \x00 \x7f \r \u202etxt.exe \u2066 \u2028 \udc80 \U000e0041 [bold]x[/bold]"
CONTROLS = set("\x1b\x07\x9b\x00\x7f\r\u202e\u2066\u2028\udc80\U000e0041")


def test_what_controls_a_terminal_is_made_visible_and_everything_else_stays() -> None:
    assert not CONTROLS & set(printable(HOSTILE))
    assert printable("a\x1b[31mb") == "a\ufffd[31mb"
    assert printable("Zürich שלום نص 漢字 👩‍🔬 a\tb\r\nc\n") == "Zürich שלום نص 漢字 👩‍🔬 a\tb\nc\n"


def test_a_name_is_one_line() -> None:
    assert one_line("On Glass\nfailed: [1] Forged\r\n  supported") == "On Glass failed: [1] Forged supported"


@given(st.text(st.characters(), max_size=40))
def test_json_is_exact_and_has_nothing_that_controls_a_terminal(text: str) -> None:
    written = exact_json({"text": text + HOSTILE}, indent=2)
    assert json.loads(written) == {"text": text + HOSTILE}
    assert printable(written) == written


def test_a_log_record_is_one_printable_line(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("ragkit").warning("index %s is damaged: %s", "a\nERROR forged", ValueError("\x1b[2J"))
    assert caplog.messages == ["index a ERROR forged is damaged: \ufffd[2J"]
