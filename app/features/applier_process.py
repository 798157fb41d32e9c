"""The applier's process: all shards of the region's store, on its stream, until told to stop.

Shards that have applied the same are in step: they share one reader of the stream, so that an
event is read, decoded and put in columns once. A shard that was away catches up on a reader of its
own, and the others do not wait for it; once it has what they have, it is in step again.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import time
from collections.abc import Callable, Sequence
from types import FrameType

import redis

from app.features.applier import Applied, Applier, Rebuild
from app.features.feed import BATCH_EVENTS_MAX, Feed
from app.settings import ScorerSettings, Shard, load
from app.streams.bridged import Bridged
from app.streams.choice import stream_of
from app.streams.connection import connect
from app.streams.interface import START, EventStream, Positions, StreamError
from app.streams.journal_tail import JournalTail
from app.telemetry import Gauges, Pusher, Telemetry
from regions.topology import load_topology

__all__ = ["Shards", "run", "shards_of"]

RECONNECT_S = 0.2
# A server that hangs is tried for at most a fifth of the time, which the other shards wait.
AWAY_TO_TRIED = 4.0
PUSH_S = 1.0

log = logging.getLogger(__name__)


class _Lane:
    """One shard's applier, and whether it can be used."""

    def __init__(self, applier: Applier, number: int) -> None:
        self.applier = applier
        self.connected = False
        self.in_step = False
        self.try_at_s = 0.0
        self._number = number

    def failed(self, error: Exception, *, tried_s: float) -> None:
        """Try again a little later."""
        if self.connected:
            log.warning("shard %d: %s; reading positions again", self._number, error)
        self.connected = self.in_step = False
        self.try_at_s = time.monotonic() + max(RECONNECT_S, AWAY_TO_TRIED * tried_s)


class Shards:
    """Applies a region's events to all shards of its store.

    Attributes:
        since_ms: as of when the shards were that the shared reader was last rewound for, ms since
            the epoch; 0 for nothing.
    """

    def __init__(self, feed: Feed, appliers: Sequence[Applier]) -> None:
        """Make it.

        Args:
            feed: for the shards that are in step.
            appliers: of the shards, each with a feed of its own.
        """
        self.since_ms = 0
        self._feed = feed
        self._lanes = [_Lane(applier, number) for number, applier in enumerate(appliers)]

    def step(self) -> int:
        """Apply one batch; how many events it had. A store or stream that is away is waited for."""
        taken = self._together([lane for lane in self._lanes if lane.in_step])
        for lane in self._lanes:
            if not lane.in_step and time.monotonic() >= lane.try_at_s:
                taken += self._alone(lane)
        return taken

    def counted(self) -> dict[str, int]:
        """What went wrong with events so far, by name of the counter."""
        appliers = [lane.applier for lane in self._lanes]
        feeds = [self._feed, *(applier.feed for applier in appliers)]
        return {
            "events_ahead": sum(feed.ahead for feed in feeds),
            "events_unreadable": sum(feed.unreadable for feed in feeds),
            "events_late": sum(applier.dropped_late for applier in appliers),
            "values_unreadable": sum(applier.unreadable for applier in appliers),
        }

    def _together(self, lanes: Sequence[_Lane]) -> int:
        """One batch for all shards that are in step."""
        if not lanes:
            return 0
        started_s = time.monotonic()
        try:
            batch = self._feed.next()
        except StreamError as error:
            for lane in lanes:
                lane.failed(error, tried_s=time.monotonic() - started_s)
            return 0
        for lane in lanes:
            started_s = time.monotonic()
            try:
                lane.applier.apply(batch)
            except redis.RedisError as error:
                lane.failed(error, tried_s=time.monotonic() - started_s)
        return len(batch.records)

    def _alone(self, lane: _Lane) -> int:
        """Connect a shard, or let it catch up by one batch."""
        started_s = time.monotonic()
        try:
            taken = 0
            if lane.connected:
                taken = lane.applier.step()
            else:
                lane.applier.connect()
                lane.connected = True
            self._joined(lane)
        except (redis.RedisError, StreamError) as error:
            lane.failed(error, tried_s=time.monotonic() - started_s)
            return 0
        return taken

    def _joined(self, lane: _Lane) -> None:
        """Take the shard in as soon as it has what those in step have; the first one leads."""
        applied = lane.applier.applied
        if not any(other.in_step for other in self._lanes):
            self.since_ms = applied.as_of_ms
            self._feed.rewind(applied.positions)
        lane.in_step = _covers(applied.positions, self._feed.positions)


