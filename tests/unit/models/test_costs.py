"""What decisions cost where it is known what the attempts were."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from app.features.directory import MerchantEntry
from app.models.training.costs import APPROVE, DECLINE, STEP_UP, cost_table
from app.models.training.history import NEVER_MS, History
from app.policy import DEFAULT_POLICY, load_policy

POLICY = load_policy(DEFAULT_POLICY)
AMOUNT = 10_000


def history(*, shifted=None, offered=None):
    """A fraud and a good attempt at a standard merchant, and both at one that nobody knows."""
    columns = {"merchant__id": ["m-1", "m-1", "m-2", "m-2"]}
    if shifted is not None:
        columns["transaction__three_ds__liability_shift"] = shifted
    if offered is not None:
        columns["step_up_available"] = offered
    return History(
        attempts=pa.table(columns),
        received_ms=np.arange(4),
        amount_ref=np.full(4, AMOUNT),
        fraud=np.array([True, False, True, False]),
        labelled_ms=np.full(4, NEVER_MS),
        merchants={"m-1": MerchantEntry(tier="standard", category="5411", country="US")},
        provenance="simulated",
    )


def table(**columns):
    return cost_table(history(**columns), np.arange(4), POLICY)


def test_each_action_costs_what_the_tier_says():
    costs = POLICY.tier("standard").costs
    loss = AMOUNT + costs.fee
    insult = costs.margin_rate * AMOUNT + costs.insult_cost
    fraud, good = table().cost[:2]
    challenged = costs.challenge_fraud_pass * loss + costs.challenge_cost
    assert fraud.tolist() == pytest.approx([loss, challenged, 0])
    assert good.tolist() == pytest.approx(
        [0, costs.abandonment * insult + costs.challenge_cost, insult]
    )


def test_each_action_lets_fraud_through_and_stops_good_payments_as_the_tier_says():
    costs, made = POLICY.tier("standard").costs, table()
    passed, given_up = costs.challenge_fraud_pass * AMOUNT, costs.abandonment * AMOUNT
    assert made.through[0].tolist() == pytest.approx([AMOUNT, passed, 0])
    assert made.through[1].tolist() == [0, 0, 0]
    assert made.stopped[0].tolist() == [0, 0, 0]
    assert made.stopped[1].tolist() == pytest.approx([0, given_up, AMOUNT])
    assert made.amount.tolist() == [AMOUNT] * 4


def test_fraud_is_let_through_whoever_bears_it():
    assert table(shifted=[True] * 4).through.tolist() == table().through.tolist()


def test_a_liability_shift_leaves_the_residual():
    shifted = table(shifted=[True, None, None, None]).cost[0, APPROVE]
    residual = POLICY.tier("standard").costs.liability_residual
    assert shifted == pytest.approx(residual * table().cost[0, APPROVE])


def test_merchants_that_nobody_knows_have_the_unknown_tier():
    assert table().tier.tolist() == ["standard", "standard", "unknown", "unknown"]


def test_actions_are_those_of_the_policy():
    costs = table()
    for probability in (0.0, 0.03, 0.2, 0.5, 0.9, 1.0):
        action, _ = POLICY.decide(
            probability,
            amount_ref=AMOUNT,
            tier="standard",
            step_up_available=True,
            liability_shift=False,
        )
        number = costs.actions(np.full(4, probability))[0]
        assert ["approve", "step_up", "decline"][number] == action


def test_where_no_challenge_is_offered_none_is_made():
    costs = table(offered=[False] * 4)
    for probability in np.linspace(0, 1, 21):
        assert STEP_UP not in costs.actions(np.full(4, probability))


def test_the_mean_and_the_shares_of_actions_are_said_beside_approving_all():
    costs = table()
    actions = np.array([DECLINE, APPROVE, APPROVE, APPROVE], dtype=np.int8)
    said = costs.said(actions, np.array([0.9, 0.1, 0.6, 0.7]))
    assert said["mean_minor"] == pytest.approx(costs.cost[2, APPROVE] / 4)
    assert said["approve_all_minor"] == pytest.approx(costs.cost[:, APPROVE].mean())
    assert said["decline_above_half_minor"] == pytest.approx(costs.cost[3, DECLINE] / 4)
    assert said["actions"] == {"approve": 0.75, "step_up": 0.0, "decline": 0.25}
    assert set(said["tiers"]) == {"standard", "unknown"}
