"""The characters of a PDF's page that its readers do not see: invisible, painted over, or in the page's colour.

Whether a reader sees a character is asked of the page as it is drawn: text that may be hidden is taken out,
and where the page then looks the same, nobody saw it.  Only pages with such text are drawn.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

INVISIBLE, COVERED, SAME_COLOUR = "invisible", "covered", "in the colour of the page"

_PALE = 200  # of 255 in red, green and blue: what is darker is read on a white page
_NEAR = 48  # how far two colours that may be taken for one lie apart, in the channel that differs most
_SEEN = 16  # how much a character must change a pixel to be seen
_SHAPE = 4.0  # points; a path that is lower or narrower is a rule, and covers no text
_SCALE = 2.0  # pixels a point
_SCAN = 0.5  # of a page that is scanned, images cover at least this share
_STAMP = 5  # a scanned page's recognised text is at least so many times longer than what is stamped on it

Box = tuple[float, float, float, float]
Matrix = tuple[float, float, float, float, float, float]


@dataclass
class _Text:
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
    drawn = [each for key, each in suspects.items() if each.reason != INVISIBLE and key in chars]
    changed = _changed(page, drawn) if drawn else None
    hidden: dict[int, str] = {}
    for address, places in chars.items():
        suspect = suspects[address]
        assert suspect.reason
        unseen = places
        if suspect.reason != INVISIBLE and changed is not None:
            unseen = [at for at in places if not _is_seen(text.raw, at, changed, page.get_bbox())]
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


def _parts_of(page: Any) -> tuple[list[_Text], list[_Shape]]:
    """The text of a page, and what may cover it, in the order in which they are drawn."""
    import pypdfium2.raw as pdfium

    texts: list[_Text] = []
    shapes: list[_Shape] = []
    for order, (handle, kind, matrix) in enumerate(_objects(page)):
        if kind == pdfium.FPDF_PAGEOBJ_TEXT:
            mode = pdfium.FPDFTextObj_GetTextRenderMode(handle)
            red, green, blue, alpha = _colour(handle, stroke=mode == pdfium.FPDF_TEXTRENDERMODE_STROKE)
            reason = None
            if mode == pdfium.FPDF_TEXTRENDERMODE_INVISIBLE:
                reason = INVISIBLE
            elif alpha < 64 or min(red, green, blue) > _PALE:
                reason = SAME_COLOUR
            texts.append(_Text(handle, matrix, order, (red, green, blue), reason))
            continue
        colour = None
        if kind == pdfium.FPDF_PAGEOBJ_PATH:
            filled, stroked = ctypes.c_int(), ctypes.c_int()
            pdfium.FPDFPath_GetDrawMode(handle, filled, stroked)
            red, green, blue, alpha = _colour(handle) if filled.value else (0, 0, 0, 0)
            if alpha < 64:
                continue
            colour = red, green, blue
        box = _box(handle, matrix)
        if box[2] - box[0] >= _SHAPE and box[3] - box[1] >= _SHAPE:
            shapes.append(_Shape(box, order, colour))
    return texts, shapes


def _objects(
    holder: Any, matrix: Matrix | None = None, depth: int = 0
) -> Iterator[tuple[Any, int, Matrix | None]]:
    """The objects of a page or form with their kinds, and the matrix of the form that they are in."""
    import pypdfium2.raw as pdfium

    if depth:
        count, get = pdfium.FPDFFormObj_CountObjects(holder), pdfium.FPDFFormObj_GetObject
    else:
        holder = holder.raw
        count, get = pdfium.FPDFPage_CountObjects(holder), pdfium.FPDFPage_GetObject
    for number in range(count):
        handle = get(holder, number)
        kind = pdfium.FPDFPageObj_GetType(handle)
        if kind == pdfium.FPDF_PAGEOBJ_FORM:
            if depth < 8:
                own = pdfium.FS_MATRIX()
                pdfium.FPDFPageObj_GetMatrix(handle, own)
                inner = (own.a, own.b, own.c, own.d, own.e, own.f)
                yield from _objects(handle, _times(inner, matrix) if matrix else inner, depth + 1)
        else:
            yield handle, kind, matrix


def _times(inner: Matrix, outer: Matrix) -> Matrix:
    a, b, c, d, e, f = inner
    p, q, r, s, t, u = outer
    return (a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s, e * p + f * r + t, e * q + f * s + u)


def _colour(handle: Any, stroke: bool = False) -> tuple[int, int, int, int]:
    import pypdfium2.raw as pdfium

    get = pdfium.FPDFPageObj_GetStrokeColor if stroke else pdfium.FPDFPageObj_GetFillColor
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    if not get(handle, red, green, blue, alpha):
        return 0, 0, 0, 255
    return red.value, green.value, blue.value, alpha.value


def _box(handle: Any, matrix: Matrix | None) -> Box:
    """The left, bottom, right and top of an object on the page."""
    import pypdfium2.raw as pdfium

    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    if not pdfium.FPDFPageObj_GetBounds(handle, left, bottom, right, top):
        return 0.0, 0.0, 0.0, 0.0
    corners = [(x.value, y.value) for x in (left, right) for y in (bottom, top)]
    if matrix:
        a, b, c, d, e, f = matrix
        corners = [(a * x + c * y + e, b * x + d * y + f) for x, y in corners]
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _mark_overlapped(texts: list[_Text], shapes: list[_Shape]) -> None:
    """Suspect text that something was drawn over, or that has the colour of what lies under it."""
    seen = [each for each in texts if not each.reason]
    if not seen or not shapes:
        return
    boxes = np.array([_box(each.handle, each.matrix) for each in seen])
    middle = (boxes[:, 1] + boxes[:, 3]) / 2
    orders = np.array([each.order for each in seen])
    colours = np.array([each.colour for each in seen])
    for shape in shapes:
        left, bottom, right, top = shape.box
        at = (bottom <= middle) & (middle <= top) & (left < boxes[:, 2]) & (boxes[:, 0] < right)
        alike = shape.colour is not None and (np.abs(colours - np.array(shape.colour)).max(axis=1) < _NEAR)
        for number in np.flatnonzero(at & ((orders < shape.order) | alike)):
            seen[number].reason = COVERED if orders[number] < shape.order else SAME_COLOUR


def _changed(page: Any, suspects: list[_Text]) -> NDArray[np.uint8]:
    """How much each pixel of a page changes if *suspects* are taken out of it."""
    import pypdfium2.raw as pdfium

    before = _drawn(page)
    try:
        for each in suspects:
            pdfium.FPDFPageObj_SetIsActive(each.handle, False)
        after = _drawn(page)
    finally:
        for each in suspects:
            pdfium.FPDFPageObj_SetIsActive(each.handle, True)
    difference: NDArray[np.uint8] = (np.maximum(before, after) - np.minimum(before, after)).max(axis=2)
    return difference


def _drawn(page: Any) -> NDArray[np.uint8]:
    turned = (360 - page.get_rotation()) % 360
    bitmap = page.render(scale=_SCALE, rotation=turned, draw_annots=False, may_draw_forms=False)
    return np.array(bitmap.to_numpy())


def _is_seen(handle: Any, at: int, changed: NDArray[np.uint8], page: Box) -> bool:
    import pypdfium2.raw as pdfium

    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    pdfium.FPDFText_GetCharBox(handle, at, left, right, bottom, top)
    x, y = int((left.value - page[0]) * _SCALE) - 1, int((page[3] - top.value) * _SCALE) - 1
    right_of, below = int((right.value - page[0]) * _SCALE) + 2, int((page[3] - bottom.value) * _SCALE) + 2
    area = changed[max(y, 0) : max(below, 0), max(x, 0) : max(right_of, 0)]
    return bool(area.size) and int(area.max()) >= _SEEN


def _is_scan(page: Any, shapes: list[_Shape]) -> bool:
    left, bottom, right, top = page.get_bbox()
    images = sum((s.box[2] - s.box[0]) * (s.box[3] - s.box[1]) for s in shapes if s.colour is None)
    return images >= _SCAN * (right - left) * (top - bottom)
