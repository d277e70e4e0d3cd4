"""The characters of a PDF's page, each with its box: halves joined, accents on their letters, blanks as seen."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import Any, NamedTuple

from ragkit.read.formats.pdf.hidden import hidden_characters

BREAK, HYPHEN = "\n", "\u00ad"  # where a line ends; where one ends in a hyphen
_HYPHENS = ("\u0002", "\ufffe", HYPHEN)
_TURNED = 0.2  # radians; text at a larger angle to the sides of the page is askew

Box = tuple[float, float, float, float]


class Character(NamedTuple):
    """A character, or a letter with its accent; blanks and the ends of lines have no box.

    The box is the one on a page that is turned so that the character stands upright.
    """

    text: str
    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0
    size: float = 0.0
    at: int = 0
    """Its number in the text of the page."""
    turn: int = 0
    """The quarter turns, clockwise, that set upright what the file writes without one."""
    is_askew: bool = False
    is_unreadable: bool = False
    is_supposed: bool = False
    """Is it a blank that the file does not have?"""


def turned(box: Box, width: float, height: float, quarters: int) -> Box:
    """A box of a page of this size, after so many quarter turns (clockwise) of the page."""
    left, top, right, bottom = box
    for _ in range(quarters % 4):
        left, top, right, bottom = height - bottom, left, height - top, right
        width, height = height, width
    return left, top, right, bottom


def characters_of(page: Any, text: Any) -> tuple[list[Character], Counter[str]]:
    """The characters that a page shows, in the order of the file, and how many are hidden, by reason."""
    found, hidden = _seen(page, text)
    lines: list[list[Character]] = [[]]
    for character in found:
        lines[-1].append(character)
        if character.text in (BREAK, HYPHEN):
            lines.append([])
    return [each for line in lines for each in _without_false_blanks(_accented(line))], hidden


def _seen(page: Any, text: Any) -> tuple[list[Character], Counter[str]]:
    import ctypes

    import pypdfium2.raw as pdfium

    left_of_page, bottom_of_page, right_of_page, top_of_page = page.get_bbox()
    width, height = right_of_page - left_of_page, top_of_page - bottom_of_page
    handle = text.raw
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    unseen = hidden_characters(page, text)
    hidden: Counter[str] = Counter()
    found: list[Character] = []
    get_code, get_box, get_angle = (
        pdfium.FPDFText_GetUnicode,
        pdfium.FPDFText_GetCharBox,
        pdfium.FPDFText_GetCharAngle,
    )
    get_size, is_unmapped = pdfium.FPDFText_GetFontSize, pdfium.FPDFText_HasUnicodeMapError
    half = 0
    for at in range(text.count_chars()):
        code = get_code(handle, at)
        if 0xD800 <= code < 0xDC00:
            half = code
            continue
        if half and 0xDC00 <= code < 0xE000:
            code = 0x10000 + (half - 0xD800) * 0x400 + code - 0xDC00
        half = 0
        character = chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
        if character in "\r\n" or character in _HYPHENS:
            found.append(Character(BREAK if character in "\r\n" else HYPHEN))
            continue
        if character.isspace():
            found.append(Character(" ", is_supposed=pdfium.FPDFText_IsGenerated(handle, at) == 1))
            continue
        if at in unseen:
            hidden[unseen[at]] += 1
            continue
        get_box(handle, at, left, right, bottom, top)
        box = (
            left.value - left_of_page,
            top_of_page - top.value,
            right.value - left_of_page,
            top_of_page - bottom.value,
        )
        if box[0] > width or box[2] < 0 or box[1] > height or box[3] < 0:
            hidden["off the page"] += 1
            continue
        angle = -get_angle(handle, at)
        turn = round(angle / (math.pi / 2))
        box = turned(box, width, height, turn)
        size = get_size(handle, at)
        size = size if size > 1.5 else max(box[3] - box[1], 1.0)  # scaled type reports a size of 1
        askew = abs(angle - turn * math.pi / 2) > _TURNED
        found.append(Character(character, *box, size, at, turn % 4, askew, is_unmapped(handle, at) == 1))
    return found, hidden


# --- accents

_SPACING = {
    "`": "\u0300", "´": "\u0301", "ˆ": "\u0302", "˜": "\u0303", "¯": "\u0304", "˘": "\u0306", "˙": "\u0307",
    "¨": "\u0308", "˚": "\u030a", "˝": "\u030b", "ˇ": "\u030c", "¸": "\u0327", "˛": "\u0328",
}  # fmt: skip
_DOTLESS = {"ı": "i", "ȷ": "j"}
_NEAR = 0.1  # of the size of the type; an accent is over a letter that its middle is over, or so near
_REACH = 100  # characters
_BESIDE = 0.3  # of the size of the type; an accent is not beside a letter that is further off
_CLOSE = 0.15  # of the size of the type; less is no gap between words


def _accented(line: Sequence[Character]) -> Sequence[Character]:
    """The characters of a line, where an accent that stands over a letter, or beside it, is one with it."""
    letters: dict[int, int] = {}
    for number, each in enumerate(line):
        mark = _mark(each)
        letter = _letter_of(number, mark, line) if mark else None
        if letter is not None:
            letters[number] = letter
    if not letters:
        return line
    whole = list(line)
    for accent, letter in letters.items():
        whole[letter] = _borne(whole[letter], line[accent])
    bearing = {whole[n].at for n in letters.values()}
    found: list[Character] = []
    kept = [each for n, each in enumerate(whole) if n not in letters]
    for n, each in enumerate(kept):
        behind = kept[n + 1] if n + 1 < len(kept) else Character(BREAK)
        if each.is_supposed and found and (found[-1].at in bearing or behind.at in bearing):
            if behind.left - found[-1].right < _CLOSE * behind.size:
                continue
        found.append(each)
    return found


def _mark(character: Character) -> str:
    """The accent that combines with a letter, if *character* is one."""
    return _SPACING.get(character.text) or (character.text if unicodedata.combining(character.text) else "")


def _letter_of(number: int, mark: str, line: Sequence[Character]) -> int | None:
    """The letter of *line* under the accent of this number, or else beside it.

    The text engine sorts what it reads by place, so that an accent may come after more letters.
    """
    accent = line[number]
    around = range(max(number - _REACH, 0), min(number + _REACH, len(line)))
    nearest = min(around, key=lambda n: _off(accent, line[n]))
    if _off(accent, line[nearest]) < math.inf:
        return nearest
    before = line[number - 1] if number else Character(" ")
    behind = line[number + 1] if number + 1 < len(line) else Character(" ")
    if before.text.isalpha() and (accent.text == mark or (accent.text in "¸˛" and before.text in "cCsSaeAE")):
        return number - 1
    return number + 1 if accent.text != mark and _is_borne(accent, before, behind) else None


def _off(mark: Character, letter: Character) -> float:
    """How far the middle of an accent is from that of the letter under it; infinite if it is over no letter."""
    middle = (mark.left + mark.right) / 2
    near = _NEAR * letter.size
    is_over = letter.left - near <= middle <= letter.right + near and letter.turn == mark.turn
    is_letter = letter.text.isalpha() and not _mark(letter)  # some accents count as letters
    if not (is_letter and is_over and abs(letter.bottom - mark.bottom) < 1.2 * letter.size):
        return math.inf
    return abs((letter.left + letter.right) / 2 - middle)


def _borne(letter: Character, accent: Character) -> Character:
    mark = _mark(accent)
    base = letter.text if mark in "\u0327\u0328" else _DOTLESS.get(letter.text, letter.text)
    return letter._replace(
        text=unicodedata.normalize("NFC", base + mark),
        left=min(letter.left, accent.left),
        top=min(letter.top, accent.top),
        right=max(letter.right, accent.right),
        bottom=max(letter.bottom, accent.bottom),
    )


def _is_borne(accent: Character, before: Character, letter: Character) -> bool:
    """Does the letter that an accent stands right before, not over, bear it?

    An acute or a grave may be an apostrophe or a quotation mark.
    """
    if not letter.text.isalpha() or letter.left - accent.right > _BESIDE * letter.size:
        return False
    small = _DOTLESS.get(letter.text, letter.text).casefold()
    if accent.text == "`" and not (before.text.isalpha() and small in "aeiou"):
        return False
    if accent.text == "´" and small not in "aeiouycnz":
        return False
    return len(_borne(letter, accent).text) == 1


# --- small capitals

_SMALL_CAPITAL = 0.92  # of the size of a capital; a small capital is no larger
_NARROW = 0.75  # of the gap between the words of a line; a gap in a word of small capitals is narrower
_COLUMN = 1.0  # of the size of the type; a wider gap is no gap between words
_NO_GAP = 0.18  # of the size of the type; between a capital and a small one, a narrower gap parts no words


def _without_false_blanks(line: Sequence[Character]) -> Sequence[Character]:
    """A line without the blanks that the text engine supposes between the capitals of a word."""
    supposed = [n for n in range(1, len(line) - 1) if line[n].is_supposed]
    gaps = {n: line[n + 1].left - line[n - 1].right for n in supposed}
    false = {n for n in supposed if _is_false(line, n, gaps)}
    return [each for n, each in enumerate(line) if n not in false] if false else line


def _is_false(line: Sequence[Character], at: int, gaps: dict[int, float]) -> bool:
    if not (line[at - 1].text.isupper() and line[at + 1].text.isupper()):
        return False
    sizes = [c.size for c in (*_capitals(line[at - 1 :: -1] if at else ()), *_capitals(line[at + 1 :]))]
    if min(sizes) > _SMALL_CAPITAL * max(sizes):
        return False
    others = [gap for n, gap in gaps.items() if n != at and gap < _COLUMN * max(sizes)]
    if line[at - 1].size != line[at + 1].size and gaps[at] < _NO_GAP * max(sizes):
        return True
    return bool(others) and gaps[at] < _NARROW * median(others)


def _capitals(characters: Iterable[Character]) -> Iterator[Character]:
    for each in characters:
        if not each.text.isupper():
            return
        yield each
