"""Sliding windows as rings of sub-buckets: one arithmetic for serving, SQL and training.

A window of length W is cut into N buckets of width w = W / N, aligned to Unix time. A ring keeps
N + 1 of them: the bucket of `now`, the N - 1 before it in full, and a fractional oldest one.
With b = floor(now / w):

    value(now) = sum of buckets b-N+1 .. b  +  f * bucket b-N,   f = (w - now mod w) / w

so the window is W long at every instant, whatever the phase, and a burst inside the last
W - w is always seen whole. (Two buckets, "current and previous", see a burst of ten within the
hour as fewer than five in a third of all phases.) Distinct bitmaps cannot be cut: they OR all
N + 1 buckets, a window between W and W + w long.

Slot of bucket i is i mod (N + 1), so nothing moves when time does. What bucket a slot holds
follows from the newest event time of the whole value, its `base`; slots that fell behind are
ignored when read and cleared when written.

Arithmetic is on integers until one multiplication and one addition, in that order, in float64:
that is what makes the three places agree to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Ring", "Rings", "distinct_of_events", "sum_of_events"]

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]
Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """The shape of one window.

    Attributes:
        window_ms: length of the window, milliseconds.
        buckets: full buckets in it (N); the ring keeps one more.
    """

    window_ms: int
    buckets: int = 4

    def __post_init__(self) -> None:
        if self.window_ms <= 0 or self.buckets <= 0 or self.window_ms % self.buckets:
            raise ValueError("a window must be a positive multiple of its bucket count")

    @property
    def slots(self) -> int:
        """Buckets kept: N + 1."""
        return self.buckets + 1

    @property
    def width_ms(self) -> int:
        """Width of one bucket, milliseconds."""
        return self.window_ms // self.buckets

    @property
    def horizon_ms(self) -> int:
        """Age beyond which an event can no longer count, milliseconds."""
        return self.window_ms + self.width_ms

    def held(self, base_ms: Int64s) -> Int64s:
        """Bucket number held by each slot, shape (rows, slots), of values based at `base_ms`."""
        base = base_ms // self.width_ms
        slots = np.arange(self.slots, dtype=np.int64)
        return base[:, None] - (base[:, None] - slots) % self.slots

    def total(self, values: Int64s, base_ms: Int64s, now_ms: Int64s) -> Float64s:
        """Read sums, shape (rows, slots), as the window's value, shape (rows,)."""
        return Rings((self,)).totals(values[:, None], base_ms, now_ms)[:, 0]

    def union(self, bitmaps: UInt64s, base_ms: Int64s, now_ms: Int64s) -> UInt64s:
        """Read distinct bitmaps, shape (rows, slots), as the OR of the ring, shape (rows,)."""
        return Rings((self,)).unions(bitmaps[:, None], base_ms, now_ms)[:, 0]

    def clear_passed(self, values: npt.NDArray[np.generic], old_ms: Int64s, new_ms: Int64s) -> None:
        """Clear, in place, the slots whose bucket falls behind when the base moves on."""
        passed = self.held(old_ms) != self.held(new_ms)
        values[passed] = 0

    def slot(self, event_ms: Int64s, base_ms: Int64s) -> tuple[Int64s, Bools]:
        """Where events belong.

        Returns:
            The slot of each event, and whether the ring still holds the event's bucket.
        """
        bucket = event_ms // self.width_ms
        return bucket % self.slots, bucket > base_ms // self.width_ms - self.slots

    def fraction(self, now_ms: Int64s) -> Float64s:
        """Share of the oldest bucket that is still inside the window, shape of `now_ms`."""
        share: Float64s = (self.width_ms - now_ms % self.width_ms) / self.width_ms
        return share


