"""Fraud with accounts and devices: taken over, farmed, or a phone with other people's cards."""

from __future__ import annotations

import numpy as np

from app.simulator.arrays import HOUR_MS, Floats, Random, chance
from app.simulator.attempts import Attempts, usual_cents, whole_cents
from app.simulator.campaigns import Campaigns
from app.simulator.merchants import CATEGORIES
from app.simulator.victims import hide, members, resale, rows_of, shops, victims
from app.simulator.world import World

__all__ = ["account_takeover", "device_farm", "wallet_provisioning"]

_TAKEOVER_HIDDEN = 0.5  # attempts through a carrier's shared address of the victim's country
_TAKEOVER_UPLIFT, _TAKEOVER_SPREAD = 3.0, 0.4
_FARM_DEVICES = 4  # of a farm; its accounts and addresses are as many as its crew
_FARM_MEDIAN_CENTS, _FARM_SPREAD = 2_500, 0.6
_FARM_ELSEWHERE = 0.3  # attempts not at the farm's own merchant
_WALLET_UPLIFT = 1.5


def account_takeover(rng: Random, world: World, campaigns: Campaigns) -> Attempts:
    """An old account and its card on file, for hours, from a device it never used.

    What is bought goes to another address; `details` and `checks` say so, and that the password
    or the e-mail address was changed shortly before.
    """
    row = rows_of(campaigns)
    victim = victims(rng, world, campaigns.country, campaigns.start_ms)
    hours = np.minimum(rng.lognormal(np.log(5), 0.8, len(campaigns.size)), 24.0)
    offset = rng.random(len(row)) * np.minimum(hours * HOUR_MS, campaigns.lasts_ms)[row]
    at_ms = campaigns.start_ms[row] + offset.astype(np.int64)
    merchant = shops(rng, world, resale(world), at_ms)
    uplift = rng.lognormal(np.log(_TAKEOVER_UPLIFT), _TAKEOVER_SPREAD, len(row))
    return Attempts(
        at_ms=at_ms,
        account=victim[row],
        card=world.cards.first[victim][row],
        device=world.layout.crew_device + campaigns.first_member[row],
        network=hide(
            rng,
            world,
            victim[row],
            world.layout.crew_network + campaigns.first_member[row],
            _TAKEOVER_HIDDEN,
        ),
        merchant=merchant,
        cents=whole_cents(usual_cents(rng, world, victim[row], merchant) * uplift),
        pattern=campaigns.pattern[row],
    )


def device_farm(rng: Random, world: World, campaigns: Campaigns) -> Attempts:
    """A few devices, many of them emulators, work through accounts and cards for days."""
    row = rows_of(campaigns)
    lot = (rng.random(len(row)) * campaigns.crew[row]).astype(np.int64)
    member = campaigns.first_member[row] + lot
    # Each account has a card of its own; accounts are opened for it, one a crew member.
    owner = victims(
        rng,
        world,
        np.repeat(campaigns.country, campaigns.crew),
        np.repeat(campaigns.start_ms, campaigns.crew),
    )
    device = campaigns.first_member[row] + lot % _FARM_DEVICES
    offset = (rng.random(len(row)) * campaigns.lasts_ms[row]).astype(np.int64)
    moved = chance(rng, _FARM_ELSEWHERE, len(row))
    elsewhere = shops(rng, world, _digital(world), campaigns.start_ms[row] + offset)
    first = np.cumsum(campaigns.crew) - campaigns.crew
    victim = owner[first[row] + lot]
    cents = rng.lognormal(np.log(_FARM_MEDIAN_CENTS), _FARM_SPREAD, len(row))
    return Attempts(
        at_ms=campaigns.start_ms[row] + offset,
        account=world.layout.crew_account + member,
        card=world.cards.first[victim],
        device=world.layout.crew_device + device,
        network=world.layout.crew_network + member,
        merchant=np.where(moved, elsewhere, campaigns.merchant[row]),
        cents=whole_cents(cents),
        pattern=campaigns.pattern[row],
    )


def wallet_provisioning(rng: Random, world: World, campaigns: Campaigns) -> Attempts:
    """Stolen cards put into the wallet of a phone, each used once or twice for ordinary goods.

    Wallets are what every other pattern hardly uses: a model trained before it began trusts them.
    """
    row = rows_of(campaigns)
    victim = victims(rng, world, campaigns.country[row], campaigns.start_ms[row])
    again = np.flatnonzero(chance(rng, 0.3, len(row)))
    victim[again] = victim[np.maximum(again - 1, 0)]
    member = members(rng, campaigns, row)
    merchant = shops(rng, world, resale(world), campaigns.start_ms[row])
    return Attempts(
        at_ms=campaigns.start_ms[row]
        + (rng.random(len(row)) * campaigns.lasts_ms[row]).astype(np.int64),
        account=world.layout.crew_account + member,
        card=world.cards.first[victim],
        device=world.layout.crew_device + member,
        network=hide(rng, world, victim, world.layout.crew_network + member, 0.8),
        merchant=merchant,
        cents=whole_cents(usual_cents(rng, world, victim, merchant) * _WALLET_UPLIFT),
        pattern=campaigns.pattern[row],
    )


def _digital(world: World) -> Floats:
    """Worth of each merchant to a farm: nothing is shipped."""
    digital = np.array([category.digital for category in CATEGORIES])
    return np.asarray(digital[world.merchants.category], dtype=float)
