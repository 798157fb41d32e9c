"""Fraud, planned: how many campaigns of each pattern, when, how large."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.simulator.arrays import DAY_MS, HOUR_MS, Floats, Ints, Random, draw
from app.simulator.config import SimulatorConfig
from app.simulator.geography import Geography
from app.simulator.merchants import Merchants

__all__ = ["PATTERNS", "Campaigns", "plan_campaigns"]

# Position 0 is genuine; the others are the values of the column `fraud_pattern`.
PATTERNS = ("genuine", "card_testing", "stolen_card", "merchant_compromise")


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


_SHAPES = (
    _Pattern(least=10, further=4, lasts_ms=4 * HOUR_MS, crew=2),
    _Pattern(least=5, further=2, lasts_ms=2 * DAY_MS, crew=1),
    _Pattern(least=60, further=10, lasts_ms=28 * DAY_MS, crew=8),
)
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
    mix = config.patterns
    shares = (mix.card_testing, mix.stolen_card, mix.merchant_compromise)
    starts: list[Ints] = []
    sizes: list[Ints] = []
    for shape, share in zip(_SHAPES, shares, strict=True):
        daily = share * config.fraud_share * config.attempts / config.days
        stretch_ms = config.end_ms - config.start_ms + shape.lasts_ms
        expected = daily * stretch_ms / DAY_MS / (shape.least + shape.further)
        count = int(expected + rng.random())
        position = (np.arange(count) + rng.random(count)) / max(count, 1)
        starts.append(config.start_ms - shape.lasts_ms + (position * stretch_ms).astype(np.int64))
        sizes.append(shape.least + rng.geometric(1 / (1 + shape.further), count) - 1)
    shape_of = np.repeat(np.arange(len(_SHAPES)), [len(start) for start in starts])
    crew = np.array([shape.crew for shape in _SHAPES])[shape_of]
    merchant = _targets(rng, config, geography, merchants, shape_of)
    anywhere = draw(rng, geography.weight, len(shape_of))
    return Campaigns(
        pattern=shape_of + 1,
        start_ms=np.concatenate(starts),
        size=np.concatenate(sizes),
        lasts_ms=np.array([shape.lasts_ms for shape in _SHAPES])[shape_of],
        country=np.where(shape_of == 2, merchants.country[merchant], anywhere),
        merchant=merchant,
        first_member=np.cumsum(crew) - crew,
        crew=crew,
    )


def _targets(
    rng: Random,
    config: SimulatorConfig,
    geography: Geography,
    merchants: Merchants,
    shape_of: Ints,
) -> Ints:
    """Where each campaign happens: testers seek weak checks, a leak hits a mid-sized merchant."""
    daily = merchants.popularity * config.attempts / config.days
    low, high = _COMPROMISED_DAILY
    worth: tuple[Floats, ...] = (
        merchants.popularity * merchants.weak * merchants.established,
        merchants.popularity * merchants.established,
        # Where most merchants are, so that a country alone does not give the leak away.
        geography.weight[merchants.country]
        * ((low < daily) & (daily < high) & merchants.established),
    )
    target = np.empty(len(shape_of), dtype=np.int64)
    for shape, weights in enumerate(worth):
        here = np.flatnonzero(shape_of == shape)
        # A world too small to have such a merchant: any one that is open will do.
        target[here] = draw(rng, weights if weights.any() else merchants.popularity, len(here))
    return target
