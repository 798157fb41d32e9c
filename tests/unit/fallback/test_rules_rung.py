from __future__ import annotations

import pytest

from fallback.clock import ManualClock
from fallback.deadline import Deadline
from fallback.errors import RulesUnavailable
from fallback.predicate import Inputs, InputType, compile_expression
from fallback.rules import Rule, RuleSet
from fallback.rung import Action, Assessment, RungName
from fallback.rungs.rules import RulesRung

INPUTS = {
    "amount.ref": InputType.NUMBER,
    "tier.amount_high": InputType.NUMBER,
    "flag": InputType.BOOLEAN,
}
AMOUNTS: Inputs = {"amount.ref": 300, "tier.amount_high": 100}
DEADLINE = Deadline.after(budget_ms=80, clock=ManualClock())


def rule(id: str, then: Action, when: str = "true", weight: float = 1.0) -> Rule:
    predicate = compile_expression(when, inputs=INPUTS, lists={})
    return Rule(id=id, when=predicate, then=then, reason=id.upper(), weight=weight)


def rule_set(*rules: Rule) -> RuleSet:
    return RuleSet(version=7, rules=rules, lists={})


def test_where_no_rule_fires_the_attempt_is_approved() -> None:
    fired = rule_set(rule("a", Action.DECLINE, "amount.ref > 1000")).evaluate(AMOUNTS)

    assert fired.action is Action.APPROVE
    assert fired.reasons == fired.rules == ()


def test_the_strictest_action_wins_whatever_the_order() -> None:
    rules = [rule("s", Action.STEP_UP), rule("d", Action.DECLINE), rule("t", Action.STEP_UP)]

    for order in (rules, rules[::-1]):
        assert rule_set(*order).evaluate(AMOUNTS).action is Action.DECLINE


def test_an_allow_rule_lifts_a_step_up() -> None:
    fired = rule_set(rule("s", Action.STEP_UP), rule("allow", Action.APPROVE)).evaluate(AMOUNTS)

    assert fired.action is Action.APPROVE
    assert fired.reasons == ("ALLOW", "S")


def test_an_allow_rule_never_lifts_a_decline() -> None:
    fired = rule_set(rule("d", Action.DECLINE), rule("allow", Action.APPROVE)).evaluate(AMOUNTS)

    assert fired.action is Action.DECLINE


def test_reasons_come_strictest_then_heaviest_then_in_file_order_and_once() -> None:
    fired = rule_set(
        rule("s", Action.STEP_UP, weight=9),
        rule("light", Action.DECLINE, weight=1),
        rule("heavy", Action.DECLINE, weight=2),
        rule("light_too", Action.DECLINE, weight=1),
        rule("heavy", Action.DECLINE, weight=2),
    ).evaluate(AMOUNTS)

    assert fired.reasons == ("HEAVY", "LIGHT", "LIGHT_TOO", "S")


def test_the_ranking_is_the_weights_and_the_amount_as_a_tie_break() -> None:
    rules = rule_set(
        rule("s", Action.STEP_UP, weight=2),
        rule("d", Action.DECLINE, weight=3),
        rule("allow", Action.APPROVE, weight=0.5),
        rule("silent", Action.DECLINE, "false", weight=100),
    )

    assert rules.evaluate(AMOUNTS).ranking == pytest.approx(4.5 + 300 / 400)


@pytest.mark.parametrize(
    ("amount", "high", "share"),
    [(None, 100, 0), (300, None, 0), (300, 0, 0), (-1, 100, 0), (float("nan"), 100, 0)],
)
def test_the_tie_break_is_nil_where_an_amount_is_unusable(
    amount: float | None, high: float | None, share: float
) -> None:
    fired = rule_set().evaluate({"amount.ref": amount, "tier.amount_high": high})

    assert fired.ranking == share


def test_the_tie_break_stays_below_the_next_weight() -> None:
    assert rule_set().evaluate({"amount.ref": 2**63, "tier.amount_high": 1}).ranking < 1


def test_a_rule_without_a_value_does_not_apply_and_is_named() -> None:
    fired = rule_set(
        rule("broken", Action.DECLINE, "amount.ref / (tier.amount_high - 100) > 1"),
        rule("absent", Action.DECLINE, "flag"),
    ).evaluate(AMOUNTS)

    assert fired.action is Action.APPROVE
    assert fired.undefined == ("broken",)


def test_a_weight_below_nil_is_refused() -> None:
    with pytest.raises(ValueError, match="not negative"):
        rule("a", Action.DECLINE, weight=-1)


async def test_the_rung_gives_the_action_and_keeps_what_the_record_needs() -> None:
    rules = rule_set(rule("d", Action.DECLINE, "amount.ref > 100"))
    rung = RulesRung[Inputs](rules=lambda: rules, inputs_of=lambda attempt: attempt)

    (assessment,) = await rung.assess([AMOUNTS], DEADLINE)

    assert isinstance(assessment, Assessment)
    assert rung.name is RungName.RULES
    assert assessment.score is None
    assert assessment.action is Action.DECLINE
    assert assessment.reason_codes == ("D",)
    assert assessment.detail == {"rules_version": 7, "rules": ("d",), "rules_undefined": ()}


async def test_the_rung_follows_a_reload() -> None:
    current: list[RuleSet | None] = [None]
    rung = RulesRung[Inputs](rules=lambda: current[0], inputs_of=lambda attempt: attempt)
    with pytest.raises(RulesUnavailable):
        await rung.assess([AMOUNTS], DEADLINE)

    current[0] = rule_set(rule("s", Action.STEP_UP))

    (assessment,) = await rung.assess([AMOUNTS], DEADLINE)
    assert isinstance(assessment, Assessment)
    assert assessment.action is Action.STEP_UP


async def test_an_attempt_that_spoils_the_rules_fails_alone_and_in_its_place() -> None:
    rules = rule_set(rule("d", Action.DECLINE, "amount.ref > 100"))
    spoilt = KeyError("amount.ref")

    def inputs_of(attempt: Inputs) -> Inputs:
        if not attempt:
            raise spoilt
        return attempt

    rung = RulesRung[Inputs](rules=lambda: rules, inputs_of=inputs_of)
    small: Inputs = {"amount.ref": 30, "tier.amount_high": 100}

    first, second, third = await rung.assess([AMOUNTS, {}, small], DEADLINE)

    assert second is spoilt
    assert isinstance(first, Assessment)
    assert isinstance(third, Assessment)
    assert (first.action, third.action) == (Action.DECLINE, Action.APPROVE)
