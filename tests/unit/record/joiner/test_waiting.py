"""What comes before its decision, and what never finds it."""

from __future__ import annotations

from app.record.attempt import attempt_of
from app.record.frames import Kind
from app.record.joiner import BATCH_RECORDS_MAX, LOOKED_UP_MAX, Bounds
from tests.unit.record.joiner.setting import WAIT_MS


def test_a_follow_up_waits_for_its_decision_and_holds_up_no_other(host):
    host.say("authorised", "late")
    host.decide("a1")
    host.say("authorised", "a1")
    joiner = host.start()
    joiner.step()
    assert host.effects == [("a1", "authorised")]
    host.decide("late")
    joiner.step()
    assert host.effects == [("late", "authorised"), ("a1", "authorised")]
    assert joiner.gauges().numbers["joiner_waiting"] == 0


def test_what_waits_by_decision_id_is_joined_too(host):
    id, payload = host.decision("late")
    host.say("authorised", decision_id=id)
    joiner = host.start()
    joiner.step()
    host.journals[0].append(Kind.DECISION, payload)
    joiner.step()
    assert host.effects == [("late", "authorised")]


def test_what_waits_goes_on_waiting_after_a_restart(host):
    host.say("authorised", "late")
    host.start().step()
    host.decide("late")
    host.start().step()
    assert host.effects == [("late", "authorised")]
    host.start()
    assert host.joiner.gauges().numbers["joiner_waiting"] == 0


def test_what_waited_together_is_joined_in_order_of_receipt(host):
    for what in ("fraud", "withdrawn"):
        host.say(what, "late")
        host.now_ms += 1
    host.decide("late")
    host.start().step()
    assert host.effects == [("late", "fraud"), ("late", "fraud_withdrawn")]


def test_what_waited_in_vain_is_counted_and_named(host, caplog):
    of = host.say("fraud", "nowhere")
    joiner = host.start()
    joiner.step()
    host.now_ms += WAIT_MS - 1
    joiner.step()
    assert host.count("joiner_unjoined", "fraud") == 0
    host.now_ms += 1
    joiner.step()
    assert host.count("joiner_unjoined", "fraud") == 1
    assert f"fraud {'/'.join(map(str, of))} of acme for nowhere" in caplog.text
    assert host.index.waiting() == []


def test_many_that_waited_in_vain_make_one_line_a_second(host, caplog):
    for at in range(LOOKED_UP_MAX + 5):
        host.say("fraud", f"nowhere {at}")
    joiner = host.start()
    joiner.step()
    host.now_ms += WAIT_MS
    joiner.step()
    assert host.count("joiner_unjoined", "fraud") == LOOKED_UP_MAX
    joiner.step()
    assert host.count("joiner_unjoined", "fraud") == LOOKED_UP_MAX + 5
    assert caplog.text.count("have no decision here") == 1


def test_a_backlog_makes_no_follow_up_give_up(host):
    host.say("fraud", "far away")
    for at in range(2 * BATCH_RECORDS_MAX):
        host.decide(f"a{at}")
    host.decide("far away")
    joiner = host.start()
    joiner.step()
    host.now_ms += 10 * WAIT_MS
    joiner.step()
    assert host.looked_up == 0
    assert joiner.lag_ms > 0
    joiner.step()
    assert host.effects == [("far away", "fraud")]
    assert joiner.lag_ms == 0


def test_too_many_that_wait_make_the_longest_waiting_go(host):
    joiner = host.start(bounds=Bounds(waiting_max=2))
    for at in range(5):
        host.say("fraud", f"nowhere {at}")
    joiner.step()
    joiner.step()
    assert host.count("joiner_unjoined", "fraud") == 3
    host.decide("nowhere 4")
    joiner.step()
    assert host.effects == [("nowhere 4", "fraud")]


def test_a_history_that_is_away_makes_a_follow_up_wait_once_more(host):
    host.found["old"] = TimeoutError("away")
    host.say("fraud", "old")
    joiner = host.start()
    joiner.step()
    host.now_ms += WAIT_MS
    joiner.step()
    _, payload = host.decision("old")
    host.found["old"] = attempt_of(payload)
    host.start().step()
    assert host.effects == []
    host.now_ms += WAIT_MS
    host.joiner.step()
    assert host.effects == [("old", "fraud")]
