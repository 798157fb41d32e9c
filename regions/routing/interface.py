"""What routes checkouts to regions, the same for one machine and for AWS."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["TTL_S", "Record", "RegionHealth", "Router", "RoutingUnavailable", "nearest"]

# What a Route 53 alias of a load balancer has, and cannot be changed there.
TTL_S = 60


class RoutingUnavailable(Exception):  # noqa: N818 - a state, said as one
    """Nobody answers who could tell, or change, where checkouts are sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One latency record.

    Attributes:
        name: that checkouts resolve, without the dot at its end.
        region: whose it is.
        target: the region's own name, or address.
        ttl_s: how long an answer may be kept.
    """

    name: str
    region: str
    target: str
    ttl_s: int = TTL_S


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionHealth:
    """How the routing sees one region.

    Attributes:
        endpoint: whether its API answers the health checkers.
        switch: the switch's own check: false once the checkers saw that the region is out.
        healthy: whether its record is used: both of the above.
    """

    endpoint: bool
    switch: bool
    healthy: bool


class Router(Protocol):
    """Sends checkouts to regions.

    Setting a region out or in touches the data plane only: what its pre-created health check reads.
    """

    def records(self) -> Sequence[Record]:
        """The latency records, one a region."""
        ...

    def health(self) -> Mapping[str, RegionHealth]:
        """Health by region.

        Raises:
            RoutingUnavailable: nobody answers.
        """
        ...

    def is_out(self, region: str) -> bool:
        """Whether an operator has a region out; the checkers see that later.

        Raises:
            RoutingUnavailable: it cannot be told.
        """
        ...

    def set_out(self, region: str) -> None:
        """Turn a region's check red; harmless when it is.

        Raises:
            RoutingUnavailable: it could not be done.
        """
        ...

    def set_in(self, region: str) -> None:
        """Let a region's check follow its endpoint again; harmless when it does.

        Raises:
            RoutingUnavailable: it could not be done.
        """
        ...

    def answer_for(self, client_region: str) -> str:
        """The region that checkouts near a region are sent to.

        Raises:
            RoutingUnavailable: nobody answers.
        """
        ...


def nearest(
    client_region: str, healthy: Mapping[str, bool], round_trip_ms: Callable[[str, str], float]
) -> str:
    """The healthy region of least latency; of all, if none is healthy.

    Sending checkouts somewhere is better than nowhere when the checks themselves are what fails.

    Args:
        client_region: near which the checkout is.
        healthy: by region, at least one.
        round_trip_ms: between two regions.
    """
    usable = [region for region, well in healthy.items() if well] or list(healthy)
    return min(usable, key=lambda region: (round_trip_ms(client_region, region), region))
