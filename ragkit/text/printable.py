"""What a terminal or a log may be given: text of strangers without the characters that control it."""

from __future__ import annotations

import json
import logging
import re

# All but tab and line feed of C0, DEL, C1 (which begin escape sequences in eight bits); marks that turn the
# direction of writing; separators of lines and paragraphs; lone surrogates, which cannot be written; tags,
# which nobody sees.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """*text* with `�` for each character that would control a terminal; line breaks and tabs stay."""
    return _CONTROL.sub("\ufffd", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """`printable` for a name or a message: white space of any length, line breaks included, is one space."""
    return printable(" ".join(text.split()))


def exact_json(value: object, indent: int | None = None) -> str:
    """*value* as JSON whose characters that would control a terminal are written `\\uXXXX`."""
    written = json.dumps(value, ensure_ascii=False, indent=indent)
    return _CONTROL.sub(lambda found: json.dumps(found[0])[1:-1], written)


class PrintableRecords(logging.Filter):
    """Makes each log record one printable line."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = one_line(record.getMessage()), ()
        return True
