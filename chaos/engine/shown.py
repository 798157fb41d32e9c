"""Drills and their results as tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.table import Table

from chaos.engine.matrix import Covered
from chaos.engine.spec import Drill
from chaos.engine.verdict import Result

__all__ = ["drills_table", "listed", "matrix_table", "results_table"]

_STYLES = {"passed": "green", "failed": "red", "void": "yellow"}


def listed(drills: Iterable[Drill]) -> list[dict[str, Any]]:
    """Each as `list --json` has it."""
    return [
        {
            "name": one.name,
            "title": one.title,
            "rows": one.rows,
            "hypothesis": one.hypothesis,
            "load": one.load,
            "rate": one.rate,
            "phases": one.phases,
            "smoke": one.smoke,
            "fis": one.fis,
        }
        for one in drills
    ]


def drills_table(drills: Iterable[Drill]) -> Table:
    """Each on a line."""
    table = Table("rows", "drill", "what is broken", "load", box=None)
    for one in drills:
        rows = ", ".join(map(str, one.rows))
        load = f"{one.load}, {one.rate:g}/s, {one.phases} x {one.hold_s:g} s"
        table.add_row(rows, f"[bold]{one.name}", one.title, load)
    return table


def matrix_table(rows: Iterable[Covered]) -> Table:
    """Each row of the fault matrix on a line, with who drills it."""
    table = Table("row", "fault", "expected", "drilled by", box=None)
    for one in rows:
        by = [*one.drills, *one.row.apart, *(test.partition("::")[0] for test in one.row.tests)]
        table.add_row(
            str(one.row.row),
            one.row.fault,
            one.row.expected,
            ", ".join(dict.fromkeys(by)) or f"[yellow]nothing: {one.row.reason}",
        )
    return table


def results_table(results: Iterable[Result]) -> Table:
    """Each on a line: what was asked of it, and what it came to."""
    table = Table(
        "drill", "requests", "failed", "availability (95 % at least)", "answered by",
        "added p50, p99", "recovery", "lag p99.9", "",
    )  # fmt: skip
    for one in results:
        added = one.latency_ms["added"]
        recovery = "never" if one.recovery_s is None else f"{one.recovery_s:.1f} s"
        table.add_row(
            f"{one.name}\n{one.episodes} episodes",
            f"{one.requests:,}\n+ {one.elsewhere:,}",
            f"{one.failed:,}\n+ {one.elsewhere_failed:,}",
            f"{one.availability:.4%} ({one.availability_lower_95:.4%})\n"
            f"episodes ({one.episodes_lower_95:.1%})",
            "\n".join(f"{name} {share:.1%}" for name, share in one.rungs.items()) or "no region",
            f"{added.get('p50', 0):+.0f}, {added.get('p99', 0):+.0f} ms",
            f"{recovery}\nback in {one.back_s:.1f} s",
            f"{one.lag_p999_ms:.1f} ms",
            f"[{_STYLES[one.state]}]{one.state}",
        )
    return table
