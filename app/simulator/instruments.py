"""Cards and network addresses: what an attempt is made with and comes from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.simulator.arrays import Bools, Ints, Random, chance, draw, draw_grouped
from app.simulator.geography import Geography

__all__ = ["BRANDS", "FUNDINGS", "Bins", "Networks", "draw_bins", "draw_cards", "draw_networks"]

BRANDS = ("visa", "mastercard", "amex")
_BRAND_WEIGHTS = (0.55, 0.37, 0.08)
# First digit, then as many random ones as make eight.
_BRAND_DIGIT = (4, 5, 3)
FUNDINGS = ("credit", "debit", "prepaid", "unknown")
_FUNDING_WEIGHTS = (0.42, 0.48, 0.07, 0.03)
_BINS_PER_COUNTRY = 30
_ISSUED_ABROAD_SHARE = 0.06
_ASNS_PER_COUNTRY = 12


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


def draw_networks(
    rng: Random, geography: Geography, country: Ints, *, proxy_share: float
) -> Networks:
    """Draw one address for each entry; a proxy may stand in any country."""
    proxy = chance(rng, proxy_share, len(country))
    seen = np.where(proxy, draw(rng, geography.weight, len(country)), country)
    provider = (rng.random(len(country)) ** 2 * _ASNS_PER_COUNTRY).astype(np.int64)
    return Networks(country=seen, asn=64_512 + seen * _ASNS_PER_COUNTRY + provider, proxy=proxy)
