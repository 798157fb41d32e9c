"""Replay of an approval that was withheld: the budget's word is recorded, all else is computed."""

from __future__ import annotations

import json
import shutil

import msgspec
import pytest

from app.policy import DEFAULT_POLICY
from app.record.decision import DecisionRecord
from app.record.reasons import STAND_IN_BUDGET
from app.record.replay import Replayer
from app.rulebook import DEFAULT_RULES
from fallback.rungs.tier_default import STANDING_POLICY


def recorded(amount=1_500, *, step_up_available=True, **facts):
    request = {
        "attempt_id": "a1",
        "amount": {"value": amount, "currency": "USD"},
        "merchant": {"id": "mer_1"},
        "instrument": {"token": "tok_12345"},
        "step_up_available": step_up_available,
    }
    return DecisionRecord(
        **{
            "tenant": "acme",
            "decision_id": "d1",
            "attempt_id": "a1",
            "received_ms": 0,
            "as_of_ms": 0,
            "request": json.dumps(request).encode(),
            "amount_ref": amount,
            "rates": "r1",
            "entities": {},
            "bits": {},
            "merchant": {"tier": "unknown"},
            "action": "step_up",
            "ranking": amount / 10_000,
            "rung": "tier_default",
            "not_higher": {},
            "reasons": [STAND_IN_BUDGET, STANDING_POLICY],
            "withheld": STAND_IN_BUDGET,
            "versions": {"policy": "p1", "rules": "u1"},
            "deadline_ms": 80,
            "took_ms": 1.0,
            **facts,
        }
    )


@pytest.fixture
def replayer(tmp_path):
    for kind, identity, content in (
        ("policy", "p1", DEFAULT_POLICY),
        ("rules", "u1", DEFAULT_RULES),
    ):
        folder = tmp_path / "archive" / kind / identity
        (folder / "lists").mkdir(parents=True)
        shutil.copy(content, folder / f"{kind}.yaml")
    (tmp_path / "archive" / "rules" / "u1" / "lists" / "hot_merchants.txt").touch()
    return Replayer(tmp_path)


@pytest.mark.parametrize(("available", "action"), [(True, "step_up"), (False, "decline")])
def test_a_withheld_approval_replays_to_the_same_action(replayer, available, action):
    record = recorded(step_up_available=available, action=action)
    assert replayer.replay(record).differences == ()


def test_a_withheld_approval_of_the_rules_replays_with_its_reason_first(replayer):
    record = recorded(rung="rules", ranking=3 / 23, reasons=[STAND_IN_BUDGET])
    assert replayer.replay(record).differences == ()
    bare = msgspec.structs.replace(record, reasons=[])
    assert any(found.startswith("reasons") for found in replayer.replay(bare).differences)


def test_an_approval_that_is_said_to_be_withheld_and_was_given_is_a_difference(replayer):
    assert replayer.replay(recorded(action="approve")).differences == (
        "action: approve -> step_up",
    )


def test_what_was_never_an_approval_cannot_have_been_withheld(replayer):
    found = replayer.replay(recorded(amount=40_000)).differences
    assert found == ("action to withhold: approve -> step_up",)


def test_a_step_up_for_no_recorded_reason_is_a_difference(replayer):
    found = replayer.replay(recorded(withheld=None)).differences
    assert found == ("action: step_up -> approve",)
