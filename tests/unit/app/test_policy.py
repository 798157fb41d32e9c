from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.budget import StandInBudget
from app.documents import DocumentError
from app.policy import (
    DEFAULT_POLICY,
    UNKNOWN_TIER,
    Costs,
    Overrides,
    Policy,
    load_policy,
)
from fallback.rung import Action, RungName

TIER = """
    amount_high: 50000
    costs: {fee: 2500, margin_rate: 0.15, insult_cost: 1500, abandonment: 0.15,
            challenge_fraud_pass: 0.12, challenge_cost: 10, liability_residual: 0.05}
    standing: [{up_to: 7500, action: approve}, {action: step_up}]
"""
COSTS = st.builds(
    Costs,
    fee=st.floats(0, 10_000),
    margin_rate=st.floats(0, 1),
    insult_cost=st.floats(1, 10_000),
    abandonment=st.floats(0.001, 0.999),
    challenge_fraud_pass=st.floats(0, 1),
    challenge_cost=st.floats(0, 5_000),
    liability_residual=st.floats(0, 1),
)


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return load_policy(write(tmp_path, f"version: 3\ntiers:\n  standard:{TIER}\n  unknown:{TIER}"))


def write(folder: Path, text: str) -> Path:
    path = folder / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def expected_costs(
    costs: Costs, p: float, amount: int, *, step_up_available: bool, liability_shift: bool
) -> dict[Action, float]:
    fraud = (amount + costs.fee) * (costs.liability_residual if liability_shift else 1.0)
    insult = costs.margin_rate * amount + costs.insult_cost
    result = {Action.APPROVE: p * fraud, Action.DECLINE: (1 - p) * insult}
    if step_up_available:
        result[Action.STEP_UP] = (
            (1 - p) * costs.abandonment * insult
            + p * costs.challenge_fraud_pass * fraud
            + costs.challenge_cost
        )
    return result


@given(
    costs=COSTS,
    probability=st.floats(0, 1),
    amount=st.integers(0, 10_000_000),
    step_up_available=st.booleans(),
    liability_shift=st.booleans(),
)
def test_the_action_from_the_thresholds_is_the_cheapest(
    costs: Costs,
    probability: float,
    amount: int,
    step_up_available: bool,
    liability_shift: bool,
) -> None:
    case = {"step_up_available": step_up_available, "liability_shift": liability_shift}

    thresholds = costs.thresholds(amount, **case)
    by_action = expected_costs(costs, probability, amount, **case)

    chosen = by_action[thresholds.action(probability)]
    assert math.isclose(chosen, min(by_action.values()), rel_tol=1e-9, abs_tol=1e-6)
    assert 0 < thresholds.step_up <= thresholds.decline <= 1


def test_a_challenge_that_costs_more_than_it_saves_is_never_chosen() -> None:
    costs = Costs(
        fee=0,
        margin_rate=0,
        insult_cost=100,
        abandonment=0.5,
        challenge_fraud_pass=0.9,
        challenge_cost=1_000,
        liability_residual=0,
    )

    thresholds = costs.thresholds(300, step_up_available=True, liability_shift=False)

    assert thresholds.step_up == thresholds.decline == 0.25


def test_a_riskier_attempt_is_stepped_up_and_then_declined(policy: Policy) -> None:
    attempt: dict[str, Any] = {
        "amount_ref": 10_000,
        "tier": "standard",
        "step_up_available": True,
        "liability_shift": False,
    }

    actions = [policy.decide(p, **attempt)[0] for p in (0.0, 0.03, 0.2, 0.7, 1.0)]

    assert actions == [
        Action.APPROVE,
        Action.APPROVE,
        Action.STEP_UP,
        Action.DECLINE,
        Action.DECLINE,
    ]


def test_without_step_up_there_is_one_threshold(policy: Policy) -> None:
    action, thresholds = policy.decide(
        0.15, amount_ref=10_000, tier="standard", step_up_available=False, liability_shift=False
    )

    assert thresholds.step_up == thresholds.decline == pytest.approx(3_000 / 15_500)
    assert action is Action.APPROVE


def test_a_liability_shift_raises_both_thresholds(policy: Policy) -> None:
    shifted, borne = (
        policy.decide(
            0.0, amount_ref=10_000, tier="standard", step_up_available=True, liability_shift=shift
        )[1]
        for shift in (True, False)
    )

    assert shifted.step_up > borne.step_up
    assert shifted.decline > borne.decline


@pytest.mark.parametrize("probability", [math.nan, -0.1, 1.1])
def test_what_is_no_probability_is_refused_rather_than_approved(
    policy: Policy, probability: float
) -> None:
    with pytest.raises(ValueError, match="probability"):
        policy.decide(
            probability,
            amount_ref=1,
            tier="standard",
            step_up_available=True,
            liability_shift=False,
        )


