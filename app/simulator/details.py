"""What a request says besides who, where and how much: channel, basket, addresses.

Fraudsters imitate: each draw below is tilted for fraud, but only mildly, so that the request
alone says little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.simulator.arrays import Bools, Ints, Random, chance, draw
from app.simulator.attempts import Attempts
from app.simulator.campaigns import NEW_PATTERN, PATTERNS
from app.simulator.merchants import CATEGORIES
from app.simulator.world import World

__all__ = ["CHANNELS", "DELIVERIES", "ENTRY_MODES", "KINDS", "Details", "draw_details"]

KINDS = ("payment", "verification", "recurring", "instalment")
_KIND_WEIGHTS = (0.90, 0.015, 0.07, 0.015)
_FRAUD_KIND_WEIGHTS = (0.925, 0.02, 0.045, 0.01)
CHANNELS = ("ecommerce", "in_app", "moto", "pos")
_REMOTE_WEIGHTS = (0.66, 0.31, 0.03)
ENTRY_MODES = ("chip", "contactless", "magstripe", "keyed", "on_file", "wallet")
_STORE_WEIGHTS = (0.42, 0.52, 0.06)
_REMOTE_ENTRY_WEIGHTS = (0, 0, 0, 0.48, 0.32, 0.20)
_FRAUD_ENTRY_WEIGHTS = (0, 0, 0, 0.54, 0.30, 0.16)

_IN_STORE = np.array([category.in_store for category in CATEGORIES])
_DIGITAL = np.array([category.digital for category in CATEGORIES])
_GIFT_SHARE = np.array([category.gift_share for category in CATEGORIES])
_SEASON_GIFTS = 3.0
_POS, _VERIFICATION = CHANNELS.index("pos"), KINDS.index("verification")
_TESTING = PATTERNS.index("card_testing")
_TAKEOVER = PATTERNS.index("account_takeover")
_WALLET = PATTERNS.index(NEW_PATTERN)
_NEW_EMAIL_SHARE = 0.4  # of takeovers, after the e-mail address was changed to the crew's
# Shipped to an address that is not the billing one.
_OTHER_ADDRESS, _FRAUD_OTHER_ADDRESS, _TAKEOVER_OTHER_ADDRESS = 0.12, 0.2, 0.65
DELIVERIES = ("physical", "digital", "pickup")
_PICKUP_SHARE = 0.07


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """One row an attempt; `has_*` is False where the caller does not send the field.

    Attributes:
        kind: position in `KINDS`.
        channel: position in `CHANNELS`.
        entry_mode: position in `ENTRY_MODES`.
        terminal: row number of the terminal.
        region: position of the region that receives the attempt.
        billing_country: position in the geography's countries.
        shipping_country: position in the geography's countries.
        same_address: shipped to the billing address.
        delivery: position in `DELIVERIES`.
        email: account whose e-mail address is given.
        items: in the basket.
        gift_cards: the basket holds one.
    """

    kind: Ints
    channel: Ints
    entry_mode: Ints
    terminal: Ints
    region: Ints
    billing_country: Ints
    shipping_country: Ints
    same_address: Bools
    delivery: Ints
    email: Ints
    items: Ints
    gift_cards: Bools
    has_customer: Bools
    has_email: Bools
    has_device: Bools
    has_network: Bools
    has_terminal: Bools
    has_entry_mode: Bools
    has_bin: Bools
    has_billing: Bools
    has_shipping: Bools
    has_basket: Bools


def draw_details(rng: Random, world: World, attempts: Attempts, *, season: bool) -> Details:
    """Draw the rest of each request."""
    size = len(attempts.at_ms)
    fraud = attempts.pattern > 0
    category = world.merchants.category[attempts.merchant]
    in_store = _in_store(rng, world, attempts, category)
    home = world.accounts.country[attempts.account]
    elsewhere = draw(rng, world.geography.weight, size)
    sent_abroad = chance(rng, np.where(fraud, 0.09, 0.05), size)
    lifted = np.minimum(_GIFT_SHARE[category] * (_SEASON_GIFTS if season else 1.0), 0.95)
    terminals = world.merchants.terminals[attempts.merchant]
    till = np.where(in_store, (rng.random(size) * terminals).astype(np.int64), 0)
    guest = chance(rng, np.where(attempts.pattern == _TESTING, 0.35, 0.25), size)
    remote = ~in_store
    taken_over = attempts.pattern == _TAKEOVER
    digital = _DIGITAL[category]
    moved = np.where(fraud, _FRAUD_OTHER_ADDRESS, _OTHER_ADDRESS)
    return Details(
        kind=np.where(in_store, 0, _tilted(rng, _KIND_WEIGHTS, _FRAUD_KIND_WEIGHTS, fraud)),
        channel=np.where(in_store, _POS, draw(rng, _REMOTE_WEIGHTS, size)),
        entry_mode=_entry_mode(rng, attempts.pattern, in_store),
        terminal=world.merchants.first_terminal[attempts.merchant] + till,
        region=_receiving_region(world, attempts, home),
        billing_country=np.where(
            chance(rng, 0.03, size), elsewhere, world.bins.country[world.card_bin[attempts.card]]
        ),
        shipping_country=np.where(sent_abroad, elsewhere, home),
        same_address=~chance(rng, np.where(taken_over, _TAKEOVER_OTHER_ADDRESS, moved), size),
        delivery=np.where(digital, 1, np.where(chance(rng, _PICKUP_SHARE, size), 2, 0)),
        email=_email(rng, world, attempts),
        items=1 + rng.poisson(np.where(digital, 0.2, 1.4)),
        gift_cards=chance(rng, np.minimum(lifted * np.where(fraud, 1.5, 1.0), 1.0), size),
        has_customer=remote & (~guest | taken_over),
        has_email=remote & chance(rng, 0.95, size),
        has_device=remote & chance(rng, 0.94, size),
        has_network=remote & chance(rng, 0.98, size),
        has_terminal=in_store | chance(rng, 0.3, size),
        has_entry_mode=in_store | chance(rng, 0.9, size),
        has_bin=chance(rng, 0.98, size),
        has_billing=remote & chance(rng, 0.85, size),
        has_shipping=remote & ~digital & chance(rng, 0.92, size),
        has_basket=chance(rng, 0.9, size),
    )


def _in_store(rng: Random, world: World, attempts: Attempts, category: Ints) -> Bools:
    """At a terminal: as often as the category is; never by an agent, less often for fraud."""
    share = _IN_STORE[category] * np.where(attempts.pattern > 0, 0.5, 1.0)
    own_device = attempts.device < world.layout.agent_device
    return chance(rng, share, len(category)) & (own_device | (attempts.pattern > 0))


def _entry_mode(rng: Random, pattern: Ints, in_store: Bools) -> Ints:
    """How the card data came in: a card on file with its account, a wallet's with the wallet."""
    size = len(pattern)
    remote = _tilted(rng, _REMOTE_ENTRY_WEIGHTS, _FRAUD_ENTRY_WEIGHTS, pattern > 0)
    on_file = (pattern == _TAKEOVER) & chance(rng, 0.8, size)
    remote = np.where(on_file, ENTRY_MODES.index("on_file"), remote)
    remote = np.where(pattern == _WALLET, ENTRY_MODES.index("wallet"), remote)
    return np.where(in_store, draw(rng, _STORE_WEIGHTS, size), remote)


def _email(rng: Random, world: World, attempts: Attempts) -> Ints:
    """The account's own, or after some takeovers that of the crew."""
    layout = world.layout
    changed = (attempts.pattern == _TAKEOVER) & chance(rng, _NEW_EMAIL_SHARE, len(attempts.at_ms))
    return np.where(
        changed, layout.crew_account + attempts.device - layout.crew_device, attempts.account
    )


def _receiving_region(world: World, attempts: Attempts, home: Ints) -> Ints:
    """A strategic merchant posts where its customer lives, every other from its own home."""
    strategic = world.merchants.tier[attempts.merchant] == 0
    seller = world.merchants.country[attempts.merchant]
    return np.asarray(world.geography.region[np.where(strategic, home, seller)])


def _tilted(
    rng: Random, genuine: tuple[float, ...], fraudulent: tuple[float, ...], fraud: Bools
) -> Ints:
    """A draw from the first weights, or from the second ones where it is fraud."""
    size = len(fraud)
    return np.where(fraud, draw(rng, fraudulent, size), draw(rng, genuine, size))
