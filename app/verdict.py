"""From a rung's assessment to the action: the same for a decision and for its replay."""

from __future__ import annotations

from app.candidate import Candidate
from app.policy import Policy, Thresholds
from app.rule_inputs import liability_shift
from fallback.rung import Action, Assessment
from fallback.rungs.tier_default import StandingFacts

__all__ = ["act", "instead_of_approval", "priced", "standing_facts"]


def act(
    candidate: Candidate, assessment: Assessment, policy: Policy
) -> tuple[Action, Thresholds | None]:
    """What to do: from the score by policy, or as the lower rungs say.

    Returns:
        The action, and the thresholds where a score was weighed.
    """
    if assessment.score is None:
        assert assessment.action is not None
        return _possible(assessment.action, candidate), None
    return policy.decide(
        assessment.score,
        amount_ref=priced(candidate, policy),
        tier=candidate.tier,
        step_up_available=candidate.attempt.step_up_available,
        liability_shift=liability_shift(candidate),
        overrides=None if candidate.merchant is None else candidate.merchant.thresholds,
    )


def instead_of_approval(candidate: Candidate) -> Action:
    """What is done where a rung approves and may not: see `app/stand_in.py`."""
    return _possible(Action.STEP_UP, candidate)


def priced(candidate: Candidate, policy: Policy) -> int:
    """The amount that policy weighs; a high one where there is no rate for the currency."""
    if candidate.amount_ref is None:
        return policy.tier(candidate.tier).amount_high
    return candidate.amount_ref


def standing_facts(candidate: Candidate) -> StandingFacts:
    """What the last rung reads of a candidate."""
    return StandingFacts(
        tier=candidate.tier,
        amount_ref=float("nan") if candidate.amount_ref is None else candidate.amount_ref,
        step_up_available=candidate.attempt.step_up_available,
    )


def _possible(action: Action, candidate: Candidate) -> Action:
    """A step-up that the checkout cannot do is a decline."""
    if action is Action.STEP_UP and not candidate.attempt.step_up_available:
        return Action.DECLINE
    return action
