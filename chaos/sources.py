"""A region's sources of counters, as a drill reads them: as its scorers do, with more patience."""

from __future__ import annotations

import random

from app.features.online import Source
from app.features.shard import ShardClient
from app.settings import ScorerSettings
from fallback.breaker import Breaker, BreakerPolicy
from fallback.clock import SystemClock

__all__ = ["sources_of"]


def sources_of(settings: ScorerSettings, *, timeout_ms: float) -> list[Source]:
    """The region's own store and its local copies of the others.

    Args:
        settings: of the region's scorers.
        timeout_ms: longest wait for a reply.
    """
    clock, password = SystemClock(), settings.datastore_password()
    return [
        Source(
            address.region,
            [
                ShardClient(shard, password=password, timeout_ms=timeout_ms, region=address.region)
                for shard in address.shards
            ],
            breakers=[
                Breaker(
                    f"{address.region}/{number}",
                    BreakerPolicy(),
                    clock=clock,
                    rng=random.Random(number),
                )
                for number in range(len(address.shards))
            ],
        )
        for address in settings.source_addresses()
    ]
