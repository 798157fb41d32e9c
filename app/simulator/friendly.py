"""Friendly fraud: a genuine purchase that its own buyer disputes weeks later."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from app.simulator.arrays import Bools, Random
from app.simulator.attempts import Attempts
from app.simulator.campaigns import PATTERNS
from app.simulator.merchants import CATEGORIES
from app.simulator.world import World

__all__ = ["with_friendly_fraud"]

_DIGITAL_WEIGHT = 3.0  # of what leaves no proof of delivery, against what is shipped


def with_friendly_fraud(
    rng: Random, world: World, attempts: Attempts, captured: Bools, *, expected: float
) -> Attempts:
    """Mark some captured genuine attempts; nothing else of them changes.

    So no input tells them apart, but for the goods and, of who does it, nothing: they bound what
    a model can reach.
    """
    digital = np.array([category.digital for category in CATEGORIES])
    weight = np.where(digital[world.merchants.category[attempts.merchant]], _DIGITAL_WEIGHT, 1.0)
    weight = weight * (captured & (attempts.pattern == 0))
    possible = int((weight > 0).sum())
    count = min(int(rng.poisson(expected)), possible)
    if count == 0:
        return attempts
    chosen = rng.choice(len(weight), count, replace=False, p=weight / weight.sum())
    pattern = attempts.pattern.copy()
    pattern[chosen] = PATTERNS.index("friendly_fraud")
    return replace(attempts, pattern=pattern)
