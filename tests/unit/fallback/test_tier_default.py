from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallback.rung import Action, RungName
from fallback.rungs.tier_default import (
    STANDING_POLICY,
    AmountBand,
    StandingFacts,
    StandingPolicy,
    TierDefaultRung,
)

STANDING = {
    "standard": StandingPolicy(
        amount_high=1_000,
        bands=(
            AmountBand(up_to=500, action=Action.APPROVE),
            AmountBand(up_to=5_000, action=Action.STEP_UP),
            AmountBand(action=Action.DECLINE),
        ),
    )
}
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.complex_numbers(),
    st.decimals(),
    st.lists(st.integers()),
    st.dictionaries(st.text(), st.integers()),
    st.builds(object),
    st.just("standard"),
)


def rung(
    standing: Mapping[str, StandingPolicy] = STANDING,
) -> TierDefaultRung[StandingFacts]:
    return TierDefaultRung(standing=lambda: standing, facts_of=lambda attempt: attempt)


def facts(
    tier: Any = "standard", amount_ref: Any = 100, step_up_available: Any = True
) -> StandingFacts:
    return StandingFacts(tier=tier, amount_ref=amount_ref, step_up_available=step_up_available)


@pytest.mark.parametrize(
    ("amount_ref", "action"),
    [
        (0, Action.APPROVE),
        (500, Action.APPROVE),
        (501, Action.STEP_UP),
        (5_000, Action.STEP_UP),
        (5_001, Action.DECLINE),
        (2**63, Action.DECLINE),
    ],
)
def test_the_amount_band_gives_the_action(amount_ref: int, action: Action) -> None:
    assessment = rung().assess(facts(amount_ref=amount_ref))

    assert assessment.action is action
    assert assessment.score is None
    assert assessment.reason_codes == (STANDING_POLICY,)
    assert assessment.ranking == amount_ref / 1_000


def test_the_record_keeps_tier_and_band() -> None:
    assert rung().assess(facts()).detail == {"tier": "standard", "band_up_to": 500}
    assert rung().name is RungName.TIER_DEFAULT


def test_a_step_up_becomes_a_decline_where_step_up_is_not_available() -> None:
    unavailable = facts(amount_ref=501, step_up_available=False)

    assert rung().assess(unavailable).action is Action.DECLINE


@pytest.mark.parametrize(
    "unreadable",
    [
        {"tier": "platinum"},
        {"tier": None},
        {"tier": ["standard"]},
        {"amount_ref": None},
        {"amount_ref": -1},
        {"amount_ref": math.nan},
        {"amount_ref": math.inf},
        {"amount_ref": "100"},
        {"amount_ref": True},
    ],
)
def test_what_cannot_be_read_gets_the_strict_default(unreadable: dict[str, Any]) -> None:
    available = rung().assess(facts(**unreadable))
    unavailable = rung().assess(facts(**unreadable, step_up_available=False))

    assert available.action is Action.STEP_UP
    assert unavailable.action is Action.DECLINE
    assert "unreadable" in available.detail


def test_a_standing_policy_that_cannot_be_had_gets_the_strict_default() -> None:
    assert rung(standing={}).assess(facts()).action is Action.STEP_UP


@given(tier=JUNK, amount_ref=JUNK, step_up_available=JUNK)
def test_no_facts_make_it_raise_or_approve_without_reading_them(
    tier: object, amount_ref: object, step_up_available: object
) -> None:
    assessment = rung().assess(facts(tier, amount_ref, step_up_available))

    assert isinstance(assessment.action, Action)
    assert math.isfinite(assessment.ranking)
    if assessment.action is Action.APPROVE:
        assert assessment.detail["tier"] == "standard"


@given(attempt=JUNK)
def test_no_attempt_makes_it_raise(attempt: Any) -> None:
    assert rung().assess(attempt).action is Action.DECLINE


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ((), "the last amount band"),
        ((AmountBand(up_to=5, action=Action.APPROVE),), "the last amount band"),
        ((AmountBand(action=Action.APPROVE), AmountBand(action=Action.DECLINE)), "the last"),
        (
            (AmountBand(up_to=0, action=Action.APPROVE), AmountBand(action=Action.DECLINE)),
            "ascend",
        ),
        (
            (
                AmountBand(up_to=5, action=Action.APPROVE),
                AmountBand(up_to=5, action=Action.STEP_UP),
                AmountBand(action=Action.DECLINE),
            ),
            "ascend",
        ),
    ],
)
def test_bands_that_do_not_cover_every_amount_once_are_refused(
    bands: tuple[AmountBand, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        StandingPolicy(bands=bands, amount_high=1)
