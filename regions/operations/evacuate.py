"""Evacuate a region: nobody is sent to it any more, and the others carry on.

Only the data plane is touched: a weight in a published file, and the switch that a pre-created
health check reads. What is waited for afterwards is what a checkout would see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from regions.operations.engine import Finding, Step, done, not_yet, refused
from regions.operations.facts import RegionFacts
from regions.operations.watch import Rates, Watch
from regions.routing.interface import nearest

__all__ = ["Evacuation", "room"]

# Checks take a threshold of three probes ten seconds apart to turn, twice that with bad luck.
HEALTH_WAIT_S = 70.0
# Callers may keep an answer for its TTL, and connections a little longer.
DRAIN_WAIT_S = 120.0
# Less than this is what health checks and a forgotten script cause, not checkouts.
IDLE_RATE = 0.5
IDLE_SHARE = 0.01


def room(
    heir: str,
    facts: Mapping[str, RegionFacts],
    rates: Mapping[str, float],
    *,
    leaving: str,
    capacity: float | None,
) -> Finding:
    """Whether the region that inherits the traffic can take it.

    DNS sends all of a region's checkouts to one other region, so the heir is what has to have
    room, not the sum of those that stay.

    Args:
        heir: the nearest healthy region.
        facts: by region.
        rates: decisions per second by region.
        leaving: the region that is evacuated.
        capacity: decisions per second that one region was measured to answer; None if unknown.
    """
    total = rates[heir] + rates[leaving]
    load = f"{heir} would get {total:.1f} decisions/s"
    if facts[heir].pressure > 0:
        return refused(f"{load}, and is under pressure already")
    if capacity is None:
        return done(f"{load} and is under no pressure; no --capacity to hold that against")
    if total > capacity:
        return refused(f"{load}, more than the {capacity:.0f} that a region can answer")
    return done(f"{load} of {capacity:.0f}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evacuation:
    """The steps for one region.

    Attributes:
        watch: of all regions.
        region: to evacuate.
        capacity: decisions per second that one region was measured to answer; None if unknown.
        round_trip_ms: between two regions, by pair.
    """

    watch: Watch
    region: str
    capacity: float | None
    round_trip_ms: Mapping[tuple[str, str], float]

    def steps(self) -> list[Step]:
        """From looking at who stays to looking at who is left."""
        watch, region = self.watch, self.region
        return [
            Step(name="another region is healthy", check=self._heir, may_be_forced=True),
            Step(name="it can take what leaves", check=self._room, may_be_forced=True),
            Step(
                name=f"{region} has weight 0",
                check=self._weight,
                act=lambda: watch.set_weight(region, 0),
            ),
            Step(
                name=f"{region} is switched out",
                check=self._switch,
                act=lambda: watch.router.set_out(region),
            ),
            Step(
                name=f"the health check of {region} is red",
                check=self._health,
                wait_s=HEALTH_WAIT_S,
            ),
            Step(name=f"DNS does not name {region}", check=self._dns, wait_s=HEALTH_WAIT_S),
            Step(name=f"{region} answers no checkouts", check=self._drained(), wait_s=DRAIN_WAIT_S),
            Step(name="the others can serve", check=self._others, wait_s=10.0),
        ]

    def _healthy(self) -> list[str]:
        health = self.watch.router.health()
        return [
            one
            for one in self.watch.others(self.region)
            if health[one].healthy and self.watch.read(one).scorers > 0
        ]

    def _heir(self) -> Finding:
        healthy = self._healthy()
        if not healthy:
            return refused(f"{self.region} is the last healthy region")
        return done(", ".join(healthy))

    def _room(self) -> Finding:
        facts, rates = self.watch.rates()
        able = dict.fromkeys(self._healthy(), True)
        if not able:
            return refused("there is no other region")
        heir = nearest(self.region, able, lambda one, other: self.round_trip_ms[one, other])
        return room(heir, facts, rates, leaving=self.region, capacity=self.capacity)

    def _weight(self) -> Finding:
        weight = self.watch.weights()[self.region]
        return done("published") if weight == 0 else not_yet(f"it has {weight}")

    def _switch(self) -> Finding:
        out = self.watch.router.is_out(self.region)
        return done("what its health check reads says so") if out else not_yet("it is in")

    def _health(self) -> Finding:
        healthy = self.watch.router.health()[self.region].healthy
        return not_yet("it is green") if healthy else done("as the checkers see it")

    def _dns(self) -> Finding:
        answers = {one: self.watch.router.answer_for(one) for one in self.watch.regions}
        near = [one for one, answer in answers.items() if answer == self.region]
        if near:
            return not_yet(f"it does near {', '.join(near)}")
        return done(", ".join(f"{one}: {answer}" for one, answer in answers.items()))

    def _drained(self) -> _Drained:
        return _Drained(self.watch, self.region)

    def _others(self) -> Finding:
        others = self.watch.others(self.region)
        serving = [one for one in others if self.watch.read(one).scorers > 0]
        if not serving:
            return not_yet("none of them has a scorer")
        full = [one for one in serving if self.watch.read(one).rungs.get("full")]
        return done(f"{len(serving)} of {len(others)}, {len(full)} of them on their full rung")


class _Drained:
    """Whether a region's rate has fallen to nothing; looks again and again."""

    def __init__(self, watch: Watch, region: str) -> None:
        self._watch, self._region = watch, region
        self._rates = Rates()
        self._highest = 0.0

    def __call__(self) -> Finding:
        facts = self._watch.read(self._region)
        if not facts.reachable:
            return done("it cannot be reached, and so answers none")
        rate = self._rates.told(self._watch.monotonic(), facts.answered)
        if rate is None:
            return not_yet("counting")
        self._highest = max(self._highest, rate)
        if rate <= max(IDLE_RATE, IDLE_SHARE * self._highest):
            return done(f"{rate:.1f} decisions/s")
        return not_yet(f"{rate:.1f} decisions/s by callers that do not follow DNS or weights")
