"""The measures as tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from app.command_line import shown
from chaos.bench.deadlines import Asked
from chaos.bench.hot import Row, times
from chaos.bench.overload import Part

__all__ = ["print_deadlines", "print_hot", "print_overload"]


def print_hot(said: Mapping[str, Any]) -> None:
    """The rows, how they compare, the floor, the peers, and what ran where."""
    _print(
        (
            *("row", "CPU us", "applier", "datastores", "a core and second"),
            *("batch", "p50 ms", "p99 ms", "p99.9 ms", "lag ms"),
        ),
        [_hot_row(row) for row in said["rows"]],
    )
    peers = list(said["rows"][0].peer_ratios)
    _print(
        ["row", "x floor", *(f"x {name}" for name in peers)],
        [_compared(row, peers) for row in said["rows"]],
    )
    console, floor, cores = Console(), said["floor"], said["cores"]
    for row in said["rows"]:
        for why in row.void:
            console.print(f"[bold red]void[/] {row.name}: {why}")
    console.print(
        f"floor {said['floor_cpu_us']} us: HTTP and JSON {floor.http_us:.1f}, round trip"
        f" {floor.round_trip_us:.1f}, model {floor.evaluation_us:.1f}, in batches of {floor.batch}"
    )
    shared = ", which is one core for all" if cores["server"] == cores["others"] else ""
    console.print(
        f"server on core {shown(cores['server'])}; datastores, other processes and generator on"
        f" {shown(cores['others'])}{shared}; CPU saturated with {said['connections']} connections,"
        f" latency at half that rate, {said['seconds']:g} s each; x floor, and x peer (decisions of"
        f" a core for one of his): median of {said['rounds']} (least to most)"
    )
    if said["peers"]:
        _print(
            ["peer, the model alone", "CPU us", "a core and second", "p50 ms", "p99 ms"],
            [_peer_row(peer) for peer in said["peers"]],
        )
        for peer in said["peers"]:
            if "missing" in peer:
                console.print(f"[bold red]missing[/] {peer['name']}: {peer['missing']}")


def print_overload(said: Mapping[str, Any]) -> None:
    """The parts, and how it ended."""
    parts: Sequence[Part] = said["parts"]
    _print(
        ["part", "a second", "answers", "in time", "p50 ms", "p99 ms", "rungs"],
        [
            (
                *(one.name, one.rate, one.answers, f"{one.in_time:.2%}", one.p50_ms, one.p99_ms),
                _shares(one.rungs),
            )
            for one in parts
        ],
    )
    again = said["full_again_s"]
    Console().print(
        f"saturation {said['saturation']:g} a second; errors: {shown(said['errors']) or 'none'};"
        f" {said['in_time']:.2%} within the deadline; full again"
        f" {'never' if again is None else f'after {again} s'}; generator's lag"
        f" {said['lag_ms']:g} ms{', which makes the run void' if said['void'] else ''}"
    )


def print_deadlines(rate: float, found: Sequence[Asked]) -> None:
    """A row for each deadline."""
    _print(
        ["deadline ms", "requests", "failed", "in time", "p50 ms", "p99 ms", "lag ms", "rungs"],
        [
            (
                *(one.deadline_ms, one.requests, one.failed, f"{one.in_time:.2%}", one.p50_ms),
                *(one.p99_ms, f"{one.lag_ms:g}{' void' if one.void else ''}", _shares(one.rungs)),
            )
            for one in found
        ],
    )
    Console().print(f"{rate:.0f} attempts a second")


def _hot_row(row: Row) -> list[Any]:
    parts = row.cpu_us_by_part
    return [
        *(row.name, row.cpu_us, parts["applier"], parts["datastores"]),
        *(round(row.decisions_per_core_second), row.batch),
        *(row.p50_ms, row.p99_ms, row.p999_ms, row.lag_ms),
    ]


def _compared(row: Row, peers: Sequence[str]) -> list[str]:
    return [row.name, times(row.floor_ratios), *(times(row.peer_ratios[name]) for name in peers)]


def _peer_row(peer: Mapping[str, Any]) -> list[Any]:
    keys = ("name", "cpu_us", "decisions_per_core_second", "p50_ms", "p99_ms")
    return [peer.get(key) for key in keys]


def _shares(rungs: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in rungs.items() if share)


def _print(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    table = Table(*heads, box=None)
    for row in rows:
        table.add_row(*map(shown, row))
    Console().print(table)
