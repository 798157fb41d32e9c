"""An in-process brake on velocity: attempts per card, device and IP over the last seconds.

It sees what one process saw, needs nothing, and so still stands when every datastore is gone. A
count covers the sub-bucket of now and all that reach into the window before it: never fewer than
the attempts of the last `window_s`, at most those of `window_s` plus one sub-bucket. So a burst is
seen whole wherever it falls, which a count of whole buckets alone would cut in two.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fallback.clock import Clock

__all__ = ["BrakeKind", "BrakeSettings", "VelocityBrake"]


class BrakeKind(enum.StrEnum):
    """What attempts are counted by. Each kind has its own memory: none can crowd out another."""

    CARD = "card"
    DEVICE = "device"
    IP = "ip"

    # An enumeration's own hash is a call into Python, at every look-up.
    __hash__ = str.__hash__


@dataclass(frozen=True, slots=True, kw_only=True)
class BrakeSettings:
    """Limits of the brake.

    Attributes:
        window_s: how far back a count reaches; > 0.
        sub_buckets: parts the window is cut into; 1 to 60.
        entries_max: keys remembered per kind, about 350 bytes each; >= 1. Past it the key that
            was longest without an attempt goes; the counter is `VelocityBrake.evicted`.
    """

    window_s: float = 10.0
    sub_buckets: int = 5
    entries_max: int = 50_000

    def __post_init__(self) -> None:
        if self.window_s <= 0:
            raise ValueError("window_s must be above 0")
        if not 1 <= self.sub_buckets <= 60:
            raise ValueError("sub_buckets must be between 1 and 60")
        if self.entries_max < 1:
            raise ValueError("entries_max must be at least 1")


class _Ring:
    """Counts of one key, by sub-bucket modulo their number."""

    __slots__ = ("bucket", "counts")

    def __init__(self, bucket: int, length: int) -> None:
        self.bucket = bucket
        self.counts = [0] * length

    def add(self, bucket: int) -> int:
        counts = self.counts
        length = len(counts)
        if bucket != self.bucket:
            for passed in range(max(self.bucket, bucket - length) + 1, bucket + 1):
                counts[passed % length] = 0
            self.bucket = bucket
        counts[bucket % length] += 1
        return sum(counts)


class VelocityBrake:
    """Counts attempts by key in bounded memory. For one thread: the event loop's."""

    def __init__(self, *, clock: Clock, settings: BrakeSettings | None = None) -> None:
        """Start empty.

        Args:
            clock: where "now" comes from.
            settings: the limits; the defaults where none are given.
        """
        settings = settings or BrakeSettings()
        self._clock = clock
        self._sub_buckets_per_s = settings.sub_buckets / settings.window_s
        self._length = settings.sub_buckets + 1
        self._entries_max = settings.entries_max
        self._rings: Final[Mapping[BrakeKind, OrderedDict[str, _Ring]]] = {
            kind: OrderedDict() for kind in BrakeKind
        }
        self._evicted = 0

    @property
    def evicted(self) -> int:
        """Keys forgotten while their counts still mattered, since the start."""
        return self._evicted

    def hit(self, kind: BrakeKind, key: str) -> int:
        """Count one attempt.

        Returns:
            Attempts with this key within the last `window_s`, this one included.
        """
        bucket = int(self._clock.monotonic() * self._sub_buckets_per_s)
        rings = self._rings[kind]
        ring = rings.get(key)
        if ring is None:
            if len(rings) >= self._entries_max:
                self._forget_oldest(rings, bucket)
            ring = rings[key] = _Ring(bucket, self._length)
        else:
            rings.move_to_end(key)
        return ring.add(bucket)

    def _forget_oldest(self, rings: OrderedDict[str, _Ring], bucket: int) -> None:
        _, oldest = rings.popitem(last=False)
        if bucket - oldest.bucket < self._length:
            self._evicted += 1
