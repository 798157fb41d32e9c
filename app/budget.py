"""What the lower rungs may approve while they stand in, as the policy file says it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from fallback.rung import RungName

__all__ = ["ClientDefaultCaps", "StandInBudget", "StandInWeights"]

_Amount = Annotated[int, Meta(ge=0, le=10**15)]
_Weight = Annotated[float, Meta(ge=0, le=100)]


class StandInBudget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be approved within any hour; minor units of the reference currency.

    Attributes:
        budget_hourly: of the tier, by the whole fleet.
        instrument_hourly: of one instrument, by one host.
    """

    budget_hourly: _Amount
    instrument_hourly: _Amount


class ClientDefaultCaps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client may approve by itself while no region answers it.

    Attributes:
        attempt_max: of one attempt, minor units of the reference currency.
        hourly_max: within any hour, by one client; a fleet of clients approves that much each.
    """

    attempt_max: _Amount
    hourly_max: _Amount


class StandInWeights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of an approved amount counts, by rung; 0: nothing, so there is no bound.

    The full rung stands in for nobody. `batch` counts nothing by default: per million of value its
    actions let through 1.26 (simulated) and 1.05 (public) times the fraud that those of `full` do,
    those of `rules` 4.2 and 1.7 times.
    """

    batch: _Weight = 0.0
    rules: _Weight = 1.0
    tier_default: _Weight = 1.0

    def of(self, rung: RungName) -> float:
        """The weight of a rung."""
        match rung:
            case RungName.FULL:
                return 0.0
            case RungName.BATCH:
                return self.batch
            case RungName.RULES:
                return self.rules
            case RungName.TIER_DEFAULT:
                return self.tier_default