class Rings:
    """Rings with equally many buckets, read together.

    numpy costs about a microsecond a call whatever the size, so the windows of all counters and
    rows are read at once rather than one by one.
    """

    def __init__(self, rings: Sequence[Ring]) -> None:
        """Stack the rings.

        Raises:
            ValueError: they differ in their number of buckets.
        """
        if len({ring.buckets for ring in rings}) > 1:
            raise ValueError("rings that are read together have equally many buckets")
        self._buckets = rings[0].buckets if rings else 0
        self._slots = np.arange(self._buckets + 1, dtype=np.int64)
        self._width_ms = np.array([ring.width_ms for ring in rings], dtype=np.int64)

    def totals(self, values: npt.NDArray[np.integer], base_ms: Int64s, now_ms: Int64s) -> Float64s:
        """Read sums.

        Args:
            values: bucket sums, shape (rows, rings, slots).
            base_ms: newest event time of each row, shape (rows,).
            now_ms: as of when, shape (rows,).

        Returns:
            The windows' values, shape (rows, rings).
        """
        age = self._age(base_ms, now_ms)
        whole = (age >= 0) & (age < self._buckets)
        full_sum: Int64s = np.add.reduce(values, axis=-1, dtype=np.int64, where=whole)
        oldest = age == self._buckets
        oldest_sum: Int64s = np.add.reduce(values, axis=-1, dtype=np.int64, where=oldest)
        fraction = (self._width_ms - now_ms[:, None] % self._width_ms) / self._width_ms
        return full_sum + fraction * oldest_sum

    def unions(self, bitmaps: UInt64s, base_ms: Int64s, now_ms: Int64s) -> UInt64s:
        """Read distinct bitmaps, shape (rows, rings, slots), as ORs, shape (rows, rings)."""
        age = self._age(base_ms, now_ms)
        live = (age >= 0) & (age <= self._buckets)
        merged: UInt64s = np.bitwise_or.reduce(bitmaps, axis=-1, where=live)
        return merged

    def _age(self, base_ms: Int64s, now_ms: Int64s) -> Int64s:
        """How many buckets before that of `now` each slot's is, shape (rows, rings, slots)."""
        base = base_ms[:, None] // self._width_ms
        behind_base = (base[:, :, None] - self._slots) % len(self._slots)
        age: Int64s = behind_base + (now_ms[:, None] // self._width_ms - base)[:, :, None]
        return age


def sum_of_events(
    ring: Ring,
    *,
    entity: Int64s,
    time_ms: Int64s,
    value: Int64s,
    ask_entity: Int64s,
    ask_ms: Int64s,
) -> Float64s:
    """The same window computed from the events themselves, for training and backfill.

    Args:
        ring: the window.
        entity: dense entity number of each event, shape (events,), from 0.
        time_ms: event times, any order.
        value: what each event adds.
        ask_entity: entity asked for, shape (asks,).
        ask_ms: as of when; events at or after it do not count, so no event counts itself.

    Returns:
        What `Ring.total` gives once the events before `ask_ms` were applied, shape (asks,).
    """
    line = _Timeline(ring, entity, time_ms, ask_ms)
    running = np.concatenate([[0], np.cumsum(value[line.order])])
    ask = line.ask_ms
    start = ask - ask % ring.width_ms
    whole_from = start - (ring.buckets - 1) * ring.width_ms

    def before(edge_ms: Int64s) -> Int64s:
        return np.asarray(running[line.rank(ask_entity, edge_ms)])

    from_whole = before(whole_from)
    oldest_sum = from_whole - before(whole_from - ring.width_ms)
    full_sum = (before(ask) - from_whole).astype(np.float64)
    return full_sum + ring.fraction(ask) * oldest_sum


def distinct_of_events(
    ring: Ring,
    *,
    entity: Int64s,
    time_ms: Int64s,
    bit: UInt64s,
    ask_entity: Int64s,
    ask_ms: Int64s,
) -> UInt64s:
    """Distinct bitmaps as `Ring.union` gives them once the events before `ask_ms` were applied.

    Args:
        ring: the window.
        entity: dense entity number of each event, shape (events,), from 0.
        time_ms: event times, any order.
        bit: one-bit mask of each event.
        ask_entity: entity asked for, shape (asks,).
        ask_ms: as of when, exclusive.

    Returns:
        Bitmaps, shape (asks,).
    """
    result = np.zeros(len(ask_ms), dtype=np.uint64)
    if not len(time_ms):
        return result
    line = _Timeline(ring, entity, time_ms, ask_ms)
    of, bucket = entity[line.order], line.time_ms[line.order] // ring.width_ms
    prefix = _running_or(bit[line.order], of * (int(bucket.max()) + 1) + bucket)
    current = line.ask_ms // ring.width_ms
    for back in range(ring.slots):
        wanted = current - back
        edge = line.ask_ms if back == 0 else (wanted + 1) * ring.width_ms
        last = line.rank(ask_entity, edge) - 1
        at = np.maximum(last, 0)
        there = (last >= 0) & (of[at] == ask_entity) & (bucket[at] == wanted)
        result |= np.where(there, prefix[at], np.uint64(0))
    return result


class _Timeline:
    """Events of all entities on one sorted axis, so that an edge in time is one binary search."""

    def __init__(self, ring: Ring, entity: Int64s, time_ms: Int64s, ask_ms: Int64s) -> None:
        earliest = min((int(part.min()) for part in (time_ms, ask_ms) if len(part)), default=0)
        latest = max((int(part.max()) for part in (time_ms, ask_ms) if len(part)), default=0)
        # Shifted by whole buckets, so that buckets stay aligned to Unix time and no edge is < 0.
        origin = (earliest - ring.horizon_ms) // ring.width_ms * ring.width_ms
        self._stride = latest - origin + 1
        self.time_ms = time_ms - origin
        self.ask_ms = ask_ms - origin
        key = entity * self._stride + self.time_ms
        self.order = np.argsort(key, kind="stable")
        self._key = key[self.order]

    def rank(self, entity: Int64s, edge_ms: Int64s) -> Int64s:
        """How many events sort before (entity, edge)."""
        return np.searchsorted(self._key, entity * self._stride + edge_ms, side="left")


def _running_or(bits: UInt64s, run: Int64s) -> UInt64s:
    """Running OR within runs of equal `run`, by doubling: log2(longest run) passes."""
    result = bits.copy()
    step = 1
    while step < len(result):
        same = run[step:] == run[:-step]
        if not same.any():
            break
        result[step:] |= np.where(same, result[:-step], np.uint64(0))
        step *= 2
    return result
