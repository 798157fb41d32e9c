"""A snapshot from history: the batch counters of every entity as of a midnight, by SQL.

What was received at or after the midnight is not looked at, nor what no counter reaches back to.
Entities are read in slices by the hash of their id, so that memory is bounded however many there
are, by the engine's groups as much as by the answer.

The hot set may be bounded: of each kind of entity those with the newest event stay; of events at
the same millisecond, the one with the greater id. Whoever is left out reads as never seen.
"""

# ruff: noqa: S608 - statements are made of names and numbers of our own

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from app.features.links import linked_sql
from app.features.snapshot import publish_snapshot
from app.features.spec import Aggregate, Entity, FeatureSet
from app.features.sql import COUNTED, counter_sql, seen_sql
from app.history.files import HistoryError

if TYPE_CHECKING:
    import pyarrow as pa

    from app.features.snapshot_rows import Batch
    from app.history.query import Asked

__all__ = ["AS_OF", "BuiltSnapshot", "EventsBefore", "build_snapshot"]

# Read at once; with it a snapshot of 7.5 million rows takes 1.2 GB of memory to build.
SLICE_ROWS = 1_000_000
# Reading takes this share of a build, writing the rest.
READING = 0.7

# The midnight, in queries.
AS_OF = "{as_of:Int64}"

