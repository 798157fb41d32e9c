"""The datastores of this region: what each is read and written through."""

from __future__ import annotations

from collections.abc import Iterable

from app.features.online import Source
from app.features.shard import ShardClient
from app.record.claim_store import ClaimStore
from app.wiring.shared import Shared
from fallback.breaker import Breaker, BreakerPolicy

__all__ = ["make_claim_store", "make_sources"]


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
            breakers=_breakers(shared, f"source:{address.region}", len(address.shards)),
        )
        for address in settings.source_addresses()
    ]


def make_claim_store(shared: Shared, sources: Iterable[Source]) -> ClaimStore | None:
    """The store that this region writes claims to; None if it is not among those that are read."""
    region = shared.settings.region
    own = next((source for source in sources if source.region == region), None)
    if own is None:
        return None
    return ClaimStore(own.shards, breakers=_breakers(shared, f"claims:{region}", len(own.shards)))


def _breakers(shared: Shared, of: str, shards: int) -> list[Breaker]:
    policy = BreakerPolicy(slow_call_ms=shared.settings.source_timeout_ms * 0.6)
    return [
        shared.breaker(f"{of}/{shard}", policy, shared.telemetry.on_event)
        for shard in range(shards)
    ]
