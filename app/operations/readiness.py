"""How the region stands, by what its processes last said of themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from app.agreement import agreement
from app.telemetry import Exposure, Push, RungState

__all__ = ["readiness_of"]


def readiness_of(live: Sequence[Push], totals: Counter[str]) -> dict[str, object]:
    """The region's readiness: a rung can be served if any scorer can serve it.

    Args:
        live: the last push of every process heard of lately.
        totals: counters of all processes that ever pushed.
    """
    scorers = [push.gauges for push in live if push.role == "scorer"]
    rungs: dict[str, RungState] = {}
    ages: dict[str, float] = {}
    refused: dict[str, str] = {}
    versions: dict[str, str] = {}
    for gauges in scorers:
        for name, state in gauges.rungs.items():
            if name not in rungs or (state.available and not rungs[name].available):
                rungs[name] = state
        for name, age in gauges.ages.items():
            ages[name] = max(age, ages.get(name, 0.0))
        refused.update(gauges.refused)
        versions.update(gauges.versions)
    return {
        "ready": bool(scorers),
        "scorers": len(scorers),
        "rungs": msgspec.to_builtins(rungs),
        "breakers": _worst(push.gauges.breakers for push in live),
        "sources": _whys(gauges.sources for gauges in scorers),
        "ages": ages,
        "versions": versions,
        "refused": refused,
        "journal": all(gauges.journal for gauges in scorers),
        "numbers": _largest(push.gauges.numbers for push in live),
        "errors": {k: v for push in live for k, v in push.gauges.errors.items()},
        "exposure": msgspec.to_builtins(_exposed(gauges.exposure for gauges in scorers)),
        "agreement": agreement(totals, versions.get("shadow")),
    }


def _exposed(told: Iterable[Exposure | None]) -> Exposure | None:
    """The host's exposure: what its workers share, or all that those count who share nothing."""
    known = [exposure for exposure in told if exposure is not None]
    if not known:
        return None
    alone = [exposure for exposure in known if not exposure.shared]
    if not alone:
        return known[0]
    tiers = {
        name: msgspec.structs.replace(
            tier, used=sum(one.tiers[name].used for one in alone if name in one.tiers)
        )
        for name, tier in alone[0].tiers.items()
    }
    return msgspec.structs.replace(alone[0], tiers=tiers)


def _largest(numbers: Iterable[dict[str, float]]) -> dict[str, float]:
    """The largest value that any process has of each gauge."""
    largest: dict[str, float] = {}
    for told in numbers:
        for name, value in told.items():
            largest[name] = max(value, largest.get(name, value))
    return largest


def _worst(breakers: Iterable[dict[str, str]]) -> dict[str, str]:
    """Each breaker's state, any that is not closed before closed."""
    worst: dict[str, str] = {}
    for states in breakers:
        for name, state in states.items():
            if worst.get(name, "closed") == "closed":
                worst[name] = state
    return worst


def _whys(sources: Iterable[dict[str, str | None]]) -> dict[str, str | None]:
    """Why each region's counters are not read by some scorer; None where all do."""
    whys: dict[str, str | None] = {}
    for told in sources:
        for region, why in told.items():
            whys[region] = whys.get(region) or why
    return whys
