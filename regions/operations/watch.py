"""What operations look at and turn: facts over time, health, answers, weights."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from app.weights import WEIGHT_MAX, change_weights, read_weights, weights_path
from regions.operations.facts import ABSENT, RegionFacts
from regions.routing.interface import Router

__all__ = ["RATE_S", "Rates", "Watch"]

# Totals are pushed once a second; a rate over less than this would be of chance.
RATE_S = 3.0


@dataclass(slots=True, kw_only=True)
class Rates:
    """A region's decisions per second over the last `RATE_S`, from facts read by and by."""

    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def told(self, at_s: float, answered: int) -> float | None:
        """Take one reading; the rate, or None while too little was seen.

        Args:
            at_s: monotonic, seconds.
            answered: decisions in all; fewer than before means that the region began anew.
        """
        if self._seen and answered < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((at_s, answered))
        while len(self._seen) > 2 and at_s - self._seen[1][0] >= RATE_S:
            self._seen.popleft()
        since_s, before = self._seen[0]
        return (answered - before) / (at_s - since_s) if at_s - since_s >= RATE_S else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The regions as an operation sees them.

    Attributes:
        home: folder of all state.
        regions: those that run.
        router: of checkouts.
        read: facts of a region now.
        monotonic: seconds.
        sleep: waits, seconds.
        wall: the time.
    """

    home: Path
    regions: tuple[str, ...]
    router: Router
    read: Callable[[str], RegionFacts]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    wall: Callable[[], datetime]

    def others(self, region: str) -> tuple[str, ...]:
        """All regions but one."""
        return tuple(one for one in self.regions if one != region)

    def weights(self) -> Mapping[str, int]:
        """Weights in force.

        Raises:
            WeightsError: they cannot be read.
        """
        held = read_weights(weights_path(self.home))
        known = {} if held is None else held.weights
        return {region: known.get(region, WEIGHT_MAX) for region in self.regions}

    def set_weight(self, region: str, weight: int) -> None:
        """Publish a weight.

        Raises:
            WeightsError: it cannot be.
        """
        change_weights(
            weights_path(self.home), {region: weight}, regions=self.regions, now=self.wall()
        )

    def rates(self) -> tuple[dict[str, RegionFacts], dict[str, float]]:
        """Facts now, and decisions per second over `RATE_S`; takes that long. 0 where away."""
        rates = {region: Rates() for region in self.regions}
        for region in self.regions:
            self._told(rates[region], self.read(region))
        self.sleep(RATE_S)
        facts = {region: self.read(region) for region in self.regions}
        return facts, {
            region: self._told(rates[region], facts[region]) or 0.0 for region in self.regions
        }

    def _told(self, rates: Rates, facts: RegionFacts) -> float | None:
        if facts == ABSENT:
            return None
        return rates.told(self.monotonic(), facts.answered)
