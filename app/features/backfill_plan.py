"""What a backfill does, fixed before it starts."""

from __future__ import annotations

import logging
import math
import secrets
from pathlib import Path

import msgspec

from app.features.applier import Applied
from app.features.spec import FeatureSet
from app.history.counted import CountedHistory, checkpoint_of
from app.streams.interface import START, Position

__all__ = ["Plan", "plan_of"]

log = logging.getLogger(__name__)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a backfill does, fixed before it starts; kept in the store with how far it is.

    Attributes:
        generation: of the store that is being built.
        schema: of the feature set.
        shard: number of the shard.
        shards: how many the store has.
        parts: ranges of hashes into which the shard's keys are cut.
        as_of_ms: what no longer counts by then is left out, ms since the epoch.
        positions: up to which history is read.
        done: steps that were done.
    """

    generation: str
    schema: int
    shard: int
    shards: int
    parts: int
    as_of_ms: int
    positions: dict[str, Position]
    done: int = 0

    @property
    def marker(self) -> Applied:
        """What the store says of itself meanwhile."""
        return Applied(generation=self.generation, ready=False, as_of_ms=0, positions={})

    @property
    def built(self) -> Applied:
        """What the store says of itself afterwards; the applier finds out when it is ready."""
        return msgspec.structs.replace(self.marker, positions=self.positions)

    def fits(self, other: Plan) -> bool:
        """Whether a plan made now means the same store, and history still has this one's events."""
        same = (self.schema, self.shard, self.shards) == (other.schema, other.shard, other.shards)
        return same and all(
            other.positions.get(writer, START) >= position
            for writer, position in self.positions.items()
        )


def plan_of(
    folder: Path, features: FeatureSet, shard: int, shards: int, *, now_ms: int, events_max: int
) -> Plan:
    """Plan one shard's backfill, as history is now.

    Args:
        folder: of the region's history.
        features: what is counted.
        shard: number of the shard.
        shards: how many the store has.
        now_ms: wall clock, ms since the epoch.
        events_max: of one step, about.

    Raises:
        HistoryError: history cannot be read.
    """
    checkpoint = checkpoint_of(folder)
    if checkpoint.missed or checkpoint.unreadable:
        log.warning(
            "history lacks %d events, and passed over %d", checkpoint.missed, checkpoint.unreadable
        )
    history = CountedHistory(folder, checkpoint.positions)
    # A host whose clock was wrong must not make everything else look old.
    as_of_ms = min(history.newest_ms(), now_ms)
    horizon_ms = max(features.horizon_ms(entity) for entity in features.entities)
    rows = history.rows_since(max(as_of_ms - horizon_ms, 0))
    return Plan(
        generation=secrets.token_hex(8),
        schema=features.schema,
        shard=shard,
        shards=shards,
        parts=max(math.ceil(rows / shards / events_max), 1),
        as_of_ms=as_of_ms,
        positions=checkpoint.positions,
    )
