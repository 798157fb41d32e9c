"""How the regions stand, each as it says itself and as the routing sees it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.table import Table

from regions.operations.facts import RegionFacts
from regions.operations.watch import Watch
from regions.routing.interface import RegionHealth, RoutingUnavailable

__all__ = ["RegionStatus", "status_of", "status_table"]


class RegionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One region.

    Attributes:
        region: which.
        reachable: whether its operations listener answered.
        health: `healthy`, `unhealthy`, or `unknown` where no DNS server says.
        endpoint: whether its API answers the health checkers; None where that is not known.
        out: whether an operator has it switched out; None where that cannot be told.
        weight: of it, 0 to 100.
        answer: the region that checkouts near it are sent to; None where nobody says.
        scorers: processes that decide.
        rungs: which can be served.
        ages: seconds, by what ages.
        rate: decisions per second.
    """

    region: str
    reachable: bool
    health: str
    endpoint: bool | None
    out: bool | None
    weight: int
    answer: str | None
    scorers: int
    rungs: dict[str, bool]
    ages: dict[str, float]
    rate: float

    @property
    def well(self) -> bool:
        """Whether it is in, healthy and decides."""
        return self.health == "healthy" and not self.out and self.scorers > 0


def status_of(watch: Watch) -> list[RegionStatus]:
    """Look at all regions; takes as long as a rate does.

    Raises:
        WeightsError: the weights cannot be read.
    """
    weights = watch.weights()
    facts, rates = watch.rates()
    return [
        _status(watch, region, facts[region], rates, weights[region]) for region in watch.regions
    ]


def _status(
    watch: Watch, region: str, facts: RegionFacts, rates: dict[str, float], weight: int
) -> RegionStatus:
    health = _health(watch, region)
    return RegionStatus(
        region=region,
        reachable=facts.reachable,
        health="unknown" if health is None else "healthy" if health.healthy else "unhealthy",
        endpoint=None if health is None else health.endpoint,
        out=_out(watch, region),
        weight=weight,
        answer=_answer(watch, region),
        scorers=facts.scorers,
        rungs=facts.rungs,
        ages=facts.ages,
        rate=rates[region],
    )


def _health(watch: Watch, region: str) -> RegionHealth | None:
    try:
        return watch.router.health()[region]
    except RoutingUnavailable:
        return None


def _out(watch: Watch, region: str) -> bool | None:
    try:
        return watch.router.is_out(region)
    except RoutingUnavailable:
        return None


def _answer(watch: Watch, region: str) -> str | None:
    try:
        return watch.router.answer_for(region)
    except RoutingUnavailable:
        return None


def status_table(regions: Sequence[RegionStatus]) -> Table:
    """One row a region."""
    table = Table(box=None, pad_edge=False)
    for column in ("region", "health", "switch", "weight", "near it", "rung", "counters", "per s"):
        table.add_column(column, no_wrap=True)
    for one in regions:
        style = "green" if one.well else "red"
        ages = [age for what, age in one.ages.items() if what.startswith("counters:")]
        table.add_row(
            one.region,
            f"[{style}]{one.health}[/]",
            {True: "out", False: "in", None: "?"}[one.out],
            str(one.weight),
            one.answer or "?",
            next((name for name, can in one.rungs.items() if can), "-"),
            f"{max(ages):,.1f} s" if ages else "-",
            f"{one.rate:.1f}",
        )
    return table