@pytest.mark.parametrize(
    ("overrides", "step_up_available", "expected"),
    [
        (Overrides(step_up=0.1, decline=0.2), True, (0.1, 0.2)),
        (Overrides(step_up=0.3, decline=0.2), True, (0.2, 0.2)),
        (Overrides(step_up=0.1, decline=0.2), False, (0.2, 0.2)),
        (Overrides(decline=0.01), True, (0.01, 0.01)),
    ],
)
def test_a_merchant_may_override_thresholds(
    policy: Policy,
    overrides: Overrides,
    step_up_available: bool,
    expected: tuple[float, float],
) -> None:
    _, thresholds = policy.decide(
        0.5,
        amount_ref=10_000,
        tier="standard",
        step_up_available=step_up_available,
        liability_shift=False,
        overrides=overrides,
    )

    assert (thresholds.step_up, thresholds.decline) == expected


def test_overrides_leave_alone_what_they_do_not_set(policy: Policy) -> None:
    attempt: dict[str, Any] = {
        "amount_ref": 10_000,
        "tier": "standard",
        "step_up_available": True,
        "liability_shift": False,
    }
    _, plain = policy.decide(0.5, **attempt)
    _, overridden = policy.decide(0.5, **attempt, overrides=Overrides(step_up=0.1))

    assert (overridden.step_up, overridden.decline) == (0.1, plain.decline)


def test_an_override_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="threshold"):
        Overrides(decline=1.5)


def test_a_tier_without_a_policy_gets_the_unknown_one(policy: Policy) -> None:
    assert policy.tier("platinum") is policy.tiers[UNKNOWN_TIER]


def test_the_standing_policies_go_with_the_tiers(policy: Policy) -> None:
    assert set(policy.standing) == {"standard", "unknown"}
    assert policy.standing["standard"].band_of(7_501).action is Action.STEP_UP


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: [", "not YAML"),
        ("version: 1", "missing required field `tiers`"),
        (f"version: 1\ntiers:\n  standard:{TIER}", "there must be a tier 'unknown'"),
        ("version: 1\ntiers: {unknown: {}}", "tier 'unknown': Object missing required field"),
        (
            f"version: 1\ntiers:\n  unknown:{TIER.replace('fee: 2500', 'fee: .inf')}",
            "tier 'unknown': Expected `float` <=",
        ),
        (
            f"version: 1\ntiers:\n  unknown:{TIER.replace('fee', 'charge')}",
            "tier 'unknown': Object contains unknown field `charge`",
        ),
        (
            f"version: 1\ntiers:\n  unknown:{TIER.replace(', {action: step_up}', '')}",
            "tier 'unknown': the last amount band",
        ),
        (
            f"version: 1\ntiers:\n  unknown:{TIER}    stand_in: {{budget_hourly: -1}}",
            "tier 'unknown': Expected `int` >= 0",
        ),
    ],
)
def test_a_mistake_is_refused_in_one_sentence_that_names_the_tier(
    tmp_path: Path, text: str, message: str
) -> None:
    path = write(tmp_path, text)

    with pytest.raises(DocumentError) as caught:
        load_policy(path)

    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="cannot be read"):
        load_policy(tmp_path / "none.yaml")


def test_a_policy_says_what_lower_rungs_may_approve_and_how_much_of_it_counts(
    tmp_path: Path,
) -> None:
    stand_in = "    stand_in: {budget_hourly: 9000, instrument_hourly: 300}\n"
    text = f"version: 1\nstand_in: {{batch: 0.5}}\ntiers:\n  unknown:{TIER}{stand_in}"
    policy = load_policy(write(tmp_path, text))
    assert policy.tier("unknown").stand_in == StandInBudget(
        budget_hourly=9_000, instrument_hourly=300
    )
    weights = [policy.weights.of(rung) for rung in RungName]
    assert weights == [0.0, 0.5, 1.0, 1.0]


def test_a_policy_of_before_there_were_budgets_has_none(policy: Policy) -> None:
    assert policy.tier("standard").stand_in is None


def test_every_tier_of_the_default_policy_has_a_budget() -> None:
    assert all(tier.stand_in for tier in load_policy(DEFAULT_POLICY).tiers.values())


def test_the_default_policy_trusts_an_established_merchant_more() -> None:
    policy = load_policy(DEFAULT_POLICY)
    assert set(policy.tiers) == {"strategic", "established", "standard", "new", "unknown"}

    declines = [
        policy.decide(
            0.0, amount_ref=10_000, tier=tier, step_up_available=True, liability_shift=False
        )[1].decline
        for tier in ("strategic", "established", "standard", "new", "unknown")
    ]

    assert declines == sorted(declines, reverse=True)
