"""How the commands of the feature layer show what they found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from app.features.explained import Explained
    from app.features.held import Bucket
    from app.features.parity import Parity
    from app.features.window_error import Velocity, WindowError

__all__ = ["print_explained", "print_parity", "print_windows"]


def print_windows(errors: Sequence[WindowError], bursts: Sequence[Velocity]) -> None:
    """Errors of windows, then what the velocity rule made of the bursts."""
    console = Console()
    table = Table(
        "attempts of", "window", "mean", "exact", "off by: p50, p99, max", "of it: p50, p99",
        box=None,
    )  # fmt: skip
    for one in errors:
        size, share = one.absolute, one.relative
        table.add_row(
            one.entity,
            one.window,
            f"{one.mean:.4g}",
            f"{one.exact:.1%}",
            f"{size.p50:.2f}, {size.p99:.2f}, {size.max:.1f}",
            f"{share.p50:.1%}, {share.p99:.1%}",
        )
    console.print(table)
    table = Table("5 in an hour, ten attempts", "within the hour", "in the hour before")
    for burst in bursts:
        table.add_row(burst.window, f"fires {burst.within:.2%}", f"fires {burst.before:.2%}")
    console.print(table)


def print_parity(result: Parity) -> None:
    """The verdict, and the first values that differ."""
    console = Console()
    console.print(
        f"{result.events:,} decisions, {result.features} features and {result.states} states each:"
        f" [{'red' if result.mismatches else 'green'}]{result.mismatches:,} mismatches"
    )
    if not result.shown:
        return
    table = Table("decision", "input", "served", "computed")
    for one in result.shown:
        table.add_row(one.decision_id, one.input, str(one.served), str(one.computed))
    console.print(table)


def print_explained(explained: Explained) -> None:
    """The entity as decisions see it, then what each store holds."""
    console = Console()
    console.print(f"[bold]{escape(explained.key)}[/]: {explained.state}")
    table = Table("feature", "now")
    for name, value in explained.features.items():
        table.add_row(name, _shown(value))
    console.print(table)
    for held in explained.regions:
        where = f"[bold]{held.region}[/], shard {held.shard}"
        if held.problem:
            console.print(f"{where}: [red]{escape(held.problem)}")
            continue
        fresh = f"counters {explained.now_ms - held.as_of_ms:,} ms old"
        if not held.bytes:
            console.print(f"{where}: nothing is counted; {fresh}")
            continue
        full = ", [red]saturated[/]" if held.saturated else ""
        console.print(
            f"{where}: {held.bytes:,} bytes of schema {held.schema}{full}; {fresh}; "
            f"newest event {_instant(held.base_ms)}"
        )
        positions = (f"{name} at {epoch}/{seq}" for name, (epoch, seq) in held.positions.items())
        console.print(f"  applied: {', '.join(positions)}")
        console.print(_counters(held.counters, held.buckets))
    _print_snapshot(console, explained)


def _counters(counters: Mapping[str, float], buckets: Mapping[str, Sequence[Bucket]]) -> Table:
    table = Table("counter", "now", "buckets, newest first")
    for name, value in counters.items():
        of_counter = (
            f"{_instant(one.from_ms)}: {one.counted:,}"
            + (f" - {one.withdrawn:,}" if one.withdrawn else "")
            for one in buckets.get(name, ())
        )
        table.add_row(name, _shown(value), "\n".join(of_counter))
    return table


def _print_snapshot(console: Console, explained: Explained) -> None:
    row = explained.snapshot
    if row is None:
        console.print("The snapshot has no rows of such entities.")
    elif row.problem:
        console.print(f"snapshot: [red]{escape(row.problem)}")
    else:
        console.print(
            f"[bold]snapshot[/] {row.version[:12]} as of {_instant(row.as_of_ms)}: {row.state}"
        )
        table = Table("value", "then")
        for name, value in {**row.counters, **row.features}.items():
            table.add_row(name, _shown(value))
        console.print(table)


def _instant(unix_ms: int) -> str:
    return f"{datetime.fromtimestamp(unix_ms / 1_000, UTC):%Y-%m-%d %H:%M:%S}"


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.15g}"
