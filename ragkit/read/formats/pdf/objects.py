"""The objects that a PDF's page is drawn of, those in forms with them, and the rules among them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

Box = tuple[float, float, float, float]
Matrix = tuple[float, float, float, float, float, float]

_SHORTEST = 4.0  # points; what is shorter is a letter's part or a dot, and no rule


def objects_of(
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
                yield from objects_of(handle, _times(inner, matrix) if matrix else inner, depth + 1)
        else:
            yield handle, kind, matrix


def _times(inner: Matrix, outer: Matrix) -> Matrix:
    a, b, c, d, e, f = inner
    p, q, r, s, t, u = outer
    return (a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s, e * p + f * r + t, e * q + f * s + u)


def box_of(handle: Any, matrix: Matrix | None) -> Box:
    """The left, bottom, right and top of an object on the page, in points from the page's origin."""
    import pypdfium2.raw as pdfium

    left, bottom, right, top = ctypes.c_float(), ctypes.c_float(), ctypes.c_float(), ctypes.c_float()
    pdfium.FPDFPageObj_GetBounds(handle, left, bottom, right, top)
    if matrix is None:
        return left.value, bottom.value, right.value, top.value
    a, b, c, d, e, f = matrix
    corners = [(x.value, y.value) for x in (left, right) for y in (bottom, top)]
    xs, ys = [a * x + c * y + e for x, y in corners], [b * x + d * y + f for x, y in corners]
    return min(xs), min(ys), max(xs), max(ys)


def rules_of(page: Any, thickest: float, highest: float) -> list[Box]:
    """The boxes (left, bottom, right, top) of the straight lines on a page.

    A line is a path no thicker than *thickest* (points), or an edge above or below a shaded row, which is no
    higher than *highest*.
    """
    import pypdfium2.raw as pdfium

    found = []
    for handle, kind, matrix in objects_of(page):
        if kind != pdfium.FPDF_PAGEOBJ_PATH:
            continue
        left, bottom, right, top = box_of(handle, matrix)
        if max(right - left, top - bottom) < _SHORTEST:
            continue
        if min(right - left, top - bottom) <= thickest:
            found.append((left, bottom, right, top))
        elif top - bottom <= highest:
            found += [(left, top, right, top), (left, bottom, right, bottom)]
    return found
