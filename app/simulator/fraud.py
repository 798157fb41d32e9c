"""Fraudulent attempts: three patterns, each visible in its own kind of feature only.

Card testing shows in counts over minutes and in the cards of one device; a stolen card in its
amounts against its own mean and in attempts within a day; a compromised merchant in the labels
that arrive for it. Everything else imitates the victims.
"""

from __future__ import annotations

import numpy as np

from app.simulator.arrays import (
    DAY_MS,
    HOUR_MS,
    Floats,
    Ints,
    Random,
    chance,
    concat,
    draw,
    draw_grouped,
    steps,
    take,
)
from app.simulator.attempts import Attempts, usual_cents, whole_cents
from app.simulator.campaigns import PATTERNS, Campaigns
from app.simulator.config import SimulatorConfig
from app.simulator.merchants import CATEGORIES
from app.simulator.rhythm import time_of_day
from app.simulator.world import World

__all__ = ["fraudulent_attempts"]

_TAKEOVER_SHARE = 0.45  # of stolen cards used through the victim's own account
# Of attempts, through a carrier's shared address of the victim's country.
_STOLEN_HIDDEN = 0.35
_COMPROMISE_HIDDEN = 0.75
_VICTIMS_AT_HOME = 0.92  # victims from the campaign's main country
_TESTED_AGAIN = 0.25  # test attempts with the card of the attempt before
_TEST_MEDIAN_CENTS, _TEST_SPREAD = 450, 0.8
_TEST_PACE_MS = 40_000
_STOLEN_MEDIAN_CENTS, _STOLEN_SPREAD = 60_000, 0.5  # for a victim of level 1
_STOLEN_LEVEL_MAX = 2.5  # of the victim, as far as amounts follow it
_COMPROMISE_UPLIFT = 2.0


def fraudulent_attempts(rng: Random, config: SimulatorConfig, world: World) -> Attempts:
    """All fraudulent attempts of the simulation, unsorted."""
    campaigns = {
        name: take(world.campaigns, world.campaigns.pattern == position)
        for position, name in enumerate(PATTERNS)
    }
    attempts = concat(
        [
            _card_testing(rng, world, campaigns["card_testing"]),
            _stolen_card(rng, world, campaigns["stolen_card"]),
            _merchant_compromise(rng, world, campaigns["merchant_compromise"]),
        ]
    )
    inside = (config.start_ms <= attempts.at_ms) & (attempts.at_ms < config.end_ms)
    return take(attempts, inside)


def _card_testing(rng: Random, world: World, campaigns: Campaigns) -> Attempts:
    """Bursts of small attempts over many cards, from two devices, where checks are weak."""
    row = np.repeat(np.arange(len(campaigns.size)), campaigns.size)
    step = steps(campaigns.size)
    pace = rng.lognormal(np.log(_TEST_PACE_MS), 0.8, len(campaigns.size))[row]
    offset = (step * pace * rng.uniform(0.5, 1.5, len(row))).astype(np.int64)
    victim = _victims(rng, world, campaigns.country[row])
    again = np.flatnonzero(chance(rng, _TESTED_AGAIN, len(row)) & (step > 0))
    victim[again] = victim[again - 1]
    member = _members(rng, campaigns, row)
    cents = rng.lognormal(np.log(_TEST_MEDIAN_CENTS), _TEST_SPREAD, len(row))
    return Attempts(
        at_ms=campaigns.start_ms[row] + np.minimum(offset, campaigns.lasts_ms[row]),
        # A guest checkout under the victim's own name: a new e-mail address for every card.
        account=victim,
        card=world.cards.first[victim],
        device=world.layout.crew_device + member,
        network=world.layout.crew_network + _members(rng, campaigns, row),
        merchant=campaigns.merchant[row],
        cents=whole_cents(cents),
        pattern=campaigns.pattern[row],
    )


