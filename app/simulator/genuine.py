"""Genuine attempts of one day: shopping, and those who buy for others."""

from __future__ import annotations

import numpy as np

from app.simulator.arrays import (
    DAY_MS,
    MINUTE_MS,
    Bools,
    Floats,
    Ints,
    Random,
    chance,
    concat,
    draw,
    draw_grouped,
    steps,
)
from app.simulator.attempts import Attempts, usual_cents, whole_cents
from app.simulator.people import FAVOURITES, pick_owned
from app.simulator.rhythm import time_of_day
from app.simulator.world import World

__all__ = ["genuine_day"]

_AGENTS_SHARE = 0.003  # of the attempts
_AGENT_RUN = 7.0  # mean attempts in a run of an agent
# Attempts in a visit: most are single; a few are retries or small sprees; some are bursts.
_VISIT_SIZES = np.array([1, 2, 3, 4, 6, 9])
_VISIT_WEIGHTS = (0.915, 0.062, 0.016, 0.005, 0.001, 0.0004)
_FAVOURITE_SHARE = 0.55
_LOCAL_SHARE = 0.8
_MOBILE_SHARE = 0.35  # of attempts through a carrier's shared address
_SPLURGE_SHARE = 0.005  # one-off amounts far above the usual
_SEASON_LIFT = 1.25


def genuine_day(
    rng: Random, world: World, *, midnight_ms: int, count: int, season: bool
) -> Attempts:
    """About `count` genuine attempts of the UTC day that begins at `midnight_ms`."""
    agents = count * _AGENTS_SHARE
    mean_visit = float(np.average(_VISIT_SIZES, weights=_VISIT_WEIGHTS))
    visits = round((count - agents) / mean_visit)
    return concat(
        [
            _shopping(rng, world, midnight_ms, visits, season=season),
            _agent_runs(rng, world, midnight_ms, int(agents / _AGENT_RUN + rng.random())),
        ]
    )


def _shopping(
    rng: Random, world: World, midnight_ms: int, visits: int, *, season: bool
) -> Attempts:
    """Customers' own attempts, in visits of one or more."""
    accounts = world.accounts
    active = np.where(accounts.joined_ms < midnight_ms, accounts.activity, 0.0)
    visitor = draw(rng, active, visits)
    size = _VISIT_SIZES[draw(rng, _VISIT_WEIGHTS, visits)]
    visit = np.repeat(np.arange(visits), size)
    account = visitor[visit]
    start = time_of_day(rng, world.geography.utc_offset_h[accounts.country[visitor]])
    pace = rng.lognormal(np.log(3 * MINUTE_MS), 0.8, visits)
    at_ms = midnight_ms + _spread_out(rng, start[visit], pace[visit], steps(size))
    country = _whereabouts(world, account, at_ms)
    merchant = _choose_merchants(rng, world, account, country, midnight_ms)
    # A retry stays with the merchant; a spree moves on.
    first = np.cumsum(size) - size
    staying = chance(rng, 0.6, visits)[visit]
    merchant = np.where(staying, merchant[first][visit], merchant)
    cents = usual_cents(rng, world, account, merchant)
    lift = np.where(
        chance(rng, _SPLURGE_SHARE, len(visit)), rng.lognormal(np.log(4), 0.5, len(visit)), 1.0
    )
    return Attempts(
        at_ms=at_ms,
        account=account,
        card=pick_owned(rng, world.cards, visitor, start + midnight_ms)[visit],
        device=pick_owned(rng, world.owned_devices, visitor, start + midnight_ms)[visit],
        network=_choose_networks(rng, world, visitor, country[first])[visit],
        merchant=merchant,
        cents=whole_cents(cents * lift * (_SEASON_LIFT if season else 1.0)),
        pattern=np.zeros(len(visit), dtype=np.int64),
    )


def _agent_runs(rng: Random, world: World, midnight_ms: int, runs: int) -> Attempts:
    """Runs of attempts from one device and address over many customers' cards."""
    active = np.where(world.agents.since_ms < midnight_ms, 1.0, 0.0)
    agent = draw(rng, active if active.any() else active + 1, runs)
    size = 1 + rng.poisson(_AGENT_RUN - 1, runs)
    run = np.repeat(np.arange(runs), size)
    merchant = world.agents.merchant[agent]
    start = time_of_day(rng, world.geography.utc_offset_h[world.merchants.country[merchant]])
    pace = rng.lognormal(np.log(4 * MINUTE_MS), 0.7, runs)
    at_ms = midnight_ms + _spread_out(rng, start[run], pace[run], steps(size))
    client = draw_grouped(
        rng,
        np.where(world.accounts.joined_ms < midnight_ms, world.accounts.activity, 0.0),
        world.geography.region[world.accounts.country],
        world.geography.region[world.merchants.country[merchant]][run],
    )
    return Attempts(
        at_ms=at_ms,
        account=client,
        card=pick_owned(rng, world.cards, client, at_ms),
        device=(world.layout.agent_device + agent)[run],
        network=(world.layout.agent_network + agent)[run],
        merchant=merchant[run],
        cents=whole_cents(usual_cents(rng, world, client, merchant[run])),
        pattern=np.zeros(len(run), dtype=np.int64),
    )


def _spread_out(rng: Random, start: Ints, pace: Floats, step: Ints) -> Ints:
    """Milliseconds of the day for each step of a run; a run that would cross midnight runs back.

    So a day is complete in itself, and days can be made one by one.
    """
    offset = (step * pace * rng.uniform(0.6, 1.4, len(step))).astype(np.int64)
    moment = np.where(start + offset < DAY_MS, start + offset, start - offset)
    return np.clip(moment, 0, DAY_MS - 1)


def _whereabouts(world: World, account: Ints, at_ms: Ints) -> Ints:
    """The country each account is in: its own, or where it travels."""
    accounts = world.accounts
    away = (accounts.travel_from_ms[account] <= at_ms) & (at_ms < accounts.travel_until_ms[account])
    return np.where(away, accounts.travel_country[account], accounts.country[account])


def _choose_merchants(
    rng: Random, world: World, account: Ints, country: Ints, midnight_ms: int
) -> Ints:
    """A favourite that is open, or a popular merchant of the region, or of anywhere."""
    merchants, size = world.merchants, len(account)
    is_open: Bools = merchants.opened_ms <= midnight_ms
    popular = np.where(is_open, merchants.popularity, 0.0)
    region = world.geography.region
    local = draw_grouped(rng, popular, region[merchants.country], region[country])
    chosen = np.where(chance(rng, _LOCAL_SHARE, size), local, draw(rng, popular, size))
    favourite = world.accounts.favourites[account, rng.integers(0, FAVOURITES, size)]
    at_home = country == world.accounts.country[account]
    returning = chance(rng, _FAVOURITE_SHARE, size) & is_open[favourite] & at_home
    return np.where(returning, favourite, chosen)


def _choose_networks(rng: Random, world: World, account: Ints, country: Ints) -> Ints:
    """The home address, or one of the carriers' shared addresses where the account is."""
    layout, size = world.layout, len(account)
    shared = layout.carrier[country] + (rng.random(size) ** 1.7 * layout.carriers[country]).astype(
        np.int64
    )
    mobile = chance(rng, _MOBILE_SHARE, size) | (country != world.accounts.country[account])
    return np.where(mobile, shared, account)
