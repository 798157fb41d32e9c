"""The budget of unavailability: what faults would cost, at assumed rates and measured bounds.

    U = sum over rows of  rate a year * duration * (1 - lower bound during it) / a year

The lower bound is the exact one of the worst drill of the row, one-sided at 95 %; a row that has
none counts as no availability at all while its fault lasts. Rates and durations are assumptions: a
laboratory shows how the service behaves in a fault, not how often faults come. Faults are taken to
come one at a time, and to hit every attempt of a region; neither is so, and they err to either
side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from chaos.engine.matrix import Row
from chaos.engine.results import Told

__all__ = ["Spent", "bounds", "spent", "unavailability"]

YEAR_S = 365.25 * 86_400


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What a row costs.

    Attributes:
        row: of the matrix.
        bound: of the availability while it lasts; None where no drill has shown one.
        unavailability: share of the year.
    """

    row: Row
    bound: float | None
    unavailability: float


def bounds(drills: Iterable[Told]) -> dict[int, float]:
    """The lowest bound by row; of runs that have one (`Result.bounded`)."""
    found: dict[int, float] = {}
    for one in drills:
        if not one.result.bounded:
            continue
        for row in one.drill.rows:
            found[row] = min(found.get(row, 1.0), one.result.availability_lower_95)
    return found


def spent(rows: Sequence[Row], by_row: dict[int, float]) -> list[Spent]:
    """What each row costs, the most first."""
    found = []
    for row in rows:
        bound = by_row.get(row.row)
        lost = 1.0 if bound is None else 1.0 - bound
        share = row.rate_per_year * row.lasts_s * lost / YEAR_S
        found.append(Spent(row=row, bound=bound, unavailability=share))
    return sorted(found, key=lambda one: -one.unavailability)


def unavailability(rows: Iterable[Spent]) -> float:
    """U: of all rows."""
    return sum(one.unavailability for one in rows)
