"""Cards and network addresses: what an attempt is made with and comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from app.simulator.arrays import (
    Bools,
    Ints,
    Random,
    chance,
    concat,
    draw,
    draw_grouped,
    take,
)
from app.simulator.config import SimulatorConfig
from app.simulator.geography import Geography

__all__ = [
    "BRANDS",
    "FUNDINGS",
    "Bins",
    "Networks",
    "draw_bins",
    "draw_cards",
    "draw_networks",
    "launch_bins",
]

BRANDS = ("visa", "mastercard", "amex")
_BRAND_WEIGHTS = (0.55, 0.37, 0.08)
# First digit, then as many random ones as make eight.
_BRAND_DIGIT = (4, 5, 3)
FUNDINGS = ("credit", "debit", "prepaid", "unknown")
_FUNDING_WEIGHTS = (0.42, 0.48, 0.07, 0.03)
_BINS_PER_COUNTRY = 30
_ISSUED_ABROAD_SHARE = 0.06
_ASNS_PER_COUNTRY = 12
_LAUNCHED_PER_COUNTRY = 12  # ranges, during a simulation with newcomers
_ISSUED_NEW_SHARE = 0.35  # of cards that come into use, from the newest range


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """One row an issuer's number range.

    Attributes:
        number: eight digits.
        brand: position in `BRANDS`.
        funding: position in `FUNDINGS`.
        country: the issuer's, position in the geography's countries.
    """

    number: Ints
    brand: Ints
    funding: Ints
    country: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """One row an IP address.

    Attributes:
        country: where the address is, position in the geography's countries.
        asn: number of the autonomous system, from the range for private use.
        proxy: known as a proxy.
    """

    country: Ints
    asn: Ints
    proxy: Bools


def draw_bins(rng: Random, geography: Geography) -> Bins:
    """Draw a few number ranges for every country."""
    country = np.repeat(np.arange(len(geography.codes)), _BINS_PER_COUNTRY)
    brand = draw(rng, _BRAND_WEIGHTS, len(country))
    # Spread over the seven free digits, so that no two ranges are the same.
    body = rng.choice(10_000_000, len(country), replace=False)
    return Bins(
        number=np.array(_BRAND_DIGIT)[brand] * 10_000_000 + body,
        brand=brand,
        funding=draw(rng, _FUNDING_WEIGHTS, len(country)),
        country=country,
    )


def draw_cards(rng: Random, geography: Geography, bins: Bins, owner_country: Ints) -> Ints:
    """Issue one card for each entry, mostly at home; positions in `bins`."""
    abroad = chance(rng, _ISSUED_ABROAD_SHARE, len(owner_country))
    issuer = np.where(abroad, draw(rng, geography.weight, len(owner_country)), owner_country)
    popularity = rng.lognormal(0, 1, len(bins.number))
    return draw_grouped(rng, popularity, bins.country, issuer)


def launch_bins(
    rng: Random, config: SimulatorConfig, bins: Bins, card_bin: Ints, in_use_ms: Ints
) -> tuple[Bins, Ints]:
    """Let issuers launch number ranges during the simulation, and issue new cards from them.

    Args:
        rng: source of randomness.
        config: the simulation's settings.
        bins: ranges of before; each launched one is like one of them.
        card_bin: of each card, position in `bins`.
        in_use_ms: when each card is first used, or before the simulation.

    Returns:
        All ranges, the launched ones at the end, and the range of each card. A share of the cards
        that come into use is from the newest range of the same country.
    """
    count = round(len(bins.number) / _BINS_PER_COUNTRY) * _LAUNCHED_PER_COUNTRY
    like = rng.permutation(np.resize(np.arange(len(bins.number)), count))
    launched_ms = np.sort(rng.integers(config.start_ms, config.end_ms, count))
    free = np.setdiff1d(np.arange(10_000_000), bins.number % 10_000_000)
    number = bins.number[like] // 10_000_000 * 10_000_000 + rng.choice(free, count, replace=False)
    launched = replace(take(bins, like), number=number)
    card_bin = card_bin.copy()
    issued = chance(rng, _ISSUED_NEW_SHARE, len(card_bin)) & (in_use_ms >= config.start_ms)
    country = bins.country[card_bin]
    for at in range(count):  # a later launch takes over
        mine = issued & (country == launched.country[at]) & (in_use_ms >= launched_ms[at])
        card_bin[mine] = len(bins.number) + at
    return concat([bins, launched]), card_bin


def draw_networks(
    rng: Random, geography: Geography, country: Ints, *, proxy_share: float
) -> Networks:
    """Draw one address for each entry; a proxy may stand in any country."""
    proxy = chance(rng, proxy_share, len(country))
    seen = np.where(proxy, draw(rng, geography.weight, len(country)), country)
    provider = (rng.random(len(country)) ** 2 * _ASNS_PER_COUNTRY).astype(np.int64)
    return Networks(country=seen, asn=64_512 + seen * _ASNS_PER_COUNTRY + provider, proxy=proxy)
