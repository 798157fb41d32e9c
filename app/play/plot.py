"""A plot of a play as SVG: precision over recall, as served and as computed offline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_curve

from app.errors import OperatorError

__all__ = ["write_plot"]

WIDTH, HEIGHT, MARGIN = 640, 440, 56
POINTS_MAX = 400
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)

Float64s = npt.NDArray[np.float64]


def write_plot(
    path: Path,
    *,
    served: Float64s,
    offline: Float64s | None,
    fraud: npt.NDArray[np.bool_],
    title: str,
) -> None:
    """Draw both curves into one file, or the one that there is.

    Args:
        path: of the file.
        served: suspicion as answered, higher is worse, shape (rows,).
        offline: as computed from the history; None where it was not.
        fraud: the truth.
        title: above the plot.

    Raises:
        OperatorError: the file cannot be written.
    """
    curves = [_curve(served, fraud, 'stroke="#0a58ca" stroke-width="1.5"')]
    legend = [_legend(72, "#0a58ca", "as served")]
    if offline is not None:  # below the other
        curves.insert(0, _curve(offline, fraud, 'stroke="#999" stroke-width="4"'))
        legend.append(_legend(90, "#999", "computed offline"))
    lines = "\n".join([*curves, *legend])
    svg = f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"
 font-size="13">
<rect width="100%" height="100%" fill="white"/>
<text x="{MARGIN}" y="28" font-size="15">{title}</text>
{_axes()}
{lines}
</svg>
"""
    try:
        path.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {error.strerror}.") from None


def _curve(scores: Float64s, fraud: npt.NDArray[np.bool_], style: str) -> str:
    precision, recall, _ = precision_recall_curve(fraud, scores)
    some = np.unique(np.linspace(0, len(recall) - 1, POINTS_MAX).astype(np.int64))
    points = " ".join(f"{_x(recall[at]):.1f},{_y(precision[at]):.1f}" for at in some)
    return f'<polyline fill="none" {style} points="{points}"/>'


def _legend(y: int, colour: str, what: str) -> str:
    return f'<text x="{WIDTH - MARGIN}" y="{y}" text-anchor="end" fill="{colour}">{what}</text>'


def _axes() -> str:
    parts = []
    for tick in TICKS:
        x, y = _x(tick), _y(tick)
        parts += [
            f'<line x1="{x}" y1="{_y(0)}" x2="{x}" y2="{_y(1)}" stroke="#eee"/>',
            f'<line x1="{_x(0)}" y1="{y}" x2="{_x(1)}" y2="{y}" stroke="#eee"/>',
            f'<text x="{x}" y="{_y(0) + 18}" text-anchor="middle">{tick:g}</text>',
            f'<text x="{_x(0) - 8}" y="{y + 4}" text-anchor="end">{tick:g}</text>',
        ]
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 12}" text-anchor="middle">recall</text>')
    parts.append(
        f'<text x="16" y="{HEIGHT / 2}" transform="rotate(-90 16 {HEIGHT / 2})"'
        ' text-anchor="middle">precision</text>'
    )
    return "\n".join(parts)


def _x(share: float) -> float:
    return round(MARGIN + share * (WIDTH - 2 * MARGIN), 1)


def _y(share: float) -> float:
    return round(HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN), 1)
