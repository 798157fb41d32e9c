"""Restore a region: once it has everything, it gets its traffic back in four parts.

Weights come first, since they reach the callers that choose by themselves and can be small. DNS
knows all or nothing, so the switch is the last step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from regions.operations.engine import Finding, Step, done, not_yet, refused
from regions.operations.facts import RegionFacts
from regions.operations.watch import Watch

__all__ = ["PARTS", "Restoration", "judged"]

PARTS = (1, 10, 50, 100)
AGE_S_MAX = 30.0  # from which a scorer takes counters for stale
READY_WAIT_S = 60.0
HEALTH_WAIT_S = 70.0
ERROR_SHARE_MAX = 0.001
RUNG_SHARE_LESS_MAX = 0.1
# Fewer decisions than this say nothing about shares.
JUDGED_MIN = 50


def judged(
    region: str, before: Mapping[str, RegionFacts], now: Mapping[str, RegionFacts]
) -> str | None:
    """Why a region must not get more traffic; None if it did well.

    Args:
        region: that is being restored.
        before: facts of all regions when it got its part.
        now: facts of all regions.
    """
    own = now[region]
    if own.scorers == 0:
        return "it has no scorers"
    if not own.rungs.get("full") and any(
        facts.rungs.get("full") for one, facts in now.items() if one != region
    ):
        return "it cannot serve its full rung, and others can"
    answered = own.answered - before[region].answered
    errors = own.errors - before[region].errors
    if errors > ERROR_SHARE_MAX * max(answered, 1):
        return f"{errors} errors in {answered} decisions"
    share, far = _full_share(before[region], own), _full_shares(region, before, now)
    if share is not None and far is not None and share < far - RUNG_SHARE_LESS_MAX:
        return f"{share:.0%} of its decisions are of the full rung, elsewhere {far:.0%}"
    return None


def _full_share(before: RegionFacts, now: RegionFacts) -> float | None:
    answered = now.answered - before.answered
    if answered < JUDGED_MIN:
        return None
    return (now.by_rung.get("full", 0) - before.by_rung.get("full", 0)) / answered


def _full_shares(
    region: str, before: Mapping[str, RegionFacts], now: Mapping[str, RegionFacts]
) -> float | None:
    """The largest share of the full rung that any other region has."""
    shares = [_full_share(before[one], now[one]) for one in now if one != region]
    return max((share for share in shares if share is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """The steps for one region.

    Attributes:
        watch: of all regions.
        region: to restore.
        behind: by reader, why it has not yet what the region's own store has.
        bake_s: how long each part is looked at before the next.
    """

    watch: Watch
    region: str
    behind: Callable[[str], Mapping[str, str]]
    bake_s: float

    def steps(self) -> list[Step]:
        """From looking at what it has to letting DNS name it."""
        watch, region = self.watch, self.region
        return [
            Step(name=f"{region} can serve", check=self._serves, wait_s=READY_WAIT_S),
            Step(name="counters are fresh", check=self._fresh, wait_s=READY_WAIT_S),
            Step(
                name=f"everybody has the counters of {region}",
                check=self._copied,
                wait_s=READY_WAIT_S,
            ),
            *(self._part(percent) for percent in PARTS),
            Step(
                name=f"{region} is switched in",
                check=self._switch,
                act=lambda: watch.router.set_in(region),
            ),
            Step(name=f"DNS names {region} again", check=self._dns, wait_s=HEALTH_WAIT_S),
        ]

    def _serves(self) -> Finding:
        if not self.watch.router.health()[self.region].endpoint:
            return not_yet("its API does not answer the health checkers")
        facts = self.watch.read(self.region)
        if not facts.rungs.get("full"):
            return not_yet("its full rung cannot be served")
        return done(f"{facts.scorers} scorers, full rung")

    def _fresh(self) -> Finding:
        """Its own counters and the copies that others read of them."""
        there = self._there()
        own = {
            f"{what} in {self.region}": age
            for what, age in self.watch.read(self.region).ages.items()
            if what in {f"counters:{one}" for one in there}
        }
        copies = {
            f"counters:{self.region} in {one}": age
            for one in there - {self.region}
            for what, age in self.watch.read(one).ages.items()
            if what == f"counters:{self.region}"
        }
        ages = own | copies
        if not ages:
            return not_yet("no age is known")
        oldest = max(ages, key=lambda what: ages[what])
        says = f"the oldest is {oldest}, {ages[oldest]:.1f} s"
        return done(says) if ages[oldest] <= AGE_S_MAX else not_yet(says)

    def _copied(self) -> Finding:
        there = self._there()
        late = {one: why for one, why in self.behind(self.region).items() if one in there}
        if late:
            return not_yet("; ".join(f"that in {one} {why}" for one, why in late.items()))
        return done("its own store's positions are reached wherever it is read")

    def _there(self) -> set[str]:
        """The region, and all that answer: one that is away must not keep this one out."""
        answering = {one for one in self.watch.regions if self.watch.read(one).reachable}
        return answering | {self.region}

    def _part(self, percent: int) -> Step:
        baking = _Baking(self.watch, self.region, percent, self.bake_s)
        return Step(
            name=f"{self.region} has {percent} % of its traffic",
            check=partial(self._has, percent),
            act=baking.begin,
            verify=baking.look,
            undo=lambda: self.watch.set_weight(self.region, 0),
            wait_s=2 * self.bake_s + 10.0,
        )

    def _has(self, percent: int) -> Finding:
        weight = self.watch.weights()[self.region]
        return done(f"it has {weight} %") if weight >= percent else not_yet(f"it has {weight} %")

    def _switch(self) -> Finding:
        out = self.watch.router.is_out(self.region)
        return not_yet("it is out") if out else done("what its health check reads says so")

    def _dns(self) -> Finding:
        answer = self.watch.router.answer_for(self.region)
        return done("near itself") if answer == self.region else not_yet(f"it names {answer}")


class _Baking:
    """One part of the traffic: given, and looked at for some time."""

    def __init__(self, watch: Watch, region: str, percent: int, bake_s: float) -> None:
        self._watch, self._region = watch, region
        self._percent, self._bake_s = percent, bake_s
        self._before: dict[str, RegionFacts] = {}
        self._since_s = 0.0

    def begin(self) -> None:
        """Give the part."""
        self._before = self._facts()
        self._since_s = self._watch.monotonic()
        self._watch.set_weight(self._region, self._percent)

    def look(self) -> Finding:
        """Whether it did well for long enough."""
        now = self._facts()
        why = judged(self._region, self._before, now)
        if why is not None:
            return refused(f"aborted: {why}")
        baked_s = self._watch.monotonic() - self._since_s
        answered = now[self._region].answered - self._before[self._region].answered
        says = f"{answered} decisions in {baked_s:.0f} s"
        return done(says) if baked_s >= self._bake_s else not_yet(says)

    def _facts(self) -> dict[str, RegionFacts]:
        return {region: self._watch.read(region) for region in self._watch.regions}
