"""Sums of events that count at an earlier time than they were known at: what was taken back.

A withdrawal counts where the withdrawn event did, but whoever asked in between did not know of it.
Binary search on one axis of time cannot tell the two apart, so each such event is put into the
rings of those who asked after it; there are few.
"""

from __future__ import annotations

import numpy as np

from app.features.rings import Float64s, Int64s, Ring, Rings

__all__ = ["sum_of_late"]


def sum_of_late(
    ring: Ring,
    *,
    entity: Int64s,
    time_ms: Int64s,
    known_ms: Int64s,
    value: Int64s,
    ask_entity: Int64s,
    ask_ms: Int64s,
) -> Float64s:
    """As `app.features.rings.sum_of_events`, but an event counts only where it was known.

    Args:
        ring: the window.
        entity: dense entity number of each event, shape (events,), from 0.
        time_ms: the time each counts at.
        known_ms: when each became known, at or after that.
        value: what each event adds.
        ask_entity: entity asked for, shape (asks,).
        ask_ms: as of when, exclusive.

    Returns:
        Shape (asks,).
    """
    total = np.zeros(len(ask_ms))
    event, ask = _who_knew(entity, known_ms, time_ms + ring.horizon_ms, ask_entity, ask_ms)
    if not len(ask):
        return total
    rows, row = np.unique(ask, return_inverse=True)
    bucket = time_ms[event] // ring.width_ms
    held = bucket > ask_ms[ask] // ring.width_ms - ring.slots
    sums = np.zeros((len(rows), 1, ring.slots), dtype=np.int64)
    place = row[held] * ring.slots + bucket[held] % ring.slots
    np.add.at(sums.reshape(-1), place, value[event[held]])
    total[rows] = Rings([ring]).totals(sums, ask_ms[rows], ask_ms[rows])[:, 0]
    return total


def _who_knew(
    entity: Int64s, known_ms: Int64s, until_ms: Int64s, ask_entity: Int64s, ask_ms: Int64s
) -> tuple[Int64s, Int64s]:
    """Pairs of an event and an ask of its entity, after it was known and before it is too old."""
    if not len(entity) or not len(ask_ms):
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing
    origin = min(int(known_ms.min()), int(ask_ms.min()))
    stride = max(int(until_ms.max()), int(ask_ms.max()), int(known_ms.max())) - origin + 2
    order = np.argsort(ask_entity * stride + ask_ms - origin, kind="stable")
    key = (ask_entity * stride + ask_ms - origin)[order]
    first = np.searchsorted(key, entity * stride + known_ms - origin, side="right")
    last = np.searchsorted(key, entity * stride + until_ms - origin, side="right")
    count = np.maximum(last - first, 0)
    event = np.repeat(np.arange(len(entity)), count)
    step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return event, order[first[event] + step]
