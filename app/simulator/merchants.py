"""Merchants: what they sell, where, how popular they are, since when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.simulator.arrays import DAY_MS, Bools, Floats, Ints, Random, chance, draw
from app.simulator.config import SimulatorConfig
from app.simulator.geography import Geography

__all__ = [
    "CATEGORIES",
    "MERCHANT_RISK",
    "MERCHANT_RISK_MISSING",
    "RISK_BANDS",
    "TIERS",
    "Category",
    "Merchants",
    "draw_merchants",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """What a merchant sells.

    Attributes:
        name: the category's name in the merchant directory.
        weight: relative number of merchants.
        median_cents: median amount, US cents.
        spread: standard deviation of the amount's logarithm at one merchant.
        in_store: share of attempts at a terminal rather than online.
        digital: nothing is shipped.
        gift_share: share of baskets with a gift card.
    """

    name: str
    weight: float
    median_cents: int
    spread: float
    in_store: float = 0.0
    digital: bool = False
    gift_share: float = 0.01


CATEGORIES = (
    Category(name="groceries", weight=0.15, median_cents=3_500, spread=0.45, in_store=0.45),
    Category(name="fashion", weight=0.14, median_cents=4_500, spread=0.45, in_store=0.15),
    Category(name="electronics", weight=0.09, median_cents=7_000, spread=0.55, in_store=0.1),
    Category(name="digital_goods", weight=0.13, median_cents=1_400, spread=0.55, digital=True),
    Category(name="gaming", weight=0.10, median_cents=1_600, spread=0.5, digital=True),
    Category(name="subscriptions", weight=0.06, median_cents=1_200, spread=0.45, digital=True),
    Category(
        name="gift_cards", weight=0.03, median_cents=4_000, spread=0.5, digital=True, gift_share=0.9
    ),
    Category(name="travel", weight=0.06, median_cents=10_000, spread=0.55),
    Category(name="tickets", weight=0.05, median_cents=5_000, spread=0.45, digital=True),
    Category(name="restaurants", weight=0.10, median_cents=2_800, spread=0.45, in_store=0.5),
    Category(name="home", weight=0.09, median_cents=5_500, spread=0.5, in_store=0.15),
)
TIERS = ("strategic", "established", "standard", "new")

RISK_BANDS = ("low", "medium", "high")
_BAND_WEIGHTS, _WEAK_BAND_WEIGHTS = (0.7, 0.24, 0.06), (0.3, 0.45, 0.25)
# Columns of the directory that tell the merchant's risk; this share of the merchants lacks each.
MERCHANT_RISK = ("risk_band", "chargeback_rate_90d")
MERCHANT_RISK_MISSING = 0.08

_ZIPF_EXPONENT = 0.8
_OPENING_SHARE = 0.08  # merchants that open during the simulation
_RECENT_SHARE = 0.05  # merchants that opened in the 90 days before it
_STRATEGIC_SHARE, _ESTABLISHED_SHARE = 0.01, 0.10  # of the merchants, by popularity
_WEAK_SHARE = 0.25  # of the digital merchants: weak checks, which card testers look for


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchants:
    """One row a merchant.

    Attributes:
        category: position in `CATEGORIES`.
        tier: position in `TIERS`.
        country: position in the geography's countries.
        popularity: relative number of attempts once open; adds up to 1.
        price: factor on the category's median amount.
        opened_ms: first day, UTC milliseconds.
        established: open before the simulation begins.
        first_terminal: row number of its first terminal; row numbers of terminals are its own.
        terminals: number of its terminals, at least 1.
        weak: checks little of what a card tester gets wrong.
        risk_band: what the acquirer thinks of it, position in `RISK_BANDS`.
        chargeback_rate: of the 90 days before the simulation.
        has_risk_band: False where the directory does not say.
        has_chargeback_rate: False where the directory does not say.
    """

    category: Ints
    tier: Ints
    country: Ints
    popularity: Floats
    price: Floats
    opened_ms: Ints
    established: Bools
    first_terminal: Ints
    terminals: Ints
    weak: Bools
    risk_band: Ints
    chargeback_rate: Floats
    has_risk_band: Bools
    has_chargeback_rate: Bools


def draw_merchants(rng: Random, config: SimulatorConfig, geography: Geography) -> Merchants:
    """Draw the merchants, those that open during the simulation included."""
    count = config.merchant_count
    rank = rng.permutation(count)
    popularity = (rank + 3.0) ** -_ZIPF_EXPONENT
    opened_ms = _openings(rng, config, count)
    tier = np.searchsorted([_STRATEGIC_SHARE, _ESTABLISHED_SHARE], rank / count, side="right")
    tier[opened_ms > config.start_ms - 90 * DAY_MS] = TIERS.index("new")
    category = draw(rng, [category.weight for category in CATEGORIES], count)
    digital = np.array([category.digital for category in CATEGORIES])[category]
    in_store = np.array([category.in_store for category in CATEGORIES])[category]
    weak = digital & chance(rng, _WEAK_SHARE, count)
    terminals = 1 + np.where(in_store > 0, rng.poisson(60 * popularity**0.5), 0)
    return Merchants(
        category=category,
        tier=tier.astype(np.int64),
        country=draw(rng, geography.weight, count),
        popularity=popularity / popularity.sum(),
        price=rng.lognormal(0, 0.3, count),
        opened_ms=opened_ms,
        established=opened_ms < config.start_ms,
        first_terminal=np.cumsum(terminals) - terminals,
        terminals=terminals,
        weak=weak,
        risk_band=np.where(
            weak, draw(rng, _WEAK_BAND_WEIGHTS, count), draw(rng, _BAND_WEIGHTS, count)
        ),
        chargeback_rate=np.round(
            rng.lognormal(np.log(0.002), 0.8, count) * np.where(weak, 2.0, 1.0), 5
        ),
        has_risk_band=~chance(rng, MERCHANT_RISK_MISSING, count),
        has_chargeback_rate=~chance(rng, MERCHANT_RISK_MISSING, count),
    )


def _openings(rng: Random, config: SimulatorConfig, count: int) -> Ints:
    """First days: most merchants are years old, a few are recent, a few still to open."""
    age_days = np.where(
        chance(rng, _RECENT_SHARE, count),
        rng.integers(1, 90, count),
        rng.integers(90, 3_000, count),
    )
    opening = chance(rng, _OPENING_SHARE, count)
    age_days[opening] = -rng.integers(0, config.days, int(opening.sum()))
    return config.start_ms - age_days * DAY_MS
