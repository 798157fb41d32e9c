"""Packed counter values: what the datastore holds under one key.

    offset  size  field
         0     2  magic "SD"
         2     2  schema id, little endian
         4     4  flags (bit 0: a counter has saturated)
         8     8  base: newest event time in the value, ms since the epoch
        16     .  the entity's counters, those of one shape together:
                  rings of u32 (counts, sums), of u64 (squares, distinct bitmaps), i64 (last)

The header is final. The rest follows from the feature set and carries its schema id; readers take
the current schema and the one before, and every region's readers are upgraded before any writer.
Counts and sums saturate at 2^32 - 1, and say so. What can be withdrawn has two rings, one for what
was counted and one for what was withdrawn; both only grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import xxhash

from app.features.blocks import Block, Column, Events, blocks_of, family
from app.features.events import Counted
from app.features.rings import Bools, Float64s, Int64s, UInt64s
from app.features.spec import Counter, Entity, FeatureSet

__all__ = [
    "HEAD_BYTES",
    "Layout",
    "Reader",
    "Records",
    "Unreadable",
    "Windows",
    "distinct_bit",
    "key",
    "layouts_of",
]

MAGIC = b"SD"
HEADER_BYTES = 16
HEAD_BYTES = 4  # magic and schema
SATURATED = np.uint32(1)
U32_MAX = 2**32 - 1

Records = npt.NDArray[np.void]


class Unreadable(Exception):  # noqa: N818 - a fact about data, said as one
    """A packed value has a wrong magic, length or schema."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Counters of one entity as of one instant, before regions are merged.

    Attributes:
        totals: counts, sums and squares net of what was withdrawn, shape (rows, additive).
        bitmaps: distinct bitmaps, shape (rows, distinct).
        last_ms: newest event times, 0 for none, shape (rows, last).
        base_ms: newest event time of each value, shape (rows,).
    """

    totals: Float64s
    bitmaps: UInt64s
    last_ms: Int64s
    base_ms: Int64s


class Layout:
    """The packed value of one entity under one schema.

    Attributes:
        schema: of the feature set.
        entity: whose values these are.
        additive, distinct, last: the counters, by how they are read and merged.
        blocks: their rings, in the order of the value.
        counts: kinds of events that change a value at all; the others pass it by.
        dtype: of one value.
        size: bytes of one value.
    """

    def __init__(self, counters: Sequence[Counter], *, schema: int) -> None:
        """Lay counters out.

        Args:
            counters: of one entity, in the order of the feature set.
            schema: of the feature set.
        """
        self.schema = schema
        self.entity = counters[0].entity
        self.additive = tuple(c for c in counters if family(c) == "additive")
        self.distinct = tuple(c for c in counters if family(c) == "distinct")
        self.last = tuple(c for c in counters if family(c) == "last")
        self._head = MAGIC + schema.to_bytes(2, "little")
        self.blocks = blocks_of((self.additive, self.distinct))
        self.counts = int(np.bitwise_or.reduce([int(c.counts | c.minus) for c in counters]))
        self._last_counts = np.array([int(c.counts) for c in self.last], dtype=np.int64)
        self._last_horizon_ms = np.array([c.ring.window_ms for c in self.last], dtype=np.int64)
        self.dtype = np.dtype(
            [("magic", "S2"), ("schema", "<u2"), ("flags", "<u4"), ("base", "<i8")]
            + [block.field for block in self.blocks]
            + ([("last", "<i8", (len(self.last),))] if self.last else [])
        )
        self.size = int(self.dtype.itemsize)

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
            if len(value) != self.size or not value.startswith(self._head):
                raise Unreadable(_why_not(value, self.size, self.schema))
        return np.frombuffer(b"".join(values), dtype=self.dtype)

    def encode(self, records: Records) -> list[bytes]:
        """Values to write, one per record."""
        joined = records.tobytes()
        return [joined[at : at + self.size] for at in range(0, len(joined), self.size)]

    def windows(self, records: Records, now_ms: Int64s) -> Windows:
        """Read every window of the records as of `now_ms`, shape (rows,) or (1,)."""
        base = records["base"]
        totals = np.zeros((len(records), len(self.additive)))
        bitmaps = np.zeros((len(records), len(self.distinct)), dtype=np.uint64)
        for block in self.blocks:
            if block.distinct:
                bitmaps[:, block.at] = block.rings.unions(records[block.name], base, now_ms)
                continue
            read = block.rings.totals(records[block.name], base, now_ms)
            for sign in (1, -1):
                of_sign = block.sign == sign
                totals[:, block.at[of_sign]] += sign * read[:, of_sign]
        last_ms = np.zeros((len(records), 0), dtype=np.int64)
        if self.last:
            last_ms = records["last"]
            last_ms = np.where(last_ms >= now_ms[:, None] - self._last_horizon_ms, last_ms, 0)
        return Windows(totals, bitmaps, last_ms, base)

    def apply(self, records: Records, rows: Int64s, events: Events) -> int:
        """Fold events into records, in place.

        Args:
            records: values to update.
            rows: which record each event belongs to, shape (events,).
            events: the events.

        Returns:
            Events that were older than every ring they count in, and so were dropped.
        """
        old = records["base"].copy()
        np.maximum.at(records["base"], rows, events.at_ms)
        base = records["base"]
        counted = np.zeros(len(rows), dtype=bool)
        late = np.zeros(len(rows), dtype=bool)
        for block in self.blocks:
            cells = records[block.name]
            block.rings.clear_passed(cells, old, base)
            added = block.added(events)
            slot, held = block.rings.place(events.at_ms, base[rows])
            counted |= ((added != 0) & held).any(axis=1)
            late |= ((added != 0) & ~held).any(axis=1)
            event, column = np.nonzero((added != 0) & held)
            at = (rows[event], column, slot[event, column])
            if block.distinct:
                np.bitwise_or.at(cells, at, added[event, column])
            else:
                _add(records, block, at, added[event, column])
        if self.last:
            happened = (events.what[:, None] & self._last_counts) != 0
            event, column = np.nonzero(happened)
            np.maximum.at(records["last"], (rows[event], column), events.at_ms[event])
        return int((late & ~counted).sum())

    def translated(self, records: Records, before: Layout) -> Records:
        """Values of the schema before, in this layout; counters that are new to it start empty."""
        result = self.blank(len(records))
        result["flags"], result["base"] = records["flags"], records["base"]
        for block in self.blocks:
            for column, mine in enumerate(block.columns):
                found = before._find(mine)
                if found is not None:
                    name, at = found
                    result[block.name][:, column] = records[name][:, at]
        for at, counter in enumerate(self.last):
            if counter in before.last:
                result["last"][:, at] = records["last"][:, before.last.index(counter)]
        return result

    def cells(self, records: Records, name: str, sign: int = 1) -> npt.NDArray[np.integer]:
        """The cells of one counter's ring, shape (rows, slots).

        Args:
            records: values.
            name: of the counter.
            sign: 1 for what was counted, -1 for what was withdrawn.

        Raises:
            KeyError: there is no such ring.
        """
        for block in self.blocks:
            for at, column in enumerate(block.columns):
                if (column.counter.name, column.sign) == (name, sign):
                    return np.asarray(records[block.name][:, at])
        raise KeyError(name)

    def offsets(self) -> list[tuple[str, int, int]]:
        """Name, offset and bytes of everything in a value, for the reference page."""
        assert self.dtype.fields is not None
        rows = []
        for block in self.blocks:
            _, offset = self.dtype.fields[block.name][:2]
            size = np.dtype(block.cell).itemsize * block.rings.slots
            for at, column in enumerate(block.columns):
                withdrawn = " (withdrawn)" if column.sign < 0 else ""
                rows.append((column.counter.name + withdrawn, int(offset) + at * size, size))
        if self.last:
            _, offset = self.dtype.fields["last"][:2]
            rows += [(c.name, int(offset) + 8 * at, 8) for at, c in enumerate(self.last)]
        return rows

    def _find(self, wanted: Column) -> tuple[str, int] | None:
        """Block and column of a ring that holds exactly what another schema's does."""
        for block in self.blocks:
            for at, column in enumerate(block.columns):
                if _ring_of(column) == _ring_of(wanted):
                    return block.name, at
        return None


