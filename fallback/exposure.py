"""How much the lower rungs may still approve: stand-in exposure, as card networks bound it.

While a lower rung stands in for the full one, its approvals are worse informed, so they are made
within a budget: an amount a tier and hour, and an amount an instrument and hour. Past it, an
approval is withheld. Nothing is read from a store that other hosts share, since that is the store
that may be away: each host has an equal share of the tier's budget.

    ring of 12 + 1 buckets a tier        approved in any hour <= share, exactly
    3 x 65,536 rings of 4 + 1 buckets    approved to any instrument in any hour <= its cap

A total covers the bucket of now and all that reach into the hour before it: never less than the
last hour, at most a bucket more (65 minutes a tier, 75 an instrument). Instruments are a count-min
sketch (Cormode and Muthukrishnan, "An Improved Data Stream Summary", 2005): an instrument's total
is the least of three rings that it shares with others, so it is never too low, and the error is
a cap that is reached early. With `n` instruments approved within the hour at most about
`(n / 65,536) ** 3` of them are over-counted at all.

The cells are handed in: shared memory or a process's own. Whoever calls holds their lock. A process
that dies between two writes leaves totals that are never too low for what was answered: a bucket
is emptied before its ring is stamped, and an approval is entered before it is given.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from fallback.clock import Clock

__all__ = ["CELLS", "WINDOW_S", "Ledger", "Limit", "Spent"]

WINDOW_S: Final = 3_600
"""The window that budgets are of."""

_TIER_BUCKETS, _TIER_BUCKET_S = 13, 300
_OWN_BUCKETS, _TIER_BUCKETS_AN_OWN = 5, 3
_SLOTS = 64
_SLOT = 2 + _TIER_BUCKETS
_ROWS, _WIDTH = 3, 2**16
_RING = 1 + _OWN_BUCKETS

CELLS: Final = _SLOTS * _SLOT + _ROWS * _WIDTH * _RING
"""Cells of a ledger, 64-bit integers."""


class Spent(enum.StrEnum):
    """What has no room for an approval."""

    TIER = "tier"
    INSTRUMENT = "instrument"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The most that may be approved within an hour, minor units of the reference currency, >= 0.

    Attributes:
        tier: of the tier, on this ledger.
        instrument: of one instrument, on this ledger.
    """

    tier: int
    instrument: int


class Ledger:
    """Approvals of the last hour, by tier and instrument, in cells of a fixed number.

    Keys are numbers from 1 to 2**63 - 1, such as hashes. A tier finds a slot among 64; where all
    are in use within the hour, one more tier has no budget.
    """

    def __init__(self, cells: memoryview[int], *, clock: Clock) -> None:
        """Take over cells as they are.

        Args:
            cells: `CELLS` of them, all 0 for a new ledger.
            clock: one that all users of the cells share.

        Raises:
            ValueError: it is another number of cells.
        """
        if len(cells) != CELLS:
            raise ValueError(f"a ledger has {CELLS} cells, not {len(cells)}")
        self._cells = cells
        self._clock = clock

    def take(self, *, tier: int, instrument: int, amount: int, limit: Limit) -> Spent | None:
        """Enter an approval, if there is room for it.

        Args:
            tier: key of the tier.
            instrument: key of the instrument.
            amount: to approve, minor units of the reference currency, >= 0.
            limit: of both.

        Returns:
            None where it was entered, or what has no room; then nothing was entered.
        """
        bucket = self._bucket()
        slot = self._slot(tier, bucket)
        if slot is None or self._total(slot, _TIER_BUCKETS, bucket) + amount > limit.tier:
            return Spent.TIER
        own_bucket = bucket // _TIER_BUCKETS_AN_OWN
        rings = [
            _SLOTS * _SLOT + (row * _WIDTH + (instrument >> (16 * row)) % _WIDTH) * _RING
            for row in range(_ROWS)
        ]
        least = min(self._total(ring, _OWN_BUCKETS, own_bucket) for ring in rings)
        if least + amount > limit.instrument:
            return Spent.INSTRUMENT
        self._add(slot, _TIER_BUCKETS, amount)
        for ring in rings:
            self._add(ring, _OWN_BUCKETS, amount)
        return None

    def used(self, tier: int) -> int:
        """What a tier has approved within the hour; changes nothing, so it needs no lock."""
        oldest = self._bucket() - _TIER_BUCKETS
        for at in range(0, _SLOTS * _SLOT, _SLOT):
            if self._cells[at] == tier:
                newest, *ring = self._cells[at + 1 : at + _SLOT].tolist()
                return sum(
                    ring[bucket % _TIER_BUCKETS]
                    for bucket in range(newest - _TIER_BUCKETS + 1, newest + 1)
                    if bucket > oldest
                )
        return 0

    def _bucket(self) -> int:
        return int(self._clock.monotonic()) // _TIER_BUCKET_S

    def _slot(self, tier: int, bucket: int) -> int | None:
        """Where a tier's ring is; one that nobody used within the hour may become it."""
        idle: int | None = None
        cells = self._cells
        for at in range(0, _SLOTS * _SLOT, _SLOT):
            key = cells[at]
            if key == tier:
                return at + 1
            if not key or not -_TIER_BUCKETS < bucket - cells[at + 1] < _TIER_BUCKETS:
                idle = at if idle is None else idle
            if not key:
                break
        if idle is None:
            return None
        cells[idle + 1 : idle + _SLOT] = memoryview(bytes(8 * (_SLOT - 1))).cast("q")
        cells[idle] = tier
        return idle + 1

    def _total(self, at: int, length: int, bucket: int) -> int:
        """Bring a ring to a bucket; its sum.

        What cannot be (a stamp far ahead, a sum below 0) was not written here: it is void.
        """
        cells = self._cells
        newest, *ring = cells[at : at + 1 + length].tolist()
        ahead = bucket - newest
        if not ahead and min(ring) >= 0:
            return sum(ring)
        if ahead >= length or ahead <= -length or min(ring) < 0:
            passed = range(bucket - length + 1, bucket + 1)
        else:  # another process may have been a moment later, and the ring is ahead: as it is
            passed = range(newest + 1, bucket + 1)
        for gone in passed:
            ring[gone % length] = cells[at + 1 + gone % length] = 0
        if passed:
            cells[at] = bucket
        return sum(ring)

    def _add(self, at: int, length: int, amount: int) -> None:
        """Add to the newest bucket of a ring."""
        self._cells[at + 1 + self._cells[at] % length] += amount
