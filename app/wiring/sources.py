"""The counters of every region that this one reads, each shard behind a breaker of its own."""

from __future__ import annotations

from collections.abc import Iterable

from app.features.online import Source
from app.features.shard import ShardClient
from app.wiring.shared import Shared
from fallback.breaker import BreakerPolicy

__all__ = ["make_sources", "own_source"]


def make_sources(shared: Shared) -> list[Source]:
    """A source for each region whose counters are here."""
    settings, password = shared.settings, shared.settings.datastore_password()
    return [
        Source(
            address.region,
            [
                ShardClient(
                    shard,
                    password=password,
                    timeout_ms=settings.source_timeout_ms,
                    region=address.region,
                )
                for shard in address.shards
            ],
            breakers=[
                shared.breaker(
                    f"source:{address.region}/{shard}",
                    BreakerPolicy(slow_call_ms=settings.source_timeout_ms * 0.6),
                    shared.telemetry.on_event,
                )
                for shard in range(len(address.shards))
            ],
        )
        for address in settings.source_addresses()
    ]


def own_source(sources: Iterable[Source], region: str) -> Source | None:
    """The store that this region writes; attempt records go there alone."""
    return next((source for source in sources if source.region == region), None)