class Reader:
    """Reads values of one entity, of the current schema or of the one before."""

    def __init__(self, layout: Layout, before: Layout | None) -> None:
        self.layout = layout
        self._before = before

    def decode(self, values: Sequence[bytes]) -> Records:
        """Read values, whichever of the two schemas each has.

        Raises:
            Unreadable: one of them has neither.
        """
        try:
            return self.layout.decode(values)
        except Unreadable:
            if self._before is None:
                raise
        records = self.layout.blank(len(values))
        for row, value in enumerate(values):
            records[row : row + 1] = self._one(value)
        return records

    def _one(self, value: bytes) -> Records:
        assert self._before is not None
        if int.from_bytes(value[2:4], "little") == self._before.schema:
            return self.layout.translated(self._before.decode([value]), self._before)
        return self.layout.decode([value])


def layouts_of(features: FeatureSet) -> dict[Entity, Reader]:
    """How to read and write the values of each entity of a set."""
    readers = {}
    for entity in features.entities:
        before = tuple(c for c in features.previous if c.entity is entity)
        readers[entity] = Reader(
            Layout(features.counters_of(entity), schema=features.schema),
            Layout(before, schema=features.schema - 1) if before else None,
        )
    return readers


def key(tenant: str, entity: Entity, id: str) -> str:
    """The datastore key of an entity's counters."""
    return f"{tenant}:{entity}:{id}"


def distinct_bit(id: str) -> int:
    """The bit of an id in a 64-bit distinct bitmap: xxHash64 modulo 64, as ClickHouse has it."""
    return 1 << (xxhash.xxh64_intdigest(id.encode()) & 63)


def _ring_of(column: Column) -> tuple[Counter, Counted, int]:
    """What a ring holds; that its counter can be withdrawn from is another ring's matter."""
    return replace(column.counter, minus=Counted.NOTHING), column.counts, column.sign


def _add(records: Records, block: Block, at: tuple[Int64s, Int64s, Int64s], added: UInt64s) -> None:
    cells = records[block.name]
    if not block.clipped:
        np.add.at(cells, at, added)
        return
    wide = cells.astype(np.uint64)
    np.add.at(wide, at, added)
    over: Bools = wide > U32_MAX
    if over.any():
        wide[over] = U32_MAX
        records["flags"][over.any(axis=(1, 2))] |= SATURATED
    records[block.name] = wide


def _why_not(value: bytes, size: int, schema: int) -> str:
    if len(value) != size:
        return f"a packed value has {len(value)} bytes, not {size}"
    return f"a packed value is not of schema {schema}"
