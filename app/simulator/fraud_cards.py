"""Fraud with cards: tested, stolen, or leaked by a merchant."""

from __future__ import annotations

import numpy as np

from app.simulator.arrays import DAY_MS, HOUR_MS, Random, chance, steps
from app.simulator.attempts import Attempts, usual_cents, whole_cents
from app.simulator.campaigns import Campaigns
from app.simulator.rhythm import time_of_day
from app.simulator.victims import customers_of, hide, members, resale, rows_of, shops, victims
from app.simulator.world import World

__all__ = ["card_testing", "merchant_compromise", "stolen_card"]

# Of cards, used under the account of their owner.
_STOLEN_OWN_ACCOUNT = 0.3
_LEAKED_OWN_ACCOUNT = 0.45
# Of attempts, through a carrier's shared address of the victim's country.
_STOLEN_HIDDEN = 0.35
_COMPROMISE_HIDDEN = 0.75
_TESTED_AGAIN = 0.25  # test attempts with the card of the attempt before
_TEST_MEDIAN_CENTS, _TEST_SPREAD = 450, 0.8
_TEST_PACE_MS = 40_000
_STOLEN_MEDIAN_CENTS, _STOLEN_SPREAD = 60_000, 0.5  # for a victim of level 1
_STOLEN_LEVEL_MAX = 2.5  # of the victim, as far as amounts follow it
_COMPROMISE_UPLIFT = 2.0


def card_testing(rng: Random, world: World, campaigns: Campaigns) -> Attempts:
    """Bursts of small attempts over many cards, from two devices, where checks are weak."""
    row = rows_of(campaigns)
    step = steps(campaigns.size)
    pace = rng.lognormal(np.log(_TEST_PACE_MS), 0.8, len(campaigns.size))[row]
    offset = (step * pace * rng.uniform(0.5, 1.5, len(row))).astype(np.int64)
    victim = victims(rng, world, campaigns.country[row], campaigns.start_ms[row])
    again = np.flatnonzero(chance(rng, _TESTED_AGAIN, len(row)) & (step > 0))
    victim[again] = victim[again - 1]
    member = members(rng, campaigns, row)
    cents = rng.lognormal(np.log(_TEST_MEDIAN_CENTS), _TEST_SPREAD, len(row))
    return Attempts(
        at_ms=campaigns.start_ms[row] + np.minimum(offset, campaigns.lasts_ms[row]),
        # A guest checkout under the victim's own name: a new e-mail address for every card.
        account=victim,
        card=world.cards.first[victim],
        device=world.layout.crew_device + member,
        network=world.layout.crew_network + members(rng, campaigns, row),
        merchant=campaigns.merchant[row],
        cents=whole_cents(cents),
        pattern=campaigns.pattern[row],
    )


def stolen_card(rng: Random, world: World, campaigns: Campaigns) -> Attempts:
    """One card, used for hours to two days from elsewhere, for more than its owner would."""
    row = rows_of(campaigns)
    duration = np.minimum(
        rng.lognormal(np.log(8 * HOUR_MS), 0.9, len(campaigns.size)), campaigns.lasts_ms
    )[row]
    at_ms = campaigns.start_ms[row] + (rng.random(len(row)) * duration).astype(np.int64)
    victim = victims(rng, world, campaigns.country, campaigns.start_ms)
    own_account = chance(rng, _STOLEN_OWN_ACCOUNT, len(victim))
    member = campaigns.first_member
    merchant = np.where(
        chance(rng, 0.25, len(row)),
        campaigns.merchant[row],
        shops(rng, world, resale(world), at_ms),
    )
    # Above the victim's own purchases, whatever the merchant sells; of a moderate size where these
    # are large, since what stands out by itself would be looked at.
    level = np.minimum(world.accounts.level[victim], _STOLEN_LEVEL_MAX)
    cents = level[row] * rng.lognormal(np.log(_STOLEN_MEDIAN_CENTS), _STOLEN_SPREAD, len(row))
    return Attempts(
        at_ms=at_ms,
        account=np.where(own_account, victim, world.layout.crew_account + member)[row],
        card=world.cards.first[victim][row],
        device=(world.layout.crew_device + member)[row],
        network=hide(
            rng, world, victim[row], (world.layout.crew_network + member)[row], _STOLEN_HIDDEN
        ),
        merchant=merchant,
        cents=whole_cents(cents),
        pattern=campaigns.pattern[row],
    )


def merchant_compromise(rng: Random, world: World, campaigns: Campaigns) -> Attempts:
    """Four weeks of fraud at a merchant, with cards that its customers used there."""
    row = rows_of(campaigns)
    victim = np.concatenate(
        [
            np.empty(0, dtype=np.int64),
            *(
                customers_of(rng, world, merchant, size)
                for merchant, size in zip(campaigns.merchant, campaigns.size, strict=True)
            ),
        ]
    )
    day = (rng.random(len(row)) * campaigns.lasts_ms[row]).astype(np.int64) // DAY_MS
    local = time_of_day(rng, world.geography.utc_offset_h[campaigns.country[row]])
    at_ms = campaigns.start_ms[row] // DAY_MS * DAY_MS + day * DAY_MS + local
    member = members(rng, campaigns, row)
    own_account = chance(rng, _LEAKED_OWN_ACCOUNT, len(row))
    merchant = campaigns.merchant[row]
    return Attempts(
        at_ms=at_ms,
        account=np.where(own_account, victim, world.layout.crew_account + member),
        card=world.cards.first[victim],
        device=world.layout.crew_device + member,
        network=hide(rng, world, victim, world.layout.crew_network + member, _COMPROMISE_HIDDEN),
        merchant=merchant,
        cents=whole_cents(usual_cents(rng, world, victim, merchant) * _COMPROMISE_UPLIFT),
        pattern=campaigns.pattern[row],
    )
