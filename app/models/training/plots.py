"""Plots as inline SVG: no script, no font, no file beside the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Line", "bars", "chart"]

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 44
BAR_HEIGHT, LABEL_WIDTH = 18, 210
COLOURS = ("#1f5fa8", "#c2571a", "#3a8a4d", "#7b4fa3")
TICKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a chart.

    Attributes:
        name: for the legend.
        points: x and y.
        dots: whether each point is marked.
        dashed: for lines of reference.
    """

    name: str
    points: Sequence[tuple[float, float]]
    dots: bool = False
    dashed: bool = False


def chart(lines: Sequence[Line], *, x: str, y: str, x_max: float = 1.0, y_max: float = 1.0) -> str:
    """Lines over two axes that begin at 0.

    Args:
        lines: at most four.
        x: label of the axis.
        y: label of the axis.
        x_max: end of the axis.
        y_max: end of the axis.
    """

    def place(point: tuple[float, float]) -> tuple[float, float]:
        across = LEFT + point[0] / x_max * (WIDTH - LEFT - RIGHT)
        return across, HEIGHT - BOTTOM - point[1] / y_max * (HEIGHT - TOP - BOTTOM)

    parts = [_axes(x, y, x_max, y_max)]
    for at, line in enumerate(lines):
        colour = COLOURS[at % len(COLOURS)]
        spots = [place(point) for point in line.points]
        path = " ".join(f"{across:.1f},{down:.1f}" for across, down in spots)
        dash = ' stroke-dasharray="4 4"' if line.dashed else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}"{dash}/>')
        if line.dots:
            parts += [
                f'<circle cx="{across:.1f}" cy="{down:.1f}" r="3" fill="{colour}"/>'
                for across, down in spots
            ]
        top = TOP + 14 * at + 10
        parts.append(
            f'<text x="{WIDTH - RIGHT - 4}" y="{top}" text-anchor="end" fill="{colour}">'
            f"{escape(line.name)}</text>"
        )
    return _svg(WIDTH, HEIGHT, parts)


def bars(values: Sequence[tuple[str, float]], *, unit: str = "") -> str:
    """Horizontal bars with their names and values, the first on top."""
    most = max((value for _, value in values), default=1.0) or 1.0
    room = WIDTH - LABEL_WIDTH - 60
    parts = []
    for at, (name, value) in enumerate(values):
        top = at * BAR_HEIGHT
        parts += [
            f'<text x="{LABEL_WIDTH - 6}" y="{top + 13}" text-anchor="end">{escape(name)}</text>',
            (
                f'<rect x="{LABEL_WIDTH}" y="{top + 3}" width="{value / most * room:.1f}" '
                f'height="{BAR_HEIGHT - 6}" fill="{COLOURS[0]}"/>'
            ),
            (
                f'<text x="{LABEL_WIDTH + value / most * room + 5:.1f}" y="{top + 13}">'
                f"{value:.3g}{escape(unit)}</text>"
            ),
        ]
    return _svg(WIDTH, max(1, len(values)) * BAR_HEIGHT + 4, parts)


def _axes(x: str, y: str, x_max: float, y_max: float) -> str:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = [
        f'<path d="M{LEFT},{TOP} V{bottom} H{right}" fill="none" stroke="#888"/>',
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x)}</text>',
        (
            f'<text transform="translate(13 {(TOP + bottom) / 2}) rotate(-90)" '
            f'text-anchor="middle">{escape(y)}</text>'
        ),
    ]
    for at in range(TICKS + 1):
        across = LEFT + at / TICKS * (right - LEFT)
        down = bottom - at / TICKS * (bottom - TOP)
        parts += [
            (
                f'<text x="{across:.1f}" y="{bottom + 15}" text-anchor="middle">'
                f"{x_max * at / TICKS:.3g}</text>"
            ),
            (
                f'<text x="{LEFT - 6}" y="{down + 4:.1f}" text-anchor="end">'
                f"{y_max * at / TICKS:.3g}</text>"
            ),
            f'<path d="M{LEFT},{down:.1f} H{right}" stroke="#ddd" stroke-width="0.5"/>',
        ]
    return "".join(parts)


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-size="11" fill="#222" role="img">'
        f"{''.join(parts)}</svg>"
    )
