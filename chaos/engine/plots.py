"""Who answered over time, as SVG."""

from __future__ import annotations

from pathlib import Path

from app.errors import OperatorError
from chaos.bench.plot import plot_shares
from chaos.engine.measure import Episode

__all__ = ["plot_timeline"]

COLOURS = ("#0a58ca", "#198754", "#fd7e14", "#6f42c1", "#20c997")
NONE = "none"


def plot_timeline(path: Path, episode: Episode, title: str) -> None:
    """Share of the answers by region, a bar a second.

    Args:
        path: of the SVG; its folder is made.
        episode: to draw.
        title: above it.

    Raises:
        OperatorError: it cannot be written.
    """
    totals = [sum(second) for second in zip(*episode.timeline.values(), strict=True)]
    shares = {
        region: [count / max(1, total) for count, total in zip(counts, totals, strict=True)]
        for region, counts in sorted(episode.timeline.items())
    }
    regions = [region for region in shares if region != NONE]
    colours = dict(zip(regions, COLOURS, strict=False)) | {NONE: "#000"}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(f"{path.parent} cannot be made: {error.strerror}.") from None
    plot_shares(path, shares, colours, title)
