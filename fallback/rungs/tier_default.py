"""The `tier_default` rung: the standing policy of the merchant's tier, by amount band.

It is the last rung, so it is total: synchronous, without I/O, and whatever it is handed, it
answers. What it cannot read (an unknown tier, an amount that is missing, negative or not a number)
gets the strict default: `step_up` where the attempt says that step-up is available, `decline`
otherwise. In the same way a band's `step_up` becomes `decline` where step-up is not available.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from fallback.rung import Action, Assessment, RungName

__all__ = [
    "STANDING_POLICY",
    "AmountBand",
    "StandingFacts",
    "StandingPolicy",
    "TierDefaultRung",
]

STANDING_POLICY: Final = "STANDING_POLICY"
"""The reason code of every answer of this rung."""

AttemptT = TypeVar("AttemptT")


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountBand:
    """An action for amounts up to and including `up_to` minor units; None: for all above."""

    up_to: int | None = None
    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingPolicy:
    """What a tier does while nothing better is known.

    Attributes:
        bands: by amount, ascending; only the last one has no upper end.
        amount_high: from where on an amount is high for the tier, minor units of the reference
            currency; > 0.
    """

    bands: Sequence[AmountBand]
    amount_high: int

    def __post_init__(self) -> None:
        *bounded, last = [band.up_to for band in self.bands] or [0]
        if last is not None or None in bounded:
            raise ValueError("the last amount band, and only that one, has no up_to")
        edges = [0, *(edge for edge in bounded if edge is not None)]
        if any(upper <= lower for lower, upper in itertools.pairwise(edges)):
            raise ValueError("amount bands must ascend from above 0")
        if self.amount_high <= 0:
            raise ValueError("amount_high must be above 0")

    def band_of(self, amount_ref: float) -> AmountBand:
        """The band of an amount >= 0, in minor units of the reference currency."""
        for band in self.bands:
            if band.up_to is None or amount_ref <= band.up_to:
                return band
        raise AssertionError("the last band has no upper end")


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingFacts:
    """All that the rung reads of an attempt; any of it may be missing or wrong.

    Attributes:
        tier: the merchant's tier.
        amount_ref: the amount, minor units of the reference currency.
        step_up_available: whether the checkout can step up.
    """

    tier: str
    amount_ref: float
    step_up_available: bool


class TierDefaultRung(Generic[AttemptT]):
    """Answers from the tier's standing policy; cannot raise."""

    def __init__(
        self,
        *,
        standing: Callable[[], Mapping[str, StandingPolicy]],
        facts_of: Callable[[AttemptT], StandingFacts],
    ) -> None:
        """Bind the rung to the standing policies and to the attempt.

        Args:
            standing: gives the policies in force, by tier.
            facts_of: reads an attempt.
        """
        self._standing = standing
        self._facts_of = facts_of

    @property
    def name(self) -> RungName:
        """The rung's name on the wire."""
        return RungName.TIER_DEFAULT

    def assess(self, attempt: AttemptT) -> Assessment:
        """Assess one attempt: total, synchronous, no I/O.

        Returns:
            An action without a score. The ranking is the amount in multiples of the tier's high
            amount; 1 where that could not be read, and `detail` then has `unreadable`.
        """
        step_up_available = False
        try:
            facts = self._facts_of(attempt)
            step_up_available = facts.step_up_available is True
            return self._by_band(facts, step_up_available)
        except Exception as error:  # noqa: BLE001  # below this rung there is no other
            return Assessment(
                score=None,
                action=_available(Action.STEP_UP, step_up_available),
                ranking=1.0,
                reason_codes=(STANDING_POLICY,),
                detail={"unreadable": type(error).__name__},
            )

    def _by_band(self, facts: StandingFacts, step_up_available: bool) -> Assessment:
        standing = self._standing()[facts.tier]
        if isinstance(facts.amount_ref, bool) or not 0 <= facts.amount_ref < math.inf:
            raise ValueError("an amount is a finite number from 0")
        band = standing.band_of(facts.amount_ref)
        return Assessment(
            score=None,
            action=_available(band.action, step_up_available),
            ranking=float(facts.amount_ref) / standing.amount_high,
            reason_codes=(STANDING_POLICY,),
            detail={"tier": facts.tier, "band_up_to": band.up_to},
        )


def _available(action: Action, step_up_available: bool) -> Action:
    if action is Action.STEP_UP and not step_up_available:
        return Action.DECLINE
    return action
