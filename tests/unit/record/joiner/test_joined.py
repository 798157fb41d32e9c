"""The joiner over real journals: what is joined, and what is passed over."""

from __future__ import annotations

from app.record.attempt import attempt_of
from app.record.frames import Kind
from tests.unit.record.joiner.setting import DAY_MS, ELSEWHERE, WAIT_MS


def test_a_follow_up_is_joined_by_attempt_or_by_decision(host):
    host.decide("a1")
    id = host.decide("a2")
    host.say("authorised", "a1")
    host.say("captured", decision_id=id)
    host.start().step()
    assert host.effects == [("a1", "authorised"), ("a2", "captured")]
    assert host.count("joiner_joined", "captured") == 1


def test_an_attempt_of_months_ago_is_joined(host):
    host.decide("a1")
    host.start().step()
    host.now_ms += 100 * DAY_MS
    host.say("fraud", "a1")
    host.start().step()
    assert host.effects == [("a1", "fraud")]


def test_another_tenants_attempt_is_never_joined(host):
    id = host.decide("a1", tenant="acme")
    host.say("fraud", "a1", tenant="other")
    host.say("fraud", decision_id=id, tenant="other")
    host.start().step()
    assert host.effects == []


def test_another_regions_follow_up_is_passed_over_and_counted(host):
    host.decide("a1")
    joiner = host.start()
    joiner.step()
    host.say("fraud", "a1", home=ELSEWHERE)
    joiner.step()
    assert host.effects == []
    assert host.count("joiner_elsewhere") == 1


def test_what_cannot_be_read_is_passed_over_counted_and_named(host, caplog):
    host.journals[0].append(Kind.DECISION, b"\xc1")
    host.decide("a1")
    bad = host.say("exploded", "a1")
    host.say("fraud", "a1")
    host.start().step()
    assert host.effects == [("a1", "fraud")]
    assert host.count("joiner_unreadable") == 2
    assert str(bad) in caplog.text


def test_an_attempt_that_history_knows_is_joined_and_remembered(host):
    _, payload = host.decision("old", at_ms=host.now_ms - DAY_MS)
    host.found["old"] = attempt_of(payload)
    host.say("fraud", "old")
    joiner = host.start()
    joiner.step()
    host.now_ms += WAIT_MS
    joiner.step()
    host.say("withdrawn", "old")
    joiner.step()
    assert host.effects == [("old", "fraud"), ("old", "fraud_withdrawn")]
    assert host.looked_up == 1


def test_an_attempt_too_old_to_be_remembered_is_not_counted(host):
    _, payload = host.decision("old", at_ms=host.now_ms - 121 * DAY_MS)
    host.found["old"] = attempt_of(payload)
    host.say("fraud", "old")
    joiner = host.start()
    joiner.step()
    host.now_ms += WAIT_MS
    joiner.step()
    assert host.effects == []
    assert host.count("joiner_unjoined", "fraud") == 1


def test_old_attempts_are_forgotten_and_counted(host):
    host.decide("old")
    joiner = host.start()
    joiner.step()
    host.now_ms += 121 * DAY_MS
    host.decide("young")
    joiner.step()
    assert host.count("joiner_pruned") == 1
    assert joiner.gauges().numbers["joiner_attempts"] == 1


def test_an_idle_joiner_takes_no_writer_slot(host):
    host.decide("a1")
    host.start().step()
    assert [slot.name for slot in host.folder.glob("[0-9]*")] == ["00000"]
