"""What every part of a scorer process is given: settings, clocks, chance and telemetry."""

from __future__ import annotations

import random
from dataclasses import dataclass

from app.event_time import EventTime, ReplayTime, WallTime
from app.settings import ScorerSettings
from app.telemetry import Telemetry
from app.wiring.weakened import never_opens
from fallback.breaker import Breaker, BreakerPolicy
from fallback.clock import Clock, SystemClock
from fallback.events import Listener
from regions.topology import load_topology

__all__ = ["Shared", "share"]


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Held once in a process, and used by all of its parts.

    Attributes:
        settings: of the process.
        region: number of this region in the topology.
        clock: monotonic.
        time: of events: the wall's, or the replayed one.
        rng: jitter and shares.
        telemetry: counts.
    """

    settings: ScorerSettings
    region: int
    clock: Clock
    time: EventTime
    rng: random.Random
    telemetry: Telemetry

    def breaker(self, name: str, policy: BreakerPolicy, told: Listener) -> Breaker:
        """A breaker that tells a listener."""
        if self.settings.weakened == "breakers":
            policy = never_opens(policy)
        return Breaker(name, policy, clock=self.clock, rng=self.rng, listener=told)


def share(settings: ScorerSettings) -> Shared:
    """What the parts of one process share."""
    return Shared(
        settings=settings,
        region=load_topology().region(settings.region).number,
        clock=SystemClock(),
        time=ReplayTime() if settings.replay else WallTime(),
        rng=random.Random(),
        telemetry=Telemetry(),
    )
