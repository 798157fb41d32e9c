"""What rings of sub-buckets cost in accuracy: against exact windows, and in a velocity rule.

    error      on a history, at moments of its own: value of the ring against the exact count of
               events in the window before
    velocity   a burst of ten attempts, at a random phase of the buckets, against the rule
               "5 in an hour": within the hour it has to fire, in the hour before it must not

Two buckets, the current one and the one before it, are measured beside the rings: of an hour each,
which is a window of one to two hours; and of half an hour each, which is one of a half to one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.features.rings import Float64s, Int64s, Ring, sum_of_events
from app.features.spec import DAY_MS, HOUR_MS, Entity
from app.models.training.history import History, ids_of

__all__ = ["Velocity", "WindowError", "velocity", "window_errors"]

WINDOWS_MS = {
    "1h": HOUR_MS,
    "24h": DAY_MS,
    "3d": 3 * DAY_MS,
    "7d": 7 * DAY_MS,
    "14d": 14 * DAY_MS,
    "30d": 30 * DAY_MS,
}
ENTITIES = (Entity.CARD, Entity.MERCHANT)
ASKS = 50_000
BURSTS = 100_000
BURST_EVENTS = 10
RULE_EVENTS = 5
# Rounding of shares must not decide whether a rule fires.
ROUNDING = 1e-9

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Quantiles of an error."""

    p50: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowError:
    """One window of one entity's attempts.

    Attributes:
        entity: whose attempts.
        window: its length.
        asks: moments that were asked about.
        mean: of the exact count.
        exact: share of the asks in which the ring has the exact count.
        absolute: ring less exact count, its size, events.
        relative: that over the exact count, or over 1 where that is 0.
    """

    entity: str
    window: str
    asks: int
    mean: float
    exact: float
    absolute: Spread
    relative: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Velocity:
    """How often "5 in an hour" fires.

    Attributes:
        window: how the hour is counted.
        bursts: that were played, of each kind.
        within: share of the bursts within the hour on which it fires: all of them, rightly.
        before: share of the bursts in the hour before: none of them, rightly.
    """

    window: str
    bursts: int
    within: float
    before: float


def window_errors(history: History, *, seed: int) -> Iterator[WindowError]:
    """Measure every window at attempts drawn from a history.

    Args:
        history: all attempts.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    for entity in ENTITIES:
        ids = ids_of(history, entity)
        rows = np.flatnonzero(ids.code >= 0)
        if not len(rows):
            continue
        asked = np.sort(rng.choice(rows, min(ASKS, len(rows)), replace=False))
        events = ids.code[rows], history.received_ms[rows]
        asks = ids.code[asked], history.received_ms[asked]
        for name, window_ms in WINDOWS_MS.items():
            exact = _exact(*events, *asks, window_ms=window_ms)
            value = _ring_value(Ring(window_ms=window_ms), *events, *asks)
            error = np.abs(value - exact)
            yield WindowError(
                entity=entity.value,
                window=name,
                asks=len(asked),
                mean=float(exact.mean()),
                exact=float((error <= ROUNDING).mean()),
                absolute=_spread(error),
                relative=_spread(error / np.maximum(exact, 1.0)),
            )


def velocity(*, seed: int) -> list[Velocity]:
    """Play bursts, each of an entity of its own and asked about at its own moment.

    Args:
        seed: of phases and times.
    """
    rng = np.random.default_rng(seed)
    now = 1_000 * DAY_MS + rng.integers(0, DAY_MS, BURSTS)
    age = rng.integers(1, HOUR_MS + 1, (BURSTS, BURST_EVENTS))
    measured = {
        "ring, 4 + 1 buckets": _by_ring,
        "current and previous hour": _by_two(HOUR_MS),
        "current and previous half hour": _by_two(HOUR_MS // 2),
    }
    return [
        Velocity(
            window=name,
            bursts=BURSTS,
            within=float(_fires(count(now, now[:, None] - age)).mean()),
            before=float(_fires(count(now, now[:, None] - age - HOUR_MS)).mean()),
        )
        for name, count in measured.items()
    ]


def _fires(count: Float64s) -> Bools:
    return np.asarray(count >= RULE_EVENTS - ROUNDING)


def _by_ring(now: Int64s, events: Int64s) -> Float64s:
    burst = np.arange(len(now))
    of_event = np.repeat(burst, events.shape[1])
    return _ring_value(Ring(window_ms=HOUR_MS), of_event, events.ravel(), burst, now)


def _by_two(width_ms: int) -> Callable[[Int64s, Int64s], Float64s]:
    """Events in the bucket of now and the one before it."""

    def count(now: Int64s, events: Int64s) -> Float64s:
        seen = events // width_ms >= now[:, None] // width_ms - 1
        return np.asarray(seen.sum(axis=1), dtype=np.float64)

    return count


def _ring_value(
    ring: Ring, entity: Int64s, time_ms: Int64s, ask_entity: Int64s, ask_ms: Int64s
) -> Float64s:
    return sum_of_events(
        ring,
        entity=entity,
        time_ms=time_ms,
        value=np.ones(len(time_ms), dtype=np.int64),
        ask_entity=ask_entity,
        ask_ms=ask_ms,
    )


def _exact(
    entity: Int64s, time_ms: Int64s, ask_entity: Int64s, ask_ms: Int64s, *, window_ms: int
) -> Float64s:
    """Events of each asked entity from `window_ms` before the moment up to it, exclusive."""
    origin = int(time_ms.min()) - window_ms
    stride = int(max(time_ms.max(), ask_ms.max())) - origin + 1
    key = np.sort(entity * stride + (time_ms - origin))
    end = ask_entity * stride + (ask_ms - origin)
    count = np.searchsorted(key, end) - np.searchsorted(key, end - window_ms)
    return np.asarray(count, dtype=np.float64)


def _spread(error: Float64s) -> Spread:
    p50, p90, p99 = np.quantile(error, [0.5, 0.9, 0.99]).tolist()
    return Spread(p50=p50, p90=p90, p99=p99, max=float(error.max()))
