"""Backfill: an empty or re-sharded store is built from history, under a new generation.

    counters of history up to its checkpoint  +  events behind it, from stream and journals
    (backfill, each key written once)            (the applier, which goes on from the positions)

so an event counts once, wherever it is by then: the positions that history had reached are fixed
before the first event is read, and are what the store says to have applied when all is written.
Until then its marker has no positions, readers pass it by, and an applier takes it for cold.

The work is cut into steps, an entity's keys of one range of hashes each. What a step writes
depends on the positions alone, so a step that was cut short is done again; how many are done, the
store itself keeps, under a key beside the marker. Each transaction is fenced by the marker: an
applier that takes the store over stops the backfill, not the other way round.

Only what may still count when the history's newest event was received is read. Rings do not
depend on the order of events, so values equal those of the applier at every read from then on;
what they differ in is buckets that no read looks at any more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

import msgspec
import numpy as np
import redis

from app.errors import OperatorError
from app.features.applier import Applied, Rebuild
from app.features.backfill_plan import Plan, plan_of
from app.features.counter_store import CounterStore, Written
from app.features.packed import Layout, layouts_of
from app.features.spec import DAY_MS, Entity, FeatureSet
from app.history.counted import CountedHistory
from app.history.counted_columns import OfKeys
from app.history.files import HistoryError
from app.streams.interface import Positions, StreamUnavailable

__all__ = ["BACKFILL_KEY", "EVENTS_MAX", "Backfilled", "backfill", "rebuild_from_history"]

BACKFILL_KEY = "!backfill"
# How long an abandoned backfill can be taken up again.
KEPT_MS = 7 * DAY_MS
# Of one step, about; some 150 bytes each. Each further step of an entity reads all of it again.
EVENTS_MAX = 5_000_000
EVENTS_AT_ONCE = 50_000
# Of one transaction, which holds the server up for as long as it takes.
VALUES_BYTES = 2**20

Report = Callable[[float, str], None]
Kept = TypeVar("Kept", bound=msgspec.Struct)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfilled:
    """What was done for one shard.

    Attributes:
        generation: of the store.
        events: folded in, once for each value that they changed.
        values: written; those of an earlier run that was cut short are not among them.
        took_s: seconds.
        positions: what the store has applied now.
    """

    generation: str
    events: int
    values: int
    took_s: float
    positions: Positions


def backfill(
    folder: Path,
    stores: Sequence[redis.Redis],
    features: FeatureSet,
    *,
    now_ms: int,
    replace: bool = False,
    events_max: int = EVENTS_MAX,
    report: Report = lambda _share, _what: None,
) -> tuple[Backfilled, ...]:
    """Build the counters of a region's store from its history; goes on where it was cut short.

    Args:
        folder: of the region's history.
        stores: one per shard, in their order.
        features: what is counted.
        now_ms: wall clock, ms since the epoch.
        replace: clear stores that are in use first, rather than refuse them.
        events_max: of one step, about; bounds memory.
        report: told the share done, and of what.

    Returns:
        What was done for each shard; nothing for those that an earlier run completed.

    Raises:
        OperatorError: there is no history, a store is in use, away, or written by someone else.
    """
    plans = [
        plan_of(folder, features, shard, len(stores), now_ms=now_ms, events_max=events_max)
        for shard in range(len(stores))
    ]
    if not plans[0].positions:
        raise HistoryError(f"there is no history in {folder}.")
    try:
        works = [
            _Work(CounterStore(client), plan, folder, features)
            for client, plan in zip(stores, plans, strict=True)
        ]
        for work in works:
            work.look(replace=replace)
        done = tuple(work.build(report) for work in works if not work.complete)
        for client in stores:
            client.unlink(BACKFILL_KEY)
    except redis.WatchError:
        raise OperatorError(
            "an applier writes the store that is being filled; stop it, and run this again."
        ) from None
    except redis.RedisError as error:
        raise OperatorError(f"the store cannot be written ({error}); run this again.") from None
    return done


def rebuild_from_history(
    folder: Path, features: FeatureSet, *, shard: int, shards: int, now_ms: Callable[[], int]
) -> Rebuild:
    """What an applier fills its shard with when the store is cold.

    Args:
        folder: of the region's history; without any, everything is left to stream and journals.
        features: what is counted.
        shard: number of the shard.
        shards: how many the store has.
        now_ms: wall clock, ms since the epoch.

    Returns:
        Fills a store whose marker is the one given, and tells the positions it reached. Raises
        `StreamUnavailable` where history cannot be read: without it the store stays cold, and it
        is tried again.
    """

    def rebuild(client: redis.Redis, applied: Applied) -> Positions:
        store = CounterStore(client)  # which the applier closes, with the client
        if store.marker != msgspec.msgpack.encode(applied):
            raise redis.WatchError("someone else writes the store")
        try:
            plan = plan_of(folder, features, shard, shards, now_ms=now_ms(), events_max=EVENTS_MAX)
            if not plan.positions:
                return {}
            _Work(store, plan, folder, features).fill(lambda _share, what: log.info(what))
        except HistoryError as error:
            raise StreamUnavailable(str(error)) from error
        client.unlink(BACKFILL_KEY)
        return plan.positions

    return rebuild


class _Work:
    """One shard that is being built.

    Attributes:
        complete: an earlier run has done everything.
    """

    def __init__(self, store: CounterStore, plan: Plan, folder: Path, features: FeatureSet) -> None:
        self.complete = False
        self._store = store
        self._plan = plan
        self._resumed = False
        self._folder = folder
        self._features = features
        self._layouts = {entity: of.layout for entity, of in layouts_of(features).items()}
        self._events = self._values = 0

    def look(self, *, replace: bool) -> None:
        """See what the store holds.

        Raises:
            OperatorError: it is in use.
        """
        marker = _decoded(self._store.marker, Applied)
        if marker is None:
            return
        raw = cast("bytes | None", self._store.client.get(BACKFILL_KEY))
        kept = _decoded(raw, Plan)
        if kept and kept.generation == marker.generation and kept.fits(self._plan):
            self._plan, self._resumed = kept, True
            self.complete = bool(marker.positions)
        elif (marker.ready or marker.positions) and not replace:
            raise OperatorError(
                f"the store of shard {self._plan.shard} is in use; --replace clears it first."
            )

    def build(self, report: Report) -> Backfilled:
        """Clear the store, or go on with what was begun; fill it, and say so in it.

        Raises:
            redis.RedisError: it is away, or someone else writes it.
        """
        started_s = time.monotonic()
        if not self._resumed:
            self._write((), msgspec.msgpack.encode(self._plan.marker))
            self._store.clear(Entity)
        self.fill(report)
        self._write((), msgspec.msgpack.encode(self._plan.built))
        return Backfilled(
            generation=self._plan.generation,
            events=self._events,
            values=self._values,
            took_s=time.monotonic() - started_s,
            positions=self._plan.positions,
        )

    def fill(self, report: Report) -> None:
        """Do the steps that are not done yet, each kept in the store.

        Raises:
            redis.RedisError: the store is away, or someone else writes it.
            HistoryError: a file cannot be read.
        """
        plan = self._plan
        steps = [(entity, part) for entity in self._layouts for part in range(plan.parts)]
        for at in range(plan.done, len(steps)):
            entity, part = steps[at]
            share = (plan.shard + at / len(steps)) / plan.shards
            report(share, f"{entity} {part + 1}/{plan.parts} of shard {plan.shard}")
            self._step(entity, part)
            after = msgspec.structs.replace(plan, done=at + 1)
            kept = Written([BACKFILL_KEY], [msgspec.msgpack.encode(after)], KEPT_MS)
            self._write([kept], self._marker())

    def _step(self, entity: Entity, part: int) -> None:
        """Write every key of an entity whose hash is in a range."""
        plan, layout = self._plan, self._layouts[entity]
        horizon_ms = self._features.horizon_ms(entity)
        found = CountedHistory(self._folder, plan.positions).of(
            layout,
            since_ms=max(plan.as_of_ms - horizon_ms, 0),
            # h mod (shards parts) = shard  (mod shards): keys of this shard, cut once more
            part=plan.shard + plan.shards * part,
            parts=plan.shards * plan.parts,
        )
        for names, values in _folded(layout, found):
            self._write([Written(names, values, 2 * horizon_ms)], self._marker())
            self._values += len(names)
        self._events += len(found.row)

    def _marker(self) -> bytes:
        assert self._store.marker is not None, "the marker is written before any value"
        return self._store.marker

    def _write(self, values: Sequence[Written], marker: bytes) -> None:
        self._store.read(())
        self._store.write(values, marker)


def _folded(layout: Layout, found: OfKeys) -> Iterator[tuple[list[str], list[bytes]]]:
    """Keys and their values, as many at a time as one transaction takes."""
    at_once = max(VALUES_BYTES // layout.size, 1)
    order = np.argsort(found.row, kind="stable")
    row = found.row[order]
    for first in range(0, len(found.names), at_once):
        names = found.names[first : first + at_once]
        records = layout.blank(len(names))
        start, end = np.searchsorted(row, [first, first + len(names)]).tolist()
        # The events of one key may be any number; those of some at a time are not.
        for at in range(start, end, EVENTS_AT_ONCE):
            some = order[at : min(at + EVENTS_AT_ONCE, end)]
            layout.apply(records, found.row[some] - first, found.events.take(some))
        yield names, layout.encode(records)


def _decoded(raw: bytes | None, kind: type[Kept]) -> Kept | None:
    """What the store holds; nothing where it cannot be read, as what it says is not known then."""
    try:
        return None if raw is None else msgspec.msgpack.decode(raw, type=kind)
    except msgspec.MsgspecError:
        return None
