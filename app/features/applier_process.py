"""The applier's process: one applier a shard, on the region's stream, until told to stop."""

from __future__ import annotations

import contextlib
import logging
import signal
import time
from types import FrameType

import redis

from app.features.applier import BATCH_EVENTS_MAX, Applier
from app.settings import ScorerSettings, Shard, load
from app.streams.bridged import Bridged
from app.streams.choice import stream_of
from app.streams.connection import connect
from app.streams.interface import StreamError
from app.streams.journal_tail import JournalTail
from app.telemetry import Gauges, Pusher, Telemetry
from regions.topology import load_topology

__all__ = ["run"]

RECONNECT_S = 0.2
PUSH_S = 1.0

log = logging.getLogger(__name__)


class _ShardWork:
    """One shard's applier, connected again after every error."""

    def __init__(
        self, settings: ScorerSettings, address: Shard, *, shard: int, shards: int
    ) -> None:
        self._shard = shard
        self._connected = False
        self.stream = Bridged(
            stream_of(settings, since_ms=lambda: self._applier.as_of_ms),
            JournalTail(settings.journal),
            region=load_topology().region(settings.region).number,
            now_ms=lambda: time.time_ns() // 1_000_000,
        )
        client = connect(address, settings.datastore_password())
        self._applier = Applier(client, self.stream, shard=shard, shards=shards, heartbeats=True)

    def step(self) -> int:
        """Apply one batch; how many events it had. A store or stream that is away is waited for."""
        try:
            if not self._connected:
                self._applier.connect()
                self._connected = True
                log.info("shard %d: connected", self._shard)
            return self._applier.step()
        except (redis.RedisError, StreamError) as error:
            if self._connected:
                log.warning("shard %d: %s; reading positions again", self._shard, error)
            self._connected = False
            time.sleep(RECONNECT_S)
            return 0


def run(settings: ScorerSettings) -> None:
    """Apply until told to stop."""
    stopping: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        stopping.append(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    addresses = settings.store_shards()
    works = [
        _ShardWork(settings, address, shard=number, shards=len(addresses))
        for number, address in enumerate(addresses)
    ]
    telemetry = Telemetry(role="applier")
    pusher = Pusher(settings.api_host, settings.operations_port, telemetry)
    push_at_s = time.monotonic()
    with contextlib.closing(pusher):
        while not stopping:
            taken = sum(work.step() for work in works)
            telemetry.count("applier_events", by=taken)
            if time.monotonic() >= push_at_s:
                push_at_s = time.monotonic() + PUSH_S
                telemetry.counters["stream_gaps"] = sum(work.stream.gaps for work in works)
                pusher.send(Gauges)
            if taken < BATCH_EVENTS_MAX:
                time.sleep(settings.linger_ms / 1_000)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    run(load())
