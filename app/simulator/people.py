"""Customers and what they pay with: accounts, cards, devices, network addresses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.simulator.arrays import DAY_MS, HOUR_MS, Bools, Floats, Ints, Random, chance, draw
from app.simulator.config import SimulatorConfig
from app.simulator.geography import Geography

__all__ = [
    "BROWSERS",
    "DEVICE_KINDS",
    "DOMAINS",
    "FAVOURITES",
    "OSES",
    "Accounts",
    "Devices",
    "Owned",
    "draw_customers",
    "draw_devices",
    "draw_domains",
    "draw_owned",
    "pick_owned",
]

FAVOURITES = 4  # merchants an account comes back to
DOMAINS = (
    "gmail.com", "outlook.com", "icloud.com", "yahoo.com", "hotmail.com", "proton.me", "gmx.net",
    "web.de", "orange.fr", "qq.com", "aol.com", "mail.example", "company.example",
)  # fmt: skip
_DOMAIN_WEIGHTS = (40, 14, 12, 9, 7, 2, 4, 3, 2, 2, 1.5, 1.5, 2)

DEVICE_KINDS = ("phone", "tablet", "desktop")
OSES = ("android", "ios", "windows", "macos", "linux")
BROWSERS = ("chrome", "safari", "firefox", "edge", "samsung_internet")
# One row an operating system: its weight, the weights of the kinds, the weights of the browsers.
_OS_WEIGHTS = (0.34, 0.33, 0.2, 0.1, 0.03)
_KINDS_OF_OS = ((0.93, 0.07, 0), (0.88, 0.12, 0), (0, 0.03, 0.97), (0, 0, 1), (0, 0, 1))
_BROWSERS_OF_OS = (
    (0.72, 0, 0.06, 0.02, 0.2),
    (0.12, 0.86, 0.02, 0, 0),
    (0.62, 0, 0.1, 0.28, 0),
    (0.35, 0.58, 0.07, 0, 0),
    (0.5, 0, 0.5, 0, 0),
)

_JOINING_SHARE = 0.22  # accounts whose first attempt lies within the simulation
_TRAVELLING_SHARE = 0.10
_LEVEL_SPREAD = 1.1  # of the logarithm of what an account spends against the median


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """One row a customer account.

    Attributes:
        country: position in the geography's countries.
        created_ms: when the account was opened, UTC milliseconds.
        joined_ms: active from the midnight after this moment, UTC milliseconds.
        settled: a customer since before the simulation.
        domain: position in `DOMAINS`.
        level: factor on the amounts it spends.
        activity: relative number of attempts.
        favourites: merchants it comes back to, shape (accounts, `FAVOURITES`).
        travel_from_ms: start of a journey; equal to the end where there is none.
        travel_until_ms: end of the journey.
        travel_country: where to.
    """

    country: Ints
    created_ms: Ints
    joined_ms: Ints
    settled: Bools
    domain: Ints
    level: Floats
    activity: Floats
    favourites: Ints
    travel_from_ms: Ints
    travel_until_ms: Ints
    travel_country: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """One row a device: positions in the tables of this module, and whether it is emulated."""

    kind: Ints
    os: Ints
    browser: Ints
    emulator: Bools


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """Which rows of another table belong to an account: a run of them, most used first.

    Attributes:
        first: row number of the account's first, one entry an account.
        count: how many it has, at least 1, one entry an account.
        since_ms: not in use before this moment, one entry a row of the other table.
        owner: the account, one entry a row of the other table.
    """

    first: Ints
    count: Ints
    since_ms: Ints
    owner: Ints


def draw_customers(
    rng: Random,
    config: SimulatorConfig,
    geography: Geography,
    choose_favourites: Callable[[Ints], Ints],
) -> Accounts:
    """Draw the customers' accounts.

    Args:
        rng: source of randomness.
        config: the simulation's settings.
        geography: where customers live.
        choose_favourites: from the accounts' countries, shape (n,), their favourite merchants,
            shape (n, `FAVOURITES`).
    """
    count = config.customer_count
    country = draw(rng, geography.weight, count)
    joining = chance(rng, _JOINING_SHARE, count)
    joined_ms = config.start_ms - np.ones(count, dtype=np.int64)
    joined_ms[joining] = rng.integers(config.start_ms, config.end_ms, int(joining.sum()))
    # Half of the newcomers open the account to buy; the others had it for years.
    fresh = joining & chance(rng, 0.5, count)
    age_ms = np.where(fresh, rng.exponential(HOUR_MS, count), rng.lognormal(6, 1, count) * DAY_MS)
    travel_from_ms = rng.integers(config.start_ms - 7 * DAY_MS, config.end_ms, count)
    travel_ms = rng.integers(2, 15, count) * DAY_MS * chance(rng, _TRAVELLING_SHARE, count)
    return Accounts(
        country=country,
        created_ms=joined_ms - age_ms.astype(np.int64),
        joined_ms=joined_ms,
        settled=~joining,
        domain=draw_domains(rng, count),
        level=rng.lognormal(-(_LEVEL_SPREAD**2) / 2, _LEVEL_SPREAD, count),
        activity=rng.lognormal(0, 0.9, count),
        favourites=choose_favourites(country),
        travel_from_ms=travel_from_ms,
        travel_until_ms=travel_from_ms + travel_ms,
        travel_country=draw(rng, geography.weight, count),
    )


def draw_domains(rng: Random, count: int) -> Ints:
    """Draw e-mail domains, as positions in `DOMAINS`."""
    return draw(rng, _DOMAIN_WEIGHTS, count)


def draw_devices(rng: Random, count: int, *, emulator_share: float | Floats) -> Devices:
    """Draw devices whose kind and browser go with their operating system."""
    os = draw(rng, _OS_WEIGHTS, count)
    kind = np.empty(count, dtype=np.int64)
    browser = np.empty(count, dtype=np.int64)
    for row in range(len(OSES)):
        having = np.flatnonzero(os == row)
        kind[having] = draw(rng, _KINDS_OF_OS[row], len(having))
        browser[having] = draw(rng, _BROWSERS_OF_OS[row], len(having))
    return Devices(kind=kind, os=os, browser=browser, emulator=chance(rng, emulator_share, count))


def draw_owned(
    rng: Random, config: SimulatorConfig, *, accounts: int, further: float, new_share: float
) -> Owned:
    """Give each account one row of another table and `further` more on average.

    A share of the further ones comes into use during the simulation.
    """
    count = 1 + rng.poisson(further, accounts)
    first = np.cumsum(count) - count
    since_ms = np.full(int(count.sum()), config.start_ms - 1, dtype=np.int64)
    appearing = chance(rng, new_share, len(since_ms))
    appearing[first] = False
    since_ms[appearing] = rng.integers(config.start_ms, config.end_ms, int(appearing.sum()))
    return Owned(
        first=first,
        count=count,
        since_ms=since_ms,
        owner=np.repeat(np.arange(accounts), count),
    )


def pick_owned(rng: Random, owned: Owned, accounts: Ints, at_ms: Ints) -> Ints:
    """One of each account's rows, the first ones far more often, none before it is in use."""
    skewed = rng.random(len(accounts)) ** 2.5
    rows = owned.first[accounts] + (skewed * owned.count[accounts]).astype(np.int64)
    return np.where(owned.since_ms[rows] > at_ms, owned.first[accounts], rows)
