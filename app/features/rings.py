"""Sliding windows as rings of sub-buckets: one arithmetic for serving, SQL and training.

A window of length W is cut into N buckets of width w = W / N, aligned to Unix time. A ring keeps
N + 1 of them: the bucket of `now`, the N - 1 before it in full, and a fractional oldest one.
With b = floor(now / w):

    value(now) = sum of buckets b-N+1 .. b  +  f * bucket b-N,   f = (w - now mod w) / w

so the window is W long at every instant, whatever the phase, and a burst inside the last
W - w is always seen whole. (Of two buckets, "current and previous", those of half the window see a
burst of ten as fewer than five in 8 % of phases, and those of the whole window still see it an hour
later in 55 %: `stepdown features windows`.) Distinct bitmaps cannot be cut: they OR all
N + 1 buckets, a window between W and W + w long.

A ring may lag: it is then read as of t = now - lag, where the lag is a whole number of buckets and
the ring keeps that many more. The bucket of t is complete by then, so of it only the share that
had passed at t counts, 1 - f. A lagging ring of attempts is the denominator of a label rate: what
one event per attempt, sent when it matures, would count.

Slot of bucket i is i mod the number of slots, so nothing moves when time does. What bucket a slot
holds follows from the newest event time of the whole value, its `base`; slots that fell behind
are ignored when read and cleared when written.

Arithmetic is on integers until the shares are applied, oldest bucket first, in float64: that is
what makes the three places agree to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Ring", "Rings", "distinct_of_events", "last_of_events", "sum_of_events"]

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]
Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """The shape of one window.

    Attributes:
        window_ms: length of the window, milliseconds.
        buckets: full buckets in it (N); the ring keeps one more, and those of the lag.
        lag_ms: how far before now the window ends, a whole number of buckets.
    """

    window_ms: int
    buckets: int = 4
    lag_ms: int = 0

    def __post_init__(self) -> None:
        if self.window_ms <= 0 or self.buckets <= 0 or self.window_ms % self.buckets:
            raise ValueError("a window must be a positive multiple of its bucket count")
        if self.lag_ms < 0 or self.lag_ms % self.width_ms:
            raise ValueError("a lag must be a whole number of buckets")

    @property
    def slots(self) -> int:
        """Buckets kept: N + 1, and those of the lag."""
        return self.buckets + 1 + self.lag_ms // self.width_ms

    @property
    def width_ms(self) -> int:
        """Width of one bucket, milliseconds."""
        return self.window_ms // self.buckets

    @property
    def horizon_ms(self) -> int:
        """Age beyond which an event can no longer count, milliseconds."""
        return self.window_ms + self.width_ms + self.lag_ms

    def fraction(self, at_ms: Int64s) -> Float64s:
        """Share of the oldest bucket that is still inside the window that ends at `at_ms`."""
        share: Float64s = (self.width_ms - at_ms % self.width_ms) / self.width_ms
        return share


class Rings:
    """Rings of one shape (buckets and slots), read and written together.

    numpy costs about a microsecond a call whatever the size, so the windows of all counters and
    rows are handled at once rather than one by one.
    """

    def __init__(self, rings: Sequence[Ring]) -> None:
        """Stack the rings.

        Raises:
            ValueError: they differ in their number of buckets or slots.
        """
        if len({(ring.buckets, ring.slots) for ring in rings}) != 1:
            raise ValueError("rings that are handled together have equally many buckets and slots")
        self.slots = rings[0].slots
        self._buckets = rings[0].buckets
        self._lagging = rings[0].lag_ms > 0
        self._lag_ms = np.array([ring.lag_ms for ring in rings], dtype=np.int64)
        self._numbers = np.arange(self.slots, dtype=np.int64)
        self._width_ms = np.array([ring.width_ms for ring in rings], dtype=np.int64)

    def totals(self, values: npt.NDArray[np.integer], base_ms: Int64s, now_ms: Int64s) -> Float64s:
        """Read sums.

        Args:
            values: bucket sums, shape (rows, rings, slots).
            base_ms: newest event time of each row, shape (rows,).
            now_ms: as of when, shape (rows,) or (1,).

        Returns:
            The windows' values, shape (rows, rings).
        """
        at_ms = now_ms[:, None] - self._lag_ms
        age = self._age(base_ms, at_ms)
        whole = (age >= self._lagging) & (age < self._buckets)
        full_sum: Int64s = np.add.reduce(values, axis=-1, dtype=np.int64, where=whole)
        oldest: Int64s = np.add.reduce(values, axis=-1, dtype=np.int64, where=age == self._buckets)
        passed = at_ms % self._width_ms
        total = full_sum + (self._width_ms - passed) / self._width_ms * oldest
        if self._lagging:
            newest: Int64s = np.add.reduce(values, axis=-1, dtype=np.int64, where=age == 0)
            total = total + passed / self._width_ms * newest
        return np.asarray(total)

    def unions(self, bitmaps: UInt64s, base_ms: Int64s, now_ms: Int64s) -> UInt64s:
        """Read distinct bitmaps, shape (rows, rings, slots), as ORs, shape (rows, rings)."""
        age = self._age(base_ms, now_ms[:, None])
        live = (age >= 0) & (age <= self._buckets)
        merged: UInt64s = np.bitwise_or.reduce(bitmaps, axis=-1, where=live)
        return merged

    def clear_passed(self, values: npt.NDArray[np.generic], old_ms: Int64s, new_ms: Int64s) -> None:
        """Clear, in place, the slots whose bucket falls behind when the base moves on.

        Args:
            values: shape (rows, rings, slots).
            old_ms: base of each row before, shape (rows,); 0 for an empty row.
            new_ms: base of each row after.
        """
        moved = (old_ms[:, None] // self._width_ms != new_ms[:, None] // self._width_ms).any(axis=1)
        # Of most rows no bucket has passed since the last event, and new rows are empty.
        rows = np.flatnonzero(moved & (old_ms > 0))
        if len(rows):
            part = values[rows]
            part[self._held(old_ms[rows]) != self._held(new_ms[rows])] = 0
            values[rows] = part

    def place(self, event_ms: Int64s, base_ms: Int64s) -> tuple[Int64s, Bools]:
        """Where events belong.

        Args:
            event_ms: time of each event, shape (events,).
            base_ms: base of the row of each event.

        Returns:
            The slot of each event in each ring, shape (events, rings), and whether the ring still
            holds the event's bucket.
        """
        bucket = event_ms[:, None] // self._width_ms
        return bucket % self.slots, bucket > base_ms[:, None] // self._width_ms - self.slots

    def _held(self, base_ms: Int64s) -> Int64s:
        """Bucket number held by each slot, shape (rows, rings, slots)."""
        base = (base_ms[:, None] // self._width_ms)[:, :, None]
        return np.asarray(base - (base - self._numbers) % self.slots)

    def _age(self, base_ms: Int64s, at_ms: Int64s) -> Int64s:
        """How many buckets before that of `at_ms` each slot's is, shape (rows, rings, slots)."""
        base = base_ms[:, None] // self._width_ms
        behind_base = (base[:, :, None] - self._numbers) % self.slots
        age: Int64s = behind_base + (at_ms // self._width_ms - base)[:, :, None]
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
        What `Rings.totals` gives once the events before `ask_ms` were applied, shape (asks,).
    """
    line = _Timeline(ring, entity, time_ms, ask_ms)
    running = np.concatenate([[0], np.cumsum(value[line.order])])
    at = line.ask_ms - ring.lag_ms
    start = at - at % ring.width_ms

    def before(edge_ms: Int64s) -> Int64s:
        return np.asarray(running[line.rank(ask_entity, edge_ms)])

    whole_from = before(start - (ring.buckets - 1) * ring.width_ms)
    oldest_sum = whole_from - before(start - ring.buckets * ring.width_ms)
    until = before(start if ring.lag_ms else line.ask_ms)
    total = (until - whole_from).astype(np.float64) + ring.fraction(at) * oldest_sum
    if ring.lag_ms:
        newest_sum = before(start + ring.width_ms) - until
        total = total + at % ring.width_ms / ring.width_ms * newest_sum
    return np.asarray(total)


def distinct_of_events(
    ring: Ring,
    *,
    entity: Int64s,
    time_ms: Int64s,
    bit: UInt64s,
    ask_entity: Int64s,
    ask_ms: Int64s,
) -> UInt64s:
    """Distinct bitmaps as `Rings.unions` gives them once the events before `ask_ms` were applied.

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


def last_of_events(
    *, entity: Int64s, time_ms: Int64s, ask_entity: Int64s, ask_ms: Int64s, window_ms: int
) -> Int64s:
    """Time of each asked entity's newest event before `ask_ms`, not older than the window; or 0.

    Args:
        entity: dense entity number of each event, shape (events,), from 0.
        time_ms: event times, any order.
        ask_entity: entity asked for, shape (asks,).
        ask_ms: as of when, exclusive.
        window_ms: age from which an event is forgotten.
    """
    if not len(time_ms):
        return np.zeros(len(ask_ms), dtype=np.int64)
    line = _Timeline(Ring(window_ms=window_ms, buckets=1), entity, time_ms, ask_ms)
    before = np.maximum(line.rank(ask_entity, line.ask_ms) - 1, 0)
    newest, of = time_ms[line.order][before], entity[line.order][before]
    known = (of == ask_entity) & (newest < ask_ms) & (newest >= ask_ms - window_ms)
    return np.where(known, newest, 0)


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