def _covers(applied: Positions, wanted: Positions) -> bool:
    return all(applied.get(name, START) >= position for name, position in wanted.items())


class _Streams:
    """Readers of the region's stream, which go over its holes from the journals on this host."""

    def __init__(
        self, settings: ScorerSettings, around: Callable[[EventStream], EventStream]
    ) -> None:
        self._settings = settings
        self._around = around
        self._region = load_topology().region(settings.region).number
        self._made: list[Bridged] = []

    @property
    def gaps(self) -> int:
        """Holes met."""
        return sum(stream.gaps for stream in self._made)

    def open(self, since_ms: Callable[[], int]) -> EventStream:
        """Another reader; `since_ms` says by when everything journaled was applied."""
        stream = Bridged(
            stream_of(self._settings, since_ms=since_ms),
            JournalTail(self._settings.journal),
            region=self._region,
            now_ms=_now_ms,
        )
        self._made.append(stream)
        return self._around(stream)


def shards_of(settings: ScorerSettings, streams: _Streams) -> Shards:
    """The region's shards as the settings name them."""
    addresses, password = settings.store_shards(), settings.datastore_password()

    def applier(number: int, address: Shard) -> Applier:
        made = Applier(
            lambda: connect(address, password),
            streams.open(lambda: made.applied.as_of_ms),
            features=settings.feature_set,
            now_ms=_now_ms,
            shard=number,
            shards=len(addresses),
            heartbeats=True,
            rebuild=_rebuild(settings, number, len(addresses)),
        )
        return made

    shared = Feed(
        streams.open(lambda: shards.since_ms),
        features=settings.feature_set,
        shards=len(addresses),
        now_ms=_now_ms,
    )
    shards = Shards(shared, [applier(*numbered) for numbered in enumerate(addresses)])
    return shards


def _rebuild(settings: ScorerSettings, shard: int, shards: int) -> Rebuild:
    """Fills a cold shard from history; what that needs is imported only then."""

    def rebuild(client: redis.Redis, applied: Applied) -> Positions:
        from app.features.backfill import rebuild_from_history  # noqa: PLC0415

        fill = rebuild_from_history(
            settings.region_folder / "history",
            settings.feature_set,
            shard=shard,
            shards=shards,
            now_ms=_now_ms,
        )
        return fill(client, applied)

    return rebuild


def run(
    settings: ScorerSettings, *, around: Callable[[EventStream], EventStream] = lambda inner: inner
) -> None:
    """Apply until told to stop.

    Args:
        settings: name region, store and stream.
        around: what a drill puts round each reader of the stream.
    """
    stopping: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        stopping.append(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    streams = _Streams(settings, around)
    shards = shards_of(settings, streams)
    telemetry = Telemetry(role="applier")
    pusher = Pusher(settings.api_host, settings.operations_port, telemetry)
    push_at_s = time.monotonic()
    with contextlib.closing(pusher):
        while not stopping:
            taken = shards.step()
            telemetry.count("applier_events", by=taken)
            if time.monotonic() >= push_at_s:
                push_at_s = time.monotonic() + PUSH_S
                for name, count in shards.counted().items():
                    telemetry.counters[name] = count
                telemetry.counters["stream_gaps"] = streams.gaps
                pusher.send(Gauges)
            if taken < BATCH_EVENTS_MAX:
                time.sleep(settings.linger_ms / 1_000)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    run(load())
