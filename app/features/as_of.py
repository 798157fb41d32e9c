"""Streaming inputs from history, as of what each decision's counters had applied, in SQL.

A decision says which events its counters held: by source and journal writer the last position
applied. So its inputs follow from the events of its entities up to those positions. Joining every
decision with every event of a busy merchant would be quadratic; three things keep it linear:

* decisions are joined with events by bucket of a ring, not by entity alone;
* decisions, in order of receipt, are cut into chunks. What all decisions of a chunk and of those
  after it had applied is added up first, by bucket, kinds and the chunk it counts from;
* what only some decisions of a chunk had applied is joined one by one, within that chunk.

    position <= low(chunk)             for all from that chunk on      added up
    low(chunk) < position <= high      for some of the chunk           position compared

low is the least position of a chunk and those after it, high the greatest of it and those before,
so both grow with the chunks. They are taken by shard and writer, as positions are.
"""

# ruff: noqa: S608 - statements are made of names and numbers of our own

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.features.rings import Ring, UInt64s
from app.features.spec import Counter, Entity, FeatureSet
from app.features.sql import COUNTED, counter_sql, formula_sql, kinds_of, seen_sql
from app.history.query import Asked, quoted
from app.streams.interface import Position, Positions

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["AsOf"]

CHUNKS_MAX = 64
# A position as one number that grows with it.
EPOCH_BITS = 40
WHOLE = -1  # in place of a chunk: what was added up


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reach:
    """How far the chunks' decisions had applied, by shard and writer (shard-major).

    Attributes:
        low: position that a chunk and all after it had applied, shape (chunks, shards x writers).
        high: position that none of a chunk and all before it had passed.
    """

    low: UInt64s
    high: UInt64s


