"""Packed counter values: what the datastore holds under one key.

    offset  size  field
         0     2  magic "SD"
         2     2  schema id, little endian
         4     4  flags (bit 0: a counter has saturated)
         8     8  base: newest event time in the value, ms since the epoch
        16     .  one ring per counter of the entity, in the order of the specification:
                  slots of u32 (counts, sums) or u64 (distinct bitmaps)

The header is final. The rest follows from the specification and carries its schema id; readers
take the current schema and the one before, and every region's readers are upgraded before any
writer. Counts and sums saturate at 2^32 - 1, and say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import xxhash

from app.features.rings import Float64s, Int64s, Rings, UInt64s
from app.features.spec import Aggregate, Counter, Entity, counters_of

__all__ = ["COUNTER_SCHEMA", "Layout", "Unreadable", "Windows", "distinct_bit", "key", "layout_of"]

MAGIC = b"SD"
COUNTER_SCHEMA = 1
SATURATED = np.uint32(1)
U32_MAX = 2**32 - 1

Records = npt.NDArray[np.void]


class Unreadable(Exception):  # noqa: N818 - a fact about data, said as one
    """A packed value has a wrong magic, length or schema."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Counters of one entity as of one instant, before regions are merged.

    Attributes:
        totals: counts and sums, shape (rows, additive counters).
        bitmaps: distinct bitmaps, shape (rows, distinct counters).
        base_ms: newest event time of each value, shape (rows,).
    """

    totals: Float64s
    bitmaps: UInt64s
    base_ms: Int64s


class Layout:
    """The packed value of one entity under one schema."""

    def __init__(self, counters: Sequence[Counter], *, schema: int) -> None:
        self.schema = schema
        self.additive = tuple(c for c in counters if c.aggregate is not Aggregate.DISTINCT)
        self.distinct = tuple(c for c in counters if c.aggregate is Aggregate.DISTINCT)
        self._head = MAGIC + schema.to_bytes(2, "little")
        self._additive_rings = Rings([c.ring for c in self.additive])
        self._distinct_rings = Rings([c.ring for c in self.distinct])
        self.dtype = np.dtype(
            [("magic", "S2"), ("schema", "<u2"), ("flags", "<u4"), ("base", "<i8")]
            + [(c.name, _slot_type(c), (c.ring.slots,)) for c in counters]
        )

    @property
    def size(self) -> int:
        """Bytes of one value."""
        return int(self.dtype.itemsize)

    def blank(self, rows: int) -> Records:
        """Empty values."""
        records = np.zeros(rows, dtype=self.dtype)
        records["magic"] = MAGIC
        records["schema"] = self.schema
        return records

    def decode(self, values: Sequence[bytes]) -> Records:
        """Read values into one read-only record array.

        Raises:
            Unreadable: one of them has a wrong length, magic or schema.
        """
        for value in values:
            if len(value) != self.size:
                raise Unreadable(f"a packed value has {len(value)} bytes, not {self.size}")
            if not value.startswith(self._head):
                raise Unreadable(f"a packed value is not of schema {self.schema}")
        return np.frombuffer(b"".join(values), dtype=self.dtype)

    def encode(self, records: Records) -> list[bytes]:
        """Values to write, one per record."""
        joined = records.tobytes()
        return [joined[at : at + self.size] for at in range(0, len(joined), self.size)]

    def windows(self, records: Records, now_ms: Int64s) -> Windows:
        """Read every window of the records as of `now_ms`, shape (rows,)."""
        base = records["base"]
        totals = np.empty((len(records), 0))
        if self.additive:
            sums = np.stack([records[c.name] for c in self.additive], axis=1)
            totals = self._additive_rings.totals(sums, base, now_ms)
        bitmaps = np.empty((len(records), 0), dtype=np.uint64)
        if self.distinct:
            bits = np.stack([records[c.name] for c in self.distinct], axis=1)
            bitmaps = self._distinct_rings.unions(bits, base, now_ms)
        return Windows(totals, bitmaps, base)

    def apply(
        self,
        records: Records,
        rows: Int64s,
        event_ms: Int64s,
        amounts: Sequence[npt.NDArray[np.int64 | np.uint64]],
    ) -> int:
        """Fold events into records, in place.

        Args:
            records: values to update.
            rows: which record each event belongs to, shape (events,).
            event_ms: event times, shape (events,).
            amounts: what each event adds (or, for distinct, its bit), one array per counter,
                additive ones first.

        Returns:
            Events that were older than every ring and so were dropped.
        """
        old = records["base"].copy()
        np.maximum.at(records["base"], rows, event_ms)
        base = records["base"]
        kept_anywhere = np.zeros(len(rows), dtype=bool)
        for counter, amount in zip((*self.additive, *self.distinct), amounts, strict=True):
            slots = records[counter.name]
            counter.ring.clear_passed(slots, old, base)
            slot, kept = counter.ring.slot(event_ms, base[rows])
            kept_anywhere |= kept
            self._fold(records, counter, rows[kept], slot[kept], amount[kept])
        return int((~kept_anywhere).sum())

    def _fold(
        self,
        records: Records,
        counter: Counter,
        rows: Int64s,
        slot: Int64s,
        amount: npt.NDArray[np.int64 | np.uint64],
    ) -> None:
        field = records[counter.name]
        if counter.aggregate is Aggregate.DISTINCT:
            np.bitwise_or.at(field, (rows, slot), amount.astype(np.uint64))
            return
        wide = field.astype(np.uint64)
        np.add.at(wide, (rows, slot), amount.astype(np.uint64))
        over = wide > U32_MAX
        if over.any():
            wide[over] = U32_MAX
            records["flags"][over.any(axis=1)] |= SATURATED
        records[counter.name] = wide


@cache
def layout_of(entity: Entity, schema: int = COUNTER_SCHEMA) -> Layout:
    """The layout of an entity's value; `KeyError` for a schema that this release cannot read."""
    return {COUNTER_SCHEMA: Layout(counters_of(entity), schema=COUNTER_SCHEMA)}[schema]


def key(tenant: str, entity: Entity, id: str) -> str:
    """The datastore key of an entity's counters."""
    return f"{tenant}:{entity}:{id}"


def distinct_bit(id: str) -> int:
    """The bit of an id in a 64-bit distinct bitmap: xxHash64 modulo 64, as ClickHouse has it."""
    return 1 << (xxhash.xxh64_intdigest(id.encode()) & 63)


def _slot_type(counter: Counter) -> str:
    return "<u8" if counter.aggregate is Aggregate.DISTINCT else "<u4"
