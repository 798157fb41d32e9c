"""The client default: what to do when no region answers, from the last signed tier policy.

    band of the amount       approve, step_up or decline, by the merchant's tier
    approve beyond a cap     step_up: the amount of one attempt, or the sum within the hour
    no policy, no rate       step_up
    step_up, not available   decline

The hour is a ring of 12 + 1 buckets of five minutes: what is summed reaches back an hour at least.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from stepdown_client.answer import Action
from stepdown_client.attempt import Attempt
from stepdown_client.clock import Clock
from stepdown_client.routing import Routing, TierStanding

__all__ = ["Standing", "Verdict"]

UNKNOWN_TIER = "unknown"
STANDING_POLICY = "STANDING_POLICY"
CLIENT_ATTEMPT_CAP = "CLIENT_ATTEMPT_CAP"
CLIENT_HOURLY_CAP = "CLIENT_HOURLY_CAP"
CLIENT_WITHOUT_POLICY = "CLIENT_WITHOUT_POLICY"
TEXTS = {
    STANDING_POLICY: "The merchant's standing policy for this amount applies.",
    CLIENT_ATTEMPT_CAP: (
        "No region answered the checkout, and the amount is above what it may approve by itself."
    ),
    CLIENT_HOURLY_CAP: (
        "No region answered the checkout, which has approved enough by itself within the hour."
    ),
    CLIENT_WITHOUT_POLICY: (
        "No region answered the checkout, and it had no policy to stand in with."
    ),
}
_BUCKET_S, _BUCKETS = 300, 13


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the client does by itself: the action, and codes of why."""

    action: Action
    reasons: tuple[str, ...]


class Standing:
    """Decides without a region, within caps that it counts itself."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._approved: dict[str, deque[tuple[int, int]]] = {}

    def decide(self, attempt: Attempt, routing: Routing | None) -> Verdict:
        """Decide one attempt; enters an approval in the hour's sum."""
        verdict = self._by_policy(attempt, routing)
        if verdict.action == "step_up" and not attempt.step_up_available:
            return Verdict(action="decline", reasons=verdict.reasons)
        return verdict

    def _by_policy(self, attempt: Attempt, routing: Routing | None) -> Verdict:
        rate = None if routing is None else routing.rates.get(attempt.amount.currency)
        if routing is None or rate is None:
            return Verdict(action="step_up", reasons=(CLIENT_WITHOUT_POLICY,))
        tier = routing.merchants.get(attempt.merchant.id, UNKNOWN_TIER)
        if tier not in routing.tiers:
            tier = UNKNOWN_TIER
        standing, amount = routing.tiers[tier], int(attempt.amount.value * rate + 0.5)
        action = _band(standing, amount)
        withheld = self._withheld(tier, standing, amount) if action == "approve" else None
        if withheld is not None:
            return Verdict(action="step_up", reasons=(withheld, STANDING_POLICY))
        return Verdict(action=action, reasons=(STANDING_POLICY,))

    def _withheld(self, tier: str, standing: TierStanding, amount: int) -> str | None:
        """Enter an approval if there is room; else the code of what has none."""
        if amount > standing.attempt_max:
            return CLIENT_ATTEMPT_CAP
        bucket = int(self._clock.monotonic()) // _BUCKET_S
        ring = self._approved.setdefault(tier, deque())
        while ring and ring[0][0] <= bucket - _BUCKETS:
            ring.popleft()
        if sum(of for _, of in ring) + amount > standing.hourly_max:
            return CLIENT_HOURLY_CAP
        if ring and ring[-1][0] == bucket:
            ring[-1] = (bucket, ring[-1][1] + amount)
        else:
            ring.append((bucket, amount))
        return None


def _band(standing: TierStanding, amount: int) -> Action:
    for band in standing.bands:
        if band.up_to is None or amount <= band.up_to:
            return band.action
    raise AssertionError("the last band has no upper end")