def _stolen_card(rng: Random, world: World, campaigns: Campaigns) -> Attempts:
    """One card, used for hours to two days from elsewhere, for more than its owner would."""
    row = np.repeat(np.arange(len(campaigns.size)), campaigns.size)
    duration = np.minimum(
        rng.lognormal(np.log(8 * HOUR_MS), 0.9, len(campaigns.size)), campaigns.lasts_ms
    )[row]
    at_ms = campaigns.start_ms[row] + (rng.random(len(row)) * duration).astype(np.int64)
    victims = _victims(rng, world, campaigns.country)
    takeover = chance(rng, _TAKEOVER_SHARE, len(victims))
    members = campaigns.first_member
    merchant = np.where(
        chance(rng, 0.25, len(row)),
        campaigns.merchant[row],
        draw(rng, world.merchants.popularity * _resale(world), len(row)),
    )
    # Above the victim's own purchases, whatever the merchant sells; of a moderate size where these
    # are large, since what stands out by itself would be looked at.
    level = np.minimum(world.accounts.level[victims], _STOLEN_LEVEL_MAX)
    cents = level[row] * rng.lognormal(np.log(_STOLEN_MEDIAN_CENTS), _STOLEN_SPREAD, len(row))
    return Attempts(
        at_ms=at_ms,
        account=np.where(takeover, victims, world.layout.crew_account + members)[row],
        card=world.cards.first[victims][row],
        device=(world.layout.crew_device + members)[row],
        network=_hide(
            rng, world, victims[row], (world.layout.crew_network + members)[row], _STOLEN_HIDDEN
        ),
        merchant=merchant,
        cents=whole_cents(cents),
        pattern=campaigns.pattern[row],
    )


def _merchant_compromise(rng: Random, world: World, campaigns: Campaigns) -> Attempts:
    """Four weeks of fraud at a merchant, with cards that its customers used there."""
    row = np.repeat(np.arange(len(campaigns.size)), campaigns.size)
    victim = np.concatenate(
        [
            np.empty(0, dtype=np.int64),
            *(
                _customers_of(rng, world, merchant, size)
                for merchant, size in zip(campaigns.merchant, campaigns.size, strict=True)
            ),
        ]
    )
    day = (rng.random(len(row)) * campaigns.lasts_ms[row]).astype(np.int64) // DAY_MS
    local = time_of_day(rng, world.geography.utc_offset_h[campaigns.country[row]])
    at_ms = campaigns.start_ms[row] // DAY_MS * DAY_MS + day * DAY_MS + local
    member = _members(rng, campaigns, row)
    takeover = chance(rng, _TAKEOVER_SHARE, len(row))
    merchant = campaigns.merchant[row]
    return Attempts(
        at_ms=at_ms,
        account=np.where(takeover, victim, world.layout.crew_account + member),
        card=world.cards.first[victim],
        device=world.layout.crew_device + member,
        network=_hide(rng, world, victim, world.layout.crew_network + member, _COMPROMISE_HIDDEN),
        merchant=merchant,
        cents=whole_cents(usual_cents(rng, world, victim, merchant) * _COMPROMISE_UPLIFT),
        pattern=campaigns.pattern[row],
    )


def _victims(rng: Random, world: World, country: Ints) -> Ints:
    """One account for each entry: mostly of the given country, busy ones more often."""
    accounts = world.accounts
    weight = accounts.activity * accounts.settled
    there = draw_grouped(rng, weight, accounts.country, country)
    anywhere = draw(rng, weight, len(country))
    return np.where(chance(rng, _VICTIMS_AT_HOME, len(country)), there, anywhere)


def _customers_of(rng: Random, world: World, merchant: int, size: int) -> Ints:
    """Accounts that come back to the merchant; any account where nobody does."""
    weight = world.accounts.activity * world.accounts.settled
    regulars = (world.accounts.favourites == merchant).any(axis=1) * weight
    return draw(rng, regulars if regulars.any() else weight, size)


def _members(rng: Random, campaigns: Campaigns, row: Ints) -> Ints:
    """A crew member for each attempt, the first one most often; `row` is its campaign's."""
    lot = rng.random(len(row)) ** 3 * campaigns.crew[row]
    return np.asarray(campaigns.first_member[row] + lot.astype(np.int64))


def _hide(rng: Random, world: World, victim: Ints, network: Ints, share: float) -> Ints:
    """Some attempts come through a shared address of the victim's country instead."""
    country = world.accounts.country[victim]
    lot = rng.random(len(victim)) * world.layout.carriers[country]
    shared = world.layout.carrier[country] + lot.astype(np.int64)
    return np.where(chance(rng, share, len(victim)), shared, network)


def _resale(world: World) -> Floats:
    """Weight of each merchant to who spends another's money: open, and goods worth the risk."""
    value = np.array([category.median_cents for category in CATEGORIES])
    return np.asarray(world.merchants.established * value[world.merchants.category])
