"""Fraudulent attempts of all patterns that have campaigns, each visible in its own kind of feature.

Card testing shows in counts over minutes and in the cards of one device; a stolen card in its
amounts against its own mean; a compromised merchant in the labels that arrive for it; an account
that was taken over in a device that is new to an old account; a farm in the cards and accounts
of its few devices. Everything else imitates the victims.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.simulator.arrays import Random, concat, take
from app.simulator.attempts import Attempts
from app.simulator.campaigns import NEW_PATTERN, PATTERNS, Campaigns
from app.simulator.config import SimulatorConfig
from app.simulator.fraud_accounts import account_takeover, device_farm, wallet_provisioning
from app.simulator.fraud_cards import card_testing, merchant_compromise, stolen_card
from app.simulator.world import World

__all__ = ["fraudulent_attempts"]

_MAKERS: Mapping[str, Callable[[Random, World, Campaigns], Attempts]] = {
    "card_testing": card_testing,
    "stolen_card": stolen_card,
    "merchant_compromise": merchant_compromise,
    "account_takeover": account_takeover,
    "device_farm": device_farm,
    NEW_PATTERN: wallet_provisioning,
}


def fraudulent_attempts(rng: Random, config: SimulatorConfig, world: World) -> Attempts:
    """All attempts of campaigns within the simulation, unsorted."""
    attempts = concat(
        [
            make(rng, world, take(world.campaigns, world.campaigns.pattern == PATTERNS.index(name)))
            for name, make in _MAKERS.items()
        ]
    )
    inside = (config.start_ms <= attempts.at_ms) & (attempts.at_ms < config.end_ms)
    return take(attempts, inside)
