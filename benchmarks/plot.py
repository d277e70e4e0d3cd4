"""Curves over sizes as an SVG picture: logarithmic axes, a panel for each thing that grows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

Curve = Sequence[tuple[float, float]]

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 300, 240, 52, 34, 44
COLOURS = ("#1f6fb2", "#c2571a", "#3f8f4f", "#7d4fa8", "#8a7a16")


def panels(curves: Mapping[str, Mapping[str, Curve]], x_label: str) -> str:
    """A panel a title, in it a line a name, through points (x, y), both above 0."""
    names = list(dict.fromkeys(name for panel in curves.values() for name in panel))
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    drawn = [
        _panel(title, panel, colour, i * WIDTH, x_label) for i, (title, panel) in enumerate(curves.items())
    ]
    legend = "".join(
        f'<g transform="translate({LEFT + 110 * i},{HEIGHT + 4})"><rect y="-8" width="14" height="3" fill="{colour[name]}"/>'
        f'<text x="20" y="-3">{escape(name)}</text></g>'
        for i, name in enumerate(names)
    )
    width, height = WIDTH * len(curves), HEIGHT + 14
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="sans-serif"'
        f' font-size="11" fill="#333"><rect width="{width}" height="{height}" fill="#fff"/>{"".join(drawn)}{legend}</svg>\n'
    )


def _panel(
    title: str, curves: Mapping[str, Curve], colour: Mapping[str, str], offset: int, x_label: str
) -> str:
    points = [point for curve in curves.values() for point in curve]
    low_x, high_x = _decades(x for x, _ in points)
    low_y, high_y = _decades(y for _, y in points)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - low_x) / max(high_x - low_x, 1)
        up = (math.log10(y) - low_y) / max(high_y - low_y, 1)
        return offset + LEFT + across * (WIDTH - LEFT - 30), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text x="{offset + LEFT}" y="20" font-weight="bold">{escape(title)}</text>']
    for decade in range(low_y, high_y + 1):
        (left, y), (right, _) = place(10.0**low_x, 10.0**decade), place(10.0**high_x, 10.0**decade)
        parts.append(f'<path d="M{left:.1f} {y:.1f}H{right:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{_written(decade)}</text>')
    for decade in range(low_x, high_x + 1):
        x, y = place(10.0**decade, 10.0**low_y)
        parts.append(f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{_written(decade)}</text>')
    parts.append(
        f'<text x="{offset + (LEFT + WIDTH) / 2:.1f}" y="{HEIGHT - 14}" text-anchor="middle" fill="#666">{escape(x_label)}</text>'
    )
    for name, curve in curves.items():
        places = [place(x, y) for x, y in sorted(curve)]
        parts.append(
            f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}" fill="none" stroke="{colour[name]}" stroke-width="2"/>'
        )
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour[name]}"/>' for x, y in places]
    return "".join(parts)


def _decades(values: Iterable[float]) -> tuple[int, int]:
    logs = [math.log10(value) for value in values]
    return math.floor(min(logs)), math.ceil(max(logs))


def _written(decade: int) -> str:
    return f"{10**decade:,}" if decade >= 0 else f"{10.0**decade:g}"
