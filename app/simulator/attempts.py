"""Attempts while they are made: row numbers into the world's tables, as columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.simulator.arrays import Floats, Ints, Random
from app.simulator.merchants import CATEGORIES
from app.simulator.world import World

__all__ = ["Attempts", "usual_cents", "whole_cents"]

_MEDIAN_CENTS = np.array([category.median_cents for category in CATEGORIES])
_SPREAD = np.array([category.spread for category in CATEGORIES])


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """One row an attempt, in no order.

    Attributes:
        at_ms: receipt, UTC milliseconds.
        account: who it seems to be.
        card: what it is paid with.
        device: where it comes from.
        network: the address it comes from.
        merchant: who is paid.
        cents: the amount, US cents.
        pattern: position in `campaigns.PATTERNS`; 0 is genuine.
    """

    at_ms: Ints
    account: Ints
    card: Ints
    device: Ints
    network: Ints
    merchant: Ints
    cents: Ints
    pattern: Ints


def usual_cents(rng: Random, world: World, account: Ints, merchant: Ints) -> Floats:
    """What the account would spend at the merchant, US cents, before rounding.

    Lognormal: the category's median, the merchant's price level and the account's own level,
    spread as the category's amounts are.
    """
    category = world.merchants.category[merchant]
    noise = rng.lognormal(0, _SPREAD[category])
    level = world.merchants.price[merchant] * world.accounts.level[account]
    return np.asarray(_MEDIAN_CENTS[category] * level * noise)


def whole_cents(cents: Floats) -> Ints:
    """Round to whole cents, at least 50."""
    return np.maximum(np.rint(cents), 50).astype(np.int64)
