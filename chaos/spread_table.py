"""What the spread drill found, at a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich.table import Table

from chaos.spread import Spread
from regions.world.plan import Plan

__all__ = ["spread_found", "spread_table"]


def spread_found(pairs: Sequence[Spread], plan: Plan) -> list[dict[str, Any]]:
    """Each pair with the network between its regions: ms there and back, 0 where links are direct.

    Args:
        pairs: as measured.
        plan: of the world.
    """
    round_trips = {
        (link.near, link.far): 2 * link.latency_ms
        for link in plan.links
        if plan.network_port is not None
    }
    return [
        {
            **msgspec.to_builtins(pair),
            "round_trip_ms": round_trips.get((pair.decided_in, pair.read_in), 0.0),
            "passed": pair.passed,
        }
        for pair in pairs
    ]


def spread_table(found: Sequence[Mapping[str, Any]]) -> Table:
    """One row a pair."""
    table = Table("decided in", "read in", "round trip", "seen", "p50", "p99", "max")
    for pair in found:
        ages = (pair["age_ms"][name] for name in ("p50", "p99", "max"))
        table.add_row(
            pair["decided_in"],
            pair["read_in"],
            f"{pair['round_trip_ms']:.0f} ms",
            f"{pair['seen']:,} of {pair['attempts']:,}",
            *(f"{age:.0f} ms" for age in ages),
        )
    return table
