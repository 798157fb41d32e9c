"""A rule set: conditions with an action each, and what the ones that fire say together.

The rules that fire are combined by three lines, and by nothing else:

- the strictest action wins: `decline` over `step_up` over `approve`;
- an `approve` rule is an allow rule: it lifts every `step_up` that fired, and never a `decline`;
- where no rule fires, the attempt is approved.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fallback.predicate import Inputs, Predicate, Verdict
from fallback.rung import Action

__all__ = ["AMOUNT", "AMOUNT_HIGH", "Fired", "Rule", "RuleSet"]

AMOUNT: Final = "amount.ref"
"""Input: the amount in minor units of the reference currency."""

AMOUNT_HIGH: Final = "tier.amount_high"
"""Input: from where on an amount is high for the merchant's tier, in the same unit."""

_BELOW_ONE: Final = 1.0 - 2.0**-20  # keeps the tie-break below 1 where the division rounds up to it


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule.

    Attributes:
        id: unique in its rule set.
        when: the condition.
        then: the action it asks for; `approve` makes it an allow rule.
        reason: the reason code of the answer.
        weight: how much suspicion it adds to the ranking (an allow rule: takes away); >= 0.
    """

    id: str
    when: Predicate
    then: Action
    reason: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise ValueError(f"the weight of rule {self.id!r} must be finite and not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """What a rule set says of one attempt.

    Attributes:
        action: the rule set's action.
        reasons: reason codes, each once: those of rules that asked for `action` first, heavier
            rules before lighter ones, then file order.
        ranking: fired weights (allow rules count negative) plus the amount's share
            `amount / (amount + amount_high)`, a tie-break in [0, 1).
        rules: ids of the rules that fired, in the order of `reasons`.
        undefined: ids of the rules that had no value, such as a division by zero; to be counted.
    """

    action: Action
    reasons: tuple[str, ...]
    ranking: float
    rules: tuple[str, ...]
    undefined: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """Rules of one version, with the named lists they were compiled against."""

    version: int
    rules: Sequence[Rule]
    lists: Mapping[str, frozenset[str]]

    def evaluate(self, inputs: Inputs) -> Fired:
        """Evaluate every rule against one attempt; total, a microsecond or two a rule."""
        fired: list[Rule] = []
        undefined: list[str] = []
        for rule in self.rules:
            verdict = rule.when.evaluate(inputs)
            if verdict is Verdict.HOLDS:
                fired.append(rule)
            elif verdict is Verdict.UNDEFINED:
                undefined.append(rule.id)
        action = _combined({rule.then for rule in fired})
        fired.sort(key=lambda rule: (rule.then is not action, -rule.weight))
        suspicion = sum(_signed_weight(rule) for rule in fired)
        return Fired(
            action=action,
            reasons=tuple(dict.fromkeys(rule.reason for rule in fired)),
            ranking=suspicion + _amount_share(inputs),
            rules=tuple(rule.id for rule in fired),
            undefined=tuple(undefined),
        )


def _combined(actions: set[Action]) -> Action:
    if Action.DECLINE in actions:
        return Action.DECLINE
    if Action.STEP_UP in actions and Action.APPROVE not in actions:
        return Action.STEP_UP
    return Action.APPROVE


def _signed_weight(rule: Rule) -> float:
    return -rule.weight if rule.then is Action.APPROVE else rule.weight


def _amount_share(inputs: Inputs) -> float:
    """The amount against the tier's high amount, squashed to [0, 1); 0 where either is missing."""
    amount, high = inputs.get(AMOUNT), inputs.get(AMOUNT_HIGH)
    if not (isinstance(amount, int | float) and isinstance(high, int | float)):
        return 0.0
    if not (0 <= amount < math.inf and 0 < high < math.inf):
        return 0.0
    return min(amount / (amount + high), _BELOW_ONE)
