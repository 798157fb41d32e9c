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

__all__ = [
    "APPROVE",
    "DECLINE",
    "STEP_UP",
    "Actions",
    "CostTable",
    "action_number",
    "cost_table",
    "taken",
]

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
        amount: attempted, shape (attempts,).
        through: fraudulent value that each action lets through, shape (attempts, 3). Who bears it
            is no question here: a liability shift changes the cost alone.
        stopped: good value that each action stops, shape (attempts, 3).
    """

    cost: Float64s
    step_up: Float64s
    decline: Float64s
    tier: npt.NDArray[np.str_]
    amount: Float64s
    through: Float64s
    stopped: Float64s

    def actions(self, probability: Float64s) -> Actions:
        """What policy does at a probability, shape (attempts,)."""
        stepped = np.where(probability >= self.step_up, STEP_UP, APPROVE)
        return np.where(probability >= self.decline, DECLINE, stepped).astype(np.int8)

    def mean(self, actions: Actions) -> float:
        """Mean cost of an attempt."""
        return float(taken(self.cost, actions).mean())

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
        return {
            "attempts": len(of),
            "mean_minor": float(taken(of, actions[rows]).mean()),
            "approve_all_minor": float(of[:, APPROVE].mean()),
            "step_up_threshold_median": float(np.median(self.step_up[rows])),
            "decline_threshold_median": float(np.median(self.decline[rows])),
        }


def taken(by_action: Float64s, actions: Actions) -> Float64s:
    """Of what each action would give, shape (attempts, 3), what the one taken gives."""
    return np.take_along_axis(by_action, actions[:, None].astype(np.int64), 1)[:, 0]


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
    cost, through, stopped = (np.empty((len(rows), 3)) for _ in range(3))
    step_up, decline = np.empty(len(rows)), np.empty(len(rows))
    for name in np.unique(tier):
        of = np.flatnonzero(tier == name)
        costs = policy.tier(str(name)).costs
        loss = np.where(shifted[of], costs.liability_residual, 1.0) * (amount[of] + costs.fee)
        insult = costs.margin_rate * amount[of] + costs.insult_cost
        bad, good = fraud[of] * loss, ~fraud[of] * insult
        challenged = costs.abandonment * good + costs.challenge_fraud_pass * bad
        cost[of] = np.stack([bad, challenged + costs.challenge_cost, good], axis=1)
        # Of those challenged, a share of the fraud passes and a share of the good gives up.
        through[of] = np.outer(fraud[of] * amount[of], (1.0, costs.challenge_fraud_pass, 0.0))
        stopped[of] = np.outer(~fraud[of] * amount[of], (0.0, costs.abandonment, 1.0))
        thresholds = [
            costs.thresholds(one, step_up_available=can, liability_shift=shift)
            for one, can, shift in zip(
                amount[of].tolist(), offered[of].tolist(), shifted[of].tolist(), strict=True
            )
        ]
        step_up[of] = [one.step_up for one in thresholds]
        decline[of] = [one.decline for one in thresholds]
    return CostTable(
        cost=cost,
        step_up=step_up,
        decline=decline,
        tier=tier,
        amount=amount.astype(np.float64),
        through=through,
        stopped=stopped,
    )


def _flag(history: History, column: str, rows: Int64s, *, absent: bool) -> npt.NDArray[np.bool_]:
    if column not in history.attempts.column_names:
        return np.full(len(rows), absent)
    filled = pc.fill_null(history.attempts[column].combine_chunks(), absent)
    values: npt.NDArray[np.bool_] = filled.to_numpy(zero_copy_only=False)[rows].astype(bool)
    return values