class AsOf:
    """The newest decisions of the full rung in a history, and SQL for what their inputs were.

    Attributes:
        events: how many decisions these are.
    """

    def __init__(
        self, history: Asked, features: FeatureSet, *, newest: int, kept: Positions
    ) -> None:
        """Look at a history.

        Args:
            history: with every event that the decisions' counters had applied. The stores of all
                regions in it have equally many shards.
            features: what was counted.
            newest: decisions to take at most.
            kept: last position in history of each journal writer; a decision whose counters had
                applied more is left out.

        Raises:
            HistoryError: the history cannot be read.
        """
        self._history = history
        self._features = features
        self._newest = newest
        self._writers = sorted(kept)
        self._kept = [_number(kept[writer]) for writer in self._writers]
        found = history.sql("SELECT DISTINCT arrayJoin(mapKeys(positions)) AS of FROM decisions")
        sources = [source.rpartition("/") for source in sorted(found["of"].to_pylist())]
        self._regions = list(dict.fromkeys(region for region, _, _ in sources))
        self._shards = max((int(shard) + 1 for _, _, shard in sources), default=0)
        self.events = self._count() if sources else 0
        self._chunks = min(self.events, CHUNKS_MAX)
        self._reach = self._read_reach() if self.events else None

    def served(self) -> pa.Table:
        """What was served, in order: `decision_id`, the streaming features, the states."""
        features, entities = len(self._features.features), len(self._features.entities)
        columns = (
            f"decision_id, arraySlice(numbers, -{features}) AS numbers, "
            f"arraySlice(categories, -{entities}) AS states"
        )
        return self._history.sql(
            f"SELECT decision_id, numbers, states FROM ({self._asks(columns)}) ORDER BY ask"
        )

    def computed(self, entity: Entity) -> pa.Table:
        """State and features of an entity from the events, in the order of `served`."""
        return self._history.sql(self.sql(entity))

    def sql(self, entity: Entity) -> str:
        """The statement behind `computed`: columns `state`, and `<name>_input` of the features."""
        assert self._reach is not None, "there is no decision to ask about"
        counters = self._features.counters_of(entity)
        column = {counter.name: f"if(there, {counter.name}, nan)" for counter in counters}
        inputs = [
            f"{formula_sql(feature, column=column, amount='amount', now='as_of_ms')}"
            f" AS {feature.name}_input"
            for feature in self._features.features
            if set(feature.counters) <= set(column)
        ]
        joins = "".join(
            f"\nLEFT JOIN ({part}) AS part_{at} USING (ask)"
            for at, part in enumerate(self._parts(entity, counters))
        )
        return f"""
WITH {_literal(self._reach.low.T.tolist())} AS lows,
    {_literal(self._reach.high.T.tolist())} AS highs,
    asks AS ({self._asks_of(entity)}),
    placed AS ({self._placed(entity, counters)})
SELECT {_STATE} AS state, {", ".join(inputs)}
FROM asks{joins}
ORDER BY ask
"""

    def _asks(self, columns: str) -> str:
        """The decisions, numbered in order of receipt: `ask`, and `columns`."""
        order = "received_ms, region, writer, epoch, seq"
        newest = ", ".join(f"{column} DESC" for column in order.split(", "))
        kept = _literal(self._kept * self._shards)
        return f"""
SELECT toInt64(row_number() OVER (ORDER BY {order})) - 1 AS ask, {columns}
FROM (
    SELECT *, {self._upto()} AS upto
    FROM decisions
    WHERE rung = 'full' AND versions['features'] = '{self._features.schema}'
        AND arrayAll((mine, kept) -> mine <= kept, upto, {kept})
    ORDER BY {newest}
    LIMIT {self._newest}
)
"""

    def _asks_of(self, entity: Entity) -> str:
        """The decisions as one entity's counters see them."""
        sources = _literal([self._sources(shard) for shard in range(self._shards)])
        return self._asks(f"""
    {self._chunk()} AS asked_in, as_of_ms, tenant, {entity} AS id, upto,
    if(isNull(rates), nan, toFloat64(amount_ref)) AS amount,
    isNotNull(id) AND arrayExists(source -> mapContains(positions, source),
        {sources}[{self._shard(entity)} + 1]) AS there
""")

    def _placed(self, entity: Entity, counters: Sequence[Counter]) -> str:
        """The entity's events, with the chunks that had applied them: from which some, and all."""
        return f"""
SELECT tenant, assumeNotNull({entity}) AS id, at_ms, what, n, amount, squares
        {"".join(f", {bit}" for bit in _bits(counters))},
    bitShiftLeft(toUInt64(epoch), {EPOCH_BITS}) + seq AS position,
    {self._shard(entity)} * {len(self._writers)} + indexOf({_literal(self._writers)},
        concat(toString(region), '/', toString(writer))) AS place,
    arrayCount(high -> high < position, highs[place]) AS some_from,
    arrayCount(low -> low < position, lows[place]) AS all_from
FROM ({COUNTED})
WHERE isNotNull({entity}) AND bitAnd(what, {int(kinds_of(counters))}) != 0
"""

    def _parts(self, entity: Entity, counters: Sequence[Counter]) -> Iterator[str]:
        """A statement for the counters of each bucket width: `ask`, and the counters by name.

        The one with the longest ring also says whether anything was seen.
        """
        horizon_ms = self._features.horizon_ms(entity)
        longest = max(counters, key=lambda counter: counter.ring.horizon_ms).ring
        for width_ms in dict.fromkeys(counter.ring.width_ms for counter in counters):
            mine = [counter for counter in counters if counter.ring.width_ms == width_ms]
            values = [f"{counter_sql(one, as_of='as_of_ms')} AS {one.name}" for one in mine]
            back = {at for counter in mine for at in _buckets_back(counter.ring)}
            counted: Sequence[Counter] = mine
            if width_ms == longest.width_ms:
                seen = seen_sql(counters, as_of="as_of_ms", horizon_ms=horizon_ms)
                values.append(f"{seen} AS seen")
                back |= set(range(longest.slots + 1))
                counted = counters
            yield self._part(counted, values, width_ms=width_ms, back=sorted(back))

    def _part(
        self, counters: Sequence[Counter], values: Sequence[str], *, width_ms: int, back: list[int]
    ) -> str:
        bits = "".join(f", {bit}" for bit in _bits(counters))
        all_bits = "".join(f", groupBitOr({bit}) AS {bit}" for bit in _bits(counters))
        happened = f"bitAnd(what, {int(kinds_of(counters))}) != 0"
        return f"""
SELECT ask, {", ".join(values)}
FROM (
    SELECT ask, asked_in, as_of_ms, upto, tenant, assumeNotNull(id) AS id,
        arrayJoin([{WHOLE}, asked_in]) AS chunk,
        intDiv(as_of_ms, {width_ms}) - arrayJoin({_literal(back)}) AS bucket
    FROM asks
    WHERE there
) AS asking
INNER JOIN (
    SELECT tenant, id, toInt64({WHOLE}) AS chunk, bucket, all_from AS since,
        toUInt64(0) AS position, toUInt64(1) AS place, what, max(at_ms) AS at_ms,
        sum(n) AS n, sum(amount) AS amount, sum(squares) AS squares{all_bits}
    FROM (
        SELECT *, intDiv(at_ms, {width_ms}) AS bucket FROM placed
        WHERE all_from < {self._chunks} AND {happened}
    )
    GROUP BY tenant, id, bucket, all_from, what
    UNION ALL
    SELECT tenant, id, toInt64(arrayJoin(range(some_from, all_from))) AS chunk,
        intDiv(at_ms, {width_ms}) AS bucket, 0 AS since, position, place, what, at_ms, n,
        amount, squares{bits}
    FROM placed
    WHERE {happened}
) AS events USING (tenant, id, chunk, bucket)
WHERE since <= asked_in AND position <= upto[place]
GROUP BY ask, as_of_ms
"""

    def _upto(self) -> str:
        """What a decision's counters had applied, by shard and writer, as numbers."""
        position = "positions[source][writer]"
        number = f"bitShiftLeft(toUInt64({position}.1), {EPOCH_BITS}) + {position}.2"
        by_shard = (
            f"arrayMap(writer -> arrayMax(source -> {number}, {_literal(self._sources(shard))}), "
            f"{_literal(self._writers)})"
            for shard in range(self._shards)
        )
        return f"arrayConcat({', '.join(by_shard)})"

    def _sources(self, shard: int) -> list[str]:
        """The names under which decisions record the positions of a shard."""
        return [f"{region}/{shard}" for region in self._regions]

    def _shard(self, entity: Entity) -> str:
        """The shard of an entity's key, as `app.features.counter_store.shard_of`."""
        key = f"concat(tenant, ':{entity}:', ifNull({entity}, ''))"
        return f"toUInt64(xxHash64({key}) % {self._shards})"

    def _chunk(self) -> str:
        return f"intDiv(ask * {self._chunks}, {self.events})"

    def _count(self) -> int:
        count = self._history.sql(f"SELECT count() AS n FROM ({self._asks('seq')})")
        return int(count["n"][0].as_py())

    def _read_reach(self) -> _Reach:
        chunked = self._asks(f"{self._chunk()} AS asked_in, upto")
        table = self._history.sql(
            f"SELECT minForEach(upto) AS low, maxForEach(upto) AS high FROM ({chunked}) "
            "GROUP BY asked_in ORDER BY asked_in"
        )
        low, high = (np.array(table[name].to_pylist(), dtype=np.uint64) for name in ("low", "high"))
        return _Reach(low=np.minimum.accumulate(low[::-1])[::-1], high=np.maximum.accumulate(high))


# As `app.features.merge` tells them.
_STATE = """multiIf(isNull(id), 'not_mapped', NOT there, 'unavailable', seen, 'present',
    'never_seen')"""


def _buckets_back(ring: Ring) -> range:
    """How many buckets before that of now the buckets of a ring are."""
    lag = ring.lag_ms // ring.width_ms
    return range(lag, lag + ring.buckets + 1)


def _bits(counters: Sequence[Counter]) -> list[str]:
    """Columns with the bits of what the counters tell apart."""
    return list(dict.fromkeys(f"{counter.of}_bit" for counter in counters if counter.of))


def _number(position: Position) -> int:
    epoch, seq = position
    return (epoch << EPOCH_BITS) + seq


def _literal(value: object) -> str:
    """A list, of lists perhaps, of numbers or texts as ClickHouse writes it."""
    match value:
        case list():
            return f"[{', '.join(map(_literal, value))}]"
        case str():
            return quoted(value)
        case _:
            return str(value)
