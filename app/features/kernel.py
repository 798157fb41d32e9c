"""The compiled kernel of merge and formulas, where it was built, and how it is told what to read.

`_kernel.c` says what it computes. It is built with the package where there is a C compiler; without
one numpy does the same work, to the last bit, and `BUILT` says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from app.features.packed import HEAD_BYTES, Layout
from app.features.rings import Float64s, Int64s, UInt64s
from app.features.spec import Feature, Formula

try:
    from app.features import _kernel
except ImportError:
    _kernel = None  # type: ignore[assignment]

__all__ = ["BUILT", "FoldPlan", "compute", "features_plan", "fold", "fold_plan", "settle"]

BUILT = _kernel is not None


class FoldPlan(NamedTuple):
    """What the kernel has to know of a layout.

    Attributes:
        head: what every value starts with.
        size: bytes of a value.
        horizon_ms: age from which a value says nothing any more.
        rings: int64 (rings, 9): distinct, offset, bytes of a cell, buckets, slots, width, lag,
            sign, column.
        lasts: int64 (newest times, 3): offset, window, column.
    """

    head: bytes
    size: int
    horizon_ms: int
    rings: Int64s
    lasts: Int64s


def fold_plan(layout: Layout, horizon_ms: int, place: Mapping[str, int]) -> FoldPlan:
    """Plan the reading of values of one layout.

    Args:
        layout: of the values.
        horizon_ms: age from which a value says nothing any more.
        place: column by name of counter.
    """
    assert layout.dtype.fields is not None
    rings: list[tuple[int, ...]] = []
    for block in layout.blocks:
        start, cell = int(layout.dtype.fields[block.name][1]), np.dtype(block.cell).itemsize
        of_block = [
            (
                int(block.distinct),
                start + at * cell * block.rings.slots,
                cell,
                column.counter.ring.buckets,
                block.rings.slots,
                column.counter.ring.width_ms,
                0 if block.distinct else column.counter.ring.lag_ms,  # as `Rings.unions`
                column.sign,
                place[column.counter.name],
            )
            for at, column in enumerate(block.columns)
        ]
        # What was counted before what was withdrawn, as `Layout.windows` adds them; then alike ones
        # beside each other, for which the kernel finds the buckets once.
        rings += sorted(of_block, key=lambda ring: (-ring[7], ring[5], ring[6]))
    first = int(layout.dtype.fields["last"][1]) if layout.last else 0
    lasts = [
        (first + 8 * at, counter.ring.window_ms, place[counter.name])
        for at, counter in enumerate(layout.last)
    ]
    return FoldPlan(
        layout.blank(1).tobytes()[:HEAD_BYTES],
        layout.size,
        horizon_ms,
        np.array(rings, dtype=np.int64).reshape(-1, 9),
        np.array(lasts, dtype=np.int64).reshape(-1, 3),
    )


def fold(
    plans: list[FoldPlan],
    asked: list[list[tuple[int, int]]],
    found: list[bytes | None],
    now_ms: Int64s,
    *,
    values: Float64s,
    bitmaps: UInt64s,
    live: Any,
) -> list[tuple[int, int, bytes]]:
    """Add what one source knows, in place.

    Args:
        plans: of each entity's values.
        asked: row of each attempt that asks, and which of `found` it asks for, by entity.
        found: values; None for what is not there.
        now_ms: as of when, shape (rows,).
        values: shape (rows, counters).
        bitmaps: shape (rows, counters).
        live: whether anything within its horizon was found, bool, shape (entities, rows).

    Returns:
        Entity, row and value of what is not of its layout, which was left alone.
    """
    return _kernel.fold(plans, values.shape[1], asked, found, now_ms, values, bitmaps, live)


def features_plan(features: Sequence[Feature], place: Mapping[str, int]) -> Int64s:
    """Plan the computation of features: int64 (features, 4), formula and its counters' columns."""
    number = {formula: at for at, formula in enumerate(Formula)}
    rows = []
    for feature in features:
        of = [place[name] for name in feature.counters]
        rows.append([number[feature.formula], *of, *[of[0]] * (3 - len(of))])
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def compute(
    plan: Int64s,
    values: Float64s,
    *,
    amount: Float64s,
    now_ms: Int64s,
    priors: tuple[float, float, float],
    result: Any,
) -> None:
    """Compute features into `result`, float32, shape (rows, features); see `Formulas.inputs`."""
    _kernel.inputs(plan, values, values.shape[1], amount, now_ms, priors, result)


def settle(
    names: tuple[bytes, bytes, bytes, bytes],
    *,
    entity_of: Int64s,
    distinct: Int64s,
    sources: int,
    mapped: Any,
    answered: Int64s,
    live: Any,
    values: Float64s,
    bitmaps: UInt64s,
) -> tuple[list[tuple[bytes, ...] | None], Float64s, Float64s]:
    """Make counters of what was added up, in place; NaN where nothing is known.

    Args:
        names: of the states of an entity: not mapped, unavailable, never seen, present.
        entity_of: entity of each counter, shape (counters,).
        distinct: 1 for a counter that is a bitmap, else 0, shape (counters,).
        sources: how many were asked.
        mapped: whether an attempt has an entity, bool, shape (rows, entities).
        answered: sources that answered of it, shape (rows, entities).
        live: as `fold`.
        values: shape (rows, counters).
        bitmaps: shape (rows, counters).

    Returns:
        Of each row the states of its entities, None where nothing is known of any; the share of
        the answers that are in its values; the same of the entity that has the fewest.
    """
    present, least = np.empty(len(values)), np.empty(len(values))
    states = _kernel.settle(
        names,
        entity_of,
        distinct,
        sources,
        mapped,
        answered,
        live,
        values,
        bitmaps,
        present,
        least,
    )
    return states, present, least
