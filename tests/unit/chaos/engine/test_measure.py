"""What is counted of an episode, and what is made of it."""

from __future__ import annotations

import msgspec
import pytest

from chaos.engine.course import Marks
from chaos.engine.good import failure, normal_again, steady
from chaos.engine.measure import measured
from chaos.engine.spec import load_drills
from chaos.engine.verdict import judge
from chaos.engine.wire import Body, Ended, Outcome, Said

HOME, OTHER = "us-east-1", "eu-west-1"
BODIES = [
    Body(attempt={}, fraud=False, ref=100),
    Body(attempt={}, fraud=True, ref=1_000),
]
MARKS = Marks(
    start_s=0.0, inject_s=10.0, remove_s=20.0, removed_s=21.0, normal_s=22.0, aborted=False
)


def outcome(due_s, **other):
    answered = {"rung": "full", "region": HOME, "action": "approve", "signed": True}
    facts = {"home": HOME, "due_s": due_s, "latency_ms": 10.0, "lag_ms": 0.1, "row": 0}
    return Outcome(**{**facts, **answered, **other})


def default(due_s, **other):
    facts = {"rung": "client_default", "region": None, "signed": False, "error": "connect"}
    return outcome(due_s, **{**facts, **other})


def episode(outcomes, *, steady=True, drill=None, marks=MARKS, said=(), waiting=0):
    return measured(
        0,
        drill or load_drills()["region-killed"],
        HOME,
        marks=marks,
        outcomes=[*outcomes, *([outcome(1.0)] if steady else [])],
        said=said,
        ended=[Ended(home=HOME, requests=len(outcomes), waiting=waiting)],
        bodies=BODIES,
    )


def left(at_s):
    return Said(home=HOME, at_s=at_s, what="ejected", region=HOME)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"signed": False}, "not signed by a region"),
        ({"latency_ms": 1_000.1}, "late"),
        ({"error": "status 503"}, "status 503"),
        ({"rung": "client_default", "error": "timeout"}, "client default (timeout)"),
        ({"action": None}, "not signed by a region"),
    ],
)
def test_anything_but_a_signed_decision_in_time_is_a_failure(bad, why):
    assert failure(outcome(1.0), 1_000.0) is None
    assert failure(outcome(1.0, **bad), 1_000.0) == why


def test_a_region_s_own_deadline_is_a_tenth_of_the_client_s():
    drills, late = load_drills(), outcome(1.0, latency_ms=150.0)
    assert failure(late, drills["region-killed"].limit_ms) is None
    assert failure(late, drills["datastore-killed"].limit_ms) == "late"


def test_only_the_faulted_path_in_the_window_is_counted():
    found = episode(
        [
            outcome(5.0),  # before
            outcome(9.9, latency_ms=200.0),  # under way when the fault began
            outcome(15.0, region=OTHER),
            outcome(15.0, home=OTHER, region=OTHER),  # another path
            outcome(20.0),  # after
        ]
    )
    assert (found.requests, found.elsewhere) == (2, 4)
    assert found.regions == {HOME: 1, OTHER: 1}


def test_healthy_traffic_hides_no_failure():
    healthy = [outcome(15.0, home=OTHER) for _ in range(10_000)]
    result = judge(load_drills()["region-killed"], [episode([*healthy, default(15.0)])])
    assert result.availability == 0.0
    assert not result.passed


def test_a_failure_elsewhere_fails_the_drill_too():
    good = [outcome(15.0), outcome(5.0)]
    bad = default(15.0, home=OTHER)
    drill = load_drills()["region-killed"]
    assert judge(drill, [episode(good, said=[left(11.0)])]).passed
    assert not judge(drill, [episode([*good, bad], said=[left(11.0)])]).passed


def test_a_run_whose_generator_fell_behind_is_void_and_not_passed():
    lagging = episode([outcome(15.0, lag_ms=6.0)], said=[left(11.0)])
    result = judge(load_drills()["region-killed"], [lagging])
    assert (result.state, result.passed, result.void) == ("void", False, 1)


def test_a_run_that_was_not_steady_before_the_fault_is_void():
    away = [outcome(5.0, region=OTHER), outcome(15.0)]
    result = judge(load_drills()["region-killed"], [episode(away, steady=False, said=[left(11.0)])])
    assert result.state == "void"
    assert "before the fault 0 of 1" in result.problems[0]


def test_what_only_warmed_up_is_not_counted():
    found = episode([default(-1.0), outcome(15.0)])
    assert (found.requests, found.elsewhere, found.elsewhere_failed) == (1, 1, 0)


def test_the_least_share_of_a_rung_is_asked_for():
    lower = episode([outcome(15.0, rung="rules")], said=[left(11.0)])
    result = judge(load_drills()["region-killed"], [lower])
    assert result.state == "failed"
    assert "0.00% came from the rung full" in result.problems[0]


def test_callers_that_leave_late_or_never_fail_the_drill():
    drill = load_drills()["region-killed"]
    never, late = episode([outcome(15.0)]), episode([outcome(15.0)], said=[left(17.0)])
    assert "left the region never" in judge(drill, [never]).problems[0]
    assert "after 7.0 s" in judge(drill, [late]).problems[0]


def test_recovery_counts_from_the_return_of_what_was_away():
    drill = msgspec.structs.replace(load_drills()["region-killed"], recovery_s=1.0, ejected_s=None)
    assert judge(drill, [episode([outcome(15.0)])]).passed
    slow = msgspec.structs.replace(episode([outcome(15.0)]), recovery_s=2.5)
    assert "took 1.5 s to recover" in judge(drill, [slow]).problems[0]


def test_with_every_region_down_the_default_is_what_is_expected_and_still_no_availability():
    drill = load_drills()["all-regions-down"]
    down = episode([default(15.0)], drill=drill)
    result = judge(drill, [down])
    assert result.passed
    assert (result.availability, result.defaults) == (0.0, 1)
    late = episode([default(15.0, latency_ms=1_200.0)], drill=drill)
    assert not judge(drill, [late]).passed
    assert not judge(drill, [episode([default(15.0)], drill=drill, waiting=1)]).passed


def test_what_became_of_money_is_told_by_the_truth():
    found = episode([outcome(15.0, row=1), outcome(15.0, row=0, action="decline")])
    shares = found.value_hold.shares()
    assert shares == {"fraud_approved": 1.0, "good_declined": 1.0, "good_stepped_up": 0.0}


def test_it_is_steady_once_fifty_are_good_and_mostly_of_the_callers_own_region():
    own, away = [outcome(1.0)] * 46, [outcome(1.0, region=OTHER)] * 4
    assert steady([*own, *away], HOME, 1_000.0)
    assert not steady(own, HOME, 1_000.0)
    assert not steady([*own, *away, *away], HOME, 1_000.0)
    assert not steady([default(1.0)] * 50, HOME, 1_000.0)


def test_it_is_as_before_once_fifty_in_a_row_mostly_are():
    before = [outcome(number / 10) for number in range(20)]
    away = [outcome(30 + number / 10, region=OTHER) for number in range(30)]
    back = [outcome(40 + number / 10) for number in range(60)]
    assert normal_again(away, before, 1_000.0) is None
    assert normal_again([*away, *back], before, 1_000.0) == pytest.approx(32.5)
    assert normal_again([*away, *back], before, 1_000.0, as_before=False) == pytest.approx(30.0)
    broken = [*back[:30], default(43.0), *back[31:]]
    assert normal_again([*away, *broken], before, 1_000.0) is None
