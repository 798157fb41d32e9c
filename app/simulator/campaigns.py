"""Fraud, planned: how many campaigns of each pattern, when, how large."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from app.simulator.arrays import DAY_MS, HOUR_MS, Bools, Floats, Ints, Random, draw
from app.simulator.config import SimulatorConfig
from app.simulator.geography import Geography
from app.simulator.merchants import CATEGORIES, Merchants

__all__ = ["NEW_PATTERN", "PATTERNS", "Campaigns", "plan_campaigns"]

# Position 0 is genuine; the others are the values of the column `fraud_pattern`.
PATTERNS = (
    "genuine",
    "card_testing",
    "stolen_card",
    "merchant_compromise",
    "account_takeover",
    "device_farm",
    "friendly_fraud",
    "wallet_provisioning",
)
NEW_PATTERN = "wallet_provisioning"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pattern:
    """The shape of one pattern's campaigns.

    Attributes:
        least: attempts of the smallest campaign.
        further: mean of the attempts above it, geometrically distributed.
        lasts_ms: longest duration.
        crew: devices, addresses and accounts that a campaign uses.
    """

    least: int
    further: float
    lasts_ms: int
    crew: int


# Friendly fraud has no campaign: it is what genuine customers do, see `friendly`.
_SHAPES = {
    "card_testing": _Pattern(least=10, further=4, lasts_ms=4 * HOUR_MS, crew=2),
    "stolen_card": _Pattern(least=5, further=2, lasts_ms=2 * DAY_MS, crew=1),
    "merchant_compromise": _Pattern(least=60, further=10, lasts_ms=28 * DAY_MS, crew=8),
    "account_takeover": _Pattern(least=3, further=2, lasts_ms=DAY_MS, crew=1),
    "device_farm": _Pattern(least=30, further=10, lasts_ms=4 * DAY_MS, crew=20),
    NEW_PATTERN: _Pattern(least=8, further=4, lasts_ms=3 * DAY_MS, crew=2),
}
# Genuine attempts a day of a merchant that is compromised: the fraud is about as much again or
# twice that. At a larger merchant it would drown.
_COMPROMISED_DAILY = (1.0, 2.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaigns:
    """One row a campaign.

    Attributes:
        pattern: position in `PATTERNS`.
        start_ms: first possible moment, UTC milliseconds.
        size: attempts.
        lasts_ms: longest duration, milliseconds.
        country: most of its victims' country, position in the geography's countries.
        merchant: where it happens, or begins.
        first_member: row number of its first crew member; members have numbers of their own.
        crew: number of members.
    """

    pattern: Ints
    start_ms: Ints
    size: Ints
    lasts_ms: Ints
    country: Ints
    merchant: Ints
    first_member: Ints
    crew: Ints


def plan_campaigns(
    rng: Random, config: SimulatorConfig, geography: Geography, merchants: Merchants
) -> Campaigns:
    """Plan the campaigns of all patterns.

    Campaigns may begin before the first day, by their longest duration, so that fraud is
    stationary from the start; what falls outside the simulation is dropped later. Starts are
    stratified (one in each equal stretch of time): each week gets its share of each pattern.
    """
    shares = asdict(config.patterns) | {NEW_PATTERN: config.new_pattern_share}
    starts: list[Ints] = []
    sizes: list[Ints] = []
    for name, shape in _SHAPES.items():
        # Nothing of the new pattern was there before its day.
        first_ms = (
            config.new_pattern_ms if name == NEW_PATTERN else config.start_ms - shape.lasts_ms
        )
        daily = shares[name] * config.fraud_share * config.attempts / config.days
        stretch_ms = config.end_ms - first_ms
        expected = daily * stretch_ms / DAY_MS / (shape.least + shape.further)
        count = int(expected + rng.random())
        position = (np.arange(count) + rng.random(count)) / max(count, 1)
        starts.append(first_ms + (position * stretch_ms).astype(np.int64))
        sizes.append(shape.least + rng.geometric(1 / (1 + shape.further), count) - 1)
    shapes = np.array([PATTERNS.index(name) for name in _SHAPES])
    shape_of = np.repeat(np.arange(len(_SHAPES)), [len(start) for start in starts])
    crew = np.array([shape.crew for shape in _SHAPES.values()])[shape_of]
    pattern = shapes[shape_of]
    start_ms = np.concatenate(starts)
    merchant = _targets(rng, config, geography, merchants, pattern)
    if config.newcomers:
        merchant = _with_newcomers(rng, merchants, merchant, pattern=pattern, start_ms=start_ms)
    anywhere = draw(rng, geography.weight, len(shape_of))
    leaked = pattern == PATTERNS.index("merchant_compromise")
    return Campaigns(
        pattern=pattern,
        start_ms=start_ms,
        size=np.concatenate(sizes),
        lasts_ms=np.array([shape.lasts_ms for shape in _SHAPES.values()])[shape_of],
        country=np.where(leaked, merchants.country[merchant], anywhere),
        merchant=merchant,
        first_member=np.cumsum(crew) - crew,
        crew=crew,
    )


def _targets(
    rng: Random,
    config: SimulatorConfig,
    geography: Geography,
    merchants: Merchants,
    pattern: Ints,
) -> Ints:
    """Where each campaign happens: testers seek weak checks, a leak hits a mid-sized merchant."""
    daily = merchants.popularity * config.attempts / config.days
    low, high = _COMPROMISED_DAILY
    anywhere = merchants.popularity * merchants.established
    digital = _digital(merchants)
    worth: dict[str, Floats] = {
        "card_testing": anywhere * merchants.weak,
        # Where most merchants are, so that a country alone does not give the leak away.
        "merchant_compromise": geography.weight[merchants.country]
        * ((low < daily) & (daily < high) & merchants.established),
        "device_farm": anywhere * digital,
    }
    target = np.empty(len(pattern), dtype=np.int64)
    for position in np.unique(pattern):
        weights = worth.get(PATTERNS[position], anywhere)
        here = np.flatnonzero(pattern == position)
        # A world too small to have such a merchant: any one that is open will do.
        target[here] = draw(rng, weights if weights.any() else merchants.popularity, len(here))
    return target


def _with_newcomers(
    rng: Random, merchants: Merchants, target: Ints, *, pattern: Ints, start_ms: Ints
) -> Ints:
    """Targets among all merchants that are open by then, but for leaks: these need customers."""
    target = target.copy()
    of_kind = {"card_testing": merchants.weak, "device_farm": _digital(merchants)}
    for position in np.unique(pattern):
        if PATTERNS[position] == "merchant_compromise":
            continue
        here = np.flatnonzero(pattern == position)
        weights = merchants.popularity * of_kind.get(PATTERNS[position], 1.0)
        drawn = draw(rng, weights if weights.any() else merchants.popularity, len(here))
        target[here] = np.where(merchants.opened_ms[drawn] <= start_ms[here], drawn, target[here])
    return target


def _digital(merchants: Merchants) -> Bools:
    """Which merchants ship nothing."""
    return np.array([category.digital for category in CATEGORIES])[merchants.category]
