"""What a rung of the ladder is, and what it gives."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeVar

from fallback.deadline import Deadline

__all__ = ["Action", "Assessment", "Reason", "Rung", "RungName"]


class RungName(enum.StrEnum):
    """The four rungs a region answers from, highest first. Final: part of the wire."""

    FULL = "full"
    BATCH = "batch"
    RULES = "rules"
    TIER_DEFAULT = "tier_default"

    # An enumeration's own hash is a call into Python, at every look-up.
    __hash__ = str.__hash__


class Action(enum.StrEnum):
    """What the checkout does with the payment attempt. Final: part of the wire."""

    APPROVE = "approve"
    STEP_UP = "step_up"
    DECLINE = "decline"

    # An enumeration's own hash is a call into Python, at every look-up.
    __hash__ = str.__hash__


class Reason(enum.StrEnum):
    """Why a rung was not taken. Final: part of the wire (`not_higher`)."""

    BREAKER_OPEN = "breaker_open"
    TIMEOUT = "timeout"
    DEADLINE = "deadline"
    PRESSURE = "pressure"
    FEATURES_STALE = "features_stale"
    SOURCE_UNAVAILABLE = "source_unavailable"
    MODEL_UNAVAILABLE = "model_unavailable"
    SNAPSHOT_UNAVAILABLE = "snapshot_unavailable"
    RULES_UNAVAILABLE = "rules_unavailable"
    DISABLED = "disabled"
    BUG = "bug"

    # An enumeration's own hash is a call into Python, at every look-up.
    __hash__ = str.__hash__


class Assessment(NamedTuple):
    """What a rung says of one attempt, before policy.

    Attributes:
        score: calibrated probability of fraud in [0, 1]; None on the two lower rungs.
        action: set where the rung itself decides (rules, tier default); None where policy
            decides from the score.
        ranking: a number that orders attempts by suspicion on this rung (higher is worse);
            used to evaluate the rung, never shown to a caller.
        reason_codes: the rung's reasons, strongest first.
        detail: what the decision record keeps of this rung (inputs as read, positions, versions).
    """

    score: float | None
    action: Action | None
    ranking: float
    reason_codes: Sequence[str] = ()
    detail: Mapping[str, object] = MappingProxyType({})


AttemptT_contra = TypeVar("AttemptT_contra", contravariant=True)


class Rung(Protocol[AttemptT_contra]):
    """One way to assess attempts. What it cannot assess is a `fallback.errors.RungError`."""

    @property
    def name(self) -> RungName:
        """The rung's name on the wire."""
        ...

    async def assess(
        self, attempts: Sequence[AttemptT_contra], deadline: Deadline
    ) -> Sequence[Assessment | Exception]:
        """Assess attempts within the deadline: for each, in order, what it says or why it cannot.

        Raises:
            Exception: why it cannot assess any of them.
        """
        ...
