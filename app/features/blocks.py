"""What a packed value is built of: rings of one cell type and shape, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.features.events import Counted
from app.features.rings import Int64s, Rings, UInt64s
from app.features.spec import Aggregate, Counter, Entity

__all__ = ["SQUARED_AMOUNT_MAX", "Block", "Column", "Events", "blocks_of", "family"]

# Larger amounts count as this in sums of squares, so that no bucket of 64 bits can overflow.
SQUARED_AMOUNT_MAX = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Events to fold in, in columns.

    Attributes:
        at_ms: the time each counts at, shape (events,).
        what: `Counted` flags.
        amount: reference minor units, >= 0.
        bits: bit of each event in bitmaps, by entity told apart; 0 where the event has no such id.
    """

    at_ms: Int64s
    what: Int64s
    amount: Int64s
    bits: Mapping[Entity, UInt64s]

    def take(self, rows: Int64s) -> Events:
        """Some of the events, in the order of `rows`."""
        return Events(
            at_ms=self.at_ms[rows],
            what=self.what[rows],
            amount=self.amount[rows],
            bits={entity: bits[rows] for entity, bits in self.bits.items()},
        )


@dataclass(frozen=True, slots=True)
class Column:
    """One ring of a block.

    Attributes:
        counter: that it belongs to.
        counts: kinds of events that go into it.
        at: of the counter among those of its aggregate's family.
        sign: 1, or -1 for what was withdrawn.
    """

    counter: Counter
    counts: Counted
    at: int
    sign: int


class Block:
    """Rings of one cell type and shape, side by side in the value."""

    def __init__(self, columns: Sequence[Column]) -> None:
        first = columns[0].counter
        self.columns = tuple(columns)
        self.distinct = first.aggregate is Aggregate.DISTINCT
        self.rings = Rings([column.counter.ring for column in columns])
        self.cell = _cell(first)
        self.name = f"{family(first)}_{self.cell}_{first.ring.buckets}_{self.rings.slots}"
        self.at = np.array([column.at for column in columns], dtype=np.int64)
        self.sign = np.array([column.sign for column in columns], dtype=np.int64)
        self.counts = np.array([int(column.counts) for column in columns], dtype=np.int64)
        self.clipped = self.cell == "u4"
        self._of = [column.counter.aggregate for column in columns]

    @property
    def field(self) -> tuple[str, str, tuple[int, int]]:
        """Name, type and shape of the block in a record."""
        return self.name, f"<{self.cell}", (len(self.columns), self.rings.slots)

    def added(self, events: Events) -> UInt64s:
        """What each event adds to each ring, shape (events, columns); 0 where it does not count."""
        happened = (events.what[:, None] & self.counts) != 0
        if self.distinct:
            added = [events.bits[_told_apart(c.counter)] for c in self.columns]
            return np.asarray(np.where(happened, np.stack(added, axis=1), np.uint64(0)))
        by = {
            Aggregate.COUNT: np.ones(len(events.what), dtype=np.uint64),
            Aggregate.SUM: events.amount.astype(np.uint64),
            Aggregate.SQUARES: np.minimum(events.amount, SQUARED_AMOUNT_MAX).astype(np.uint64) ** 2,
        }
        return np.asarray(happened * np.stack([by[of] for of in self._of], axis=1))


def blocks_of(families: Sequence[Sequence[Counter]]) -> tuple[Block, ...]:
    """The blocks of an entity's counters, given by family."""
    shapes: dict[tuple[str, str, int, int], list[Column]] = {}
    for counters in families:
        for at, counter in enumerate(counters):
            ring = counter.ring
            shape = (family(counter), _cell(counter), ring.buckets, ring.slots)
            columns = shapes.setdefault(shape, [])
            columns.append(Column(counter, counter.counts, at, 1))
            if counter.minus:
                columns.append(Column(counter, counter.minus, at, -1))
    return tuple(Block(columns) for columns in shapes.values())


def family(counter: Counter) -> str:
    """How a counter is read and merged: "additive", "distinct" or "last"."""
    match counter.aggregate:
        case Aggregate.DISTINCT:
            return "distinct"
        case Aggregate.LAST:
            return "last"
        case Aggregate.LINKED:
            raise ValueError(f"{counter.name}: links are counted in the snapshot only")
        case _:
            return "additive"


def _cell(counter: Counter) -> str:
    return "u8" if counter.aggregate in {Aggregate.DISTINCT, Aggregate.SQUARES} else "u4"


def _told_apart(counter: Counter) -> Entity:
    assert counter.of is not None
    return counter.of
