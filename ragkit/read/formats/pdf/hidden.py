"""The characters of a PDF's page that its readers do not see: invisible, painted over, or in the page's colour.

Whether a reader sees a character is asked of the page as it is drawn: text that may be hidden is taken out,
and where the page then looks the same, nobody saw it.  Only pages with such text are drawn.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.read.formats.pdf.objects import Box, Matrix, box_of, objects_of

INVISIBLE, COVERED, SAME_COLOUR = "invisible", "covered", "in the colour of the page"

_PALE = 200  # of 255 in red, green and blue: what is darker is read on a white page
_FAINT = 64  # of 255; what is less opaque covers nothing, and is hardly read
_NEAR = 48  # how far two colours that may be taken for one lie apart, in the channel that differs most
_SEEN = 16  # how much a character must change a pixel to be seen
_SHAPE = 4.0  # points; a path that is lower or narrower is a rule, and covers no text
_SCAN = 0.5  # of a page that is scanned, images cover at least this share
_STAMP = 5  # a scanned page's recognised text is at least so many times longer than what is stamped on it


@dataclass
class _TextObject:
    """A text object, and why it may be hidden."""

    handle: Any
    matrix: Matrix | None
    order: int
    colour: tuple[int, int, int]
    reason: str | None

    @property
    def address(self) -> int:
        return _address(self.handle)


@dataclass
class _Shape:
    """An image or a filled path, which may lie over or under text."""

    box: Box
    order: int
    colour: tuple[int, int, int] | None  # None: an image


def hidden_characters(page: Any, text: Any) -> dict[int, str]:
    """The characters of a page's text (by index) that are not seen, each with the reason.

    On a page that is a scanned image, the invisible text is the text that was recognised, and is kept.
    """
    import pypdfium2.raw as pdfium

    texts, shapes = _parts_of(page)
    _mark_overlapped(texts, shapes)
    suspects = {each.address: each for each in texts if each.reason}
    if not suspects:
        return {}
    chars: dict[int, list[int]] = {}
    visible = 0
    for at in range(text.count_chars()):
        if pdfium.FPDFText_GetUnicode(text.raw, at) > 32:
            address = _address(pdfium.FPDFText_GetTextObject(text.raw, at))
            chars.setdefault(address, []).append(at) if address in suspects else None
            visible += address not in suspects
    doubtful = {key: each for key, each in suspects.items() if each.reason != INVISIBLE and key in chars}
    boxes = {at: text.get_charbox(at) for key in doubtful for at in chars[key]}
    seen = _Eye(page, boxes, list(doubtful.values())) if boxes else None
    hidden: dict[int, str] = {}
    for address, places in chars.items():
        suspect = suspects[address]
        assert suspect.reason
        unseen = places
        if suspect.reason != INVISIBLE and seen:
            unseen = [at for at in places if not seen(at)]
            if len(unseen) >= 0.8 * len(places):
                unseen = places
            elif len(unseen) <= 0.2 * len(places):
                unseen = []
        hidden.update(dict.fromkeys(unseen, suspect.reason))
        visible += len(places) - len(unseen)
    count = Counter(hidden.values())
    recognised = count[INVISIBLE] + count[COVERED]
    if recognised > _STAMP * visible and _is_scan(page, shapes):
        return {at: reason for at, reason in hidden.items() if reason == SAME_COLOUR}
    return hidden


def _address(handle: Any) -> int:
    return ctypes.cast(handle, ctypes.c_void_p).value or 0


def _parts_of(page: Any) -> tuple[list[_TextObject], list[_Shape]]:
    """The text of a page, and what may cover it, in the order in which they are drawn."""
    import pypdfium2.raw as pdfium

    texts: list[_TextObject] = []
    shapes: list[_Shape] = []
    channels = [ctypes.c_uint() for _ in range(4)]
    filled, stroked = ctypes.c_int(), ctypes.c_int()
    get_mode, get_fill = pdfium.FPDFTextObj_GetTextRenderMode, pdfium.FPDFPageObj_GetFillColor
    for order, (handle, kind, matrix) in enumerate(objects_of(page)):
        if kind == pdfium.FPDF_PAGEOBJ_TEXT:
            mode, reason = get_mode(handle), None
            outlined = mode == pdfium.FPDF_TEXTRENDERMODE_STROKE
            (pdfium.FPDFPageObj_GetStrokeColor if outlined else get_fill)(handle, *channels)
            red, green, blue, alpha = (channel.value for channel in channels)
            if mode == pdfium.FPDF_TEXTRENDERMODE_INVISIBLE:
                reason = INVISIBLE
            elif alpha < _FAINT or (red > _PALE and green > _PALE and blue > _PALE):
                reason = SAME_COLOUR
            texts.append(_TextObject(handle, matrix, order, (red, green, blue), reason))
        elif kind in (pdfium.FPDF_PAGEOBJ_PATH, pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_SHADING):
            box = box_of(handle, matrix)
            if box[2] - box[0] < _SHAPE or box[3] - box[1] < _SHAPE:
                continue
            colour = None
            if kind == pdfium.FPDF_PAGEOBJ_PATH:
                pdfium.FPDFPath_GetDrawMode(handle, filled, stroked)
                get_fill(handle, *channels)
                red, green, blue, alpha = (channel.value for channel in channels)
                if not filled.value or alpha < _FAINT:
                    continue
                colour = red, green, blue
            shapes.append(_Shape(box, order, colour))
    return texts, shapes


def _mark_overlapped(texts: list[_TextObject], shapes: list[_Shape]) -> None:
    """Suspect text that something was drawn over, or that has the colour of what lies under it."""
    seen = [each for each in texts if not each.reason]
    if not seen or not shapes:
        return
    boxes = np.array([box_of(each.handle, each.matrix) for each in seen])
    middle = (boxes[:, 1] + boxes[:, 3]) / 2
    orders = np.array([each.order for each in seen])
    colours = np.array([each.colour for each in seen])
    for shape in shapes:
        left, bottom, right, top = shape.box
        at = (bottom <= middle) & (middle <= top) & (left < boxes[:, 2]) & (boxes[:, 0] < right)
        alike = shape.colour is not None and (np.abs(colours - np.array(shape.colour)).max(axis=1) < _NEAR)
        for number in np.flatnonzero(at & ((orders < shape.order) | alike)):
            seen[number].reason = COVERED if orders[number] < shape.order else SAME_COLOUR


class _Eye:
    """Tells of a character of *suspects* whether the page, a pixel a point, looks different without them."""

    def __init__(self, page: Any, boxes: dict[int, Box], suspects: list[_TextObject]) -> None:
        import pypdfium2.raw as pdfium

        left, bottom, right, top = page.get_bbox()
        self.boxes = boxes
        outer = np.array(list(boxes.values()))
        low, high = outer.min(axis=0), outer.max(axis=0)
        around = (low[0] - left, low[1] - bottom, right - high[2], top - high[3])
        crop = [0 if page.get_rotation() else max(int(margin) - 3, 0) for margin in around]
        self.corner = left + crop[0], top - crop[3]
        self.whole = _drawn(page, crop)
        try:
            for each in suspects:
                pdfium.FPDFPageObj_SetIsActive(each.handle, False)
            self.without = _drawn(page, crop)
        finally:
            for each in suspects:
                pdfium.FPDFPageObj_SetIsActive(each.handle, True)

    def __call__(self, at: int) -> bool:
        left, bottom, right, top = self.boxes[at]
        x, y = self.corner
        columns = slice(max(int(left - x) - 1, 0), max(int(right - x) + 2, 0))
        rows = slice(max(int(y - top) - 1, 0), max(int(y - bottom) + 2, 0))
        area = self.whole[rows, columns].astype(np.int16) - self.without[rows, columns]
        return area.size > 0 and bool(np.abs(area).max() >= _SEEN)


def _drawn(page: Any, crop: list[int]) -> NDArray[np.uint8]:
    turned = (360 - page.get_rotation()) % 360
    bitmap = page.render(rotation=turned, crop=tuple(crop), draw_annots=False, may_draw_forms=False)
    pixels: NDArray[np.uint8] = bitmap.to_numpy()
    return pixels


def _is_scan(page: Any, shapes: list[_Shape]) -> bool:
    left, bottom, right, top = page.get_bbox()
    images = sum((s.box[2] - s.box[0]) * (s.box[3] - s.box[1]) for s in shapes if s.colour is None)
    return bool(images >= _SCAN * (right - left) * (top - bottom))
