"""The text of a Word document that its readers do not see: hidden, tiny, or in the colour behind it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_SHAPE = "{http://schemas.microsoft.com/office/word/2010/wordprocessingShape}"
_VML = "{urn:schemas-microsoft-com:vml}"
BOX = f"{_W}txbxContent"
_SMALLEST = 4  # half points; smaller type is not read
_NEAR = 20  # of 255, in the channel that differs most: colours that a reader does not tell apart
_THEME_WHITE = ("background1", "light1")
_WHITE = (255, 255, 255)

Colour = tuple[int, ...]


def remove_hidden(root: Any, styles: Any) -> Counter[str]:
    """Remove the runs that are not seen; say how many characters there were, by reason."""
    named = {style.get(f"{_W}styleId", ""): style for style in styles.iter(f"{_W}style")}
    page = root.find(f"{_W}background")
    white = None if page is not None and _hex(page.get(f"{_W}color", "")) != _WHITE else _WHITE
    hidden: Counter[str] = Counter()
    for run in list(root.iter(f"{_W}r")):
        if reason := _reason(run, named, white):
            if text := "".join("".join(t.text or "" for t in run.iter(f"{_W}t")).split()):
                hidden[reason] += len(text)
            run.getparent().remove(run)
    return hidden


def _reason(run: Any, styles: dict[str, Any], page: Colour | None) -> str | None:
    """Why a run is not seen; None if it is."""
    vanish = _property(run, "vanish", styles)
    if vanish is not None and vanish.get(f"{_W}val", "1") not in ("0", "false", "off"):
        return "not displayed"
    size = _property(run, "sz", styles)
    if size is not None and re.fullmatch(r"\d+", size.get(f"{_W}val", "")):
        if int(size.get(f"{_W}val")) < _SMALLEST:
            return "tiny"
    colour = _property(run, "color", styles)
    if colour is None or (shown := _colour(colour, "val", "themeColor")) is None:
        return None
    under = next(_behind(run, styles), page)
    near = under is not None and max(abs(a - b) for a, b in zip(shown, under, strict=True)) < _NEAR
    return "in the colour of the page" if near else None


def _formats(run: Any, styles: dict[str, Any]) -> Iterator[Any]:
    """What says how a run looks: its own properties, those of its style, those of its paragraph's style."""
    paragraph = next(run.iterancestors(f"{_W}p"), None)
    for holder, path in ((run, ("rPr", "rStyle")), (paragraph, ("pPr", "pStyle"))):
        own = holder.find(_W + path[0]) if holder is not None else None
        if own is None:
            continue
        yield own
        style = own.find(_W + path[1])
        for _ in range(16):  # a style may be based on itself
            style = styles.get(style.get(f"{_W}val", "")) if style is not None else None
            if style is None:
                break
            yield from style.iterchildren(f"{_W}rPr", f"{_W}pPr")
            style = style.find(f"{_W}basedOn")


def _property(run: Any, name: str, styles: dict[str, Any]) -> Any:
    found = (each.find(_W + name) for each in _formats(run, styles))
    return next((each for each in found if each is not None), None)


def _behind(run: Any, styles: dict[str, Any]) -> Iterator[Colour | None]:
    """The colours behind a run, the nearest first; None for one that is not known."""
    if _property(run, "highlight", styles) is not None:
        yield None
    shading = _property(run, "shd", styles)
    if shading is not None and shading.get(f"{_W}fill") != "auto":
        yield _colour(shading, "fill", "themeFill")
    for around in run.iterancestors(f"{_W}tc", f"{_W}tbl", BOX):
        if around.tag == BOX:
            yield from _filled(around)
        for filled in around.iterfind(f"{_W}tcPr/{_W}shd"):
            if filled.get(f"{_W}fill") != "auto":
                yield _colour(filled, "fill", "themeFill")
        for style in around.iterfind(f"{_W}tblPr/{_W}tblStyle"):
            based = styles.get(style.get(f"{_W}val", ""))
            if based is not None and next(based.iter(f"{_W}shd"), None) is not None:
                yield None


def _filled(box: Any) -> Iterator[Colour | None]:
    """The colour that fills a text box; nothing for one without a fill."""
    shape = next(box.iterancestors(f"{_SHAPE}wsp"), None)
    if shape is None:  # as older programs write it
        drawn = [each for each in box.iterancestors() if each.tag.startswith(_VML) and each.get("fillcolor")]
        for each in drawn[:1]:
            if each.get("filled", "t")[:1] not in "f0":
                yield _hex(each.get("fillcolor").removeprefix("#")[:6])
        return
    fills = [each for each in shape.iterfind(f"{_SHAPE}spPr/*") if each.tag.endswith("Fill")]
    plain = fills[0].find(f"{_A}srgbClr") if fills else None
    if plain is not None:
        yield _hex(plain.get("val", ""))
    elif (fills and fills[0].tag != f"{_A}noFill") or (
        not fills and shape.find(f"{_SHAPE}style") is not None
    ):
        yield None


def _colour(element: Any, plain: str, theme: str) -> Colour | None:
    """A colour in hexadecimal, or the theme's white; None if it is another of the theme or automatic."""
    if named := element.get(_W + theme):
        changed = element.get(f"{_W}{theme.removesuffix('Color')}Shade")
        return _WHITE if named in _THEME_WHITE and not changed else None
    return _hex(element.get(_W + plain, ""))


def _hex(written: str) -> Colour | None:
    return tuple(bytes.fromhex(written)) if re.fullmatch(r"[0-9a-fA-F]{6}", written) else None
