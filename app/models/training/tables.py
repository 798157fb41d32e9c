"""What `train` and `evaluate` print for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from app.models.training.metrics import METRICS
from app.models.training.prices import PRICES
from app.models.training.segments import PATTERN, caught_in

__all__ = ["print_evaluation", "print_phases"]

_HEADERS = ("AP", "AUC", "CP@100", "recall at precision 20 %", "precision at recall 75 %")


def print_evaluation(said: Mapping[str, Any]) -> None:
    """Print what `--json` holds as tables."""
    console = Console()
    if "protocol" in said:
        console.print(
            f"{said['protocol']} protocol: {len(said['folds'])} folds, {said['train_days']} "
            f"training days, labels after {said['delay_days']}, seeds "
            f"{', '.join(map(str, said['seeds']))}; brackets: {said['interval']}"
        )
    else:
        rung = "full" if "regions" in said["masked"] else "batch"
        console.print(
            f"model {said['version']}, provenance: {said['provenance']}; with a region away "
            f"{rung} answers; last week:"
        )
    console.print(_ranking(said))
    console.print(_money(said))
    console.print(_prices(said))
    console.print(_segments(said))
    if PATTERN in next(iter(said["rungs"].values()))["segments"]:
        console.print(_patterns(said))


def print_phases(said: Mapping[str, Any]) -> None:
    """Print where time and memory went: what `app.models.training.phases` says."""
    table = Table("phase", "took", "rows", "peak memory so far")
    for name, took_s in said["took_s"].items():
        peak_gib = said["peak_so_far_bytes"][name] / 2**30
        table.add_row(name, f"{took_s:,.1f} s", f"{said['rows'][name]:,}", f"{peak_gib:.2f} GiB")
    Console().print(table)


def _ranking(said: Mapping[str, Any]) -> Table:
    table = Table("rung", *_HEADERS, "ECE", "Brier")
    for rung, of in said["rungs"].items():
        bounds, calibration = of["intervals"], of["calibration"]
        cells = [
            f"{of[name]:.3f} [dim]({bounds[name][0]:.3f} to {bounds[name][1]:.3f})[/]"
            for name in METRICS
        ]
        cells += [
            "-" if calibration is None else f"{calibration[name]:.4f}" for name in ("ece", "brier")
        ]
        table.add_row(rung, *cells)
    for model, of in said.get("published", {}).items():
        shown = (f"{of[name]:.3f}" if name in of else "-" for name in METRICS)
        table.add_row(f"[dim]book: {model}", *shown, "-", "-")
    return table


def _money(said: Mapping[str, Any]) -> Table:
    table = Table(
        "cost of an attempt, minor units", "by policy", "approve all", "decline above one half"
    )
    for rung, of in said["rungs"].items():
        cost = of["cost"]
        naive = cost.get("decline_above_half_minor")
        table.add_row(
            rung,
            f"{cost['mean_minor']:.1f}",
            f"{cost['approve_all_minor']:.1f}",
            "-" if naive is None else f"{naive:.1f}",
        )
    return table


def _segments(said: Mapping[str, Any]) -> Table:
    rungs = said["rungs"]
    table = Table("segment", "attempts", "fraud", *(f"AP {rung}" for rung in rungs))
    for kind, parts in next(iter(rungs.values()))["segments"].items():
        if kind == PATTERN:
            continue
        for name, part in parts.items():
            found = [of["segments"][kind][name]["average_precision"] for of in rungs.values()]
            shown = ("-" if one is None else f"{one:.3f}" for one in found)
            counts = (f"{part[what]:,.0f}" for what in ("attempts", "fraud"))
            table.add_row(f"{kind} {name}", *counts, *shown)
    return table


def _prices(said: Mapping[str, Any]) -> Table:
    table = Table("per million of value attempted", "fraud caught", "let through", "good stopped")
    for rung, of in said["rungs"].items():
        table.add_row(rung, f"{of['recall']:.3f}", *(f"{of[name]:,.0f}" for name in PRICES[1:3]))
    return table


def _patterns(said: Mapping[str, Any]) -> Table:
    """Recall in each pattern of fraud: by the rung's actions, and among alerts at 20 %."""
    rungs = said["rungs"]
    table = Table("fraud caught: actions, alerts at precision 20 %", "attempts", *rungs)
    for name, part in next(iter(rungs.values()))["segments"][PATTERN].items():
        shown = (caught_in(of["segments"][PATTERN][name]) for of in rungs.values())
        table.add_row(name, f"{part['fraud']:,.0f}", *shown)
    return table
