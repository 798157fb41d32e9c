"""Whom fraud falls on, and what its crews hide behind: shared by all patterns."""

from __future__ import annotations

import numpy as np

from app.simulator.arrays import Floats, Ints, Random, chance, draw, draw_grouped
from app.simulator.campaigns import Campaigns
from app.simulator.merchants import CATEGORIES
from app.simulator.world import World

__all__ = ["customers_of", "hide", "members", "resale", "rows_of", "shops", "victims"]

_VICTIMS_AT_HOME = 0.92  # victims from the campaign's main country


def rows_of(campaigns: Campaigns) -> Ints:
    """The campaign of each attempt, shape (attempts,)."""
    return np.repeat(np.arange(len(campaigns.size)), campaigns.size)


def victims(rng: Random, world: World, country: Ints, at_ms: Ints) -> Ints:
    """One account for each entry: mostly of the given country, busy ones more often.

    Of customers who came during the simulation only those there are by `at_ms`, and in a world
    without newcomers none.
    """
    accounts = world.accounts
    settled = _victims(rng, world, accounts.activity * accounts.settled, country)
    if not world.newcomers:
        return settled
    anyone = _victims(rng, world, accounts.activity, country)
    return np.where(accounts.joined_ms[anyone] < at_ms, anyone, settled)


def _victims(rng: Random, world: World, weight: Floats, country: Ints) -> Ints:
    there = draw_grouped(rng, weight, world.accounts.country, country)
    anywhere = draw(rng, weight, len(country))
    return np.where(chance(rng, _VICTIMS_AT_HOME, len(country)), there, anywhere)


def shops(rng: Random, world: World, worth: Floats, at_ms: Ints) -> Ints:
    """A merchant for each entry, popular ones more often, in proportion to what it is worth.

    One that opened during the simulation only once it has, and in a world without newcomers never.
    """
    merchants = world.merchants
    weight = merchants.popularity * worth
    established = draw(rng, weight * merchants.established, len(at_ms))
    if not world.newcomers:
        return established
    anyone = draw(rng, weight, len(at_ms))
    return np.where(merchants.opened_ms[anyone] <= at_ms, anyone, established)


def customers_of(rng: Random, world: World, merchant: int, size: int) -> Ints:
    """Accounts that come back to the merchant; any account where nobody does."""
    weight = world.accounts.activity * world.accounts.settled
    regulars = (world.accounts.favourites == merchant).any(axis=1) * weight
    return draw(rng, regulars if regulars.any() else weight, size)


def members(rng: Random, campaigns: Campaigns, row: Ints) -> Ints:
    """A crew member for each attempt, the first one most often; `row` is its campaign's."""
    lot = rng.random(len(row)) ** 3 * campaigns.crew[row]
    return np.asarray(campaigns.first_member[row] + lot.astype(np.int64))


def hide(rng: Random, world: World, victim: Ints, network: Ints, share: float) -> Ints:
    """Some attempts come through a shared address of the victim's country instead."""
    country = world.accounts.country[victim]
    lot = rng.random(len(victim)) * world.layout.carriers[country]
    shared = world.layout.carrier[country] + lot.astype(np.int64)
    return np.where(chance(rng, share, len(victim)), shared, network)


def resale(world: World) -> Floats:
    """Worth of each merchant to who spends another's money: that of what it sells."""
    value = np.array([category.median_cents for category in CATEGORIES])
    return np.asarray(value[world.merchants.category], dtype=float)
