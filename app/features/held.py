"""What one region's store holds of an entity, taken apart for a reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import msgspec
import numpy as np
import redis

from app.features.applier import APPLIED_KEY, Applied, shard_of
from app.features.merge import Reply
from app.features.packed import SATURATED, Layout, Reader, Records, Unreadable
from app.features.rings import Ring
from app.settings import SourceAddress
from app.streams.connection import connect
from app.streams.interface import Position
from fallback.errors import RungError, SourceUnavailable

__all__ = ["Bucket", "Held", "StoreRead", "read_store"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """One bucket of a counter's ring.

    Attributes:
        from_ms: its beginning, ms since the epoch.
        counted: what was counted in it; of a distinct counter, the bits that are set.
        withdrawn: what was withdrawn in it.
    """

    from_ms: int
    counted: int
    withdrawn: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What one region's store holds.

    Attributes:
        region: home of the counters.
        shard: on which the entity lives.
        problem: why the store or the value cannot be used; empty where they can.
        as_of_ms: everything journaled by then is counted, ms since the epoch; 0 if not known.
        positions: last (epoch, seq) applied of each journal writer.
        bytes: of the value; 0 where there is none.
        schema: of the value as stored.
        saturated: whether a count or sum has reached its bound.
        base_ms: newest event in the value, ms since the epoch.
        counters: their values now, by name.
        buckets: those of each ring that hold something, newest first.
    """

    region: str
    shard: int
    problem: str = ""
    as_of_ms: int = 0
    positions: Mapping[str, Position] = field(default_factory=dict)
    bytes: int = 0
    schema: int = 0
    saturated: bool = False
    base_ms: int = 0
    counters: Mapping[str, float] = field(default_factory=dict)
    buckets: Mapping[str, Sequence[Bucket]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoreRead:
    """What a store answered, and what a scorer would make of it."""

    held: Held
    reply: Reply


def read_store(
    address: SourceAddress, name: str, reader: Reader, *, password: str | None, now_ms: int
) -> StoreRead:
    """Read one region's value. What is wrong with it is said, not raised.

    Args:
        address: of the store.
        name: of the key.
        reader: of the entity's values.
        password: of the store, if it has one.
        now_ms: as of when the windows are, ms since the epoch.
    """
    shards = len(address.shards)
    at = shard_of(name, shards)
    server = address.shards[at]
    # The shards that do not hold the key have no say in it.
    others: list[Applied | RungError] = [SourceUnavailable("not asked")] * shards

    def unusable(problem: str) -> StoreRead:
        held = Held(region=address.region, shard=at, problem=problem)
        return StoreRead(held, Reply(address.region, [None], tuple(others)))

    try:
        with connect(server, password, name="stepdown-features") as client:
            marker, raw = cast("list[bytes | None]", client.mget([APPLIED_KEY, name]))
    except redis.RedisError as error:
        return unusable(f"the store at {server.host}:{server.port} does not answer ({error}).")
    if marker is None:
        return unusable("the store is cold: nothing was ever applied.")
    applied = msgspec.msgpack.decode(marker, type=Applied)
    if not applied.ready:
        return unusable("the store is being built up.")
    held = Held(
        region=address.region, shard=at, as_of_ms=applied.as_of_ms, positions=applied.positions
    )
    try:
        held = held if raw is None else _with_value(held, raw, reader, now_ms)
    except Unreadable as error:
        return unusable(f"{error}.")
    others[at] = applied
    return StoreRead(held, Reply(address.region, [raw], tuple(others)))


def _with_value(empty: Held, raw: bytes, reader: Reader, now_ms: int) -> Held:
    records = reader.decode([raw])
    return replace(
        empty,
        bytes=len(raw),
        schema=int.from_bytes(raw[2:4], "little"),
        saturated=bool(records["flags"][0] & SATURATED),
        base_ms=int(records["base"][0]),
        counters=_counters(reader.layout, records, now_ms),
        buckets=_buckets(reader.layout, records),
    )


def _counters(layout: Layout, records: Records, now_ms: int) -> dict[str, float]:
    windows = layout.windows(records, np.array([now_ms]))
    values = {
        **dict(zip((c.name for c in layout.additive), windows.totals[0].tolist(), strict=True)),
        **dict(
            zip(
                (c.name for c in layout.distinct),
                np.bitwise_count(windows.bitmaps[0]).tolist(),
                strict=True,
            )
        ),
        **dict(zip((c.name for c in layout.last), windows.last_ms[0].tolist(), strict=True)),
    }
    return {name: float(value) for name, value in values.items()}


def _buckets(layout: Layout, records: Records) -> dict[str, list[Bucket]]:
    base_ms = int(records["base"][0])
    distinct = {counter.name for counter in layout.distinct}
    found = {}
    for counter in (*layout.additive, *layout.distinct):
        counted = layout.cells(records, counter.name)[0]
        if counter.name in distinct:
            counted = np.bitwise_count(counted)
        withdrawn = np.zeros_like(counted)
        if counter.minus:
            withdrawn = layout.cells(records, counter.name, -1)[0]
        found[counter.name] = [
            Bucket(from_ms=from_ms, counted=int(counted[slot]), withdrawn=int(withdrawn[slot]))
            for from_ms, slot in _slots(counter.ring, base_ms)
            if counted[slot] or withdrawn[slot]
        ]
    return found


def _slots(ring: Ring, base_ms: int) -> list[tuple[int, int]]:
    """Beginning and slot of each bucket that a value with this base holds, newest first."""
    newest = base_ms // ring.width_ms
    return [
        ((newest - back) * ring.width_ms, (newest - back) % ring.slots)
        for back in range(ring.slots)
    ]
