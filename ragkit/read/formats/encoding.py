"""The text of a file: in UTF-8, in the encoding that it declares, or in the one that its bytes suggest."""

from __future__ import annotations

import codecs
import functools
import re
from collections.abc import Iterator, Sequence

from langchain_core.documents import Document

from ragkit.errors import LoadError

_DECLARED = re.compile(
    rb"""<\?xml[^>]{0,80}?encoding=["']([\w.-]+)|<meta[^>]{0,200}?charset=["']?([\w.-]+)"""
    rb"""|\\(?:usepackage|inputenc)\s*\[([\w-]+)\]\{inputenc\}""",
    re.IGNORECASE,
)
_HEAD = 65_536  # bytes in which a file declares its encoding
_NAMES = {"iso-8859-1": "cp1252", "latin-1": "cp1252", "latin1": "cp1252", "ansinew": "cp1252"}
_NAMES |= {
    "applemac": "mac_roman",
    "us-ascii": "utf-8",
    "ascii": "utf-8",
    "utf8x": "utf-8",
    "utf-16": "utf-8",
}

# Encodings of text without a declaration, the most frequent first.
_KNOWN = (
    "cp1252 cp1250 cp1251 koi8_r cp1253 cp1254 gb18030 big5 shift_jis euc_jp euc_kr cp1255 cp1256 mac_roman"
)
_SAMPLE = 20_000  # bytes of lines that are not ASCII, which tell the encoding
_LISTED = 20
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


class DecodedText(str):
    """The text of a file, its `encoding` if that is not UTF-8 or UTF-16, and what could not be decoded."""

    encoding: str = ""
    lost: Sequence[str] = ()


def decode(content: bytes, partial: bool = False) -> DecodedText:
    """The text of a file, with its line ends, so that offsets in it are offsets in the file.

    A byte order mark is not counted.  With *partial*, the last character may be cut.
    Raises `LoadError` for what is no text.
    """
    if content.startswith(b"%PDF-"):
        raise LoadError("it is a PDF, which none of the configured formats reads")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _replaced(content, "utf-16", partial)
    if b"\x00" in content:
        raise LoadError("it is not a text file: it has NUL bytes")
    declared = _declared(content)
    valid = _strict(content, "utf-8-sig", partial)
    # What is valid UTF-8 is in UTF-8, unless each character is ASCII as in ISO-2022-JP.
    if valid is not None and (not declared or not valid.isascii()):
        return DecodedText(valid)
    if declared and (found := _strict(content, declared, partial)) is not None:
        return _in(declared, found, is_ascii=content.isascii())
    if valid is not None:
        return DecodedText(valid)
    text = content.decode("utf-8-sig", "replace")
    bad = text.count("\ufffd")
    if sum(character > "\x7f" for character in text) > 2 * bad:
        return _replaced(content, "utf-8-sig", partial)
    suggested = declared or _suggested(_sample(content))
    if not suggested:
        raise LoadError("it is not a text file in an encoding that is known; save it as UTF-8")
    text = _replaced(content, suggested, partial)
    if len(_CONTROL.findall(text)) * 100 > len(text):
        raise LoadError("it is not a text file: it has control characters")
    return _in(suggested, text)


def noted(papers: Iterator[Document], text: str) -> Iterator[Document]:
    """The papers of a file, which say how its *text* was decoded."""
    lost = list(getattr(text, "lost", ()))
    encoding = getattr(text, "encoding", "")
    for paper in papers:
        if encoding:
            paper.metadata.setdefault("encoding", encoding)
        if lost:
            paper.metadata["lost"] = [*lost, *paper.metadata.get("lost", ())]
            lost = []
        yield paper


def _declared(content: bytes) -> str:
    """The codec of the encoding that a file declares; empty if there is none, or for UTF-8."""
    found = None if content.startswith(codecs.BOM_UTF8) else _DECLARED.search(content[:_HEAD])
    if not found:
        return ""
    name = (found[1] or found[2] or found[3]).decode("ascii", "replace").lower()
    try:
        known = codecs.lookup(_NAMES.get(name, name))
    except LookupError:
        return ""
    return "" if known.name == "utf-8" or not known._is_text_encoding else known.name


def _strict(content: bytes, encoding: str, partial: bool) -> str | None:
    for cut in range(4 if partial else 1):
        try:
            return content[: len(content) - cut].decode(encoding)
        except UnicodeError:
            continue
    return None


def _replaced(content: bytes, encoding: str, partial: bool) -> DecodedText:
    """A text with U+FFFD for what cannot be decoded, which is listed by its line."""
    text = DecodedText(_strict(content, encoding, partial) or content.decode(encoding, "replace"))
    name = encoding.removesuffix("-sig").upper()
    places = [found.start() for found in re.finditer("\ufffd", text)]
    if places and not text.strip("\ufffd \r\n\t"):
        raise LoadError(f"it is not {name}: byte 1 cannot be decoded; save it as UTF-8")
    line, counted, lost = 1, 0, []
    for place in places[:_LISTED]:
        line, counted = line + text.count("\n", counted, place), place
        lost.append(f"line {line}: a byte cannot be decoded as {name}")
    if len(places) > _LISTED:
        lost.append(f"{len(places) - _LISTED} more bytes cannot be decoded")
    text.lost = lost
    return text


def _in(encoding: str, text: str, is_ascii: bool = False) -> DecodedText:
    found = text if isinstance(text, DecodedText) else DecodedText(text)
    found.encoding = "" if is_ascii and found == found.encode("ascii", "replace").decode() else encoding
    return found


def _sample(content: bytes) -> bytes:
    """The first lines with characters that are not ASCII, which tell the encoding."""
    lines, size = [], 0
    for line in content.splitlines():
        if not line.isascii():
            lines.append(line)
            size += len(line)
            if size > _SAMPLE:
                break
    return b"\n".join(lines)


@functools.lru_cache(maxsize=4)
def _suggested(sample: bytes) -> str:
    """The encoding in which a text without a declaration makes most sense; empty if in none."""
    from charset_normalizer import from_bytes

    known = _KNOWN.split()
    ranked = []
    for match in from_bytes(sample, cp_isolation=known):
        same = {match.encoding, *match.could_be_from_charset}
        name = min(same & set(known), key=known.index, default=match.encoding)
        ranked.append((match.chaos, -match.coherence, known.index(name), name))
    return min(ranked)[-1] if ranked else ""
