"""What decisions cost, measured on attempts of which it is known what they were.

`app.policy` has the costs and chooses actions by their expectation; here the truth takes the place
of the probability. A challenge's outcome stays an expectation: nobody was challenged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from app.features.rings import Int64s
from app.features.spec import Entity
from app.models.training.history import History, ids_of
from app.policy import UNKNOWN_TIER, Policy
from fallback.rung import Action

__all__ = ["APPROVE", "DECLINE", "STEP_UP", "CostTable", "action_number", "cost_table"]

Float64s = npt.NDArray[np.float64]
Actions = npt.NDArray[np.int8]

APPROVE, STEP_UP, DECLINE = 0, 1, 2
NAIVE_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class CostTable:
    """What each action costs at each attempt, reference minor units, and the thresholds.

    Attributes:
        cost: by action number, shape (attempts, 3).
        step_up: probability from which policy steps up, shape (attempts,).
        decline: probability from which policy declines.
        tier: of the merchant, by name.
    """

    cost: Float64s
    step_up: Float64s
    decline: Float64s
    tier: npt.NDArray[np.str_]

    def actions(self, probability: Float64s) -> Actions:
        """What policy does at a probability, shape (attempts,)."""
        stepped = np.where(probability >= self.step_up, STEP_UP, APPROVE)
        return np.where(probability >= self.decline, DECLINE, stepped).astype(np.int8)

    def mean(self, actions: Actions) -> float:
        """Mean cost of an attempt."""
        return float(np.take_along_axis(self.cost, actions[:, None].astype(np.int64), 1).mean())

    def said(self, actions: Actions, probability: Float64s | None) -> dict[str, object]:
        """Costs as `--json` prints them: an attempt's mean, and the shares of the actions.

        Args:
            actions: what the rung does.
            probability: where it has scores, declining above one half is measured beside.
        """
        nothing = np.zeros(len(actions), dtype=np.int8)
        shares = np.bincount(actions, minlength=3) / len(actions)
        found: dict[str, object] = {
            "mean_minor": self.mean(actions),
            "approve_all_minor": self.mean(nothing),
            "actions": dict(zip([one.value for one in Action], shares.tolist(), strict=True)),
        }
        if probability is not None:
            naive = np.where(probability >= NAIVE_THRESHOLD, DECLINE, APPROVE).astype(np.int8)
            found["decline_above_half_minor"] = self.mean(naive)
        found["tiers"] = {
            str(tier): self._of_tier(self.tier == tier, actions) for tier in np.unique(self.tier)
        }
        return found

    def _of_tier(self, rows: npt.NDArray[np.bool_], actions: Actions) -> dict[str, float | int]:
        of = self.cost[rows]
        taken = np.take_along_axis(of, actions[rows, None].astype(np.int64), 1)
        return {
            "attempts": len(of),
            "mean_minor": float(taken.mean()),
            "approve_all_minor": float(of[:, APPROVE].mean()),
            "step_up_threshold_median": float(np.median(self.step_up[rows])),
            "decline_threshold_median": float(np.median(self.decline[rows])),
        }


def action_number(action: Action) -> int:
    """The number of an action here."""
    return (Action.APPROVE, Action.STEP_UP, Action.DECLINE).index(action)


def cost_table(history: History, rows: Int64s, policy: Policy) -> CostTable:
    """Costs and thresholds of some attempts under a policy."""
    merchants = ids_of(history, Entity.MERCHANT)
    known = [history.merchants.get(name) for name in merchants.names]
    tiers = np.array([*(UNKNOWN_TIER if m is None else m.tier for m in known), UNKNOWN_TIER])
    tier = tiers[merchants.code[rows]]
    amount, fraud = history.amount_ref[rows], history.fraud[rows]
    offered = _flag(history, "step_up_available", rows, absent=True)
    shifted = _flag(history, "transaction__three_ds__liability_shift", rows, absent=False)
    cost = np.empty((len(rows), 3))
    step_up, decline = np.empty(len(rows)), np.empty(len(rows))
    for name in np.unique(tier):
        of = np.flatnonzero(tier == name)
        costs = policy.tier(str(name)).costs
        loss = np.where(shifted[of], costs.liability_residual, 1.0) * (amount[of] + costs.fee)
        insult = costs.margin_rate * amount[of] + costs.insult_cost
        bad, good = fraud[of] * loss, ~fraud[of] * insult
        challenged = costs.abandonment * good + costs.challenge_fraud_pass * bad
        cost[of] = np.stack([bad, challenged + costs.challenge_cost, good], axis=1)
        thresholds = [
            costs.thresholds(one, step_up_available=can, liability_shift=shift)
            for one, can, shift in zip(
                amount[of].tolist(), offered[of].tolist(), shifted[of].tolist(), strict=True
            )
        ]
        step_up[of] = [one.step_up for one in thresholds]
        decline[of] = [one.decline for one in thresholds]
    return CostTable(cost=cost, step_up=step_up, decline=decline, tier=tier)


def _flag(history: History, column: str, rows: Int64s, *, absent: bool) -> npt.NDArray[np.bool_]:
    if column not in history.attempts.column_names:
        return np.full(len(rows), absent)
    filled = pc.fill_null(history.attempts[column].combine_chunks(), absent)
    values: npt.NDArray[np.bool_] = filled.to_numpy(zero_copy_only=False)[rows].astype(bool)
    return values