Report = Callable[[float, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsBefore:
    """The events of one tenant before a midnight, in a history."""

    history: Asked
    tenant: str
    as_of_ms: int

    def table(self, horizon_ms: int) -> str:
        """Those of the last `horizon_ms` as a table expression, columns as of `COUNTED`."""
        return (
            f"(SELECT * FROM ({COUNTED}) WHERE tenant = {{tenant:String}} "
            f"AND at_ms >= {AS_OF} - {horizon_ms} AND at_ms < {AS_OF} AND known_ms < {AS_OF})"
        )

    def sql(self, query: str, **params: str | int) -> pa.Table:
        """The answer to a query that may name `tenant` and `as_of`."""
        return self.history.sql(query, {"tenant": self.tenant, "as_of": self.as_of_ms, **params})


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltSnapshot:
    """What was built.

    Attributes:
        version: as published.
        rows: by entity.
        left_out: entities beyond the bound, by entity.
    """

    version: str
    rows: dict[Entity, int]
    left_out: dict[Entity, int]


def build_snapshot(
    events: EventsBefore,
    features: FeatureSet,
    folder: Path,
    *,
    rows_max: int | None = None,
    slice_rows: int = SLICE_ROWS,
    report: Report = lambda _share, _what: None,
) -> BuiltSnapshot:
    """Build a snapshot and publish it.

    Args:
        events: of whom, and before which midnight.
        features: what the snapshot is for.
        folder: where snapshots are published.
        rows_max: entities of a kind that stay at most; all by default.
        slice_rows: entities read at once, about.
        report: told the share done, 0 to 1, and what is being done.

    Raises:
        HistoryError: there is nothing to build it from, or it cannot be read.
        PublicationError: a later snapshot is in force.
    """
    report(0.0, "looking at the history")
    hot = [_hot_set(events, features, entity, rows_max) for entity in features.batch_entities]
    rows = sum(of_entity.rows for of_entity in hot)
    if not rows:
        midnight = datetime.fromtimestamp(events.as_of_ms / 1_000, UTC).date()
        raise HistoryError(
            f"the history has nothing of {events.tenant!r} to make a snapshot of {midnight} from."
        )

    def told(what: str, done: int) -> None:
        first, share = (0.0, READING) if what == "read" else (READING, 1 - READING)
        report(first + share * done / rows, f"snapshot rows {what}")

    left_out = {of_entity.entity: of_entity.seen - of_entity.rows for of_entity in hot}
    version = publish_snapshot(
        folder,
        tenant=events.tenant,
        schema=features.schema,
        columns=features.snapshot_columns,
        batches=(b for of_entity in hot for b in _batches(events, features, of_entity, slice_rows)),
        as_of_ms=events.as_of_ms,
        left_out=left_out,
        progress=told,
    )
    return BuiltSnapshot(
        version=version,
        rows={of_entity.entity: of_entity.rows for of_entity in hot},
        left_out=left_out,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _HotSet:
    """The entities of a kind that get a row.

    Attributes:
        entity: the kind.
        seen: entities with anything within the horizon.
        rows: how many of them stay.
        bound: newest event and id of the last one that stays; None where all do.
    """

    entity: Entity
    seen: int
    rows: int
    bound: Mapping[str, str | int] | None = None


def _hot_set(
    events: EventsBefore, features: FeatureSet, entity: Entity, rows_max: int | None
) -> _HotSet:
    everyone = _rows_sql(events, features, entity)
    seen = events.sql(f"SELECT count() AS seen FROM ({everyone})")["seen"][0].as_py()
    if rows_max is None or seen <= rows_max:
        return _HotSet(entity=entity, seen=seen, rows=seen)
    last = events.sql(
        f"SELECT newest, id FROM ({everyone}) ORDER BY newest DESC, id DESC "
        f"LIMIT 1 OFFSET {rows_max - 1}"
    )
    (bound,) = last.to_pylist()
    return _HotSet(entity=entity, seen=seen, rows=rows_max, bound=bound)


def _batches(
    events: EventsBefore, features: FeatureSet, hot: _HotSet, slice_rows: int
) -> Iterator[Batch]:
    """The rows of a kind of entity; those that stay out make a slice smaller."""
    counters = features.batch_counters_of(hot.entity)
    summed = [counter for counter in counters if counter.aggregate is not Aggregate.LINKED]
    linked = {
        counter.name: events.sql(
            linked_sql(counter, events=events.table(counter.ring.window_ms), as_of=AS_OF)
        )
        for counter in counters
        if counter.aggregate is Aggregate.LINKED
    }
    slices = -(-hot.seen // slice_rows)
    for part in range(slices):
        query = _rows_sql(
            events,
            features,
            hot.entity,
            values=[f"{counter_sql(c, as_of=AS_OF)} AS {c.name}" for c in summed],
            where=f"cityHash64(id) % {slices} = {part}",
            having="true" if hot.bound is None else "(newest, id) >= ({newest:Int64}, {id:String})",
        )
        table = events.sql(query, **(hot.bound or {}))
        columns = [
            _looked_up(table["id"], linked[c.name])
            if c.name in linked
            else table[c.name].to_numpy()
            for c in counters
        ]
        yield hot.entity, table["id"], np.column_stack(columns)


def _rows_sql(
    events: EventsBefore,
    features: FeatureSet,
    entity: Entity,
    *,
    values: Sequence[str] = (),
    where: str = "true",
    having: str = "true",
) -> str:
    """Everyone with anything that counts within the horizon: id, time of the newest event, values.

    The same horizon and kinds as training's (`app.models.training.counters.seen_within`).
    """
    horizon_ms = features.snapshot_horizon_ms(entity)
    seen = seen_sql(features.batch_counters_of(entity), as_of=AS_OF, horizon_ms=horizon_ms)
    return f"""
SELECT {", ".join(["id", "max(at_ms) AS newest", *values])}
FROM (
    SELECT *, assumeNotNull({entity}) AS id
    FROM {events.table(horizon_ms)}
    WHERE isNotNull({entity})
)
WHERE {where}
GROUP BY id
HAVING {seen} AND {having}
"""


def _looked_up(ids: pa.ChunkedArray, linked: pa.Table) -> npt.NDArray[np.float64]:
    """The linked value of each id; 0 of whoever has none."""
    import pyarrow.compute as pc  # noqa: PLC0415 - with chDB only

    place = pc.index_in(ids, value_set=linked["id"].combine_chunks())
    values = linked["value"].combine_chunks().take(place.combine_chunks())
    found: npt.NDArray[np.float64] = values.fill_null(0.0).to_numpy(zero_copy_only=False)
    return found
