"""What a client has done, and how its endpoints stand."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ClientStats", "RegionStats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionStats:
    """One endpoint.

    Attributes:
        url: its address.
        weight: percent of its clients' attempts, by the routing document.
        state: up, ejected or returning.
        share: of its attempts that it gets now, in [0, 1], before the weight.
        ejections: so far.
        ejected_for_s: at least, from now on.
        tries: attempts sent to it.
        answers: accepted.
        failures: tries that failed, by kind.
        slow: answers that were slow for it.
        latency_ms: weighted mean; None before the first answer or probe.
    """

    url: str
    weight: float
    state: str
    share: float
    ejections: int
    ejected_for_s: float
    tries: int
    answers: int
    failures: dict[str, int]
    slow: int
    latency_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStats:
    """All of it.

    Attributes:
        requests: attempts that the caller asked about.
        answered: by a region, within the deadline.
        unsigned: of those, without a routing document to verify them by.
        refused: attempts that the service refused.
        defaults: answered by the client default: failures of the service.
        retries: tries after a failed one.
        hedges: tries beside one that took long.
        hedges_won: of those, that answered first.
        ejections: of all endpoints.
        superseded: second decisions reported as not acted on.
        supersede_failed: of those, that no region took.
        posted_back: stand-ins that a region has now.
        waiting: stand-ins that no region has yet.
        dropped: stand-ins without room, or refused for good.
        routing_version: in force; None before the first document.
        routing_expired: whether the one in force is older than it should be.
        routing_refused: documents that were refused.
        regions: by name.
    """

    requests: int
    answered: int
    unsigned: int
    refused: int
    defaults: int
    retries: int
    hedges: int
    hedges_won: int
    ejections: int
    superseded: int
    supersede_failed: int
    posted_back: int
    waiting: int
    dropped: int
    routing_version: int | None
    routing_expired: bool
    routing_refused: int
    regions: dict[str, RegionStats]

    @property
    def amplification(self) -> float:
        """Tries for each request."""
        tries = sum(region.tries for region in self.regions.values())
        return tries / self.requests if self.requests else 0.0
