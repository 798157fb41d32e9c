"""Health checks: streaks, votes, inversion, calculation."""

from __future__ import annotations

import pytest

from regions.routing.health import Check, Checker, CheckRule, RegionChecks, calculated, observed

RULE = CheckRule(checkers=1, failure_threshold=3)


def told(check, *passed, checker=0):
    for one in passed:
        check.tell(checker, one)
    return check


def test_the_first_probe_is_believed_at_once():
    assert observed(Checker(), False, 3) == Checker(passing=False)


def test_two_failures_of_three_change_nothing():
    assert told(Check(rule=RULE), True, False, False).healthy


def test_the_third_failure_in_a_row_changes_a_checkers_word():
    assert not told(Check(rule=RULE), True, False, False, False).healthy


def test_one_success_begins_the_count_of_failures_anew():
    assert told(Check(rule=RULE), True, False, False, True, False, False).healthy


def test_coming_back_takes_as_many_successes_in_a_row():
    check = told(Check(rule=RULE), False, True, True)
    assert not check.healthy
    assert told(check, True).healthy


def test_what_is_being_started_is_healthy_from_its_first_answer_on():
    check = told(Check(rule=RULE, starting=True), False, False, False, False)
    assert not check.healthy
    assert told(check, True).healthy
    assert not told(check, False, False, False).healthy
    assert not told(check, True, True).healthy


def test_a_check_that_was_never_probed_is_healthy_also_when_inverted():
    assert Check(rule=RULE).healthy
    assert Check(rule=RULE, inverted=True).healthy


@pytest.mark.parametrize(
    ("passing", "checkers", "healthy"), [(0, 5, False), (1, 5, True), (1, 6, False), (2, 10, True)]
)
def test_a_check_is_healthy_if_more_than_eighteen_percent_say_so(passing, checkers, healthy):
    check = Check(rule=CheckRule(checkers=checkers))
    for number in range(checkers):
        check.tell(number, number < passing)
    assert check.healthy is healthy


def test_exactly_the_share_is_not_more_than_the_share():
    check = Check(rule=CheckRule(checkers=50))
    for number in range(50):
        check.tell(number, number < 9)
    assert not check.healthy


def test_an_inverted_check_is_healthy_while_its_probes_fail():
    assert told(Check(rule=RULE, inverted=True), False).healthy
    assert not told(Check(rule=RULE, inverted=True), True).healthy


def test_a_calculated_check_needs_so_many_children():
    assert calculated((True, True, False), needed=2)
    assert not calculated((True, False, False), needed=2)


def test_a_region_that_answers_is_unhealthy_once_it_was_switched_out_long_enough():
    checks = RegionChecks.under(RULE)
    told(checks.endpoint, True)
    told(checks.switch, False, True, True)
    assert checks.healthy
    told(checks.switch, True)
    assert not checks.healthy
    assert checks.endpoint.healthy


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval_s": 0},
        {"failure_threshold": 0},
        {"failure_threshold": 11},
        {"checkers": 0},
        {"healthy_share": 1},
    ],
)
def test_a_rule_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=r"interval|threshold|checker|share"):
        CheckRule(**wrong)
