"""Small helpers over NumPy columns, shared by the parts of the simulator."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DAY_MS",
    "HOUR_MS",
    "MINUTE_MS",
    "Bools",
    "Floats",
    "Ints",
    "Random",
    "chance",
    "concat",
    "draw",
    "draw_grouped",
    "steps",
    "take",
]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Random = np.random.Generator

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000

# Any: a dataclass whose fields are all arrays of one length; the standard library has no name
# for "some dataclass" outside its stubs.
ColumnsT = TypeVar("ColumnsT", bound=Any)


def concat(parts: Sequence[ColumnsT]) -> ColumnsT:
    """Join column dataclasses of one type, row after row."""
    names = [column.name for column in dataclasses.fields(parts[0])]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    joined_up: ColumnsT = type(parts[0])(**joined)
    return joined_up


def take(columns: ColumnsT, rows: Ints | Bools) -> ColumnsT:
    """The given rows of a column dataclass, by position or by mask."""
    names = [column.name for column in dataclasses.fields(columns)]
    taken: ColumnsT = type(columns)(**{name: getattr(columns, name)[rows] for name in names})
    return taken


def chance(rng: Random, share: float | Floats, size: int) -> Bools:
    """True with probability `share`, drawn for each of `size` rows."""
    return np.asarray(rng.random(size) < share)


def draw(rng: Random, weights: Sequence[float] | Floats, size: int) -> Ints:
    """Draw `size` positions in proportion to `weights`, with replacement.

    Inverse transform on the cumulative weights: O(n + size log n), where `Generator.choice`
    checks and normalises its weights on every call.
    """
    cumulative = np.cumsum(weights)
    # The last position with any weight: rounding must not reach one that has none.
    last = int(np.searchsorted(cumulative, cumulative[-1]))
    found = np.searchsorted(cumulative, rng.random(size) * cumulative[-1], side="right")
    return np.asarray(np.minimum(found, last), dtype=np.int64)


def draw_grouped(rng: Random, weights: Floats, groups: Ints, wanted: Ints) -> Ints:
    """For each entry of `wanted`, draw a position whose group it is, in proportion to weight.

    A group without weight draws from all positions instead.
    """
    drawn = np.empty(len(wanted), dtype=np.int64)
    for group in np.unique(wanted):
        asking = np.flatnonzero(wanted == group)
        members = np.where(groups == group, weights, 0.0)
        drawn[asking] = draw(rng, members if members.any() else weights, len(asking))
    return drawn


def steps(sizes: Ints) -> Ints:
    """Positions within consecutive runs: sizes [2, 3] give [0, 1, 0, 1, 2]."""
    ends = np.cumsum(sizes)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - sizes, sizes)
