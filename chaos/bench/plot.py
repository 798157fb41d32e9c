"""Plots of the measure as SVG: CPU of each row beside the floor, and rungs over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from app.errors import OperatorError
from chaos.bench.hot import Row

__all__ = ["plot_rows", "plot_rungs", "plot_shares"]

WIDTH, MARGIN = 720, 130
BAR, GAP, TOP = 20, 10, 60
HEIGHT = 320
PARTS = {"scorer": "#0a58ca", "applier": "#6ea8fe", "datastores": "#adb5bd"}
RUNGS = {
    "full": "#198754",
    "batch": "#0a58ca",
    "rules": "#fd7e14",
    "tier_default": "#dc3545",
    "none": "#000",
}


def plot_rows(path: Path, rows: Sequence[Row], peers: Sequence[Mapping[str, Any]]) -> None:
    """CPU of a decision, each row a bar of its parts; the floor as a mark; peers below.

    Raises:
        OperatorError: the file cannot be written.
    """
    bars = [(row.name, {part: row.cpu_us_by_part[part] for part in PARTS}) for row in rows]
    bars += [(peer["name"], {"scorer": peer["cpu_us"]}) for peer in peers if "cpu_us" in peer]
    scale = (WIDTH - MARGIN - 70) / max(sum(parts.values()) for _, parts in bars)
    drawn = []
    for at, (name, parts) in enumerate(bars):
        x, y = float(MARGIN), TOP + at * (BAR + GAP)
        drawn.append(_text(MARGIN - 8, y + 15, name, "end"))
        for part, cpu_us in parts.items():
            drawn.append(_box(x, y, cpu_us * scale, BAR, PARTS[part]))
            x += cpu_us * scale
        drawn.append(_text(x + 6, y + 15, f"{sum(parts.values()):.0f}"))
        if at < len(rows):
            drawn.append(
                _box(MARGIN + rows[at].floor_cpu_us * scale - 1, y - 3, 2, BAR + 6, "#000")
            )
    legend = [*PARTS.items(), ("floor", "#000")]
    height = TOP + len(bars) * (BAR + GAP) + 20
    _write(path, height, "CPU of a decision, us", [*_legend(legend), *drawn])


def plot_rungs(path: Path, shares: Mapping[str, Sequence[float]], title: str) -> None:
    """Share of each rung over time, stacked, a bar a second.

    Raises:
        OperatorError: the file cannot be written.
    """
    plot_shares(path, shares, RUNGS, title)


def plot_shares(
    path: Path, shares: Mapping[str, Sequence[float]], colours: Mapping[str, str], title: str
) -> None:
    """Shares over time, stacked in the order of the colours, a bar a second.

    Raises:
        OperatorError: the file cannot be written.
    """
    seconds = max(len(of_rung) for of_rung in shares.values())
    width, tall = (WIDTH - MARGIN) / seconds, HEIGHT - TOP - 40
    drawn = []
    for second in range(seconds):
        y = float(HEIGHT - 40)
        for name, colour in colours.items():
            high = shares.get(name, [0.0] * seconds)[second] * tall
            y -= high
            drawn.append(_box(MARGIN / 2 + second * width, y, width * 0.92, high, colour))
    drawn += [
        _text(MARGIN / 2 + second * width, HEIGHT - 22, f"{second} s", "middle")
        for second in range(0, seconds + 1, max(10, seconds // 120 * 10))
    ]
    legend = [(name, colour) for name, colour in colours.items() if name in shares]
    _write(path, HEIGHT, title, [*_legend(legend), *drawn])


def _legend(of: Sequence[tuple[str, str]]) -> list[str]:
    found = []
    for at, (name, colour) in enumerate(of):
        x = MARGIN / 2 + at * 110
        found += [_box(x, 36, 12, 12, colour), _text(x + 18, 47, name)]
    return found


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'
    )


def _text(x: float, y: float, what: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(what)}</text>'


def _write(path: Path, height: int, title: str, parts: Sequence[str]) -> None:
    lines = "\n".join(parts)
    svg = f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif"
 font-size="13">
<rect width="100%" height="100%" fill="white"/>
<text x="{MARGIN // 2}" y="24" font-size="15">{escape(title)}</text>
{lines}
</svg>
"""
    try:
        path.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {error.strerror}.") from None
