"""What `bench cold-start` prints for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["print_cold_start"]


def print_cold_start(said: Mapping[str, Any]) -> None:
    """Print what `--json` holds as a table, and who wins where."""
    console = Console()
    console.print(
        f"{len(said['folds'])} test weeks, {said['train_days']} training days, labels after "
        f"{said['delay_days']}; brackets: {said['interval']}"
    )
    table = Table("never seen in training", "attempts", "fraud", "model", "AP", "recall at 20 %")
    for name, of in said["segments"].items():
        counts = (name, f"{of['attempts']:,}", f"{of['fraud']:,}")
        if "models" not in of:
            table.add_row(*counts, "too little fraud", "-", "-")
        for model, figures in of.get("models", {}).items():
            table.add_row(
                *counts,
                model,
                *(
                    f"{figures[what]:.3f} [dim]({_range(figures[f'{what}_interval'])})[/]"
                    for what in ("average_precision", "recall_at_precision_20")
                ),
            )
            counts = ("", "", "")
    console.print(table)
    for name, of in said["segments"].items():
        for model, figures in of.get("models", {}).items():
            if "catboost_ahead" in figures:
                console.print(f"{name}: {_verdict(model, figures['catboost_ahead'])}")


def _verdict(peer: str, bounds: Sequence[float]) -> str:
    low, high = bounds
    if low > 0:
        what = f"CatBoost is ahead of {peer}"
    else:
        what = f"CatBoost is behind {peer}" if high < 0 else f"CatBoost and {peer} are level"
    return f"{what} (difference of average precision {low:+.3f} to {high:+.3f})"


def _range(bounds: Sequence[float]) -> str:
    return f"{bounds[0]:.3f} to {bounds[1]:.3f}"
